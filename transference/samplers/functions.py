"""Regression tasks: functions of one variable out of a family, as a function of (family, split, shots, queries, noise, seed, index) alone.

The five families are those of the MMAML regression benchmark (Vuorio et al., "Multimodal Model-Agnostic Meta-Learning via Task-Aware
Modulation", NeurIPS 2019), with its ranges. A task is one function; x is uniform on [-5, 5), and both support and query values carry
normal noise of standard deviation 0.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from transference._streams import Stream
from transference.datasets import SPLITS
from transference.episodes import Episode
from transference.errors import UsageError
from transference.samplers._protocol import TaskRecord, check_replicate

Numbers = NDArray[np.float64]

_NAME = re.compile(
    r"(?P<family>[\w]+):(?P<split>\w+)/(?P<shots>\d+)-shot/(?P<queries>\d+)-query/noise-(?P<noise>\d+(\.\d+)?(e[+-]?\d+)?)/seed-(?P<seed>\d+)"
)
_VERSION = "functions/1"
"""Changes when the same name would give other numbers."""


@dataclass(frozen=True)
class _Function:
    """One function, and its formula for a reader."""

    at: Callable[[Numbers], Numbers]
    formula: str


def _sinusoid(stream: Stream) -> _Function:
    a, p = _uniform(stream, 0.1, 5.0), _uniform(stream, 0.0, np.pi)
    return _Function(lambda x: a * np.sin(x - p), f"{a:.3f} sin(x - {p:.3f})")


def _linear(stream: Stream) -> _Function:
    a, b = _uniform(stream, -3.0, 3.0), _uniform(stream, -3.0, 3.0)
    return _Function(lambda x: a * x + b, f"{a:.3f} x + {b:.3f}")


def _quadratic(stream: Stream) -> _Function:
    s = _uniform(stream, 0.02, 0.15) * (1.0 if stream.below(2) else -1.0)
    c, b = _uniform(stream, -3.0, 3.0), _uniform(stream, -3.0, 3.0)
    return _Function(lambda x: s * (x - c) ** 2 + b, f"{s:.3f} (x - {c:.3f})² + {b:.3f}")


def _tanh(stream: Stream) -> _Function:
    a, b, c = (_uniform(stream, -3.0, 3.0) for _ in range(3))
    return _Function(lambda x: a * np.tanh(x - c) + b, f"{a:.3f} tanh(x - {c:.3f}) + {b:.3f}")


def _abs(stream: Stream) -> _Function:
    a, b, c = (_uniform(stream, -3.0, 3.0) for _ in range(3))
    return _Function(lambda x: a * np.abs(x - c) + b, f"{a:.3f} |x - {c:.3f}| + {b:.3f}")


FAMILIES: dict[str, Callable[[Stream], _Function]] = {
    "sinusoid": _sinusoid,
    "linear": _linear,
    "quadratic": _quadratic,
    "tanh": _tanh,
    "abs": _abs,
}
"""The benchmark's two modes are the first two, its three modes the first three."""


@dataclass(frozen=True)
class FunctionFamilyName:
    """The identity of a family of regression tasks; as text ``sinusoid:train/5-shot/5-query/noise-0.3/seed-0``."""

    family: str
    split: str
    shots: int
    queries: int
    noise: float
    seed: int

    def __str__(self) -> str:
        return (
            f"{self.family}:{self.split}/{self.shots}-shot/{self.queries}-query/noise-{self.noise!r}/seed-{self.seed}"
        )

    @classmethod
    def parse(cls, text: str) -> FunctionFamilyName:
        """Return the name whose text this is.

        Raises:
            UsageError: it is the text of no name.
        """
        match = _NAME.fullmatch(text)
        if not match:
            raise UsageError(
                f"{text!r} is no name of a function family; one looks like {cls('sinusoid', 'train', 5, 5, 0.3, 0)}."
            )
        found = match.groupdict()
        numbers = {key: int(found[key]) for key in ("shots", "queries", "seed")}
        return cls(found["family"], found["split"], noise=float(found["noise"]), **numbers)


