"""Is a run folder whole and true to itself?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from transference.errors import StoreError
from transference.plan import RunSpec, Tile
from transference.store._cells import loss_ratios
from transference.store._folder import Store, read_table
from transference.store._schema import CONTROLS, PAIRS, SOURCES, STATUSES, TASKS


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        tiles: tiles that should exist.
        missing: tiles not published yet.
        statuses: cells by status.
        problems: one message per defect; empty for a sound folder.
    """

    tiles: int
    missing: int
    statuses: dict[str, int]
    problems: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every tile is there and sound."""
        return not self.missing and not self.problems


def verify(path: str | Path) -> Verification:
    """Read every file of a run folder and check it against the spec.

    Each file's page checksums are verified, its rows must be exactly those that the tile names, and every ratio and status must be what
    the two losses say: ``loss_after / loss_before``, or NaN where the status is not ``ok``.

    Raises:
        StoreError: the folder is no run folder, or run.json is damaged.
    """
    store = Store(path)
    spec = store.spec()
    problems: list[str] = []
    statuses: Counter[str] = Counter()
    _check_ids(store.tasks_path, TASKS, ("role", "id", "sampler", "index"), _task_ids(spec), problems)
    tiles = [tile for ref in spec.checkpoints for tile in spec.tiles(ref.step)]
    published = [tile for tile in tiles if store.has(tile)]
    for tile in published:
        if not tile.replicate:
            sources = {(i, a) for i in range(*tile.sources) for a in spec.alphas}
            _check_ids(store.sources_path(tile), SOURCES, ("source", "alpha"), sources, problems)
        statuses.update(_check_pairs(store.tile_path(tile), _cells(spec, tile), problems, tile.replicate))
    for ref in spec.checkpoints:
        for targets in spec.target_blocks():
            file = store.self_path(ref.step, targets)
            if file.exists():
                _check_pairs(file, {(j, j, a) for j in range(*targets) for a in spec.alphas}, problems)
            elif len(published) == len(tiles):
                problems.append(f"{file} is missing. Repeat the command in run.json.")
    # Those of unpublished tiles too: a run may be killed between a tile's two files.
    expected = {store.tasks_path, *(store.self_path(ref.step, targets) for ref in spec.checkpoints for targets in spec.target_blocks())}
    first = [tile for tile in tiles if not tile.replicate]
    exact = {store.exact_path(tile, number): tile for tile in first for number in range(_rounds(store))}
    for file in sorted(exact.keys() & set(store.path.rglob("*.parquet"))):
        _check_some_pairs(file, _cells(spec, exact[file]), problems)
    if spec.sampled and len(published) == len(tiles):
        lacking = [tile for tile in first if not store.has_exact(tile, 0)]
        problems += [f"{store.exact_path(tile, 0)} is missing. Repeat the command in run.json." for tile in lacking]
    expected |= exact.keys()
    for ref in spec.checkpoints if spec.controls else ():
        file = store.controls_path(ref.step)
        expected.add(file)
        if file.exists():
            _check_ratios(file, problems, schema=CONTROLS)
        elif len(published) == len(tiles):
            problems.append(f"{file} is missing. Repeat the command in run.json.")
    expected |= {file for tile in tiles for file in store.files(tile)}
    strangers = sorted(set(store.path.rglob("*.parquet")) - expected)
    problems += [f"{file} belongs to no tile of this run. Was it copied from another one? Remove it." for file in strangers]
    return Verification(len(tiles), len(tiles) - len(published), dict(statuses), problems)


def _task_ids(spec: RunSpec) -> set[tuple[str, int, str, int]]:
    roles = (("source", spec.sources), ("target", spec.targets))
    return {
        (role, start + index, tasks.sampler, index)
        for role, sets in roles
        for start, tasks in zip(accumulate((tasks.n for tasks in sets), initial=0), sets, strict=False)
        for index in range(tasks.n)
    }


def _cells(spec: RunSpec, tile: Tile) -> set[tuple[int, int, float]]:
    return {(i, j, a) for i in range(*tile.sources) for j in range(*tile.targets) for a in spec.alphas}


def _check_ids(
    file: Path, schema: pa.Schema, names: Sequence[str], ids: AbstractSet[tuple[Any, ...]], problems: list[str]
) -> pa.Table | None:
    """Return the file's table if its rows are exactly those with these ids."""
    try:
        content = read_table(file, schema)
    except StoreError as error:
        problems.append(str(error))
        return None
    found = list(zip(*(content[name].to_pylist() for name in names), strict=True))
    if len(found) != len(ids) or set(found) != ids:
        problems.append(f"{file} does not hold the {len(ids)} rows that it should. Delete it and repeat the command in run.json.")
        return None
    return content


def _check_pairs(file: Path, cells: set[tuple[int, int, float]], problems: list[str], replicate: int = 0) -> Counter[str]:
    whole = {(*cell, replicate) for cell in cells}
    content = _check_ids(file, PAIRS, ("source", "target", "alpha", "replicate"), whole, problems)
    return Counter() if content is None else _check_ratios(file, problems, content)


def _rounds(store: Store) -> int:
    """Return how many rounds of exact pairs were begun."""
    return 1 + max((int(path.name.removeprefix("round=")) for path in store.path.glob("exact/*/round=*")), default=-1)


def _check_some_pairs(file: Path, cells: AbstractSet[tuple[int, int, float]], problems: list[str]) -> None:
    """Check a file that holds some of these cells."""
    try:
        content = read_table(file, PAIRS)
    except StoreError as error:
        problems.append(str(error))
        return
    found = list(zip(*(content[name].to_pylist() for name in ("source", "target", "alpha")), strict=True))
    if len(found) != len(set(found)) or not set(found) <= cells:
        problems.append(f"{file} holds rows of another tile, or one twice. Delete it and repeat the command in run.json.")
    _check_ratios(file, problems, content)


def _check_ratios(file: Path, problems: list[str], content: pa.Table | None = None, schema: pa.Schema = PAIRS) -> Counter[str]:
    """Check every ratio and status of a file, and return the number of cells of each status."""
    try:
        content = read_table(file, schema) if content is None else content
    except StoreError as error:
        problems.append(str(error))
        return Counter()
    before, after, ratio = (content[name].to_numpy() for name in ("loss_before", "loss_after", "loss_ratio"))
    status = np.array(content["status"].to_pylist())
    ratios, codes = loss_ratios(before, after)
    same = (ratio == ratios) | (np.isnan(ratio) & np.isnan(ratios))
    told = (status == np.array(STATUSES)[codes]) | ((status == "out_of_memory") & np.isnan(after))
    if not (same & told).all():
        problems.append(
            f"{file}: a ratio is not after / before, or a status not what the losses say. Delete it and repeat the command in run.json."
        )
    return Counter(status.tolist())
