"""Does the row of one step tell what training on that way gives, and do the modalities' rows tell those of combinations?"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from torch import Tensor

import transference as tr
from analyses.modalities.trainings import Paired
from transference.engines import combined_gradient, meta_gradient
from transference.figures import styled
from transference.samplers import TaskSampler

TEMPERATURES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
READINGS = {
    "val loss": "held-out, loss ratio",
    "train loss": "training, loss ratio",
    "val tempered": "held-out, at best temperature",
    "val accuracy": "held-out, accuracy",
    "table loss": "table of single tasks, loss ratio",
    "table accuracy": "table of single tasks, accuracy",
}
CONTRASTS = [("val loss", "train loss"), ("val tempered", "val loss"), ("val accuracy", "val loss")]
"""Readings that are compared: held-out with training tasks, and what of the losses tells more."""

LATER = {
    "same loss": "loss on other\ntasks of val",
    "test loss": "loss on test",
    "same accuracy": "accuracy on other\ntasks of val",
    "test accuracy": "accuracy on test",
}


def singles(losses: Tensor, gradients: Tensor) -> Tensor:
    """Return the mean of the gradients of the modalities alone, without that of all together."""
    del losses
    return gradients[:-1].mean(dim=0)


WAYS: dict[str, tr.Combination] = {
    "both": singles,
    "uniform": tr.Uniform(2.0),
    "smooth-worst": tr.SmoothWorst(2.0, 0.1),
    "mgda": tr.MGDA(),
}
"""Beside a step on each subset alone."""

MORE: dict[str, tr.Combination] = {"pcgrad": tr.PCGrad(), "precision": tr.Precision(3)}
"""Combinations that are measured too, but not followed."""


@dataclass(frozen=True)
class Place:
    """A learner somewhere in its training, and tasks there.

    Attributes:
        learner: the learner.
        params: θ.
        tasks: one sampler for each subset, of the training classes.
        length: of a step.
    """

    learner: Any
    params: tr.Params
    tasks: Sequence[TaskSampler]
    length: float

    def moved(self, way: str, params: tr.Params, indices: Iterable[int]) -> tr.Params:
        """Return the parameters after one step of a way, on some tasks of every subset that it takes.

        Args:
            way: the number of a subset, or one of `WAYS`.
            params: before the step.
            indices: of the tasks.
        """
        chosen = self.tasks if way in WAYS else [self.tasks[int(way)]]
        batch = [(sampler, index) for index in indices for sampler in chosen]
        found = (
            combined_gradient(WAYS[way], "apart", self.learner, params, batch)
            if way in WAYS
            else meta_gradient("apart", self.learner, params, batch)
        )
        source = tr.Source(self.learner, params, found.gradient, None, [])
        [step] = tr.Normalised(self.length).displacements(source)
        return {name: value + step[name] if name in step else value for name, value in params.items()}

    def read(self, params: tr.Params, episodes: Sequence[tr.Episode]) -> Reading:
        """Return how well some parameters do on some tasks."""
        with torch.no_grad():
            logits = torch.stack([self.learner.episode_logits(params, episode) for episode in episodes])
        return Reading(logits, torch.stack([episode.query_y for episode in episodes]))


@dataclass(frozen=True)
class Reading:
    """Logits of tasks ``[tasks, queries, ways]`` with their labels ``[tasks, queries]``."""

    logits: Tensor
    labels: Tensor

    def losses(self, temperature: float = 1.0) -> Tensor:
        """Return the loss of each task, ``[tasks]``."""
        each = F.cross_entropy(self.logits.transpose(1, 2) / temperature, self.labels, reduction="none")
        return each.mean(dim=1)

    def since(self, before: Reading) -> dict[str, float]:
        """Return what changed: mean log loss ratio, the same of the losses at one best temperature each, accuracy.

        Signs are such that less is better.
        """
        least = [min(float(one.losses(t).mean()) for t in TEMPERATURES) for one in (before, self)]
        right = [float((one.logits.argmax(dim=2) == one.labels).double().mean()) for one in (before, self)]
        ratio = torch.log(self.losses().double() / before.losses().double())
        return {
            "loss": float(ratio.mean()),
            "tempered": float(np.log(least[1] / least[0])),
            "accuracy": right[0] - right[1],
        }


def ways_of(paired: Paired) -> list[str]:
    """Return all ways to step: the numbers of the subsets, then combinations."""
    return [*map(str, range(len(paired.subsets))), *WAYS]


def rows(paired: Paired, seed: int) -> list[dict[str, object]]:
    """Return for each start and way the row of its first step, and what its further steps give, on all modalities.

    The row is read on training tasks and on held-out ones (split val), what comes later on other tasks of the classes of
    val, and on the split test.
    """
    config, found = paired.config["predicts"], []
    part, n_row, n_later = config["start"], config["n_row"], config["n_later"]
    whole = [paired.subsets[-1]]
    drawn = {
        "train": _drawn(paired.tasks(whole, "train", seed + 3000), n_row),
        "val": _drawn(paired.tasks(whole, "val", seed + 3000), n_row),
        "same": _drawn(paired.tasks(whole, "val", seed + 4000), n_later),
        "test": _drawn(paired.tasks(whole, "test", seed + 4000), n_later),
    }
    for start in ("joint", "first"):
        file = paired.trained(start, seed, of=paired.subsets[-1 if start == "joint" else 0], part=part)
        checkpoint = next(one for one in map(tr.load_checkpoint, file) if one.step == paired.stage(part))
        learner = tr.load_learner(checkpoint)
        place = Place(learner, checkpoint.params, paired.tasks(paired.subsets, "train", seed + 5000), config["length"])
        before = {name: place.read(place.params, episodes) for name, episodes in drawn.items()}
        table = _table(paired, seed, start, learner, checkpoint)
        for way in ways_of(paired):
            first = [
                {
                    f"{name} {what}": value
                    for name in ("train", "val")
                    for what, value in place.read(moved, drawn[name]).since(before[name]).items()
                }
                for moved in (place.moved(way, place.params, _batch(paired, k)) for k in range(config["batches"]))
            ]
            params = place.params
            for k in range(config["steps"]):
                params = place.moved(way, params, _batch(paired, config["batches"] + k))
            later = {
                f"{name} {what}": value
                for name in ("same", "test")
                for what, value in place.read(params, drawn[name]).since(before[name]).items()
            }
            means = {name: float(np.mean([one[name] for one in first])) for name in first[0]}
            key = {"data": paired.name, "seed": seed, "start": start, "way": _called(paired, way)}
            found.append({**key, **means, **table[way], **later})
    return found


def _called(paired: Paired, way: str) -> str:
    return way if way in WAYS else paired.subsets[int(way)]


def _drawn(samplers: Sequence[TaskSampler], n: int) -> list[tr.Episode]:
    return [sampler[index] for sampler in samplers for index in range(n)]


def _batch(paired: Paired, number: int) -> range:
    """Return the tasks of one update."""
    n = paired.config["training"]["per_mode"]
    return range(number * n, (number + 1) * n)


def measured(paired: Paired, seed: int, start: str, learner: tr.Learner, checkpoint: tr.Checkpoint) -> tr.Run:
    """Return the table of steps on single tasks of every subset and combination, on these tasks and on held-out ones."""
    config = paired.config["predicts"]
    sources = paired.tasks(paired.subsets, "train", seed + 5000)
    return tr.measure(
        learner,
        checkpoint,
        sources,
        [*sources, *paired.tasks(paired.subsets, "val", seed + 3000)],
        n_source=config["n_source"],
        n_target=config["n_target"],
        combine={**WAYS, **MORE},
        lookahead=tr.Normalised(tuple(config["alphas"])),
        estimator=tr.Exact(engine="loop"),
        controls=0,
        device="cpu",
        out=paired.at.runs / "modalities" / "predicts" / f"{paired.name}-{start}-seed{seed}",
    )


def _table(
    paired: Paired, seed: int, start: str, learner: tr.Learner, checkpoint: tr.Checkpoint
) -> Mapping[str, dict[str, float]]:
    """Return each way's row of the measured table on held-out tasks of all modalities, at the length of the steps."""
    pairs = measured(paired, seed, start, learner, checkpoint).pairs()
    whole = f"{paired.mode(paired.subsets[-1])}:val"
    here = pairs[(pairs["alpha"] == paired.config["predicts"]["length"]) & (pairs["target_mode"] == whole)]
    here = here.assign(log_ratio=np.log(here["loss_ratio"]), lost=here["accuracy_before"] - here["accuracy_after"])
    means = here.groupby("source_mode", observed=True)[["log_ratio", "lost"]].mean()
    source = {way: way if way in WAYS else f"{paired.mode(paired.subsets[int(way)])}:train" for way in ways_of(paired)}
    names = {way: name if name in means.index else name.removesuffix(":train") for way, name in source.items()}
    return {
        way: {
            "table loss": float(means.loc[name, "log_ratio"]),
            "table accuracy": float(means.loc[name, "lost"]),
        }
        for way, name in names.items()
    }


