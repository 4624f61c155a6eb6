"""Ways to read the losses of several targets at several settings of the parameters, beyond those that are engines.

A way is loaded with episodes once; it returns losses ``[n_settings, n_targets]``, float64 in host memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

import transference as tr
from transference.engines import Engine, Graph
from transference.episodes import stack
from transference.learners import read_scores

Way: TypeAlias = Callable[[Sequence[tr.Params]], Tensor]
Losses: TypeAlias = Callable[[tr.Params], Tensor]
"""Of one block: from the parameters, or from several settings of them stacked, to its losses, on its device."""


def by_engine(engine: Engine, learner: tr.Learner, episodes: Sequence[tr.Episode]) -> Way:
    """Return an engine as a way: one setting after the other."""
    evaluate = engine(learner, episodes)
    return lambda settings: torch.stack([evaluate(params)[:, 0] for params in settings])


def targets_together(learner: tr.Learner, block: tr.Episode) -> Losses:
    """Return what reads all episodes of a block at one setting, ``[n_targets]``."""
    return lambda params: torch.vmap(partial(_loss, learner, params))(block)


def sources_together(learner: tr.Learner, block: tr.Episode, *, products: bool = False) -> Losses:
    """Return what reads all episodes of a block at several settings in one call, ``[n_settings, n_targets]``.

    Args:
        learner: the learner.
        block: episodes, stacked.
        products: convolve by a matrix product of patches, which is batched as one, where convolutions become grouped.
    """

    def losses(stacked: tr.Params) -> Tensor:
        return torch.vmap(targets_together(learner, block))(stacked)

    def by_products(stacked: tr.Params) -> Tensor:
        with _AsProducts():
            return losses(stacked)

    return by_products if products else losses


def _loss(learner: tr.Learner, params: tr.Params, episode: tr.Episode) -> Tensor:
    loss, _ = read_scores(learner, params, episode)  # the accuracy too, as the engines do
    return loss.detach()


class _AsProducts(TorchFunctionMode):
    """A context in which a 2-d convolution is a product of its kernel with the patches of the images."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        del types
        return (_convolved if func is F.conv2d else func)(*args, **(kwargs or {}))


def _convolved(images: Tensor, kernel: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0) -> Tensor:
    """Return the convolution ``[n, c_out, h, w]`` of images ``[n, c_in, h, w]`` with a square kernel."""
    size = kernel.shape[-1]
    # the patches of all images as columns of one matrix, [c_in·size², n·h·w]: a kernel that is batched is then copied for no image
    columns = F.unfold(images, size, stride=stride, padding=padding).transpose(0, 1).flatten(1)
    height, width = (1 + (side + 2 * padding - size) // stride for side in images.shape[-2:])
    maps = (kernel.flatten(1) @ columns).unflatten(1, (len(images), height, width)).transpose(0, 1)
    return maps if bias is None else maps + bias[:, None, None]


@dataclass
class Blocks:
    """A way made of blocks, one after the other.

    Args:
        make: returns what reads a block of episodes.
        episodes: all of them, a whole number of blocks.
        n_targets: of a block.
        n_sources: settings that are stacked for one call; 0 for one setting at a time, not stacked.
        wrap: makes of what reads a block something quicker, given the first parameters that it is called with.
    """

    make: Callable[[tr.Episode], Losses]
    episodes: Sequence[tr.Episode]
    n_targets: int
    n_sources: int = 0
    wrap: Callable[[Losses, tr.Params], Losses] | None = None

    def __post_init__(self) -> None:
        starts = range(0, len(self.episodes), self.n_targets)
        self._blocks = [self.make(stack(self.episodes[k : k + self.n_targets])) for k in starts]
        self._wrapped = self.wrap is None

    def __call__(self, settings: Sequence[tr.Params]) -> Tensor:
        """Return the losses."""
        calls = list(settings)
        if self.n_sources:
            calls = [stacked(settings[k : k + self.n_sources]) for k in range(0, len(settings), self.n_sources)]
        if not self._wrapped and self.wrap:
            self._blocks = [self.wrap(block, calls[0]) for block in self._blocks]
            self._wrapped = True
        rows = [torch.cat([block(params) for block in self._blocks], dim=-1) for params in calls]
        return (torch.cat(rows) if self.n_sources else torch.stack(rows)).double().cpu()


def stacked(settings: Sequence[tr.Params]) -> tr.Params:
    """Return several settings as one, ``[n_settings, …]`` in every tensor."""
    return {name: torch.stack([params[name] for params in settings]) for name in settings[0]}


def graphed(losses: Losses, params: tr.Params) -> Losses:
    """Return the same as one CUDA graph, on parameters that are copied into their place."""
    place = {name: value.clone() for name, value in params.items()}
    graph = Graph(lambda: [losses(place)], list(place.values()))
    return lambda params: graph([params[name] for name in place])[0]


def compiled(losses: Losses, params: tr.Params, *, mode: str | None = None) -> Losses:
    """Return the same, compiled.

    Args:
        losses: what reads a block.
        params: an example of them.
        mode: of ``torch.compile``; ``"reduce-overhead"`` records CUDA graphs.
    """
    made = torch.compile(losses, dynamic=False, mode=mode)
    made(params)
    return lambda params: made(params).clone()  # of a graph, the next call would write over it
