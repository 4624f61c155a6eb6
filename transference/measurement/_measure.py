"""The measurement: for each checkpoint, every source's displacement, read on every target.

for source i:   g = ∇L_i(θ),  d = lookahead(g)
    for target j:   LR[i→j] = L_j(θ + d) / L_j(θ)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from transference.checkpoints import Checkpoint
from transference.combine import Combination
from transference.devices import full_precision, undisturbed
from transference.estimators import Estimator, Exact
from transference.learners import Learner
from transference.logs import Careful, Log, Scalars
from transference.lookahead import SGD, Lookahead
from transference.measurement._controlled import controlled_pairs
from transference.measurement._provenance import check_same_code, provenance, threads_of
from transference.measurement._question import Question
from transference.measurement._sample import rounds
from transference.measurement._work import Work
from transference.progress import Bar, progress_bar
from transference.samplers import TaskSampler
from transference.spec import RunSpec
from transference.statistics import CLASSES, summarise_blocks
from transference.store import Run, Store


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
    combine: Mapping[str, Combination] | None = None,
    controls: int | None = None,
    device: str = "auto",
    precision: str = "fp32",
    tile: tuple[int, int] | None = None,
    command: Sequence[str] | None = None,
    progress: bool = False,
    log: Log | Scalars | None = None,
    dry_run: bool = False,
) -> Run:
    """Measure the loss ratio of every source on every target, at every checkpoint and step size.

    A killed or interrupted measurement goes on where it stopped when the same call is made again. Made again with further
    checkpoints, those are measured too, and ``out`` holds them all.

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
        combine: combinations of the source modes, by name. Each adds a source mode of that name, whose task ``i`` is one step on task ``i``
            of every source mode, combined (``transference.combine``); `transference.predicted_rows` tells what it was expected to do.
        controls: pairs of each mode pair that have controls at every checkpoint (see ``Run.controls``); by default about one in a hundred,
            8 at least.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: ``"fp32"`` or ``"fp64"``.
        tile: sources and targets per file; by default what suits the estimator.
        command: recorded in run.json, so that a reader can repeat the run.
        progress: show how far it is on stderr: a bar on a terminal, else a line every few percent.
        log: takes, as each checkpoint is finished or found finished, geometric mean and shares of each mode pair and step size
            (``geometric_mean/SOURCE to TARGET/alpha=A``, and so for ``positive``, ``neutral``, ``negative``), by
            ``log.log(data, step=checkpoint_step)``: a run of wandb, trackio or anything alike, or TensorBoard's ``SummaryWriter``. If it
            fails the measurement goes on.
        dry_run: check everything, but write and compute nothing.

    Returns:
        The run, open for reading; ``run.pairs()`` and ``run.matrix()`` are its tables.

    Raises:
        UsageError: the question cannot be asked (a number out of range, no step size, no such device, a sampler without replicates, a log
            that is none).
        LearnerError: the learner does not fit a checkpoint, or is no pure function.
        SpecMismatchError: ``out`` holds a run of another spec.
        StoreError: ``out`` holds something else.
    """
    question = Question.of(
        learner, checkpoints, sources, targets, n_source=n_source, n_target=n_target, lookahead=lookahead, estimator=estimator,
        replicates=replicates, controls=controls, device=device, precision=precision, tile=tile, combine=combine or {},
    )  # fmt: skip
    told = Careful(log)
    # one place from here on, wherever a learner may change the working directory to
    store = Store(Path(out).absolute())
    # what cannot be, and a folder of another spec, is refused before anything is waited for or written
    question.as_begun(store)
    held = nullcontext() if dry_run else store.writing(waiting=lambda: question.as_begun(store), say=_say)
    with held, full_precision(), threads_of(store):
        return _measure(question.as_begun(store), store, command, progress=progress, log=told, dry_run=dry_run)


def _measure(
    question: Question, store: Store, command: Sequence[str] | None, *, progress: bool, log: Careful, dry_run: bool
) -> Run:
    """Go on where the folder stands; it is held for writing, unless nothing is written."""
    if begun := store.begun:
        store.check_published()
    subjects = question.subjects()
    decided, found = (question, None) if dry_run else question.with_engine(subjects)
    with closing(Work(decided, subjects, store.path)) as work:
        if begun:
            check_same_code(store, work.first_sources)
        spec = decided.spec
        if dry_run:
            return Run(store.path, spec)
        about = provenance(decided.checkpoints, decided.device, command)
        if not begun:
            told = {"theta": work.theta, "trial": asdict(found) if found else None}
            store.begin(spec, {**about, **told})
            if progress and found:
                _say(str(found))
        elif store.spec() != spec:
            store.grow(spec, {name: about[name] for name in ("command", "folder", "checkpoints")})
        if not store.has_tasks():
            store.write_tasks(work.tasks())
        store.write_view()
        done = sum(
            spec.n_cells_of(tile) for ref in spec.checkpoints for tile in spec.tiles(ref.step) if store.has(tile)
        )
        with progress_bar(spec.n_cells, unit="pair", shown=progress, initial=done, unit_scale=True) as bar:
            for ref in spec.checkpoints:
                measure_at(ref.step, spec, store, work, bar)
                if log:
                    log(logged(Run(store.path), ref.step), ref.step)
    return Run(store.path)


def measure_at(step: int, spec: RunSpec, store: Store, work: Work, bar: Bar) -> None:
    """Measure what is not published yet at one checkpoint."""
    bar.set_description(f"checkpoint {step}")
    for tile in spec.tiles(step):
        if not store.has_self_transference(step, tile.targets):
            store.write_self_transference(step, tile.targets, work.self_transference(step, tile.targets))
        if not store.has(tile):
            store.write(tile, *work.tile(tile))
            bar.update(spec.n_cells_of(tile))
    if work.estimator.sample:
        bar.set_description(f"checkpoint {step}: exact pairs")
        for number, tile, chosen in rounds(store, spec, work.estimator.sample, step):
            store.write_exact(tile, number, work.sample(tile, chosen))
    if spec.controls and not store.has_controls(step):
        bar.set_description(f"checkpoint {step}: controls")
        store.write_controls(step, work.controls(step, controlled_pairs(spec)))


def logged(run: Run, step: int) -> dict[str, float]:
    """Return mean and shares of each mode pair and step size at one checkpoint, as a log names them."""
    table = summarise_blocks(run.tables(step))
    return {
        f"{name}/{row['source_mode']} to {row['target_mode']}/alpha={row['alpha']:g}": row[name]
        for row in table.to_dict("records")
        for name in ("geometric_mean", *CLASSES)
    }


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
