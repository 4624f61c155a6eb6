"""From images as people have them to a prepared file.

`preparation` finds out what lies at a place, unpacking archives if need be; `prepare` decodes it on all cores. Both keep what they have
done in ``DIR/.preparing`` until the prepared file is whole, so that a command that was killed goes on where it stopped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from transference.datasets import split_lists
from transference.datasets._decode import DECODING, each_in_turn
from transference.datasets._images import (
    MOST_FAILURES,
    DatasetReader,
    Picture,
    check_size,
    pixels_of,
    split_sizes,
    unusable,
)
from transference.datasets._opening import check_new_name
from transference.datasets._unread import unread
from transference.datasets.originals import Original, find_original, original_names
from transference.datasets.paired import prepared_pairs
from transference.datasets.prepared import Prepared, file_name, prepared_files, write
from transference.datasets.preparing._hub import fetch_from_hub
from transference.datasets.preparing._places import open_place
from transference.datasets.preparing._scratch import Scratch
from transference.datasets.preparing._twins import same_pixels
from transference.datasets.preparing._workplace import WORK, workplace
from transference.datasets.split_lists.drawn import Shares
from transference.datasets.views import Inverted, Resplit
from transference.errors import DataError, SpecMismatchError, UsageError
from transference.progress import progress_bar

__all__ = ["Preparation", "asked_original", "fetch_from_hub", "is_done", "preparation", "prepare"]

_OF_THE_MODE = {"images": None, "split_list": None, "inverted": None, "decoding": 1}
"""Settings that all prepared files of a mode must share, and what they were before they were written down."""
_OTHER_DECODING = (
    "by a version that decodes otherwise ({}, now {}; since 2, photographs are turned upright as EXIF data say)"
)


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
        empty: splits of the split list of which there are no images.
    """

    reader: DatasetReader
    data_root: Path
    side: int
    channels: int
    settings: Mapping[str, Any]
    absent: Sequence[str]
    empty: Sequence[str]

    @property
    def target(self) -> Prepared:
        """The file to make."""
        name = self.reader.name
        return Prepared(self.data_root / file_name(name, self.side, self.channels), name, self.side, self.channels)

    @property
    def n_images(self) -> int:
        """Return the number of images in all."""
        return sum(size.images for size in split_sizes(self.reader).values())

    @property
    def n_bytes(self) -> int:
        """Bytes of all pixels."""
        return self.n_images * self.channels * self.side**2


def asked_original(name: str, form: str | None) -> Original | None:
    """Return the dataset that may lie, as it is distributed, where a mode is prepared from.

    Args:
        name: the mode's name.
        form: the dataset's, by default the mode's.

    Raises:
        UsageError: the name cannot be a mode's, or there is no such form.
    """
    check_new_name(name)
    original = find_original(form or name)
    if form and not original:
        raise UsageError(
            f"No dataset {form!r} is known in the form in which it is distributed; there are: {', '.join(original_names())}."
        )
    return original


