"""What is printed, whatever the terminal can show, and whatever names are in it."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

import click

from transference.errors import printable

_PLAIN = {
    "→": "->", "←": "<-", "–": "-", "—": "--", "…": "...", "±": "+-", "×": "x", "·": ".", "≈": "~", "≤": "<=", "≥": ">=", "°": " degrees",
    "“": '"', "”": '"', "‘": "'", "’": "'", "α": "alpha", "θ": "theta", "γ": "gamma", "μ": "mu", "σ": "sigma", "Σ": "sum", "√": "sqrt",
    "∇": "grad ", "⟨": "<", "⟩": ">", "ᵀ": "^T", "½": "1/2", "²": "^2", "‖": "|", "∈": "in",
}  # fmt: skip
"""What our own texts hold beyond ASCII, in ASCII."""


def say(text: object, *, err: bool = False) -> None:
    """Print a text, on stderr if ``err``; of names in it nothing reaches a terminal that does not print."""
    click.echo(printable(text), file=sys.stderr if err else sys.stdout)


@contextmanager
def plain_where_needed() -> Iterator[None]:
    """Print arrows and other letters that stdout or stderr cannot hold in letters that it can."""
    codecs.register_error("transference.plain", _plainer)
    streams = [(stream, stream.errors) for stream in (sys.stdout, sys.stderr) if isinstance(stream, TextIOWrapper)]
    for stream, _ in streams:
        stream.reconfigure(errors="transference.plain")
    try:
        yield
    finally:
        for stream, errors in streams:
            with contextlib.suppress(OSError, ValueError):  # whoever reads may have gone, and the stream with them
                stream.reconfigure(errors=errors)


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for the letters that cannot be encoded, as `codecs.register_error` wants it.

    Raises:
        UnicodeError: the trouble is another one.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(
        _PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in letters
    ), error.end


def begin_in_utf8() -> None:
    """Start this process again in Python's UTF-8 mode if its locale knows no letters but ASCII, as in many a batch job.

    Names of folders, classes and modes would be bytes there, not text. What is printed stays as the locale has it.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name != "ascii":
        return
    out = "ascii" if sys.stdout is None else sys.stdout.encoding
    environment = {**os.environ, "PYTHONIOENCODING": os.environ.get("PYTHONIOENCODING") or out}
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)
