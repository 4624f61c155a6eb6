"""Loss ratios as colours: a diverging scale of their logarithms, white at a ratio of 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import CenteredNorm
from numpy.typing import NDArray

from transference.errors import UsageError
from transference.figures._style import FAILED, literal

_SPAN_QUANTILE = 0.98
_X_LETTERS, _Y_LETTERS = 26, 34  # as many fit along the axes
_PLAIN = 0.09
"""Size of a log ratio from where on two digits tell it from 1."""
LABEL = "LR (blue: positive, red: negative)"


def span_of(logs: NDArray[np.float64], limit: float | None) -> float:
    """Return where a scale of log ratios ends: at the ratio ``limit``, else at the 98 % quantile of their sizes.

    A few extreme cells do not bleach the rest then.

    Raises:
        UsageError: the limit is not above 1.
    """
    if limit is not None:
        if not 1 < limit < np.inf:
            raise UsageError(
                f"A scale that ends at the ratio {limit:g} was asked for; it must be above 1, for example 1.2."
            )
        return float(np.log(limit))
    sizes = np.abs(logs[np.isfinite(logs)])
    return max(float(np.quantile(sizes, _SPAN_QUANTILE)) if len(sizes) else 0.0, 1e-3)


def shared_limit(*pairs: pd.DataFrame) -> float:
    """Return the loss ratio at which the colours of several matrices end, so that all are on one scale.

    Args:
        pairs: rows of ``Run.pairs()`` of each, or of a run at each checkpoint.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(np.concatenate([table["loss_ratio"].to_numpy(dtype=float) for table in pairs]))
    return float(np.exp(span_of(logs, None)))


def draw_heat(ax: Axes, logs: NDArray[np.float64], span: float) -> QuadMesh:
    """Draw log ratios as coloured cells, the first row on top; what is not finite shows as failed."""
    ax.set_facecolor(FAILED)  # shows through where a cell has no ratio
    mesh = ax.pcolormesh(np.ma.masked_invalid(logs), cmap="RdBu_r", norm=CenteredNorm(0.0, span), rasterized=True)
    ax.invert_yaxis()
    return mesh


def ratio_bar(
    axes: Sequence[Axes],
    meshes: Sequence[QuadMesh],
    span: float,
    **settings: Any,  # noqa: ANN401 - matplotlib's
) -> None:
    """Draw the scale of heat maps on one scale, with round ratios, and a tip at the ends that cells lie beyond.

    Args:
        axes: whose space it takes.
        meshes: what is drawn.
        span: where the colours end, as a log ratio.
        settings: of matplotlib's colour bar.
    """
    ticks = _nice_ratios(span, 1 if settings.get("location") == "bottom" else 2)
    cells = np.concatenate([np.ma.compressed(np.ma.asarray(mesh.get_array())) for mesh in meshes])
    end = span * (1 + 1e-9)  # a cell where the scale ends is not beyond it; the end went through a ratio and back
    below, above = bool((cells < -end).any()), bool((cells > end).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")
    bar = axes[0].figure.colorbar(meshes[0], ax=[*axes], label=LABEL, extend=extend, ticks=np.log(ticks), **settings)
    bar.set_ticklabels([_as_ratio(ratio) for ratio in ticks])


def _nice_ratios(span: float, each: int) -> list[float]:
    """Return round ratios around 1 for a scale that ends at ``exp(±span)``, so many on each side."""
    rounds = [1.0005, 1.001, 1.002, 1.005, 1.01, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0]
    within = [ratio for ratio in rounds if np.log(ratio) <= span][-each:]
    return [1 / ratio for ratio in reversed(within)] + [1.0] + within


def _as_ratio(ratio: float) -> str:
    """Return ``ratio`` with as many digits as tell it from 1."""
    if abs(np.log(ratio)) > _PLAIN or ratio == 1:
        return f"{ratio:.2g}" if ratio < 100 else f"{ratio:g}"
    return f"{ratio:.{max(2, int(np.ceil(-np.log10(abs(ratio - 1)) - 0.02)))}f}"


def label_modes(ax: Axes, axis: str, blocks: list[tuple[str, int, int]]) -> None:
    """Name each run of cells of one mode along an axis, with a line between them.

    Args:
        ax: where the cells are.
        axis: ``x`` or ``y``.
        blocks: mode, first position, end position.
    """
    centres, names = [(start + stop) / 2 for _, start, stop in blocks], [literal(mode) for mode, _, _ in blocks]
    if axis == "x":
        crowded = len(names) > 1 and sum(map(len, names)) > _X_LETTERS
        ax.set_xticks(centres, names, rotation=90 if crowded else 0)
    else:
        crowded = len(names) > 1 and sum(map(len, names)) > _Y_LETTERS
        ax.set_yticks(centres, names, rotation=0 if crowded else 90, va="center")
    ax.tick_params(axis=axis, length=0)  # type: ignore[arg-type]
    for _, start, _ in blocks[1:]:
        (ax.axvline if axis == "x" else ax.axhline)(start, color="black", linewidth=0.8)
