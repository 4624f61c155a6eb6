"""One look for every figure: legible at one-column width, and safe for colour-blind readers (Okabe & Ito's palette)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.figure import Figure, SubFigure

from transference.errors import UsageError, in_one_line
from transference.files import write_aside

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # which matplotlib 3.9 does not have

Canvas: TypeAlias = Figure | SubFigure
"""A figure, or a part of one."""

COLOURS = {"positive": "#0072B2", "neutral": "#999999", "negative": "#D55E00"}
"""Blue where transfer is positive, vermilion where it is negative; they differ in lightness too, and print apart in grey."""

LETTERS = {"positive": "#0072B2", "neutral": "#666666", "negative": "#B84F00"}
"""The same for words and numbers, darker where they would be hard to read on white."""

MODES = ("#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#882255", "#DDCC77", "#332288")
"""Of modes, beside blue and red; the first five are of the same palette, the others of Tol's muted one."""

FAILED = "#F0E442"
"""A cell that has no ratio."""

_LONGEST = 40
"""Letters of a name."""

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
"""Settings for ``matplotlib.rc_context``."""


@contextmanager
def styled(settings: Mapping[RcKeyType, object] = {}) -> Iterator[None]:
    """Draw in our look inside the block, whatever style or settings are in force outside, and leave these as they were.

    Args:
        settings: beside `STYLE`.
    """
    with rc_context(), np.errstate(all="ignore"):
        rcdefaults()  # a style sheet, a matplotlibrc, TeX: none of them has a say in our figures
        rcParams.update({**STYLE, **settings})
        yield


def canvas(width: float, height: float, on: Canvas | None = None) -> Canvas:
    """Return where to draw: ``on``, or an empty figure of the given size in inches.

    The new figure belongs to no window, and nothing global is touched.
    """
    return Figure(figsize=(width, height), layout="constrained") if on is None else on


def whole(part: Canvas) -> Figure:
    """Return the figure that a part is of."""
    return part if isinstance(part, Figure) else part.figure


def literal(name: str) -> str:
    """Return the name of a mode or run as a figure's text: letter by letter, on one line, the middle of a very long one left out.

    Matplotlib reads what stands between two dollars as a formula, and letters that do not print would make an SVG that nobody can open.
    """
    shown = in_one_line(name)
    half = _LONGEST // 2
    return (shown if len(shown) <= _LONGEST else f"{shown[:half]}…{shown[-half:]}").replace("$", r"\$")


def check_name(path: Path) -> None:
    """Make sure that a figure can be saved under this name.

    Raises:
        UsageError: it has another ending.
    """
    if path.suffix not in (".png", ".pdf", ".svg"):
        raise UsageError(f"{path} was asked for; a figure's name ends in .png, .pdf or .svg.")


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, PDF or SVG, by the ending of its name.

    Raises:
        UsageError: the name has another ending.
    """
    path = Path(path)
    check_name(path)
    write_aside(path, lambda aside: aside.write_bytes(_drawn(figure, path.suffix[1:])))


def as_svg(figure: Figure) -> bytes:
    """Return a figure as an SVG that looks the same wherever it is opened, text drawn as shapes, and has the same bytes every time."""
    settings: dict[RcKeyType, object] = {"svg.fonttype": "path", "svg.hashsalt": "transference"}
    return _drawn(figure, "svg", settings, dated=False)


def _drawn(figure: Figure, form: str, settings: Mapping[RcKeyType, object] = {}, dated: bool = True) -> bytes:
    """Return a figure as the content of a file."""
    content = BytesIO()
    with styled(settings), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box, which says as much, once for each.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(content, format=form, metadata=None if dated else {"Date": None})
    return content.getvalue()
