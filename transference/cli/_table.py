"""Tables as a terminal shows them."""

from __future__ import annotations

import json
import math

import click
import pandas as pd

from transference.statistics import CLASSES, GROUP, NEUTRAL_BAND, calibrate, check_estimates, summarise_blocks
from transference.store import Run


def summary_text(summary: pd.DataFrame) -> str:
    """Return the summary as aligned columns."""
    shares = summary[["positive", "neutral", "negative"]].map(lambda share: f"{share:.0%}")
    shown = pd.DataFrame(
        {
            "checkpoint": summary["checkpoint_step"],
            "alpha": summary["alpha"].map("{:g}".format),
            "source → target": summary["source_mode"].astype(str) + " → " + summary["target_mode"].astype(str),
            "n": summary["n"],
            "failed": summary["failed"],
            "geo. mean": summary["geometric_mean"].map("{:.4f}".format),
            "5 %": summary["q05"].map("{:.3f}".format),
            "median": summary["q50"].map("{:.4f}".format),
            "95 %": summary["q95"].map("{:.3f}".format),
            **{name: shares[name] for name in shares},
            "accuracy": summary["accuracy"].map(lambda share: "–" if math.isnan(share) else f"{share:.1%}"),
        }
    )
    if not summary["failed"].any():
        shown = shown.drop(columns="failed")
    return shown.to_string(index=False)


def print_summary(run: Run, band: tuple[float, float] = NEUTRAL_BAND, *, as_json: bool = False) -> pd.DataFrame:
    """Print the summary of a run, with what its exact pairs say of its estimates if it has any, and return it."""
    summary, exact = summarise_blocks(run.blocks(), band=band), run.exact_pairs()
    calibrated = calibrate(run.blocks(), exact, band=band) if run.spec.estimator["kind"] == "calibrated" else None
    if as_json:
        told = calibrated.drop(columns="n").rename(columns=_in_json).merge(summary, on=list(GROUP)) if calibrated is not None else summary
        click.echo(json_text(told))
        return summary
    parts = [summary_text(summary)]
    if calibrated is not None:
        parts = [f"As estimated, every pair:\n{parts[0]}", calibrated_text(calibrated)]
    if len(exact):
        parts.append(check_text(check_estimates(exact)))
    click.echo("\n\n".join(parts))
    return summary


def _in_json(name: str) -> str:
    return name if name in (*GROUP, "n_exact") else f"calibrated_{name}"


def json_text(frame: pd.DataFrame) -> str:
    """Return one object per row; NaN becomes null."""
    return json.dumps(json.loads(frame.to_json(orient="records", double_precision=15)), indent=2)


def calibrated_text(calibrated: pd.DataFrame) -> str:
    """Return what all pairs measured exactly would say, with 95 % intervals, as aligned columns."""
    shown = pd.DataFrame(
        {
            "checkpoint": calibrated["checkpoint_step"],
            "alpha": calibrated["alpha"].map("{:g}".format),
            "source → target": calibrated["source_mode"].astype(str) + " → " + calibrated["target_mode"].astype(str),
            "exact pairs": calibrated["n_exact"],
            "geo. mean": _intervals(calibrated, "geometric_mean", "{:.4f}"),
            **{name: _intervals(calibrated, name, "{:.1%}") for name in CLASSES},
        }
    )
    return f"Calibrated by exact pairs, with 95 % intervals for this table:\n{shown.to_string(index=False)}"


def _intervals(table: pd.DataFrame, name: str, form: str) -> list[str]:
    columns = table[[name, f"{name}_low", f"{name}_high"]]
    return ["{} [{}, {}]".format(*(form.format(end) for end in row)) for row in columns.itertuples(index=False)]


def check_text(check: pd.DataFrame) -> str:
    """Return how estimates compare with exact pairs, as aligned columns, and for which step sizes they are not to be trusted."""
    shown = pd.DataFrame(
        {
            "checkpoint": check["checkpoint_step"],
            "alpha": check["alpha"].map("{:g}".format),
            "exact pairs": check["n"],
            "Spearman": check["spearman"].map("{:.3f}".format),
            "same side of 1": check["sign_agreement"].map("{:.0%}".format),
            "largest error": check["largest_error"].map("{:.2g}".format),
            "": check["trusted"].map({True: "", False: "step too large for first order"}),
        }
    )
    told = f"First order beside exact, on a sample of pairs:\n{shown.to_string(index=False)}"
    if not check["trusted"].all():
        told += "\nWhere the step is too large take --estimator exact, or a smaller --alpha."
    return told
