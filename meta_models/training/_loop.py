"""Meta-training: Adam on the mean loss of a meta-batch of tasks, balanced over modes.

What moves is what a measurement would move (`transference.learners.Theta`).

Task ``k`` of a training is task ``k // n_modes`` of mode ``k % n_modes``, or with weights the next task of the mode whose turn it is
(`Turns`); iteration ``t`` takes tasks ``t·b … (t+1)·b-1``. Tasks are
addressed, not drawn from a generator, so a resumed training meets the very tasks that an undisturbed one would have met.

The released programs keep one Adam for the backbone and one for the encoder, with the same settings. Adam works element by element, so a
single one is the same.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from meta_models.backbones import task_encoder
from meta_models.training._evaluation import evaluate, summary
from meta_models.training._folder import Folder
from meta_models.training._turns import turns_of
from transference import Checkpoint, Combination, Learner, OptimizerState, Params, load_checkpoint, save_checkpoint
from transference.combine import check_number, parse_combination, parts_of
from transference.devices import full_precision, undisturbed, workers
from transference.engines import Task, meta_batch, repeated, update_gradient, usual, where
from transference.errors import LearnerError, UsageError
from transference.learners import ConfiguredLearner, EpisodeError, Theta, check_pure, tell_apart
from transference.logs import Careful, Log, Scalars
from transference.progress import progress_bar
from transference.samplers import DescribingSampler, TaskSampler
from transference.updates import OuterOptimizer, rate_at
from transference.weights import check_weights


@dataclass(frozen=True)
class Training:
    """What a training depends on. Two trainings that differ only in length agree as far as the shorter one goes.

    Attributes:
        learner: the name that checkpoints carry.
        config: the learner's settings.
        modes: names of the datasets; their ``train`` splits are used.
        ways: classes per task.
        shots: support images per class.
        queries: query images per class.
        side: pixels along each edge.
        channels: 1 or 3.
        meta_batch: tasks per outer update.
        lr: Adam's rate; ``(0.9, 0.999)`` and 1e-8 are its other settings.
        halve_every: the rate is halved with every such update, counted from 1 and that one included, as in the released KML program; 0
            keeps it constant.
        clip_norm: the gradient's norm is limited to this, for encoder and generators and for the rest each; 0 does not limit it.
        seed: of the initial parameters and of the tasks.
        rotated: names of the datasets whose classes are turned by a random number of quarter turns, anew in every task.
        combine: how the modes' gradients are combined, as `transference.combine.parse_combination` reads it; empty for the mean over
            tasks.
        weights: of every mode, in proportion to which it has tasks; 0 for a mode of which none is drawn. Empty, or with equal weights,
            modes take turns.

    Raises:
        UsageError: a number is out of range, there is no such combination, or weights do not suit the modes or the combination.
    """

    learner: str
    config: dict[str, Any] = field(default_factory=dict)
    modes: tuple[str, ...] = ()
    ways: int = 5
    shots: int = 1
    queries: int = 15
    side: int = 28
    channels: int = 3
    meta_batch: int = 10
    lr: float = 1e-3
    halve_every: int = 0
    clip_norm: float = 0.0
    seed: int = 0
    rotated: tuple[str, ...] = ()
    combine: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wrong = [name for name in ("halve_every", "clip_norm", "seed") if not 0 <= getattr(self, name) < math.inf]
        wrong += [name for name in ("meta_batch", "lr") if not 0 < getattr(self, name) < math.inf]
        if wrong:
            told = ", ".join(f"{name} {getattr(self, name)}" for name in wrong)
            raise UsageError(
                f"The training was to have {told}; meta_batch and lr must be above 0, all of them finite and not negative."
            )
        if self.weights:
            check_weights(self.weights, self.modes)
            if self.combine and self._weighted:
                raise UsageError(
                    f"The combination {self.combine} takes as many tasks of every mode, and weights that differ were given; leave one out."
                )

    @property
    def _weighted(self) -> bool:
        """Whether any mode has another weight than the others."""
        return len(set(self.weights.values())) > 1

    def lr_at(self, iteration: int) -> float:
        """Return the outer rate of the update that follows ``iteration`` others.

        The released KML program counts updates from 1 and halves *before* it takes the step (``if i % 10000 == 0`` ahead of
        ``optimizer.step()``), so that update 10 000 is the first at the lower rate.
        """
        return rate_at(self.lr, iteration, self.halve_every)

    def identity(self, tasks: Sequence[DescribingSampler]) -> dict[str, Any]:
        """Return what distinguishes this training, on these tasks, from any other, as plain JSON values."""
        return {**self.to_json(), "datasets": [sampler.digest for sampler in tasks]}

    def to_json(self) -> dict[str, Any]:
        """Return the training as plain JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        for name, told in (("rotated", self.rotated), ("combine", self.combine), ("weights", self._weighted)):
            if not told:
                del plain[name]  # as in trainings that were begun before there was a choice
        return plain


