"""Is first order enough?

python -m analyses.first_order --data-root data
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from analyses.pooling import GROUPS, over_seeds, pooled, save_table, shown
from analyses.subjects import HERE as ANALYSES
from analyses.subjects import measured, parser, places
from transference import figures
from transference.figures import styled

HERE = Path(__file__).parent
TOLD = {"spearman": "rank correlation", "same_side": "on the same side of 1", "explained": "variance explained"}


def main() -> None:
    """Open the runs of step_size, print how the first-order part and the ratio agree, draw the figure."""
    at, rows = places(parser(__doc__).parse_args()), []
    for lookahead, file in {"sgd": "config.toml", "adam": "adam.toml"}.items():
        config = tomllib.loads((ANALYSES / "step_size" / file).read_text())
        for _, seed, run in measured(f"step_size_{lookahead}", config, at):
            for (_, alpha, group), block in pooled(run).items():
                known = np.isfinite(block.loss_ratio) & np.isfinite(block.first_order)
                logs, slopes = np.log(block.loss_ratio[known]), block.first_order[known].astype(float)
                rows.append(
                    {
                        "lookahead": lookahead,
                        "seed": seed,
                        "group": group,
                        "alpha": alpha,
                        "spearman": float(spearmanr(logs, slopes).statistic),
                        "same_side": float((np.sign(logs) == np.sign(slopes)).mean()),
                        "explained": float(1 - np.var(logs - slopes) / np.var(logs)),
                        "mean_error": float((slopes - logs).mean()),
                    }
                )
    found = pd.DataFrame(rows)
    by = ["lookahead", "group", "alpha"]
    together = over_seeds(found, by, (*TOLD, "mean_error")).sort_values(by)
    print("First-order part beside log LR, pair by pair; mean of three trainings, 95 % t intervals over trainings:")
    print(shown(together, "{:.4f}"))
    save_table(found, HERE / "data.csv")
    figures.save(draw(together), HERE / "figure.png")


def draw(together: pd.DataFrame) -> Figure:
    """Draw the three measures over step sizes."""
    colours = {
        ("sgd", GROUPS[0]): "#0072B2",
        ("sgd", GROUPS[1]): "#56B4E9",
        ("adam", GROUPS[0]): "#D55E00",
        ("adam", GROUPS[1]): "#E69F00",
    }
    with styled():
        figure = Figure(figsize=(6.8, 2.2), layout="constrained")
        axes = figure.subplots(1, len(TOLD))
        for ax, (name, title) in zip(axes, TOLD.items(), strict=True):
            for (lookahead, group), colour in colours.items():
                here = together[(together["lookahead"] == lookahead) & (together["group"] == group)]
                label = f"{'SGD' if lookahead == 'sgd' else 'Adam'}, {group}"
                ax.plot(
                    here["alpha"],
                    here[name].clip(lower=-0.2),
                    color=colour,
                    linewidth=1.3,
                    marker="o",
                    markersize=2.5,
                    label=label,
                )
            ax.set_xscale("log")
            ax.set_ylim(-0.25, 1.03)
            ax.set_title(title)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
        figure.supxlabel("step size α", fontsize=8)
    return figure


if __name__ == "__main__":
    main()
