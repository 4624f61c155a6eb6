"""The pilot of a seed, and what is measured on its checkpoint: one training on all groups, stopped early."""

from __future__ import annotations

import random
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

import transference as tr
from analyses.acting.images.groups import SHUFFLED
from meta_models.backbones import conv4
from transference.engines import meta_gradient
from transference.learners import theta

HERE = Path(__file__).parent.parent

EXPERIMENTS = ("e2", "e3")

CHECKED = 10
"""Pairs of each group and target that are measured exactly where a table is calibrated."""

_OF_PILOT = ("iterations", "save-every", "keep-checkpoints")
"""What a pilot does not share with the trainings."""


def shared_options(config: dict[str, Any]) -> dict[str, Any]:
    """Return the options that all trainings share."""
    return tomllib.loads((HERE / config["plan"]).read_text())


def group_names(config: dict[str, Any], experiment: str, seed: int) -> tuple[str, ...]:
    """Return the names of the groups as an experiment has them with a seed: in E3 a third with their labels shuffled, in the same order.

    Args:
        config: of E2, with ``shuffled``, the number of E3.
        experiment: ``"e2"`` or ``"e3"``.
        seed: of the draw.
    """
    names = tuple(config["groups"])
    noisy = random.Random(f"shuffled {seed}").sample(names, config["shuffled"]) if experiment == "e3" else ()
    return tuple(name + SHUFFLED * (name in noisy) for name in names)


@dataclass(frozen=True)
class GroupPilot:
    """A training on all groups of an experiment, and what was measured on it.

    Attributes:
        config: of E2, with ``shuffled``.
        groups: the names of the datasets, in the order of the config.
        seed: of the trainings that it is to choose for; its own is 100 above.
        data: folder with the groups.
        folder: where training and runs are kept.
    """

    config: dict[str, Any]
    groups: tuple[str, ...]
    seed: int
    data: Path
    folder: Path

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets."""
        return tuple(self.config["targets"])

    @property
    def sizes(self) -> dict[str, Any]:
        """How much is trained and measured."""
        found: dict[str, Any] = self.config["pilot"]
        return found

    @cached_property
    def checkpoint(self) -> tr.Checkpoint:
        """Where the training was stopped; it is trained if it was not yet."""
        shared = {name: value for name, value in shared_options(self.config).items() if name not in _OF_PILOT}
        own = {
            "modes": ",".join(self.groups), "data-root": self.data, "seed": 100 + self.seed, "out": self.folder / "training",
            "iterations": self.sizes["updates"], "save-every": self.sizes["updates"],
        }  # fmt: skip
        words = [str(word) for name, value in (shared | own).items() for word in (f"--{name}", value)]
        subprocess.run([sys.executable, "-m", "transference.cli", "train", *words], check=True)
        return tr.load_checkpoint(self.folder / "training" / f"step-{self.sizes['updates']:08d}.safetensors")

    @cached_property
    def learner(self) -> tr.Learner:
        """The learner of the checkpoint."""
        return tr.load_learner(self.checkpoint)

    def tasks(self, name: str) -> tr.FewShot:
        """Return the tasks of a group or a target that it is measured on."""
        shape = {option: shared_options(self.config)[option] for option in ("ways", "shots", "queries", "side")}
        split, after = ("test", 1) if name in self.targets else ("train", 0)
        return tr.few_shot(f"{name}:{split}", data_root=self.data, seed=10 * (100 + self.seed) + after, **shape)

    def steps(self) -> tr.Run:
        """Return the run of one step on tasks of groups, read on the targets, at the best temperature too."""
        return self._measured("steps", self.groups, self.targets, **self._pairs, tempered=True)

    def calibrated(self) -> tr.Run:
        """Return the same with the first order everywhere and a tenth of the pairs exact."""
        return self._measured(
            "calibrated", self.groups, self.targets, **self._pairs, estimator=tr.Calibrated(checked=CHECKED, share=0.1)
        )

    def transposed(self) -> tr.Run:
        """Return the run of one step on tasks of the targets, read on the groups."""
        sizes = {"n_source": self.sizes["n_target"], "n_target": self.sizes["n_source"]}
        return self._measured("transposed", self.targets, self.groups, **self._pairs | sizes)

    def updates(self) -> tr.Run:
        """Return the run of K updates on each group, read on the targets."""
        question = {"n_source": 1, "n_target": self.sizes["n_read"]}
        lookahead = tr.ModeLookahead(tuple(self.sizes["k"]), batching=shared_options(self.config)["batching"])
        return self._measured("updates", self.groups, self.targets, **question, lookahead=lookahead)

    def gradients(self) -> dict[str, torch.Tensor]:
        """Return the mean gradient of each group's and each target's tasks, flat."""
        found = {}
        for name, sampler, n in self._all_tasks():
            mean = meta_gradient(
                "apart", self.learner, self.checkpoint.params, [(sampler, index) for index in range(n)]
            )
            found[name] = torch.cat([mean.gradient[key].flatten() for key in sorted(mean.gradient)]).double()
        return found

    def features(self) -> dict[str, torch.Tensor]:
        """Return the mean features of each group's and each target's support images, flat; a task's images share their batch."""
        params = theta(self.learner, self.checkpoint).params
        found = {}
        for name, sampler, n in self._all_tasks():
            means = [conv4.features(params, sampler[index].support_x).flatten(1).mean(dim=0) for index in range(n)]
            found[name] = torch.stack(means).mean(dim=0).double()
        return found

    @property
    def _pairs(self) -> dict[str, Any]:
        sizes = {name: self.sizes[name] for name in ("n_source", "n_target")}
        return sizes | {"lookahead": tr.SGD((self.sizes["alpha"],))}

    def _all_tasks(self) -> list[tuple[str, tr.FewShot, int]]:
        """Return groups and targets with their tasks, and how many of them are looked at."""
        return [(name, self.tasks(name), self.sizes["n_source"]) for name in self.groups] + [
            (name, self.tasks(name), self.sizes["n_target"]) for name in self.targets
        ]

    def _measured(self, name: str, sources: Sequence[str], targets: Sequence[str], **question: Any) -> tr.Run:  # noqa: ANN401 - the arguments of measure
        return tr.measure(
            self.learner,
            self.checkpoint,
            [self.tasks(one) for one in sources],
            [self.tasks(one) for one in targets],
            controls=0,
            device="cpu",
            out=self.folder / name,
            progress=True,
            **question,
        )
