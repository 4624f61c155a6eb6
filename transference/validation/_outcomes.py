"""What retraining gave: a table of trainings, and its outcomes as an array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transference.errors import DataError, UsageError

_SHARE = "share/"
_NEEDED = ("training", "seed", "target")
_MADE = {"log_loss": "loss", "error": "accuracy"}
"""Outcomes that are made of a column, with that column."""

Missing: TypeAlias = Literal["set", "target"]
"""What is left out where an outcome is missing or not finite: the training set, or the set for that target alone."""


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of training sets, each trained on with the same seeds and tested on the same targets.

    Attributes:
        name: of the outcome; the smaller the better.
        sets: the name of each training set.
        modes: that they are made of.
        shares: of the tasks of each set that each mode has, ``[n_sets, n_modes]``; each row sums to 1.
        seeds: of the trainings.
        targets: that they are tested on.
        values: ``[n_sets, n_seeds, n_targets]``; NaN with every seed where a set is left out for a target.
        left_out: sets that lack an outcome, with what they lack, in words.
    """

    name: str
    sets: tuple[str, ...]
    modes: tuple[str, ...]
    shares: NDArray[np.float64]
    seeds: tuple[int, ...]
    targets: tuple[str, ...]
    values: NDArray[np.float64]
    left_out: Mapping[str, str]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which targets each set has an outcome for with every seed, ``[n_sets, n_targets]``; nothing else of it is looked at."""
        return np.asarray(np.isfinite(self.values).all(axis=1))

    def of_seeds(self, *seeds: int) -> Outcomes:
        """Return the outcomes of some of the seeds alone.

        Raises:
            UsageError: there is no such seed, or none is asked for.
        """
        if not seeds or (strange := [seed for seed in seeds if seed not in self.seeds]):
            asked = ", ".join(map(str, strange if seeds else ())) or "no seed"
            raise UsageError(
                f"Outcomes of {asked} were asked for; there are those of {', '.join(map(str, self.seeds))}."
            )
        places = [self.seeds.index(seed) for seed in seeds]
        fields = {name: getattr(self, name) for name in ("name", "sets", "modes", "shares", "targets", "left_out")}
        return Outcomes(**fields, seeds=seeds, values=self.values[:, places])

    def of_sets(self, *sets: str) -> Outcomes:
        """Return the outcomes of some of the training sets alone.

        Raises:
            UsageError: there is no such set, or none is asked for.
        """
        if not sets or (strange := [one for one in sets if one not in self.sets]):
            asked = ", ".join(strange if sets else ()) or "no training set"
            raise UsageError(f"Outcomes of {asked} were asked for; there are those of {', '.join(self.sets)}.")
        places = [self.sets.index(one) for one in sets]
        fields = {name: getattr(self, name) for name in ("name", "modes", "seeds", "targets", "left_out")}
        return Outcomes(**fields, sets=sets, shares=self.shares[places], values=self.values[places])

    def share_of(self, target: str) -> NDArray[np.float64]:
        """Return the share that the target's own mode has in each set, ``[n_sets]``; 0 for a target that is none of the modes."""
        return self.shares[:, self.modes.index(target)] if target in self.modes else np.zeros(len(self.sets))


def read_trainings(path: str | Path) -> pd.DataFrame:
    """Return a table of trainings: ``trainings.parquet`` of a plan's folder, or a parquet or csv file of that shape.

    Args:
        path: of the folder or the file.

    Returns:
        One row per training and target: ``training``, ``seed``, ``target``, columns of scores, and ``share/MODE`` for every mode.

    Raises:
        DataError: there is no such file, it is no table, or lacks a column.
    """
    file = Path(path) / "trainings.parquet" if Path(path).is_dir() else Path(path)
    try:
        with file.open("rb") as content:  # given a name, pandas takes some for an address
            table = pd.read_csv(content) if file.suffix == ".csv" else pd.read_parquet(content)
    except FileNotFoundError as error:
        raise DataError(
            f"{file} is not there. Give the folder of transference train --plan, once all its trainings are finished, or such a table."
        ) from error
    except (ValueError, OSError) as error:
        raise DataError(
            f"{file} is no table of trainings ({str(error).splitlines()[0]}). Give a parquet or csv file."
        ) from error
    _check(table, str(file))
    return table


