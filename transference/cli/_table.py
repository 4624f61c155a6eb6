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


def as_json(frame: pd.DataFrame) -> str:
    """Return one object per row; NaN becomes null."""
    return json.dumps(json.loads(frame.to_json(orient="records", double_precision=15)), indent=2)
