"""A split list that is drawn: so many classes, or such a share of them, to train, val and test."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from transference._streams import Stream
from transference.datasets.split_lists import SplitList
from transference.errors import DataError, UsageError

_SPLITS = {2: ("train", "test"), 3: ("train", "val", "test")}
_ROUNDING = 0.011
"""By how much shares may miss 1: three times 0.33 is meant as thirds."""


@dataclass(frozen=True)
class Shares:
    """How many classes each split is to have.

    Attributes:
        numbers: of train and test, or of train, val and test: shares of all classes, or whole numbers of them.
        seed: which of the splits of this size.
    """

    numbers: tuple[float, ...]
    seed: int = 0

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Shares:
        """Return the shares that a text such as ``0.6,0.2,0.2`` or ``60,20,20`` names.

        Raises:
            UsageError: they are not two or three numbers above 0 that are whole, or add up to 1.
        """
        try:
            numbers = tuple(float(part) for part in text.split(","))
        except ValueError:
            numbers = ()
        finite = len(numbers) in _SPLITS and all(0 < number < math.inf for number in numbers)
        if finite and (abs(sum(numbers) - 1) <= _ROUNDING or all(number.is_integer() for number in numbers)):
            return cls(numbers, seed)
        found = f", which add up to {sum(numbers):g}" if finite else ""
        raise UsageError(
            f"--split {text} was asked for{found}; give two numbers (train, test) or three (train, val, test), all above 0: shares that "
            "add up to 1, such as 0.6,0.2,0.2, or whole numbers of classes, such as 60,20,20."
        )

    def draw(self, class_names: Collection[str], where: str) -> SplitList:
        """Return the split of every class: the same for the same classes, shares and seed, on any machine.

        Args:
            class_names: of all images, whatever splits they were in.
            where: the place of the images, for messages.

        Raises:
            DataError: there are fewer classes than splits, or not as many as the numbers add up to.
        """
        names = sorted(set(class_names))
        counts = self._counts(len(names), where)
        order = iter(Stream("split by class", self.seed).choice(len(names), len(names)))
        entries = {
            names[next(order)]: split
            for split, count in zip(_SPLITS[len(counts)], counts, strict=True)
            for _ in range(count)
        }
        return SplitList.of(f"{'/'.join(map(str, counts))} classes drawn by seed {self.seed}", entries)

    def _counts(self, n: int, where: str) -> list[int]:
        """Return how many of ``n`` classes each split has, by the largest remainders, at least one.

        Raises:
            DataError: it cannot be.
        """
        if n < len(self.numbers):
            raise DataError(f"{where} has {n} classes, too few for {len(self.numbers)} splits that share none.")
        total = sum(self.numbers)
        if abs(total - 1) > _ROUNDING:
            if total != n:
                told = "+".join(f"{number:g}" for number in self.numbers)
                raise DataError(
                    f"{where} has {n} classes, and {told} = {total:g} were to be split; let them add up to {n}, "
                    "or give shares that add up to 1."
                )
            return [int(number) for number in self.numbers]
        exact = [number / total * n for number in self.numbers]
        counts = [max(1, math.floor(number + 1e-9)) for number in exact]
        while sum(counts) != n:
            step = 1 if sum(counts) < n else -1
            open_ = [k for k, count in enumerate(counts) if count + step >= 1]
            k = max(open_, key=lambda k: (step * (exact[k] - counts[k]), -k))
            counts[k] += step
        return counts
