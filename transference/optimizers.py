"""Outer optimizers: the state that a checkpoint holds, and the step that it would take next.

Every step here is ``-α u``, with a direction ``u`` that does not depend on the step size α: one gradient serves several of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from transference.episodes import Params
from transference.errors import CheckpointError, UsageError

_MOMENTS = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

SLOTS = {"sgd": ("momentum_buffer",), "adam": _MOMENTS, "adamw": _MOMENTS}
"""What each kind keeps beside a parameter, by torch's names."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False, "maximize": False},
    "adam": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False, "maximize": False},
    "adamw": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "amsgrad": False, "maximize": False},
}
"""Settings of each kind beside the learning rate, by torch's names and with its defaults."""


@dataclass(frozen=True)
class OptimizerState:
    """An outer optimizer at one moment of a training.

    Attributes:
        kind: ``"sgd"``, ``"adam"`` or ``"adamw"`` (whose weight decay is decoupled from the gradient).
        lr: the outer learning rate in force.
        settings: those that differ from `DEFAULTS`, by torch's names.
        slots: by slot (`SLOTS`) and parameter name, tensors of the parameter's shape.
        steps: updates so far, by parameter name.
        order: how many parameters there are, where a file numbers them (``"0"``, ``"1"``, …) in their order; None where it names them.
        unusable: why no step can be taken with it, for messages.
    """

    kind: str
    lr: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    slots: Mapping[str, Params] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)
    order: int | None = None
    unusable: str | None = None

    @classmethod
    def adam(
        cls,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        steps: Mapping[str, int] | None = None,
        exp_avg: Params | None = None,
        exp_avg_sq: Params | None = None,
    ) -> OptimizerState:
        """Return the state of Adam without weight decay.

        Args:
            lr: the outer learning rate in force.
            betas: decay rates of the two moments.
            eps: added to the root of the second moment.
            steps: updates so far, by parameter name.
            exp_avg: first moments, each of the parameter's shape.
            exp_avg_sq: second moments, likewise.
        """
        return cls(
            "adam",
            lr,
            {"betas": betas, "eps": eps},
            {"exp_avg": exp_avg or {}, "exp_avg_sq": exp_avg_sq or {}},
            steps or {},
        )

    def setting(self, name: str) -> Any:  # noqa: ANN401 - a number, a pair of them, or a switch
        """Return a setting, or torch's default of it."""
        return self.settings.get(name, DEFAULTS[self.kind][name])

    def slot(self, slot: str, name: str) -> Tensor | None:
        """Return what a slot keeps for a parameter; None before its first update."""
        return self.slots.get(slot, {}).get(name)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> OptimizerState:
        """Return the state with its tensors on ``device`` as ``dtype``."""
        moved = {
            slot: {name: value.to(device=device, dtype=dtype) for name, value in tree.items()}
            for slot, tree in self.slots.items()
        }
        return replace(self, slots=moved)

    def named(self, *candidates: Params) -> OptimizerState:
        """Return the state by parameter names, where the file has numbers in the parameters' order.

        Args:
            candidates: parameters in their order; the first whose number and shapes fit is taken. A state with names of its own must know
                those of one of them.
        """
        if self.order is None:
            known = {name for params in candidates for name in params}
            strange = [name for tree in self.slots.values() for name in tree if name not in known]
            if not strange:
                return self
            return replace(
                self, unusable=f"its outer optimizer keeps {strange[0]!r}, which is no tensor of the checkpoint"
            )
        for params in candidates:
            names = list(params)
            if len(params) == self.order and self._fits(names, params):
                slots = {slot: {names[int(k)]: value for k, value in tree.items()} for slot, tree in self.slots.items()}
                return replace(self, slots=slots, steps={names[int(k)]: n for k, n in self.steps.items()}, order=None)
        counts = " or ".join(str(len(params)) for params in candidates)
        return replace(
            self,
            unusable=f"its outer optimizer keeps {self.order} parameters by number, and their count or shapes do not fit the {counts} "
            "tensors of θ in their order. Save its state by name, or take --lookahead sgd",
        )

    def _fits(self, names: list[str], params: Params) -> bool:
        return all(
            value.shape == params[names[int(number)]].shape
            for tree in self.slots.values()
            for number, value in tree.items()
        )


