"""A training as the options of ``transference train`` ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from meta_models.training import Training, recipe_of
from transference.cli.combinations import read_combinations
from transference.cli.modes import in_order
from transference.cli.options import EPISODE, read_config, split_modes
from transference.cli.printing import say
from transference.datasets import only_split
from transference.devices import choose_device
from transference.errors import UsageError
from transference.learners import Learner, load_learner, offered_config
from transference.samplers import DescribingSampler, input_shapes, open_tasks
from transference.weights import parse_weights, read_weights

_SHAPE = ("ways", "shots", "queries", "side", "channels")


@dataclass(frozen=True)
class Asked:
    """What was asked for, with nothing done yet.

    Attributes:
        learner: built.
        training: what the training depends on.
        iterations: outer updates in all.
        data_root: the folder with prepared files.
        device: where to compute.
    """

    learner: Learner
    training: Training
    iterations: int
    data_root: Path | None
    device: torch.device

    @property
    def shape(self) -> dict[str, int]:
        """The numbers of a task."""
        return {name: getattr(self.training, name) for name in _SHAPE}

    def weighing(self, weights: Mapping[str, float]) -> Asked:
        """Return it with other weights of the modes."""
        return replace(self, training=replace(self.training, weights=weights))

    def tasks(self, split: str) -> list[DescribingSampler]:
        """Open the tasks of every mode, of a split or of what serves as it."""
        return [
            open_tasks(
                f"{name}:{_split(name, split, self.data_root)}",
                data_root=self.data_root,
                **self.shape,
                seed=self.training.seed,
                rotated=split == "train" and name in self.training.rotated,
                device=self.device,
            )
            for name in self.training.modes
        ]


def training_of(
    *,
    learner: str,
    modes: str,
    ways: int | None,
    shots: int | None,
    queries: int | None,
    side: int | None,
    channels: int | None,
    iterations: int | None,
    meta_batch: int | None,
    lr: float | None,
    halve_every: int | None,
    clip_norm: float | None,
    combine: str,
    weights: str | None,
    config: Path | None,
    rotate: str | None,
    data_root: Path | None,
    seed: int,
    device: str,
) -> Asked:
    """Return the training that options of ``transference train`` ask for.

    Raises:
        UsageError: they contradict each other, or what the learner's file of settings says.
    """
    names = in_order(split_modes(modes), data_root)
    rotated = in_order(split_modes(rotate, "--rotate"), data_root) if rotate else ()
    if not set(rotated) <= set(names):
        raise UsageError(f"--rotate {rotate} was asked for, but the modes are {modes}; name some of these.")
    combinations = read_combinations([combine] if combine else [], names, option="--modes", data_root=data_root)
    given = {"ways": ways, "shots": shots, "queries": queries, "side": side, "channels": channels}
    settings = _settings(learner, names, given, config, data_root)
    built = load_learner(learner, settings)
    recipe = recipe_of(built, len(names))
    usual = {**EPISODE, "shots": recipe.shots, "queries": recipe.queries}
    training = Training(
        learner=learner,
        config=settings,
        modes=names,
        **{name: usual[name] if value is None else value for name, value in given.items()},
        meta_batch=_usual_batch(recipe.meta_batch, len(names) if combine else 1) if meta_batch is None else meta_batch,
        lr=recipe.lr if lr is None else lr,
        halve_every=recipe.halve_every if halve_every is None else halve_every,
        clip_norm=recipe.clip_norm if clip_norm is None else clip_norm,
        seed=seed,
        rotated=rotated,
        combine=next(iter(combinations), ""),
        weights=weights_of(weights, data_root),
    )
    total = recipe.iterations if iterations is None else iterations
    return Asked(built, training, total, data_root, choose_device(device))


def weights_of(text: str | None, data_root: Path | None) -> dict[str, float]:
    """Return the weights that ``--weights`` names, by mode: those of a file, or the text's own; none without it.

    Raises:
        UsageError: it names none, or a mode twice.
    """
    if text is None:
        return {}
    file = Path(text)
    if "=" not in text and not file.is_file():
        raise UsageError(
            f"--weights {text} was asked for, and there is no such file; give one with a table [weights], or for example "
            "omniglot=1,fc100=0.5."
        )
    found = read_weights(file) if file.is_file() else parse_weights(text)
    return dict(zip(in_order(tuple(found), data_root, "--weights"), found.values(), strict=True))


def _settings(
    learner: str, names: tuple[str, ...], given: Mapping[str, int | None], config: Path | None, data_root: Path | None
) -> dict[str, Any]:
    """Return the learner's settings: those of its file, and what the command's options tell it.

    Raises:
        UsageError: the two contradict each other.
    """
    own = read_config(config)
    shape = {name: given[name] or EPISODE[name] for name in ("ways", "side", "channels")}
    offers: dict[str, Any] = {"modes": list(names), "ways": shape["ways"], "channels": shape["channels"]}
    if "modalities" not in own:  # a file may name more of them than these modes show
        offers["modalities"] = input_shapes(names, data_root=data_root, side=shape["side"], channels=shape["channels"])
    offered = offered_config(learner, offers)
    if contradicted := [name for name in own if name in offered and own[name] != offered[name]]:
        told = ", ".join(f"--{name} {offered[name]}" for name in contradicted)
        raise UsageError(
            f"{config} has its own {', '.join(contradicted)}, but the command asks for {told}; leave it out of the file."
        )
    return {**offered, **own}


def _split(name: str, split: str, data_root: Path | None) -> str:
    """Return the split of a dataset that serves as one of training or validation; a dataset without splits is trained on as a whole."""
    if split == "train" and only_split(name, data_root) == "all":
        say(
            f"note: {name} has no splits, and all its classes are trained on, so that none is left to measure on; transference datasets "
            f"prepare {name} --split 0.6,0.2,0.2 makes some",
            err=True,
        )
        return "all"
    return split


def _usual_batch(tasks: int, modes: int) -> int:
    """Return how many tasks an update has where as many are wanted of every mode: so many, or up to a multiple."""
    return -(-tasks // modes) * modes
