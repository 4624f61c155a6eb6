"""Work that a GPU does again and again, as CUDA graphs: all its kernels are launched at once.

A small network is done sooner than Python has asked for its next layer; a graph is asked for as a whole. What it computes is what its
kernels computed when it was captured, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

import torch
from torch import Tensor

from transference.episodes import Episode, Params
from transference.learners import EpisodeError

Work: TypeAlias = Callable[[Params, Episode], tuple[Tensor, Params]]
"""What is done at some parameters on a block of episodes; it waits for no result, and what it returns lies on their device."""

_SEEN = 2
"""Times that work of one kind is done as it is written before it is captured: what is done once gains nothing."""


class Graph:
    """Work as one CUDA graph.

    A graph reads memory, not tensors. So its inputs are tensors of its own, into which values are copied; and it keeps the work, which may
    hold others.

    Args:
        work: computes tensors from the inputs, and waits for no number on the way.
        inputs: tensors on the GPU that nobody else uses.

    Raises:
        RuntimeError: something in it cannot be captured, or memory ran out.
    """

    def __init__(self, work: Callable[[], Sequence[Tensor]], inputs: Sequence[Tensor]) -> None:
        self._work, self._inputs = work, inputs
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            work()  # what is chosen or allocated at first use is not to be captured
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads of ours may allocate meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._found = work()

    def __call__(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return what the work computes from other values of its inputs."""
        for mine, value in zip(self._inputs, values, strict=True):
            mine.copy_(value)
        self._graph.replay()
        return [tensor.clone() for tensor in self._found]


class Graphs:
    """Work that is repeated, as it is written at first, and by its graph from then on."""

    def __init__(self) -> None:
        self._seen: dict[object, int] = {}
        self._captured: dict[object, Work] = {}

    def do(self, kind: object, work: Work, watched: Work, params: Params, block: Episode) -> tuple[Tensor, Params]:
        """Return what the work returns.

        Args:
            kind: what is the same where the same kernels are launched; shapes are looked at too.
            work: what to do; it has no effect beside what it returns.
            watched: the same, with all that is checked while it is done as it is written; a graph does nothing else than it did then.
            params: at which parameters.
            block: on which episodes.
        """
        shapes = tuple((name, tensor.shape, tensor.dtype) for name, tensor in [*params.items(), *block.items()])
        key = (kind, shapes)
        self._seen[key] = self._seen.get(key, 0) + 1
        if self._seen[key] <= _SEEN:
            return watched(params, block)
        if key not in self._captured:
            self._captured[key] = _captured(work, params, block) or watched
        return self._captured[key](params, block)


def _captured(work: Work, params: Params, block: Episode) -> Work | None:
    """Return the work as a graph, None if it cannot be one; memory may be too short, as that of a graph is its own."""
    own_params = {name: value.detach().clone() for name, value in params.items()}
    own_block = block.map(torch.clone)
    names: list[str] = []

    def listed() -> list[Tensor]:
        rows, tree = work(own_params, own_block)
        names[:] = tree
        return [rows, *tree.values()]

    try:
        graph = Graph(listed, [*own_params.values(), *own_block.tensors])
    except (RuntimeError, EpisodeError):  # as a learner that waits would say
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return None

    def replayed(params: Params, block: Episode) -> tuple[Tensor, Params]:
        rows, *tree = graph([*params.values(), *block.tensors])
        return rows, dict(zip(names, tree, strict=True))

    return replayed


_graphs: ContextVar[Graphs | None] = ContextVar("graphs", default=None)


@contextmanager
def repeated() -> Iterator[None]:
    """Let work on a GPU that comes again and again in the block, the gradient of a meta-batch, be done by CUDA graphs."""
    token = _graphs.set(_graphs.get() or Graphs())
    try:
        yield
    finally:
        _graphs.reset(token)


def current() -> Graphs | None:
    """Return the graphs of the block that this is called in, if any."""
    return _graphs.get()
