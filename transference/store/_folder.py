"""Reading and writing the files of a run folder.

``run.json``, ``tasks.parquet``, and under ``pairs/``, ``sources/``, ``self_transference/`` and ``controls/`` one folder per checkpoint. A
file is written aside, fsynced and renamed: under its final name it is whole, and a killed run leaves nothing behind that could be mistaken
for a result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from transference.errors import SpecMismatchError, StoreError
from transference.files import write_aside
from transference.plan import RunSpec, Tile
from transference.store._schema import PAIRS, SOURCES


class Store:
    """One run folder.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def run_json(self) -> Path:
        """The file with the spec and how it was run."""
        return self.path / "run.json"

    @property
    def tasks_path(self) -> Path:
        """The file with one row per task."""
        return self.path / "tasks.parquet"

    def check(self, spec: RunSpec) -> bool:
        """Return whether the folder holds a run of ``spec`` already; False means that it is free.

        Raises:
            SpecMismatchError: the folder holds a run of another spec.
            StoreError: the folder holds something else.
        """
        if self.run_json.exists():
            differences = self.spec().differences(spec)
            if differences:
                lines = "\n  ".join(differences)
                raise SpecMismatchError(
                    f"{self.path} holds a run of another spec. What it was → what was asked now:\n  {lines}\n"
                    "Choose a new --out, or repeat the command stored in run.json."
                )
            return True
        ours = ("tasks.parquet", "run.json")  # a run killed while it claimed the folder may have left the first, or either aside
        if self.path.exists() and any(not child.name.strip(".").startswith(ours) for child in self.path.iterdir()):
            raise StoreError(f"{self.path} exists and is no run folder; choose a new --out.")
        return False

    def begin(self, spec: RunSpec, about: Mapping[str, Any]) -> None:
        """Claim a free folder for ``spec``.

        Args:
            spec: the measurement.
            about: versions, threads, device, command, for the reader and for whoever resumes the run.
        """
        content = {"digest": spec.digest, "spec": spec.to_json(), **about}
        write_aside(self.run_json, lambda aside: aside.write_text(json.dumps(content, indent=2) + "\n"))

    def about(self) -> dict[str, Any]:
        """Return the content of run.json.

        Raises:
            StoreError: the folder is no run folder, or run.json is damaged.
        """
        if not self.run_json.is_file():
            raise StoreError(f"{self.path} is no run folder: it has no run.json. Give the --out of a transference compute.")
        try:
            content: dict[str, Any] = json.loads(self.run_json.read_text())
        except ValueError as error:
            raise StoreError(f"{self.run_json} is damaged ({error}).") from error
        if not isinstance(content, dict):
            raise StoreError(f"{self.run_json} is damaged: it holds no object.")
        return content

    def spec(self) -> RunSpec:
        """Return the spec in run.json.

        Raises:
            StoreError: run.json was altered: its digest is not that of its spec.
        """
        about = self.about()
        try:
            spec = RunSpec.from_json(about["spec"])
            kept, computed = about["digest"], spec.digest
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{self.run_json} is damaged, or of another version of transference: it holds no whole spec ({error!r})."
            ) from error
        if kept != computed:
            raise StoreError(f"{self.run_json} was altered: its digest is {kept}, that of its spec {computed}.")
        return spec

    def has(self, tile: Tile) -> bool:
        """Whether the tile is published."""
        return all(file.exists() for file in self.files(tile))

    def has_tasks(self) -> bool:
        """Whether the table of tasks is there."""
        return self.tasks_path.exists()

    def write_tasks(self, tasks: pa.Table) -> None:
        """Write the table of tasks."""
        _write_table(tasks, self.tasks_path)

    def first_source(self, step: int) -> dict[str, float] | None:
        """Return the row of the first source at one checkpoint and the first step size, or None while it is not published."""
        path = self.path / "sources" / _partition(step) / "sources-000000.parquet"
        return dict(read_table(path, SOURCES).slice(0, 1).to_pylist()[0]) if path.exists() else None

    def write(self, tile: Tile, pairs: pa.Table, sources: pa.Table) -> None:
        """Publish a tile: its sources first, since the pairs' file is what says that it is done."""
        if not tile.replicate:
            _write_table(sources, self.sources_path(tile))
        _write_table(pairs, self.tile_path(tile))

    def has_self_transference(self, step: int, targets: tuple[int, int]) -> bool:
        """Whether the self-transference of a block of targets at one checkpoint is published."""
        return self.self_path(step, targets).exists()

    def write_self_transference(self, step: int, targets: tuple[int, int], pairs: pa.Table) -> None:
        """Publish the self-transference of a block of targets at one checkpoint: ``source`` and ``target`` are both the target's id."""
        _write_table(pairs, self.self_path(step, targets))

    def has_exact(self, tile: Tile, number: int) -> bool:
        """Whether those pairs of a tile that are measured exactly beside the estimates are published, of one round of them."""
        return self.exact_path(tile, number).exists()

    def write_exact(self, tile: Tile, number: int, pairs: pa.Table) -> None:
        """Publish those pairs of a tile that were measured exactly in one round."""
        _write_table(pairs, self.exact_path(tile, number))

    def has_controls(self, step: int) -> bool:
        """Whether the controls at one checkpoint are published."""
        return self.controls_path(step).exists()

    def write_controls(self, step: int, controls: pa.Table) -> None:
        """Publish the controls at one checkpoint."""
        _write_table(controls, self.controls_path(step))

    def exact_rounds(self, spec: RunSpec, step: int) -> list[list[Path]]:
        """Return, for one checkpoint, the files of each whole round of pairs that were measured exactly.

        A part of a round is left out: it is no random sample of the table.
        """
        rounds: list[list[Path]] = []
        while files := [self.exact_path(tile, len(rounds)) for tile in spec.tiles(step, 0)]:
            if not all(file.exists() for file in files):
                break
            rounds.append(files)
        return rounds

    def sample(self, spec: RunSpec, step: int) -> pd.DataFrame:
        """Return, for one checkpoint, the rows of the pairs that were measured exactly beside the estimates.

        Each with its ``estimate``: the ratio of the losses in the table of all pairs, whatever its status.
        """
        keys = ["source", "target", "alpha"]
        parts: list[pd.DataFrame] = [PAIRS.empty_table().to_pandas().assign(estimate=0.0)]
        for files in self.exact_rounds(spec, step):
            for tile, file in zip(spec.tiles(step, 0), files, strict=True):
                pairs = read_table(self.tile_path(tile), PAIRS, [*keys, "loss_before", "loss_after"]).to_pandas()
                pairs["estimate"] = pairs.pop("loss_after") / pairs.pop("loss_before")
                parts.append(read_table(file, PAIRS).to_pandas().merge(pairs, on=keys))
        return pd.concat(parts[1:] or parts, ignore_index=True)

    def files(self, tile: Tile) -> list[Path]:
        """The files of a tile: its pairs, and in the first replicate its sources."""
        return [self.tile_path(tile), *([] if tile.replicate else [self.sources_path(tile)])]

    def tile_path(self, tile: Tile) -> Path:
        """The file of a tile's pairs."""
        (s, _), (t, _) = tile.sources, tile.targets
        again = f"-replicate-{tile.replicate}" if tile.replicate else ""
        return self.path / "pairs" / _partition(tile.step) / f"tile-{s:06d}-{t:06d}{again}.parquet"

    def sources_path(self, tile: Tile) -> Path:
        """The file of a tile's sources; the tiles of other target blocks give the same rows, and write the same file."""
        return self.path / "sources" / _partition(tile.step) / f"sources-{tile.sources[0]:06d}.parquet"

    def exact_path(self, tile: Tile, number: int) -> Path:
        """The file of those pairs of a tile that are measured exactly beside the estimates, in one round."""
        return self.path / "exact" / _partition(tile.step) / f"round={number}" / self.tile_path(tile).name

    def controls_path(self, step: int) -> Path:
        """The file of the controls at one checkpoint."""
        return self.path / "controls" / _partition(step) / "controls.parquet"

    def self_path(self, step: int, targets: tuple[int, int]) -> Path:
        """The file of the self-transference of a block of targets at one checkpoint."""
        return self.path / "self_transference" / _partition(step) / f"self-{targets[0]:06d}.parquet"


