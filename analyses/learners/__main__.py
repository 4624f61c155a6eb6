"""Do MProtoNet and MProtoNet+KML reduce negative transfer against ProtoNet, and MMAML+KML against MMAML?

python -m analyses.learners --data-root data
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import transference as tr
from analyses.pooling import over_seeds, paired, pooled, save_table, shown
from analyses.subjects import HERE as ANALYSES
from analyses.subjects import SUBJECTS, config_of, measured, parser, places
from transference import figures
from transference.blocks import Block
from transference.figures import COLOURS, styled
from transference.statistics import CLASSES

HERE = Path(__file__).parent
PAPER = "tiny_imagenet → cifar100"
"""The nearest here to the paper's mini-ImageNet → FC100."""


def main() -> None:
    """Measure what is missing, print the paired differences, draw the figure."""
    at, rows = places(parser(__doc__).parse_args()), []
    configs = {"training_trend": config_of(ANALYSES / "training_trend"), "learners": config_of(HERE)}
    runs = {
        (learner, seed): run for name, config in configs.items() for learner, seed, run in measured(name, config, at)
    }
    for learner, other in configs["learners"]["against"].items():
        for seed in SUBJECTS["seeds"]:
            others = last(runs[other, seed])
            for (group, alpha), block in last(runs[learner, seed]).items():
                key = {"learner": learner, "against": other, "seed": seed, "group": group, "alpha": alpha}
                rows.append({**key, **paired(block, others[group, alpha])})
    for learner, alpha in configs["learners"]["longer"].items():
        other, shorter = configs["learners"]["against"][learner], max(configs["learners"]["alpha"])
        config = {**configs["learners"], "learners": [learner], "alpha": [alpha]}
        for _, seed, run in measured("learners_longer", config, at):
            runs[f"{learner} at {alpha:g}", seed], others = run, last(runs[other, seed])
            for (group, _), block in last(run).items():
                key = {
                    "learner": f"{learner} at {alpha:g}",
                    "against": other,
                    "seed": seed,
                    "group": group,
                    "alpha": shorter,
                }
                rows.append({**key, **paired(block, others[group, shorter])})
    shares = pd.DataFrame(
        [
            {
                "learner": learner,
                "seed": seed,
                "group": group,
                "alpha": alpha,
                **tr.summarise_blocks([block]).iloc[0][list(CLASSES)],
            }
            for (learner, seed), run in runs.items()
            for (group, alpha), block in last(run).items()
        ]
    )
    difference = pd.DataFrame(rows)
    by = ["group", "alpha", "learner"]
    pairs = [*by, "against"]
    print("Shares at the last checkpoint, mean of three trainings, 95 % t intervals over trainings:")
    print(shown(over_seeds(shares, by, CLASSES).sort_values(by)))
    print("\nDifference from the other learner trained with the same seed, on the same tasks; over trainings:")
    together = over_seeds(difference, pairs, (*CLASSES, "mean_log"))
    print(shown(together.sort_values(by)))
    print("\nHow long a step is, and what it does to its own task (geometric mean of the ratio), means over trainings:")
    own = pd.DataFrame(
        [{"learner": learner, **yardstick} for (learner, _), run in runs.items() for yardstick in yardsticks(run)]
    )
    print(own.groupby(["alpha", "learner"]).mean().round(4).to_string())
    print("\nIn each training, with p of each difference:")
    print(difference.sort_values([*pairs, "seed"]).round(4).to_string(index=False))
    save_table(difference, HERE / "data.csv")
    save_table(shares, HERE / "shares.csv")
    figures.save(draw(difference, together), HERE / "figure.png")


def last(run: tr.Run) -> dict[tuple[str, float], Block]:
    """Return the last checkpoint's tables by group and step size, and that of the paper's mode pair."""
    found = {(group, alpha): block for (step, alpha, group), block in pooled(run).items() if step == run.steps[-1]}
    alone = [
        b for b in run.blocks() if b.checkpoint_step == run.steps[-1] and f"{b.source_mode} → {b.target_mode}" == PAPER
    ]
    return {**found, **{(PAPER, block.alpha): block for block in alone}}


def yardsticks(run: tr.Run) -> list[dict[str, float]]:
    """Return for each step size of the last checkpoint the median length of the step, and the mean self-transference."""
    last = f"checkpoint_step == {run.steps[-1]}"
    lengths = run.sources().query(last).groupby("alpha")["displacement_norm"].median()
    own = (
        run.self_transference()
        .query(last)
        .groupby("alpha")["loss_ratio"]
        .agg(lambda ratio: np.exp(np.log(ratio).mean()))
    )
    accuracy = float(run.pairs().query(last)["accuracy_before"].mean())
    return [{"alpha": alpha, "length": lengths[alpha], "own": own[alpha], "accuracy": accuracy} for alpha in run.alphas]


def draw(difference: pd.DataFrame, together: pd.DataFrame) -> Figure:
    """Draw the change of each share: a row per learner and group, a panel per step size; small dots are single trainings."""
    rows = list(dict.fromkeys(zip(together["learner"], together["against"], together["group"], strict=True)))
    alphas = sorted(set(together["alpha"].tolist()))
    with styled():
        figure = Figure(figsize=(6.8, 0.8 + 0.38 * len(rows)), layout="constrained")
        axes = figure.subplots(1, len(alphas), sharey=True, squeeze=False)[0]
        for ax, alpha in zip(axes, alphas, strict=True):
            ax.axvline(0, color="black", linewidth=0.6)
            for place, (learner, _, group) in enumerate(rows):
                here = f"learner == {learner!r} and group == {group!r} and alpha == {alpha!r}"
                for shift, name in ((-0.15, "positive"), (0.15, "negative")):
                    if (found := together.query(here)).empty:
                        continue
                    mean, y = found.iloc[0], place + shift
                    ax.plot([mean[f"{name}_low"], mean[f"{name}_high"]], [y, y], color=COLOURS[name], linewidth=1)
                    ax.plot(mean[name], y, "o", color=COLOURS[name], markersize=4, label=name if place == 0 else None)
                    single = difference.query(here)[name]
                    ax.plot(single, np.full(len(single), y), "|", color=COLOURS[name], markersize=6)
            ax.set_title(f"α = {alpha:g}")
            ax.set_xlabel("difference of the shares")
        axes[0].set_yticks(range(len(rows)), [f"{learner} − {other}, {group}" for learner, other, group in rows])
        axes[0].invert_yaxis()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
    return figure


if __name__ == "__main__":
    main()
