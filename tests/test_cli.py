import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import transference as tr
from meta_models import multi_protonet
from tests.strangers import Net, PixelPrototypes
from transference.cli import main
from transference.figures.kinds import KINDS
from transference.learners import learner_names

pytestmark = pytest.mark.slow

SMALL = ["--ways", "3", "--shots", "1", "--queries", "2", "--n-source", "4", "--n-target", "3"]
MODES = ["--source", "strokes:val", "--target", "shapes:val"]


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A ProtoNet trained for four updates by the command, with checkpoints after two and four; none of its losses is near 0."""
    out = tmp_path_factory.mktemp("trained")
    result = call("train", "--learner", "protonet", "--modes", "strokes,shapes", "--ways", 3, "--queries", 2, "--iterations", 4,
                  "--save-every", 2, "--meta-batch", 2, "--seed", 5, "--device", "cpu", "--out", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    return sorted(out.glob("*.safetensors"))


@pytest.fixture(scope="module")
def computed(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("computed") / "run"
    result = call(
        "compute", *trained, *MODES, "--n-source", 4, "--n-target", 3, "--alpha", 0.001, "--alpha", 0.01, "--out", out
    )
    assert result.exit_code == 0, result.output
    assert "strokes → shapes" in result.stdout
    assert result.stdout.strip().endswith(str(out))
    return out


BROKEN = {
    "import nowhere_to_be_found": "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
    "raise SystemExit(3)": "SystemExit: 3",
    "command = 3": "broken_command:command is no command of click: int",
}


@pytest.mark.parametrize("source", BROKEN)
def test_a_command_of_another_package_that_cannot_be_loaded_leaves_the_others_alone(tmp_path, monkeypatch, source):
    (tmp_path / "broken_command.py").write_text(source)
    (tmp_path / "good_command.py").write_text("import click\n@click.command()\ndef command():\n    click.echo('well')")
    about = tmp_path / "strangers-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    places = "".join(f"{name} = {name}_command:command\n" for name in ("broken", "good"))
    (about / "entry_points.txt").write_text(f"[transference.commands]\n{places}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_command", raising=False)
    page = CliRunner().invoke(main, ["--help"])
    assert page.exit_code == 0, page.output
    assert "(cannot be loaded: " in page.stdout
    assert "compute" in page.stdout
    assert CliRunner().invoke(main, ["good"]).stdout == "well\n"
    for words in (["broken"], ["broken", "--help"], ["broken", "--any", "option"]):
        told = CliRunner().invoke(main, words)
        assert (told.exit_code, told.stdout) == (1, "")
        why = f"The command broken, which comes with strangers, cannot be loaded ({BROKEN[source]})"
        assert told.stderr == f"error: {why}. Mend or remove that package.\n"


def test_every_command_explains_itself_with_two_examples():
    commands = [
        "choose",
        "compute",
        "convert",
        "demo",
        "evaluate",
        "explore",
        "export",
        "learners",
        "plot",
        "report",
        "summary",
        "train",
        "verify",
        "datasets list",
        "datasets prepare",
        "datasets show",
        "datasets verify",
    ]
    assert set(main.list_commands(None)) == {name.split()[0] for name in commands}
    for command in commands:
        result = call(*command.split(), "--help")
        assert result.exit_code == 0
        assert result.output.count("  transference ") >= 2, command


def test_compute_takes_the_episodes_of_the_training(computed):
    record = tr.open_run(computed).tasks().iloc[0]
    assert (record["ways"], record["shots"], record["queries"]) == (3, 1, 2)
    assert tr.open_run(computed).steps == (2, 4)


def test_measured_tasks_are_not_those_of_the_training(computed, trained):
    training = tr.load_checkpoint(trained[0]).training
    tasks = tr.open_run(computed).tasks()
    assert training["seed"] not in set(tasks["seed"])
    assert tasks.groupby("role")["seed"].first().to_dict() == {"source": 6, "target": 7}


def test_summary_as_a_table_and_as_json(computed):
    assert call("summary", computed).exit_code == 0
    rows = json.loads(call("summary", computed, "--json").stdout)
    assert len(rows) == 2 * 2
    assert {
        "checkpoint_step",
        "alpha",
        "source_mode",
        "target_mode",
        "n",
        "geometric_mean",
        "q50",
        "positive",
        "accuracy",
    } <= set(rows[0])
    expected = tr.summarise(tr.open_run(computed).pairs())
    assert rows[0]["geometric_mean"] == pytest.approx(expected["geometric_mean"][0], rel=1e-12)
    wide = json.loads(call("summary", computed, "--json", "--neutral", 0, 1e15).stdout)
    assert all(row["neutral"] == 1.0 for row in wide)


PLOTS = {
    "histogram without controls": ["--no-controls"],
    "training with controls": ["--controls"],
    "training as a trend": ["--trend"],
    "types of another step": ["--step", 2],
    "types as rings": ["--ring"],
    "blocks on a scale": ["--limit", 1.5],
    "matrix clustered": ["--clustered", "--neutral", 0.99, 1.01],
    "matrix of two checkpoints": ["--step", 2, "--step", 4, "--clustered", "--names", "early, late"],
    "compare with names": ["--names", "early, late"],
}
"""Options to draw kinds with; every kind is drawn without, too."""


@pytest.fixture(scope="module")
def combined(trained, tmp_path_factory):
    """A run with a combination and tempered losses, each of which one kind of figure is about."""
    out = tmp_path_factory.mktemp("combined") / "run"
    words = [
        "--source",
        "shapes:val",
        "--combine",
        "mgda",
        "--n-source",
        "4",
        "--n-target",
        "3",
        "--alpha",
        "0.001",
        "--alpha",
        "0.01",
        "--tempered",
    ]
    result = call("compute", trained[-1], *MODES, *words, "--out", out)
    assert result.exit_code in FINISHED, result.output
    return out


@pytest.mark.parametrize("name", [*(kind.name for kind in KINDS), *PLOTS])
def test_plot_draws_every_kind_and_its_record_draws_it_again(request, tmp_path, name):
    computed = request.getfixturevalue("combined" if name in ("rows", "confidence") else "computed")
    figure = tmp_path / f"{name}.png"
    [kind] = [kind for kind in KINDS if kind.name == name.split()[0]]
    words = [] if kind.every_alpha else ["--alpha", 0.01]
    words += ["--step", 2, "--step", 4] if kind.n_tables == (2,) else []
    result = call("plot", computed, "--kind", kind.name, *words, *PLOTS.get(name, []), "-o", figure)
    assert result.exit_code == 0, result.output
    assert figure.stat().st_size > 5000
    data, record = figure.with_suffix(".csv").read_bytes(), json.loads(figure.with_suffix(".json").read_text())
    assert record["runs"] == [{"path": str(computed), "digest": tr.open_run(computed).spec.digest}]
    assert (record["figure"], record["data"]) == (f"{name}.png", f"{name}.csv")
    figure.unlink()
    figure.with_suffix(".csv").write_text("stale")
    program, *words = shlex.split(record["command"])
    assert program == "transference"
    assert call(*words).exit_code == 0
    assert figure.exists()
    assert figure.with_suffix(".csv").read_bytes() == data


def test_the_data_beside_a_figure_is_what_it_drew(computed, tmp_path):
    run = tr.open_run(computed)
    call("plot", computed, "--kind", "types", "--alpha", 0.01, "-o", tmp_path / "types.svg")
    drawn = pd.read_csv(tmp_path / "types.csv").set_index("statistic")["value"]
    expected = tr.summarise(run.pairs()).query("checkpoint_step == 4 and alpha == 0.01").iloc[0]
    for kind in ("positive", "neutral", "negative"):
        assert drawn[kind] == pytest.approx(expected[kind])
    call(
        "plot", computed, "--kind", "matrix", "--clustered", "--alpha", 0.01, "--step", 2, "-o", tmp_path / "matrix.svg"
    )
    cells = pd.read_csv(tmp_path / "matrix.csv")
    np.testing.assert_allclose(cells.pivot(index="source", columns="target", values="loss_ratio"), run.matrix(2, 0.01))
    assert cells.groupby("source")["row"].nunique().eq(1).all()
    call("plot", computed, "--kind", "histogram", "--alpha", 0.01, "-o", tmp_path / "histogram.svg")
    bars = pd.read_csv(tmp_path / "histogram.csv")
    assert {"resampled", "random direction"} <= set(bars["class"]), "the controls of the run, unless one asks for none"
    assert bars[bars["class"].isin(["positive", "neutral", "negative"])]["count"].sum() == 4 * 3
    call("plot", computed, "--kind", "histogram", "--alpha", 0.01, "--no-controls", "-o", tmp_path / "histogram.svg")
    assert not {"resampled", "random direction"} & set(pd.read_csv(tmp_path / "histogram.csv")["class"])


def test_plot_replaces_no_file_of_another_origin(computed, tmp_path):
    call("export", computed, tmp_path / "pairs.csv")
    before = (tmp_path / "pairs.csv").read_bytes()
    result = call("plot", computed, "--kind", "matrix", "--alpha", 0.01, "-o", tmp_path / "pairs.png")
    assert result.exit_code == 2
    assert "which was not written with a figure" in result.stderr
    assert (tmp_path / "pairs.csv").read_bytes() == before
    (tmp_path / "run.json").write_text("{}")
    assert call("plot", computed, "--kind", "matrix", "--alpha", 0.01, "-o", tmp_path / "run.png").exit_code == 2
    assert (tmp_path / "run.json").read_text() == "{}"


def test_compare_takes_two_runs_of_the_same_tasks(computed, trained, tmp_path):
    shutil.copytree(computed, tmp_path / "copy")
    fewer = ["--n-source", 3, "--n-target", 3, "--alpha", 0.01, "--engine", "loop", "--out", tmp_path / "fewer"]
    assert call("compute", trained[0], *MODES, *fewer).exit_code == 0
    figure = tmp_path / "compare.png"
    result = call(
        "plot",
        computed,
        tmp_path / "copy",
        "--kind",
        "compare",
        "--alpha",
        0.01,
        "--step",
        2,
        "--step",
        4,
        "-o",
        figure,
    )
    assert result.exit_code == 0, result.output
    data = pd.read_csv(tmp_path / "compare.csv")
    assert {"checkpoint 2", "checkpoint 4", "checkpoint 2 less checkpoint 4"} <= set(data["of"]), (
        "one learner: told apart by checkpoint"
    )
    share = data[data["statistic"] == "positive"].set_index("of")["value"]
    assert share["checkpoint 2 less checkpoint 4"] == pytest.approx(share["checkpoint 2"] - share["checkpoint 4"])
    result = call("plot", computed, tmp_path / "fewer", "--kind", "compare", "--alpha", 0.01, "-o", figure)
    assert result.exit_code == 2
    assert "sources[0].n: 4 → 3" in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--kind", "matrix", "--ring"], "--ring was given; it belongs to --kind types"),
        (["--kind", "types", "--limit", 2], "belongs to --kind blocks or matrix"),
        (["--kind", "types", "--step", 2, "--step", 4], "this kind draws one checkpoint"),
        (["--kind", "training", "--step", 2], "draws every checkpoint"),
        (["--kind", "step-size"], "draws every step size"),
        (["--kind", "types", "--controls"], "belongs to --kind histogram or training"),
        (["--kind", "compare"], "takes two runs"),
        (["--kind", "matrix", "--names", "a,b"], "a single table has no need of names"),
        (["--kind", "matrix", "--step", 2, "--step", 4, "--step", 2], "takes two runs"),
        (["--kind", "compare", "--step", 2, "--step", 4, "--names", "one"], "two different names"),
        (["--kind", "compare", "--step", 2, "--step", 3], "has no checkpoint at step 3"),
        (["--kind", "blocks", "--limit", 0.9], "it must be above 1"),
        (["--kind", "types", "--target", "birds"], "has no target mode birds; it has shapes"),
    ],
)
def test_plot_says_what_does_not_go_together(computed, tmp_path, words, told):
    result = call("plot", computed, "--alpha", 0.01, *words, "-o", tmp_path / "x.png")
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_plot_wants_to_know_the_step_size(computed, tmp_path):
    result = call("plot", computed, "--kind", "matrix", "-o", tmp_path / "x.png")
    assert result.exit_code == 2
    assert "has the step sizes 0.001, 0.01, and none was named" in result.stderr
    result = call("plot", computed, "--kind", "matrix", "--alpha", 0.01, "--source", "birds", "-o", tmp_path / "x.png")
    assert result.exit_code == 2
    assert "has no source mode birds; it has strokes" in result.stderr


def test_verify_and_export(computed, tmp_path):
    result = call("verify", computed, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["complete"] is True
    for suffix in ("parquet", "csv", "npz"):
        assert call("export", computed, tmp_path / f"x.{suffix}").exit_code == 0
    run = tr.open_run(computed)
    with np.load(tmp_path / "x.npz") as matrices:
        np.testing.assert_array_equal(matrices["step=4,alpha=0.01"], run.matrix(4, 0.01))
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 1 + run.spec.n_cells
    assert call("export", computed, tmp_path / "x.txt").exit_code == 2


def test_export_writes_chosen_modes_and_tasks(computed, tmp_path):
    run = tr.open_run(computed)
    chosen = ["--source", "strokes:3", "--source", "strokes:val:0", "--source", "3", "--target", "shapes:2"]
    for suffix in ("csv", "parquet", "npz"):
        result = call("export", computed, tmp_path / f"x.{suffix}", *chosen)
        assert result.exit_code == 0, result.output
    sources, targets = [0, 3], [2]
    expected = run.pairs().query("source in @sources and target in @targets")
    assert len(expected) == 2 * len(run.alphas) * len(run.steps)
    np.testing.assert_array_equal(pd.read_parquet(tmp_path / "x.parquet")["loss_ratio"], expected["loss_ratio"])
    assert len(pd.read_csv(tmp_path / "x.csv")) == len(expected)
    with np.load(tmp_path / "x.npz") as matrices:
        name = f"step={run.steps[-1]},alpha=0.01"
        np.testing.assert_array_equal(matrices[name], run.matrix(None, 0.01)[np.ix_(sources, targets)])
    assert call("export", computed, tmp_path / "x.csv", "--source", "strokes").exit_code == 0
    assert len(pd.read_csv(tmp_path / "x.csv")) == len(run.pairs()), "a mode stands for all its tasks"


@pytest.mark.parametrize("name", ["birds", "birds:1", "strokes:99", "99", "strokes:x"])
def test_a_task_that_the_run_has_not_is_told_and_nothing_is_written(computed, tmp_path, name):
    result = call("export", computed, tmp_path / "x.csv", "--source", "strokes", "--source", name)
    assert result.exit_code == 2
    assert f"has no source {name}. Give a mode, of strokes; MODE:INDEX" in result.stderr
    assert not (tmp_path / "x.csv").exists()


def test_verify_fails_on_a_damaged_run(computed, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(computed, copy)
    tile = sorted((copy / "pairs").rglob("*.parquet"))[0]
    tile.write_bytes(tile.read_bytes()[:100])
    result = call("verify", copy)
    assert result.exit_code == 1
    assert f"error: {tile} is damaged" in result.stderr


def test_dry_run_tells_and_computes_nothing(trained, tmp_path):
    result = call(
        "compute",
        *trained,
        *MODES,
        "--n-source",
        4,
        "--n-target",
        3,
        "--alpha",
        0.1,
        "--tile",
        2,
        3,
        "--dry-run",
        "--out",
        tmp_path / "r",
    )
    assert result.exit_code == 0
    assert "24 pairs in 4 tiles, 0 done, 4 to do" in result.stdout
    assert not (tmp_path / "r").exists(), "a dry run writes nothing"


def test_a_changed_spec_exits_with_2_and_the_difference(computed, trained):
    result = call(
        "compute",
        *trained,
        *MODES,
        "--n-source",
        5,
        "--n-target",
        3,
        "--alpha",
        0.001,
        "--alpha",
        0.01,
        "--out",
        computed,
    )
    assert result.exit_code == 2
    assert "holds a run of another spec" in result.stderr
    assert "sources[0].n: 4 → 5" in result.stderr


def test_convert_keeps_the_digest(trained, tmp_path):
    assert call("convert", trained[0], tmp_path / "x.pt").exit_code == 0
    assert tr.load_checkpoint(tmp_path / "x.pt").digest == tr.load_checkpoint(trained[0]).digest


def test_lists(shared):
    assert "protonet" in call("learners").stdout
    assert re.search(r"strokes +train +64 classes +1920 images\n", call("datasets", "list").stdout)
    assert re.search(r"omniglot +train +803 classes", call("datasets", "list", "--data-root", shared / "data").stdout)


def test_a_strangers_state_dict_is_analysed_from_its_pt(tmp_path):
    torch.manual_seed(0)
    torch.save(Net().state_dict(), tmp_path / "net_700.pt")
    shape = ["--ways", "5", "--shots", "1", "--queries", "2", "--n-source", "4", "--n-target", "3"]
    result = call(
        "compute",
        tmp_path / "net_700.pt",
        "--learner",
        "tests.strangers:make_net_learner",
        *MODES,
        *shape,
        "--alpha",
        0.05,
        "--out",
        tmp_path / "run",
    )
    assert result.exit_code == 0, result.output
    run = tr.open_run(tmp_path / "run")
    assert run.steps == (700,)
    assert run.matrix().shape == (4, 3)
    assert (run.matrix() != 1).all()


def test_failed_cells_exit_with_3(tmp_path):
    params = PixelPrototypes().init_params(0)
    params["map.weight"] = params["map.weight"] * float("nan")
    tr.save_checkpoint(tr.Checkpoint(params, 1), tmp_path / "x.pt")
    result = call(
        "compute",
        tmp_path / "x.pt",
        "--learner",
        "tests.strangers:PixelPrototypes",
        *MODES,
        *SMALL,
        "--alpha",
        0.1,
        "--out",
        tmp_path / "run",
    )
    assert result.exit_code == 3, result.output
    assert "12 of 12 cells failed (12 non_finite)" in result.stderr
    assert (tr.open_run(tmp_path / "run").pairs()["status"] == "non_finite").all()
    assert call("verify", tmp_path / "run").exit_code == 0, "failed cells are recorded, not missing"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A checkpoint of `PixelPrototypes` that was never trained."""
    path = tmp_path_factory.mktemp("fresh") / "x.pt"
    tr.save_checkpoint(tr.Checkpoint(PixelPrototypes().init_params(0), 1), path)
    return path


