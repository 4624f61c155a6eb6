"""Parquet image files in the layout of Hugging Face image datasets, one file or several shards, of any current writer.

Columns: ``image`` or ``img`` (a struct of ``bytes`` and ``path``, or the bytes alone); ``class_name``, ``label`` or
``fine_label``; optional ``split``. Class names come from ``class_name``, else from the label names in the file's
``huggingface`` metadata, else they are the labels themselves. Columns that a file lacks may be told by its folders
(``split=train``, ``label=3``); without a ``split`` column the names of files and folders say which split is meant
(`_layout`). A split without labels is left out, and the others are read.
"""

from __future__ import annotations

import filecmp
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transference.datasets._decode import decode
from transference.datasets._images import Mark, Picture, fingerprint, mark_files
from transference.datasets._layout import Placed, missing, placed
from transference.datasets._names import as_seen, composed, in_order, split_names, usual_split
from transference.datasets._tree import Folder
from transference.datasets._unread import Unread, few, remains, renamed
from transference.errors import DataError

_IMAGE = ("image", "img")
_PATHS = ("file_name", "filename", "file_path", "filepath", "image_path", "img_path", "path")
"""Columns in which tables without images tell where these are."""

_LABEL = ("class_name", "label", "fine_label")
_BATCH, _BUFFER = 256, 2**20
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_MOST_ROWS = 5_000_000
_DAMAGED = (OSError, pa.ArrowException, ValueError)
"""The errors that pyarrow raises for a damaged file."""


_NO_NAMES = ("", "-1")
"""Texts that stand where an image has no label."""


