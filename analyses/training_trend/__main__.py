"""Does transfer become more positive as training proceeds?

python -m analyses.training_trend --data-root data
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import transference as tr
from analyses.pooling import GROUPS, mark_beyond, over_seeds, paired, pooled, save_table, shown
from analyses.subjects import config_of, measured, parser, places
from transference import figures
from transference.figures import COLOURS, styled
from transference.statistics import CLASSES

HERE = Path(__file__).parent


def main() -> None:
    """Measure what is missing, print both tables, draw the figure."""
    config = config_of(HERE)
    values, changes = [], []
    for _, seed, run in measured("training_trend", config, places(parser(__doc__).parse_args())):
        tables = pooled(run)
        for (step, alpha, group), block in tables.items():
            key = {"seed": seed, "group": group, "alpha": alpha, "step": step}
            found = tr.summarise_blocks([block]).iloc[0]
            accuracy = float(np.nanmean(block.accuracy_before))
            values.append(
                {
                    **key,
                    "mean_log": np.log(found["geometric_mean"]),
                    **{name: found[name] for name in CLASSES},
                    "accuracy": accuracy,
                }
            )
            if step == run.steps[-1]:
                changes.append({**key, **paired(block, tables[run.steps[0], alpha, group])})
    shares, change = pd.DataFrame(values), pd.DataFrame(changes)
    by = ["group", "alpha"]
    trend = over_seeds(shares, [*by, "step"], (*CLASSES, "mean_log", "accuracy"))
    print("ProtoNet: shares of pairs at each checkpoint, mean of three trainings, 95 % t intervals over trainings:")
    print(shown(trend.sort_values([*by, "step"])))
    print("\nLast checkpoint minus first, the same tasks; over trainings:")
    print(shown(over_seeds(change, by, (*CLASSES, "mean_log")).sort_values(by)))
    print("\nIn each training, with p of each difference:")
    print(change.sort_values([*by, "seed"]).round(4).to_string(index=False))
    save_table(shares, HERE / "data.csv")
    save_table(change, HERE / "change.csv")
    figures.save(draw(shares, trend), HERE / "figure.png")


def draw(shares: pd.DataFrame, trend: pd.DataFrame) -> Figure:
    """Draw the shares over training: step sizes down, groups of mode pairs across; thin lines are single trainings."""
    alphas, steps = sorted(set(shares["alpha"].tolist())), sorted(set(shares["step"].tolist()))
    with styled():
        figure = Figure(figsize=(3.4, 0.6 + 1.4 * len(alphas)), layout="constrained")
        axes = figure.subplots(len(alphas), len(GROUPS), sharex=True, sharey=True, squeeze=False)
        for row, alpha in zip(axes, alphas, strict=True):
            for ax, group in zip(row, GROUPS, strict=True):
                here = f"group == {group!r} and alpha == {alpha!r}"
                single, mean = shares.query(here), trend.query(here)
                for name in ("positive", "negative"):
                    for _, training in single.groupby("seed"):
                        ax.plot(training["step"], training[name], color=COLOURS[name], linewidth=0.5, alpha=0.6)
                    ax.plot(
                        mean["step"],
                        mean[name],
                        color=COLOURS[name],
                        linewidth=1.6,
                        marker="o",
                        markersize=3,
                        label=name,
                    )
                    ax.fill_between(
                        mean["step"],
                        mean[f"{name}_low"],
                        mean[f"{name}_high"],
                        color=COLOURS[name],
                        alpha=0.15,
                        linewidth=0,
                    )
                ax.set_ylim(0, 1)
                for name in ("positive", "negative"):
                    mark_beyond(ax, mean["step"], mean[f"{name}_low"], mean[f"{name}_high"], COLOURS[name])
                ax.set_xticks(steps)
            row[0].set_ylabel(f"share, α = {alpha:g}")
        for ax, group in zip(axes[0], GROUPS, strict=True):
            ax.set_title(group)
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
        figure.supxlabel("outer updates", fontsize=8)
    return figure


if __name__ == "__main__":
    main()
