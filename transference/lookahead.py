"""The lookahead: one outer step on one source task, as a displacement of the parameters.

The displacement ``d`` is all that crosses from the source side to the target side. One gradient serves several step sizes α, and the sign
of a loss ratio depends on the step, so every lookahead answers with one displacement per step size.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from torch import Tensor

from transference import _trees
from transference.checkpoints import AdamState, Checkpoint
from transference.episodes import Params
from transference.errors import CheckpointError, UsageError
from transference.learners import chosen


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

    def displacements(self, params: Params, gradient: Params, optimizer_state: AdamState | None) -> list[Params]:
        """Return one displacement per step size, in the order of ``alpha``.

        Args:
            params: θ, by name.
            gradient: ∇L_i(θ) of the parameters that move and that the loss depends on; shapes as in ``params``.
            optimizer_state: the checkpoint's, where it has one.
        """


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

    def displacements(self, params: Params, gradient: Params, optimizer_state: AdamState | None) -> list[Params]:
        """Return ``-α g`` for each α."""
        del params, optimizer_state
        return [{name: -alpha * g for name, g in gradient.items()} for alpha in step_sizes(self)]


@dataclasses.dataclass(frozen=True)
class Adam:
    """The step that the checkpoint's own Adam would take on this gradient, from its moments (Kingma & Ba, 2015, Algorithm 1).

    ``m' = β₁m + (1-β₁)g``, ``v' = β₂v + (1-β₂)g²``, ``d = -α (m'/(1-β₁ᵗ)) / (√(v'/(1-β₂ᵗ)) + ε)`` with ``t`` one more than the
    checkpoint's count. A parameter without moments starts from zero, as in a first step.

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

    def displacements(self, params: Params, gradient: Params, optimizer_state: AdamState | None) -> list[Params]:
        """Return Adam's step for each α.

        Raises:
            CheckpointError: the checkpoint holds no optimizer state to step with.
        """
        del params
        if optimizer_state is None:
            raise CheckpointError("Adam was asked for, but the checkpoint holds no optimizer state; use sgd, or save the state with it.")
        unit = {name: _adam_unit_step(name, g, optimizer_state) for name, g in gradient.items()}
        return [{name: -alpha * step for name, step in unit.items()} for alpha in step_sizes(self)]


def _adam_unit_step(name: str, g: Tensor, state: AdamState) -> Tensor:
    beta1, beta2 = state.betas
    t = state.steps.get(name, 0) + 1
    m = (1 - beta1) * g + (beta1 * state.exp_avg[name] if name in state.exp_avg else 0.0)
    v = (1 - beta2) * g.square() + (beta2 * state.exp_avg_sq[name] if name in state.exp_avg_sq else 0.0)
    return (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + state.eps)


def step_sizes(lookahead: Lookahead) -> tuple[float, ...]:
    """Return the step sizes as a tuple, whether one was given or several."""
    alpha = lookahead.alpha
    return tuple(float(a) for a in alpha) if isinstance(alpha, Sequence) else (float(alpha),)


def moving(
    lookahead: Lookahead, names: Iterable[str], *, tied: Mapping[str, str] | None = None, constants: Collection[str] = ()
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

    Raises:
        UsageError: no step size was given, and the checkpoints hold none or differ in it. Stages measured at different step sizes could
            not be compared, since the step decides the sign of many ratios.
    """
    if step_sizes(lookahead):
        return lookahead
    rates = {checkpoint.step: checkpoint.optimizer.lr if checkpoint.optimizer else None for checkpoint in checkpoints}
    known = {rate for rate in rates.values() if rate is not None}
    if len(set(rates.values())) == 1 and known:
        stepped: Lookahead = dataclasses.replace(cast(Any, lookahead), alpha=(known.pop(),))
        return stepped
    if not known:
        raise UsageError("No step size was given, and no checkpoint holds the outer learning rate that it was trained with. Give --alpha.")
    found = ", ".join(f"{rate if rate is not None else 'none'} at step {step}" for step, rate in rates.items())
    raise UsageError(f"No step size was given, and the checkpoints do not share one outer learning rate (found: {found}). Give --alpha.")


def _check(lookahead: Lookahead) -> None:
    sizes = step_sizes(lookahead)
    if any(not math.isfinite(size) or size < 0 for size in sizes) or len(set(sizes)) != len(sizes):
        raise UsageError(f"The step sizes {sizes} were asked for; each must be a different finite number, zero or above.")
