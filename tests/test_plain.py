"""Settings and headers in other files, read with the same care as run.json."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from meta_models.training import Folder
from transference.cli.options import read_config
from transference.datasets.prepared import FORMAT, prepared_files
from transference.errors import DataError, SpecMismatchError, UsageError
from transference.plain import as_list, as_number, as_record, as_whole, read_json


@pytest.mark.parametrize(
    "content",
    [
        b"x = " + b"[" * 100_000 + b"]" * 100_000,
        b"x = " + b"[" * 200 + b"]" * 200,
        b".".join([b"a"] * 30_000) + b" = 1",
        b"x = " + b"9" * 5_000,
        b"x = 1\nx = 2",
        b"\xff\xfe",
        "x = 1".encode("utf-16"),
        b"\xef\xbb\xbfx = 1",
        b"x = 2020-01-01",
        b"#" * 10**6,
        b"x",
    ],
    ids=[
        "deep",
        "rather deep",
        "dotted",
        "long number",
        "twice",
        "bytes",
        "UTF-16",
        "byte order mark",
        "date",
        "long",
        "cut",
    ],
)
def test_settings_that_are_none_are_refused(tmp_path, content):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"x\.toml"):
        read_config(path)


def test_settings_in_utf_8_are_read_whatever_the_locale(tmp_path):
    path = tmp_path / "x.toml"
    numbers = [k + 0.5 for k in range(200)]
    path.write_bytes(f'name = "ä→"\nsizes = {numbers}'.encode())
    assert read_config(path) == {"name": "ä→", "sizes": numbers}


def prepared(path, labels, about=None):
    metadata = {"about": json.dumps({"format": FORMAT}) if about is None else about}
    tensors = {
        "images": torch.zeros(1, 1, 8, 8, dtype=torch.uint8),
        "labels": torch.frombuffer(bytearray(labels), dtype=torch.uint8),
    }
    safetensors.torch.save_file(tensors, path / "x.8x8x1.safetensors", metadata=metadata)
    return prepared_files(path)[0]


@pytest.mark.parametrize(
    "labels",
    [b"[" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b"7", b"\xff", b'{"train": 1}', b'{"a": {}, "a": {}}'],
)
def test_labels_of_a_prepared_file_are_checked(tmp_path, labels):
    with pytest.raises(DataError, match="is not whole"):
        prepared(tmp_path, labels).classes()


@pytest.mark.parametrize("about", ["[" * 100_000, "7", "{", json.dumps({"format": FORMAT})[:-1] + ', "format": "x"}'])
def test_the_header_of_a_prepared_file_is_checked(tmp_path, about):
    with pytest.raises(DataError, match="is not whole"):
        prepared(tmp_path, b"{}", about).classes()


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b'{"a": 1, "a": 2}', b"7"])
def test_a_training_json_is_checked(tmp_path, content):
    (tmp_path / "training.json").write_bytes(content)
    with pytest.raises(SpecMismatchError, match="training.json is damaged"):
        Folder(tmp_path).check({})


def test_values_are_what_they_should_be():
    assert as_whole(3, "n", 0, 3) == 3
    assert as_number(3, "x") == 3.0
    assert as_list([1], "list", least=1) == [1]
    assert as_record({"a": 1}, "record", ["a"], ["a"]) == {"a": 1}
    for wrong in (True, 3.0, "3", None, 4, -1, np.int64(3)):
        with pytest.raises(ValueError, match="n is .*; expected a whole number from 0 to 3"):
            as_whole(wrong, "n", 0, 3)
    for wrong in (True, "3", None, float("nan"), float("inf"), 10**400, -1.0):
        with pytest.raises(ValueError, match="x is .*; expected a finite number from 0 on"):
            as_number(wrong, "x", 0)


def test_a_message_does_not_repeat_what_is_long():
    with pytest.raises(ValueError, match="n is ") as refused:
        as_whole("x" * 10**6, "n", 0, 1)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("depth", [50, 99])
def test_what_is_nested_as_settings_are_is_read(depth):
    assert read_json("[" * depth + "]" * depth)
