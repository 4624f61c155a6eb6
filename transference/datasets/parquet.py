"""Parquet image files in the layout of Hugging Face image datasets.

Columns: ``image`` (a struct of ``bytes`` and ``path``) and ``label`` or ``class_name``; optional ``split``. Class names come from
``class_name``, else from the label names in the file's ``huggingface`` metadata, else they are the labels themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from transference.datasets._decode import decode
from transference.datasets._images import SPLITS, Picture, SplitSize
from transference.errors import DataError


class ParquetImages:
    """The images of one parquet file.

    Args:
        path: ``DIR/NAME.parquet``; the mode is called ``NAME``.

    Raises:
        DataError: the file is no parquet file or lacks the columns.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.where = str(path)
        self._path = path
        try:
            self._schema: pa.Schema = pq.read_schema(path)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path} cannot be read as a parquet file ({error}). Copy or prepare it again.") from error
        columns = self._schema.names
        if not _holds_images(self._schema) or not {"class_name", "label"} & set(columns):
            needed = "'image' (a struct of binary bytes and path) and one of 'class_name', 'label'"
            raise DataError(f"{path} has the columns {', '.join(columns)}; it needs {needed}.")

    def splits(self) -> dict[str, SplitSize]:
        """Return the size of each split; a file without a ``split`` column has one, called ``all``."""
        groups = self._labels.groupby("split", sort=True)["class_name"]
        sizes = {str(split): SplitSize(int(names.nunique()), len(names)) for split, names in groups}
        return {
            split: sizes[split] for split in (*(name for name in SPLITS if name in sizes), *(name for name in sizes if name not in SPLITS))
        }

    def pictures(self, split: str) -> Iterator[Picture]:
        """Yield the images of ``split``.

        Yields:
            One picture per row.

        Raises:
            DataError: the file is damaged, or a row holds no image or a damaged one.
        """
        rows = self._labels.index[self._labels["split"] == split]
        images = self._read(["image"]).column("image").take(pa.array(rows))
        paths = [path for chunk in images.chunks for path in _paths(chunk)]
        # A path is the better id, since it survives a new order of the rows; some writers leave it out or repeat it.
        unique = len(set(paths)) == len(paths) and None not in paths
        for row, class_name, image, path in zip(rows, self._labels["class_name"].iloc[rows], images, paths, strict=True):
            where = f"{self._path}, row {row} ({path})"
            content = image["bytes"].as_py() if image.is_valid else None
            if content is None:
                raise DataError(f"{where}: the row holds no image bytes; files that only point to images are not supported.")
            yield Picture(str(class_name), str(path) if unique else f"row {row}", decode(content, where))

    def _read(self, columns: list[str]) -> pa.Table:
        try:
            return pq.read_table(self._path, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self._path} is damaged ({error}). Copy or prepare it again.") from error

    @cached_property
    def _labels(self) -> pd.DataFrame:
        """One row per image: ``split`` and ``class_name`` as strings.

        Raises:
            DataError: the file is damaged, or its labels are incomplete or ambiguous.
        """
        columns = [name for name in ("class_name", "label", "split") if name in self._schema.names]
        table = self._read(columns)
        frame = pd.DataFrame({name: table.column(name).to_numpy(zero_copy_only=False) for name in columns})
        if frame.isna().any().any():
            raise DataError(f"{self._path} has rows without {' or '.join(frame.columns[frame.isna().any()])}; fill or remove them.")
        if "class_name" not in columns:
            names = self._label_names()
            known = range(len(names)) if names else frame["label"].unique()
            if bad := sorted(set(frame["label"]) - set(known)):
                raise DataError(f"{self._path} has the labels {bad[:3]}, which have no name; -1 often stands for an unlabelled split.")
            frame["class_name"] = [names[label] if names else str(label) for label in frame["label"]]
        elif "label" in columns and frame.groupby("class_name")["label"].nunique().max() > 1:
            raise DataError(f"{self._path} uses one class_name for several labels; give each class a name of its own.")
        if "split" not in columns:
            frame["split"] = "all"
        return frame[["split", "class_name"]].astype(str)

    def _label_names(self) -> list[str] | None:
        """Return the names that the Hugging Face ``datasets`` library keeps for the integer labels, if it wrote the file.

        Raises:
            DataError: the metadata are there but not understood.
        """
        raw = (self._schema.metadata or {}).get(b"huggingface")
        try:
            features = json.loads(raw)["info"]["features"] if raw else {}
            names = features.get("label", {}).get("names")
            return [str(name) for name in names] if names else None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{self._path} has huggingface metadata that cannot be read ({error!r}). Add a class_name column.") from error


def _holds_images(schema: pa.Schema) -> bool:
    """Whether the column ``image`` is a struct with binary ``bytes``; text would be taken for a path, and files of this machine opened."""
    if "image" not in schema.names or not pa.types.is_struct(kind := schema.field("image").type):
        return False
    fields = {field.name: field.type for field in kind}
    return "bytes" in fields and (pa.types.is_binary(fields["bytes"]) or pa.types.is_large_binary(fields["bytes"]))


def _paths(images: pa.StructArray) -> list[str | None]:
    """Return the file name kept with each image, or None."""
    return list(images.field("path").to_pylist()) if "path" in images.type.names else [None] * len(images)
