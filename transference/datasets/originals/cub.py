"""CUB-200-2011 (Wah, Branson, Welinder, Perona & Belongie, 2011): 11 788 photographs of 200 species of birds.

``CUB_200_2011`` with ``classes.txt``, ``images.txt``, ``image_class_labels.txt`` and ``images``, as an archive or unpacked. The whole
photograph is taken, as in the released code; bounding boxes and the lists of a train and a test half are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transference.datasets.intake import Remote
from transference.datasets.originals._original import Listed, Original, below, find, gather, lines
from transference.datasets.views import Gathered
from transference.errors import DataError

_FOLDER = "CUB_200_2011"


def read(roots: Sequence[Path]) -> Gathered | None:
    """Return the listed images; class names are as in ``classes.txt``, ``001.Black_footed_Albatross``.

    Raises:
        DataError: the lists do not fit together, or a listed image is missing.
    """
    found = find(roots, f"{_FOLDER}/image_class_labels.txt", "image_class_labels.txt")
    if not found:
        return None
    folder = found.parent
    names = dict(lines(folder / "classes.txt", 2))
    class_of = dict(lines(found, 2))
    images = []
    for number, path in lines(folder / "images.txt", 2):
        if (label := names.get(class_of.get(number, ""))) is None:
            raise DataError(
                f"{folder / 'images.txt'}: image {number} ({path}) has no class in the other two lists. Unpack the archive again."
            )
        images.append(Listed(label, path, below(folder / "images", path, folder / "images.txt")))
    return gather("cub", folder, images)


CUB = Original(
    name="cub",
    title="CUB-200-2011 (Wah et al. 2011), non-commercial research",
    page="https://www.vision.caltech.edu/datasets/cub_200_2011/",
    expects=f"{_FOLDER} with classes.txt, images.txt, image_class_labels.txt and images/, or {_FOLDER}.tgz",
    read=read,
    archives={f"{_FOLDER}.tgz": _FOLDER},
    remotes=(
        Remote(
            f"https://data.caltech.edu/records/65de6-vp158/files/{_FOLDER}.tgz",
            1_150_585_339,
            "sha256:0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
        ),
    ),
    split_list="cub",
)
