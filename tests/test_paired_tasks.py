"""Tasks on paired data: a mode is a subset of modalities, and the same index is the same examples in all of them."""

import dataclasses
import json
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

import transference as tr
from meta_models.training import Recipe
from transference.cli import main
from transference.datasets import Modality, PairedDataset, open_paired, paired_names
from transference.datasets.paired import content_digest
from transference.errors import DataError, UsageError
from transference.pages import SupportSets
from transference.pages.drawings import draw
from transference.report import write_report
from transference.samplers import (
    PairedName,
    RedrawingSampler,
    _opening,
    _subsets,
    input_shapes,
    mode_in_order,
    reopen_tasks,
    shared_modes,
)
from transference.spec import TaskSet

GENERATED = ("mix", "redundant", "synergy", "unique")
DIGESTS = {
    "mix": "0e2c8e392dd740b8058cdea910394f5e",
    "redundant": "8a53fe0fb39992a4583179ecba624ce4",
    "synergy": "5df58bfacefd8e823f5f07419949caf2",
    "unique": "10ec8ffa4fbfa82c8e9cbd816675ea82",
}
"""Of the test splits: the same numbers on every machine, and a change here changes every measurement ever made."""

GOLDEN = (
    ("2", "6", "4"),
    ("2-0081", "6-0140", "4-0047"),
    ("2-0242", "2-0212", "6-0162", "6-0239", "4-0240", "4-0042"),
)
"""Class names, support and query examples of task 7."""

SUBSETS = ("a", "b", "a+b", "*", "a>b", "b>a", "a+b>a", "a>*")


def opened(subset, split="test", **more):
    return tr.open_tasks(f"mix[{subset}]:{split}", **{"ways": 3, "shots": 1, "queries": 2, "seed": 5, **more})