def test_losses_that_fall_to_zero_are_counted_and_rule_no_mean(fresh, tmp_path):
    words = [
        fresh,
        "--learner",
        "tests.strangers:Vanishing",
        *MODES,
        *SMALL,
        "--alpha",
        0.001,
        "--controls",
        4,
        "--out",
        tmp_path / "run",
    ]
    result = call("compute", *words)
    assert result.exit_code == 3, result.output
    frame = tr.open_run(tmp_path / "run").pairs()
    zero = frame["loss_after"] == 0
    assert 0 < zero.sum() < 12, "some, not all"
    assert (frame["status"] == np.where(zero, "zero_loss", "ok")).all()
    assert f"{zero.sum()} of 12 cells failed ({zero.sum()} zero_loss)" in result.stderr
    assert (
        call("verify", tmp_path / "run").stdout.strip().endswith(f"cells: {12 - zero.sum()} ok, {zero.sum()} zero_loss")
    )
    [row] = json.loads(call("summary", tmp_path / "run", "--json").stdout)
    assert (row["n"], row["failed"]) == (12 - zero.sum(), zero.sum())
    for name in ("geometric_mean", "geometric_mean_low", "geometric_mean_high", "q01"):
        assert row[name] > 0.9, name
    assert call("export", tmp_path / "run", tmp_path / "x.csv").exit_code == 0
    assert pd.read_csv(tmp_path / "x.csv")["loss_ratio"].isna().sum() == zero.sum()
    assert call("report", tmp_path / "run", "-o", tmp_path / "x.html").exit_code == 0
    assert f"of which some have no ratio: {zero.sum()} zero_loss" in (tmp_path / "x.html").read_text()


