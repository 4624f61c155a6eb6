"""What the analysis of acting does with groups of classes: data, choices, payment, tests and contrasts, on small ones."""

import io
import json
import random
import tomllib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import transference as tr
from analyses.acting.__main__ import HERE
from analyses.acting.images import groups, telling
from analyses.acting.images.arms import DRAWS, Choice, choices, permuted, smallest
from analyses.acting.images.drawing import LABELS, draw
from analyses.acting.images.pilots import EXPERIMENTS, group_names, shared_options
from analyses.acting.images.trainings import FREE, PAID, Seed, plan_text
from analyses.subjects import config_of
from transference.cli import main

WHOLE = config_of(HERE)
CONFIG = WHOLE["e2"] | WHOLE["e3"]
NAMES = tuple(CONFIG["groups"])


def test_a_third_of_the_groups_are_shuffled_and_where_depends_on_the_seed():
    assert group_names(CONFIG, "e2", 0) == NAMES
    found = {seed: group_names(CONFIG, "e3", seed) for seed in range(4)}
    assert len(set(found.values())) > 1
    for names in found.values():
        assert sum(name.endswith(groups.SHUFFLED) for name in names) == len(NAMES) // 3
        assert tuple(name.removesuffix(groups.SHUFFLED) for name in names) == NAMES


def test_shuffling_keeps_images_and_sizes_of_classes():
    rows = pd.DataFrame({"image": range(60), "class_name": np.repeat(list("abc"), 20)})
    found = groups.shuffled(rows, random.Random(0))
    assert list(found["image"]) == list(rows["image"])
    assert found["class_name"].value_counts().to_dict() == {"a": 20, "b": 20, "c": 20}
    moved = (found["class_name"] != rows["class_name"]).mean()
    assert 0.4 < moved < 0.9


def test_the_smallest_scores_are_chosen_in_the_order_of_the_config():
    scores = pd.Series([3.0, 1.0, 1.0, 0.0, 1.0], list("abcde"), name="target")
    assert smallest(scores, 3) == ("b", "c", "d")
    with pytest.raises(ValueError, match="no score of c"):
        smallest(scores.where(scores.index != "c"), 3)


def test_the_placebo_leaves_no_group_in_its_place():
    table = pd.DataFrame({"t": np.arange(12.0)}, NAMES)
    found = {seed: permuted(table, seed)["t"] for seed in range(6)}
    for values in found.values():
        assert sorted(values) == list(range(12))
        assert (values.to_numpy() != np.arange(12)).all()
    assert len({tuple(values) for values in found.values()}) > 1


def test_a_rule_is_read_where_its_budget_ends():
    options = shared_options(CONFIG)
    assert Choice("all", "t", NAMES).stage(options) == 600
    assert Choice("exact", "t", NAMES, cost=643.3).stage(options) == 275  # 600 - 643.3 / 2 = 278.3
    assert Choice("odd", "t", NAMES, cost=0.1).stage(options) == 575


def test_a_plan_has_every_set_once():
    content = tomllib.loads(plan_text(CONFIG, [("fish", "hebrew"), ("hebrew", "fish"), ("fish-shuffled", "hebrew")], 3))
    assert content["subsets"] == [["hebrew", "fish"], ["hebrew", "fish-shuffled"]]
    assert (content["seeds"], content["test"]["modes"]) == ([3], list(CONFIG["targets"]))
    assert len(content["modes"].split(",")) == 2 * len(NAMES)


