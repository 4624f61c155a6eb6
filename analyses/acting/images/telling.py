"""What the arms' trainings say: means, differences with one seed from random choice, and the verdict."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analyses.acting.images.groups import SHUFFLED
from analyses.acting.images.trainings import FREE, PAID, Seed
from analyses.modalities.testing import against_zero, holm

_KEY = ["experiment", "seed", "target", "arm"]
RANDOM, ORACLE = "random", "oracle"


def tested(seeds: Iterable[Seed]) -> pd.DataFrame:
    """Return accuracy and loss of every test task of the seeds that are finished: for every arm, its draws apart, and both readings."""
    parts = [pd.concat([pd.read_parquet(one.scores_file), hindsight(one)]) for one in seeds if one.scores_file.exists()]
    return pd.concat(parts, ignore_index=True)


def hindsight(seed: Seed) -> pd.DataFrame:
    """Return the tests of the oracle: on each half of the test tasks, of the training that was best on the other half.

    It chooses among all trainings of the seed on groups that the experiment has, after all updates.
    """
    parts = []
    for experiment, target in itertools.product(seed.choices(), seed.config["targets"]):
        found = [
            (groups, rows) for groups, rows in seed.all_tests(target) if groups <= set(seed.pilot(experiment).groups)
        ]
        for half in (0, 1):
            groups, rows = max(
                found, key=lambda one, half=half: one[1].loc[one[1]["index"] % 2 != half, "accuracy"].mean()
            )
            about = {
                "experiment": experiment,
                "arm": ORACLE,
                "target": target,
                "groups": "+".join(sorted(groups)),
            }
            told = rows[rows["index"] % 2 == half].assign(seed=seed.number, stage=seed.last_update, **about)
            parts += [told.assign(reading=reading) for reading in (PAID, FREE)]
    return pd.concat(parts, ignore_index=True)


def arms(tests: pd.DataFrame) -> pd.DataFrame:
    """Return what every arm chose, where its training was read, and mean accuracy and loss there, a row for each.

    Args:
        tests: as `tested` returns it.

    Returns:
        The columns ``experiment``, ``seed``, ``target``, ``arm``, ``groups``, and ``stage``, ``accuracy`` and ``loss`` of both readings.
    """
    by = [*_KEY, "reading"]
    found = tests.groupby(by, sort=False).agg(
        groups=("groups", "first"), stage=("stage", "first"), accuracy=("accuracy", "mean"), loss=("loss", "mean")
    )
    wide = found[["stage", "accuracy", "loss"]].unstack("reading")
    wide.columns = [f"{name}_{reading}" for name, reading in wide.columns]
    return found["groups"].groupby(_KEY, sort=False).first().to_frame().join(wide).reset_index()


def with_random(table: pd.DataFrame) -> pd.DataFrame:
    """Return the arms with the mean of random's draws in place of them."""
    named = table.assign(arm=table["arm"].str.replace(rf"^{RANDOM}-\d+$", RANDOM, regex=True))
    return named.groupby(_KEY, sort=False).mean(numeric_only=True).reset_index()


def contrasts(table: pd.DataFrame, told: Mapping[str, Any], reading: str = PAID) -> pd.DataFrame:
    """Return how much the accuracy of an arm is above that of another with the same seed, in points, with p-values.

    Args:
        table: as `arms` returns it.
        told: how the config wants it told.
        reading: which.

    Returns:
        A row per experiment, ``arm``, ``against`` and ``target``: ``seeds``, ``difference`` with its ends, ``p``, the ``family`` of
        comparisons that it belongs to, and ``holm``, corrected for their number.
    """
    wide = with_random(table).pivot_table(
        index=["experiment", "seed", "target"], columns="arm", values=f"accuracy_{reading}", sort=False
    )
    several = [arm for arm in wide.columns if arm != RANDOM]
    asked = [(arm, RANDOM) for arm in several] + [(rule, bar) for rule in told["rules"] for bar in told["against"]]
    parts = [
        (100 * (wide[arm] - wide[bar])).rename("difference").reset_index().assign(arm=arm, against=bar)
        for arm, bar in asked
    ]
    by = ["experiment", "arm", "against", "target"]
    found = against_zero(pd.concat(parts, ignore_index=True), by, "difference")
    primary = found["arm"].isin(told["verdict"]) & (found["against"] == RANDOM)
    found["family"] = np.where(primary, "verdict", "other")
    found["holm"] = found.groupby(["experiment", "family"])["p"].transform(lambda p: holm(p.fillna(1.0)))
    return found


def verdict(found: pd.DataFrame, told: Mapping[str, Any]) -> pd.DataFrame:
    """Return, for each rule and experiment, on how many targets it is above random, and where it is below cosine or prototype.

    Args:
        found: as `contrasts` returns it.
        told: how the config wants it told.
    """
    level = 1 - told["level"]
    rows = []
    for (experiment, rule), mine in found[found["arm"].isin(told["verdict"])].groupby(
        ["experiment", "arm"], sort=False
    ):
        above = mine[(mine["against"] == RANDOM) & (mine["difference"] > 0) & (mine["holm"] <= level)]
        below = mine[mine["against"].isin(told["against"]) & (mine["difference_high"] < 0)]
        where = [f"{row.against} on {row.target}" for row in below.itertuples()]
        passed = len(above) >= 2 and not where
        rows.append(
            {
                "experiment": experiment,
                "rule": rule,
                "above_random": ", ".join(above["target"]),
                "below": ", ".join(where),
                "passed": passed,
            }
        )
    return pd.DataFrame(rows)


def composition(table: pd.DataFrame, config: Mapping[str, Any]) -> pd.DataFrame:
    """Return how many of the chosen groups are of the target's own dataset, and how many have shuffled labels, means over seeds.

    Args:
        table: as `arms` returns it.
        config: of E2.
    """
    chosen = table.assign(
        arm=table["arm"].str.replace(rf"^{RANDOM}-\d+$", RANDOM, regex=True),
        own=[_own(row.groups, row.target, config) for row in table.itertuples()],
        shuffled=[row.groups.count(SHUFFLED) for row in table.itertuples()],
    )
    return chosen.groupby(["experiment", "target", "arm"], sort=False)[["own", "shuffled"]].mean().reset_index()


def _own(groups: str, target: str, config: Mapping[str, Any]) -> int:
    origin = config["targets"][target]["of"]
    return sum(config["groups"][name.removesuffix(SHUFFLED)]["of"] == origin for name in groups.split("+"))
