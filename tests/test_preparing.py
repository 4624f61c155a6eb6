"""The prepared form: the same dataset as decoding anew, whatever happens on the way."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner

import transference as tr
from tests import originals as make
from tests.test_datasets import rows, write_parquet
from transference.cli import main
from transference.datasets import find_reader, prepared_files, preparing, split_lists
from transference.datasets._decode import each_in_turn
from transference.datasets.preparing import _scratch, preparation, prepare
from transference.datasets.split_lists.drawn import Shares
from transference.errors import DataError, SpecMismatchError, UsageError

pytestmark = pytest.mark.slow

SIDE = 9


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def class_folders(folder, per_class=4, channels=3, splits=("train", "test")):
    files = {
        f"{split}/{split} {c}/{k:02d}.png": make.encoded(make.noise([c, k, len(split)], channels=channels))
        for split in splits
        for c in (97, 98)
        for k in range(per_class)
    }
    return make.write_folder(folder, files)


def prepared(name, place, data_root, force=False, **settings):
    with preparation(name, place, data_root, **{"side": SIDE, **settings}) as asked:
        return prepare(asked, force=force)


def same(a, b):
    assert (a.digest, a.class_names, a.starts, a.image_ids, a.name, a.split) == (
        b.digest,
        b.class_names,
        b.starts,
        b.image_ids,
        b.name,
        b.split,
    )
    assert torch.equal(a.images, b.images)


@pytest.mark.parametrize("channels", [1, 3])
def test_prepared_and_decoded_are_the_same_dataset(tmp_path, channels):
    place = class_folders(tmp_path / "direct" / "toys", channels=channels)
    prepared("toys", place, tmp_path / "data", channels=channels)
    for split in ("train", "test"):
        for asked in {channels, 3}:
            direct, mapped = (
                tr.open_dataset(f"toys:{split}", data_root=tmp_path / root, side=SIDE, channels=asked)
                for root in ("direct", "data")
            )
            same(direct, mapped)
            tasks = [tr.FewShot(dataset, ways=2, shots=1, queries=2) for dataset in (direct, mapped)]
            assert all(torch.equal(a, b) for a, b in zip(tasks[0][3].tensors, tasks[1][3].tensors, strict=True))
            assert tasks[1][3].support_x.is_contiguous()


def test_colours_are_not_prepared_as_one_channel(tmp_path):
    place = class_folders(tmp_path / "toys")
    with pytest.raises(
        DataError,
        match=r"(?s)16 of 16 images of toys cannot be used:\n.*has colours, but 1 channel was asked for.*… and 6 more$",
    ):
        prepared("toys", place, tmp_path / "data", channels=1)


def test_a_file_is_mapped_not_read(tmp_path):
    prepared("toys", class_folders(tmp_path / "toys"), tmp_path / "data")
    file = prepared_files(tmp_path / "data")[0]
    dataset = tr.open_dataset("toys:train", data_root=tmp_path / "data", side=SIDE)
    assert str(file.path) in Path("/proc/self/maps").read_text() if Path("/proc/self/maps").exists() else True
    assert len(dataset.images) == 8


def test_archives_of_class_folders_and_shards_of_parquet(tmp_path):
    folder = class_folders(tmp_path / "toys")
    files = {f"toys/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*.png")}
    digests = set()
    for k, archive in enumerate(
        (make.write_tar(tmp_path / "a.tgz", files), make.write_zip(tmp_path / "a.zip", files), folder)
    ):
        file = prepared("toys", archive, tmp_path / f"data{k}")
        digests.add(file.digest("train", 3))
    assert len(digests) == 1
    shards = tmp_path / "shards"
    shards.mkdir()
    for split in ("train", "validation"):
        for k in range(2):
            unnamed = [row | {"image": row["image"] | {"path": "image.png"}} for row in rows(2, 6)[k::2]]
            plain = [{key: row[key] for key in ("image", "class_name")} for row in unnamed]
            write_parquet(shards / f"{split}-{k:05d}-of-00002.parquet", plain)
    sizes = prepared("shards", shards, tmp_path / "data").classes()
    assert sizes == {split: {"class 0": 6, "class 1": 6} for split in ("train", "val")}
    assert (
        "train-00001-of-00002 row 5"
        in tr.open_dataset("shards:train", data_root=tmp_path / "data", side=SIDE).image_ids
    )
    same(*(tr.open_dataset("shards:val", data_root=root, side=SIDE) for root in (tmp_path, tmp_path / "data")))


# Split lists


OWN = "class_name, split\ntrain 97, test\ntrain 98, train\ntest 97, train\ntest 98, none\n"


def write_list(path, text):
    path.write_text(text)
    return str(path)


def test_ones_own_split_list_pools_and_splits_anew(tmp_path):
    place = class_folders(tmp_path / "toys")
    own = write_list(tmp_path / "own.csv", f"{OWN}ghost, val\n")
    with preparation("toys", place, tmp_path / "data", side=SIDE, split_file=own) as asked:
        assert asked.absent == ["ghost"]
        sizes = prepare(asked).classes()
    assert sizes == {"train": {"test 97": 4, "train 98": 4}, "test": {"train 97": 4}}
    ids = tr.open_dataset("toys:train", data_root=tmp_path / "data", side=SIDE).image_ids
    assert ids[0] == "test/test 97/00.png", "the split it was in, then the id it had"


@pytest.mark.parametrize(("text", "message"), [
    ("class,split\na,train\n", "has the columns class, split; a split list has class_name and split"),
    ("", r"has the columns \(none\)"),
    ("class_name,split\n", "lists no class"),
    ("class_name,split\na,\n", "line 2: a class and a split are needed, found 'a' and ''"),
    ("class_name,split\na,my split\n", "line 2: a class and a split are needed"),
    ("class_name,split\na,train\na,test\n", "puts a into both train and test"),
    ("class_name,split\na,train,robin\n", "line 2: more columns than the header names; put a class with a comma in its name in quotes"),
    (f"class_name,split\n{'a' * 200_000},train\n", "cannot be read as csv"),
    ("class_name,split\ntrain 97,train\n", r"has 3 of 4 classes that the split list .* does not name \(test 97, test 98, train 98"),
        ("class_name,split\ntrain 97,train\ntrain 98,train\ntest 97,test\ntest98,test\n", "Is test 98 the list's test98"),
])  # fmt: skip
def test_bad_lists_are_told(tmp_path, text, message):
    place = class_folders(tmp_path / "toys")
    with pytest.raises(DataError, match=message):
        prepared("toys", place, tmp_path / "data", split_file=write_list(tmp_path / "own.csv", text))


def test_a_list_that_does_not_exist_is_told_with_those_that_do(tmp_path):
    with pytest.raises(UsageError, match=r"no split list nowhere.csv; give a csv file, or one of aircraft, cub, fc100"):
        prepared("toys", class_folders(tmp_path / "toys"), tmp_path / "data", split_file="nowhere.csv")
    binary = tmp_path / "list.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is no text in UTF-8"):
        split_lists.read(str(binary))


def test_ink_and_paper_are_exchanged_on_demand(tmp_path):
    place = class_folders(tmp_path / "toys", channels=1)
    plain = prepared("toys", place, tmp_path / "plain", channels=1).open("train", 1)
    inverted = prepared("toys", place, tmp_path / "inverted", channels=1, invert=True).open("train", 1)
    assert (plain.images.int() + inverted.images.int() - 255).abs().max() <= 1, "up to the rounding of the filter"


# Beside its own images


def test_images_may_stay_beside_their_prepared_file(tmp_path):
    place = class_folders(tmp_path / "toys")
    direct = tr.open_dataset("toys:train", data_root=tmp_path, side=SIDE)
    prepared("toys", place, tmp_path)
    same(direct, tr.open_dataset("toys:train", data_root=tmp_path, side=SIDE))
    assert tr.open_dataset("toys:train", data_root=tmp_path, side=5).images.shape[2] == 5, "another size is decoded"


@pytest.mark.parametrize("change", ["one more", "one more, long ago", "other pixels of the same size"])
def test_images_that_changed_beside_their_prepared_file_are_told(tmp_path, change):
    place = class_folders(tmp_path / "toys")
    prepared("toys", place, tmp_path)
    other = place / "train" / "train 97" / ("00.png" if change.startswith("other") else "extra.png")
    old = other.read_bytes() if other.exists() else b""
    other.write_bytes(make.encoded(make.noise(77)) if not old else old[:-20] + b"\0" + old[-19:])
    os.utime(other, (0, 0) if change.endswith("ago") else None)
    message = (
        "has other images than when .* was prepared from it"
        if change.endswith("ago")
        else f"{other.name} was written after"
    )
    with pytest.raises(DataError, match=rf"{message}.* Prepare .* again with --force"):
        tr.open_dataset("toys:train", data_root=tmp_path, side=SIDE)
    if not old:
        prepared("toys", place, tmp_path, force=True)
        assert len(tr.open_dataset("toys:train", data_root=tmp_path, side=SIDE).images) == 9


def test_other_splits_beside_the_images_are_those_of_the_mode(tmp_path):
    place = class_folders(tmp_path / "toys")
    prepared("toys", place, tmp_path, split_file=write_list(tmp_path / "own.csv", OWN))
    assert tr.open_dataset("toys:train", data_root=tmp_path, side=SIDE).class_names == ("test 97", "train 98")
    with pytest.raises(DataError, match="toys is prepared at 9 pixels a side"):
        # decoding anew would give the folder's own splits
        tr.open_dataset("toys:train", data_root=tmp_path, side=5)


def test_a_prepared_file_beside_images_that_it_was_not_made_from_is_ambiguous(tmp_path):
    prepared("toys", class_folders(tmp_path / "elsewhere"), tmp_path)
    class_folders(tmp_path / "toys", per_class=2)
    with pytest.raises(DataError, match="Both .*toys and the prepared file .* could be toys; rename or move one"):
        tr.open_dataset("toys:train", data_root=tmp_path, side=SIDE)


def test_nor_does_a_folder_of_the_same_name_elsewhere_count(tmp_path):
    own = write_list(tmp_path / "own.csv", OWN)
    prepared("toys", class_folders(tmp_path / "elsewhere" / "toys"), tmp_path, split_file=own)
    class_folders(tmp_path / "toys", per_class=2)
    with pytest.raises(DataError, match="could be toys; rename or move one"):
        tr.open_dataset("toys:train", data_root=tmp_path, side=SIDE)


def test_a_size_that_is_not_prepared_is_told(tmp_path):
    prepared("toys", class_folders(tmp_path / "toys", channels=1), tmp_path / "data", channels=1)
    with pytest.raises(
        DataError, match=r"toys is prepared at 9 pixels a side in .*, but 28 were asked for. Ask with --side 9"
    ):
        tr.open_dataset("toys:train", data_root=tmp_path / "data")
    with pytest.raises(DataError, match=r"has no split 'val'; it has train, test"):
        tr.open_dataset("toys:val", data_root=tmp_path / "data", side=SIDE)


def test_what_was_prepared_otherwise_is_kept(tmp_path):
    place = class_folders(tmp_path / "toys")
    file = prepared("toys", place, tmp_path / "data")
    content = file.path.read_bytes()
    assert prepared("toys", place, tmp_path / "data").path.read_bytes() == content, "asking again changes nothing"
    with pytest.raises(
        SpecMismatchError, match="was prepared otherwise: inverted False, now True. .* replace the file with --force"
    ):
        prepared("toys", place, tmp_path / "data", invert=True)
    assert file.path.read_bytes() == content


@pytest.mark.parametrize("change", ["splits", "images", "shades"])
def test_a_mode_is_one_dataset_at_all_its_sizes(tmp_path, change):
    place = class_folders(tmp_path / "toys")
    prepared("toys", place, tmp_path / "data")
    message = {"splits": "split_list None, now", "images": "from other images", "shades": "inverted False, now True"}[
        change
    ]
    if change == "images":
        (place / "test" / "test 97" / "00.png").unlink()
    settings = {
        "splits": {"split_file": write_list(tmp_path / "own.csv", OWN)},
        "images": {},
        "shades": {"invert": True},
    }[change]
    with pytest.raises(SpecMismatchError, match=f"{message}.*A mode is one dataset at all its sizes"):
        prepared("toys", place, tmp_path / "data", side=5, **settings)
    assert [file.side for file in prepared_files(tmp_path / "data")] == [SIDE]


def test_a_damaged_file_is_prepared_anew(tmp_path):
    place = class_folders(tmp_path / "toys")
    file = prepared("toys", place, tmp_path / "data")
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[:-5])
    assert prepared("toys", place, tmp_path / "data").path.read_bytes() == whole


def test_names_that_cannot_be(tmp_path):
    place = class_folders(tmp_path / "toys")
    for name, message in {
        "strokes": "is a generated mode",
        "a:b": "cannot be the name of a mode",
        " ": "cannot be the name of a mode",
        "../x": "cannot be",
        ".x": "cannot be",
        "../../esc": "cannot be",
    }.items():
        result = call("datasets", "prepare", name, "--from", place, "--data-root", tmp_path)
        assert (result.exit_code, message in result.stderr) == (2, True), result.output
    assert [path.name for path in tmp_path.iterdir()] == ["toys"]


# Interruptions


class Interrupted(BaseException):
    pass


def counting(monkeypatch, stop_at=None):
    """Count the images decoded; with ``stop_at``, interrupt when that one is asked for."""
    decoded = []
    whole = preparing.pixels_of

    def pixels_of(name, side, channels, picture):
        decoded.append(picture.image_id)
        return whole(name, side, channels, picture)

    def one_by_one(work, items):
        for k, item in enumerate(items):
            if k == stop_at:
                raise Interrupted
            yield item, lambda item=item: work(item)

    monkeypatch.setattr(preparing, "pixels_of", pixels_of)
    monkeypatch.setattr(preparing, "each_in_turn", one_by_one)
    return decoded


@pytest.mark.parametrize("damage", ["none", "half a label", "half an image", "labels lost", "pixels lost"])
def test_an_interrupted_preparation_goes_on_to_the_same_file(tmp_path, monkeypatch, damage):
    place = class_folders(tmp_path / "toys")
    expected = prepared("toys", place, tmp_path / "undisturbed").path.read_bytes()
    monkeypatch.setattr(_scratch, "_EVERY", 4)
    with monkeypatch.context() as patch:
        first = counting(patch, stop_at=11)
        with pytest.raises(Interrupted):
            prepared("toys", place, tmp_path / "data")
    assert len(first) == 11
    assert prepared_files(tmp_path / "data") == [], "nothing half is seen"
    (scratch,) = (tmp_path / "data" / ".preparing").glob("*/pixels")
    labels, kept = scratch.with_name("labels"), 11
    if damage == "half a label":
        labels.write_text(labels.read_text()[:-5])
        kept = 10
    elif damage == "half an image":
        scratch.write_bytes(scratch.read_bytes()[: 3 * SIDE**2 * 6 + 5])
        kept = 6
    elif damage == "labels lost":
        labels.unlink()
        kept = 0
    elif damage == "pixels lost":
        scratch.unlink()
        kept = 0
    second = counting(monkeypatch)
    assert prepared("toys", place, tmp_path / "data").path.read_bytes() == expected
    assert len(second) == 16 - kept
    assert sorted(path.name for path in (tmp_path / "data").rglob("*") if path.is_file()) == [
        "toys.9x9x3.safetensors",
    ]


@pytest.mark.parametrize("same_size", [True, False])
def test_what_was_done_for_other_images_is_not_used(tmp_path, monkeypatch, same_size):
    place = class_folders(tmp_path / "toys")
    with monkeypatch.context() as patch:
        counting(patch, stop_at=11)
        with pytest.raises(Interrupted):
            prepared("toys", place, tmp_path / "data")
    other = place / "test" / "test 97" / "00.png"
    size = len(other.read_bytes())
    other.write_bytes(make.encoded(make.noise(99) if same_size else make.noise(99, (8, 8))))
    assert (len(other.read_bytes()) == size) == same_size
    decoded = counting(monkeypatch)
    dataset = prepared("toys", place, tmp_path / "data").open("test", 3)
    assert len(decoded) == 16
    shutil.copytree(place, tmp_path / "direct" / "toys")
    same(dataset, tr.open_dataset("toys:test", data_root=tmp_path / "direct", side=SIDE))


STOPS = """
import time
from transference.cli import main
from transference.datasets.preparing import _scratch

