"""`ImageDataset`: one split of one mode, decoded once and kept as uint8."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from transference import _trees
from transference.datasets._decode import to_pixels
from transference.errors import DataError

SPLITS = ("train", "val", "test")
"""The splits that the field knows, in the order in which they are listed."""


@dataclass(frozen=True)
class ImageDataset:
    """The images of one split, grouped by class; classes in alphabetical order, images in the order of their ids.

    Attributes:
        name: the mode, e.g. ``"omniglot"``.
        split: ``"train"``, ``"val"``, ``"test"``, or ``"all"`` where the source has no splits.
        images: ``[n_images, channels, side, side]`` uint8.
        class_names: one name per class.
        starts: class ``c`` owns the images ``starts[c] … starts[c+1]-1``; one longer than ``class_names``.
        image_ids: one id per image, unique within the split.
        digest: of class names, image ids and pixels; equal exactly when these are.
    """

    name: str
    split: str
    images: Tensor
    class_names: tuple[str, ...]
    starts: tuple[int, ...]
    image_ids: tuple[str, ...]
    digest: str

    @property
    def class_sizes(self) -> tuple[int, ...]:
        """Images per class."""
        return tuple(stop - start for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True))

    def to(self, device: torch.device | str) -> ImageDataset:
        """Return the dataset with its images on ``device``, where episodes are then gathered."""
        return replace(self, images=self.images.to(device))


class Picture(NamedTuple):
    """One image as a reader finds it: its class, its id, and the pixels still to be scaled."""

    class_name: str
    image_id: str
    image: Image.Image


class SplitSize(NamedTuple):
    """How much a split holds."""

    classes: int
    images: int


class DatasetReader(Protocol):
    """Where the images of one mode come from. A new source of images is one file with one such class."""

    @property
    def name(self) -> str:
        """The mode's name on the command line."""

    @property
    def where(self) -> str:
        """The place the images are in, for lists and messages."""

    def splits(self) -> dict[str, SplitSize]:
        """Return the size of each split, without decoding anything."""

    def pictures(self, split: str) -> Iterable[Picture]:
        """Yield every image of ``split``, in any order; a damaged one raises `DataError` naming it."""


def read_split(reader: DatasetReader, split: str, side: int, channels: int) -> ImageDataset:
    """Decode one split at the asked size.

    Args:
        reader: where the images are.
        split: one of the reader's splits.
        side: pixels along each edge; images are scaled with Lanczos, whatever their aspect ratio, as the released code does.
        channels: 1 or 3; one-channel images are repeated to three.

    Raises:
        DataError: the split does not exist or is empty, an image is damaged, or colour images were asked for in one channel.
    """
    if channels not in (1, 3) or side < 1:
        raise DataError(f"Images of {side} pixels and {channels} channels were asked for; the side must be positive, the channels 1 or 3.")
    sizes = reader.splits()
    if split not in sizes:
        raise DataError(f"{reader.name} ({reader.where}) has no split {split!r}; it has {', '.join(sizes) or 'none'}.")
    pixels: list[NDArray[np.uint8]] = []
    labels: list[tuple[str, str]] = []
    for picture in reader.pictures(split):
        pixels.append(to_pixels(picture.image, side, channels, f"{reader.name}: {picture.image_id}"))
        labels.append((picture.class_name, picture.image_id))
    if not labels:
        raise DataError(f"{reader.name}:{split} ({reader.where}) holds no images.")
    return _assemble(reader.name, split, pixels, labels)


def _assemble(name: str, split: str, pixels: list[NDArray[np.uint8]], labels: list[tuple[str, str]]) -> ImageDataset:
    order = sorted(range(len(labels)), key=labels.__getitem__)
    images = torch.from_numpy(np.stack([pixels[i] for i in order]))
    classes = [labels[i][0] for i in order]
    image_ids = tuple(labels[i][1] for i in order)
    if len(set(image_ids)) != len(image_ids):
        raise DataError(f"{name}:{split} uses an image id twice; ids must be unique, or a task could not be told from another.")
    class_names = tuple(sorted(set(classes)))
    starts = (*np.searchsorted(np.array(classes), np.array(class_names)).tolist(), len(classes))
    words = torch.frombuffer(bytearray(json.dumps(sorted(labels)).encode()), dtype=torch.uint8)
    digest = _trees.digest([("labels", words), ("images", images)])
    return ImageDataset(name, split, images, class_names, starts, image_ids, digest)


def require_folder(path: Path) -> None:
    """Raise `DataError` unless ``path`` is a folder.

    Raises:
        DataError: it is not.
    """
    if not path.is_dir():
        raise DataError(f"The data root {path} is not a folder; give the folder that holds the images with --data-root.")
