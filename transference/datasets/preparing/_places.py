"""What lies at a place: a dataset as it is distributed, or images in any form (`CONTAINERS`); in archives or not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from transference.datasets._containers import CONTAINERS, file_containers, places_of, plain_reader
from transference.datasets._images import DatasetReader, fingerprint
from transference.datasets._names import as_seen, known_split
from transference.datasets._parts import datasets_among
from transference.datasets._tree import look
from transference.datasets._unread import few
from transference.datasets.folder import CLASS_FOLDERS
from transference.datasets.intake import is_archive, unpack
from transference.datasets.originals import Original, find_original, original_names
from transference.datasets.paired._columns import SUFFIXES as TABLES
from transference.errors import DataError, UsageError

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2")
PAIRED = ".npz"
"""The suffix of tables of paired data that hold no images."""


def open_place(
    name: str, original: Original | None, place: Path, unpacked: Path, say: Callable[[str], None] = lambda _: None
) -> tuple[DatasetReader, Path | None]:
    """Return a reader of what lies at a place; in a folder of several datasets only the one that is called so is meant.

    Args:
        name: the mode's name.
        original: the dataset that may lie there as it is distributed.
        place: an archive, a folder, or a file.
        unpacked: where archives are unpacked to.
        say: told what takes long, and what of a folder is not meant.

    Returns:
        The reader, and the place, or the one in it, that is read as any images are; None for a dataset of its own form.

    Raises:
        UsageError: what is called so is paired data.
        DataError: there is no dataset, or it is not whole, or two are called so.
    """
    archives, suffixes = (original.archives if original else ()), file_containers()
    roots = list(look_in(place, archives, suffixes, unpacked, say))
    if found := original.read(roots) if original else None:
        return replace(found, name=name), None
    root = _inmost(place, roots[-1])
    if root.is_dir() and (meant := called(dict.fromkeys([name, original.name if original else name]), root, archives)):
        say(f"{name} is {meant.name} of {place}{_others(meant)}")
        reader, read = open_place(name, original, meant, unpacked, say)
        return reader, read if place.is_dir() else read and place
    if root.is_dir() and (several := datasets_among(root.rglob("*.parquet"), root)):
        say(
            f"note: the names of {len(several)} parquet files are not those of one dataset ({few(several, 6)}); all are "
            f"read as {name}. If one is meant, give it with --from."
        )
    return _plain(name, place, root, roots, original), place


def called(names: Iterable[str], folder: Path, archives: Collection[str] = ()) -> Path | None:
    """Return what of a folder is meant by a name: the file, folder or archive called so; None if the whole folder is.

    Args:
        names: of the mode; the first is asked for first.
        folder: where to look.
        archives: what lies in the folder of a dataset as it is distributed.

    Raises:
        UsageError: it is a file of paired data.
        DataError: two are called so.
    """
    for name in names:
        if known_split(name):  # train.parquet is a split of what lies there
            continue
        here = [path for path in places_of(name, folder) if _is_dataset(path, archives)]
        if not here and not CLASS_FOLDERS.recognises(look(folder)):  # which may have an archive of them beside them
            here = [path for path in _visible(folder) if _without_suffix(path) == as_seen(name)]
        if len(here) > 1:
            raise DataError(
                f"Both {' and '.join(map(str, sorted(here)))} could be {name}; give the one that is meant with --from."
            )
        if here and here[0].suffix == PAIRED:
            raise UsageError(
                f"{here[0]} holds arrays of paired data; say what is what in them with --paired FILE.toml."
            )
        if here:
            return here[0]
    return None


def table_called(name: str, place: Path) -> Path:
    """Return the table of paired data that is meant: the place, or of a folder the file that is called so.

    Raises:
        DataError: a folder holds none that is called so, or two.
    """
    if not place.is_dir():
        return place
    tables = [path for path in sorted(_visible(place)) if path.suffix in TABLES and path.is_file()]
    here = [path for path in tables if as_seen(path.stem) == as_seen(name)]
    if len(here) > 1:
        raise DataError(f"Both {' and '.join(map(str, here))} could be {name}; give the one that is meant with --from.")
    if not here:
        found = f"; there are {few((path.name for path in tables), 6)}" if tables else ""
        raise DataError(
            f"{place} holds no {' or '.join(f'{name}{suffix}' for suffix in TABLES)}{found}. "
            "Give the file that is meant with --from."
        )
    return here[0]


def _is_dataset(path: Path, archives: Collection[str]) -> bool:
    """Whether a file or folder of a folder is a dataset of its own; class folders are not."""
    if not path.is_dir():
        return path.suffix in file_containers()
    folder = look(path)
    nested = sum(len(inner.images) for inner in folder.folders)
    known = any((path / name).exists() for name in archives)
    return known or (len(folder.images) <= nested and any(container.recognises(folder) for container in CONTAINERS))


def _without_suffix(path: Path) -> str | None:
    """Return the name of what an archive, or a table of paired data, holds; None of other files."""
    suffix = next((suffix for suffix in (*ARCHIVES, PAIRED) if path.name.lower().endswith(suffix)), None)
    return as_seen(path.name[: -len(suffix)]) if suffix and path.is_file() else None


def _others(meant: Path) -> str:
    others = [path.name for path in sorted(_visible(meant.parent)) if path != meant]
    return f"; not read: {few(others)}" if others else ""


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


def _inmost(place: Path, root: Path) -> Path:
    """Return the folder that an archive of one folder holds; of other places the root itself."""
    while (
        root != place and len(inside := _visible(root)) == 1 and inside[0].is_dir() and not known_split(inside[0].name)
    ):
        root = inside[0]
    return root


def _plain(name: str, place: Path, root: Path, roots: Sequence[Path], original: Original | None) -> DatasetReader:
    """Return a reader of images that are in no layout of their own.

    Raises:
        DataError: there are none.
    """
    try:
        return plain_reader(root, name)
    except DataError as error:
        if original:
            expected = f" {original.title} is expected as {original.expects}."
        else:
            expected = "".join(
                f" It looks like {found} as it is distributed: add --form {found}." for found in _forms(place, roots)
            )
        told = str(error).replace(str(root), str(place))  # what was unpacked is removed
        unpack_first = f" For that, unpack {place.name} first." if root != place and "--from" in told else ""
        raise DataError(
            f"{place} holds no dataset that can be read as {name}: {told}{unpack_first}{expected}"
        ) from error


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