def once(scratch):
    _scratch.Scratch._flush = flush
    flush(scratch)
    time.sleep(600)

_scratch._EVERY, flush, _scratch.Scratch._flush = 5, _scratch.Scratch._flush, once
main()
"""
"""The program, which does nothing more once it has kept five images."""


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_command_goes_on_from_the_images_that_it_kept(tmp_path, monkeypatch, kill):
    place = class_folders(tmp_path / "toys")
    undisturbed = prepared("toys", place, tmp_path / "undisturbed").path
    words = ["datasets", "prepare", "toys", "--from", place, "--data-root", tmp_path / "data", "--side", SIDE]
    process = subprocess.Popen([sys.executable, "-c", STOPS, *map(str, words)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not any(file.read_text().count("\n") == 5 for file in tmp_path.glob("data/.preparing/*/labels")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(kill)
    told = process.communicate()[1]
    assert process.returncode == (130 if kill == signal.SIGINT else -kill), told
    assert not list((tmp_path / "data").glob("*.safetensors"))
    decoded = counting(monkeypatch)
    again = call(*words)
    assert again.exit_code == 0, again.output
    assert len(decoded) == 16 - 5
    assert "toys:train" in again.stdout
    assert (tmp_path / "data" / undisturbed.name).read_bytes() == undisturbed.read_bytes()


def test_two_cannot_prepare_the_same_mode(tmp_path):
    place = class_folders(tmp_path / "toys")
    with preparation("toys", place, tmp_path / "data", side=SIDE):
        with pytest.raises(UsageError, match="toys is being prepared in .* by another process"):
            prepared("toys", place, tmp_path / "data")
        prepared("others", place, tmp_path / "data")


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("place", ["nothing.txt", "broken.zip", "empty", "toys"])
def test_what_is_refused_leaves_nothing_behind(tmp_path, there, place):
    make.write_folder(tmp_path, {"nothing.txt": b"", "broken.zip": b"PK\x05\x06" + bytes(18), "empty/readme.txt": b""})
    class_folders(tmp_path / "toys")
    if there:
        (tmp_path / "data").mkdir()
    words = ["--split", "60,20,20"] if place == "toys" else []
    result = call("datasets", "prepare", "toys", "--from", tmp_path / place, "--data-root", tmp_path / "data", *words)
    assert result.exit_code in (1, 2), result.output
    assert list(tmp_path.glob("data*")) == [tmp_path / "data"] * there
    assert list(tmp_path.glob("data/**/*")) == []


def test_every_damaged_image_is_named_at_once(tmp_path):
    place = class_folders(tmp_path / "toys")
    for k in range(3):
        path = place / "train" / "train 98" / f"{k:02d}.png"
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(
        DataError, match=r"3 of 16 images of toys cannot be used:(\n  .*train 98/0\d.png: the image cannot be.*){3}$"
    ):
        prepared("toys", place, tmp_path / "data")
    assert prepared_files(tmp_path / "data") == []


def test_a_damaged_image_does_not_spoil_what_comes_after_it(tmp_path, monkeypatch):
    """Interrupted after a failure, then repeated with the image made good."""
    place = class_folders(tmp_path / "toys")
    expected = prepared("toys", place, tmp_path / "undisturbed").path.read_bytes()
    path = place / "test" / "test 97" / "01.png"
    good, state = path.read_bytes(), path.stat()
    path.write_bytes(good[:60] + bytes(len(good) - 60))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with monkeypatch.context() as patch:
        counting(patch, stop_at=14)
        with pytest.raises(Interrupted):
            prepared("toys", place, tmp_path / "data")
    path.write_bytes(good)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    decoded = counting(monkeypatch)
    assert prepared("toys", place, tmp_path / "data").path.read_bytes() == expected
    assert 0 < len(decoded) < 16, "those before it need not be done again"


@pytest.mark.parametrize(
    "lines",
    ["null\n", '{"a": 1, "b": 2, "c": 3}\n', '["train", "train 97"]\n', '["train", "train 97", "another"]\n', "\0\0\0"],
)
def test_labels_of_another_making_are_not_believed(tmp_path, monkeypatch, lines):
    place = class_folders(tmp_path / "toys")
    expected = prepared("toys", place, tmp_path / "undisturbed").path.read_bytes()
    with monkeypatch.context() as patch:
        counting(patch, stop_at=11)
        with pytest.raises(Interrupted):
            prepared("toys", place, tmp_path / "data")
    (labels,) = (tmp_path / "data" / ".preparing").glob("*/labels")
    labels.write_text(lines)
    with contextlib.suppress(DataError):  # "It is removed; repeat the command"
        prepared("toys", place, tmp_path / "data")
    assert prepared("toys", place, tmp_path / "data").path.read_bytes() == expected


def test_archives_win_over_a_folder_that_may_be_half_of_them(tmp_path):
    place = make.write_folder(tmp_path / "place", {"CUB_200_2011/images/1.jpg": b""})
    make.write_tar(place / "CUB_200_2011.tgz", make.cub())
    assert prepared("cub", place, tmp_path / "data").classes()["train"]
    result = call(
        "datasets", "prepare", "cub", "--from", place, "--data-root", tmp_path / "data", "--side", 5, "--dry-run"
    )
    assert result.exit_code == 0, result.output
    assert "unpacking" in result.stderr
    assert not (tmp_path / "data" / ".preparing" / "unpacked" / "cub").exists(), "nothing is left of it"


def test_a_disk_with_too_little_room_is_told_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(DataError, match=r"has 0.0 GB left; preparing toys needs"):
        prepared("toys", class_folders(tmp_path / "toys"), tmp_path / "data")


def test_images_are_worked_on_a_bounded_number_at_a_time():
    taken = []

    def items():
        for k in range(500):
            taken.append(k)
            yield k

    for done, (item, result) in enumerate(each_in_turn(lambda k: k * k, items())):
        assert result() == item**2
        assert len(taken) <= done + 65


# Damaged and foreign files


def test_verify_finds_a_flipped_bit(tmp_path):
    file = prepared("toys", class_folders(tmp_path / "toys"), tmp_path / "data")
    assert call("datasets", "verify", "--data-root", tmp_path / "data").exit_code == 0
    content = bytearray(file.path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    content[start + 5] ^= 1
    file.path.write_bytes(content)
    result = call("datasets", "verify", "toys", "--data-root", tmp_path / "data")
    assert result.exit_code == 1
    assert "train with 3 channels has the digest" in result.stdout
    assert "prepare toys again with --force" in result.stdout
    assert "test with" not in result.stdout


def broken_header(content, change):
    size = int.from_bytes(content[:8], "little")
    text = json.dumps(change(json.loads(content[8 : 8 + size]))).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def other_shape(head):
    head["images"]["shape"] = [16, 3, 81, 1]
    return head


def no_about(head):
    head["__metadata__"] = {"about": "{"}
    return head


def relabelled(change):
    """Return what writes a whole file with other labels."""

    def write(content):
        size = int.from_bytes(content[:8], "little")
        head, body = json.loads(content[8 : 8 + size]), content[8 + size :]
        start, stop = head["labels"]["data_offsets"]
        labels = change(json.loads(body[start:stop]))
        labels = labels if isinstance(labels, bytes) else json.dumps(labels).encode()
        head["labels"] |= {"shape": [len(labels)], "data_offsets": [start, start + len(labels)]}
        text = json.dumps(head).encode()
        return len(text).to_bytes(8, "little") + text + body[:start] + labels

    return write


def of_train(change):
    """Return what changes the labels of the split train."""
    return relabelled(lambda labels: {**labels, "train": change(**labels["train"])})


def about(text):
    return lambda content: broken_header(content, lambda head: {**head, "__metadata__": {"about": text}})


def signed_bytes(head):
    head["images"]["dtype"] = "I8"
    return head


def twice_a_class(classes, digests):
    (name, ids), *others = classes
    return {"classes": [[name, ids[:1]], [name, ids[1:]], *others], "digests": digests}


@pytest.mark.parametrize(("change", "message"), [
    (about("[1]"), "it is no prepared dataset"),
    (about("[" * 100_000), "its metadata cannot be read"),
    (lambda content: broken_header(content, signed_bytes), "its images are I8, not U8"),
    (relabelled(lambda _: b"[" * 100_000), "its labels cannot be read"),
    (relabelled(lambda _: [1]), "its labels cannot be read"),
    (of_train(lambda classes, digests: {"classes": classes, "digests": {}}), "there are digests for"),
    (of_train(lambda classes, digests: {"classes": classes, "digests": {"3": 5}}), "are texts"),
    (of_train(lambda classes, digests: {"classes": [[c, "abcd"] for c, _ in classes], "digests": digests}), "are texts"),
    (of_train(lambda classes, digests: {"classes": [[1, ids] for _, ids in classes], "digests": digests}), "are texts"),
    (of_train(lambda classes, digests: {"classes": classes[::-1], "digests": digests}), "out of order"),
    (of_train(lambda classes, digests: {"classes": [[c, ids[::-1]] for c, ids in classes], "digests": digests}), "out of order"),
    (of_train(twice_a_class), "out of order"),
    (lambda content: content[:-3], "is not whole"),
    (lambda content: content[:5], "is not whole"),
    (lambda _: b"", "is not whole"),
    (lambda content: broken_header(content, other_shape), r"it holds images \[16, 3, 81, 1\], but labels for 16 of 9×9"),
    (lambda content: broken_header(content, no_about), "its metadata cannot be read"),
    (lambda content: broken_header(content, lambda head: {**head, "__metadata__": {}}), "it is no prepared dataset"),
    (lambda content: content.replace(b'{"train":', b'["train":'), "its labels cannot be read"),
    (lambda content: content.replace(b'"digests"', b'"digesTs"'), "its labels cannot be read"),
    (lambda content: content.replace(b'["train 97", [', b'["train 97", 1'), "its labels cannot be read"),
])  # fmt: skip
def test_damaged_prepared_files_are_told(tmp_path, change, message):
    file = prepared("toys", class_folders(tmp_path / "toys"), tmp_path / "data")
    whole = file.path.read_bytes()
    file.path.unlink()
    file.path.write_bytes(change(whole))
    with pytest.raises(DataError, match=message):
        tr.open_dataset("toys:train", data_root=tmp_path / "data", side=SIDE)
    listed = call("datasets", "list", "--data-root", tmp_path / "data")
    assert listed.exit_code == 0
    assert "toys" in listed.stdout
    assert call("datasets", "verify", "--data-root", tmp_path / "data").exit_code == 1
    whole_again = prepared("toys", tmp_path / "toys", tmp_path / "data")
    assert whole_again.path.read_bytes() == whole, "what cannot be read is in nobody's way"


def test_an_id_given_twice_is_refused_before_anything_is_written(tmp_path):
    from transference.datasets.prepared import write

    (tmp_path / "pixels").write_bytes(bytes(2 * SIDE**2))
    with pytest.raises(DataError, match="an image id is used twice"):
        write(
            tmp_path / "x.9x9x1.safetensors",
            [("train", "a", "1"), ("train", "b", "1")],
            tmp_path / "pixels",
            SIDE,
            1,
            {},
        )
    assert not list(tmp_path.glob("*.safetensors"))


def test_the_file_is_safetensors_that_anyone_can_read(tmp_path):
    from safetensors.numpy import load_file

    file = prepared("toys", class_folders(tmp_path / "toys"), tmp_path / "data")
    images = load_file(file.path)["images"]
    assert np.array_equal(images[8:], file.open("test", 3).images.numpy())


# The command


def test_where_to_look_must_be_said_once(tmp_path):
    for words, message in {
        (): "--from (expected: images_background and images_evaluation",
        ("--from", tmp_path, "--download"): "is here already; leave out --download",
    }.items():
        result = call("datasets", "prepare", "omniglot", "--data-root", tmp_path, *words)
        assert (result.exit_code, message in result.stderr) == (2, True), result.output


@pytest.mark.parametrize(("place", "message"), [
    ("absent", "does not exist; give the archive, folder or file"),
    ("text.txt", "is no zip or tar archive .* no parquet file and no folder"),
    ("empty", "holds no dataset that can be read as toys: .* found: nothing"),
    ("text.parquet", "cannot be read as a parquet file"),
])  # fmt: skip
def test_places_without_images_are_told(tmp_path, place, message):
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "text.parquet").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        prepared("toys", tmp_path / place, tmp_path / "data")


def test_a_form_that_is_nearly_whole_is_suggested(tmp_path):
    make.write_zip(tmp_path / "images_background.zip", make.omniglot("images_background"))
    with pytest.raises(DataError, match="It looks like omniglot as it is distributed: add --form omniglot"):
        prepared("Omniglot", tmp_path, tmp_path / "data")


def test_what_is_odd_is_said(tmp_path):
    flat = class_folders(tmp_path / "flat", splits=("a", "b"))
    own = write_list(
        tmp_path / "own.csv", "class_name,split\na 97,train\na 98,train\nb 97,tets\nb 98,tets\nghost,test\n"
    )
    place = make.write_folder(
        tmp_path / "pool", {f"{p.parent.name}/{p.name}": p.read_bytes() for p in flat.rglob("*.png")}
    )
    words = ("datasets", "prepare", "flat", "--from", place, "--data-root", tmp_path / "data", "--split-file", own)
    first, again = call(*words), call(*words)
    assert (first.exit_code, again.exit_code) == (0, 0), first.output
    assert "there are no images for test" in first.stderr
    assert "the split tets is none of train, val, test; is it meant?" in first.stderr
    assert "nothing was done" not in first.stderr
    assert "it is prepared already, and nothing was done" in again.stderr


def test_verify_sees_that_the_images_beside_have_changed(tmp_path):
    place = class_folders(tmp_path / "toys")
    prepared("toys", place, tmp_path)
    assert "good" in call("datasets", "verify", "--data-root", tmp_path).stdout
    (place / "train" / "train 97" / "extra.png").write_bytes(make.encoded(make.noise(77)))
    result = call("datasets", "verify", "--data-root", tmp_path)
    assert (result.exit_code, "extra.png was written after" in result.stdout) == (1, True), result.output


def test_a_folder_without_splits_says_how_to_get_them(tmp_path):
    make.write_folder(tmp_path / "flat", {"a/1.png": make.encoded(make.noise(1))})
    with pytest.raises(
        DataError, match="has no split 'train'; it has all. To split it by class: .* --split 0.6,0.2,0.2"
    ):
        tr.open_dataset("flat:train", data_root=tmp_path)


def test_a_folder_with_spaces_is_listed_under_the_name_to_use(tmp_path):
    class_folders(tmp_path / "my birds")
    class_folders(tmp_path / "toys")
    listed = call("datasets", "list", "--data-root", tmp_path)
    assert listed.exit_code == 0, listed.output
    assert "\nmy-birds " in listed.stdout
    assert "my birds is called my-birds here; write my-birds:SPLIT" in listed.stdout
    assert "toys is called" not in listed.stdout
    verified = call("datasets", "verify", "--data-root", tmp_path)
    assert verified.exit_code == 0, verified.output
    found = tr.open_dataset("my-birds:train", data_root=tmp_path)
    assert (found.name, found.image_ids[0]) == ("my-birds", "train/train 97/00.png")
    with pytest.raises(UsageError, match=r"'my birds:test' does not name a mode.*for example my-birds:test\."):
        tr.open_dataset("my birds:test", data_root=tmp_path)
    class_folders(tmp_path / "my-birds")  # one that is really called so
    assert "its name, is another's here" in call("datasets", "list", "--data-root", tmp_path).stdout


def test_a_name_with_spaces_is_made_usable_and_said(tmp_path):
    place, root = class_folders(tmp_path / "my birds"), tmp_path / "data"
    result = call("datasets", "prepare", "my birds", "--from", place, "--data-root", root, "--side", SIDE)
    assert result.exit_code == 0, result.output
    assert "'my birds' is prepared as my-birds" in result.stderr
    assert tr.open_dataset("my-birds:train", data_root=root, side=SIDE).name == "my-birds"
    beside = call("datasets", "prepare", "my birds", "--from", place, "--data-root", tmp_path, "--side", SIDE)
    assert beside.exit_code == 0, beside.output
    same(*(tr.open_dataset("my-birds:train", data_root=folder, side=SIDE) for folder in (root, tmp_path)))


# Splits that are drawn


def flat(folder, n=10, per_class=2):
    files = {f"kind {c:02d}/{k}.png": make.encoded(make.noise([c, k])) for c in range(n) for k in range(per_class)}
    return make.write_folder(folder, files)


def test_a_split_is_drawn_by_class_and_recorded(tmp_path):
    place, root = flat(tmp_path / "toys"), tmp_path / "data"
    words = ["datasets", "prepare", "toys", "--from", place, "--data-root", root, "--side", SIDE]
    result = call(*words, "--split", "0.6,0.2,0.2")
    assert result.exit_code == 0, result.output
    (file,) = prepared_files(root, "toys")
    classes = file.classes()
    assert {split: len(names) for split, names in classes.items()} == {"train": 6, "val": 2, "test": 2}
    assert len({name for names in classes.values() for name in names}) == 10
    assert list(classes["test"]) == ["kind 00", "kind 02"], "what every machine draws with seed 0"
    for again in (["--split", "0.6,0.2,0.2", "--split-seed", 0], ["--split", "6,2,2"]):  # the same split, however asked
        quiet = call(*words, *again)
        assert (quiet.exit_code, "prepared already" in quiet.stderr) == (0, True), quiet.output
    for other in (["--split", "0.6,0.2,0.2", "--split-seed", 1], ["--split", "0.8,0.2"], []):
        told = call(*words, *other)
        assert (told.exit_code, "--force" in told.stderr, told.stderr.count("error")) == (2, True, 1), told.output
    assert call(*words, "--split", "0.8,0.2", "--force").exit_code == 0
    (file,) = prepared_files(root, "toys")
    assert {split: len(names) for split, names in file.classes().items()} == {"train": 8, "test": 2}


def test_splits_found_are_pooled_before_others_are_drawn(tmp_path):
    place = class_folders(tmp_path / "toys")
    result = call(
        "datasets",
        "prepare",
        "toys",
        "--from",
        place,
        "--data-root",
        tmp_path / "data",
        "--split",
        "2,1,1",
        "--dry-run",
    )
    assert result.exit_code == 0, result.output
    assert "the splits found (train, test) are pooled" in result.stderr
    assert "toys:val          1 classes" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "0.6,0.6"], "add up to 1.2"),
        (["--split", "0.5"], "two numbers"),
        (["--split", "0.25,0.25,0.25,0.25"], "two numbers"),
        (["--split", "a,b"], "two numbers"),
        (["--split", "1,0"], "above 0"),
        (["--split", "nan,1"], "above 0"),
        (["--split", ""], "two numbers"),
        (["--split", "6,3"], "has 10 classes, and 6+3 = 9"),
        (["--split", "0.5,0.5", "--split-file", "omniglot"], "both given"),
        (["--split-seed", "3"], "without --split"),
    ],
)
def test_shares_that_cannot_be_are_told(tmp_path, words, message):
    result = call(
        "datasets",
        "prepare",
        "toys",
        "--from",
        flat(tmp_path / "toys", per_class=1),
        "--data-root",
        tmp_path / "data",
        *words,
    )
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert not list((tmp_path / "data").glob("*.safetensors"))


def test_shares_leave_no_split_empty_and_lose_no_class():
    for n in (3, 4, 7, 10, 33, 100):
        for numbers in ((0.6, 0.2, 0.2), (0.98, 0.01, 0.01), (0.01, 0.01, 0.98), (0.33, 0.33, 0.33), (0.9, 0.1)):
            drawn = Shares(numbers).draw([f"c{k}" for k in range(n)], "here").entries
            counts = [list(drawn.values()).count(split) for split in dict.fromkeys(drawn.values())]
            assert len(drawn) == n
            assert len(counts) == len(numbers)
            assert all(abs(count - share / sum(numbers) * n) <= 2 for count, share in zip(counts, numbers, strict=True))
    with pytest.raises(DataError, match="has 2 classes, too few for 3 splits"):
        Shares((0.6, 0.2, 0.2)).draw(["a", "b"], "here")
    assert Shares((0.5, 0.5)).draw("abcd", "").entries == Shares((0.5, 0.5)).draw("dcba", "").entries


# A single split


def test_a_dataset_with_a_single_split_needs_none_named(tmp_path):
    flat(tmp_path / "toys")
    class_folders(tmp_path / "cut")
    assert tr.open_dataset("toys", data_root=tmp_path, side=SIDE).split == "all"
    shape = {"data_root": tmp_path, "side": SIDE, "ways": 2, "queries": 1}
    assert tr.open_tasks("toys", **shape).name == tr.open_tasks("toys:all", **shape).name
    assert tr.few_shot("toys", **shape).name == "toys:all/2-way/1-shot/1-query/seed-0"
    for several in ("cut", "strokes"):
        with pytest.raises(UsageError, match=f"example {several}:train; there are train, (val, )?test"):
            tr.open_tasks(several, **shape)
    with pytest.raises(UsageError, match=r"example mix\[a\]:train"):
        tr.open_tasks("mix[a]")


def test_training_says_that_it_uses_all_of_a_dataset_without_splits(tmp_path):
    flat(tmp_path / "toys")
    make.write_folder(
        tmp_path / "late", {f"test/{c}/{k}.png": make.encoded(make.noise([c, k])) for c in range(4) for k in range(2)}
    )
    words = [
        "--learner",
        "protonet",
        "--data-root",
        tmp_path,
        "--ways",
        2,
        "--queries",
        1,
        "--out",
        tmp_path / "out",
        "--dry-run",
    ]
    result = call("train", "--modes", "toys", *words)
    assert result.exit_code == 0, result.output
    assert "toys has no splits, and all its classes are trained on" in result.stderr
    refused = call("train", "--modes", "late", *words)
    assert (refused.exit_code, "has no split 'train'; it has test" in refused.stderr) == (1, True), refused.output


# What is no dataset


def test_folders_of_other_things_are_no_datasets(tmp_path):
    root = tmp_path / "data"
    class_folders(root / "toys")
    (root / "empty").mkdir(parents=True)
    (root / "runs" / "first" / "pairs").mkdir(parents=True)
    (root / "runs" / "first" / "run.json").write_text("{}")
    pd.DataFrame({"source": [0]}).to_parquet(root / "runs" / "first" / "pairs" / "tile.parquet")
    make.write_folder(root / "runs" / "figures", {"a/1.png": make.encoded(make.noise(1))})
    make.write_folder(root / "flat", {f"{k}.png": make.encoded(make.noise(k)) for k in range(2)})
    listed = call("datasets", "list", "--data-root", root)
    assert listed.exit_code == 0, listed.output
    assert [line for line in listed.stdout.splitlines() if "cannot be used" in line and "flat" not in line] == []
    assert "flat " in listed.stdout, "images in no class folder are meant as a dataset"
    assert f"note: no datasets in {root}, since they hold runs or no images: empty/, runs/" in listed.stdout
    (root / "flat" / "0.png").unlink()
    (root / "flat" / "1.png").unlink()
    assert call("datasets", "verify", "--data-root", root).exit_code == 0


@pytest.mark.parametrize("column", ["image", "image.bytes", "null", "file_name"])
def test_a_table_of_paths_says_so_when_it_is_listed(tmp_path, column):
    paths = [f"/somewhere/{k}.png" for k in range(4)]
    images = {
        "image": pa.array(paths),
        "file_name": pa.array(paths),
        "image.bytes": pa.array(
            [{"bytes": None, "path": path} for path in paths],
            pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        ),
        "null": pa.array([{"bytes": None, "path": path} for path in paths]),
    }[column]
    name = column if column == "file_name" else "image"
    pq.write_table(pa.table({name: images, "label": ["a", "a", "b", "b"]}), tmp_path / "toys.parquet")
    listed = call("datasets", "list", "--data-root", tmp_path)
    assert listed.exit_code == 0
    assert f"holds only the paths of images (column {name})" in listed.stdout
    assert "into class folders" in listed.stdout
    with pytest.raises(DataError, match="holds only the paths of images"):
        tr.open_dataset("toys:all", data_root=tmp_path)


def test_a_sheet_shows_names_as_they_are(tmp_path):
    make.write_folder(
        tmp_path / "odd", {f"{name}/1.png": make.encoded(make.noise(1)) for name in ("$$", "$a_$", "a\x1b[2Jb")}
    )
    result = call("datasets", "show", "odd", "--data-root", tmp_path, "-o", tmp_path / "odd.png")
    assert result.exit_code == 0, result.output
    (tmp_path / "odd" / "a\x1b[2Jb" / "1.png").write_bytes(b"")
    told = call("datasets", "verify", "odd", "--data-root", tmp_path).output
    assert "\x1b" not in told


def test_dry_run_prepares_nothing(tmp_path):
    place = class_folders(tmp_path / "toys")
    result = call("datasets", "prepare", "toys", "--from", place, "--data-root", tmp_path / "data", "--dry-run")
    assert result.exit_code == 0
    assert "would prepare 16 images, 0.0 MB" in result.stdout
    assert "toys:train" in result.stdout
    assert not list((tmp_path / "data").glob("*.safetensors"))


def test_list_as_json(tmp_path):
    prepared("toys", class_folders(tmp_path / "toys"), tmp_path / "data")
    found = json.loads(call("datasets", "list", "--data-root", tmp_path / "data", "--json").stdout)
    toys = next(entry for entry in found["datasets"] if entry["name"] == "toys")
    assert toys["splits"] == {split: {"classes": 2, "images": 8} for split in ("train", "test")}
    assert toys["prepared"] == ["9x9x3"]
    assert set(found["known"]) >= {"aircraft", "cub", "fc100", "mini-imagenet", "omniglot"}


def test_a_known_dataset_that_is_not_there_is_told_how_to_bring(tmp_path):
    with pytest.raises(DataError, match="To bring it here: transference datasets prepare cub"):
        find_reader("cub", tmp_path)
