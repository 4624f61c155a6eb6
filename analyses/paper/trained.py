"""The trainings, which stop in time and go on when they are asked for again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import transference as tr
from analyses.subjects import Places
from meta_models.training import Folder, Training, recipe_of, train
from transference.learners import offered_config

Config = dict[str, Any]

_SPARE = 1.2
"""What comes next may take so many times as long as what came last."""


class OutOfTime(Exception):  # noqa: N818 - no error: what is done is kept
    """The minutes are over; it says how far the work is."""


@dataclass
class Clock:
    """The minutes that may be spent.

    Attributes:
        minutes: how many; None for as many as it takes.
    """

    minutes: float | None
    _begun: float = field(default_factory=time.monotonic)

    def check(self, seconds: float, so_far: str) -> None:
        """Make sure that there is time for something that took so many seconds when it was done last.

        Raises:
            OutOfTime: there is not.
        """
        left = math.inf if self.minutes is None else self._begun + 60 * self.minutes - time.monotonic()
        if left <= _SPARE * seconds:
            raise OutOfTime(so_far)


def trained(name: str, config: Config, stages: Sequence[int], at: Places, device: torch.device, clock: Clock) -> Folder:
    """Train a learner up to the last of some stages, and return the folder of its checkpoints.

    Raises:
        OutOfTime: there was no time for it; the same call goes on.
    """
    folder = Folder(at.runs / "training" / name)
    if not set(stages) <= set(folder.saved()):
        try:
            _train(name, config, max(stages), folder.path, at, device, clock)
        finally:
            _tidy(folder, config["stages"])
    return folder


def _train(
    name: str, config: Config, iterations: int, out: Path, at: Places, device: torch.device, clock: Clock
) -> None:
    modes, shape = tuple(config["modes"]), config["tasks"]
    settings = offered_config(name, {"modes": list(modes), "ways": shape["ways"], "channels": 3})
    learner = tr.load_learner(name, settings)
    recipe = recipe_of(learner, len(modes))
    training = Training(
        learner=name,
        config=settings,
        modes=modes,
        **shape,
        channels=3,
        meta_batch=config.get("meta_batch", recipe.meta_batch),
        lr=recipe.lr,
        halve_every=recipe.halve_every,
        clip_norm=recipe.clip_norm,
        seed=config["seed"],
    )
    clock.check(0.0, f"{name} waits to be trained")  # before images are read
    tasks = [tasks_of(f"{mode}:train", config, at, seed=config["seed"], device=device) for mode in modes]
    every = config["save_every"]
    watch = _stopping(name, iterations, every, clock)
    train(
        learner,
        training,
        tasks,
        out=out,
        iterations=iterations,
        save_every=every,
        device=device,
        progress=True,
        watch=watch,
    )


def tasks_of(mode: str, config: Config, at: Places, *, seed: int, device: torch.device | str = "cpu") -> tr.FewShot:
    """Return the tasks of a mode's split; generated ones need no folder."""
    return tr.few_shot(
        mode, data_root=at.data if at.data.is_dir() else None, seed=seed, device=device, **config["tasks"]
    )


def _stopping(name: str, iterations: int, every: int, clock: Clock) -> Callable[[int, object], None]:
    """Return what ends a training once a checkpoint is saved and there is no time for the next."""
    before = time.monotonic()

    def watch(step: int, _: object) -> None:
        nonlocal before
        if step % every == 0 and step < iterations:
            took, before = time.monotonic() - before, time.monotonic()
            clock.check(took, f"{name} is at update {step:,} of {iterations:,}")

    return watch


def _tidy(folder: Folder, stages: Sequence[int]) -> None:
    """Remove the checkpoints that served to stop at: of forty, up to 14 MB each, those of the stages and the last are wanted."""
    saved = folder.saved()
    for step in [*saved][:-1]:
        if step not in stages:
            saved[step].unlink()
