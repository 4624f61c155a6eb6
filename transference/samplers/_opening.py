"""From the name of a mode to its tasks."""

from __future__ import annotations

from pathlib import Path

import torch

from transference.datasets import parse_mode
from transference.errors import DataError, UsageError
from transference.samplers._protocol import DescribingSampler
from transference.samplers.few_shot import few_shot
from transference.samplers.functions import FAMILIES, FunctionFamily


def open_tasks(
    mode: str,
    *,
    data_root: str | Path | None = None,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    seed: int = 0,
    rotated: bool = False,
    side: int = 28,
    channels: int = 3,
    device: torch.device | str = "cpu",
) -> DescribingSampler:
    """Return the tasks of a mode, whatever they are: few-shot classification of images, or regression of functions.

    Args:
        mode: ``"NAME:SPLIT"``; NAME is a dataset or one of the function families (sinusoid, linear, quadratic, tanh, abs).
        data_root: the folder with prepared files, ``NAME.parquet`` or ``NAME/``; not needed for generated modes and functions.
        ways: classes per task; functions have none.
        shots: support examples, per class where there are classes.
        queries: query examples, likewise.
        seed: one family of tasks per seed.
        rotated: turn the images of each class by a random number of quarter turns.
        side: pixels along each edge of an image.
        channels: 1 or 3.
        device: where episodes are wanted.

    Raises:
        UsageError: a number is out of range, or ``mode`` is not of the form ``NAME:SPLIT``.
        DataError: there is no such dataset or split, it is damaged, or too small.

    Example:
        >>> open_tasks("linear:test", shots=5, queries=5)[3].query_y.shape
        torch.Size([5, 1])
    """
    name, split = parse_mode(mode)
    if name in FAMILIES:
        clash = [str(path) for path in (Path(data_root) / f"{name}.parquet", Path(data_root) / name) if path.exists()] if data_root else []
        if clash:
            raise DataError(f"Both the functions {name} and {clash[0]} could be {name}; rename or move the images.")
        if rotated:
            raise UsageError(f"{name} is a family of functions, which cannot be rotated; only images can.")
        return FunctionFamily(name, split, shots=shots, queries=queries, seed=seed, device=device)
    return few_shot(
        mode,
        data_root=data_root,
        ways=ways,
        shots=shots,
        queries=queries,
        seed=seed,
        rotated=rotated,
        side=side,
        channels=channels,
        device=device,
    )
