"""Do the intervals of calibrated estimates cover what a fully measured matrix says, and what do the estimates save?

    python -m benchmarks.calibrating EXACT_RUN ESTIMATED_RUN [--shares 0.01,0.02,0.05] [--resamplings 200]

Two runs of the same tasks: every pair exact, and every pair estimated. Random samples of the exact pairs stand for those that a calibrated
run would measure. For each step size and share: how often the 95 % intervals cover the value of the full matrix (over all mode pairs, and
in the worst), and their median width relative to intervals from the exact sample alone (over all mode pairs, and in the worst).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import transference as tr
from transference.blocks import Block
from transference.statistics import CLASSES

_SHOWN = ("geometric_mean", *CLASSES)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exact", type=Path)
    parser.add_argument("estimated", type=Path)
    parser.add_argument("--shares", default="0.01,0.02,0.05")
    parser.add_argument("--resamplings", type=int, default=200)
    asked = parser.parse_args()
    exact, estimated = ([*tr.open_run(path).blocks()] for path in (asked.exact, asked.estimated))
    random = np.random.default_rng(0)
    rows = []
    for share in map(float, asked.shares.split(",")):
        for truth, estimate in zip(exact, estimated, strict=True):
            rows += _resample(truth, estimate, share, asked.resamplings, random)
    found = pd.DataFrame(rows).groupby(["alpha", "share", "of"], sort=False)
    print(
        found.agg(
            coverage=("covered", "mean"), worst=("covered", "min"), width=("width", "median"), widest=("width", "max")
        )
        .round(3)
        .to_string()
    )


def _resample(
    truth: Block, estimate: Block, share: float, n: int, random: np.random.Generator
) -> list[dict[str, object]]:
    """Return a row for each quantity of one mode pair: how often it is covered, and the median relative width."""
    key = {name: getattr(truth, name) for name in ("checkpoint_step", "alpha", "source_mode", "target_mode")}
    frame = pd.DataFrame(
        {**key, "loss_ratio": truth.loss_ratio.ravel(), "estimate": estimate.change.ravel(), "status": "ok"}
    )
    whole = tr.summarise_blocks([truth]).iloc[0]
    nothing = replace(estimate, change=np.ones_like(estimate.change))
    covered, width = [], []
    for _ in range(n):
        sample = frame[random.random(len(frame)) < share]
        found = tr.calibrate([estimate], sample).iloc[0]
        alone = tr.calibrate([nothing], sample.assign(estimate=1.0)).iloc[0]
        covered.append([found[f"{name}_low"] <= whole[name] <= found[f"{name}_high"] for name in _SHOWN])
        width.append(
            [
                (found[f"{name}_high"] - found[f"{name}_low"]) / (alone[f"{name}_high"] - alone[f"{name}_low"])
                for name in _SHOWN
            ]
        )
    of = zip(_SHOWN, np.mean(covered, axis=0), np.median(width, axis=0), strict=True)
    return [{"alpha": key["alpha"], "share": share, "of": name, "covered": c, "width": w} for name, c, w in of]


if __name__ == "__main__":
    main()
