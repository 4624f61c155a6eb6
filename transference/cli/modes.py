"""The modes that a command was given, by the names under which they are known from then on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from transference.errors import UsageError
from transference.samplers import is_own, mode_in_order


def in_order(modes: Sequence[str], data_root: Path | None, option: str = "--modes") -> tuple[str, ...]:
    """Return modes with their modalities in full and in the data's order, under which they are known from then on.

    Raises:
        UsageError: two are the same, or one names modalities wrongly.
    """
    names = tuple(mode if is_own(mode, data_root) else mode_in_order(mode, data_root) for mode in modes)
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise UsageError(f"{option} names {twice[0]} twice ({', '.join(modes)}); name each mode once.")
    return names
