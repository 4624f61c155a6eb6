"""Files that are whole or absent: written aside, fsynced, renamed."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from glob import escape
from pathlib import Path

_NAME_BYTES = 120
"""Of a file's name in the name of its aside: a name may have 255 bytes, and host, process and random part need the rest."""


def write_aside(path: Path, write: Callable[[Path], object], *, exclusive: bool = False) -> None:
    """Let ``write`` make a file beside ``path``, then give it that name: under it nothing unfinished is ever seen.

    The aside's name carries host, process and a random part, so that writers on several machines that share a disk never write into one
    another's. Its permissions are those of any new file, whatever ``write`` does. Stale temporary files
    of this file that a killed process of this machine left are removed; those that anybody else may still be writing
    stay (see `sweep`). A device or a pipe is written to as it is.

    Args:
        path: the file's name; its folder is made if need be.
        write: writes the content to the path that it is given, where an empty file stands.
        exclusive: publish only where no such file is; of several writers at once, one is the first.

    Raises:
        FileExistsError: ``exclusive`` was asked for, and the file is there.
        OSError: the disk is full or refuses; it names the file.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        write(path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = f"{_stem(path)}.{_place()}."
    aside = path.with_name(f"{ours}{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        aside.touch(exist_ok=False)
        mode = aside.stat().st_mode
        write(aside)
        if aside.stat().st_mode != mode:  # a library made a file of its own, for the owner alone, and renamed it
            aside.chmod(mode)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        _publish(aside, path, exclusive)
    except OSError as error:
        if error.errno and error.filename is None:
            # a full disk is told when bytes are written, by a file that has forgotten its name
            error.filename = str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)
    for left in path.parent.glob(f"{escape(ours)}*.tmp"):
        if not _alive(left.name.removeprefix(ours).partition(".")[0]):
            left.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name itself must survive a power cut
    finally:
        os.close(folder)


def sweep(folder: Path) -> None:
    """Remove every aside of a parquet or JSON file below a folder: only for whoever knows that nobody else writes there."""
    for kind in ("parquet", "json"):
        for aside in folder.rglob(f".*.{kind}.*.tmp"):
            aside.unlink(missing_ok=True)


def _publish(aside: Path, path: Path, exclusive: bool) -> None:
    """Give an aside its name.

    Raises:
        FileExistsError: ``exclusive`` was asked for, and the name is taken.
    """
    if not exclusive:
        aside.replace(path)
        return
    try:
        path.hardlink_to(aside)  # as one step on network disks too, unlike asking first whether the name is free
    except FileExistsError:
        if not path.samefile(aside):
            # a server that was asked twice, since its answer was lost, has linked it the first time
            raise
    except OSError:  # a disk without hard links
        if path.exists():
            raise FileExistsError(f"{path} exists") from None
        aside.replace(path)


def _stem(path: Path) -> str:
    """Return what the names of a file's temporary files begin with."""
    name = path.name
    while len(os.fsencode(name)) > _NAME_BYTES:
        name = name[:-1]
    return f".{name}"


def _place() -> str:
    """Return where a process number means something: the host, its boot, and the container if that counts its own."""
    facts = [socket.gethostname()]
    with suppress(OSError):  # neither is known but on Linux
        facts += [Path("/proc/sys/kernel/random/boot_id").read_text(), str(Path("/proc/self/ns/pid").readlink())]
    host = re.sub(r"[^\w-]", "-", facts[0], flags=re.ASCII)[:32]
    return f"{host}-{hashlib.blake2b(repr(facts).encode(), digest_size=4).hexdigest()}"


def _alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
