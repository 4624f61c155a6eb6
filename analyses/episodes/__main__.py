"""How much of a loss ratio is the luck of its images, and of which single pairs can it be told that one task hurts the other?

python -m analyses.episodes --data-root data
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import transference as tr
from analyses.pooling import GROUPS, over_seeds, save_table, shown
from analyses.subjects import config_of, measured, parser, places
from transference import figures
from transference.figures import styled
from transference.statistics import CLASSES, summarise_replicates

HERE = Path(__file__).parent
PARTS = {
    "source_task": "source task",
    "target_task": "target task",
    "interaction": "both together",
    "episode": "draw of the images",
}
COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#BBBBBB")


def main() -> None:
    """Measure what is missing, print the shares of the variance and the single pairs, draw the figure."""
    at, config, rows = places(parser(__doc__).parse_args()), config_of(HERE), []
    for shots in config["shots"]:
        for _, seed, run in measured(f"episodes_{shots}_shot", {**config, "shots": shots}, at):
            rows += [{"shots": shots, "seed": seed, **row} for row in of_run(run)]
    found = pd.DataFrame(rows)
    by = ["shots", "alpha", "group"]
    rest = ("deviation", "same_side", *CLASSES)
    means = found.groupby([*by, "seed"], as_index=False)[[*PARTS, *rest]].mean()
    together = over_seeds(means, by, (*PARTS, *rest))
    print(
        "Shares of the variance of log ratios, mean over mode pairs and three trainings, 95 % t intervals over trainings:"
    )
    print(shown(together[[name for name in together if not str(name).startswith(rest)]]))
    print(
        "\nThe standard deviation of one log ratio, how often two draws of a pair lie on the same side of 1, and the shares of one draw:"
    )
    print(shown(together[[name for name in together if not str(name).startswith(tuple(PARTS))]]))
    print(
        "\nSingle pairs outside the neutral band, of all trainings together (5 % false discoveries in each mode pair):"
    )
    kinds = [f"single_{kind}" for kind in ("positive", "negative", "undecided")]
    print(found.groupby(by)[kinds].sum().to_string())
    print("\nMode pairs with single negative pairs:")
    some = found[found["single_negative"] > 0]
    print(some[[*by, "seed", "source_mode", "target_mode", *kinds, "episode"]].round(3).to_string(index=False))
    save_table(found, HERE / "data.csv")
    figures.save(draw(together), HERE / "figure.png")


def of_run(run: tr.Run) -> list[dict[str, object]]:
    """Return a row for each mode pair: what `summarise_replicates` tells, the shares, the deviation of a log ratio, and how draws agree."""
    rows, shares = [], tr.summarise_blocks(run.blocks())[list(CLASSES)].to_dict("records")
    for block, told, share in zip(
        run.blocks(), summarise_replicates(run.blocks()).to_dict("records"), shares, strict=True
    ):
        logs = np.log(np.stack([block.loss_ratio, *block.redrawn]))
        helps = (logs < 0).mean(axis=0)  # of the draws of each pair
        n = len(logs)
        same = (helps**2 + (1 - helps) ** 2 - 1 / n) * n / (n - 1)  # of two different draws
        group = GROUPS[block.source_mode != block.target_mode]
        rows.append(
            {**told, **share, "group": group, "deviation": np.sqrt(told["variance"]), "same_side": float(same.mean())}
        )
    return rows


def draw(together: pd.DataFrame) -> Figure:
    """Draw the parts of the variance as bars, one row per number of shots, step size and group."""
    rows = together.sort_values(["group", "shots", "alpha"], ascending=[False, True, True]).to_dict("records")
    with styled():
        figure = Figure(figsize=(5.2, 0.9 + 0.26 * len(rows)), layout="constrained")
        ax = figure.subplots()
        left = np.zeros(len(rows))
        for (name, words), colour in zip(PARTS.items(), COLOURS, strict=True):
            widths = np.array([row[name] for row in rows])
            ax.barh(range(len(rows)), widths, left=left, height=0.72, color=colour, label=words)
            left += widths
        ax.set_yticks(
            range(len(rows)),
            [f"{row['group']}, {row['shots']} shot{'s' * (row['shots'] > 1)}, α = {row['alpha']:g}" for row in rows],
        )
        ax.invert_yaxis()
        ax.set_xlim(0, 1)
        ax.set_xlabel("share of the variance of log ratios")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return figure


if __name__ == "__main__":
    main()
