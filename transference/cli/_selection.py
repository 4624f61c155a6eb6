"""From runs, and what the command line says of them, to the tables that a kind of figure draws."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import pandas as pd

from transference.blocks import Block
from transference.errors import UsageError
from transference.figures.kinds import KINDS, Kind
from transference.figures.requests import Table
from transference.store import Run, find_mode

_Part: TypeAlias = tuple[Run, tuple[int, ...]]
"""A run, and which of its checkpoints are drawn."""


@dataclass(frozen=True)
class Selection:
    """What of the runs is drawn, as the command line says it.

    Attributes:
        alpha: the step size; None for the only one.
        steps: the checkpoints; none for the last.
        sources: the source modes; none for all.
        targets: the target modes; none for all.
        band: the neutral band.
    """

    alpha: float | None
    steps: tuple[int, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    band: tuple[float, float]


def select(kind: Kind, runs: tuple[Run, ...], selection: Selection) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Return the tables that a kind draws, and what tells them apart.

    Args:
        kind: what is drawn.
        runs: those that were named.
        selection: what of them is drawn.

    Raises:
        UsageError: the kind does not draw what was selected, or the runs do not have it.
        StoreError: a run is incomplete or damaged.
    """
    parts: tuple[_Part, ...]
    names: tuple[str, ...]
    if 2 in kind.n_tables and (1 not in kind.n_tables or len(runs) > 1 or len(selection.steps) > 1):
        first, second = _two(kind, runs, selection.steps)
        _check_same_tasks(first[0], second[0])
        parts, names = (first, second), _names(first, second)
    elif len(runs) > 1:
        raise UsageError(f"{len(runs)} runs were given; only --kind {_two_at_a_time()} takes two.")
    else:
        parts, names = ((runs[0], _steps(kind, runs[0], selection.steps)),), (str(runs[0].path),)
    alphas = [_alphas(kind, run, selection.alpha) for run, _ in parts]
    if alphas[0] != alphas[-1] or parts[0][0].spec.amount != parts[-1][0].spec.amount:
        one, other = (
            f"{run.path} has {run.spec.amount.titled(alpha)}" for (run, _), (alpha,) in zip(parts, alphas, strict=True)
        )
        raise UsageError(f"{one}, {other}; compare runs at the same one.")
    return tuple(_table(run, steps, alphas[0], selection) for run, steps in parts), names


def _two_at_a_time() -> str:
    """Return the names of the kinds that compare two runs."""
    return " or ".join(kind.name for kind in KINDS if 2 in kind.n_tables)


def _steps(kind: Kind, run: Run, steps: tuple[int, ...]) -> tuple[int, ...]:
    """Return the checkpoints that a kind draws of one run.

    Raises:
        UsageError: the kind draws all, and some were chosen, or it draws one, and several were.
    """
    if kind.every_step:
        if steps:
            raise UsageError(
                f"--step was given; --kind {kind.name} draws every checkpoint. Leave it out, or choose another kind."
            )
        return run.steps
    if len(steps) > 1:
        raise UsageError(
            f"--step was given {len(steps)} times; this kind draws one checkpoint. Two are for --kind {_two_at_a_time()}."
        )
    return (run.choose_step(steps[0] if steps else None),)


def _two(kind: Kind, runs: tuple[Run, ...], steps: tuple[int, ...]) -> tuple[_Part, _Part]:
    """Return the two runs, each with its checkpoint.

    Raises:
        UsageError: what was given does not make two.
    """
    if len(runs) == 1 and len(steps) == 2:
        return (runs[0], (runs[0].choose_step(steps[0]),)), (runs[0], (runs[0].choose_step(steps[1]),))
    if len(runs) != 2 or len(steps) > 2:
        raise UsageError(
            f"{len(runs)} run(s) and {len(steps)} --step were given; --kind {kind.name} takes two runs "
            "(and --step once for both, or once for each), or one run and two --step."
        )
    first, second = runs
    chosen = steps or (None,)
    return (first, (first.choose_step(chosen[0]),)), (second, (second.choose_step(chosen[-1]),))


