"""One look for every figure: legible at one-column width, and safe for colour-blind readers (Okabe & Ito's palette)."""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from transference.errors import UsageError

COLOURS = {"positive": "#0072B2", "neutral": "#999999", "negative": "#D55E00"}
"""Blue where the source helped, vermilion where it hurt; they differ in lightness too, and print apart in grey."""

LETTERS = {"positive": "#0072B2", "neutral": "#666666", "negative": "#B84F00"}
"""The same for words and numbers, darker where they would be hard to read on white."""

MODES = ("#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#882255", "#DDCC77", "#332288")
"""Of modes, beside blue and red; the first five are of the same palette, the others of Tol's muted one."""

FAILED = "#F0E442"
"""A cell that has no ratio."""

WORDS = {"positive": "positive (helped)", "neutral": "neutral", "negative": "negative (hurt)"}

STYLE: dict[RcKeyType, object] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of the given size in inches. It belongs to no window, and nothing global is touched."""
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, PDF or SVG, by the ending of its name.

    Raises:
        UsageError: the name has another ending.
    """
    path = Path(path)
    if path.suffix not in (".png", ".pdf", ".svg"):
        raise UsageError(f"{path} was asked for; a figure's name ends in .png, .pdf or .svg.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context(STYLE):
        figure.savefig(path)
