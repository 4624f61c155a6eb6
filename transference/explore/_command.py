"""The command that measures one pair of a run again, or what to call from Python."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from transference.lookahead import LOOKAHEADS
from transference.store import Run

_OF_THE_RUN = {"--source", "--target", "--n-source", "--n-target", "--out", "--controls", "--combine"}
"""Options of ``transference compute`` that are others for a pair; each has a value."""

_FLAGS = {"--dry-run", "--json"}


def pair_command(run: Run) -> dict[str, Any] | None:
    """Return the parts of the command of a pair, quoted for a shell; None where the run was not made by ``transference compute``.

    Task i of a sampler is the same however many are drawn, so that a run of one source mode and one target mode up to the pair ends with
    it. A combination needs all source modes.

    Returns:
        ``start``; ``sources``, the options of each source mode, combinations last; ``targets``, those of each target mode. The numbers of
        tasks and the folder are left to the page.
    """
    words = run.about().get("command") or []
    if list(words[1:2]) != ["compute"]:
        return None
    kept, given = _apart(words[2:])
    sources, targets, combined = given["--source"], given["--target"], given["--combine"]
    spec = run.spec
    if (len(sources), len(targets), len(combined)) != (len(spec.samplers), len(spec.targets), len(spec.combine)):
        return None  # modes that stand in a file of settings
    return {
        "start": _quoted("transference", "compute", *kept),
        "sources": [_quoted("--source", mode) for mode in sources]
        + [_quoted(*(w for mode in sources for w in ("--source", mode)), "--combine", how) for how in combined],
        "targets": [_quoted("--target", mode) for mode in targets],
        "end": _quoted("--controls", "0", "--out", f"{run.path}-pair"),
    }


def pair_call(run: Run) -> dict[str, Any] | None:
    """Return the parts of a call from Python that measures a pair, for runs without a command; None for combinations.

    Returns:
        ``lookahead``: the class of the step, empty for one that is not ours; ``out``: the folder. Learner and checkpoint are the reader's.
    """
    if run.spec.combine:
        return None
    known = LOOKAHEADS.get(run.spec.lookahead["kind"])
    return {"lookahead": f"tr.{known.__name__}" if known else "", "out": f"{run.path}-pair"}


def _apart(words: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the words that a pair's command keeps, and the values of the options that it does not."""
    kept: list[str] = []
    given: dict[str, list[str]] = {name: [] for name in _OF_THE_RUN}
    rest: Iterator[str] = iter(words)
    for word in rest:
        name, said, value = word.partition("=")
        if name in _OF_THE_RUN:
            given[name].append(value if said else next(rest, ""))
        elif word not in _FLAGS:
            kept.append(word)
    return kept, given


def _quoted(*words: str) -> str:
    return shlex.join(words)
