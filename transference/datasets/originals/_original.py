"""What is known of a dataset in the form in which it is distributed."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from PIL import Image

from transference.datasets._decode import decode
from transference.datasets._images import Picture, mark_files
from transference.datasets.intake import Remote
from transference.datasets.views import Gathered
from transference.errors import DataError


@dataclass(frozen=True)
class Original:
    """One dataset: how it looks, how to read it, where to get it.

    Attributes:
        name: the mode's name.
        title: what it is, and whose.
        page: where to read about it, its terms included.
        expects: what ``read`` looks for, in words.
        read: returns the images found in any of these folders, or None if there is nothing of this layout; raises `DataError` if something
            of it is missing.
        archives: file names as distributed, and the folder that each unpacks to.
        remotes: the archives' addresses; none where only a person may download them.
        split_list: which class belongs to which split; None where the layout itself says it.
        channels: 1 if all images are grey.
    """

    name: str
    title: str
    page: str
    expects: str
    read: Callable[[Sequence[Path]], Gathered | None]
    archives: Mapping[str, str] = field(default_factory=dict)
    remotes: tuple[Remote, ...] = ()
    split_list: str | None = None
    channels: int = 3


@dataclass(frozen=True)
class Listed:
    """One image of a list: its class, its id, its file, in its split if the layout knows splits."""

    class_name: str
    image_id: str
    path: Path
    split: str = "all"


def gather(
    name: str, folder: Path, images: Iterable[Listed], load: Callable[[Path, str], Image.Image] = decode
) -> Gathered:
    """Return a reader of listed files.

    Args:
        name: the mode.
        folder: where they are, for messages.
        images: the list.
        load: decodes a file, given its path and how to name it.

    Raises:
        DataError: a file is not there, or listed twice.
    """
    listed = list(images)
    missing = [image.path for image in listed if not image.path.is_file()]
    if missing:
        raise DataError(
            f"{name}: {len(missing)} of {len(listed)} listed images are not there, the first is {missing[0]}. "
            "Unpack or copy the dataset again."
        )
    twice = [image_id for image_id, n in Counter(image.image_id for image in listed).items() if n > 1]
    if twice:
        raise DataError(
            f"{name}: {len(twice)} images are listed twice, the first is {twice[0]}. An image belongs to one class of one split."
        )
    pictures: dict[str, list[Picture]] = {}
    for image in listed:
        picture = Picture(image.class_name, image.image_id, partial(load, image.path, str(image.path)))
        pictures.setdefault(image.split, []).append(picture)
    mark = mark_files(((image.split, image.class_name, image.image_id), image.path) for image in listed)
    return Gathered(name, str(folder), pictures, mark)


def checksum(path: Path) -> int:
    """Return a checksum of a file's content, against changes by accident."""
    found = 0
    with path.open("rb") as file:
        while part := file.read(2**20):
            found = zlib.crc32(part, found)
    return found


def find(roots: Sequence[Path], *names: str) -> Path | None:
    """Return the first of these files or folders that one of the roots has, or is."""
    for root in roots:
        for name in names:
            if (root / name).exists():
                return root / name
            if root.name == PurePosixPath(name).name and root.is_dir():
                return root
    return None


def lines(path: Path, columns: int) -> list[list[str]]:
    """Return the lines of a list of words, each cut into ``columns``; the last takes the rest of the line.

    Raises:
        DataError: the file is not there, is no text, or a line has fewer words.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); it comes with the dataset. Unpack or copy it again."
        ) from error
    rows = [line.strip().split(maxsplit=columns - 1) for line in text.splitlines() if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) < columns:
            raise DataError(
                f"{path}, line {number}: {columns} words are needed, found {' '.join(row)!r}. Unpack or copy it again."
            )
    return rows


def below(folder: Path, name: str, where: Path) -> Path:
    """Return the file of this name below a folder.

    Raises:
        DataError: the name leads out of the folder.
    """
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or "\\" in name or "\0" in name:
        raise DataError(f"{where} names the image {name!r}, which is not inside {folder}. Is it the original list?")
    return folder / relative
