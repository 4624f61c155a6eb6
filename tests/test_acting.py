"""What the analysis of acting computes on the way from pilots and trainings to its tables, on ones whose truth is known."""

from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import torch

import transference as tr
from analyses.acting import predictors, surrogate_drawing, surrogates, told
from analyses.acting.__main__ import HERE
from analyses.acting.drawing import draw
from analyses.acting.pilots import KS, Pilot, logs_of_means, mean_logs, subsets
from analyses.subjects import config_of
from transference.cli import main

CONFIG = config_of(HERE)["e1"]
FAMILIES = CONFIG["families"]
CONFIG["told"]["draws"] = 50


def table(rng):
    return pd.DataFrame(rng.normal(size=(5, 5)), FAMILIES, FAMILIES)


@pytest.fixture(scope="module")
def known():
    """A table of rows, and trainings whose outcomes are the means of a subset's rows but for a little noise."""
    rng = np.random.default_rng(3)
    rows = table(rng)
    trainings = [
        {"training": "+".join(one), "seed": seed, "target": target,
         "loss": np.exp(rows.loc[list(one), target].mean() + rng.normal(scale=0.02)),
         **{f"share/{family}": (family in one) / len(one) for family in FAMILIES}}
        for seed in CONFIG["seeds"]
        for one in subsets(FAMILIES)
        for target in FAMILIES
    ]  # fmt: skip
    return rows, pd.DataFrame(trainings)


def candidates(rows, other):
    mean = tr.validation.mean_of_rows
    found = [
        predictors.Candidate(name, mean(rows if alpha == 0.001 and name == "exact" else other), alpha, 170)
        for name in predictors.ONE_STEP
        for alpha in (0.0001, 0.001)
    ]
    for k in KS:
        found += [
            predictors.Candidate(f"k{k}-{kind}", mean(rows), updates=150 + k * n)
            for kind, n in (("mean", 5), ("subset", 31))
        ]
    return [*found, predictors.Candidate("cosine", mean(other), updates=225)]


def test_a_predictor_that_knows_is_chosen_and_told_from_own_share(known):
    rows, trainings = known
    lds, contrasts, choices = told.everything(
        told.Telling(CONFIG, trainings), candidates(rows, table(np.random.default_rng(4)))
    )
    exact = lds.query("predictor == 'exact' and group == 'all' and target == 'mean' and seeds == 'told'")
    assert exact.set_index("alpha")["taken"].to_dict() == {0.0001: False, 0.001: True}
    assert exact.set_index("alpha").loc[0.001, "lds"] > 0.97
    assert len(contrasts) == CONFIG["told"]["comparisons"]
    row = contrasts.query("predictor == 'exact' and group == 'all'").iloc[0]
    assert (row["alpha"], row["bar"]) == (0.001, "own-share")
    assert row["difference"] == pytest.approx(row["lds"] - row["against"])
    assert choices.set_index("predictor").loc["exact", "auc"] > 0.9
    assert draw(lds.assign(pilot=100), 100).axes


def test_what_is_left_out_counts_among_the_comparisons(known):
    rows, trainings = known
    found = told.Telling(CONFIG, trainings).contrasts(
        candidates(rows, table(np.random.default_rng(5))),
        {**dict.fromkeys(predictors.ONE_STEP, 0.001)},
    )
    left = found[found["predictor"] == "tempered"]
    assert len(left) == 3
    assert left["holm"].isna().all()
    smallest = found["p"].min()
    assert found["holm"].min() == pytest.approx(min(1, 36 * smallest))
    assert (found["predictor"] == "permuted").sum() == 3


