"""What the analyses compute on the way from runs to their tables; the runs themselves take hours and are not repeated here."""

import importlib
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from scipy import stats

import transference as tr
from analyses import pooling, subjects
from analyses.combinations import __main__ as combinations
from analyses.modalities import __main__ as modalities
from analyses.modalities.testing import against_zero, holm
from tests.strangers import PixelPrototypes
from transference.cli import main

NOT_YET = {"paper": "not been run at its size"}
"""Analyses that wait for a machine, and what their page says of it."""

QUESTIONS = sorted({path.parent.name for path in subjects.HERE.glob("*/__main__.py")} - set(NOT_YET))


@pytest.mark.slow
def test_mode_pairs_are_pooled_as_they_stand_in_the_matrix(tmp_path, learner, checkpoint, strokes, shapes):
    modes = [[tr.FewShot(data, ways=3, shots=1, queries=2, seed=k) for data in (strokes, shapes)] for k in (0, 1)]
    run = tr.measure(
        learner, checkpoint, *modes, n_source=3, n_target=2, lookahead=tr.SGD((0.01, 0.1)), out=tmp_path / "run"
    )
    tables = pooling.pooled(run)
    assert set(tables) == {(10, alpha, group) for alpha in (0.01, 0.1) for group in pooling.GROUPS}
    within, across = (tables[10, 0.1, group].loss_ratio for group in pooling.GROUPS)
    matrix, same = run.matrix(alpha=0.1), np.kron(np.eye(2, dtype=bool), np.ones((3, 2), dtype=bool))
    np.testing.assert_array_equal(within[same], matrix[same])
    np.testing.assert_array_equal(across[~same], matrix[~same])
    assert np.isnan(within[~same]).all()
    assert np.isnan(across[same]).all()
    assert tables[10, 0.1, "within modes"].accuracy_before.shape == (4,)


def tasks(data, seed):
    return tr.FewShot(data, ways=3, shots=1, queries=2, seed=seed)


@pytest.fixture(scope="module")
def combined(tmp_path_factory, strokes, shapes):
    learner = PixelPrototypes()
    checkpoint = tr.Checkpoint(learner.init_params(0), step=10)
    modes = [[tasks(data, seed) for data in (strokes, shapes)] for seed in (0, 1)]
    given = {
        "n_source": 3,
        "n_target": 2,
        "lookahead": tr.Normalised(0.05),
        "estimator": tr.Exact("loop"),
        "controls": 0,
    }
    return [
        tr.measure(
            learner, checkpoint, *modes, **given, combine=combine, out=tmp_path_factory.mktemp("combined") / "run"
        )
        for combine in ({}, {"mean": tr.Mean(), "mgda": tr.MGDA()})
    ]


@pytest.mark.slow
def test_steps_on_several_modes_are_neither_within_nor_across(combined):
    alone, together = map(pooling.pooled, combined)
    for key, block in alone.items():
        np.testing.assert_array_equal(block.loss_ratio, together[key].loss_ratio)


@pytest.mark.slow
def test_rows_of_combinations_are_means_of_logarithms(combined):
    found = combinations.rows(combined[1]).set_index(["combination", "target_mode"])
    for block in combined[1].blocks():
        if block.combination:
            row = found.loc[block.source_mode, block.target_mode]
            predicted = block.combination.predicted
            assert row["measured"] == pytest.approx(np.log(block.loss_ratio).mean())
            assert row["predicted"] == pytest.approx(np.log(predicted).mean())
            assert row["difference"] == pytest.approx(np.log(block.loss_ratio / predicted).mean())
            assert row["harmed"] == np.mean(tr.classify(block.loss_ratio) == "negative")
            assert row["harmed_predicted"] == np.mean(tr.classify(predicted) == "negative")
    assert len(found) == 4


@pytest.mark.slow
def test_angles_between_gradients_are_told_by_the_weights_of_their_mean(combined, strokes, shapes):
    def gradient(episode):
        params = {name: value.requires_grad_() for name, value in PixelPrototypes().init_params(0).items()}
        found = torch.autograd.grad(PixelPrototypes().episode_loss(params, episode), list(params.values()))
        return torch.cat([g.flatten() for g in found]).double()

    pairs = [[gradient(tasks(data, 0)[k]) for data in (strokes, shapes)] for k in range(3)]
    cosines = torch.stack([torch.cosine_similarity(*pair, dim=0) for pair in pairs])
    found = combinations.angles(combined[1], 0.05)
    assert found["cosine"] == pytest.approx(float(cosines.mean()), abs=1e-4)
    assert found["conflicts"] == float((cosines < 0).double().mean())


def test_trainings_stand_beside_the_plain_one_of_their_family_and_seed():
    frame = pd.DataFrame(
        {
            "training": ["maml, mean", "mmaml, mean", "maml, mean", "mmaml, mean"],
            "against": "maml, mean",
            "alpha": 0.1,
            "seed": [0, 0, 1, 1],
            "share": [0.1, 0.4, 0.5, 0.2],
        }
    )
    found = combinations.against(frame, ["share"])
    assert found["training"].tolist() == ["mmaml, mean"] * 2
    assert dict(zip(found["seed"], found["share"], strict=True)) == pytest.approx({0: 0.3, 1: -0.3})


