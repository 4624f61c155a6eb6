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
from itertools import groupby, pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from transference.datasets._decode import DECODING
from transference.datasets._images import ImageDataset, Label, assemble, content_digest, require_split
from transference.datasets._names import SPLITS
from transference.datasets._unread import Unread
from transference.errors import DataError
from transference.files import write_aside
from transference.plain import read_json

FORMAT = "transference images 1"
_FILE = re.compile(r"(?P<name>[\w.-]+)\.(?P<side>\d+)x(?P=side)x(?P<channels>[13])\.safetensors")
_CHUNK = 256

_MOST_LABELS = 2**31
"""Bytes of class names and ids: ten times those of ImageNet's fourteen million images."""

Row = tuple[str, str, str]
"""Split, class name and image id of one image."""


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
        with self._open() as file:
            return dict(self._metadata(file))

    @cached_property
    def _splits(self) -> dict[str, _Split]:
        """Return class names, ids and digests by split.

        Raises:
            DataError: they do not belong to these images.
        """
        with self._open() as file:
            shape, kind = tuple(file.get_slice("images").get_shape()), file.get_slice("images").get_dtype()
            try:
                content = read_json(file.get_tensor("labels").numpy().tobytes(), most=_MOST_LABELS)
                splits = {str(name): _Split.parse(split, {str(self.channels), "3"}) for name, split in content.items()}
            except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
                raise self._damaged(f"its labels cannot be read: {error!r}") from error
        if kind != "U8":
            raise self._damaged(f"its images are {kind}, not U8")
        n = sum(split.n_images for split in splits.values())
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
        starts = np.cumsum([0, *(found.n_images for found in self._splits.values())]).tolist()
        start, stop = list(pairwise(starts))[list(self._splits).index(split)]
        with self._open() as file:
            images: Tensor = file.get_tensor("images")
        return images[start:stop]

    def _open(self) -> Any:  # noqa: ANN401 - the library has no types
        try:
            file = safe_open(self.path, framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise self._damaged(str(error)) from error
        opened: Any = file  # the library's types are incomplete
        if self._metadata(opened).get("format") != FORMAT or set(opened.keys()) != {"images", "labels"}:
            raise self._damaged("it is no prepared dataset")
        return opened

    def _metadata(self, file: Any) -> dict[str, Any]:  # noqa: ANN401
        try:
            metadata = read_json((file.metadata() or {}).get("about", "{}"))
        except ValueError as error:
            raise self._damaged(f"its metadata cannot be read: {error}") from error
        return metadata if isinstance(metadata, dict) else {}

    def _damaged(self, why: str) -> DataError:
        return DataError(f"{self.path} is not whole ({why}). Prepare {self.name} again.")


@dataclass(frozen=True)
class _Split:
    """Classes with their image ids, and the digest for each number of channels."""

    classes: list[tuple[str, list[str]]]
    digests: dict[str, str]

    @classmethod
    def parse(cls, content: Any, served: set[str]) -> _Split:  # noqa: ANN401 - whatever the file holds
        """Return the split whose JSON form this is.

        Raises:
            TypeError: something is not text.
            ValueError: classes or ids are out of order or repeated, or digests are missing.
        """
        split = cls([(name, list(ids)) for name, ids in content["classes"]], dict(content["digests"]))
        if any(isinstance(ids, str) for _, ids in content["classes"]) or not all(
            isinstance(word, str) for word in split.words
        ):
            raise TypeError("names, ids and digests are texts")
        if set(split.digests) != served:
            raise ValueError(f"there are digests for {sorted(split.digests)} channels, not for {sorted(served)}")
        if split.labels != sorted(set(split.labels)) or len({name for name, _ in split.classes}) < len(split.classes):
            raise ValueError("classes or ids are out of order")
        return split

    @property
    def words(self) -> tuple[object, ...]:
        """Return everything that should be text."""
        return (
            *self.digests.values(),
            *(name for name, _ in self.classes),
            *(image_id for _, ids in self.classes for image_id in ids),
        )

    @property
    def labels(self) -> list[Label]:
        """Return class name and id of each image, sorted."""
        return [(name, image_id) for name, ids in self.classes for image_id in ids]

    @property
    def n_images(self) -> int:
        """Return the number of images in all."""
        return sum(len(ids) for _, ids in self.classes)


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
    rank = {split: k for k, split in enumerate(dict.fromkeys((*SPLITS, *sorted({row[0] for row in rows}))))}
    order = sorted(range(len(rows)), key=lambda i: (rank[rows[i][0]], rows[i][1:]))
    shape = (len(rows), channels, side, side)
    if len({(split, image_id) for split, _, image_id in rows}) < len(rows):
        raise DataError(
            f"{path.name}: an image id is used twice; ids must be unique in a split, or a task could not be told from another."
        )
    blank = {str(served): "-" * 32 for served in {channels, 3}}
    head, labels_at = _head(shape, _labels(rows, order, dict.fromkeys(rank, blank)), about)

    def put(aside: Path) -> None:
        with pixels.open("rb") as source, aside.open("wb") as file:
            file.write(head)
            digests = {}
            for split, group in groupby(order, key=lambda i: rows[i][0]):
                digests[split] = _copy(source, file, list(group), rows, shape[1:])
            assert file.tell() == labels_at
            file.write(_labels(rows, order, digests))

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


def _labels(rows: Sequence[Row], order: Sequence[int], digests: Mapping[str, Mapping[str, str]]) -> bytes:
    """Return the labels as JSON, whose length does not depend on what the digests are."""
    content = {}
    for split, group in groupby(order, key=lambda i: rows[i][0]):
        classes = [(name, [rows[i][2] for i in ids]) for name, ids in groupby(group, key=lambda i: rows[i][1])]
        content[split] = {"classes": classes, "digests": digests[split]}
    return json.dumps(content).encode()


def _head(shape: tuple[int, ...], labels: bytes, about: Mapping[str, Any]) -> tuple[bytes, int]:
    """Return the header of the file, and where its labels begin. The library writes from memory only, and these images need not fit."""
    n_bytes = int(np.prod(shape))
    entries = {
        "__metadata__": {"about": json.dumps({"format": FORMAT, **about})},
        "images": {"dtype": "U8", "shape": shape, "data_offsets": [0, n_bytes]},
        "labels": {"dtype": "U8", "shape": [len(labels)], "data_offsets": [n_bytes, n_bytes + len(labels)]},
    }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    return head, len(head) + n_bytes
