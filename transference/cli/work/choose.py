"""What ``transference choose`` does, once its options are read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transference.cli._ranked import Rows, is_own, of_same_tasks, rows_of, single_tasks
from transference.cli._table import json_text, ranking_text
from transference.cli.choose import NOT_SHOWN
from transference.cli.printing import say
from transference.errors import TransferenceError, UsageError, in_one_line
from transference.pages import facts
from transference.statistics import compare_modes, rank_modes, variance_shares
from transference.store import open_run
from transference.weights import write_weights

_COMMON = ("checkpoint_step", "alpha", "target_mode")
"""Columns that are the same in all rows."""


def choose(
    run: Path,
    target: str,
    step: int | None,
    alpha: float | None,
    sources: tuple[str, ...],
    k: int | None,
    budget: int | None,
    out: Path | None,
    force: bool,
    json_output: bool,
) -> None:
    """Do what ``transference choose`` was asked."""
    _check_options(sources, k, budget, out, force=force)
    rows = rows_of(open_run(run), target, step, alpha)
    ranking, pairs = _ranking(rows, sources)
    weights = _weights(rows, ranking, k, budget)
    say(_as_json(rows, ranking, pairs, weights) if json_output else _as_text(rows, ranking, pairs, weights, k))
    if weights is not None and not any(weights.values()):
        raise TransferenceError(
            f"No mode has a weight, and none was written: no source mode lowers the mean log loss of "
            f"{in_one_line(rows.target)} at {rows.run.spec.amount.told(rows.alpha)}. Train without weights, or rank at another --alpha."
        )
    if out is not None and weights is not None:
        about = {"note": NOT_SHOWN, "rule": _rule(rows, k, budget), "run": rows.run.spec.digest}
        write_weights(out, {rows.names["source", mode]: weight for mode, weight in weights.items()}, about)
        say(out, err=json_output)


def _check_options(sources: Sequence[str], k: int | None, budget: int | None, out: Path | None, *, force: bool) -> None:
    """Make sure that the options go together.

    Raises:
        UsageError: they do not, or ``out`` is there.
    """
    if k is not None and budget is not None:
        raise UsageError(f"--k {k} and --budget {budget} were given; each makes weights by itself. Give one of them.")
    for name, value in (("--k", k), ("--budget", budget)):
        if value is not None and value < 1:
            raise UsageError(f"{name} {value} was given; give a whole number from 1 on.")
    wanted = [name for name, value in (("--k", k), ("--budget", budget), ("--out", out)) if value is not None]
    if sources and wanted:
        raise UsageError(
            f"--sources was given with {' and '.join(wanted)}, but weights are of modes. Leave --sources out."
        )
    if out is not None and len(wanted) == 1:
        raise UsageError(f"--out {out} was given without weights to write; say which by --k or --budget.")
    if out is not None and not force and (out.is_file() or out.is_dir()):
        raise UsageError(f"{out} is there already; choose another --out, or replace it by --force.")


def _ranking(rows: Rows, sources: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the ranking of modes or of single tasks, ``own`` where they are the target mode's; and each pair of modes.

    Raises:
        UsageError: there is nothing to rank.
    """
    own = {block.source_mode for block in rows.modes if is_own(rows, block.source_mode)}
    if sources:
        ranking = rank_modes(single_tasks(rows, sources))
        modes = ranking["source_mode"].str.rpartition(":")[0]
        selves = {block.source_mode for block in rows.modes if block.same_tasks}
        ranking["failed"] -= modes.isin(selves).astype(int)  # a task on itself, which is left out and did not fail
        return ranking.assign(own=modes.isin(own)), None
    if len(rows.modes) < 2:
        found = [f"{in_one_line(block.source_mode)} (--sources ranks its tasks)" for block in rows.modes] or ["none"]
        raise UsageError(
            f"The source modes of {rows.run.path} were to be ranked, of which it has {found[0]}, nothing to rank. "
            "Measure with several --source."
        )
    shared = of_same_tasks(rows)
    ranking = rank_modes(rows.modes, shared=shared)
    return ranking.assign(own=ranking["source_mode"].isin(own)), compare_modes(rows.modes, shared=shared)


def _weights(rows: Rows, ranking: pd.DataFrame, k: int | None, budget: int | None) -> dict[str, float] | None:
    """Return the weight of each mode, in the order of their ranks; None where none were asked for.

    Raises:
        UsageError: K is above the number of ranked modes, or some are splits of one, which no training weighs apart.
    """
    if k is None and budget is None:
        return None
    modes = ranking["source_mode"].tolist()
    names = [rows.names["source", mode] for mode in modes]
    if len(set(names)) < len(names):
        raise UsageError(
            f"Weights were asked for of {', '.join(map(in_one_line, modes))}, of which some are one mode to a training. "
            "Measure each mode with one split and one sampler."
        )
    logs = np.log(ranking["geometric_mean"].to_numpy())
    if k is None:
        return dict(zip(modes, _dealt(np.where(logs < 0, -logs, 0.0), budget or 0), strict=True))
    known = int(np.isfinite(logs).sum())
    if k > known:
        raise UsageError(
            f"--k {k} was given; {rows.run.path} has {known} source modes with a mean to rank by: "
            f"{', '.join(map(in_one_line, modes[:known]))}. Give at most {known}."
        )
    return {mode: float(rank <= k) for mode, rank in zip(modes, ranking["rank"], strict=True)}


def _dealt(shares: NDArray[np.float64], n: int) -> list[float]:
    """Return n tasks dealt out in proportion to shares, as whole numbers by largest remainders."""
    if not shares.any():
        return [0.0] * len(shares)
    exact = n * (shares / shares.sum())
    whole = np.floor(exact)
    whole[np.argsort(whole - exact, kind="stable")[: round(n - float(whole.sum()))]] += 1
    return [float(number) for number in whole]


