"""A folder of class folders: ``DIR/NAME/[train|val|test/]CLASS/IMAGE``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from transference.datasets._decode import decode
from transference.datasets._images import SPLITS, Picture, SplitSize
from transference.errors import DataError

_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class ClassFolders:
    """The images of one folder. With ``train``, ``val`` or ``test`` on top these are the splits; without, there is one called ``all``.

    Args:
        path: ``DIR/NAME``; the mode is called ``NAME``.

    Raises:
        DataError: the folder holds no images.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.where = str(path)
        self._path = path
        if not any(files for classes in self._files.values() for files in classes.values()):
            found = ", ".join(sorted(child.name for child in path.iterdir())[:8]) or "nothing"
            raise DataError(f"{path} holds no images in class folders (CLASS/IMAGE or train/CLASS/IMAGE); found: {found}.")

    def splits(self) -> dict[str, SplitSize]:
        """Return the size of each split."""
        return {
            split: SplitSize(sum(bool(files) for files in classes.values()), sum(map(len, classes.values())))
            for split, classes in self._files.items()
        }

    def pictures(self, split: str) -> Iterator[Picture]:
        """Yield the images of ``split``; an id is the file's path below the mode's folder.

        Yields:
            One picture per file.
        """
        for class_name, files in self._files[split].items():
            for file in files:
                yield Picture(class_name, file.relative_to(self._path).as_posix(), decode(file, str(file)))

    @cached_property
    def _files(self) -> dict[str, dict[str, list[Path]]]:
        """Image files by split and class, everything sorted: a directory's own order differs between machines."""
        present = [split for split in SPLITS if (self._path / split).is_dir()]
        roots = {split: self._path / split for split in present} or {"all": self._path}
        return {split: {folder.name: _images_in(folder) for folder in _folders_in(root)} for split, root in roots.items()}


def _folders_in(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))


def _images_in(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and not file.name.startswith("."))
