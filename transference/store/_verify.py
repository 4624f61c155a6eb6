"""Is a run folder whole and true to itself?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transference.errors import StoreError
from transference.plan import Owners, Shard
from transference.spec import Tile
from transference.store._cells import loss_ratios, tempered_ratios
from transference.store._files import TableFile
from transference.store._folder import Store
from transference.store._layout import FOLDERS, Layout
from transference.store._lock import is_lock, shards_seen
from transference.store._schema import CONTROL_NAMES, OLD_CONTROL_NAMES, STATUSES
from transference.store._sound import SOUND
from transference.store._view import VIEW

_MEND = "Delete it and repeat the command in run.json."

_TOLERANCE = 1e-5
"""How far the losses before of one target may be apart, relative to the loss or, where that is smaller, to 1. Tiles, controls and exact
pairs may be computed by different engines, in blocks of different sizes; these keep five digits of a float32 loss, and of a small one no
more than its logarithms and squares have."""

_TEMPERED = ("temperature_before", "temperature_after", "tempered_before", "tempered_after")
"""The columns that a tempered ratio follows from."""

_OF_OTHER_EPISODES = ("float64", "resampled", "fresh")
"""Controls whose losses before are not those of the table."""

_SHOWN = 5


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        tiles: tiles that should exist.
        missing: tiles not published yet.
        statuses: cells by status.
        problems: one message per defect; empty for a sound folder.
        notes: what is worth knowing and is no defect: files that are no part of the run, a folder of version 0.1.
    """

    tiles: int
    missing: int
    statuses: dict[str, int]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every tile is there and sound."""
        return not self.missing and not self.problems


def verify(path: str | Path) -> Verification:
    """Read every file of a run folder and check it against the spec, and against the others.

    Each file must be the one that was written for its place, which its label and the digests of its columns tell; have exactly the rows
    that the spec asks for, in their order; and each row the status and the ratio that follow from its losses. The loss of a target at θ
    must be the same wherever it stands (tiles, controls, exact pairs, self-transference), up to 1e-5 of the loss or of 1, whichever is
    larger.

    Raises:
        StoreError: the folder is no run folder, or run.json is damaged.
    """
    return _Verifier(Store(path).layout).run()


class _Verifier:
    """Goes through a folder, and keeps what it found."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._spec = layout, layout.spec
        self._statuses: Counter[str] = Counter()
        self._problems: list[str] = []
        self._notes: list[str] = []
        self._before: dict[tuple[int, int, int], tuple[float, Path]] = {}
        """The loss at θ of each checkpoint, replicate and target, and where it was read first."""

    def run(self) -> Verification:
        """Check every file of the run."""
        tiles = list(self._layout.tiles())
        done = set(self._layout.done(tiles))
        missing = [tile for tile in tiles if tile not in done]
        if not self._layout.labelled:
            self._notes.append(
                f"{self._layout.path} was written by version 0.1, whose files do not say whose they are: that none was exchanged for "
                "another is known only as far as rows and losses tell"
            )
        self._check_tasks()
        for tile in tiles:
            self._check_tile(tile)
        for ref in self._spec.checkpoints:
            self._check_step(ref.step, complete=not missing)
        for tile, file in self._layout.exact_files():
            self._check_exact(tile, file)
        if self._spec.sampled and not missing:
            self._require(*(self._layout.exact(tile, 0) for tile in self._layout.tiles(0)))
        if missing:
            absent = next(file for file in self._layout.of(missing[0]) if not file.exists())
            self._notes.append(
                f"{len(missing)} of {len(tiles)} tiles are not there, the first: {absent.path}. Repeat the command in run.json to finish it"
            )
            self._notes += [*_where(missing), *self._whose(missing)]
        self._name_strangers()
        return Verification(len(tiles), len(missing), dict(self._statuses), self._problems, self._notes)

    def _whose(self, missing: Sequence[Tile]) -> list[str]:
        """Return which shards have not finished, where the run was begun by shards."""
        found = [
            str(Shard(number, of))
            for of in sorted({shard.of for shard in shards_seen(self._layout.path)})
            for number in sorted(set(map(Owners(self._spec, of), missing)))
        ]
        return [f"of its shards these are not finished: {_few(found)}"] if found else []

    def _check_tasks(self) -> None:
        content = self._read(self._layout.tasks)
        if content is None:
            return
        roles = (("source", self._spec.sources), ("target", self._spec.targets))
        expected = [
            (role, start + index, tasks.sampler, index)
            for role, sets in roles
            for start, tasks in zip(accumulate((tasks.n for tasks in sets), initial=0), sets, strict=False)
            for index in range(tasks.n)
        ]
        found = list(zip(*(content[name].to_pylist() for name in ("role", "id", "sampler", "index")), strict=True))
        if found != expected:
            self._problems.append(
                f"{self._layout.tasks.path} does not name the tasks of this run, in their order. {_MEND}"
            )

    def _check_tile(self, tile: Tile) -> None:
        alphas, sources, targets = self._spec.alphas, range(*tile.sources), range(*tile.targets)
        pairs, own = self._layout.pairs(tile), self._layout.sources(tile)
        if pairs.exists() and (content := self._read(pairs)) is not None:
            self._check_ids(pairs, content, source=sources, alpha=alphas, target=targets)
            self._statuses.update(self._check_cells(pairs, content, tile.step, tile.replicate))
        if own.exists() and not tile.replicate and not tile.targets[0] and (content := self._read(own)) is not None:
            self._check_ids(own, content, source=sources, alpha=alphas)

    def _check_step(self, step: int, *, complete: bool) -> None:
        """Check what there is once for a checkpoint, or for a block of its targets."""
        for targets in self._layout.own_blocks():
            file = self._layout.self_transference(step, targets)
            if file.exists() and (content := self._read(file)) is not None:
                self._check_ids(file, content, target=range(*targets), alpha=self._spec.alphas)
                if content["source"].to_pylist() != content["target"].to_pylist():
                    self._problems.append(f"{file.path} has rows whose source is not the target itself. {_MEND}")
                self._check_cells(file, content, step)
            if complete:
                self._require(file)
        if self._spec.controls:
            file = self._layout.controls(step)
            if file.exists() and (content := self._read(file)) is not None:
                self._check_controls(file, content)
                self._check_cells(file, content, step)
            if complete:
                self._require(file)

    def _check_controls(self, file: TableFile, content: pa.Table) -> None:
        """Check that every control has the same pairs, so many of every mode pair, at every step size."""
        most = self._spec.controls
        each = (self._spec.most_controlled, self._spec.sources), (most, self._spec.targets)
        sizes = [[min(tasks.n, some) for tasks in sets] for some, sets in each]
        n_rows = len(self._spec.alphas) * sum(min(most, n * m) for n in sizes[0] for m in sizes[1])
        frame = content.select(["control", "source", "target", "alpha"]).to_pandas()
        cells = [
            set(zip(*(rows[name] for name in frame.columns[1:]), strict=True))
            for _, rows in frame.groupby("control", observed=True)
        ]
        names = frame["control"].unique()
        sound = (
            "measured" in names
            and set(names) <= {*CONTROL_NAMES, *OLD_CONTROL_NAMES}
            and len(frame) == n_rows * len(names)
        )
        if not (sound and all(some == cells[0] and len(some) == n_rows for some in cells) and self._within(content)):
            self._problems.append(f"{file.path} does not hold the controls that it should. {_MEND}")

    def _check_exact(self, tile: Tile, file: TableFile) -> None:
        content = self._read(file)
        if content is None:
            return
        cells = list(zip(*(content[name].to_pylist() for name in ("source", "target", "alpha")), strict=True))
        if len(set(cells)) < len(cells) or not self._within(content, tile.sources, tile.targets):
            self._problems.append(f"{file.path} holds rows of another tile, or one twice. {_MEND}")
        self._check_cells(file, content, tile.step)

    def _within(
        self, content: pa.Table, sources: tuple[int, int] | None = None, targets: tuple[int, int] | None = None
    ) -> bool:
        """Whether all ids lie in these ranges, by default the run's, and all step sizes are the run's."""
        spans = {"source": sources or (0, self._spec.n_source), "target": targets or (0, self._spec.n_target)}
        ids = {name: content[name].to_numpy() for name in spans}
        inside = all(bool(((low <= ids[name]) & (ids[name] < high)).all()) for name, (low, high) in spans.items())
        return inside and bool(np.isin(content["alpha"].to_numpy(), self._spec.alphas).all())

    def _check_ids(self, file: TableFile, content: pa.Table, **ids: Sequence[float]) -> None:
        """Check that the rows are all combinations of these ids, the last named running fastest; in version 0.1 in any order."""
        expected = [
            grid.ravel() for grid in np.meshgrid(*(np.asarray(list(values)) for values in ids.values()), indexing="ij")
        ]
        found = [content[name].to_numpy() for name in ids]
        if not self._layout.labelled:
            expected, found = ([column[np.lexsort(columns)] for column in columns] for columns in (expected, found))
        if not all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True)):
            self._problems.append(
                f"{file.path} does not hold the {file.rows} rows that it should, in their order. {_MEND}"
            )

    def _check_cells(self, file: TableFile, content: pa.Table, step: int, replicate: int = 0) -> Counter[str]:
        """Check what each row says by itself, and its loss at θ against other files; return the number of rows of each status."""
        before, after, ratio = (content[name].to_numpy() for name in ("loss_before", "loss_after", "loss_ratio"))
        status = np.array(content["status"].to_pylist(), dtype=object)
        expected, codes = loss_ratios(before, after)
        follows = (status == np.array(STATUSES, dtype=object)[codes]) & (
            (ratio == expected) | (np.isnan(ratio) & np.isnan(expected))
        )
        follows |= (status == "out_of_memory") & np.isnan(after) & np.isnan(ratio)
        if not follows.all():
            self._problems.append(
                f"{file.path}: a ratio is not after / before, or a status is not what the losses say. {_MEND}"
            )
        if "tempered_ratio" in content.column_names:
            tempered = [content[name].to_numpy() for name in _TEMPERED]
            if not np.array_equal(
                content["tempered_ratio"].to_numpy(), tempered_ratios(ratio, *tempered), equal_nan=True
            ):
                self._problems.append(f"{file.path}: a tempered ratio is not what its losses say. {_MEND}")
        if not (content["replicate"].to_numpy() == replicate).all():
            self._problems.append(f"{file.path} holds rows of another replicate than {replicate}. {_MEND}")
        of_table = (
            ~np.isin(content["control"].to_pylist(), _OF_OTHER_EPISODES)
            if "control" in content.column_names
            else slice(None)
        )
        self._hold_equal(file.path, step, replicate, content["target"].to_numpy()[of_table], before[of_table])
        return Counter(status.tolist())

    def _hold_equal(
        self, file: Path, step: int, replicate: int, targets: NDArray[np.int32], losses: NDArray[np.float64]
    ) -> None:
        """Check that the loss of each target at θ is the same in all rows, here and wherever it was read before."""
        ids, first, inverse = np.unique(targets, return_index=True, return_inverse=True)
        known = [
            self._before.setdefault((step, replicate, j), (losses[k], file))
            for j, k in zip(ids.tolist(), first, strict=True)
        ]
        there = np.array([loss for loss, _ in known])[inverse]
        apart = ~np.isclose(losses, there, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
        if apart.any():
            row = int(np.flatnonzero(apart)[0])
            other = known[inverse[row]][1]
            self._problems.append(
                f"{file} gives target {targets[row]} the loss {losses[row]:.8g} before any step, where {other} has {there[row]:.8g}: one "
                "of the two is of another measurement. Delete both and repeat the command in run.json."
            )

    def _read(self, file: TableFile) -> pa.Table | None:
        try:
            return file.read()
        except StoreError as error:
            self._problems.append(str(error))
            return None

    def _require(self, *files: TableFile) -> None:
        self._problems += [
            f"{file.path} is missing. Repeat the command in run.json." for file in files if not file.exists()
        ]

    def _name_strangers(self) -> None:
        """Name what lies in the folder and is no part of the run: a problem where whoever opens the folder as it is would read it."""
        root = self._layout.path
        ours = {root / name for name in ("run.json", VIEW, SOUND)} | {file.path for file in self._layout.published()}
        there = (path for path in root.rglob("*") if path.is_file() and path not in ours)
        strangers = sorted((path for path in there if path.parent != root or not is_lock(path.name)), key=str)
        read = [path for path in strangers if path.suffix == ".parquet" and path.relative_to(root).parts[0] in FOLDERS]
        self._problems += [
            f"{path} belongs to no tile of this run. Was it copied from another one? Remove it." for path in read
        ]
        if others := [str(path.relative_to(root)) for path in strangers if path not in read]:
            self._notes.append(f"not of the run, and not read: {_few(others)}")


def _where(missing: Sequence[Tile]) -> list[str]:
    """Return which sources lack tiles, at each checkpoint and replicate."""
    found: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for tile in missing:
        found.setdefault((tile.step, tile.replicate), set()).add(tile.sources)
    lines = [
        f"missing at checkpoint {step}{f', replicate {replicate}' if replicate else ''}: tiles of the sources "
        + _few([f"{first} to {stop - 1}" for first, stop in _joined(sorted(blocks))])
        for (step, replicate), blocks in found.items()
    ]
    more = [f"tiles are missing at {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [*lines[:_SHOWN], *more]


def _joined(blocks: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return half-open ranges of ids, those that touch as one."""
    found: list[tuple[int, int]] = []
    for first, stop in blocks:
        touches = found and found[-1][1] == first
        found[-1 if touches else len(found) :] = [(found[-1][0] if touches else first, stop)]
    return found


def _few(names: Sequence[str]) -> str:
    """Return the first of some names, and how many there are beside them."""
    return ", ".join(names[:_SHOWN]) + (f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