def steps(paired: Paired, seed: int) -> Iterator[dict[str, object]]:
    """Yield of each measured table which tasks a way harms, and how far combined rows are from the predicted ones."""
    for start in ("joint", "first"):
        run = tr.open_run(paired.at.runs / "modalities" / "predicts" / f"{paired.name}-{start}-seed{seed}")
        by_way: dict[tuple[float, str], list[tr.Block]] = {}
        for block in run.blocks():
            by_way.setdefault((block.alpha, block.source_mode), []).append(block)
        for (alpha, mode), blocks in by_way.items():
            held = [block for block in blocks if block.target_mode.endswith(":val")]
            # The first targets of the training modes are the tasks that were stepped on.
            own = [np.diagonal(one.loss_ratio) for one in blocks if not one.target_mode.endswith(":val")]
            yield {
                "data": paired.name,
                "seed": seed,
                "start": start,
                "alpha": alpha,
                "way": mode,
                "harms own": float(np.mean(np.concatenate(own) > 1)),
                "harms held-out": float(np.mean(np.concatenate([block.loss_ratio for block in held]) > 1)),
                **_errors(held),
            }


def _errors(blocks: Sequence[tr.Block]) -> dict[str, float]:
    """Return the rms difference of a combination's rows from the predicted ones over their rms change."""
    parts = [(b.loss_ratio, b.combination) for b in blocks if b.combination]
    if not parts:
        return {"error": np.nan, "unexplained": np.nan}
    rms = lambda cells: np.sqrt(np.nanmean(np.concatenate([cell.ravel() for cell in cells]) ** 2))
    return {
        "error": float(rms([ratio - made.predicted for ratio, made in parts]) / rms([ratio - 1 for ratio, _ in parts])),
        "unexplained": float(np.mean([made.unexplained.mean() for _, made in parts])),
    }


