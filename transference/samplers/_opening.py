"""From the name of a mode to its tasks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from transference.datasets import in_full, open_dataset, open_paired, parse_mode, places_of
from transference.errors import DataError, UsageError
from transference.samplers._drawing import FewShotName
from transference.samplers._protocol import DescribingSampler
from transference.samplers._subsets import find_subset
from transference.samplers.few_shot import FewShot, few_shot
from transference.samplers.functions import FAMILIES, FunctionFamily, FunctionFamilyName
from transference.samplers.paired import PairedFewShot, PairedName


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
    """Return the tasks of a mode, whatever they are: classification of images or paired data, or regression of functions.

    Args:
        mode: ``"NAME:SPLIT"``; NAME is a dataset, paired data with some of its modalities in brackets (``watch[accel]``,
            ``watch[accel+gyro]``, ``watch[*]`` for all, ``watch[accel>gyro]`` for support in one and queries in the other), or
            one of the function families (sinusoid, linear, quadratic, tanh, abs). Of data with a single split ``"NAME"`` will do.
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
        UsageError: a number is out of range, ``mode`` is not of the form ``NAME:SPLIT``, or names modalities that there are not.
        DataError: there is no such dataset or split, it is damaged, or too small.

    Example:
        >>> open_tasks("linear:test", shots=5, queries=5)[3].query_y.shape
        torch.Size([5, 1])
        >>> open_tasks("mix[a+b]:test")[3].query_x["b"].shape
        torch.Size([75, 16])
    """
    name, split = parse_mode(in_full(mode, data_root))
    if name in FAMILIES:
        clash = places_of(name, Path(data_root)) if data_root and Path(data_root).is_dir() else []
        if clash:
            raise DataError(f"Both the functions {name} and {clash[0]} could be {name}; rename or move the images.")
        if rotated:
            raise UsageError(f"{name} is a family of functions, which cannot be rotated; only images can.")
        return FunctionFamily(name, split, shots=shots, queries=queries, seed=seed, device=device)
    if found := find_subset(name, data_root):
        reader, subset = found
        if rotated:
            raise UsageError(f"{name} is paired data, which cannot be rotated; only images can.")
        paired = open_paired(
            reader.name, split, data_root=data_root, side=side, channels=channels, shown=subset.shown
        ).to(device)
        return PairedFewShot(paired, str(subset), ways=ways, shots=shots, queries=queries, seed=seed)
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


def reopen_tasks(
    name: str, *, data_root: str | Path | None = None, side: int = 28, channels: int = 3
) -> DescribingSampler:
    """Return the sampler whose ``name`` this is, as a run folder has it beside every task.

    Args:
        name: for example ``"omniglot:train/5-way/1-shot/15-query/seed-0"``.
        data_root: the folder with prepared files, ``NAME.parquet`` or ``NAME/``; not needed for generated modes and functions.
        side: pixels along each edge of an image, which the name does not tell.
        channels: 1 or 3, likewise.

    Raises:
        UsageError: it is the name of no sampler that comes with this package.
        DataError: there is no such dataset or split, it is damaged, or too small.

    Example:
        >>> reopen_tasks("strokes:test/5-way/1-shot/15-query/seed-0")[3].support_x.shape
        torch.Size([5, 3, 28, 28])
    """
    who = _parse(name)
    if isinstance(who, FunctionFamilyName):
        return FunctionFamily(
            who.family, who.split, shots=who.shots, queries=who.queries, noise=who.noise, seed=who.seed
        )
    if isinstance(who, PairedName):
        drawn = who.drawn
        paired = open_paired(
            drawn.mode, drawn.split, data_root=data_root, side=side, channels=channels, shown=who.subset.shown
        )
        return PairedFewShot(
            paired, str(who.subset), ways=drawn.ways, shots=drawn.shots, queries=drawn.queries, seed=drawn.seed
        )
    dataset = open_dataset(f"{who.mode}:{who.split}", data_root=data_root, side=side, channels=channels)
    # Version 0.1 called some splits by other words, and tasks are drawn by the name of their sampler.
    dataset = replace(dataset, split=who.split)
    return FewShot(dataset, ways=who.ways, shots=who.shots, queries=who.queries, seed=who.seed, rotated=who.rotated)


def _parse(name: str) -> FewShotName | FunctionFamilyName | PairedName:
    """Return the name whose text this is.

    Raises:
        UsageError: it is the text of no name.
    """
    for kind in (FewShotName, PairedName, FunctionFamilyName):
        with suppress(UsageError):
            return kind.parse(name)
    raise UsageError(
        f"The tasks {name!r} come from a sampler that this package does not have, and cannot be drawn again by name."
    )