@pytest.mark.parametrize("name", GENERATED)
def test_generated_sets_are_what_they_were(name):
    assert name in paired_names()
    data = open_paired(name, "testing")
    assert data.digest == DIGESTS[name]
    assert data.class_sizes == (2000 // len(data.class_names),) * len(data.class_names)
    assert len(set(data.ids)) == 2000
    assert [tuple(value.shape) for value in data.values.values()] == [(2000, 16), (2000, 16)]
    assert all(torch.equal(value, torch.round(value * 1024) / 1024) for value in data.values.values())


def decoded(name, modalities):
    """Share of test examples whose class is told, bit by bit, by values and products of two, fitted on the train split."""

    def features(split):
        data = open_paired(name, split)
        x = np.concatenate([data.values[m].numpy() for m in modalities], 1).astype(np.float64)
        products = np.einsum("ni,nj->nij", x, x).reshape(len(x), -1)
        classes = np.repeat(range(len(data.class_sizes)), data.class_sizes)
        return np.concatenate([x, products], 1), classes[:, None] >> np.arange(
            len(data.class_sizes).bit_length() - 1
        ) & 1

    (x, bits), (again, truth) = features("train"), features("test")
    weights = np.linalg.lstsq(x, 2.0 * bits - 1, rcond=1e-8)[0]
    return np.mean(((again @ weights > 0) == truth).all(1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "a", "b", "both"),
    [("redundant", 1, 1, 1), ("unique", 1, 1 / 2, 1), ("synergy", 1 / 2, 1 / 2, 1), ("mix", 1 / 2, 1 / 4, 1)],
)
def test_a_modality_tells_of_the_class_what_is_said_of_it(name, a, b, both):
    found = [decoded(name, modalities) for modalities in ("a", "b", "ab")]
    assert found == pytest.approx([a, b, both], abs=0.05)


def test_the_same_index_is_the_same_examples_in_all_subsets():
    records = {subset: opened(subset).describe(7) for subset in SUBSETS}
    drawn = {(r.class_names, r.support_ids, r.query_ids) for r in records.values()}
    assert drawn == {GOLDEN}
    both = opened("*")[7]
    for subset in SUBSETS:
        episode = opened(subset)[7]
        assert torch.equal(episode.support_y, both.support_y)
        assert torch.equal(episode.query_y, both.query_y)
        for field in ("support_x", "query_x"):
            shown = getattr(episode, field)
            assert all(torch.equal(shown[name], getattr(both, field)[name]) for name in shown)


def test_a_subset_is_told_by_the_names_that_are_there():
    shown = {s: (set(e.support_x), set(e.query_x)) for s in SUBSETS for e in (opened(s)[0],)}
    assert shown["a"] == ({"a"}, {"a"})
    assert shown["*"] == shown["a+b"] == ({"a", "b"}, {"a", "b"})
    assert shown["a>b"] == ({"a"}, {"b"})
    assert shown["a>*"] == ({"a"}, {"a", "b"})
    assert {value.dtype for value in opened("*")[0].support_x.values()} == {torch.float32}


def test_rows_are_those_of_the_data():
    data, tasks = open_paired("mix", "test"), opened("a>b")
    episode, record = tasks[3], tasks.describe(3)
    assert [data.ids.index(name) for name in record.support_ids] == [
        int(torch.nonzero((data.values["a"] == row).all(1))) for row in episode.support_x["a"]
    ]
    assert [data.ids.index(name) for name in record.query_ids] == [
        int(torch.nonzero((data.values["b"] == row).all(1))) for row in episode.query_x["b"]
    ]
    assert [record.class_names[y] for y in episode.query_y] == [name.partition("-")[0] for name in record.query_ids]


def test_every_part_of_the_name_but_the_subset_changes_the_tasks():
    ids = {opened("a").describe(0).query_ids}
    for change in ({"ways": 4}, {"shots": 2}, {"queries": 3}, {"seed": 1}, {"split": "val"}):
        ids.add(opened("a", **change).describe(0).query_ids)
    assert len(ids) == 6


def test_a_task_is_redrawn_from_its_classes_alike_in_all_subsets():
    tasks = {subset: opened(subset) for subset in SUBSETS}
    assert all(isinstance(of, RedrawingSampler) for of in tasks.values())
    again = {subset: of.redraw(2, 3) for subset, of in tasks.items()}
    assert torch.equal(again["a"].query_x["a"], again["*"].query_x["a"])
    assert torch.equal(again["a>b"].query_x["b"], again["*"].query_x["b"])
    assert not torch.equal(again["a"].query_x["a"], tasks["a"][2].query_x["a"])
    assert not torch.equal(again["a"].query_x["a"], tasks["a"].redraw(2, 1).query_x["a"])
    with pytest.raises(IndexError, match="numbered from 1"):
        tasks["a"].redraw(0, 0)
    with pytest.raises(IndexError, match="numbered from 0"):
        tasks["a"][-1]


def test_names_are_in_the_order_of_the_data_and_parse_back():
    names = {subset: opened(subset).name for subset in (*SUBSETS, "b+a", " b + a ", "a>a", "a+b>b+a")}
    assert names["b+a"] == names["*"] == names[" b + a "] == names["a+b>b+a"] == names["a+b"]
    assert names["a+b"] == "mix[a+b]:test/3-way/1-shot/2-query/seed-5"
    assert names["a>a"] == names["a"]
    assert names["a>*"] == "mix[a>a+b]:test/3-way/1-shot/2-query/seed-5"
    for name in names.values():
        assert str(PairedName.parse(name)) == name
        again = reopen_tasks(name)
        assert again.name == name
        assert again[1].mode == again.describe(1).mode == name.partition(":")[0]
    assert mode_in_order("mix[b+a]") == "mix[a+b]"
    with pytest.raises(UsageError, match="one looks like watch"):
        PairedName.parse("mix:test/3-way/1-shot/2-query/seed-5")


def test_the_shapes_that_a_learner_is_told():
    assert input_shapes(["mix[b]"]) == {"b": [16]}
    assert list(input_shapes(["strokes", "mix[b]:train", "synergy[a]", "sinusoid"])) == ["b", "a"]
    assert list(input_shapes(["mix[b]", "mix[b>a]"])) == ["a", "b"]
    assert input_shapes(["strokes", "linear"]) == {}


def test_a_dataset_that_is_source_and_target_is_told_once():
    modes = ("a", "b", "a+b", "a>b")
    of = {split: [opened(subset, split) for subset in modes] for split in ("train", "test")}
    assert shared_modes(of["train"], of["train"]) == [
        "mix:train is source and target, so their tasks show the same classes and examples"
    ]
    (line,) = shared_modes(of["train"], of["test"])
    assert line.startswith("mix: train and test share all their classes")
    assert shared_modes(of["train"], [tr.open_tasks("redundant[a]:test", ways=2)]) == []


BAD = {
    "mix[c]:train": r"mix\[c\]: there is no modality c in mix; it has a, b\.",
    "mix[A]:train": r"there is no modality A in mix; it has a, b \(did you mean a\?\)",
    "mix[a+a]:train": r"mix\[a\+a\] names the modality a twice; name each once",
    "mix[]:train": r"mix\[\] names no modality; mix has a, b",
    "mix[ ]:train": "names no modality",
    "mix[a+]:train": r"mix\[a\+\] names no modality beside a \+",
    "mix[+]:train": "names no modality",
    "mix[a>]:train": r"mix\[a>\] names no modality on one side of the >; mix has a, b",
    "mix[>a]:train": "on one side of the >",
    "mix[>]:train": "on one side of the >",
    "mix[a>b>a]:train": r"has more than one >; write mix\[SUPPORT>QUERY\]",
    "mix[*+a]:train": r"which is all modalities, and others beside it; write \* alone",
    "mix[a,b]:train": "there is no modality a,b in mix",
    "mix[a b]:train": "there is no modality a b in mix",
    "mix:train": r"mix has the modalities a, b; say which: mix\[a\], mix\[\*\] for all or mix\[a>b\] for support in one",
    "mix[a]": r"'mix\[a\]' does not name a mode and a split; write it as NAME\[MODALITIES\]:SPLIT, for example mix\[a\]:train",
    "mix[a:train": r"write it as NAME\[MODALITIES\]:SPLIT",
    "mix a]:train": "does not name a mode and a split",
    "mix[[a]]:train": r"write it as NAME\[MODALITIES\]:SPLIT",
    "mix[a][b]:train": r"write it as NAME\[MODALITIES\]:SPLIT",
    "mix [a]:train": r"write it as NAME\[MODALITIES\]:SPLIT",
    "omniglot[image]:train": r"omniglot has images alone, which are named without brackets; paired data are: .*mix, redundant",
    "strokes[image]:train": "strokes has images alone",
    "linear[x]:train": "linear has functions, without modalities; paired data are",
    "MIX[a]:train": r"there are no paired data 'MIX'; paired data are: .*\(did you mean mix\?\)",
    "watch[accel]:train": r"no paired data 'watch'; .*\(to bring it here: transference datasets prepare watch --from PLACE",
    "nosuch[a]:train": "there are no paired data 'nosuch'; paired data are",
}


@pytest.mark.parametrize("mode", BAD)
def test_a_mode_that_cannot_be_is_refused(mode):
    with pytest.raises(UsageError, match=BAD[mode]) as caught:
        tr.open_tasks(mode)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"ways": 9}, DataError, "mix:test has 8 classes, but 9 ways were asked for. Ask for fewer ways."),
        (
            {"queries": 250},
            DataError,
            "1 shots and 250 queries need 251 examples a class, but 8 of 8 classes have fewer",
        ),
        ({"shots": 0}, UsageError, "3 ways, 0 shots"),
        ({"split": "extra"}, DataError, r"mix \(generated\) has no split 'extra'; it has train, val, test"),
        ({"rotated": True}, UsageError, r"mix\[a\] is paired data, which cannot be rotated; only images can"),
    ],
)
def test_tasks_that_the_data_do_not_give_are_refused(more, error, message):
    with pytest.raises(error, match=message):
        opened("a", **more)


