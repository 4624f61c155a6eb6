"""The lookahead: one outer step on one source task, as a displacement of the parameters.

The displacement ``d`` is all that crosses from the source side to the target side. One gradient serves several step sizes α, and the sign
of a loss ratio depends on the step, so every lookahead answers with one displacement per step size.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, cast

from transference import _trees
from transference.checkpoints import Checkpoint
from transference.episodes import Episode, Params
from transference.errors import CheckpointError, UsageError
from transference.learners import Learner, chosen
from transference.optimizers import OptimizerState, direction


class Episodes(Protocol):
    """Tasks by number, each drawn when it is asked for."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, task: int, /) -> Episode[Any]:
        """Return the episode of a task."""


class MetaBatches(Protocol):
    """The meta-batches of a mode, or of several modes that take turns."""

    @property
    def moving(self) -> Sequence[str]:
        """The names of the parameters that move."""

    @property
    def step(self) -> int:
        """The checkpoint's step, the number of updates before the first one here."""

    def mean_gradient(self, params: Params, update: int) -> tuple[float, Params]:
        """Return the mean loss of a meta-batch, and the gradient that an update steps along.

        Args:
            params: where.
            update: which meta-batch, from 0.
        """


@dataclasses.dataclass(frozen=True)
class Source:
    """A source task at θ, as a lookahead sees it.

    Attributes:
        learner: whose loss ``L_i`` is; takes ``params`` alone.
        params: θ, by name.
        gradient: ``∇L_i(θ)`` of the parameters that move and that the loss depends on; shapes as in ``params``.
        optimizer: the checkpoint's outer optimizer, where it has one.
        tasks: all that are measured in this role; a step on several of them combined asks for the others.
        number: of this task among them.
        batches: where the source is a mode: its meta-batches, of the first of which ``gradient`` is; None of a task.
    """

    learner: Learner
    params: Params
    gradient: Params
    optimizer: OptimizerState | None
    tasks: Episodes
    number: int = 0
    batches: MetaBatches | None = None

    @cached_property
    def episode(self) -> Episode[Any]:
        """The task's episode. It is drawn when a lookahead asks for it, since most need the gradient alone."""
        return self.tasks[self.number]


class Lookahead(Protocol):
    """A way to step. Ours are frozen dataclasses, so that a run's spec can name all their settings."""

    @property
    def alpha(self) -> float | tuple[float, ...]:
        """One step size or several; an empty tuple stands for the checkpoint's outer learning rate (see `with_alpha`)."""

    @property
    def moves(self) -> tuple[str, ...]:
        """Which parameters move; the others keep their values.

        Patterns of names, as in a shell; with a ``!`` in front, of what does not move. A name in full is taken at its
        word: it moves even if it looks like a buffer, and by itself even if it equals another tensor. ``NAME=NAME`` says
        that two names are one tensor.
        """

    def displacements(self, source: Source) -> list[Params]:
        """Return one displacement per step size, in the order of ``alpha``; a parameter without an entry stays where it is."""


@dataclasses.dataclass(frozen=True)
class SGD:
    """Plain gradient step ``d = -α g``, the paper's lookahead (θ_i = θ - α∇L_i; Abdollahzadeh et al., NeurIPS 2021).

    Args:
        alpha: one step size or several; none means the checkpoint's outer learning rate.
        moves: patterns of the names of the parameters that move (see `Lookahead.moves`).

    Raises:
        UsageError: a step size is negative, not finite, or given twice.
    """

    alpha: float | tuple[float, ...] = ()
    moves: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        _check(self)

    def displacements(self, source: Source) -> list[Params]:
        """Return ``-α g`` for each α."""
        return [{name: -alpha * g for name, g in source.gradient.items()} for alpha in step_sizes(self)]


@dataclasses.dataclass(frozen=True)
class Normalised(SGD):
    """A gradient step whose length is the step size, ``d = -α g / ‖g‖``; no step where the gradient is 0.

    Combinations differ in length as well as in direction, the sum of m gradients from their mean by the factor m: at one length it is
    the directions that are compared.

    Args:
        alpha: one step size or several, the lengths of the steps; none means the checkpoint's outer learning rate.
        moves: patterns of the names of the parameters that move (see `Lookahead.moves`).

    Raises:
        UsageError: a step size is negative, not finite, or given twice.
    """

    def displacements(self, source: Source) -> list[Params]:
        """Return ``-α g / ‖g‖`` for each α."""
        length = _trees.norm(source.gradient)
        unit = {name: g / length if length else g for name, g in source.gradient.items()}
        return super().displacements(dataclasses.replace(source, gradient=unit))


