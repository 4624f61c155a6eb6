"""The forms in which the images of a mode may lie on a disk, in one table: `CONTAINERS`.

A new form is one file with a reader (`DatasetReader`) and a `Container` that says where the reader fits, and a line in
the table. Prepared files are not among them: they are what images of any form, decoded at one size, are kept in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from transference.datasets._images import DatasetReader, require_folder
from transference.datasets._names import as_seen, usable_name
from transference.datasets._tree import Folder, look
from transference.datasets.folder import CLASS_FOLDERS
from transference.datasets.parquet import PARQUET_FILES


class Container(Protocol):
    """A form in which images lie on a disk: how it is known, and what reads it."""

    @property
    def title(self) -> str:
        """Return what it is called in messages, such as "parquet file"."""

    @property
    def suffix(self) -> str | None:
        """Return the suffix of its files, of which ``NAME.parquet`` is the mode NAME; None for a layout of folders.

        Such a file is told from an archive by its suffix, so that a form that is a zip file inside is not unpacked.
        """

    def recognises(self, folder: Folder) -> bool:
        """Return whether a folder ``NAME/`` holds images in this form. No image is decoded for it."""

    def open(self, place: Path | Folder, name: str | None = None) -> DatasetReader:
        """Return a reader of a file with the suffix, or of a folder.

        Args:
            place: the file; or the folder, which may be one that no form recognises.
            name: the mode's name, by default that of the place.

        Raises:
            DataError: there are no images in this form, and why.
        """


CONTAINERS: tuple[Container, ...] = (PARQUET_FILES, CLASS_FOLDERS)
"""All forms. A folder is read in the first one that recognises it; where none does, the last one says what is wrong."""


def file_containers() -> dict[str, Container]:
    """Return the forms of which one file is a whole dataset, by suffix."""
    return {container.suffix: container for container in CONTAINERS if container.suffix is not None}


def places_of(name: str, root: Path) -> list[Path]:
    """Return the files and folders of a data root that could be the mode ``name``: those called so, else those whose usable name it is.

    Raises:
        DataError: the data root is no folder.
    """
    require_folder(root)
    children = [path for path in sorted(root.iterdir()) if path.exists()]
    wanted = {as_seen(name), *(as_seen(f"{name}{suffix}") for suffix in file_containers())}
    called = [path for path in children if as_seen(path.name) in wanted]
    return called or [path for path in children if _may_be_read(path) and name_of(path) == as_seen(name)]


def name_of(place: Path) -> str:
    """Return the name of the mode that lies at a place of a data root: that of the folder, or of the file without its suffix."""
    return usable_name(place.stem if place.suffix in file_containers() else place.name)


def _may_be_read(place: Path) -> bool:
    return place.suffix in file_containers() or (place.is_dir() and not place.name.startswith("."))


def plain_reader(place: Path, name: str | None = None) -> DatasetReader:
    """Return a reader of images in whatever form they are.

    Raises:
        DataError: the place holds images in none of the forms.
    """
    by_suffix = file_containers()
    if place.is_file():
        usual = next(iter(by_suffix.values()))  # for a file without suffix
        return by_suffix.get(place.suffix.lower(), usual).open(place, name)
    folder = look(place)
    found = next((container for container in CONTAINERS if container.recognises(folder)), None)
    return (found or _closest(folder)).open(folder, name)


def _closest(folder: Folder) -> Container:
    """Return the form of whose suffix there are files, which tells best what is wrong with them."""
    suffixes = {Path(name).suffix.lower() for inner in folder.all for name in inner.files}
    return next((container for container in CONTAINERS if container.suffix in suffixes), CONTAINERS[-1])
