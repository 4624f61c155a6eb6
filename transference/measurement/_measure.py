"""The measurement, as it is called.

for source i:   g = ∇L_i(θ),  d = lookahead(g)
    for target j:   LR[i→j] = L_j(θ + d) / L_j(θ)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from transference.checkpoints import Checkpoint
from transference.combine import Combination
from transference.devices import undisturbed
from transference.errors import UsageError
from transference.estimators import Estimator, Exact
from transference.executors import check_cluster
from transference.learners import Learner
from transference.logs import Careful, Log, Scalars
from transference.lookahead import SGD, Lookahead
from transference.measurement._carrying_out import Measurement
from transference.measurement._question import Question
from transference.plan import Shard
from transference.samplers import TaskSampler
from transference.store import Run, Store

if TYPE_CHECKING:
    from distributed import Client


@undisturbed()
def measure(
    learner: Learner,
    checkpoints: Checkpoint | Sequence[Checkpoint],
    sources: TaskSampler | Sequence[TaskSampler],
    targets: TaskSampler | Sequence[TaskSampler],
    *,
    out: str | Path,
    n_source: int | None = None,
    n_target: int = 20,
    lookahead: Lookahead = SGD(),  # noqa: B008 - frozen
    estimator: Estimator = Exact(),  # noqa: B008 - frozen
    replicates: int = 1,
    combine: Mapping[str, Combination] | None = None,
    tempered: bool = False,
    controls: int | None = None,
    device: str = "auto",
    precision: str = "fp32",
    tile: tuple[int, int] | None = None,
    command: Sequence[str] | None = None,
    progress: bool = False,
    log: Log | Scalars | None = None,
    dry_run: bool = False,
    cluster: str | Client | None = None,
    shard: str | tuple[int, int] | None = None,
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
        n_source: tasks per source mode, 300 by default; of a `ModeLookahead` draws of it, 5 by default.
        n_target: tasks per target mode.
        lookahead: the step taken on each source; without step sizes it takes the checkpoints' outer learning rate.
        estimator: how the losses after the step are read.
        replicates: episodes of each task. Every pair is measured with each: images drawn anew from the same classes, support and query, of
            source and target; without several nothing can be said of a single pair (`transference.single_pairs`).
        combine: combinations of the source modes, by name. Each adds a source mode of that name, whose task ``i`` is one step on task ``i``
            of every source mode, combined (``transference.combine``); `transference.predicted_rows` tells what it was expected to do.
        tempered: read the losses before and after at their best temperature too, which splits every log ratio into
            confidence, which a temperature undoes, and the rest (`split_confidence`): of a classifier with
            ``episode_logits``, by `Exact`. A temperature is that of all targets of a mode, which are held in memory
            together. Controls and targets on themselves are read so, too, for which all targets of a mode are evaluated.
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
        cluster: who computes: ``"local:N"`` for N processes of this machine with one thread each,
            ``"tcp://HOST:PORT"`` for a Dask scheduler that is running, ``"slurm:FILE.toml"`` for jobs of SLURM, or a
            client of ``distributed``; by default this process. The tables are the same. In a script it is called below
            ``if __name__ == "__main__":``.
        shard: compute one share of the run, ``"3/8"`` or ``(3, 8)``, beside other processes that compute the others, on
            one disk; ``"auto"`` in a job array of SLURM. The run that is returned may be unfinished; whoever is the
            last finishes it.

    Returns:
        The run, open for reading; ``run.pairs()`` and ``run.matrix()`` are its tables.

    Raises:
        UsageError: the question cannot be asked (a number out of range, no step size, no such device, a sampler without replicates, a log
            that is none, a cluster together with a shard, tempered losses of estimates).
        ClusterError: the cluster cannot be reached, or was lost.
        LearnerError: the learner does not fit a checkpoint, is no pure function, or has no logits where tempered losses
            are asked for.
        SpecMismatchError: ``out`` holds a run of another spec.
        StoreError: ``out`` holds something else.
    """
    question = Question.of(
        learner, checkpoints, sources, targets, n_source=n_source, n_target=n_target, lookahead=lookahead, estimator=estimator,
        replicates=replicates, controls=controls, device=device, precision=precision, tile=tile, combine=combine or {},
        tempered=tempered,
    )  # fmt: skip
    mine = _shard(shard, cluster)
    if cluster is not None:
        check_cluster(cluster)
    # one place from here on, wherever a learner may change the working directory to
    store = Store(Path(out).absolute())
    run = Measurement(question, store, command, progress, Careful(log))
    # what cannot be, and a folder of another spec, is refused before anything is waited for or written
    question.as_begun(store)
    if dry_run:
        return run.tried()
    if mine:
        return run.shared(mine)
    return run.whole(cluster)


def _shard(shard: str | tuple[int, int] | None, cluster: object) -> Shard | None:
    """Return the shard that was asked for.

    Raises:
        UsageError: it is none, or a cluster was asked for too.
    """
    if shard is None:
        return None
    found = Shard.parse(shard if isinstance(shard, str) else "/".join(map(str, shard)))
    if cluster is not None:
        raise UsageError(
            f"--shard {found} was given with --cluster: a cluster deals the work out by itself. Leave one of them out."
        )
    return found
