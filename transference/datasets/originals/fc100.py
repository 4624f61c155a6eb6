"""FC100 (Oreshkin, Rodríguez López & Lacoste, NeurIPS 2018): CIFAR-100 (Krizhevsky 2009), its 20 superclasses shared out 12 / 4 / 4.

``cifar-100-python`` with ``train``, ``test`` and ``meta``, as an archive or unpacked. Train and test images are pooled, 600 a class. A
superclass is known by its number: val has 8, 11, 13, 16, test 0, 7, 12, 14, train the other twelve. The split list ``fc100`` says so
class by class, which also serves parquet files that do not keep the superclasses.

The released code shows these images with inverted colours, by accident (float values of 0 … 255 go through a conversion that expects 0 …
1). Here they are as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transference.datasets._images import Picture, mark_files
from transference.datasets.intake import Remote, read_pickle
from transference.datasets.originals._original import Original, checksum, find
from transference.datasets.views import Gathered
from transference.errors import DataError

_FOLDER = "cifar-100-python"
_SIDE = 32


def read(roots: Sequence[Path]) -> Gathered | None:
    """Return all images of both batches, under one split ``all``.

    Raises:
        DataError: a file is missing or not CIFAR-100's.
    """
    meta = find(roots, f"{_FOLDER}/meta", "meta")
    if not meta:
        return None
    folder, names = meta.parent, _column(read_pickle(meta), "fine_label_names", str, meta)
    pictures = []
    for batch in ("train", "test"):
        path = folder / batch
        if not path.is_file():
            raise DataError(
                f"fc100: {path} is missing; the images of train and test are pooled. Unpack the archive again."
            )
        pictures += list(_batch(read_pickle(path), names, path))
    mark = mark_files(((name, checksum(folder / name)), folder / name) for name in ("train", "test", "meta"))
    return Gathered("fc100", str(folder), {"all": pictures}, mark)


def _batch(content: dict[str, Any], names: list[str], path: Path) -> Iterator[Picture]:
    """Yield the images of one batch.

    Raises:
        DataError: the batch is not of CIFAR-100's form.
    """
    data, labels = content.get("data"), _column(content, "fine_labels", int, path)
    if not isinstance(data, np.ndarray) or data.shape != (len(labels), 3 * _SIDE**2):
        raise DataError(
            f"{path} has no data uint8 [{len(labels)}, {3 * _SIDE**2}], one row per label. Is it CIFAR-100's python version?"
        )
    if not set(labels) <= set(range(len(names))):
        raise DataError(
            f"{path} has labels up to {max(labels)}, but {len(names)} class names. Unpack the archive again."
        )
    files = _column(content, "filenames", str, path) if "filenames" in content else []
    known = len(set(files)) == len(files) == len(labels)
    for row, (pixels, label) in enumerate(zip(data.reshape(-1, 3, _SIDE, _SIDE), labels, strict=True)):
        image_id = f"{path.name}/{files[row]}" if known else f"{path.name}/{row:05d}"
        yield Picture(names[label], image_id, partial(_image, pixels))


def _image(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _column(content: dict[str, Any], name: str, kind: type, path: Path) -> list[Any]:
    column = content.get(name)
    if not isinstance(column, list) or not all(isinstance(value, kind) for value in column):
        raise DataError(f"{path} has {', '.join(content)}; it needs {name}. Is it CIFAR-100's python version?")
    return column


FC100 = Original(
    name="fc100",
    title="FC100 (Oreshkin et al. 2018), from CIFAR-100 (Krizhevsky 2009)",
    page="https://www.cs.toronto.edu/~kriz/cifar.html",
    expects=f"{_FOLDER} with train, test and meta, or {_FOLDER}.tar.gz",
    read=read,
    archives={f"{_FOLDER}.tar.gz": _FOLDER},
    remotes=(
        Remote(
            f"https://www.cs.toronto.edu/~kriz/{_FOLDER}.tar.gz",
            169_001_437,
            "sha256:85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        ),
    ),
    split_list="fc100",
)
