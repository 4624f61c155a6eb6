"""Generated mode ``shapes``: one coloured lobed figure, anywhere on a pale ground."""

from __future__ import annotations

import colorsys

import numpy as np

from transference._streams import Stream
from transference.datasets._generated import SIDE, Canvas, GeneratedMode, grid


def Shapes() -> GeneratedMode:
    """Return the mode. A class fixes lobes, their depth and asymmetry, a hole and the hue; images differ in place, size, turn and light."""
    return GeneratedMode("shapes", _draw)


def _draw(of_class: Stream, of_image: Stream, image: int) -> Canvas:
    del image
    lobes, depth = 2 + of_class.below(6), of_class.uniform(0.05, 0.5)
    stretch, hole = of_class.uniform(0.55, 1.0), of_class.uniform(-0.3, 0.5)
    hue = of_class.uniform(0.0, 1.0) + 0.03 * of_image.normal()

    centre, radius = of_image.uniform(0.35, 0.65, (2,)), of_image.uniform(0.26, 0.38)
    turn = of_image.uniform(0.0, 2 * np.pi)
    x, y = grid()
    across, down = x - centre[0], y - centre[1]
    u, v = across * np.cos(turn) + down * np.sin(turn), (down * np.cos(turn) - across * np.sin(turn)) / stretch
    distance, angle = np.hypot(u, v), np.arctan2(v, u)
    outline = radius * (1 - depth / 2 + depth / 2 * np.cos(lobes * angle))
    inside = np.clip((outline - distance) * SIDE + 0.5, 0, 1) * np.clip(
        (distance - hole * radius * (1 - depth)) * SIDE + 0.5, 0, 1
    )

    colour = np.array(colorsys.hsv_to_rgb(float(hue) % 1.0, 0.75, float(of_image.uniform(0.6, 0.95))))
    ground = of_image.uniform(0.8, 0.95) + 0.04 * of_image.normal((3,))
    inside = inside[..., None]
    return np.asarray(inside * colour + (1 - inside) * ground + 0.02 * of_image.normal((*x.shape, 3)))
