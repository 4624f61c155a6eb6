"""Images that are there twice, whatever they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from transference.datasets._names import in_order
from transference.datasets._packed import Row
from transference.datasets._unread import counted


def same_pixels(rows: Sequence[Row], pixels: Path, n_bytes: int) -> list[str]:
    """Return what to say of images that lie twice in a split, or in two, pixel by pixel the same at the size they are prepared at.

    Args:
        rows: split, class name and id of each image.
        pixels: a file of one image after another.
        n_bytes: bytes of an image.
    """
    first: dict[str, dict[bytes, str]] = {}
    again: dict[str, list[str]] = {}
    with pixels.open("rb") as file:
        for split, _, image_id in rows:
            digest = hashlib.blake2b(file.read(n_bytes), digest_size=16).digest()
            if (earlier := first.setdefault(split, {}).setdefault(digest, image_id)) != image_id:
                again.setdefault(split, []).append(f"{earlier} and {image_id}")
    told = [
        f"{split} has {counted(len(again[split]), 'image')} twice, for one {again[split][0]}"
        for split in in_order(again)
    ]
    for one, other in combinations(in_order(first), 2):
        if both := sorted(first[one].keys() & first[other].keys(), key=first[one].__getitem__):
            example = f"{first[one][both[0]]} and {first[other][both[0]]}"
            told.append(f"{one} and {other} have {counted(len(both), 'image')} in common, for one {example}")
    return told
