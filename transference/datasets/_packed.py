"""What all prepared files share: their rows stand by split, class and id, and the labels beside the tensors say so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from transference.datasets._names import SPLITS
from transference.errors import first_line
from transference.plain import read_json

_MOST_LABELS = 2**31
"""Bytes of class names and ids: ten times those of ImageNet's fourteen million images."""

LABELS = "labels"
"""The name of the tensor that holds them."""

Row = tuple[str, str, str]
"""Split, class name and id of one example."""


@dataclass(frozen=True)
class SplitLabels:
    """The labels of one split.

    Attributes:
        classes: class names with the ids of their examples.
        digests: of the split, by the way in which it is shown.
    """

    classes: list[tuple[str, list[str]]]
    digests: dict[str, str]

    @classmethod
    def parse(cls, content: Any, served: set[str]) -> SplitLabels:  # noqa: ANN401 - whatever the file holds
        """Return the split whose JSON form this is.

        Raises:
            TypeError: something is not text.
            ValueError: classes or ids are out of order or repeated, or digests are missing.
        """
        split = cls([(name, list(ids)) for name, ids in content["classes"]], dict(content["digests"]))
        if any(isinstance(ids, str) for _, ids in content["classes"]) or not all(
            isinstance(word, str) for word in split.words
        ):
            raise TypeError("names, ids and digests are texts")
        if set(split.digests) != served:
            raise ValueError(f"there are digests for {sorted(split.digests)} channels, not for {sorted(served)}")
        if split.labels != sorted(set(split.labels)) or len({name for name, _ in split.classes}) < len(split.classes):
            raise ValueError("classes or ids are out of order")
        return split

    @property
    def words(self) -> tuple[object, ...]:
        """Return everything that should be text."""
        return (
            *self.digests.values(),
            *(name for name, _ in self.classes),
            *(row for _, ids in self.classes for row in ids),
        )

    @property
    def labels(self) -> list[tuple[str, str]]:
        """Return class name and id of each example, sorted."""
        return [(name, row) for name, ids in self.classes for row in ids]

    @property
    def n_rows(self) -> int:
        """Return the number of examples in all."""
        return sum(len(ids) for _, ids in self.classes)


def open_packed(path: Path, form: str) -> tuple[Any, dict[str, Any]]:
    """Return an opened file, which is mapped into memory and not read, and what it was prepared from.

    Args:
        path: the file.
        form: the format that its metadata must name.

    Raises:
        ValueError: it is no whole file of this format.
    """
    try:
        file: Any = safe_open(path, framework="pt", device="cpu")  # the library's types are incomplete
    except (SafetensorError, OSError) as error:
        raise ValueError(first_line(error)) from error
    try:
        about = read_json((file.metadata() or {}).get("about", "{}"))
    except ValueError as error:
        raise ValueError(f"its metadata cannot be read: {error}") from error
    if not isinstance(about, dict) or about.get("format") != form or LABELS not in file.keys():  # noqa: SIM118
        raise ValueError("it is no prepared dataset")
    return file, about


def read_labels(file: Any, served: set[str]) -> dict[str, SplitLabels]:  # noqa: ANN401 - the library has no types
    """Return the labels of an opened file, by split.

    Args:
        file: from `open_packed`.
        served: the digests that there must be.

    Raises:
        ValueError: they cannot be read.
    """
    try:
        content = read_json(file.get_tensor(LABELS).numpy().tobytes(), most=_MOST_LABELS)
        return {str(name): SplitLabels.parse(split, served) for name, split in content.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"its labels cannot be read: {error!r}") from error


def place_of(split: str, splits: Mapping[str, SplitLabels]) -> slice:
    """Return where the rows of a split stand among all."""
    starts = np.cumsum([0, *(found.n_rows for found in splits.values())]).tolist()
    return slice(*list(pairwise(starts))[list(splits).index(split)])


def in_file_order(rows: Sequence[Row]) -> list[int]:
    """Return the numbers of the rows in the order in which they stand in a file."""
    rank = {split: k for k, split in enumerate(dict.fromkeys((*SPLITS, *sorted({row[0] for row in rows}))))}
    return sorted(range(len(rows)), key=lambda i: (rank[rows[i][0]], rows[i][1:]))


def labels_as_json(rows: Sequence[Row], order: Sequence[int], digests: Mapping[str, Mapping[str, str]]) -> bytes:
    """Return the labels as JSON, whose length does not depend on what the digests are.

    Args:
        rows: split, class name and id of each example.
        order: of `in_file_order`.
        digests: by split.
    """
    content = {}
    for split, group in groupby(order, key=lambda i: rows[i][0]):
        classes = [(name, [rows[i][2] for i in ids]) for name, ids in groupby(group, key=lambda i: rows[i][1])]
        content[split] = {"classes": classes, "digests": digests[split]}
    return json.dumps(content).encode()
