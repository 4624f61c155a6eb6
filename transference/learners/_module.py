"""A learner made of a plain ``nn.Module`` and a loss."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from transference import _trees
from transference.episodes import Episode, Params
from transference.errors import LearnerError
from transference.exact_sums import ExactSums


class ModuleLearner:
    """Make a learner of a plain ``nn.Module`` and ``loss(module, episode)``.

    Args:
        module: its parameters name θ; its own values are never used nor changed. Buffers come from the checkpoint, and so
            do parameters with ``requires_grad=False``, which do not move. A parameter with several names is one entry of θ,
            under the first. Its mode is kept: in ``train()`` batch norm uses the statistics of the batch, in ``eval()`` those
            of the checkpoint.
        loss: computes the query loss after adaptation, a scalar, with the module holding the parameters of the moment. It may take
            ``torch.autograd.grad`` with respect to ``module.parameters()`` for an inner loop; the engines that compile and
            the one that batches need ``torch.func.grad`` there.

    Example:
        >>> net = nn.Linear(2, 3)
        >>> learner = ModuleLearner(net, lambda module, e: nn.functional.cross_entropy(module(e.query_x), e.query_y))
        >>> episode = Episode(torch.zeros(3, 2), torch.arange(3), torch.zeros(3, 2), torch.arange(3))
        >>> learner.episode_loss({"weight": torch.zeros(3, 2), "bias": torch.zeros(3)}, episode)
        tensor(1.0986, grad_fn=<NllLossBackward0>)
    """

    def __init__(
        self, module: nn.Module, loss: Callable[[nn.Module, Episode], Tensor], buffers: Params | None = None
    ) -> None:
        self._call = _Call(module, loss)
        self._loss = loss
        self._frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
        self._slots = _slots(module)
        self._buffers = {name: b.detach().clone() for name, b in module.named_buffers()} if buffers is None else buffers

    def episode_loss(self, params: Params, episode: Episode) -> Tensor:
        """Return ``loss(module, episode)`` with ``params`` in the module, ``[]``."""
        # In-place updates of buffers (running statistics) fall on copies, and are thrown away with them.
        like = next(iter(params.values()))
        buffers = {
            name: b.to(like.device, like.dtype if b.is_floating_point() else None, copy=True)
            for name, b in self._buffers.items()
        }
        leaves = {name: p.detach() if name in self._frozen else _leaf(p) for name, p in params.items()}
        values = {**leaves, **buffers}
        # Torch would tie the names itself, but puts a module that has two names twice, and then cannot take it back.
        state = {f"module.{slot}": values[name] for slot, name in self._slots.items() if name in values}
        with nullcontext() if torch.compiler.is_compiling() else ExactSums():  # whoever calls it, engine or not
            loss: Tensor = torch.func.functional_call(self._call, state, (episode,), tie_weights=False, strict=False)
        return loss

    def init_params(self, seed: int) -> Params:
        """Return the module's own initial values; ``seed`` has no say, since a module is initialised where it is built."""
        del seed
        return {name: p.detach().clone() for name, p in self._call.module.named_parameters()}

    @property
    def constants(self) -> tuple[str, ...]:
        """Names, as patterns, of the module's parameters that require no gradient."""
        return tuple(
            glob.escape(name) for name, parameter in self._call.module.named_parameters() if not parameter.requires_grad
        )

    @property
    def tied(self) -> tuple[tuple[str, ...], ...]:
        """The names of each parameter that has several, the first in front."""
        return _groups(self._call.module.named_parameters(remove_duplicate=False))

    def describe(self) -> dict[str, Any]:
        """Return the names of module and loss, and digests of the architecture as the module prints it and of unsaved buffers."""
        module, loss = self._call.module, self._loss
        unsaved = sorted((name, b) for name, b in self._buffers.items() if name not in module.state_dict())
        return {
            "module": f"{type(module).__module__}.{type(module).__qualname__}",
            "architecture": hashlib.blake2b(repr(module).encode(), digest_size=8).hexdigest(),
            "training": module.training,
            "unsaved_buffers": _trees.digest(unsaved),
            "loss": f"{getattr(loss, '__module__', '')}.{getattr(loss, '__qualname__', type(loss).__qualname__)}",
        }

    def split_buffers(self, tensors: Params) -> tuple[Params, Params]:
        """Return ``tensors`` split into parameters and buffers."""
        return _split(tensors, {name for name, _ in self._call.module.named_buffers(remove_duplicate=False)})

    def with_buffers(self, buffers: Params) -> ModuleLearner:
        """Return the same learner with other buffers.

        Raises:
            LearnerError: a buffer that the module saves is missing, or of another shape.
        """
        for first, *others in _groups(self._call.module.named_buffers(remove_duplicate=False)):
            value = next((buffers[name] for name in (first, *others) if name in buffers), None)
            own = {name: b for name, b in buffers.items() if name not in others}
            buffers = own if value is None else {**own, first: value}
        saved = {
            name: tuple(self._buffers[name].shape) for name in self._call.module.state_dict() if name in self._buffers
        }
        wrong = [
            f"{name} {shape}"
            for name, shape in saved.items()
            if name not in buffers or tuple(buffers[name].shape) != shape
        ]
        if wrong:
            raise LearnerError(
                f"The checkpoint lacks these buffers of the module, or has them in another shape: {', '.join(wrong)}."
            )
        return ModuleLearner(self._call.module, self._loss, {**self._buffers, **buffers})


class _Call(nn.Module):
    """``loss(module, episode)`` as a module's forward pass, which is what ``functional_call`` can put parameters into."""

    def __init__(self, module: nn.Module, loss: Callable[[nn.Module, Episode], Tensor]) -> None:
        super().__init__()
        self.module = module
        self.loss = loss

    def forward(self, episode: Episode) -> Tensor:
        """Return the loss, ``[]``."""
        return self.loss(self.module, episode)


def _leaf(parameter: Tensor) -> Tensor:
    """Return the parameter such that ``torch.autograd.grad`` of an inner loop reaches it, where that can be.

    Compiled, or inside ``torch.vmap``, it cannot: a loss without an inner loop, or with ``torch.func.grad`` in it, needs no such thing.
    """
    if parameter.requires_grad or torch.compiler.is_compiling():
        return parameter
    try:
        return parameter.detach().requires_grad_()
    except RuntimeError:
        return parameter


def _slots(module: nn.Module) -> dict[str, str]:
    """Return every place of a module that holds a parameter or buffer, by one name, with the first name of what it holds."""
    first: dict[int, str] = {}
    found = {}
    for prefix, part in module.named_modules(prefix=""):
        for name, tensor in (
            *part.named_parameters(recurse=False, remove_duplicate=False),
            *part.named_buffers(recurse=False),
        ):
            slot = f"{prefix}.{name}" if prefix else name
            found[slot] = first.setdefault(id(tensor), slot)
    return found


def _groups(named: Iterable[tuple[str, Tensor]]) -> tuple[tuple[str, ...], ...]:
    """Return the names of each tensor that has several."""
    names: dict[int, list[str]] = {}
    for name, tensor in named:
        names.setdefault(id(tensor), []).append(name)
    return tuple(tuple(group) for group in names.values() if len(group) > 1)


def _split(tensors: Params, buffer_names: set[str]) -> tuple[Params, Params]:
    inside = {name: value for name, value in tensors.items() if name in buffer_names}
    return {name: value for name, value in tensors.items() if name not in buffer_names}, inside
