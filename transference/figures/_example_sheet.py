"""A sheet of examples that have several modalities: one row per class, the modalities of an example side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from transference.figures._style import COLOURS, MODES, Canvas, canvas, literal, styled, whole

_CELL = 0.55
_GAP = 0.25
"""Between two examples, as a part of a cell."""

Span = tuple[float, float]
"""The lowest and the highest value of a modality."""


def example_sheet(
    rows: Sequence[Mapping[str, NDArray[Any]]],
    kinds: Mapping[str, str],
    class_names: Sequence[str],
    *,
    on: Canvas | None = None,
) -> Figure:
    """Draw examples of paired data, one row per class: images as they are, windows as lines, tracks as strokes, values as bars.

    Heights are those of one scale for each modality, over the whole sheet.

    Args:
        rows: per class, by modality ``[n_examples, *shape]``: images uint8 ``[channels, side, side]``, windows
            ``[time, channels]``, tracks ``[time, 3]`` of x, y and whether the pen was lifted before, values ``[n]``.
        kinds: by modality, in the order of the columns: ``"image"``, ``"window"``, ``"track"`` or ``"values"``.
        class_names: one per row.
        on: as for `histogram`.
    """
    n_examples = max(len(next(iter(row.values()))) for row in rows)
    spans = {name: _span([row[name] for row in rows]) for name in kinds}
    block = [*[1.0] * len(kinds), *([_GAP] if len(kinds) > 1 else [])]
    widths = (block * n_examples)[: n_examples * len(block) - (len(kinds) > 1)]
    with styled():
        names = [literal(name) for name in class_names]
        cell = max(_CELL, 0.05 * max(len(literal(name)) for name in kinds))  # its heading has room
        width = max(1.3, 0.2 + 0.06 * max(map(len, names))) + cell * sum(widths)
        figure = canvas(width, 0.5 + _CELL * len(rows), on)
        axes: Any = figure.subplots(len(rows), len(widths), squeeze=False, width_ratios=widths)
        for ax in axes.flat:
            ax.set_axis_off()
        for line, row, class_name in zip(axes, rows, names, strict=True):
            for k in range(len(next(iter(row.values())))):
                for ax, (modality, kind) in zip(line[k * len(block) :], kinds.items(), strict=False):
                    ax.set_axis_on()
                    draw_example(ax, row[modality][k], kind, spans[modality])
            line[0].text(-0.15, 0.5, class_name, transform=line[0].transAxes, ha="right", va="center", fontsize=7)
        for k, ax in enumerate(axes[0]):
            if (place := k % len(block)) < len(kinds):
                ax.text(
                    0.5, 1.06, literal(list(kinds)[place]), transform=ax.transAxes, ha="center", va="bottom", fontsize=6
                )
    return whole(figure)


def draw_example(ax: Axes, example: NDArray[Any], kind: str, span: Span | None = None) -> None:
    """Draw one modality of one example on axes of your own.

    Args:
        ax: where.
        example: of one of the shapes that `example_sheet` tells.
        kind: ``"image"``, ``"window"``, ``"track"`` or ``"values"``.
        span: the lowest and the highest value of the axis of a window or of values; by default their own.
    """
    ax.xaxis.set_major_locator(NullLocator())
    ax.yaxis.set_major_locator(NullLocator())
    for side in ax.spines.values():
        side.set_visible(kind != "image")
        side.set_linewidth(0.4)
        side.set_color("#CCCCCC")
    _DRAW[kind](ax, example, span or _span([example[None]]))


def _image(ax: Axes, example: NDArray[Any], span: Span) -> None:
    del span
    pixels = example.transpose(1, 2, 0)
    shown = pixels if pixels.shape[2] == 3 else pixels[:, :, 0]
    ax.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def _window(ax: Axes, example: NDArray[Any], span: Span) -> None:
    for channel, values in enumerate(example.T):
        ax.plot(values, color=MODES[channel % len(MODES)], linewidth=0.6)
    ax.set_xlim(0, max(len(example) - 1, 1))
    ax.set_ylim(*span)


def _track(ax: Axes, example: NDArray[Any], span: Span) -> None:
    """Draw where the pen was down in black, where it was lifted in grey, and a dot where it began."""
    del span
    ways = np.stack([example[:-1, :2], example[1:, :2]], axis=1)
    lifted = example[1:, 2] > 0
    ax.add_collection(LineCollection([*ways[lifted]], colors="#BBBBBB", linewidths=0.4))
    ax.add_collection(LineCollection([*ways[~lifted]], colors="black", linewidths=1.0))
    ax.plot(*example[0, :2], color=COLOURS["negative"], marker=".", markersize=3)
    ax.set_xlim(-0.55, 0.55)
    ax.set_ylim(0.55, -0.55)  # downwards, as on a page
    ax.set_aspect("equal")


def _values(ax: Axes, example: NDArray[Any], span: Span) -> None:
    """Draw values as bars from zero; many of them make an area."""
    edges = np.arange(len(example) + 1)
    ax.stairs(example, edges, fill=True, color=COLOURS["positive"], linewidth=0)
    ax.axhline(0, color="black", linewidth=0.3)
    ax.set_xlim(0, len(example))
    ax.set_ylim(*span)


_DRAW: dict[str, Callable[[Axes, NDArray[Any], Span], None]] = {
    "image": _image,
    "window": _window,
    "track": _track,
    "values": _values,
}


def _span(parts: Sequence[NDArray[Any]]) -> Span:
    """Return the lowest and the highest value, zero among them, with a little room."""
    low = min(0.0, *(float(part.min()) for part in parts if part.size), 0.0)
    high = max(0.0, *(float(part.max()) for part in parts if part.size), 0.0)
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room