@pytest.mark.parametrize(("estimator", "code"), [("first-order", 3), ("calibrated", 0)])
def test_a_tangent_below_zero_fails_a_run_unless_it_calibrates(fresh, tmp_path, estimator, code):
    result = call("compute", fresh, "--learner", "tests.strangers:PixelPrototypes", *MODES, *SMALL, "--alpha", 300,
                  "--estimator", estimator, "--out", tmp_path / "run")  # fmt: skip
    run = tr.open_run(tmp_path / "run")
    assert (run.pairs()["loss_after"] < 0).any()
    assert (run.exact_pairs()["status"] == "ok").all()
    assert result.exit_code == code, result.output
    assert bool(run.failed()) == (code == 3)


def test_exact_pairs_that_fail_fail_a_calibrated_run(fresh, tmp_path):
    result = call("compute", fresh, "--learner", "tests.strangers:Vanishing", *MODES, *SMALL, "--n-target", 6, "--alpha", 0.001,
                  "--estimator", "calibrated", "--out", tmp_path / "run")  # fmt: skip
    assert result.exit_code == 3, result.output
    exact = tr.open_run(tmp_path / "run").exact_pairs()
    assert set(exact["status"]) == {"ok", "zero_loss"}
    [row] = json.loads(call("summary", tmp_path / "run", "--json").stdout)
    assert row["exact_failed"] == (exact["status"] == "zero_loss").sum()
    assert row["calibrated_geometric_mean"] > 0.9


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["--source", "birds:train", "--target", "shapes:val"],
            1,
            "There is no generated mode 'birds'; give the folder that holds it with --data-root",
        ),
        (
            ["--source", "strokes:dev", "--target", "shapes:val"],
            1,
            "strokes (generated) has no split 'dev'; it has train, val, test",
        ),
        (["--source", "strokes", "--target", "shapes:val"], 2, "write it as NAME:SPLIT"),
        ([*MODES, "--ways", "99"], 1, "16 classes, but 99 ways were asked for"),
        ([*MODES, "--queries", "30"], 1, "need 31 images a class"),
        ([*MODES, "--channels", "1"], 1, "has colours, but 1 channel was asked for"),
        ([*MODES, "--learner", "protonett"], 1, "Did you mean protonet"),
        ([*MODES, "--learner", "maml"], 1, "missing: classifier.fully_connected.weight"),
        ([*MODES, "--alpha", "-1"], 2, "zero or above"),
        ([*MODES, "--device", "cuda:42"], 2, "this machine has cpu and"),
        ([*MODES, "--lookahead", "momentum"], 2, "is not one of 'adam', 'normalised', 'outer', 'sgd'"),
    ],
)
def test_bad_input_is_told_and_writes_nothing(trained, tmp_path, words, code, message):
    result = call("compute", trained[0], *words, "--out", tmp_path / "run")
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "run").exists()


