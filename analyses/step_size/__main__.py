"""How much of negative transfer is disagreement between tasks, and how much is overshoot?

python -m analyses.step_size --data-root data
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import transference as tr
from analyses.pooling import GROUPS, mark_beyond, over_seeds, pooled, save_table, shown
from analyses.subjects import measured, parser, places
from transference import figures
from transference.figures import COLOURS, styled

HERE = Path(__file__).parent
CONFIGS = {"sgd": "config.toml", "adam": "adam.toml"}
PARTS = {
    "log_ratio": ("black", "log LR"),
    "first_order": ("#009E73", "first-order part"),
    "curvature": ("#CC79A7", "curvature"),
}


def main() -> None:
    """Measure what is missing, print the table, draw the figure."""
    at, rows = places(parser(__doc__).parse_args()), []
    for lookahead, file in CONFIGS.items():
        config = tomllib.loads((HERE / file).read_text())
        for _, seed, run in measured(f"step_size_{lookahead}", config, at):
            own = run.self_transference()
            for (_, alpha, group), block in pooled(run).items():
                parts, shares = tr.split([block]).iloc[0], tr.summarise_blocks([block]).iloc[0]
                mine = float(np.log(own.loc[own["alpha"] == alpha, "loss_ratio"]).mean())
                key = {"lookahead": lookahead, "seed": seed, "group": group, "alpha": alpha, "own": mine}
                told = {name: parts[name] for name in (*PARTS, "agree", "overshoot")}
                rows.append({**key, **told, "positive": shares["positive"], "negative": shares["negative"]})
    found = pd.DataFrame(rows)
    by = ["lookahead", "group", "alpha"]
    together = over_seeds(found, by, (*PARTS, "own", "positive", "negative", "agree", "overshoot")).sort_values(by)
    print(
        "Mean log ratio and its parts; the targets' own step; shares; pairs whose gradients agree, and pairs hurt although they do."
    )
    print("Mean of three trainings, 95 % t intervals over trainings:")
    print(shown(together, "{:.4f}"))
    save_table(found, HERE / "data.csv")
    figures.save(draw(together), HERE / "figure.png")


def draw(together: pd.DataFrame) -> Figure:
    """Draw the parts (above) and the shares (below) over step sizes, within and across modes, of plain and Adam's steps."""
    columns = [(lookahead, group) for lookahead in CONFIGS for group in GROUPS]
    with styled():
        figure = Figure(figsize=(6.8, 3.6), layout="constrained")
        axes = figure.subplots(2, len(columns), sharey="row", squeeze=False)
        for (top, bottom), (lookahead, group) in zip(axes.T, columns, strict=True):
            here = together[(together["lookahead"] == lookahead) & (together["group"] == group)]
            for name, (colour, label) in PARTS.items():
                _line(top, here, name, colour, label)
            top.set_yscale("asinh", linear_width=0.003)  # a symlog has a kink
            top.set_yticks([-0.1, -0.01, 0, 0.01, 0.1])
            top.minorticks_off()
            top.axhline(0, color="black", linewidth=0.6)
            top.set_title(f"{'SGD' if lookahead == 'sgd' else 'Adam'}, {group}")
            for name in ("positive", "negative"):
                _line(bottom, here, name, COLOURS[name], name)
            bottom.plot(
                here["alpha"],
                here["overshoot"],
                color=COLOURS["negative"],
                linestyle=":",
                linewidth=1.2,
                label="hurt, though\ngradients agree",
            )
            bottom.set_ylim(0, 1)
            for name in ("positive", "negative"):
                mark_beyond(bottom, here["alpha"], here[f"{name}_low"], here[f"{name}_high"], COLOURS[name])
            for ax in (top, bottom):
                ax.set_xscale("log")
        axes[0][0].set_ylabel("mean over pairs (asinh)")
        axes[1][0].set_ylabel("share of pairs")
        axes[0][0].legend(frameon=False, loc="upper left", fontsize=6)
        axes[1][0].legend(frameon=False, loc="upper left", fontsize=6)
        figure.supxlabel("step size α", fontsize=8)
    return figure


def _line(ax: mpl.axes.Axes, table: pd.DataFrame, name: str, colour: str, label: str) -> None:
    ax.plot(table["alpha"], table[name], color=colour, linewidth=1.3, marker="o", markersize=2.5, label=label)
    ax.fill_between(table["alpha"], table[f"{name}_low"], table[f"{name}_high"], color=colour, alpha=0.15, linewidth=0)


if __name__ == "__main__":
    main()
