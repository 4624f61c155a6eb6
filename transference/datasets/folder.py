"""A folder of class folders, ``DIR/NAME/[SPLIT/]CLASS/IMAGE``; SPLIT is any word for train, val or test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from transference.datasets._decode import decode
from transference.datasets._images import Mark, Picture, mark_files
from transference.datasets._names import as_seen, composed, in_order, known_split, split_names
from transference.datasets._tree import Folder, look
from transference.datasets._unread import Unread, counted, few, remains, renamed
from transference.errors import DataError


class ClassFolders:
    """The images of one folder, in the splits that its folders are called by, or in one called ``all``.

    A folder is taken for a split where the whole makes it one: it holds class folders, and either there is another such
    split, or the class folders in it hold at least as many images as what would be classes beside it. So a class may be
    called ``test``.

    Args:
        path: ``DIR/NAME``.
        name: the mode's name, by default ``NAME``.
        tree: what the folder holds, if that is known already.

    Raises:
        DataError: the folder holds no images in class folders.
    """

    def __init__(self, path: Path, name: str | None = None, tree: Folder | None = None) -> None:
        self.name = name or as_seen(path.name)
        self.where = str(path)
        self._path = path
        self._tree = tree or look(path)
        if not any(self._all()):
            raise DataError(self._nothing())

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
                image_id = composed(file.relative_to(self._path).as_posix())
                yield Picture(class_name, image_id, partial(decode, file, str(file)))

    def unread(self) -> Unread:
        """Return what else the folder holds: other kinds of files, stray images, folders without images."""
        splits = {
            self._names[folder.name]: f"{folder.path} holds {counted(len(folder.images), 'image')} in no class folder; "
            "where they are labelled, put those of each class into a folder of its own."
            for folder in self._unlabelled
        }
        return Unread(splits, [*renamed(self._names), *self._alike(), *self._remains()])

    def _all(self) -> Iterator[Path]:
        for classes in self._files.values():
            for files in classes.values():
                yield from files

    @cached_property
    def _roots(self) -> list[Folder]:
        """The folders that are splits, or the one that holds all classes."""
        words = [folder for folder in self._tree.folders if known_split(_word(folder))]
        splits = [folder for folder in words if _nested(folder) > len(folder.images)]
        classes = [folder for folder in self._tree.folders if folder not in splits and folder.images]
        other = sum(len(folder.images) for folder in classes if folder not in words)
        several = len({known_split(_word(folder)) for folder in splits}) > 1
        if splits and (several or sum(map(_nested, splits)) >= other):
            return [*splits, *(folder for folder in classes if folder in words)]
        return [self._tree]

    @cached_property
    def _unlabelled(self) -> list[Folder]:
        """The splits that hold images, but no class folders."""
        return [folder for folder in self._roots if folder is not self._tree and not _nested(folder)]

    @cached_property
    def _names(self) -> dict[str, str]:
        """The split of each folder that is one, by the folder's name."""
        words = {folder.name: as_seen(_word(folder)) for folder in self._roots if folder is not self._tree}
        split_of = split_names(dict.fromkeys(words.values()))
        return {name: split_of[word] for name, word in words.items()}

    @cached_property
    def _classes(self) -> list[Folder]:
        """The class folders that are read."""
        found = [folder for root in self._roots for folder in root.folders if folder.images]
        if self._roots == [self._tree] and all(known_split(_word(folder)) for folder in found):
            return []  # splits without class folders, not classes called train and test
        return found

    @cached_property
    def _files(self) -> dict[str, dict[str, list[Path]]]:
        """Image files by split and class, everything sorted; classes whose names look equal are one."""
        found: dict[str, dict[str, list[Path]]] = {}
        for folder in sorted(self._classes, key=lambda folder: folder.path):
            split = self._names.get(folder.path.parent.name, "all") if self._names else "all"
            files = found.setdefault(split, {}).setdefault(as_seen(folder.name), [])
            files += [folder.path / name for name in folder.images]
        return {split: found[split] for split in in_order(found)}

    def _alike(self) -> Iterator[str]:
        """Yield what is said of class folders that are one class."""
        again: dict[tuple[Path, str], int] = {}
        for folder in self._classes:
            key = folder.path.parent, as_seen(folder.name)
            again[key] = again.get(key, 0) + 1
        if doubled := [name for (_, name), n in again.items() if n > 1]:
            yield f"folders whose names look equal are read as one class: {few(doubled)}"

    def _remains(self) -> Iterator[str]:
        """Yield what is said of everything that is in none of the class folders, or in them and no image."""
        told = {folder.path: set(folder.images) for folder in (*self._classes, *self._unlabelled)}
        yield from remains(self._tree, lambda folder, name: name in told.get(folder.path, ()), images=True)
        if empty := [folder.below(self._path).rstrip("/") for folder in self._tree.all if not _holds_images(folder)]:
            yield f"{counted(len(empty), 'folder')} without images: {few(empty)}"

    def _nothing(self) -> str:
        """Return what to say of a folder without images that can be read."""
        flat = [folder.name for folder in self._tree.folders if known_split(_word(folder)) and folder.images]
        if flat:
            return (
                f"{self._path} has images directly in {few(flat)}, which are names of splits, without class folders. "
                f"Put the images of each class into a folder of its own, {flat[0]}/CLASS/IMAGE."
            )
        found = few((child.name for child in sorted(self._path.iterdir())), 8) or "nothing"
        deep = next((folder for folder in self._tree.all if folder.images), None)
        depth = f" The first image lies at {deep.below(self._path)}{deep.images[0]}." if deep else ""
        wanted = "class folders (CLASS/IMAGE or train/CLASS/IMAGE)"
        return f"{self._path} holds no images in {wanted}; found: {found}.{depth}"


@dataclass(frozen=True)
class ClassFolderLayout:
    """Class folders, among the forms in which images lie on a disk."""

    title: str = "class folders"
    suffix: str | None = None

    def recognises(self, folder: Folder) -> bool:
        """Return whether a folder holds class folders with images."""
        try:
            self.open(folder)
        except DataError:
            return False
        return True

    def open(self, place: Path | Folder, name: str | None = None) -> ClassFolders:
        """Return the reader of a folder."""
        folder = look(place) if isinstance(place, Path) else place
        return ClassFolders(folder.path, name, folder)


CLASS_FOLDERS = ClassFolderLayout()


def _word(folder: Folder) -> str:
    """Return a folder's name, without the key of a partition (``split=train``)."""
    return folder.name.removeprefix("split=")


def _nested(folder: Folder) -> int:
    """Return the number of images that are in folders of this folder."""
    return sum(len(inner.images) for inner in folder.folders)


def _holds_images(folder: Folder) -> bool:
    """Whether there are images in a folder or anywhere below."""
    return any(inner.images for inner in folder.all)
