"""What ``transference train`` does, once its options are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meta_models.cli.work._asked import training_of
from meta_models.training import Folder, check_tasks
from meta_models.training import train as run_training
from transference.cli.options import import_from_here
from transference.cli.printing import say
from transference.devices import keep_freed_memory
from transference.errors import UsageError
from transference.learners import Learner

if TYPE_CHECKING:
    from transference.watch import Watch


def train(
    ctx: click.Context,
    /,
    save_every: int,
    validate: int,
    batching: str,
    watch: Path | None,
    plan: Path | None,
    cluster: str | None,
    shard: str | None,
    dry_run: bool,
    out: Path,
    **options: Any,  # noqa: ANN401 - what `training_of` takes
) -> None:
    """Do what ``transference train`` was asked."""
    import_from_here()
    keep_freed_memory()
    if plan is not None:
        from meta_models.cli.work._planned import carry_out

        carry_out(ctx, plan, out, cluster=cluster, shard=shard, dry_run=dry_run)
        return
    if given := [f"--{name} {value}" for name, value in (("cluster", cluster), ("shard", shard)) if value is not None]:
        raise UsageError(f"{given[0]} was given without --plan: a single training is one process's. Leave it out.")
    asked = training_of(**options)
    training, total = asked.training, asked.iterations
    tasks = asked.tasks("train")
    validation = asked.tasks("val") if validate else []
    Folder(out).check(training.identity(tasks))
    about = {**asked.shape, "seed": training.seed, "data_root": asked.data_root, "device": asked.device}
    watched = _watch(watch, asked.learner, about, out) if watch else None
    if dry_run:
        check_tasks(asked.learner, training, tasks)
        told = "\n".join(f"  {name} = {value}" for name, value in training.to_json().items())
        say(
            f"would train for {total} iterations of {training.meta_batch} tasks, saving every {save_every} in {out}:\n{told}"
        )
        return
    paths = run_training(
        asked.learner,
        training,
        tasks,
        out=out,
        iterations=total,
        save_every=save_every,
        validation=validation,
        n_validation=validate,
        device=asked.device,
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
