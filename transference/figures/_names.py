"""What two tables in one figure are called."""

from __future__ import annotations

from transference.errors import UsageError
from transference.figures._options import NAMES
from transference.figures.requests import PlotRequest


def names_of(request: PlotRequest) -> tuple[str, ...]:
    """Return what the tables of a request are called: as was asked, else as it says itself.

    Raises:
        UsageError: names were asked for, and they are not two different ones, or there are no two tables.
    """
    asked = request[NAMES]
    if asked is None:
        return request.names
    if len(request.tables) != 2:
        raise UsageError(f"--names {asked!r} was given; a single table has no need of names. Leave it out.")
    names = tuple(name.strip() for name in asked.split(","))
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise UsageError(f"--names {asked!r} was given; it takes two different names, for example before,after.")
    return names
