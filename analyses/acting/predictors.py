"""What a pilot says of every training set, under the names of the config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

import transference as tr
from analyses.acting.pilots import KS, Pilot, logs_of_means, mean_logs, subsets
from transference.validation import Predictor

TRIVIAL: dict[str, Predictor] = {"own-share": tr.validation.own_share, "size": tr.validation.size}
ONE_STEP = ("first-order", "exact", "transposed", "permuted")
"""Predictors that have a step size. The placebo takes that of exact."""

LEFT_OUT = {"tempered": "a squared error has no temperature"}


@dataclass(frozen=True)
class Candidate:
    """A predictor with its step size, if it has one.

    Attributes:
        name: in the config.
        predictor: what it says.
        alpha: its step size; NaN where there is none.
        updates: what it costs, pilot included, in updates of 10 tasks: gradients of tasks, by tens.
        read: what it costs beside that, likewise: losses of tasks that are read, by tens, which take less than gradients.
    """

    name: str
    predictor: Predictor
    alpha: float = float("nan")
    updates: float = 0.0
    read: float = 0.0

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return self.name if np.isnan(self.alpha) else f"{self.name} at {self.alpha:g}"


def trivial() -> list[Candidate]:
    """Return the predictors that cost nothing."""
    return [Candidate(name, predictor) for name, predictor in TRIVIAL.items()]


def of_pilot(pilot: Pilot) -> list[Candidate]:
    """Return all predictors that are read from a pilot, each step size and each K as one of its own."""
    of, families = pilot.config["pilot"], len(pilot.families)
    begun, per = of["updates"], pilot.options["meta-batch"]
    sources, targets = families * of["n_source"] / per, families * of["n_target"] / per
    steps, pairs = pilot.steps(), targets * (1 + families * of["n_source"])
    found = []
    for alpha in of["alpha"]:
        slopes, exact = mean_logs(steps, alpha, "first_order"), mean_logs(steps, alpha)
        tables = {"first-order": slopes, "exact": exact, "transposed": exact.T, "permuted": permuted(exact)}
        for name, table in tables.items():
            cost = (begun + sources + targets, 0) if name == "first-order" else (begun + sources, pairs)
            found.append(Candidate(name, tr.validation.mean_of_rows(table), alpha, *cost))
    read, single = families * of["n_read"] / per, families
    updates, whole = pilot.updates(), len(subsets(pilot.families))
    for k in KS:
        rows = logs_of_means(updates, k)
        mean = tr.validation.mean_of_rows(rows.loc[pilot.families])
        found += [
            Candidate(f"k{k}-mean", mean, updates=begun + single * k, read=(1 + single) * read),
            Candidate(f"k{k}-subset", of_subset(rows), updates=begun + whole * k, read=(1 + whole) * read),
        ]
    gradients = begun + families * of["gradient_tasks"] / per
    return [*found, Candidate("cosine", tr.validation.mean_of_rows(-pilot.cosines()), updates=gradients)]


def permuted(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which every family has the place of the next one, the first that of the last, as row and as column.

    What a family does to itself stays on the diagonal.
    """
    order = [*range(1, len(table)), 0]
    columns = table.loc[:, list(table.index)]
    return pd.DataFrame(columns.to_numpy()[np.ix_(order, order)], table.index, table.index)


def of_subset(rows: pd.DataFrame) -> Predictor:
    """Return the predictor that looks up a subset's own row, whose name has its families in any order."""
    places = {frozenset(str(name).split("+")): name for name in rows.index}

    def predict(shares: Mapping[str, float], target: str) -> float:
        return float(rows.loc[places[frozenset(shares)], target])

    return predict
