"""What ``transference compute`` does, once its options are read."""

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
    import_from_here,
)
from transference.cli.printing import say
from transference.cli.settings import command_of, given_by_file
from transference.devices import choose_device, keep_freed_memory
from transference.errors import UsageError
from transference.estimators import ESTIMATORS, Estimator
from transference.executors import check_cluster
from transference.learners import theta
from transference.lookahead import LOOKAHEADS, Lookahead, ModeLookahead, moving, updates_of, with_alpha
from transference.measurement import SOURCES, measure
from transference.optimizers import parse_optimizer
from transference.plan import Shard
from transference.samplers import load_tasks, shared_modes


def compute(
    ctx: click.Context,
    /,
    checkpoints: tuple[Path, ...],
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    combine: tuple[str, ...],
    n_source: int | None,
    n_target: int,
    seed: int | None,
    lookahead: str,
    alpha: tuple[float, ...],
    lookahead_updates: str | None,
    meta_batch: int | None,
    outer_optimizer: str | None,
    halve_every: int | None,
    clip_norm: float | None,
    moves: tuple[str, ...],
    estimator: str,
    share: float | None,
    half_width: float | None,
    engine: str,
    tempered: bool,
    controls: int | None,
    replicates: int,
    device: str,
    precision: str,
    tile: tuple[int, int] | None,
    data_root: Path | None,
    cluster: str | None,
    shard: str | None,
    dry_run: bool,
    json_output: bool,
    out: Path,
    **reading: Any,  # noqa: ANN401 - what `open_checkpoints` takes
) -> None:
    """Do what ``transference compute`` was asked."""
    _check_who(cluster, shard)
    updates: dict[str, Any] = {
        "meta_batch": meta_batch,
        "outer_optimizer": outer_optimizer,
        "halve_every": halve_every,
        "clip_norm": clip_norm,
    }
    step = lookahead_of(lookahead, alpha, moves, lookahead_updates, **updates)
    import_from_here()
    keep_freed_memory()
    of_modes = bool(updates_of(step))
    combinations = read_combinations(combine, sources, targets, data_root=data_root, turns=of_modes)
    subject = open_checkpoints(checkpoints, **reading)
    shape, seed = subject.shape, seed if seed is not None else subject.trained_with("seed", 0) + 1
    where, step = choose_device(device), with_alpha(step, subject.checkpoints) if of_modes else step
    found = theta(subject.learner, subject.checkpoints[0], moves)
    say(found.told(moving(step, found.params, tied=found.tied, constants=found.constants)), err=True)
    if isinstance(step, ModeLookahead):
        say(step.told(subject.checkpoints), err=True)
    how: dict[str, Any] = {"data_root": data_root, "device": where, **shape}
    wanted = 1 if of_modes else n_source or SOURCES
    source_tasks = [load_tasks(mode, n=wanted, seed=seed, **how) for mode in sources]
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
        tempered=tempered,
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


def lookahead_of(
    name: str,
    alpha: tuple[float, ...],
    moves: tuple[str, ...],
    updates: str | None,
    *,
    outer_optimizer: str | None = None,
    **settings: Any,  # noqa: ANN401 - of a `ModeLookahead`
) -> Lookahead:
    """Return the lookahead asked for.

    Raises:
        UsageError: numbers of updates are no numbers, or what belongs to one kind of lookahead was given with the other.
    """
    if updates is None:
        strange = [
            given for given, value in {"outer_optimizer": outer_optimizer, **settings}.items() if value is not None
        ]
        if strange:
            option = f"--{strange[0].replace('_', '-')}"
            raise UsageError(
                f"{option} was given without --lookahead-updates, to which it belongs; give both or neither."
            )
        return cast("Lookahead", LOOKAHEADS[name](alpha=alpha, moves=moves))
    if alpha or name != "sgd":
        option = "--alpha" if alpha else f"--lookahead {name}"
        raise UsageError(
            f"{option} was given with --lookahead-updates, which steps with the checkpoint's own optimizer at its own rate. Leave it out, "
            "or give --outer-optimizer."
        )
    words = [word.strip() for word in updates.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        raise UsageError(
            f"--lookahead-updates {updates} was given; give whole numbers, 1 or above, with commas between several, such as 15,50,150."
        )
    optimizer = None if outer_optimizer is None else parse_optimizer(outer_optimizer)
    return ModeLookahead(tuple(map(int, words)), optimizer=optimizer, moves=moves, **settings)


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
