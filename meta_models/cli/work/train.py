"""What ``transference train`` does, once its options are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from meta_models.training import Folder, Training, check_tasks, recipe_of
from meta_models.training import train as run_training
from transference.cli.combinations import read_combinations
from transference.cli.modes import in_order
from transference.cli.options import (
    EPISODE,
    import_from_here,
    read_config,
    split_modes,
)
from transference.cli.printing import say
from transference.datasets import only_split
from transference.devices import choose_device, keep_freed_memory
from transference.errors import UsageError
from transference.learners import Learner, load_learner, offered_config
from transference.samplers import input_shapes, open_tasks

if TYPE_CHECKING:
    from transference.watch import Watch


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
    """Do what ``transference train`` was asked."""
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
