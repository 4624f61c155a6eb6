"""The option ``--combine``, and what is asked of the modes that are combined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from transference.combine import (
    COMBINATIONS,
    Combination,
    Together,
    check_number,
    form,
    needs_joint,
    parse_combination,
)
from transference.datasets import places_of
from transference.errors import UsageError

_TOGETHER = re.compile(r"\+(?![^\[]*\])")
"""A plus between modes, not between the modalities in their brackets."""

_SUBSET = re.compile(r"(?P<name>[^\[\]:]+)\[(?P<modalities>[^\[\]]*)\](?P<split>:.*)?")


def read_combinations(
    texts: Sequence[str],
    modes: Sequence[str],
    targets: Sequence[str] = (),
    *,
    option: str = "--source",
    data_root: Path | None = None,
    turns: bool = False,
) -> dict[str, Combination]:
    """Return the combinations that were asked for, by name.

    Args:
        texts: as given with ``--combine``.
        modes: the modes that they combine, in order.
        targets: the modes that are measured after a step.
        option: with which the modes were given.
        data_root: the folder with prepared files, which may be called like a combination.
        turns: whether modes with a + between them are several that take turns in updates.

    Raises:
        UsageError: one is not known, given twice, or cannot combine these modes; or one is given as a mode.
    """
    for where, given in ((option, modes), ("--target", targets)):
        for text in (one for one in given if _is_combination(one, data_root)):
            instead = "a step on them is a source, never a target" if where == "--target" else f"write {_option(text)}"
            raise UsageError(f"{where} {text} was given, which is no mode but a way to combine several; {instead}.")
    parsed = [_in_turns(text) if turns and _TOGETHER.search(text) else parse_combination(text) for text in texts]
    found = dict(parsed)
    if len(found) < len(parsed):
        raise UsageError(f"--combine names one way to combine twice: {', '.join(name for name, _ in parsed)}.")
    check_number(found, len(modes))
    for name, combination in found.items():
        if needs_joint(combination) and not _last_is_joint(modes):
            raise UsageError(
                f"--combine {name} weighs the modalities of one dataset beside the mode of them all, which must come last; the modes are "
                f"{', '.join(modes)}. Give for example watch[accel], watch[gyro] and then watch[*]."
            )
    return found


def _in_turns(text: str) -> tuple[str, Combination]:
    """Return the modes that take turns, and what they are together."""
    modes = tuple(mode.strip() for mode in _TOGETHER.split(text))
    return "+".join(modes), Together(modes)


def _is_combination(text: str, data_root: Path | None) -> bool:
    """Return whether a mode is called like a combination, right or wrong settings or a split behind it, and no data are."""
    kind = text.strip().partition(":")[0]
    data = data_root is not None and data_root.is_dir() and places_of(kind, data_root)
    return kind in COMBINATIONS and not data


def _option(text: str) -> str:
    with suppress(UsageError):
        return f"--combine {parse_combination(text)[0]}"
    return f"--combine {form(text.strip().partition(':')[0])}"


def _last_is_joint(modes: Sequence[str]) -> bool:
    """Return whether the last mode has all modalities of the others, which are of the same split of the same dataset.

    Support and queries of all of them have the same modalities: the others' losses are parts of what the last one is of.
    """
    found = [_SUBSET.fullmatch(mode) for mode in modes]
    if not all(found):
        return False
    subsets = [match for match in found if match]
    shown = [{modality.strip() for modality in match["modalities"].split("+")} for match in subsets]
    others = set().union(*shown[:-1])
    same = len({(match["name"].strip(), (match["split"] or "").strip().casefold()) for match in subsets}) == 1
    crossed = any(">" in match["modalities"] for match in subsets)
    return same and not crossed and (shown[-1] == {"*"} or others <= shown[-1])