def test_subsets_without_an_outcome_are_left_out_where_they_lack_it_alone(known):
    _, trainings = known
    failed = (trainings["training"] == "abs") & (trainings["seed"] == 0)
    telling = told.Telling(CONFIG, trainings.assign(loss=trainings["loss"].where(~failed)))
    assert len(telling.outcomes("told").sets) == 31
    for of in ("chosen", "all"):
        assert set(telling.outcomes(of).left_out) == {"abs"}
    infinite = (trainings["training"] == "tanh") & (trainings["seed"] == 1) & (trainings["target"] == "abs")
    telling = told.Telling(CONFIG, telling.trainings.assign(loss=telling.trainings["loss"].mask(infinite, np.inf)))
    assert set(telling.outcomes("chosen").left_out) == {"abs", "tanh"}
    worst = telling.with_failures_worst().outcomes("chosen")
    assert not worst.left_out
    seed = worst.values[:, worst.seeds.index(0)]
    np.testing.assert_array_equal(seed[worst.sets.index("abs")], seed.max(axis=0))


def test_the_placebo_has_another_family_in_every_place():
    rows = table(np.random.default_rng(1))
    found = predictors.permuted(rows[FAMILIES[::-1]])
    for one, other in zip(FAMILIES, [*FAMILIES[1:], FAMILIES[0]], strict=True):
        assert found.loc[one, one] == rows.loc[other, other]
        assert found.loc[FAMILIES[0], one] == rows.loc[FAMILIES[1], other]


@pytest.fixture(scope="module")
def looked_at(known):
    """What a few retrainings say beside rows that know and beside their placebo, where one training is lost on one target."""
    rows, trainings = known
    lost = (trainings["training"] == "tanh") & (trainings["seed"] == 0) & (trainings["target"] == "abs")
    spoiled = trainings.assign(loss=trainings["loss"].mask(lost, np.inf))
    priors = {100: {"exact": rows, "permuted": predictors.permuted(rows)}, 101: {"exact": -rows}}
    return surrogates.everything(spoiled, CONFIG, priors, draws=4)


def test_a_few_retrainings_are_told_on_subsets_and_seeds_that_they_are_not_of(looked_at, known, monkeypatch):
    seen = []
    made = tr.validation.surrogate
    monkeypatch.setattr(tr.validation, "surrogate", lambda few, rows=None: seen.append(few) or made(few, rows))
    scored = []
    lds = tr.validation.lds
    monkeypatch.setattr(tr.validation, "lds", lambda found, *a, **k: scored.append(found) or lds(found, *a, **k))
    surrogates.everything(known[1], CONFIG, {}, draws=2)
    assert [len(one.sets) for one in scored] == [31, *[31 - n for n in surrogates.RETRAINED[1:]] * 2]
    assert {one.seeds for one in scored} == {tuple(CONFIG["told"]["told_on"])}
    for few, others in zip(seen[::2], scored[1:6], strict=False):
        assert not set(few.sets) & set(others.sets)
    assert [few.seeds for few in seen] == [(0,)] * 10 + [(1,)] * 10, (
        "own share as rows, and none, for five numbers each"
    )


def test_rows_that_know_help_a_few_retrainings_and_opposite_ones_are_not_used(looked_at):
    table = surrogates.summary(looked_at).set_index(["prior", "pilot", "retrained"]).sort_index()
    assert table.loc[("exact", 100, 0), ["lds", "draws"]].tolist() == pytest.approx([1, 1], abs=0.02)
    assert np.isnan(table.loc[("exact", 100, 0), "low"])
    bare = table.loc[("none", np.nan)]
    assert bare.index.tolist() == list(surrogates.RETRAINED[1:])
    assert table.loc[("exact", 100, 5), "lds"] > bare.loc[5, "lds"]
    assert table.loc[("exact", 100), "above"].loc[3:5].min() > 0.5
    assert table.loc[("exact", 101), "used"].loc[8:].max() < 0.2
    assert table.loc[("exact", 101), "lds"].loc[16] == pytest.approx(bare.loc[16, "lds"], abs=0.05)
    alone = looked_at.query("prior == 'own-share alone' and retrained == 8")
    assert len(alone) == 4
    low, high = alone["lds"].quantile([0.1, 0.9])
    assert table.loc[("own-share alone", np.nan, 8), ["lds", "low", "high"]].tolist() == pytest.approx(
        [alone["lds"].mean(), low, high]
    )