def parse_optimizer(text: str) -> OptimizerState:
    """Return an optimizer that begins afresh, from ``adam,lr=0.001`` or ``sgd,lr=0.1,momentum=0.9,nesterov=true``.

    Settings are those of `DEFAULTS` by their names; ``betas=0.9/0.999``.

    Raises:
        UsageError: there is no such optimizer or setting, its value is none, or the rate is missing.
    """
    kind, *words = (word.strip() for word in text.split(","))
    form = (
        f"write KIND,lr=X, KIND one of {', '.join(DEFAULTS)}, and settings behind it, such as sgd,lr=0.1,momentum=0.9"
    )
    if kind not in DEFAULTS:
        raise UsageError(f"The optimizer {text!r} was asked for; {form}.")
    found: dict[str, Any] = {}
    for name, _, value in (word.partition("=") for word in words):
        if (name != "lr" and name not in DEFAULTS[kind]) or name in found:
            raise UsageError(f"{name!r} of the optimizer {text!r} is no setting of {kind}, or given twice; {form}.")
        usual = DEFAULTS[kind].get(name, 0.0)
        try:
            found[name] = _value(value, usual)
        except ValueError as error:
            raise UsageError(f"{name} of the optimizer {text!r} must be {error}.") from error
    if "lr" not in found:
        raise UsageError(f"The optimizer {text!r} has no rate; {form}.")
    return OptimizerState(kind, found.pop("lr"), found)


def _value(text: str, usual: object) -> Any:  # noqa: ANN401 - a number, a pair of them, or a switch
    """Return a setting's value from its text; of the kind of the usual one.

    Raises:
        ValueError: it is none.
    """
    if isinstance(usual, bool):
        if text not in ("true", "false"):
            raise ValueError("a switch, true or false")
        return text == "true"
    wanted = (
        "two numbers from 0 to below 1, such as 0.9/0.999"
        if isinstance(usual, tuple)
        else "a finite number, 0 or above"
    )
    try:
        numbers = tuple(float(word) for word in text.split("/"))
    except ValueError:
        numbers = ()
    fits = len(numbers) == (2 if isinstance(usual, tuple) else 1) and all(0 <= x < math.inf for x in numbers)
    if not fits or (isinstance(usual, tuple) and max(numbers) >= 1):
        raise ValueError(wanted)
    return numbers if isinstance(usual, tuple) else numbers[0]


def direction(state: OptimizerState, name: str, parameter: Tensor, gradient: Tensor) -> Tensor:
    """Return ``u`` of the next step ``-α u`` on one parameter, as ``torch.optim`` takes it.

    Args:
        state: whose step.
        name: of the parameter.
        parameter: its value.
        gradient: of the loss, of the same shape.

    Raises:
        CheckpointError: the state cannot be used.
    """
    if state.unusable:
        raise CheckpointError(f"No step of the checkpoint's own can be taken: {state.unusable}.")
    return _RULES[state.kind](state, name, parameter, -gradient if state.setting("maximize") else gradient)


def _sgd(state: OptimizerState, name: str, parameter: Tensor, g: Tensor) -> Tensor:
    """``b' = μ b + (1-τ) g``, and ``u = b'``, or ``g + μ b'`` with Nesterov's momentum (Sutskever et al., 2013, as torch has it)."""
    momentum = state.setting("momentum")
    g = _decayed(state, parameter, g)
    if not momentum:
        return g
    kept = state.slot("momentum_buffer", name)
    buffer = g if kept is None else momentum * kept + (1 - state.setting("dampening")) * g
    return g + momentum * buffer if state.setting("nesterov") else buffer


def _adam(state: OptimizerState, name: str, parameter: Tensor, g: Tensor) -> Tensor:
    """``m' = β₁m + (1-β₁)g``, ``v' = β₂v + (1-β₂)g²``, ``u = (m'/(1-β₁ᵗ)) / (√(v'/(1-β₂ᵗ)) + ε)`` (Kingma & Ba, 2015, Algorithm 1).

    ``t`` is one more than the updates so far. With amsgrad the largest ``v'`` so far stands in the root (Reddi et al., 2018).
    """
    return _moments(state, name, _decayed(state, parameter, g))


def _adamw(state: OptimizerState, name: str, parameter: Tensor, g: Tensor) -> Tensor:
    """Adam's direction of the gradient alone, and ``λ θ`` beside it (Loshchilov & Hutter, 2019)."""
    decay: float = state.setting("weight_decay")
    adaptive = _moments(state, name, g)
    return adaptive + decay * parameter if decay else adaptive


def _moments(state: OptimizerState, name: str, g: Tensor) -> Tensor:
    betas: tuple[float, float] = state.setting("betas")
    beta1, beta2 = betas
    first, second, t = state.slot("exp_avg", name), state.slot("exp_avg_sq", name), state.steps.get(name, 0) + 1
    m = (1 - beta1) * g + (0.0 if first is None else beta1 * first)
    v = (1 - beta2) * g.square() + (0.0 if second is None else beta2 * second)
    if state.setting("amsgrad") and (largest := state.slot("max_exp_avg_sq", name)) is not None:
        v = torch.maximum(v, largest)
    eps: float = state.setting("eps")
    return (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)


def _decayed(state: OptimizerState, parameter: Tensor, g: Tensor) -> Tensor:
    """Return the gradient of the loss with ``λ/2 ‖θ‖²`` added to it."""
    decay: float = state.setting("weight_decay")
    return g + decay * parameter if decay else g


_RULES = {"sgd": _sgd, "adam": _adam, "adamw": _adamw}
