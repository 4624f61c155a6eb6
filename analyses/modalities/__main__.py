"""What a step on one modality does to the others, what combining them gives, and whether the matrix tells.

python -m analyses.modalities --data-root data [matrices] [controls] [predicts]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pandas as pd

from analyses.modalities import controls, matrices, predicts
from analyses.modalities.trainings import Config, Paired, all_of, kept
from analyses.pooling import over_seeds, save_table, shown
from analyses.subjects import Places, config_of, parser, places
from transference import figures

HERE = Path(__file__).parent


def main() -> None:
    """Train and measure what is missing, print the tables, draw the figures."""
    made = parser(__doc__)
    made.add_argument("questions", nargs="*", choices=[[], *QUESTIONS], help="Which; all by default.")
    asked = made.parse_args()
    for name in asked.questions or QUESTIONS:
        QUESTIONS[name](config_of(HERE), places(asked), HERE)


def matrices_over_training(config: Config, at: Places, out: Path) -> None:
    """Answer what a step on one subset does to the others."""
    datasets = all_of(config, at)
    found = _frame(datasets, "matrices", matrices.rows)
    told = matrices.summary(found)
    last = told["step"] == told.groupby("data")["step"].transform("max")
    print(f"Mean log ratios over {len(config['seeds'])} seeds, t intervals; holm: corrected for all {len(told)} cells.")
    print(shown(told[last], "{:.4f}"))
    print("\nBefore the end:")
    print(shown(told[~last], "{:.4f}"))
    changes = matrices.changes(found)
    print(f"\nLast stage less first, paired by seed; holm: corrected for these {len(changes)}:")
    print(shown(changes, "{:.4f}"))
    print(f"\nCells without a ratio: {found['failed'].sum()}.")
    save_table(found, out / "matrices.csv")
    figures.save(matrices.draw(told, datasets), out / "matrices.png")


def fair_controls(config: Config, at: Places, out: Path) -> None:
    """Answer what combining gives over adding up."""
    datasets = all_of(config, at)
    found = _frame(datasets, "controls", controls.rows)
    print("Accuracy and loss on held-out tasks, means over seeds:")
    print(shown(over_seeds(found, ["data", "subset", "arm"], ["accuracy", "loss"])))
    told = controls.summary(found)
    print(f"\nDifferences of accuracy, paired by seed; holm: corrected for all {len(told)}:")
    print(shown(told, "{:.4f}"))
    save_table(found, out / "controls.csv")
    figures.save(controls.draw(told, datasets), out / "controls.png")


def what_rows_predict(config: Config, at: Places, out: Path) -> None:
    """Answer whether rows tell what training gives, and combinations' rows what combinations do."""
    datasets = all_of(config, at)
    found = _frame(datasets, "predicts", predicts.rows)
    each = predicts.correlations(found)
    fewer = predicts.correlations(found, [*(paired.subsets[-1] for paired in datasets), *predicts.WAYS])
    told = pd.concat(
        [predicts.summary(each).assign(ways="all"), predicts.summary(fewer).assign(ways="without single modalities")]
    )
    print(f"Rank correlations of a row with what {config['predicts']['steps']} steps give; bootstrap over seeds.")
    for ways, group in told.groupby("ways", sort=False):
        print(f"\n{ways} ({len(group)} intervals, none corrected):")
        print(shown(group.drop(columns="ways"), "{:.2f}"))
    print("\nOne reading less another, all ways:")
    print(shown(predicts.contrasts(each), "{:.2f}"))
    print("\nDataset by dataset:")
    parts = [predicts.summary(group).assign(data=name) for name, group in each.groupby("data", sort=False)]
    print(shown(pd.concat(parts), "{:.2f}"))
    print("\nWhat each way gives, means over seeds and starts:")
    later = [*predicts.LATER, "val loss", "train loss"]
    print(found.groupby(["data", "way"], sort=False)[later].mean().round(4).to_string())
    measured = _frame(datasets, "steps", predicts.steps)
    means = measured.groupby(["data", "alpha", "way", "seed"], sort=False, as_index=False).mean(numeric_only=True)
    print("\nTasks harmed: of a step's own batch, and held-out; error of predicted rows over rms of the rows:")
    values = ["harms own", "harms held-out", "error", "unexplained"]
    print(shown(over_seeds(means, ["data", "alpha", "way"], values)))
    save_table(found, out / "predicts.csv")
    save_table(measured, out / "steps.csv")
    figures.save(predicts.draw(told), out / "predicts.png")


def _frame(
    datasets: Iterable[Paired], name: str, rows: Callable[[Paired, int], Iterable[dict[str, object]]]
) -> pd.DataFrame:
    """Return the rows of all datasets and seeds, those that are known already from where they are kept."""
    return pd.DataFrame(
        [
            row
            for paired in datasets
            for seed in paired.config["seeds"]
            for row in kept(paired, f"{name}-{paired.name}-seed{seed}", partial(rows, paired, seed))
        ]
    )


QUESTIONS: dict[str, Callable[[Config, Places, Path], None]] = {
    "matrices": matrices_over_training,
    "controls": fair_controls,
    "predicts": what_rows_predict,
}


if __name__ == "__main__":
    main()
