"""Addresses where a file or folder of this machine was asked for: nothing is downloaded that nobody asked for."""

from __future__ import annotations

import os
import re

from transference.errors import UsageError

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/+(?P<rest>.*)", re.DOTALL)
"""An address such as ``https://…``, as a text or as what a `Path` makes of it; a letter and a colon are a drive."""


def as_address(place: str | os.PathLike[str]) -> str | None:
    """Return the address that somebody gave in the stead of a place on this machine, None if it is none.

    Example:
        >>> as_address("hf:/datasets/owner/name")
        'hf://datasets/owner/name'
        >>> as_address("data/birds")
    """
    match = _ADDRESS.match(os.fspath(place))
    return f"{match['scheme']}://{match['rest']}" if match else None


def refuse_address(place: str | os.PathLike[str]) -> None:
    """Raise `UsageError` if somebody gave an address in the stead of a place on this machine.

    Raises:
        UsageError: it is one.
    """
    if not (address := as_address(place)):
        return
    if address.startswith("hf://datasets/"):
        how = f"To bring it here: transference datasets prepare NAME --download --from {address} --data-root DIR."
    elif address.startswith("hf://"):
        how = "Download the file first (hf download OWNER/NAME FILE), then give its path."
    else:
        how = "Download it first, then give its path."
    raise UsageError(f"{address} is an address, and a file or folder of this machine was asked for. {how}")
