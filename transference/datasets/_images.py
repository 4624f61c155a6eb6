"""`ImageDataset`: one split of one mode, decoded once and kept as uint8."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from transference import _trees
from transference.addresses import refuse_address
from transference.datasets._decode import each_in_turn, to_pixels
from transference.datasets._names import find_split
from transference.datasets._opened import Opened
from transference.datasets._unread import unread
from transference.errors import DataError

MOST_FAILURES = 10
"""Images that are named in a message, where some cannot be used."""

Label = tuple[str, str]
"""Class name and image id."""


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
        opened: how another process can open it; None of images that were put together by hand.
    """

    name: str
    split: str
    images: Tensor
    class_names: tuple[str, ...]
    starts: tuple[int, ...]
    image_ids: tuple[str, ...]
    digest: str
    opened: Opened | None = field(default=None, repr=False, compare=False)

    @cached_property
    def class_sizes(self) -> tuple[int, ...]:
        """Return the number of images of each class."""
        return tuple(stop - start for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True))

    def to(self, device: torch.device | str) -> ImageDataset:
        """Return the dataset with its images on ``device``, where episodes are then gathered."""
        moved = self.images.to(device)
        again = self.opened.moved([moved]) if self.opened and self.opened.gives([self.images]) else None
        return replace(self, images=moved, opened=again)


@dataclass(frozen=True)
class Picture:
    """One image as a reader finds it: its class, its id, and how to decode it, which is done later and on any core."""

    class_name: str
    image_id: str
    load: Callable[[], Image.Image]


class SplitSize(NamedTuple):
    """The size of a split."""

    classes: int
    images: int


class Mark(NamedTuple):
    """What tells images from changed ones without decoding them.

    Attributes:
        content: a digest of names and sizes, or of the content where that is read anyway; it survives copying.
        dated: a digest of the same and of the times of writing, which does not.
        newest: the last time of writing, in seconds since the epoch.
    """

    content: str
    dated: str
    newest: float


class Classified(Protocol):
    """Something that knows its classes."""

    def classes(self) -> Mapping[str, Mapping[str, int]]:
        """Return the number of images of each class of each split, without decoding anything."""


class Located(Classified, Protocol):
    """Something that knows its name and place as well."""

    @property
    def name(self) -> str:
        """The mode's name on the command line."""

    @property
    def where(self) -> str:
        """The place the images are in, for lists and messages."""


class DatasetReader(Located, Protocol):
    """Where the images of one mode come from. A new place of images is one file with one such class.

    A reader that leaves out anything of what it finds has a method ``unread() -> Unread`` too, which says so.
    """

    def pictures(self, split: str) -> Iterable[Picture]:
        """Yield every image of ``split``, always in the same order; a damaged one raises `DataError`, naming it, when it is loaded."""

    def mark(self) -> Mark:
        """Return, quickly, what changes when the images do."""


def split_sizes(reader: Classified) -> dict[str, SplitSize]:
    """Return how many classes and images each split has."""
    return {
        split: SplitSize(sum(n > 0 for n in sizes.values()), sum(sizes.values()))
        for split, sizes in reader.classes().items()
    }


def check_size(side: int, channels: int) -> None:
    """Raise `DataError` unless images can have this size.

    Raises:
        DataError: they cannot.
    """
    if channels not in (1, 3) or side < 1:
        raise DataError(
            f"Images of {side} pixels and {channels} channels were asked for; the side must be positive, the channels 1 or 3."
        )


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
    check_size(side, channels)
    split = require_split(reader, split)
    pixels: list[NDArray[np.uint8]] = []
    labels: list[Label] = []
    failures: list[str] = []
    for picture, image in each_in_turn(partial(pixels_of, reader.name, side, channels), reader.pictures(split)):
        try:
            pixels.append(image())
        except DataError as error:
            failures.append(str(error))
            if len(failures) == MOST_FAILURES:  # every image of a wrong kind would be one
                break
        labels.append((picture.class_name, picture.image_id))
    if failures:
        several = unusable(f"{reader.name}:{split}", failures, MOST_FAILURES)
        raise DataError(several if len(failures) > 1 else failures[0])
    if not labels:
        raise DataError(f"{reader.name}:{split} ({reader.where}) holds no images.")
    order = sorted(range(len(labels)), key=labels.__getitem__)
    images = torch.from_numpy(np.stack([pixels[i] for i in order]))
    ordered = [labels[i] for i in order]
    digest = content_digest(ordered, images.shape)
    digest.feed(images)
    return assemble(reader.name, split, ordered, images, digest.hexdigest())


