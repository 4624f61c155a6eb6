"""Paired data of one's own: a table and its description, as a `PairedTable`."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transference.datasets._decode import decode, each_in_turn, to_pixels
from transference.datasets._names import split_names
from transference.datasets._unread import counted, few, renamed
from transference.datasets.paired._columns import Columns, open_columns
from transference.datasets.paired._description import Described, Description
from transference.datasets.paired._paired import Modality
from transference.datasets.paired._prepared import AXES
from transference.datasets.paired._table import PairedTable
from transference.errors import PairingError

_BY_AXES = {1: "values", 2: "window", 3: "image"}


def read_own(place: Path, description: Description, side: int) -> PairedTable:
    """Return the examples of a table.

    Args:
        place: a parquet or ``.npz`` file.
        description: what is what in it.
        side: pixels along each edge of images that are decoded.

    Raises:
        DataError: the file cannot be read.
        PairingError: a column is missing or of another form, or rows, labels, groups and splits do not fit.
    """
    with open_columns(place) as columns:
        _require_columns(place, description, columns)
        arrays = {
            told.name: _values(place, told, columns.numbers(told.column), side) for told in description.modalities
        }
        words = {name: columns.words(name) for name in description.columns if name not in _value_columns(description)}
        unread = [name for name in columns.names if name not in description.columns]
    _require_one_length(place, {**{told.column: arrays[told.name] for told in description.modalities}, **words})
    class_names = _class_names(place, description, words)
    groups = words[description.group] if description.group else None
    splits, notes = _splits(place, description, words, class_names, groups)
    if groups is not None:
        _require_whole_groups(place, groups, splits)
    digits = len(str(len(class_names)))
    ids = (
        words[description.identity]
        if description.identity
        else [f"row-{i:0{digits}d}" for i in range(len(class_names))]
    )
    modalities = tuple(_modality(place, told, arrays[told.name]) for told in description.modalities)
    if unread:
        notes.append(f"not read: {counted(len(unread), 'column')} of {place.name} ({few(unread, 6)})")
    return PairedTable(str(place), modalities, arrays, list(zip(splits, class_names, ids, strict=True)), notes)


def _value_columns(description: Description) -> set[str]:
    return {told.column for told in description.modalities}


def _require_columns(place: Path, description: Description, columns: Columns) -> None:
    """Raise `PairingError` unless the table has every column of its description.

    Raises:
        PairingError: it lacks one, or one is both values and labels.
    """
    for name in description.columns:
        if name not in columns.names:
            close = difflib.get_close_matches(name, columns.names, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise PairingError(
                f"{place} has no {name}, of which {description.path} speaks; it has {few(columns.names, 12)}.{hint}"
            )
    named = {*description.labels, description.group, description.identity, description.split_column}
    if both := sorted(_value_columns(description) & {name for name in named if name}):
        raise PairingError(
            f"{description.path} takes {both[0]} of {place} for a modality and for labels; it can be one."
        )


def _values(place: Path, told: Described, found: NDArray[Any], side: int) -> NDArray[Any]:
    """Return the values of one modality in their shape, ``[n, *shape]``; encoded images are decoded.

    Raises:
        PairingError: they are of another shape, or of a kind that does not fit.
    """
    if found.dtype == object:
        if told.kind not in (None, "image"):
            raise PairingError(
                f"{place}: {told.column} holds encoded images, but {told.name} is said to be {told.kind}."
            )
        return _decoded(place, told, found, side)
    if told.shape is not None:
        if math.prod(told.shape) != math.prod(found.shape[1:]):
            raise PairingError(
                f"{place}: {told.column} has rows of shape {list(found.shape[1:])}, which cannot be {list(told.shape)}."
            )
        found = found.reshape(len(found), *told.shape)
    if found.ndim == 1:
        found = found[:, None]
    if 0 in found.shape[1:]:
        raise PairingError(f"{place}: {told.column} has rows of shape {list(found.shape[1:])}, without any number.")
    return found if found.dtype == np.uint8 and _kind(told, found) == "image" else found.astype(np.float64)


def _decoded(place: Path, told: Described, found: NDArray[Any], side: int) -> NDArray[np.uint8]:
    """Return encoded images as ``[n, channels, side, side]``.

    Raises:
        PairingError: another side was described than is prepared.
    """
    channels, *sides = told.shape or (3, side, side)
    if sides != [side, side] or channels not in (1, 3):
        raise PairingError(
            f"{place}: {told.column} is described with the shape {list(told.shape or ())}; images are decoded as [1, {side}, {side}] "
            f"or [3, {side}, {side}]. Change the shape, or say another --side."
        )

    def pixels(item: tuple[int, bytes]) -> NDArray[np.uint8]:
        where = f"{place}: {told.column} in row {item[0]}"
        return to_pixels(decode(item[1], where), side, channels, where)

    return np.stack([result() for _, result in each_in_turn(partial(pixels), enumerate(found.tolist()))])


def _kind(told: Described, values: NDArray[Any]) -> str | None:
    return told.kind or _BY_AXES.get(values.ndim - 1)


def _modality(place: Path, told: Described, values: NDArray[Any]) -> Modality:
    """Return what one modality is.

    Raises:
        PairingError: its rows do not have the shape of its kind.
    """
    kind, shape = _kind(told, values), values.shape[1:]
    fits = {
        "image": len(shape) == 3 and shape[0] in (1, 3) and shape[1] == shape[2] and values.dtype == np.uint8,
        "track": len(shape) == 2 and shape[1] == 3,
    }
    if kind is None or not fits.get(kind, len(shape) == AXES[kind]):
        needed = {
            "image": "uint8 [channels, side, side] with 1 or 3 channels, or encoded images",
            "window": "[time, channels]",
            "track": "[time, 3] (x, y, lifted)",
            "values": "[n]",
        }
        form = "integers of 8 bits" if values.dtype == np.uint8 else "numbers"
        raise PairingError(
            f"{place}: {told.column} has rows of shape {list(shape)} of {form}; {kind or 'a modality'} is "
            f"{needed.get(kind or '', 'values, window, track or image')}. Say another kind or shape in the description."
        )
    return Modality(told.name, kind, tuple(shape))


def _require_one_length(place: Path, columns: dict[str, Any]) -> None:
    """Raise `PairingError` unless all columns have as many rows.

    Raises:
        PairingError: they have not.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    (first, n), *others = lengths.items()
    for name, m in others:
        if m != n:
            raise PairingError(
                f"{place}: {first} has {n} rows, {name} has {m}; row i of each must be the same example."
            )


