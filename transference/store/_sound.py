"""Which files were read and found sound, so that a run that goes on need not read all of a large table again.

A file is known again by what the system says of it: number, size, and when its content and its entry were changed last, which any way of
writing, copying or renaming changes. Whoever uses a file still reads it with all its checks, and `transference.store.verify` reads all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from transference.files import write_aside
from transference.store._files import TableFile, read_in_turn

SOUND = ".sound.json"
"""The list, in the run folder; without it everything is read."""

_Mark: TypeAlias = list[int]

_SETTLED = 2 * 10**9
"""Nanoseconds for which a file must have rested: within one tick of a disk's clock it could change twice with one time."""


def read_unread(root: Path, files: Iterable[TableFile]) -> None:
    """Read those files of a run folder that were not read before or may have changed since, and note them.

    Raises:
        StoreError: a file is not what it should be.
    """
    before, sound, unread = _noted(root / SOUND), dict[str, _Mark](), list[tuple[TableFile, _Mark]]()
    for file in files:
        name, mark = _name(root, file), _mark(file.path)
        if before.get(name) == mark:
            sound[name] = mark
        else:
            unread.append((file, mark))
    try:
        for (file, mark), _ in zip(unread, read_in_turn(file for file, _ in unread), strict=True):
            if time.time_ns() - max(mark[-2:]) > _SETTLED:
                sound[_name(root, file)] = mark
    finally:
        if sound != before:
            write_aside(root / SOUND, lambda aside: aside.write_text(json.dumps(sound)))


def _noted(path: Path) -> dict[str, _Mark]:
    """Return what is noted; nothing where that cannot be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _name(root: Path, file: TableFile) -> str:
    """Return what a file is called here: under another spec it would not be the same file."""
    return " ".join([file.whose["spec"], *file.path.parts[len(root.parts) :]])


def _mark(path: Path) -> _Mark:
    told = path.stat()
    return [told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns]
