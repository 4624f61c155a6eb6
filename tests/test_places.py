"""Where images lie: words for splits, layouts of folders and parquet files, and that whatever is not read is named."""

import json
import os
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import transference as tr
from tests import originals as make
from tests.test_preparing import call, prepared
from transference.datasets import find_reader, open_dataset, shared_classes, split_lists, unread
from transference.datasets._names import split_names
from transference.errors import DataError, UsageError
from transference.samplers import few_shot, open_tasks, reopen_tasks, shared_modes

IMAGE = make.encoded(make.noise(1))


def noise(*seed):
    return make.encoded(make.noise(list(seed)))


def folders(root, *classes, per_class=2):
    """Make class folders; every image is another."""
    files = {f"{c}/{k}.png": noise(k, *f"{root.name}/{c}".encode()) for c in classes for k in range(per_class)}
    return make.write_folder(root, files)


def table(path, names, column="class_name", seed=0, metadata=None, **columns):
    """Write a parquet file, one image for each of the names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": noise(seed, k), "path": f"{seed}-{k}.png"} for k in range(len(names))]
    labels = {} if column is None else {column: names}
    made = pa.table({"image": images, **labels, **columns})
    pq.write_table(made.replace_schema_metadata(metadata) if metadata else made, path)


def classes_of(name, root):
    return {split: sorted(classes) for split, classes in find_reader(name, root).classes().items()}


def said(name, root):
    return "\n".join(unread(find_reader(name, root)).lines)


# Words for splits


@pytest.mark.slow
@pytest.mark.parametrize(("word", "split"), [
    *((word, "train") for word in ("train", "Train", "TRAIN", "training", "base", "meta-train", "meta_train")),
    *((word, "train") for word in ("metatrain", "trainset", "images_background", "train2017")),
    *((word, "val") for word in ("val", "valid", "validation", "Validation", "dev", "meta-val", "meta_valid", "val_set")),
    *((word, "test") for word in ("test", "testing", "Test", "eval", "novel", "meta-test", "MetaTest")),
    *((word, "val") for word in ("dev-set", "val2017", "Val_2014", "validation-set")),
    *((word, "test") for word in ("evaluation", "images_evaluation", "eval_set", "novel-set", "test-2015")),
])  # fmt: skip
def test_the_words_of_the_field_name_one_split(tmp_path, word, split):
    folders(tmp_path / "toys" / word, "a", "b")
    table(tmp_path / "tables" / f"{word}-00000-of-00001.parquet", ["a", "b"])
    table(tmp_path / "column.parquet", ["a", "b"], split=[word] * 2)
    for name in ("toys", "tables", "column"):
        assert classes_of(name, tmp_path) == {split: ["a", "b"]}
        assert open_dataset(f"{name}:{word}", data_root=tmp_path).split == split
        assert (f"{word} is read as {split}" in said(name, tmp_path)) == (word != split)


def test_tasks_do_not_depend_on_the_word(tmp_path):
    for name, word in {"a/toys": "val", "b/toys": "Valid"}.items():
        files = {f"{word}/{c}/{k}.png": noise(c, k) for c in range(3) for k in range(3)}
        make.write_folder(tmp_path / name, files)
    one, other = (
        few_shot(f"toys:{word}", data_root=tmp_path / r, ways=2, queries=1)
        for r, word in (("a", "val"), ("b", "VALID"))
    )
    assert one.name == other.name
    assert torch.equal(one[3].query_x, other[3].query_x)


@pytest.mark.parametrize("words", [("val", "validation"), ("Train", "train"), ("novel", "testing")])
def test_two_words_for_one_split_are_not_mixed(tmp_path, words):
    for k, word in enumerate(words):
        folders(tmp_path / "toys" / word, f"class {k}")
        table(tmp_path / "tables" / f"{word}.parquet", [f"class {k}"], seed=k)
    for name in ("toys", "tables"):
        found = classes_of(name, tmp_path)
        assert sorted(found) == sorted(words)
        assert "are words for one split, and each is read as a split of its own" in said(name, tmp_path)
        for k, word in enumerate(words):
            assert open_dataset(f"{name}:{word}", data_root=tmp_path).class_names == (f"class {k}",)


def test_each_word_stands_for_one_split_of_its_own():
    words = ["train", "Valid", "extra", "test", "testing"]
    assert split_names(words) == {
        "train": "train",
        "Valid": "val",
        "extra": "extra",
        "test": "test",
        "testing": "testing",
    }


def test_prepared_files_know_the_words_too_and_generated_modes_their_own(tmp_path):
    prepared("toys", folders(tmp_path / "toys" / "base", "a").parent, tmp_path / "data")
    assert open_dataset("toys:base", data_root=tmp_path / "data", side=9).split == "train"
    with pytest.raises(DataError, match="strokes .* has no split 'validation'; it has train, val, test"):
        open_dataset("strokes:validation")
    with pytest.raises(DataError, match="toys .* has no split 'novel'; it has train"):
        open_dataset("toys:novel", data_root=tmp_path / "data", side=9)


def test_a_run_that_knew_a_split_by_another_word_can_draw_its_tasks_again(tmp_path):
    """Version 0.1 called a split ``dev`` where the file did, and tasks are drawn by name."""
    table(tmp_path / "toys.parquet", list("aabbcc"), split=["dev"] * 6)
    name = "toys:dev/2-way/1-shot/1-query/seed-0"
    assert reopen_tasks(name, data_root=tmp_path).name == name


# Folders


@pytest.mark.parametrize("others", [("ant", "bee"), ("train", "ant"), ("val", "ant", "bee")])
@pytest.mark.parametrize("word", ["test", "val", "base", "dev", "Train"])
def test_a_class_may_be_called_like_a_split(tmp_path, word, others):
    names = sorted({word, *others})
    folders(tmp_path / "toys", *names)
    assert classes_of("toys", tmp_path) == {"all": names}
    folders(tmp_path / "split" / "train", *names)
    assert classes_of("split", tmp_path) == {"train": names}


def test_the_larger_part_of_a_folder_decides_what_it_is(tmp_path):
    folders(tmp_path / "toys", "ant", "bee", per_class=3)
    folders(tmp_path / "toys" / "test", "deep")
    assert classes_of("toys", tmp_path) == {"all": ["ant", "bee"]}
    assert "2 images outside of class folders (test/deep/0.png and 1 more)" in said("toys", tmp_path)
    folders(tmp_path / "toys" / "train", "cat")
    assert classes_of("toys", tmp_path) == {"train": ["cat"], "test": ["deep"]}, "two splits are no accident"
    assert "6 images outside of class folders (ant/0.png and 5 more)" in said("toys", tmp_path)


def test_an_unlabelled_split_of_a_folder_is_left_out_and_named(tmp_path):
    folders(tmp_path / "toys" / "train", "a", "b")
    make.write_folder(tmp_path / "toys", {f"test/{k}.png": noise(k) for k in range(5)})
    assert classes_of("toys", tmp_path) == {"train": ["a", "b"]}
    assert "test is left out: " in said("toys", tmp_path)
    assert "holds 5 images in no class folder" in said("toys", tmp_path)
    with pytest.raises(DataError, match="^toys:test cannot be used: .*toys/test holds 5 images in no class folder"):
        open_dataset("toys:Test", data_root=tmp_path)


def test_splits_without_any_class_folder_are_no_classes(tmp_path):
    make.write_folder(
        tmp_path / "toys", {f"{split}/{k}.png": noise(k) for split in ("train", "test") for k in range(2)}
    )
    with pytest.raises(DataError, match="images directly in test, train, which are names of splits.* test/CLASS/IMAGE"):
        find_reader("toys", tmp_path)


def test_a_folder_that_is_too_deep_says_where_its_images_are(tmp_path):
    make.write_folder(tmp_path / "toys", {"a/b/c/0.png": IMAGE})
    with pytest.raises(
        DataError, match=r"holds no images in class folders .*; found: a. The first image lies at a/b/c/0.png"
    ):
        find_reader("toys", tmp_path)


def odd_folder(root):
    """Make class folders with everything that is not read."""
    folders(root / "train", "a", "b")
    folders(root / "Valid", "a")
    make.write_folder(root, {
        "train/a/notes.txt": b"", "train/a/0.txt": b"", "train/b/7.heic": b"", "images.zip": b"", ".DS_Store": b"",
        "train/a/.hidden.png": IMAGE, "train/a/deeper/8.png": IMAGE, "train/stray.png": IMAGE, "cover.JPG": IMAGE,
        "other/c/1.png": IMAGE, "README": b"",
    })  # fmt: skip
    (root / "train" / "empty").mkdir()
    (root / "test").mkdir()
    os.mkfifo(root / "train" / "a" / "pipe.png")
    return root


def test_everything_that_is_not_read_is_named_with_its_number(tmp_path):
    odd_folder(tmp_path / "toys")
    assert classes_of("toys", tmp_path) == {"train": ["a", "b"], "val": ["a"]}
    told = said("toys", tmp_path)
    for expected in (
        "Valid is read as val", "2 .txt (train/a/0.txt, …)", "1 .heic (train/b/7.heic)", "1 .zip (images.zip)", "1 without suffix (README)",
        "2 hidden (.DS_Store and 1 more)", "4 images outside of class folders (cover.JPG and 3 more)",
        "1 that cannot be opened (train/a/pipe.png)", "2 folders without images: test, train/empty",
    ):  # fmt: skip
        assert expected in told, told


def test_it_is_named_in_the_list_and_once_when_it_is_opened(tmp_path, caplog):
    odd_folder(tmp_path / "toys")
    listed = call("datasets", "list", "--data-root", tmp_path)
    assert "note: not read: 2 .txt" in listed.stdout
    assert "note: train and val share 1 class (a)" in listed.stdout
    found = json.loads(call("datasets", "list", "--data-root", tmp_path, "--json").stdout)["datasets"]
    assert any("not read: 2 .txt" in note for entry in found for note in entry.get("notes", []))
    caplog.clear()
    for split in ("train", "val", "train"):
        open_dataset(f"toys:{split}", data_root=tmp_path)
    assert caplog.text.count("not read: 2 .txt") == 1
    assert f"toys ({tmp_path / 'toys'})" in caplog.text


def test_what_is_said_is_bounded_whatever_a_folder_holds(tmp_path):
    folders(tmp_path / "toys", "a")
    many = {f"a/{'x' * 200}{k}.s{k}": b"" for k in range(300)} | {f".{k}": b"" for k in range(50)}
    make.write_folder(tmp_path / "toys", many)
    for k in range(100):
        (tmp_path / "toys" / f"{'empty' * 20}{k}").mkdir()
    assert len(said("toys", tmp_path)) < 1500
    assert "294 files of other kinds" in said("toys", tmp_path)


def test_a_whole_folder_has_nothing_to_say(tmp_path, caplog):
    folders(tmp_path / "toys" / "train", "a", "b")
    folders(tmp_path / "toys" / "test", "c", "d")
    open_dataset("toys:train", data_root=tmp_path)
    assert (said("toys", tmp_path), caplog.text) == ("", "")


def test_names_can_tell_a_terminal_nothing(tmp_path, caplog):
    make.write_folder(folders(tmp_path / "toys", "a"), {"a/\x1b[2J.txt": b""})
    open_dataset("toys:all", data_root=tmp_path)
    assert "\x1b" not in caplog.text
    assert "\x1b" not in call("datasets", "list", "--data-root", tmp_path).stdout


def test_links_are_followed_to_classes_and_not_in_circles(tmp_path):
    folders(tmp_path / "elsewhere", "a")
    (tmp_path / "toys" / "train").mkdir(parents=True)
    (tmp_path / "toys" / "train" / "linked").symlink_to(tmp_path / "elsewhere" / "a")
    (tmp_path / "toys" / "train" / "circle").symlink_to(tmp_path / "toys")
    assert classes_of("toys", tmp_path) == {"train": ["linked"]}
    (tmp_path / "toys" / "train" / "b").mkdir()
    (tmp_path / "toys" / "train" / "b" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match="lost.png"):
        open_dataset("toys:train", data_root=tmp_path)


def test_a_place_that_was_prepared_keeps_its_notes(tmp_path):
    result = call(
        "datasets",
        "prepare",
        "toys",
        "--from",
        odd_folder(tmp_path / "toys"),
        "--data-root",
        tmp_path / "data",
        "--side",
        9,
    )
    assert result.exit_code == 0, result.output
    for told in (result.stderr, call("datasets", "list", "--data-root", tmp_path / "data").stdout):
        assert "note: not read: 2 .txt" in told
        assert "note: train and val share 1 class (a)" in told


# Names that look equal

ACCENT = "caf\u00e9"


@pytest.mark.parametrize(
    "other",
    [unicodedata.normalize("NFD", ACCENT), f"{ACCENT} ", f"\u00a0{ACCENT}", f"{ACCENT}\u200b", f"\ufeff{ACCENT}"],
)
def test_names_that_look_equal_are_equal(tmp_path, other):
    folders(tmp_path / "toys" / "train", ACCENT)
    folders(tmp_path / "toys" / "test", other)
    table(tmp_path / "tables.parquet", [ACCENT, other], split=["train", "test"])
    for name in ("toys", "tables"):
        assert classes_of(name, tmp_path) == {"train": [ACCENT], "test": [ACCENT]}
        assert shared_classes(find_reader(name, tmp_path).classes()) == [
            f"train and test share all their classes ({ACCENT})"
        ]
    folders(tmp_path / "one", ACCENT, other)
    assert classes_of("one", tmp_path) == {"all": [ACCENT]}
    assert f"folders whose names look equal are read as one class: {ACCENT}" in said("one", tmp_path)
    listed = split_lists.parse(f"class_name,split\n{other},train\n", "own")
    assert listed.split_of(ACCENT) == "train"


def test_a_copy_from_another_system_is_the_same_dataset(tmp_path):
    digests = set()
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "V\u00f6gel")
        files = {unicodedata.normalize(form, f"{name}/gr\u00fcn/\u00e4{k}.png"): noise(k) for k in range(3)}
        make.write_folder(tmp_path / form, files)
        digests.add(open_dataset("V\u00f6gel:all", data_root=tmp_path / form).digest)
        digests.add(open_dataset(f"{unicodedata.normalize('NFD', name)}:all", data_root=tmp_path / form).digest)
    assert len(digests) == 1


def test_names_that_differ_to_the_eye_are_different(tmp_path):
    names = ["Robin", "robin", "rob in", "robins", "r\u00f6bin", "\u2160", "I"]
    folders(tmp_path / "toys", *names)
    assert classes_of("toys", tmp_path) == {"all": sorted(names)}


# Parquet files


@pytest.mark.parametrize(("files", "splits"), [
    (("train.parquet", "test.parquet"), "train test"),
    (("Train.parquet", "Valid.parquet"), "train val"),
    (("train_0.parquet", "train_1.parquet", "test-0.parquet"), "train test"),
    (("birds_train.parquet", "birds-test.parquet"), "train test"),
    (("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet"), "train test"),
    (("train-00000-of-00001-ab12cd34ef56.parquet", "validation-00000-of-00001-0011aa22bb33.parquet"), "train val"),
    (("default/train/0000.parquet", "default/train/0001.parquet", "default/test/0000.parquet"), "train test"),
    (("default/partial-train/0000.parquet", "default/test/0000.parquet"), "train test"),
    (("train/0000.parquet", "validation/0000.parquet", "test/0000.parquet"), "train val test"),
    (("plain_text/train-00000-of-00001.parquet", "plain_text/test-00000-of-00001.parquet"), "train test"),
    (("plain_text/train/0000.parquet", "plain_text/extra-00000-of-00001.parquet"), "train extra"),
    (("split=train/part-0.parquet", "split=test/part-0.parquet"), "train test"),
    (("split=Train/part-0.parquet", "split=novel/part-0.parquet"), "train test"),
    (("train/part-00000-7f3a-c000.snappy.parquet", "test/part-00000-7f3a-c000.snappy.parquet"), "train test"),
    (("train.parquet", "extra.parquet"), "train extra"),
    (("dataset-train-00000-of-00001.parquet", "dataset-test-00000-of-00001.parquet"), "train test"),
    (("part-0.parquet", "part-1.parquet"), "all"),
    (("base_model_0.parquet", "base_model_1.parquet"), "all"),
    (("developers.parquet",), "all"),
])  # fmt: skip
def test_layouts_of_the_hub_give_their_splits_and_never_mix_them(tmp_path, files, splits):
    for k, file in enumerate(files):
        table(tmp_path / "toys" / file, [f"class {k}", f"class {k}"], seed=k)
    found = classes_of("toys", tmp_path)
    assert list(found) == splits.split()
    for split in found:
        dataset = open_dataset(f"toys:{split}", data_root=tmp_path)
        assert len(dataset.images) == 2 * len(found[split])
    prepared("toys", tmp_path / "toys", tmp_path / "data")
    assert open_dataset(f"toys:{split}", data_root=tmp_path / "data", side=9).image_ids == dataset.image_ids


def test_values_in_the_names_of_folders_are_columns(tmp_path):
    for split, label in {("train", "3"), ("train", "4"), ("test", "a%20b")}:
        table(tmp_path / "toys" / f"split={split}" / f"label={label}" / "part-0.parquet", [0, 1], column=None)
    assert classes_of("toys", tmp_path) == {"train": ["3", "4"], "test": ["a b"]}
    assert len(set(open_dataset("toys:train", data_root=tmp_path).image_ids)) == 4
    table(tmp_path / "own" / "label=9" / "part-0.parquet", [0, 1], column="label")
    assert classes_of("own", tmp_path) == {"all": ["0", "1"]}, "what a file says itself is taken"


def test_a_hive_folder_of_another_key_is_a_column_and_no_configuration(tmp_path):
    for k, year in enumerate(("2020", "2021")):
        table(tmp_path / "toys" / "split=train" / f"year={year}" / "part-0.parquet", ["ant", "bee"], seed=k)
    assert classes_of("toys", tmp_path) == {"train": ["ant", "bee"]}
    assert open_dataset("toys:train", data_root=tmp_path).class_sizes == (2, 2)


def test_configurations_are_asked_for_not_mixed(tmp_path):
    for config in ("cropped", "full"):
        table(tmp_path / "toys" / config / "train-00000-of-00001.parquet", ["a", "b"])
    with pytest.raises(
        DataError, match=r"holds 2 configurations \(cropped, full\).*prepare NAME --from .*toys/cropped"
    ):
        find_reader("toys", tmp_path)
    assert list(prepared("full", tmp_path / "toys" / "full", tmp_path / "data").classes()) == ["train"]
    table(tmp_path / "toys" / "train.parquet", ["c"])
    assert classes_of("toys", tmp_path) == {"train": ["c"]}
    assert "not read: cropped/train-00000-of-00001.parquet, full/train-00000-of-00001.parquet" in said("toys", tmp_path)


@pytest.mark.parametrize("stale", ["train-00000-of-00001-bbbbbbbb.parquet", "train-00000-of-00002.parquet"])
def test_two_versions_of_a_split_are_told(tmp_path, stale):
    table(tmp_path / "toys" / "train-00000-of-00001-aaaaaaaa.parquet", ["a"])
    table(tmp_path / "toys" / stale, ["a"])
    table(tmp_path / "toys" / "test-00000-of-00001.parquet", ["b"])
    assert classes_of("toys", tmp_path) == {"test": ["b"]}
    with pytest.raises(DataError, match="^toys:train cannot be used: .*several sets of files of the split train"):
        open_dataset("toys:train", data_root=tmp_path)


@pytest.mark.parametrize(("one", "copy"), [
    ("train.parquet", "train (1).parquet"),
    ("train.parquet", "Train - Copy.parquet"),
    ("train-00000-of-00001.parquet", "train-00000-of-00001 (1).parquet"),
    ("data/train.parquet", "backup/train.parquet"),
    ("part-0.parquet", "part-0 (2).parquet"),
    ("split=train/part-0.parquet", "split=train/part-0 (1).parquet"),
])  # fmt: skip
def test_a_copy_of_a_file_is_not_read_with_it(tmp_path, one, copy):
    root, columns = tmp_path / "toys", {"split": ["train"] * 3} if one == "part-0.parquet" else {}
    table(root / one, ["a", "a", "b"], **columns)
    expected = find_reader("toys", tmp_path)
    classes, mark = expected.classes(), expected.mark().content
    (root / copy).parent.mkdir(exist_ok=True)
    (root / copy).write_bytes((root / one).read_bytes())
    if not copy.startswith("backup/"):  # which is a configuration that is not read anyway
        assert f"{copy} is a copy of {one} and is not read" in said("toys", tmp_path)
    assert find_reader("toys", tmp_path).classes() == classes
    assert find_reader("toys", tmp_path).mark().content == mark
    table(root / one, ["a", "a", "b"], seed=1, **columns)
    assert find_reader("toys", tmp_path).classes() == (
        classes if copy.startswith("backup/") else {"train": {"a": 4, "b": 2}}
    )


def test_a_part_that_is_a_copy_of_another_part_is_missing(tmp_path):
    for k in range(2):
        table(tmp_path / "toys" / f"train-0000{k}-of-00002.parquet", ["a", "b"])
    table(tmp_path / "toys" / "test.parquet", ["c"])
    assert classes_of("toys", tmp_path) == {"test": ["c"]}
    told = said("toys", tmp_path)
    assert "train is left out" in told
    assert (
        "train-00001-of-00002.parquet is a copy of train-00000-of-00002.parquet, so that one part of the split is missing"
        in told
    )


def test_equal_files_of_two_splits_are_both_read(tmp_path):
    for split in ("train", "test"):
        table(tmp_path / "toys" / f"{split}.parquet", ["a", "b"])
    assert classes_of("toys", tmp_path) == {"train": ["a", "b"], "test": ["a", "b"]}


def test_images_that_are_twice_in_a_split_are_said_when_it_is_prepared(tmp_path):
    table(tmp_path / "toys" / "train-0.parquet", ["a", "b"])
    table(tmp_path / "toys" / "train-1.parquet", ["a", "b"], split=["train"] * 2)
    result = call(
        "datasets", "prepare", "toys", "--from", tmp_path / "toys", "--data-root", tmp_path / "data", "--side", 9
    )
    assert "note: train has 2 images twice, for one " in result.stderr


NAMES = {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["ant", "bee"]}}}})}


def spoilt(path, how):
    """Write a file of which no image can be read with its class."""
    if how == "-1":
        table(path, [-1, -1], column="label", metadata=NAMES)
    elif how == "-1 without names":
        table(path, [-1, -1], column="label")
    elif how == "null":
        table(path, pa.nulls(2, pa.int64()), column="label")
    elif how == "null column":
        table(path, pa.nulls(2), column="label")
    elif how == "empty names":
        table(path, ["", " "])
    elif how == "one without":
        table(path, [0, None], column="label", metadata=NAMES)
    elif how == "NaN":
        table(path, [0.0, float("nan")], column="label")
    elif how == "no column":
        table(path, [0, 1], column=None)
    elif how == "half a file":
        path.write_bytes(b"PAR1")
    elif how == "beyond the names":
        table(path, [0, 2], column="label", metadata=NAMES)


@pytest.mark.parametrize("how", [
    "-1", "-1 without names", "null", "null column", "empty names", "one without", "NaN", "no column", "half a file", "beyond the names",
])  # fmt: skip
def test_a_split_that_cannot_be_read_does_not_condemn_the_others(tmp_path, how, caplog):
    table(tmp_path / "toys" / "train.parquet", [0, 1], column="label", metadata=NAMES)
    spoilt(tmp_path / "toys" / "test.parquet", how)
    assert classes_of("toys", tmp_path) == {"train": ["ant", "bee"]}
    assert open_dataset("toys:train", data_root=tmp_path).class_names == ("ant", "bee")
    assert "test is left out: " in caplog.text
    assert "note: test is left out: " in call("datasets", "list", "--data-root", tmp_path).stdout
    with pytest.raises(DataError, match="^toys:test cannot be used: .*test.parquet"):
        open_dataset("toys:test", data_root=tmp_path)
    result = call(
        "datasets", "prepare", "toys", "--from", tmp_path / "toys", "--data-root", tmp_path / "data", "--side", 9
    )
    assert (result.exit_code, "note: test is left out" in result.stderr) == (0, True), result.output
    with pytest.raises(DataError, match="^toys:test cannot be used"):
        open_dataset("toys:test", data_root=tmp_path / "data", side=9)


def test_nor_does_an_unlabelled_split_of_the_same_file(tmp_path):
    table(
        tmp_path / "toys.parquet",
        [0, 1, -1, -1],
        column="label",
        metadata=NAMES,
        split=["train", "train", "test", "test"],
    )
    assert classes_of("toys", tmp_path) == {"train": ["ant", "bee"]}
    with pytest.raises(DataError, match=r"toys:test cannot be used: .* has the labels \[-1\]"):
        open_dataset("toys:test", data_root=tmp_path)


@pytest.mark.parametrize("names", [["-1", "-1"], [" ", " "], [-100, -100]], ids=["text", "space", "another number"])
def test_what_stands_for_no_label_in_other_ways_is_none_either(tmp_path, names):
    table(tmp_path / "toys" / "train.parquet", ["ant", "bee"], column="label")
    table(tmp_path / "toys" / "test.parquet", names, column="label")
    assert classes_of("toys", tmp_path) == {"train": ["ant", "bee"]}
    with pytest.raises(DataError, match="^toys:test cannot be used"):
        open_dataset("toys:test", data_root=tmp_path)


def test_a_damaged_file_of_no_known_split_condemns_all(tmp_path):
    table(tmp_path / "toys" / "part-0.parquet", ["a", "b"])
    (tmp_path / "toys" / "part-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"part-1.parquet cannot be read as a parquet file"):
        find_reader("toys", tmp_path)


BINARY = {
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "dictionary": pa.dictionary(pa.int32(), pa.binary()),
}
TEXT = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "dictionary": pa.dictionary(pa.int8(), pa.large_string()),
}


def cast(values, kind):
    array = pa.array(values)
    return array.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else array.cast(kind)


def columns(numbers, binary, text, order):
    """Return a table of images of these numbers, in columns of these types."""
    n, names = len(numbers), ["ab"[k % 2] for k in numbers]
    fields = {
        "bytes": cast([noise(k) for k in numbers], BINARY[binary]),
        "path": cast([f"{k}.png" for k in numbers], TEXT[text]),
    }
    if order == "path first":
        fields = dict(reversed(fields.items()))
    elif order == "bytes alone":
        del fields["path"]
    image = (
        fields["bytes"] if order == "column" else pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    )
    return pa.table(
        {
            "extra": [1.5] * n,
            "class_name": cast(names, TEXT[text]),
            "split": cast(["train"] * n, TEXT[text]),
            "image": image,
        }
    )


@pytest.mark.parametrize("text", TEXT)
@pytest.mark.parametrize("binary", BINARY)
@pytest.mark.parametrize("order", ["bytes first", "path first", "bytes alone", "column"])
def test_files_of_any_writer_hold_the_same_dataset(tmp_path, binary, text, order):
    """polars writes views or large types, pandas dictionaries, DuckDB plain ones; some turn the fields of a struct around."""
    parts = [columns(range(k, k + 2), binary, text, order) for k in (0, 2)]
    with pq.ParquetWriter(tmp_path / "toys.parquet", parts[0].schema) as writer:
        for part in parts:  # each a row group of its own
            writer.write_table(part)
    dataset = open_dataset("toys:train", data_root=tmp_path, side=9)
    assert dataset.class_names == ("a", "b")
    assert dataset.class_sizes == (2, 2)
    expected = np.asarray(make.noise([2]).resize((9, 9), 1)).transpose(2, 0, 1)
    assert np.array_equal(dataset.images[1].numpy(), expected)


def test_dictionaries_of_many_images_are_read_batch_by_batch(tmp_path):
    made = columns(range(700), "dictionary", "string", "bytes first")
    pq.write_table(made, tmp_path / "toys.parquet")
    assert open_dataset("toys:train", data_root=tmp_path, side=3).class_sizes == (350, 350)


@pytest.mark.parametrize("settings", [
    *({"compression": name} for name in ("none", "gzip", "zstd", "lz4", "brotli")),
    {"version": "1.0"}, {"data_page_version": "2.0"}, {"store_schema": False}, {"use_dictionary": False}, {"write_page_index": True},
])  # fmt: skip
def test_files_of_any_settings_hold_the_same_dataset(tmp_path, settings):
    table(tmp_path / "plain.parquet", ["a", "b", "a"])
    pq.write_table(pq.read_table(tmp_path / "plain.parquet"), tmp_path / "other.parquet", **settings)
    a, b = (open_dataset(f"{name}:all", data_root=tmp_path).digest for name in ("plain", "other"))
    assert a == b


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int32(), pa.uint64(), pa.float32(), pa.float64()])
def test_labels_of_any_number_type_are_the_same_classes(tmp_path, kind):
    table(tmp_path / "toys.parquet", pa.array([0, 1], kind), column="label", metadata=NAMES)
    assert classes_of("toys", tmp_path) == {"all": ["ant", "bee"]}


def test_a_folder_of_parquet_files_names_what_lies_beside_them(tmp_path):
    table(tmp_path / "toys" / "train.parquet", ["a"])
    make.write_folder(tmp_path / "toys", {"README.md": b"", ".gitattributes": b"", "assets/cover.png": IMAGE})
    assert "not read: 1 .md (README.md); 1 .png (assets/cover.png); 1 hidden (.gitattributes)" in said("toys", tmp_path)


def test_a_table_without_images_beside_class_folders_is_only_named(tmp_path):
    folders(tmp_path / "toys" / "train", "a", "b")
    pq.write_table(pa.table({"file_name": ["0.png"], "caption": ["a"]}), tmp_path / "toys" / "metadata.parquet")
    assert classes_of("toys", tmp_path) == {"train": ["a", "b"]}
    assert "1 .parquet (metadata.parquet)" in said("toys", tmp_path)


@pytest.mark.parametrize("root", ["a:b", "s3:x", "split=train", "per%20cent"])
def test_a_place_is_a_path_whatever_it_is_called(tmp_path, root):
    table(tmp_path / root / "toys.parquet", ["a", "b"])
    assert classes_of("toys", tmp_path / root) == {"all": ["a", "b"]}


# What splits share


def test_shared_classes_are_counted_and_few_are_named():
    splits = {"test": list("abcdef"), "train": list("bcdefghi"), "val": ["x"]}
    assert shared_classes(splits) == ["train and test share 5 classes (b, c, d and 2 more)"]
    assert shared_classes({"train": ["a"], "test": ["b"]}) == []


def test_images_in_two_splits_are_said_when_they_are_prepared(tmp_path):
    make.write_folder(tmp_path / "toys", {
        "train/a/0.png": noise(0), "train/a/1.png": noise(1), "test/b/0.png": noise(2), "test/b/copy.png": noise(1),
    })  # fmt: skip
    result = call(
        "datasets", "prepare", "toys", "--from", tmp_path / "toys", "--data-root", tmp_path / "data", "--side", 9
    )
    told = "note: train and test have 1 image in common, for one train/a/1.png and test/b/copy.png"
    assert told in result.stderr
    assert told in call("datasets", "list", "--data-root", tmp_path / "data").stdout


def test_sources_and_targets_of_one_dataset_are_compared(tmp_path):
    folders(tmp_path / "toys" / "train", "a", "b", "c")
    folders(tmp_path / "toys" / "test", "b", "c", "d")
    folders(tmp_path / "toys" / "val", "x", "y", "z")
    folders(tmp_path / "others", "a", "b", "c")
    tasks = {
        mode: open_tasks(mode, data_root=tmp_path, ways=2, queries=1)
        for mode in ("toys:train", "toys:test", "toys:val", "others:all", "linear:test")
    }
    sources, targets = (
        [tasks["toys:train"], tasks["others:all"]],
        [tasks["toys:test"], tasks["toys:val"], tasks["linear:test"]],
    )
    assert shared_modes(sources, targets) == ["toys: train and test share 2 classes (b, c)"]
    assert shared_modes([tasks["toys:val"]], [tasks["toys:val"]]) == [
        "toys:val is source and target, so their tasks show the same classes and images"
    ]
    assert shared_modes(sources, [tasks["toys:val"]]) == []


@pytest.mark.slow
def test_compute_says_what_sources_and_targets_share(tmp_path):
    folders(tmp_path / "toys" / "train", "a", "b", "c")
    folders(tmp_path / "toys" / "test", "b", "c", "d")
    words = [
        "train",
        "--learner",
        "protonet",
        "--modes",
        "strokes",
        "--ways",
        2,
        "--queries",
        1,
        "--iterations",
        1,
        "--meta-batch",
        1,
    ]
    assert call(*words, "--out", tmp_path / "trained", "--device", "cpu").exit_code == 0
    (checkpoint,) = (tmp_path / "trained").glob("step-*1.safetensors")
    small = [
        "--n-source",
        1,
        "--n-target",
        1,
        "--alpha",
        0.01,
        "--device",
        "cpu",
        "--data-root",
        tmp_path,
        "--out",
        tmp_path / "run",
        "--dry-run",
    ]
    result = call("compute", checkpoint, "--source", "toys:train", "--target", "toys:test", *small)
    assert (result.exit_code, "note: toys: train and test share 2 classes (b, c)" in result.stderr) == (0, True), (
        result.output
    )


def test_a_split_may_be_asked_for_with_a_dash_and_nothing_else():
    with pytest.raises(UsageError, match="NAME:SPLIT"):
        tr.open_dataset("toys:../test")


def test_files_beside_the_datasets_are_named(tmp_path):
    folders(tmp_path / "toys", "a")
    make.write_folder(tmp_path, {"birds.zip": b"", "notes.txt": b"", ".hidden": b""})
    prepared("ready", tmp_path / "toys", tmp_path)
    told = f"not read in {tmp_path}: 1 .zip (birds.zip); 1 .txt (notes.txt)"
    assert f"note: {told}" in call("datasets", "list", "--data-root", tmp_path).stdout
    assert json.loads(call("datasets", "list", "--data-root", tmp_path, "--json").stdout)["notes"] == [told]


def test_verify_looks_at_every_split(tmp_path):
    make.write_folder(
        tmp_path / "toys", {f"{split}/a/{split}.png": b"" for split in ("train", "test")} | {"val/a/0.png": IMAGE}
    )
    result = call("datasets", "verify", "--data-root", tmp_path)
    assert result.exit_code == 1
    assert all(f"{split}.png" in result.stdout for split in ("train", "test"))


def test_a_list_of_ones_own_may_use_the_name_of_a_split_that_cannot_be_read(tmp_path):
    table(tmp_path / "toys" / "train.parquet", [0, 1], column="label", metadata=NAMES)
    spoilt(tmp_path / "toys" / "test.parquet", "-1")
    (tmp_path / "own.csv").write_text("class_name,split\nant,train\nbee,test\n")
    prepared("toys", tmp_path / "toys", tmp_path / "data", split_file=str(tmp_path / "own.csv"))
    assert open_dataset("toys:test", data_root=tmp_path / "data", side=9).class_names == ("bee",)
    assert "test is left out: " in call("datasets", "list", "--data-root", tmp_path / "data").stdout