@dataclasses.dataclass(frozen=True)
class Outer:
    """The step that the checkpoint's own outer optimizer would take on this gradient, from its state.

    SGD with momentum, Adam and AdamW, with their weight decay (`transference.optimizers.direction`). What momentum and weight decay add
    belongs to the step: it is what training would do with this task. A parameter without a state starts as in a first step.

    Args:
        alpha: one step size or several; none means the checkpoint's outer learning rate.
        moves: patterns of the names of the parameters that move (see `Lookahead.moves`).

    Raises:
        UsageError: a step size is negative, not finite, or given twice.
    """

    alpha: float | tuple[float, ...] = ()
    moves: tuple[str, ...] = ("*",)

    def __post_init__(self) -> None:
        _check(self)

    def displacements(self, source: Source) -> list[Params]:
        """Return the optimizer's step for each α.

        Raises:
            CheckpointError: the checkpoint holds no optimizer state to step with, or one that cannot be used.
        """
        state = self._state(source)
        along = {name: direction(state, name, source.params[name], g) for name, g in source.gradient.items()}
        return [{name: -alpha * u for name, u in along.items()} for alpha in step_sizes(self)]

    def _state(self, source: Source) -> OptimizerState:
        if source.optimizer is None:
            name = type(self).__name__
            raise CheckpointError(
                f"{name} was asked for, but the checkpoint holds no optimizer state; use sgd, or save the state with it."
            )
        return source.optimizer


@dataclasses.dataclass(frozen=True)
class Adam(Outer):
    """`Outer` where the checkpoint's optimizer is Adam (Kingma & Ba, 2015), and refused where it is another.

    Args:
        alpha: one step size or several; none means the checkpoint's outer learning rate.
        moves: patterns of the names of the parameters that move (see `Lookahead.moves`).

    Raises:
        UsageError: a step size is negative, not finite, or given twice.
    """

    def _state(self, source: Source) -> OptimizerState:
        state = super()._state(source)
        if state.kind != "adam":
            raise CheckpointError(
                f"Adam was asked for, but the checkpoint's outer optimizer is {state.kind}; take the lookahead outer, or sgd."
            )
        return state


def step_sizes(lookahead: Lookahead) -> tuple[float, ...]:
    """Return the step sizes as a tuple, whether one was given or several."""
    alpha = lookahead.alpha
    return tuple(float(a) for a in alpha) if isinstance(alpha, Sequence) else (float(alpha),)


def moving(
    lookahead: Lookahead,
    names: Iterable[str],
    *,
    tied: Mapping[str, str] | None = None,
    constants: Collection[str] = (),
) -> list[str]:
    """Return the names among ``names`` that the lookahead moves.

    Args:
        lookahead: says which.
        names: of θ.
        tied: further names of its tensors, by which they may be selected too.
        constants: names of what is no part of θ.

    Raises:
        UsageError: a pattern matches none of them.
    """
    return chosen(lookahead.moves, names, tied or {}, constants)


def describe(lookahead: Lookahead) -> dict[str, Any]:
    """Return kind and settings as plain values, for the run's spec."""
    return {
        "kind": type(lookahead).__name__.lower(),
        **_trees.settings(lookahead),
        "alpha": list(step_sizes(lookahead)),
        "moves": list(lookahead.moves),
    }


def with_alpha(lookahead: Lookahead, checkpoints: Sequence[Checkpoint]) -> Lookahead:
    """Return the lookahead with a step size: its own, else the outer learning rate that all the checkpoints share.

    One that takes several updates is settled by the checkpoints instead (`transference.ModeLookahead`).

    Raises:
        UsageError: no step size was given, and the checkpoints hold none or differ in it. Stages measured at different step sizes could
            not be compared, since the step decides the sign of many ratios.
    """
    if settle := getattr(lookahead, "settled", None):
        settled: Lookahead = settle(checkpoints)
        return settled
    if step_sizes(lookahead):
        return lookahead
    states = {checkpoint.step: checkpoint.optimizer for checkpoint in checkpoints}
    rates = {step: state.lr if state and not state.unusable else None for step, state in states.items()}
    known = {rate for rate in rates.values() if rate is not None}
    if len(set(rates.values())) == 1 and known:
        stepped: Lookahead = dataclasses.replace(cast(Any, lookahead), alpha=(known.pop(),))
        return stepped
    if not known:
        raise UsageError(
            "No step size was given, and no checkpoint holds the outer learning rate that it was trained with. Give --alpha."
        )
    found = ", ".join(f"{rate if rate is not None else 'none'} at step {step}" for step, rate in rates.items())
    raise UsageError(
        f"No step size was given, and the checkpoints do not share one outer learning rate (found: {found}). Give --alpha."
    )


def _check(lookahead: Lookahead) -> None:
    sizes = step_sizes(lookahead)
    if any(not math.isfinite(size) or size < 0 for size in sizes) or len(set(sizes)) != len(sizes):
        raise UsageError(
            f"The step sizes {sizes} were asked for; each must be a different finite number, zero or above."
        )
