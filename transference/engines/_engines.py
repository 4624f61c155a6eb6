"""The engines. Each loads episodes once, and then evaluates them at as many settings of the parameters as are asked for.

====================  ==================================================================================================
``loop``              one episode after the other, as the learner is written
``threads``           a thread for each episode with a single kernel thread, images channels last and `fused`
``compiled``          one after the other, compiled by ``torch.compile``, images channels last
``compiled-threads``  both
``vmap``              blocks of episodes in one call (``torch.vmap``); on a CPU a thread for each, and `fused`
``vmap-64``           larger blocks, which a GPU with many targets wants
====================  ==================================================================================================

They differ in the last digits, since their sums run in another order. Each gives one number for one episode at one setting of the
parameters, whatever it is asked beside it: how tensors came to lie in memory, and how many episodes go together, is evened out.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from operator import itemgetter
from types import FunctionType
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from transference.devices import as_allocated, channels_last, n_workers, out_of_memory, workers
from transference.engines._gradient import MeanGradient, gradient_of, leaves_of, loss_gradient
from transference.engines._graphs import Graphs, current
from transference.engines._names import ALIASES
from transference.engines._turns import InTurns
from transference.episodes import Episode, Params, has_images, stack
from transference.errors import UsageError
from transference.exact_sums import ExactSums
from transference.fused import KeptPatches, Kernels, Maps
from transference.learners import Learner, mode_aware, read_scores, untouched

Scored: TypeAlias = tuple[tuple[float, float], Params]
"""Loss and accuracy, and the gradient of the loss."""

Read: TypeAlias = Callable[..., tuple[Tensor, ...]]
"""Reads numbers off a learner at some parameters on an episode, as `read_scores` does: loss, accuracy, and what else."""

_BLOCK = 16
"""Episodes in one call of ``vmap``, always so many: the last digits of each depend on their number. Fewer when memory runs out."""

_CACHED = 3 * 2**22
"""Bytes of images that go together on a CPU, up to which there is something to gain: eight episodes at 28 pixels, and one at 84."""

_KEPT = 8
"""Compiled learners that are kept."""


class Evaluate(Protocol):
    """Episodes that an engine has loaded. What it answers is float64 in host memory, loss and accuracy in two columns.

    Where more is read, further columns have it, number by number; NaN beyond the end of a row that is shorter than
    others.
    """

    def __call__(self, params: Params) -> Tensor:
        """Return the scores of every episode at one setting of the parameters, ``[n_episodes, 2]``."""

    def each(self, cells: Sequence[tuple[int, Params]]) -> Tensor:
        """Return the scores of some episodes, each at a setting of its own, ``[n_cells, 2]``.

        Args:
            cells: number of the episode, and the parameters.
        """

    @property
    def at_once(self) -> int:
        """Settings that go together: several where there are fewer episodes than threads, which would stand idle."""

    def at(self, settings: Sequence[Params]) -> list[Tensor]:
        """Return the scores of every episode at each of some settings, `at_once` or fewer, ``[n_episodes, 2]`` each."""


class Engine(Protocol):
    """A way to evaluate."""

    def __call__(self, learner: Learner, episodes: Sequence[Episode], read: Read = read_scores) -> Evaluate:
        """Load episodes, once, and return what evaluates the learner on them, as ``read`` does."""

    def gradients(
        self, learner: Learner, params: Params, episodes: Sequence[Episode], names: Sequence[str]
    ) -> list[Scored]:
        """Return, for each episode, loss and accuracy, and the gradient of the loss with respect to the named parameters."""

    def mean_gradient(
        self, learner: Learner, params: Params, episodes: Sequence[Episode], names: Sequence[str]
    ) -> MeanGradient:
        """Return the gradient of the mean loss; by ``apart`` and ``together`` the same for any number of threads."""


@dataclass(frozen=True)
class OneByOne:
    """One call for each episode.

    Args:
        threads: give each episode a thread of its own, with a single kernel thread: their sums then do not depend on how many there are.
        fused: do convolutions, batch norms and ReLUs of images together (`transference.fused`).
        again: the episodes will be evaluated more than once, so that what is known of their images is worth keeping.
        compiled: compile the learner's scores, once for each shape of an episode.
        layout: how images and kernels lie in memory.
    """

    threads: bool = False
    fused: bool = False
    again: bool = True
    compiled: bool = False
    layout: Callable[[Tensor], Tensor] = channels_last

    def __call__(self, learner: Learner, episodes: Sequence[Episode], read: Read = read_scores) -> Evaluate:
        """Load the episodes."""
        laid_out = [episode.map(self.layout) for episode in episodes]
        if self.compiled:
            return _OneByOne(self, _compiled(learner, read), [learner], laid_out)
        if self.threads:
            turns = InTurns(learner)
            return _OneByOne(self, partial(_in_turns, read, turns), turns.all, laid_out)
        return _OneByOne(self, partial(read, learner), [learner], laid_out)

    def gradients(
        self, learner: Learner, params: Params, episodes: Sequence[Episode], names: Sequence[str]
    ) -> list[Scored]:
        """Compute them in the same layout, and on threads of their own if ``threads``; nothing is compiled."""
        with workers() if self.threads else nullcontext() as pool:
            learners, laid_out = InTurns(learner), {name: self.layout(value) for name, value in params.items()}

            def gradient(episode: Episode) -> Scored:
                with learners.one() as mine:
                    return loss_gradient(mine, laid_out, episode.map(self.layout), names)

            with untouched(learners.all, laid_out):
                return list((pool.map if pool else map)(gradient, episodes))

    def mean_gradient(
        self, learner: Learner, params: Params, episodes: Sequence[Episode], names: Sequence[str]
    ) -> MeanGradient:
        """Add up the episodes' gradients in their order."""
        with workers() if self.threads else nullcontext():  # the sums, too, with a single kernel thread
            found = self.gradients(learner, params, episodes, names)
            return MeanGradient.of((gradient for _, gradient in found), [scores for scores, _ in found])