def test_the_figure_of_a_few_retrainings_has_a_panel_for_each_pilot(looked_at):
    figure = surrogate_drawing.draw(surrogates.summary(looked_at))
    assert [ax.get_title() for ax in figure.axes] == ["pilot 100", "pilot 101"]
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert {"rows of one step: exact", "no rows", "own share as the rows"} <= set(labels)


@pytest.fixture(scope="module")
def pilot(tmp_path_factory):
    sizes = {"updates": 3, "n_source": 2, "n_target": 3, "n_read": 3, "gradient_tasks": 4}
    config = CONFIG | {"pilot": CONFIG["pilot"] | sizes, "families": FAMILIES[:2]}
    made = Pilot.of(config, HERE / "e1.toml", 100, tmp_path_factory.mktemp("acting"))
    return Pilot(config, made.options | {"modes": ",".join(FAMILIES[:2]), "meta-batch": 2}, 100, made.folder)


def test_a_pilot_is_trained_as_the_plan_has_it():
    made = Pilot.of(CONFIG, HERE / "e1.toml", 100, Path("runs"))
    asked = main.get_command(click.Context(main), "train").make_context("train", made.train_words()).params
    assert (asked["iterations"], asked["seed"], asked["meta_batch"], asked["modes"]) == (
        150,
        100,
        10,
        ",".join(FAMILIES),
    )
    assert asked["out"] == Path("runs/e1-pilots/seed100/training")


@pytest.mark.slow
def test_pilots_say_what_their_tables_hold(pilot):
    steps, one = pilot.steps(), mean_logs(pilot.steps(), 0.001)
    pairs = steps.pairs().query("alpha == 0.001 and source_mode == 'sinusoid' and target_mode == 'linear'")
    assert len(pairs) == 6
    assert one.loc["sinusoid", "linear"] == pytest.approx(np.log(pairs["loss_ratio"]).mean())
    found = {one.key: one for one in predictors.of_pilot(pilot)}
    both = {"sinusoid": 0.5, "linear": 0.5}
    assert found["exact at 0.001"].predictor(both, "linear") == pytest.approx(one["linear"].mean())
    assert found["transposed at 0.001"].predictor(both, "linear") == pytest.approx(one.loc["linear"].mean())
    rows = logs_of_means(pilot.updates(), 50)
    assert set(rows.index) == {"sinusoid", "linear", "sinusoid+linear"}
    losses = pilot.updates().pairs().query("alpha == 50 and source_mode == 'sinusoid' and target_mode == 'linear'")
    expected = np.log(losses["loss_after"].mean() / losses["loss_before"].mean())
    assert rows.loc["sinusoid", "linear"] == pytest.approx(expected)
    assert found["k50-subset"].predictor(both, "linear") == rows.loc["sinusoid+linear", "linear"]
    assert found["k50-mean"].predictor(both, "linear") == pytest.approx(rows.loc[FAMILIES[:2], "linear"].mean())
    assert found["cosine"].predictor({"linear": 1.0}, "linear") == pytest.approx(-1)


@pytest.mark.slow
def test_cosines_are_those_of_mean_gradients(pilot):
    learner = tr.load_learner(pilot.checkpoint)
    means = []
    for sampler in pilot.tasks("train"):
        params = {name: value.detach().requires_grad_() for name, value in pilot.checkpoint.params.items()}
        loss = sum(learner.episode_loss(params, sampler[index]) for index in range(4)) / 4
        means.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(params.values()))]).double())
    expected = float(torch.cosine_similarity(*means, dim=0))
    assert pilot.cosines().loc["sinusoid", "linear"] == pytest.approx(expected, abs=1e-4)
