"""Which files a run folder has, where they lie, and whose they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from transference.plan import ControlSet, ExactTile, OwnBlock, Part
from transference.spec import RunSpec, Tile
from transference.store._files import TableFile
from transference.store._schema import PAIRS, TASKS, controls_schema, pairs_schema, sources_schema

FOLDERS = ("pairs", "sources", "self_transference", "controls", "exact")
"""Those of a run folder; in each one folder per checkpoint."""


@dataclass(frozen=True)
class Layout:
    """The files of one run.

    Attributes:
        path: the folder.
        spec: the measurement.
        labelled: whether every file says whose it is; those of version 0.1 do not.
        by_checkpoint: whether a file says so of its checkpoint alone; those of version 0.2 name all that the run has.
    """

    path: Path
    spec: RunSpec
    labelled: bool = True
    by_checkpoint: bool = True

    @property
    def tasks(self) -> TableFile:
        """One row per task."""
        return self._file(self.path / "tasks.parquet", TASKS, self.spec.n_source + self.spec.n_target, kind="tasks")

    def pairs(self, tile: Tile) -> TableFile:
        """The pairs of a tile."""
        path = self._folder("pairs", tile.step) / _tile_name(tile)
        schema = pairs_schema(tempered=self.spec.tempered)
        return self._file(path, schema, self.spec.n_cells_of(tile), kind="pairs", **_place(tile))

    def sources(self, tile: Tile) -> TableFile:
        """The sources of a tile; the tiles of other target blocks give the same rows, and write the same file."""
        path = self._folder("sources", tile.step) / _sources_name(tile)
        rows = (tile.sources[1] - tile.sources[0]) * len(self.spec.alphas)
        schema = sources_schema(combined=bool(self.spec.combine))
        return self._file(path, schema, rows, kind="sources", checkpoint_step=tile.step, sources=list(tile.sources))

    def of(self, part: Part) -> list[TableFile]:
        """The files of a part; of a tile its pairs, and in the first replicate its sources."""
        if isinstance(part, OwnBlock):
            return [self.self_transference(part.step, part.targets)]
        if isinstance(part, ExactTile):
            return [self.exact(part.tile, part.number)]
        if isinstance(part, ControlSet):
            return [self.controls(part.step)]
        return [self.pairs(part), *([] if part.replicate else [self.sources(part)])]

    def self_transference(self, step: int, targets: tuple[int, int]) -> TableFile:
        """The self-transference of a block of targets at one checkpoint."""
        path = self._folder("self_transference", step) / f"self-{targets[0]:06d}.parquet"
        rows, schema = (targets[1] - targets[0]) * len(self.spec.alphas), pairs_schema(tempered=self.spec.tempered_all)
        return self._file(path, schema, rows, kind="self_transference", checkpoint_step=step, targets=list(targets))

    def exact(self, tile: Tile, number: int) -> TableFile:
        """Those pairs of a tile that are measured exactly beside the estimates, in one round."""
        path = self._folder("exact", tile.step) / _round(number) / _tile_name(tile)
        return self._file(path, PAIRS, None, kind="exact", **_place(tile), round=number)

    def controls(self, step: int) -> TableFile:
        """The controls at one checkpoint."""
        path = self._folder("controls", step) / "controls.parquet"
        schema = controls_schema(tempered=self.spec.tempered_all)
        return self._file(path, schema, None, kind="controls", checkpoint_step=step)

    def tiles(self, replicate: int | None = None) -> Iterator[Tile]:
        """Yield the tiles of all checkpoints, of one replicate or of all in turn."""
        return (tile for ref in self.spec.checkpoints for tile in self.spec.tiles(ref.step, replicate))

    def done(self, tiles: Iterable[Tile]) -> list[Tile]:
        """Return which of some tiles are published: one listing of each folder, however many there are."""
        names = cache(lambda folder, step: _files_in(self._folder(folder, step)))
        return [
            tile
            for tile in tiles
            if _tile_name(tile) in names("pairs", tile.step)
            and (tile.replicate or _sources_name(tile) in names("sources", tile.step))
        ]

    def done_exactly(self, tiles: Iterable[Tile], number: int) -> list[Tile]:
        """Return of which of some tiles the pairs that are measured exactly beside the estimates are published, in one round."""
        names = cache(lambda step: _files_in(self._folder("exact", step) / _round(number)))
        return [tile for tile in tiles if _tile_name(tile) in names(tile.step)]

    def exact_files(self) -> Iterator[tuple[Tile, TableFile]]:
        """Yield what is published of the pairs measured exactly beside the estimates, round by round, each with its tile."""
        names = {path.name for path in (self.path / "exact").glob("*/round=*")}
        for number in range(len(names)) if self.spec.sampled else ():
            if _round(number) not in names:
                return
            for tile in self.done_exactly(self.tiles(0), number):
                yield tile, self.exact(tile, number)

    def own_blocks(self) -> Iterator[tuple[int, int]]:
        """Yield the blocks of targets that are their own sources too; none where sources are modes."""
        return iter(()) if self.spec.updates else self.spec.target_blocks()

    def published(self) -> Iterator[TableFile]:
        """Yield every file of the run that is there."""
        files = [self.tasks, *(file for tile in self.tiles() for file in self.of(tile))]
        for ref in self.spec.checkpoints:
            files += [self.self_transference(ref.step, targets) for targets in self.own_blocks()]
            files += [self.controls(ref.step)] if self.spec.controls else []
        names = cache(_files_in)
        yield from (
            file for file in {file.path: file for file in files}.values() if file.path.name in names(file.path.parent)
        )
        yield from (file for _, file in self.exact_files())

    def _folder(self, name: str, step: int) -> Path:
        """Return one of `FOLDERS` of one checkpoint; made once, since paths are slow to make."""
        if (name, step) not in self._folders:
            self._folders[name, step] = self.path / name / _partition(step)
        return self._folders[name, step]

    @cached_property
    def _folders(self) -> dict[tuple[str, int], Path]:
        return {}

    def _file(self, path: Path, schema: pa.Schema, rows: int | None, **place: Any) -> TableFile:  # noqa: ANN401 - plain values
        whose = self._digests.get(place.get("checkpoint_step"), self._digests[None])
        return TableFile(path, schema, {**place, "spec": whose}, self.labelled, rows)

    @cached_property
    def _digests(self) -> Mapping[int | None, str]:
        """What names the part of the run at each checkpoint, and under None what belongs to all."""
        if not self.by_checkpoint:
            return {None: self.spec.digest}
        return {
            None: self.spec.digest_of(),
            **{ref.step: self.spec.digest_of(ref.step) for ref in self.spec.checkpoints},
        }


def folders_of(path: Path, step: int) -> list[Path]:
    """Return the folders of one checkpoint in a run folder, there or not."""
    return [path / name / _partition(step) for name in FOLDERS]


def _partition(step: int) -> str:
    return f"checkpoint_step={step:08d}"


def _round(number: int) -> str:
    return f"round={number}"


def _sources_name(tile: Tile) -> str:
    return f"sources-{tile.sources[0]:06d}.parquet"


def _tile_name(tile: Tile) -> str:
    again = f"-replicate-{tile.replicate}" if tile.replicate else ""
    return f"tile-{tile.sources[0]:06d}-{tile.targets[0]:06d}{again}.parquet"


def _place(tile: Tile) -> dict[str, Any]:
    return {
        "checkpoint_step": tile.step,
        "sources": list(tile.sources),
        "targets": list(tile.targets),
        "replicate": tile.replicate,
    }


def _files_in(folder: Path) -> frozenset[str]:
    """Return the names of a folder's files; none of one that is not there."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
