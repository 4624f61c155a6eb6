"""Is what a transference matrix knows enough to choose by?

transference train --plan analyses/acting/e1.toml --out RUNS/e1
python -m analyses.acting --runs RUNS --experiment e1
python -m analyses.acting --runs RUNS --experiment e1-surrogate
python -m analyses.acting --runs RUNS --data-root data --experiment e2 [--seed 0 --seed 2]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

import transference as tr
from analyses.acting import surrogates
from analyses.acting.drawing import draw
from analyses.acting.images.drawing import LABELS
from analyses.acting.images.drawing import draw as draw_arms
from analyses.acting.images.groups import prepare_groups
from analyses.acting.images.pilots import EXPERIMENTS
from analyses.acting.images.telling import arms, composition, contrasts, tested, verdict, with_random
from analyses.acting.images.trainings import FREE, PAID, Seed
from analyses.acting.pilots import Pilot
from analyses.acting.predictors import of_pilot, trivial
from analyses.acting.told import Telling, everything
from analyses.pooling import save_table, shown
from analyses.subjects import config_of
from transference import figures
from transference.validation import MEAN

HERE = Path(__file__).parent


def main() -> None:
    """Train the pilots and measure what is missing, print the tables, draw the figure."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--runs", type=Path, default=Path("runs/analyses/acting"), help="Folder of trainings and pilots.")
    made.add_argument("--data-root", type=Path, default=Path("data"), help="Folder with the images of e2.")
    made.add_argument(
        "--experiment", choices=["e1", "e1-surrogate", "e2"], default="e1", help="Which; e2 tells E3 too."
    )
    made.add_argument("--seed", type=int, action="append", help="Of e2: carry out this seed alone, and tell nothing.")
    asked = made.parse_args()
    if asked.seed and asked.experiment != "e2":
        made.error(f"--seed was given with --experiment {asked.experiment}; it is of e2.")
    if asked.experiment == "e1":
        exhaustive(asked.runs, HERE)
    elif asked.experiment == "e1-surrogate":
        surrogates.look(asked.runs, HERE)
    else:
        chosen_groups(asked.data_root, asked.runs, HERE, asked.seed)


def exhaustive(runs: Path, out: Path) -> None:
    """Answer what pilots tell of the trainings on all subsets of five families.

    Args:
        runs: with the plan's folder ``e1``; pilots are kept beside it.
        out: where tables and figure go.
    """
    config = config_of(HERE)["e1"]
    pilots = [
        Pilot.of(config, HERE / config["plan"], seed, runs)
        for seed in (config["pilot"]["seed"], *config["pilot"]["repeated"])
    ]
    predictors = {pilot.seed: of_pilot(pilot) for pilot in pilots}
    for pilot in pilots:
        cells = pd.concat([pilot.steps().pairs()["status"], pilot.updates().pairs()["status"]])
        print(f"Pilot {pilot.seed}: {(cells != 'ok').sum()} of {len(cells)} cells have no ratio.")
    telling = Telling(config, tr.validation.read_trainings(runs / "e1"))
    for of in telling.seeds:
        found = telling.outcomes(of)
        print(f"{len(found.sets)} subsets with seeds {found.seeds} ({of}); left out: {dict(found.left_out) or 'none'}")
        print(tr.validation.ceiling(found).round(3).to_string(index=False))
    tables = {seed: everything(telling, candidates) for seed, candidates in predictors.items()}
    lds, contrasts, choices = (
        pd.concat([parts[k].assign(pilot=seed) for seed, parts in tables.items()], ignore_index=True) for k in range(3)
    )
    _print(lds, contrasts, choices, telling)
    worst = telling.with_failures_worst().scores([*trivial(), *predictors[pilots[0].seed]])
    print(
        "\nPilot of the config; losses that are missing or infinite counted as the worst with their seed, not planned:"
    )
    print(_wide(worst[worst["seeds"] == "told"]))
    save_table(lds, out / "e1.csv")
    save_table(contrasts, out / "contrasts.csv")
    save_table(choices, out / "choices.csv")
    figures.save(draw(lds, pilots[0].seed), out / "figure.png")


