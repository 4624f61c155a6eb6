"""The engines. Each loads episodes once, and then evaluates them at as many settings of the parameters as are asked for.

==================  ==================================================================================================
``loop``            one episode after the other, as the learner is written
``apart``           a thread for each episode with a single kernel thread, images channels last
``compiled``        one after the other, compiled by ``torch.compile``, images channels last
``compiled-apart``  both
``together``        all episodes in one call (``torch.vmap``), in blocks
==================  ==================================================================================================

They differ in the last digits, since their sums run in another order.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from transference.devices import channels_last, workers
from transference.episodes import Episode, Params
from transference.errors import UsageError
from transference.learners import Learner, read_scores

Evaluate: TypeAlias = Callable[[Params], Tensor]
"""From parameters to ``[n_episodes, 2]`` float64 in host memory: loss and accuracy of each episode."""

_Scores: TypeAlias = Callable[..., tuple[Tensor, Tensor]]

_BLOCK = 16
"""Episodes in one call of ``together``; fewer when memory runs out."""

_KEPT = 8
"""Compiled learners that are kept."""


class Engine(Protocol):
    """A way to evaluate."""

    def __call__(self, learner: Learner, episodes: Sequence[Episode]) -> Evaluate:
        """Load episodes, once, and return what evaluates the learner on them."""


@dataclass(frozen=True)
class OneByOne:
    """One call for each episode.

    Args:
        apart: give each episode a thread of its own, with a single kernel thread: their sums then do not depend on how many there are.
        compiled: compile the learner's scores, once for each shape of an episode.
        layout: how images and kernels lie in memory.
    """

    apart: bool = False
    compiled: bool = False
    layout: Callable[[Tensor], Tensor] = channels_last

    def __call__(self, learner: Learner, episodes: Sequence[Episode]) -> Evaluate:
        """Load the episodes."""
        return partial(self._evaluate, learner, [episode.map(self.layout) for episode in episodes])

    def _evaluate(self, learner: Learner, episodes: Sequence[Episode], params: Params) -> Tensor:
        scores = _compiled(learner) if self.compiled else partial(_scores, learner)
        read = partial(_read, scores, {name: self.layout(value) for name, value in params.items()})
        with workers() if self.apart else nullcontext() as pool:
            each = pool.map if pool else map
            # The first goes alone: what is compiled is compiled once, not by every thread.
            first = _quietly(lambda: list(each(read, episodes[:1]))) if self.compiled else []
            return _to_host([*first, *each(read, episodes[len(first) :])])


@dataclass(frozen=True)
class Together:
    """Blocks of episodes in one call each, which is what counts where an episode is too small to fill the device.

    Args:
        block: episodes in one call. If memory runs out it is halved, down to one.
    """

    block: int = _BLOCK

    def __call__(self, learner: Learner, episodes: Sequence[Episode]) -> Evaluate:
        """Load the episodes, sorted into stacks of equal shapes (and of one mode, if the learner looks at it)."""
        stacks: OrderedDict[object, list[int]] = OrderedDict()
        for k, episode in enumerate(episodes):
            mode = episode.mode if getattr(learner, "told_mode", False) else None
            stacks.setdefault((mode, *(tensor.shape for tensor in episode.tensors)), []).append(k)
        stacked = [(chosen, _stack([episodes[k] for k in chosen])) for chosen in stacks.values()]
        return partial(self._evaluate, learner, len(episodes), stacked)

    def _evaluate(self, learner: Learner, n: int, stacked: Sequence[tuple[list[int], Episode]], params: Params) -> Tensor:
        found = torch.empty(n, 2, dtype=torch.float64)
        for chosen, episodes in stacked:
            scores = torch.vmap(partial(_scores, learner, params, mode=episodes.mode), in_dims=(0, 0, 0, 0))
            found[torch.tensor(chosen)] = torch.cat([*_in_blocks(scores, episodes, len(chosen), self.block)])
        return found


ENGINES: dict[str, Engine] = {
    "loop": OneByOne(layout=lambda tensor: tensor),
    "apart": OneByOne(apart=True),
    "compiled": OneByOne(compiled=True),
    "compiled-apart": OneByOne(compiled=True, apart=True),
    "together": Together(),
}
"""By name, the plainest first."""


def find_engine(name: str) -> Engine:
    """Return an engine by name.

    Raises:
        UsageError: there is no such engine.
    """
    if name not in ENGINES:
        raise UsageError(f"The engine {name!r} was asked for; it must be auto or one of {', '.join(ENGINES)}.")
    return ENGINES[name]


def _scores(
    learner: Learner, params: Params, support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor, *, mode: str | None
) -> tuple[Tensor, Tensor]:
    return read_scores(learner, params, Episode(support_x, support_y, query_x, query_y, mode))


def _read(scores: _Scores, params: Params, episode: Episode) -> Tensor:
    return _row(scores(params, *episode.tensors, mode=episode.mode))


def _row(scores: tuple[Tensor, Tensor]) -> Tensor:
    return torch.stack([score.detach().double() for score in scores], dim=-1)


def _to_host(rows: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(rows)).cpu()  # one transfer for all: a GPU is not made to wait after each


def _stack(episodes: Sequence[Episode]) -> Episode:
    support_x, support_y, query_x, query_y = (
        torch.stack(column) for column in zip(*(episode.tensors for episode in episodes), strict=True)
    )
    return Episode(support_x, support_y, query_x, query_y, episodes[0].mode)


def _in_blocks(scores: _Scores, episodes: Episode, n: int, block: int) -> Iterator[Tensor]:
    """Yield the rows of one stack, block by block.

    Raises:
        RuntimeError: not even a single episode fits into memory, or something else went wrong.
    """
    start = 0
    while start < n:
        try:
            yield _row(scores(*(tensor[start : start + block] for tensor in episodes.tensors))).cpu()
        except RuntimeError as error:
            if block == 1 or not out_of_memory(error):
                raise
            block //= 2
            torch.cuda.empty_cache()
        else:
            start += block


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out; the CPU allocator says so in a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


_kept: OrderedDict[int, tuple[Learner, _Scores]] = OrderedDict()


def _compiled(learner: Learner) -> _Scores:
    """Return the learner's scores, compiled when they are first called, and again for other shapes."""
    if id(learner) not in _kept:
        # torch keeps what it compiled with the code object, and gives up after a few shapes or learners on one: each learner has its own.
        plain: Any = _scores
        own = FunctionType(plain.__code__.replace(), plain.__globals__, "scores", None, None)
        own.__kwdefaults__ = plain.__kwdefaults__
        _kept[id(learner)] = learner, partial(torch.compile(own, dynamic=False, fullgraph=True), learner)
    _kept.move_to_end(id(learner))
    while len(_kept) > _KEPT:
        _kept.popitem(last=False)
    return _kept[id(learner)][1]


def _quietly(work: Callable[[], list[Tensor]]) -> list[Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch's compiler imports warns of deprecations within torch
        return work()
