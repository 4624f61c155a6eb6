"""What a lookahead's ``moves`` say, word by word."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from transference.errors import UsageError


@dataclass(frozen=True)
class Moves:
    """Patterns of parameter names, sorted by what they say.

    Attributes:
        wanted: patterns of what moves; none means everything.
        unwanted: patterns of what does not, written with a ``!`` in front.
        tied: pairs of names of one tensor, written ``NAME=NAME``.
    """

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]
    tied: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, moves: Sequence[str]) -> Moves:
        """Sort the words of ``moves``."""
        unwanted = tuple(word[1:] for word in moves if word.startswith("!"))
        tied = tuple(tuple(word.split("=")) for word in moves if "=" in word and not word.startswith("!"))
        wanted = tuple(word for word in moves if "=" not in word and not word.startswith("!"))
        return cls(wanted, unwanted, tied)

    def select(self, called: Collection[str]) -> bool:
        """Return whether a tensor moves that is called so, by one name or several."""
        return _any(called, self.wanted or ("*",)) and not _any(called, self.unwanted)

    def name(self, name: str) -> bool:
        """Return whether a tensor is named in full, which is taken at its word: it moves, and by itself."""
        return name in self.wanted


def chosen(
    moves: Sequence[str], names: Iterable[str], tied: Mapping[str, str], constants: Collection[str] = ()
) -> list[str]:
    """Return those of the names of θ that ``moves`` select.

    Args:
        moves: patterns.
        names: of θ.
        tied: further names of its tensors, by which they may be selected too.
        constants: names of what is no part of θ; a pattern of what does not move may match these alone.

    Raises:
        UsageError: a pattern matches nothing.
    """
    said, names = Moves.of(moves), list(names)
    called = {name: [name, *(other for other, first in tied.items() if first == name)] for name in names}
    everything = [name for several in called.values() for name in several]
    for pattern in said.wanted:
        if not _any(everything, (pattern,)):
            held = [name for name in constants if fnmatchcase(name, pattern)]
            hint = (
                f"{held[0]} is held constant; to move it, write its name in full"
                if held
                else f"there are: {', '.join(names)}"
            )
            raise UsageError(f"No parameter is called {pattern!r}, yet it was asked to move; {hint}.")
    for pattern in said.unwanted:
        if not _any([*everything, *constants], (pattern,)):
            raise UsageError(
                f"No parameter is called {pattern!r}, yet it was asked not to move; there are: {', '.join(names)}."
            )
    return [name for name in names if said.select(called[name])]


def _any(names: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
