"""What is found with a dataset and is not read, in words of bounded length."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from pathlib import PurePath

from transference.datasets._names import in_order, usual_split
from transference.datasets._tree import Folder
from transference.errors import printable

_log = logging.getLogger("transference.datasets")

_NAMED = 3
_KINDS = 6
_LETTERS = 60


@dataclass(frozen=True)
class Unread:
    """What a reader found and does not read.

    Attributes:
        splits: splits that are there but cannot be read, and why.
        notes: everything else, a line each.
    """

    splits: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def lines(self) -> list[str]:
        """All of it, a line each."""
        return [*(f"{split} is left out: {why}" for split, why in self.splits.items()), *self.notes]


def unread(reader: object) -> Unread:
    """Return what a reader says that it does not read; one that says nothing of it reads everything."""
    ask: Callable[[], Unread] | None = getattr(reader, "unread", None)
    return ask() if ask else Unread()


@cache
def say(text: str) -> None:
    """Tell a note, once in a process: on standard error, unless the program that uses the package handles its log."""
    _log.warning("note: %s", printable(text))


def remains(tree: Folder, is_read: Callable[[Folder, str], bool], images: bool = False) -> list[str]:
    """Return what to say of the files of a folder that are not read.

    Args:
        tree: the folder.
        is_read: whether a file of a folder is read.
        images: whether images are told apart from files of other kinds.
    """
    files: list[str] = []
    stray: list[str] = []
    hidden: list[str] = []
    odd: list[str] = []
    for folder in tree.all:
        place, pictures = folder.below(tree.path), set(folder.images if images else ())
        for name in folder.files:
            if not is_read(folder, name):
                (stray if name in pictures else files).append(f"{place}{name}")
        hidden += [f"{place}{name}" for name in folder.hidden]
        odd += [f"{place}{name}" for name in folder.odd]
    parts = [
        *by_suffix(files),
        *([f"{counted(len(stray), 'image')} outside of class folders ({few(stray, 1)})"] if stray else []),
        *([f"{len(hidden)} hidden ({few(hidden, 1)})"] if hidden else []),
        *([f"{len(odd)} that cannot be opened ({few(odd, 1)})"] if odd else []),
    ]
    return [f"not read: {'; '.join(parts)}"] if parts else []


def few(names: Iterable[str], most: int = _NAMED) -> str:
    """Return the first names, and how many more there are.

    Example:
        >>> few("abcde")
        'a, b, c and 2 more'
    """
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(map(_short, listed[:most])) + more


def counted(n: int, thing: str, plural: str = "") -> str:
    """Return the number with its noun."""
    return f"{n} {thing if n == 1 else plural or thing + 's'}"


def by_suffix(names: Iterable[str]) -> list[str]:
    """Return how many files there are of each kind, with an example; the most frequent kinds only."""
    listed = sorted(names)
    kinds = Counter(PurePath(name).suffix.lower() or "without suffix" for name in listed)
    examples = {PurePath(name).suffix.lower() or "without suffix": name for name in reversed(listed)}
    more = {kind: ", …" if n > 1 else "" for kind, n in kinds.items()}
    told = [f"{n} {_short(kind)} ({_short(examples[kind])}{more[kind]})" for kind, n in kinds.most_common(_KINDS)]
    rest = sum(kinds.values()) - sum(n for _, n in kinds.most_common(_KINDS))
    return [*told, *([f"{counted(rest, 'file')} of other kinds"] if rest else [])]


def renamed(names: Mapping[str, str]) -> list[str]:
    """Return what to say of the words for splits that are read as others, or could have been."""
    others = [f"{_short(word)} is read as {split}" for word, split in names.items() if word != split]
    kept = [word for word, split in names.items() if split != usual_split(word)]
    several = [word for word in names if usual_split(word) in map(usual_split, kept)]
    return [
        *([few(others, 6)] if others else []),
        *([f"{few(several, 6)} are words for one split, and each is read as a split of its own"] if several else []),
    ]


def shared_classes(classes: Mapping[str, Collection[str]]) -> list[str]:
    """Return what to say of classes that two splits share: few-shot learning is tested on classes never trained on."""
    told = []
    for one, other in combinations(in_order(classes), 2):
        if both := sorted(set(classes[one]) & set(classes[other])):
            all_of_them = len(both) == len(classes[one]) == len(classes[other])
            shared = "all their classes" if all_of_them else counted(len(both), "class", "classes")
            told.append(f"{one} and {other} share {shared} ({few(both)})")
    return told


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS // 2]}…{name[-_LETTERS // 2 :]}"
