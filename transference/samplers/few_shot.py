"""N-way K-shot image classification tasks, as a function of (dataset, split, ways, shots, queries, seed, index) alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from transference._streams import Stream
from transference.datasets import ImageDataset, open_dataset
from transference.episodes import Episode
from transference.errors import DataError, UsageError
from transference.samplers._protocol import TaskRecord, check_replicate

_NAME = re.compile(
    r"(?P<mode>[\w.-]+):(?P<split>[\w-]+)/(?P<ways>\d+)-way/(?P<shots>\d+)-shot/(?P<queries>\d+)-query/seed-(?P<seed>\d+)(?P<rotated>/rotated)?"
)


@dataclass(frozen=True)
class FewShotName:
    """The identity of a family of few-shot tasks; as text ``omniglot:train/5-way/1-shot/15-query/seed-0``.

    Where classes are turned, ``/rotated`` follows. The side and channels of the images are not part of it: task 7 shows the same images at
    28 and at 84 pixels.
    """

    mode: str
    split: str
    ways: int
    shots: int
    queries: int
    seed: int
    rotated: bool = False

    def __str__(self) -> str:
        turned = "/rotated" if self.rotated else ""
        return (
            f"{self.mode}:{self.split}/{self.ways}-way/{self.shots}-shot/{self.queries}-query/seed-{self.seed}{turned}"
        )

    @classmethod
    def parse(cls, text: str) -> FewShotName:
        """Return the name whose text this is.

        Raises:
            UsageError: it is the text of no name.
        """
        match = _NAME.fullmatch(text)
        if not match:
            raise UsageError(
                f"{text!r} is no few-shot task name; one looks like {cls('omniglot', 'train', 5, 1, 15, 0)}."
            )
        found = match.groupdict()
        numbers = {key: int(found[key]) for key in ("ways", "shots", "queries", "seed")}
        return cls(found["mode"], found["split"], **numbers, rotated=bool(found["rotated"]))


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
        if min(ways, shots, queries) < 1 or seed < 0:
            raise UsageError(
                f"{ways} ways, {shots} shots, {queries} queries, seed {seed} were asked for; the first three must be at least 1."
            )
        mode = f"{dataset.name}:{dataset.split}"
        if len(dataset.class_names) < ways:
            raise DataError(
                f"{mode} has {len(dataset.class_names)} classes, but {ways} ways were asked for. Ask for fewer ways."
            )
        small = [
            name for name, size in zip(dataset.class_names, dataset.class_sizes, strict=True) if size < shots + queries
        ]
        if small:
            least = min(dataset.class_sizes)
            raise DataError(
                f"{mode}: {shots} shots and {queries} queries need {shots + queries} images a class, but {len(small)} of "
                f"{len(dataset.class_names)} classes have fewer ({', '.join(small[:3])}; the least has {least}). "
                f"Ask for fewer queries{', or remove these classes' if len(small) < len(dataset.class_names) else ''}."
            )
        self.identity = FewShotName(dataset.name, dataset.split, ways, shots, queries, seed, rotated)
        self.name = str(self.identity)
        self.digest = dataset.digest
        self.class_names = dataset.class_names
        self._dataset = dataset

    def __getitem__(self, index: int) -> Episode:
        """Return task number ``index``: images float32 in [0, 1], support ``[ways*shots, …]`` and query ``[ways*queries, …]``.

        Raises:
            IndexError: the index is negative.
        """
        return self._episode(index, self._draw(index))

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
        return self._episode(index, self._draw(index, replicate))

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
        who, data = self.identity, self._dataset
        drawn = self._draw(index)
        class_of = [
            next(c for c, (start, stop) in enumerate(pairwise(data.starts)) if start <= rows[0] < stop)
            for rows in drawn
        ]
        return TaskRecord(
            mode=who.mode,
            split=who.split,
            ways=who.ways,
            shots=who.shots,
            queries=who.queries,
            seed=who.seed,
            class_names=tuple(data.class_names[c] for c in class_of),
            support_ids=tuple(data.image_ids[row] for rows in drawn for row in rows[: who.shots]),
            query_ids=tuple(data.image_ids[row] for rows in drawn for row in rows[who.shots :]),
        )

    def _draw(self, index: int, replicate: int = 0) -> list[list[int]]:
        """Return the image rows of each class drawn, ``[ways][shots + queries]``; replicates above 0 are other images of these classes.

        Raises:
            IndexError: the index is negative.
        """
        if index < 0:
            raise IndexError(f"Task {index} of {self.name} was asked for; tasks are numbered from 0.")
        who, data = self.identity, self._dataset
        stream = Stream("few-shot task", str(replace(who, rotated=False)), index)
        classes = stream.choice(len(data.class_names), who.ways)
        stream = Stream("few-shot task drawn anew", str(replace(who, rotated=False)), index) if replicate else stream
        for _ in range(max(1, replicate)):  # one stream holds all further replicates, in turn
            rows = [
                [data.starts[c] + k for k in stream.choice(data.class_sizes[c], who.shots + who.queries)]
                for c in classes
            ]
        return rows

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
        mode: ``"NAME:SPLIT"``.
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
