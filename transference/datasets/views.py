"""Readers made of other readers: the same images, told or shown in another way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from PIL import Image, ImageOps

from transference.datasets._decode import plain
from transference.datasets._images import DatasetReader, Mark, Picture
from transference.datasets._unread import Unread, unread
from transference.datasets.split_lists import SplitList


@dataclass(frozen=True)
class Gathered:
    """Pictures that are listed already.

    Attributes:
        name: the mode.
        where: the place they are in.
        listed: the pictures of each split.
        of_source: the mark of where they come from.
    """

    name: str
    where: str
    listed: Mapping[str, list[Picture]]
    of_source: Mark

    def classes(self) -> dict[str, dict[str, int]]:
        """Return the number of images of each class of each split."""
        return {split: _counted(pictures) for split, pictures in self.listed.items()}

    def pictures(self, split: str) -> Iterable[Picture]:
        """Return the images of ``split``."""
        return self.listed[split]

    def mark(self) -> Mark:
        """Return the mark that came with them."""
        return self.of_source


class Resplit:
    """The images of a reader, its own splits pooled and made anew, class by class, from a list.

    Args:
        reader: where the images are.
        split_list: the split of every class.

    Raises:
        DataError: a class is not in the list.
    """

    def __init__(self, reader: DatasetReader, split_list: SplitList) -> None:
        self.name, self.where = reader.name, reader.where
        self._reader, self._list = reader, split_list
        self._found = reader.classes()
        split_list.check({name for classes in self._found.values() for name in classes}, self.where)

    def classes(self) -> dict[str, dict[str, int]]:
        """Return the number of images of each class of each split; a split of which no class is here is left out."""
        sizes: dict[str, dict[str, int]] = {split: {} for split in self._list.splits}
        for classes in self._found.values():
            for name, n in classes.items():
                if split := self._list.split_of(name):
                    sizes[split][name] = sizes[split].get(name, 0) + n
        return {split: classes for split, classes in sizes.items() if classes}

    def pictures(self, split: str) -> Iterator[Picture]:
        """Yield the images of ``split``. If several splits were pooled, an id begins with the one that its image was in.

        Yields:
            One picture per image.
        """
        for old in self._found:
            for picture in self._reader.pictures(old):
                if self._list.split_of(picture.class_name) == split:
                    known = len(self._found) == 1 or picture.image_id.startswith(f"{old}/")
                    yield Picture(
                        picture.class_name, picture.image_id if known else f"{old}/{picture.image_id}", picture.load
                    )

    def mark(self) -> Mark:
        """Return that of the images."""
        return self._reader.mark()

    def unread(self) -> Unread:
        """Return what is not read of the images; its splits are not those of the list."""
        return Unread(notes=unread(self._reader).lines)


class Inverted:
    """The images of a reader with light and dark exchanged: black ink on white paper becomes 1 on 0.

    Args:
        reader: where the images are.
    """

    def __init__(self, reader: DatasetReader) -> None:
        self.name, self.where = reader.name, reader.where
        self._reader = reader

    def classes(self) -> Mapping[str, Mapping[str, int]]:
        """Return those of the reader."""
        return self._reader.classes()

    def pictures(self, split: str) -> Iterator[Picture]:
        """Yield the images of ``split``, inverted.

        Yields:
            One picture per image.
        """
        for picture in self._reader.pictures(split):
            yield Picture(picture.class_name, picture.image_id, partial(_inverted, picture))

    def mark(self) -> Mark:
        """Return that of the images."""
        return self._reader.mark()

    def unread(self) -> Unread:
        """Return what is not read of the images."""
        return unread(self._reader)


def invert(image: Image.Image, where: str) -> Image.Image:
    """Return the image with light and dark exchanged; what shows through is paper, and white before.

    Raises:
        DataError: its pixels have no known scale.
    """
    return ImageOps.invert(plain(image, where))


def _inverted(picture: Picture) -> Image.Image:
    return invert(picture.load(), picture.image_id)


def _counted(pictures: Iterable[Picture]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for picture in pictures:
        counts[picture.class_name] = counts.get(picture.class_name, 0) + 1
    return counts