def scores(truth, rng, seeds=(0, 1, 2, 3, 4)):
    """Tests of arms whose accuracy is that of ``truth``, by arm, in points above random's."""
    rows = []
    for experiment in EXPERIMENTS:
        for seed in seeds:
            for target in ("alphabets", "superclasses", "flycatchers"):
                start = rng.normal(60, 5)
                for arm in [*(f"random-{number + 1}" for number in range(DRAWS)), *LABELS]:
                    above = truth.get(arm, 0.0) + rng.normal(scale=0.2)
                    rows += [
                        {"experiment": experiment, "seed": seed, "target": target, "arm": arm, "reading": reading, "stage": 600,
                         "index": index, "groups": "hebrew+fish-shuffled", "loss": 1.0, "accuracy": (start + above) / 100}
                        for reading in (PAID, FREE) for index in range(2)
                    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_differences_are_those_with_the_same_seed():
    table = telling.arms(scores({"exact": 2.0, "cosine": 3.0, "k10": -1.0}, np.random.default_rng(0)))
    found = telling.contrasts(table, CONFIG["told"])
    assert found.groupby(["experiment", "family"]).size().to_dict() == {
        (name, family): n
        for name in EXPERIMENTS
        for family, n in (("other", CONFIG["told"]["comparisons"]), ("verdict", 6))
    }
    rows = found.set_index(["experiment", "arm", "against", "target"])["difference"]
    assert rows["e2", "exact", "random", "alphabets"] == pytest.approx(2, abs=0.4)
    assert rows["e3", "exact", "cosine", "flycatchers"] == pytest.approx(-1, abs=0.5)
    told = telling.verdict(found, CONFIG["told"]).set_index(["experiment", "rule"])
    assert told.loc[("e2", "exact"), "above_random"] == "alphabets, superclasses, flycatchers"
    assert "cosine on alphabets" in told.loc[("e2", "exact"), "below"]
    assert not told["passed"].any()
    better = telling.arms(scores({"exact": 2.0}, np.random.default_rng(1)))
    told = telling.verdict(telling.contrasts(better, CONFIG["told"]), CONFIG["told"]).set_index(["experiment", "rule"])
    assert told["passed"].to_dict() == {
        (name, rule): rule == "exact" for name in EXPERIMENTS for rule in ("exact", "k10")
    }
    assert draw(found[found["experiment"] == "e2"], found[found["experiment"] == "e2"]).axes


def test_it_is_told_how_many_groups_are_the_targets_own():
    made_of = telling.composition(telling.arms(scores({}, np.random.default_rng(0))), CONFIG)
    of = made_of.set_index(["experiment", "target", "arm"])
    assert of.loc[("e2", "alphabets", "exact")].to_dict() == {"own": 1, "shuffled": 1}
    assert of.loc[("e2", "flycatchers", "random")].to_dict() == {"own": 0, "shuffled": 1}


def picture(shade, rng):
    content = io.BytesIO()
    Image.fromarray(np.clip(rng.normal(shade, 80, (8, 8, 3)), 0, 255).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Four groups of two datasets and two targets, tiny trainings, and their places."""
    place = tmp_path_factory.mktemp("groups")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        rows = [
            {"image": {"bytes": picture(100 + 5 * label, rng), "path": ""}, "class_name": f"{name}{label}",
             "split": "test" if label > 4 else "train", "class_group": "low" if label in (0, 1) else "high"}
            for label in range(8) for _ in range(6)
        ]  # fmt: skip
        (place / "data").mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), place / "data" / f"{name}.parquet")
    (place / "plan.toml").write_text(
        'learner = "protonet"\nways = 2\nshots = 1\nqueries = 2\nside = 8\niterations = 24\nmeta-batch = 2\nlr = 0.001\nhalve-every = 0\n'
        'clip-norm = 0.0\nsave-every = 6\nkeep-checkpoints = true\nbatching = "apart"\ndevice = "cpu"\n'
    )
    config = CONFIG | {
        "plan": str(place / "plan.toml"), "side": 8, "choose": 2, "n_test": 4, "shuffled": 1,
        "groups": {
            "low": {"of": "one", "group": "low"}, "high": {"of": "one", "classes": ["one2", "one3", "one4"]},
            "down": {"of": "two", "group": "low"}, "up": {"of": "two", "classes": ["two2", "two3", "two4"]},
        },
        "targets": {"ones": {"of": "one", "split": "test"}, "twos": {"of": "two", "split": "test"}},
        "pilot": {"updates": 2, "n_source": 3, "n_target": 3, "alpha": 0.001, "k": [1, 2], "n_read": 2},
    }  # fmt: skip
    return config, place


@pytest.fixture(scope="module")
def finished(small):
    config, place = small
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("subprocess.run", lambda words, check: main(words[3:], standalone_mode=False))
        groups.prepare_groups(config, place / "data", place / "prepared")
        seed = Seed(config, 0, place / "prepared", place / "runs")
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr("analyses.acting.images.arms.DRAWS", 3)  # of two in four there are six
            inner.setattr("analyses.acting.images.trainings.EXPERIMENTS", ("e3",))
            seed.carry_out()
        return seed


@pytest.mark.slow
def test_a_seed_is_carried_out_and_every_arm_is_tested(finished):
    found = telling.tested([finished])
    arms = {f"random-{number}" for number in (1, 2, 3)} | set(LABELS)
    assert {arm.replace("k10", "k1").replace("k25", "k2") for arm in arms} == set(found["arm"])
    assert (found.groupby(["arm", "target", "reading"]).size() == finished.config["n_test"]).all()
    exact = found.query("arm == 'exact'").groupby("reading")["stage"].first()
    assert exact[FREE] == 24
    assert exact[PAID] == 6  # 4 tasks of the pilot, 12 gradients, 39 / 3 losses: 29 of 48, and 14.5 updates of 24
    rows = telling.arms(found)
    own = rows.query("arm == 'own-share' and target == 'ones'")["groups"]
    assert (own.str.replace(groups.SHUFFLED, "") == "low+high").all()
    assert (rows.query("arm == 'all'")["groups"].str.count(r"\+") == 3).all()


@pytest.mark.slow
def test_a_paid_test_is_that_of_the_checkpoint_where_the_budget_ends(small, tmp_path):
    config, place = small
    seed = Seed(config, 1, place / "prepared", tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("subprocess.run", lambda words, check: main(words[3:], standalone_mode=False))
        patch.setattr(Seed, "choices", lambda self: {"e2": [Choice("one", "ones", ("low", "up"), cost=24.0)]})
        patch.setattr(Seed, "_tidy", lambda self: None)
        seed.carry_out()
    found = pd.read_parquet(seed.scores_file).query("reading == 'paid'")
    (folder,) = (tmp_path / "images" / "seed1" / "trainings").glob("*/training.json")
    assert json.loads(folder.read_text())["modes"] == ["low", "up"]
    checkpoint = tr.load_checkpoint(folder.parent / "step-00000012.safetensors")
    tasks = tr.few_shot("ones:test", data_root=place / "prepared", ways=2, shots=1, queries=2, side=8, seed=3)
    learner = tr.load_learner(checkpoint)
    expected = [float(learner.episode_loss(checkpoint.params, tasks[index])) for index in range(4)]
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-3)


@pytest.mark.slow
def test_rules_say_what_their_runs_hold(finished):
    pilot = finished.pilot("e3")
    chosen = {(one.arm, one.target): one for one in choices(pilot)}
    pairs = pilot.steps().pairs()
    for arm, column in (("exact", "loss_ratio"), ("tempered", "tempered_ratio")):
        of = pairs[pairs["target_mode"].astype(str).str.startswith("ones")]
        means = np.log(of[column]).groupby(of["source_mode"].astype(str)).mean()
        assert set(chosen[arm, "ones"].groups) == {name.split(":")[0] for name in means.nsmallest(2).index}
    back = pilot.transposed().pairs()
    of = back[back["source_mode"].astype(str).str.startswith("twos")]
    means = np.log(of["loss_ratio"]).groupby(of["target_mode"].astype(str)).mean()
    assert set(chosen["transposed", "twos"].groups) == {name.split(":")[0] for name in means.nsmallest(2).index}
    learner, params, group = tr.load_learner(pilot.checkpoint), pilot.checkpoint.params, pilot.groups[-1]
    support = [learner._embed(params, pilot.tasks(group)[index])[0].mean(dim=0) for index in range(3)]
    np.testing.assert_allclose(pilot.features()[group], sum(support).double() / 3, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_oracle_is_told_on_tasks_that_it_did_not_choose_by(finished):
    found = telling.hindsight(finished).query("target == 'ones' and reading == 'free'")
    tests = dict(finished.all_tests("ones"))
    for half in (0, 1):
        means = {groups: rows.loc[rows["index"] % 2 != half, "accuracy"].mean() for groups, rows in tests.items()}
        mine = found[found["index"] % 2 == half]
        (groups,) = mine["groups"].unique()
        assert means[frozenset(groups.split("+"))] == max(means.values())
        rows = tests[frozenset(groups.split("+"))]
        np.testing.assert_array_equal(mine["accuracy"], rows.loc[rows["index"] % 2 == half, "accuracy"])
