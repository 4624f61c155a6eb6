"""The trainings on what arms chose, and their tests: one plan for each seed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

import transference as tr
from analyses.acting.images.arms import Choice, choices
from analyses.acting.images.groups import SHUFFLED
from analyses.acting.images.pilots import EXPERIMENTS, GroupPilot, group_names, shared_options
from meta_models.training import evaluate
from transference.devices import full_precision
from transference.files import write_aside
from transference.learners import theta

PAID, FREE = "paid", "free"
"""Readings of a training: where the budget ends that its arm has left, and after all updates."""


@dataclass(frozen=True)
class Seed:
    """All that is done with one seed.

    Attributes:
        config: of E2, with ``shuffled``.
        number: the seed.
        data: folder with the groups.
        runs: folder for the experiments.
    """

    config: dict[str, Any]
    number: int
    data: Path
    runs: Path

    @property
    def folder(self) -> Path:
        """Where pilots, plan and trainings of the seed are."""
        return self.runs / "images" / f"seed{self.number}"

    @property
    def scores_file(self) -> Path:
        """Where the tests are kept: with it the seed is finished."""
        return self.folder / "scores.parquet"

    @property
    def last_update(self) -> int:
        """How many updates a whole training has."""
        return int(shared_options(self.config)["iterations"])

    def all_tests(self, target: str) -> list[tuple[frozenset[str], pd.DataFrame]]:
        """Return what every training was trained on, and ``index``, ``loss`` and ``accuracy`` of its tests on a target."""
        return [
            (groups, self._tested(place, self.last_update, target))
            for groups, place in sorted(self._places().items(), key=lambda one: one[1])
        ]

    def choices(self) -> dict[str, list[Choice]]:
        """Return what all arms choose, by experiment; kept in ``choices.json`` once they are known."""
        file = self.folder / "choices.json"
        if not file.exists():
            found = {name: [asdict(one) for one in choices(self.pilot(name))] for name in EXPERIMENTS}
            write_aside(file, lambda aside: aside.write_text(json.dumps(found, indent=1) + "\n"))
        told = json.loads(file.read_text())
        return {name: [Choice(**one | {"groups": tuple(one["groups"])}) for one in of] for name, of in told.items()}

    def pilot(self, experiment: str) -> GroupPilot:
        """Return the pilot of an experiment."""
        groups = group_names(self.config, experiment, self.number)
        return GroupPilot(self.config, groups, self.number, self.data, self.folder / f"pilot-{experiment}")

    def carry_out(self) -> None:
        """Train and measure the pilots, train on what arms choose, and test; what is there already is kept."""
        if self.scores_file.exists():
            return
        chosen = self.choices()
        plan = self.folder / "plan.toml"
        text = plan_text(self.config, {one.groups for arms in chosen.values() for one in arms}, self.number)
        write_aside(plan, lambda aside: aside.write_text(text))
        words = ["--plan", plan, "--data-root", self.data, "--out", self.folder / "trainings"]
        subprocess.run([sys.executable, "-m", "transference.cli", "train", *map(str, words)], check=True)
        scores = pd.concat([self._scores(name, arms) for name, arms in chosen.items()], ignore_index=True)
        write_aside(self.scores_file, lambda aside: scores.to_parquet(aside, index=False))
        self._tidy()

    def _scores(self, experiment: str, arms: Iterable[Choice]) -> pd.DataFrame:
        """Return accuracy and loss of every test task, for every arm and both readings."""
        options, places = shared_options(self.config), self._places()
        tested = cache(lambda groups, stage, target: self._tested(places[frozenset(groups)], stage, target))
        parts = []
        for one in arms:
            for reading, stage in ((PAID, one.stage(options)), (FREE, self.last_update)):
                about = {
                    "experiment": experiment,
                    "arm": one.arm,
                    "target": one.target,
                    "reading": reading,
                    "stage": stage,
                }
                groups = "+".join(one.groups)
                parts.append(tested(one.groups, stage, one.target).assign(seed=self.number, groups=groups, **about))
        return pd.concat(parts, ignore_index=True)

    def _tested(self, folder: Path, stage: int, target: str) -> pd.DataFrame:
        """Return ``index``, ``loss`` and ``accuracy`` of the test tasks of a target, of a training at an update."""
        if stage == self.last_update:
            whole = pd.read_parquet(folder / "tested.parquet")
            return whole.loc[whole["mode"] == target, ["index", "loss", "accuracy"]]
        shape = {name: shared_options(self.config)[name] for name in ("ways", "shots", "queries", "side")}
        tasks = tr.few_shot(f"{target}:test", data_root=self.data, seed=self.number + 2, **shape)
        checkpoint = tr.load_checkpoint(folder / f"step-{stage:08d}.safetensors")
        with full_precision():
            placed = theta(tr.load_learner(checkpoint), checkpoint)
            found = evaluate(placed.learner, placed.params, {target: tasks}, self.config["n_test"])
        return found[["index", "loss", "accuracy"]]

    def _places(self) -> dict[frozenset[str], Path]:
        """Return the folders of the trainings, by what they were trained on."""
        files = (self.folder / "trainings").glob("*/training.json")
        return {frozenset(json.loads(file.read_text())["modes"]): file.parent for file in files}

    def _tidy(self) -> None:
        """Delete the checkpoints on the way, 100 MB of each training."""
        for file in (self.folder / "trainings").glob("*/step-*.safetensors"):
            if file.name != f"step-{self.last_update:08d}.safetensors":
                file.unlink()


def plan_text(config: Mapping[str, Any], sets: Iterable[Sequence[str]], seed: int) -> str:
    """Return the plan of all trainings of one seed."""
    names = [name + end for end in ("", SHUFFLED) for name in config["groups"]]
    ordered = sorted(
        {tuple(sorted(one, key=names.index)) for one in sets}, key=lambda one: [names.index(name) for name in one]
    )
    lines = [f"{name} = {json.dumps(value)}" for name, value in shared_options(dict(config)).items()]
    lines += [f'modes = "{",".join(names)}"', f"seeds = [{seed}]", "subsets = ["]
    lines += [f"  {json.dumps(list(one))}," for one in ordered]
    lines += ["]", "", "[test]", f"modes = {json.dumps(list(config['targets']))}", f"tasks = {config['n_test']}"]
    return "\n".join(lines) + "\n"
