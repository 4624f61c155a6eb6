"""What a run is made of, part by part, and who computes which part: from the spec alone.

A part is what is published together, and what is lost at most when a process is killed. An item is what one worker
does in one go: parts that share sources and targets, so that little is computed twice. Whoever deals parts out, and in
whatever order they are done, the files of a run are the same.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from transference.errors import UsageError
from transference.spec import RunSpec, Tile


@dataclass(frozen=True)
class OwnBlock:
    """A block of one checkpoint's targets, each as its own source."""

    step: int
    targets: tuple[int, int]


@dataclass(frozen=True)
class ExactTile:
    """Those pairs of a tile that are measured exactly beside the estimates, in one round.

    Attributes:
        tile: of the first replicate.
        number: of the round.
        between: of each mode pair, the shares that the numbers of its cells lie between; None in the first round,
            where the estimator alone tells.
    """

    tile: Tile
    number: int
    between: tuple[tuple[tuple[float, float], ...], ...] | None = None

    @property
    def step(self) -> int:
        """The checkpoint's."""
        return self.tile.step


@dataclass(frozen=True)
class ControlSet:
    """The controls at one checkpoint."""

    step: int


Part: TypeAlias = Tile | OwnBlock | ExactTile | ControlSet
Item: TypeAlias = tuple[Part, ...]

_SECONDS = 60.0
"""That an item should last: long beside what it takes to hand it out, short beside what a run takes."""

_LONG = 2.0
"""Times that, from which on an item is cut along its targets too."""

_EACH = 3
"""Items for each worker, at least, so that all end at about the same time."""

_SOURCES = 40
"""That an item of exact pairs has at least: to prepare a target takes as long as four of its pairs."""

_GRADIENT = 3.0
"""Evaluations that a gradient takes as long as."""

_MOST_ITEMS = 50_000
"""Of a run: whoever hands them out keeps a list of all."""


def parts_of(spec: RunSpec, step: int) -> Iterator[Part]:
    """Yield the parts of one checkpoint that the spec tells, in the order in which one process computes them.

    Yields:
        Tiles, before the first of each block of targets what these do to themselves, unless sources are modes; then the
        first round of exact pairs beside estimates; then the controls.
    """
    for tile in spec.tiles(step):
        if tile.sources[0] == 0 and not tile.replicate and not spec.updates:
            yield OwnBlock(step, tile.targets)
        yield tile
    if spec.sampled:
        for tile in spec.tiles(step, 0):
            yield ExactTile(tile, 0)
    if spec.controls:
        yield ControlSet(step)


