"""Weights of modes: how much of a training each has. What they may be, and the file that they are kept in.

The file is TOML: a table ``weights`` with a number for every mode, 0 for one that is never drawn, and, if whoever wrote it has something
to tell, a table ``about``, which is not read:

    [about]
    rule = "…"

    [weights]
    "omniglot" = 1.0
    "mix[a+b]" = 0.5
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from transference.errors import UsageError, in_one_line
from transference.files import write_aside
from transference.plain import as_number, as_record, read_toml


def read_weights(path: Path) -> dict[str, float]:
    """Return the weights in a file, by mode.

    Raises:
        UsageError: it is no such file, or a weight is no finite number from 0 on.
        OSError: it cannot be read.
    """
    try:
        content = as_record(read_toml(path.read_bytes()), "the file", ["weights"], ["weights", "about"])
        found = as_record(content["weights"], "weights")
        return {mode: as_number(weight, f"the weight of {mode}", 0.0) for mode, weight in found.items()}
    except ValueError as error:
        raise UsageError(
            f"{path} is no file of weights ({error}). Write a line for each mode below [weights], for example omniglot = 1.0."
        ) from error


def write_weights(path: Path, weights: Mapping[str, float], about: Mapping[str, str] | None = None) -> None:
    """Write weights as a file that `read_weights` reads.

    Args:
        path: of the file; one that is there is replaced.
        weights: by mode.
        about: what is to be told of them, by name.

    Raises:
        UsageError: a weight is negative or not finite, or all are zero.
    """
    check_weights(weights, tuple(weights))
    lines = ["# Weights of modes, for transference train --weights."]
    if about:
        lines += ["", "[about]", *(f"{_quoted(name)} = {_quoted(text)}" for name, text in about.items())]
    lines += ["", "[weights]", *(f"{_quoted(mode)} = {float(weight)!r}" for mode, weight in weights.items())]
    write_aside(path, lambda aside: aside.write_text("\n".join(lines) + "\n", encoding="utf-8"))


def parse_weights(text: str) -> dict[str, float]:
    """Return the weights of a text such as ``omniglot=1,fc100=0.5``.

    Raises:
        UsageError: it is none, or names a mode twice.
    """
    found: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        mode, _, number = (piece.strip() for piece in part.rpartition("="))
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not mode or math.isnan(weight):
            raise UsageError(
                f"The weights {text!r} were asked for, of which {part!r} is no weight of a mode; give a file, or for "
                "example omniglot=1,fc100=0.5."
            )
        if mode in found:
            raise UsageError(
                f"The weights {text!r} were asked for, which name {mode} twice; give each mode one weight."
            )
        found[mode] = weight
    return found


def check_weights(weights: Mapping[str, float], modes: Sequence[str]) -> None:
    """Make sure that these are weights of all these modes and of no other.

    Raises:
        UsageError: a mode has none, one is of no such mode, negative or not finite, or all are zero.
    """
    shown = ", ".join(f"{in_one_line(mode)}={weight:g}" for mode, weight in weights.items())
    if strange := [in_one_line(mode) for mode in weights if mode not in modes]:
        raise UsageError(
            f"The weights {shown} were asked for, but {', '.join(strange)} is no mode here; the modes are {', '.join(modes)}."
        )
    if missing := [mode for mode in modes if mode not in weights]:
        raise UsageError(
            f"The weights {shown} were asked for, which have none for {', '.join(missing)}; give every mode one, 0 for no tasks."
        )
    if wrong := [in_one_line(mode) for mode, weight in weights.items() if not 0 <= weight < math.inf]:
        raise UsageError(
            f"The weights {shown} were asked for; that of {', '.join(wrong)} must be a finite number from 0 on."
        )
    if not any(weights.values()):
        raise UsageError(
            f"The weights {shown} were asked for, all of them zero; give one mode at least a weight above 0."
        )


def _quoted(text: str) -> str:
    """Return a text as TOML has it: JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
