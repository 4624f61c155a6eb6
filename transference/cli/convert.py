"""The command ``transference convert``."""

from __future__ import annotations

from pathlib import Path

import click

from transference.checkpoints import load_checkpoint, save_checkpoint
from transference.cli.checkpoints import echo_note
from transference.cli.options import PathType
from transference.cli.printing import say


@click.command(
    short_help="Rewrite a checkpoint as .pt or .safetensors.",
    epilog="""\b
Examples:
  transference convert old.pt new.safetensors
  transference convert runs/toy/step-00000200.safetensors step200.pt""",
)
@click.argument("old", type=PathType())
@click.argument("new", type=PathType())
@click.option("--unsafe-load", is_flag=True, help="Let the old file run code while it loads.")
def convert(old: Path, new: Path, unsafe_load: bool) -> None:
    """Rewrite a checkpoint in the other container (.pt or .safetensors), or one of the released code as ours.

    The content, and so its digest, stays.
    """
    loaded = load_checkpoint(old, unsafe=unsafe_load)
    echo_note(loaded)
    save_checkpoint(loaded, new)
    say(new)
