"""Images that are done, kept until all are."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transference.datasets._images import Picture
from transference.datasets._packed import Row
from transference.errors import DataError

_EVERY = 1000


class Scratch:
    """A folder that outlives an interruption: raw pixels, and one line of labels for each image.

    A label is written when its pixels are safely on disk, so every label that is found again has its pixels.

    Args:
        folder: where to keep them. What is there of another plan is removed.
        plan: what the images depend on.
        n_bytes: bytes of an image.
    """

    def __init__(self, folder: Path, plan: str, n_bytes: int) -> None:
        self._folder, self._n_bytes = folder, n_bytes
        self.pixels, self._labels, told = (folder / name for name in ("pixels", "labels", "plan.json"))
        if not told.exists() or told.read_text() != plan:
            self.remove()
            folder.mkdir(parents=True)
            told.write_text(plan)
        self.rows: list[Row] = self._found()
        self._waiting: list[Row] = []

    def remaining(self, pictures: Iterator[tuple[str, Picture]]) -> Iterator[tuple[str, Picture]]:
        """Yield the pictures that are still to be done.

        Yields:
            Split and picture.

        Raises:
            DataError: those that were done are not the first ones.
        """
        for row in list(self.rows):
            split, picture = next(pictures, ("", None))
            if picture is None or row != (split, picture.class_name, picture.image_id):
                self.remove()
                raise DataError(
                    f"{self._folder} held other images than those found now. It is removed; repeat the command."
                )
        yield from pictures

    def add(self, row: Row, pixels: NDArray[np.uint8]) -> None:
        """Keep one image."""
        self._file.write(pixels.tobytes())
        self._waiting.append(row)
        if len(self._waiting) == _EVERY:
            self._flush()

    def remove(self) -> None:
        """Remove what was kept."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> None:
        self._file = self.pixels.open("r+b" if self.rows else "wb")
        self._file.truncate(len(self.rows) * self._n_bytes)
        self._file.seek(0, os.SEEK_END)

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._waiting:
            with self._labels.open("a" if self.rows else "w") as file:
                file.writelines(json.dumps(row) + "\n" for row in self._waiting)
        self.rows += self._waiting
        self._waiting = []

    def _found(self) -> list[Row]:
        """Return the labels of earlier images, as far as they are whole and have pixels, and leave only these in the file."""
        if not self._labels.exists() or not self.pixels.exists():
            return []
        rows: list[Row] = []
        for line in self._labels.read_text(errors="replace").splitlines(keepends=True)[
            : self.pixels.stat().st_size // self._n_bytes
        ]:
            try:
                split, class_name, image_id = json.loads(line)
            except (ValueError, TypeError):  # a half line of a killed process, or what a power cut left
                break
            rows.append((split, class_name, image_id))
        self._labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return rows
