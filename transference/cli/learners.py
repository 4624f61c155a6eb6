"""The command ``transference learners``."""

from __future__ import annotations

import click

from transference.cli.deferred import run_by


@click.command(
    short_help="List the learners and their settings.",
    epilog="""\b
Examples:
  transference learners
  transference learners kml-protonet""",
)
@click.argument("name", required=False)
@run_by("transference.cli.work.learners")
def learners() -> None:
    """List the registered learners with their settings; of one, tell all: its formula, its source, what each setting means.

    A setting is changed by --config FILE.toml, one "setting = value" a line.
    """
