"""Generated mode ``textures``: two crossed gratings in two colours that fill the image."""

from __future__ import annotations

import numpy as np

from transference._streams import Stream
from transference.datasets._generated import Canvas, GeneratedMode, grid


def Textures() -> GeneratedMode:
    """Return the mode. A class fixes the angles, frequencies and sharpness of the gratings; images differ in phase, angle and light."""
    return GeneratedMode("textures", _draw)


def _draw(of_class: Stream, of_image: Stream, image: int) -> Canvas:
    del image  # no hand is shared between classes here
    angles = of_class.uniform(0.0, np.pi, (2,)) + 0.08 * of_image.normal()
    frequencies = of_class.uniform(2.0, 8.0, (2,)) * of_image.uniform(0.92, 1.08)
    sharpness, balance = of_class.uniform(1.0, 6.0), of_class.uniform(0.0, 0.6)
    colours = of_class.uniform(0.15, 0.85, (2, 3)) + 0.12 * of_image.normal((2, 3))
    phases = of_image.uniform(0.0, 2 * np.pi, (2,))

    x, y = grid()
    waves = [
        np.sin(2 * np.pi * f * (x * np.cos(a) + y * np.sin(a)) + p)
        for a, f, p in zip(angles, frequencies, phases, strict=True)
    ]
    mix = 0.5 + 0.5 * np.tanh(sharpness * ((1 - balance) * waves[0] + balance * waves[1]))[..., None]
    light = of_image.uniform(0.8, 1.15)
    return np.asarray(light * (mix * colours[0] + (1 - mix) * colours[1]) + 0.03 * of_image.normal((*x.shape, 3)))
