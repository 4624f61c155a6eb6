"""A lock that leaves nothing behind: one process at a time in a folder of a data root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from transference.errors import UsageError


@contextmanager
def held(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock for as long as the context lasts. The system lets go of it when its holder dies.

    Args:
        path: of its file, which is made, with its folder if need be, and removed.
        busy: what to say if another process holds it.

    Raises:
        UsageError: one does.
    """
    lock = FileLock(path)
    try:
        _take(lock, path)
    except Timeout as error:
        raise UsageError(busy) from error
    try:
        yield
    finally:
        with suppress(OSError):  # while it is held: whoever waits for it opens it anew
            path.unlink()
        lock.release()


def _take(lock: BaseFileLock, path: Path) -> None:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # where whoever made the folder has just removed it
            lock.acquire(timeout=0)
            if path.exists():
                return
            lock.release()  # of a file that its holder has just removed
