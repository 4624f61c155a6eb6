"""What ``transference train --plan`` does: many trainings, each tested, carried out here, in shards, or on a cluster."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pandas as pd
import torch
from click.core import ParameterSource

from meta_models.cli.work._asked import Asked, training_of
from meta_models.training import Folder, check_tasks, evaluate, train
from meta_models.training._plan import FAILED, OWN, Entry, Plan, PlanFolder, without_split
from transference import load_checkpoint, open_tasks
from transference.cli.modes import in_order
from transference.cli.options import FAILED_CELLS, import_from_here, split_modes
from transference.cli.printing import say
from transference.cli.settings import options_in
from transference.devices import full_precision, out_of_memory
from transference.errors import LearnerError, UsageError
from transference.executors import Executor, InProcess, Packed, check_cluster, open_cluster
from transference.learners import theta
from transference.plain import read_toml
from transference.plan import Shard
from transference.progress import progress_bar
from transference.samplers import DescribingSampler

_PLACES = ("data_root", "device")
"""Options that depend on the machine, not on the training; a command may give them beside a plan."""

_OF_COMMAND = ("plan", "cluster", "shard", "dry_run", "out")
_NOT_IN_PLAN = (*_OF_COMMAND, "seed", "weights", "watch")
_FREE = (*_PLACES, "save_every")
"""Options that may be others when a plan is gone on with."""


@dataclass(frozen=True)
class Planned:
    """A plan with the options that its trainings share, and the folder that it is carried out in; it can be pickled.

    Attributes:
        plan: which trainings there are.
        options: of ``transference train``, by the names of the parameters.
        out: the folder.
    """

    plan: Plan
    options: Mapping[str, Any]
    out: Path

    @property
    def folder(self) -> PlanFolder:
        """What is there already."""
        return PlanFolder(self.out)

    @property
    def how(self) -> dict[str, Any]:
        """What makes trainings those of another plan."""
        return self.plan.how({name: value for name, value in self.options.items() if name not in _FREE})

    def asked(self, entry: Entry) -> Asked:
        """Return a training as ``transference train`` would be asked for it."""
        rotated = [name for name in (self.options["rotate"] or "").split(",") if name.strip() in entry.modes]
        found = training_of(
            **{name: self.options[name] for name in inspect.signature(training_of).parameters if name in self.options}
            | {"modes": ",".join(entry.modes), "seed": entry.seed, "weights": None, "rotate": ",".join(rotated) or None}
        )
        return found.weighing(entry.weights)

    def bench(self) -> Bench:
        """Set up, in whichever process, what carries out trainings."""
        import_from_here()
        return Bench(self)

    def packed(self) -> Packed:
        """Return it as it travels to other processes."""
        options = {name: one.absolute() if isinstance(one, Path) else one for name, one in self.options.items()}
        there = replace(self, options=options, out=self.out.absolute())  # whose current folder is another
        return Packed(pickle.dumps(there), {name: version(name) for name in ("transference", "torch")})


@dataclass(frozen=True)
class Bench:
    """Carries out one training after the other.

    Args:
        planned: what they are of.
    """

    planned: Planned

    def __call__(self, item: Any) -> Iterator[Entry]:  # noqa: ANN401 - as every bench
        """Train and test, unless that was done or failed; a training that fails leaves word of it.

        Yields:
            The training.

        Raises:
            LearnerError: it could not read or compute on this machine, which says nothing of the training.
        """
        entry: Entry = item
        folder = self.planned.folder
        if not (folder.finished(entry) or folder.failure(entry)):
            asked = self.planned.asked(entry)
            try:
                folder.finish(entry, self._tested(entry, asked, self._trained(entry, asked)))
            except LearnerError as error:
                if _of_the_machine(error):
                    raise
                folder.fail(entry, error)
        yield entry

    def close(self) -> None:
        """Do nothing: no training leaves anything open."""

    def _trained(self, entry: Entry, asked: Asked) -> Path:
        """Return the last checkpoint of a training, gone on with where it was begun."""
        options = self.planned.options
        out = self.planned.folder.of(entry)
        found = train(
            asked.learner,
            asked.training,
            asked.tasks("train"),
            out=out,
            iterations=asked.iterations,
            save_every=options["save_every"],
            validation=asked.tasks("val") if options["validate"] else [],
            n_validation=options["validate"],
            device=asked.device,
            batching=options["batching"],
        )
        if not self.planned.plan.keep:
            for earlier in found[:-1]:
                earlier.unlink()
        return found[-1]

    def _tested(self, entry: Entry, asked: Asked, file: Path) -> pd.DataFrame:
        """Return loss and accuracy of a checkpoint on the test tasks of every target."""
        plan = self.planned.plan
        modes = {
            without_split(target): _test_tasks(target, asked, plan.seed_of_tests(entry)) for target in plan.targets
        }
        with full_precision():
            placed = theta(asked.learner, load_checkpoint(file)).to(asked.device)
            return evaluate(placed.learner, placed.params, modes, plan.n_test)


def carry_out(
    ctx: click.Context, file: Path, out: Path, *, cluster: str | None, shard: str | None, dry_run: bool
) -> None:
    """Carry out the trainings of a plan that are not there yet, all or the share of a shard, and write the table of all.

    Args:
        ctx: of the command.
        file: with the plan.
        out: the folder.
        cluster: who carries it out; by default this process.
        shard: which share.
        dry_run: check everything, and do nothing.

    Raises:
        UsageError: the file is no plan, or the command asks for what cannot be.
        SpecMismatchError: the folder holds trainings of another plan.
    """
    mine = _share(cluster, shard)
    planned = read_plan(ctx, file, out)
    plan, folder = planned.plan, planned.folder
    folder.check(planned.how)
    entries = plan.entries if mine is None else plan.entries[mine.number - 1 :: mine.of]
    _check(planned, entries)
    failed = [entry for entry in entries if folder.failure(entry)]
    todo = [entry for entry in entries if not folder.finished(entry) and entry not in failed]
    if dry_run:
        done = len(entries) - len(todo) - len(failed)
        before = f", {len(failed)} failed" if failed else ""
        say(f"{out}: {len(entries)} trainings, {done} done, {len(todo)} to do{before}")
        return
    if failed:
        _note(
            f"note: {len(failed)} of {len(entries)} trainings failed before and are not tried again, since they would fail "
            f"as they did; to try one again, delete its {FAILED} ({folder.of(failed[0]) / FAILED})"
        )
    folder.begin(planned.how)
    _carried_out(planned, entries, todo, cluster)
    _tell(planned)


def read_plan(ctx: click.Context, file: Path, out: Path) -> Planned:
    """Return the plan in a file, its options as the command has them.

    Raises:
        UsageError: the file is no plan, or the command has options that belong into it.
    """
    given = [
        f"--{str(name).replace('_', '-')}"
        for name in ctx.params
        if name not in (*_OF_COMMAND, *_PLACES)
        and ctx.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
    ]
    if given:
        raise UsageError(
            f"{', '.join(given)} was given with --plan {file}; write it into the plan, which says all of its trainings."
        )
    try:
        content = {
            key if key in OWN else key.replace("_", "-"): value for key, value in read_toml(file.read_bytes()).items()
        }
        shared = {key: value for key, value in content.items() if key not in OWN}
        if strange := [key for key in shared if key.replace("-", "_") in _NOT_IN_PLAN]:
            raise UsageError(_misplaced(file, strange[0]))
        found = options_in(ctx, file, shared)
        if lacking := [name for name in ("learner", "modes") if name not in found]:
            raise UsageError(
                f'{file} has no {lacking[0]}; write it as an option of transference train, for example modes = "strokes,shapes".'
            )
        places = {name: ctx.params[name] for name in _PLACES if _is_given(ctx, name)}
        options = {name: value for name, value in ctx.params.items() if name not in _NOT_IN_PLAN} | found | places
        modes = in_order(split_modes(options["modes"]), options["data_root"])
        return Planned(Plan.parse(modes, {key: content[key] for key in OWN if key in content}), options, out)
    except ValueError as error:
        raise UsageError(
            f"{file} is no plan of trainings ({error}). It has options of transference train, a line each, seeds = [0, 1], "
            "and subsets or weights."
        ) from error


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _misplaced(file: Path, key: str) -> str:
    """Return what to say of a key that no plan has."""
    instead = {"seed": "write seeds = [0, 1, …]", "watch": "a plan's trainings are not watched"}
    return f"{file} has {key!r}, which a plan does not; {instead.get(key, 'give it on the command line')}."


def _share(cluster: str | None, shard: str | None) -> Shard | None:
    """Return the share that was asked for, before anything is read.

    Raises:
        UsageError: it cannot be told who carries out what.
    """
    if cluster is not None and shard is not None:
        raise UsageError(
            f"--shard {shard} was given with --cluster {cluster}: a cluster deals the work out by itself. Leave one of them out."
        )
    if cluster is not None:
        check_cluster(cluster)
    return None if shard is None else Shard.parse(shard)


def _check(planned: Planned, entries: Sequence[Entry]) -> None:
    """Make sure that some trainings can be begun or gone on with, and tested, before any is; tasks are tried with one seed."""
    for entry in entries:
        asked = planned.asked(entry)
        tasks = asked.tasks("train")
        Folder(planned.folder.of(entry)).check(asked.training.identity(tasks))
        if entry.seed == entries[0].seed:
            check_tasks(asked.learner, asked.training, tasks)
    for entry in entries[:1]:
        for target in planned.plan.targets:
            _test_tasks(target, planned.asked(entry), planned.plan.seed_of_tests(entry))


def _test_tasks(target: str, asked: Asked, seed: int) -> DescribingSampler:
    """Open the tasks of a target, of its test split unless it names another."""
    shape: dict[str, Any] = {**asked.shape, "data_root": asked.data_root, "device": asked.device}
    return open_tasks(target if ":" in target else f"{target}:test", seed=seed, **shape)


def _carried_out(planned: Planned, entries: Sequence[Entry], todo: Sequence[Entry], cluster: str | None) -> None:
    """Have trainings carried out, and show how many are."""
    folder = planned.folder
    with ExitStack() as stack:
        executor: Executor = InProcess(planned.bench())
        if cluster is not None and todo:
            device = torch.device(planned.asked(todo[0]).device).type
            found = stack.enter_context(open_cluster(cluster, threads=1, device=device, say=_note))
            executor = stack.enter_context(found.employed(planned.packed()))
        done = len(entries) - len(todo)
        bar = stack.enter_context(progress_bar(len(entries), unit="training", shown=True, initial=done))
        for _ in executor.carry_out(todo, lambda entry: int(folder.finished(entry))):
            bar.update()


def _tell(planned: Planned) -> None:
    """Write the table where all trainings are there, and say what is."""
    plan, folder = planned.plan, planned.folder
    failed = [(entry, why) for entry in plan.entries if (why := folder.failure(entry))]
    lacking = [entry for entry in plan.entries if not folder.finished(entry)]
    if len(lacking) > len(failed):
        say(
            f"{planned.out}: {len(plan.entries) - len(lacking)} of {len(plan.entries)} trainings are there; the last shard writes the table"
        )
        return
    if strange := folder.strangers(plan):
        _note(
            f"note: {planned.out} has {len(strange)} trainings that the plan does not name, and the table leaves out: {strange[0]} …"
        )
    say(folder.write(plan))
    if failed:
        entry, why = failed[0]
        _note(
            f"{len(failed)} of {len(plan.entries)} trainings failed, and have no scores in the table; {entry.folder}: {why}"
        )
        raise SystemExit(FAILED_CELLS)


def _of_the_machine(error: BaseException | None) -> bool:
    """Whether an error goes back to one of files, memory or the device: repeated, the training may well end."""
    while error is not None:
        if isinstance(error, OSError | torch.AcceleratorError) or out_of_memory(error):
            return True
        error = error.__cause__
    return False


def _note(text: str) -> None:
    say(text, err=True)
