"""Which classes and examples a few-shot task has: the same for images and for paired data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from transference._streams import Stream
from transference.errors import DataError, UsageError
from transference.samplers._protocol import TaskRecord

SHAPE = r"(?P<split>[\w-]+)/(?P<ways>\d+)-way/(?P<shots>\d+)-shot/(?P<queries>\d+)-query/seed-(?P<seed>\d+)"
"""What follows the mode in the name of few-shot tasks."""

_NAME = re.compile(rf"(?P<mode>[\w.-]+):{SHAPE}(?P<rotated>/rotated)?")


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


@dataclass(frozen=True)
class Draws:
    """Draws the rows of every task: classes without replacement, and of each class examples without replacement.

    Attributes:
        who: the tasks; its text is the address of their random numbers.
        class_names: of the data.
        starts: class ``c`` owns the rows ``starts[c] … starts[c+1]-1``.
        ids: one per row.
        things: what a row is, for messages.

    Raises:
        UsageError: ways, shots or queries are below one, or the seed below zero.
        DataError: there are fewer classes than ways, or a class has fewer rows than ``shots + queries``.
    """

    who: FewShotName
    class_names: Sequence[str]
    starts: Sequence[int]
    ids: Sequence[str]
    things: str

    def __post_init__(self) -> None:
        who, n = self.who, self.who.shots + self.who.queries
        if min(who.ways, who.shots, who.queries) < 1 or who.seed < 0:
            raise UsageError(
                f"{who.ways} ways, {who.shots} shots, {who.queries} queries, seed {who.seed} were asked for; "
                "the first three must be at least 1."
            )
        mode = f"{who.mode}:{who.split}"
        if len(self.class_names) < who.ways:
            raise DataError(
                f"{mode} has {len(self.class_names)} classes, but {who.ways} ways were asked for. Ask for fewer ways."
            )
        sizes = [stop - start for start, stop in pairwise(self.starts)]
        if small := [name for name, size in zip(self.class_names, sizes, strict=True) if size < n]:
            raise DataError(
                f"{mode}: {who.shots} shots and {who.queries} queries need {n} {self.things} a class, "
                f"but {len(small)} of {len(sizes)} classes have fewer ({', '.join(small[:3])}; "
                f"the least has {min(sizes)}). "
                f"Ask for fewer queries{', or remove these classes' if len(small) < len(sizes) else ''}."
            )

    def rows(self, index: int, replicate: int = 0) -> list[list[int]]:
        """Return the rows of each class drawn, ``[ways][shots + queries]``.

        Args:
            index: the task's.
            replicate: 0 is the task itself; above 0 are other rows of its classes.

        Raises:
            IndexError: the index is negative.
        """
        if index < 0:
            raise IndexError(f"Task {index} of {self.who} was asked for; tasks are numbered from 0.")
        who = self.who
        stream = Stream("few-shot task", str(who), index)
        classes = stream.choice(len(self.class_names), who.ways)
        stream = Stream("few-shot task drawn anew", str(who), index) if replicate else stream
        for _ in range(max(1, replicate)):  # one stream holds all further replicates, in turn
            rows = [
                [
                    self.starts[c] + k
                    for k in stream.choice(self.starts[c + 1] - self.starts[c], who.shots + who.queries)
                ]
                for c in classes
            ]
        return rows

    def record(self, index: int, mode: str) -> TaskRecord:
        """Return classes and ids of task number ``index``, under the name of a mode."""
        who, drawn = self.who, self.rows(index)
        class_of = [
            next(c for c, (start, stop) in enumerate(pairwise(self.starts)) if start <= rows[0] < stop)
            for rows in drawn
        ]
        return TaskRecord(
            mode=mode,
            split=who.split,
            ways=who.ways,
            shots=who.shots,
            queries=who.queries,
            seed=who.seed,
            class_names=tuple(self.class_names[c] for c in class_of),
            support_ids=tuple(self.ids[row] for rows in drawn for row in rows[: who.shots]),
            query_ids=tuple(self.ids[row] for rows in drawn for row in rows[who.shots :]),
        )