def test_images_are_not_opened_by_the_name_of_paired_data():
    for open_images in (tr.open_dataset, tr.few_shot):
        with pytest.raises(UsageError, match="open it with open_tasks"):
            open_images("mix[a]:train")
        with pytest.raises(UsageError, match=r"mix \(generated\) is paired data, which has a, b"):
            open_images("mix:train")


@dataclass(frozen=True)
class Means:
    """The nearest class mean, after a matrix for each modality and a mean over those that are there."""

    modalities: dict[str, list[int]]

    def init_params(self, seed):
        generator = torch.Generator().manual_seed(seed)
        return {
            name: torch.randn(8, n, generator=generator, dtype=torch.float32) / 8
            for name, (n,) in self.modalities.items()
        }

    def recipe(self, modes):
        return Recipe(iterations=4, meta_batch=3)

    def episode_loss(self, params, episode):
        embed = lambda x: torch.stack([part @ params[name].T for name, part in x.items()]).mean(0)
        support, query = embed(episode.support_x), embed(episode.query_x)
        belongs = F.one_hot(episode.support_y, len(support)).to(support.dtype)
        means = (belongs.T @ support) / belongs.sum(0).clamp(min=1)[:, None]
        far = (query[:, None] - means).square().sum(-1).masked_fill(belongs.sum(0) == 0, torch.inf)
        return F.cross_entropy(-far, episode.query_y)


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


