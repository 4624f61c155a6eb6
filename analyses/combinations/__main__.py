"""Across modes: does it pay to combine their gradients otherwise than by the mean, and do the rows of the matrix tell?

python -m analyses.combinations --data-root data
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import meta_models
import transference as tr
from analyses.pooling import GROUPS, over_seeds, pooled, save_table, shown
from analyses.subjects import Places, config_of, parser, places
from transference import figures
from transference.combine import parse_combination
from transference.figures import COLOURS, styled

HERE = Path(__file__).parent
CONFIG = config_of(HERE)
SHAPE = {name: CONFIG[name] for name in ("ways", "shots", "queries", "side")}
PLAIN = "mean"
KEYS = ("training", "against", "alpha", "seed")
COMPARED = [*CONFIG["modes"], "negative within", "negative across"]
"""Accuracies, and shares of negative pairs."""


@dataclass(frozen=True)
class Subject:
    """One training of the config."""

    learner: str
    combine: str
    iterations: int
    seed: int
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.learner}, {self.combine}"

    @property
    def against(self) -> str:
        """The training that it stands beside: the plain one of its family."""
        family = "maml" if self.learner.endswith("maml") else "protonet"
        return f"{family}, {PLAIN}"

    def folder(self, at: Places) -> Path:
        """Return where it is kept."""
        return at.runs / "combinations" / f"{self.learner}-{self.combine}-seed{self.seed}"

    def checkpoint(self, at: Places) -> Path:
        """Train it, as ``transference train --combine`` does, unless it is there; return the last checkpoint."""
        tasks = tasks_of("train", self.seed, at)
        training = meta_models.Training(
            self.learner, self.config, tuple(CONFIG["modes"]), **SHAPE, meta_batch=CONFIG["meta_batch"], seed=self.seed,
            combine=self.combine,
        )  # fmt: skip
        return meta_models.train(
            tr.load_learner(self.learner, self.config),
            training,
            tasks,
            out=self.folder(at) / "training",
            iterations=self.iterations,
            save_every=self.iterations,
            progress=True,
        )[-1]

    def run(self, checkpoint: tr.Checkpoint, at: Places) -> tr.Run:
        """Measure it, combinations of the modes among the sources; all trainings of one seed meet the same tasks."""
        return tr.measure(
            tr.load_learner(checkpoint),
            checkpoint,
            tasks_of("train", self.seed + 1, at),
            tasks_of("test", self.seed + 2, at),
            n_source=CONFIG["n_source"],
            n_target=CONFIG["n_target"],
            lookahead=tr.Normalised(tuple(CONFIG["alpha"])),
            estimator=tr.Exact("threads"),  # no trial of engines
            combine=dict(parse_combination(name) for name in CONFIG["sources"]),
            controls=0,
            out=self.folder(at) / "run",
            progress=True,
        )


def subjects() -> list[Subject]:
    """Return all trainings, in the order of the config."""
    return [
        Subject(one["learner"], one["combine"], one["iterations"], seed, one.get("config", {}))
        for one in CONFIG["training"]
        for seed in CONFIG["seeds"]
    ]


@cache
def tasks_of(split: str, seed: int, at: Places) -> list[tr.FewShot]:
    """Return the tasks of each mode."""
    return [tr.few_shot(f"{mode}:{split}", data_root=at.data, seed=seed, **SHAPE) for mode in CONFIG["modes"]]


def main() -> None:
    """Train and measure what is missing, print the tables, draw the figures."""
    at, told, combined = places(parser(__doc__).parse_args()), [], []
    for subject in subjects():
        checkpoint = tr.load_checkpoint(subject.checkpoint(at))
        run = subject.run(checkpoint, at)
        labels = {"training": subject.name, "against": subject.against, "seed": subject.seed}
        accuracy = accuracies(checkpoint, subject.seed, at)
        told += [labels | {"alpha": alpha} | accuracy | found for alpha, found in shares(run)]
        combined.append(rows(run).assign(**labels))
    trainings, predicted = pd.DataFrame(told), pd.concat(combined, ignore_index=True)
    values = [str(name) for name in trainings if name not in KEYS]
    print("Held-out accuracy, negative pairs and mean log ratios; mean of the trainings, 95 % t intervals over them:")
    together = over_seeds(trainings, ["alpha", "training"], values)
    print(shown(together))
    difference = against(trainings, COMPARED)
    print("\nThe same less that of the plain training of the family, seed by seed:")
    print(shown(over_seeds(difference, ["alpha", "training"], COMPARED)))
    comparisons = len(COMPARED) * len(set(difference["training"])) * len(CONFIG["alpha"])
    print(f"\nIntervals of these {comparisons} comparisons, corrected for their number (Bonferroni):")
    print(shown(over_seeds(difference, ["alpha", "training"], COMPARED, level=1 - 0.05 / comparisons)))
    print("\nCombinations as sources at the last checkpoint, measured and predicted by the modes' rows:")
    columns = ["measured", "predicted", "difference", "harmed", "harmed_predicted", "unexplained"]
    by = ["alpha", "training", "combination", "target_mode"]
    of_rows = over_seeds(predicted, by, columns)
    print(shown(of_rows, "{:.4f}"))
    print("\nHow well they are predicted, over all rows of a family:")
    print(
        pd.DataFrame([fit(part, str(family)) for family, part in predicted.groupby("against")]).to_string(index=False)
    )
    print("\nA combination less the mean, as sources, over both targets:")
    print(shown(over_seeds(from_mean(predicted), ["combination", "training"], ["measured", "harmed"]), "{:.4f}"))
    save_table(trainings, HERE / "data.csv")
    save_table(predicted, HERE / "rows.csv")
    figures.save(draw(trainings, together), HERE / "figure.png")
    plain = of_rows[(of_rows["training"] == f"protonet, {PLAIN}") & (of_rows["alpha"] == max(CONFIG["alpha"]))]
    figures.save(figures.rows(as_rows(plain)), HERE / "rows.png")


def accuracies(checkpoint: tr.Checkpoint, seed: int, at: Places) -> dict[str, float]:
    """Return the accuracy on unseen classes of each mode."""
    tasks = dict(zip(CONFIG["modes"], tasks_of("test", seed + 3, at), strict=True))
    scores = meta_models.evaluate(tr.load_learner(checkpoint), checkpoint.params, tasks, CONFIG["n_test"])
    found = scores.groupby("mode", sort=False)["accuracy"].mean()
    return {str(mode): float(value) for mode, value in found.items()}


def shares(run: tr.Run) -> Iterator[tuple[float, dict[str, float]]]:
    """Yield for each length of the step the share of negative pairs and the mean log ratio, within and across modes.

    Beside them the angles between gradients, and ``own``: the mean ratio of a target under a step on itself.
    """
    tables = pooled(run)
    for alpha in run.alphas:
        found: dict[str, float] = {}
        for group in GROUPS:
            row = tr.summarise_blocks([tables[run.steps[-1], alpha, group]]).iloc[0]
            word = group.split()[0]
            found |= {f"negative {word}": row["negative"], f"log {word}": float(np.log(row["geometric_mean"]))}
        own = run.self_transference().query("alpha == @alpha and checkpoint_step == @run.steps[-1]")["loss_ratio"]
        yield alpha, found | angles(run, alpha) | {"own": float(np.exp(np.log(own).mean()))}


def angles(run: tr.Run, alpha: float) -> dict[str, float]:
    """Return the mean cosine between the gradients of two modes' tasks, and the share of conflicts, cosines below 0.

    All steps have one length, so that the weights of the mean tell: ‖w_1 d_1 + w_2 d_2‖ = ‖d_1‖ = ‖d_2‖.
    """
    steps = run.sources().query("mode == @PLAIN and alpha == @alpha and checkpoint_step == @run.steps[-1]")
    first, second = np.array(steps["weights"].tolist()).T
    cosine = (1 - first**2 - second**2) / (2 * first * second)
    return {"cosine": float(cosine.mean()), "conflicts": float((cosine < 0).mean())}


def rows(run: tr.Run) -> pd.DataFrame:
    """Return what combinations did and were predicted to do: mean log ratios, and the shares of targets harmed."""
    keys = ["alpha", "combination", "target_mode"]
    wide = tr.predicted_rows(run.blocks()).pivot(index=[*keys, "unexplained"], columns="statistic")
    told = {name: np.log(wide[name, "geometric_mean"]) for name in ("measured", "predicted", "difference")}
    harmed = {"harmed": wide["measured", "negative"], "harmed_predicted": wide["predicted", "negative"]}
    return pd.DataFrame(told | harmed).reset_index()


def fit(predicted: pd.DataFrame, family: str) -> dict[str, object]:
    """Return root mean squares of what was measured and of its difference from the prediction, and their correlation."""
    size = {f"rms {name}": float(np.sqrt((predicted[name] ** 2).mean())) for name in ("measured", "difference")}
    below = float((predicted["difference"] < 0).mean())
    correlation = float(np.corrcoef(predicted["measured"], predicted["predicted"])[0, 1])
    return {"against": family, "n": len(predicted), **size, "correlation": correlation, "measured below": below}


def from_mean(predicted: pd.DataFrame) -> pd.DataFrame:
    """Return the row of each combination less that of the mean, in each training, over the targets."""
    keys = ["training", "seed", "combination"]
    found = predicted.groupby(keys, sort=False)[["measured", "harmed"]].mean()
    less = found - found.xs(PLAIN, level="combination").reindex(found.index.droplevel("combination")).to_numpy()
    return less.reset_index().query("combination != @PLAIN")


def against(trainings: pd.DataFrame, values: list[str]) -> pd.DataFrame:
    """Return each training less the plain one of its family with the same seed, on the same tasks."""
    plain = trainings.drop(columns="against").rename(columns={"training": "against"})
    pairs = trainings[trainings["training"] != trainings["against"]].merge(
        plain, on=["against", "seed", "alpha"], suffixes=("", "_plain")
    )
    less = {name: pairs[name] - pairs[f"{name}_plain"] for name in values}
    return pairs[["training", "against", "seed", "alpha"]].assign(**less)


def as_rows(together: pd.DataFrame) -> pd.DataFrame:
    """Return means over trainings as the figure of combinations takes them."""
    ends = ("", "_low", "_high")
    keys = ["alpha", "combination", "target_mode", "unexplained"]
    steps = together[keys].assign(checkpoint_step=CONFIG["training"][0]["iterations"])
    of_mean = {f"{of}{end}": np.exp(together[f"{of}{end}"]) for of in ("measured", "predicted") for end in ends}
    names = {"measured": "harmed", "predicted": "harmed_predicted"}
    of_share = {f"{of}{end}": together[f"{name}{end}"] for of, name in names.items() for end in ends}
    return pd.concat(
        [steps.assign(statistic="geometric_mean", **of_mean), steps.assign(statistic="negative", **of_share)]
    )


def draw(trainings: pd.DataFrame, together: pd.DataFrame) -> Figure:
    """Draw accuracies and shares of negative pairs, a row per training; ticks are single trainings."""
    alpha = max(CONFIG["alpha"])
    single, means = (frame[frame["alpha"] == alpha] for frame in (trainings, together))
    names = list(dict.fromkeys(single["training"]))
    panels = {
        "accuracy": dict(zip(CONFIG["modes"], ("#555555", "#b07020"), strict=True)),
        "share of negative pairs": {"negative within": COLOURS["positive"], "negative across": COLOURS["negative"]},
    }
    with styled():
        figure = Figure(figsize=(6.8, 1.0 + 0.36 * len(names)), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True)
        for ax, (label, columns) in zip(axes, panels.items(), strict=True):
            for (place, name), (shift, (column, colour)) in (
                (row, of) for row in enumerate(names) for of in zip((-0.15, 0.15), columns.items(), strict=True)
            ):
                mean, y = means[means["training"] == name].iloc[0], place + shift
                ax.plot([mean[f"{column}_low"], mean[f"{column}_high"]], [y, y], color=colour, linewidth=1)
                ax.plot(mean[column], y, "o", color=colour, markersize=4, label=column if place == 0 else None)
                of_seeds = single.loc[single["training"] == name, column]
                ax.plot(of_seeds, np.full(len(of_seeds), y), "|", color=colour, markersize=6)
            ax.set_xlabel(label)
            ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
        axes[0].set_yticks(range(len(names)), names)
        axes[0].invert_yaxis()
    return figure


if __name__ == "__main__":
    main()
