"""The paper's experiment at a toy size: stopped, gone on with, and its table and figures."""

import sys
import tomllib

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

import transference as tr
from analyses.paper import __main__ as paper
from analyses.paper.trained import Clock, OutOfTime
from analyses.subjects import Places
from meta_models.training import recipe_of
from transference.devices import choose_device

TOY = tomllib.loads((paper.HERE / "toy.toml").read_text())
FULL = tomllib.loads((paper.HERE / "config.toml").read_text())


def started(monkeypatch, runs, options=""):
    monkeypatch.setattr(sys, "argv", ["paper", "--toy", "--device", "cpu", "--runs", str(runs), *options.split()])
    return paper.main()


def checkpoints(runs, name):
    return sorted(int(path.stem[5:]) for path in (runs / "training" / name).glob("step-*"))


@pytest.mark.slow
def test_it_stops_in_time_goes_on_and_tells_what_it_found(tmp_path, monkeypatch, capsys):
    assert started(monkeypatch, tmp_path, "--minutes 0") == 3
    told = capsys.readouterr().out
    assert "not measured yet, and left out: protonet, kml-protonet" in told
    assert "protonet waits to be trained. The same command goes on." in told
    at = Places(tmp_path / "none", tmp_path)
    assert paper.carry_out(TOY, ["protonet"], [4], at, choose_device("cpu"), Clock(None)) == ""
    assert tr.open_run(tmp_path / "measured" / "protonet").steps == (4,)
    assert started(monkeypatch, tmp_path) == 0
    assert "left out" not in capsys.readouterr().out
    runs = {name: tr.open_run(tmp_path / "measured" / name) for name in TOY["learners"]}
    for name, run in runs.items():
        assert run.steps == (2, 4)
        assert checkpoints(tmp_path, name) == [2, 4]
    check_table(pd.read_csv(tmp_path / "shares.csv"), runs)
    figures = sorted(path.name for path in (tmp_path / "figures").iterdir())
    alphas = ("alpha=0.0001", "alpha=1e-05")
    beginnings = [f"{name}-{n}" for name in TOY["learners"] for n in ("1-target", "3-targets")]
    assert figures == sorted(f"{each}-{alpha}.png" for each in (*beginnings, "learners") for alpha in alphas)
    for path in (tmp_path / "figures").iterdir():
        assert matplotlib.image.imread(path)[..., :3].std() > 0.05, "it shows something"


def check_table(table, runs):
    """Shares and means are what the pairs say, and lie in their intervals."""
    assert len(table) == 2 * 2 * 2 * 2
    for row in table.to_dict("records"):
        pairs = (
            runs[row["learner"]]
            .pairs()
            .query(f"checkpoint_step == {row['checkpoint_step']} and alpha == {row['alpha']!r}")
        )
        ratio = pairs.loc[pairs["target"].rank(method="dense") <= row["targets"], "loss_ratio"].to_numpy()
        assert len(ratio) == 6 * row["targets"]
        expected = {
            "geometric_mean": np.exp(np.log(ratio).mean()),
            "positive": (ratio < 1).mean(),
            "negative": (ratio >= 1 + 0.5 / 60).mean(),
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-4, abs=1e-6)
            assert row[f"{name}_low"] - 1e-9 <= row[name] <= row[f"{name}_high"] + 1e-9
        assert row["positive"] + row["neutral"] + row["negative"] == pytest.approx(1, abs=1e-4)
        own = (
            runs[row["learner"]]
            .self_transference()
            .query(f"checkpoint_step == {row['checkpoint_step']} and alpha == {row['alpha']!r}")
        )
        mine = own.sort_values("target")["loss_ratio"].to_numpy()[: row["targets"]]
        assert row["self_transference"] == pytest.approx(np.exp(np.log(mine).mean()), rel=1e-4)


class Few(Clock):
    """A clock that lets so many things begin."""

    def __init__(self, n):
        super().__init__(None)
        self.left = n

    def check(self, seconds, so_far):
        self.left -= 1
        if self.left < 0:
            raise OutOfTime(so_far)


@pytest.mark.slow
def test_a_training_that_is_stopped_ends_as_one_that_is_not(tmp_path):
    config, device = {**TOY, "modes": ["shapes"], "stages": [2, 3]}, choose_device("cpu")
    ends = {}
    for name, clocks in {"stopped": [Few(2), Few(1)], "whole": [Few(99)]}.items():
        at = Places(tmp_path / "none", tmp_path / name)
        for clock in clocks[:-1]:
            with pytest.raises(OutOfTime, match="protonet is at update 2 of 3"):
                paper.trained("protonet", config, config["stages"], at, device, clock)
            assert checkpoints(at.runs, "protonet") == [2], "those between the stages are removed"
        clocks[-1].left = 99
        folder = paper.trained("protonet", config, config["stages"], at, device, clocks[-1])
        ends[name] = tr.load_checkpoint(folder.checkpoint(3)).params
    for name, value in ends["whole"].items():
        np.testing.assert_array_equal(ends["stopped"][name], value)


def test_a_clock_keeps_time_for_what_comes_next():
    Clock(None).check(1e9, "")
    Clock(1.0).check(40, "")
    with pytest.raises(OutOfTime, match="so far"):
        Clock(1.0).check(55, "so far")
    with pytest.raises(OutOfTime):
        Clock(0.0).check(0, "")


@pytest.mark.parametrize("options", ["--only mmaml", "--stages 4,5", "--device cuda:99"])
def test_what_cannot_be_asked_is_told(tmp_path, monkeypatch, capsys, options):
    assert started(monkeypatch, tmp_path / "runs", options) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_its_size_is_that_of_the_paper():
    assert (FULL["n_source"], FULL["n_target"], FULL["tasks"]["side"], FULL["tasks"]["ways"]) == (300, 20, 84, 5)
    assert FULL["stages"] == [5000, 10_000, 15_000, 20_000]
    assert all(stage % FULL["save_every"] == 0 for stage in FULL["stages"])
    assert set(TOY) - {"meta_batch"} == set(FULL)
    for name in FULL["learners"]:
        recipe = recipe_of(tr.load_learner(name), len(FULL["modes"]))
        assert (recipe.meta_batch, recipe.lr, recipe.halve_every) == (10, 1e-3, 10_000)
