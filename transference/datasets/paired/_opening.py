"""From the name of paired data to its splits."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from transference.datasets.paired._paired import PairedDataset, PairedReader
from transference.errors import DataError

_GROUP = "transference.paired"


def find_paired(name: str, data_root: str | Path | None = None) -> PairedReader | None:
    """Return the reader of the paired data called ``name``, None if there is none."""
    del data_root
    for registered in entry_points(group=_GROUP, name=name):
        reader: PairedReader = registered.load()()
        return reader
    return None


def paired_names(data_root: str | Path | None = None) -> list[str]:
    """Return the names of all paired data."""
    del data_root
    return sorted(entry_points(group=_GROUP).names)


def open_paired(
    name: str, split: str, *, data_root: str | Path | None = None, side: int = 28, channels: int = 3
) -> PairedDataset:
    """Return one split of paired data.

    Raises:
        DataError: there is no such data or split.
    """
    del side, channels
    if (reader := find_paired(name, data_root)) is None:
        raise DataError(f"There is no paired data {name!r}; there are: {', '.join(paired_names(data_root))}.")
    return reader.open(split)
