"""The measurement: for each checkpoint, every source's displacement, read on every target.

for source i:   g = ∇L_i(θ),  d = lookahead(g)
    for target j:   LR[i→j] = L_j(θ + d) / L_j(θ)
"""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from tqdm import tqdm

from transference.checkpoints import Checkpoint
from transference.devices import choose_device, full_precision, undisturbed
from transference.errors import SpecMismatchError
from transference.estimators import Estimator, Exact, with_engine
from transference.learners import Learner
from transference.lookahead import SGD, Lookahead, with_alpha
from transference.measurement._controlled import controlled_pairs, default_controls
from transference.measurement._sample import rounds
from transference.measurement._tasks import Tasks
from transference.measurement._work import Work
from transference.samplers import TaskSampler
from transference.spec import RunSpec, describe_estimator, make_spec
from transference.store import Run, Store


def default_tile(estimator: Estimator, n_source: int, n_target: int) -> tuple[int, int]:
    """Return sources and targets per tile: few enough targets to fit in memory, little work for a killed run to lose, not too many files.

    An exact estimator holds the targets' images; one that estimates holds their gradients.
    """
    if estimator.sample:
        return 1000, 256
    targets, files = 64, 500
    return max(25, math.ceil(n_source * math.ceil(n_target / targets) / files)), targets


@undisturbed()
def measure(
    learner: Learner,
    checkpoints: Checkpoint | Sequence[Checkpoint],
    sources: TaskSampler | Sequence[TaskSampler],
    targets: TaskSampler | Sequence[TaskSampler],
    *,
    out: str | Path,
    n_source: int = 300,
    n_target: int = 20,
    lookahead: Lookahead = SGD(),  # noqa: B008 - frozen
    estimator: Estimator = Exact(),  # noqa: B008 - frozen
    replicates: int = 1,
    controls: int | None = None,
    device: str = "auto",
    precision: str = "fp32",
    tile: tuple[int, int] | None = None,
    command: Sequence[str] | None = None,
    progress: bool = False,
    dry_run: bool = False,
) -> Run:
    """Measure the loss ratio of every source on every target, at every checkpoint and step size.

    A killed or interrupted measurement goes on where it stopped when the same call is made again.

    Args:
        learner: anything with ``episode_loss(params, episode)``.
        checkpoints: one or several, of different steps.
        sources: samplers, one per source mode.
        targets: samplers, one per target mode.
        out: the run folder.
        n_source: tasks per source mode.
        n_target: tasks per target mode.
        lookahead: the step taken on each source; without step sizes it takes the checkpoints' outer learning rate.
        estimator: how the losses after the step are read.
        replicates: episodes of each task. Every pair is measured with each: images drawn anew from the same classes, support and query, of
            source and target; without several nothing can be said of a single pair (`transference.single_pairs`).
        controls: pairs of each mode pair that have controls at every checkpoint (see ``Run.controls``); by default about one in a hundred,
            8 at least.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: ``"fp32"`` or ``"fp64"``.
        tile: sources and targets per file; by default what suits the estimator.
        command: recorded in run.json, so that a reader can repeat the run.
        progress: show a progress bar on stderr.
        dry_run: check everything, but write and compute nothing.

    Returns:
        The run, open for reading; ``run.pairs()`` and ``run.matrix()`` are its tables.

    Raises:
        UsageError: the question cannot be asked (a number out of range, no step size, no such device, a sampler without replicates).
        LearnerError: the learner does not fit a checkpoint, or is no pure function.
        SpecMismatchError: ``out`` holds a run of another spec.
        StoreError: ``out`` holds something else.
    """
    checkpoints = [checkpoints] if isinstance(checkpoints, Checkpoint) else sorted(checkpoints, key=lambda c: c.step)
    from_samplers, to_samplers = _as_list(sources), _as_list(targets)
    where, dtype = choose_device(device), torch.float64 if precision == "fp64" else torch.float32
    out = Path(out).absolute()  # one place from here on, wherever a learner may change the working directory to
    store = Store(out)
    tile = tile or default_tile(estimator, n_source * len(from_samplers), n_target * len(to_samplers))
    if controls is None:
        controls = default_controls(n_source, n_target, estimated=estimator.sample is not None)

    def asked() -> tuple[RunSpec, Estimator, bool]:
        """Return the spec and the estimator, as the run was begun if it was, and whether it was."""
        decided = _as_begun(estimator, store.spec().estimator) if store.run_json.exists() else estimator
        spec = make_spec(
            learner, checkpoints, from_samplers, to_samplers, n_source=n_source, n_target=n_target, step=lookahead,
            estimator=decided, controls=controls, device=where.type, precision=precision, tile=tile, replicates=replicates,
        )  # fmt: skip
        return spec, decided, store.check(spec)

    asked()  # what cannot be, and a folder of another spec, is refused before anything is waited for or written
    from_tasks, to_tasks = Tasks(from_samplers, n_source, where, dtype), Tasks(to_samplers, n_target, where, dtype)
    stepping = with_alpha(lookahead, checkpoints)
    with nullcontext() if dry_run else store.writing(waiting=asked, say=partial(tqdm.write, file=sys.stderr)):
        spec, decided, begun = asked()
        if begun:
            store.check_published()
        prepared = partial(Work, learner, checkpoints, from_tasks, to_tasks, stepping, decided, where, dtype, Path(out))
        with full_precision(), _threads(store.about().get("threads") if begun else None), closing(prepared()) as work:
            if begun:
                _check_same_code(store, spec, work)
            if dry_run:
                return Run(out, spec)
            if not begun:
                spec = _begin(store, spec, work, {**_about(checkpoints, where, command), "theta": work.theta}, progress=progress)
            if not begun or not store.has_tasks():
                store.write_tasks(work.tasks())
            done = sum(spec.n_cells_of(a_tile) for ref in spec.checkpoints for a_tile in spec.tiles(ref.step) if store.has(a_tile))
            with tqdm(total=spec.n_cells, initial=done, unit="pair", unit_scale=True, disable=not progress, mininterval=0.5) as bar:
                for ref in spec.checkpoints:
                    _measure_at(ref.step, spec, store, work, bar)
    return Run(out)