def table(schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return a table of ``schema`` from its rows."""
    return pa.Table.from_pylist(list(rows), schema=schema)


def read_table(path: Path, schema: pa.Schema, names: Sequence[str] | None = None) -> pa.Table:
    """Read one file, checksums verified.

    Args:
        path: the file.
        schema: what its columns must be.
        names: the columns wanted; all by default.

    Raises:
        StoreError: the file is missing, damaged, or of other columns.
    """
    try:
        # Absolute, since pyarrow takes a relative name with a colon for an address. Not opened here: its threads may outlive the read, and
        # let a file of Python's go when the interpreter is gone.
        with pq.ParquetFile(path.absolute(), page_checksum_verification=True) as file:
            columns = file.schema_arrow.names
            found: pa.Table = file.read(columns=None if names is None else list(names))
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} is damaged or missing ({error}). Delete it and repeat the command in run.json.") from error
    if columns != schema.names:
        raise StoreError(f"{path} has the columns {columns}; expected {schema.names}. It was not written by this version.")
    return found


def _partition(step: int) -> str:
    return f"checkpoint_step={step:08d}"


def _write_table(content: pa.Table, path: Path) -> None:
    file = pa.BufferOutputStream()  # given a name, pyarrow takes one with a colon for an address
    pq.write_table(content, file, compression="zstd", write_page_checksum=True)
    write_aside(path, lambda aside: aside.write_bytes(file.getvalue()))
