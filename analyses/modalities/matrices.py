"""What does a step on one subset of the modalities do to every other, over training?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import transference as tr
from analyses.modalities.testing import against_zero, holm
from analyses.modalities.trainings import Paired
from transference.figures import COLOURS, styled

KEY = ["data", "step", "source", "target"]


def rows(paired: Paired, seed: int) -> list[dict[str, object]]:
    """Return the mean log ratio of each subset on each at each stage of one training; at the end, of crossed tasks too."""
    config = paired.config["matrices"]
    files = {int(file.stem.removeprefix("step-")): file for file in paired.trained(config["arm"], seed)}
    *early, last = (files[paired.stage(part)] for part in config["stages"])
    whole = (*paired.subsets, *paired.crossed)
    parts = [("early", early, paired.subsets), ("last", [last], whole)]
    return [
        row
        for name, checkpoints, subsets in parts
        if checkpoints
        for row in _measured(paired, seed, name, [tr.load_checkpoint(file) for file in checkpoints], subsets)
    ]


def _measured(
    paired: Paired, seed: int, part: str, checkpoints: Sequence[tr.Checkpoint], subsets: Sequence[str]
) -> list[dict[str, object]]:
    """Return a row for each stage, source and target; held-out tasks are of the test split, with a seed of their own."""
    config = paired.config["matrices"]
    run = tr.measure(
        tr.load_learner(checkpoints[0]),
        checkpoints,
        paired.tasks(subsets, "train", seed + 1000),
        paired.tasks(subsets, "test", seed + 1000),
        n_source=config["n_source"],
        n_target=config["n_target"],
        lookahead=tr.Normalised(config["length"]),
        estimator=tr.Exact(engine="loop"),
        controls=0,
        device="cpu",
        out=paired.at.runs / "modalities" / "matrices" / f"{paired.name}-seed{seed}-{part}",
    )
    called = {paired.mode(subset): subset for subset in subsets}
    return [
        {
            "data": paired.name,
            "seed": seed,
            "step": block.checkpoint_step,
            "source": called[block.source_mode],
            "target": called[block.target_mode],
            "log_ratio": float(np.nanmean(np.log(block.loss_ratio))),
            "failed": int(np.isnan(block.loss_ratio).sum()),
            "accuracy": float(block.accuracy_before.mean()),
        }
        for block in run.blocks()
    ]


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return mean over seeds, interval and p of each cell; ``holm`` is corrected for all cells of the table."""
    told = against_zero(found, KEY, "log_ratio")
    return told.assign(holm=holm(told["p"]))


def changes(found: pd.DataFrame) -> pd.DataFrame:
    """Return how much each cell of the subsets changes from the first stage to the last, as `summary` does."""
    cells = found[~(found["source"] + found["target"]).str.contains(">")].sort_values("step")
    ends = cells.groupby(["data", "source", "target", "seed"], sort=False)["log_ratio"].agg(["first", "last"])
    change = (ends["last"] - ends["first"]).rename("change").reset_index()
    told = against_zero(change, ["data", "source", "target"], "change")
    return told.assign(holm=holm(told["p"]))


KINDS = {
    "a modality on itself": COLOURS["positive"],
    "on the other": COLOURS["negative"],
    "all on one": "#009E73",
    "one on all": "#CC79A7",
    "all on all": "#000000",
}
"""Colours of cells by what source and target have to do with each other."""


def draw(told: pd.DataFrame, datasets: Sequence[Paired]) -> Figure:
    """Draw the last stage as a matrix for each dataset, the cross-modal tasks apart, and below it each cell over training."""
    with styled():
        figure = Figure(figsize=(7.2, 5.0), layout="constrained")
        axes = figure.subplots(2, len(datasets), squeeze=False, height_ratios=(1.3, 1))
        for paired, (above, below) in zip(datasets, axes.T, strict=True):
            here = told[told["data"] == paired.name]
            last = here[here["step"] == here["step"].max()]
            _matrix(above, last, (*paired.subsets, *paired.crossed), len(paired.subsets))
            above.set_title(f"{paired.name}: → target")
            _stages(below, here, paired.subsets)
        axes[0, 0].set_ylabel("source →")
        axes[1, 0].set_ylabel("mean log ratio × 100")
        figure.legend(
            *axes[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(KINDS), frameon=False
        )
    return figure


def _matrix(ax: Axes, cells: pd.DataFrame, names: Sequence[str], n_subsets: int) -> None:
    """Draw mean log ratios in percent: bold where the interval excludes zero, starred where it does so corrected."""
    table, order = cells.set_index(["source", "target"]), list(names)
    square = lambda column: table[column].unstack().loc[order, order].to_numpy()
    values, p, corrected = (square(column) for column in ("log_ratio", "p", "holm"))
    ends = np.abs(values).max()
    ax.imshow(values, cmap="RdBu_r", vmin=-ends, vmax=ends, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        ax.text(
            j,
            i,
            f"{100 * value:.1f}".replace("-0.0", "0.0") + "*" * bool(corrected[i, j] < 0.05),
            ha="center",
            va="center",
            fontsize=6,
            fontweight="bold" if p[i, j] < 0.05 else "normal",
            color="white" if abs(value) > 0.6 * ends else "black",
        )
    for line in (ax.axhline, ax.axvline):
        line(n_subsets - 0.5, color="black", linewidth=0.8)
    ax.xaxis.tick_top()
    ax.set_xticks(range(len(names)), names, rotation=40, ha="left")
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)


def _stages(ax: Axes, cells: pd.DataFrame, subsets: Sequence[str]) -> None:
    """Draw the cells of the subsets over training, with their intervals."""
    ax.axhline(0, color="black", linewidth=0.6)
    for source, target in product(subsets, subsets):
        kind = _kind(source, target, subsets[-1])
        cell = cells[(cells["source"] == source) & (cells["target"] == target)].sort_values("step")
        mean, low, high = (100 * cell[f"log_ratio{end}"] for end in ("", "_low", "_high"))
        ax.plot(cell["step"], mean, color=KINDS[kind], linewidth=1)
        ax.fill_between(cell["step"], low, high, color=KINDS[kind], alpha=0.12, linewidth=0)
    for kind, colour in KINDS.items():
        ax.plot([], [], color=colour, label=kind)
    ax.set_xlabel("updates")


def _kind(source: str, target: str, whole: str) -> str:
    if source == target:
        return "all on all" if source == whole else "a modality on itself"
    return "all on one" if source == whole else "one on all" if target == whole else "on the other"
