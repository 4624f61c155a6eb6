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

from transference.devices import channels_last, out_of_memory, workers
from transference.episodes import Episode, Params
from transference.errors import UsageError
from transference.gradients import loss_gradient
from transference.learners import InTurns, Learner, read_scores

Scored: TypeAlias = tuple[tuple[float, float], Params]
"""Loss and accuracy, and the gradient of the loss."""

_Scores: TypeAlias = Callable[..., tuple[Tensor, Tensor]]

_BLOCK = 16
"""Episodes in one call of ``together``; fewer when memory runs out."""

_KEPT = 8
"""Compiled learners that are kept."""


class Evaluate(Protocol):
    """Episodes that an engine has loaded. What it answers is float64 in host memory, loss and accuracy in two columns."""

    def __call__(self, params: Params) -> Tensor:
        """Return the scores of every episode at one setting of the parameters, ``[n_episodes, 2]``."""

    def each(self, cells: Sequence[tuple[int, Params]]) -> Tensor:
        """Return the scores of some episodes, each at a setting of its own, ``[n_cells, 2]``.

        Args:
            cells: number of the episode, and the parameters.
        """


class Engine(Protocol):
    """A way to evaluate."""

    def __call__(self, learner: Learner, episodes: Sequence[Episode]) -> Evaluate:
        """Load episodes, once, and return what evaluates the learner on them."""

    def gradients(self, learner: Learner, params: Params, episodes: Sequence[Episode], names: Sequence[str]) -> list[Scored]:
        """Return, for each episode, loss and accuracy, and the gradient of the loss with respect to the named parameters."""


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
        own = partial(_scores_in_turns, InTurns(learner)) if self.apart else partial(_scores, learner)
        return _OneByOne(self, _compiled(learner) if self.compiled else own, [episode.map(self.layout) for episode in episodes])

    def gradients(self, learner: Learner, params: Params, episodes: Sequence[Episode], names: Sequence[str]) -> list[Scored]:
        """Compute them in the same layout, and on threads of their own if ``apart``; nothing is compiled."""
        learners, laid_out = InTurns(learner), {name: self.layout(value) for name, value in params.items()}

        def gradient(episode: Episode) -> Scored:
            with learners.one() as mine:
                return loss_gradient(mine, laid_out, episode.map(self.layout), names)

        with workers() if self.apart else nullcontext() as pool:
            return list((pool.map if pool else map)(gradient, episodes))


@dataclass(frozen=True)
class _OneByOne:
    engine: OneByOne
    scores: _Scores
    episodes: Sequence[Episode]

    def __call__(self, params: Params) -> Tensor:
        laid_out = self._laid_out(params)
        return self._read([(laid_out, episode) for episode in self.episodes])

    def each(self, cells: Sequence[tuple[int, Params]]) -> Tensor:
        return self._read([(self._laid_out(params), self.episodes[k]) for k, params in cells])

    def _read(self, calls: Sequence[tuple[Params, Episode]]) -> Tensor:
        read = partial(_read, self.scores)
        with workers() if self.engine.apart else nullcontext() as pool:
            each = pool.map if pool else map
            # The first goes alone: what is compiled is compiled once, not by every thread.
            first = _quietly(lambda: list(each(read, calls[:1]))) if self.engine.compiled else []
            return _to_host([*first, *each(read, calls[len(first) :])])

    def _laid_out(self, params: Params) -> Params:
        return {name: self.engine.layout(value) for name, value in params.items()}


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
        return _Together(self, learner, [(chosen, _stack([episodes[k] for k in chosen])) for chosen in stacks.values()])

    def gradients(self, learner: Learner, params: Params, episodes: Sequence[Episode], names: Sequence[str]) -> list[Scored]:
        """Compute them one after the other: few learners let a gradient be batched through their inner loop."""
        return [loss_gradient(learner, params, episode, names) for episode in episodes]


@dataclass(frozen=True)
class _Together:
    engine: Together
    learner: Learner
    stacked: Sequence[tuple[list[int], Episode]]

    def __call__(self, params: Params) -> Tensor:
        found = torch.empty(sum(len(chosen) for chosen, _ in self.stacked), 2, dtype=torch.float64)
        for chosen, episodes in self.stacked:
            scores = torch.vmap(partial(_scores, self.learner, params, mode=episodes.mode), in_dims=(0, 0, 0, 0))
            found[torch.tensor(chosen)] = torch.cat([*_in_blocks(scores, episodes, len(chosen), self.engine.block)])
        return found

    def each(self, cells: Sequence[tuple[int, Params]]) -> Tensor:
        places: dict[int, list[int]] = {}  # of the cells that share one setting: they go together
        for place, (_, params) in enumerate(cells):
            places.setdefault(id(params), []).append(place)
        found = torch.empty(len(cells), 2, dtype=torch.float64)
        for shared in places.values():
            found[torch.tensor(shared)] = self.engine(self.learner, [self._episode(cells[k][0]) for k in shared])(cells[shared[0]][1])
        return found

    def _episode(self, number: int) -> Episode:
        chosen, episodes = next(stack for stack in self.stacked if number in stack[0])
        place = chosen.index(number)
        return episodes.map(lambda tensor: tensor[place])


ENGINES: dict[str, Engine] = {
    "loop": OneByOne(layout=lambda tensor: tensor),
    "apart": OneByOne(apart=True),
    "compiled": OneByOne(compiled=True),
    "compiled-apart": OneByOne(compiled=True, apart=True),
    "together": Together(),
}
"""By name, the plainest first."""


def find_engine(name: str) -> Engine:
    """Return an engine by name; ``"auto"``, as long as nobody has decided, is the plain loop.

    Raises:
        UsageError: there is no such engine.
    """
    if name == "auto":
        return ENGINES["loop"]
    if name not in ENGINES:
        raise UsageError(f"The engine {name!r} was asked for; it must be auto or one of {', '.join(ENGINES)}.")
    return ENGINES[name]


def _scores(
    learner: Learner, params: Params, support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor, *, mode: str | None
) -> tuple[Tensor, Tensor]:
    return read_scores(learner, params, Episode(support_x, support_y, query_x, query_y, mode))


def _scores_in_turns(learners: InTurns, params: Params, *tensors: Tensor, mode: str | None) -> tuple[Tensor, Tensor]:
    support_x, support_y, query_x, query_y = tensors
    with learners.one() as learner:
        return read_scores(learner, params, Episode(support_x, support_y, query_x, query_y, mode))


def _read(scores: _Scores, call: tuple[Params, Episode]) -> Tensor:
    params, episode = call
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
