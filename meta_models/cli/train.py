"""The command ``transference train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meta_models.training import Folder, Training, check_tasks, recipe_of
from meta_models.training import train as run_training
from meta_models.training.gradients import BATCHINGS
from transference.cli.combinations import read_combinations
from transference.cli.options import (
    EPISODE,
    PathType,
    config_option,
    episode_options,
    import_from_here,
    in_order,
    read_config,
    split_modes,
)
from transference.cli.printing import say
from transference.cli.settings import with_settings
from transference.combine import COMBINATIONS, form
from transference.datasets import only_split
from transference.devices import choose_device, keep_freed_memory
from transference.errors import UsageError
from transference.learners import Learner, load_learner, offered_config
from transference.samplers import input_shapes, open_tasks

if TYPE_CHECKING:
    from transference.watch import Watch

_RECIPE = "[default: as in the learner's paper]"
_VALIDATE = (
    "Tasks per mode of the val split that each checkpoint is validated on; the best is kept as best.safetensors."
)
_MODES = (
    "Datasets to train on, or modalities of paired data (mix[a],mix[a+b]), separated by commas; tasks are shared out evenly. Of each its "
    "train split; all classes of one that has no splits."
)
_BATCHING = "Tasks of a meta-batch: a thread each (apart), all at once (together), or what suits the device; a training keeps it."


@with_settings
@click.command(
    short_help="Meta-train a learner, saving checkpoints.",
    epilog="""\b
Examples:
  transference train --learner protonet --modes strokes,shapes --iterations 200 --save-every 50 --out runs/toy
  transference train --learner maml --modes strokes --iterations 100 --out runs/toy-maml
  transference train --learner shared-latent --modes "mix[a],mix[b],mix[*]" --out runs/toy-mix""",
)
@click.option("--learner", required=True, help="A registered learner (see transference learners) or module:factory.")
@click.option("--modes", required=True, help=_MODES)
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
@click.option("--dry-run", is_flag=True, help="Check everything and print what would be trained.")
@click.option("--out", type=PathType(), required=True, help="Folder for checkpoints and metrics.")
def train(
    learner: str,
    modes: str,
    ways: int | None,
    shots: int | None,
    queries: int | None,
    side: int | None,
    channels: int | None,
    iterations: int | None,
    save_every: int,
    validate: int,
    meta_batch: int | None,
    lr: float | None,
    halve_every: int | None,
    clip_norm: float | None,
    combine: str,
    batching: str,
    config: Path | None,
    rotate: str | None,
    data_root: Path | None,
    seed: int,
    device: str,
    watch: Path | None,
    dry_run: bool,
    out: Path,
) -> None:
    """Meta-train a learner and save checkpoints on the way.

    Modes are datasets, of which the train split is used, or all classes where there are no splits, modalities of paired data (mix[a],
    mix[a+b], mix[*], or mix[a>b] for support in a and queries in b), or function families (sinusoid, linear, quadratic, tanh, abs).
    Repeating the command goes on from the last
    checkpoint; a larger --iterations trains longer. OUT/metrics is a table (parquet) with loss and accuracy per iteration and mode,
    OUT/validation one with those of each checkpoint on the val split.

    --watch FILE.toml measures while it trains, for at most 3 % of its time, into OUT/watch, a run folder as compute makes them.

    A learner of modalities is told those of the modes; --config may name more of them, with modalities.NAME = [SHAPE].
    """
    import_from_here()
    keep_freed_memory()
    names = in_order(split_modes(modes), data_root)
    rotated = in_order(split_modes(rotate, "--rotate"), data_root) if rotate else ()
    if not set(rotated) <= set(names):
        raise UsageError(f"--rotate {rotate} was asked for, but the modes are {modes}; name some of these.")
    asked = [combine] if combine else []
    combinations = read_combinations(asked, names, option="--modes", data_root=data_root)
    name_of_combination = next(iter(combinations), "")
    own = read_config(config)
    offers: dict[str, Any] = {
        "modes": list(names),
        "ways": ways or EPISODE["ways"],
        "channels": channels or EPISODE["channels"],
    }
    if "modalities" not in own:  # a file may name more of them than these modes show
        offers["modalities"] = input_shapes(
            names, data_root=data_root, side=side or EPISODE["side"], channels=offers["channels"]
        )
    offered = offered_config(learner, offers)
    contradicted = [name for name in own if name in offered and own[name] != offered[name]]
    if contradicted:
        options = ", ".join(f"--{name} {offered[name]}" for name in contradicted)
        raise UsageError(
            f"{config} has its own {', '.join(contradicted)}, but the command asks for {options}; leave it out of the file."
        )
    settings = {**offered, **own}
    built = load_learner(learner, settings)
    recipe = recipe_of(built, len(names))
    usual = {**EPISODE, "shots": recipe.shots, "queries": recipe.queries}
    given = {"ways": ways, "shots": shots, "queries": queries, "side": side, "channels": channels}
    shape = {name: usual[name] if value is None else value for name, value in given.items()}
    where = choose_device(device)
    training = Training(
        learner=learner,
        config=settings,
        modes=names,
        **shape,
        meta_batch=_usual_batch(recipe.meta_batch, len(names) if combine else 1) if meta_batch is None else meta_batch,
        lr=recipe.lr if lr is None else lr,
        halve_every=recipe.halve_every if halve_every is None else halve_every,
        clip_norm=recipe.clip_norm if clip_norm is None else clip_norm,
        seed=seed,
        rotated=rotated,
        combine=name_of_combination,
    )
    total = recipe.iterations if iterations is None else iterations
    tasks, validation = (
        [
            open_tasks(
                f"{name}:{_split(name, split, data_root)}",
                data_root=data_root,
                **shape,
                seed=seed,
                rotated=split == "train" and name in rotated,
                device=where,
            )
            for name in names
            if split == "train" or validate
        ]
        for split in ("train", "val")
    )
    Folder(out).check(training.identity(tasks))
    watched = (
        _watch(watch, built, {**shape, "seed": seed, "data_root": data_root, "device": where}, out) if watch else None
    )
    if dry_run:
        check_tasks(built, training, tasks)
        told = "\n".join(f"  {name} = {value}" for name, value in training.to_json().items())
        say(
            f"would train for {total} iterations of {training.meta_batch} tasks, saving every {save_every} in {out}:\n{told}"
        )
        return
    paths = run_training(
        built,
        training,
        tasks,
        out=out,
        iterations=total,
        save_every=save_every,
        validation=validation,
        n_validation=validate,
        device=where,
        batching=batching,
        progress=True,
        watch=watched,
    )
    for path in paths:
        say(path)
    if watched:
        say(f"{watched.told()}", err=True)


def _watch(file: Path, learner: Learner, training: dict[str, Any], out: Path) -> Watch:
    """Return the watch of a training, which leaves its run beside the checkpoints."""
    from transference.cli.watching import read_watch  # with it all that measures, which a training alone does without

    return read_watch(file, learner, training, out=out / "watch")


def _split(name: str, split: str, data_root: Path | None) -> str:
    """Return the split of a dataset that serves as one of training or validation; a dataset without splits is trained on as a whole."""
    if split == "train" and only_split(name, data_root) == "all":
        say(
            f"note: {name} has no splits, and all its classes are trained on, so that none is left to measure on; transference datasets "
            f"prepare {name} --split 0.6,0.2,0.2 makes some",
            err=True,
        )
        return "all"
    return split


def _usual_batch(tasks: int, modes: int) -> int:
    """Return how many tasks an update has where as many are wanted of every mode: so many, or up to a multiple."""
    return -(-tasks // modes) * modes
