"""How much of negative transfer is over-confidence?

python -m analyses.confidence --data-root data
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import transference as tr
from analyses.pooling import over_seeds, save_table, shown
from analyses.subjects import config_of, measured, parser, places
from transference import figures
from transference.blocks import Block
from transference.statistics import NEUTRAL_BAND

HERE = Path(__file__).parent
KEYS = ["alpha", "source_mode", "target_mode"]
PARTS = ("log_ratio", "tempered", "confidence")
SHARES = ("negative", "negative_tempered", "undone", "made")


def main() -> None:
    """Measure what is missing, print the split of every mode pair, and draw it."""
    at, config = places(parser(__doc__).parse_args()), config_of(HERE)
    found = pd.concat([of_run(run).assign(seed=seed) for _, seed, run in measured("confidence", config, at)])
    together = over_seeds(found, KEYS, (*PARTS, *SHARES))
    print("Mean log ratio = tempered + confidence, and the share of negative pairs before and after tempering;")
    print("mean of three trainings, 95 % t intervals over trainings:")
    print(shown(together))
    kinds = found.assign(targets=np.where(found["target_mode"] == "omniglot", "omniglot", "photographs"))
    for by, what in ((["alpha"], "all mode pairs"), (["alpha", "targets"], "those with each kind of target")):
        means = kinds.groupby(["seed", *by], as_index=False)[[*PARTS, *SHARES]].mean()
        print(f"\nMean over {what}:")
        print(shown(over_seeds(means, by, (*PARTS, *SHARES)), "{:.4f}"))
    print("\nMean over trainings of the median temperature before a step:")
    print(found.groupby("target_mode", observed=True)["temperature"].mean().round(2).to_string())
    save_table(found[[*KEYS, "seed", "n", *PARTS, *SHARES, "temperature", "untempered"]], HERE / "data.csv")
    for alpha, here in together.groupby("alpha"):
        table = here.assign(checkpoint_step=config["steps"]["protonet"][-1], drawn="trainings")
        figures.save(figures.confidence(table), HERE / f"alpha-{alpha:g}.png")


def of_run(run: tr.Run) -> pd.DataFrame:
    """Return the parts and shares of each mode pair of a run, and the median temperature of its targets before the step."""
    blocks = list(run.blocks())
    table = tr.split_confidence(blocks).merge(pd.DataFrame([shares(block) for block in blocks]), on=KEYS)
    temperatures = run.temperatures()
    before = temperatures.groupby("target_mode", observed=True)["temperature_before"].median()
    return table.assign(temperature=[before[mode] for mode in table["target_mode"]])


def shares(block: Block) -> dict[str, object]:
    """Return which share of pairs is negative, as it is and tempered.

    ``undone``: of the negative pairs, those that are not when tempered. ``made``: of the others, those that are.
    """
    one, other = (cells.ravel() for cells in (block.loss_ratio, block.tempered_ratio))
    known = np.isfinite(one) & np.isfinite(other)
    was, stays = one[known] >= NEUTRAL_BAND[1], other[known] >= NEUTRAL_BAND[1]
    return {
        **{key: getattr(block, key) for key in KEYS},
        "negative": was.mean(),
        "negative_tempered": stays.mean(),
        "undone": 1 - stays[was].mean() if was.any() else np.nan,
        "made": stays[~was].mean() if not was.all() else np.nan,
    }


if __name__ == "__main__":
    main()