def chosen_groups(data_root: Path, runs: Path, out: Path, only: list[int] | None) -> None:
    """Answer whether choosing groups of classes by a pilot does better than choosing at random, with and without shuffled labels.

    Args:
        data_root: with the images.
        runs: prepared groups, pilots and trainings are kept there.
        out: where tables and figures go.
        only: carry out these seeds, and tell nothing.
    """
    whole = config_of(HERE)
    config = whole["e2"] | whole["e3"]
    prepare_groups(config, data_root, runs / "groups")
    seeds = [Seed(config, number, runs / "groups", runs) for number in only or config.get("finished", config["seeds"])]
    for seed in seeds:
        seed.carry_out()
    if only:
        return
    table = arms(tested(seeds))
    paid, free = (contrasts(table, config["told"], reading) for reading in (PAID, FREE))
    _print_groups(table, paid, free, config)
    save_table(table, out / "arms.csv")
    save_table(pd.concat([paid.assign(reading=PAID), free.assign(reading=FREE)]), out / "differences.csv")
    for experiment in EXPERIMENTS:
        mine = [found[found["experiment"] == experiment] for found in (paid, free)]
        figures.save(draw_arms(*mine), out / f"{experiment}.png")


def _print_groups(table: pd.DataFrame, paid: pd.DataFrame, free: pd.DataFrame, config: dict[str, Any]) -> None:
    made_of = composition(table, config)
    for experiment in EXPERIMENTS:
        seeds = table.loc[table["experiment"] == experiment, "seed"].unique()
        print(
            f"\n=== {experiment}, seeds {', '.join(map(str, seeds))} ===\nMean accuracy in %, where the budget of each arm ends:"
        )
        of = with_random(table[table["experiment"] == experiment])
        of[["accuracy_paid", "accuracy_free"]] *= 100
        columns = ["accuracy_paid", "accuracy_free", "loss_paid", "loss_free"]
        means = of.pivot_table(index="arm", columns="target", values=columns, sort=False)
        print(means.loc[["random", *LABELS]].round(2).to_string())
        for reading, found in ((PAID, paid), (FREE, free)):
            print(f"\n{reading}: accuracy less random's, cosine's and prototype's, in points; holm within each family:")
            mine = found[found["experiment"] == experiment].drop(columns="experiment")
            print(shown(mine, "{:.2f}"))
        print("\nOf the groups chosen, how many are of the target's dataset, and how many have shuffled labels:")
        mine = made_of[made_of["experiment"] == experiment]
        print(
            mine.pivot_table(index="arm", columns="target", values=["own", "shuffled"], sort=False).round(2).to_string()
        )
    print("\nVerdict:")
    print(verdict(paid, config["told"]).to_string(index=False))


def _print(lds: pd.DataFrame, contrasts: pd.DataFrame, choices: pd.DataFrame, telling: Telling) -> None:
    for pilot in lds["pilot"].unique():
        mine, of = lds[lds["pilot"] == pilot], telling.config["told"]
        print(f"\n=== Pilot {pilot} ===\nMean LDS over targets on seeds {of['told_on']}, 95 % intervals:")
        print(_wide(mine[mine["seeds"] == "told"]))
        print(f"\nOn seeds {of['chosen_on']}, which choose step sizes, and K:")
        print(_wide(mine[mine["seeds"] == "chosen"]))
        print(f"\n{of['comparisons']} contrasts with the trivial predictors; holm: corrected for their number:")
        those = contrasts[contrasts["pilot"] == pilot]
        ends = those.rename(columns={"low": "difference_low", "high": "difference_high"})
        columns = ["predictor", "alpha", "group", "bar", "lds", "against", "difference", "p", "holm"]
        print(shown(ends[[*columns, "difference_low", "difference_high"]], "{:.2f}"))
        print("\nAUC of 'adding this family hurts', and regret of the best subset by prediction (log loss):")
        print(shown(choices[choices["pilot"] == pilot].drop(columns="pilot"), "{:.2f}"))
    print("\nLDS target by target, first pilot, seeds told:")
    first = lds[(lds["pilot"] == lds["pilot"].iloc[0]) & (lds["seeds"] == "told") & lds["taken"]]
    each = first.pivot(index="predictor", columns=["group", "target"], values="lds")
    print(each.round(2).to_string())


def _wide(scores: pd.DataFrame) -> str:
    """Return mean LDS as text, a line per predictor and a column per group."""
    means = scores[scores["target"] == MEAN]
    told = [
        f"{row.lds:.2f} [{row.low:.2f}, {row.high:.2f}] of {row.ceiling:.2f}" for row in means.itertuples(index=False)
    ]
    alpha = [f"{value:g}" if value > 0 else "" for value in means["alpha"]]
    keys = ["predictor", "alpha", "updates", "read"]
    wide = means.assign(told=told, alpha=alpha).set_index([*keys, "group"])["told"].unstack(sort=False)
    return wide.to_string()


if __name__ == "__main__":
    main()
