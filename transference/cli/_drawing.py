"""From runs to a figure and the data that it draws, one function per kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from transference import figures
from transference.blocks import Block
from transference.cli.printing import say
from transference.errors import UsageError
from transference.statistics import contrast, control_bands, intervals, split
from transference.store import Run

_MUCH = 0.2


@dataclass(frozen=True)
class Asked:
    """What the command was told."""

    runs: tuple[Run, ...]
    alpha: float | None
    steps: tuple[int, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    bins: int
    limits: tuple[float, float]
    band: tuple[float, float]
    limit: float | None = None
    names: tuple[str, str] | None = None
    ring: bool = False
    clustered: bool = False
    trend: bool = False
    controls: bool | None = None


class Drawn(NamedTuple):
    """A figure, and the data it drew."""

    figure: Figure
    data: pd.DataFrame


def draw_histogram(asked: Asked) -> Drawn:
    """Draw the ratios of one checkpoint."""
    pairs, own = _pairs(asked, _one_step(asked))
    _tell_outside(pairs, asked.limits)
    return _with_bars(figures.histogram, asked, pairs, own)


def draw_training(asked: Asked) -> Drawn:
    """Draw the ratios of all checkpoints, or the trend of their shares."""
    run = asked.runs[0]
    if asked.steps:
        raise UsageError("--step was given; --kind training draws every checkpoint. Leave it out, or choose --kind histogram.")
    if asked.trend:
        table = intervals(_blocks(asked, run, run.steps), band=asked.band)
        return Drawn(figures.trend(table), _shares(table))
    pairs, own = _pairs(asked, None)
    _tell_outside(pairs, asked.limits)
    return _with_bars(figures.training, asked, pairs, own)


def draw_matrix(asked: Asked) -> Drawn:
    """Draw sources by targets."""
    pairs, _ = _pairs(asked, _one_step(asked))
    figure = figures.matrix(pairs, clustered=asked.clustered, limit=asked.limit)
    table = figures.arranged(pairs, clustered=asked.clustered, limit=asked.limit)
    places = {"row": dict(zip(table.index, range(len(table.index)), strict=True))}
    places["column"] = dict(zip(table.columns, range(len(table.columns)), strict=True))
    data = pairs[["checkpoint_step", "alpha", "source", "target", "source_mode", "target_mode", "loss_ratio"]]
    data = data.assign(row=data["source"].map(places["row"]), column=data["target"].map(places["column"]))
    return Drawn(figure, data.sort_values(["row", "column"], ignore_index=True))


def draw_types(asked: Asked) -> Drawn:
    """Draw the shares of one checkpoint."""
    table = intervals(_blocks(asked, asked.runs[0], (_one_step(asked),)), band=asked.band)
    return Drawn(figures.types(table, ring=asked.ring), _shares(table))


def draw_blocks(asked: Asked) -> Drawn:
    """Draw the mean of each mode pair."""
    table = intervals(_blocks(asked, asked.runs[0], (_one_step(asked),)), band=asked.band)
    return Drawn(figures.blocks(table, limit=asked.limit), table[table["statistic"] == "geometric_mean"])


def draw_compare(asked: Asked) -> Drawn:
    """Draw two runs, or two checkpoints of one, on the same tasks."""
    runs, steps = _two(asked)
    _check_same_tasks(*runs)
    alphas = [run.choose_alpha(asked.alpha) for run in runs]
    if alphas[0] != alphas[1]:
        raise UsageError(f"{runs[0].path} has the step size {alphas[0]:g}, {runs[1].path} {alphas[1]:g}; compare runs at one step size.")
    first, second = ([*_blocks(asked, run, (step,))] for run, step in zip(runs, steps, strict=True))
    names = asked.names or _names(runs, steps)
    difference = contrast(first, second, band=asked.band)
    tables = [intervals(blocks, band=asked.band) for blocks in (first, second)]
    figure = figures.compare(difference, tables[0], tables[1], names)
    parts = [_shares(table).assign(of=name) for table, name in zip(tables, names, strict=True)]
    told = (
        f"{names[0]} over {names[1]}" if name == "geometric_mean" else f"{names[0]} less {names[1]}" for name in difference["statistic"]
    )
    data = pd.concat([*parts, difference.assign(of=list(told), alpha=alphas[0])], ignore_index=True)
    data["checkpoint_step"] = data["checkpoint_step"].astype("Int64")  # a difference has none
    return Drawn(figure, data)


def draw_step_size(asked: Asked) -> Drawn:
    """Draw the first-order part of the log ratio and the rest over step sizes."""
    run = asked.runs[0]
    if asked.alpha is not None:
        raise UsageError("--alpha was given; --kind step-size draws every step size of the run. Leave it out.")
    table = split(_blocks(asked, run, (_one_step(asked),), run.alphas))
    if not table["n"].any():
        raise UsageError(f"{run.path} holds no first-order parts; measure it again with this version to draw them.")
    return Drawn(figures.step_size(table), table)


KINDS: dict[str, Callable[[Asked], Drawn]] = {
    "histogram": draw_histogram,
    "training": draw_training,
    "types": draw_types,
    "blocks": draw_blocks,
    "matrix": draw_matrix,
    "compare": draw_compare,
    "step-size": draw_step_size,
}


def _with_bars(draw: Callable[..., Figure], asked: Asked, pairs: pd.DataFrame, own: pd.DataFrame) -> Drawn:
    """Draw histograms, and return the heights of their bars.

    Raises:
        UsageError: controls were asked for, and the run has none.
    """
    bands = None
    if asked.controls is not False:
        found = asked.runs[0].controls()
        if asked.controls and not len(found):
            raise UsageError(f"--controls was given; {asked.runs[0].path} was measured without. Leave it out.")
        bands = control_bands(found) if len(found) else None
    settings: dict[str, Any] = {"band": asked.band, "bins": asked.bins, "limits": asked.limits, "bands": bands}
    return Drawn(draw(pairs, own, **settings), figures.binned(pairs, own, **settings))


def _one_step(asked: Asked) -> int:
    """Return the one checkpoint asked for, the last by default.

    Raises:
        UsageError: several were asked for.
    """
    if len(asked.steps) > 1:
        raise UsageError(f"--step was given {len(asked.steps)} times; this kind draws one checkpoint. Two are for --kind compare.")
    return asked.runs[0].choose_step(asked.steps[0] if asked.steps else None)


def _pairs(asked: Asked, step: int | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs asked for, and the self-transference that belongs to them; all checkpoints without a step."""
    run = asked.runs[0]
    alpha = run.choose_alpha(asked.alpha)
    pairs, own = run.pairs(), run.self_transference()
    for role, wanted in (("source", asked.sources), ("target", asked.targets)):
        _check_modes(run, role, wanted, pairs[f"{role}_mode"].cat.categories)
        pairs = pairs[pairs[f"{role}_mode"].isin(wanted)] if wanted else pairs
    own = own[own["mode"].isin(asked.targets)] if asked.targets else own
    chosen = [frame[frame["alpha"] == alpha] for frame in (pairs, own)]
    if step is not None:
        chosen = [frame[frame["checkpoint_step"] == step] for frame in chosen]
    return chosen[0], chosen[1]


