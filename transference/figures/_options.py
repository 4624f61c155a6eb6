"""What kinds of figures leave to whoever draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

BINS, LIMITS = 60, (0.8, 1.3)
"""The bins of the paper's histograms."""


@dataclass(frozen=True)
class Option(Generic[T]):
    """A choice that some kinds of figures leave to whoever draws them.

    Attributes:
        name: ``--NAME`` on the command line.
        default: its value where nothing was chosen. Of a bool, False makes a flag, and None a pair of flags,
            ``--NAME`` and ``--no-NAME``.
        help: what it does, for ``--help``.
        type: of what is given on the command line.
        metavar: what stands for a value in ``--help``.
    """

    name: str
    default: T
    help: str
    type: type = bool
    metavar: str | None = None


CLUSTERED = Option("clustered", False, "put tasks that act alike beside each other, with modes as colours.")
CONTROLS: Option[bool | None] = Option(
    "controls", None, "draw the controls of the run behind the bars.  [default: where it has some]"
)
LIMIT: Option[float | None] = Option(
    "limit", None, "where the colours end, so that figures share one scale.", type=float, metavar="RATIO"
)
NAMES: Option[str | None] = Option(
    "names", None, "what the two are called.  [default: their learners or checkpoints]", type=str, metavar="A,B"
)
RING = Option("ring", False, "draw rings, as the paper does; they have no intervals.")
TREND = Option("trend", False, "draw the shares over checkpoints, as lines with intervals.")
