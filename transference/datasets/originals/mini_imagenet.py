"""mini-ImageNet (Vinyals et al. 2016) with the lists of Ravi & Larochelle (ICLR 2017): 64, 16 and 20 classes of 600 images.

``train.csv``, ``val.csv`` and ``test.csv`` (columns ``filename,label``) beside ``images.zip`` or the folder ``images``; or the caches
``mini-imagenet-cache-{train,val,test}.pkl`` (``image_data`` uint8 ``[n, side, side, 3]``, ``class_dict`` from class to positions), which
are read without running what they say.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transference.datasets._images import Picture, mark_files
from transference.datasets._names import SPLITS
from transference.datasets.intake import read_pickle
from transference.datasets.originals._original import Listed, Original, below, checksum, find, gather
from transference.datasets.views import Gathered
from transference.errors import DataError

_CACHE = "mini-imagenet-cache-{}.pkl"


def read(roots: Sequence[Path]) -> Gathered | None:
    """Return the images of the three lists, or of the three caches."""
    if find(roots, *(f"{split}.csv" for split in SPLITS)):
        lists = {split: _needed(roots, f"{split}.csv") for split in SPLITS}
        images = [image for split, path in lists.items() for image in _listed(roots, split, path)]
        return gather("mini-imagenet", lists["train"].parent, images)
    if find(roots, *(_CACHE.format(split) for split in SPLITS)):
        caches = {split: _needed(roots, _CACHE.format(split)) for split in SPLITS}
        pictures = {split: list(_cached(path)) for split, path in caches.items()}
        mark = mark_files(((split, checksum(path)), path) for split, path in caches.items())
        return Gathered("mini-imagenet", str(caches["train"].parent), pictures, mark)
    return None


def _needed(roots: Sequence[Path], name: str) -> Path:
    found = find(roots, name)
    if not found:
        raise DataError(
            f"mini-imagenet: {name} is missing in {roots[0]}; all three of train, val and test are needed. Copy it there."
        )
    return found


def _listed(roots: Sequence[Path], split: str, path: Path) -> Iterator[Listed]:
    """Yield the images of one csv list.

    Raises:
        DataError: the list is not of this form.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            if not {"filename", "label"} <= set(reader.fieldnames or ()):
                raise DataError(
                    f"{path} has the columns {', '.join(reader.fieldnames or ()) or '(none)'}; it needs filename and label."
                )
            rows = [(str(row["filename"] or "").strip(), str(row["label"] or "").strip()) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as csv ({error}). Copy the list again.") from error
    if not rows:
        raise DataError(f"{path} lists no image. Copy the list again.")
    folder = find(roots, "images") or next(
        (root for root in roots if (root / rows[0][0]).is_file()), roots[0] / "images"
    )
    for number, (name, label) in enumerate(rows, start=2):
        if not name or not label:
            raise DataError(f"{path}, line {number}: a file name and a label are needed, found {name!r} and {label!r}.")
        yield Listed(label, name, below(folder, name, path), split)


def _cached(path: Path) -> Iterator[Picture]:
    """Yield the images of one cache.

    Raises:
        DataError: the cache is not of this form.
    """
    content = read_pickle(path)
    images, classes = content.get("image_data"), content.get("class_dict")
    if (
        not isinstance(images, np.ndarray)
        or images.ndim != 4
        or images.shape[3] != 3
        or not isinstance(classes, Mapping)
    ):
        raise DataError(
            f"{path} has {', '.join(content)}; a mini-ImageNet cache has image_data uint8 [n, side, side, 3] and class_dict."
        )
    positions = {name: _positions(rows, len(images), name, path) for name, rows in classes.items()}
    if sorted(row for rows in positions.values() for row in rows) != list(range(len(images))):
        raise DataError(
            f"{path}: not every one of the {len(images)} images belongs to exactly one class. Copy the file again."
        )
    for name, rows in positions.items():
        for row in rows:
            yield Picture(name, f"{name}/{row:06d}", partial(Image.fromarray, images[row]))


def _positions(rows: Any, n: int, name: str, path: Path) -> list[int]:  # noqa: ANN401 - whatever the file holds
    if not isinstance(rows, list) or not all(isinstance(row, int) and 0 <= row < n for row in rows):
        raise DataError(f"{path}: the class {name} does not have positions among the {n} images. Copy the file again.")
    return rows


MINI_IMAGENET = Original(
    name="mini-imagenet",
    title="mini-ImageNet (Vinyals et al. 2016; splits of Ravi & Larochelle 2017), ImageNet's terms: research only",
    page="https://www.image-net.org (register there); csv lists: https://github.com/twitter-research/meta-learning-lstm/tree/master/data/miniImagenet",
    expects="train.csv, val.csv and test.csv with images.zip or a folder images; or mini-imagenet-cache-{train,val,test}.pkl",
    read=read,
    archives={"images.zip": "images"},
)
