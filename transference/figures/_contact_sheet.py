"""A contact sheet: what the images of a mode look like, one row per class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from transference.figures._style import Canvas, canvas, literal, styled, whole


def contact_sheet(
    images: Sequence[NDArray[np.uint8]], class_names: Sequence[str], *, on: Canvas | None = None
) -> Figure:
    """Draw images as they are, one row per class.

    Args:
        images: per class, ``[n_images, channels, side, side]`` uint8; rows may differ in length.
        class_names: one per row.
        on: as for `histogram`.
    """
    n_columns = max(len(row) for row in images)
    with styled():
        names = [literal(name) for name in class_names]
        width = max(1.3, 0.2 + 0.06 * max(map(len, names))) + 0.45 * n_columns
        figure = canvas(width, 0.3 + 0.45 * len(images), on)
        axes: Any = figure.subplots(len(images), n_columns, squeeze=False)
        for row, pictures, name in zip(axes, images, names, strict=True):
            for ax in row:
                ax.set_axis_off()
            for ax, picture in zip(row, pictures, strict=False):
                pixels = picture.transpose(1, 2, 0)
                ax.imshow(
                    pixels if pixels.shape[2] == 3 else pixels[:, :, 0],
                    cmap="gray",
                    vmin=0,
                    vmax=255,
                    interpolation="nearest",
                )
            row[0].text(-0.15, 0.5, name, transform=row[0].transAxes, ha="right", va="center", fontsize=7)
    return whole(figure)
