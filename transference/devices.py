"""Where to compute, with how many digits, in which layout, on how many threads and out of which memory."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transference.errors import UsageError

_ALIGNMENT = 64
"""Bytes; where torch's allocator begins every tensor on a CPU, and what its kernels ask for."""


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


@contextmanager
def undisturbed() -> Iterator[None]:
    """Compute inside the block as torch and numpy do when nobody has changed their settings, and put these back afterwards.

    A caller may be in ``no_grad`` or ``inference_mode``, as evaluation functions are, or under autocast; a program may have set another
    default device or dtype, deterministic algorithms or a search for anomalies. None of it may change a loss.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autograd.set_detect_anomaly(mode=False))
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":  # as a mode of its own it is not free
            stack.enter_context(torch.device("cpu"))
        dtype, deterministic = torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled()
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        stack.callback(torch.set_default_dtype, dtype)
        stack.callback(torch.use_deterministic_algorithms, deterministic, warn_only=warn_only)
        torch.set_default_dtype(torch.float32)
        torch.use_deterministic_algorithms(mode=False)
        yield


@contextmanager
def restored() -> Iterator[None]:
    """Put settings of torch, numpy and warnings back after the block, as the import of a file may change them for the whole process."""
    grad, dtype, threads = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
    deterministic, warn_only = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    anomaly, device, errors = torch.is_anomaly_enabled(), torch.get_default_device(), np.geterr()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.autograd.set_detect_anomaly(anomaly)
        np.seterr(**errors)
        if torch.get_default_device() != device:
            torch.set_default_device(device)


def usable(tensor: Tensor) -> Tensor:
    """Return a tensor that gradients can pass through; one that was made in ``inference_mode`` is copied."""
    return tensor.clone() if tensor.is_inference() else tensor


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out; the CPU allocator says so in a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


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


def keep_freed_memory() -> None:
    """Let this process keep what its tensors free, instead of handing it back to the system and asking for it again.

    With glibc, whose defaults do that for the feature maps of every larger convolution, up to a third of the time goes there. It holds for
    the whole process, which is why commands do it and functions do not; with another C library it does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3  # as malloc.h numbers them
    mallopt(trim_threshold, 2**31 - 1)
    # Larger blocks, such as the gradients of many targets, still go back when they are freed: a hole of their size is seldom filled again.
    mallopt(mmap_threshold, 2**27)


def channels_last(tensor: Tensor) -> Tensor:
    """Return images or a kernel with their channels last in memory, where CPUs convolve faster; others as allocated."""
    tensor = as_allocated(tensor)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 and tensor.device.type == "cpu" else tensor


def as_allocated(tensor: Tensor) -> Tensor:
    """Return the tensor as a fresh one of its shape lies in memory: the plain layout, beginning where torch's allocator begins.

    A tensor that came out of a file, a numpy array or a larger tensor may begin anywhere, and have strides of its own. Kernels then take
    other paths, whose sums run in another order: the same loss differs in its last digits from that on a tensor just computed.
    """
    tensor = tensor.resolve_neg()
    if tensor.stride() == _plain_strides(tensor) and (tensor.device.type != "cpu" or tensor.data_ptr() % _ALIGNMENT == 0):
        return tensor
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device).copy_(tensor.detach())


def _plain_strides(tensor: Tensor) -> tuple[int, ...]:
    """Return the strides of a fresh tensor; `is_contiguous` allows others where a dimension has one entry."""
    strides, step = [], 1
    for size in reversed(tensor.shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))
