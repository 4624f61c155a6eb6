"""Words for splits, and names that look equal.

The field has many words for three splits. All of them are understood, in capitals or not, and the split then has one
name, ``train``, ``val`` or ``test``, so that tasks of the same images are the same tasks whatever the folder is called.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

SPLITS = ("train", "val", "test")
"""The splits that the field knows, in the order in which they are listed."""

_WORDS = {
    # base and novel are the words of "A Closer Look at Few-shot Classification", images_… Omniglot's two halves
    "train": ("train", "training", "base", "images_background"),
    "val": ("val", "valid", "validation", "dev", "devel", "development"),
    "test": ("test", "testing", "eval", "evaluation", "novel", "images_evaluation"),
}
_PLAIN = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""Those that may be part of a longer name, as in ``birds_train.parquet``; the others are too often something else."""

_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
_SPLIT_OF |= {f"meta{dash}{word}": split for split, words in _PLAIN.items() for word in words for dash in ("", "_")}
_SPLIT_OF |= {f"{word}{dash}set": split for split, words in _WORDS.items() for word in words for dash in ("", "_")}
_YEAR = re.compile(r"_?(19|20)\d\d")
"""At the end of a word, as in ``train2017``."""

_PART_OF = {word: split for split, words in _PLAIN.items() for word in words}

_STRANGE, _HYPHENS = re.compile(r"[^\w.-]+"), re.compile("-{2,}")
"""What the name of a mode cannot hold, and what would be left of several in a row."""

_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
"""Soft hyphen, zero-width space, word joiner, byte order mark. Zero-width joiners stay: some scripts need them."""


def as_seen(name: str) -> str:
    """Return a name as it looks: composed (NFC), without invisible letters, and with single spaces, none at its ends.

    A copy made on another system decomposes letters with accents, and spreadsheets leave spaces behind. Neither makes
    another class.

    Example:
        >>> as_seen("cafe\u0301 ") == as_seen("caf\u00e9")
        True
    """
    if name.isascii() and " " not in name and name.isprintable():
        return name
    return " ".join(unicodedata.normalize("NFC", name.translate(_INVISIBLE)).split()) or name


def usable_name(name: str) -> str:
    """Return the name that a mode gets of the name of a place: without spaces and other signs, a hyphen in their stead.

    Example:
        >>> usable_name("my birds (2024)"), usable_name("birds_2")
        ('my-birds-2024', 'birds_2')
    """
    seen = as_seen(name)
    if not _STRANGE.search(seen):
        return seen
    return _HYPHENS.sub("-", _STRANGE.sub("-", seen)).strip("-") or seen


def composed(text: str) -> str:
    """Return a text with composed letters (NFC): an image's id must not depend on the system it was copied from."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def known_split(word: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` if the field uses this word for it, else None.

    Example:
        >>> [known_split(word) for word in ("Train", "valid", "novel", "meta-test", "val2017", "robin")]
        ['train', 'val', 'test', 'test', 'val', None]
    """
    word = as_seen(word).casefold().replace("-", "_").replace(" ", "_")
    year = _YEAR.fullmatch(word[-5:]) or _YEAR.fullmatch(word[-4:])
    return _SPLIT_OF.get(word.removesuffix(year[0]) if year else word)


def usual_split(word: str) -> str:
    """Return the field's name of a split, or the word itself if it is none of the field's."""
    return known_split(word) or as_seen(word)


def split_within(parts: Iterable[str]) -> str | None:
    """Return the split of which these parts of a longer name speak, None if they speak of none or of several."""
    found = {_PART_OF[part.casefold()] for part in parts if part.casefold() in _PART_OF}
    return found.pop() if len(found) == 1 else None


def split_names(words: Iterable[str]) -> dict[str, str]:
    """Return the name of the split that each word stands for.

    Where several words of one dataset stand for the same split they are not mixed: each stays a split of its own.

    Example:
        >>> split_names(["Train", "valid", "extra"])
        {'Train': 'train', 'valid': 'val', 'extra': 'extra'}
        >>> split_names(["val", "validation"])
        {'val': 'val', 'validation': 'validation'}
    """
    usual = {word: usual_split(word) for word in words}
    claims = list(usual.values())
    return {word: split if claims.count(split) == 1 else as_seen(word) for word, split in usual.items()}


def find_split(asked: str, splits: Collection[str]) -> str:
    """Return the one of ``splits`` that is meant: called so, or called so by the field; else what was asked."""
    return asked if asked in splits or usual_split(asked) not in splits else usual_split(asked)


def in_order(splits: Iterable[str]) -> list[str]:
    """Return the splits sorted, the field's first."""
    return sorted(splits, key=lambda split: (SPLITS.index(split) if split in SPLITS else len(SPLITS), split))
