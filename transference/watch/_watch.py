"""Called from a training loop, it measures what there is at stages."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor, nn

from transference.checkpoints import Checkpoint
from transference.combine import Combination
from transference.errors import TransferenceError, UsageError, first_line, in_one_line
from transference.estimators import Estimator, FirstOrder, with_engine
from transference.learners import Learner, fitted
from transference.logs import Careful, Log, Scalars
from transference.lookahead import SGD, Lookahead
from transference.measurement import Measurement, Question, logged
from transference.report import write_report
from transference.samplers import TaskSampler
from transference.spec import CheckpointRef
from transference.store import Run, Store
from transference.watch._budget import Budget

if TYPE_CHECKING:
    from transference.watch._lightning import LightningCallback

Trained: TypeAlias = Mapping[str, Tensor] | nn.Module | Checkpoint
Theta: TypeAlias = Trained | Callable[[], Trained]

CHECKED = 16
"""Exact pairs beside first-order estimates: fewer than in a run that is measured once."""

_log = logging.getLogger("transference.watch")


class Watch:
    """Measures a small table of loss ratios at stages of a training, into a run folder like any other.

    It is called after every update, and measures at every multiple of ``every`` that its share of the time allows: a stage is left out
    where one as long as the last would take more. Where the steps of its calls jump over a multiple, the first call beyond is the
    stage. The first is always measured, so the share holds once the training has lasted long enough for that one. Nothing of the
    training is changed: no parameter, no gradient, no random number.

    A training that is interrupted and goes on is watched on in the same folder. Stages that the folder has are not measured again; where
    the training took another way since, they and all later ones are replaced.

    Args:
        sources: samplers, one per source mode.
        targets: samplers, one per target mode.
        learner: what the parameters belong to: anything with ``episode_loss(params, episode)``.
        out: the run folder.
        every: updates between stages.
        alpha: one or several step sizes of a plain step; by default the outer rate, where ``theta`` is a `Checkpoint` that tells it.
        lookahead: another step than the plain one, in place of ``alpha``.
        n_source: tasks per source mode.
        n_target: tasks per target mode.
        estimator: how losses after the step are read. An engine that is left open is ``"threads"``, which needs no trial.
        time_share: of the training's time that the watch may take, above 0.
        replicates: episodes of each task, as in `measure`.
        combine: combinations of the source modes, as in `measure`.
        controls: pairs of each mode pair with controls, which cost as much as the rest; none by default.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: ``"fp32"`` or ``"fp64"``.
        tile: sources and targets per file.
        log: takes means and shares of each stage, as in `measure`, and ``watch/share``, what it took of the time so far.
        page: a file, ``.html``, that is written anew at each stage for which there is time left: the run's report.

    Raises:
        UsageError: a number is out of range or none, ``alpha`` and ``lookahead`` are both given, ``log`` is none, or ``page`` no name of
            a page.
    """

    def __init__(
        self,
        sources: TaskSampler | Sequence[TaskSampler],
        targets: TaskSampler | Sequence[TaskSampler],
        *,
        learner: Learner,
        out: str | Path,
        every: int = 500,
        alpha: float | Sequence[float] = (),
        lookahead: Lookahead | None = None,
        n_source: int = 20,
        n_target: int = 10,
        estimator: Estimator = FirstOrder(checked=CHECKED),  # noqa: B008 - frozen
        time_share: float = 0.03,
        replicates: int = 1,
        combine: Mapping[str, Combination] | None = None,
        controls: int = 0,
        device: str = "auto",
        precision: str = "fp32",
        tile: tuple[int, int] | None = None,
        log: Log | Scalars | None = None,
        page: str | Path | None = None,
    ) -> None:
        every = _whole(every, "every")
        if every < 1 or not time_share > 0:
            raise UsageError(
                f"A watch every {every} updates for a share of {time_share} of the time was asked for; both must be above 0."
            )
        alphas = (alpha,) if isinstance(alpha, int | float) else tuple(alpha)
        if page and Path(page).suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"The page of a watch was to be {page}; give a name that ends in .html.")
        if lookahead and alphas:
            raise UsageError("alpha and lookahead were given; give the step sizes to the lookahead alone.")
        self._learner, self._every, self._budget, self._tell = learner, every, Budget(time_share), Careful(log)
        self._store, self._page = Store(Path(out).absolute()), Path(page).absolute() if page else None
        estimator = with_engine(estimator, "threads") if estimator.engine == "auto" else estimator
        self._asked: dict[str, Any] = {
            "sources": sources, "targets": targets, "n_source": n_source, "n_target": n_target,
            "lookahead": lookahead or SGD(alpha=alphas), "estimator": estimator, "replicates": replicates, "controls": controls,
            "device": device, "precision": precision, "tile": tile, "combine": combine or {},
        }  # fmt: skip
        self._looked: int | None = None
        self._called: int | None = None
        self._measured = 0
        self.left_out: list[int] = []
        """Stages that were not measured, since there was no time for them."""

    @property
    def spent(self) -> float:
        """Seconds that the watch took so far, in this process."""
        return self._budget.spent

    @property
    def share(self) -> float:
        """What the watch took so far, as a share of the training's time in this process."""
        return self._budget.share

    def __call__(self, step: int, theta: Theta) -> Run | None:
        """Measure a stage, if one is due.

        Args:
            step: updates so far.
            theta: what is trained, as it is now: tensors by name, a module, a `Checkpoint`, or a function that returns one of these and is
                called only where a stage is due.

        Returns:
            The run as far as it is, None where nothing was measured.

        Raises:
            TransferenceError: the first stage cannot be measured. What befalls a later one is told, and the training goes on.
        """
        step = _whole(step, "step")
        if not self._due(step):
            return None
        first, self._looked = self._looked is None, step
        if not self._budget.allows("stage"):
            self.left_out.append(step)
            return None
        try:
            return self._measured_and_drawn(step, theta)
        except Exception as error:  # a disk that is full, a loss that became infinite, a learner's or a function's own
            if first:
                raise
            why = in_one_line(
                " ".join(str(error).split()) if isinstance(error, TransferenceError) else first_line(error)
            )
            _log.warning(
                "note: the watch failed at step %d (%s: %s); the training goes on", step, type(error).__name__, why
            )
            return None

    def told(self) -> str:
        """Return in one line what was measured, and what it took."""
        left = f", {_counted(len(self.left_out))} left out for want of time" if self.left_out else ""
        return f"{self._store.path}: {_counted(self._measured)} in {self.spent:.0f} s, {self.share:.1%} of the training's time{left}"

    def callback(self) -> LightningCallback:
        """Return what ``Trainer(callbacks=[…])`` of Lightning takes; ``learner`` is then one of the module that it trains.

        Raises:
            UsageError: Lightning is not installed.
        """
        from transference.watch._lightning import callback_of  # Lightning takes seconds to import

        return callback_of(self)

    def _measured_and_drawn(self, step: int, theta: Theta) -> Run | None:
        """Measure a stage, and write the page if there is time left for it."""
        with self._budget.spending("stage"):
            run = self._stage(step, theta)
        if run and self._page and self._budget.allows("page"):
            with self._budget.spending("page"):
                write_report([run], self._page)
        return run

    def _due(self, step: int) -> bool:
        """Return whether a step is a stage, or the first that is called beyond one."""
        before, self._called = self._called, step
        jumped = before is not None and step // self._every > before // self._every
        return step != self._looked and (jumped or step % self._every == 0)

    def _stage(self, step: int, theta: Theta) -> Run | None:
        """Measure a stage, unless the run has it."""
        checkpoint = self._checkpoint(step, theta)
        beside = self._beside(CheckpointRef(step, checkpoint.digest))
        if beside is None:
            return None
        question = Question.of(self._learner, checkpoint, **self._asked, beside=beside)
        measurement = Measurement(question, self._store, command=None, progress=False, log=Careful(None))
        run = measurement.stage({"watch": {"every": self._every, "left_out": self.left_out}})
        self._measured += 1
        if self._tell:
            self._tell({**logged(run, step), "watch/share": self.share}, step)
        return run

    def _beside(self, ref: CheckpointRef) -> tuple[CheckpointRef, ...] | None:
        """Return the stages that the run keeps beside one, None if it has that one; others are let go."""
        if not self._store.run_json.exists():
            return ()
        known = self._store.spec().checkpoints
        if len(known) == 1 and not self._store.has_all(known[0].step):  # begun, and killed before it was whole
            gone = {known[0].step}
        elif ref in known:
            return None
        elif ref.step in {other.step for other in known}:
            gone = {other.step for other in known if other.step >= ref.step}
            _log.warning(
                "note: the training took another way than the one that %s has watched; its stages from step %d on are replaced",
                self._store.path, ref.step,
            )  # fmt: skip
        else:
            return known
        self._store.shrink(gone)
        return tuple(other for other in known if other.step not in gone)

    def _checkpoint(self, step: int, theta: Theta) -> Checkpoint:
        """Return what is trained as a checkpoint, by the names that the learner knows.

        Raises:
            UsageError: it has no tensors by name.
        """
        if callable(theta) and not isinstance(theta, nn.Module):
            theta = theta()
        if isinstance(theta, Checkpoint):
            return theta if theta.step == step else replace(theta, step=step)
        tensors: object = theta
        if isinstance(theta, nn.Module):  # whose state may hold more, as a checkpoint's file may
            tensors = {name: value for name, value in theta.state_dict().items() if isinstance(value, Tensor)}
        if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
            raise UsageError(
                f"A {type(theta).__name__} was given as what is trained; a dict of tensors by name, a module, a Checkpoint, "
                "or a function that returns one of these was expected."
            )
        # A copy: the optimizer goes on to write into the training's own tensors.
        return fitted(
            self._learner, Checkpoint({name: value.detach().clone() for name, value in tensors.items()}, step)
        )


def _whole(number: object, name: str) -> int:
    """Return a whole number of any library as Python's.

    Raises:
        UsageError: it is none, or below 0.
    """
    try:
        found = operator.index(number)  # type: ignore[arg-type]  # that is what is asked
    except TypeError:
        found = -1
    if found < 0:
        raise UsageError(f"{name}={number!r:.80} was given to a watch; a whole number, 0 or above, was expected.")
    return found


def _counted(stages: int) -> str:
    return "1 stage" if stages == 1 else f"{stages} stages"
