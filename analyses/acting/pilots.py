"""The pilot, and what is read from it: one training on all families, stopped early, and the runs that measure it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import transference as tr
from transference.engines import meta_gradient

KS = (15, 50, 150)
"""Updates of the lookaheads, as the config's predictors have them."""

_OF_PLAN = ("seeds", "subsets", "test", "iterations", "save-every")
"""What a plan says that a pilot does not share."""


@dataclass(frozen=True)
class Pilot:
    """One training on all families and what was measured on it.

    Attributes:
        config: of the experiment.
        options: of the plan, those that all trainings share.
        seed: of the training; it is measured on source tasks of ten times this seed, and on target tasks of the seed after that, so that
            pilots whose seeds are neighbours share none.
        folder: where training and runs are kept.
    """

    config: dict[str, Any]
    options: dict[str, Any]
    seed: int
    folder: Path

    @classmethod
    def of(cls, config: dict[str, Any], plan: Path, seed: int, runs: Path) -> Pilot:
        """Return the pilot of a seed, which is trained as the plan's trainings are."""
        options = {name: value for name, value in tomllib.loads(plan.read_text()).items() if name not in _OF_PLAN}
        return cls(config, options, seed, runs / "e1-pilots" / f"seed{seed}")

    @property
    def families(self) -> list[str]:
        """The families, in the order of the config."""
        found: list[str] = self.config["families"]
        return found

    def train_words(self) -> list[str]:
        """Return the words of the command that trains it."""
        updates = self.config["pilot"]["updates"]
        own = {"iterations": updates, "save-every": updates, "seed": self.seed, "out": self.folder / "training"}
        return [str(word) for name, value in (self.options | own).items() for word in (f"--{name}", value)]

    @cached_property
    def checkpoint(self) -> tr.Checkpoint:
        """Where the training was stopped; it is trained if it was not yet."""
        subprocess.run([sys.executable, "-m", "transference.cli", "train", *self.train_words()], check=True)
        return tr.load_checkpoint(self.folder / "training" / f"step-{self.config['pilot']['updates']:08d}.safetensors")

    def tasks(self, split: str) -> list[tr.TaskSampler]:
        """Return the tasks that it is measured on: sources of the split train, targets of the split test."""
        shape = {name: self.options[name] for name in ("ways", "shots", "queries")}
        seed = 10 * self.seed + (split == "test")
        return [tr.open_tasks(f"{family}:{split}", **shape, seed=seed) for family in self.families]

    def steps(self) -> tr.Run:
        """Return the table of one step on single tasks: exact, with the first order beside it."""
        return self._measured(
            "steps",
            n_source=self.config["pilot"]["n_source"],
            n_target=self.config["pilot"]["n_target"],
            lookahead=tr.SGD(tuple(self.config["pilot"]["alpha"])),
        )

    def updates(self) -> tr.Run:
        """Return the table of K updates on every subset, one trajectory of each."""
        several = [subset for subset in subsets(self.families) if len(subset) > 1]
        return self._measured(
            "updates",
            n_source=1,
            n_target=self.config["pilot"]["n_read"],
            lookahead=tr.ModeLookahead(KS, batching=self.options["batching"]),
            combine={"+".join(subset): tr.Together(subset) for subset in several},
        )

    def cosines(self) -> pd.DataFrame:
        """Return the cosines of the families' mean gradients, a row and a column for each family."""
        learner = tr.load_learner(self.checkpoint)
        n, flat = self.config["pilot"]["gradient_tasks"], []
        for sampler in self.tasks("train"):
            found = meta_gradient("together", learner, self.checkpoint.params, [(sampler, index) for index in range(n)])
            flat.append(torch.cat([found.gradient[name].flatten() for name in sorted(found.gradient)]).double())
        rows = torch.stack([one / one.norm() for one in flat])
        return pd.DataFrame((rows @ rows.T).numpy(), self.families, self.families)

    def _measured(self, name: str, **question: Any) -> tr.Run:  # noqa: ANN401 - the arguments of measure
        return tr.measure(
            tr.load_learner(self.checkpoint),
            self.checkpoint,
            self.tasks("train"),
            self.tasks("test"),
            controls=0,
            device=self.options["device"],
            out=self.folder / name,
            progress=True,
            **question,
        )


def subsets(families: Sequence[str]) -> list[tuple[str, ...]]:
    """Return all subsets that are not empty, the smaller first."""
    return [one for size in range(1, len(families) + 1) for one in combinations(families, size)]


def mean_logs(run: tr.Run, alpha: float, column: str = "loss_ratio") -> pd.DataFrame:
    """Return the mean over pairs of a log ratio, a row per source mode and a column per target mode.

    Args:
        run: of single tasks.
        alpha: the step size.
        column: ``loss_ratio`` or ``tempered_ratio``, of which the logarithm is taken, or ``first_order``, which is one.
    """
    pairs = run.pairs()
    pairs = pairs[pairs["alpha"] == alpha]
    values = pairs[column] if column == "first_order" else np.log(pairs[column])
    return _table(pairs.assign(value=values).groupby(["source_mode", "target_mode"], observed=True)["value"].mean())


def logs_of_means(run: tr.Run, updates: int) -> pd.DataFrame:
    """Return the log ratio of the mean loss after K updates and before them, a row per source and a column per target mode."""
    pairs = run.pairs()
    means = (
        pairs[pairs["alpha"] == updates]
        .groupby(["source_mode", "target_mode"], observed=True)[["loss_after", "loss_before"]]
        .mean()
    )
    return _table(np.log(means["loss_after"] / means["loss_before"]))


def _table(values: pd.Series) -> pd.DataFrame:
    table = values.unstack()
    plain = lambda names: [str(name).split(":")[0] for name in names]
    return table.set_axis(plain(table.index), axis=0).set_axis(plain(table.columns), axis=1)
