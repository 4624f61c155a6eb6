"""From images as people have them to a prepared file.

`open_place` finds out what lies at a place, unpacking archives if need be; `prepare` decodes it on all cores. Both keep what they have
done in ``DIR/.preparing`` until the prepared file is whole, so that a command that was killed goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from tqdm import tqdm

from transference.datasets import split_lists
from transference.datasets._decode import each_in_turn
from transference.datasets._images import DatasetReader, Picture, check_size, fingerprint, pixels_of, split_sizes
from transference.datasets.folder import ClassFolders
from transference.datasets.intake import is_archive, unpack
from transference.datasets.originals import Original, find_original
from transference.datasets.parquet import ParquetImages
from transference.datasets.prepared import Prepared, Row, file_name, write
from transference.datasets.views import Inverted, Resplit
from transference.errors import DataError, SpecMismatchError, UsageError

_WORK = ".preparing"
_EVERY = 1000
_NAMED = 10


@dataclass(frozen=True)
class Preparation:
    """What is to be prepared, and how. Two preparations with equal `settings` end at the same file.

    Attributes:
        reader: the images.
        data_root: where the prepared file goes.
        side: pixels along each edge.
        channels: 1 or 3.
        settings: what the file will say of its making.
        absent: classes of the split list of which there are no images.
    """

    reader: DatasetReader
    data_root: Path
    side: int
    channels: int
    settings: Mapping[str, Any]
    absent: Sequence[str]

    @property
    def target(self) -> Prepared:
        """The file to make."""
        return Prepared(self.path, self.reader.name, self.side, self.channels)

    @property
    def path(self) -> Path:
        """Where it goes."""
        return self.data_root / file_name(self.reader.name, self.side, self.channels)

    @property
    def n_images(self) -> int:
        """Images in all."""
        return sum(size.images for size in split_sizes(self.reader).values())

    @property
    def n_bytes(self) -> int:
        """Bytes of all pixels."""
        return self.n_images * self.channels * self.side**2


@contextmanager
def preparation(
    name: str,
    place: Path,
    data_root: Path,
    *,
    side: int = 28,
    channels: int | None = None,
    split_file: str | None = None,
    invert: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Preparation]:
    """Find out what lies at a place, and hold it for as long as the context lasts; nobody else can prepare the same mode meanwhile.

    Args:
        name: the mode's name. For omniglot, mini-imagenet, fc100, cub and aircraft the form in which they are distributed is known.
        place: an archive, a folder, or a parquet file.
        data_root: where the prepared file goes.
        side: pixels along each edge.
        channels: 1 or 3; by default 3, for Omniglot 1, which serves 3 as well.
        split_file: a split list, see `transference.datasets.split_lists`; by default the one of the dataset, else the splits found.
        invert: exchange light and dark.
        say: told what takes long.

    Yields:
        What can be prepared.

    Raises:
        UsageError: the name cannot be a mode's, or the mode is being prepared by another process.
        DataError: there is no dataset at the place, or it is not whole.
    """
    original = find_original(name)
    channels = channels or (original.channels if original else 3)
    check_size(side, channels)
    if not place.exists():
        raise DataError(f"{place} does not exist; give the archive, folder or parquet file that holds {name} with --from.")
    work = data_root / _WORK
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / f"{name}.lock", timeout=0):
            found = open_place(name, place, work / "unpacked" / name, say)
            listed = split_file or (original.split_list if original else None)
            reader: DatasetReader = Inverted(found) if invert else found
            absent: list[str] = []
            split_list = split_lists.read(listed) if listed else None
            if split_list:
                reader = Resplit(reader, split_list)
                absent = split_list.absent({c for classes in found.classes().values() for c in classes})
            settings = {
                "name": name,
                "from": place.name,
                "images": found.fingerprint(),
                "side": side,
                "channels": channels,
                "split_list": f"{split_list.name} ({split_list.digest})" if split_list else None,
                "inverted": invert,
            }
            yield Preparation(reader, data_root, side, channels, settings, absent)
    except Timeout as error:
        raise UsageError(f"{name} is being prepared in {data_root} by another process; wait for it, or stop it.") from error


def open_place(name: str, place: Path, unpacked: Path, say: Callable[[str], None] = lambda _: None) -> DatasetReader:
    """Return a reader of what lies at a place.

    Args:
        name: the mode's name.
        place: an archive, a folder, or a parquet file.
        unpacked: where archives are unpacked to.
        say: told what takes long.

    Raises:
        DataError: there is no dataset, or it is not whole.
    """
    original = find_original(name)
    roots = list(_roots(place, original, unpacked, say))
    found = original.read(roots) if original else None
    return found or _plain(name, place, roots, original)


def _roots(place: Path, original: Original | None, unpacked: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """Yield the folders to look in: the place itself, and what its archives hold.

    Raises:
        DataError: the place is a file of no known kind.
    """
    if place.is_dir():
        yield place
        # Who unpacked an archive where it lay is not made to wait for it again.
        known = original.archives if original else {}
        archives = [place / file for file, folder in known.items() if (place / file).is_file() and not (place / folder).exists()]
    elif is_archive(place):
        archives = [place]
    elif place.suffix == ".parquet":
        yield place
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


def _plain(name: str, place: Path, roots: Sequence[Path], original: Original | None) -> DatasetReader:
    """Return a reader of parquet files or class folders.

    Raises:
        DataError: there are neither.
    """
    root = roots[0]
    while root.is_dir() and len(inside := _visible(root)) == 1 and inside[0].is_dir() and root != place:
        root = inside[0]  # an archive of one folder
    if root.is_file():
        return ParquetImages(root, name)
    if shards := [path for folder in (root, root / "data") for path in sorted(folder.glob("*.parquet"))]:
        return ParquetImages(shards, name)
    try:
        return ClassFolders(root, name)
    except DataError as error:
        expected = f" {original.title} is expected as {original.expects}. Or give" if original else " Give"
        raise DataError(
            f"{place} holds no dataset that can be read as {name}: {error}{expected} class folders or parquet image files."
        ) from error


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]


def prepare(asked: Preparation, *, force: bool = False, progress: bool = False) -> Prepared:
    """Decode, scale and write all images. Called again after an interruption, go on.

    Args:
        asked: what to prepare, from `preparation`.
        force: replace a file that was prepared from something else, or otherwise.
        progress: show a bar on stderr.

    Returns:
        The prepared file.

    Raises:
        SpecMismatchError: there is a prepared file of other images or settings.
        DataError: images cannot be decoded (all are named, up to ten), or the disk has too little room.
    """
    if asked.path.exists() and not force:
        _check_same(asked)
        return asked.target
    scratch = _Scratch(asked)
    failures = []
    n_failures = 0
    work = partial(_numbered_pixels, asked)
    with tqdm(total=asked.n_images, initial=scratch.done, unit="img", disable=not progress) as bar, scratch:
        for (split, picture), pixels in each_in_turn(work, scratch.remaining(_all(asked.reader))):
            try:
                scratch.add((split, picture.class_name, picture.image_id), pixels())
            except DataError as error:
                n_failures += 1
                failures += [str(error)] if n_failures <= _NAMED else []
            bar.update()
    if n_failures:
        scratch.remove()  # what is mended is another set of images
        listed = "\n".join(f"  {failure}" for failure in failures)
        raise DataError(f"{n_failures} of {asked.n_images} images of {asked.reader.name} cannot be used:\n{listed}")
    if not scratch.rows:
        raise DataError(f"{asked.reader.where} holds no images for {asked.reader.name}.")
    write(asked.path, scratch.rows, scratch.pixels, asked.side, asked.channels, {**asked.settings, "pillow": PIL.__version__})
    scratch.remove()
    shutil.rmtree(asked.data_root / _WORK / "unpacked" / asked.reader.name, ignore_errors=True)
    return asked.target


def _all(reader: DatasetReader) -> Iterator[tuple[str, Picture]]:
    for split in reader.classes():
        for picture in reader.pictures(split):
            yield split, picture


def _numbered_pixels(asked: Preparation, item: tuple[str, Picture]) -> NDArray[np.uint8]:
    return pixels_of(asked.reader.name, asked.side, asked.channels, item[1])


def _check_same(asked: Preparation) -> None:
    """Raise `SpecMismatchError` unless the file that is there is the one asked for.

    Raises:
        SpecMismatchError: it is another.
    """
    found = asked.target.about
    different = [
        f"{key} {found.get(key)!r}, now {value!r}" for key, value in asked.settings.items() if key != "from" and found.get(key) != value
    ]
    if different:
        raise SpecMismatchError(f"{asked.path} was prepared otherwise: {'; '.join(different)}. Keep it, or replace it with --force.")


class _Scratch:
    """Images that are done, in a folder that outlives an interruption: raw pixels, and one line of labels for each.

    A label is written when its pixels are safely on disk, so every label that is found again has its pixels.
    """

    def __init__(self, asked: Preparation) -> None:
        self._folder = asked.data_root / _WORK / asked.path.stem
        self.pixels, self._labels, plan = (self._folder / name for name in ("pixels", "labels", "plan.json"))
        self._n_bytes = asked.channels * asked.side**2
        told = json.dumps({**asked.settings, "pillow": PIL.__version__}, sort_keys=True)
        if not plan.exists() or plan.read_text() != told:
            self.remove()
            _check_room(asked)
            self._folder.mkdir(parents=True)
            plan.write_text(told)
        self.rows: list[Row] = self._rows()
        self._waiting: list[Row] = []

    @property
    def done(self) -> int:
        """Images that were done before."""
        return len(self.rows)

    def remaining(self, pictures: Iterator[tuple[str, Picture]]) -> Iterator[tuple[str, Picture]]:
        """Yield the pictures that are still to be done.

        Yields:
            Split and picture.

        Raises:
            DataError: those that were done are not the first ones.
        """
        for row in list(self.rows):
            split, picture = next(pictures, ("", None))
            if picture is None or row != (split, picture.class_name, picture.image_id):
                self.remove()
                raise DataError(f"{self._folder} holds other images than those found now. It is removed; repeat the command.")
        yield from pictures

    def add(self, row: Row, pixels: NDArray[np.uint8]) -> None:
        """Keep one image."""
        self._file.write(pixels.tobytes())
        self._waiting.append(row)
        if len(self._waiting) == _EVERY:
            self._flush()

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> None:
        self._file = self.pixels.open("r+b" if self.rows else "wb")
        self._file.truncate(len(self.rows) * self._n_bytes)
        self._file.seek(0, os.SEEK_END)

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        with self._labels.open("w" if not self.rows else "a") as file:
            file.writelines(json.dumps(row) + "\n" for row in self._waiting)
        self.rows += self._waiting
        self._waiting = []

    def _rows(self) -> list[Row]:
        if not self._labels.exists() or not self.pixels.exists():
            return []
        whole = self._labels.read_text().splitlines(keepends=True)
        rows = [tuple(json.loads(line)) for line in whole if line.endswith("\n")]
        rows = rows[: self.pixels.stat().st_size // self._n_bytes]
        self._labels.write_text("".join(json.dumps(row) + "\n" for row in rows))  # without the half line of a killed process
        return rows


def _check_room(asked: Preparation) -> None:
    needed, free = 2 * asked.n_bytes, shutil.disk_usage(asked.data_root).free  # the pixels as they come, and in order
    if needed > free:
        raise DataError(
            f"{asked.data_root} has {free / 1e9:.1f} GB left; preparing {asked.reader.name} needs {needed / 1e9:.1f} GB for a while."
        )