@undisturbed()
def train(
    learner: Learner,
    training: Training,
    tasks: Sequence[DescribingSampler],
    *,
    out: str | Path,
    iterations: int,
    save_every: int,
    validation: Sequence[TaskSampler] = (),
    n_validation: int = 0,
    device: torch.device | str = "cpu",
    batching: str = "auto",
    combination: Combination | None = None,
    progress: bool = False,
    log: Log | Scalars | None = None,
    log_every: int = 10,
    watch: Callable[[int, Callable[[], Checkpoint]], object] | None = None,
) -> list[Path]:
    """Meta-train a learner and save checkpoints; called again, go on from the last one.

    Args:
        learner: one that can begin from nothing (``init_params``).
        training: what the training depends on.
        tasks: one sampler per mode, on ``device``.
        out: the folder for ``step-*.safetensors``, ``training.json``, ``metrics/`` and ``validation/``.
        iterations: outer updates in all.
        save_every: updates between checkpoints; the last update is saved too.
        validation: one sampler per mode. The checkpoint with the best mean over modes, of accuracy or, without one, of loss, is kept as
            ``best.safetensors`` too.
        n_validation: tasks per mode that each checkpoint is validated on; 0 for no validation.
        device: where to compute.
        batching: ``"apart"`` (a thread per task), ``"together"`` (all tasks at once) or ``"auto"`` (what the folder was begun with, else
            what suits the tasks and the device). They differ in the last digits.
        combination: one of one's own, of which ``training.combine`` is then the name; by default the one that is called so.
        progress: show how far it is, with loss and accuracy, on stderr.
        log: takes ``train/loss/MODE``, ``train/accuracy/MODE`` and ``train/lr``, means over the last ``log_every`` updates, and at each
            checkpoint ``validation/loss/MODE`` and ``validation/accuracy/MODE``, by ``log.log(data, step=update)``: a run of wandb, trackio
            or anything alike, or TensorBoard's ``SummaryWriter``. If it fails the training goes on.
        log_every: updates between two entries of the log.
        watch: called after every update, and before the first one where a training goes on, with the number of updates
            and what makes the checkpoint (`transference.Watch`).

    Returns:
        The checkpoints of this training, in the order of their steps.

    Raises:
        LearnerError: the learner cannot begin from nothing, or its loss became infinite or NaN.
        SpecMismatchError: ``out`` holds another training.
        UsageError: a number is below one, or ``log`` is none.
    """
    if min(iterations, save_every, log_every) < 1 or n_validation < 0:
        raise UsageError(
            f"{iterations} iterations, saving every {save_every}, logging every {log_every}, {n_validation} validation tasks: the first "
            "three must be > 0."
        )
    tell = Careful(log)
    combination = _combination(training, combination)
    folder, device = Folder(Path(out)), torch.device(device)
    learner = check_tasks(learner, training, tasks, combination)
    folder.check(training.identity(tasks))
    saved = folder.saved()
    last = load_checkpoint(saved[max(saved)]) if saved else None
    done = last.step if last else 0
    theta = tell_apart(learner, last.params if last else learner.init_params(training.seed)).to(device)
    params, optimizer = _start(theta.params, training, last, device)
    batching = folder.batching(batching) or usual(theta.learner, params, (tasks[0], 0))
    folder.begin(training.identity(tasks), batching)
    folder.drop_records_after(done)
    folder.keep_best(n_validation)  # a training that was killed just before it could
    metrics: list[dict[str, Any]] = []
    recent: list[dict[str, Any]] = []
    bar = progress_bar(iterations, unit="it", shown=progress, initial=min(done, iterations))
    with full_precision(), bar, workers(), repeated():  # the same threads for all updates
        if watch and done:  # a stage that was interrupted once its checkpoint was saved
            watch(done, partial(_checkpoint, training, theta, params, optimizer, done))
        for iteration in range(done, iterations):
            found = _update(theta.learner, training, tasks, params, optimizer, iteration, batching, combination)
            metrics += found
            bar.set_postfix(_latest(metrics, len(tasks)), refresh=False)
            bar.update()
            step = iteration + 1
            recent += found if tell else []
            if recent and (step % log_every == 0 or step == iterations):
                tell(_logged("train", pd.DataFrame(recent)) | {"train/lr": found[0]["lr"]}, step)
                recent = []
            if step % save_every == 0 or step == iterations:
                folder.record("metrics", metrics, step)
                if n_validation:
                    scores = evaluate(
                        theta.learner,
                        _detached(params),
                        dict(zip(training.modes, validation, strict=True)),
                        n_validation,
                    )
                    folder.record("validation", validated := summary(scores), step)
                    if tell:
                        tell(_logged("validation", validated), step)
                save_checkpoint(_checkpoint(training, theta, params, optimizer, step), folder.checkpoint(step))
                folder.keep_best(n_validation)
                metrics = []
            if watch:
                watch(step, partial(_checkpoint, training, theta, params, optimizer, step))
    return [path for step, path in folder.saved().items() if step <= iterations]


