"""Where to compute, with how many digits, and on how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch

from transference.errors import UsageError


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``"auto"`` is a CUDA device where there is one.

    Raises:
        UsageError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"The device {name!r} was asked for; use auto, cpu, cuda or cuda:N.") from error
    present = torch.cuda.device_count()
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and (device.index or 0) >= present):
        raise UsageError(f"The device {name!r} was asked for; this machine has cpu and {present} CUDA devices.")
    return device


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute without TF32 and with repeatable CUDA kernels inside the block.

    TF32 keeps 10 bits of a product and flips about 3 % of the signs at small steps; float32 flips none against float64.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    convolution: Any = cudnn.conv  # type: ignore[attr-defined]  # made when the module is imported
    flags: list[tuple[Any, str, object]] = [
        (matmul, "fp32_precision", "ieee"),
        (convolution, "fp32_precision", "ieee"),
        (cudnn, "deterministic", True),
        (cudnn, "benchmark", False),
    ]
    before = [getattr(module, name) for module, name, _ in flags]
    try:
        for module, name, value in flags:
            setattr(module, name, value)
        yield
    finally:
        for (module, name, _), value in zip(flags, before, strict=True):
            setattr(module, name, value)


_pool: ContextVar[tuple[ThreadPoolExecutor, int] | None] = ContextVar("pool", default=None)


def n_workers() -> int:
    """Return how many threads `workers` provides here."""
    found = _pool.get()
    return found[1] if found else torch.get_num_threads()


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """Provide as many threads as torch would use, with one kernel thread each; the block itself has one, too.

    With more, kernel threads that had a share of the block's own work, the copy of a large tensor, would wait for more
    in a busy loop, on the cores that the workers need, which can double the time of all. Inside another such block the
    threads are those of that block.

    Yields:
        The pool.
    """
    if found := _pool.get():
        yield found[0]
        return
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, 1)) as pool:
            token = _pool.set((pool, threads))
            try:
                yield pool
            finally:
                _pool.reset(token)
    finally:
        torch.set_num_threads(threads)  # the BLAS library keeps one setting for all threads
