"""A stored run, read back as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from transference.blocks import Block, Combined, Strips
from transference.devices import free_memory
from transference.errors import StoreError, UsageError
from transference.plan import parts_of
from transference.spec import RunSpec, TaskSet, Tile
from transference.store._files import read_in_turn
from transference.store._folder import Store
from transference.store._layout import Layout
from transference.store._matrices import Matrices, overlap, ranges, read_matrices, read_strips
from transference.store._schema import CONTROL_NAMES, OLD_CONTROL_NAMES, controls_schema, pairs_schema
from transference.store._view import mode_names

if TYPE_CHECKING:
    import transference


_WHOLE = 2**24
"""Pairs of a checkpoint up to which `Run.tables` gives matrices: a third of a gigabyte."""

_ROW, _TEMPERED = 150, 120
"""Bytes that a row of `Run.pairs` takes at least while it is made, in Arrow, in pandas, and sorted; and how many more
where losses were read at their best temperature too."""


class Progress(NamedTuple):
    """Tiles published, and tiles in all."""

    done: int
    total: int


class Run:
    """One run folder, for reading. Every table is a pandas DataFrame in an order that does not depend on the tiling.

    Args:
        path: the folder.
        spec: of a run that may not have begun; by default it is read from the folder.

    Raises:
        StoreError: it is no run folder, or run.json is damaged.
    """

    def __init__(self, path: str | Path, spec: RunSpec | None = None) -> None:
        self.path = Path(path)
        self._store = Store(path)
        self.spec = self._store.spec() if spec is None else spec

    def __repr__(self) -> str:
        done, total = self.progress()
        return f"Run({str(self.path)!r}: {self.spec.n_source} sources × {self.spec.n_target} targets, {done} of {total} tiles)"

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the rows of ``pairs(None)`` to any library of tables: ``polars.DataFrame(run)``, ``pyarrow.table(run)``.

        Raises:
            StoreError: tiles are missing or damaged.
        """
        return pa.Table.from_pandas(self.pairs(None), preserve_index=False).__arrow_c_stream__(requested_schema)

    @property
    def _layout(self) -> Layout:
        return self._store.layout

    @property
    def steps(self) -> tuple[int, ...]:
        """The checkpoints' steps, ascending."""
        return tuple(ref.step for ref in self.spec.checkpoints)

    @property
    def alphas(self) -> tuple[float, ...]:
        """The step sizes."""
        return self.spec.alphas

    def about(self) -> dict[str, Any]:
        """Return the content of run.json."""
        return self._store.about()

    def progress(self) -> Progress:
        """Return how many tiles are published; those of the sample that is measured exactly count too, as far as it can be told."""
        tiles = list(self._tiles())
        sampled = [tile for tile in tiles if tile.replicate == 0] if self.spec.sampled else []
        if not self._store.begun:
            return Progress(0, len(tiles) + len(sampled))
        done = len(self._layout.done(tiles)) + len(self._layout.done_exactly(sampled, 0))
        return Progress(done, len(tiles) + len(sampled))

    @property
    def finished(self) -> bool:
        """Whether all that the spec tells of is published; further rounds of exact pairs, which depend on the first, are not told."""
        return all(self._store.has(part) for step in self.steps for part in parts_of(self.spec, step))

    def shards_at_work(self) -> list[str]:
        """Return the shards that compute now, such as ``"3/8"``, each a process that was given ``--shard``."""
        return [str(shard) for shard in self._store.shards_at_work()]

    def done(self) -> pd.DataFrame:
        """Return how much of each checkpoint is there, finished or not: tiles, and how many of them are done."""
        rows = []
        for step in self.steps:
            tiles = list(self.spec.tiles(step))
            rows.append({"checkpoint_step": step, "tiles": len(tiles), "done": len(self._layout.done(tiles))})
        return pd.DataFrame(rows)

    def failed(self) -> Counter[str]:
        """Return how many cells of the table failed, in all replicates, by status; an empty count where none did.

        Of a calibrated run those count of which nothing can be told: pairs whose estimate is no number, and exact pairs without a ratio.
        An estimate at or below 0 has no ratio, and calibrates all the same.

        Raises:
            StoreError: files are missing or damaged.
        """
        self._check_complete()
        calibrated = self.spec.calibrated
        found: Counter[str] = Counter()
        for _, rows in self._read(["loss_before", "loss_after", "loss_ratio", "status"]):
            status = rows["status"].cast(pa.string())
            lost = pa.compute.not_equal(status, "ok")
            if calibrated:
                before, after = (rows[name].to_numpy() for name in ("loss_before", "loss_after"))
                lost = pa.compute.and_(lost, pa.array(~(np.isfinite(after) & (before > 0) & (before < np.inf))))
            for one in pa.compute.value_counts(status.filter(lost)).to_pylist():
                found[one["values"]] += one["counts"]
        if calibrated:
            exact = self.exact_pairs()["status"].astype(str)
            found.update(exact[exact != "ok"])
        return found

    def pairs(self, replicate: int | None = 0) -> pd.DataFrame:
        """Return one row per checkpoint, step size, source and target.

        Columns: ``checkpoint_step``, the ids ``source`` and ``target``, ``replicate``, ``source_mode``, ``target_mode``, ``alpha``, both
        losses and their ratio (NaN unless ``status`` is ``ok``), ``first_order`` (what the gradients alone say of its logarithm,
        ``⟨∇L_j, d⟩ / L_j``), accuracies, ``status``; of a run of tempered losses also both temperatures, both losses at
        them, and their ratio, ``tempered_ratio``.

        Args:
            replicate: with which episodes of the tasks; 0, the samplers' own, by default, and None for a row of each.

        Raises:
            UsageError: the run has no such replicate, or memory does not hold all rows.
            StoreError: tiles are missing or damaged.
        """
        self._check_replicate(replicate)
        self._check_complete()
        rows = self.spec.n_cells // (self.spec.replicates if replicate is not None else 1)
        self._check_memory(
            self.steps[0], rows * (_ROW + _TEMPERED * self.spec.tempered), f"{rows:,} rows as a table of pandas"
        )
        frame = _stack([(tile.step, rows) for tile, rows in self._read(None, replicate)])
        self._add_mode(frame, "source", "source_mode")
        self._add_mode(frame, "target", "target_mode")
        return frame.sort_values(["checkpoint_step", "alpha", "source", "target", "replicate"], ignore_index=True)

    def self_transference(self) -> pd.DataFrame:
        """Return, for each target used as its own source, a row as in `pairs`; both ids are the target's. None where sources are modes.

        Tempered columns are there if ``spec.tempered_all``.

        Raises:
            StoreError: a file is missing or damaged.
        """
        blocks = [(step, targets) for step in self.steps for targets in self._layout.own_blocks()]
        parts = [(step, self._layout.self_transference(step, targets).read()) for step, targets in blocks]
        frame = _stack(parts) if parts else self._nothing(pairs_schema)
        self._add_mode(frame, "target", "mode")
        return frame.sort_values(["checkpoint_step", "alpha", "target"], ignore_index=True)

    def exact_pairs(self) -> pd.DataFrame:
        """Return the pairs that were measured exactly beside the estimates, as rows of `pairs`; none in a run that is exact itself.

        They are chosen at random within each mode pair, the same at every checkpoint and step size. The column ``estimate`` holds the ratio
        of the losses that `pairs` has for the pair, which may be negative.

        Raises:
            StoreError: files are missing or damaged.
        """
        if self.spec.sampled and not all(self._store.exact_rounds(self.spec, step) for step in self.steps):
            raise StoreError(
                f"{self.path} lacks exact pairs that belong to it. Repeat the command in its run.json to finish it."
            )
        frame = pd.concat(
            [self._store.sample(self.spec, step).assign(checkpoint_step=step) for step in self.steps], ignore_index=True
        )
        frame.insert(0, "checkpoint_step", frame.pop("checkpoint_step"))
        self._add_mode(frame, "source", "source_mode")
        self._add_mode(frame, "target", "target_mode")
        return frame.sort_values(["checkpoint_step", "alpha", "source", "target"], ignore_index=True)

    def controls(self) -> pd.DataFrame:
        """Return the controls of a few pairs of every mode pair, as rows of `pairs` with a column ``control``; none in a run without.

        ``measured``: the pair itself, exactly. ``zero``: a step of size zero. ``float64``: in double precision. ``resampled``: source and
        target drawn anew from the same classes. ``random_direction``: a step of the same length that knows no source. The pairs are chosen
        at random, the same at every checkpoint and step size; `transference.control_bands` summarises them. Tempered columns are there if
        ``spec.tempered_all``.

        Raises:
            StoreError: a file is missing or damaged.
        """
        steps = self.steps if self.spec.controls else ()
        parts = [(step, self._layout.controls(step).read()) for step in steps]
        frame = _stack(parts) if parts else self._nothing(controls_schema)
        self._add_mode(frame, "source", "source_mode")
        self._add_mode(frame, "target", "target_mode")
        names = [OLD_CONTROL_NAMES.get(name, name) for name in frame["control"]]
        frame["control"] = pd.Categorical(names, categories=list(CONTROL_NAMES))
        return frame.sort_values(["checkpoint_step", "alpha", "control", "source", "target"], ignore_index=True)

    def _nothing(self, schema: Callable[..., pa.Schema]) -> pd.DataFrame:
        """Return a table without rows, of the kind that a schema is of."""
        frame: pd.DataFrame = schema(tempered=self.spec.tempered_all).empty_table().to_pandas()
        return frame.assign(checkpoint_step=0)

    def blocks(self, step: int | None = None) -> Iterator[Block]:
        """Return the table mode pair by mode pair, as matrices: one after the other, in the order of `pairs`.

        Much quicker than `pairs`, and memory holds one checkpoint and step size at a time. See `tables` for what does not fit into it.

        Args:
            step: a checkpoint's, which has to be whole while others may not be; all by default.

        Raises:
            UsageError: there is no such checkpoint, or memory does not hold a step size of one.
            StoreError: tiles are missing or damaged.
        """
        steps = self.steps if step is None else (self.choose_step(step),)
        self._check_complete(steps)
        self._check_memory(steps[0], self._matrices_take(self.spec.replicates), self._matrices_told)
        labels = [ranges(self.modes(role)) for role in ("source", "target")]
        return (
            block for step in steps for alpha in sorted(self.alphas) for block in self._blocks_at(step, alpha, *labels)
        )

    def tables(self, step: int | None = None) -> Iterator[Block | Strips]:
        """Return what `blocks` does where a checkpoint has at most 2²⁴ pairs, and beyond that the same tables to be read strip by strip.

        Memory then holds a few files at a time. Strips are of the samplers' own episodes alone, and know of no combinations.

        Args:
            step: a checkpoint's, which has to be whole while others may not be; all by default.

        Raises:
            UsageError: there is no such checkpoint.
            StoreError: tiles are missing or damaged.
        """
        if self.spec.n_source * self.spec.n_target <= _WHOLE:
            return iter(self.blocks(step))
        steps = self.steps if step is None else (self.choose_step(step),)
        self._check_complete(steps)
        return (table for one in steps for alpha in sorted(self.alphas) for table in self._strips_at(one, alpha))

    def _strips_at(self, step: int, alpha: float) -> Iterator[Strips]:
        sources, targets = (ranges(self.modes(role)) for role in ("source", "target"))
        tiles, accuracies = list(self.spec.tiles(step, 0)), self._accuracies(step)
        for (source_mode, rows), tasks in zip(sources, self.spec.sources, strict=True):
            for (target_mode, columns), others in zip(targets, self.spec.targets, strict=True):
                mine = [tile for tile in tiles if overlap(tile, (rows, columns))]
                files = [self._layout.pairs(tile) for tile in mine]
                yield Strips(
                    checkpoint_step=step,
                    alpha=alpha,
                    source_mode=source_mode,
                    target_mode=target_mode,
                    shape=(rows.stop - rows.start, columns.stop - columns.start),
                    accuracy_before=accuracies[columns],
                    same_tasks=self._same_tasks(tasks, others),
                    tasks=(tasks, others),
                    read=partial(read_strips, files, mine, alpha, (rows, columns)),
                    tempered=self.spec.tempered,
                )

    def _accuracies(self, step: int) -> NDArray[np.float32]:
        """Return the accuracy of each target before any step, ``[n_target]``, with the samplers' own episodes."""
        found = np.full(self.spec.n_target, np.nan, np.float32)
        files = [self._layout.pairs(tile) for tile in self.spec.tiles(step, 0) if tile.sources[0] == 0]
        for rows in read_in_turn(files, ["target", "accuracy_before"]):
            found[rows["target"].to_numpy()] = rows["accuracy_before"].to_numpy()
        return found

    def _same_tasks(self, sources: TaskSet, targets: TaskSet) -> bool:
        """Whether two sets are the same tasks; a combination's task i is made of task i of every sampler, a draw of a mode is no task."""
        if self.spec.updates:
            return False
        return sources == targets or (sources not in self.spec.samplers and targets in self.spec.samplers)

    def _blocks_at(
        self, step: int, alpha: float, sources: list[tuple[str, slice]], targets: list[tuple[str, slice]]
    ) -> Iterator[Block]:
        found = self._matrices(step, alpha)
        others_episodes = [
            self._matrices(step, alpha, replicate).loss_ratio for replicate in range(1, self.spec.replicates)
        ]
        made_of = self._made_of(step, alpha) if self.spec.combine else {}
        modes = [found.loss_ratio[rows] for _, rows in sources[: len(self.spec.samplers)]]
        for (source_mode, rows), tasks in zip(sources, self.spec.sources, strict=True):
            for (target_mode, columns), others in zip(targets, self.spec.targets, strict=True):
                yield Block(
                    checkpoint_step=step,
                    alpha=alpha,
                    source_mode=source_mode,
                    target_mode=target_mode,
                    loss_ratio=found.loss_ratio[rows, columns],
                    change=found.change[rows, columns],
                    first_order=found.first_order[rows, columns],
                    accuracy_before=found.accuracy_before[columns],
                    same_tasks=self._same_tasks(tasks, others),
                    tasks=(tasks, others),
                    redrawn=tuple(ratios[rows, columns] for ratios in others_episodes),
                    combination=Combined.of(*made_of[tasks.sampler], [ratios[:, columns] for ratios in modes])
                    if tasks.sampler in made_of
                    else None,
                    tempered_ratio=None if found.tempered_ratio is None else found.tempered_ratio[rows, columns],
                )

    def _made_of(self, step: int, alpha: float) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return weights and what they leave of the sources of each combination (see `Combined`), by its name; NaN where not known."""
        table = self.sources()
        table = table[(table["checkpoint_step"] == step) & (table["alpha"] == alpha)]
        first, found = sum(tasks.n for tasks in self.spec.samplers), {}
        for tasks in self.spec.sources[len(self.spec.samplers) :]:
            rows = table[(first <= table["source"]) & (table["source"] < first + tasks.n)]
            unknown = np.full(len(self.spec.samplers), np.nan)
            weights = np.array([unknown if one is None else one for one in rows["weights"]])
            found[tasks.sampler] = weights, rows["unexplained"].to_numpy(dtype=np.float64)
            first += tasks.n
        return found

    def too_large(self) -> str:
        """Return why memory does not hold the matrices of one checkpoint and step size, all replicates; empty where it does."""
        return self._lacking(self._matrices_take(self.spec.replicates), self._matrices_told)

    @property
    def _matrices_told(self) -> str:
        return f"the matrices of {self.spec.n_source:,} × {self.spec.n_target:,} pairs"

    def _matrices_take(self, replicates: int) -> int:
        """Return the bytes of the matrices of one checkpoint and step size."""
        a_pair = 8 * (replicates + self.spec.estimates + bool(self.spec.combine) + self.spec.tempered) + 4
        return self.spec.n_source * self.spec.n_target * a_pair

    def _lacking(self, needed: int, what: str) -> str:
        """Return why memory does not hold so many bytes, rather than be killed by the system; empty where it does, or nothing tells."""
        free = free_memory()
        if free is None or needed <= free:
            return ""
        return (
            f"{self.path}: {what} take {needed / 1e9:,.1f} GB of memory, of which {free / 1e9:,.1f} GB are free. "
            "transference summary reads any table file by file (Run.tables()); for this take a machine with more."
        )

    def _check_memory(self, step: int, needed: int, what: str) -> None:
        """Make sure that memory holds so many bytes, of a table whose files bear out how large it is said to be.

        Raises:
            UsageError: it does not.
            StoreError: the first file is missing or damaged, or has other rows than it should.
        """
        self._layout.pairs(next(self.spec.tiles(step, 0))).check()
        if lacking := self._lacking(needed, what):
            raise UsageError(lacking)

    def _matrices(self, step: int, alpha: float, replicate: int = 0) -> Matrices:
        files = [self._layout.pairs(tile) for tile in self.spec.tiles(step, replicate)]
        shape, estimated = (self.spec.n_source, self.spec.n_target), alpha in self.spec.estimated_at
        return read_matrices(files, alpha, shape, estimated=estimated, tempered=self.spec.tempered)

    def sources(self) -> pd.DataFrame:
        """Return one row per checkpoint, step size and source: loss, gradient norm, displacement norm.

        Raises:
            StoreError: a file is missing or damaged.
        """
        tiles = [tile for tile in self._tiles(0) if tile.targets[0] == 0]
        frame = _stack([(tile.step, self._layout.sources(tile).read()) for tile in tiles])
        self._add_mode(frame, "source", "mode")
        return frame.sort_values(["checkpoint_step", "alpha", "source"], ignore_index=True)

    def losses_before(self, step: int | None = None) -> NDArray[np.float64]:
        """Return the loss of each target before any step, ``[n_target]``, with the samplers' own episodes.

        Args:
            step: the checkpoint's step; the last by default.

        Raises:
            UsageError: there is no such checkpoint.
            StoreError: tiles are missing or damaged.
        """
        self._check_complete()
        losses = np.full(self.spec.n_target, np.nan)
        for tile in self.spec.tiles(self.choose_step(step), 0):
            if tile.sources[0] == 0:
                rows = self._layout.pairs(tile).read(["target", "loss_before"])
                losses[rows["target"].to_numpy()] = rows["loss_before"].to_numpy()
        return losses

    def without_ratio(self) -> pd.DataFrame:
        """Return the cells that have no ratio: checkpoint_step, source, target, alpha and status, of the samplers' own episodes.

        Raises:
            StoreError: tiles are missing or damaged.
        """
        self._check_complete()
        names = ["source", "target", "alpha", "status"]
        failed: Callable[[pa.Table], pa.Table] = lambda rows: rows.filter(
            pa.compute.not_equal(rows["status"].cast(pa.string()), "ok")
        )
        return _stack([(tile.step, failed(rows)) for tile, rows in self._read(names, 0)])

    def tasks(self) -> pd.DataFrame:
        """Return one row per task: role, id, sampler and index, mode, split, classes, image ids.

        Raises:
            StoreError: the file is missing or damaged.
        """
        frame: pd.DataFrame = self._layout.tasks.read().to_pandas()
        return frame

    def matrix(
        self, step: int | None = None, alpha: float | None = None, replicate: int = 0, *, tempered: bool = False
    ) -> NDArray[np.float64]:
        """Return the loss ratios ``[n_source, n_target]`` of one checkpoint and step size; NaN where a cell failed.

        Args:
            step: the checkpoint's step; the last by default.
            alpha: the step size; may be left out when there is only one.
            replicate: with which episodes of the tasks.
            tempered: of the losses at their best temperature, before and after, instead.

        Raises:
            UsageError: there is no such checkpoint, step size or replicate, the losses were not read at their best
                temperature, or memory does not hold it.
            StoreError: tiles are missing or damaged.
        """
        step, alpha = self.choose_step(step), self.choose_alpha(alpha)
        self._check_replicate(replicate)
        if tempered:
            self._check_tempered()
        self._check_memory(step, self._matrices_take(1), self._matrices_told)
        found = self._matrices(step, alpha, replicate)
        return found.loss_ratio if found.tempered_ratio is None or not tempered else found.tempered_ratio

    def temperatures(self, replicate: int = 0) -> pd.DataFrame:
        """Return the best temperature of each target mode before a step, and after the step on each source.

        Columns: ``checkpoint_step``, ``alpha``, ``source``, ``source_mode``, ``target_mode``, ``temperature_before``
        and ``temperature_after``: the ends of `transference.spec.TEMPERATURES` where there is no best one within.

        Args:
            replicate: with which episodes of the tasks.

        Raises:
            UsageError: the run has no such replicate, or its losses were not read at their best temperature.
            StoreError: tiles are missing or damaged.
        """
        self._check_replicate(replicate)
        self._check_tempered()
        self._check_complete()
        names = ["source", "target", "alpha", "temperature_before", "temperature_after"]
        firsts = np.cumsum([0, *(tasks.n for tasks in self.spec.targets)])[:-1]
        of_modes: Callable[[pa.Table], pa.Table] = lambda rows: rows.filter(
            pa.array(np.isin(rows["target"].to_numpy(), firsts))
        )
        frame = _stack([(tile.step, of_modes(rows)) for tile, rows in self._read(names, replicate)])
        self._add_mode(frame, "source", "source_mode")
        self._add_mode(frame, "target", "target_mode")
        order = ["checkpoint_step", "alpha", "source", "target"]
        return frame.sort_values(order, ignore_index=True).drop(columns="target")

    def _check_tempered(self) -> None:
        """Make sure that losses were read at their best temperature.

        Raises:
            UsageError: they were not.
        """
        if not self.spec.tempered:
            raise UsageError(
                f"{self.path} has no tempered losses. Measure it with --tempered (in Python tempered=True) into "
                "another --out."
            )

    def choose_step(self, step: int | None) -> int:
        """Return ``step`` if the run has it, the last one for None.

        Raises:
            UsageError: the run has no such checkpoint.
        """
        if step is None:
            return self.steps[-1]
        if step not in self.steps:
            raise UsageError(f"{self.path} has no checkpoint at step {step}; it has {', '.join(map(str, self.steps))}.")
        return step

    def choose_alpha(self, alpha: float | None) -> float:
        """Return ``alpha`` if the run has it, the only one for None.

        Raises:
            UsageError: the run has no such step size, or several and none was named.
        """
        if alpha is None and len(self.alphas) == 1:
            return self.alphas[0]
        if alpha not in self.alphas:
            found = ", ".join(map(str, self.alphas))
            if alpha is None:
                raise UsageError(
                    f"{self.path} has the step sizes {found}, and none was named. Shares depend on the step: choose one with --alpha."
                )
            raise UsageError(f"{self.path} was measured at the step sizes {found}; {alpha} was asked for.")
        return float(alpha)

    def explore(self, **options: Any) -> transference.Explorer:  # noqa: ANN401 - of ExploreOptions
        """Return this run as a page in which every pair can be looked at; a notebook shows it.

        Args:
            options: of `transference.ExploreOptions`.

        Raises:
            UsageError: the run lacks a checkpoint or step size that was asked for, or is too large for a page.
            StoreError: the run is incomplete or damaged.
        """
        import transference  # by the front door: this room knows none that shows

        return transference.Explorer(self, transference.ExploreOptions(**options))

    def _add_mode(self, frame: pd.DataFrame, role: str, column: str) -> None:
        """Add the mode of each row's task, a categorical in the order of the spec."""
        labels = self.modes(role)
        values = pd.Categorical(np.array(labels)[frame[role].to_numpy()], categories=list(dict.fromkeys(labels)))
        frame.insert(frame.columns.tolist().index("alpha"), column, pd.Series(values, index=frame.index))

    def modes(self, role: str) -> list[str]:
        """Return the mode of each task, by id, as the tables name it: with its split, or by sampler, where that tells the samplers apart.

        Args:
            role: ``"source"`` or ``"target"``.
        """
        return mode_names(self.tasks(), role)[1]

    def _check_replicate(self, replicate: int | None) -> None:
        """Make sure that the run has a replicate.

        Raises:
            UsageError: it has not.
        """
        if replicate is not None and not 0 <= replicate < self.spec.replicates:
            raise UsageError(
                f"Replicate {replicate} of {self.path} was asked for; it has {self.spec.replicates}, numbered from 0."
            )

    def _check_complete(self, steps: Collection[int] | None = None) -> None:
        """Make sure that every tile is there, of some checkpoints or of all.

        Raises:
            StoreError: some are not.
        """
        tiles = [tile for tile in self._tiles() if steps is None or tile.step in steps]
        done = len(self._layout.done(tiles)) if self._store.begun else 0
        if done < len(tiles):
            raise StoreError(
                f"{self.path} is incomplete: {done} of {len(tiles)} tiles. Repeat the command in its run.json to finish it."
            )

    def _read(self, names: Sequence[str] | None, replicate: int | None = None) -> Iterator[tuple[Tile, pa.Table]]:
        """Yield each tile of one replicate or of all, with these columns of its pairs."""
        tiles = list(self._tiles(replicate))
        return zip(tiles, read_in_turn(map(self._layout.pairs, tiles), names), strict=True)

    def _tiles(self, replicate: int | None = None) -> Iterator[Tile]:
        return (tile for step in self.steps for tile in self.spec.tiles(step, replicate))


def _stack(parts: list[tuple[int, pa.Table]]) -> pd.DataFrame:
    tables = [
        part.add_column(0, "checkpoint_step", pa.repeat(pa.scalar(step, pa.int64()), len(part))) for step, part in parts
    ]
    frame: pd.DataFrame = pa.concat_tables(tables).unify_dictionaries().to_pandas()
    return frame


def open_run(path: str | Path) -> Run:
    """Open a run folder for reading.

    Raises:
        StoreError: it is no run folder, or run.json is damaged.
    """
    return Run(path)
