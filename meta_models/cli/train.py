"""The command ``transference train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from meta_models.training import BATCHINGS
from transference.cli.deferred import run_by
from transference.cli.options import (
    PathType,
    config_option,
    episode_options,
)
from transference.cli.settings import with_settings
from transference.combine import COMBINATIONS, form

_WITHOUT_PLAN = "[required without --plan]"
_RECIPE = "[default: as in the learner's paper]"
_VALIDATE = (
    "Tasks per mode of the val split that each checkpoint is validated on; the best is kept as best.safetensors."
)
_MODES = (
    "Datasets to train on, or modalities of paired data (mix[a],mix[a+b]), separated by commas; tasks are shared out evenly, or by "
    "--weights. Of each its train split; all classes of one that has no splits."
)
_WEIGHTS = (
    "In which proportion modes have tasks, a number for each, 0 for none: a TOML file with a table [weights], or "
    "strokes=1,shapes=0.5."
)
_BATCHING = "Tasks of a meta-batch: a thread each (apart), all at once (together), or what suits the device; a training keeps it."


class _OrPlan(click.Option):
    """An option that a training must be given, and a plan of trainings must not."""

    def process_value(self, ctx: click.Context, value: Any) -> Any:  # noqa: ANN401 - click's
        """Return the value; nothing, where a plan was given.

        Raises:
            MissingParameter: there is neither.
        """
        planned = isinstance(ctx.params.get("plan"), Path)  # what stands for no value differs between versions of click
        value = super().process_value(ctx, value)
        if not self.value_is_missing(value):
            return value
        if planned:
            return None
        raise click.MissingParameter("A training needs --learner and --modes; many need --plan.", ctx, self)


@with_settings
@click.command(
    short_help="Meta-train a learner, saving checkpoints.",
    epilog="""\b
Examples:
  transference train --learner protonet --modes strokes,shapes --iterations 200 --save-every 50 --out runs/toy
  transference train --learner maml --modes strokes --iterations 100 --out runs/toy-maml
  transference train --learner shared-latent --modes "mix[a],mix[b],mix[*]" --out runs/toy-mix
  transference train --plan plan.toml --out runs/subsets --shard 1/4""",
)
@click.option(
    "--learner",
    cls=_OrPlan,
    help=f"A registered learner (see transference learners) or module:factory.  {_WITHOUT_PLAN}",
)
@click.option("--modes", cls=_OrPlan, help=f"{_MODES}  {_WITHOUT_PLAN}")
@episode_options("as in the learner's paper", ("shots", "queries"))
@click.option("--iterations", type=click.IntRange(1), metavar="N", help=f"Outer updates in all.  {_RECIPE}")
@click.option(
    "--save-every",
    type=click.IntRange(1),
    metavar="N",
    default=5_000,
    show_default=True,
    help="Updates between checkpoints.",
)
@click.option("--validate", type=click.IntRange(0), metavar="N", default=0, show_default=True, help=_VALIDATE)
@click.option("--meta-batch", type=click.IntRange(1), metavar="N", help=f"Tasks per outer update.  {_RECIPE}")
@click.option("--lr", type=float, metavar="X", help=f"Outer learning rate (Adam).  {_RECIPE}")
@click.option(
    "--halve-every",
    type=click.IntRange(0),
    metavar="N",
    help=f"Halve the outer rate at updates N, 2N …; 0: never.  {_RECIPE}",
)
@click.option("--clip-norm", type=float, metavar="X", help=f"Limit of the gradient's norm; 0: none.  {_RECIPE}")
@click.option(
    "--combine",
    metavar="NAME",
    default="",
    help=f"How the modes' gradients are combined: {', '.join(map(form, COMBINATIONS))}.  [default: the mean over tasks]",
)
@click.option("--weights", metavar="FILE|MODE=W,…", help=_WEIGHTS)
@click.option("--batching", type=click.Choice(["auto", *BATCHINGS]), default="auto", show_default=True, help=_BATCHING)
@config_option
@click.option(
    "--rotate",
    metavar="NAMES",
    help="Datasets of --modes whose classes are turned by 0, 90, 180 or 270° in each task, as is usual for omniglot.",
)
@click.option(
    "--data-root", type=PathType(), help="Folder with prepared files, NAME.parquet or NAME/ for each dataset."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**62),
    metavar="N",
    default=0,
    show_default=True,
    help="Of the initial parameters and the tasks.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--watch",
    type=PathType(exists=True, dir_okay=False),
    metavar="FILE.toml",
    help="Measure a small table at stages of the training: source, target, alpha and other options of compute, and every = 500.",
)
@click.option(
    "--plan",
    type=PathType(exists=True, dir_okay=False),
    metavar="FILE.toml",
    is_eager=True,  # before the options that a plan makes needless
    help="Many trainings, each then tested: options of this command, subsets or weights of modes, and seeds; OUT/trainings.parquet has all "
    "results. Beside it on the command line: data-root, device and what follows.",
)
@click.option(
    "--cluster",
    metavar="WHERE",
    help="Who carries out the plan: local:N, processes of this machine, tcp://HOST:PORT or slurm:FILE.toml, as in compute. "
    "Needs transference[cluster].  [default: this process]",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Carry out share I of N of the plan, beside processes that do the others on the same disk, as in compute; the last one writes "
    "the table.",
)
@click.option("--dry-run", is_flag=True, help="Check everything and print what would be trained.")
@click.option("--out", type=PathType(), required=True, help="Folder for checkpoints and metrics.")
@click.pass_context
@run_by("meta_models.cli.work.train")
def train() -> None:
    """Meta-train a learner and save checkpoints on the way.

    Modes are datasets, of which the train split is used, or all classes where there are no splits, modalities of paired data (mix[a],
    mix[a+b], mix[*], or mix[a>b] for support in a and queries in b), or function families (sinusoid, linear, quadratic, tanh, abs).
    Repeating the command goes on from the last
    checkpoint; a larger --iterations trains longer. OUT/metrics is a table (parquet) with loss and accuracy per iteration and mode,
    OUT/validation one with those of each checkpoint on the val split.

    --watch FILE.toml measures while it trains, for at most 3 % of its time, into OUT/watch, a run folder as compute makes them.

    --plan FILE.toml carries out many trainings: options of this command, a line each, and which subsets of the modes, or weights of them,
    with which seeds (docs/plans.md). Repeating the command goes on; finished trainings are skipped, and failed ones
    until their failed.txt is deleted.

    A learner of modalities is told those of the modes; --config may name more of them, with modalities.NAME = [SHAPE].
    """
