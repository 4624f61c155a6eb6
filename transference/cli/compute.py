"""The command ``transference compute``."""

from __future__ import annotations

import click

from transference.cli.deferred import run_by
from transference.cli.options import (
    PathType,
    RenamedChoice,
    config_option,
    episode_options,
    reading_options,
)
from transference.cli.settings import FileArgument, with_settings
from transference.combine import COMBINATIONS, form
from transference.engines import ALIASES, ENGINE_NAMES
from transference.estimators import ESTIMATORS
from transference.lookahead import LOOKAHEADS
from transference.spec import PRECISIONS

_SEED_HELP = "Of the source tasks; targets take the next.  [default: one above that of the training, whose tasks are then not met again]"


@with_settings
@click.command(
    short_help="Measure loss ratios into a run folder.",
    epilog="""\b
Examples:
  transference compute runs/toy/step-*.safetensors --source strokes:train --target shapes:test \\
      --n-source 50 --n-target 5 --alpha 0.001 --alpha 0.01 --out runs/toy-ratios
  transference compute net.pt --learner mymodule:make_learner --source strokes:train --target strokes:test \\
      --alpha 0.01 --out runs/mine
  transference compute net.pt --learner mymodule:make_learner --source mymodule:sampler --target strokes:test \\
      --alpha 0.01 --out runs/own-tasks""",
)
@click.argument("checkpoints", cls=FileArgument, nargs=-1, required=True, type=PathType(), metavar="CHECKPOINT...")
@click.option(
    "--source",
    "sources",
    multiple=True,
    required=True,
    metavar="NAME:SPLIT",
    help="Source mode, or module:sampler of tasks of your own; repeat for several. Of data with a single split NAME will do.",
)
@click.option("--target", "targets", multiple=True, required=True, metavar="NAME:SPLIT", help="Target mode, likewise.")
@click.option(
    "--n-source",
    type=click.IntRange(1),
    metavar="N",
    help="Source tasks per mode; with --lookahead-updates draws of it.  [default: 300; 5 draws]",
)
@click.option(
    "--n-target", type=click.IntRange(1), metavar="N", default=20, show_default=True, help="Target tasks per mode."
)
@click.option(
    "--step",
    "steps",
    metavar="N",
    multiple=True,
    help="Step of each checkpoint, repeated in their order, or PATH=N of one.  [default: what file or name say]",
)
@click.option(
    "--combine",
    "combine",
    multiple=True,
    metavar="NAME",
    help="Step on task i of all source modes at once, their gradients combined, as one more source mode; repeat for several: "
    f"{', '.join(map(form, COMBINATIONS))}. With --lookahead-updates also MODE+MODE: these take turns, as in training.",
)
@click.option("--learner", help="Registered name or module:factory.  [default: what the checkpoint says]")
@episode_options("the checkpoint's")
@config_option
@click.option("--seed", type=click.IntRange(0, 2**62), metavar="N", help=_SEED_HELP)
@click.option(
    "--lookahead",
    type=click.Choice(sorted(LOOKAHEADS)),
    default="sgd",
    show_default=True,
    help="The step on each source: plain, of the length ALPHA (normalised), or that of the checkpoint's own outer optimizer (adam: only "
    "where that is Adam).",
)
@click.option(
    "--alpha",
    type=float,
    metavar="X",
    multiple=True,
    help="Step size; repeat for several.  [default: the checkpoint's outer rate]",
)
@click.option(
    "--lookahead-updates",
    metavar="K[,K...]",
    help="The sources are modes: what K updates of the checkpoint's own training on tasks of the mode alone add to its parameters. Of "
    "several K, which stand for the step sizes, one trajectory; each draw (--n-source) is another.",
)
@click.option(
    "--meta-batch",
    type=click.IntRange(1),
    metavar="N",
    help="Tasks per update of --lookahead-updates.  [default: the checkpoint's training's]",
)
@click.option(
    "--outer-optimizer",
    metavar="KIND,lr=X[,...]",
    help="Takes the updates of --lookahead-updates, beginning afresh: adam,lr=0.001 or sgd,lr=0.1,momentum=0.9 or adamw,lr=0.001.  "
    "[default: the checkpoint's, as its state leaves it]",
)
@click.option(
    "--halve-every",
    type=click.IntRange(0),
    metavar="N",
    help="The outer rate is halved with every such update of the training; 0: never.  [default: the checkpoint's training's, else 0]",
)
@click.option(
    "--clip-norm",
    type=float,
    metavar="X",
    help="Limit of the norm of an update's gradient; 0: none.  [default: the checkpoint's training's, else 0]",
)
@click.option(
    "--moves",
    multiple=True,
    default=("*",),
    help="Pattern of parameter names that move, or with ! in front of such that do not; repeat for several. A name in full moves even if "
    "it looks like a buffer; NAME=NAME is one tensor.  [default: all but buffers and what is frozen]",
)
@click.option(
    "--estimator",
    type=click.Choice([*ESTIMATORS]),
    default="exact",
    show_default=True,
    help="How losses after the step are read; first-order needs one gradient per task, and says how good it is; "
    "quadratic measures the largest step size and has the smaller ones from it; calibrated corrects first order by exact "
    "pairs.",
)
@click.option("--share", type=float, metavar="X", help="Of pairs that calibrated measures exactly.  [default: 0.02]")
@click.option(
    "--half-width",
    type=float,
    metavar="X",
    help="Calibrated measures more, until all intervals are so narrow to either side.",
)
@click.option(
    "--engine",
    type=RenamedChoice(["auto", *ENGINE_NAMES], ALIASES),
    default="auto",
    show_default=True,
    help="How episodes are evaluated; auto takes the fastest of a short trial. They differ in the last digits.",
)
@click.option(
    "--tempered",
    is_flag=True,
    help="Read losses at their best temperature too, which tells how much of a ratio is confidence: of classifiers, "
    "by exact losses.",
)
@click.option(
    "--controls",
    type=click.IntRange(0),
    metavar="N",
    help="Pairs of each mode pair with controls; 0: none.  [default: 1 %, 8 at least]",
)
@click.option(
    "--replicates",
    type=click.IntRange(1),
    metavar="R",
    default=1,
    show_default=True,
    help="Episodes of each task, every pair measured with each; what is said of a single pair needs 5 or more.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True, help="Of all losses and gradients."
)
@click.option(
    "--tile",
    type=(click.IntRange(1), click.IntRange(1)),
    metavar="SOURCES TARGETS",
    help="Sources, targets per file.  [default: 25 64, of estimates 1000 256; more sources in large tables]",
)
@click.option(
    "--data-root", type=PathType(), help="Folder with prepared files, NAME.parquet or NAME/ for each dataset."
)
@reading_options
@click.option(
    "--cluster",
    metavar="WHERE",
    help="Who computes: local:N, processes of this machine; tcp://HOST:PORT, a Dask scheduler that is running; slurm:FILE.toml, jobs. "
    "Needs transference[cluster].  [default: this process]",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Compute share I of N, beside processes that compute the others on the same disk; auto: by the variables of a job array of SLURM. "
    "The last one finishes the run.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, print tiles done and to do, compute nothing.")
@click.option("--json", "json_output", is_flag=True, help="Print the summary as JSON.")
@click.option("--out", type=PathType(), required=True, help="The run folder.")
@click.pass_context
@run_by("transference.cli.work.compute")
def compute() -> None:
    """Measure how a step on each source task changes the loss of each target task.

    Modes are datasets, modalities of paired data (mix[a], mix[a+b], mix[*], or mix[a>b] for support in a and queries in b), or function
    families (sinusoid, linear, quadratic, tanh, abs). Tasks of your own are module:sampler, an object with a name and
    [index] or what makes one. Checkpoints of the released MMAML and KML programs are recognised. Repeating the
    command goes on where it stopped. Nothing is downloaded.
    """
