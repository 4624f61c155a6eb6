"""The prepared form of a dataset: every image decoded and scaled once, in one file that is opened without being read.

``DIR/NAME.84x84x3.safetensors`` holds the images of every split as uint8 ``[n, channels, side, side]``, sorted by split, class and id,
and beside them class names, ids and one digest per split. The images are mapped into memory: what is not drawn is never read. A file with
one channel serves three as well. Dataset, tasks and digest are those that the same images have when they are decoded anew, so a run does
not depend on whether its images were prepared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from transference.datasets._decode import DECODING
from transference.datasets._images import ImageDataset, assemble, content_digest, require_split
from transference.datasets._packed import (
    LABELS,
    Row,
    SplitLabels,
    in_file_order,
    labels_as_json,
    open_packed,
    place_of,
    read_labels,
)
from transference.datasets._unread import Unread
from transference.errors import DataError
from transference.files import write_aside

FORMAT = "transference images 1"
_FILE = re.compile(r"(?P<name>[\w.-]+)\.(?P<side>\d+)x(?P=side)x(?P<channels>[13])\.safetensors")
_CHUNK = 256


def file_name(name: str, side: int, channels: int) -> str:
    """Return what the prepared file of a mode at a size is called."""
    return f"{name}.{side}x{side}x{channels}.safetensors"


def prepared_files(data_root: Path, name: str | None = None) -> list[Prepared]:
    """Return the prepared files in a folder, of one mode or of all, by name and size."""
    found = [(match, path) for path in sorted(data_root.glob("*.safetensors")) if (match := _FILE.fullmatch(path.name))]
    files = [Prepared(path, match["name"], int(match["side"]), int(match["channels"])) for match, path in found]
    return sorted(
        (file for file in files if name in (None, file.name)), key=lambda file: (file.name, file.side, file.channels)
    )


@dataclass(frozen=True)
class Prepared:
    """One prepared file: the images of a mode at one size.

    Attributes:
        path: where it is.
        name: the mode.
        side: pixels along each edge.
        channels: 1 or 3.
    """

    path: Path
    name: str
    side: int
    channels: int

    @property
    def where(self) -> str:
        """Return the file, for lists and messages."""
        return str(self.path)

    @property
    def size(self) -> str:
        """Return the size of an image, in words."""
        return f"{self.side}×{self.side}, {self.channels} channel{'s' if self.channels > 1 else ''}"

    @cached_property
    def about(self) -> dict[str, Any]:
        """Return what the file was prepared from, and how."""
        file, about = self._open()
        with file:
            return about

    @cached_property
    def _splits(self) -> dict[str, SplitLabels]:
        """Return class names, ids and digests by split.

        Raises:
            DataError: they do not belong to these images.
        """
        with self._open()[0] as file:
            shape, kind = tuple(file.get_slice("images").get_shape()), file.get_slice("images").get_dtype()
            try:
                splits = read_labels(file, {str(self.channels), "3"})
            except ValueError as error:
                raise self._damaged(str(error)) from error
        if kind != "U8":
            raise self._damaged(f"its images are {kind}, not U8")
        n = sum(split.n_rows for split in splits.values())
        if shape != (n, self.channels, self.side, self.side):
            raise self._damaged(f"it holds images {list(shape)}, but labels for {n} of {self.size}")
        return splits

    def classes(self) -> dict[str, dict[str, int]]:
        """Return the number of images of each class of each split."""
        return {name: {c: len(ids) for c, ids in split.classes} for name, split in self._splits.items()}

    def unread(self) -> Unread:
        """Return what was not read when the file was prepared, and whether images are decoded otherwise now."""
        left_out, notes = self.about.get("left_out", {}), self.about.get("notes", [])
        if not isinstance(left_out, dict) or not isinstance(notes, list):
            raise self._damaged("its metadata cannot be read")
        return Unread({str(split): str(why) for split, why in left_out.items()}, [*map(str, notes), *self._older()])

    def _older(self) -> list[str]:
        """Return what to say of a file whose images were decoded in another way than now."""
        before = self.about.get("decoding", 1)
        if before == DECODING:
            return []
        return [
            f"prepared by another version, which may have decoded otherwise (decoding {before}, now {DECODING}): "
            "before 2, photographs were not turned upright as their EXIF data say. "
            f"Prepare {self.name} again with --force, or keep the file for runs that began with it"
        ]

    def digest(self, split: str, channels: int) -> str:
        """Return the digest of a split, as it was when it was prepared."""
        return str(self._splits[split].digests[str(channels)])

    def open(self, split: str, channels: int) -> ImageDataset:
        """Return a split; its images stay in the file until they are asked for.

        Args:
            split: one of the file's.
            channels: the file's; or 3, where the file has one channel, which is then repeated.

        Raises:
            DataError: there is no such split, or the file is damaged.
        """
        split = require_split(self, split)
        images = self._images(split)
        if channels > self.channels:
            images = images.expand(-1, channels, -1, -1)
        return assemble(self.name, split, self._splits[split].labels, images, self.digest(split, channels))

    def verify(self) -> list[str]:
        """Read every image and return the splits whose images or labels are not those that were prepared.

        Raises:
            DataError: the file cannot be read at all.
        """
        wrong = []
        for name, split in self._splits.items():
            images = self._images(name)
            for channels, expected in split.digests.items():
                shown = images.expand(-1, int(channels), -1, -1)
                digest = content_digest(split.labels, shown.shape)
                for start in range(0, len(shown), _CHUNK):
                    digest.feed(shown[start : start + _CHUNK])
                if digest.hexdigest() != expected:
                    wrong.append(f"{name} with {channels} channels has the digest {digest.hexdigest()}, not {expected}")
        return wrong

    def _images(self, split: str) -> Tensor:
        with self._open()[0] as file:
            images: Tensor = file.get_tensor("images")
        return images[place_of(split, self._splits)]

    def _open(self) -> tuple[Any, dict[str, Any]]:
        try:
            file, about = open_packed(self.path, FORMAT)
        except ValueError as error:
            raise self._damaged(str(error)) from error
        if set(file.keys()) != {"images", LABELS}:
            raise self._damaged("it is no prepared dataset")
        return file, about

    def _damaged(self, why: str) -> DataError:
        return DataError(f"{self.path} is not whole ({why}). Prepare {self.name} again.")


def write(path: Path, rows: Sequence[Row], pixels: Path, side: int, channels: int, about: Mapping[str, Any]) -> None:
    """Write the prepared form of images that lie in a file of raw pixels, in any order.

    Args:
        path: the file to write.
        rows: split, class name and id of each image.
        pixels: a file of one ``[channels, side, side]`` uint8 image after another.
        side: pixels along each edge.
        channels: 1 or 3.
        about: what the images were prepared from, and how.

    Raises:
        DataError: an id is used twice in a split.
    """
    order = in_file_order(rows)
    shape = (len(rows), channels, side, side)
    if len({(split, image_id) for split, _, image_id in rows}) < len(rows):
        raise DataError(
            f"{path.name}: an image id is used twice; ids must be unique in a split, or a task could not be told from another."
        )
    blank = {str(served): "-" * 32 for served in {channels, 3}}
    head, labels_at = _head(shape, labels_as_json(rows, order, dict.fromkeys((row[0] for row in rows), blank)), about)

    def put(aside: Path) -> None:
        with pixels.open("rb") as source, aside.open("wb") as file:
            file.write(head)
            digests = {}
            for split, group in groupby(order, key=lambda i: rows[i][0]):
                digests[split] = _copy(source, file, list(group), rows, shape[1:])
            assert file.tell() == labels_at
            file.write(labels_as_json(rows, order, digests))

    write_aside(path, put)


def _copy(
    source: IO[bytes], file: IO[bytes], order: Sequence[int], rows: Sequence[Row], shape: tuple[int, ...]
) -> dict[str, str]:
    """Copy the images of one split in this order, and return their digests by number of channels."""
    labels = [rows[i][1:] for i in order]
    served = [(channels, content_digest(labels, (len(order), channels, *shape[1:]))) for channels in {shape[0], 3}]
    n_bytes = int(np.prod(shape))
    for start in range(0, len(order), _CHUNK):
        part = bytearray()
        for i in order[start : start + _CHUNK]:
            source.seek(i * n_bytes)
            part += source.read(n_bytes)
        file.write(part)
        images = torch.frombuffer(part, dtype=torch.uint8).reshape(-1, *shape)
        for channels, digest in served:
            digest.feed(images.expand(-1, channels, -1, -1))
    return {str(channels): digest.hexdigest() for channels, digest in served}


def _head(shape: tuple[int, ...], labels: bytes, about: Mapping[str, Any]) -> tuple[bytes, int]:
    """Return the header of the file, and where its labels begin. The library writes from memory only, and these images need not fit."""
    n_bytes = int(np.prod(shape))
    entries = {
        "__metadata__": {"about": json.dumps({"format": FORMAT, **about})},
        "images": {"dtype": "U8", "shape": shape, "data_offsets": [0, n_bytes]},
        LABELS: {"dtype": "U8", "shape": [len(labels)], "data_offsets": [n_bytes, n_bytes + len(labels)]},
    }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    return head, len(head) + n_bytes
