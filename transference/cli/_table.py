"""Tables as a terminal shows them."""

from __future__ import annotations

import json
import math

import pandas as pd


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


def told(summary: pd.DataFrame, check: pd.DataFrame) -> str:
    """Return the summary of a run, and how good its estimates are if it has any."""
    return "\n\n".join([summary_text(summary), *([check_text(check)] if len(check) else [])])


def as_json(frame: pd.DataFrame) -> str:
    """Return one object per row; NaN becomes null."""
    return json.dumps(json.loads(frame.to_json(orient="records", double_precision=15)), indent=2)


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
