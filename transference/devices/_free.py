"""Memory that may still be taken."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path


def free_memory() -> int | None:
    """Return how many bytes this process may still take, at most; None where the system does not tell.

    What is free or can be freed on Linux, and no more than the limit of the container.
    """
    told = []
    with suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        told += [1024 * int(found[1])] if found else []
    with suppress(OSError, ValueError):  # "max" where there is no limit
        told.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(told) if told else None
