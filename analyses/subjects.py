"""The trainings that the analyses share, and the measurements on them."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transference as tr

HERE = Path(__file__).parent
SUBJECTS: dict[str, Any] = tomllib.loads((HERE / "subjects.toml").read_text())


@dataclass(frozen=True)
class Places:
    """Where images are, and where trainings and runs go."""

    data: Path
    runs: Path

    def training(self, learner: str, seed: int) -> Path:
        """Return the folder of one training."""
        return self.runs / "training" / f"{learner}-seed{seed}"


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that every analysis has."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data-root", type=Path, default=Path("data"), help="Folder with the datasets of subjects.toml.")
    made.add_argument("--runs", type=Path, default=Path("runs/analyses"), help="Folder for trainings and measurements.")
    return made


def places(asked: argparse.Namespace) -> Places:
    """Return the places that were asked for."""
    return Places(asked.data_root, asked.runs)


def config_of(folder: Path) -> dict[str, Any]:
    """Return the config of one analysis."""
    return tomllib.loads((folder / "config.toml").read_text())


def measured(name: str, config: dict[str, Any], at: Places) -> Iterator[tuple[str, int, tr.Run]]:
    """Yield learner, seed and run for every training that the config names; what is measured already is opened.

    All learners of one seed meet the same tasks.
    """
    shape = {key: config.get(key, SUBJECTS[key]) for key in ("ways", "shots", "queries", "side")}
    modes = config.get("modes", SUBJECTS["modes"])
    for learner in config["learners"]:
        for seed in config.get("seeds", SUBJECTS["seeds"]):
            folder = at.training(learner, seed)
            files = [folder / f"step-{step:08d}.safetensors" for step in config["steps"][learner]]
            checkpoints = [tr.load_checkpoint(file) for file in files]
            sources, targets = (
                [tr.few_shot(f"{mode}:{split}", data_root=at.data, seed=seed + k, **shape) for mode in modes]
                for k, split in ((1, "train"), (2, "test"))
            )
            run = tr.measure(
                tr.load_learner(checkpoints[0]),
                checkpoints,
                sources,
                targets,
                n_source=config["n_source"],
                n_target=config["n_target"],
                replicates=config.get("replicates", 1),
                tempered=config.get("tempered", False),
                lookahead={"sgd": tr.SGD, "adam": tr.Adam}[config.get("lookahead", "sgd")](tuple(config["alpha"])),
                out=at.runs / name / f"{learner}-seed{seed}",
                progress=True,
            )
            yield learner, seed, run


def train_words(learner: str, seed: int, at: Places) -> list[str]:
    """Return the words of the command that trains one learner."""
    settings = {**SUBJECTS["training"], **SUBJECTS["learners"][learner]}
    shape = {key: SUBJECTS[key] for key in ("ways", "shots", "queries", "side")}
    options: dict[str, object] = {
        "learner": learner, "modes": ",".join(SUBJECTS["modes"]), "data-root": at.data, **shape, **settings,
        "seed": seed, "out": at.training(learner, seed),
    }  # fmt: skip
    return [str(word) for name, value in options.items() for word in (f"--{name}", value)]