def _rule(rows: Rows, k: int | None, budget: int | None) -> str:
    """Return how the weights were made, in words."""
    rule = f"the first {k}" if k is not None else f"{budget} tasks in proportion to minus the mean log ratio"
    exactly = repr(rows.alpha).removesuffix(".0")
    where = f"{rows.target}, checkpoint {rows.step}, {rows.run.spec.amount.told(exactly)}"
    return f"{rule}, ranked by the mean log loss ratio on {where}"


def _shares_of_episodes(rows: Rows) -> dict[str, float]:
    """Return the share of each mode's variance that is the draw of the episodes; empty without replicates."""
    if rows.run.spec.replicates == 1:
        return {}
    shares = variance_shares(rows.modes)
    return dict(zip(shares["source_mode"], shares["episode"].tolist(), strict=True))


def _as_json(rows: Rows, ranking: pd.DataFrame, pairs: pd.DataFrame | None, weights: dict[str, float] | None) -> str:
    """Return all of it as JSON; NaN becomes null."""
    found: dict[str, Any] = {
        "note": NOT_SHOWN,
        "target_mode": rows.target,
        "checkpoint_step": rows.step,
        "alpha": rows.alpha,
        "estimated": rows.alpha in rows.run.spec.estimated_at,
        "replicates": rows.run.spec.replicates,
        "episode": {mode: share if math.isfinite(share) else None for mode, share in _shares_of_episodes(rows).items()},
        "left_out": rows.left_out,
        "ranking": json.loads(json_text(ranking.drop(columns=[*_COMMON]))),
        "pairs": None if pairs is None else json.loads(json_text(pairs.drop(columns=[*_COMMON]))),
        "weights": weights,
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def _as_text(
    rows: Rows,
    ranking: pd.DataFrame,
    pairs: pd.DataFrame | None,
    weights: dict[str, float] | None,
    k: int | None,
) -> str:
    """Return all of it in words and aligned columns."""
    what = "Source modes" if pairs is not None else "Single source tasks, each with its episode,"
    where = f"checkpoint {rows.step}, {rows.run.spec.amount.told(rows.alpha)}"
    lines = [
        NOT_SHOWN,
        "",
        f"{what} on {in_one_line(rows.target)}, by mean log loss ratio, {where}:",
        ranking_text(ranking.assign(weight=ranking["source_mode"].map(weights)) if weights else ranking),
        *([] if pairs is None else _notes(pairs)),
        *_noise(rows),
    ]
    if rows.alpha in rows.run.spec.estimated_at:
        told = facts.told_of_estimates(rows.run.spec)
        lines.append(f"Estimates ({told}): transference summary tells how far they can be trusted.")
    if rows.left_out and pairs is not None:
        names = ", ".join(map(in_one_line, rows.left_out))
        lines.append(f"Left out, since they are rows of no single mode: {names}.")
    if weights is not None:
        lines += _of_weights(ranking, weights, k)
    return "\n".join(lines)


def _notes(pairs: pd.DataFrame) -> Iterator[str]:
    """Yield what comparisons of modes are short of, and how many of them."""
    for note, n in pairs.loc[pairs["note"] != "", "note"].value_counts(sort=False).items():
        yield f"Of {n} of these pairs: {note}."


def _noise(rows: Rows) -> Iterator[str]:
    """Yield what single episodes tell of the ranking."""
    shots = sorted(rows.run.tasks()["shots"].dropna().unique())
    each = f" of {' or '.join(f'{n:g}' for n in shots)} shot{'' if shots == [1] else 's'}" if shots else ""
    shares = [share for share in _shares_of_episodes(rows).values() if math.isfinite(share)]
    n = rows.run.spec.replicates
    if n == 1:
        yield (
            f"Noise: one replicate, so a task is the one episode{each} that was drawn of it, and which share of the "
            "variance that draw is cannot be told here; with one shot it was 91–95 % (analyses/episodes). Measure with "
            "--replicates, or more shots."
        )
    elif shares:
        low, high = (f"{end:.0%}" for end in (min(shares), max(shares)))
        yield (
            f"Noise: of the variance of log ratios {low if low == high else f'{low} to {high}'} is the draw of "
            f"the episodes{each}; ranked are means over {n} replicates."
        )
    else:
        yield (
            f"Noise: ranked are means over {n} replicates; which share of the variance is the draw of the "
            f"episodes{each} is not known."
        )


def _of_weights(ranking: pd.DataFrame, weights: dict[str, float], k: int | None) -> Iterator[str]:
    """Yield how arbitrary it is which modes have a weight."""
    names = dict(zip(ranking["rank"], map(in_one_line, ranking["source_mode"]), strict=True))
    if k is not None:
        last = ranking[ranking["rank"] == k].iloc[0]
        if beyond := [names[rank] for rank in last["not_apart"] if rank > k]:
            yield (
                f"{names[k]}, the last with a weight, cannot be told apart from {', '.join(beyond)} without one: the "
                "boundary is arbitrary."
            )
        if k == len(names):
            yield "All modes have the same weight, as without weights."
    weighed = ranking[ranking["source_mode"].map(weights) > 0]
    lowers = weighed["geometric_mean"] < 1
    for which, what in (
        (~lowers, "that do not lower the mean log loss"),
        (lowers & ~(weighed["high"] < 1), "of which it cannot be told that they lower the loss"),
    ):
        if which.any():
            yield f"With a weight, {what}: {', '.join(names[rank] for rank in weighed.loc[which, 'rank'])}."
