"""Whether parquet files that lie together are parts of one dataset, or datasets of their own; their names tell.

Parts are called by splits (``train.parquet``, ``birds-test.parquet``), numbered (``part-0.parquet``, ``birds_1.parquet``), by what
programs make up (a UUID), or several of these. ``cifar100.parquet`` beside ``omniglot.parquet`` is another dataset, and so is
``cifar10.parquet``: numbers of parts follow on one another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transference.datasets._names import known_split, split_within

SHARD = re.compile(r"(?P<split>.+?)-(?P<number>\d{1,6})-of-(?P<total>\d{1,6})(-\w+)?")
NUMBERED = re.compile(r"(?P<word>.*?)[-_. ]?\d*")
NEUTRAL = ("data",)
"""Folders that say nothing."""

_PART = re.compile(r"part[-_.]?\d.*", re.IGNORECASE)
_MADE_UP = re.compile(r"[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}|(?=[a-f]*\d)[\da-f]{8,}", re.IGNORECASE)
_COPY = re.compile(r"([ _-]+copy| \(\d+\))+", re.IGNORECASE)
_TOKEN = re.compile(r"(?P<word>.*?)(?P<number>\d*)")


@dataclass(frozen=True)
class _Called:
    """What the name of a file says beside the split and the number of the part.

    Attributes:
        name: words that are left, those of the dataset; ``""`` if there are none.
        number: of the part, ``""`` if none is said.
        of_a_split: whether it names a split.
    """

    name: str
    number: str
    of_a_split: bool


def datasets_among(paths: Iterable[Path], root: Path) -> list[str]:
    """Return the places of files that are datasets of their own, below their folder; none if they are parts of one.

    Those of partitioned folders (``split=train/``) are one, whatever they are called.

    Args:
        paths: the files.
        root: the folder.

    Example:
        >>> from pathlib import Path
        >>> datasets_among([Path("d/cub.parquet"), Path("d/cars.parquet")], Path("d"))
        ['cars.parquet', 'cub.parquet']
        >>> datasets_among([Path("d/cub-train.parquet"), Path("d/cub-test.parquet")], Path("d"))
        []
    """
    together: dict[tuple[str, ...], list[Path]] = {}
    for path in sorted(paths):
        folders = path.relative_to(root).parent.parts
        if not any("=" in folder for folder in folders):
            together.setdefault(tuple(folder for folder in folders if folder not in NEUTRAL), []).append(path)
    several = [path for files in together.values() if _differ([_called(path.stem) for path in files]) for path in files]
    return [path.relative_to(root).as_posix() for path in several]


def _differ(files: Sequence[_Called]) -> bool:
    """Whether the names are those of several datasets."""
    of_splits = [file for file in files if file.of_a_split]
    if any(not file.name for file in of_splits):  # then a file without a word is of a split of its own
        return len({file.name for file in of_splits if file.name}) > 1
    if len({file.name for file in files}) > 1:
        return True
    return not _follow([file.number for file in files if not file.of_a_split])


def _follow(numbers: Sequence[str]) -> bool:
    """Whether numbers are those of parts: all of one width with zeros before them, or each the next."""
    found = sorted({int(number) for number in numbers if number})
    if not found:
        return True
    if "" in numbers:
        return False
    padded = len({len(number) for number in numbers}) == 1 and any(number[0] == "0" for number in numbers)
    return padded or found[-1] - found[0] < len(found)


def _called(stem: str) -> _Called:
    stem = _COPY.sub("", stem)
    if shard := SHARD.fullmatch(stem):
        if not _within(shard["split"]) or known_split(shard["split"]):
            return _Called("", "", True)  # any word is that of a split there
        stem = shard["split"]
    numbered = NUMBERED.fullmatch(stem)
    if known_split(numbered["word"] if numbered else stem):
        return _Called("", "", True)
    if _PART.fullmatch(stem):
        return _Called("part", "", False)
    matches = [_TOKEN.fullmatch(token) for token in re.split(r"[\W_]+", _MADE_UP.sub("", stem)) if token]
    tokens = [(match["word"], match["number"]) for match in matches if match]
    name = "-".join(word.casefold() for word, _ in tokens if word and not split_within([word]))
    return _Called(name, "".join(number for _, number in tokens), bool(_within(stem)))


def _within(stem: str) -> str | None:
    return split_within(re.split(r"[\W\d_]+", stem))
