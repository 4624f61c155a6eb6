"""One writer at a time, or several shards: locks on the run folder, which the system lets go of when their holder dies.

A lock is the operating system's own (``flock``; network disks that take part in it, as NFS does, hold it across
hosts), never the mere existence of a file, which a killed process would leave behind for ever. Beside it lies a note
of who holds it, for the messages alone.

A writer holds ``.lock``, and sees to it that no shard holds its own. A shard holds its own while it computes, and
``.lock`` for the moment in which it begins the run or finds it begun: so it never computes while a writer does.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from transference.errors import StoreError, printable
from transference.files import sweep, write_aside
from transference.plain import as_record, read_json
from transference.plan import Shard

LOCK_NAMES = (".lock", ".writer.json")
"""The lock, and the note of who holds it."""

_SHARD = re.compile(r"\.shard-(?P<number>\d+)-of-(?P<of>\d+)\.(lock|json)")
"""What a shard's own lock is called, and its note."""

_PAUSES = 0.1, 2.0
"""Seconds between the first two attempts, which then double, and at most."""

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EROFS}
"""What a disk answers that knows no locks, or takes no files."""


@dataclass(frozen=True)
class Patience:
    """What somebody does who waits for a lock.

    Attributes:
        waiting: called after each attempt that failed; may raise to give up.
        say: told whom it waits for, and when there can be no lock.
    """

    waiting: Callable[[], object]
    say: Callable[[str], object]


def is_lock(name: str) -> bool:
    """Return whether a file of a run folder is a lock, or a note of who holds one."""
    return name in LOCK_NAMES or _SHARD.fullmatch(name) is not None


def shards_seen(folder: Path) -> list[Shard]:
    """Return the shards that were begun in a folder since a writer last held it, at work or not."""
    found = {Shard(int(match["number"]), int(match["of"])) for match in map(_SHARD.fullmatch, _names(folder)) if match}
    return sorted(found, key=lambda shard: (shard.of, shard.number))


def shards_at_work(folder: Path) -> list[Shard]:
    """Return the shards that hold their locks now."""
    found = []
    for shard in shards_seen(folder):
        lock = FileLock(_of_shard(folder, shard).lock)
        try:
            with suppress(FileNotFoundError):
                lock.acquire(timeout=0)
        except Timeout:
            found.append(shard)
        finally:
            lock.release()
    return found


@contextmanager
def one_writer(folder: Path, patience: Patience) -> Iterator[str | None]:
    """Hold a run folder for writing; wait until nobody else does, no shard either. What killed writers had not finished is swept.

    A folder that was made for it is removed again where no run was begun in it. On a disk without locks it says so and goes on:
    `Store.begin` still lets only one spec in, and files are whole or absent, but two processes of one spec compute everything twice there.

    Args:
        folder: made if need be.
        patience: while somebody else holds it.

    Yields:
        Once, while the lock is held: a word that stands in the note and nowhere else, by which the folder is known
        again from another machine; None where there is no lock.

    Raises:
        StoreError: the lock belongs to another user.
        OSError: the lock's file cannot be made.
    """
    with _holding(_writers(folder), folder, patience, lambda: _without_shards(folder)) as token:
        if token:
            sweep(folder)
        yield token


@contextmanager
def one_beginner(folder: Path, patience: Patience) -> Iterator[None]:
    """Hold a run folder for a moment, to begin a run in it or to find it begun; shards may be at work.

    Args:
        folder: made if need be.
        patience: while somebody else holds it.

    Yields:
        Once, while the lock is held.
    """
    with _holding(_writers(folder), folder, patience):
        yield


@contextmanager
def one_of_a_shard(folder: Path, shard: Shard, patience: Patience) -> Iterator[None]:
    """Hold the lock of a shard, of which there is one at a time.

    Args:
        folder: made if need be.
        shard: which.
        patience: while another process is the same shard.

    Yields:
        Once, while the lock is held.
    """
    with _holding(_of_shard(folder, shard), folder, patience):
        yield


