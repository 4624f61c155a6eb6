"""A stage: its cases one after the other, in a process of its own, for as long as it has time.

In a process of its own, because what goes wrong on a GPU (a kernel that hangs, an illegal access) takes the whole process with it.
"""

from __future__ import annotations

import multiprocessing as mp
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import torch

from transference.devices import full_precision, keep_freed_memory

Row: TypeAlias = dict[str, Any]
"""What was found in one case. ``status``, where it is there, is not ``ok``: ``wrong: …`` if a check does not hold, ``failed: …`` or
``skipped: …`` if there is nothing to check."""

OUT_OF_TIME = "skipped: out of time"
OUT_OF_MEMORY = "out of memory"
"""What a case is that was to find out whether it fits: no fault."""

_SPARE = 0.05
"""Share of a stage's time that is kept for the case that is under way when it ends."""


@dataclass(frozen=True)
class Asked:
    """What a stage is asked for.

    Attributes:
        device: where; a string, as it goes to another process.
        toy: take a size at which all of it runs on a CPU in seconds.
        until: when to begin no further case, by `time.monotonic`.
    """

    device: str
    toy: bool
    until: float

    @property
    def where(self) -> torch.device:
        """The device."""
        return torch.device(self.device)

    def in_time(self) -> bool:
        """Return whether another case may begin."""
        return time.monotonic() < self.until


Stage: TypeAlias = Callable[[Asked], Iterator[Row]]


def carry_out(stage: Stage, device: str, toy: bool, seconds: float, tell: Callable[[Row], None]) -> str:
    """Carry a stage out in another process, which is ended when its time is over.

    Args:
        stage: what to do; a function of a module.
        device: where.
        toy: at a size for tests.
        seconds: how long it may take.
        tell: is given each row when it is made.

    Returns:
        ``done``, ``failed: …``, ``stopped: out of time`` or `OUT_OF_TIME`.
    """
    if seconds <= 0:
        return OUT_OF_TIME
    begun = time.monotonic()
    asked = Asked(device, toy, begun + (1 - _SPARE) * seconds)
    context = _context()
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(there, stage, asked), daemon=True)
    process.start()
    there.close()
    try:
        while here.poll(max(0.0, begun + seconds - time.monotonic())):
            found = here.recv()
            if isinstance(found, str):
                return found
            tell(found)
    except EOFError:
        process.join()
        return f"failed: its process ended with {process.exitcode}"
    else:
        return "stopped: out of time"
    finally:
        process.kill()
        process.join()


def _context() -> Any:  # noqa: ANN401 - of either kind
    """Return how processes are begun: by a server that has imported torch once and knows nothing of CUDA, where there can be one."""
    if "forkserver" not in mp.get_all_start_methods():
        return mp.get_context("spawn")
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.gpu.__main__"])
    return context


def _work(pipe: Connection, stage: Stage, asked: Asked) -> None:
    keep_freed_memory()
    try:
        if asked.where.type == "cuda":
            torch.cuda.set_device(asked.where)
        with full_precision():
            for row in stage(asked):
                pipe.send(row)
        pipe.send("done")
    except Exception as error:  # the other stages go on
        pipe.send(f"failed: {in_a_line(error)}")


def in_a_line(error: BaseException) -> str:
    """Return the kind of an error and the beginning of what it says."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said[:200]}" if said else type(error).__name__
