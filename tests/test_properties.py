"""What must hold of every input that a reader may meet, tried on inputs that nobody thought of."""

import copy
import csv
import hashlib
import io
import json
import math
import unicodedata
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

import transference as tr
from tests.strangers import PixelPrototypes
from transference._csv import write_csv
from transference.checkpoints.steps import MOST_STEPS, step_in_name, step_of
from transference.datasets._names import as_seen, known_split, split_names
from transference.errors import StoreError
from transference.plain import read_json

LEAVES = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=8)
PLAIN = st.recursive(
    LEAVES, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=4), inside, max_size=4)
)


# Plain JSON


@given(PLAIN)
def test_json_that_was_written_is_read(value):
    assert repr(read_json(json.dumps(value))) == repr(value)  # as words: NaN equals nothing


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(b'{"a": 1, "a": 2}')
@example(b"9" * 5000)
def test_any_bytes_are_json_or_a_sentence(content):
    with suppress(ValueError):
        read_json(content)


@given(st.dictionaries(st.text(max_size=4), LEAVES, min_size=1), st.data())
def test_a_key_twice_is_never_read(value, data):
    name = data.draw(st.sampled_from(sorted(value)))
    doubled = f"{json.dumps(value)[:-1]}, {json.dumps(name)}: 0}}"
    with pytest.raises(ValueError, match="twice"):
        read_json(doubled)


# Csv


@given(st.lists(st.tuples(st.text(), st.floats()), min_size=1, max_size=6))
@example([("=1+1\r\n+2", 0.1), ("\t-x", math.nan), ('a"b,c', -1e300)])
def test_a_csv_has_a_line_a_row_and_no_formula(rows):
    table, file = pd.DataFrame(rows, columns=["name", "value"]).astype({"name": object}), io.BytesIO()
    write_csv(table, file)
    text = file.getvalue().decode()
    assert text.count("\n") == len(rows) + 1
    for cells, (_, value) in zip(list(csv.reader(io.StringIO(text)))[1:], rows, strict=True):
        assert not cells[0].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert cells[0].isprintable()
        assert cells[1] == "" if math.isnan(value) else float(cells[1]) == value


# Names of classes and splits


@given(st.text(max_size=12))
def test_a_name_looks_the_same_when_it_is_looked_at_again(name):
    seen = as_seen(name)
    assert as_seen(seen) == seen
    assert bool(seen) == bool(name)


@given(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=12))
def test_copies_of_a_name_look_alike(name):
    copies = [f"{name} ", f"\ufeff{name}", *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]
    assert {as_seen(other) for other in copies} == {as_seen(name)}


@given(
    st.lists(
        st.sampled_from(["train", "Train", "base", "val", "valid", "dev", "meta-test", "novel", "robin", "extra"]),
        unique=True,
    )
)
def test_words_for_splits_never_merge(words):
    found = split_names(words)
    assert set(found) == set(words)
    kinds = [known_split(word) for word in words]
    for word, kind in zip(words, kinds, strict=True):
        assert found[word] == (kind if kind and kinds.count(kind) == 1 else word)
    assert len(set(found.values())) == len(words)


# Steps of checkpoints

STEMS = st.sampled_from(["net", "maml", "protonet", "MyModel", "runs-of-may", "encoder"])
MARKS = st.sampled_from(["step_{}", "step={}", "iter-{}", "iteration{}", "ckpt-{}", "checkpoint_{}"])
SUFFIXES = st.sampled_from([".pt", ".pth", ".pth.tar", ".ckpt", ".safetensors", ".bin", ""])


@given(STEMS, MARKS, st.integers(100, 9_999_999), SUFFIXES)
def test_a_marked_step_is_read_whatever_stands_before_and_behind(stem, mark, step, suffix):
    found = step_in_name(Path(f"{stem}_{mark.format(step)}{suffix}"))
    assert found is not None
    assert found.step == step


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=30), st.integers(0, MOST_STEPS))
def test_what_the_file_says_goes_before_its_name(name, step):
    assert step_of({"global_step": step, "state_dict": {}}, Path(name)).step == step


@given(st.text(max_size=40) | st.from_regex(r"([a-z]{1,8}[_=.-]?){1,3}[0-9]{1,20}k?(\.pt)?", fullmatch=True))
def test_any_name_has_a_step_that_can_be_one_or_none(name):
    found = step_in_name(Path("folder") / name.replace("\0", ""))
    assert found is None or (0 <= found.step <= MOST_STEPS and found.origin)


# Run folders


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    learner = PixelPrototypes()
    tasks = [tr.few_shot(f"{mode}:val", ways=3, queries=2) for mode in ("strokes", "shapes")]
    out = tmp_path_factory.mktemp("properties") / "run"
    return tr.measure(learner, tr.Checkpoint(learner.init_params(0), 10), *tasks, out=out, n_source=3, n_target=2,
                      lookahead=tr.SGD(0.1), controls=1, device="cpu")  # fmt: skip


def opened(path):
    """Return the run and why it is refused, one of the two."""
    try:
        return tr.open_run(path), None
    except StoreError as error:
        return None, str(error)


def places(value, so_far=()):
    """Yield the way to each value inside."""
    yield so_far
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*so_far, key))


@given(st.data(), PLAIN)
def test_a_run_json_with_another_value_opens_or_says_why(run, data, value):
    file, about = run.path / "run.json", copy.deepcopy(run.about())
    kept = file.read_bytes()
    *way, last = data.draw(st.sampled_from([place for place in places(about) if place and place != ("digest",)]))
    inside = about
    for part in way:
        inside = inside[part]
    inside[last] = value
    about["digest"] = hashlib.blake2b(json.dumps(about["spec"], sort_keys=True).encode(), digest_size=16).hexdigest()
    try:
        file.write_text(json.dumps(about))
        found, refusal = opened(run.path)
        assert found.spec.digest == about["digest"] if found else "\n" not in refusal and len(refusal) < 1000
    finally:
        file.write_bytes(kept)


@given(st.data())
def test_a_table_with_another_byte_is_the_same_or_refused(run, data):
    """Of a disk or a wire; pages and columns have digests."""
    [file] = (run.path / "pairs").rglob("*.parquet")
    kept, expected = file.read_bytes(), run.pairs()
    place, bit = data.draw(st.integers(0, len(kept) - 1)), data.draw(st.integers(0, 7))
    try:
        file.write_bytes(kept[:place] + bytes([kept[place] ^ 1 << bit]) + kept[place + 1 :])
        with suppress(StoreError):
            pd.testing.assert_frame_equal(tr.open_run(run.path).pairs(), expected)
    finally:
        file.write_bytes(kept)


# Parquet files of images


def png(number):
    content = io.BytesIO()
    Image.new("L", (8, 8), 25 * number).save(content, "png")
    return content.getvalue()


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["ant", "bee", "cat"]), min_size=1, max_size=9), st.integers(1, 9), st.booleans())
def test_images_are_the_same_however_parquet_cuts_its_rows(tmp_path_factory, labels, size, compressed):
    folder = tmp_path_factory.mktemp("images")
    rows = pa.table({"image": [png(k) for k in range(len(labels))], "class_name": labels})
    pq.write_table(rows, folder / "whole.parquet")
    pq.write_table(rows, folder / "cut.parquet", row_group_size=size, compression="zstd" if compressed else "none")
    whole, cut = (tr.open_dataset(f"{name}:all", data_root=folder) for name in ("whole", "cut"))
    assert list(whole.class_names) == sorted(set(labels))
    assert whole.class_sizes == tuple(labels.count(name) for name in whole.class_names)
    assert cut.digest == whole.digest
