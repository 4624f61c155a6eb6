"""One parquet file of a run folder: whole or absent, and it says whose it is and what its columns hold."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transference.errors import StoreError
from transference.files import write_aside
from transference.plain import as_record, read_json
from transference.store._cells import judged_anew

_KEY = b"transference"
_COLUMNS = "columns"
_MEND = "Delete it and repeat the command in run.json."

_READERS = 4
"""Files read at once: checksums and decompression run outside of Python's lock."""


@dataclass(frozen=True)
class TableFile:
    """Where a table lies, and what it holds.

    Attributes:
        path: the file.
        schema: its columns.
        whose: digest of the spec, and what part of the run: kind, checkpoint step, sources and targets as half-open ranges of ids,
            replicate, round.
        labelled: whether the file says so itself; in a folder of version 0.1 it need not.
        rows: how many it has; None where the spec does not tell.
    """

    path: Path
    schema: pa.Schema
    whose: Mapping[str, Any]
    labelled: bool = True
    rows: int | None = None

    def exists(self) -> bool:
        """Return whether the file is published."""
        return self.path.is_file()

    def require(self) -> None:
        """Make sure that it is published.

        Raises:
            StoreError: it is not.
        """
        if not self.exists():
            raise self._damaged(FileNotFoundError("there is no such file"))

    def write(self, content: pa.Table) -> None:
        """Write the table aside, and rename it to its place."""
        label = {**self.whose, _COLUMNS: {name: column_digest(content[name]) for name in content.column_names}}
        labelled = content.replace_schema_metadata({_KEY: json.dumps(label)})
        whole = pa.BufferOutputStream()  # given a name, pyarrow would take one with a colon for an address
        pq.write_table(labelled, whole, compression="zstd", write_page_checksum=True)
        write_aside(self.path, lambda aside: aside.write_bytes(whole.getvalue()))

    def read(self, names: Sequence[str] | None = None) -> pa.Table:
        """Read it, checksums verified, cells of version 0.1 as they are judged now.

        Args:
            names: the columns wanted; all by default.

        Raises:
            StoreError: it is missing or damaged, was altered, has other columns or rows, or belongs elsewhere.
        """
        with self._opened() as file:
            label = self._check(file)
            found: pa.Table = file.read(columns=None if names is None else list(names))
            found.validate(full=True)  # of a damaged dictionary arrow would read beyond its end
        for name in found.column_names if label else ():
            if column_digest(found[name]) != label[_COLUMNS].get(name):
                raise StoreError(f"{self.path} was altered: its column {name} is not what was written. {_MEND}")
        return found if label else judged_anew(found)

    def check(self) -> bool:
        """Make sure, without reading its pages, that it is the file that belongs here; return whether it says so itself.

        Raises:
            StoreError: it is missing or damaged, has other columns or rows, or belongs elsewhere.
        """
        with self._opened() as file:
            return bool(self._check(file))

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        try:
            # Opened as a file: pyarrow would take a name with a colon for an address, and encodes names in UTF-8.
            with (
                pa.OSFile(os.fsencode(self.path)) as source,
                pq.ParquetFile(source, page_checksum_verification=True) as file,
            ):
                yield file
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # the last of a column's name
            raise self._damaged(error) from error

    def _check(self, file: pq.ParquetFile) -> Mapping[str, Any]:
        """Return what the file says of itself, nothing in a folder of version 0.1.

        Raises:
            StoreError: it has other columns or rows than it should, or belongs elsewhere.
        """
        found = file.schema_arrow
        if [(column.name, column.type) for column in found] != [(column.name, column.type) for column in self.schema]:
            raise StoreError(
                f"{self.path} has the columns {_columns(found)}; expected {_columns(self.schema)}. {_MEND}"
            )
        label = self._label((found.metadata or {}).get(_KEY))
        if self.rows is not None and file.metadata.num_rows != self.rows:
            raise StoreError(
                f"{self.path} does not hold the {self.rows} rows that it should, but {file.metadata.num_rows}. {_MEND}"
            )
        return label

    def _label(self, text: bytes | None) -> Mapping[str, Any]:
        """Return what a file says of itself.

        Raises:
            StoreError: it says nothing but should, or that it belongs elsewhere.
        """
        if text is None:
            if self.labelled:
                raise StoreError(f"{self.path} does not say whose it is, as every file of this run does. {_MEND}")
            return {}
        try:
            label = as_record(read_json(text), "its label", ["spec", _COLUMNS])
            as_record(label[_COLUMNS], "its label's columns")
        except ValueError as error:
            raise self._damaged(error) from error
        wrong = [
            f"{name} {label.get(name)} (here {value})" for name, value in self.whose.items() if label.get(name) != value
        ]
        if wrong:
            raise StoreError(
                f"{self.path} belongs elsewhere: it says it is of {', '.join(wrong)}. Was it copied or renamed? {_MEND}"
            )
        return label

    def _damaged(self, error: Exception) -> StoreError:
        return StoreError(f"{self.path} is damaged or missing ({' '.join(str(error).split())}). {_MEND}")


def read_in_turn(files: Iterable[TableFile], names: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield these columns of each file, read a few files ahead.

    Args:
        files: in the order wanted.
        names: the columns wanted; all by default.

    Raises:
        StoreError: a file is not what it should be.
    """
    rest = iter(files)
    with ThreadPoolExecutor(_READERS) as pool:
        waiting = deque(pool.submit(file.read, names) for file in islice(rest, _READERS))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(file.read, names) for file in islice(rest, 1))


def column_digest(column: pa.ChunkedArray) -> str:
    """Return a digest of a column's values, whatever its encoding, chunks, and which NaN its NaNs are."""
    growing = hashlib.blake2b(digest_size=8)
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        growing.update(f"{column.type} {column.null_count}".encode())
        values = column.to_numpy()
        if values.dtype.kind == "f":  # 0 and -0, and any two NaNs, may be one value to the writer's encoding
            values = values + 0.0
            if (missing := np.isnan(values)).any():
                values[missing] = np.nan
        growing.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)
    elif pa.types.is_dictionary(column.type) and not column.null_count:
        words = sorted(pc.unique(column).to_pylist())
        growing.update(json.dumps(words).encode())
        for chunk in column.chunks:
            codes = np.array(
                [words.index(word) if word in words else -1 for word in chunk.dictionary.to_pylist()], "<i4"
            )
            growing.update(codes[chunk.indices.to_numpy()].data)
    else:
        growing.update(json.dumps(column.to_pylist()).encode())
    return growing.hexdigest()


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{column.name} {column.type}" for column in schema)