@contextmanager
def preparation(
    name: str,
    place: Path,
    data_root: Path,
    *,
    side: int = 28,
    channels: int | None = None,
    form: str | None = None,
    split_file: str | None = None,
    split: Shares | None = None,
    invert: bool = False,
    origin: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Preparation]:
    """Find out what lies at a place, and hold it for as long as the context lasts; nobody else can prepare the same mode meanwhile.

    Args:
        name: the mode's name.
        place: an archive, a folder, or a parquet file; where it holds several datasets the one called ``name`` is meant.
        data_root: where the prepared file goes.
        side: pixels along each edge.
        channels: 1 or 3; by default 3, for Omniglot 1, which serves 3 as well.
        form: the dataset that may lie there as it is distributed: omniglot, mini-imagenet, fc100, cub or aircraft; by default the one
            that is called ``name``, if any.
        split_file: a split list, see `transference.datasets.split_lists`; by default the one of the dataset, else the splits found.
        split: how many classes of all, the splits found pooled, are drawn for each split; instead of a list.
        invert: exchange light and dark.
        origin: what the file will say of where the images came from, by default the name of the place.
        say: told what takes long.

    Yields:
        What can be prepared.

    Raises:
        UsageError: the name cannot be a mode's, there is no such form, a list and shares were given, or the mode is being prepared by
            another process.
        DataError: there is no dataset at the place, it is not whole, or has too few classes for the shares.
    """
    original = asked_original(name, form)
    if split and split_file:
        raise UsageError(
            f"A split list ({split_file}) and shares to draw were both given; the split can come from only one of them."
        )
    channels = channels or (original.channels if original else 3)
    check_size(side, channels)
    if file := next(iter(prepared_pairs(data_root, name)), None):
        raise DataError(f"{name} is paired data in {file.where}; choose another name for images, or move that file.")
    with workplace(name, place, data_root) as unpacked:
        found, read = open_place(name, original, place, unpacked, say)
        listed = split_file or (original.split_list if original else None)
        reader: DatasetReader = Inverted(found) if invert else found
        absent, empty = [], []
        split_list = split_lists.read(listed) if listed and not split else None
        if split:
            split_list = split.draw({c for classes in found.classes().values() for c in classes}, found.where)
            if len(found.classes()) > 1:
                say(f"the splits found ({', '.join(found.classes())}) are pooled, and their classes are drawn anew")
        if split_list:
            reader = Resplit(reader, split_list)
            absent = split_list.absent({c for classes in found.classes().values() for c in classes})
            empty = [split for split in split_list.splits if split not in reader.classes()]
        settings = {
            "name": name,
            "from": origin or (read or place).name,
            "in_data_root": (read or place).resolve().parent == data_root.resolve(),
            "as_it_is": read is not None and not split_list and not invert,
            "images": found.mark().content,
            "side": side,
            "channels": channels,
            "split_list": f"{split_list.name} ({split_list.digest})" if split_list else None,
            "inverted": invert,
            "decoding": DECODING,
        }
        yield Preparation(reader, data_root, side, channels, settings, absent, empty)


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
        DataError: images cannot be decoded (all are counted, ten are named), or the disk has too little room.
    """
    if not force and is_done(asked):
        return asked.target
    name, n_images = asked.reader.name, asked.n_images
    if not n_images:
        raise DataError(f"{asked.reader.where} holds no images for {name}.")
    plan = json.dumps({**asked.settings, "dated": asked.reader.mark().dated, "pillow": PIL.__version__}, sort_keys=True)
    _check_room(asked)
    scratch = Scratch(asked.data_root / WORK / asked.target.path.stem, plan, asked.channels * asked.side**2)
    failures: list[str] = []
    with progress_bar(n_images, unit="img", shown=progress, initial=len(scratch.rows)) as bar, scratch:
        for (split, picture), pixels in each_in_turn(partial(_pixels, asked), scratch.remaining(_all(asked.reader))):
            try:
                done = pixels()
            except DataError as error:
                failures.append(str(error))
            else:
                if not failures:  # after one, the others are only looked at
                    scratch.add((split, picture.class_name, picture.image_id), done)
            bar.update()
    if failures:
        raise DataError(unusable(name, failures, MOST_FAILURES, n_images))
    left = unread(asked.reader)
    notes = [*left.notes, *same_pixels(scratch.rows, scratch.pixels, asked.channels * asked.side**2)]
    about = {**asked.settings, "pillow": PIL.__version__, "left_out": dict(left.splits), "notes": notes}
    try:
        write(asked.target.path, scratch.rows, scratch.pixels, asked.side, asked.channels, about)
    except DataError:
        scratch.remove()
        raise
    scratch.remove()
    return asked.target


def _all(reader: DatasetReader) -> Iterator[tuple[str, Picture]]:
    for split in reader.classes():
        for picture in reader.pictures(split):
            yield split, picture


def _pixels(asked: Preparation, item: tuple[str, Picture]) -> NDArray[np.uint8]:
    return pixels_of(asked.reader.name, asked.side, asked.channels, item[1])


def is_done(asked: Preparation) -> bool:
    """Return whether the file asked for is there; its images are not read.

    Raises:
        SpecMismatchError: a prepared file of this mode, at this or another size, is of other images, splits or shades.
    """
    done = False
    for file in prepared_files(asked.data_root, asked.reader.name):
        try:
            found = file.about
            file.classes()
        except DataError:
            continue  # a damaged file is in nobody's way
        was = {key: found.get(key, before) for key, before in _OF_THE_MODE.items()}
        keys = [key for key in _OF_THE_MODE if was[key] != asked.settings[key]]
        told = {"images": "from other images", "decoding": _OTHER_DECODING.format(was["decoding"], DECODING)}
        different = [told.get(key, f"{key} {was[key]!r}, now {asked.settings[key]!r}") for key in keys]
        if different:
            raise SpecMismatchError(
                f"{file.path} was prepared otherwise: {'; '.join(different)}. A mode is one dataset at all its sizes: choose another name, "
                "or replace the file with --force, and those of other sizes too."
            )
        done |= file == asked.target
    return done


def _check_room(asked: Preparation) -> None:
    needed, free = 2 * asked.n_bytes, shutil.disk_usage(asked.data_root).free  # the pixels as they come, and in order
    if needed > free:
        raise DataError(
            f"{asked.data_root} has {free / 1e9:.1f} GB left; preparing {asked.reader.name} needs {needed / 1e9:.1f} GB for a while."
        )
