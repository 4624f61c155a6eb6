"""How well predictions do: their LDS, what is chosen by it, contrasts with the trivial predictors, AUC and regret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

import transference as tr
from analyses.acting.predictors import LEFT_OUT, ONE_STEP, TRIVIAL, Candidate, trivial
from analyses.modalities.testing import holm
from transference.validation import MEAN, Outcomes

AGAINST = {"all": "own-share", "with": "own-share", "without": "size"}
"""The trivial predictor that is the bar in each group of subsets."""


@dataclass(frozen=True)
class Telling:
    """The trainings, and how the config wants predictions told.

    Attributes:
        config: of the experiment.
        trainings: a row per training and target.
    """

    config: dict[str, Any]
    trainings: pd.DataFrame

    @property
    def seeds(self) -> dict[str, list[int]]:
        """The seeds that are told, by what they are for."""
        told = self.config["told"]
        return {"told": told["told_on"], "chosen": told["chosen_on"], "all": self.config["seeds"]}

    @property
    def settings(self) -> dict[str, Any]:
        """How intervals are made."""
        return {"level": self.config["told"]["level"], "draws": self.config["told"]["draws"]}

    def outcomes(self, of: str) -> Outcomes:
        """Return the outcomes of some of the seeds, of the subsets that have one with each of these."""
        some = self.trainings[self.trainings["seed"].isin(self.seeds[of])]
        return tr.validation.outcomes(some, self.config["outcome"])

    def scores(self, candidates: Sequence[Candidate]) -> pd.DataFrame:
        """Return the LDS of all predictors on all seeds, on those that choose, and on those that are told."""
        by_key = {one.key: one for one in candidates}
        parts = [
            tr.validation.lds(
                self.outcomes(of), {key: one.predictor for key, one in by_key.items()},
                groups=self.config["told"]["groups"], **self.settings,
            ).assign(seeds=of)
            for of in self.seeds
        ]  # fmt: skip
        return _named(pd.concat(parts, ignore_index=True), by_key)

    def choice(self, scores: pd.DataFrame) -> dict[str, float]:
        """Return the step size of each predictor that has one, by mean LDS over all subsets on the seeds that choose.

        The placebo takes that of the table which it permutes.
        """
        mine = scores.query("seeds == 'chosen' and group == 'all' and target == @MEAN", local_dict={"MEAN": MEAN})
        best = {
            name: float(mine.loc[mine.loc[mine["predictor"] == name, "lds"].idxmax(), "alpha"]) for name in ONE_STEP
        }
        return best | {"permuted": best["exact"]}

    def contrasts(self, candidates: Sequence[Candidate], choice: Mapping[str, float]) -> pd.DataFrame:
        """Return the mean LDS of all predictors that are not trivial less that of the trivial ones, p-values corrected by Holm.

        A predictor that had to be left out counts with a p-value of 1.

        Args:
            candidates: those of one pilot.
            choice: the step size of predictors that have one.

        Raises:
            ValueError: they are not as many as the config says.
        """
        by_key = {one.key: one for one in candidates if one.alpha == choice.get(one.name) or np.isnan(one.alpha)}
        mine = {key: one.predictor for key, one in by_key.items() if one.name not in TRIVIAL}
        found = self.outcomes("told")
        parts = [
            tr.validation.compare(found, mine, TRIVIAL[against], groups=[group], **self.settings).assign(bar=against)
            for group, against in AGAINST.items()
        ]
        told = _named(pd.concat(parts, ignore_index=True), by_key)
        nothing = [
            {"predictor": name, "group": group, "bar": bar, "note": f"left out: {why}"}
            for name, why in LEFT_OUT.items()
            for group, bar in AGAINST.items()
        ]
        told = pd.concat([told, pd.DataFrame(nothing)], ignore_index=True)
        if len(told) != self.config["told"]["comparisons"]:
            raise ValueError(
                f"{len(told)} comparisons were made; the config says {self.config['told']['comparisons']}."
            )
        return told.assign(holm=np.where(told["p"].isna(), np.nan, holm(told["p"].fillna(1.0))))

    def choices(self, candidates: Sequence[Candidate], choice: Mapping[str, float]) -> pd.DataFrame:
        """Return AUC of "adding this family hurts", and regret of the best subset by prediction, means over targets."""
        by_key = {one.key: one for one in candidates if one.alpha == choice.get(one.name) or np.isnan(one.alpha)}
        found, mine = self.outcomes("told"), {key: one.predictor for key, one in by_key.items()}
        tables = []
        for name, table in (
            ("auc", tr.validation.harms(found, mine, **self.settings)),
            ("regret", tr.validation.regrets(found, mine, **self.settings)),
        ):
            ends = {"low": f"{name}_low", "high": f"{name}_high"}
            tables.append(table[table["target"] == MEAN].drop(columns=["target", "note"]).rename(columns=ends))
        return _named(tables[0].merge(tables[1].drop(columns="chosen"), on="predictor"), by_key)

    def with_failures_worst(self) -> Telling:
        """Return the same with losses that are missing or infinite as bad as the worst with their seed, on each target."""
        known = self.trainings["loss"].where(np.isfinite(self.trainings["loss"]))
        worst = known.groupby([self.trainings["seed"], self.trainings["target"]]).transform("max")
        return Telling(self.config, self.trainings.assign(loss=known.fillna(worst)))


def everything(telling: Telling, candidates: Sequence[Candidate]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return LDS, contrasts, and AUC with regret, of the predictors of one pilot beside the trivial ones."""
    both = [*trivial(), *candidates]
    scores = telling.scores(both)
    choice = telling.choice(scores)
    taken = scores["alpha"].isna() | (scores["alpha"] == scores["predictor"].map(choice))
    return scores.assign(taken=taken), telling.contrasts(both, choice), telling.choices(both, choice)


def _named(table: pd.DataFrame, by_key: Mapping[str, Candidate]) -> pd.DataFrame:
    """Return a table whose predictors are keys with name, step size and cost instead."""
    ones = [by_key[key] for key in table["predictor"]]
    names = ("name", "alpha", "updates", "read")
    columns = {name: [getattr(one, name) for one in ones] for name in names}
    rest = table.drop(columns="predictor")
    return pd.DataFrame(columns).rename(columns={"name": "predictor"}).join(rest)
