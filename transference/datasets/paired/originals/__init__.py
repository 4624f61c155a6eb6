"""Paired data in the form in which they are distributed: one file each, all of one shape (`PairedOriginal`).

Found through entry points in ``transference.paired_originals``, so that another package can add one.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from transference.datasets.paired.originals._original import PairedOriginal

__all__ = ["PairedOriginal", "find_paired_original", "paired_original_names"]

_GROUP = "transference.paired_originals"


def paired_original_names() -> list[str]:
    """Return the names of the paired data whose distributed form is known."""
    return sorted(entry_points(group=_GROUP).names)


def find_paired_original(name: str) -> PairedOriginal | None:
    """Return what is known of the distributed form of paired data, None if nothing is."""
    for entry_point in entry_points(group=_GROUP, name=name):
        original: PairedOriginal = entry_point.load()
        return original
    return None
