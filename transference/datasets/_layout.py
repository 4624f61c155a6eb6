"""What the names of parquet files and their folders say: the split, its part, values of columns, the configuration.

The layouts are those in which the Hugging Face hub keeps datasets, and those of partitioned (hive) folders:

===============================================  ==================================================================
``data/train-00000-of-00002.parquet``            one of two parts of the split train; a hash may follow
``train.parquet``, ``train_0.parquet``           the split train
``train/0000.parquet``, ``train/part-0.parquet`` the same
``CONFIG/train/0000.parquet``,                   the same, of one of several configurations, which are datasets of their
``CONFIG/train-00000-of-00001.parquet``          own; one that is alone is the dataset
``split=train/label=3/part-0.parquet``           the same, all rows with the label 3
``part-0.parquet``                               nothing
===============================================  ==================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from urllib.parse import unquote

from transference.datasets._names import as_seen, known_split, split_within
from transference.datasets._parts import NEUTRAL, NUMBERED, SHARD
from transference.datasets._unread import few
from transference.errors import DataError

_KEY = re.compile(r"(?P<key>\w+)=(?P<value>.*)")
_KEYS = ("split", "class_name", "label", "fine_label")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, eq=False)
class Placed:
    """A parquet file and what its place says of it.

    Attributes:
        path: where it is.
        place: its path below the dataset's folder, with slashes.
        split: the word for its split, None if none is said.
        part: its number and how many there are, None if it is not one of several.
        keys: the values that its folders give to columns that it does not have itself; None where there is none.
        config: the configuration that it belongs to.
    """

    path: Path
    place: str
    split: str | None = None
    part: tuple[int, int] | None = None
    keys: Mapping[str, str | None] = field(default_factory=dict)
    config: str = ""


def placed(paths: Sequence[Path], root: Path) -> list[Placed]:
    """Return what the places of the files of one dataset say.

    Args:
        paths: the files.
        root: the dataset's folder.

    Raises:
        DataError: the files are of several configurations.
    """
    files = [_placed(path, root) for path in sorted(paths)]
    if any(not file.config for file in files):
        files = [file for file in files if not file.config]
    elif len(configs := configurations(paths, root)) > 1:
        raise DataError(
            f"{root} holds {len(configs)} configurations ({few(configs, 6)}), which are datasets of their own and not "
            "to be mixed. Move the one that is meant to a place of its own, or prepare it: "
            f"transference datasets prepare NAME --from {root / configs[0]}."
        )
    if any(file.split for file in files):  # then a file without any word is not of all splits, but of one of its own
        files = [file if file.split or "split" in file.keys else _of_its_own(file) for file in files]
    return files


def configurations(paths: Sequence[Path], root: Path) -> list[str]:
    """Return the configurations that files are of; none where some are of none, and are then the dataset.

    Args:
        paths: the files.
        root: the dataset's folder.
    """
    found = {_placed(path, root).config for path in paths}
    return [] if "" in found else sorted(found)


def missing(files: Sequence[Placed]) -> dict[str, str]:
    """Return what is wrong with the parts of a split, by its word: some are missing, or there are several sets."""
    told = {}
    for word in dict.fromkeys(file.split for file in files if file.split and file.part):
        mine = [(file, file.part) for file in files if file.split == word and file.part]
        parts = [(PurePath(file.place).parent.as_posix(), *part) for file, part in mine]
        folder = files[0].path.parent
        totals = sorted({(place, total) for place, _, total in parts})
        if len(totals) > 1 or len(set(parts)) < len(parts):
            told[word] = (
                f"{folder} holds several sets of files of the split {word} (parts of {few(str(n) for _, n in totals)}): "
                "the same images twice, or an older version beside a newer one. Keep one of them."
            )
        elif lacking := sorted(set(range(totals[0][1])) - {number for _, number, _ in parts}):
            told[word] = (
                f"{folder} lacks {len(lacking)} of {totals[0][1]} files of the split {word}, the first is number "
                f"{lacking[0]}. Copy them too."
            )
    return told


def _placed(path: Path, root: Path) -> Placed:
    relative = path.relative_to(root)
    folders, keys = [], {}
    for folder in relative.parent.parts:
        match = _KEY.fullmatch(folder)
        if match and match["key"] in _KEYS:
            keys[match["key"]] = None if match["value"] == _NO_VALUE else unquote(match["value"])
        elif not match and folder not in NEUTRAL:  # another KEY=VALUE is a column of the table, which nobody asks for
            folders.append(folder)
    word, part = _of_the_name(path.stem)
    if not word and "split" not in keys:
        word, folders = _of_the_folders(folders)
    return Placed(path, relative.as_posix(), word, part, keys, "/".join(folders))


def _of_the_name(stem: str) -> tuple[str | None, tuple[int, int] | None]:
    """Return the word for a split, and the part, that a file's name tells."""
    if shard := SHARD.fullmatch(stem):
        word, part = shard["split"], (int(shard["number"]), int(shard["total"]))
        return (known_split(word) and word) or split_within(re.split(r"[\W_]+", word)) or as_seen(word), part
    numbered = NUMBERED.fullmatch(stem)
    word = numbered["word"] if numbered else stem
    return (word if known_split(word) else split_within(re.split(r"[\W\d_]+", stem))), None


def _of_the_folders(folders: list[str]) -> tuple[str | None, list[str]]:
    """Return the word for a split among folders, the innermost one's, and the other folders."""
    for k in reversed(range(len(folders))):
        word = folders[k].removeprefix("partial-")  # how the hub calls the beginning of what is too large
        if known_split(word):
            return word, folders[:k] + folders[k + 1 :]
    return None, folders


def _of_its_own(file: Placed) -> Placed:
    numbered = NUMBERED.fullmatch(file.path.stem)
    word = numbered["word"] if numbered and numbered["word"] else file.path.stem
    return Placed(file.path, file.place, word, file.part, file.keys, file.config)
