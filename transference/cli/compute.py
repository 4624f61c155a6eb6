"""The command ``transference compute``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import click

from transference.cli._table import print_progress, print_summary
from transference.cli.checkpoints import open_checkpoints
from transference.cli.combinations import read_combinations
from transference.cli.options import (
    FAILED_CELLS,
    PathType,
    RenamedChoice,
    config_option,
    episode_options,
    import_from_here,
    reading_options,
)
from transference.cli.printing import say
from transference.cli.settings import FileArgument, command_of, given_by_file, with_settings
from transference.combine import COMBINATIONS, form
from transference.devices import choose_device, keep_freed_memory
from transference.engines import ALIASES, ENGINES
from transference.errors import UsageError
from transference.estimators import ESTIMATORS, Estimator
from transference.executors import check_cluster
from transference.learners import theta
from transference.lookahead import LOOKAHEADS, moving
from transference.measurement import measure
from transference.plan import Shard
from transference.samplers import load_tasks, shared_modes
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
    "--n-source", type=click.IntRange(1), metavar="N", default=300, show_default=True, help="Source tasks per mode."
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
    f"{', '.join(map(form, COMBINATIONS))}.",
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
    type=RenamedChoice(["auto", *ENGINES], ALIASES),
    default="auto",
    show_default=True,
    help="How episodes are evaluated; auto takes the fastest of a short trial. They differ in the last digits.",
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
def compute(
    ctx: click.Context,
    /,
    checkpoints: tuple[Path, ...],
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    combine: tuple[str, ...],
    n_source: int,
    n_target: int,
    steps: tuple[str, ...],
    learner: str | None,
    ways: int | None,
    shots: int | None,
    queries: int | None,
    side: int | None,
    channels: int | None,
    config: Path | None,
    seed: int | None,
    lookahead: str,
    alpha: tuple[float, ...],
    moves: tuple[str, ...],
    estimator: str,
    share: float | None,
    half_width: float | None,
    engine: str,
    controls: int | None,
    replicates: int,
    device: str,
    precision: str,
    tile: tuple[int, int] | None,
    data_root: Path | None,
    key: str | None,
    strip_prefix: str | None,
    ignore: tuple[str, ...],
    unsafe_load: bool,
    cluster: str | None,
    shard: str | None,
    dry_run: bool,
    json_output: bool,
    out: Path,
) -> None:
    """Measure how a step on each source task changes the loss of each target task.

    Modes are datasets, modalities of paired data (mix[a], mix[a+b], mix[*], or mix[a>b] for support in a and queries in b), or function
    families (sinusoid, linear, quadratic, tanh, abs). Tasks of your own are module:sampler, an object with a name and
    [index] or what makes one. Checkpoints of the released MMAML and KML programs are recognised. Repeating the
    command goes on where it stopped. Nothing is downloaded.
    """
    _check_who(cluster, shard)
    import_from_here()
    keep_freed_memory()
    combinations = read_combinations(combine, sources, targets, data_root=data_root)
    given = {"ways": ways, "shots": shots, "queries": queries, "side": side, "channels": channels}
    subject = open_checkpoints(
        checkpoints,
        learner=learner,
        config=config,
        shape=given,
        unsafe=unsafe_load,
        steps=steps,
        key=key,
        strip_prefix=strip_prefix,
        ignore=ignore,
    )
    shape, seed = subject.shape, seed if seed is not None else subject.trained_with("seed", 0) + 1
    where, step = choose_device(device), LOOKAHEADS[lookahead](alpha=alpha, moves=moves)
    found = theta(subject.learner, subject.checkpoints[0], moves)
    say(found.told(moving(step, found.params, tied=found.tied, constants=found.constants)), err=True)
    how: dict[str, Any] = {"data_root": data_root, "device": where, **shape}
    source_tasks = [load_tasks(mode, n=n_source, seed=seed, **how) for mode in sources]
    target_tasks = [load_tasks(mode, n=n_target, seed=seed + 1, **how) for mode in targets]
    for note in shared_modes(source_tasks, target_tasks):
        say(f"note: {note}", err=True)
    run = measure(
        subject.learner,
        subject.checkpoints,
        source_tasks,
        target_tasks,
        n_source=n_source,
        n_target=n_target,
        lookahead=step,
        estimator=estimator_of(estimator, share, half_width, engine),
        controls=controls,
        replicates=replicates,
        combine=combinations,
        device=device,
        precision=precision,
        tile=tile,
        out=out,
        command=_of_all_shards(command_of(ctx) if given_by_file(ctx) else sys.argv),
        progress=True,
        dry_run=dry_run,
        cluster=cluster,
        shard=shard,
    )
    if dry_run:
        done, total = run.progress()
        say(f"{out}: {run.spec.n_cells} pairs in {total} tiles, {done} done, {total - done} to do")
        return
    if shard and not run.finished:
        print_progress(run, as_json=json_output)
        return
    print_summary(run, as_json=json_output)
    if not json_output:
        say(f"\n{out}")
    if failed := run.failed():
        told = ", ".join(f"{n} {status}" for status, n in sorted(failed.items()))
        say(
            f"{failed.total()} of {run.spec.n_cells} cells failed ({told}); the column status in the table says which",
            err=True,
        )
        raise SystemExit(FAILED_CELLS)


def _check_who(cluster: str | None, shard: str | None) -> None:
    """Make sure, before anything is read, that it can be told who computes.

    Raises:
        UsageError: it cannot.
    """
    if cluster is not None and shard is not None:
        raise UsageError(
            f"--shard {shard} was given with --cluster {cluster}: a cluster deals the work out by itself. Leave one of them out."
        )
    if shard is not None:
        Shard.parse(shard)
    if cluster is not None:
        check_cluster(cluster)


def _of_all_shards(command: Sequence[str]) -> list[str]:
    """Return the command that measures the whole run, whichever shard of it was asked for."""
    words, behind = [], ""
    for word in command:
        if behind != "--shard" and word != "--shard" and not word.startswith("--shard="):
            words.append(word)
        behind = word if behind != "--shard" else ""
    return words


def estimator_of(name: str, share: float | None, half_width: float | None, engine: str) -> Estimator:
    """Return the estimator asked for.

    Raises:
        UsageError: it does not have the settings that were given with it.
    """
    make, given = ESTIMATORS[name], {"share": share, "half_width": half_width}
    settings = {setting: value for setting, value in given.items() if value is not None}
    for setting, value in settings.items():
        having = [other for other, kind in ESTIMATORS.items() if setting in _settings(kind)]
        if name not in having:
            option = f"--{setting.replace('_', '-')}"
            raise UsageError(
                f"{option} {value:g} was given with --estimator {name}; it belongs to --estimator {' or '.join(having)}."
            )
    return cast("Estimator", make(engine=engine, **settings))


def _settings(kind: type[Any]) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}