SMALL = ("--ways", 3, "--queries", 2, "--device", "cpu")
MEANS = f"{__name__}:Means"


def train(modes, out, *more, learner=MEANS):
    return call(
        "train",
        "--learner",
        learner,
        "--modes",
        modes,
        *SMALL,
        "--iterations",
        4,
        "--save-every",
        4,
        "--out",
        out,
        *more,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    result = train("mix[b+a],mix[a],mix[a>b]", out, "--validate", 2)
    assert result.exit_code == 0, result.output
    return out / "step-00000004.safetensors"


@pytest.fixture(scope="module")
def computed(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("computed") / "run"
    sources = [word for subset in ("a", "*", "b>a") for word in ("--source", f"mix[{subset}]:train")]
    targets = [word for subset in ("b", "a>b") for word in ("--target", f"mix[{subset}]:test")]
    result = call("compute", trained, "--learner", MEANS, *sources, *targets, *SMALL,
                  "--n-source", 4, "--n-target", 3, "--alpha", 1e-4, "--controls", 2, "--out", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stderr.count("note: mix: train and test share all their classes") == 1
    return out


def test_a_learner_is_trained_on_subsets_under_their_names_in_full(trained):
    about = json.loads((trained.parent / "training.json").read_text())
    assert about["modes"] == ["mix[a+b]", "mix[a]", "mix[a>b]"]
    assert about["config"] == {"modalities": {"a": [16], "b": [16]}}
    metrics = pd.read_parquet(trained.parent / "metrics")
    assert set(metrics["mode"]) == set(about["modes"])
    again = train("mix[*],mix[a],mix[a>b]", trained.parent, "--validate", 2)
    assert again.exit_code == 0, f"the same modes in other words: {again.output}"


def test_checkpoints_are_evaluated_on_subsets(trained):
    result = call(
        "evaluate",
        trained,
        "--learner",
        MEANS,
        "--target",
        "mix[*]:test",
        "--target",
        "mix[b>a]:test",
        "--n-tasks",
        3,
        *SMALL,
    )
    assert result.exit_code == 0, result.output
    assert "mix[a+b]:test" in result.stdout
    assert "mix[b>a]:test" in result.stdout
    result = call("evaluate", trained, "--learner", MEANS, "--target", "mix[*]:test", "--target", "mix[b+a]:test")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "--target names mix[a+b]:test twice (mix[*]:test, mix[b+a]:test)" in result.stderr


def test_a_run_keeps_the_names_with_brackets(computed, tmp_path):
    run = tr.open_run(computed)
    assert list(dict.fromkeys(run.modes("source"))) == ["mix[a]", "mix[a+b]", "mix[b>a]"]
    assert list(dict.fromkeys(run.modes("target"))) == ["mix[b]", "mix[a>b]"]
    tasks = run.tasks()
    assert set(tasks["mode"]) == {"mix[a]", "mix[a+b]", "mix[b>a]", "mix[b]", "mix[a>b]"}
    one, other = (tasks[tasks["mode"] == mode]["query_ids"].tolist() for mode in ("mix[a]", "mix[b>a]"))
    assert all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))
    assert call("verify", computed).exit_code == 0
    for kind in ("matrix", "blocks"):
        assert call("plot", computed, "--kind", kind, "-o", tmp_path / f"{kind}.svg").exit_code == 0
    drawn = (tmp_path / "blocks.svg").read_text()
    assert "mix[a&gt;b]" in drawn or "<!-- mix[a>b] -->" in drawn
    drawn = call("plot", computed, "--kind", "matrix", "--source", "mix[b>a]", "-o", tmp_path / "one.svg")
    assert drawn.exit_code == 0, drawn.output
    shown = call("summary", computed)
    assert shown.exit_code == 0, shown.output
    assert "mix[b>a] → mix[a>b]" in shown.stdout


@pytest.mark.parametrize("spelled", ["mix[b+a]:2", "mix[*]:train:2", "mix[b + a]:train:2", "mix[a+b]:2", "6"])
def test_a_task_is_found_however_its_modalities_are_spelled(computed, tmp_path, spelled):
    result = call("export", computed, tmp_path / "x.csv", "--source", spelled)
    assert result.exit_code == 0, result.output
    rows = pd.read_csv(tmp_path / "x.csv")
    assert set(rows["source_mode"]) == {"mix[a+b]"}
    assert set(rows["source"]) == {4 + 2}


def test_a_report_shows_a_target_however_its_modalities_are_spelled(trained, tmp_path):
    out = tmp_path / "run"
    modes = ["--source", "mix[a]:train", "--target", "mix[b+a]:test"]
    result = call("compute", trained, "--learner", MEANS, *modes, *SMALL, "--n-source", 2, "--n-target", 3,
                  "--alpha", 1e-4, "--controls", 0, "--out", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    for spelled in ("mix[b+a]:2", "mix[*]:test:2", "mix[a+b]:2"):
        result = call("report", out, "--target", spelled, "-o", tmp_path / "x.html")
        assert result.exit_code == 0, result.output
        assert "Target: mix[a+b], task 2" in (tmp_path / "x.html").read_text()
    result = call("report", out, "--target", "mix[b]:2", "-o", tmp_path / "y.html")
    assert (result.exit_code, (tmp_path / "y.html").exists()) == (2, False)


def as_train_names_it(mode):
    return mode.removesuffix(":train")


@pytest.mark.parametrize("mode", [mode for mode in BAD if mode not in ("mix[a]", "mix[a:train")])
def test_train_refuses_modes_that_cannot_be_in_one_line(mode, tmp_path):
    result = train(as_train_names_it(mode), tmp_path / "out")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    if "write it as" not in BAD[mode] and mode not in ("mix[a,b]:train", "mix a]:train"):
        assert re.search(BAD[mode], result.stderr)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", BAD)
def test_compute_and_evaluate_refuse_modes_that_cannot_be_in_one_line(mode, trained, tmp_path):
    asked = [trained, "--learner", MEANS, "--target", mode, *SMALL]
    for command in (("evaluate", *asked), ("compute", *asked, "--source", "mix[a]:train", "--out", tmp_path / "run")):
        result = call(*command)
        told = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert (result.exit_code, len(told)) == (2, 1), result.output
        assert re.search(BAD[mode], told[0])
    assert not (tmp_path / "run").exists()


def test_modes_that_are_the_same_are_refused(trained, tmp_path):
    result = train("mix[*],mix[b+a]", tmp_path / "out")
    assert result.exit_code == 2
    assert "--modes names mix[a+b] twice (mix[*], mix[b+a])" in result.stderr
    sources = ("--source", "mix[*]:train", "--source", "mix[b+a]:train", "--target", "mix[a]:test")
    result = call("compute", trained, "--learner", MEANS, *sources, *SMALL, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "mix[a+b]:train/3-way/1-shot/2-query/seed-1 is given twice" in result.stderr
    result = train("mix[a]", tmp_path / "out", "--rotate", "mix[a]")
    assert result.exit_code == 2
    assert "mix[a] is paired data, which cannot be rotated" in result.stderr


def test_a_learner_that_does_not_know_the_inputs_is_told_with_both(trained, tmp_path):
    result = train("mix[a]", tmp_path / "out", learner="protonet")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "support_x['a'] (3, 16) float32" in result.stderr
    assert (
        "its inputs are tensors by name, and the learner names none that it knows: it may want one tensor"
        in result.stderr
    )
    assert train("mix[a]", tmp_path / "a").exit_code == 0
    result = call("evaluate", tmp_path / "a" / trained.name, "--learner", MEANS, "--target", "mix[b]:test", *SMALL)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "KeyError: 'b'" in result.stderr
    assert "support_x['b'] (3, 16) float32" in result.stderr
    assert "its inputs are tensors by name, and the learner knows a [16]" in result.stderr
    result = call("evaluate", tmp_path / "a" / trained.name, "--learner", MEANS, "--target", "strokes:test", *SMALL)
    assert result.exit_code == 2
    assert "support_x (3, 3, 28, 28) float32" in result.stderr
    assert "its inputs are one tensor, and the learner knows a [16]" in result.stderr


def test_a_learner_that_fails_midway_is_told_with_the_inputs(trained, tmp_path):
    later = tr.open_tasks("mix[b]:test", ways=3, queries=2)[2].query_x["b"]

    class Failing(Means):
        def episode_loss(self, params, episode):
            if torch.equal(episode.query_x.get("b", torch.zeros(1)), later):
                raise LookupError("no such name")
            return super().episode_loss(params, episode)

    checkpoint, learner = tr.load_checkpoint(trained), Failing({"a": [16], "b": [16]})
    tasks = tr.open_tasks("mix[b]:test", ways=3, queries=2)
    with pytest.raises(tr.TransferenceError) as caught:
        tr.measure(
            learner,
            checkpoint,
            tasks,
            tasks,
            n_source=2,
            n_target=3,
            lookahead=tr.SGD(0.01),
            out=tmp_path / "run",
            device="cpu",
        )
    assert re.search(
        r"target task 2 .*LookupError: no such name .*support_x\['b'\] \(3, 16\).*the learner knows a \[16\], b \[16\]",
        str(caught.value),
    )
    assert "\n" not in str(caught.value)


class Gestures:
    """Paired data of every kind that a modality can be."""

    name, where = "gestures", "generated"
    modalities = (
        Modality("photo", "image", (3, 8, 8)),
        Modality("accel", "window", (20, 3)),
        Modality("pen", "track", (12, 3)),
        Modality("look", "values", (5,)),
    )

    def classes(self):
        return {"test": dict.fromkeys(("<b>one</b>", "two", "three"), 6)}

    def open(self, split):
        stream, n = np.random.default_rng(0), 18
        pen = stream.normal(size=(n, 12, 3)).cumsum(1)
        pen[..., 2] = np.arange(12) == 7  # two strokes
        values = {
            "photo": torch.from_numpy(stream.integers(0, 256, (n, 3, 8, 8)).astype(np.uint8)),
            "accel": torch.from_numpy(stream.normal(size=(n, 20, 3)).cumsum(1).astype(np.float32)),
            "pen": torch.from_numpy(pen.astype(np.float32)),
            "look": torch.from_numpy(stream.normal(size=(n, 5)).astype(np.float32)),
        }
        names = tuple(sorted(self.classes()["test"]))
        labels = [(name, f"{name}-{k}") for name in names for k in range(6)]
        digest = content_digest(self.modalities, labels, values)
        ids = tuple(row for _, row in labels)
        return PairedDataset("gestures", "test", self.modalities, values, names, (0, 6, 12, 18), ids, digest)


@pytest.fixture
def gestures(monkeypatch):
    """The commands find it as they would find a generated set."""
    monkeypatch.setattr(
        _subsets, "find_paired", lambda name, data_root=None: Gestures() if name == "gestures" else None
    )
    monkeypatch.setattr(_opening, "open_paired", lambda name, split, **_: Gestures().open(split))


class Weighed:
    """A loss of any inputs."""

    def init_params(self, seed):
        return {"w": torch.ones(2, dtype=torch.float32)}

    def episode_loss(self, params, episode):
        parts = [part for side in (episode.support_x, episode.query_x) for part in side.values()]
        return (params["w"].sum() - 1 - torch.stack([part.square().mean() for part in parts]).mean()).square()


def reported(tmp_path, *modes, shots=2):
    tasks = [tr.open_tasks(f"gestures[{mode}]:test", ways=3, shots=shots, queries=1) for mode in modes]
    checkpoint = tr.Checkpoint(Weighed().init_params(0), 1)
    run = tr.measure(Weighed(), checkpoint, tasks, tasks[:1], n_source=2, n_target=1, lookahead=tr.SGD(0.01),
                     out=tmp_path / "run", device="cpu", controls=0)  # fmt: skip
    write_report([run], tmp_path / "page.html")
    return (tmp_path / "page.html").read_text()


@pytest.mark.usefixtures("gestures")
def test_images_are_scaled_and_all_else_is_as_it_is():
    data, episode = Gestures().open("test"), tr.open_tasks("gestures[*]:test", ways=3, shots=1, queries=2)[0]
    assert {str(part.dtype) for part in episode.query_x.values()} == {"torch.float32"}
    rows = [
        data.ids.index(row)
        for row in tr.open_tasks("gestures[*]:test", ways=3, shots=1, queries=2).describe(0).query_ids
    ]
    assert torch.equal(episode.query_x["photo"], data.values["photo"][rows] / 255)
    assert torch.equal(episode.query_x["accel"], data.values["accel"][rows])
    assert list(input_shapes(["gestures[look+accel]"])) == ["accel", "look"]
    assert input_shapes(["gestures[photo]"], side=8, channels=1) == {"photo": [1, 8, 8]}


@pytest.mark.slow
@pytest.mark.usefixtures("gestures")
def test_the_report_draws_what_is_no_image(tmp_path):
    text = reported(tmp_path, "*", "pen", "photo>look")
    drawings = re.findall(r'<svg class="drawing (\w+)".*?</svg>', text, re.DOTALL)
    # a target task and a source task show all four modalities, 3 classes of 2; so do two tasks of the pen, and two of photos
    assert {kind: drawings.count(kind) for kind in ("window", "track", "values")} == {
        "window": 12,
        "track": 24,
        "values": 12,
    }
    assert text.count('src="data:image/png') == 12 + 12
    assert "No pictures" not in text
    assert "Support examples in accel of &lt;b&gt;one&lt;/b&gt;" in text
    assert "<b>one" not in text
    assert text.count('<span class="modality">accel</span>') == 2 * 3


@pytest.mark.slow
@pytest.mark.usefixtures("gestures")
def test_paired_data_that_changed_are_not_shown(tmp_path, monkeypatch):
    other = dataclasses.replace(Gestures().open("test"), digest="0" * 32)
    tasks = tr.open_tasks("gestures[*]:test", ways=3, shots=2, queries=1)
    monkeypatch.setattr(_opening, "open_paired", lambda name, split, **_: other)
    sets = SupportSets((TaskSet(tasks.name, 1, tasks.digest),), None, 28, 3)
    row = pd.Series({"sampler": tasks.name, "index": 0, "id": 0, **dataclasses.asdict(tasks.describe(0))})
    assert [shown.shots for shown in sets.task(row, "gestures").classes] == [(), (), ()]
    assert "are not those that the run was measured on" in sets.problems[tasks.name]


def points(path):
    return [tuple(map(float, point)) for point in re.findall(r"[ML](-?[\d.e-]+) (-?[\d.e-]+)", path)]


def test_a_window_is_drawn_as_a_line_for_each_channel():
    rising = np.linspace(0, 1, 5)[:, None] * [1.0, -1.0]
    one, other = draw("window", np.stack([rising, 0 * rising]))
    assert [points(path) for path in one.paths] == [
        [(0, 30), (25, 22.5), (50, 15), (75, 7.5), (100, 0)],
        [(0, 30), (25, 37.5), (50, 45), (75, 52.5), (100, 60)],
    ]
    assert one.zero == other.zero == 30
    assert {y for path in other.paths for _, y in points(path)} == {30}, "one scale for the task"


def test_a_pen_track_is_broken_where_the_pen_was_lifted():
    way = np.array([[0.0, 0, 0], [1, 0, 0], [1, 2, 1], [0, 2, 0]])
    (drawing,) = draw("track", way[None])
    assert points(drawing.paths[0]) == [(35, 0), (65, 0), (65, 60), (35, 60)]
    assert [letter for letter in drawing.paths[0] if letter in "ML"] == list("MLML")
    assert drawing.zero is None
    assert drawing.box == "18 -2 64 64"


def test_values_are_drawn_as_bars_from_zero():
    (drawing,) = draw("values", np.array([[1.0, -2.0, np.nan, 0.0]]))
    assert drawing.paths == ("M12.5 20V0M37.5 20V60M87.5 20V20",)
    assert drawing.zero == 20


@pytest.mark.parametrize("kind", ["window", "track", "values"])
@pytest.mark.parametrize("fill", [0.0, 7.0, np.nan, np.inf])
def test_drawings_stay_inside_whatever_the_numbers(kind, fill):
    examples = np.full((2, 3) if kind == "values" else (2, 4, 3), fill)
    for drawing in draw(kind, examples):
        assert all(0 <= x <= 100 and 0 <= y <= 60 for path in drawing.paths for x, y in points(path))
        assert "nan" not in "".join(drawing.paths)
    assert draw("sound", examples) == draw(kind, examples[:0]) == []
