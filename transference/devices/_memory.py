"""Memory that runs out, and memory that is kept."""

from __future__ import annotations

import ctypes

import torch


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out; the CPU allocator says so in a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error)


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