def _class_names(place: Path, description: Description, words: dict[str, list[str]]) -> list[str]:
    """Return the class of each row.

    Raises:
        PairingError: labels disagree, or one is empty.
    """
    first, *others = description.labels
    names = words[first]
    for other in others:
        if rows := [i for i, (a, b) in enumerate(zip(names, words[other], strict=True)) if a != b]:
            i = rows[0]
            raise PairingError(
                f"{place}: {first} and {other} differ in {len(rows)} of {len(names)} rows, the first is row {i} "
                f"({names[i]!r} and {words[other][i]!r}). A row has one class, whatever it is seen by."
            )
    if rows := [i for i, name in enumerate(names) if not name.strip()]:
        raise PairingError(f"{place}: {first} is empty in {counted(len(rows), 'row')}, the first is row {rows[0]}.")
    return names


def _splits(
    place: Path,
    description: Description,
    words: dict[str, list[str]],
    class_names: Sequence[str],
    groups: Sequence[str] | None,
) -> tuple[list[str], list[str]]:
    """Return the split of each row, and what to say of the words for them.

    Raises:
        PairingError: a group or class is in no list, or a list names one that is not there.
    """
    if description.split_column:
        found = words[description.split_column]
        if rows := [i for i, word in enumerate(found) if not word.strip()]:
            raise PairingError(
                f"{place}: {description.split_column} is empty in {counted(len(rows), 'row')}, the first is row {rows[0]}."
            )
        names = split_names(dict.fromkeys(found))
        return [names[word] for word in found], renamed(names)
    members = groups if description.split_by == "groups" and groups is not None else class_names
    owner = {member: split for split, listed in description.listed.items() for member in listed}
    what = "class" if description.split_by == "classes" else "group"
    plural = description.split_by
    if alone := list(dict.fromkeys(member for member in members if member not in owner)):
        rows = [i for i, member in enumerate(members) if member not in owner]
        raise PairingError(
            f"{place} has {counted(len(alone), what, plural)} that {description.path} puts into no split "
            f"({few(alone)}), {counted(len(rows), 'row')}, the first is row {rows[0]}."
        )
    if absent := sorted(owner.keys() - set(members)):
        raise PairingError(
            f"{description.path} lists {counted(len(absent), what, plural)} that {place} does not have ({few(absent)}); "
            f"it has {few(dict.fromkeys(members), 12)}."
        )
    return [owner[member] for member in members], []


def _require_whole_groups(place: Path, groups: Sequence[str], splits: Sequence[str]) -> None:
    """Raise `PairingError` if a group is in two splits.

    Raises:
        PairingError: one is.
    """
    first: dict[str, int] = {}
    torn: dict[str, int] = {}
    for i, group in enumerate(groups):
        if splits[first.setdefault(group, i)] != splits[i]:
            torn.setdefault(group, i)
    if torn:
        group, i = next(iter(torn.items()))
        raise PairingError(
            f"{place}: {counted(len(torn), 'group')} in two splits, for one {group!r} in {splits[first[group]]} (row {first[group]}) and "
            f"{splits[i]} (row {i}). Rows of one group belong to one split."
        )
