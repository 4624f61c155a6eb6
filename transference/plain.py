"""JSON and TOML that somebody may have written by hand: read in bounded time and memory, values checked for kind and range.

Every function raises ``ValueError`` with a message that names the value; whoever reads the file adds the file's name and what to do.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from reprlib import Repr
from typing import Any

MOST_BYTES = 2**24
"""Of a JSON text by default: a thousand times what a long one has."""

_MOST_SETTINGS = 2**16
"""Bytes of the largest TOML text that is read."""

_DEEP_KEY = re.compile(r"(?:[^\s.=,]{1,50}\s{0,5}\.\s{0,5}){100}")
"""A key of so many parts that the library would take hours over it."""

_DEEPEST = 100
_MOST_ITEMS = 10_000

_shown = Repr()
_shown.maxstring = _shown.maxother = 60
_shown.maxlevel = 2  # a value of many layers would fill a page


def read_json(text: bytes | str, *, most: int = MOST_BYTES) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text in UTF-8.

    Args:
        text: the text.
        most: bytes, or characters, that are read; a longer text is refused.

    Raises:
        ValueError: it is no JSON in UTF-8, is too long, is nested too deeply, or names a key twice.
    """
    if len(text) > most:
        raise ValueError(f"it has {len(text):,} bytes; at most {most:,} are read")
    try:
        value = json.loads(text.decode() if isinstance(text, bytes) else text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    layer = [value]
    for _ in range(_DEEPEST):
        layer = [inside for outside in layer for inside in _inside(outside)]
        if not layer:
            return value
    raise ValueError(f"it is nested more than {_DEEPEST} deep")


def read_toml(text: bytes) -> dict[str, Any]:
    """Return the values of a TOML text, all of which JSON has too.

    Args:
        text: in UTF-8.

    Raises:
        ValueError: it is no TOML in UTF-8, is too long, is nested too deeply, or holds a date or a time.
    """
    if len(text) > _MOST_SETTINGS:
        raise ValueError(f"it has {len(text):,} bytes; at most {_MOST_SETTINGS:,} are read")
    if _DEEP_KEY.search(words := text.decode()):
        raise ValueError("it has a name of more than a hundred parts")
    try:
        content = tomllib.loads(words)
        read_json(json.dumps(content))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it names {_shown.repr(name)} twice")
    return found


def _inside(value: object) -> Collection[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def unfit(name: str, value: object, expected: str) -> str:
    """Return the message that says of a value what it is and what it should be."""
    return f"{name} is {_shown.repr(value)}; expected {expected}"


def as_whole(value: object, name: str, low: int, high: int) -> int:
    """Return a whole number of a range, both ends included.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(unfit(name, value, f"a whole number from {low} to {high}"))
    return value


def as_number(value: object, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number of a range, both ends included.

    Raises:
        ValueError: it is none.
    """
    try:
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and low <= value <= high
        ):
            return float(value)
    except OverflowError:  # a whole number beyond all floats
        pass
    span = (
        ""
        if (low, high) == (-math.inf, math.inf)
        else f" from {low:g} on"
        if high == math.inf
        else f" from {low:g} to {high:g}"
    )
    raise ValueError(unfit(name, value, f"a finite number{span}"))


def as_text(value: object, name: str) -> str:
    """Return a text.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str):
        raise ValueError(unfit(name, value, "a text"))  # noqa: TRY004 - what was read, not what was passed
    return value


def as_list(value: object, name: str, *, least: int = 0, most: int = _MOST_ITEMS) -> Sequence[Any]:
    """Return a list with so many items.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, list | tuple) or not least <= len(value) <= most:
        found = f"{len(value)} items" if isinstance(value, list | tuple) else value
        raise ValueError(
            unfit(name, found, f"a list of {least} to {most} items" if least < most else f"a list of {least} items")
        )
    return value


def as_record(
    value: object, name: str, needed: Collection[str] = (), known: Collection[str] | None = None
) -> Mapping[str, Any]:
    """Return values by name.

    Args:
        value: what was read.
        name: of the whole.
        needed: names that must be there.
        known: all names that may be there; by default any.

    Raises:
        ValueError: it is none, a name is missing, or one is not known.
    """
    if not isinstance(value, Mapping):
        raise ValueError(unfit(name, value, "values by name"))  # noqa: TRY004 - likewise
    if missing := [key for key in needed if key not in value]:
        raise ValueError(f"{name} has no {missing[0]}")
    if known is not None and (strange := [key for key in value if key not in known]):
        raise ValueError(f"{name} has {_shown.repr(strange[0])}, which this version does not know")
    return value
