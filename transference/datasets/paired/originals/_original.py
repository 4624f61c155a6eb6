"""What is known of paired data in the form in which they are distributed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transference.datasets.paired._table import PairedTable


@dataclass(frozen=True)
class PairedOriginal:
    """One paired dataset: how it looks, how to read it, where to get it.

    Attributes:
        name: the dataset's name.
        title: what it is, whose, and under which licence.
        page: where to read about it.
        get: how to bring it here, in words that follow "to be had".
        expects: what ``read`` looks for, in words.
        read: returns the examples found in any of these folders or files, its images at the given side, or None if there
            is nothing of this layout; raises `DataError` if something of it is missing.
        archives: names of the archives that hold it.
        suffixes: of files that are read as they are.
        has_images: whether it matters at which side it is prepared.
    """

    name: str
    title: str
    page: str
    get: str
    expects: str
    read: Callable[[Sequence[Path], int], PairedTable | None]
    archives: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    has_images: bool = False