def _blocks(asked: Asked, run: Run, steps: Iterable[int], alphas: Iterable[float] = ()) -> list[Block]:
    """Return the mode pairs asked for; of the step size asked for, unless others are given."""
    chosen, steps = set(alphas) or {run.choose_alpha(asked.alpha)}, set(steps)
    found = [block for block in run.blocks() if block.alpha in chosen and block.checkpoint_step in steps]
    for role, wanted in (("source", asked.sources), ("target", asked.targets)):
        _check_modes(run, role, wanted, dict.fromkeys(getattr(block, f"{role}_mode") for block in found))
        found = [block for block in found if not wanted or getattr(block, f"{role}_mode") in wanted]
    return found


def _check_modes(run: Run, role: str, wanted: Iterable[str], present: Iterable[str]) -> None:
    """Make sure that the run has the modes asked for.

    Raises:
        UsageError: it lacks one.
    """
    if unknown := sorted(set(wanted) - set(present)):
        raise UsageError(f"{run.path} has no {role} mode {', '.join(unknown)}; it has {', '.join(present)}.")


def _shares(table: pd.DataFrame) -> pd.DataFrame:
    """Return what is drawn of a table of intervals."""
    return table[table["statistic"].isin(["positive", "neutral", "negative"])]


def _tell_outside(pairs: pd.DataFrame, limits: tuple[float, float]) -> None:
    outside = float(((pairs["loss_ratio"] < limits[0]) | (pairs["loss_ratio"] > limits[1])).mean())
    if outside > _MUCH:
        say(f"{outside:.0%} of the pairs lie outside {limits[0]:g} to {limits[1]:g}; --range LOW HIGH draws another span", err=True)


def _two(asked: Asked) -> tuple[tuple[Run, Run], tuple[int, int]]:
    """Return the two runs and their checkpoints.

    Raises:
        UsageError: what was given does not make two.
    """
    if len(asked.runs) == 1 and len(asked.steps) == 2:
        runs = (asked.runs[0], asked.runs[0])
        return runs, (runs[0].choose_step(asked.steps[0]), runs[1].choose_step(asked.steps[1]))
    if len(asked.runs) != 2 or len(asked.steps) > 2:
        raise UsageError(
            f"{len(asked.runs)} run(s) and {len(asked.steps)} --step were given; --kind compare takes two runs "
            "(and --step once for both, or once for each), or one run and two --step."
        )
    first, second = asked.runs
    steps = asked.steps or (None,)
    return (first, second), (first.choose_step(steps[0]), second.choose_step(steps[-1]))


def _check_same_tasks(first: Run, second: Run) -> None:
    """Make sure that two runs measured the same tasks.

    Raises:
        UsageError: they did not.
    """
    lines = [line for line in first.spec.differences(second.spec) if line.startswith(("sources", "targets"))]
    if lines:
        told = "\n".join(f"  {line}" for line in lines)
        raise UsageError(f"{first.path} and {second.path} are of different tasks, which cannot be compared pair by pair:\n{told}")


def _names(runs: tuple[Run, Run], steps: tuple[int, int]) -> tuple[str, str]:
    """Return what tells two runs apart: their learners, else their checkpoints, else their paths."""
    for names in ([_learner(run) for run in runs], [f"checkpoint {step:,}" for step in steps]):
        if names[0] != names[1]:
            return names[0], names[1]
    return str(runs[0].path), str(runs[1].path)


def _learner(run: Run) -> str:
    """Return the name of a run's learner, of its class where it has none."""
    named = {checkpoint.get("learner") for checkpoint in run.about().get("checkpoints", [])}
    return str(named.pop() if len(named) == 1 and None not in named else str(run.spec.learner["class"]).rpartition(".")[2])
