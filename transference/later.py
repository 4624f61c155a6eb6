"""What is imported when it is used: names stand in files that cost nothing, what they stand for takes torch or matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any


@dataclass(frozen=True)
class Later:
    """A function that is imported when it is called.

    Attributes:
        place: where it is, as ``module:function``.
    """

    place: str

    def __call__(self, *args: Any, **settings: Any) -> Any:  # noqa: ANN401 - the function's
        """Call it."""
        return resolve_name(self.place)(*args, **settings)


class Choices(Mapping[str, Any]):
    """What there is to choose from, by the names of the command line; each is imported when it is asked for.

    Args:
        places: by name, where each is, as ``module:attribute``.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = dict(places)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever there is to choose from
        """Return what a name stands for."""
        return resolve_name(self._places[name])

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in their order."""
        return iter(self._places)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._places)
