"""The matrix of loss ratios, sources down and targets across."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure

from transference.figures._style import STYLE, new_figure

_SPAN_QUANTILE = 0.98
_X_LETTERS, _Y_LETTERS = 26, 34  # as many fit along the axes


def matrix(pairs: pd.DataFrame) -> Figure:
    """Draw one checkpoint and step size as a heatmap, ordered by mode.

    Args:
        pairs: rows of ``Run.pairs()`` of one checkpoint and step size.
    """
    with rc_context(STYLE):
        figure = new_figure(3.5, 3.9)
        draw_matrix(figure.subplots(), pairs)
        step, alpha = pairs["checkpoint_step"].iloc[0], pairs["alpha"].iloc[0]
        figure.suptitle(f"checkpoint {step:,}, step size α = {alpha:g}", fontsize=8)
    return figure


def draw_matrix(ax: Axes, pairs: pd.DataFrame) -> Axes:
    """Draw the log loss ratios on a diverging scale that is white at a ratio of 1; failed cells are yellow.

    The scale ends at the 98 % quantile of ``|log LR|``, so that a few extreme cells do not bleach the rest.

    Args:
        ax: where to draw.
        pairs: rows of ``Run.pairs()`` of one checkpoint and step size.
    """
    table = pairs.pivot(index="source", columns="target", values="loss_ratio")
    with np.errstate(divide="ignore"):
        logs = np.log(table.to_numpy(dtype=float))
    sizes = np.abs(logs[np.isfinite(logs)])
    span = max(float(np.quantile(sizes, _SPAN_QUANTILE)) if len(sizes) else 0.0, 1e-3)
    ax.set_facecolor("#F0E442")  # shows through where a cell has no ratio
    mesh = ax.pcolormesh(np.ma.masked_invalid(logs), cmap="RdBu_r", norm=CenteredNorm(0.0, span), rasterized=True)
    ax.invert_yaxis()
    ticks = _nice_ratios(span)
    bar = ax.figure.colorbar(mesh, ax=ax, label="loss ratio LR (blue helped, red hurt)", extend="both", shrink=0.8, ticks=np.log(ticks))
    bar.set_ticklabels([_as_ratio(ratio) for ratio in ticks])
    _label_modes(ax, "x", _mode_blocks(pairs, "target"))
    _label_modes(ax, "y", _mode_blocks(pairs, "source"))
    ax.set_xlabel("target tasks")
    ax.set_ylabel("source tasks")
    return ax


def _nice_ratios(span: float) -> list[float]:
    """Return round ratios around 1 for a scale that ends at ``exp(±span)``."""
    rounds = [1.0005, 1.001, 1.002, 1.005, 1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0]
    within = [ratio for ratio in rounds if np.log(ratio) <= span][-2:]
    return [1 / ratio for ratio in reversed(within)] + [1.0] + within


def _as_ratio(ratio: float) -> str:
    """Return ``ratio`` with as many digits as tell it from 1."""
    return f"{ratio:.2f}" if abs(ratio - 1) > 0.015 else f"{ratio:.4g}"


def _mode_blocks(pairs: pd.DataFrame, role: str) -> list[tuple[str, int, int]]:
    """Return (mode, first position, end position) of each run of tasks of one mode, in the order of their ids."""
    names = pairs.drop_duplicates(role).sort_values(role)[f"{role}_mode"].astype(str).to_numpy()
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    return [(str(names[start]), start, stop) for start, stop in pairwise(edges)]


def _label_modes(ax: Axes, axis: str, blocks: list[tuple[str, int, int]]) -> None:
    centres, names = [(start + stop) / 2 for _, start, stop in blocks], [mode for mode, _, _ in blocks]
    if axis == "x":
        crowded = len(names) > 1 and sum(map(len, names)) > _X_LETTERS
        ax.set_xticks(centres, names, rotation=90 if crowded else 0)
    else:
        crowded = len(names) > 1 and sum(map(len, names)) > _Y_LETTERS
        ax.set_yticks(centres, names, rotation=0 if crowded else 90, va="center")
    ax.tick_params(axis=axis, length=0)  # type: ignore[arg-type]
    for _, start, _ in blocks[1:]:
        (ax.axvline if axis == "x" else ax.axhline)(start, color="black", linewidth=0.8)
