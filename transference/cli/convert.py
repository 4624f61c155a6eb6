"""The command ``transference convert``."""

from __future__ import annotations

import click

from transference.cli.deferred import run_by
from transference.cli.options import PathType, reading_options


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
@run_by("transference.cli.work.convert")
def convert() -> None:
    """Rewrite a checkpoint in the other container (.pt or .safetensors), or one of another program as ours.

    The content, and so its digest, stays, but for what --strip-prefix and --ignore change. A file that holds objects
    of a program's own is read beside that program's code with --unsafe-load, once; the new one holds tensors and plain
    values.
    """
