"""Columns of one's own tables as arrays: a parquet file, or an ``.npz`` of numpy arrays. No object is ever unpickled."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from transference.datasets._names import as_seen
from transference.datasets._unread import counted, few
from transference.errors import DataError, PairingError, first_line

SUFFIXES = (".parquet", ".npz")


class Columns(Protocol):
    """Columns of one length, by name."""

    @property
    def names(self) -> Sequence[str]:
        """Return all names."""

    def numbers(self, name: str) -> NDArray[Any]:
        """Return a column of numbers or of lists of them, ``[n, …]``; of encoded images, ``[n]`` bytes as objects."""

    def words(self, name: str) -> list[str]:
        """Return a column of texts or whole numbers, as texts."""


@contextmanager
def open_columns(path: Path) -> Iterator[Columns]:
    """Open a parquet or ``.npz`` file.

    Yields:
        Its columns.

    Raises:
        DataError: it is neither, or is damaged.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} is no {' or '.join(SUFFIXES)} file; a description reads one of these.")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                yield _Arrays(path, arrays)
        else:
            with pq.ParquetFile(pa.OSFile(os.fspath(path))) as file:
                yield _Parquet(path, file)
    except (
        pa.ArrowException,
        ValueError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        MemoryError,
        RuntimeError,
    ) as error:
        raise DataError(f"{path} cannot be read ({first_line(error)}). Is it whole? Write it again.") from error


class _Arrays:
    """The arrays of an ``.npz`` file."""

    def __init__(self, path: Path, arrays: Any) -> None:  # noqa: ANN401 - np.load has no type of its own for it
        if not hasattr(arrays, "files"):
            raise DataError(f"{path} holds one array; an .npz holds several by name (numpy.savez).")
        self._path, self._arrays = path, arrays
        self.names: list[str] = list(arrays.files)

    def numbers(self, name: str) -> NDArray[Any]:
        array = self._array(name)
        if array.dtype.kind not in "fiub":
            raise PairingError(f"{self._path}: {name} is an array of {array.dtype}, not of numbers.")
        return array

    def words(self, name: str) -> list[str]:
        array = self._array(name)
        if array.ndim != 1 or array.dtype.kind not in "USiub":
            raise PairingError(
                f"{self._path}: {name} is an array {list(array.shape)} of {array.dtype}; one text or whole number for "
                "each row is needed."
            )
        return [as_seen(w.decode(errors="replace") if isinstance(w, bytes) else str(w)) for w in array.tolist()]

    def _array(self, name: str) -> NDArray[Any]:
        """Return one array, which has at least one axis.

        Raises:
            PairingError: it is of Python objects, or a single number.
            ValueError: it is damaged.
        """
        try:
            array = np.asarray(self._arrays[name])
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise
            raise PairingError(
                f"{self._path}: {name} is an array of Python objects, which is not read; rows of different lengths make "
                "one. Save plain numbers."
            ) from error
        if array.ndim == 0:
            raise PairingError(f"{self._path}: {name} is a single value; an array needs a row for each example.")
        return array


class _Parquet:
    """The columns of a parquet file."""

    def __init__(self, path: Path, file: pq.ParquetFile) -> None:
        self._path, self._file = path, file
        self.names: list[str] = list(file.schema_arrow.names)
        if twice := [name for name, n in Counter(self.names).items() if n > 1]:
            raise PairingError(
                f"{path} has {counted(len(twice), 'name')} for several columns ({few(twice)}); rename them."
            )

    def numbers(self, name: str) -> NDArray[Any]:
        column = self._column(name)
        if isinstance(column, pa.FixedShapeTensorArray):
            self._without_nulls(name, column, 1)
            array: NDArray[Any] = column.to_numpy_ndarray()
            return array
        if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
            self._without_nulls(name, column, 1)
            column = pc.struct_field(column, "bytes")
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            self._without_nulls(name, column, 1)
            return np.array([*column.to_pylist(), None], dtype=object)[:-1]
        return self._unnested(name, column)

    def words(self, name: str) -> list[str]:
        column = self._column(name)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        kind = column.type
        if not any(
            test(kind)
            for test in (
                pa.types.is_string,
                pa.types.is_large_string,
                pa.types.is_string_view,
                pa.types.is_integer,
                pa.types.is_boolean,
            )
        ):
            raise PairingError(f"{self._path}: {name} is a column of {kind}; texts or whole numbers are needed.")
        self._without_nulls(name, column, 1)
        return [as_seen(str(word)) for word in column.to_pylist()]

    def _column(self, name: str) -> pa.Array:
        column = self._file.read(columns=[name]).column(name).combine_chunks()
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column

    def _unnested(self, name: str, column: pa.Array) -> NDArray[Any]:
        """Return numbers, or lists of them that are all of one length, as an array.

        Raises:
            PairingError: they are not of one length, or no numbers.
        """
        shape = [len(column)]
        while _is_list(column.type):
            self._without_nulls(name, column, int(np.prod(shape[1:])))
            lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
            length = int(lengths[0]) if len(lengths) else 0
            if (others := np.flatnonzero(lengths != length)).size:
                rows = np.unique(others // int(np.prod(shape[1:])))
                raise PairingError(
                    f"{self._path}: {name} has lists of {length} in row 0 and of {int(lengths[others[0]])} in row {int(rows[0])}, "
                    f"{counted(len(rows), 'row')} of {shape[0]} unlike row 0; all must be of one length."
                )
            shape.append(length)
            column = column.flatten()
        if not (
            pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)
        ):
            raise PairingError(
                f"{self._path}: {name} is a column of {column.type}; numbers, or lists of them, are needed."
            )
        self._without_nulls(name, column, int(np.prod(shape[1:])))
        numbers: NDArray[Any] = column.to_numpy(zero_copy_only=False).reshape(shape)
        return numbers

    def _without_nulls(self, name: str, column: pa.Array, each: int) -> None:
        """Raise `PairingError` if a value is missing.

        Args:
            name: of the column.
            column: its values at some depth.
            each: how many of them a row has.

        Raises:
            PairingError: some are.
        """
        if column.null_count:
            missing = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
            rows = np.unique(missing // max(each, 1))
            raise PairingError(
                f"{self._path}: {name} lacks {counted(len(missing), 'value')} in {counted(len(rows), 'row')}, the first in row "
                f"{int(rows[0])}. Leave these rows out, or fill them in."
            )


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
