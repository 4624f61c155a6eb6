"""One writer at a time: a lock on the run folder, which the system lets go of when its holder dies.

The lock is the operating system's own (``flock``; network disks that take part in it, as NFS does, hold it across hosts), never the mere
existence of a file, which a killed process would leave behind for ever. Beside it lies a note of who holds it, for the messages alone.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from transference.errors import StoreError, printable
from transference.files import sweep, write_aside
from transference.plain import as_record, read_json

LOCK_NAMES = (".lock", ".writer.json")
"""The lock, and the note of who holds it."""

_PAUSES = 0.1, 2.0
"""Seconds between the first two attempts, which then double, and at most."""

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EROFS}
"""What a disk answers that knows no locks, or takes no files."""


@contextmanager
def one_writer(folder: Path, *, waiting: Callable[[], object], say: Callable[[str], object]) -> Iterator[None]:
    """Hold a run folder for writing; wait until nobody else does. What killed writers had not finished is swept.

    A folder that was made for it is removed again where no run was begun in it. On a disk without locks it says so and goes on:
    `Store.begin` still lets only one spec in, and files are whole or absent, but two processes of one spec compute everything twice there.

    Args:
        folder: made if need be.
        waiting: called after each attempt that failed; may raise to give up.
        say: told whom it waits for, and when there can be no lock.

    Yields:
        Once, while the lock is held.

    Raises:
        StoreError: the lock belongs to another user.
        OSError: the lock's file cannot be made.
    """
    lock_path, note = (folder / name for name in LOCK_NAMES)
    lock, made = FileLock(lock_path), not folder.exists()
    if not _held(lock, folder, waiting, say):
        yield
        return
    try:
        sweep(folder)
        here = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        write_aside(note, lambda aside: aside.write_text(json.dumps(here) + "\n"))
        yield
    finally:
        note.unlink(missing_ok=True)
        if made and not (folder / "run.json").exists():
            lock_path.unlink(missing_ok=True)  # while it is held: whoever waits for it opens it anew
            with suppress(OSError):
                folder.rmdir()
        lock.release()


def _held(lock: BaseFileLock, folder: Path, waiting: Callable[[], object], say: Callable[[str], object]) -> bool:
    """Wait until the lock is held; return False where there can be none.

    Raises:
        StoreError: the lock belongs to another user.
        OSError: the lock's file cannot be made.
    """
    told, (pause, longest) = "", _PAUSES
    while True:
        try:
            if _taken(lock, folder):
                return True
        except PermissionError as error:
            raise StoreError(
                f"{lock.lock_file} cannot be written ({error.strerror}), so the folder cannot be held against other processes. Ask whoever "
                "made it for write permission, or choose a new --out."
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            say(f"{folder} cannot be locked ({error.strerror}): see to it that no second process writes there")
            return False
        waiting()
        if (who := _holder(folder / LOCK_NAMES[1])) != told:
            say(f"{folder} is being written by {who}; waiting until that is done (interrupt to stop waiting)")
            told = who
        time.sleep(pause)
        pause = min(2 * pause, longest)


def _taken(lock: BaseFileLock, folder: Path) -> bool:
    """Try once to take a lock in a folder, which is made if need be.

    Raises:
        OSError: the disk knows no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the file that stands in for a lock; we say it ourselves
            lock.acquire(timeout=0)
        found = True
    except (Timeout, FileNotFoundError):  # the second where whoever made the folder has just removed it
        found = False
    except NotImplementedError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if isinstance(lock, SoftFileLock):  # filelock turned it into one, which a killed process would leave behind
        lock.release(force=True)
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if found and not Path(lock.lock_file).exists():
        lock.release()
        return False
    return found


def _holder(note: Path) -> str:
    """Return who holds the lock, in words."""
    try:
        found = as_record(read_json(note.read_bytes()), "the note", ["host", "process", "since"])
    except (OSError, ValueError):  # not written yet
        return "another process"
    return printable(f"process {found['process']} on {found['host']} since {found['since']}")
