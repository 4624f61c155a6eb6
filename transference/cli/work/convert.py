"""What ``transference convert`` does, once its options are read."""

from __future__ import annotations

from pathlib import Path

from transference.checkpoints import load_checkpoint, save_checkpoint
from transference.cli.checkpoints import echo_note
from transference.cli.options import import_from_here
from transference.cli.printing import say


def convert(
    old: Path, new: Path, key: str | None, strip_prefix: str | None, ignore: tuple[str, ...], unsafe_load: bool
) -> None:
    """Do what ``transference convert`` was asked."""
    import_from_here()
    loaded = load_checkpoint(old, unsafe=unsafe_load, key=key, strip_prefix=strip_prefix, ignore=ignore)
    echo_note(loaded)
    save_checkpoint(loaded, new)
    say(new)