@dataclass(frozen=True)
class Shard:
    """One of several processes that share a run without knowing of each other.

    Attributes:
        number: from 1.
        of: how many there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> Shard:
        """Return the shard that a text names: ``"3/8"``, or ``"auto"`` for that of the job array of SLURM that this process is one of.

        Raises:
            UsageError: it names none, or there is no job array.
        """
        if text == "auto":
            return cls._of_array(environment)
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        number, of = map(int, match.groups()) if match else (0, 0)
        if not 1 <= number <= of:
            raise UsageError(
                f"The shard {text!r} was asked for; give i/N with i from 1 to N, such as 3/8, or auto in a job array of SLURM."
            )
        return cls(number, of)

    @classmethod
    def _of_array(cls, environment: Mapping[str, str]) -> Shard:
        names = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "MAX", "STEP", "COUNT")]
        found = {name[17:]: environment[name] for name in names if environment.get(name, "").isdecimal()}
        if not {"ID", "MIN"} <= found.keys() or not ("MAX" in found or "COUNT" in found):
            raise UsageError(
                f"--shard auto takes the shard from {', '.join(names[:-1])} and {names[-1]}, which SLURM sets in a job array; they are "
                "not set here. Give --shard i/N."
            )
        first, stride = int(found["MIN"]), max(1, int(found.get("STEP", "1")))
        place, behind = divmod(int(found["ID"]) - first, stride)
        of = (int(found["MAX"]) - first) // stride + 1 if "MAX" in found else int(found["COUNT"])
        if behind or not 0 <= place < of or int(found.get("COUNT", of)) != of:
            raise UsageError(
                f"--shard auto found the task {found['ID']} of a job array whose numbers have gaps; make it --array=1-N, or "
                "give --shard i/N."
            )
        return cls(place + 1, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def parts(self, spec: RunSpec, step: int) -> Iterator[Part]:
        """Yield the shard's own parts of one checkpoint, in the order in which it computes them.

        Sources are dealt out in blocks, in turn, each with all targets, so that its gradients are computed once; where
        there are more shards than such blocks, targets are divided too.
        """
        owner = Owners(spec, self.of)
        return (part for part in parts_of(spec, step) if owner(part) == self.number)


class Owners:
    """Which of several shards computes a part: called with it, it returns the shard's number.

    Args:
        spec: the measurement.
        of: how many shards there are.
    """

    def __init__(self, spec: RunSpec, of: int) -> None:
        self._spec, self._of = spec, of
        self._place = {ref.step: place for place, ref in enumerate(spec.checkpoints)}
        self._blocks = -(-spec.n_source // spec.tile[0]), -(-spec.n_target // spec.tile[1])
        rows = len(spec.checkpoints) * spec.replicates * self._blocks[0]
        self._pieces = min(self._blocks[1], -(-of // rows))

    def __call__(self, part: Part) -> int:
        """Return the number of the shard that computes a part."""
        if isinstance(part, ControlSet):
            found = self._place[part.step]
        elif isinstance(part, OwnBlock):
            found = self._place[part.step] * self._blocks[1] + part.targets[0] // self._spec.tile[1]
        else:
            found = self._row(part.tile if isinstance(part, ExactTile) else part)
        return found % self._of + 1

    def _row(self, tile: Tile) -> int:
        source, target = tile.sources[0] // self._spec.tile[0], tile.targets[0] // self._spec.tile[1]
        piece = target * self._pieces // self._blocks[1]
        replicate = self._place[tile.step] * self._spec.replicates + tile.replicate
        return (replicate * self._pieces + piece) * self._blocks[0] + source


def items_of(spec: RunSpec, step: int, seconds: float, workers: int) -> Iterator[Item]:
    """Yield what is handed out of one checkpoint: all its parts, each in one item.

    Args:
        spec: the measurement.
        step: the checkpoint's.
        seconds: that an exact pair takes, about.
        workers: that there are, about.
    """
    sizes = _sizes(spec, seconds, workers)
    for replicate in range(spec.replicates):
        sources = [*_runs(spec.n_source, spec.tile[0], sizes[0])]
        for targets in _runs(spec.n_target, spec.tile[1], sizes[1]):
            for place, some in enumerate(sources):
                tiles = [Tile(step, rows, columns, replicate) for columns in targets for rows in some]
                own = (
                    []
                    if replicate or spec.updates
                    else [OwnBlock(step, columns) for columns in targets[place :: len(sources)]]
                )
                exact = [ExactTile(tile, 0) for tile in tiles if spec.sampled and not replicate]
                yield (*_by_targets(own, tiles), *exact)
    if spec.controls:
        yield (ControlSet(step),)


def by_sources(parts: list[ExactTile], most: int) -> list[Item]:
    """Return the parts of a later round as items, at most about so many, each of some blocks of sources."""
    rows: dict[tuple[int, int, int], list[Part]] = {}
    for part in parts:
        rows.setdefault((part.step, *part.tile.sources), []).append(part)
    size = -(-len(rows) // max(1, most))
    listed = list(rows.values())
    return [tuple(part for row in listed[k : k + size] for part in row) for k in range(0, len(listed), size)]


def _by_targets(own: list[OwnBlock], tiles: list[Tile]) -> Iterator[Part]:
    """Yield what shares a block of targets, which is prepared once, one after the other."""
    mine = {part.targets: part for part in own}
    for tile in tiles:
        if tile.targets in mine:
            yield mine.pop(tile.targets)
        yield tile


def _sizes(spec: RunSpec, seconds: float, workers: int) -> tuple[int, int]:
    """Return how many blocks of sources, and of targets, an item has."""
    n_blocks = math.ceil(spec.n_source / spec.tile[0]), math.ceil(spec.n_target / spec.tile[1])
    copies = len(spec.checkpoints) * spec.replicates
    by_time = _SECONDS / (seconds * _source_costs(spec))
    by_workers = spec.n_source * copies / (_EACH * workers)
    least = min(_SOURCES if spec.exact_at else spec.n_target, max(1.0, spec.n_source * copies / workers))
    size = math.ceil(max(least, min(by_time, by_workers)) / spec.tile[0])
    size = min(max(size, math.ceil(n_blocks[0] * copies / _MOST_ITEMS)), n_blocks[0])
    pieces = 1
    took = size * spec.tile[0] * seconds * _source_costs(spec)
    if took > _LONG * _SECONDS and spec.exact_at and not spec.updates:  # or each piece would take all updates again
        pieces = min(n_blocks[1], round(took / _SECONDS), _MOST_ITEMS // (copies * math.ceil(n_blocks[0] / size)))
    return size, math.ceil(n_blocks[1] / max(1, pieces))


def _source_costs(spec: RunSpec) -> float:
    """Return how many evaluations one source costs, on all targets; an estimate costs next to none."""
    exact = len(spec.exact_at) + float(spec.estimator.get("share", 0)) * len(spec.estimated_at)
    tasks = max(spec.updates, default=1) * int(spec.lookahead.get("meta_batch", 1))  # whose gradients a source needs
    return _GRADIENT * tasks + exact * spec.n_target


def _runs(n: int, block: int, blocks: int) -> Iterator[list[tuple[int, int]]]:
    """Yield the blocks that ``n`` ids are cut into, so many together."""
    found = [(start, min(start + block, n)) for start in range(0, n, block)]
    return (found[k : k + blocks] for k in range(0, len(found), blocks))
