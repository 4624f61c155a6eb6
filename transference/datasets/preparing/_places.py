"""What lies at a place: a dataset as it is distributed, class folders, or parquet files; in archives or not."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from transference.datasets._images import SPLITS, DatasetReader, fingerprint, usual_split
from transference.datasets._opening import plain_reader
from transference.datasets.intake import is_archive, unpack
from transference.datasets.originals import Original, find_original, original_names
from transference.errors import DataError


def open_place(name: str, place: Path, unpacked: Path, say: Callable[[str], None] = lambda _: None) -> tuple[DatasetReader, bool]:
    """Return a reader of what lies at a place.

    Args:
        name: the mode's name.
        place: an archive, a folder, or a parquet file.
        unpacked: where archives are unpacked to.
        say: told what takes long.

    Returns:
        The reader, and whether the place is read as any class folders or parquet files are.

    Raises:
        DataError: there is no dataset, or it is not whole.
    """
    original = find_original(name)
    roots = list(_roots(place, original, unpacked, say))
    found = original.read(roots) if original else None
    return (found, False) if found else (_plain(name, place, roots, original), True)


def _roots(place: Path, original: Original | None, unpacked: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """Yield the folders to look in: what archives hold, then the place itself, since who unpacked an archive may have been interrupted.

    Raises:
        DataError: the place is a file of no known kind.
    """
    if place.is_dir():
        archives = [place / file for file in (original.archives if original else {}) if (place / file).is_file()]
    elif is_archive(place):
        archives = [place]
    elif place.suffix == ".parquet":
        archives = []
    else:
        raise DataError(f"{place} is no zip or tar archive (plain, gzip or bzip2), no parquet file and no folder. Is it whole?")
    for archive in archives:
        state = archive.stat()
        folder = unpacked / f"{archive.name}.{fingerprint([str(archive.resolve()), state.st_size, state.st_mtime_ns])[:12]}"
        if not folder.exists():
            say(f"unpacking {archive}")
            unpack(archive, folder)
        yield folder
    if place not in archives:
        yield place


def _plain(name: str, place: Path, roots: Sequence[Path], original: Original | None) -> DatasetReader:
    """Return a reader of parquet files or class folders.

    Raises:
        DataError: there are neither.
    """
    root = roots[-1]
    while root != place and len(inside := _visible(root)) == 1 and inside[0].is_dir() and usual_split(inside[0].name) not in SPLITS:
        root = inside[0]  # an archive of one folder
    try:
        return plain_reader(root, name)
    except DataError as error:
        if original:
            expected = f" {original.title} is expected as {original.expects}."
        else:
            close = difflib.get_close_matches(name.lower(), original_names(), n=1)
            expected = f" Did you mean the dataset {close[0]}?" if close else ""
        raise DataError(f"{place} holds no dataset that can be read as {name}: {error}{expected}") from error


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