def test_checkpoints_of_two_learners_are_refused(trained, tmp_path):
    other = tr.load_learner("maml")
    tr.save_checkpoint(tr.Checkpoint(other.init_params(0), 9, "maml", {"ways": 5}), tmp_path / "maml.pt")
    result = call("compute", trained[0], tmp_path / "maml.pt", *MODES, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "The checkpoints are of different learners" in result.stderr


def test_a_named_learner_does_not_hide_that_checkpoints_differ(tmp_path):
    params = tr.load_learner("maml").init_params(0)
    for step, steps in ((1, 1), (2, 4)):
        tr.save_checkpoint(tr.Checkpoint(params, step, "maml", {"inner_steps": steps}), tmp_path / f"{step}.pt")
    result = call(
        "compute",
        tmp_path / "1.pt",
        tmp_path / "2.pt",
        "--learner",
        "maml",
        *MODES,
        "--alpha",
        0.1,
        "--out",
        tmp_path / "run",
    )
    assert result.exit_code == 1
    assert "of different learners" in result.stderr


def test_checkpoints_that_met_other_episodes_need_to_be_told_which(tmp_path):
    params = tr.load_learner("protonet").init_params(0)
    for step, shots in ((1, 1), (2, 5)):
        tr.save_checkpoint(
            tr.Checkpoint(params, step, "protonet", {}, training={"shots": shots}), tmp_path / f"{step}.pt"
        )
    result = call("compute", tmp_path / "1.pt", tmp_path / "2.pt", *MODES, "--alpha", 0.1, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "do not tell one value of shots" in result.stderr


@pytest.mark.parametrize(
    "words",
    [["plot", "RUN", "--kind", "matrix", "--alpha", "0.01", "-o", "FILE/x.png"], ["export", "RUN", "FILE/x.csv"]],
)
def test_a_file_in_place_of_a_folder_is_told(computed, tmp_path, words):
    (tmp_path / "file").write_text("")
    result = call(*[word.replace("RUN", str(computed)).replace("FILE", str(tmp_path / "file")) for word in words])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output


def test_a_range_the_wrong_way_round_is_told(computed, tmp_path):
    result = call(
        "plot", computed, "--kind", "histogram", "--alpha", 0.01, "--range", 1.3, 0.8, "-o", tmp_path / "x.png"
    )
    assert result.exit_code == 2
    assert "the first must be below the second" in result.stderr


def test_training_takes_settings_from_a_file(tmp_path):
    (tmp_path / "maml.toml").write_text("inner_steps = 1\nsecond_order = false\n")
    words = [
        "--learner",
        "maml",
        "--modes",
        "strokes",
        "--ways",
        3,
        "--queries",
        2,
        "--iterations",
        1,
        "--meta-batch",
        1,
        "--out",
        tmp_path / "out",
    ]
    result = call("train", *words, "--config", tmp_path / "maml.toml")
    assert result.exit_code == 0, result.output
    config = tr.load_checkpoint(tmp_path / "out" / "step-00000001.safetensors").config
    assert config == {"ways": 3, "channels": 3, "inner_steps": 1, "second_order": False}
    (tmp_path / "bad.toml").write_text("inner_steps 1")
    assert "is no TOML file" in call("train", *words, "--config", tmp_path / "bad.toml").stderr
    assert (
        "without a split"
        in call("train", "--learner", "maml", "--modes", "strokes:train", "--out", tmp_path / "y").stderr
    )


@pytest.mark.parametrize(
    ("words", "figures", "row"),
    [
        ((), {"histogram.png", "training.png", "matrix.png"}, "strokes → shapes"),
        (("--modalities",), {"rows.png", "training.png", "matrix.png"}, "mgda → mix[a+b]"),
    ],
)
def test_demo_runs_the_whole_way(tmp_path, words, figures, row):
    result = call("demo", *words, "--out", tmp_path, "--iterations", 4, "--n-source", 2, "--n-target", 1)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip().endswith("report.html")
    assert {"checkpoints", "run", "report.html", *figures} <= {path.name for path in tmp_path.iterdir()}
    assert row in result.stdout


FINISHED = (0, 3)
"""Exit codes of a run that went to its end; some losses of these easy tasks are exactly zero."""


def process(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "transference.cli", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


def tables(run):
    return {path.relative_to(run): path.read_bytes() for path in sorted(run.rglob("*.parquet"))}


def test_a_run_killed_three_times_equals_one_never_killed(trained, tmp_path):
    words = [
        *trained,
        *MODES,
        "--n-source",
        18,
        "--n-target",
        6,
        "--alpha",
        0.001,
        "--tile",
        2,
        6,
        "--device",
        "cpu",
        "--out",
    ]
    undisturbed = process("compute", *words, tmp_path / "whole")
    _, errors = undisturbed.communicate()
    assert undisturbed.returncode in FINISHED, errors
    expected, killed = tables(tmp_path / "whole"), tmp_path / "killed"
    total, published = len([path for path in expected if path.name.startswith("tile-")]), {}
    for k in range(3):
        victim = process("compute", *words, killed)
        while len(list(killed.rglob("tile-*.parquet"))) <= len(published) and victim.poll() is None:
            time.sleep(0.03)
        time.sleep(random.uniform(0, 0.1))
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
        assert victim.returncode == -signal.SIGKILL, f"it finished before kill {k + 1}; give it more to do"
        now = {path: path.stat().st_mtime_ns for path in killed.rglob("tile-*.parquet")}
        assert len(now) < total
        assert now.items() >= published.items(), "what was published is never written again"
        published = now
    last = process("compute", *words, killed)
    _, errors = last.communicate()
    assert last.returncode in FINISHED, errors
    assert tables(killed) == expected
    assert {path: path.stat().st_mtime_ns for path in published} == published


def test_an_interrupt_exits_with_130_and_can_be_resumed(trained, tmp_path):
    words = [
        trained[0],
        *MODES,
        "--n-source",
        60,
        "--n-target",
        8,
        "--alpha",
        0.01,
        "--tile",
        2,
        4,
        "--device",
        "cpu",
        "--out",
        tmp_path / "run",
    ]
    victim = process("compute", *words)
    while not list(tmp_path.rglob("tile-*.parquet")) and victim.poll() is None:
        time.sleep(0.03)
    victim.send_signal(signal.SIGINT)
    _, errors = victim.communicate()
    assert victim.returncode == 130, errors
    assert "repeat the same command" in errors
    assert "Traceback" not in errors
    assert call("compute", *words).exit_code in FINISHED


@pytest.mark.parametrize("learner", learner_names())
def test_every_learner_is_trained_tested_and_analysed_by_the_commands(learner, tmp_path):
    functions = learner.startswith("regression")
    paired = ["mix[a]", "mix[a+b]"] if learner in {"shared-latent", "i2m2"} else None
    modes = paired or (["sinusoid", "linear"] if functions else ["textures", "shapes"])
    shape = ["--queries", 4, *([] if functions else ["--ways", 3])]
    (tmp_path / "config.toml").write_text("inner_steps = 1" if "maml" in learner else "")
    result = call("train", "--learner", learner, "--modes", ",".join(modes), *shape, "--meta-batch", 2, "--iterations", 2, "--validate", 2,
                  "--config", tmp_path / "config.toml", "--device", "cpu", "--out", tmp_path / "trained")  # fmt: skip
    assert result.exit_code == 0, result.output
    checkpoint = tmp_path / "trained" / "step-00000002.safetensors"
    targets = [word for mode in modes for word in ("--target", f"{mode}:test")]
    result = call("evaluate", checkpoint, *targets, "--n-tasks", 3, "--out", tmp_path / "scores.parquet", "--json")
    assert result.exit_code == 0, result.output
    table = json.loads(result.stdout)
    assert [row["mode"] for row in table] == [f"{mode}:test" for mode in modes] + ["mean"]
    assert all(row["loss"] > 0 and row["loss_ci"] > 0 and (row["accuracy"] is None) == functions for row in table)
    assert len(pd.read_parquet(tmp_path / "scores.parquet")) == 6
    result = call(
        "compute",
        checkpoint,
        "--source",
        f"{modes[0]}:train",
        *targets,
        "--n-source",
        2,
        "--n-target",
        2,
        "--out",
        tmp_path / "run",
    )
    assert result.exit_code == 0, result.output
    run = tr.open_run(tmp_path / "run")
    assert (run.pairs()["status"] == "ok").all()
    assert run.spec.alphas == (0.001,), "the outer rate it was trained with"
    if "multi" in learner:
        pairs = run.pairs()
        assert (pairs["loss_ratio"][pairs["target"] >= 2] == 1.0).all(), "a step on one mode leaves the other alone"


def test_evaluate_names_the_files_where_steps_do_not_tell_them_apart(trained, tmp_path):
    other = tmp_path / "best.safetensors"
    other.write_bytes(trained[-1].read_bytes())
    words = ["--target", "strokes:test", "--n-tasks", 2]
    assert "best.safetensors" in call("evaluate", trained[-1], other, *words).stdout
    assert "safetensors" not in call("evaluate", *trained, *words).stdout


def test_defaults_of_a_training_are_those_of_the_paper(tmp_path):
    said = lambda *words: call("train", *words, "--dry-run", "--out", tmp_path / "x").stdout
    assert "halve_every = 10000" in said("--learner", "protonet", "--modes", "strokes")
    assert "clip_norm = 2.0" in said("--learner", "regression-maml", "--modes", "abs")
    assert "shots = 5" in said("--learner", "regression-maml", "--modes", "abs")
    assert "for 30000 iterations of 10 tasks" in said("--learner", "kml-protonet", "--modes", "strokes,shapes")
    assert "for 60000 iterations of 10 tasks" in said("--learner", "mmaml", "--modes", "strokes,shapes")
    assert "for 80000 iterations of 5 tasks" in said("--learner", "maml", "--modes", "strokes", "--ways", 20)
    assert "for 80000 iterations of 12 tasks" in said("--learner", "multi-maml", "--modes", "strokes,shapes,textures")
    assert "for 70000 iterations of 125 tasks" in said(
        "--learner", "regression-mmaml", "--modes", "sinusoid,linear,quadratic,tanh,abs"
    )
    assert not (tmp_path / "x").exists()


def test_a_setting_may_differ_from_the_checkpoints(trained, tmp_path):
    (tmp_path / "soft.toml").write_text("transductive = true")
    losses = [
        json.loads(call("evaluate", trained[-1], "--target", "strokes:test", "--n-tasks", 3, "--json", *more).stdout)[
            0
        ]["loss"]
        for more in ([], ["--config", tmp_path / "soft.toml"])
    ]
    assert losses[0] != losses[1]
    (tmp_path / "wrong.toml").write_text("warmth = 3")
    result = call("evaluate", trained[-1], "--target", "strokes:test", "--config", tmp_path / "wrong.toml")
    assert result.exit_code == 1
    assert "cannot be built with the settings" in result.stderr


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (["--learner", "protonet", "--modes", "sinusoid"], "", "The learner failed on the first episode"),
        (["--learner", "protonet", "--modes", "strokes,linear"], "", "The learner failed on the first episode"),
        (["--learner", "protonet", "--modes", "mix[a]"], "", "its inputs are tensors by name"),
        (
            ["--learner", "shared-latent", "--modes", "strokes"],
            "",
            "modalities is {}; train on paired modes, such as mix",
        ),
        (
            ["--learner", "i2m2", "--modes", "mix[a],strokes"],
            "",
            "the support set has one tensor [5, 3, 28, 28] without a name; the learner knows a [16]",
        ),
        (
            ["--learner", "i2m2", "--modes", "mix[a>b]"],
            "",
            "there is no expert for a support set of a and queries of b: each needs its modality in both",
        ),
        (
            ["--learner", "i2m2", "--modes", "mix[*]"],
            "modalities.a = [16]",
            "the support set has a [16], b [16]; the learner knows a [16]",
        ),
        (
            ["--learner", "multi-maml", "--modes", "strokes"],
            'modes = "strokes"',
            "has its own modes, but the command asks for --modes",
        ),
        (
            ["--learner", "maml", "--modes", "strokes"],
            "ways = 2",
            "has its own ways, but the command asks for --ways 5; leave it out",
        ),
        (
            ["--learner", "maml", "--modes", "strokes"],
            "clamp = -1",
            "clamp is -1; it must be a finite number, 0 or above",
        ),
        (
            ["--learner", "maml", "--modes", "strokes"],
            "inner_steps = 2.0",
            "inner_steps is 2.0; it must be a whole number, 0 or above",
        ),
        (
            ["--learner", "protonet", "--modes", "strokes"],
            'transductive = "false"',
            "transductive is 'false'; it must be true or false",
        ),
        (["--learner", "protonet", "--modes", "strokes", "--lr", "nan"], "", "The training was to have lr nan"),
        (
            ["--learner", "protonet", "--modes", "strokes", "--clip-norm", "-1"],
            "",
            "The training was to have clip_norm -1.0",
        ),
        (
            ["--learner", "regression-mmaml", "--modes", "linear"],
            "generators = 5",
            "generators is 5; there are 3 layers",
        ),
    ],
)
def test_a_training_that_makes_no_sense_is_told_and_writes_nothing(words, settings, message, tmp_path):
    (tmp_path / "config.toml").write_text(settings)
    for more in ([], ["--dry-run"]):
        result = call(
            "train", *words, "--config", tmp_path / "config.toml", "--iterations", 2, "--out", tmp_path / "out", *more
        )
        assert result.exit_code in {1, 2}
        assert message in result.stderr
        assert not (tmp_path / "out").exists()


def test_a_mode_that_a_learner_cannot_take_is_told(tmp_path):
    learner = multi_protonet(["strokes"])
    tr.save_checkpoint(
        tr.Checkpoint(learner.init_params(0), 1, "multi-protonet", {"modes": ["strokes"]}), tmp_path / "x.safetensors"
    )
    result = call("evaluate", tmp_path / "x.safetensors", "--target", "shapes:test", "--n-tasks", 2)
    assert result.exit_code == 1
    assert "The task is of mode 'shapes', but there are learners for strokes only" in result.stderr
    (tmp_path / "data" / "linear").mkdir(parents=True)
    result = call("evaluate", tmp_path / "x.safetensors", "--target", "linear:test", "--data-root", tmp_path / "data")
    assert "Both the functions linear and" in result.stderr


def test_a_released_checkpoint_is_analysed_and_converted(shared, tmp_path):
    file = shared / "fixtures" / "maml_conv" / "checkpoint_legacy.pt"
    shape = ["--side", 28, "--n-source", 2, "--n-target", 2, "--queries", 3]
    result = call(
        "compute", file, *MODES, *shape, "--lookahead", "adam", "--precision", "fp64", "--out", tmp_path / "run"
    )
    assert result.exit_code == 0, result.output
    note = "a checkpoint of the released code, read as maml; no train_config.json tells these, so they are assumed: inner_lr 0.05"
    assert note in result.stderr
    assert note in call("convert", file, tmp_path / "ours.safetensors").stderr
    again = call(
        "compute",
        tmp_path / "ours.safetensors",
        *MODES,
        *shape,
        "--lookahead",
        "adam",
        "--precision",
        "fp64",
        "--out",
        tmp_path / "two",
    )
    assert again.exit_code == 0, again.output
    pairs = [tr.open_run(tmp_path / name).pairs() for name in ("run", "two")]
    assert pairs[0]["loss_ratio"].tolist() == pairs[1]["loss_ratio"].tolist()


def test_rotation_is_a_matter_of_training_and_is_recorded(tmp_path):
    words = [
        "train",
        "--learner",
        "protonet",
        "--modes",
        "strokes,shapes",
        "--ways",
        3,
        "--queries",
        2,
        "--iterations",
        2,
        "--meta-batch",
        2,
    ]
    plain, turned = (
        call(*words, "--out", tmp_path / "plain"),
        call(*words, "--rotate", "strokes", "--out", tmp_path / "turned"),
    )
    assert (plain.exit_code, turned.exit_code) == (0, 0), turned.output
    told = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("plain", "turned")]
    assert "rotated" not in told[0]
    assert told[1]["rotated"] == ["strokes"]
    digests = {tr.load_checkpoint(tmp_path / name / "step-00000002.safetensors").digest for name in ("plain", "turned")}
    assert len(digests) == 2
    result = call(*words, "--out", tmp_path / "turned")
    assert (result.exit_code, "rotated" in result.stderr) == (2, True), result.output
    assert call(*words, "--rotate", "textures", "--out", tmp_path / "other").exit_code == 2
    assert "--rotate" not in call("compute", "--help").stdout
