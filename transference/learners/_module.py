"""A learner made of a plain ``nn.Module`` and a loss."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from transference import _trees
from transference.episodes import Episode, Params
from transference.errors import LearnerError


class ModuleLearner:
    """Make a learner of a plain ``nn.Module`` and ``loss(module, episode)``.

    Args:
        module: its parameters name θ; its own values are never used nor changed. Buffers come from the checkpoint.
            Its mode is kept: in ``train()`` batch norm uses the statistics of the batch, in ``eval()`` those of the checkpoint.
        loss: computes the query loss after adaptation, a scalar, with the module holding the parameters of the moment. It may take
            ``torch.autograd.grad`` with respect to ``module.parameters()`` for an inner loop.

    Example:
        >>> net = nn.Linear(2, 3)
        >>> learner = ModuleLearner(net, lambda module, e: nn.functional.cross_entropy(module(e.query_x), e.query_y))
        >>> episode = Episode(torch.zeros(3, 2), torch.arange(3), torch.zeros(3, 2), torch.arange(3))
        >>> learner.episode_loss({"weight": torch.zeros(3, 2), "bias": torch.zeros(3)}, episode)
        tensor(1.0986, grad_fn=<NllLossBackward0>)
    """

    def __init__(self, module: nn.Module, loss: Callable[[nn.Module, Episode], Tensor], buffers: Params | None = None) -> None:
        self._call = _Call(module, loss)
        self._loss = loss
        self._buffers = {name: b.detach().clone() for name, b in module.named_buffers()} if buffers is None else buffers

    def episode_loss(self, params: Params, episode: Episode) -> Tensor:
        """Return ``loss(module, episode)`` with ``params`` in the module, ``[]``."""
        # In-place updates of buffers (running statistics) fall on copies, and are thrown away with them.
        like = next(iter(params.values()))
        buffers = {name: b.to(like.device, like.dtype if b.is_floating_point() else None, copy=True) for name, b in self._buffers.items()}
        leaves = {name: p if p.requires_grad else p.detach().requires_grad_() for name, p in params.items()}
        state = {f"module.{name}": value for name, value in {**leaves, **buffers}.items()}
        loss: Tensor = torch.func.functional_call(self._call, state, (episode,), strict=False)
        return loss

    def init_params(self, seed: int) -> Params:
        """Return the module's own initial values; ``seed`` has no say, since a module is initialised where it is built."""
        del seed
        return {name: p.detach().clone() for name, p in self._call.module.named_parameters()}

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
        return _split(tensors, {name for name, _ in self._call.module.named_buffers()})

    def with_buffers(self, buffers: Params) -> ModuleLearner:
        """Return the same learner with other buffers.

        Raises:
            LearnerError: a buffer that the module saves is missing, or of another shape.
        """
        saved = {name: tuple(self._buffers[name].shape) for name in self._call.module.state_dict() if name in self._buffers}
        wrong = [f"{name} {shape}" for name, shape in saved.items() if name not in buffers or tuple(buffers[name].shape) != shape]
        if wrong:
            raise LearnerError(f"The checkpoint lacks these buffers of the module, or has them in another shape: {', '.join(wrong)}.")
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


def _split(tensors: Params, buffer_names: set[str]) -> tuple[Params, Params]:
    inside = {name: value for name, value in tensors.items() if name in buffer_names}
    return {name: value for name, value in tensors.items() if name not in buffer_names}, inside
