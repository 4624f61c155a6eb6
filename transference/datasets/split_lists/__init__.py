"""Which class belongs to which split, as small csv files: those that come with the package, or one's own.

A list has the columns ``class_name`` and ``split``, one row per class. ``GROUP/*`` stands for every class ``GROUP/…`` (an alphabet of
Omniglot); the split ``none`` leaves a class out. Every class of the images must be listed, so that none is lost unseen.

The lists that come with the package:

==================  ====================================================================================================
``aircraft``        FGVC-Aircraft: the 100 variants in the order of ``variants.txt``, shuffled by
                    ``numpy.random.RandomState(123)``; 70 train, 15 val, 15 test. The rule of the released code, which
                    put the two variants with a "/" in their name into train by mistake; here the rule decides.
``cub``             CUB-200-2011: the 200 species in the order of ``classes.txt``, shuffled likewise; 140, 30, 30. The
                    released code shuffled the order of its directory listing, which differs between machines.
``fc100``           CIFAR-100 by superclass number (Oreshkin et al., NeurIPS 2018): val 8, 11, 13, 16; test 0, 7, 12, 14.
``omniglot``        test: the 20 evaluation alphabets; val: five background alphabets (Arcadian, Cyrillic, Grantha,
                    Sanskrit, Tagalog); train: the other 25.
``omniglot-halves`` The official halves: train the 30 background alphabets, test the 20 evaluation alphabets.
==================  ====================================================================================================
"""

from __future__ import annotations

import csv
import difflib
import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from transference.datasets._names import SPLITS, as_seen
from transference.errors import DataError, UsageError

_LEFT_OUT = "none"


@dataclass(frozen=True)
class SplitList:
    """The split of every class.

    Attributes:
        name: of the list, or of its file.
        entries: class, or ``GROUP/*``, to split.
        digest: of the entries.
    """

    name: str
    entries: Mapping[str, str]
    digest: str

    @classmethod
    def of(cls, name: str, entries: Mapping[str, str]) -> SplitList:
        """Return the list with these entries."""
        ordered = "\n".join(f"{key},{value}" for key, value in sorted(entries.items()))
        return cls(name, entries, hashlib.blake2b(ordered.encode(), digest_size=16).hexdigest())

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the list, train, val and test first."""
        named = dict.fromkeys(self.entries.values())
        return (
            *(split for split in SPLITS if split in named),
            *(split for split in named if split not in (*SPLITS, _LEFT_OUT)),
        )

    def split_of(self, class_name: str) -> str | None:
        """Return the split of a class, None if it is to be left out or is not listed."""
        found = self._find(class_name)
        return None if found == _LEFT_OUT else found

    def check(self, class_names: Collection[str], where: str) -> None:
        """Raise `DataError` unless every class is listed.

        Raises:
            DataError: some are not.
        """
        unknown = sorted(name for name in class_names if self._find(name) is None)
        if unknown:
            close = difflib.get_close_matches(
                unknown[0], [entry for entry in self.entries if entry not in class_names], n=1
            )
            hint = f" Is {unknown[0]} the list's {close[0]}?" if close else ""
            raise DataError(
                f"{where} has {len(unknown)} of {len(class_names)} classes that the split list {self.name} does not name "
                f"({', '.join(unknown[:3])}).{hint} Name them in a list of your own (--split-file); one with the split none is left out."
            )

    def absent(self, class_names: Collection[str]) -> list[str]:
        """Return the entries of which there are no images, those that are to be left out aside."""
        groups = {f"{name.rpartition('/')[0]}/*" for name in class_names}
        return [
            entry
            for entry, split in self.entries.items()
            if split != _LEFT_OUT and entry not in class_names and entry not in groups
        ]

    def _find(self, class_name: str) -> str | None:
        group = class_name.rpartition("/")[0]
        return self.entries.get(class_name) or self.entries.get(f"{group}/*")


def names() -> list[str]:
    """Return the names of the lists that come with the package."""
    return sorted(entry.name.removesuffix(".csv") for entry in files(__name__).iterdir() if entry.name.endswith(".csv"))


def read(name: str) -> SplitList:
    """Return a list that comes with the package, or one's own.

    Args:
        name: of a list that comes with the package, else the path of a csv file.

    Raises:
        UsageError: there is no such list.
        DataError: the file is not of the form that the module describes.
    """
    if name in names():
        return parse(files(__name__).joinpath(f"{name}.csv").read_text(encoding="utf-8"), name)
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"There is no split list {name}; give a csv file, or one of {', '.join(names())}.")
    try:
        return parse(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8 ({error}). Save it as csv in UTF-8.") from error


def parse(text: str, name: str) -> SplitList:
    """Return the list whose csv form this is.

    Raises:
        DataError: it is not of the form that the module describes.
    """
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    if not {"class_name", "split"} <= set(rows.fieldnames or ()):
        raise DataError(
            f"{name} has the columns {', '.join(rows.fieldnames or ()) or '(none)'}; a split list has class_name and split."
        )
    entries: dict[str, str] = {}
    for row in _rows(rows, name):
        class_name, split = as_seen(row["class_name"] or "").strip(), (row["split"] or "").strip()
        if None in row:
            raise DataError(
                f"{name}, line {rows.line_num}: more columns than the header names; put a class with a comma in its name in quotes."
            )
        if not class_name or not split.isidentifier():
            raise DataError(
                f"{name}, line {rows.line_num}: a class and a split are needed, found {class_name!r} and {split!r}."
            )
        if entries.setdefault(class_name, split) != split:
            raise DataError(
                f"{name} puts {class_name} into both {entries[class_name]} and {split}; keep one of the two rows."
            )
    if not entries:
        raise DataError(f"{name} lists no class; write one row per class, for example: robin,train")
    return SplitList.of(name, entries)


def _rows(reader: csv.DictReader[str], name: str) -> Iterator[dict[str, str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(f"{name} cannot be read as csv ({error}). Save it again, one row per class.") from error
