"""The command ``transference convert``."""

from __future__ import annotations

from pathlib import Path

import click

from transference.checkpoints import load_checkpoint, save_checkpoint
from transference.cli.checkpoints import echo_note
from transference.cli.options import PathType, import_from_here, reading_options
from transference.cli.printing import say


@click.command(
    short_help="Rewrite a checkpoint as .pt or .safetensors.",
    epilog="""\b
Examples:
  transference convert old.pt new.safetensors
  transference convert runs/toy/step-00000200.safetensors step200.pt
  transference convert epoch=9.ckpt net.safetensors --strip-prefix net. --ignore 'criterion.*'""",
)
@click.argument("old", type=PathType())
@click.argument("new", type=PathType())
@reading_options
def convert(
    old: Path, new: Path, key: str | None, strip_prefix: str | None, ignore: tuple[str, ...], unsafe_load: bool
) -> None:
    """Rewrite a checkpoint in the other container (.pt or .safetensors), or one of another program as ours.

    The content, and so its digest, stays, but for what --strip-prefix and --ignore change. A file that holds objects
    of a program's own is read beside that program's code with --unsafe-load, once; the new one holds tensors and plain
    values.
    """
    import_from_here()
    loaded = load_checkpoint(old, unsafe=unsafe_load, key=key, strip_prefix=strip_prefix, ignore=ignore)
    echo_note(loaded)
    save_checkpoint(loaded, new)
    say(new)
