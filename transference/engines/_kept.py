"""A place to keep many gradients."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Hashable
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from transference.episodes import Params

_RESERVE = 4 * 2**30
"""Bytes that are left free on the disk: the results want room too."""


_ALIGNED = 16
"""Bytes; what the widest dtype asks."""


class KeptGradients:
    """Gradients by number or another key, in a file without a name that vanishes with the process; memory holds none of them.

    Each source's gradient is needed once for every block of targets. Reading 1.6 MB takes a thousandth of computing them again.

    Args:
        folder: where the file is made. When its disk is nearly full, no more are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._kept: dict[Hashable, tuple[int, float, list[tuple[str, Tensor]]]] = {}
        self._blanks: dict[tuple[object, ...], list[tuple[str, Tensor]]] = {}
        self._end = 0

    def close(self) -> None:
        """Let all of them go."""
        self._kept.clear()
        if self._file:
            self._file.close()
            self._file = None

    def get(self, number: Hashable) -> tuple[float, Params] | None:
        """Return a loss and its gradient, None if they are not kept."""
        if number not in self._kept or self._file is None:
            return None
        start, loss, blanks = self._kept[number]
        self._file.seek(start)
        # One block of memory for all: many of all sizes would leave holes that the results of the next source keep open.
        flat = torch.empty(sum(_room(blank) for _, blank in blanks), dtype=torch.uint8)
        self._file.readinto(flat.numpy().data)  # type: ignore[attr-defined]  # a binary file without a name
        pieces = torch.split(flat, [_room(blank) for _, blank in blanks])
        return loss, {
            name: piece[: _size(blank)].view(blank.dtype).reshape(blank.shape).to(blank.device)
            for (name, blank), piece in zip(blanks, pieces, strict=True)
        }

    def put(self, number: Hashable, loss: float, gradient: Params) -> None:
        """Keep a loss and its gradient."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self._folder).free < _RESERVE + sum(map(_room, gradient.values())):
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - `close` closes it
            self._file.seek(self._end)
            for value in gradient.values():
                self._file.write(np.ascontiguousarray(value.cpu().numpy()).data)
                self._file.write(bytes(_room(value) - _size(value)))
            self._file.flush()
        except OSError:
            return
        alike = tuple((name, value.shape, value.dtype, value.device) for name, value in gradient.items())
        # An expanded scalar has the shape, dtype and device of the gradient without its memory.
        blanks = self._blanks.setdefault(
            alike, [(name, value.new_empty(()).expand(value.shape)) for name, value in gradient.items()]
        )
        self._kept[number] = self._end, loss, blanks
        self._end = self._file.tell()


def _size(value: Tensor) -> int:
    """Return the bytes of a value; of an expanded scalar, as if it were not."""
    return value.numel() * value.element_size()


def _room(value: Tensor) -> int:
    """Return the bytes that a value takes in the file: the next one begins where any dtype may."""
    return -(-_size(value) // _ALIGNED) * _ALIGNED
