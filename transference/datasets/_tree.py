"""A folder as it is found, each of its folders listed once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_DEEPEST = 16
_LINKS_UP_TO = 3
"""Folders may be links as deep as class folders are; deeper ones are not followed, since they could lead in circles."""

_LITTER = ("__MACOSX",)
_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, eq=False)
class Folder:
    """One folder and what is directly in it, sorted: a directory's own order differs between machines.

    Attributes:
        path: where it is.
        folders: the folders in it.
        files: the names of its files.
        hidden: names that begin with a dot, and what archives made on a Mac leave behind; not looked into.
        odd: names of what is neither file nor folder, and of folders that cannot be opened.
    """

    path: Path
    folders: tuple[Folder, ...]
    files: tuple[str, ...]
    hidden: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name of the folder itself."""
        return self.path.name

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Return the names of its files that are images."""
        return tuple(name for name in self.files if is_image(name))

    @cached_property
    def all(self) -> tuple[Folder, ...]:
        """Return this folder and all below."""
        return (self, *(inner for folder in self.folders for inner in folder.all))

    def below(self, folder: Path) -> str:
        """Return this folder's path from another one above, with a slash at its end; nothing if it is that folder."""
        relative = self.path.relative_to(folder).as_posix()
        return "" if relative == "." else f"{relative}/"


def is_image(name: str) -> bool:
    """Return whether a file is an image, by its suffix."""
    return name[max(name.rfind("."), 0) :].lower() in _SUFFIXES


def look(path: Path, depth: int = 0) -> Folder:
    """Return what a folder holds, all the way down. No file is opened.

    Raises:
        OSError: the folder itself cannot be opened.
    """
    folders, files, hidden, odd = [], [], [], []
    for entry in _sorted(path):
        if entry.name.startswith(".") or entry.name in _LITTER:
            hidden.append(entry.name)
        elif _is_folder(entry, depth):
            try:
                folders.append(look(path / entry.name, depth + 1))
            except OSError:
                odd.append(entry.name)
        elif entry.is_file() or _leads_nowhere(entry):  # such a link is told when it is read
            files.append(entry.name)
        else:
            odd.append(entry.name)
    return Folder(path, tuple(folders), tuple(files), tuple(hidden), tuple(odd))


def _sorted(path: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        return iter(sorted(entries, key=lambda entry: entry.name))


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not Path(entry.path).exists()


def _is_folder(entry: os.DirEntry[str], depth: int) -> bool:
    return depth < _DEEPEST and entry.is_dir(follow_symlinks=depth < _LINKS_UP_TO)
