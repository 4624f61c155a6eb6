"""Ctrl-C, and the signal with which a job is ended: from the first moment on they end a command in one line.

Imported before all else, so it imports next to nothing.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Ending:
    """How a command that was ended from outside says so.

    Args:
        word: what happened.
        exit_code: 128 and the number of the signal, as shells have it.
    """

    def __init__(self, word: str, exit_code: int) -> None:
        self.text, self.exit_code = f"{word}; repeat the same command to go on from here", exit_code

    def tell(self) -> int:
        """Print it on stderr and return the exit code."""
        print(self.text, file=sys.stderr)
        return self.exit_code


INTERRUPTED, TERMINATED = Ending("interrupted", 130), Ending("terminated", 143)


class TerminatedError(KeyboardInterrupt):
    """The process was asked to end, by SIGTERM. Whatever lets a Ctrl-C through lets this through."""


@contextmanager
def held() -> Iterator[None]:
    """Put a Ctrl-C off to the end of the block; a second one is not put off.

    Interrupted in the middle of an import, a library's C code reports what it likes, and Python prints tracebacks that nobody can catch.

    Raises:
        KeyboardInterrupt: there was one.
    """
    if not _in_charge(signal.SIGINT, signal.default_int_handler):
        yield
        return
    came: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the block as a Ctrl-C does, so that nothing half is left behind.

    Raises:
        TerminatedError: it came.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise TerminatedError

    if not _in_charge(signal.SIGTERM, signal.SIG_DFL):
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _in_charge(number: signal.Signals, usual: object) -> bool:
    """Whether the signal is handled as usual, and may be handled otherwise: by no embedding program, and in the main thread."""
    return threading.current_thread() is threading.main_thread() and signal.getsignal(number) == usual
