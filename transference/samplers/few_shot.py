"""N-way K-shot image classification tasks, as a function of (dataset, split, ways, shots, queries, seed, index) alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from transference._streams import Stream
from transference.datasets import ImageDataset, open_dataset
from transference.episodes import Episode
from transference.samplers._drawing import Draws, FewShotName
from transference.samplers._protocol import TaskRecord, check_replicate


class FewShot:
    """Draws classes without replacement, and for each its support and query images without replacement.

    Rows are grouped by class; label ``c`` is the ``c``-th class drawn, so labels are a random permutation of any order of the classes.

    Args:
        dataset: images, on the device where episodes are wanted.
        ways: classes per task.
        shots: support images per class.
        queries: query images per class.
        seed: one family of tasks per seed.
        rotated: turn all images of a class by 0, 90, 180 or 270 degrees, drawn for each class of each task: the augmentation of Omniglot in
            training. Task 7 has the same images either way.

    Raises:
        UsageError: ways, shots or queries are below one, or the seed below zero.
        DataError: there are fewer classes than ways, or a class has fewer images than ``shots + queries``.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        *,
        ways: int = 5,
        shots: int = 1,
        queries: int = 15,
        seed: int = 0,
        rotated: bool = False,
    ) -> None:
        self.identity = FewShotName(dataset.name, dataset.split, ways, shots, queries, seed, rotated)
        self.name = str(self.identity)
        self.digest = dataset.digest
        self.class_names = dataset.class_names
        self._dataset = dataset
        self._draws = Draws(
            replace(self.identity, rotated=False), dataset.class_names, dataset.starts, dataset.image_ids, "images"
        )

    @property
    def dataset(self) -> ImageDataset:
        """What the episodes are drawn from."""
        return self._dataset

    def __getitem__(self, index: int) -> Episode:
        """Return task number ``index``: images float32 in [0, 1], support ``[ways*shots, …]`` and query ``[ways*queries, …]``.

        Raises:
            IndexError: the index is negative.
        """
        return self._episode(index, self._draws.rows(index))

    def redraw(self, index: int, replicate: int = 1) -> Episode:
        """Return task number ``index`` with another draw of support and query images from the same classes.

        Some may be those of the task itself: few images a class leave little choice.

        Args:
            index: the task's.
            replicate: which of its other draws, from 1.

        Raises:
            IndexError: the index is negative, or the replicate below 1.
        """
        check_replicate(replicate, self.name)
        return self._episode(index, self._draws.rows(index, replicate))

    def _episode(self, index: int, drawn: list[list[int]]) -> Episode:
        who = self.identity
        turns = self._turns(index)
        labels = torch.arange(who.ways, device=self._dataset.images.device)
        return Episode(
            self._images([rows[: who.shots] for rows in drawn], turns),
            labels.repeat_interleave(who.shots),
            self._images([rows[who.shots :] for rows in drawn], turns),
            labels.repeat_interleave(who.queries),
            mode=who.mode,
        )

    def describe(self, index: int) -> TaskRecord:
        """Return classes and image ids of task number ``index``."""
        return self._draws.record(index, self.identity.mode)

    def _turns(self, index: int) -> list[int]:
        """Return the quarter turns of each class."""
        who = self.identity
        stream = Stream("few-shot rotation", self.name, index)
        return [stream.below(4) if who.rotated else 0 for _ in range(who.ways)]

    def _images(self, rows: list[list[int]], turns: list[int]) -> Tensor:
        """Return the images of each class, turned, one class after another."""
        images = self._dataset.images
        flat = torch.tensor(rows, device=images.device).flatten()
        chosen = images.index_select(0, flat)  # copies whole images; plain indexing goes byte by byte, ten times slower
        if any(turns):
            by_class = zip(chosen.reshape(len(rows), len(rows[0]), *chosen.shape[1:]), turns, strict=True)
            chosen = torch.cat([of_class.rot90(turn, (-2, -1)) for of_class, turn in by_class])
        return chosen.float().div_(255.0)


def few_shot(
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
) -> FewShot:
    """Return the few-shot tasks of a dataset split.

    Args:
        mode: ``"NAME:SPLIT"``; of a dataset with a single split ``"NAME"`` will do.
        data_root: the folder with prepared files, ``NAME.parquet`` or ``NAME/``; not needed for the generated modes.
        ways: classes per task.
        shots: support images per class.
        queries: query images per class.
        seed: one family of tasks per seed.
        rotated: turn the images of each class by a random number of quarter turns.
        side: pixels along each edge.
        channels: 1 or 3.
        device: where the images are kept and episodes gathered.

    Raises:
        UsageError: a number is out of range, or ``mode`` is not of the form ``NAME:SPLIT``.
        DataError: there is no such dataset or split, it is damaged, or too small.

    Example:
        >>> tasks = few_shot("strokes:test", ways=5, shots=1, queries=15, seed=0)
        >>> tasks[0].query_x.shape
        torch.Size([75, 3, 28, 28])
    """
    dataset = open_dataset(mode, data_root=data_root, side=side, channels=channels).to(device)
    return FewShot(dataset, ways=ways, shots=shots, queries=queries, seed=seed, rotated=rotated)
