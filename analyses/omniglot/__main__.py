"""How accurate are ProtoNet and MAML on Omniglot, beside what is published of the same protocol?

python -m analyses.omniglot --data-root data
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

import transference as tr
from analyses.omniglot.data import NAME, mixed
from analyses.omniglot.trainings import CONFIG, train
from analyses.pooling import save_table
from analyses.subjects import parser, places
from meta_models.training import evaluate, summary
from transference import figures
from transference.figures import styled

HERE = Path(__file__).parent


def main() -> None:
    """Train what is missing, test the best checkpoint of each training, print the table, draw the curves."""
    asked = parser(__doc__).parse_args()
    runs = places(asked).runs / "omniglot"
    data = mixed(asked.data_root, runs / "data", **CONFIG["split"])
    rows, curves = [], []
    for name, subject in CONFIG["subjects"].items():
        folder = train(name, data, runs)
        rows += [{"subject": name, **tested(folder, subject, data, rotated)} for rotated in (True, False)]
        curves += [
            pd.read_parquet(file).assign(subject=name, update=int(file.stem.removeprefix("step-")))
            for file in sorted((folder / "validation").glob("*.parquet"))
        ]
    table, curve = pd.DataFrame(rows), pd.concat(curves)
    print(f"Accuracy on {CONFIG['testing']['n_tasks']} tasks of the test characters, with 95 % intervals over tasks:")
    print(shown(table).to_string(index=False))
    save_table(table, HERE / "data.csv")
    save_table(curve[["subject", "update", "loss", "accuracy", "accuracy_ci"]], HERE / "curves.csv")
    figures.save(draw(curve), HERE / "figure.png")


def tested(folder: Path, subject: Mapping[str, Any], data: Path, rotated: bool) -> dict[str, Any]:
    """Return loss and accuracy of the best checkpoint of a training on the test characters."""
    checkpoint = tr.load_checkpoint(folder / "best.safetensors")
    shape = {name: CONFIG["training"][name] for name in ("shots", "queries", "side", "channels")}
    testing = CONFIG["testing"]
    tasks = tr.few_shot(
        f"{NAME}:test", data_root=data, ways=subject["ways"], seed=testing["seed"], rotated=rotated, **shape
    )
    scores = evaluate(tr.load_learner(checkpoint), checkpoint.params, {NAME: tasks}, testing["n_tasks"])
    found = summary(scores).iloc[0]
    return {
        "rotated": rotated,
        "update": checkpoint.step,
        **{name: float(found[name]) for name in ("loss", "loss_ci", "accuracy", "accuracy_ci")},
        "published": subject["published"],
    }


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as it is printed, accuracies in per cent."""
    percent = lambda value, half: f"{100 * value:.2f} ± {100 * half:.2f}"
    return pd.DataFrame(
        {
            "training": table["subject"],
            "test classes": table["rotated"].map({True: "turned", False: "as drawn"}),
            "best at update": table["update"],
            "accuracy": [percent(*pair) for pair in zip(table["accuracy"], table["accuracy_ci"], strict=True)],
            "published": table["published"],
        }
    )


def draw(curve: pd.DataFrame) -> Figure:
    """Draw the accuracy on the validation characters over training, one line for each training."""
    with styled():
        figure = Figure(figsize=(4.2, 2.6), layout="constrained")
        ax = figure.subplots()
        for name, one in curve.groupby("subject", sort=False):
            low, high = (100 * (one["accuracy"] + sign * one["accuracy_ci"]) for sign in (-1, 1))
            (line,) = ax.plot(one["update"], 100 * one["accuracy"], linewidth=1.2, label=name)
            ax.fill_between(one["update"], low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        ax.set(xlabel="update", ylabel="accuracy on validation characters, %")
        ax.legend(frameon=False, loc="lower right")
    return figure


if __name__ == "__main__":
    main()
