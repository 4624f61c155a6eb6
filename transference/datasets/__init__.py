"""Where images come from: one source a file, all of one shape (`DatasetReader`).

``open_dataset("omniglot:train", data_root="data")`` looks among the registered modes (entry points in ``transference.datasets``), then
for ``data/omniglot.parquet``, then for the folder ``data/omniglot``.
"""

from __future__ import annotations

import difflib
import re
from importlib.metadata import entry_points
from pathlib import Path

from transference.datasets._images import SPLITS, DatasetReader, ImageDataset, Picture, SplitSize, read_split, require_folder
from transference.datasets.folder import ClassFolders
from transference.datasets.parquet import ParquetImages
from transference.errors import DataError, UsageError

__all__ = [
    "SPLITS",
    "ClassFolders",
    "DatasetReader",
    "ImageDataset",
    "ParquetImages",
    "Picture",
    "SplitSize",
    "dataset_names",
    "find_reader",
    "open_dataset",
    "parse_mode",
]

_GROUP = "transference.datasets"
_MODE = re.compile(r"(?P<name>[\w.-]+):(?P<split>\w+)")


def parse_mode(text: str) -> tuple[str, str]:
    """Split ``"omniglot:train"`` into name and split.

    Raises:
        UsageError: the text is not of that form.
    """
    match = _MODE.fullmatch(text)
    if not match:
        raise UsageError(f"{text!r} does not name a mode and a split; write it as NAME:SPLIT, for example omniglot:train.")
    return match["name"], match["split"]


def open_dataset(mode: str, *, data_root: str | Path | None = None, side: int = 28, channels: int = 3) -> ImageDataset:
    """Open one split of one mode, decoded.

    Args:
        mode: ``"NAME:SPLIT"``.
        data_root: the folder with ``NAME.parquet`` or ``NAME/``; not needed for the generated modes.
        side: pixels along each edge.
        channels: 1 or 3.

    Returns:
        The dataset with ``images [n, channels, side, side]`` uint8 in host memory.

    Raises:
        UsageError: ``mode`` is not of the form ``NAME:SPLIT``.
        DataError: there is no such dataset or split, or it is damaged.

    Example:
        >>> open_dataset("strokes:val").images.shape
        torch.Size([480, 3, 28, 28])
    """
    name, split = parse_mode(mode)
    return read_split(find_reader(name, data_root), split, side, channels)


def find_reader(name: str, data_root: str | Path | None = None) -> DatasetReader:
    """Return the reader of the mode called ``name``.

    Raises:
        DataError: there is none, or there are two.
    """
    registered = entry_points(group=_GROUP, name=name)
    root = Path(data_root) if data_root is not None else None
    places: list[Path] = []
    if root is not None:
        require_folder(root)
        places = [path for path in (root / f"{name}.parquet", root / name) if path.exists()]
    if len(places) + len(registered) > 1:
        found = [*(f"the registered mode {name}" for _ in registered), *map(str, places)]
        raise DataError(f"Both {' and '.join(found)} could be {name}; rename or move one of them.")
    if registered:
        reader: DatasetReader = next(iter(registered)).load()()
        return reader
    if places:
        return ClassFolders(places[0]) if places[0].is_dir() else ParquetImages(places[0])
    known = dataset_names(root)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    if root is None:
        advice = f"give the folder that holds it with --data-root. Without one there are: {', '.join(known)}."
        raise DataError(f"There is no generated mode {name!r}; {advice}{hint}")
    raise DataError(f"There is no dataset {name!r}, neither generated nor in {root}; there are: {', '.join(known)}.{hint}")


def dataset_names(data_root: str | Path | None = None) -> list[str]:
    """Return the names of the registered modes, then of those in ``data_root``."""
    names = sorted(entry_points(group=_GROUP).names)
    if data_root is not None:
        require_folder(Path(data_root))
        children = sorted(Path(data_root).iterdir())
        names += [child.stem for child in children if child.suffix == ".parquet"]
        names += [child.name for child in children if child.is_dir() and not child.name.startswith(".")]
    return list(dict.fromkeys(names))
