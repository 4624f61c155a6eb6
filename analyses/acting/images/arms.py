"""What each arm chooses, and what that costs it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from analyses.acting.images.groups import SHUFFLED
from analyses.acting.images.pilots import CHECKED, GroupPilot, shared_options
from analyses.acting.pilots import logs_of_means, mean_logs
from transference.statistics import calibrate

Scores = pd.DataFrame
"""A row per group and a column per target; the smaller the better."""

DRAWS = 5
"""How often groups are drawn at random."""


@dataclass(frozen=True)
class Choice:
    """What an arm trains on for a target.

    Attributes:
        arm: its name in the config; random's are numbered.
        target: that it is for.
        groups: the datasets, in the order of the config.
        cost: of pilot and measurement, in tasks.
    """

    arm: str
    target: str
    groups: tuple[str, ...]
    cost: float = 0.0

    def stage(self, options: Mapping[str, Any]) -> int:
        """Return the update at which its training has spent the budget: the last that is saved.

        Args:
            options: that all trainings share.
        """
        left = options["iterations"] - self.cost / options["meta-batch"]
        return int(left // options["save-every"]) * int(options["save-every"])


def choices(pilot: GroupPilot) -> list[Choice]:
    """Return what all arms but the oracle choose for every target."""
    k = pilot.config["choose"]
    found = [Choice("all", target, pilot.groups) for target in pilot.targets]
    for number, groups in enumerate(drawn(pilot)):
        found += [Choice(f"random-{number + 1}", target, groups) for target in pilot.targets]
    for name, (scores, cost) in {"own-share": (_foreign(pilot), 0.0), **rules(pilot)}.items():
        found += [Choice(name, target, smallest(scores[target], k), cost) for target in pilot.targets]
    return found


def rules(pilot: GroupPilot) -> dict[str, tuple[Scores, float]]:
    """Return the scores of every rule that reads the pilot, and its cost for one target, in tasks.

    A gradient counts one task, a loss that is read without a gradient a third, and features of the support images half of that.
    """
    of, groups, targets = pilot.sizes, len(pilot.groups), list(pilot.targets)
    per_update = shared_options(pilot.config)["meta-batch"]
    begun = of["updates"] * per_update
    sources, queried = groups * of["n_source"], of["n_target"]
    exact, gradients, features = _rows(pilot, "loss_ratio"), pilot.gradients(), pilot.features()
    cosines = {target: [-_cosine(gradients[one], gradients[target]) for one in pilot.groups] for target in targets}
    away = {target: [_distance(features[one], features[target]) for one in pilot.groups] for target in targets}
    table = lambda columns: pd.DataFrame(columns, list(pilot.groups))
    read = (sources * queried + queried) / 3
    found = {
        "cosine": (table(cosines), begun + sources + queried),
        "prototype": (table(away), begun + (sources + queried) / 6),
        "exact": (exact, begun + sources + read),
        "calibrated": (_calibrated(pilot), begun + sources + queried + (groups * CHECKED + queried) / 3),
        "tempered": (_rows(pilot, "tempered_ratio"), begun + sources + read),
        "transposed": (_transposed(pilot), begun + queried + (sources * queried + sources) / 3),
        "permuted": (permuted(exact, pilot.seed), begun + sources + read),
    }
    updates = pilot.updates()
    for k in of["k"]:
        rows = logs_of_means(updates, k).loc[list(pilot.groups), targets]
        found[f"k{k}"] = (rows, begun + groups * k * per_update + (1 + groups) * of["n_read"] / 3)
    return found


def smallest(scores: pd.Series, k: int) -> tuple[str, ...]:
    """Return the k groups with the smallest scores, in the order of the series; the first of equal ones.

    Raises:
        ValueError: a score is NaN.
    """
    if scores.isna().any():
        raise ValueError(f"{scores.name}: no score of {', '.join(scores.index[scores.isna()])}.")
    ranked = scores.sort_values(kind="stable").index[:k]
    return tuple(name for name in scores.index if name in ranked)


def drawn(pilot: GroupPilot) -> list[tuple[str, ...]]:
    """Return as many draws of groups at random as there are of them, no two alike; the same places in every experiment."""
    dealer, found = random.Random(f"random {pilot.seed}"), []
    while len(found) < DRAWS:
        places = sorted(dealer.sample(range(len(pilot.groups)), pilot.config["choose"]))
        if (groups := tuple(pilot.groups[place] for place in places)) not in found:
            found.append(groups)
    return found


def permuted(table: Scores, seed: int) -> Scores:
    """Return a table whose rows are those of other groups, by a permutation without a fixed point that is drawn for the seed."""
    dealer, order = random.Random(f"permuted {seed}"), list(range(len(table)))
    while any(place == other for place, other in enumerate(order)):
        dealer.shuffle(order)
    return pd.DataFrame(table.to_numpy()[order], table.index, table.columns)


def _foreign(pilot: GroupPilot) -> Scores:
    """Return 0 where a group is of the target's dataset, 1 where it is not."""
    origin = lambda name: pilot.config["groups"][name.removesuffix(SHUFFLED)]["of"]
    columns = {
        target: [float(origin(name) != of["of"]) for name in pilot.groups]
        for target, of in pilot.config["targets"].items()
    }
    return pd.DataFrame(columns, list(pilot.groups))


def _rows(pilot: GroupPilot, column: str) -> Scores:
    return mean_logs(pilot.steps(), pilot.sizes["alpha"], column).loc[list(pilot.groups), list(pilot.targets)]


def _transposed(pilot: GroupPilot) -> Scores:
    found = mean_logs(pilot.transposed(), pilot.sizes["alpha"])
    return found.loc[list(pilot.targets), list(pilot.groups)].T


def _calibrated(pilot: GroupPilot) -> Scores:
    run = pilot.calibrated()
    told = calibrate(run.blocks(), run.exact_pairs())
    plain = [told[name].astype(str).str.partition(":")[0] for name in ("source_mode", "target_mode")]
    logs = pd.Series(np.log(told["geometric_mean"].to_numpy()), pd.MultiIndex.from_arrays(plain)).unstack()
    return logs.loc[list(pilot.groups), list(pilot.targets)]


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(one @ other / (one.norm() * other.norm()))


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm())
