"""The command ``transference evaluate``."""

from __future__ import annotations

import click

from transference.cli.deferred import run_by
from transference.cli.options import (
    PathType,
    config_option,
    episode_options,
    reading_options,
)


@click.command(
    short_help="Mean accuracy of checkpoints on test tasks.",
    epilog="""\b
Examples:
  transference evaluate runs/toy/best.safetensors --target strokes:test --json
  transference evaluate runs/toy/step-*.safetensors --target strokes:test --target shapes:test --n-tasks 600""",
)
@click.argument("checkpoints", nargs=-1, required=True, type=PathType(), metavar="CHECKPOINT...")
@click.option(
    "--target",
    "targets",
    multiple=True,
    required=True,
    metavar="NAME:SPLIT",
    help="Mode to test on, or module:sampler of tasks of your own; repeat for several.",
)
@click.option("--n-tasks", type=click.IntRange(2), metavar="N", default=1000, show_default=True, help="Tasks per mode.")
@click.option("--learner", help="Registered name or module:factory.  [default: what the checkpoint says]")
@episode_options("the checkpoint's")
@config_option
@click.option(
    "--seed",
    type=click.IntRange(0, 2**62),
    metavar="N",
    help="Of the tasks.  [default: two above that of the training]",
)
@click.option(
    "--data-root", type=PathType(), help="Folder with prepared files, NAME.parquet or NAME/ for each dataset."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@reading_options
@click.option("--json", "json_output", is_flag=True, help="Print the table as JSON.")
@click.option("--out", type=PathType(dir_okay=False), help="Keep the scores of every task, as parquet.")
@run_by("meta_models.cli.work.evaluate")
def evaluate() -> None:
    """Print mean loss and accuracy on test tasks, per mode and over modes, each with its 95 % interval.

    Every checkpoint meets the same tasks. The interval is 1.96 standard errors over tasks; it says nothing of other classes or trainings.
    """