def _alphas(kind: Kind, run: Run, alpha: float | None) -> tuple[float, ...]:
    """Return the step sizes that a kind draws of a run.

    Raises:
        UsageError: the kind draws all, and one was chosen, or the run does not have it, or has several and none was chosen.
    """
    if not kind.every_alpha:
        return (run.choose_alpha(alpha),)
    if alpha is not None:
        raise UsageError(f"--alpha was given; --kind {kind.name} draws every step size of the run. Leave it out.")
    return run.alphas


def _table(run: Run, steps: tuple[int, ...], alphas: tuple[float, ...], selection: Selection) -> Table:
    """Return what was selected of a run's tables.

    Raises:
        UsageError: the run lacks a mode that was chosen.
    """
    wanted = {
        role: [find_mode(dict.fromkeys(run.modes(role)), mode) for mode in chosen]
        for role, chosen in (("source", selection.sources), ("target", selection.targets))
    }
    for role, chosen in wanted.items():
        _check_modes(run, role, chosen)
    modes = {role: set(chosen or run.modes(role)) for role, chosen in wanted.items()}

    def blocks() -> list[Block]:
        found = (block for block in run.blocks() if block.alpha in alphas and block.checkpoint_step in steps)
        return [
            block for block in found if block.source_mode in modes["source"] and block.target_mode in modes["target"]
        ]

    def rows(frame: pd.DataFrame, **columns: str) -> pd.DataFrame:
        here = frame["alpha"].isin(alphas) & frame["checkpoint_step"].isin(steps)
        for role, column in columns.items():
            here &= frame[column].isin(modes[role])
        return frame[here]

    return Table.of(
        str(run.path),
        steps,
        alphas,
        selection.band,
        blocks=cache(blocks),
        pairs=lambda: rows(run.pairs(), source="source_mode", target="target_mode"),
        self_transference=lambda: rows(run.self_transference(), target="mode"),
        controls=lambda: rows(run.controls()),
        exact_pairs=(lambda: rows(run.exact_pairs())) if run.spec.calibrated else None,
        amount=run.spec.amount,
    )


def _check_modes(run: Run, role: str, wanted: Iterable[str]) -> None:
    """Make sure that the run has the modes that were chosen.

    Raises:
        UsageError: it lacks one.
    """
    present = dict.fromkeys(run.modes(role))
    if unknown := sorted(set(wanted) - set(present)):
        raise UsageError(f"{run.path} has no {role} mode {', '.join(unknown)}; it has {', '.join(present)}.")


def _check_same_tasks(first: Run, second: Run) -> None:
    """Make sure that two runs measured the same tasks.

    Raises:
        UsageError: they did not.
    """
    lines = [line for line in first.spec.differences(second.spec) if line.startswith(("sources", "targets"))]
    if lines:
        differences = "\n".join(f"  {line}" for line in lines)
        raise UsageError(
            f"{first.path} and {second.path} are of different tasks, which cannot be compared pair by pair:\n{differences}"
        )


def _names(first: _Part, second: _Part) -> tuple[str, str]:
    """Return what tells two runs apart: their learners, else their checkpoints, else their paths."""
    parts = (first, second)
    for names in ([_learner(run) for run, _ in parts], [f"checkpoint {step:,}" for _, (step,) in parts]):
        if names[0] != names[1]:
            return names[0], names[1]
    return str(first[0].path), str(second[0].path)


def _learner(run: Run) -> str:
    """Return the name of a run's learner, of its class where it has none."""
    named = {checkpoint.get("learner") for checkpoint in run.about().get("checkpoints", [])}
    return str(
        named.pop() if len(named) == 1 and None not in named else str(run.spec.learner["class"]).rpartition(".")[2]
    )
