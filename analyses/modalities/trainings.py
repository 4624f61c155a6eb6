"""The trainings on modalities that the three questions share: one dataset, one way to combine its subsets, one seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transference as tr
from analyses.subjects import Places
from meta_models import ProductOfExperts, SharedLatent
from meta_models.training import Training, train
from transference.files import write_aside
from transference.samplers import DescribingSampler, input_shapes

Config = dict[str, Any]


@dataclass(frozen=True)
class Paired:
    """One dataset of the config, where it is trained on and tested.

    Attributes:
        name: the dataset's.
        config: all of config.toml.
        at: where data are, and where trainings and runs go.
    """

    name: str
    config: Config
    at: Places

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that are looked at; a dataset may have more."""
        return tuple(self.config["data"][self.name]["modalities"])

    @property
    def subsets(self) -> tuple[str, ...]:
        """Each modality alone, then all together."""
        return (*self.modalities, "+".join(self.modalities))

    @property
    def crossed(self) -> tuple[str, ...]:
        """Support in one modality, queries in another."""
        return tuple(f"{a}>{b}" for a in self.modalities for b in self.modalities if a != b)

    @property
    def updates(self) -> int:
        """Of a training."""
        return int(self.config["data"][self.name]["updates"])

    def stage(self, part: float) -> int:
        """Return the update that ends this part of a training."""
        return max(1, round(self.updates * part))

    @property
    def shape(self) -> dict[str, Any]:
        """The numbers of a task."""
        told = {**self.config["training"], **self.config["data"][self.name]}
        return {key: told[key] for key in ("ways", "shots", "queries", "side", "channels")}

    def mode(self, subset: str) -> str:
        """Return the mode of a subset."""
        return f"{self.name}[{subset}]"

    def tasks(self, subsets: Sequence[str], split: str, seed: int) -> list[DescribingSampler]:
        """Return the tasks of some subsets; those of one index are of the same examples."""
        modes = [f"{self.mode(subset)}:{split}" for subset in subsets]
        return [tr.open_tasks(mode, data_root=self.at.data, seed=seed, **self.shape) for mode in modes]

    def trained(self, arm: str, seed: int, *, of: str = "", part: float = 1.0) -> list[Path]:
        """Return the checkpoints of a training, eight of a whole one; what is there already is opened.

        Args:
            arm: one of the config, or a name for a training of ``shared-latent`` on one subset.
            seed: of parameters and tasks. Task i of every arm is of the same examples.
            of: that subset.
            part: of a whole training.
        """
        about = self.config["arms"].get(arm, {"of": of})
        subsets = self.subsets if about["of"] == "subsets" else (of or self.subsets[-1],)
        shapes = input_shapes(
            [self.mode(self.subsets[-1])],
            data_root=self.at.data,
            side=self.shape["side"],
            channels=self.shape["channels"],
        )
        settings: dict[str, Any] = {"modalities": shapes}
        experts = about.get("experts")
        settings |= {"experts": experts} if experts else {}
        training = Training(
            learner="i2m2" if experts else "shared-latent",
            config=settings,
            modes=tuple(map(self.mode, subsets)),
            meta_batch=len(subsets) * self.config["training"]["per_mode"],
            lr=self.config["training"]["lr"],
            clip_norm=8.0 if experts else 0.0,
            seed=seed,
            combine=about.get("combine", ""),
            **self.shape,
        )
        return train(
            (ProductOfExperts if experts else SharedLatent)(**settings),
            training,
            self.tasks(subsets, "train", seed),
            out=self.at.runs / "modalities" / "training" / self.name / f"{arm}-seed{seed}",
            iterations=self.stage(part),
            save_every=self.stage(1 / 8),
            batching="apart",
        )


def all_of(config: Config, at: Places) -> list[Paired]:
    """Return the datasets of the config."""
    return [Paired(name, config, at) for name in config["data"]]


def kept(paired: Paired, name: str, make: Callable[[], Iterable[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return some rows, made once and kept beside the runs as long as the config stays what it was."""
    path = paired.at.runs / "modalities" / "rows" / f"{name}.json"
    if path.exists() and (known := json.loads(path.read_text()))["config"] == paired.config:
        rows: list[dict[str, Any]] = known["rows"]
        return rows
    rows = list(make())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_aside(path, lambda aside: aside.write_text(json.dumps({"config": paired.config, "rows": rows})))
    return rows