@dataclass(frozen=True)
class _Place:
    """A lock, the note of who holds it, and who that is in words."""

    lock: Path
    note: Path
    who: str = ""


def _writers(folder: Path) -> _Place:
    return _Place(folder / LOCK_NAMES[0], folder / LOCK_NAMES[1])


def _of_shard(folder: Path, shard: Shard) -> _Place:
    stem = f".shard-{shard.number}-of-{shard.of}"
    return _Place(folder / f"{stem}.lock", folder / f"{stem}.json", f"shard {shard}, ")


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return [path.name for path in folder.iterdir()]
    return []


@contextmanager
def _holding(
    place: _Place, folder: Path, patience: Patience, also: Callable[[], _Place | None] = lambda: None
) -> Iterator[str | None]:
    """Hold a lock and write its note.

    Args:
        place: of the lock.
        folder: the run's.
        patience: while it cannot be held.
        also: looks, when the lock is held, for another one in the way.

    Yields:
        A word that stands in the note alone; None where there is no lock.
    """
    lock, made = FileLock(place.lock), not folder.exists()
    if not _held(lock, place, folder, patience, also):
        yield None
        return
    try:
        token = secrets.token_hex(8)
        here = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
            "token": token,
        }
        write_aside(place.note, lambda aside: aside.write_text(json.dumps(here) + "\n"))
        yield token
    finally:
        place.note.unlink(missing_ok=True)
        if made and not (folder / "run.json").exists():
            place.lock.unlink(missing_ok=True)  # while it is held: whoever waits for it opens it anew
            with suppress(OSError):
                folder.rmdir()
        lock.release()


def _held(
    lock: BaseFileLock, place: _Place, folder: Path, patience: Patience, also: Callable[[], _Place | None]
) -> bool:
    """Wait until the lock is held; return False where there can be none.

    Raises:
        StoreError: the lock belongs to another user.
        OSError: the lock's file cannot be made.
    """
    told, (pause, longest) = "", _PAUSES
    while True:
        busy: _Place | None = place
        try:
            if _taken(lock, folder) and not (busy := also()):
                return True
            lock.release()
        except PermissionError as error:
            raise StoreError(
                f"{lock.lock_file} cannot be written ({error.strerror}), so the folder cannot be held against other processes. Ask whoever "
                "made it for write permission, or choose a new --out."
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            patience.say(f"{folder} cannot be locked ({error.strerror}): see to it that no second process writes there")
            return False
        patience.waiting()
        if busy and (who := busy.who + _holder(busy.note)) != told:
            patience.say(f"{folder} is being written by {who}; waiting until that is done (interrupt to stop waiting)")
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


def _without_shards(folder: Path) -> _Place | None:
    """Remove what shards have left behind; return the lock of one that is still at work, in which case all stays."""
    with ExitStack() as stack:
        places = [_of_shard(folder, shard) for shard in shards_seen(folder)]
        for place in places:
            lock = FileLock(place.lock)
            stack.callback(lock.release)
            if not _taken(lock, folder):
                return place
        for place in places:  # while they are held: whoever waits for one opens it anew
            place.lock.unlink(missing_ok=True)
            place.note.unlink(missing_ok=True)
    return None


def _holder(note: Path) -> str:
    """Return who holds the lock, in words."""
    try:
        found = as_record(read_json(note.read_bytes()), "the note", ["host", "process", "since"])
    except (OSError, ValueError):  # not written yet
        return "another process"
    return printable(f"process {found['process']} on {found['host']} since {found['since']}")


def is_held_by(folder: Path, token: str) -> bool:
    """Return whether a folder is the very one in which a writer's note has this word."""
    try:
        return bool(as_record(read_json((folder / LOCK_NAMES[1]).read_bytes()), "the note").get("token") == token)
    except (OSError, ValueError):
        return False