@dataclass
class _OneByOne:
    engine: OneByOne
    scores: Read
    learners: Sequence[Learner]
    """Those that are called."""
    episodes: Sequence[Episode]
    watched: bool = True
    """Whether torch's functions are watched: until all episodes have once been evaluated, and none had to be replaced."""

    def __post_init__(self) -> None:
        self._kept = KeptPatches() if self.engine.again else None

    def __call__(self, params: Params) -> Tensor:
        laid_out, replaced = self._laid_out(params), ExactSums.replaced
        with untouched(self.learners, laid_out, self.episodes):
            kernels = Kernels(laid_out)
            rows = self._read([self._call(laid_out, kernels, episode) for episode in self.episodes], _read)
        self.watched = ExactSums.replaced > replaced
        return rows

    def each(self, cells: Sequence[tuple[int, Params]]) -> Tensor:
        with untouched(self.learners, episodes=self.episodes):
            laid_out = {id(params): self._laid_out(params) for _, params in cells}  # once, however many cells share it
            kernels = {setting: Kernels(one) for setting, one in laid_out.items()}
            there = [(id(params), k) for k, params in cells]
            calls = [self._call(laid_out[setting], kernels[setting], self.episodes[k]) for setting, k in there]
            return self._read(calls, _read_apiece)

    @property
    def at_once(self) -> int:
        return max(1, n_workers() // len(self.episodes)) if self.engine.threads else 1

    def at(self, settings: Sequence[Params]) -> list[Tensor]:
        if len(settings) == 1:
            return [self(settings[0])]
        n = len(self.episodes)
        return [*self.each([(k, params) for params in settings for k in range(n)]).view(len(settings), n, -1)]

    def _call(self, laid_out: Params, kernels: Kernels, episode: Episode) -> tuple[Params, Episode]:
        if self.engine.fused:
            episode = episode.map(lambda images: Maps.of(images, kernels, self._kept))
        return laid_out, episode

    def _read(self, calls: Sequence[tuple[Params, Episode]], how: Callable[..., Tensor]) -> Tensor:
        read = partial(how, self.scores if self.engine.compiled else partial(self.scores, exact=self.watched))
        with workers() if self.engine.threads else nullcontext() as pool:
            each = pool.map if pool else map
            # The first goes alone: what is compiled is compiled once, not by every thread.
            first = _quietly(lambda: list(each(read, calls[:1]))) if self.engine.compiled else []
            return _to_host([*first, *each(read, calls[len(first) :])])

    def _laid_out(self, params: Params) -> Params:
        return {name: self.engine.layout(value) for name, value in params.items()}


@dataclass(frozen=True)
class Vmap:
    """Blocks of episodes in one call each, which is what counts where an episode is too small to fill the device.

    On a CPU each block has a thread of its own, and what is known of images is done for one episode after the other (`Maps`).

    Args:
        block: episodes in one call; a block that is not full repeats its last episode. If memory runs out, blocks are halved, down to
            one episode.
    """

    block: int = _BLOCK

    def __call__(self, learner: Learner, episodes: Sequence[Episode], read: Read = read_scores) -> Evaluate:
        """Load the episodes, in blocks of those that can go together."""
        loaded = list(episodes)
        groups = _alike(learner, loaded)
        blocks: list[_Block] = []
        for numbers in groups:
            size = self._size(loaded[numbers[0]])
            chosen = [numbers[k : k + size] for k in range(0, len(numbers), size)]
            blocks += [_Block.of(loaded, some, size) for some in chosen]
        return _Vmapped(learner, blocks, read)

    def _size(self, episode: Episode) -> int:
        """Return how many episodes like this one go together; of images on a CPU as many as its caches like, at most half as many."""
        if episode.device.type != "cpu" or not has_images(episode):
            return self.block
        images = sum(tensor.nbytes for tensor in episode.tensors)
        return max(1, min(self.block // 2, _CACHED // images))

    def gradients(
        self, learner: Learner, params: Params, episodes: Sequence[Episode], names: Sequence[str]
    ) -> list[Scored]:
        """Compute them one by one, of images on a CPU on threads: few learners let a gradient be batched through their inner loop."""
        if episodes and (first := episodes[0]).device.type == "cpu" and has_images(first):
            return ENGINES["threads"].gradients(learner, params, episodes, names)
        laid_out = {name: as_allocated(value) for name, value in params.items()}
        with untouched([learner], laid_out):
            return [loss_gradient(learner, laid_out, episode.map(as_allocated), names) for episode in episodes]

    def mean_gradient(
        self, learner: Learner, params: Params, episodes: Sequence[Episode], names: Sequence[str]
    ) -> MeanGradient:
        """Take the gradient of the sum of the losses, of all that can go together in one call.

        On a thread of its own with a single kernel thread: with more, sums on a CPU would change their last digits.
        """
        with workers() as pool:
            return pool.submit(_mean_of_sums, learner, params, list(episodes), names, current()).result()


def _alike(learner: Learner, episodes: Sequence[Episode]) -> list[list[int]]:
    """Return the numbers of episodes that can go together: of equal shapes, of one mode if the learner reads it."""
    found: dict[object, list[int]] = {}
    reads = mode_aware(learner)
    for k, episode in enumerate(episodes):
        shapes = ((name, tensor.shape, tensor.dtype) for name, tensor in episode.items())
        found.setdefault((episode.mode if reads else None, *shapes), []).append(k)
    return list(found.values())


def _mean_of_sums(
    learner: Learner, params: Params, episodes: Sequence[Episode], names: Sequence[str], graphs: Graphs | None
) -> MeanGradient:
    def summed(params: Params, block: Episode) -> tuple[Tensor, Params]:
        leaves = leaves_of(params, names)
        scores = torch.vmap(partial(read_scores, learner, leaves))(block)
        return torch.stack(scores, dim=1).detach().double(), gradient_of(scores[0].sum(), leaves, names)

    def watched(params: Params, block: Episode) -> tuple[Tensor, Params]:
        with untouched([learner], params):
            return summed(params, block)

    laid_out = {name: as_allocated(value) for name, value in params.items()}
    sums: list[Params] = []
    rows = torch.empty(len(episodes), 2, dtype=torch.float64)
    for numbers in _alike(learner, episodes):
        block = stack([episodes[k] for k in numbers])
        if graphs and block.device.type == "cuda":
            kind = id(learner), block.mode if mode_aware(learner) else None, tuple(names)
            some_rows, gradient = graphs.do(kind, summed, watched, laid_out, block)
        else:
            some_rows, gradient = watched(laid_out, block)
        sums.append(gradient)
        rows[torch.tensor(numbers)] = some_rows.cpu()
    return MeanGradient.of(sums, [(loss, accuracy) for loss, accuracy in rows.tolist()])


@dataclass(frozen=True)
class _Block:
    """Episodes that go through the network in one call.

    Args:
        numbers: theirs.
        stacked: their tensors, ``[size, …]``; what is beyond the numbers fills the block.
    """

    numbers: list[int]
    stacked: Episode

    @classmethod
    def of(cls, episodes: Sequence[Episode], numbers: list[int], size: int) -> _Block:
        """Return the block of some of the episodes."""
        filled = [episodes[k] for k in numbers] + [episodes[numbers[-1]]] * (size - len(numbers))
        return cls(numbers, stack(filled))

    def scores(self, read: Read, learner: Learner, params: Params, kernels: Kernels, kept: KeptPatches) -> Tensor:
        """Return what is read of the block's episodes, ``[n, columns]``."""

        def of_one(episode: Episode) -> tuple[Tensor, ...]:
            each = iter(self.each)
            mine = episode.map(lambda tensor: Maps.of(tensor, kernels, kept, next(each)))
            # vmap has images in the plain layout, in which torch loses no digits, but where they are maps, which see to it.
            return read(learner, params, mine, exact=False)

        # each a row of its own, of all numbers that are read of it
        return torch.vmap(lambda episode: _row(of_one(episode)))(self.stacked)[: len(self.numbers)]

    @property
    def first(self) -> Episode:
        """The block's first episode."""
        return self.stacked.map(itemgetter(0))

    @cached_property
    def each(self) -> list[list[Tensor]]:
        """The tensors of each episode, images with their channels last, one after the other as `Episode.items` has them."""
        return [[channels_last(one) for one in tensor] for tensor in self.stacked.tensors]

    def halves(self) -> list[_Block]:
        """Return two blocks of half the size, or one if its episodes fit in."""
        half = len(self.stacked.query_y) // 2
        cut = (slice(None, half), slice(half, None))
        return [_Block(self.numbers[part], self.stacked.map(itemgetter(part))) for part in cut if self.numbers[part]]


class _Vmapped:
    def __init__(self, learner: Learner, blocks: list[_Block], read: Read) -> None:
        self._blocks, self._learners, self._kept, self._read = blocks, InTurns(learner), KeptPatches(), read
        self._n = sum(len(block.numbers) for block in blocks)

    def __call__(self, params: Params) -> Tensor:
        return self._rows(params, set(range(self._n)))

    def each(self, cells: Sequence[tuple[int, Params]]) -> Tensor:
        places: dict[int, list[int]] = {}  # of the cells that share one setting: they go together
        for place, (_, params) in enumerate(cells):
            places.setdefault(id(params), []).append(place)
        found: dict[int, Tensor] = {}
        for shared in places.values():
            numbers = [cells[place][0] for place in shared]
            rows = self._rows(cells[shared[0]][1], set(numbers))
            found |= {place: rows[k] for place, k in zip(shared, numbers, strict=True)}
        return _aligned([found[place] for place in range(len(cells))])

    at_once = 1

    def at(self, settings: Sequence[Params]) -> list[Tensor]:
        return [*map(self, settings)]

    def _rows(self, params: Params, wanted: set[int]) -> Tensor:
        """Return what is read by episode, ``[n_episodes, columns]``, of blocks with wanted episodes; NaN of others.

        Raises:
            RuntimeError: not even a single episode fits into memory, or something else went wrong.
        """
        blocks = [block for block in self._blocks if wanted.intersection(block.numbers)]
        layout = channels_last if any(has_images(block.first) for block in blocks) else as_allocated
        laid_out = {name: layout(value) for name, value in params.items()}
        kernels = Kernels(laid_out)

        def scores(block: _Block) -> Tensor:
            with self._learners.one() as learner:
                return block.scores(self._read, learner, laid_out, kernels, self._kept).cpu()

        on_cpu = all(block.stacked.device.type == "cpu" for block in blocks)
        try:
            with (
                untouched(self._learners.all, laid_out, [block.stacked for block in blocks]),
                workers() if on_cpu else nullcontext() as pool,
            ):
                read = list((pool.map if pool else map)(scores, blocks))
        except RuntimeError as error:
            if not out_of_memory(error) or all(len(block.stacked.query_y) == 1 for block in self._blocks):
                raise
        else:
            found = torch.full((self._n, max(rows.shape[1] for rows in read)), torch.nan, dtype=torch.float64)
            for block, rows in zip(blocks, read, strict=True):
                found[torch.tensor(block.numbers), : rows.shape[1]] = rows
            return found
        # From the beginning, so that all episodes go in blocks of one size, and keep to it from now on: it fails at θ or never, as a rule.
        self._blocks = [half for block in self._blocks for half in block.halves()]
        torch.cuda.empty_cache()
        return self._rows(params, wanted)


ENGINES: dict[str, Engine] = {
    "loop": OneByOne(layout=as_allocated),
    "threads": OneByOne(threads=True, fused=True),
    "compiled": OneByOne(compiled=True),
    "compiled-threads": OneByOne(compiled=True, threads=True),
    "vmap": Vmap(),
    "vmap-64": Vmap(64),
}
"""By name, the plainest first."""

ONCE: Engine = OneByOne(threads=True, fused=True, again=False)
"""As ``threads``, for episodes that are evaluated at one setting of the parameters only."""


def find_engine(name: str) -> Engine:
    """Return an engine by name; ``"auto"``, as long as nobody has decided, is the plain loop.

    Raises:
        UsageError: there is no such engine.
    """
    name = "loop" if name == "auto" else ALIASES.get(name, name)
    if name not in ENGINES:
        raise UsageError(f"The engine {name!r} was asked for; it must be auto or one of {', '.join(ENGINES)}.")
    return ENGINES[name]


def _alone(read: Read, learner: Learner, params: Params, episode: Episode) -> tuple[Tensor, ...]:
    return read(learner, params, episode)


def _in_turns(read: Read, learners: InTurns, params: Params, episode: Episode, *, exact: bool) -> tuple[Tensor, ...]:
    with learners.one() as learner:
        return read(learner, params, episode, exact=exact)


def _read(scores: Read, call: tuple[Params, Episode]) -> Tensor:
    return _row(scores(*call))


def _read_apiece(scores: Read, call: tuple[Params, Episode]) -> Tensor:
    with untouched(params=call[0]):
        return _read(scores, call)


def _row(numbers: tuple[Tensor, ...]) -> Tensor:
    """Return numbers one after the other, ``[columns]``."""
    return torch.cat([number.detach().double().flatten() for number in numbers])


def _to_host(rows: Sequence[Tensor]) -> Tensor:
    return _aligned(rows).cpu()  # one transfer for all: a GPU is not made to wait after each


def _aligned(rows: Sequence[Tensor]) -> Tensor:
    """Return rows as a matrix, NaN beyond the end of those that are shorter than others."""
    return pad_sequence(list(rows), batch_first=True, padding_value=torch.nan)


_kept: OrderedDict[tuple[int, Read], tuple[Learner, Read]] = OrderedDict()


def _compiled(learner: Learner, read: Read) -> Read:
    """Return how a learner is read, compiled when it is first called, and again for other shapes."""
    key = id(learner), read
    if key not in _kept:
        # torch keeps what it compiled with the code object, and gives up after a few shapes or learners on one: each learner has its own.
        plain: Any = _alone
        own = FunctionType(plain.__code__.replace(), plain.__globals__, "scores", None, None)
        _kept[key] = learner, partial(torch.compile(own, dynamic=False, fullgraph=True), read, learner)
    _kept.move_to_end(key)
    while len(_kept) > _KEPT:
        _kept.popitem(last=False)
    return _kept[key][1]


def _quietly(work: Callable[[], list[Tensor]]) -> list[Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch's compiler imports warns of deprecations within torch
        return work()
