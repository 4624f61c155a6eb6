"""Where a dataset is prepared: a folder that only one process uses for it at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from transference.datasets._images import require_folder
from transference.errors import DataError, UsageError

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

    Raises:
        UsageError: the dataset is being prepared by another process.
        DataError: there is nothing at the place, or the data root is no folder.
    """
    if not place.exists():
        raise DataError(f"{place} does not exist; give the archive, folder or file that holds {name} with --from.")
    if data_root.exists():
        require_folder(data_root)
    work = data_root / WORK
    work.mkdir(parents=True, exist_ok=True)
    unpacked = work / "unpacked" / name
    try:
        with FileLock(work / f"{name}.lock", timeout=0):
            try:
                yield unpacked
            except Exception:
                shutil.rmtree(unpacked, ignore_errors=True)
                raise
            shutil.rmtree(unpacked, ignore_errors=True)
    except Timeout as error:
        raise UsageError(
            f"{name} is being prepared in {data_root} by another process; wait for it, or stop it."
        ) from error
