"""From paired data as they are distributed, or in a table of one's own, to a prepared file.

Paired data are small beside images: all of them are read into memory, and what is prepared already is known by its digests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transference.datasets._images import check_size
from transference.datasets._opening import check_new_name
from transference.datasets.paired import PreparedPairs, images_called
from transference.datasets.paired._description import read_description
from transference.datasets.paired._own import read_own
from transference.datasets.paired._prepared import target, write
from transference.datasets.paired._table import PairedTable, as_kept, checked, standardised
from transference.datasets.paired.originals import PairedOriginal, find_paired_original, paired_original_names
from transference.datasets.preparing._places import look_in, table_called
from transference.datasets.preparing._workplace import workplace
from transference.errors import DataError, SpecMismatchError, UsageError

__all__ = ["PairedPreparation", "is_done", "paired_preparation", "prepare"]


@dataclass(frozen=True)
class PairedPreparation:
    """Paired data that are read, checked, and standardised.

    Attributes:
        target: the file to make.
        table: the examples.
        settings: what the file will say of its making.
    """

    target: PreparedPairs
    table: PairedTable
    settings: dict[str, Any]

    @property
    def n_bytes(self) -> int:
        """Bytes of all values."""
        return sum(values.nbytes for values in self.table.values.values())


@contextmanager
def paired_preparation(
    name: str,
    place: Path,
    data_root: Path,
    *,
    side: int = 28,
    form: str | None = None,
    description: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[PairedPreparation]:
    """Read what lies at a place, and hold its name for as long as the context lasts.

    Args:
        name: the dataset's name.
        place: an archive, a file, or a folder with them; of tables in it the one called ``name`` is meant.
        data_root: where the prepared file goes.
        side: pixels along each edge of its images, if it has any.
        form: the dataset that lies there as it is distributed; by default the one that is called ``name``.
        description: the TOML file that says what is what in a table of one's own.
        say: told what takes long.

    Yields:
        What can be prepared.

    Raises:
        UsageError: the name cannot be a dataset's, there is no such form or description, or the data are being prepared by another process.
        DataError: there are no such data at the place, or images of this name are in the data root.
        PairingError: rows, labels, groups or splits do not fit one another, or values are no numbers.
    """
    check_new_name(name)
    check_size(side, 1)
    told = read_description(description) if description else None
    with workplace(name, place, data_root) as unpacked:
        if images := images_called(name, data_root):
            raise DataError(
                f"{images[0]} holds images called {name}, and {target(data_root, name).where} would be paired data of that name; "
                "choose another name, or move the images."
            )
        if told:
            place = table_called(name, place)
            table, settings = read_own(place, told, side), {"description": told.path.name}
        else:
            original = _original(form or name)
            table, settings = _distributed(original, place, side, unpacked, say), {"title": original.title}
        table = checked(table)
        table = as_kept(standardised(table) if not told or told.standardise else table)
        sided = any(modality.kind == "image" for modality in table.modalities)
        about = {"name": name, "from": place.name, **settings, **table.about, "notes": list(table.notes)}
        yield PairedPreparation(target(data_root, name), table, {**about, "side": side} if sided else about)


def is_done(asked: PairedPreparation) -> bool:
    """Return whether the file asked for is there.

    Raises:
        SpecMismatchError: a file of this name holds other examples.
    """
    file = asked.target
    if not file.path.exists():
        return False
    try:
        same_form = file.modalities == asked.table.modalities
        before = {split: file.digest(split) for split in file.classes()}
    except DataError:
        return False  # a damaged file is in nobody's way
    now = {split: asked.table.split(file.name, split).digest for split in asked.table.classes()}
    if not same_form:
        different = "it has the modalities " + ", ".join(f"{m.name} {list(m.shape)}" for m in file.modalities)
    else:
        changed = [split for split in {**before, **now} if before.get(split) != now.get(split)]
        different = f"it has other examples in {', '.join(changed)}" if changed else ""
    if different:
        raise SpecMismatchError(
            f"{file.path} was prepared from something else: {different}. Choose another name, or replace the file with --force."
        )
    return True


def prepare(asked: PairedPreparation, *, force: bool = False) -> PreparedPairs:
    """Write the prepared file, unless it is there.

    Args:
        asked: what to prepare, from `paired_preparation`.
        force: replace a file of other examples.

    Raises:
        SpecMismatchError: there is one.
    """
    if force or not is_done(asked):
        write(asked.target, asked.table, asked.settings)
    return target(asked.target.path.parent, asked.target.name)


def _original(form: str) -> PairedOriginal:
    if original := find_paired_original(form):
        return original
    raise UsageError(
        f"No paired data {form!r} are known in the form in which they are distributed; there are: "
        f"{', '.join(paired_original_names())}."
    )


def _distributed(
    original: PairedOriginal, place: Path, side: int, unpacked: Path, say: Callable[[str], None]
) -> PairedTable:
    """Return the examples of a dataset as it is distributed.

    Raises:
        DataError: it is not there, or not whole.
    """
    roots = list(look_in(place, original.archives, original.suffixes, unpacked, say))
    if (table := original.read(roots, side)) is None:
        raise DataError(
            f"{place} does not hold {original.name}. Expected: {original.expects}. To be had {original.get}."
        )
    return table
