"""Many trainings from one plan: which they are, in what order whoever does them, and what the table says."""

import json
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from meta_models.cli.work import _planned
from meta_models.training._plan import Plan
from transference.cli import main
from transference.errors import LearnerError
from transference.learners import EpisodeError

ROOT = Path(__file__).resolve().parents[1]
MODES = ("sinusoid", "linear", "abs")
PLAN = """
learner = "regression-maml"
modes = "sinusoid,linear,abs"
iterations = 4
save-every = 2
meta-batch = 4
seeds = [0, 3]
subsets = [["abs", "sinusoid"], ["linear"]]

[weights.mostly-abs]
sinusoid = 1
linear = 0
abs = 3

[test]
tasks = 3
"""


def call(*words):
    return CliRunner().invoke(main, ["train", *(str(word) for word in words)])


def written(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.toml").write_text(text)
    return folder / "plan.toml"


def content(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The plan carried out by one process."""
    folder = tmp_path_factory.mktemp("alone")
    told = call("--plan", written(folder, PLAN), "--out", folder / "out")
    assert told.exit_code == 0, told.output
    assert told.stdout == f"{folder / 'out' / 'trainings.parquet'}\n"
    return folder / "out"


@pytest.mark.slow
def test_the_table_has_a_row_for_every_training_and_target(alone):
    table = pd.read_parquet(alone / "trainings.parquet")
    assert len(table) == 2 * 3 * 3
    assert set(table["training"]) == {"sinusoid+abs", "linear", "mostly-abs"}
    assert table["target"].tolist() == [*MODES] * 6
    assert np.isfinite(table["loss"]).all()
    assert (table["n"] == 3).all()
    shares = table.drop_duplicates("training").set_index("training").filter(like="share/")
    assert shares.loc["mostly-abs"].to_dict() == {"share/sinusoid": 0.25, "share/linear": 0.0, "share/abs": 0.75}
    assert shares.loc["sinusoid+abs"].to_dict() == {"share/sinusoid": 0.5, "share/linear": 0.0, "share/abs": 0.5}


@pytest.mark.slow
def test_a_training_of_a_plan_is_the_one_that_train_and_evaluate_make(alone, tmp_path):
    words = [
        "--learner",
        "regression-maml",
        "--modes",
        "sinusoid,abs",
        "--iterations",
        4,
        "--meta-batch",
        4,
        "--seed",
        3,
    ]
    assert call(*words, "--out", tmp_path / "one").exit_code == 0
    name = "step-00000004.safetensors"
    assert (alone / "sinusoid+abs-seed3" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    targets = [word for mode in MODES for word in ("--target", f"{mode}:test")]
    told = CliRunner().invoke(main, ["evaluate", str(tmp_path / "one" / name), *targets, "--n-tasks", "3", "--json"])
    means = {row["mode"]: row["loss"] for row in json.loads(told.stdout)}
    table = pd.read_parquet(alone / "trainings.parquet").query("training == 'sinusoid+abs' and seed == 3")
    assert table["loss"].tolist() == pytest.approx([means[f"{mode}:test"] for mode in MODES], rel=1e-9)


@pytest.mark.slow
def test_only_the_last_checkpoint_is_kept_unless_all_are_asked_for(alone, tmp_path):
    assert [file.name for file in (alone / "linear-seed0").glob("*.safetensors")] == ["step-00000004.safetensors"]
    short = PLAN.replace("seeds = [0, 3]", "seeds = [0]\nkeep-checkpoints = true")
    assert call("--plan", written(tmp_path, short), "--out", tmp_path / "out").exit_code == 0
    assert len(list((tmp_path / "out" / "linear-seed0").glob("*.safetensors"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 1, 2]], ids=str)
def test_shards_make_what_one_process_makes(alone, tmp_path, order):
    plan = written(tmp_path, PLAN)
    for k, number in enumerate(order, start=1):
        told = call("--plan", plan, "--out", tmp_path / "out", "--shard", f"{number}/3")
        assert told.exit_code == 0, told.output
        assert (tmp_path / "out" / "trainings.parquet").exists() == (k == len(order))
    assert content(tmp_path / "out") == content(alone)


@pytest.mark.slow
def test_workers_of_a_cluster_make_what_one_process_makes(alone, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    told = call("--plan", written(tmp_path, PLAN), "--out", "out", "--cluster", "local:2")
    assert told.exit_code == 0, told.output
    assert content(tmp_path / "out") == content(alone)


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["the test", "the last checkpoint", "all but the beginning", "everything"])
def test_what_was_half_done_goes_on_and_what_is_finished_is_left_alone(alone, tmp_path, lost):
    out = tmp_path / "out"
    shutil.copytree(alone, out)
    one = out / "linear-seed3"
    (out / "trainings.parquet").unlink()
    (one / "tested.parquet").unlink()
    if lost == "everything":
        shutil.rmtree(one)
    elif lost != "the test":
        (one / "step-00000004.safetensors").unlink()
    if lost == "all but the beginning":
        shutil.rmtree(one / "metrics")
    others = {file: file.stat().st_mtime_ns for file in out.rglob("*.parquet") if file.parent != one}
    told = call("--plan", written(tmp_path, PLAN), "--out", out)
    assert told.exit_code == 0, told.output
    assert content(out) == content(alone)
    assert all(file.stat().st_mtime_ns == then for file, then in others.items() if one not in file.parents)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "told_of"),
    [(("iterations = 4", "iterations = 5"), "iterations: 4 → 5"), (("tasks = 3", "tasks = 4"), "test: "),
     (("meta-batch = 4", "meta-batch = 4\nlr = 0.1"), "lr: None → 0.1")],
    ids=["iterations", "test", "lr"],
)  # fmt: skip
def test_a_folder_of_other_trainings_is_refused_and_loses_nothing(alone, tmp_path, change, told_of):
    before = content(alone)
    told = call("--plan", written(tmp_path, PLAN.replace(*change)), "--out", alone)
    assert told.exit_code == 2
    assert told.stderr.startswith(f"error: {alone} holds trainings of another plan")
    assert told_of in told.stderr
    assert told.stderr.count("\n") == 1
    assert content(alone) == before


@pytest.mark.slow
def test_a_plan_may_grow_and_names_what_it_leaves_out(alone, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(alone, out)
    other = PLAN.replace('["linear"]', '["sinusoid"]')
    told = call("--plan", written(tmp_path, other), "--out", out)
    assert told.exit_code == 0, told.output
    assert "2 trainings that the plan does not name" in told.stderr
    assert set(pd.read_parquet(out / "trainings.parquet")["training"]) == {"sinusoid+abs", "sinusoid", "mostly-abs"}


@pytest.mark.slow
def test_a_training_that_fails_is_told_and_the_others_are_done(tmp_path):
    plan = written(
        tmp_path, PLAN.replace("meta-batch = 4", "meta-batch = 4\nlr = 1e30").replace("= 4\nsave", "= 6\nsave")
    )
    told = call("--plan", plan, "--out", tmp_path / "out")
    assert told.exit_code == 3, told.output
    assert "6 of 6 trainings failed" in told.stderr
    assert "became infinite or NaN" in told.stderr
    table = pd.read_parquet(tmp_path / "out" / "trainings.parquet")
    assert table["loss"].isna().all()
    assert len(table) == 18


@pytest.fixture
def counted(monkeypatch):
    """The trainings that were begun."""
    begun = []

    def train(learner, training, tasks, **rest):
        begun.append(rest["out"].name)
        return really(learner, training, tasks, **rest)

    really = _planned.train
    monkeypatch.setattr(_planned, "train", train)
    return begun


@pytest.mark.slow
def test_a_training_that_failed_is_tried_again_when_its_word_is_deleted(tmp_path, counted):
    plan = written(
        tmp_path, PLAN.replace("meta-batch = 4", "meta-batch = 4\nlr = 1e30").replace("= 4\nsave", "= 6\nsave")
    )
    out = tmp_path / "out"
    assert call("--plan", plan, "--out", out).exit_code == 3
    assert len(counted) == 6
    before = content(out)
    again = call("--plan", plan, "--out", out)
    assert again.exit_code == 3, again.output
    assert len(counted) == 6, "none was begun again"
    assert content(out) == before
    [line] = [line for line in again.stderr.splitlines() if "not tried again" in line]
    assert "6 of 6 trainings failed before" in line
    assert str(out / "sinusoid+abs-seed0" / "failed.txt") in line
    assert "6 trainings, 0 done, 0 to do, 6 failed" in call("--plan", plan, "--out", out, "--dry-run").stdout
    (out / "linear-seed3" / "failed.txt").unlink()
    some = call("--plan", plan, "--out", out)
    assert counted[6:] == ["linear-seed3"]
    assert "5 of 6 trainings failed before" in some.stderr
    assert (out / "linear-seed3" / "failed.txt").exists()


@pytest.mark.parametrize(
    "cause",
    [OSError(5, "Input/output error"), MemoryError(), torch.OutOfMemoryError("CUDA out of memory")],
    ids=lambda cause: type(cause).__name__,
)
def test_what_the_machine_could_not_do_is_no_failure_of_the_training(tmp_path, monkeypatch, cause):
    def failing(*_, **__):
        try:
            raise EpisodeError("it reads") from cause
        except EpisodeError as error:
            raise LearnerError("The learner failed at iteration 1.") from error

    monkeypatch.setattr(_planned, "train", failing)
    told = call("--plan", written(tmp_path, PLAN), "--out", tmp_path / "out")
    assert told.exit_code == 1
    assert "error: The learner failed at iteration 1." in told.stderr
    assert not list(tmp_path.rglob("failed.txt"))


@pytest.mark.slow
def test_a_dry_run_says_what_there_is_to_do_and_writes_nothing(tmp_path):
    told = call("--plan", written(tmp_path, PLAN), "--out", tmp_path / "out", "--dry-run")
    assert (told.exit_code, told.stdout) == (0, f"{tmp_path / 'out'}: 6 trainings, 0 done, 6 to do\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("seeds = [0, 3]", "", "it has no seeds"),
        ("seeds = [0, 3]", "seeds = [0, 0]", "seeds names one twice"),
        ("seeds = [0, 3]", "seeds = [-1]", "a seed is -1"),
        ("seeds = [0, 3]", "seeds = 3", "seeds is 3"),
        ("seeds = [0, 3]", "seed = 3", "has 'seed', which a plan does not; write seeds"),
        ('["linear"]', "[]", "a subset is '0 items'"),
        ('["linear"]', '["line"]', "a subset has 'line', which is none of the modes"),
        ('["linear"]', '["linear", "linear"]', "a subset has a mode twice"),
        ('["linear"]', '["sinusoid", "abs"]', r"two groups of trainings called sinusoid\+abs"),
        ('[["abs", "sinusoid"], ["linear"]]', '"every"', "subsets is 'every'; expected 'all'"),
        ("linear = 0", "", "none for linear"),
        ("linear = 0", "linear = -1", "that of linear must be a finite number"),
        ("linear = 0", "linear = 'a'", "weights.mostly-abs.linear is 'a'"),
        ("tasks = 3", "tasks = 1", "test.tasks is 1"),
        ("tasks = 3", "task = 3", "test has 'task'"),
        ("tasks = 3", "modes = []", "test.modes is '0 items'"),
        ("iterations = 4", "iteration = 4", r"Did you mean iterations\?"),
        ("iterations = 4", "iterations = 0", "iterations is 0"),
        ("iterations = 4", "out = 'x'", "has 'out', which a plan does not; give it on the command line"),
        ('learner = "regression-maml"', "", "has no learner"),
        ("seeds = [0, 3]", "seeds = [0", "is no plan of trainings"),
    ],
)
def test_a_plan_that_is_none_is_told_in_one_line(tmp_path, old, new, why):
    assert old in PLAN
    told = call("--plan", written(tmp_path, PLAN.replace(old, new)), "--out", tmp_path / "out")
    assert told.exit_code == 2, told.output
    assert told.stderr.count("\n") == 1
    assert told.stderr.startswith("error: ")
    assert re.search(why, told.stderr), told.stderr
    assert not (tmp_path / "out").exists()


def test_a_mode_to_test_on_that_is_not_there_is_told_before_anything_is_trained(tmp_path):
    plan = written(tmp_path, PLAN.replace("tasks = 3", 'tasks = 3\nmodes = ["cosine"]'))
    told = call("--plan", plan, "--out", tmp_path / "out")
    assert told.exit_code in (1, 2)
    assert "cosine" in told.stderr
    assert told.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--lr", 0.1], "--lr was given with --plan"),
        (["--modes", "abs"], "--modes was given with --plan"),
        (["--shard", "4/3"], "The shard '4/3' was asked for"),
        (["--shard", "1/3", "--cluster", "local:2"], "a cluster deals the work out by itself"),
    ],
)
def test_what_does_not_go_with_a_plan_is_told(tmp_path, words, why):
    told = call("--plan", written(tmp_path, PLAN), "--out", tmp_path / "out", *words)
    assert told.exit_code == 2
    assert why in told.stderr
    assert not (tmp_path / "out").exists()


def test_without_a_plan_learner_and_modes_are_needed_and_nobody_shares_the_work(tmp_path):
    needed = "A training needs --learner and --modes; many need --plan."
    assert f"Missing option '--modes'. {needed}" in call("--learner", "protonet", "--out", tmp_path).stderr
    assert f"Missing option '--learner'. {needed}" in call("--modes", "strokes", "--out", tmp_path).stderr
    nothing = call("--out", tmp_path / "out")
    assert nothing.exit_code == 2
    assert needed in nothing.stderr
    words = ["--learner", "protonet", "--modes", "strokes", "--out", tmp_path / "out"]
    assert "--shard 1/2 was given without --plan" in call(*words, "--shard", "1/2").stderr


def test_the_help_says_when_learner_and_modes_are_required():
    options = " ".join(call("--help").stdout.split())
    assert options.count("[required without --plan]") == 2
    assert "module:factory. [required without --plan] --modes" in options
    assert options.count("[required]") == 1, "--out"


def test_all_subsets_are_all_that_are_not_empty_in_the_plans_order():
    plan = Plan.parse(MODES, {"seeds": [1, 2], "subsets": "all"})
    assert len(plan.entries) == 14
    assert [entry.folder for entry in plan.entries[:7]] == [
        f"{name}-seed1"
        for name in (
            "sinusoid",
            "linear",
            "abs",
            "sinusoid+linear",
            "sinusoid+abs",
            "linear+abs",
            "sinusoid+linear+abs",
        )
    ]
    assert plan.entries[3].share("linear") == 0.5
    assert plan.entries[3].share("abs") == 0


def test_a_plan_of_seeds_alone_trains_on_all_modes():
    (entry,) = Plan.parse(MODES, {"seeds": [5]}).entries
    assert (entry.modes, entry.folder) == (MODES, "sinusoid+linear+abs-seed5")


def test_folders_have_names_that_any_disk_takes_and_no_two_the_same():
    modes = tuple(f"mix[{'+'.join(f'modality{k}' for k in range(n))}]" for n in range(1, 9))
    subsets = [[mode] for mode in modes] + [
        list(modes),
        list(modes[1:]),
        ["mix[modality0]", "mix[modality0+modality1]"],
    ]
    folders = [entry.folder for entry in Plan.parse(modes, {"seeds": [0], "subsets": subsets}).entries]
    assert len(set(folders)) == len(folders)
    assert all(len(name) < 110 and not set(name) & set("[]/*>:") for name in folders)
    named = Plan.parse(MODES, {"seeds": [0], "subsets": {"../up": ["abs"], "..": ["linear"]}}).entries
    assert all(not entry.folder.startswith(".") and "/" not in entry.folder for entry in named)


def test_the_plan_of_the_analysis_has_the_trainings_that_its_config_names(tmp_path):
    config = tomllib.loads((ROOT / "analyses" / "acting" / "config.toml").read_text())["e1"]
    told = tomllib.loads((ROOT / "analyses" / "acting" / config["plan"]).read_text())
    plan = Plan.parse(told["modes"].split(","), {name: told[name] for name in ("seeds", "subsets", "test")})
    assert list(plan.modes) == config["families"]
    assert len(plan.entries) == config["subsets"] * len(config["seeds"])
    assert list(plan.targets) == config["targets"]
    assert (plan.n_test, told["iterations"], told["learner"]) == (
        config["n_test"],
        config["updates"],
        config["learner"],
    )
    seeds = {config["pilot"]["seed"], *config["pilot"]["repeated"]}
    assert not seeds & set(config["seeds"])
    assert sorted(config["told"]["chosen_on"] + config["told"]["told_on"]) == config["seeds"]
    tested = len(set(config["predictors"]) - set(config["told"]["trivial"]))
    assert config["told"]["comparisons"] == tested * len(config["told"]["groups"])