def _as_begun(estimator: Estimator, begun: Mapping[str, Any]) -> Estimator:
    """Return the estimator with the engine of the run that was begun, where its own is still open."""
    return with_engine(estimator, begun["engine"]) if estimator.engine == "auto" and "engine" in begun else estimator


def _begin(store: Store, spec: RunSpec, work: Work, about: Mapping[str, Any], *, progress: bool) -> RunSpec:
    """Claim the folder, once the estimator has decided what it left open; return the spec with what it decided."""
    found = work.settle(spec.n_cells)
    spec = replace(spec, estimator=describe_estimator(work.estimator))
    store.begin(spec, {**about, "trial": asdict(found) if found else None})
    if progress and found:
        tqdm.write(str(found), file=sys.stderr)
    return spec


def _measure_at(step: int, spec: RunSpec, store: Store, work: Work, bar: tqdm[NoReturn]) -> None:
    """Measure what is not published yet at one checkpoint."""
    bar.set_description(f"checkpoint {step}")
    for a_tile in spec.tiles(step):
        if not store.has_self_transference(step, a_tile.targets):
            store.write_self_transference(step, a_tile.targets, work.self_transference(step, a_tile.targets))
        if not store.has(a_tile):
            store.write(a_tile, *work.tile(a_tile))
            bar.update(spec.n_cells_of(a_tile))
    if work.estimator.sample:
        bar.set_description(f"checkpoint {step}: exact pairs")
        for number, a_tile, chosen in rounds(store, spec, work.estimator.sample, step):
            store.write_exact(a_tile, number, work.sample(a_tile, chosen))
    if spec.controls and not store.has_controls(step):
        bar.set_description(f"checkpoint {step}: controls")
        store.write_controls(step, work.controls(step, controlled_pairs(spec)))


@contextmanager
def _threads(n: int | None) -> Iterator[None]:
    """Compute with as many threads as the run was begun with: sums in another order change the last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(n or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_same_code(store: Store, spec: RunSpec, work: Work) -> None:
    """Make sure that torch and the learner's code are those that the run was begun with, which its spec cannot see.

    The first source's loss and gradient norm at each checkpoint are compared with those in the folder.

    Raises:
        SpecMismatchError: they differ by more than another machine would make them.
    """
    versions = store.about().get("versions", {})
    if versions.get("torch", version("torch")) != version("torch"):
        raise SpecMismatchError(f"{store.path} was begun with torch {versions['torch']}; this is {version('torch')}. Choose a new --out.")
    for ref in spec.checkpoints:
        stored = store.first_source(ref.step)
        for name, now in work.first_sources[ref.step].items() if stored else ():
            then = stored[name] if stored else now
            if not (math.isclose(then, now, rel_tol=1e-3) or (math.isnan(then) and math.isnan(now))):
                raise SpecMismatchError(
                    f"{store.path} was begun with a learner whose {name.replace('_', ' ')} on the first source at step {ref.step} was "
                    f"{then:.8g}; now it is {now:.8g}. Has its code changed? Choose a new --out."
                )


def _as_list(samplers: TaskSampler | Sequence[TaskSampler]) -> list[TaskSampler]:
    # A sampler has [index] too, so a list is told by being one.
    return list(samplers) if isinstance(samplers, list | tuple) else [cast("TaskSampler", samplers)]


def _about(checkpoints: Sequence[Checkpoint], device: torch.device, command: Sequence[str] | None) -> dict[str, Any]:
    """Return what a reader of run.json wants to know; a resumed run is held to the torch and the threads named here."""
    return {
        "command": list(command) if command else None,
        "folder": str(Path.cwd()),
        "checkpoints": [
            {
                "step": c.step,
                "step_from": c.step_from,
                "path": str(c.path),
                "learner": c.learner,
                "training": dict(c.training),
                "unsafe_load": c.unsafe,
            }
            for c in checkpoints
        ],
        "versions": {name: version(name) for name in ("transference", "torch", "numpy", "pyarrow", "pillow")},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }
