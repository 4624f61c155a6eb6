"""The option ``--combine``, and what is asked of the modes that are combined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from transference.combine import Combination, check_number, needs_joint, parse_combination
from transference.errors import UsageError

_SUBSET = re.compile(r"(?P<name>[^\[\]:]+)\[(?P<modalities>[^\[\]]*)\](?P<split>:.*)?")


def read_combinations(
    texts: Sequence[str], modes: Sequence[str], targets: Sequence[str] = ()
) -> dict[str, Combination]:
    """Return the combinations that were asked for, by name.

    Args:
        texts: as given with ``--combine``.
        modes: the modes that they combine, in order.
        targets: the modes that are measured after a step.

    Raises:
        UsageError: one is not known, given twice, or cannot combine these modes; or one is given as a mode.
    """
    for option, given in (("--source", modes), ("--target", targets)):
        for text in filter(_is_combination, given):
            instead = (
                f"write --combine {text}" if option == "--source" else "a step on them is a source, never a target"
            )
            raise UsageError(f"{option} {text} was given, which is no mode but a way to combine several; {instead}.")
    parsed = [parse_combination(text) for text in texts]
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


def _is_combination(text: str) -> bool:
    with suppress(UsageError):
        parse_combination(text)
        return True
    return False


def _last_is_joint(modes: Sequence[str]) -> bool:
    """Return whether the last mode has all modalities of the others, which are of the same split of the same dataset."""
    found = [_SUBSET.fullmatch(mode) for mode in modes]
    if not all(found):
        return False
    subsets = [match for match in found if match]
    last = subsets[-1]["modalities"].split("+")
    others = {modality for match in subsets[:-1] for modality in match["modalities"].split("+")}
    same = len({(match["name"], match["split"]) for match in subsets}) == 1
    return same and (last == ["*"] or others <= set(last))
