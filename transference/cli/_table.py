"""Tables as a terminal shows them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial

import pandas as pd

from transference.cli.printing import say
from transference.errors import in_one_line
from transference.pages import facts
from transference.spec import TEMPERATURES, RunSpec
from transference.statistics import (
    CLASSES,
    GROUP,
    NEUTRAL_BAND,
    RATE,
    calibrate,
    check_estimates,
    control_bands,
    intervals,
    random_parts,
    split,
    split_confidence,
    summarise_blocks,
    summarise_replicates,
)
from transference.store import Run

_VARIANCE = {"source": "source_task", "target": "target_task", "together": "interaction", "episodes": "episode"}

_DECIDED = ("positive", "negative", "undecided")
"""What `single_pairs` says of a pair."""

_RATIO = ["log_ratio", "log_ratio_low", "log_ratio_high"]

_HUGE = 1e5

_LARGE = 2_000_000
"""Pairs from which on intervals take seconds, and are printed only when they are asked for."""


def summary_text(summary: pd.DataFrame) -> str:
    """Return the summary as aligned columns."""
    shown = pd.DataFrame(
        {
            **_keys(summary),
            "n": summary["n"],
            "failed": summary["failed"],
            "geo. mean": _with_ends(summary, "geometric_mean", "{:.4f}"),
            **{name: _with_ends(summary, name, "{:.0%}") for name in CLASSES},
        }
    )
    if "first_order" in summary and summary["first_order"].notna().any():
        shown["1st-order part"], shown["curvature"] = (
            summary[name].map(partial(_digits, form="{:+.4f}")) for name in ("first_order", "curvature")
        )
    shown["accuracy"] = summary["accuracy"].map(partial(_known, form="{:.1%}"))
    if not summary["failed"].any():
        shown = shown.drop(columns="failed")
    return shown.to_string(index=False)


def print_summary(
    run: Run,
    band: tuple[float, float] = NEUTRAL_BAND,
    *,
    as_json: bool = False,
    with_intervals: bool | None = None,
    controls: bool = False,
) -> None:
    """Print the summary of a run, with what its exact pairs say of its estimates if it has any.

    Args:
        run: the run.
        band: the neutral band.
        as_json: print every column as JSON.
        with_intervals: whether intervals are computed; by default unless the table is large.
        controls: print the controls of every mode pair, instead of one line.
    """
    wanted = run.spec.n_cells <= _LARGE if with_intervals is None else with_intervals
    summary, exact = (
        _summary_with_intervals(run, band) if wanted else summarise_blocks(run.tables(), band=band),
        run.exact_pairs(),
    )
    unread = run.too_large() if run.spec.replicates > 1 else ""
    if unread:
        say(f"note: what replicates tell of single pairs is left out: {unread}", err=True)
    told = run.spec.replicates > 1 and not unread
    replicated = summarise_replicates(run.blocks(), band=band) if told else None
    calibrated = calibrate(run.tables(), exact, band=band) if run.spec.calibrated else None
    tempered = _confidence_of(run) if run.spec.tempered and wanted else None
    bands = control_bands(run.controls())
    if as_json:
        rows = (
            summary
            if replicated is None
            else summary.merge(replicated.rename(columns={"note": "single_note"}), on=list(GROUP))
        )
        rows = (
            calibrated.drop(columns="n").rename(columns=_in_json).merge(rows, on=list(GROUP))
            if calibrated is not None
            else rows
        )
        if tempered is not None:
            rows = rows.merge(tempered.drop(columns=["n", "drawn", *_RATIO]), on=list(GROUP))
            random = random_parts(bands).rename(columns=lambda name: name if name in GROUP else f"random_{name}")
            rows = rows.merge(random, on=list(GROUP), how="left") if len(random) else rows
        say(json_text(rows.assign(estimated=rows["alpha"].isin(run.spec.estimated_at))))
        return
    parts = [summary_text(summary)]
    if wanted:
        parts[0] += "\nIn brackets 95 % intervals for another draw of source and target tasks."
    if run.spec.updates:
        parts[0] += (
            "\nSources are modes, of which each draw has tasks of its own; alpha is the number of updates that were taken on them."
        )
    if run.spec.estimates and run.spec.exact_at:
        parts[0] += (
            f"\nAt {facts.exact_steps(run.spec)} every loss is exact, at other {run.spec.amount.plural} an estimate."
        )
    if calibrated is not None:
        parts = [f"As estimated, every pair:\n{parts[0]}", calibrated_text(calibrated)]
    if tempered is not None:
        parts.append(confidence_text(tempered, random_parts(bands)))
    if len(exact):
        parts.append(check_text(check_estimates(exact), run.spec))
    if replicated is not None:
        parts.append(replicates_text(replicated))
    if len(bands):
        parts.append(controls_text(bands) if controls else controls_line(bands))
    say("\n\n".join(parts))


def print_progress(run: Run, *, as_json: bool = False) -> None:
    """Print how much of an unfinished run is there.

    Args:
        run: the run.
        as_json: print it as JSON.
    """
    rows, at_work = run.done(), run.shards_at_work()
    done, total = run.progress()
    if as_json:
        found = {"finished": False, "tiles": total, "done": done, "shards_at_work": at_work}
        say(json.dumps({**found, "checkpoints": rows.to_dict("records")}, indent=2))
        return
    shards = f"shards at work: {', '.join(at_work)}" if at_work else "no shard is at work"
    say(
        f"{run.path} is unfinished: {done} of {total} tiles ({done / total:.0%}), {shards}. "
        "Repeat the command in its run.json to go on."
    )
    say(rows.rename(columns={"checkpoint_step": "checkpoint"}).to_string(index=False))


def _summary_with_intervals(run: Run, band: tuple[float, float]) -> pd.DataFrame:
    """Return the summary with the ends of intervals, and with the split into first order and curvature."""
    blocks = list(run.tables())
    summary, ends, parts = summarise_blocks(blocks, band=band), intervals(blocks, band=band), split(blocks)
    for name in (name for name in ends["statistic"].unique() if name in summary):
        mine = ends.loc[ends["statistic"] == name, [*GROUP, "low", "high"]]
        summary = summary.merge(mine.rename(columns={"low": f"{name}_low", "high": f"{name}_high"}), on=list(GROUP))
    notes = ends.groupby(list(GROUP), sort=False)["note"].agg(
        lambda reasons: "; ".join(note for note in reasons.unique() if note)
    )
    summary = summary.merge(notes.rename("intervals_note").reset_index(), on=list(GROUP))
    return summary.merge(parts.drop(columns=["n", "drawn", *_RATIO]), on=list(GROUP))


def _confidence_of(run: Run) -> pd.DataFrame:
    """Return the split into tempered ratios and confidence, with the medians of temperatures and how many are at an end."""
    found, keys = run.temperatures(), list(GROUP)
    names = ["temperature_before", "temperature_after"]
    middle = found.groupby(keys, observed=True)[names].median().reset_index()
    for end, temperature in zip(("lowest", "highest"), TEMPERATURES, strict=True):
        there = (found[names] == temperature).any(axis=1)
        middle[f"temperatures_{end}"] = there.groupby([found[key] for key in keys], observed=True).sum().to_numpy()
    return split_confidence(run.tables()).merge(middle, on=keys)


_IN_PARTS = {"log ratio": "log_ratio", "= tempered": "tempered", "+ confidence": "confidence"}


def confidence_text(tempered: pd.DataFrame, random: pd.DataFrame) -> str:
    """Return what of the mean log ratio a temperature undoes, as aligned columns.

    Args:
        tempered: the split of the mean log ratios.
        random: what ``random_parts`` returns of the run's controls.
    """
    shown = pd.DataFrame(
        {
            **_keys(tempered),
            "n": tempered["n"],
            **{words: _with_ends(tempered, name, "{:+.4f}") for words, name in _IN_PARTS.items()},
            "T before": tempered["temperature_before"].map(partial(_known, form="{:.3g}")),
            "T after": tempered["temperature_after"].map(partial(_known, form="{:.3g}")),
        }
    )
    text = (
        "Mean log ratio as that of tempered losses, each at the best temperature T of its mode, and confidence, which "
        f"T undoes (after: in the middle over sources):\n{shown.to_string(index=False)}"
    )
    if lost := int(tempered["untempered"].sum()):
        text += (
            f"\nLeft out: {lost} pairs without a tempered ratio, since at T = {TEMPERATURES[0]:g} all queries of the "
            "mode are told apart, or its logits are not finite."
        )
    if at_end := int(tempered["temperatures_highest"].sum()):
        text += (
            f"\nBest at T = {TEMPERATURES[1]:g}, the highest, where logits say nothing of labels: {at_end} of the "
            "sources' temperatures; their pairs count."
        )
    if len(random):
        told = {words: _with_ends(random, name, "{:+.4f}") for words, name in _IN_PARTS.items()}
        text += (
            "\nThe same of random directions as long as the steps, which know no source; in brackets the band of 95 % of "
            f"pairs, not of a mean:\n{pd.DataFrame({**_keys(random), **told}).to_string(index=False)}"
        )
    return text


def replicates_text(replicated: pd.DataFrame) -> str:
    """Return what replicates tell of single pairs and of the variance, as aligned columns."""
    shown = pd.DataFrame(
        {
            **_keys(replicated),
            **{kind: replicated[f"single_{kind}"].map(partial(_known, form="{}")) for kind in _DECIDED},
            **{of: replicated[name].map(partial(_known, form="{:.0%}")) for of, name in _VARIANCE.items()},
        }
    )
    text = (
        f"Single pairs, by {replicated['n_replicates'].iloc[0]} episodes each: how many have a mean log ratio outside the neutral band "
        f"({RATE:.0%} false discoveries);\nand the share of the variance of log ratios that comes with the source, the target, both "
        f"together and the draw of the episodes:\n{shown.to_string(index=False)}"
    )
    return "\n".join([text, *_reasons(replicated, replicated["note"])])


def controls_line(bands: pd.DataFrame) -> str:
    """Return in a sentence what the controls of a run say."""
    zero = (
        "exactly 1" if _zero_exact(bands).all() else "NOT exactly 1: the learner is no pure function of its parameters"
    )
    parts = [f"a step of size zero gives {zero}"]
    if bands["float64"].notna().any():
        parts.append(f"float64 changes a log ratio by {bands['float64'].max():.1g} at most")
    widths = {"resampling noise": "resampled", "random directions of the same length": "random_direction"}
    for words, name in widths.items():
        ends = bands[[f"{name}_low", f"{name}_high"]].dropna()
        if len(ends):
            low, high = ends.median()
            parts.append(f"{words}: {_digits(low, '{:.3f}')} to {_digits(high, '{:.3f}')}")
    return f"Controls (95 % bands, in the middle over the rows above; --controls shows all): {'; '.join(parts)}."


def controls_text(bands: pd.DataFrame) -> str:
    """Return the controls as aligned columns."""
    shown = pd.DataFrame(
        {
            **_keys(bands),
            "pairs": bands["n"],
            "step of zero": _zero_exact(bands).map({True: "exactly 1", False: "NOT 1"}),
            "float64": bands["float64"].map("{:.1g}".format),
            "resampled": _band(bands, "resampled"),
            "random direction": _band(bands, "random_direction"),
            **({words: _band(bands, name) for words, name in _TEMPERED.items() if f"{name}_low" in bands}),
        }
    )
    return f"Controls, with 95 % bands:\n{shown.to_string(index=False)}"


_TEMPERED = {"tempered: resampled": "tempered_resampled", "tempered: random direction": "tempered_random_direction"}


def _zero_exact(bands: pd.DataFrame) -> pd.Series:
    """Return whether steps of size zero gave exactly 1, tempered or not."""
    return bands["zero_exact"] & bands["tempered_zero_exact"] if "tempered_zero_exact" in bands else bands["zero_exact"]


def _band(bands: pd.DataFrame, name: str) -> list[str]:
    """Return the ends of a control, as text."""
    text = partial(_digits, form="{:.3f}")
    return [
        f"{text(low)} – {text(high)}" for low, high in zip(bands[f"{name}_low"], bands[f"{name}_high"], strict=True)
    ]


def _keys(table: pd.DataFrame) -> dict[str, pd.Series | list[str]]:
    """Return the columns that name a row."""
    return {
        "checkpoint": table["checkpoint_step"],
        "alpha": table["alpha"].map("{:g}".format),
        "source → target": [
            f"{in_one_line(source)} → {in_one_line(target)}"
            for source, target in zip(table["source_mode"], table["target_mode"], strict=True)
        ],
    }


def _known(value: float, form: str) -> str:
    """Return a number in a format, a dash for none."""
    return "–" if pd.isna(value) else form.format(value)


def _reasons(table: pd.DataFrame, notes: pd.Series) -> list[str]:
    """Return a line for each reason why numbers of a table are missing, and for which of its rows."""
    where = notes[notes != ""].index
    if not len(where):
        return []
    rows = pd.Series(
        [
            f"{modes}, checkpoint {step}, alpha {alpha}"
            for step, alpha, modes in zip(*_keys(table).values(), strict=True)
        ],
        table.index,
    )
    return [
        f"–: {note} ({'; '.join(rows[group.index])})." for note, group in notes[where].groupby(notes[where], sort=False)
    ]


def _with_ends(table: pd.DataFrame, name: str, form: str) -> list[str]:
    """Return a column as text, with its interval where the table has one."""
    values = [_digits(value, form) for value in table[name]]
    if f"{name}_low" not in table:
        return values
    ends = zip(values, table[f"{name}_low"], table[f"{name}_high"], strict=True)
    return [
        f"{value} [{_digits(low, form)}, {_digits(high, form)}]" if math.isfinite(low) else value
        for value, low, high in ends
    ]


def _digits(value: float, form: str) -> str:
    """Return a number in a format; in three digits where it is so large or small that fixed decimals say nothing of it."""
    text = form.format(value)
    vanishes = value != 0 and math.isfinite(value) and not any(digit in text for digit in "123456789")
    return f"{value:{'+' if '+' in form else ''}.3g}" if "%" not in form and (abs(value) >= _HUGE or vanishes) else text


def _in_json(name: str) -> str:
    """Return what a column of the calibrated table is called in JSON, beside those of the estimates."""
    return name if name in (*GROUP, "n_exact", "exact_failed") else f"calibrated_{name}"


def json_text(frame: pd.DataFrame) -> str:
    """Return one object per row; NaN becomes null."""
    return json.dumps(json.loads(frame.to_json(orient="records", double_precision=15)), indent=2)


def calibrated_text(calibrated: pd.DataFrame) -> str:
    """Return what all pairs measured exactly would say, with 95 % intervals, as aligned columns."""
    shown = pd.DataFrame(
        {
            **_keys(calibrated),
            "exact pairs": calibrated["n_exact"],
            "geo. mean": _with_ends(calibrated, "geometric_mean", "{:.4f}"),
            **{name: _with_ends(calibrated, name, "{:.1%}") for name in CLASSES},
        }
    )
    return f"Calibrated by exact pairs, with 95 % intervals for this table:\n{shown.to_string(index=False)}"


def check_text(check: pd.DataFrame, spec: RunSpec) -> str:
    """Return how estimates compare with exact pairs, as aligned columns, and for which step sizes they are not to be trusted."""
    name = facts.estimator_name(spec)
    shown = pd.DataFrame(
        {
            "checkpoint": check["checkpoint_step"],
            "alpha": check["alpha"].map("{:g}".format),
            "exact pairs": check["n"],
            "Spearman": check["spearman"].map("{:.3f}".format),
            "same side of 1": check["sign_agreement"].map("{:.0%}".format),
            "largest error": check["largest_error"].map("{:.2g}".format),
            "": check["trusted"].map({True: "", False: f"step too large for {name}"}),
        }
    )
    text = f"{name.capitalize()} beside exact, on a sample of pairs:\n{shown.to_string(index=False)}"
    if not check["trusted"].all():
        text += "\nWhere the step is too large take --estimator exact, or a smaller --alpha."
    return text


def ranking_text(ranking: pd.DataFrame) -> str:
    """Return ranked source modes as aligned columns, with which of them cannot be told apart."""
    ends = {name: f"geometric_mean_{name}" for name in ("low", "high")}
    own = ranking["own"].map({True: " (the target's own)", False: ""})
    shown = pd.DataFrame(
        {
            "rank": ranking["rank"],
            "source": [f"{in_one_line(mode)}{mark}" for mode, mark in zip(ranking["source_mode"], own, strict=True)],
            "n": ranking["n"],
            **({"failed": ranking["failed"]} if ranking["failed"].any() else {}),
            "geo. mean": _with_ends(ranking.rename(columns=ends), "geometric_mean", "{:.4f}"),
            **({"weight": ranking["weight"].map("{:g}".format)} if "weight" in ranking else {}),
            "cannot be told apart from": ranking["not_apart"].map(_ranges),
        }
    )
    varied = " or ".join(ranking.loc[ranking["low"].notna(), "drawn"].unique())
    lines = [shown.to_string(index=False)]
    if varied:
        lines.append(f"In brackets 95 % intervals for another draw of {varied}.")
    lines.append(
        "Each two are compared on the same targets; what cannot be told apart, by rank, has p > 0.05, corrected (Holm) for the "
        f"number of pairs, {len(ranking) * (len(ranking) - 1) // 2:,}."
    )
    return "\n".join([*lines, *_reasons(ranking, ranking["note"])])


def _ranges(ranks: Sequence[int]) -> str:
    """Return ascending numbers with those that follow each other as ranges, ``1–3, 5``; "none" for none."""
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and rank == runs[-1][-1] + 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) or "none"
