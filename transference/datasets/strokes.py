"""Generated mode ``strokes``: characters of pen strokes, white ink on black, each image by another drawer's hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transference._streams import Stream
from transference.datasets._generated import SIDE, Canvas, GeneratedMode, grid

_POINTS_PER_STROKE = 24


def Strokes() -> GeneratedMode:
    """Return the mode. A class is a character of two to four strokes; image ``k`` of every class is written by drawer ``k``."""
    return GeneratedMode("strokes", _draw)


def _draw(of_class: Stream, of_image: Stream, image: int) -> Canvas:
    strokes = 2 + of_class.below(3)
    control = of_class.uniform(0.12, 0.88, (strokes, 4, 2))  # cubic Bézier control points
    control = control + 0.025 * of_image.normal(control.shape)  # nobody writes the same character twice
    hand = Stream("strokes", "hand", image)
    points = _written_by(hand, _bezier(control).reshape(-1, 2))
    thickness = float(hand.uniform(0.028, 0.055))
    x, y = grid()
    # x is the same along each column and y along each row: squares of [points, SIDE] are enough
    across, down = (x[0] - points[:, :1]) ** 2, (y[:, 0] - points[:, 1:]) ** 2
    distance = np.sqrt((across[:, None, :] + down[:, :, None]).min(axis=0))
    return np.asarray((thickness - distance) * SIDE + 0.5)  # one pixel of soft edge


def _bezier(control: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points along cubic curves, ``[strokes, points, 2]``, from control points ``[strokes, 4, 2]``."""
    t = np.linspace(0.0, 1.0, _POINTS_PER_STROKE)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    return np.asarray(np.einsum("pk,skd->spd", weights, control))


def _written_by(hand: Stream, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn, slant, scale and shift ``[n, 2]`` points about the middle of the page, as this drawer does."""
    angle, slant = hand.uniform(-0.25, 0.25), hand.uniform(-0.3, 0.3)
    size = hand.uniform(0.75, 1.05, (2,))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[1.0, slant], [0.0, 1.0]])
    return np.asarray((points - 0.5) * size @ (turn @ shear).T + 0.5 + hand.uniform(-0.05, 0.05, (2,)))
