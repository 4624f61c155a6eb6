"""A measurement carried out: begun, or found begun, its parts dealt out and published, and closed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from transference.devices import full_precision, undisturbed
from transference.executors import Executor, InProcess, open_cluster
from transference.logs import Careful
from transference.measurement._bench import Answer, Bench
from transference.measurement._job import Job
from transference.measurement._provenance import check_begun_alike, provenance, threads_of
from transference.measurement._question import Question
from transference.measurement._sample import missing
from transference.measurement._work import Work
from transference.plan import ControlSet, ExactTile, Item, Part, Shard, by_sources, items_of, parts_of
from transference.progress import Bar, progress_bar
from transference.spec import RunSpec, Tile
from transference.statistics import CLASSES, summarise_blocks
from transference.store import Patience, Run, Store

if TYPE_CHECKING:
    from distributed import Client

_ABOUT = {ExactTile: ": exact pairs", ControlSet: ": controls"}
"""What a bar says of parts that are no pairs of the table."""


@dataclass(frozen=True)
class Measurement:
    """A question and the folder in which it is answered.

    Attributes:
        question: what is measured.
        store: the folder.
        command: recorded in run.json.
        progress: show how far it is.
        log: takes means and shares of each checkpoint.
    """

    question: Question
    store: Store
    command: Sequence[str] | None
    progress: bool
    log: Careful

    def tried(self) -> Run:
        """Check everything, and return what would be measured; nothing is written."""
        with threads_of(self.store), full_precision():
            question = self.question.as_begun(self.store)
            if begun := self.store.begun:
                self.store.check_published()
            with closing(Work(question, question.subjects(), self.store.path)) as work:
                if begun:
                    check_begun_alike(self.store, work.first_sources)
            return Run(self.store.path, question.spec)

    def whole(self, cluster: str | Client | None) -> Run:
        """Measure what is not there yet, here or on a cluster, while nobody else does."""
        with ExitStack() as stack:
            token = stack.enter_context(self.store.writing(self._patience))
            threads = stack.enter_context(threads_of(self.store, 1 if cluster is not None else None))
            device = self.question.device.type
            found = (
                stack.enter_context(open_cluster(cluster, threads=threads, device=device, say=_say))
                if cluster is not None
                else None
            )
            decided, work = stack.enter_context(self._begun())
            bar = stack.enter_context(self._bar(decided.spec, self._all(decided.spec)))
            if found is None:
                bench = Bench(work, self.store, threads, lambda part: _describe(bar, part))
                self._carry_out(InProcess(bench), work, self._one_by_one(decided.spec), bar)
                return Run(self.store.path)
            job = Job(decided, self.store.path, token, decided.spec.digest, work.first_sources, threads)
            packed, note = job.packed()
            if note:
                _say(note)
            executor = stack.enter_context(found.employed(packed))
            seconds = self._seconds(work)
            steps = [ref.step for ref in decided.spec.checkpoints]
            items = [item for step in steps for item in items_of(decided.spec, step, seconds, found.n_workers)]
            self._carry_out(executor, work, [(steps, items)], bar, workers=found.n_workers)
        return Run(self.store.path)

    @undisturbed()
    def stage(self, about: Mapping[str, Any]) -> Run:
        """Measure one checkpoint more, and keep what the run has of others (``Question.beside``).

        Other than in `whole`, run.json tells of it when its last file is written: the stage of a training that was killed need not come
        again.

        Args:
            about: what run.json is to say beside the spec.
        """
        (checkpoint,) = self.question.checkpoints
        with self.store.writing(self._patience), full_precision(), threads_of(self.store) as threads:
            question = self.question.as_begun(self.store)
            subjects = question.subjects()
            question, trial = question.with_engine(subjects)
            spec = question.spec
            told = {**provenance(question.checkpoints, question.device, self.command), **about}
            self.store.clear(checkpoint.step)  # what one that was killed left, perhaps of other parameters
            with closing(Work(question, subjects, self.store.path)) as work, ExitStack() as failing:
                if self.store.begun:
                    self.store.write_as(spec)
                    failing.callback(
                        self.store.clear, checkpoint.step
                    )  # or files would lie there that run.json does not know
                else:
                    self.store.begin(spec, {**told, "theta": work.theta, "trial": asdict(trial) if trial else None})
                    self.store.write_tasks(work.tasks())
                    self.store.write_view()
                bench = InProcess(Bench(work, self.store, threads))
                with progress_bar(spec.n_cells, unit="pair", shown=False) as bar:
                    parts = tuple(parts_of(spec, checkpoint.step))
                    self._carry_out(bench, work, [([checkpoint.step], [parts])], bar, spec=spec)
                failing.pop_all()
            self.store.grow(spec, {"checkpoints": told["checkpoints"], **about})
        return Run(self.store.path)

    def shared(self, shard: Shard) -> Run:
        """Measure the share of one of several processes; the one that finds all shares there does the rest."""
        with self.store.sharing(shard, self._patience), ExitStack() as stack:
            with self.store.beginning(self._patience):
                threads = stack.enter_context(threads_of(self.store))
                if begun := self.store.has_tasks():
                    self._grow(self.question.as_begun(self.store))
                else:
                    decided, work = stack.enter_context(self._begun(shard))
            if begun:  # which takes its time, and the others need not wait for it
                decided, work = stack.enter_context(self._begun(shard))
            spec = decided.spec
            mine = tuple(part for ref in spec.checkpoints for part in shard.parts(spec, ref.step))
            bar = stack.enter_context(self._bar(spec, mine))
            bench = Bench(work, self.store, threads, lambda part: _describe(bar, part))
            self._publish(InProcess(bench), [mine], bar, spec)
        if all(map(self.store.has, self._all(spec))):
            return self.whole(None)
        return Run(self.store.path)

    @property
    def _patience(self) -> Patience:
        return Patience(lambda: self.question.as_begun(self.store), _say)

    @contextmanager
    def _begun(self, shard: Shard | None = None) -> Iterator[tuple[Question, Work]]:
        """Begin the run, or find it begun, and set up here what computes it.

        Args:
            shard: whose parts alone are looked at, if they are there; by default all are.

        Yields:
            The question with its engine, and what computes.
        """
        question, begun = self.question.as_begun(self.store), self.store.begun
        if begun:
            spec = question.spec
            mine = None if shard is None else (part for ref in spec.checkpoints for part in shard.parts(spec, ref.step))
            self.store.check_published(mine)
        with full_precision():
            subjects = question.subjects()
            decided, trial = question.with_engine(subjects)
            work = Work(decided, subjects, self.store.path)
        with closing(work):
            if begun:
                check_begun_alike(self.store, work.first_sources)
                self._grow(decided)
            else:
                told = {"theta": work.theta, "trial": asdict(trial) if trial else None}
                self.store.begin(
                    decided.spec, {**provenance(decided.checkpoints, decided.device, self.command), **told}
                )
                if self.progress and trial:
                    _say(str(trial))
            if not self.store.has_tasks():
                self.store.write_tasks(work.tasks())
            self.store.write_view()
            yield decided, work

    def _grow(self, question: Question) -> None:
        """Take further checkpoints into the run, if there are any."""
        if self.store.spec() != question.spec:
            about = provenance(question.checkpoints, question.device, self.command)
            self.store.grow(question.spec, {name: about[name] for name in ("command", "folder", "checkpoints")})

    def _all(self, spec: RunSpec) -> Iterator[Part]:
        return (part for ref in spec.checkpoints for part in parts_of(spec, ref.step))

    def _one_by_one(self, spec: RunSpec) -> Iterator[tuple[list[int], list[Item]]]:
        """Yield each checkpoint with all its parts as one item: what is prepared for some targets then serves all sources."""
        return (([ref.step], [tuple(parts_of(spec, ref.step))]) for ref in spec.checkpoints)

    def _carry_out(
        self,
        executor: Executor,
        work: Work,
        stages: Iterable[tuple[list[int], list[Item]]],
        bar: Bar,
        workers: int = 1,
        spec: RunSpec | None = None,
    ) -> None:
        """Have items computed, stage by stage, each with the rounds of exact pairs that its tables ask for."""
        spec = spec or self.store.spec()
        for steps, items in stages:
            self._publish(executor, items, bar, spec)
            for step in steps:
                while work.estimator.sample and (further := missing(self.store, spec, work.estimator.sample, step)):
                    self._publish(executor, by_sources(further, 2 * workers), bar, spec)
                if self.log:
                    self.log(logged(Run(self.store.path), step), step)

    def _publish(self, executor: Executor, items: Sequence[Item], bar: Bar, spec: RunSpec) -> None:
        lacking = [tuple(part for part in item if not self.store.has(part)) for item in items]
        for answer in executor.carry_out([item for item in lacking if item], self._published):
            if answer.tables is not None:
                self.store.write(answer.part, *answer.tables)
            _advance(bar, answer, spec)

    def _seconds(self, work: Work) -> float:
        """Return about how long an exact pair takes, by the trial of engines if there was one."""
        found = self.store.about().get("trial") or {}
        took = (found.get("milliseconds") or {}).get(found.get("chosen"))
        return float(took) / 1e3 if isinstance(took, int | float) and took > 0 else work.seconds_of_a_pair()

    def _published(self, item: Item) -> int:
        return sum(map(self.store.has, item))

    def _bar(self, spec: RunSpec, parts: Iterable[Part]) -> Bar:
        """Return a bar of the pairs among some parts."""
        tiles = [part for part in parts if isinstance(part, Tile)]
        done = sum(map(spec.n_cells_of, self.store.layout.done(tiles)))
        total = sum(map(spec.n_cells_of, tiles))
        return progress_bar(total, unit="pair", shown=self.progress, initial=done, unit_scale=True)


def _describe(bar: Bar, part: Part) -> None:
    bar.set_description(f"checkpoint {part.step}{_ABOUT.get(type(part), '')}")


def _advance(bar: Bar, answer: Answer, spec: RunSpec) -> None:
    if isinstance(answer.part, Tile):
        bar.update(spec.n_cells_of(answer.part))


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
