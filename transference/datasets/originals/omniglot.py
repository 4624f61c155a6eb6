"""Omniglot (Lake, Salakhutdinov & Tenenbaum, Science 2015): 1623 characters of 50 alphabets, 20 drawings each, 105×105, black on white.

``images_background`` (30 alphabets) and ``images_evaluation`` (20), or the two small subsets of the former, as zip archives or unpacked:
``HALF/ALPHABET/characterNN/NNNN_DD.png``. Read as the released code does: ink is 1, paper 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from transference.datasets._decode import decode
from transference.datasets.intake import Remote
from transference.datasets.originals._original import Listed, Original, find, gather
from transference.datasets.views import Gathered, invert

_SMALL = ("images_background_small1", "images_background_small2")
_ADDRESS = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"


def read(roots: Sequence[Path]) -> Gathered | None:
    """Return the characters of every half found; class names are ``ALPHABET/characterNN``."""
    background = find(roots, "images_background")
    parts = [background] if background else [find(roots, name) for name in _SMALL]
    halves = [half for half in (*parts, find(roots, "images_evaluation")) if half]
    if not halves:
        return None
    # the two small sets share alphabets
    images = {image.image_id: image for half in halves for image in _drawings(half)}
    return gather("omniglot", halves[0].parent, images.values(), _ink)


def _drawings(half: Path) -> Iterator[Listed]:
    for path in sorted(half.glob("*/*/*.png")):
        alphabet, character, name = path.relative_to(half).parts
        if not name.startswith("."):
            yield Listed(f"{alphabet}/{character}", f"{alphabet}/{character}/{name}", path)


def _ink(path: Path, where: str) -> Image.Image:
    return invert(decode(path, where), where)


OMNIGLOT = Original(
    name="omniglot",
    title="Omniglot (Lake et al. 2015), MIT licence",
    page="https://github.com/brendenlake/omniglot",
    expects="images_background and images_evaluation, zip archives or folders (or images_background_small1, images_background_small2)",
    read=read,
    archives={f"{name}.zip": name for name in ("images_background", "images_evaluation", *_SMALL)},
    remotes=(
        Remote(
            f"{_ADDRESS}/images_background.zip",
            9_464_212,
            "sha256:ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
        ),
        Remote(
            f"{_ADDRESS}/images_evaluation.zip",
            6_462_886,
            "sha256:1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
        ),
    ),
    split_list="omniglot",
    channels=1,
)
