"""A folder of class folders: ``DIR/NAME/[train|val|test/]CLASS/IMAGE``; ``validation`` is another word for val."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

from transference.datasets._decode import decode
from transference.datasets._images import SPLITS, Mark, Picture, mark_files, usual_split
from transference.errors import DataError

_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class ClassFolders:
    """The images of one folder. With ``train``, ``val`` or ``test`` on top these are the splits; without, there is one called ``all``.

    Args:
        path: ``DIR/NAME``.
        name: the mode's name, by default ``NAME``.

    Raises:
        DataError: the folder holds no images.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.name = name or path.name
        self.where = str(path)
        self._path = path
        if not any(self._all()):
            found = ", ".join(sorted(child.name for child in path.iterdir())[:8]) or "nothing"
            raise DataError(f"{path} holds no images in class folders (CLASS/IMAGE or train/CLASS/IMAGE); found: {found}.")

    def classes(self) -> dict[str, dict[str, int]]:
        """Return the number of images of each class of each split."""
        return {split: {name: len(files) for name, files in classes.items()} for split, classes in self._files.items()}

    def mark(self) -> Mark:
        """Return that of the files."""
        return mark_files((str(file.relative_to(self._path)), file) for file in self._all())

    def pictures(self, split: str) -> Iterator[Picture]:
        """Yield the images of ``split``; an id is the file's path below the mode's folder.

        Yields:
            One picture per file.
        """
        for class_name, files in self._files[split].items():
            for file in files:
                yield Picture(class_name, file.relative_to(self._path).as_posix(), partial(decode, file, str(file)))

    def _all(self) -> Iterator[Path]:
        for classes in self._files.values():
            for files in classes.values():
                yield from files

    @cached_property
    def _files(self) -> dict[str, dict[str, list[Path]]]:
        """Image files by split and class, everything sorted: a directory's own order differs between machines."""
        splits = {usual_split(folder.name): folder for folder in _folders_in(self._path)}
        roots = {split: splits[split] for split in SPLITS if split in splits} or {"all": self._path}
        classes = {split: {folder.name: _images_in(folder) for folder in _folders_in(root)} for split, root in roots.items()}
        return {split: {name: files for name, files in found.items() if files} for split, found in classes.items()}


def _folders_in(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))


def _images_in(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and not file.name.startswith("."))
