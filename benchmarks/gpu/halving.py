"""Blocks that do not fit: does a run end all the same, with the numbers that it has where there is room?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor

import transference as tr
from benchmarks.gpu.stages import Asked, Row
from transference.engines import find_engine

_SAME = 1e-4
"""Relative difference of float32 losses that blocks of another size may make."""


def halving(asked: Asked) -> Iterator[Row]:
    """Yield what comes of a block that does not fit: into an allocator that says so, and, on a GPU, into a share of its memory."""
    side, n = (16, 4) if asked.toy else (84, 16)
    learner = tr.load_learner("protonet")
    tasks = tr.few_shot("textures:test", side=side, device=asked.where)
    episodes = [tasks[k] for k in range(n)]
    params = {name: value.to(asked.where) for name, value in learner.init_params(0).items()}
    read = partial(_read, learner, episodes, params)
    expected, peak = _with_peak(read, asked.where)
    yield _row("as told", expected, read, partial(_refusing, n // 2), peak)
    if asked.where.type == "cuda":
        yield _row("as it is", expected, read, partial(_a_share, 0.6 * peak, asked.where), peak)


def _read(learner: tr.Learner, episodes: Sequence[tr.Episode], params: tr.Params) -> Tensor:
    return find_engine("vmap")(learner, episodes)(params)[:, 0]


def _with_peak(read: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, int]:
    """Return what was read, and the bytes that the allocator held for it at most; 0 on a CPU."""
    if device.type != "cuda":
        return read(), 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return read(), torch.cuda.max_memory_reserved(device)


def _row(
    memory: str,
    expected: Tensor,
    read: Callable[[], Tensor],
    short: Callable[[], AbstractContextManager[object]],
    peak: int,
) -> Row:
    """Return how often blocks were halved where memory is short, and how far losses then are from those expected."""
    with short(), patch.object(torch.cuda, "empty_cache", wraps=torch.cuda.empty_cache) as halved:
        found = read()
    difference = float((found / expected - 1).abs().max())
    status = "ok"
    if not difference <= _SAME:
        status = f"wrong: the losses differ by more than {_SAME:g}"
    elif not halved.call_count:
        status = "failed: it fitted all the same, so that nothing was tried"
    told = {"memory_short": memory, "halvings": halved.call_count, "largest_difference": difference}
    return {**told, "peak_MB_before": peak / 2**20, "status": status}


@contextmanager
def _refusing(most: int) -> Iterator[None]:
    """Let calls of ``torch.vmap`` on more than so many episodes run out of memory."""
    batched = torch.vmap

    def vmap(*args: object, **kwargs: object) -> Callable[[tr.Episode], object]:
        def call(episodes: tr.Episode) -> object:
            if len(episodes.query_y) > most:
                raise torch.OutOfMemoryError(f"{len(episodes.query_y)} episodes were refused, to try it")
            return batched(*args, **kwargs)(episodes)

        return call

    with patch.object(torch, "vmap", vmap):
        yield


@contextmanager
def _a_share(most: float, device: torch.device) -> Iterator[None]:
    """Let this process have so many bytes of the GPU's memory."""
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(most / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