class ParquetImages:
    """The images of one parquet file, or of the shards of one dataset.

    Args:
        paths: ``DIR/NAME.parquet``, or the shards.
        name: the mode's name, by default ``NAME``.
        root: the dataset's folder, if there are shards; by default the one in which they are.
        beside: what else the folder holds, in words.

    Raises:
        DataError: a file is no parquet file or lacks the columns, and no other split is whole; or there are several
            configurations.
    """

    def __init__(
        self,
        paths: Path | Sequence[Path],
        name: str | None = None,
        root: Path | None = None,
        beside: Sequence[str] = (),
    ) -> None:
        alone = isinstance(paths, Path)
        root = root or (paths.parent if isinstance(paths, Path) else paths[0].parent)
        self.name = name or as_seen(paths.stem if isinstance(paths, Path) else root.name)
        self.where = str(paths if alone else root)
        self._files = placed([paths] if isinstance(paths, Path) else paths, root)
        if isinstance(paths, Path) and not self._files[0].part:
            self._files = [Placed(paths, paths.name)]  # alone, test.parquet is a mode called test
        left = [] if isinstance(paths, Path) else sorted({*paths} - {file.path for file in self._files})
        others = few(path.relative_to(root).as_posix() for path in left)
        self._beside = [*beside, *([f"not read: {others}"] if others else [])]
        self._shards: dict[Placed, _Shard] = {}
        self._broken: dict[str, str] = missing(self._files)
        for file in self._files:
            with self._one_split_at_most(file):
                self._shards[file] = _Shard(file)
        if not self._shards:
            raise DataError(next(iter(self._broken.values())))
        self._leave_out_copies()

    def classes(self) -> dict[str, dict[str, int]]:
        """Return the number of images of each class of each split; without any word of splits there is ``all``.

        Raises:
            DataError: no split can be read.
        """
        labels, left_out, _ = self._found
        by_split = labels.groupby("split", sort=True)["class_name"]
        groups = {str(split): names.value_counts().to_dict() for split, names in by_split}
        if not groups and left_out:
            raise DataError(next(iter(left_out.values())))
        return {split: {str(name): int(n) for name, n in groups[split].items()} for split in in_order(groups)}

    def pictures(self, split: str) -> Iterator[Picture]:
        """Yield the images of ``split``.

        Yields:
            One picture per row.

        Raises:
            DataError: the file is damaged, or a row holds no image.
        """
        labels, _, _ = self._found
        chosen = labels[labels["split"] == split]
        # A path is the better id, since it survives a new order of the rows; some writers leave it out or repeat it.
        unique = bool(chosen["path"].notna().all() and chosen["path"].is_unique)
        for number, shard in enumerate(self._shards.values()):
            mine = chosen[chosen["shard"] == number]
            row_of = self._row_of(shard)
            images = shard.images(mine["row"].to_numpy())
            for row, class_name, path, content in zip(
                mine["row"], mine["class_name"], mine["path"], images, strict=True
            ):
                where = f"{shard.path}, row {row} ({path})"
                if content is None:
                    raise DataError(
                        f"{where}: the row holds no image bytes; files that only point to images are not supported."
                    )
                yield Picture(
                    str(class_name), str(path) if unique else row_of.format(row), partial(decode, content, where)
                )

    def mark(self) -> Mark:
        """Return that of the files with their footers, which have statistics and positions of every column."""
        return mark_files(((_name(shard.file), shard.footer()), shard.path) for shard in self._shards.values())

    def unread(self) -> Unread:
        """Return which splits are not read, and what else lies with the files."""
        _, left_out, names = self._found
        return Unread(left_out, [*renamed(names), *self._beside])

    def _row_of(self, shard: _Shard) -> str:
        """Return how an image without a path is called."""
        if len(self._files) == 1:
            return "row {}"
        stems = [file.path.stem for file in self._files]
        name = shard.path.stem if stems.count(shard.path.stem) == 1 else shard.file.place.removesuffix(".parquet")
        return f"{name.replace('{', '{{').replace('}', '}}')} row {{}}"

    def _leave_out_copies(self) -> None:
        """Read of files of one split with the same bytes only one, and say so: the browser's ``train (1)`` beside ``train``.

        Where they should be different parts of a split, the other part is missing.
        """
        alike: dict[tuple[object, ...], list[Placed]] = {}
        for file, shard in self._shards.items():
            word = usual_split(file.split) if file.split else None
            key = word, tuple(file.keys.items()), file.path.stat().st_size, shard.footer()
            alike.setdefault(key, []).append(file)
        for files in alike.values():
            first, *others = sorted(files, key=lambda file: (not file.part, len(file.place), file.place))
            for file in others:
                if not filecmp.cmp(first.path, file.path, shallow=False):
                    continue
                if file.part and file.split:
                    why = f"{file.path} is a copy of {first.place}, so that one part of the split is missing. Copy it again."
                    self._broken.setdefault(file.split, why)
                else:
                    del self._shards[file]
                    self._files.remove(file)
                    self._beside.append(f"{file.place} is a copy of {first.place} and is not read")

    @contextmanager
    def _one_split_at_most(self, file: Placed) -> Iterator[None]:
        """Let a file that cannot be read condemn its own split only, if it is known which one that is.

        Raises:
            DataError: it is not known.
        """
        try:
            yield
        except DataError as error:
            word = file.split or file.keys.get("split")
            if not word:
                raise
            self._broken.setdefault(word, str(error))

    @cached_property
    def _found(self) -> tuple[pd.DataFrame, dict[str, str], dict[str, str]]:
        """Rows (``shard``, ``row``, ``path``, ``split``, ``class_name``); splits left out; the split of each word.

        A split is whole or left out: part of it would be other tasks under the same name.
        """
        frames = [pd.DataFrame(columns=["split", "class_name", "given", "row", "path", "shard"])]
        for number, (file, shard) in enumerate(self._shards.items()):
            with self._one_split_at_most(file):
                frames.append(shard.labels().assign(shard=number))
        frame = pd.concat(frames[1:] or frames, ignore_index=True)
        names = split_names(dict.fromkeys([*(str(word) for word in frame["split"].unique()), *self._broken]))
        left_out = {names[word]: why for word, why in self._broken.items()}
        frame["split"] = frame["split"].map(names)
        for split, rows in frame[frame["class_name"].isna()].groupby("split"):
            left_out.setdefault(str(split), self._unlabelled(rows))
        return frame[~frame["split"].isin(list(left_out))].drop(columns="given"), left_out, names

    def _unlabelled(self, rows: pd.DataFrame) -> str:
        """Return what to say of rows without a class."""
        shard = list(self._shards.values())[int(rows["shard"].iloc[0])]
        if given := sorted({label for label in rows["given"] if label not in (None, "")}, key=str):
            known = "which have no name; -1 often stands for an unlabelled split"
            return f"{shard.path} has the labels {given[:3]}, {known}."
        return f"{shard.path} has rows without {shard.label} ({len(rows)} in this split); fill or remove them."