class FunctionFamily:
    """Draws one function per task, then its support and query points.

    A split is part of a task's identity: functions of ``train`` and ``test`` come from the same distribution, but are different draws.

    Args:
        family: sinusoid, linear, quadratic, tanh or abs.
        split: ``"train"``, ``"val"`` or ``"test"``.
        shots: support points.
        queries: query points.
        noise: standard deviation of the noise on every value.
        seed: one family of tasks per seed.
        device: where episodes are wanted.

    Raises:
        UsageError: there is no such family or split, or a number is out of range.

    Example:
        >>> tasks = FunctionFamily("sinusoid")
        >>> tasks[0].support_x.shape, tasks[0].query_y.shape
        (torch.Size([5, 1]), torch.Size([5, 1]))
    """

    def __init__(
        self,
        family: str,
        split: str = "train",
        *,
        shots: int = 5,
        queries: int = 5,
        noise: float = 0.3,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if family not in FAMILIES or split not in SPLITS:
            raise UsageError(
                f"{family}:{split} was asked for; families of functions are {', '.join(FAMILIES)}, their splits {', '.join(SPLITS)}."
            )
        if min(shots, queries) < 1 or seed < 0 or not 0 <= noise < np.inf:
            raise UsageError(
                f"{shots} shots, {queries} queries, noise {noise}, seed {seed} were asked for; the first two must be at least 1."
            )
        self.identity = FunctionFamilyName(family, split, shots, queries, float(noise), seed)
        self.name = str(self.identity)
        self.digest = _VERSION
        self._device = device

    def __getitem__(self, index: int) -> Episode:
        """Return task number ``index``: x and y float32, ``[shots, 1]`` and ``[queries, 1]``.

        Raises:
            IndexError: the index is negative.
        """
        return self._episode(*self._draw(index))

    def redraw(self, index: int, replicate: int = 1) -> Episode:
        """Return task number ``index`` with other points of the same function.

        Args:
            index: the task's.
            replicate: which of its other draws, from 1.

        Raises:
            IndexError: the index is negative, or the replicate below 1.
        """
        check_replicate(replicate, self.name)
        (_, function), stream = self._draw(index), Stream("function task drawn anew", self.name, index)
        for _ in range(replicate - 1):  # one stream holds them all, in turn
            self._points(stream, function)
        return self._episode(stream, function)

    def _points(self, stream: Stream, function: _Function) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x = stream.uniform(-5.0, 5.0, (self.identity.shots + self.identity.queries,))
        return x, function.at(x) + self.identity.noise * stream.normal(x.shape)

    def _episode(self, stream: Stream, function: _Function) -> Episode:
        who, (x, y) = self.identity, self._points(stream, function)
        points = [torch.from_numpy(values.astype(np.float32)[:, None]).to(self._device) for values in (x, y)]
        (support_x, query_x), (support_y, query_y) = ((values[: who.shots], values[who.shots :]) for values in points)
        return Episode(support_x, support_y, query_x, query_y, mode=who.family)

    def describe(self, index: int) -> TaskRecord:
        """Return the record of task number ``index``; its one class name is the function's formula."""
        who = self.identity
        return TaskRecord(
            mode=who.family,
            split=who.split,
            shots=who.shots,
            queries=who.queries,
            seed=who.seed,
            class_names=(self._draw(index)[1].formula,),
        )

    def _draw(self, index: int) -> tuple[Stream, _Function]:
        """Return the stream of a task, and the function drawn from it.

        Raises:
            IndexError: the index is negative.
        """
        if index < 0:
            raise IndexError(f"Task {index} of {self.name} was asked for; tasks are numbered from 0.")
        stream = Stream("function task", self.name, index)
        return stream, FAMILIES[self.identity.family](stream)


def _uniform(stream: Stream, low: float, high: float) -> float:
    return float(stream.uniform(low, high))