def _combination(training: Training, given: Combination | None) -> Combination | None:
    """Return how the modes' gradients are combined: as given, else as the training says, None for the mean over tasks.

    Raises:
        UsageError: there are too few or too many modes for it, a mode would be missing from some meta-batch, or it has no name.
    """
    combination = parse_combination(training.combine)[1] if given is None and training.combine else given
    if combination is None:
        return None
    if not training.combine:
        raise UsageError(
            "A combination was given, but training.combine does not name it; checkpoints and folder must tell it."
        )
    check_number({training.combine: combination}, len(training.modes))
    n = len(training.modes)
    if training.meta_batch % n:
        raise UsageError(
            f"{training.combine} combines {n} modes, and the meta-batch of {training.meta_batch} tasks is no multiple of that; every mode "
            f"must have as many tasks. Take --meta-batch {n * max(1, training.meta_batch // n)}."
        )
    return combination


def _meta_batch(training: Training, tasks: Sequence[TaskSampler], iteration: int) -> list[Task]:
    """Return the tasks of one update."""
    if not training.weights:
        return meta_batch(tasks, training.meta_batch, iteration)
    turns = turns_of(tuple(training.weights[mode] for mode in training.modes))
    numbers = turns.between(iteration * training.meta_batch, (iteration + 1) * training.meta_batch)
    return [(tasks[mode], number) for mode, number in numbers]


def _update(
    learner: Learner,
    training: Training,
    tasks: Sequence[TaskSampler],
    params: Params,
    optimizer: OuterOptimizer,
    iteration: int,
    batching: str,
    combination: Combination | None,
) -> list[dict[str, Any]]:
    """Take one outer step in place, and return one row of metrics per mode.

    Raises:
        LearnerError: the learner failed on a task, or the loss or its gradient became infinite or NaN.
    """
    batch = _meta_batch(training, tasks, iteration)
    try:
        found = update_gradient(batching, learner, params, batch, combination)
    except EpisodeError as error:
        raise LearnerError(
            f"The learner failed at iteration {iteration + 1} {where(error, batch)}: {error}."
        ) from error
    scores: dict[str, list[tuple[float, float]]] = {mode: [] for mode in training.modes}
    for (sampler, _), score in zip(batch, zip(found.losses, found.accuracies, strict=True), strict=True):
        scores[training.modes[tasks.index(sampler)]].append(score)
    lr = training.lr_at(iteration)
    rows = [
        {"iteration": iteration + 1, "mode": mode, "loss": mean[0], "accuracy": mean[1], "lr": lr}
        for mode, seen in scores.items()
        if seen
        for mean in [torch.tensor(seen, dtype=torch.float64).mean(dim=0).tolist()]
    ]
    finite = all(math.isfinite(row["loss"]) for row in rows)
    if not (finite and optimizer.update(found.gradient, lr, training.clip_norm, apart=task_encoder.PREFIXES)):
        raise LearnerError(
            f"The loss or its gradient became infinite or NaN at iteration {iteration + 1}; lower the outer or inner rate."
        )
    return rows


def _start(
    values: Params, training: Training, last: Checkpoint | None, device: torch.device | str
) -> tuple[Params, OuterOptimizer]:
    """Return parameters and optimizer, fresh or as the last checkpoint left them."""
    state = last.optimizer if last and last.optimizer else OptimizerState.adam(lr=training.lr)
    optimizer = OuterOptimizer({name: value.to(device) for name, value in values.items()}, state)
    return optimizer.params, optimizer


def _checkpoint(training: Training, theta: Theta, params: Params, optimizer: OuterOptimizer, step: int) -> Checkpoint:
    state = optimizer.state(training.lr_at(step))
    return Checkpoint(
        _detached(theta.everything(params)), step, training.learner, training.config, state, training.to_json()
    )


def _detached(params: Params) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in params.items()}


def check_tasks(
    learner: Learner, training: Training, tasks: Sequence[TaskSampler], combination: Combination | None = None
) -> ConfiguredLearner:
    """Make sure that the learner can be trained on the first task of every mode, by the combination, if any; return it.

    Raises:
        LearnerError: it has no initial parameters, or fails on a task.
        UsageError: the modes, or the queries of their tasks, do not suit the combination.
    """
    combination = _combination(training, combination)
    if not isinstance(learner, ConfiguredLearner):
        raise LearnerError(f"{training.learner} has no init_params(seed), so that it cannot be trained from nothing.")
    theta = tell_apart(learner, learner.init_params(training.seed))
    for sampler in tasks:
        episode = sampler[0].to("cpu")
        episode.some_queries(0, parts_of(combination) if combination else 1)  # or it says that they cannot be split so
        check_pure(theta.learner, theta.params, episode)
    return learner


def _logged(part: str, table: pd.DataFrame) -> dict[str, float]:
    """Return the mean loss and accuracy of each mode, as a log names them."""
    means = table.groupby("mode", sort=False)[["loss", "accuracy"]].mean()
    return {
        f"{part}/{name}/{mode}": float(means.loc[mode, name]) for name in ("loss", "accuracy") for mode in means.index
    }


def _latest(metrics: list[dict[str, Any]], modes: int) -> dict[str, str]:
    """Return loss and accuracy over the last ten iterations, for the progress bar."""
    rows = metrics[-10 * modes :]
    return {name: f"{sum(row[name] for row in rows) / len(rows):.3f}" for name in ("loss", "accuracy")}
