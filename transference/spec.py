"""The whole measurement as data: what a run asks (`RunSpec`), and the blocks it is computed in (`Tile`)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from transference.amounts import STEP_SIZES, UPDATES, Amount
from transference.plain import as_list, as_number, as_record, as_text, as_whole, unfit

PRECISIONS = ("fp32", "fp64")
"""What losses may be computed in. TF32 and bfloat16 flip the sign of many small effects."""

TEMPERATURES = (1e-4, 1e4)
"""Between which the best temperature is looked for. One at the low end stands for queries that are all told apart,
whose loss falls to 0 with the temperature; one at the high end for logits that say nothing of the labels."""

_FEW_CONTROLLED = 8
"""Sources of a mode that have controls, where each is read on all targets of a mode."""

MOST_REPLICATES = 2**15 - 1
"""The largest number that the table's column holds."""

_MOST_TASKS = 2**31 - 1
"""The largest number that the table's columns hold."""

_MOST_TILES = 10**6
"""Files in a run folder: more are slow to list on any disk."""

_MOST_STEP = 2**53
"""Whatever writes JSON keeps whole numbers as far as this."""

Chosen: TypeAlias = dict[int, list[int]]
"""Some pairs of a run: the ids of targets, by the id of their source."""


@dataclass(frozen=True)
class TaskSet:
    """Tasks ``0 … n-1`` of one sampler; ``digest`` identifies the data behind them."""

    sampler: str
    n: int
    digest: str

    @classmethod
    def from_json(cls, plain: object, name: str) -> TaskSet:
        """Return the tasks whose JSON form this is; ``name`` is what a ``ValueError`` calls them."""
        found = as_record(plain, name, *_fields(cls))
        return cls(
            as_text(found["sampler"], f"{name}.sampler"),
            as_whole(found["n"], f"{name}.n", 1, _MOST_TASKS),
            as_text(found["digest"], f"{name}.digest"),
        )


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint by step and content."""

    step: int
    digest: str

    @classmethod
    def from_json(cls, plain: object, name: str) -> CheckpointRef:
        """Return the checkpoint whose JSON form this is; ``name`` is what a ``ValueError`` calls it."""
        found = as_record(plain, name, *_fields(cls))
        return cls(as_whole(found["step"], f"{name}.step", 0, _MOST_STEP), as_text(found["digest"], f"{name}.digest"))


@dataclass(frozen=True)
class Tile:
    """A block of one checkpoint's sources × targets, as half-open ranges of task ids; ``replicate`` tells which episodes of the tasks."""

    step: int
    sources: tuple[int, int]
    targets: tuple[int, int]
    replicate: int = 0


