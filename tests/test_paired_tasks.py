"""Tasks on paired data: a mode is a subset of the modalities, and the same index is the same examples in all of them."""

import numpy as np
import pytest
import torch

import transference as tr
from transference.datasets import open_paired, paired_names
from transference.errors import DataError, UsageError
from transference.samplers import PairedName, RedrawingSampler, input_shapes, mode_in_order, reopen_tasks, shared_modes

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
    """Share of test examples of which all bits of the class are told by values and products of two, fitted on the train split."""

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


def test_images_of_a_name_need_no_brackets_beside_paired_data_of_it(tmp_path):
    (tmp_path / "mix").mkdir()
    with pytest.raises(DataError, match="mix"):  # an empty folder of images
        tr.open_tasks("mix:train", data_root=tmp_path)
    assert tr.open_tasks("mix[a]:train", data_root=tmp_path).name.startswith("mix[a]:train")


def test_images_are_not_opened_by_the_name_of_paired_data():
    for open_images in (tr.open_dataset, tr.few_shot):
        with pytest.raises(UsageError, match="open it with open_tasks"):
            open_images("mix[a]:train")
