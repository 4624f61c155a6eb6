"""What a measurement was asked, with its defaults filled in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch

from transference.checkpoints import Checkpoint
from transference.combine import Combination
from transference.devices import choose_device, n_workers
from transference.engines import ALIASES, Gradients, Trial, check_engine, n_tried, trial
from transference.estimators import Estimator, RayEstimator, with_engine
from transference.learners import Learner, check_logits, check_pure
from transference.lookahead import Lookahead, step_sizes, updates_of, with_alpha
from transference.measurement._blame import blamed
from transference.measurement._controlled import default_controls
from transference.measurement._draws import Draws
from transference.measurement._spec import make_spec
from transference.measurement._steps import Subject
from transference.measurement._tasks import Drawn, Tasks
from transference.measurement._temperature import tile_of_modes
from transference.samplers import TaskSampler
from transference.spec import CheckpointRef, RunSpec
from transference.store import Store

SOURCES, DRAWS = 300, 5
"""Tasks of a source mode, and draws of one that is a source itself, where nobody says how many."""

_MOST_ROWS = 2**20
"""Pairs times step sizes in a file, as far as the default goes: some tens of megabytes."""

_MOST_WORK = 2**18
"""The same where each is a loss to be evaluated: minutes of work at a thousand a second."""

_EXACT = 3000
"""Exact pairs that a run of estimates is taken to have at most, when it is asked whether compiling pays."""


@dataclass(frozen=True)
class Question:
    """A measurement, ready to be carried out.

    Attributes:
        learner: the learner.
        checkpoints: in the order of their steps.
        sources: one sampler per source mode.
        targets: one sampler per target mode.
        n_source: tasks per source mode.
        n_target: tasks per target mode.
        lookahead: the step, with its step sizes.
        estimator: how the losses after the step are read.
        replicates: episodes of each task.
        controls: pairs of each mode pair that have controls.
        device: where to compute.
        precision: ``"fp32"`` or ``"fp64"``.
        tile: sources and targets per file.
        combine: combinations of the source modes, by the name of the mode that each adds.
        beside: checkpoints that the run has, and that are not measured now.
        tiled: whether the tile was asked for; a default gives way to what a run was begun with.
        tempered: whether losses are also read at their best temperature.
        tempered_all: whether those of controls and of targets on themselves are, too; a run that was begun when pairs
            alone were goes on so.
    """

    learner: Learner
    checkpoints: tuple[Checkpoint, ...]
    sources: tuple[TaskSampler, ...]
    targets: tuple[TaskSampler, ...]
    n_source: int
    n_target: int
    lookahead: Lookahead
    estimator: Estimator
    replicates: int
    controls: int
    device: torch.device
    precision: str
    tile: tuple[int, int]
    combine: Mapping[str, Combination]
    beside: tuple[CheckpointRef, ...] = ()
    tiled: bool = True
    tempered: bool = False
    tempered_all: bool = False

    @classmethod
    def of(
        cls,
        learner: Learner,
        checkpoints: Checkpoint | Sequence[Checkpoint],
        sources: TaskSampler | Sequence[TaskSampler],
        targets: TaskSampler | Sequence[TaskSampler],
        *,
        n_source: int | None,
        n_target: int,
        lookahead: Lookahead,
        estimator: Estimator,
        replicates: int,
        controls: int | None,
        device: str,
        precision: str,
        tile: tuple[int, int] | None,
        combine: Mapping[str, Combination],
        beside: tuple[CheckpointRef, ...] = (),
        tempered: bool = False,
    ) -> Question:
        """Return the question that the arguments of `measure` ask.

        Raises:
            UsageError: there is no such device, or no step size.
        """
        ordered = (
            (checkpoints,) if isinstance(checkpoints, Checkpoint) else tuple(sorted(checkpoints, key=lambda c: c.step))
        )
        step = with_alpha(lookahead, ordered)
        from_samplers, to_samplers = _listed(sources), _listed(targets)
        if n_source is None:
            n_source = DRAWS if updates_of(step) else SOURCES
        estimated = estimator.sample is not None
        usual = default_tile(
            estimator,
            n_source * (len(from_samplers) + len(combine)),
            n_target * len(to_samplers),
            len(step_sizes(step)),
            whole=bool(updates_of(step)),
        )
        return cls(
            learner, ordered, from_samplers, to_samplers, n_source, n_target, step, estimator, replicates,
            default_controls(n_source, n_target, estimated=estimated) if controls is None else controls, choose_device(device), precision,
            tile or (tile_of_modes(usual, n_target) if tempered else usual), dict(combine), beside,
            tiled=tile is not None, tempered=tempered, tempered_all=tempered,
        )  # fmt: skip

    @property
    def spec(self) -> RunSpec:
        """The question as data."""
        asked = make_spec(
            self.learner, self.checkpoints, self.sources, self.targets, n_source=self.n_source, n_target=self.n_target,
            step=self.lookahead, estimator=self.estimator, controls=self.controls, device=self.device.type, precision=self.precision,
            tile=self.tile, replicates=self.replicates, combine=self.combine, tempered=self.tempered,
            tempered_all=self.tempered_all,
        )  # fmt: skip
        together = sorted({*asked.checkpoints, *self.beside}, key=lambda ref: ref.step)
        return replace(asked, checkpoints=tuple(together))

    def as_begun(self, store: Store) -> Question:
        """Return the question as the run in a folder was begun with it: what was left open then is not left open again.

        That is the engine, and the tile, whose default may be another one in another version; and which losses are tempered beside those of
        pairs.

        Raises:
            SpecMismatchError: the folder holds a run of another spec.
            StoreError: it holds something else.
        """
        spec = store.spec() if store.run_json.exists() else None
        begun = spec.estimator.get("engine") if spec else None
        mine = self.estimator.engine
        same = mine == "auto" or (begun is not None and ALIASES.get(mine, mine) == ALIASES.get(begun, begun))
        found = (
            replace(self, estimator=with_engine(self.estimator, begun)) if begun and same and begun != mine else self
        )
        if spec and not self.tiled and spec.tempered == self.tempered:
            found = replace(found, tile=spec.tile)
        if spec and spec.tempered and self.tempered:
            found = replace(found, tempered_all=spec.tempered_all)
        store.check(found.spec)
        return found

    def tasks(self, dtype: torch.dtype | None = None) -> tuple[Tasks, Tasks]:
        """Return the source tasks and the target tasks, on the device."""
        dtype = dtype or self.dtype
        kind = Draws if updates_of(self.lookahead) else Tasks
        return (
            kind(self.sources, self.n_source, self.device, dtype, combine=self.combine),
            Tasks(self.targets, self.n_target, self.device, dtype),
        )

    @property
    def dtype(self) -> torch.dtype:
        """The precision of parameters and images."""
        return torch.float64 if self.precision == "fp64" else torch.float32

    def subject(self, step: int, dtype: torch.dtype | None = None) -> Subject:
        """Return a checkpoint on the device."""
        (checkpoint,) = (c for c in self.checkpoints if c.step == step)
        return Subject.of(self.learner, checkpoint, self.lookahead, self.device, dtype or self.dtype)

    def subjects(self, *, checked: bool = True) -> dict[int, Subject]:
        """Return the checkpoints by step, on the device, the learner found to be a pure function on the first task of every sampler.

        Args:
            checked: whether that is found out; another process may have.

        Raises:
            LearnerError: it does not fit a checkpoint, or is no pure function.
            UsageError: a parameter that should move does not exist.
        """
        found = {checkpoint.step: self.subject(checkpoint.step) for checkpoint in self.checkpoints}
        for subject in (
            found.values() if checked else ()
        ):  # what can be wrong is found before the first tile, not after the first hour
            for tasks in self.tasks():
                for episode in tasks.firsts():
                    check_pure(subject.learner, subject.params, episode)
            for episode in self.tasks()[1].firsts() if self.tempered else ():
                check_logits(subject.learner, subject.params, episode)
        return found

    def with_engine(self, subjects: Mapping[int, Subject]) -> tuple[Question, Trial | None]:
        """Return the question with an engine, and the trial that decided, if it was left open.

        Raises:
            UsageError: the engine that was named cannot evaluate the learner.
        """
        subject, (sources, targets) = next(iter(subjects.values())), self.tasks()
        n_some = min(len(targets), n_tried(self.device))
        some = Drawn(targets, [k * len(targets) // n_some for k in range(n_some)])
        with blamed("target", some, subject.step):
            if self.estimator.engine != "auto":
                check_engine(self.estimator.engine, subject.learner, subject.params, some[0])
                return self, None
            spec = self.spec
            exact_pairs = spec.n_cells // len(spec.alphas) * len(spec.exact_at)
            exact_pairs += min(spec.n_cells - exact_pairs, _EXACT)
            of_samplers = len(self.sources) * self.n_source  # combinations are made of these
            n = len(spec.checkpoints) * spec.replicates * (of_samplers + len(targets))
            firsts = [
                k % len(self.sources) * self.n_source for k in range(n_workers())
            ]  # of which it is known that all is well
            gradients = Gradients(Drawn(sources, firsts), subject.moving, n)
            found = trial(subject.learner, subject.params, list(some), exact_pairs, gradients)
        return replace(self, estimator=with_engine(self.estimator, found.chosen)), found


def default_tile(
    estimator: Estimator, n_source: int, n_target: int, n_alphas: int = 1, *, whole: bool = False
) -> tuple[int, int]:
    """Return sources and targets per tile: few enough targets to fit in memory, and few files of little work each.

    An estimator that evaluates pairs holds the targets' images; one that only estimates holds their gradients. What a
    file holds is lost when a run is killed: exact pairs are cut into some 500 files as long as none is more than minutes
    of work, and 10¹⁰ of them into forty thousand.

    Args:
        estimator: how losses are read.
        n_source: sources, all modes together.
        n_target: targets, all modes together.
        n_alphas: step sizes.
        whole: sources are modes, each of which takes so long that a file has one.
    """
    if whole:
        return 1, 256 if estimator.sample else 64
    if estimator.sample and not isinstance(estimator, RayEstimator):
        targets = 256
        return min(1000, max(1, _MOST_ROWS // (targets * n_alphas))), targets
    targets, files = 64, 500
    few = math.ceil(n_source * math.ceil(n_target / targets) / files)
    return max(25, min(few, _MOST_WORK // (targets * n_alphas))), targets


def _listed(samplers: TaskSampler | Sequence[TaskSampler]) -> tuple[TaskSampler, ...]:
    # A sampler has [index] too, so a list is told by being one.
    return tuple(samplers) if isinstance(samplers, list | tuple) else (cast("TaskSampler", samplers),)
