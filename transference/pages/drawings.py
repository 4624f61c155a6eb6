"""Examples that are no images, as lines: windows of a signal, the way of a pen, plain numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 100.0, 60.0
"""Of a drawing, in the units of its paths."""

_MOST_LINES = 8
"""Channels of a window that are drawn."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Drawing:
    """One example as the paths of an SVG, each ``d`` of a path element, in a plot of 100 × 60 whose y points down.

    Attributes:
        kind: that of its modality: ``"window"`` with a path per channel, ``"track"`` with one of all strokes, or ``"values"`` with one
            of a bar per number.
        paths: their data.
        zero: where the line of zero stands, None where there is none.
        stroke: width of the lines.
    """

    kind: str
    paths: tuple[str, ...]
    zero: float | None = None
    stroke: float = 1.5

    @property
    def box(self) -> str:
        """The view box: a square around a track, the whole plot around all else."""
        left, width = ((WIDTH - HEIGHT) / 2, HEIGHT) if self.kind == "track" else (0.0, WIDTH)
        return f"{left - 2:g} -2 {width + 4:g} {HEIGHT + 4:g}"


def draw(kind: str, examples: Values) -> list[Drawing]:
    """Return each example as a drawing, all on one scale.

    Args:
        kind: of the modality.
        examples: ``[n, time, channels]`` of windows and tracks, ``[n, values]`` of numbers; what is not finite is left out.
    """
    drawer = _KINDS.get(kind)
    if drawer is None or not examples.size:
        return []
    return drawer(np.asarray(examples, dtype=np.float64))


def _windows(examples: Values) -> list[Drawing]:
    heights, zero = _heights(examples)
    x = np.linspace(0.0, WIDTH, examples.shape[1]) if examples.shape[1] > 1 else np.array([WIDTH / 2])
    return [Drawing("window", tuple(_line(x, channel) for channel in of.T[:_MOST_LINES]), zero) for of in heights]


def _bars(examples: Values) -> list[Drawing]:
    heights, zero = _heights(examples)
    middle = (np.arange(examples.shape[1]) + 0.5) * WIDTH / examples.shape[1]
    return [
        Drawing(
            "values",
            ("".join(f"M{x:.4g} {zero:.4g}V{y:.4g}" for x, y in zip(middle, of, strict=True) if np.isfinite(y)),),
            zero,
            round(0.7 * WIDTH / examples.shape[1], 3),
        )
        for of in heights
    ]


def _tracks(examples: Values) -> list[Drawing]:
    """Return the ways of a pen, all in one square, x to the right and y downwards, a new stroke where the pen was lifted."""
    ends = [_ends(examples[..., axis]) for axis in (0, 1)]
    scale = HEIGHT / max(high - low for low, high in ends)
    middle = [(low + high) / 2 for low, high in ends]
    at = (examples[..., :2] - middle) * scale + [WIDTH / 2, HEIGHT / 2]
    return [
        Drawing("track", (_line(way[:, 0], way[:, 1], of[:, 2] > 0.5),), stroke=2.5)
        for way, of in zip(at, examples, strict=True)
    ]


def _line(x: Values, y: Values, lifted: NDArray[np.bool_] | None = None) -> str:
    """Return the path through some points, broken where the pen was lifted before a point, or one is not finite."""
    path, down = "", False
    for k, point in enumerate(zip(x, y, strict=True)):
        if not np.isfinite(point).all():
            down = False
            continue
        down = down and not (lifted is not None and lifted[k])
        path += f"{'L' if down else 'M'}{point[0]:.4g} {point[1]:.4g}"
        if not down and lifted is not None:
            path += "h0"  # which shows a stroke of a single point as a dot
        down = True
    return path


def _heights(examples: Values) -> tuple[Values, float]:
    """Return numbers as heights in the plot, and that of zero, which every plot has."""
    low, high = _ends(np.append(examples, 0.0))
    return HEIGHT * (high - examples) / (high - low), float(HEIGHT * high / (high - low))


def _ends(values: Values) -> tuple[float, float]:
    """Return the least and the largest finite number, never the same."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


_KINDS: dict[str, Callable[[Values], list[Drawing]]] = {"window": _windows, "track": _tracks, "values": _bars}
