"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from transference.errors import UsageError
from transference.statistics import NEUTRAL_BAND

FAILED_CELLS = 3
"""Exit code of a command that is done, but for some cells that failed."""

_F = TypeVar("_F", bound=Callable[..., Any])


def episode_options(command: _F) -> _F:
    """Add the shape of an episode; None leaves it to the checkpoint, or to 5-way 1-shot 15-query at 28×28×3."""
    for name, text in (
        ("--channels", "Image channels, 1 or 3.  [default: the checkpoint's, else 3]"),
        ("--side", "Image side in pixels.  [default: the checkpoint's, else 28]"),
        ("--queries", "Query images per class.  [default: the checkpoint's, else 15]"),
        ("--shots", "Support images per class.  [default: the checkpoint's, else 1]"),
        ("--ways", "Classes per task.  [default: the checkpoint's, else 5]"),
    ):
        command = click.option(name, type=click.IntRange(1), help=text)(command)
    return command


def band_option(command: _F) -> _F:
    """Add the neutral band."""
    return click.option(
        "--neutral",
        type=(float, float),
        default=NEUTRAL_BAND,
        metavar="LOW HIGH",
        help=f"Ratios from LOW up to HIGH count as neutral.  [default: 1 {NEUTRAL_BAND[1]:.4f}, one bar of the histogram]",
    )(command)


def import_from_here() -> None:
    """Let ``module:factory`` name a file in the current folder, as ``python -m`` would."""
    if "" not in sys.path:
        sys.path.insert(0, "")


def split_modes(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list.

    Raises:
        UsageError: the list is empty, holds a name twice, or a split.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or len(set(names)) != len(names) or any(":" in name for name in names):
        raise UsageError(f"--modes {text!r} was asked for; give different dataset names without a split, for example omniglot,cifar100.")
    return names
