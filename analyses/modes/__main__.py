"""Which modes help which?

python -m analyses.modes --data-root data
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import transference as tr
from analyses.pooling import over_seeds, save_table, shown
from analyses.subjects import HERE as ANALYSES
from analyses.subjects import config_of, measured, parser, places
from transference import figures

HERE = Path(__file__).parent


def main() -> None:
    """Open the runs of training_trend, print the mode pairs of the last checkpoint, draw one figure per step size."""
    at, rows = places(parser(__doc__).parse_args()), []
    config = {**config_of(ANALYSES / "training_trend"), "learners": ["protonet"]}
    for _, seed, run in measured("training_trend", config, at):
        blocks = [block for block in run.blocks() if block.checkpoint_step == run.steps[-1]]
        parts = (
            tr.split(blocks)
            .assign(seed=seed)
            .merge(tr.summarise_blocks(blocks)[["alpha", "source_mode", "target_mode", "negative"]])
        )
        own = run.self_transference().query("checkpoint_step == @run.steps[-1]")
        yard = own.assign(log=np.log(own["loss_ratio"])).groupby(["alpha", "mode"], observed=True)["log"].mean()
        rows.append(parts.assign(own=[yard[row.alpha, row.target_mode] for row in parts.itertuples()]))
    found = pd.concat(rows)
    keys = ["checkpoint_step", "alpha", "source_mode", "target_mode"]
    together = over_seeds(found, keys, ("log_ratio", "first_order", "curvature", "negative", "own"))
    print(
        "Mean log ratio of each mode pair, its parts, the share of negative pairs, and the targets' log ratio under their own step;"
    )
    print("mean of three trainings, 95 % t intervals over trainings:")
    print(shown(together, "{:.4f}"))
    save_table(
        found[[*keys, "seed", "n", "log_ratio", "first_order", "curvature", "negative", "own"]], HERE / "data.csv"
    )
    for alpha in sorted(together["alpha"].unique()):
        here = together[together["alpha"] == alpha]
        ends = {
            name: np.exp(here[column])
            for name, column in (("value", "log_ratio"), ("low", "log_ratio_low"), ("high", "log_ratio_high"))
        }
        table = here[keys].assign(statistic="geometric_mean", **ends, drawn="trainings")
        for column in ("source_mode", "target_mode"):
            table[column] = pd.Categorical(table[column], categories=list(dict.fromkeys(table[column])))
        figures.save(figures.blocks(table), HERE / f"alpha-{alpha:g}.png")


if __name__ == "__main__":
    main()
