"""Datasets in the form in which they are distributed: one file each, all of one shape (`Original`).

Found through entry points in ``transference.originals``, so that another package can add one.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from transference.datasets.originals._original import Original

__all__ = ["Original", "find_original", "original_names"]

_GROUP = "transference.originals"


def original_names() -> list[str]:
    """Return the names of the datasets whose distributed form is known."""
    return sorted(entry_points(group=_GROUP).names)


def find_original(name: str) -> Original | None:
    """Return what is known of the distributed form of a dataset, None if nothing is."""
    for entry_point in entry_points(group=_GROUP, name=name):
        original: Original = entry_point.load()
        return original
    return None
