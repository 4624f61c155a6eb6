"""FGVC-Aircraft (Maji, Kannala, Rahtu, Blaschko & Vedaldi, 2013): 10 000 photographs of 100 variants of aircraft.

``fgvc-aircraft-2013b/data`` with ``variants.txt``, ``images_variant_{train,val,test}.txt`` and ``images``, as an archive or unpacked. The
three official lists, which share every class, are pooled: 100 images a variant. The whole photograph is taken, as in the released code,
the line of copyright at its foot included. Two variants have a "/" in their name, which is harmless here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transference.datasets._names import SPLITS
from transference.datasets.intake import Remote
from transference.datasets.originals._original import Listed, Original, below, find, gather, lines
from transference.datasets.views import Gathered
from transference.errors import DataError

_FOLDER = "fgvc-aircraft-2013b"


def read(roots: Sequence[Path]) -> Gathered | None:
    """Return the images of the three lists; class names are the variants.

    Raises:
        DataError: a list is missing or does not fit the others, or a listed image is missing.
    """
    found = find(roots, *(f"{place}variants.txt" for place in (f"{_FOLDER}/data/", "data/", "")))
    if not found:
        return None
    folder, variants = found.parent, {name for (name,) in lines(found, 1)}
    images = []
    for part in SPLITS:
        path = folder / f"images_variant_{part}.txt"
        for number, variant in lines(path, 2):
            if variant not in variants:
                raise DataError(
                    f"{path}: image {number} has the variant {variant!r}, which variants.txt does not name. Unpack the archive again."
                )
            images.append(Listed(variant, f"{number}.jpg", below(folder / "images", f"{number}.jpg", path)))
    return gather("aircraft", folder, images)


AIRCRAFT = Original(
    name="aircraft",
    title="FGVC-Aircraft (Maji et al. 2013), non-commercial research",
    page="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
    expects=f"{_FOLDER}/data with variants.txt, images_variant_{{train,val,test}}.txt and images/, or {_FOLDER}.tar.gz",
    read=read,
    archives={f"{_FOLDER}.tar.gz": _FOLDER},
    remotes=(
        # Its publisher gives no sha256; this is the md5 that others pin.
        Remote(
            f"https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/{_FOLDER}.tar.gz",
            None,
            "md5:d4acdd33327262359767eeaa97a4f732",
        ),
    ),
    split_list="aircraft",
)
