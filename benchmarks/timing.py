"""What every benchmark does: take turns, say what it ran on, and how much it needed."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch


def machine(device: torch.device) -> dict[str, object]:
    """Return what a reader must know of machine and versions."""
    return {
        "machine": platform.processor() or platform.machine(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def in_turn(ways: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, float]:
    """Return the median seconds of each way, after one round to warm up."""
    return {name: statistics.median(taken) for name, taken in all_in_turn(ways, rounds, device).items()}


def all_in_turn(ways: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds of each way in each round, after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name].append(time.perf_counter() - begun)
    return {name: taken[1:] for name, taken in seconds.items()}


def times_as_fast(beside: Sequence[float], seconds: Sequence[float]) -> tuple[float, float, float]:
    """Return how many times as fast something was as what was timed beside it: median, least and most over the rounds."""
    ratios = sorted(theirs / ours for theirs, ours in zip(beside, seconds, strict=True))
    return statistics.median(ratios), ratios[0], ratios[-1]


def peak_memory(way: Callable[[], object], device: torch.device) -> float:
    """Return the MB that a way needs at most on a GPU, what is there before it included; 0 elsewhere."""
    if device.type != "cuda":
        return 0.0
    torch.cuda.reset_peak_memory_stats(device)
    way()
    return torch.cuda.max_memory_allocated(device) / 2**20


def matrix_product(device: torch.device, side: int = 2048) -> float:
    """Return the GFLOP/s of a large float32 matrix product, the rate that no convolution here can much exceed."""
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    took = in_turn({"product": lambda: a @ b}, 9, device)["product"]
    return 2 * side**3 / took / 1e9
