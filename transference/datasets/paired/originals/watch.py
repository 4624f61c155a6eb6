"""Seven exercises of the shoulder, seen by a watch: accelerometer and gyroscope, 140 recordings of 10 people at 50 Hz.

The recordings of Burns, Leung, Hardisty, Whyne, Henry & McLachlin (Physiological Measurement 2018) are
``seglearn/data/watch_dataset.npy`` in the wheel of seglearn 1.2.5, BSD licence. The file is a pickle, which is read
without running what it says. Recordings are cut into windows of two seconds that do not overlap; the rest at the end is
left out. Four readings in a row are averaged, which leaves 25 times three axes. The classes are the exercises, the same
in every split: train has people 1 to 6, val 7 and 8, test 9 and 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transference.datasets.intake import read_object_array
from transference.datasets.paired._paired import Modality
from transference.datasets.paired._table import PairedTable, require_finite
from transference.datasets.paired.originals._original import PairedOriginal
from transference.errors import DataError

_FILE = "watch_dataset.npy"
_WINDOW, _AVERAGED = 100, 4
_SPLITS = {"train": range(1, 7), "val": range(7, 9), "test": range(9, 11)}
_MODALITIES = {"accel": slice(0, 3), "gyro": slice(3, 6)}
_AXES = ["ax", "ay", "az", "wx", "wy", "wz"]


def read(roots: Sequence[Path], side: int) -> PairedTable | None:
    """Return the windows of all recordings; ids name person, recording and window.

    Raises:
        DataError: the file is not of this form.
    """
    del side
    path = next((found for root in roots for found in _places(root) if found.is_file()), None)
    if path is None:
        return None
    recordings, people, exercises = _content(path)
    windows: list[NDArray[np.float64]] = []
    rows = []
    for number, (recording, person, exercise) in enumerate(zip(recordings, people, exercises, strict=True)):
        split = next(split for split, members in _SPLITS.items() if person in members)
        for k, window in enumerate(_windows(recording)):
            windows.append(window)
            rows.append((split, exercise, f"person-{person:02d}/recording-{number:03d}/window-{k:02d}"))
    if not windows:
        raise DataError(f"{path} has no recording of two seconds ({_WINDOW} readings).")
    together = np.stack(windows)
    values = {name: together[:, :, axes] for name, axes in _MODALITIES.items()}
    modalities = tuple(Modality(name, "window", values[name].shape[1:]) for name in _MODALITIES)
    return PairedTable(str(path), modalities, values, rows)


def _places(root: Path) -> list[Path]:
    return [root] if root.suffix == ".npy" else [root / "seglearn" / "data" / _FILE, root / _FILE]


def _windows(recording: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the windows of a recording ``[time, 6]``, ``[n, 25, 6]``."""
    n = len(recording) // _WINDOW
    parts = recording[: n * _WINDOW].reshape(n, _WINDOW // _AVERAGED, _AVERAGED, recording.shape[1])
    total = parts[:, :, 0]
    for k in range(1, _AVERAGED):  # one by one: a library's sum may add in another order elsewhere
        total = total + parts[:, :, k]
    return total / _AVERAGED


def _content(path: Path) -> tuple[list[NDArray[np.float64]], list[int], list[str]]:
    """Return recordings ``[time, 6]`` with their people and exercises.

    Raises:
        DataError: the file holds something else.
    """
    content = read_object_array(path)
    if not isinstance(content, Mapping) or not {"X", "y", "subject", "y_labels"} <= content.keys():
        keys = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise DataError(_unlike(path, f"has {keys}; X, y, subject and y_labels are needed"))
    recordings, names = content["X"], content["y_labels"]
    if not isinstance(recordings, list) or not isinstance(names, list) or not names:
        raise DataError(_unlike(path, "has an X or y_labels that is no list"))
    if content.get("X_labels", _AXES) != _AXES:
        raise DataError(_unlike(path, f"has the axes {content['X_labels']}, not {_AXES}"))
    for number, recording in enumerate(recordings):
        if not _is_recording(recording):
            raise DataError(_unlike(path, f"has in recording {number} no numbers [time, {len(_AXES)}]"))
        require_finite(str(path), f"recording {number}", recording)
    labels = _whole(path, content, "y", range(len(names)))
    people = _whole(path, content, "subject", range(1, max(map(max, _SPLITS.values())) + 1))
    return recordings, people, [str(names[label]) for label in labels]


def _is_recording(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim == 2 and value.shape[1] == 6


def _whole(path: Path, content: Mapping[str, Any], key: str, known: range) -> list[int]:
    """Return whole numbers of a range, one for each recording.

    Raises:
        DataError: they are others.
    """
    values, n = np.asarray(content[key]), len(content["X"])
    if values.shape != (n,) or values.dtype.kind not in "iu":
        raise DataError(_unlike(path, f"has {key} of {list(values.shape)} {values.dtype}, but {n} recordings"))
    found: list[int] = values.tolist()
    if strange := [(number, value) for number, value in enumerate(found) if value not in known]:
        number, value = strange[0]
        expected = f"{known.start} to {known.stop - 1}"
        why = f"has {len(strange)} {key} outside of {expected}, the first in recording {number} ({value})"
        raise DataError(_unlike(path, why))
    return found


def _unlike(path: Path, why: str) -> str:
    return f"{path} {why}. Is it {_FILE} of seglearn 1.2.5?"


WATCH = PairedOriginal(
    name="watch",
    title="shoulder exercises seen by a watch (Burns et al. 2018), in seglearn 1.2.5, BSD licence",
    page="https://github.com/dmbee/seglearn",
    get="by pip download --no-deps seglearn==1.2.5",
    expects="seglearn-1.2.5-py3-none-any.whl, or the file watch_dataset.npy in it",
    read=read,
    archives=("seglearn-1.2.5-py3-none-any.whl",),
    suffixes=(".npy",),
)
