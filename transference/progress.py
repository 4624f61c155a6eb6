"""How far long work is: a bar that is redrawn on a terminal; elsewhere, as in a batch job's log, a line every few percent."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from tqdm import tqdm

if TYPE_CHECKING:
    Bar: TypeAlias = tqdm[NoReturn]
else:
    Bar = tqdm  # which is generic to type checkers alone

_SHARE = 0.05
"""Of the whole, between two lines of a log."""

_SILENCE, _UNKNOWN = 600.0, 30.0
"""Seconds after which there is a line anyway, and between two lines where the whole is not known."""

_FORM = "{desc}{percentage:.0f} %, {n_fmt} of {total_fmt} {unit}, {elapsed} so far, {remaining} to go{postfix}"
_FORM_UNKNOWN = "{desc}{n_fmt} {unit}, {elapsed} so far{postfix}"


class _Lines(Bar):
    """A bar that leaves lines behind instead of being redrawn."""

    def __init__(self, *, initial: int, **settings: Any) -> None:  # noqa: ANN401 - tqdm's
        self._told_n: float = initial
        self._told_at = time.monotonic()
        super().__init__(initial=initial, **settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line if one is due; where the bar would stand does not matter."""
        del msg, pos
        silent = time.monotonic() - self._told_at
        further = self.n - self._told_n
        if silent >= (_SILENCE if self.total else _UNKNOWN) or (self.total and further >= _SHARE * self.total):
            self._tell()

    def clear(self, nolock: bool = False) -> None:
        """Do nothing: what is written stays."""

    def close(self) -> None:
        """Write how far it came, unless that was the last line."""
        if not self.disable and self.n != self._told_n:
            self._tell()
        self.sp = None  # nothing is drawn any more
        super().close()

    def _tell(self) -> None:
        self._told_n, self._told_at = self.n, time.monotonic()
        self.bar_format = _FORM if self.total else _FORM_UNKNOWN
        self.fp.write(f"{self}\n")
        self.fp.flush()


def progress_bar(
    total: int | None, *, unit: str, shown: bool, initial: int = 0, unit_scale: bool = False, desc: str | None = None
) -> Bar:
    """Return tqdm's bar on stderr where that is a terminal, else one that writes lines, with time so far and to go.

    Args:
        total: of units; None where it is not known.
        unit: what is counted.
        shown: whether anything is shown.
        initial: units that were done before.
        unit_scale: write thousands as k, millions as M.
        desc: what is going on.
    """
    terminal = sys.stderr is not None and sys.stderr.isatty()
    kind: type[Bar] = tqdm if terminal else _Lines
    return kind(
        total=total, unit=unit, disable=not shown, initial=initial, unit_scale=unit_scale, desc=desc, mininterval=0.5,
        file=sys.stderr,
    )  # fmt: skip