def outcomes(trainings: pd.DataFrame, outcome: str = "log_loss", *, missing: Missing = "set") -> Outcomes:
    """Return the outcomes in a table of trainings.

    Args:
        trainings: as `read_trainings` returns it; its training sets are told apart by ``training``, and have the same shares
            with every seed.
        outcome: a column in which less is better, or ``log_loss``, the logarithm of ``loss``, or ``error``, 1 - ``accuracy``.
        missing: what is left out where an outcome is missing or not finite: ``"set"``, the training set, so that all targets are told on
            the same sets, or ``"target"``, the set for that target alone, with all its seeds.

    Returns:
        Outcomes of all sets that have one for every seed and target, or, by target, for every seed and some target; ``left_out`` names
        what is not told.

    Raises:
        DataError: a column is missing, a training is there twice, a set has other shares with another seed, or no set has all outcomes.
        UsageError: there is no such way to leave out.
    """
    if missing not in ("set", "target"):
        raise UsageError(f"Leaving out by {missing!r} was asked for; what is left out is a set or a target of it.")
    _check(trainings, "The table of trainings")
    column = _MADE.get(outcome, outcome)
    if column not in trainings or not pd.api.types.is_numeric_dtype(trainings[column].dtype):
        raise DataError(f"The outcome {outcome} was asked for, and the trainings have no numbers called {column}.")
    told = trainings[column].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = (
            pd.Series(np.log(told), told.index) if outcome == "log_loss" else 1 - told if outcome == "error" else told
        )
    rows = trainings.assign(outcome=values.where(np.isfinite(values)))
    if (twice := rows.duplicated([*_NEEDED])).any():
        raise DataError(
            f"The trainings have two rows of {_told(rows[twice].iloc[0])}; give one for each training, seed and target."
        )
    sets, seeds, targets = (tuple(pd.unique(rows[name])) for name in _NEEDED)
    index = pd.MultiIndex.from_product([sets, seeds, targets], names=_NEEDED)
    listed = rows.set_index([*_NEEDED])["outcome"].reindex(index).to_numpy(dtype=float)
    cube = listed.reshape(len(sets), len(seeds), len(targets))
    lost = np.asarray(np.isnan(cube).any(axis=1))
    if missing == "set":
        lost = np.broadcast_to(lost.any(axis=1, keepdims=True), lost.shape)
    kept = np.flatnonzero(~lost.all(axis=1))
    if not len(kept):
        every = "every seed and target" if missing == "set" else "every seed of any target"
        raise DataError(f"No training set has a finite {outcome} for {every}; nothing can be predicted of it.")
    shares = [str(name) for name in rows if str(name).startswith(_SHARE)]
    return Outcomes(
        outcome,
        tuple(str(sets[place]) for place in kept),
        tuple(str(name).removeprefix(_SHARE) for name in shares),
        _shares(rows, shares).loc[list(sets)].to_numpy(dtype=float)[kept],
        tuple(int(seed) for seed in seeds),
        tuple(map(str, targets)),
        np.where(lost[:, None], np.nan, cube)[kept],
        {str(sets[place]): _why(cube[place], lost[place], targets) for place in np.flatnonzero(lost.any(axis=1))},
    )


def _why(values: NDArray[np.float64], lost: NDArray[np.bool_], targets: Sequence[object]) -> str:
    """Return what a training set lacks, and, unless all of it is left out, for which targets it is.

    Args:
        values: its outcomes, ``[n_seeds, n_targets]``.
        lost: the targets for which it is left out, ``[n_targets]``.
        targets: their names.
    """
    told = f"{np.isnan(values).sum()} of {values.size} outcomes are missing or not finite"
    names = [str(name) for name, gone in zip(targets, lost, strict=True) if gone]
    return told if lost.all() else f"left out for {', '.join(names)} alone: {told}"


def _shares(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return the shares of each training set, which sum to 1.

    Raises:
        DataError: a set has several, or one that is no share.
    """
    found = rows.groupby("training", sort=False)[names]
    low, high = found.min(), found.max()
    if (several := (high - low > 1e-9).any(axis=1)).any():
        raise DataError(
            f"The training set {several.idxmax()} has other shares of modes in some rows; give sets that differ different names."
        )
    sums = low.sum(axis=1)
    if (wrong := ~(low >= 0).all(axis=1) | ~(sums > 0)).any():
        raise DataError(f"The training set {wrong.idxmax()} has shares that are negative, missing, or all zero.")
    return low.div(sums, axis=0).round(12)  # or equal shares would differ by how they were summed


def _check(table: pd.DataFrame, what: str) -> None:
    """Make sure that a table has the columns of trainings.

    Raises:
        DataError: it has not.
    """
    lacking = [name for name in _NEEDED if name not in table]
    lacking += [] if any(str(name).startswith(_SHARE) for name in table) else [f"{_SHARE}MODE"]
    if lacking or not len(table):
        told = f"no {', '.join(lacking)}" if lacking else "no rows"
        raise DataError(
            f"{what} has {told}; it needs training, seed, target, and share/MODE for every mode, a row for each training and target."
        )
    shares = [name for name in table if str(name).startswith(_SHARE)]
    wrong = [str(name) for name in shares if not pd.api.types.is_numeric_dtype(table[name].dtype)]
    wrong += [] if pd.api.types.is_integer_dtype(table["seed"].dtype) else ["seed"]
    if wrong:
        raise DataError(
            f"{what} has other things than numbers in {', '.join(wrong)}; a seed is a whole number, a share a number from 0 on."
        )


def _told(row: pd.Series) -> str:
    return f"training {row['training']}, seed {row['seed']}, target {row['target']}"
