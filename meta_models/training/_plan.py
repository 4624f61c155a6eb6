"""A plan of many trainings: which subsets or weights of the modes are trained on, with which seeds, and how all are tested.

The folder of a plan:

plan.json                        what all trainings share, and how they are tested
NAME-seed0/                      a training, as `Folder` has it; once it is finished, with its last checkpoint alone
NAME-seed0/tested.parquet        loss and accuracy per test task: the training is finished
NAME-seed0/failed.txt            instead of it: why the training failed; it is not tried again while that is there
trainings.parquet                the means of all, as `table` makes them
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from meta_models.training._evaluation import summary
from transference.errors import SpecMismatchError, UsageError, in_one_line
from transference.files import write_aside
from transference.plain import as_list, as_number, as_record, as_text, as_whole, read_json
from transference.weights import check_weights

OWN = ("seeds", "subsets", "weights", "test", "keep-checkpoints")
"""What a plan says beside the options that all trainings share."""

TABLE = "trainings.parquet"
FAILED = "failed.txt"

_MOST_MODES = 12
"""Of which all subsets can be asked for: 4095."""

_LONGEST_NAME = 80
_MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Entry:
    """One training of a plan.

    Attributes:
        name: of the subset or of the weights.
        modes: that it is trained on, in the plan's order.
        weights: of these modes; none where they take turns.
        seed: of initial parameters and tasks.
    """

    name: str
    modes: tuple[str, ...]
    weights: Mapping[str, float]
    seed: int

    @property
    def folder(self) -> str:
        """What the training's folder is called."""
        return f"{self.name}-seed{self.seed}"

    def share(self, mode: str) -> float:
        """Return the share of its tasks that are of a mode."""
        weights = self.weights or dict.fromkeys(self.modes, 1.0)
        return weights.get(mode, 0.0) / sum(weights.values())


