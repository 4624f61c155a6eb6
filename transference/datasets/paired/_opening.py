"""From the name of paired data to its splits."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

from transference.datasets._containers import places_of, plain_reader
from transference.datasets._images import require_folder
from transference.datasets._opened import Opened, tensors_of
from transference.datasets.paired._paired import Modality, PairedDataset, PairedReader, content_digest
from transference.datasets.paired._prepared import prepared_pairs
from transference.datasets.paired.originals import find_paired_original
from transference.datasets.prepared import prepared_files
from transference.errors import DataError

GROUP = "transference.paired"
"""Entry points of generated paired data."""


def find_paired(name: str, data_root: str | Path | None = None) -> PairedReader | None:
    """Return the reader of the paired data called ``name``, None if there is none.

    Args:
        name: of a generated set, or of a prepared file.
        data_root: the folder with prepared files.

    Raises:
        DataError: two are called so, or images are too.
    """
    registered = list(entry_points(group=GROUP, name=name))
    root = Path(data_root) if data_root is not None else None
    files = prepared_pairs(root, name) if root else []
    if len(registered) + len(files) > 1:
        found = [*(f"the generated set {name}" for _ in registered), *(file.where for file in files)]
        raise DataError(f"Both {' and '.join(found)} could be {name}; rename or move one of them.")
    if not registered and not files:
        return None
    reader: PairedReader = files[0] if files else registered[0].load()()
    if root and (images := images_called(name, root)):
        raise DataError(
            f"Both the paired data {reader.where} and the images {images[0]} could be {name}; rename or move one of them."
        )
    return reader


def paired_names(data_root: str | Path | None = None) -> list[str]:
    """Return the names of the generated paired sets, then of those that are prepared in ``data_root``."""
    names = sorted(entry_points(group=GROUP).names)
    if data_root is not None:
        require_folder(Path(data_root))
        names += [file.name for file in prepared_pairs(Path(data_root))]
    return list(dict.fromkeys(names))


def open_paired(
    name: str,
    split: str,
    *,
    data_root: str | Path | None = None,
    side: int = 28,
    channels: int = 3,
    shown: Collection[str] | None = None,
) -> PairedDataset:
    """Return one split of paired data, with all its modalities.

    Args:
        name: of a generated set, or of a prepared file.
        split: one of its splits, by any of the field's words for it.
        data_root: the folder with prepared files.
        side: pixels along each edge of its images, if it has any: those that it was prepared with.
        channels: 1 or 3 of its images; those of one channel are repeated to three.
        shown: the modalities that are wanted, by default all; images that are not may be of any size, and stay so.

    Raises:
        DataError: there is no such data or split, it is damaged, or its images are of another size.
    """
    if (reader := find_paired(name, data_root)) is None:
        raise DataError(_unknown(name, data_root))
    dataset = _split_as_asked(reader, split, side, channels, shown)
    opened = Opened.of(tensors_of(dataset.values), name, split, data_root, side, channels, shown)
    return replace(dataset, opened=opened)


def _split_as_asked(
    reader: PairedReader, split: str, side: int, channels: int, shown: Collection[str] | None
) -> PairedDataset:
    """Return a split with its images in so many channels."""
    dataset = reader.open(split)
    modalities = tuple(_as_asked(reader, modality, side, channels, shown) for modality in dataset.modalities)
    if modalities == dataset.modalities:
        return dataset
    values = {m.name: dataset.values[m.name].expand(-1, *m.shape) for m in modalities}
    classes = [name for name, n in zip(dataset.class_names, dataset.class_sizes, strict=True) for _ in range(n)]
    digest = content_digest(modalities, list(zip(classes, dataset.ids, strict=True)), values)
    return replace(dataset, modalities=modalities, values=values, digest=digest)


def images_called(name: str, root: Path) -> list[Path]:
    """Return the files and folders of a data root that hold images of this name, prepared or not."""
    places = [place for place in places_of(name, root) if _holds_images(place)]
    return [*(file.path for file in prepared_files(root, name)), *places]


def _holds_images(place: Path) -> bool:
    try:
        return bool(plain_reader(place).classes())
    except DataError:  # a table of other columns, or the files that paired data were prepared from
        return False


def _as_asked(
    reader: PairedReader, modality: Modality, side: int, channels: int, shown: Collection[str] | None
) -> Modality:
    """Return a modality as it is asked for.

    Raises:
        DataError: its images are shown, and cannot be had so.
    """
    if modality.kind != "image":
        return modality
    found, prepared, _ = modality.shape
    fits = prepared == side and found in {1, channels}
    if not fits and shown is not None and modality.name not in shown:
        return modality
    if prepared != side:
        raise DataError(
            f"{reader.name} ({reader.where}) has images of {prepared} pixels a side, but {side} were asked for. "
            f"Ask with --side {prepared}, or prepare it again with --side {side} --force."
        )
    if found not in {1, channels}:
        raise DataError(
            f"{reader.name} ({reader.where}) has images of {found} channels, but {channels} was asked for. "
            f"Ask with --channels {found}."
        )
    return replace(modality, shape=(channels, side, side))


def _unknown(name: str, data_root: str | Path | None) -> str:
    """Return what to say of a name that no paired data have."""
    known = paired_names(data_root)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    if find_paired_original(name):
        hint = f" To bring it here: transference datasets prepare {name} --from PLACE --data-root {data_root or 'DIR'}."
    elif data_root is None:
        hint += " Give the folder that holds prepared ones with --data-root."
    return f"There is no paired data {name!r}; there are: {', '.join(known) or 'none'}.{hint}"
