"""The support sets of tasks, drawn again from their samplers: images, or points of a function."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from transference.errors import DataError, TransferenceError
from transference.samplers import DescribingSampler, reopen_tasks
from transference.spec import TaskSet

MOST_SHOTS = 10
"""Images of a class that are shown; more are counted."""


@dataclass(frozen=True)
class ClassRow:
    """The support images of one class, as data: URIs; ``more`` are not shown."""

    name: str
    images: tuple[str, ...] = ()
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
        classes: their names, with images where these could be drawn.
        points: of a function, None for images.
        shots: support images of a class.
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
        task_sets: of the run's spec, sources and targets.
        data_root: the folder with images; None where there is none.
        side: pixels along each edge of the run's images.
        channels: theirs.
    """

    def __init__(self, task_sets: tuple[TaskSet, ...], data_root: Path | None, side: int, channels: int) -> None:
        self._digests = {tasks.sampler: tasks.digest for tasks in task_sets}
        self._data_root, self._side, self._channels = data_root, side, channels
        self._open: dict[str, DescribingSampler | None] = {}
        self.problems: dict[str, str] = {}
        """Why the tasks of a sampler could not be drawn."""

    def task(self, row: pd.Series, mode: str) -> Task:
        """Return a task of ``Run.tasks()`` with its support set, or with the names of its classes alone."""
        name, index = str(row["sampler"]), int(row["index"])
        names = tuple(map(str, row["class_names"] if row["class_names"] is not None else ()))
        plain = Task(mode, f"{name}, task {index}", index, int(row["id"]), tuple(map(ClassRow, names)))
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
        images = sampler[index].support_x.numpy()
        if images.ndim == 2:
            points = Points(
                names[0], *(tuple(axis[:, 0].tolist()) for axis in (images, sampler[index].support_y.numpy()))
            )
            return Task(mode, plain.name, index, plain.id, points=points)
        shots = len(images) // len(names)
        by_class = images.reshape(len(names), shots, *images.shape[1:])
        more = max(0, shots - MOST_SHOTS)
        rows = tuple(
            ClassRow(name, tuple(map(as_png, of[:MOST_SHOTS])), more) for name, of in zip(names, by_class, strict=True)
        )
        return Task(mode, plain.name, index, plain.id, rows, shots=shots)

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
            raise DataError(
                f"The images of {name.partition('/')[0]} at {self._side}×{self._side} pixels and {self._channels} channels are not those "
                f"that the run was measured on: their digest is {sampler.digest}, the run's {self._digests[name]}. "
                "Give the --data-root, --side and --channels of its transference compute."
            )
        return sampler


def as_png(image: NDArray[np.float32]) -> str:
    """Return an image, ``[channels, side, side]`` in [0, 1], as a data: URI."""
    pixels = np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0)
    file = BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return data_uri(file.getvalue(), "image/png")


def data_uri(content: bytes, kind: str) -> str:
    """Return content as an address that holds it."""
    return f"data:{kind};base64,{b64encode(content).decode()}"