@dataclass(frozen=True)
class Plan:
    """Which trainings there are, and how they are tested.

    Attributes:
        modes: all modes, in order.
        entries: the trainings, seed by seed.
        targets: the modes that all are tested on, with a split or without: its test split then.
        n_test: tasks of each.
        test_seed: of these tasks; None for two above that of the training, as ``transference evaluate`` has it.
        keep: keep all checkpoints of a finished training, not only the last.
    """

    modes: tuple[str, ...]
    entries: tuple[Entry, ...]
    targets: tuple[str, ...]
    n_test: int = 1000
    test_seed: int | None = None
    keep: bool = False

    @classmethod
    def parse(cls, modes: Sequence[str], content: Mapping[str, Any]) -> Plan:
        """Return the plan that the values of a file ask for.

        Args:
            modes: all modes, in order.
            content: the values under the names of `OWN`.

        Raises:
            ValueError: a value is of another kind or out of range, names no mode, or a subset is there twice.
        """
        seeds = [as_whole(one, "a seed", 0, 2**62) for one in _listed(content, "seeds", _MOST_SEEDS)]
        if len(set(seeds)) < len(seeds):
            raise ValueError("seeds names one twice")
        groups = [*_subsets(content.get("subsets"), modes, alone="weights" not in content), *_weighted(content, modes)]
        names = [name for name, _, _ in groups]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"it has two groups of trainings called {twice[0]}")
        test = as_record(content.get("test", {}), "test", known=("modes", "tasks", "seed"))
        keep = content.get("keep-checkpoints", False)
        if not isinstance(keep, bool):
            raise ValueError(f"keep-checkpoints is {keep!r}; expected true or false")  # noqa: TRY004 - what was read
        return cls(
            tuple(modes),
            tuple(Entry(name, of, weights, seed) for seed in seeds for name, of, weights in groups),
            tuple(
                as_text(one, "a mode of test") for one in as_list(test.get("modes", list(modes)), "test.modes", least=1)
            ),
            as_whole(test.get("tasks", cls.n_test), "test.tasks", 2, 10**9),
            None if "seed" not in test else as_whole(test["seed"], "test.seed", 0, 2**62),
            keep,
        )

    def seed_of_tests(self, entry: Entry) -> int:
        """Return the seed of the tasks that a training is tested on."""
        return entry.seed + 2 if self.test_seed is None else self.test_seed

    def how(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return what all trainings have in common and how they are tested, as plain JSON values."""
        test = {"modes": list(self.targets), "tasks": self.n_test, "seed": self.test_seed}
        plain: dict[str, Any] = json.loads(json.dumps({**options, "test": test}, default=str))
        return plain


class PlanFolder:
    """Reads and writes what a plan has beside its trainings. Every file is whole or absent.

    Args:
        path: of the folder, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._about = path / "plan.json"

    def check(self, how: Mapping[str, Any]) -> None:
        """Make sure that the folder is free or holds trainings of this kind; further subsets and seeds are welcome.

        Raises:
            SpecMismatchError: it holds others.
        """
        if not self._about.exists():
            return
        try:
            found = dict(read_json(self._about.read_bytes()))
        except (ValueError, TypeError) as error:
            raise SpecMismatchError(f"{self._about} is damaged ({error}). Choose a new --out.") from error
        differing = [key for key in {**found, **how} if found.get(key) != how.get(key)]
        if differing:
            told = "; ".join(f"{key}: {found.get(key)} → {how.get(key)}" for key in differing)
            raise SpecMismatchError(
                f"{self.path} holds trainings of another plan (what it was → what was asked now: {told}). Choose a new --out."
            )

    def begin(self, how: Mapping[str, Any]) -> None:
        """Write what the trainings have in common; whoever is first decides.

        Raises:
            SpecMismatchError: somebody else began another plan meanwhile.
        """
        text = json.dumps(how, indent=2) + "\n"
        try:
            write_aside(self._about, lambda aside: aside.write_text(text), exclusive=True)
        except FileExistsError:
            self.check(how)

    def of(self, entry: Entry) -> Path:
        """Return the folder of a training."""
        return self.path / entry.folder

    def finished(self, entry: Entry) -> bool:
        """Return whether a training was finished and tested."""
        return (self.of(entry) / "tested.parquet").exists()

    def failure(self, entry: Entry) -> str:
        """Return why a training failed, nothing if it did not."""
        file = self.of(entry) / FAILED
        return file.read_text(encoding="utf-8").strip() if file.exists() and not self.finished(entry) else ""

    def finish(self, entry: Entry, scores: pd.DataFrame) -> None:
        """Keep how a training did on its test tasks, as `evaluate` returns it."""
        _write_table(scores, self.of(entry) / "tested.parquet")
        (self.of(entry) / FAILED).unlink(missing_ok=True)

    def fail(self, entry: Entry, why: object) -> None:
        """Keep why a training failed."""
        text = f"{in_one_line(why)}\n"
        write_aside(self.of(entry) / FAILED, lambda aside: aside.write_text(text, encoding="utf-8"))

    def strangers(self, plan: Plan) -> list[str]:
        """Return the finished trainings in the folder that the plan does not name."""
        known = {entry.folder for entry in plan.entries}
        return sorted({file.parent.name for file in self.path.glob("*/tested.parquet")} - known)

    def write(self, plan: Plan) -> Path:
        """Write the table of all trainings, and return its file."""
        _write_table(pd.DataFrame(list(self._rows(plan))), self.path / TABLE)
        return self.path / TABLE

    def _rows(self, plan: Plan) -> Iterator[dict[str, Any]]:
        """Yield the rows of the table: one for each training and target, with the modes' shares of the training's tasks."""
        for entry in plan.entries:
            shares = {f"share/{mode}": entry.share(mode) for mode in plan.modes}
            if not self.finished(entry):
                nothing = {"n": 0, "loss": float("nan"), "accuracy": float("nan")}
                for target in map(without_split, plan.targets):
                    yield {"training": entry.name, "seed": entry.seed, "target": target, **nothing, **shares}
                continue
            means = summary(pd.read_parquet((self.of(entry) / "tested.parquet").absolute()))
            for row in means[means["mode"] != "mean"].to_dict("records"):
                scores = {name: row[name] for name in ("n", "loss", "accuracy")}
                yield {"training": entry.name, "seed": entry.seed, "target": row["mode"], **scores, **shares}


def without_split(target: str) -> str:
    """Return the mode of a target that may have a split."""
    return target.partition(":")[0]


def _write_table(table: pd.DataFrame, file: Path) -> None:
    content = BytesIO()  # given a name, pandas takes some for an address
    table.to_parquet(content, index=False)
    write_aside(file, lambda aside: aside.write_bytes(content.getvalue()))


def _listed(content: Mapping[str, Any], name: str, most: int) -> Sequence[Any]:
    if name not in content:
        raise ValueError(f"it has no {name}")
    return as_list(content[name], name, least=1, most=most)


_Group = tuple[str, tuple[str, ...], Mapping[str, float]]


def _subsets(asked: object, modes: Sequence[str], *, alone: bool) -> Iterator[_Group]:
    """Yield the subsets of modes that are trained on, with their names; without any the whole, where there are no weights either.

    Raises:
        ValueError: one is empty, names what is no mode, or is there twice; or all are asked for of too many modes.
    """
    if asked is None:
        asked = [list(modes)] if alone else []
    if asked == "all":
        if len(modes) > _MOST_MODES:
            raise ValueError(
                f"subsets is 'all', of {len(modes)} modes; at most {_MOST_MODES} have all theirs trained on"
            )
        asked = [list(one) for n in range(1, len(modes) + 1) for one in itertools.combinations(modes, n)]
    if isinstance(asked, str):
        raise ValueError(f"subsets is {asked!r}; expected 'all', a list of lists of modes, or such lists by name")  # noqa: TRY004 - likewise
    named: Mapping[str | None, Any] | None = asked if isinstance(asked, Mapping) else None
    listed = list(named.items()) if named is not None else [(None, one) for one in as_list(asked, "subsets")]
    for name, one in listed:
        found = [as_text(mode, "a mode of a subset") for mode in as_list(one, "a subset", least=1)]
        if strange := [mode for mode in found if mode not in modes]:
            raise ValueError(f"a subset has {strange[0]!r}, which is none of the modes {', '.join(modes)}")
        if len(set(found)) < len(found):
            raise ValueError(f"a subset has a mode twice: {', '.join(found)}")
        ordered = tuple(mode for mode in modes if mode in found)
        yield _named("+".join(ordered) if name is None else name), ordered, {}


def _weighted(content: Mapping[str, Any], modes: Sequence[str]) -> Iterator[_Group]:
    """Yield all modes with the weights that a plan gives them, and the name that it gives these.

    Raises:
        ValueError: they are no weights of the modes.
    """
    for name, one in as_record(content.get("weights", {}), "weights").items():
        found = {
            mode: as_number(weight, f"weights.{name}.{mode}")
            for mode, weight in as_record(one, f"weights.{name}").items()
        }
        try:
            check_weights(found, modes)
        except UsageError as error:
            raise ValueError(f"weights.{name}: {error}") from error
        yield _named(name), tuple(modes), {mode: found[mode] for mode in modes}


def _named(text: str) -> str:
    """Return a name for a folder: the text itself where a disk takes it."""
    plain = re.sub(r"[^\w.+-]", "_", text, flags=re.ASCII)
    if plain == text and len(text) <= _LONGEST_NAME and not text.startswith("."):
        return text
    return f"{plain[:_LONGEST_NAME].lstrip('.')}-{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