def correlations(found: pd.DataFrame, ways: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the rank correlation over ways of each reading with each outcome, for every dataset, seed and start.

    Args:
        found: what `rows` returned.
        ways: only these; all by default.
    """
    told = found if ways is None else found[found["way"].isin(ways)]
    return pd.DataFrame(
        [
            {**dict(zip(("data", "seed", "start"), key, strict=True)), "reading": reading, "later": later,
             "correlation": _ranks(group[reading], group[later])}
            for key, group in told.groupby(["data", "seed", "start"], sort=False)
            for reading, later in itertools.product(READINGS, LATER)
        ]
    )  # fmt: skip


def _ranks(reading: pd.Series, later: pd.Series) -> float:
    """Return Spearman's correlation; 0 where all ways tie, which tells nothing."""
    if reading.nunique() < 2 or later.nunique() < 2:
        return 0.0
    return float(spearmanr(reading, later).statistic)


def summary(each: pd.DataFrame, draws: int = 10_000) -> pd.DataFrame:
    """Return the mean correlation over datasets, starts and seeds, with an interval of a bootstrap over seeds."""
    groups = each.groupby(["reading", "later"], sort=False)
    return pd.DataFrame(
        [
            {"reading": reading, "later": later, **_over_seeds(group.groupby("seed")["correlation"].mean(), draws)}
            for (reading, later), group in groups
        ]
    )


def contrasts(each: pd.DataFrame, draws: int = 10_000) -> pd.DataFrame:
    """Return by how much more one reading correlates with each outcome than another, with intervals as in `summary`."""
    means = each.groupby(["reading", "later", "seed"])["correlation"].mean()
    return pd.DataFrame(
        [
            {
                "reading": one,
                "less": other,
                "later": later,
                **_over_seeds(means[one, later] - means[other, later], draws),
            }
            for (one, other), later in itertools.product(CONTRASTS, LATER)
        ]
    )


def _over_seeds(by_seed: pd.Series, draws: int) -> dict[str, float]:
    """Return the mean over seeds, and its interval by drawing seeds again."""
    values = by_seed.to_numpy()
    picks = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [0.025, 0.975])
    return {"correlation": float(values.mean()), "correlation_low": float(low), "correlation_high": float(high)}


def draw(told: pd.DataFrame) -> Figure:
    """Draw the correlations with their intervals: a row for each reading, a panel for each outcome."""
    with styled():
        figure = Figure(figsize=(7.2, 2.6), layout="constrained")
        axes = figure.subplots(1, len(LATER), sharey=True, squeeze=False)[0]
        for ax, (later, title) in zip(axes, LATER.items(), strict=True):
            ax.axvline(0, color="black", linewidth=0.6)
            for ways, group in told[told["later"] == later].groupby("ways", sort=False):
                shift, colour = {"all": (-0.13, "#0072B2")}.get(str(ways), (0.13, "#999999"))
                for row in group.to_dict("records"):
                    y = list(READINGS).index(row["reading"]) + shift
                    ax.plot([row["correlation_low"], row["correlation_high"]], [y, y], color=colour, linewidth=1)
                    ax.plot(row["correlation"], y, "o", color=colour, markersize=4)
            ax.set_title(title)
            ax.set_xlim(-0.25, 1)
        axes[0].set_yticks(range(len(READINGS)), list(READINGS.values()))
        axes[0].invert_yaxis()
        figure.supxlabel(
            "rank correlation over ways to step: the first step's row with what more of them give", fontsize=8
        )
        for label, colour in (("all ways", "#0072B2"), ("without single modalities", "#999999")):
            axes[-1].plot([], [], "o-", color=colour, markersize=4, label=label)
        figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
    return figure
