"""Outer updates: how a training moves θ along the gradient of a meta-batch, and a lookahead of several updates in its place."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from transference.devices import channels_last
from transference.episodes import Params
from transference.errors import CheckpointError
from transference.optimizers import DEFAULTS, SLOTS, OptimizerState

CLIPPED_APART = ("encoder.", "generator.")
"""How the names begin of what has a norm of its own when gradients are clipped: a task encoder and its generators, which the released
MMAML and KML programs give an optimizer of their own."""

_TORCH: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


class OuterOptimizer:
    """Parameters, and the optimizer of ``torch.optim`` that moves them, from a state on.

    Args:
        values: of the parameters, by name; they are copied.
        state: the optimizer's; a parameter that it keeps nothing of starts as in a first update.

    Raises:
        CheckpointError: the state cannot be used.
    """

    def __init__(self, values: Params, state: OptimizerState) -> None:
        if state.unusable:
            raise CheckpointError(f"No step of the checkpoint's own can be taken: {state.unusable}.")
        # Sorted, as a file has them: a norm over all parameters sums in the same order before and after a resume.
        self.params: Params = {
            name: channels_last(values[name].detach()).clone().requires_grad_() for name in sorted(values)
        }
        self._begun = state
        settings: dict[str, Any] = {name: state.setting(name) for name in DEFAULTS[state.kind]}
        self._optimizer = _TORCH[state.kind](self.params.values(), lr=state.lr, **settings)  # type: ignore[call-arg]
        for name, param in self.params.items():
            if kept := self._kept(state, name, param):
                self._optimizer.state[param] = kept

    def update(self, gradient: Params, rate: float, clip_norm: float = 0.0, apart: tuple[str, ...] = ()) -> bool:
        """Take one step in place, unless the gradient is infinite or NaN.

        Args:
            gradient: by name; what has no entry does not move. It may be clipped in place.
            rate: the outer learning rate of this update.
            clip_norm: the gradient's norm is limited to this; 0 does not limit it.
            apart: parameters whose names begin so have a norm of their own, and the rest another.

        Returns:
            Whether the step was taken.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        for name, param in self.params.items():
            param.grad = gradient.get(name)
        if clip_norm:
            for one in (True, False):
                part = [param for name, param in self.params.items() if name.startswith(apart) is one]
                torch.nn.utils.clip_grad_norm_(part, clip_norm)
        total = torch.nn.utils.get_total_norm(gradient.values(), norm_type=1.0)
        if not math.isfinite(float(total)):
            return False
        self._optimizer.step()
        return True

    def state(self, rate: float) -> OptimizerState:
        """Return the optimizer's state as a checkpoint holds it.

        Args:
            rate: the outer learning rate in force.
        """
        kept = {name: self._optimizer.state[param] for name, param in self.params.items()}
        slots = {
            slot: {name: entry[slot] for name, entry in kept.items() if isinstance(entry.get(slot), Tensor)}
            for slot in SLOTS[self._begun.kind]
        }
        return OptimizerState(
            self._begun.kind,
            rate,
            self._begun.settings,
            {slot: tree for slot, tree in slots.items() if tree},
            {name: int(entry["step"]) for name, entry in kept.items() if "step" in entry},
        )

    @staticmethod
    def _kept(state: OptimizerState, name: str, param: Tensor) -> dict[str, Tensor]:
        """Return what torch's optimizer is to find of a parameter; nothing before its first update."""
        found = {slot: state.slot(slot, name) for slot in SLOTS[state.kind]}
        kept = {slot: channels_last(value.to(param)).clone() for slot, value in found.items() if value is not None}
        if state.kind == "sgd" or not (kept or name in state.steps):
            return kept
        wanted = SLOTS[state.kind] if state.setting("amsgrad") else SLOTS[state.kind][:2]
        blank = {slot: torch.zeros_like(param) for slot in wanted}
        return {"step": torch.tensor(float(state.steps.get(name, 0))), **blank, **kept}


def rate_at(rate: float, update: int, halve_every: int, begun: int | None = None) -> float:
    """Return the outer learning rate of the update that follows ``update`` others.

    It is halved with every so-many-th update, counted from 1 and that one included, as in the released KML program.

    Args:
        rate: the rate of the update that follows ``begun`` others.
        update: updates before this one.
        halve_every: updates between two halvings; 0 keeps the rate.
        begun: updates before that of which ``rate`` is known; by default it is the rate before any halving.
    """
    if not halve_every:
        return rate
    before = 0 if begun is None else (begun + 1) // halve_every
    return float(rate * 0.5 ** ((update + 1) // halve_every - before))
