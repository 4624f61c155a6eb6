"""The support sets of tasks, drawn again from their samplers: images, examples of modalities, or points of a function."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from transference.episodes import Episode
from transference.errors import DataError, TransferenceError
from transference.pages.drawings import Drawing, draw
from transference.samplers import DescribingSampler, FunctionFamily, PairedFewShot, reopen_tasks
from transference.spec import TaskSet

MOST_SHOTS = 10
"""Examples of a class that are shown; more are counted."""

_LARGE = 4000
"""Bytes of a PNG from which on a JPEG may stand for it: pages hold hundreds."""


@dataclass(frozen=True)
class Shots:
    """Support examples of one class in one modality: images as data: URIs, others as drawings.

    Attributes:
        images: those that are images.
        drawings: those that are not.
        modality: its name, None where images are all there is.
    """

    images: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    modality: str | None = None


@dataclass(frozen=True)
class ClassRow:
    """The support examples of one class, by modality; ``more`` are not shown."""

    name: str
    shots: tuple[Shots, ...] = ()
    more: int = 0


@dataclass(frozen=True)
class Points:
    """The support points of a function, and its formula."""

    formula: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    def at(self, span: tuple[float, float]) -> list[tuple[float, float]]:
        """Return where the points stand in a plot of 100 × 60, x from -5 to 5 and y over ``span``."""
        low, high = span
        height = max(high - low, 1e-9)
        return [
            (round(10 * (x + 5), 2), round(60 * (high - y) / height, 2)) for x, y in zip(self.x, self.y, strict=True)
        ]


@dataclass(frozen=True)
class Task:
    """One task as a reader sees it.

    Attributes:
        mode: as the tables name it.
        name: sampler and index.
        index: of its sampler.
        id: within its role.
        classes: their names, with examples where these could be drawn.
        points: of a function, None where there are classes.
        shots: support examples of a class.
    """

    mode: str
    name: str
    index: int
    id: int
    classes: tuple[ClassRow, ...] = ()
    points: Points | None = None
    shots: int = 1


class SupportSets:
    """Draws the support sets of a run's tasks again, and only where they are certain to be those that were measured.

    Args:
        task_sets: of the run's spec, sources and targets; tasks of others are combinations of theirs.
        data_root: the folder with images; None where there is none.
        side: pixels along each edge of the run's images.
        channels: theirs.
        drawn_modes: whether sources are draws of modes, each of many tasks, and have no support set.
    """

    def __init__(
        self,
        task_sets: tuple[TaskSet, ...],
        data_root: Path | None,
        side: int,
        channels: int,
        *,
        drawn_modes: bool = False,
    ) -> None:
        self._drawn_modes = drawn_modes
        self._digests = {tasks.sampler: tasks.digest for tasks in task_sets}
        self._data_root, self._side, self._channels = data_root, side, channels
        self._open: dict[str, DescribingSampler | None] = {}
        self.problems: dict[str, str] = {}
        """Why the tasks of a sampler could not be drawn."""

    def task(self, row: pd.Series, mode: str) -> Task:
        """Return a task of ``Run.tasks()`` with its support set, or with the names of its classes alone."""
        name, index = str(row["sampler"]), int(row["index"])
        names = tuple(map(str, row["class_names"] if row["class_names"] is not None else ()))
        if self._drawn_modes and row["role"] == "source":
            return Task(mode, f"{name}, draw {index}", index, int(row["id"]))
        plain = Task(mode, f"{name}, task {index}", index, int(row["id"]), tuple(map(ClassRow, names)))
        if name not in self._digests:
            return replace(plain, name=f"{name} of task {index} of every source mode")
        sampler = self._sampler(name)
        if sampler is None:
            return plain
        drawn = sampler.describe(index)
        if drawn.class_names != names or drawn.support_ids != (
            None if row["support_ids"] is None else tuple(row["support_ids"])
        ):
            self._open[name] = None
            self.problems[name] = (
                f"Task {index} of {name} is not what it was when the run was measured. Use the version in its run.json."
            )
            return plain
        episode = sampler[index]
        if isinstance(sampler, FunctionFamily):
            x, y = (tuple(axis[:, 0].tolist()) for axis in (episode.support_x, episode.support_y))
            return replace(plain, classes=(), points=Points(names[0], x, y))
        shots = len(episode.support_y) // len(names)
        more = max(0, shots - MOST_SHOTS)
        by_class = zip(*_shots(sampler, episode, len(names)), strict=True)
        rows = tuple(ClassRow(name, shown, more) for name, shown in zip(names, by_class, strict=True))
        return replace(plain, classes=rows, shots=shots)

    def _sampler(self, name: str) -> DescribingSampler | None:
        """Return the sampler of a name; None where it cannot draw the tasks, of which `problems` says why."""
        if name not in self._open:
            try:
                self._open[name] = self._verified(name)
            except (TransferenceError, OSError) as error:
                self._open[name] = None
                self.problems[name] = str(error)
        return self._open[name]

    def _verified(self, name: str) -> DescribingSampler:
        """Return the sampler of that name.

        Raises:
            DataError: the data behind it is not what the run was measured on.
        """
        sampler = reopen_tasks(name, data_root=self._data_root, side=self._side, channels=self._channels)
        if sampler.digest != self._digests[name]:
            if isinstance(sampler, PairedFewShot) and all(modality.kind != "image" for modality in sampler.modalities):
                raise DataError(
                    f"The data of {name.partition('/')[0]} are not those that the run was measured on: their digest is "
                    f"{sampler.digest}, the run's {self._digests[name]}. Give the --data-root of its transference compute."
                )
            raise DataError(
                f"The images of {name.partition('/')[0]} at {self._side}×{self._side} pixels and {self._channels} channels are not those "
                f"that the run was measured on: their digest is {sampler.digest}, the run's {self._digests[name]}. "
                "Give the --data-root, --side and --channels of its transference compute."
            )
        return sampler


def _shots(sampler: DescribingSampler, episode: Episode[Any], ways: int) -> list[list[Shots]]:
    """Return the support examples of each modality, and in it of each class."""
    inputs = episode.support_x
    if isinstance(inputs, Tensor):
        return [[Shots(tuple(map(as_picture, of))) for of in _by_class(inputs, ways)]]
    kinds = (
        {modality.name: modality.kind for modality in sampler.modalities} if isinstance(sampler, PairedFewShot) else {}
    )
    return [_of_modality(name, kind, _by_class(inputs[name], ways)) for name, kind in kinds.items() if name in inputs]


def _of_modality(name: str, kind: str, by_class: NDArray[np.float32]) -> list[Shots]:
    """Return the examples of one modality, ``[classes, shots, …]``, by class."""
    if kind == "image":
        return [Shots(images=tuple(map(as_picture, of)), modality=name) for of in by_class]
    n = by_class.shape[1]
    drawn = draw(kind, by_class.reshape(-1, *by_class.shape[2:]).astype(np.float64))  # one scale for the task
    return [Shots(drawings=tuple(drawn[c * n : (c + 1) * n]), modality=name) for c in range(len(by_class))]


def _by_class(examples: Tensor, ways: int) -> NDArray[np.float32]:
    """Return the first examples of each class, ``[ways, shots, …]``."""
    values: NDArray[np.float32] = examples.numpy()
    return values.reshape(ways, -1, *values.shape[1:])[:, :MOST_SHOTS]


def as_picture(image: NDArray[np.float32]) -> str:
    """Return an image, ``[channels, side, side]`` in [0, 1], as a data: URI.

    A PNG, which has every pixel as it is; where that is large, as of photographs, a JPEG that the eye does not tell from it.
    """
    pixels = np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0)
    shown = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    exact = _saved(shown, "PNG")
    if len(exact) <= _LARGE:
        return data_uri(exact, "image/png")
    close = _saved(shown, "JPEG", quality=90, subsampling=0)
    return data_uri(exact, "image/png") if len(exact) <= len(close) else data_uri(close, "image/jpeg")


def _saved(image: Image.Image, form: str, **settings: int) -> bytes:
    """Return an image as the content of a file."""
    file = BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Return content as an address that holds it."""
    return f"data:{kind};base64,{b64encode(content).decode()}"
