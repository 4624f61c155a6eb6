"""Every kind of figure, in the order of ``transference plot --help`` and of the report.

Here stands what is said of them; what draws them is imported when one is drawn, and matplotlib with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transference.figures._options import BINS, CLUSTERED, CONTROLS, LIMIT, LIMITS, NAMES, RING, TREND, Option
from transference.later import Later

if TYPE_CHECKING:
    from transference.figures.requests import Description, Drawn, PlotRequest, Table

__all__ = ["BINS", "KINDS", "LIMITS", "InReport", "Kind", "Option"]


@dataclass(frozen=True)
class InReport:
    """A figure of the report.

    Attributes:
        describe: says what a table's figure shows; None where the table has nothing to draw.
        options: by name, what is not left at its default.
    """

    describe: Callable[[Table], Description | None]
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of figure. A new one is a file that draws it, and an entry of `transference.figures.kinds.KINDS`.

    Attributes:
        name: as in ``transference plot --kind NAME``.
        help: what it draws, in one line.
        draw: draws it.
        options: those that it heeds.
        every_step: whether it draws all checkpoints of a run, else one.
        every_alpha: whether it draws all step sizes of a run, else one.
        n_tables: how many tables it draws: one, or two beside each other, or either.
        in_report: the figures of this kind that the report shows of a run: for each step size (unless it draws all) and
            the last checkpoint (unless it draws all; where there are not several, all of them make no figure).
    """

    name: str
    help: str
    draw: Callable[[PlotRequest], Drawn]
    options: tuple[Option[Any], ...] = ()
    every_step: bool = False
    every_alpha: bool = False
    n_tables: tuple[int, ...] = (1,)
    in_report: tuple[InReport, ...] = ()


KINDS: tuple[Kind, ...] = (
    Kind(
        "histogram",
        "one checkpoint, a panel for each pair of modes",
        Later("transference.figures._histogram:draw"),
        options=(CONTROLS,),
        in_report=(InReport(Later("transference.figures._histogram:describe")),),
    ),
    Kind(
        "types",
        "shares of positive, neutral and negative transfer",
        Later("transference.figures._types:draw"),
        options=(RING,),
        in_report=(InReport(Later("transference.figures._types:describe")),),
    ),
    Kind(
        "blocks",
        "mean of each source mode on each target mode",
        Later("transference.figures._blocks:draw"),
        options=(LIMIT,),
        in_report=(InReport(Later("transference.figures._blocks:describe")),),
    ),
    Kind(
        "step-size",
        "every step size: first-order part of the log ratio, and curvature",
        Later("transference.figures._step_size:draw"),
        every_alpha=True,
        in_report=(InReport(Later("transference.figures._step_size:describe")),),
    ),
    Kind(
        "confidence",
        "mean log ratio of each pair of modes, as that of tempered losses and confidence",
        Later("transference.figures._confidence:draw"),
        in_report=(InReport(Later("transference.figures._confidence:describe")),),
    ),
    Kind(
        "training",
        "all checkpoints, as histograms or (--trend) as lines",
        Later("transference.figures._training:draw"),
        options=(TREND, CONTROLS),
        every_step=True,
        in_report=(
            InReport(Later("transference.figures._training:describe")),
            InReport(Later("transference.figures._training:describe_trend"), {TREND.name: True}),
        ),
    ),
    Kind(
        "matrix",
        "every source task on every target task; two runs or checkpoints on one scale",
        Later("transference.figures._matrix:draw"),
        options=(CLUSTERED, LIMIT, NAMES),
        n_tables=(1, 2),
        in_report=(InReport(Later("transference.figures._matrix:describe")),),
    ),
    Kind(
        "rows",
        "combinations of the source modes, measured and predicted by the modes' own rows",
        Later("transference.figures._rows:draw"),
        in_report=(InReport(Later("transference.figures._rows:describe")),),
    ),
    Kind(
        "compare",
        "two runs of the same tasks, or two checkpoints of one run",
        Later("transference.figures._compare:draw"),
        options=(NAMES,),
        n_tables=(2,),
    ),
)
