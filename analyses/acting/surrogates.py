"""A few retrainings beside a matrix.

E1's outcomes were seen before this was thought of: nothing of it was planned, and nothing is tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import transference as tr
from analyses.acting.pilots import Pilot, logs_of_means, mean_logs
from analyses.acting.predictors import permuted
from analyses.acting.surrogate_drawing import OWN_SHARE, WITHOUT, draw
from analyses.pooling import save_table
from analyses.subjects import config_of
from transference import figures
from transference.validation import MEAN, Outcomes

RETRAINED = (0, 3, 5, 8, 12, 16)
"""Subsets that are retrained."""

DRAWS = 40
"""Ways to draw them."""

INSIDE = (0.1, 0.9)
"""The quantiles over draws that are told."""

Priors = Mapping[str, pd.DataFrame]
"""Tables of rows, a row for each family and a column for each target, by name."""


def look(runs: Path, out: Path) -> None:
    """Tell how well a few retrainings of E1 predict the others, with and without rows of its pilots beside them.

    Args:
        runs: with the plan's folder ``e1`` and the pilots beside it.
        out: with ``e1.csv``, of which the step sizes are; table and figure go there.
    """
    config, scores = config_of(out)["e1"], pd.read_csv(out / "e1.csv")
    seeds = (config["pilot"]["seed"], *config["pilot"]["repeated"])
    priors = {seed: of_pilot(Pilot.of(config, out / config["plan"], seed, runs), scores) for seed in seeds}
    table = summary(everything(tr.validation.read_trainings(runs / "e1"), config, priors))
    print("Looked at afterwards: E1's outcomes were known, and nothing is tested.")
    print("Mean LDS on the subsets that were not retrained, and between what eight of ten draws of retrained ones lie:")
    ends = [f" [{one.low:.2f}, {one.high:.2f}]" if one.draws > 1 else "" for one in table.itertuples()]
    wide = table.assign(told=[f"{value:.2f}{of}" for value, of in zip(table["lds"], ends, strict=True)])
    print(wide.pivot(index=["prior", "pilot"], columns="retrained", values="told").to_string())
    print("\nShare of draws in which it is above the surrogate without rows, and of fits that use the rows:")
    told = table[(table["retrained"] > 0) & table["used"].notna()]
    print(told.pivot(index=["prior", "pilot"], columns="retrained", values=["above", "used"]).round(2).to_string())
    save_table(table, out / "surrogate.csv")
    figures.save(draw(table), out / "surrogate.png")


def of_pilot(pilot: Pilot, scores: pd.DataFrame) -> Priors:
    """Return the rows of a pilot that a surrogate starts from: one exact step, K = 150 updates, the placebo.

    Args:
        pilot: with its measurements.
        scores: of E1, which chose the step size.
    """
    mine = scores[(scores["pilot"] == pilot.seed) & (scores["predictor"] == "exact") & scores["taken"]]
    exact = mean_logs(pilot.steps(), float(mine["alpha"].iloc[0]))
    updates = logs_of_means(pilot.updates(), 150).loc[pilot.families]
    return {"exact": exact, "k150-mean": updates, "permuted": permuted(exact)}


def everything(
    trainings: pd.DataFrame, config: Mapping[str, Any], priors: Mapping[int, Priors], draws: int = DRAWS
) -> pd.DataFrame:
    """Return the mean LDS of every draw, on subsets and seeds that no surrogate saw.

    In each draw some subsets, the first of one permutation, have one retraining each, in every other draw with the other seed of those that
    choose. An outcome that is missing or infinite is left out for its target alone.

    Args:
        trainings: a row per training and target.
        config: of E1.
        priors: of each pilot.
        draws: how many.

    Returns:
        One row per draw, number of retrained subsets, prior and pilot: ``draw``, ``retrained``, ``prior``, ``pilot`` (NaN for those
        that are of none), ``lds``, ``ceiling``, and ``used``, the share of targets for which the rows are.
    """
    told, *chosen = (
        _outcomes(trainings, config, of) for of in (config["told"]["told_on"], *config["told"]["chosen_on"])
    )
    families = list(told.modes)
    own = pd.DataFrame(-np.eye(len(families)), families, families)
    tables: dict[tuple[str, int | None], pd.DataFrame] = {("own-share", None): own}
    tables |= {(name, seed): table for seed, of in priors.items() for name, table in of.items()}
    rows: list[dict[str, object]] = []
    rng = np.random.default_rng(0)
    for number in range(draws):
        pool = chosen[number % len(chosen)]
        order = [pool.sets[place] for place in rng.permutation(len(pool.sets))]
        for n in RETRAINED if number == 0 else RETRAINED[1:]:  # without retrainings all draws are the same
            rows += [{"draw": number, "retrained": n, **row} for row in _draw(told, pool, order[:n], tables)]
    return pd.DataFrame(rows)


def _outcomes(trainings: pd.DataFrame, config: Mapping[str, Any], seeds: int | Sequence[int]) -> Outcomes:
    some = trainings[trainings["seed"].isin(np.atleast_1d(seeds))]
    return tr.validation.outcomes(some, config["outcome"], missing="target")


def _draw(
    told: Outcomes, pool: Outcomes, retrained: Sequence[str], tables: Mapping[tuple[str, int | None], pd.DataFrame]
) -> Iterator[dict[str, object]]:
    """Yield the LDS of every predictor on the subsets that are not retrained."""
    others = told.of_sets(*(one for one in told.sets if one not in retrained))
    made, used = dict(tables), dict.fromkeys(tables, np.nan)
    if retrained:
        few = pool.of_sets(*retrained)
        fitted = {key: tr.validation.surrogate(few, table) for key, table in tables.items()}
        used = {key: float((one.fits["scale"] > 0).mean()) for key, one in fitted.items()}
        made = {key: one.rows for key, one in fitted.items()}
        made[WITHOUT, None] = tr.validation.surrogate(few).rows
    made[OWN_SHARE, None] = tables["own-share", None]
    names = {str(key): key for key in made}
    said = {
        name: pd.DataFrame(others.shares @ made[key].loc[list(others.modes), list(others.targets)].to_numpy(),
                           list(others.sets), list(others.targets))
        for name, key in names.items()
    }  # fmt: skip
    scores = tr.validation.lds(others, said, groups=["all"], draws=2)  # its intervals are not looked at
    for one in scores[scores["target"] == MEAN].itertuples():
        prior, pilot = names[one.predictor]
        yield {
            "prior": prior,
            "pilot": pilot,
            "lds": one.lds,
            "ceiling": one.ceiling,
            "used": used.get((prior, pilot), np.nan),
        }


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return means and quantiles over draws.

    The quantiles say how much it matters which subsets are retrained, and with which of two seeds. They are no confidence interval: the
    outcomes that are predicted have the same seeds, and the rows are of the same pilot, in all draws.

    Returns:
        One row per prior, pilot and number of retrained subsets: ``prior``, ``pilot``, ``retrained``, ``draws``, ``lds``, ``low``,
        ``high``, ``above`` (the share of draws in which it is above the surrogate without rows), ``used``, ``ceiling``.
    """
    bare = found[found["prior"] == WITHOUT].set_index(["draw", "retrained"])["lds"]
    there = found.join(bare.rename("bare"), on=["draw", "retrained"])
    there["above"] = np.where(there["bare"].isna(), np.nan, there["lds"] > there["bare"])
    groups = there.groupby(["prior", "pilot", "retrained"], sort=False, dropna=False)
    table = groups[["lds", "above", "used", "ceiling"]].mean()
    table.insert(0, "draws", groups.size())
    for name, quantile in zip(("high", "low"), INSIDE[::-1], strict=True):
        ends = groups["lds"].quantile(quantile).where(table["draws"] > 1)
        table.insert(2, name, ends)
    return table.reset_index()