@dataclass(frozen=True)
class RunSpec:
    """All that was asked. Two runs with equal specs, on one kind of machine with one torch and one number of threads, give equal tables.

    Attributes:
        checkpoints: in the order of their steps.
        learner: class and settings.
        sources: one task set per source mode.
        targets: one task set per target mode.
        lookahead: kind and settings.
        estimator: kind and settings.
        controls: pairs of each mode pair that have controls at every checkpoint.
        device: ``"cpu"`` or ``"cuda"``; kernels differ in their last digits.
        precision: one of `PRECISIONS`.
        tile: sources and targets per tile; it changes the files, not the numbers.
        replicates: episodes of each task; every pair is measured with each.
        theta: what does not move although it could, and which names are one tensor, names that differ in a number as one.
        combine: name and settings of the source modes that are combinations of the others; they are the last of ``sources``.
        tempered: whether losses were also read at their best temperature.
        tempered_all: whether those of controls and of targets on themselves were, too; not in a run begun when pairs alone
            were read so.
    """

    checkpoints: tuple[CheckpointRef, ...]
    learner: Mapping[str, Any]
    sources: tuple[TaskSet, ...]
    targets: tuple[TaskSet, ...]
    lookahead: Mapping[str, Any]
    estimator: Mapping[str, Any]
    controls: int
    device: str
    precision: str
    tile: tuple[int, int]
    replicates: int = 1
    theta: Mapping[str, Any] = field(default_factory=dict)
    combine: tuple[Mapping[str, Any], ...] = ()
    tempered: bool = False
    tempered_all: bool = False

    @property
    def samplers(self) -> tuple[TaskSet, ...]:
        """The source modes that are no combinations of others."""
        return self.sources[: len(self.sources) - len(self.combine)]

    @property
    def n_source(self) -> int:
        """Source tasks, all modes together."""
        return sum(tasks.n for tasks in self.sources)

    @property
    def n_target(self) -> int:
        """Target tasks, all modes together."""
        return sum(tasks.n for tasks in self.targets)

    @property
    def alphas(self) -> tuple[float, ...]:
        """The step sizes."""
        return tuple(self.lookahead["alpha"])

    @property
    def amount(self) -> Amount:
        """How its values of ``alpha`` are said: step sizes, or numbers of updates."""
        return UPDATES if self.updates else STEP_SIZES

    @property
    def updates(self) -> tuple[int, ...]:
        """How many updates the sources, which are modes then, were moved by; they stand for the step sizes. Empty where tasks step once."""
        return tuple(self.lookahead.get("updates", ()))

    @property
    def most_controlled(self) -> int:
        """How many sources of a mode have controls.

        One alone if they are draws, since each takes all its updates again; few if controls have tempered losses, since
        each is then read on all targets of a mode.
        """
        most = 1 if self.updates else _FEW_CONTROLLED if self.tempered_all else self.controls
        return min(self.controls, most)

    @property
    def estimates(self) -> bool:
        """Whether losses after the step are estimates, at some step size at least."""
        return bool(
            self.estimator.get("estimates", self.estimator["kind"] in ("firstorder", "quadratic", "calibrated"))
        )

    @property
    def exact_at(self) -> tuple[float, ...]:
        """The step sizes at which every loss was evaluated; at the others it is an estimate."""
        return tuple(self.estimator.get("exact_at", ())) if self.estimates else self.alphas

    @property
    def estimated_at(self) -> tuple[float, ...]:
        """The other step sizes."""
        return tuple(alpha for alpha in self.alphas if alpha not in self.exact_at)

    @property
    def sampled(self) -> bool:
        """Whether a random sample of the pairs is measured exactly beside the estimates."""
        return self.estimates and (
            "estimates" in self.estimator or any(self.estimator.get(size) for size in ("checked", "share"))
        )

    @property
    def calibrated(self) -> bool:
        """Whether that sample is large enough to correct means and shares by it."""
        return bool(self.estimator.get("calibrated", self.estimator["kind"] == "calibrated"))

    @property
    def n_cells(self) -> int:
        """Rows of the finished table, over all checkpoints, step sizes and replicates."""
        return len(self.checkpoints) * len(self.alphas) * self.n_source * self.n_target * self.replicates

    def n_cells_of(self, tile: Tile) -> int:
        """Rows of one tile."""
        return len(self.alphas) * (tile.sources[1] - tile.sources[0]) * (tile.targets[1] - tile.targets[0])

    def to_json(self) -> dict[str, Any]:
        """Return the spec as plain JSON values.

        A single replicate is not mentioned, nor a θ of all tensors, nor that nothing is combined or tempered: run
        folders written before there was more hold the same spec.
        """
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        usual: dict[str, Any] = {"replicates": 1, "theta": {}, "combine": [], "tempered": False, "tempered_all": False}
        return {name: value for name, value in plain.items() if name not in usual or value != usual[name]}

    @classmethod
    def from_json(cls, plain: object) -> RunSpec:
        """Return the spec that `to_json` wrote.

        Raises:
            ValueError: a setting is missing, not known, or of a kind or size that it cannot have; the message names it.
        """
        found = as_record(plain, "the spec", *_fields(cls))
        learner, estimator = (
            as_record(found["learner"], "learner", ["class"]),
            as_record(found["estimator"], "estimator", ["kind"]),
        )
        moving = as_record(found["lookahead"], "lookahead", ["kind", "alpha"])
        for name, kind in (
            ("learner.class", learner["class"]),
            ("estimator.kind", estimator["kind"]),
            ("lookahead.kind", moving["kind"]),
        ):
            as_text(kind, name)
        for name in ("estimates", "calibrated"):
            if not isinstance(estimator.get(name, False), bool):
                raise ValueError(unfit(f"estimator.{name}", estimator[name], "true or false"))  # noqa: TRY004 - as in plain.py
        tempered, tempered_all = _tempered(found)
        if as_text(found["precision"], "precision") not in PRECISIONS:
            raise ValueError(unfit("precision", found["precision"], f"one of {', '.join(PRECISIONS)}"))
        alphas = [
            as_number(x, f"lookahead.alpha[{k}]", 0)
            for k, x in enumerate(as_list(moving["alpha"], "lookahead.alpha", least=1))
        ]
        updates = [
            as_whole(k, f"lookahead.updates[{place}]", 1, _MOST_STEP)
            for place, k in enumerate(as_list(moving.get("updates", []), "lookahead.updates"))
        ]
        if updates and updates != alphas:
            raise ValueError(unfit("lookahead.alpha", alphas, "the numbers of updates"))
        for k, alpha in enumerate(as_list(estimator.get("exact_at", []), "estimator.exact_at")):
            if alpha not in alphas:
                raise ValueError(unfit(f"estimator.exact_at[{k}]", alpha, "one of the step sizes"))
        sizes = [as_whole(size, "tile", 1, _MOST_TASKS) for size in as_list(found["tile"], "tile", least=2, most=2)]
        spec = cls(
            checkpoints=tuple(CheckpointRef.from_json(*item) for item in _items(found, "checkpoints")),
            learner=learner,
            sources=tuple(TaskSet.from_json(*item) for item in _items(found, "sources")),
            targets=tuple(TaskSet.from_json(*item) for item in _items(found, "targets")),
            lookahead=moving,
            estimator=estimator,
            controls=as_whole(found["controls"], "controls", 0, _MOST_TASKS),
            device=as_text(found["device"], "device"),
            precision=found["precision"],
            tile=(sizes[0], sizes[1]),
            replicates=as_whole(found.get("replicates", 1), "replicates", 1, MOST_REPLICATES),
            theta=as_record(found.get("theta", {}), "theta"),
            combine=tuple(
                as_record(one, f"combine[{k}]", ["name", "class"])
                for k, one in enumerate(as_list(found.get("combine", []), "combine"))
            ),
            tempered=tempered,
            tempered_all=tempered_all,
        )
        steps = [ref.step for ref in spec.checkpoints]
        names = [[tasks.sampler for tasks in sets] for sets in (spec.sources, spec.targets)]
        distinct: list[Sequence[object]] = [steps, alphas, *names]
        if any(len(set(once)) < len(once) for once in distinct):
            raise ValueError("the spec names a checkpoint's step, a step size or a sampler twice")
        combined = [as_text(one["name"], f"combine[{k}].name") for k, one in enumerate(spec.combine)]
        if combined and (len(combined) >= len(spec.sources) or combined != names[0][-len(combined) :]):
            raise ValueError("the combinations are not the last of the sources, after those that they combine")
        if steps != sorted(steps):
            raise ValueError("the checkpoints are not in the order of their steps")
        if excess := spec.excess():
            raise ValueError(excess)
        return spec

    def excess(self) -> str | None:
        """Return what there is more of than a run folder holds, None if nothing."""
        most = max(self.n_source, self.n_target)
        if most > _MOST_TASKS:
            return f"there are {most:,} tasks of one role; a table numbers at most {_MOST_TASKS:,}"
        blocks = [-(-n // size) for n, size in zip((self.n_source, self.n_target), self.tile, strict=True)]
        tiles = len(self.checkpoints) * blocks[0] * blocks[1] * self.replicates
        return f"there are {tiles:,} tiles; a folder holds at most {_MOST_TILES:,}" if tiles > _MOST_TILES else None

    @property
    def digest(self) -> str:
        """What names the run, equal exactly when the specs are."""
        return digest_of_plain(self.to_json())

    def digest_of(self, *steps: int) -> str:
        """Return what names the part of the run at some checkpoints: the digest of a run that has these alone.

        A run that grows by checkpoints keeps the parts that it has.
        """
        return dataclasses.replace(self, checkpoints=tuple(ref for ref in self.checkpoints if ref.step in steps)).digest

    def grows_into(self, other: RunSpec) -> bool:
        """Return whether ``other`` asks the same of more checkpoints, these among them."""
        same = dataclasses.replace(self, checkpoints=other.checkpoints) == other
        return same and set(self.checkpoints) < set(other.checkpoints)

    def target_blocks(self) -> Iterator[tuple[int, int]]:
        """Yield the blocks of targets that are prepared together, as half-open ranges of task ids."""
        return _blocks(self.n_target, self.tile[1])

    def tiles(self, step: int, replicate: int | None = None) -> Iterator[Tile]:
        """Yield the tiles of one checkpoint, of one replicate or of all in turn.

        Target blocks are outermost: what is prepared for a block of targets serves all sources.
        """
        for number in range(self.replicates) if replicate is None else (replicate,):
            for targets in self.target_blocks():
                for sources in _blocks(self.n_source, self.tile[0]):
                    yield Tile(step, sources, targets, number)

    def differences(self, other: RunSpec) -> list[str]:
        """Return one line per setting in which ``other`` differs, ``name: this → other``."""
        mine, theirs = dict(_leaves(self.to_json())), dict(_leaves(other.to_json()))
        names = [*mine, *(name for name in theirs if name not in mine)]
        return [
            f"{name}: {mine.get(name, 'none')} → {theirs.get(name, 'none')}"
            for name in names
            if mine.get(name) != theirs.get(name)
        ]


def digest_of_plain(plain: Mapping[str, Any]) -> str:
    """Return what names plain JSON values: equal exactly when they are."""
    return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=16).hexdigest()


def _fields(kind: type) -> tuple[list[str], list[str]]:
    """Return the names of a dataclass's fields: those without a default, and all."""
    fields = dataclasses.fields(kind)
    needed = [f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    return needed, [f.name for f in fields]


def _tempered(found: Mapping[str, Any]) -> tuple[bool, bool]:
    """Return whether losses were read at their best temperature, and whether all were.

    Raises:
        ValueError: it is told otherwise than by true or false, or all were and none.
    """
    for name in ("tempered", "tempered_all"):
        if not isinstance(found.get(name, False), bool):
            raise ValueError(unfit(name, found[name], "true or false"))  # noqa: TRY004 - as in plain.py
    tempered, of_all = found.get("tempered", False), found.get("tempered_all", False)
    if of_all and not tempered:
        raise ValueError(unfit("tempered_all", of_all, "false where tempered is"))
    return tempered, of_all


def _items(found: Mapping[str, Any], name: str) -> Iterator[tuple[object, str]]:
    """Yield each item of a list that may not be empty, with what to call it."""
    return ((item, f"{name}[{k}]") for k, item in enumerate(as_list(found[name], name, least=1)))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON value
    """Yield every plain value inside nested JSON with its name, such as ``sources[0].n``."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from _leaves(inside, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for position, inside in enumerate(value):
            yield from _leaves(inside, f"{name}[{position}]")
    else:
        yield name, value


def _blocks(n: int, size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + size, n)) for start in range(0, n, size))
