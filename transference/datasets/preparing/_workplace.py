"""Where a dataset is prepared: a folder that only one process uses for it at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from transference.datasets._held import held
from transference.datasets._images import require_folder
from transference.errors import DataError

WORK = ".preparing"
"""The folder of a data root in which things are prepared."""


@contextmanager
def workplace(name: str, place: Path, data_root: Path) -> Iterator[Path]:
    """Hold a dataset's name for as long as the context lasts; nobody else can prepare it meanwhile.

    Args:
        name: of the dataset.
        place: that it is prepared from.
        data_root: where the prepared file goes.

    Yields:
        The folder in which archives may be unpacked. It is removed at the end, but not after an interruption, to go on with.
        Nothing is left of the rest where nothing was kept.

    Raises:
        UsageError: the dataset is being prepared by another process.
        DataError: there is nothing at the place, or the data root is no folder.
    """
    if not place.exists():
        raise DataError(f"{place} does not exist; give the archive, folder or file that holds {name} with --from.")
    made = not data_root.exists()
    if not made:
        require_folder(data_root)
    work = data_root / WORK
    unpacked = work / "unpacked" / name
    busy = f"{name} is being prepared in {data_root} by another process; wait for it, or stop it."
    try:
        with held(work / f"{name}.lock", busy):
            try:
                yield unpacked
            except Exception:
                shutil.rmtree(unpacked, ignore_errors=True)
                raise
            shutil.rmtree(unpacked, ignore_errors=True)
    finally:
        for folder in (unpacked.parent, work, *([data_root] if made else [])):
            with suppress(OSError):  # something is kept in it
                folder.rmdir()
