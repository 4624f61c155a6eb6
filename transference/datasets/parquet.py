"""Parquet image files in the layout of Hugging Face image datasets, one file or several shards.

Columns: ``image`` or ``img`` (a struct of ``bytes`` and ``path``); ``class_name``, ``label`` or ``fine_label``; optional ``split``. Class
names come from ``class_name``, else from the label names in the file's ``huggingface`` metadata, else they are the labels themselves.
Without a ``split`` column, shards called ``SPLIT-00000-of-00002.parquet`` say by their name which split they belong to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transference.datasets._decode import decode
from transference.datasets._images import SPLITS, Mark, Picture, fingerprint, mark_files, usual_split
from transference.errors import DataError

_IMAGE = ("image", "img")
_LABEL = ("class_name", "label", "fine_label")
_SHARD = re.compile(r"(?P<split>\w+)-(?P<number>\d{1,6})-of-(?P<total>\d{1,6})")
_BATCH, _BUFFER = 256, 2**20
_MOST_ROWS = 5_000_000
_DAMAGED = (OSError, pa.ArrowException, ValueError)
"""What pyarrow raises for a damaged file."""


class ParquetImages:
    """The images of one parquet file, or of the shards of one dataset.

    Args:
        paths: ``DIR/NAME.parquet``, or the shards.
        name: the mode's name, by default ``NAME``.

    Raises:
        DataError: a file is no parquet file or lacks the columns.
    """

    def __init__(self, paths: Path | Sequence[Path], name: str | None = None) -> None:
        files = [paths] if isinstance(paths, Path) else sorted(paths)
        self._shards = [_Shard(path) for path in files]
        _check_complete(files)
        self.name = name or (files[0].stem if isinstance(paths, Path) else files[0].parent.name)
        self.where = str(files[0] if isinstance(paths, Path) else files[0].parent)

    def classes(self) -> dict[str, dict[str, int]]:
        """Return the number of images of each class of each split; without any word of splits there is one, called ``all``."""
        groups = {str(split): names.value_counts().to_dict() for split, names in self._labels.groupby("split", sort=True)["class_name"]}
        ordered = [split for split in SPLITS if split in groups] + [split for split in groups if split not in SPLITS]
        return {split: {str(name): int(n) for name, n in groups[split].items()} for split in ordered}

    def pictures(self, split: str) -> Iterator[Picture]:
        """Yield the images of ``split``.

        Yields:
            One picture per row.

        Raises:
            DataError: the file is damaged, or a row holds no image.
        """
        chosen = self._labels[self._labels["split"] == split]
        # A path is the better id, since it survives a new order of the rows; some writers leave it out or repeat it.
        unique = bool(chosen["path"].notna().all() and chosen["path"].is_unique)
        for number, shard in enumerate(self._shards):
            labels = chosen[chosen["shard"] == number]
            row_of = "row {}" if len(self._shards) == 1 else f"{shard.path.stem} row {{}}"
            images = shard.images(labels["row"].to_numpy())
            for row, class_name, path, content in zip(labels["row"], labels["class_name"], labels["path"], images, strict=True):
                where = f"{shard.path}, row {row} ({path})"
                if content is None:
                    raise DataError(f"{where}: the row holds no image bytes; files that only point to images are not supported.")
                yield Picture(str(class_name), str(path) if unique else row_of.format(row), partial(decode, content, where))

    def mark(self) -> Mark:
        """Return that of the files with their footers, which have statistics and positions of every column."""
        return mark_files(((shard.path.name, shard.footer()), shard.path) for shard in self._shards)

    @cached_property
    def _labels(self) -> pd.DataFrame:
        """One row per image: ``shard``, ``row``, ``path``, ``split``, ``class_name``."""
        frames = [shard.labels().assign(shard=number) for number, shard in enumerate(self._shards)]
        return pd.concat(frames, ignore_index=True)


class _Shard:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with pq.ParquetFile(path.absolute()) as file:  # pyarrow takes a relative name with a colon for an address
                self._schema: pa.Schema = file.schema_arrow
                self._n_rows = int(file.metadata.num_rows)
        except _DAMAGED as error:
            raise DataError(f"{path} cannot be read as a parquet file ({error}). Copy or prepare it again.") from error
        if self._n_rows > _MOST_ROWS:
            raise DataError(f"{path} has {self._n_rows} rows, more than {_MOST_ROWS}; cut it into several files if you trust it.")
        columns = self._schema.names
        if len(set(columns)) < len(columns):
            raise DataError(f"{path} has two columns of one name among {', '.join(columns)}; rename one of them.")
        self._image = next((name for name in _IMAGE if _holds_images(self._schema, name)), "")
        self._label = next((name for name in _LABEL if name in columns), "")
        if not self._image or not self._label:
            needed = "'image' (a struct of binary bytes and path) and one of 'class_name', 'label'"
            raise DataError(f"{path} has the columns {', '.join(columns)}; it needs {needed}.")

    def footer(self) -> str:
        """Return the end of the file, where parquet describes its columns, in hexadecimal digits."""
        with self.path.open("rb") as file:
            file.seek(-8, 2)
            size = int.from_bytes(file.read(4), "little")
            file.seek(-8 - size, 2)
            return fingerprint([file.read(size).hex()])

    def images(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[bytes | None]:
        """Yield the encoded images of these rows, which are in order, batch by batch.

        Raises:
            DataError: the file is damaged.
        """
        try:
            start = 0
            with pq.ParquetFile(self.path.absolute(), buffer_size=_BUFFER, pre_buffer=False) as file:
                for batch in file.iter_batches(_BATCH, columns=[f"{self._image}.bytes"]) if len(rows) else ():
                    here = rows[(rows >= start) & (rows < start + len(batch))] - start
                    yield from _field(batch.column(0).take(pa.array(here)), "bytes").to_pylist()
                    start += len(batch)
        except _DAMAGED as error:
            raise self._damaged(error) from error

    def labels(self) -> pd.DataFrame:
        """Return one row per image: ``row``, ``path``, ``split``, ``class_name``.

        Raises:
            DataError: the file is damaged, or its labels are incomplete or ambiguous.
        """
        columns = [name for name in dict.fromkeys(("class_name", self._label, "label", "split")) if name in self._schema.names]
        table = self._read(columns)
        if missing := [name for name in columns if table.column(name).null_count]:
            raise DataError(f"{self.path} has rows without {' or '.join(missing)}; fill or remove them.")
        frame = pd.DataFrame({name: self._words(table.column(name), name) for name in columns})
        if self._label != "class_name":
            frame["class_name"] = self._class_names(frame[self._label])
        elif "label" in columns and frame.groupby("class_name")["label"].nunique().max() > 1:
            raise DataError(f"{self.path} uses one class_name for several labels; give each class a name of its own.")
        if "split" not in columns:
            frame["split"] = self._split()
        frame["split"] = frame["split"].astype(str).map(usual_split)
        named = frame[["split", "class_name"]].astype(str)
        return named.assign(row=np.arange(len(named)), path=pd.Series(self._paths(), dtype=object))

    def _words(self, column: pa.ChunkedArray, name: str) -> list[object]:
        """Return a column of texts or integers.

        Raises:
            DataError: it holds something else.
        """
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise DataError(f"{self.path} has the column {name} of type {kind}; it needs text or integers.")
        try:
            words: list[object] = column.to_pylist()
        except _DAMAGED as error:
            raise self._damaged(error) from error
        return words

    def _paths(self) -> list[str | None]:
        """Return the file name kept with each image, or None."""
        if "path" not in self._schema.field(self._image).type.names:
            return [None] * self._n_rows
        try:
            paths: list[str | None] = _field(self._read([f"{self._image}.path"]).column(0), "path").to_pylist()
        except _DAMAGED as error:
            raise self._damaged(error) from error
        return paths

    def _read(self, columns: list[str]) -> pa.Table:
        try:
            with pq.ParquetFile(self.path.absolute()) as file:
                return file.read(columns=columns)
        except _DAMAGED as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.path} is damaged ({error}). Copy or prepare it again.")

    def _split(self) -> str:
        """Return the split that the file's name tells."""
        found = _SHARD.match(self.path.stem)
        return found["split"] if found else "all"

    def _class_names(self, labels: pd.Series[int]) -> list[str]:
        names = self._label_names() if pd.api.types.is_integer_dtype(labels) else None
        known = range(len(names)) if names else labels.unique()
        if names and len(set(names)) < len(names):
            raise DataError(f"{self.path} gives one name to several labels; give each class a name of its own.")
        if bad := sorted(set(labels) - set(known)):
            raise DataError(f"{self.path} has the labels {bad[:3]}, which have no name; -1 often stands for an unlabelled split.")
        return [names[label] if names else str(label) for label in labels]

    def _label_names(self) -> list[str] | None:
        """Return the names that the Hugging Face ``datasets`` library keeps for the integer labels, if it wrote the file.

        Raises:
            DataError: the metadata are there but not understood.
        """
        raw = (self._schema.metadata or {}).get(b"huggingface")
        try:
            features = json.loads(raw)["info"]["features"] if raw else {}
            names = features.get(self._label, {}).get("names") or []
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"{self.path} has huggingface metadata that cannot be read ({error!r}). Add a class_name column.") from error
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(f"{self.path} has huggingface metadata with label names that are no list of texts. Add a class_name column.")
        return names or None


