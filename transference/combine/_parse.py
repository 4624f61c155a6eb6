"""Combinations by the words of the command line."""

from __future__ import annotations

import difflib
import math
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from transference.errors import UsageError

if TYPE_CHECKING:
    from transference.combine._protocol import Combination

COMBINATIONS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "mean": ("transference.combine.mean:Mean", (), 0),
    "sum": ("transference.combine.sum:Sum", (), 0),
    "uniform": ("transference.combine.uniform:Uniform", ("WEIGHT",), 1),
    "smooth-worst": ("transference.combine.smooth_worst:SmoothWorst", ("WEIGHT", "MU"), 2),
    "mgda": ("transference.combine.mgda:MGDA", (), 0),
    "pcgrad": ("transference.combine.pcgrad:PCGrad", (), 0),
    "precision": ("transference.combine.precision:Precision", ("PARTS",), 0),
}
"""By name: where what makes one is, which is imported then, its settings in their order, and how many of these must be given."""

_WHOLE = {"PARTS"}


def parse_combination(text: str) -> tuple[str, Combination]:
    """Return a combination and its name, which is the mode's, from ``mgda`` or ``smooth-worst:1,0.1``.

    Raises:
        UsageError: there is none of that name, or its settings are not as they should be.
    """
    kind, colon, given = text.strip().partition(":")
    if kind not in COMBINATIONS:
        close = difflib.get_close_matches(kind, COMBINATIONS, n=1)
        hint = f" Did you mean {form(close[0])}?" if close else ""
        raise UsageError(
            f"There is no combination {kind!r}; there are: {', '.join(map(form, COMBINATIONS))}. Others can be given from Python.{hint}"
        )
    place, settings, least = COMBINATIONS[kind]
    words = given.split(",") if colon else []
    if not least <= len(words) <= len(settings):
        raise UsageError(f"{text!r} was asked for; write it as {form(kind)}.")
    values = [_number(word, setting, text, kind) for word, setting in zip(words, settings, strict=False)]
    return f"{kind}:{','.join(map(_written, values))}" if values else kind, resolve_name(place)(*values)


def form(kind: str) -> str:
    """Return how a combination is written, such as ``smooth-worst:WEIGHT,MU``."""
    _, settings, least = COMBINATIONS[kind]
    told = ",".join(settings)
    return f"{kind}:{told}" if least else f"{kind}[:{told}]" if settings else kind


def _written(value: float) -> str:
    """Return a setting as briefly as it can be without losing a digit."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def _number(word: str, setting: str, text: str, kind: str) -> float:
    """Return a setting.

    Raises:
        UsageError: it is no number.
    """
    try:
        value: float = int(word) if setting in _WHOLE else float(word)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        wanted = "a whole number" if setting in _WHOLE else "a number"
        raise UsageError(f"{text!r} was asked for; {setting} must be {wanted}, and it is written as {form(kind)}.")
    return value
