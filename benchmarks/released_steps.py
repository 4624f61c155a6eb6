"""The outer step of the released KML and MMAML programs, their arithmetic as they write it, without anything of ours.

Convolutions have their bias, images and kernels lie in the plain layout, batch norm is ``F.batch_norm`` in training mode with running
statistics that move and are never read, KML's kernels are multiplied by outer products of generated factors, and the inner loop is
``torch.autograd.grad`` with a graph. Tasks come one after the other; then their mean loss has one ``backward()``, and two Adams step, one
for the backbone, one for encoder and generators. The programs themselves are not here: names and formulas are those of
``meta_models``, and a test holds losses and gradients beside those of its learners.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from transference import Episode, Params

CONFIGS = {
    "protonet": {"transductive": True},
    "kml-protonet": {"transductive": True, "residual": False, "query_modulation": "query"},
    "maml": {},
    "mmaml": {},
}
"""The learners of the released programs, with the settings at which ours compute what the published commands do."""

_BLOCKS = (1, 2, 3, 4)
_STEPS, _FAST_LR, _CLAMP = 5, 0.05, 20.0
_HEAD = "classifier.fully_connected"
_ENCODER = ("encoder.", "generator.")

Loss: TypeAlias = Callable[[Params, Episode], Tensor]


@dataclass(frozen=True)
class Program:
    """One of the released programs.

    Args:
        learner: which of `CONFIGS`.
        running: its running statistics, by layer; they are moved and never read.
    """

    learner: str
    running: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def loss(self, params: Params, episode: Episode) -> Tensor:
        """Return the loss of one task, ``[]``."""
        return self._maml(params, episode) if self.learner in ("maml", "mmaml") else self._protonet(params, episode)

    def step(self, params: Params) -> Callable[[Sequence[Episode]], None]:
        """Return what takes an outer step on a meta-batch, at a rate of 0.

        Args:
            params: leaves that collect gradients.
        """
        parts = [[p for name, p in params.items() if name.startswith(_ENCODER) is encoder] for encoder in (False, True)]
        optimizers = [torch.optim.Adam(part, lr=0.0) for part in parts if part]

        def take(episodes: Sequence[Episode]) -> None:
            mean = torch.stack([self.loss(params, episode) for episode in episodes]).mean()
            for optimizer in optimizers:
                optimizer.zero_grad()
            mean.backward()
            for optimizer in optimizers:
                optimizer.step()

        return take

    def _protonet(self, params: Params, episode: Episode) -> Tensor:
        support, query = self._embed(params, episode.support_x), self._embed(params, episode.query_x)
        labels, shots = torch.unique(episode.support_y), len(episode.support_y) // len(torch.unique(episode.support_y))
        prototypes = torch.stack([support[episode.support_y == label].mean(dim=0) for label in labels])
        p = F.softmax(-_distances(query, prototypes), dim=1)
        # The sums as the program slices them: by place, and one row short (`meta_models.protonet.softened`).
        sums = torch.stack([support[k * shots : (k + 1) * shots - 1].sum(dim=0) for k in range(len(labels))])
        moved = (sums + p.t() @ query) / (shots + p.sum(dim=0))[:, None]
        return F.nll_loss(F.log_softmax(-_distances(query, moved), dim=1), episode.query_y)

    def _embed(self, params: Params, images: Tensor) -> Tensor:
        """Return features ``[n, d]``; KML's kernels are modulated by these same images."""
        if self.learner == "kml-protonet":
            made = self._generated(params, images)
            params = dict(params)
            for block in _BLOCKS:
                name = f"features.layer{block}_conv"
                rows, columns, shift = made[3 * block - 3 : 3 * block]
                kernel = params[f"{name}.weight"]
                outer = torch.matmul(rows.unsqueeze(1), columns.unsqueeze(0)).view(kernel.shape)
                params[f"{name}.weight"], params[f"{name}.bias"] = kernel * outer, params[f"{name}.bias"] + shift
        maps = self._convolved(params, images, "features.layer{}_conv", "features.layer{}_bn")
        return maps.reshape(maps.size(0), -1)

    def _maml(self, params: Params, episode: Episode) -> Tensor:
        film = self._generated(params, episode.support_x) if self.learner == "mmaml" else ()
        fast = {name: value for name, value in params.items() if not name.startswith(_ENCODER)}
        for _ in range(_STEPS):
            loss = F.cross_entropy(self._classify(fast, episode.support_x, film), episode.support_y)
            gradients = torch.autograd.grad(loss, list(fast.values()), create_graph=True, allow_unused=True)
            for (name, value), gradient in zip(list(fast.items()), gradients, strict=True):
                if gradient is not None:
                    fast[name] = value - _FAST_LR * gradient.clamp(-_CLAMP, _CLAMP)
        return F.cross_entropy(self._classify(fast, episode.query_x, film), episode.query_y)

    def _classify(self, params: Params, images: Tensor, film: Sequence[Tensor]) -> Tensor:
        maps = self._convolved(params, images, "features.layer{}_conv", "features.layer{}_bn", film)
        return F.linear(maps.mean(dim=3).mean(dim=2), params[f"{_HEAD}.weight"], params[f"{_HEAD}.bias"])

    def _generated(self, params: Params, images: Tensor) -> list[Tensor]:
        maps = self._convolved(params, images, "encoder.conv.conv{}", "encoder.conv.bn{}")
        pooled = maps.view(maps.size(0), maps.size(1), -1).mean(dim=2)
        vector = F.relu(F.linear(pooled, params["encoder.linear.weight"], params["encoder.linear.bias"])).mean(dim=0)
        n = sum(name.startswith("generator.") for name in params) // 2
        return [F.linear(vector, params[f"generator.{k}.weight"], params[f"generator.{k}.bias"]) for k in range(n)]

    def _convolved(self, params: Params, images: Tensor, conv: str, norm: str, film: Sequence[Tensor] = ()) -> Tensor:
        """Return the maps ``[n, 256, h, w]`` of the four blocks, by FiLM where it is given."""
        x = images
        for block in _BLOCKS:
            kernel, bias = (params[f"{conv.format(block)}.{part}"] for part in ("weight", "bias"))
            x = F.conv2d(x, kernel, bias, stride=2, padding=1)
            layer = norm.format(block)
            if layer not in self.running:
                self.running[layer] = x.new_zeros(x.size(1)), x.new_ones(x.size(1))
            weight, shift = (params.get(f"{layer}.{part}") for part in ("weight", "bias"))
            x = F.batch_norm(x, *self.running[layer], weight=weight, bias=shift, training=True)
            if film:
                gamma, beta = film[block - 1].view(2, 1, -1, 1, 1)
                x = (1 + gamma).expand_as(x) * x + beta.expand_as(x)
            x = F.relu(x)
        return x


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances ``[n, m]``, by differences of all pairs of rows."""
    shape = a.size(0), b.size(0), a.size(1)
    return torch.pow(a.unsqueeze(1).expand(shape) - b.unsqueeze(0).expand(shape), 2).sum(2)
