"""What lies at a place: a dataset as it is distributed, or images in any form (`CONTAINERS`); in archives or not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from transference.datasets._containers import file_containers, plain_reader
from transference.datasets._images import DatasetReader, fingerprint
from transference.datasets._names import known_split
from transference.datasets.intake import is_archive, unpack
from transference.datasets.originals import Original, find_original, original_names
from transference.errors import DataError


def open_place(
    name: str, original: Original | None, place: Path, unpacked: Path, say: Callable[[str], None] = lambda _: None
) -> tuple[DatasetReader, bool]:
    """Return a reader of what lies at a place.

    Args:
        name: the mode's name.
        original: the dataset that may lie there as it is distributed.
        place: an archive, a folder, or a file.
        unpacked: where archives are unpacked to.
        say: told what takes long.

    Returns:
        The reader, and whether the place is read as any images are, not as a dataset of its own form.

    Raises:
        DataError: there is no dataset, or it is not whole.
    """
    archives, suffixes = (original.archives if original else ()), file_containers()
    roots = list(look_in(place, archives, suffixes, unpacked, say))
    found = original.read(roots) if original else None
    return (replace(found, name=name), False) if found else (_plain(name, place, roots, original), True)


def look_in(
    place: Path, archives: Iterable[str], suffixes: Collection[str], unpacked: Path, say: Callable[[str], None]
) -> Iterator[Path]:
    """Yield the folders to look in: what archives hold, then the place itself, since who unpacked an archive may have been interrupted.

    Args:
        place: an archive, a folder, or a file.
        archives: names of those that are unpacked where the place is a folder.
        suffixes: of files that are read as they are.
        unpacked: where archives are unpacked to.
        say: told what takes long.

    Yields:
        Folders, or the file itself.

    Raises:
        DataError: the place is a file of no known kind.
    """
    if place.is_dir():
        found = [place / file for file in archives if (place / file).is_file()]
    elif place.suffix in suffixes:
        found = []
    elif is_archive(place):
        found = [place]
    else:
        files = "".join(f", no {suffix[1:]} file" for suffix in suffixes)
        raise DataError(f"{place} is no zip or tar archive (plain, gzip or bzip2){files} and no folder. Is it whole?")
    for archive in found:
        state = archive.stat()
        folder = (
            unpacked / f"{archive.name}.{fingerprint([str(archive.resolve()), state.st_size, state.st_mtime_ns])[:12]}"
        )
        if not folder.exists():
            say(f"unpacking {archive}")
            unpack(archive, folder)
        yield folder
    if place not in found:
        yield place


def _plain(name: str, place: Path, roots: Sequence[Path], original: Original | None) -> DatasetReader:
    """Return a reader of images that are in no layout of their own.

    Raises:
        DataError: there are none.
    """
    root = roots[-1]
    while (
        root != place and len(inside := _visible(root)) == 1 and inside[0].is_dir() and not known_split(inside[0].name)
    ):
        root = inside[0]  # an archive of one folder
    try:
        return plain_reader(root, name)
    except DataError as error:
        if original:
            expected = f" {original.title} is expected as {original.expects}."
        else:
            expected = "".join(
                f" It looks like {found} as it is distributed: add --form {found}." for found in _forms(place, roots)
            )
        raise DataError(f"{place} holds no dataset that can be read as {name}: {error}{expected}") from error


def _forms(place: Path, roots: Sequence[Path]) -> Iterator[str]:
    """Yield the datasets that seem to lie there as they are distributed."""
    for name in original_names():
        if original := find_original(name):
            try:
                found = any(
                    place.name == file or (place / file).is_file() for file in original.archives
                ) or original.read(roots)
            except DataError:  # it lacks something, but it is of this form
                found = True
            if found:
                yield name


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
