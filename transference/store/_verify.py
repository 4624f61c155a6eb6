"""Is a run folder whole and true to itself?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from transference.errors import StoreError
from transference.plan import RunSpec, Tile
from transference.store._folder import Store, read_table
from transference.store._schema import PAIRS, SOURCES, STATUSES, TASKS


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

    Each file's page checksums are verified, its rows must be exactly those that the tile names, and every ratio must be
    ``loss_after / loss_before``, or NaN where the status is not ``ok``.

    Raises:
        StoreError: the folder is no run folder, or run.json is damaged.
    """
    store = Store(path)
    spec = store.spec()
    problems: list[str] = []
    statuses: Counter[str] = Counter()
    tiles = [tile for ref in spec.checkpoints for tile in spec.tiles(ref.step)]
    published = [tile for tile in tiles if store.has(tile)]
    expected = {store.path / "tasks.parquet"}
    checks = [(store.path / "tasks.parquet", TASKS, spec.n_source + spec.n_target)]
    for tile in published:
        file = store.tile_path(tile)
        expected |= {file, store.sources_path(tile)}
        checks.append((store.sources_path(tile), SOURCES, (tile.sources[1] - tile.sources[0]) * len(spec.alphas)))
        statuses.update(_check_pairs(file, _cells(spec, tile), problems))
    for ref in spec.checkpoints:
        if store.has_self_transference(ref.step):
            expected.add(store.self_path(ref.step))
            _check_pairs(store.self_path(ref.step), {(j, j, a) for j in range(spec.n_target) for a in spec.alphas}, problems)
        elif len(published) == len(tiles):
            problems.append(f"{store.self_path(ref.step)} is missing. Repeat the command in run.json.")
    for file, schema, n_rows in checks:
        _check_rows(file, schema, n_rows, problems)
    strangers = sorted(set(store.path.rglob("*.parquet")) - expected)
    problems += [f"{file} belongs to no tile of this run. Was it copied from another one? Remove it." for file in strangers]
    return Verification(len(tiles), len(tiles) - len(published), dict(statuses), problems)


def _cells(spec: RunSpec, tile: Tile) -> set[tuple[int, int, float]]:
    return {(i, j, a) for i in range(*tile.sources) for j in range(*tile.targets) for a in spec.alphas}


def _check_rows(file: Path, schema: pa.Schema, n_rows: int, problems: list[str]) -> pa.Table | None:
    try:
        content = read_table(file, schema)
    except StoreError as error:
        problems.append(str(error))
        return None
    if len(content) != n_rows:
        problems.append(f"{file} has {len(content)} rows instead of {n_rows}. Delete it and repeat the command in run.json.")
        return None
    return content


def _check_pairs(file: Path, cells: set[tuple[int, int, float]], problems: list[str]) -> Counter[str]:
    content = _check_rows(file, PAIRS, len(cells), problems)
    if content is None:
        return Counter()
    ids = zip(*(content[name].to_pylist() for name in ("source", "target", "alpha")), strict=True)
    before, after, ratio = (content[name].to_numpy() for name in ("loss_before", "loss_after", "loss_ratio"))
    status = np.array(content["status"].to_pylist())
    ok = status == "ok"
    with np.errstate(all="ignore"):
        sound = np.where(ok, ratio == after / before, np.isnan(ratio))
    if set(ids) != cells or not sound.all() or not set(status) <= set(STATUSES):
        problems.append(f"{file} does not hold the cells it should, or a ratio is not after / before. Delete it and repeat the command.")
    return Counter(status.tolist())