def _check_complete(files: Sequence[Path]) -> None:
    """Raise `DataError` if shards say that there are more of them.

    Raises:
        DataError: some are missing.
    """
    found = [match for path in files if (match := _SHARD.match(path.stem))]
    for split, total in sorted({(match["split"], int(match["total"])) for match in found}):
        numbers = {int(match["number"]) for match in found if match["split"] == split}
        if missing := sorted(set(range(total)) - numbers):
            raise DataError(
                f"{files[0].parent} lacks {len(missing)} of {total} files of the split {split}, the first is number {missing[0]}."
            )


def _field(column: pa.Array | pa.ChunkedArray, name: str) -> pa.Array | pa.ChunkedArray:
    """Return one field of a column of structs; some ways of reading give the field itself when it is the only one asked for."""
    return pc.struct_field(column, name) if pa.types.is_struct(column.type) else column


def _holds_images(schema: pa.Schema, name: str) -> bool:
    """Whether a column is a struct with binary ``bytes``; text would be taken for a path, and files of this machine opened."""
    if name not in schema.names or not pa.types.is_struct(kind := schema.field(name).type):
        return False
    fields = {field.name: field.type for field in kind}
    return "bytes" in fields and (pa.types.is_binary(fields["bytes"]) or pa.types.is_large_binary(fields["bytes"]))