def unusable(what: str, failures: Sequence[str], most: int, n: int | None = None) -> str:
    """Return what to say of images that cannot be used; the first are named, and all counted if all ``n`` were tried."""
    enough = n is None and len(failures) >= most
    total = f"{'At least ' if enough else ''}{len(failures)}{f' of {n}' if n else ''}"
    others = [f"… and {len(failures) - most} more"] if len(failures) > most else []
    return f"{total} images of {what} cannot be used:" + "".join(f"\n  {line}" for line in (*failures[:most], *others))


def require_split(reader: Located, split: str) -> str:
    """Return the name of the split asked for, by whatever word.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    splits, left_out = reader.classes(), unread(reader).splits
    found = find_split(split, [*splits, *left_out])
    if found in left_out and found not in splits:
        raise DataError(f"{reader.name}:{found} cannot be used: {left_out[found]}")
    if found not in splits:
        raise DataError(no_split(reader.name, reader.where, split, splits))
    return found


def no_split(name: str, where: str, split: str, splits: Iterable[str]) -> str:
    """Return what to say where a split does not exist."""
    found = list(splits)
    hint = (
        f" To split it by class: transference datasets prepare {name} --split 0.6,0.2,0.2 …, or --split-file FILE."
        if found == ["all"]
        else ""
    )
    return f"{name} ({where}) has no split {split!r}; it has {', '.join(found) or 'none'}.{hint}"


def pixels_of(name: str, side: int, channels: int, picture: Picture) -> NDArray[np.uint8]:
    """Return one image of the mode ``name`` as ``[channels, side, side]`` uint8."""
    return to_pixels(picture.load(), side, channels, f"{name}: {picture.image_id}")


def assemble(name: str, split: str, labels: Sequence[Label], images: Tensor, digest: str) -> ImageDataset:
    """Return the dataset whose images have these labels.

    Args:
        name: the mode.
        split: its split.
        labels: ``(class name, image id)`` of each image, sorted.
        images: ``[n_images, channels, side, side]`` uint8.
        digest: of labels and images.

    Raises:
        DataError: an image id is used twice.
    """
    image_ids = tuple(image_id for _, image_id in labels)
    if len(set(image_ids)) != len(image_ids):
        raise DataError(
            f"{name}:{split} uses an image id twice; ids must be unique, or a task could not be told from another."
        )
    sizes = Counter(class_name for class_name, _ in labels)
    return ImageDataset(name, split, images, tuple(sizes), (0, *accumulate(sizes.values())), image_ids, digest)


def content_digest(labels: Sequence[Label], shape: Sequence[int]) -> _trees.Digest:
    """Return the digest of sorted labels and of images of this shape, to which the images are still to be fed."""
    words = torch.frombuffer(bytearray(json.dumps(labels).encode()), dtype=torch.uint8)
    digest = _trees.Digest()
    digest.begin("labels", words.dtype, words.shape)
    digest.feed(words)
    digest.begin("images", torch.uint8, shape)
    return digest


def fingerprint(parts: Iterable[object]) -> str:
    """Return a digest of the parts' JSON form, whatever their order."""
    lines = sorted(json.dumps(part) for part in parts)
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def mark_files(files: Iterable[tuple[object, Path]]) -> Mark:
    """Return the mark of files, each given with whatever else its image depends on.

    Raises:
        DataError: a file is not there.
    """
    states = []
    for about, path in files:
        try:
            state = path.stat()
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}). Copy it again, or remove it.") from error
        states.append((about, state.st_size, state.st_mtime_ns))
    newest = max((written for *_, written in states), default=0) / 1e9
    return Mark(fingerprint(state[:2] for state in states), fingerprint(states), newest)


def require_folder(path: Path) -> None:
    """Raise `DataError` unless ``path`` is a folder.

    Raises:
        DataError: it is not.
        UsageError: it is an address.
    """
    if not path.is_dir():
        refuse_address(path)
        raise DataError(
            f"The data root {path} is not a folder; give the folder that holds the images with --data-root."
        )
