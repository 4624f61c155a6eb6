"""Omniglot (Lake, Salakhutdinov & Tenenbaum, Science 2015), each drawing as an image and as the way of the pen.

``images_background_small1``, ``…_small2`` and ``strokes_background_small1``, ``…_small2``, as zip archives or unpacked:
``HALF/ALPHABET/characterNN/NNNN_DD.png`` and ``.txt``. Drawings that are in both halves are taken once. The image was
drawn from the strokes: it has no information of its own. Val is the alphabet Sanskrit, test Balinese, train the rest.

A stroke file has a point ``x,y,milliseconds`` a line, in pixels with y upwards from -105 to 0, and ``BREAK`` where the
pen is lifted. A track is 32 points at equal distances along the way of the pen, lifted or not: x to the right and y
downwards from the middle of the page, of which each edge is 1, and whether the pen was lifted on the way from the point
before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transference.datasets._decode import decode, each_in_turn, to_pixels
from transference.datasets.originals._original import find
from transference.datasets.paired._paired import Modality
from transference.datasets.paired._table import PairedTable
from transference.datasets.paired.originals._original import PairedOriginal
from transference.datasets.views import invert
from transference.errors import DataError, PairingError

POINTS = 32
"""Of a track."""

_PAGE = 105
"""Pixels along each edge of the page that was drawn on."""

_HALVES = ("background_small1", "background_small2")
_SPLIT_OF = {"Sanskrit": "val", "Balinese": "test"}
_MOST_BYTES = 2**20
"""The longest stroke file has 30 kB."""


class _Drawing(NamedTuple):
    """One drawing: its class, its id, and its two files."""

    class_name: str
    drawing: str
    image: Path
    strokes: Path


def read(roots: Sequence[Path], side: int) -> PairedTable | None:
    """Return images and tracks of all drawings; class names are ``ALPHABET/characterNN``.

    Raises:
        DataError: one of the four folders is missing, or a file is damaged.
    """
    names = [f"{kind}_{half}" for half in _HALVES for kind in ("images", "strokes")]
    found = {name: folder for name in names if (folder := find(roots, name))}
    if not any(name.startswith("strokes") for name in found):
        return None
    if missing := [name for name in names if name not in found]:
        raise DataError(
            f"omniglot-strokes: {', '.join(missing)} missing beside {', '.join(found)}; all four are needed."
        )
    drawings: dict[str, _Drawing] = {}
    for half in _HALVES:
        for drawing in _drawings(found[f"images_{half}"], found[f"strokes_{half}"]):
            drawings.setdefault(drawing.drawing, drawing)  # the two halves share alphabets
    images, tracks, rows = [], [], []
    for drawing, both in each_in_turn(partial(_both, side), drawings.values()):
        image, track = both()
        images.append(image)
        tracks.append(track)
        split = _SPLIT_OF.get(drawing.class_name.partition("/")[0], "train")
        rows.append((split, drawing.class_name, drawing.drawing))
    if not rows:
        raise DataError(f"{found[names[0]]} holds no drawings.")
    modalities = (Modality("image", "image", (1, side, side)), Modality("stroke", "track", (POINTS, 3)))
    where = str(found[names[0]].parent)
    return PairedTable(where, modalities, {"image": np.stack(images), "stroke": np.stack(tracks)}, rows)


def _drawings(images: Path, strokes: Path) -> Iterator[_Drawing]:
    """Yield the drawings of one half.

    Raises:
        PairingError: some have an image without strokes, or strokes without an image.
    """
    drawn, told = _below(images, ".png"), _below(strokes, ".txt")
    for one, other, has, lacks in ((drawn, told, "image", "strokes"), (told, drawn, "strokes", "image")):
        if alone := sorted(one.keys() - other.keys()):
            raise PairingError(
                f"{images.parent}: {len(alone)} of {len(one)} drawings of {images.name} have {has} and no {lacks}, "
                f"the first is {alone[0]}. Unpack or copy the archives again."
            )
    for name, path in sorted(drawn.items()):
        yield _Drawing(name.rpartition("/")[0], name, path, told[name])


def _below(folder: Path, suffix: str) -> dict[str, Path]:
    """Return the files of drawings by ``ALPHABET/characterNN/NNNN_DD``."""
    paths = [path for path in folder.glob(f"*/*/*{suffix}") if not path.name.startswith(".")]
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def _both(side: int, drawing: _Drawing) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    where = str(drawing.image)
    return to_pixels(invert(decode(drawing.image, where), where), side, 1, where), track(drawing.strokes)


def track(path: Path) -> NDArray[np.float64]:
    """Return the way of the pen that a stroke file tells, ``[32, 3]``.

    Raises:
        DataError: the file is not of this form.
    """
    points = _points(path)
    steps, lifts = np.diff(points[:, :2], axis=0), np.diff(points[:, 2]) > 0
    lengths = np.sqrt(steps[:, 0] * steps[:, 0] + steps[:, 1] * steps[:, 1])
    way = np.concatenate([[0.0], np.cumsum(lengths)])
    at = way[-1] * (np.arange(POINTS) / (POINTS - 1))
    after = np.minimum(np.searchsorted(way, at), len(way) - 1)
    before = np.maximum(after - 1, 0)
    span = way[after] - way[before]
    share = np.where(span > 0, (at - way[before]) / np.where(span > 0, span, 1.0), 0.0)[:, None]
    # in plain steps, each rounded as IEEE 754 says: a library's interpolation may fuse them
    places = points[before, :2] + share * (points[after, :2] - points[before, :2])
    in_the_air = (way[:-1][lifts] < at[1:, None]) & (way[1:][lifts] > at[:-1, None])
    lifted = np.concatenate([[0.0], in_the_air.any(axis=1)])
    return np.stack([places[:, 0] / _PAGE - 0.5, -places[:, 1] / _PAGE - 0.5, lifted], axis=1)


def _points(path: Path) -> NDArray[np.float64]:
    """Return x, y and the number of the stroke of each point of a file.

    Raises:
        DataError: a line is no point, or there is none.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(f"{path} has {path.stat().st_size} bytes, more than any stroke file. Copy it again.")
    points: list[tuple[float, float, int]] = []
    stroke = 0
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if (word := line.strip()) in ("", "START"):
            continue
        if word == "BREAK":
            stroke += 1
            continue
        try:
            x, y, _ = map(float, word.split(","))
        except ValueError:
            raise DataError(
                f"{path}, line {number}: {word[:60]!r} is no point x,y,time. Copy the file again."
            ) from None
        if not (abs(x) < 10 * _PAGE and abs(y) < 10 * _PAGE):
            raise DataError(f"{path}, line {number}: the point {word[:60]!r} is not on the page. Copy the file again.")
        points.append((x, y, stroke))
    if not points:
        raise DataError(f"{path} tells no point of the pen. Copy the file again.")
    return np.array(points, np.float64)


OMNIGLOT_STROKES = PairedOriginal(
    name="omniglot-strokes",
    title="Omniglot with the way of the pen (Lake et al. 2015), MIT licence",
    page="https://github.com/brendenlake/omniglot",
    get="from https://github.com/brendenlake/omniglot (folder python)",
    expects="images_background_small1.zip, strokes_background_small1.zip and the same of small2, or the folders in them",
    read=read,
    archives=tuple(f"{kind}_{half}.zip" for half in _HALVES for kind in ("images", "strokes")),
    has_images=True,
)
