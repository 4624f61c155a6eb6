"""Do ways to combine modalities give more than the same losses added up, when they are trained alike?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.figure import Figure

import transference as tr
from analyses.modalities.testing import against_zero, holm
from analyses.modalities.trainings import Paired
from meta_models.training import evaluate
from transference.figures import styled

AGAINST = {
    "uniform": ["joint"],
    "smooth-worst": ["uniform"],
    "mgda": ["uniform"],
    "pcgrad": ["uniform"],
    "precision": ["uniform"],
    "product": ["inter", "intra"],
}
"""Which trainings are compared with which."""

COLOURS = ("#E69F00", "#56B4E9", "#000000")
"""Of the subsets: each modality, and all together."""


def rows(paired: Paired, seed: int) -> Iterator[dict[str, object]]:
    """Yield loss and accuracy of each training of a seed on each subset of held-out tasks, the same for all."""
    tasks = dict(zip(paired.subsets, paired.tasks(paired.subsets, "test", seed + 2000), strict=True))
    for arm, about in paired.config["arms"].items():
        checkpoint = tr.load_checkpoint(paired.trained(arm, seed)[-1])
        # One expert for all modalities together knows nothing of one alone.
        known = {paired.subsets[-1]: tasks[paired.subsets[-1]]} if about.get("experts") == "inter" else tasks
        scores = evaluate(tr.load_learner(checkpoint), checkpoint.params, known, paired.config["n_test"])
        for subset, part in scores.groupby("mode", sort=False):
            means = {"loss": part["loss"].mean(), "accuracy": part["accuracy"].mean()}
            yield {"data": paired.name, "arm": arm, "subset": subset, "seed": seed, **means}


def differences(found: pd.DataFrame) -> pd.DataFrame:
    """Return how much more accurate a training is than another of the same seed, on all modalities and on each alone."""
    accuracy = found.set_index(["arm", "data", "subset", "seed"])["accuracy"]
    parts = [
        (accuracy[arm] - accuracy[other]).dropna().rename("difference").reset_index().assign(arm=arm, against=other)
        for arm, others in AGAINST.items()
        for other in others
    ]
    return pd.concat(parts, ignore_index=True)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return the mean difference over seeds, its interval and p of each comparison; ``holm`` is corrected for all of them."""
    told = against_zero(differences(found), ["data", "arm", "against", "subset"], "difference")
    return told.assign(holm=holm(told["p"]))


def draw(told: pd.DataFrame, datasets: Sequence[Paired]) -> Figure:
    """Draw each difference with its interval, a panel for each dataset; filled is what is beyond zero once corrected."""
    pairs = [(arm, other) for arm, others in AGAINST.items() for other in others]
    with styled():
        figure = Figure(figsize=(7.2, 0.9 + 0.36 * len(pairs)), layout="constrained")
        axes = figure.subplots(1, len(datasets), sharey=True, squeeze=False)[0]
        for ax, paired in zip(axes, datasets, strict=True):
            ax.axvline(0, color="black", linewidth=0.6)
            for place, (arm, other) in enumerate(pairs):
                for k, (subset, colour) in enumerate(zip(paired.subsets, COLOURS, strict=True)):
                    cell = told[
                        (told["data"] == paired.name)
                        & (told["arm"] == arm)
                        & (told["against"] == other)
                        & (told["subset"] == subset)
                    ]
                    for row in cell.to_dict("records"):
                        y = place + 0.22 * (k - 1)
                        ends = [100 * row["difference_low"], 100 * row["difference_high"]]
                        ax.plot(ends, [y, y], color=colour, linewidth=1)
                        fill = colour if row["holm"] < 0.05 else "white"
                        ax.plot(100 * row["difference"], y, "o", color=colour, markerfacecolor=fill, markersize=4)
            for subset, colour in zip(paired.subsets, COLOURS, strict=True):
                ax.plot([], [], color=colour, label=f"on {subset}")
            ax.set_title(paired.name)
            ax.set_xlabel("points of accuracy")
            ax.legend(frameon=False, fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1)
        axes[0].set_yticks(range(len(pairs)), [f"{arm} − {other}" for arm, other in pairs])
        axes[0].invert_yaxis()
    return figure
