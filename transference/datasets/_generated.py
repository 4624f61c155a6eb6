"""What the generated modes share: class counts, splits, and the order of drawing.

A generated mode draws image ``k`` of class ``c`` from the streams at ``(mode, "class", c)`` and ``(mode, "image", c, k)``, so any
image can be drawn alone and again. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transference._streams import Stream
from transference.datasets._images import Mark, Picture

SIDE = 28
"""Pixels along each edge of a drawn image."""

_IMAGES_PER_CLASS = 30
_CLASSES = {"train": range(64), "val": range(64, 80), "test": range(80, 100)}

Canvas = NDArray[np.float64]
"""An image in [0, 1]: ``[SIDE, SIDE]`` grey or ``[SIDE, SIDE, 3]`` colour."""


class Drawing(Protocol):
    """A mode's way to draw: what is fixed for a class, then one image of it."""

    def __call__(self, of_class: Stream, of_image: Stream, image: int) -> Canvas:
        """Return image number ``image`` of the class that ``of_class`` describes."""


@dataclass(frozen=True)
class GeneratedMode:
    """A mode that is drawn, not read.

    Attributes:
        name: the mode's name, part of every stream's address.
        draw: how one image is drawn.
    """

    name: str
    draw: Drawing
    where: ClassVar[str] = "generated"

    def classes(self) -> dict[str, dict[str, int]]:
        """Return 64, 16 and 20 classes of 30 images."""
        return {
            split: {f"{self.name}-{c:03d}": _IMAGES_PER_CLASS for c in classes} for split, classes in _CLASSES.items()
        }

    def mark(self) -> Mark:
        """Return the name: what is drawn never changes."""
        return Mark(self.name, self.name, 0.0)

    def pictures(self, split: str) -> Iterator[Picture]:
        """Yield the images of ``split``.

        Yields:
            One picture per image.
        """
        for c in _CLASSES[split]:
            for k in range(_IMAGES_PER_CLASS):
                yield Picture(f"{self.name}-{c:03d}", f"{self.name}-{c:03d}-{k:02d}", partial(self._image, c, k))

    def _image(self, c: int, k: int) -> Image.Image:
        canvas = self.draw(Stream(self.name, "class", c), Stream(self.name, "image", c, k), k)
        return Image.fromarray(np.rint(np.clip(canvas, 0.0, 1.0) * 255.0).astype(np.uint8))


@lru_cache(maxsize=1)
def grid() -> tuple[Canvas, Canvas]:
    """Return the pixel centres' x (to the right) and y (downwards) in [0, 1], each ``[SIDE, SIDE]``; made once, and read-only."""
    centres = (np.mgrid[0:SIDE, 0:SIDE] + 0.5) / SIDE
    centres.flags.writeable = False
    y, x = centres
    return x, y
