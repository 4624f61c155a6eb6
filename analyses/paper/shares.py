"""Shares and histograms of the loss ratios, on the first target alone, as in the paper, and on all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

import transference as tr
from transference import figures
from transference.figures import COLOURS, draw_histogram, styled
from transference.statistics import CLASSES

_TOLD = ("geometric_mean", *CLASSES)
_KEY = ["checkpoint_step", "alpha"]


def counts(run: tr.Run) -> tuple[int, ...]:
    """Return on how many targets a run is looked at."""
    return tuple(dict.fromkeys((1, len(targets_of(run)))))


def targets_of(run: tr.Run) -> list[int]:
    """Return the ids of the targets, in their order."""
    return sorted(set(run.self_transference()["target"].tolist()))


def on_targets(run: tr.Run, n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs with the first so many targets, and these targets' self-transference."""
    chosen = targets_of(run)[:n]
    pairs, own = run.pairs(), run.self_transference()
    return pairs[pairs["target"].isin(chosen)], own[own["target"].isin(chosen)]


def shares(runs: Mapping[str, tr.Run]) -> pd.DataFrame:
    """Return a row for each learner, number of targets, checkpoint and step size.

    Mean ratio and shares of positive, neutral and negative pairs, each with a 95 % interval for another draw of the tasks (of the sources
    alone where there is one target), and the mean ratio of targets used as their own sources.
    """
    rows = []
    for name, run in runs.items():
        for n in counts(run):
            _, own = on_targets(run, n)
            blocks = [
                replace(
                    block,
                    loss_ratio=block.loss_ratio[:, :n],
                    change=block.change[:, :n],
                    first_order=block.first_order[:, :n],
                    accuracy_before=block.accuracy_before[:n],
                )
                for block in run.blocks()
            ]
            found = tr.intervals(blocks)
            for key, of_block in found[found["statistic"].isin(_TOLD)].groupby(_KEY):
                row: dict[str, object] = {"learner": name, "targets": n, **dict(zip(_KEY, key, strict=True))}
                for each in of_block.to_dict("records"):
                    row |= {f"{each['statistic']}{end}": each[kind] for end, kind in _ENDS.items()}
                rows.append(row | {"self_transference": _mean(own[(own[_KEY] == list(key)).all(axis=1)])})
    return pd.DataFrame(rows)


_ENDS = {"": "value", "_low": "low", "_high": "high"}


def _mean(own: pd.DataFrame) -> float:
    return float(tr.summarise(own.assign(source_mode="", target_mode=""))["geometric_mean"].iloc[0])


def draw_all(runs: Mapping[str, tr.Run], folder: Path) -> list[Path]:
    """Draw each learner over its training, and the learners beside one another at the last stage that all have."""
    drawn = []
    for name, figure in _figures(runs):
        drawn.append(folder / f"{name}.png")
        figures.save(figure, drawn[-1])
    return drawn


def _figures(runs: Mapping[str, tr.Run]) -> Iterator[tuple[str, Figure]]:
    for name, run in runs.items():
        for n in counts(run):
            pairs, own = on_targets(run, n)
            for alpha in run.alphas:
                of_alpha = (table[table["alpha"] == alpha] for table in (pairs, own))
                yield f"{name}-{_targets(n, '-')}-alpha={alpha:g}", figures.training(*of_alpha)
    if common := set.intersection(*(set(run.steps) for run in runs.values())) if runs else set():
        for alpha in next(iter(runs.values())).alphas:
            yield f"learners-alpha={alpha:g}", beside(runs, max(common), alpha)


def beside(runs: Mapping[str, tr.Run], step: int, alpha: float) -> Figure:
    """Draw the histograms of all learners at one checkpoint and step size: learners across, numbers of targets down."""
    numbers = counts(next(iter(runs.values())))
    with styled():
        figure = Figure(figsize=(0.5 + 2.1 * len(runs), 0.7 + 1.75 * len(numbers)), layout="constrained")
        axes = figure.subplots(len(numbers), len(runs), sharex=True, sharey="row", squeeze=False)
        for row, n in zip(axes, numbers, strict=True):
            for ax, (name, run) in zip(row, runs.items(), strict=True):
                here = f"checkpoint_step == {step} and alpha == {alpha!r}"
                pairs, own = (table.query(here) for table in on_targets(run, n))
                draw_histogram(ax, pairs, own)
                ax.set_title(name, loc="left", pad=13)
            row[0].set_ylabel(f"pairs, {_targets(n)}")
        patches = [Patch(color=COLOURS[name], label=name) for name in CLASSES]
        title = f"checkpoint {step:,}, step size α = {alpha:g}"
        figure.legend(handles=patches, title=title, loc="outside upper center", ncols=len(CLASSES), frameon=False)
        figure.supxlabel("loss ratio LR (after / before); triangles: targets as their own sources", fontsize=8)
    return figure


def _targets(n: int, space: str = " ") -> str:
    return f"{n}{space}target{'s' * (n > 1)}"
