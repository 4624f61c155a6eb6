"""The lookahead of K updates on a mode: where training would be, had it gone on with tasks of this mode alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from transference.checkpoints import Checkpoint
from transference.episodes import Params
from transference.errors import CheckpointError, UsageError
from transference.lookahead._lookahead import Source
from transference.optimizers import OptimizerState
from transference.updates import CLIPPED_APART, OuterOptimizer, rate_at

_OPTIONS = {"meta_batch": "--meta-batch N", "halve_every": "--halve-every N", "clip_norm": "--clip-norm X"}
"""By what a command settles what checkpoints do not tell, or not alike."""

_ABSENT = {"halve_every": 0, "clip_norm": 0.0}
"""What is taken where no checkpoint tells: a rate that stays as it is, and gradients as they are."""


@dataclasses.dataclass(frozen=True)
class ModeLookahead:
    """What K updates on a mode add to θ: ``d = θ^{t+K} - θ^t``, each update the training's own (`transference.updates`).

    The source is a mode instead of a task. Update k takes meta-batch k of the mode's tasks and steps along the gradient of their mean
    loss with the checkpoint's outer optimizer as its state leaves it, clipped and at the rate that training would have. Several K are
    prefixes of one trajectory. Draws (``n_source`` of `measure`) are trajectories on tasks of their own.

    What is None is taken from the training of the checkpoints; where that does not tell, the rate stays and nothing is clipped.

    Args:
        updates: K, one or several; they stand where other lookaheads have step sizes, in the column ``alpha`` too.
        meta_batch: tasks per update.
        optimizer: takes the updates, beginning afresh; by default the checkpoint's own does, as its state leaves it.
        halve_every: the rate is halved with every such update of the training, counted from its first; 0 keeps it.
        clip_norm: the gradient's norm is limited to this; 0 does not limit it.
        clip_apart: beginnings of the names of parameters whose gradients have a norm of their own when they are clipped.
        batching: how the tasks of a meta-batch are evaluated, ``"apart"`` or ``"together"``; by default as training would by default.
        moves: patterns of the names of the parameters that move (see `Lookahead.moves`).

    Raises:
        UsageError: a number is out of range, or an update is given twice, or ``optimizer`` has a state.
    """

    updates: int | tuple[int, ...]
    meta_batch: int | None = None
    optimizer: OptimizerState | None = None
    halve_every: int | None = None
    clip_norm: float | None = None
    clip_apart: tuple[str, ...] = CLIPPED_APART
    batching: str = "auto"
    moves: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        counts = tuple(self.updates) if isinstance(self.updates, Sequence) else (self.updates,)
        object.__setattr__(self, "updates", counts)  # one form, so that one question has one spec
        if not counts or len(set(counts)) < len(counts) or any(not _is_whole(k) or k < 1 for k in counts):
            told = ", ".join(map(str, counts)) or "no number"
            raise UsageError(f"Lookaheads of {told} updates were asked for; give different whole numbers, 1 or above.")
        if self.meta_batch is not None and not (_is_whole(self.meta_batch) and self.meta_batch >= 1):
            raise UsageError(f"A meta-batch of {self.meta_batch} tasks was asked for; give a whole number, 1 or above.")
        for name, value in (("halve_every", self.halve_every), ("clip_norm", self.clip_norm)):
            if value is not None and not 0 <= value < math.inf:
                raise UsageError(f"{name} = {value} was asked for; give a finite number, 0 or above.")
        if self.optimizer and (any(self.optimizer.slots.values()) or self.optimizer.steps):
            raise UsageError("The optimizer of a ModeLookahead begins afresh; its state belongs into the checkpoint.")
        if self.optimizer:
            object.__setattr__(self, "optimizer", dataclasses.replace(self.optimizer, slots={}))
        if self.optimizer and not 0 < self.optimizer.lr < math.inf:
            raise UsageError(f"The optimizer of a ModeLookahead has the rate {self.optimizer.lr}; it must be above 0.")

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of updates, as a tuple."""
        assert isinstance(self.updates, tuple)
        return self.updates

    @property
    def alpha(self) -> tuple[float, ...]:
        """The numbers of updates, which stand where other lookaheads have step sizes."""
        return tuple(map(float, self.counts))

    def displacements(self, source: Source) -> list[Params]:
        """Return ``θ^{t+K} - θ^t`` for each K; NaN from the update on whose loss or gradient is infinite or NaN.

        Raises:
            CheckpointError: there is no outer optimizer to update with, or one that cannot be used.
            UsageError: the source is a task, not a mode; or the lookahead is not `settled`.
        """
        if source.batches is None:
            raise UsageError("ModeLookahead steps on modes, and a single task was given; measure gives it modes.")
        if self.meta_batch is None or self.halve_every is None or self.clip_norm is None:
            raise UsageError("ModeLookahead has yet to be settled by the checkpoints that it steps from.")
        state, begun = self._state(source), source.batches.step
        start = {name: source.params[name] for name in source.batches.moving}
        optimizer, found = OuterOptimizer(start, state), {}
        loss, gradient = math.nan, {name: g.clone() for name, g in source.gradient.items()}
        for update in range(max(self.counts)):
            if update:
                loss, gradient = source.batches.mean_gradient({**source.params, **_detached(optimizer.params)}, update)
            rate = rate_at(state.lr, begun + update, self.halve_every, begun)
            finite = (not update or math.isfinite(loss)) and optimizer.update(
                gradient, rate, self.clip_norm, self.clip_apart
            )
            if not finite:
                break
            if update + 1 in self.counts:
                found[update + 1] = {name: value.detach() - start[name] for name, value in optimizer.params.items()}
        lost = {name: torch.full_like(value, torch.nan) for name, value in start.items()}
        return [found.get(k, lost) for k in self.counts]

    def told(self, checkpoints: Sequence[Checkpoint]) -> str:
        """Return in a line what updates are taken, once `settled`; of what nobody said, that nobody did."""
        states = [self.optimizer or checkpoint.optimizer for checkpoint in checkpoints]
        rates = " and ".join(dict.fromkeys(f"{state.lr:g}" for state in states if state))
        kinds = " and ".join(dict.fromkeys(state.kind for state in states if state))
        whose = "afresh" if self.optimizer else "as the checkpoint left it"
        silent = {
            name: ""
            if getattr(self, name) or any(name in checkpoint.training for checkpoint in checkpoints)
            else " (the checkpoint does not say how it was trained)"
            for name in _ABSENT
        }
        halved = f"halved every {self.halve_every} updates" if self.halve_every else "not halved"
        clipped = f"clipped at {self.clip_norm:g}" if self.clip_norm else "not clipped"
        return (
            f"each source is a mode: {', '.join(map(str, self.counts))} updates of {self.meta_batch} tasks by {kinds} {whose}, rate "
            f"{rates}, {halved}{silent['halve_every']}, gradients {clipped}{silent['clip_norm']}"
        )

    def settled(self, checkpoints: Sequence[Checkpoint]) -> ModeLookahead:
        """Return the lookahead with all that was left to the training of the checkpoints.

        Raises:
            UsageError: they do not tell, or not alike; or there is no outer optimizer.
        """
        if not self.optimizer and (lacking := [c for c in checkpoints if c.optimizer is None]):
            raise UsageError(
                f"The checkpoint {lacking[0].path or lacking[0].step} holds no optimizer state to take updates with. Give one that "
                "begins afresh, --outer-optimizer adam,lr=0.001 or sgd,lr=0.1,momentum=0.9 (in Python: ModeLookahead(…, optimizer=…))."
            )
        told = {name: self._told(name, checkpoints) for name in _OPTIONS}
        return dataclasses.replace(self, **told)

    def _told(self, name: str, checkpoints: Sequence[Checkpoint]) -> Any:  # noqa: ANN401 - a number
        given = getattr(self, name)
        if given is not None:
            return given
        found = [checkpoint.training.get(name, _ABSENT.get(name)) for checkpoint in checkpoints]
        if len(set(map(repr, found))) > 1 or not isinstance(found[0], int | float):
            what = "do not tell" if found[0] is None else f"tell {' and '.join(dict.fromkeys(map(str, found)))} as"
            raise UsageError(
                f"The checkpoints {what} {name} of their training, which a lookahead of several updates follows; give {_OPTIONS[name]} "
                f"(in Python: ModeLookahead(…, {name}=…))."
            )
        return found[0]

    def _state(self, source: Source) -> OptimizerState:
        state = self.optimizer or source.optimizer
        if state is None:
            raise CheckpointError("The checkpoint holds no optimizer state to take updates with; give an optimizer.")
        return state


def updates_of(lookahead: object) -> tuple[int, ...]:
    """Return the numbers of updates of a lookahead that takes several on a mode, empty for any other."""
    return lookahead.counts if isinstance(lookahead, ModeLookahead) else ()


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _detached(params: Mapping[str, torch.Tensor]) -> Params:
    return {name: value.detach() for name, value in params.items()}
