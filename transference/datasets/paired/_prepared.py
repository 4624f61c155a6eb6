"""The prepared form of paired data: ``DIR/NAME.paired.safetensors``, all splits in one file that is mapped, not read.

Beside one tensor for each modality, ``values/NAME [n, *shape]``, sorted by split, class and id, stand the labels, and
one digest for each split. The metadata say what it was prepared from, its modalities, and the means and deviations by
which values were standardised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from transference.datasets._packed import LABELS, SplitLabels, labels_as_json, open_packed, place_of, read_labels
from transference.datasets.paired._paired import KINDS, Modality, PairedDataset, content_digest, require_split
from transference.datasets.paired._table import PairedTable, assemble
from transference.errors import DataError
from transference.files import write_aside
from transference.plain import as_list, as_record, as_text, as_whole

FORMAT = "transference pairs 1"
_ENDING = ".paired.safetensors"
_NAME = re.compile(r"[\w.-]+")
_DIGEST = "values"
AXES = {"image": 3, "window": 2, "track": 2, "values": 1}
"""Axes of an example of each kind."""


@dataclass(frozen=True)
class PreparedPairs:
    """One prepared file of paired data.

    Attributes:
        path: where it is.
    """

    path: Path

    @property
    def name(self) -> str:
        """Return the name of the data."""
        return self.path.name.removesuffix(_ENDING)

    @property
    def where(self) -> str:
        """Return the file, for lists and messages."""
        return str(self.path)

    @cached_property
    def about(self) -> dict[str, Any]:
        """Return what the file was prepared from, and how."""
        file, about = self._open()
        with file:
            return about

    @cached_property
    def modalities(self) -> tuple[Modality, ...]:
        """Its modalities, in order."""
        try:
            return tuple(map(_modality, as_list(self.about.get("modalities"), "modalities", least=1)))
        except ValueError as error:
            raise self._damaged(f"its metadata cannot be read: {error}") from error

    @property
    def notes(self) -> list[str]:
        """Return what was found and not read when the file was prepared."""
        notes = self.about.get("notes", [])
        return [str(note) for note in notes] if isinstance(notes, list) else []

    def classes(self) -> dict[str, dict[str, int]]:
        """Return the number of examples of each class of each split."""
        return {name: {c: len(ids) for c, ids in split.classes} for name, split in self._splits.items()}

    def digest(self, split: str) -> str:
        """Return the digest of a split, as it was when it was prepared."""
        return self._splits[split].digests[_DIGEST]

    def open(self, split: str) -> PairedDataset:
        """Return a split; its values stay in the file until they are asked for.

        Raises:
            DataError: there is no such split, or the file is damaged.
        """
        split = require_split(self, split)
        found = self._splits[split]
        return assemble(self.name, split, self.modalities, found.labels, self._values(split), self.digest(split))

    def verify(self) -> list[str]:
        """Read everything and return the splits that are not those that were prepared.

        Raises:
            DataError: the file cannot be read at all.
        """
        found = {
            name: content_digest(self.modalities, split.labels, self._values(name))
            for name, split in self._splits.items()
        }
        return [
            f"{name} has the digest {digest}, not {self.digest(name)}"
            for name, digest in found.items()
            if digest != self.digest(name)
        ]

    @cached_property
    def _splits(self) -> dict[str, SplitLabels]:
        """Return class names, ids and digests by split.

        Raises:
            DataError: they do not belong to these values.
        """
        modalities = self.modalities
        with self._open()[0] as file:
            try:
                splits = read_labels(file, {_DIGEST})
            except ValueError as error:
                raise self._damaged(str(error)) from error
            n = sum(split.n_rows for split in splits.values())
            if set(file.keys()) != {LABELS, *(_key(m.name) for m in modalities)}:
                raise self._damaged(f"it does not hold the values of {', '.join(m.name for m in modalities)} alone")
            for modality in modalities:
                part = file.get_slice(_key(modality.name))
                kind, shape = "U8" if modality.kind == "image" else "F32", tuple(part.get_shape())
                if part.get_dtype() != kind or shape != (n, *modality.shape):
                    expected = f"{kind} {[n, *modality.shape]}"
                    raise self._damaged(f"{modality.name} is {part.get_dtype()} {list(shape)}, not {expected}")
        return splits

    def _values(self, split: str) -> dict[str, Tensor]:
        place = place_of(split, self._splits)
        with self._open()[0] as file:
            return {m.name: file.get_tensor(_key(m.name))[place] for m in self.modalities}

    def _open(self) -> tuple[Any, dict[str, Any]]:
        try:
            return open_packed(self.path, FORMAT)
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> DataError:
        return DataError(f"{self.path} is not whole ({why}). Prepare {self.name} again.")


def prepared_pairs(data_root: Path, name: str | None = None) -> list[PreparedPairs]:
    """Return the prepared files of paired data in a folder, of one name or of all, by name."""
    paths = [path for path in sorted(data_root.glob(f"*{_ENDING}")) if path.is_file()]
    found = [PreparedPairs(path) for path in paths if _NAME.fullmatch(path.name.removesuffix(_ENDING))]
    return [file for file in found if name in (None, file.name)]


def target(data_root: Path, name: str) -> PreparedPairs:
    """Return the prepared file that paired data of this name have, or would have."""
    return PreparedPairs(data_root / f"{name}{_ENDING}")


def write(file: PreparedPairs, table: PairedTable, about: Mapping[str, Any]) -> None:
    """Write the prepared form of a table.

    Args:
        file: to be written.
        table: with values as they are kept.
        about: what it was prepared from, and how.
    """
    digests = {split: {_DIGEST: table.split(file.name, split).digest} for split in table.classes()}
    labels = labels_as_json(table.rows, table.order, digests)
    tensors = {
        LABELS: torch.frombuffer(bytearray(labels), dtype=torch.uint8),
        **{_key(m): torch.from_numpy(np.ascontiguousarray(v[table.order])) for m, v in table.values.items()},
    }
    told = {"format": FORMAT, **about, "modalities": [asdict(m) for m in table.modalities]}
    write_aside(file.path, lambda aside: save_file(tensors, aside, {"about": json.dumps(told)}))


def _modality(content: object) -> Modality:
    """Return the modality whose JSON form this is.

    Raises:
        ValueError: it is none.
    """
    found = as_record(content, "a modality", ("name", "kind", "shape"))
    kind = as_text(found["kind"], "kind")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
    axes = AXES[kind]
    shape = [as_whole(n, "shape", 1, 2**31) for n in as_list(found["shape"], "shape", least=axes, most=axes)]
    return Modality(as_text(found["name"], "name"), kind, tuple(shape))


def _key(modality: str) -> str:
    """Return the name of the tensor of a modality."""
    return f"values/{modality}"
