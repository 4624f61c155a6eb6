"""Settings of torch and numpy that somebody else may have changed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch


def eager() -> bool:
    """Return whether torch computes numbers now, and neither compiles nor transforms a function (``torch.func``, ``torch.vmap``)."""
    return not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is None


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
        stack.callback(_set_deterministic, deterministic, warn_only)
        torch.set_default_dtype(torch.float32)
        _set_deterministic(False)
        yield


@contextmanager
def restored() -> Iterator[None]:
    """Put settings of torch, numpy and warnings back after the block, as the import of a file may change them for the whole process."""
    grad, dtype, threads = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
    deterministic, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    anomaly, device, errors = torch.is_anomaly_enabled(), torch.get_default_device(), np.geterr()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        _set_deterministic(deterministic, warn_only)
        torch.autograd.set_detect_anomaly(anomaly)
        np.seterr(**errors)
        if torch.get_default_device() != device:
            torch.set_default_device(device)


def _set_deterministic(mode: bool, warn_only: bool = False) -> None:
    """Have torch choose deterministic algorithms or not; it is only told what is new to it.

    For this setting torch imports its compiler, which takes longer than all else that is imported.
    """
    if (mode, warn_only) != (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    ):
        torch.use_deterministic_algorithms(mode, warn_only=warn_only)