class _Shard:
    """One parquet file of a dataset: its columns, its labels, its images.

    Raises:
        DataError: it is no parquet file, or lacks the columns.
    """

    def __init__(self, file: Placed) -> None:
        self.file, self.path = file, file.path
        try:
            with self._open() as opened:
                self._schema: pa.Schema = opened.schema_arrow
                self._n_rows = int(opened.metadata.num_rows)
        except _DAMAGED as error:
            raise DataError(
                f"{self.path} cannot be read as a parquet file ({error}). Copy or prepare it again."
            ) from error
        if self._n_rows > _MOST_ROWS:
            raise DataError(
                f"{self.path} has {self._n_rows} rows, more than {_MOST_ROWS}; cut it into several files if you trust it."
            )
        columns = self._schema.names
        if len(set(columns)) < len(columns):
            raise DataError(f"{self.path} has two columns of one name among {', '.join(columns)}; rename one of them.")
        self._keys = {key: value for key, value in file.keys.items() if key not in columns}
        self._image = next((name for name in _IMAGE if _holds_images(self._schema, name)), "")
        self.label = next((name for name in _LABEL if name in columns or name in self._keys), "")
        if told := _only_paths(self._schema, self._image, self._all_missing()):
            raise DataError(f"{self.path} {told}")
        if not self._image or not self.label:
            needed = "'image' (a struct of binary bytes and path) and one of 'class_name', 'label'"
            raise DataError(f"{self.path} has the columns {', '.join(columns)}; it needs {needed}.")

    def _all_missing(self) -> bool:
        """Return whether the file says of itself that no row holds an image."""
        if not self._image or not self._n_rows:
            return False
        with self._open() as opened:
            groups = [opened.metadata.row_group(k) for k in range(opened.num_row_groups)]
            columns = [
                column
                for group in groups
                for column in map(group.column, range(group.num_columns))
                if column.path_in_schema == self._part("bytes")
            ]
        missing = [column.statistics.null_count if column.statistics else None for column in columns]
        return bool(columns) and missing == [column.num_values for column in columns]

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
            with self._open() as file:
                for group in range(file.num_row_groups):  # the library does not join dictionaries within structs
                    end = start + file.metadata.row_group(group).num_rows
                    if not ((rows >= start) & (rows < end)).any():
                        start = end
                        continue
                    for batch in file.iter_batches(_BATCH, [group], [self._part("bytes")]):
                        here = rows[(rows >= start) & (rows < start + len(batch))] - start
                        column = _field(batch.column(0), "bytes")
                        yield from (column[int(row)].as_py() for row in here)  # views cannot be taken from as a whole
                        start += len(batch)
        except _DAMAGED as error:
            raise self._damaged(error) from error

    def labels(self) -> pd.DataFrame:
        """Return one row per image: ``row``, ``path``, ``split``, the label ``given``, ``class_name`` or None for none.

        Raises:
            DataError: the file is damaged, or its labels are ambiguous.
        """
        names = [name for name in dict.fromkeys(("class_name", self.label, "label", "split")) if self._has(name)]
        words = {name: pd.Series(self._words(name), dtype=object) for name in names}
        frame = pd.DataFrame(words, index=range(self._n_rows))
        if "split" in names and frame["split"].isna().any():
            raise DataError(f"{self.path} has rows without split; fill or remove them.")
        given = frame[self.label]
        if self.label != "class_name":
            frame["class_name"] = pd.Series(self._class_names(frame[self.label]), dtype=object)
        else:
            named = [None if name is None else as_seen(str(name)).strip() or None for name in given]
            frame["class_name"] = pd.Series(named, dtype=object)
            if "label" in names and frame.groupby("class_name")["label"].nunique().max() > 1:
                raise DataError(
                    f"{self.path} uses one class_name for several labels; give each class a name of its own."
                )
        split = frame["split"].astype(str) if "split" in names else self.file.split or "all"
        told = {"split": split, "class_name": frame["class_name"], "given": given, "row": np.arange(self._n_rows)}
        return pd.DataFrame({**told, "path": pd.Series(self._paths(), dtype=object)}, index=frame.index)

    def _open(self) -> pq.ParquetFile:
        """Open the file by itself: given a path, the library would also look for values in the names of its folders."""
        return pq.ParquetFile(pa.OSFile(os.fspath(self.path)), buffer_size=_BUFFER, pre_buffer=False)

    def _has(self, name: str) -> bool:
        return name in self._schema.names or name in self._keys

    def _part(self, field: str) -> str:
        """Return the name of one part of the image column, or of the column where it has none."""
        return f"{self._image}.{field}" if pa.types.is_struct(self._schema.field(self._image).type) else self._image

    def _words(self, name: str) -> list[object]:
        """Return a column of texts or integers; None where there is none.

        Raises:
            DataError: it holds something else.
        """
        if name in self._keys:
            value = self._keys[name]
            number = value and name != "class_name" and _INTEGER.fullmatch(value)
            return [int(value) if value and number else value] * self._n_rows
        kind, words = self._schema.field(name).type, self._read(name)
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_floating(kind):  # what pandas makes of integers of which one is missing
            floats = [word for word in words if isinstance(word, float | None)]
            numbers = [None if number is None or math.isnan(number) else number for number in floats]
            if all(number is None or number.is_integer() for number in numbers):
                return [None if number is None else int(number) for number in numbers]
        if not (pa.types.is_integer(kind) or pa.types.is_null(kind) or _is_text(kind)):
            raise DataError(f"{self.path} has the column {name} of type {kind}; it needs text or integers.")
        return words

    def _paths(self) -> list[str | None]:
        """Return the file name kept with each image, or None."""
        kind = self._schema.field(self._image).type
        if not pa.types.is_struct(kind) or "path" not in {field.name for field in kind}:
            return [None] * self._n_rows
        return [composed(path) if isinstance(path, str) else None for path in self._read(self._part("path"), "path")]

    def _read(self, column: str, field: str = "") -> list[object]:
        """Return the values of a column, or of one field of it.

        Raises:
            DataError: the file is damaged.
        """
        try:
            with self._open() as file:
                groups = (file.read_row_group(k, columns=[column]).column(0) for k in range(file.num_row_groups))
                return [value for group in groups for value in _field(group, field).to_pylist()]
        except _DAMAGED as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.path} is damaged ({error}). Copy or prepare it again.")

    def _class_names(self, labels: pd.Series[Any]) -> list[str | None]:
        """Return the name of each label; None for none, and for one that has no name, as -1 in an unlabelled split.

        Raises:
            DataError: the names are not one for each label.
        """
        numbers = all(isinstance(label, int | None) for label in labels)
        names = self._label_names() if numbers else None
        if names is not None and len(set(names)) < len(names):
            raise DataError(f"{self.path} gives one name to several labels; give each class a name of its own.")
        if names is not None:
            return [names[label] if label is not None and 0 <= label < len(names) else None for label in labels]
        if numbers:
            return [None if label is None or label < 0 else str(label) for label in labels]
        return [None if label is None or str(label).strip() in _NO_NAMES else as_seen(str(label)) for label in labels]

    def _label_names(self) -> list[str] | None:
        """Return the names that the Hugging Face ``datasets`` library keeps for the integer labels, if it wrote the file.

        Raises:
            DataError: the metadata are there but not understood.
        """
        raw = (self._schema.metadata or {}).get(b"huggingface")
        try:
            features = json.loads(raw)["info"]["features"] if raw else {}
            names = features.get(self.label, {}).get("names") or []
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{self.path} has huggingface metadata that cannot be read ({error!r}). Add a class_name column."
            ) from error
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(
                f"{self.path} has huggingface metadata with label names that are no list of texts. Add a class_name column."
            )
        return [as_seen(name) for name in names] or None


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files, among the forms in which images lie on a disk: one file, or those in a folder."""

    title: str = "parquet file"
    suffix: str | None = ".parquet"

    def recognises(self, folder: Folder) -> bool:
        """Return whether a table in a folder holds images.

        There may be tables beside class folders, of what is known of each image.
        """
        return any(map(_file_holds_images, self._tables(folder)))

    def open(self, place: Path | Folder, name: str | None = None) -> ParquetImages:
        """Return the reader of a file, or of all that a folder holds.

        Raises:
            DataError: a folder holds none.
        """
        if isinstance(place, Path):
            return ParquetImages(place, name)
        tables = self._tables(place)
        if not tables:
            raise DataError(f"{place.path} holds no parquet files.")
        beside = remains(place, lambda folder, file: folder.path / file in tables)
        return ParquetImages(list(tables), name or as_seen(place.name), place.path, beside)

    def _tables(self, folder: Folder) -> dict[Path, None]:
        files = (inner.path / file for inner in folder.all for file in inner.files)
        return {path: None for path in files if path.suffix.lower() == self.suffix}


PARQUET_FILES = ParquetFiles()


def _file_holds_images(path: Path) -> bool:
    """Whether a parquet file has a column of images; one that cannot be opened might."""
    try:
        with pq.ParquetFile(pa.OSFile(os.fspath(path))) as file:
            return any(_holds_images(file.schema_arrow, name) for name in _IMAGE)
    except _DAMAGED:
        return True


def holds_pictures(path: Path) -> bool:
    """Return whether a file is a parquet file with images, or with paths of such; one that cannot be opened might be."""
    if path.suffix.lower() != PARQUET_FILES.suffix:
        return False
    try:
        with pq.ParquetFile(pa.OSFile(os.fspath(path))) as file:
            names = set(file.schema_arrow.names)
    except _DAMAGED:
        return True
    return bool(names & {*_IMAGE, *_PATHS})


def _only_paths(schema: pa.Schema, image: str, missing: bool) -> str | None:
    """Return what to say of a table that tells where images are, and does not hold them; None of one that holds them."""
    if image and not missing:
        return None
    kinds = {name: schema.field(name).type for name in (*_IMAGE, *_PATHS) if name in schema.names}
    found = [name for name, kind in kinds.items() if _is_text(kind) or (name in _IMAGE and _is_path(kind))]
    if not found:
        return None
    return (
        f"holds only the paths of images (column {found[0]}), not the images, and no file is opened because a table names it. Put their "
        f"bytes into a column image (pandas: frame['image'] = [Path(p).read_bytes() for p in PATHS]), or the files into class folders."
    )


def _is_path(kind: pa.DataType) -> bool:
    """Whether a column is of structs that have a path, and bytes that may be missing, if any."""
    fields = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    content = fields.get("bytes", pa.null())
    return "path" in fields and (pa.types.is_null(content) or _is_binary(content))


def _name(file: Placed) -> str:
    """Return what a file's mark calls it: its place, without a folder ``data``, where shards may lie or not."""
    return file.path.name if file.place in (file.path.name, f"data/{file.path.name}") else file.place


def _field(column: pa.Array | pa.ChunkedArray, name: str) -> pa.Array | pa.ChunkedArray:
    """Return one field of a column of structs; some ways of reading give the field itself when it is the only one asked for."""
    return pc.struct_field(column, name) if pa.types.is_struct(column.type) else column


def _holds_images(schema: pa.Schema, name: str) -> bool:
    """Whether a column is binary, or a struct with binary ``bytes``; of text, files of this machine would be opened."""
    if name not in schema.names:
        return False
    kind = schema.field(name).type
    if pa.types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        return "bytes" in fields and _is_binary(fields["bytes"])
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_binary(kind.value_type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