def test_combinations_stand_beside_the_mean_of_their_training():
    cells = pd.MultiIndex.from_product([["maml, mean"], [0, 1], ["mean", "mgda"], ["a", "b"]])
    frame = pd.DataFrame(index=cells.set_names(["training", "seed", "combination", "target_mode"])).reset_index()
    frame["measured"] = [0.1, 0.2, 0.3, 0.6, 0.5, 0.5, 0.2, 0.4]
    frame["harmed"] = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.5]
    found = combinations.from_mean(frame)
    assert found["combination"].tolist() == ["mgda"] * 2
    assert found["measured"].tolist() == pytest.approx([0.3, -0.2])
    assert found["harmed"].tolist() == pytest.approx([0.5, -0.75])


def test_seeds_are_what_is_counted():
    frame = pd.DataFrame({"group": "a", "seed": [0, 1, 2], "share": [0.2, 0.3, 0.7]})
    [found] = pooling.over_seeds(frame, ["group"], ["share"]).to_dict("records")
    low, high = stats.t.interval(0.95, 2, loc=0.4, scale=stats.sem([0.2, 0.3, 0.7]))
    assert (found["share"], found["share_low"], found["share_high"]) == pytest.approx((0.4, low, high))


@pytest.mark.parametrize("name", subjects.SUBJECTS["learners"])
def test_trainings_are_commands_of_transference(name):
    words = subjects.train_words(name, 1, subjects.Places(Path("data"), Path("runs")))
    command = main.get_command(click.Context(main), "train")
    asked = command.make_context("train", words).params
    assert (asked["learner"], asked["seed"], asked["out"]) == (name, 1, Path("runs/training") / f"{name}-seed1")


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_has_its_answer_beside_it(name):
    folder = subjects.HERE / name
    readme = (folder / "README.md").read_text()
    assert f"python -m analyses.{name}" in readme
    assert list(folder.glob("*.png"))
    assert list(folder.glob("*.csv"))
    for figure in folder.glob("*.png"):
        assert figure.name in readme
    assert importlib.import_module(f"analyses.{name}.__main__").main


@pytest.mark.parametrize(("name", "said"), NOT_YET.items())
def test_a_question_without_an_answer_says_so(name, said):
    folder = subjects.HERE / name
    for page in (folder / "README.md", subjects.HERE / "README.md"):
        assert f"analyses.{name}" in page.read_text()
        assert said in page.read_text()
    assert not [*folder.glob("*.png"), *folder.glob("*.csv")]


def test_analyses_use_public_names_only():
    for file in subjects.HERE.rglob("*.py"):
        for line in file.read_text().splitlines():
            assert not (line.startswith(("from transference", "from meta_models")) and "._" in line), f"{file}: {line}"


@pytest.fixture(scope="module")
def few_pairs(tmp_path_factory):
    config = subjects.config_of(subjects.HERE / "modalities")
    config["seeds"], config["n_test"] = [0, 1], 2
    config["data"] = {"mix": {"modalities": ["a", "b"], "ways": 3, "queries": 3, "updates": 4}}
    config["matrices"] |= {"stages": [0.5, 1.0], "n_source": 2, "n_target": 2}
    config["predicts"] |= {"steps": 2, "batches": 2, "n_row": 2, "n_later": 2, "n_source": 2, "n_target": 2}
    folder = tmp_path_factory.mktemp("few")
    return config, subjects.Places(folder, folder / "runs"), folder


@pytest.mark.slow
@pytest.mark.parametrize("question", modalities.QUESTIONS)
def test_modalities_are_answered_for_any_paired_data(few_pairs, question, capsys):
    config, at, out = few_pairs
    modalities.QUESTIONS[question](config, at, out)
    assert (out / f"{question}.png").exists()
    found = pd.read_csv(out / f"{question}.csv")
    assert set(found["seed"]) == {0, 1}
    assert not found.select_dtypes("number").isna().any(axis=None)
    assert "mix" in capsys.readouterr().out


def test_corrected_p_values_are_those_of_holm():
    raw = [0.01, 0.04, 0.03, np.nan, 0.5]
    expected = [0.04, 0.09, 0.09, np.nan, 0.5]
    np.testing.assert_allclose(holm(raw), expected)


def test_means_over_seeds_are_tested_by_student():
    found = pd.DataFrame({"group": list("aaabbb"), "seed": [0, 1, 2] * 2, "gain": [0.2, 0.3, 0.7, -0.1, 0.1, 0.3]})
    for row in against_zero(found, ["group"], "gain").to_dict("records"):
        values = found.loc[found["group"] == row["group"], "gain"]
        assert row["p"] == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_an_interval_that_goes_on_beyond_an_edge_is_marked_there():
    ax = Figure().subplots()
    ax.set_ylim(0, 1)
    at, low, high = (pd.Series(values) for values in ([1, 2, 3], [0.1, -0.2, -0.1], [0.5, 0.9, 1.2]))
    pooling.mark_beyond(ax, at, low, high, "black")
    marks = {line.get_marker(): line.get_xydata().tolist() for line in ax.lines}
    assert marks == {"v": [[2, 0], [3, 0]], "^": [[3, 1]]}
