"""Every file of a run folder says whose it is; a folder of version 0.1 is read without."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import transference as tr
from transference.errors import StoreError
from transference.store import loss_ratios
from transference.store._files import column_digest

SETTINGS = {
    "n_source": 4,
    "n_target": 3,
    "lookahead": tr.SGD((1e-3, 1e-2)),
    "tile": (2, 2),
    "controls": 2,
    "replicates": 2,
    "device": "cpu",
}
KINDS = ("pairs", "sources", "self_transference", "controls")
TILE = "pairs/checkpoint_step=00000010/tile-000000-000000.parquet"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Runs of two checkpoints and of two trainings, measured once for this file."""
    from tests.strangers import PixelPrototypes

    learner = PixelPrototypes()
    tasks = [
        tr.FewShot(tr.open_dataset(f"{name}:val"), ways=3, shots=1, queries=2, seed=0) for name in ("strokes", "shapes")
    ]
    folder = tmp_path_factory.mktemp("labels")

    def measure(name, seed):
        checkpoints = [tr.Checkpoint(learner.init_params(seed + k), step) for k, step in enumerate((10, 20))]
        return lambda: tr.measure(learner, checkpoints, *tasks, out=folder / name, **SETTINGS)

    again = measure("run", 0)
    again()
    measure("other", 7)()
    return folder, again


@pytest.fixture
def run(measured):
    """A run that may be harmed; the folder is the same, so that the same call goes on with it."""
    folder, _ = measured
    kept = folder / "kept"
    shutil.copytree(folder / "run", kept)
    yield tr.open_run(folder / "run")
    shutil.rmtree(folder / "run")
    kept.rename(folder / "run")


def as_version_0_1(path):
    """Take from a folder what version 0.1 did not write."""
    about = json.loads((path / "run.json").read_text())
    del about["format"]
    (path / "run.json").write_text(json.dumps(about))
    for file in path.rglob("*.parquet"):
        pq.write_table(
            pq.read_table(file, partitioning=None).replace_schema_metadata(None),
            file,
            compression="zstd",
            write_page_checksum=True,
        )


def rewrite(path, change):
    """Change a table as a script would, its label kept."""
    content = pq.read_table(path, partitioning=None)
    frame = content.to_pandas()
    changed = change(frame)
    frame = frame if changed is None else changed
    pq.write_table(
        pa.Table.from_pandas(frame, schema=content.schema, preserve_index=False), path, write_page_checksum=True
    )


def problems(run):
    found = tr.verify(run.path)
    assert found.complete == (not found.problems and not found.missing)
    return " ".join(found.problems)


def test_a_sound_folder_has_nothing_to_say(run):
    found = tr.verify(run.path)
    assert (found.complete, found.problems, found.notes) == (True, [], [])
    assert found.statuses == {"ok": 2 * 2 * 2 * 4 * 3}


def test_every_file_says_whose_it_is(run):
    label = json.loads(pq.read_schema(run.path / TILE).metadata[b"transference"])
    assert set(label.pop("columns")) == set(pq.read_schema(run.path / TILE).names)
    assert label == {
        "spec": run.spec.digest_of(10), "kind": "pairs", "checkpoint_step": 10, "sources": [0, 2], "targets": [0, 2], "replicate": 0,
    }  # fmt: skip
    for file in run.path.rglob("*.parquet"):
        label = json.loads(pq.read_schema(file).metadata[b"transference"])
        # what belongs to all checkpoints names none, so that the run may grow by some
        assert label["spec"] == (
            run.spec.digest_of(label["checkpoint_step"]) if file.parent != run.path else run.spec.digest_of()
        )


@pytest.mark.parametrize("older", [False, True], ids=["labelled", "version 0.1"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_checkpoint_is_found(run, kind, older):
    """A slip of cp. Sources have no loss that another file holds too, so without labels nothing can tell."""
    if older:
        as_version_0_1(run.path)
        if kind == "sources":
            return
    theirs, ours = (
        sorted((run.path / kind / f"checkpoint_step=000000{step}").glob("*.parquet"))[0] for step in (20, 10)
    )
    shutil.copy(theirs, ours)
    assert str(ours) in problems(run)


@pytest.mark.parametrize("kind", KINDS)
def test_no_work_is_built_on_a_file_of_another_checkpoint(run, measured, kind):
    theirs, ours = (
        sorted((run.path / kind / f"checkpoint_step=000000{step}").glob("*.parquet"))[0] for step in (20, 10)
    )
    shutil.copy(theirs, ours)
    with pytest.raises(StoreError, match=r"belongs elsewhere: it says it is of checkpoint_step 20 \(here 10\)"):
        measured[1]()
    ours.unlink()
    measured[1]()
    assert tr.verify(run.path).complete


@pytest.mark.parametrize(
    "name", ["tile-000000-000002.parquet", "tile-000002-000000.parquet", "tile-000000-000000-replicate-1.parquet"]
)  # fmt: skip
def test_a_file_of_another_tile_or_replicate_is_found(run, measured, name):
    shutil.copy((run.path / TILE).with_name(name), run.path / TILE)
    assert "tile-000000-000000.parquet" in problems(run)
    with pytest.raises(StoreError, match="tile-000000-000000.parquet"):
        measured[1]()
    with pytest.raises(StoreError, match="tile-000000-000000.parquet"):
        run.matrix(10, 1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_run_is_found(run, measured, kind):
    for theirs in (measured[0] / "other").rglob(f"{kind}*/**/*.parquet"):
        shutil.copy(theirs, run.path / theirs.relative_to(measured[0] / "other"))
    assert "belongs elsewhere: it says it is of spec" in problems(run)


def test_a_file_that_does_not_say_whose_it_is_is_found(run):
    pq.write_table(pq.read_table(run.path / TILE, partitioning=None).replace_schema_metadata(None), run.path / TILE)
    assert "does not say whose it is" in problems(run)


def test_a_link_to_an_equal_file_is_as_good(run):
    elsewhere = run.path.parent / "moved.parquet"
    (run.path / TILE).rename(elsewhere)
    (run.path / TILE).symlink_to(elsewhere)
    assert tr.verify(run.path).complete


def halved(frame):
    frame["loss_after"] *= 0.5
    frame["loss_ratio"] = frame["loss_after"] / frame["loss_before"]


@pytest.mark.parametrize("column", ["loss_before", "first_order", "loss_after", "source"])
def test_an_altered_value_is_found(run, column):
    rewrite(run.path / TILE, lambda frame: frame.__setitem__(column, frame[column] + 1))
    assert f"was altered: its column {column}" in problems(run)
    with pytest.raises(StoreError, match="was altered"):
        run.pairs()


def test_losses_altered_together_are_found(run):
    for file in run.path.glob("pairs/*/*.parquet"):
        rewrite(file, halved)
    assert problems(run).count("its column loss_after is not what was written") == 16


def test_an_altered_class_name_is_found(run):
    rewrite(
        run.path / "tasks.parquet",
        lambda frame: frame.__setitem__("class_names", frame["class_names"].map(lambda names: names[::-1])),
    )
    assert "its column class_names" in problems(run)


def retype(name, kind):
    def change(content):
        return content.set_column(content.schema.get_field_index(name), name, content[name].cast(kind))

    return change


@pytest.mark.parametrize("older", [False, True], ids=["labelled", "version 0.1"])
@pytest.mark.parametrize(
    ("name", "kind"), [("loss_ratio", pa.string()), ("source", pa.float64()), ("accuracy_before", pa.float64())]
)
def test_a_column_of_another_type_is_found(run, older, name, kind):
    if older:
        as_version_0_1(run.path)
    pq.write_table(retype(name, kind)(pq.read_table(run.path / TILE, partitioning=None)), run.path / TILE)
    assert f"{name} {kind}" in problems(run)
    with pytest.raises(StoreError, match=f"{name} {kind}"):
        run.pairs()


def all_failed(frame):
    frame["loss_ratio"] = np.nan
    frame["status"] = pd.Categorical(["non_finite"] * len(frame))


def negative(frame):
    frame["loss_before"], frame["loss_after"], frame["loss_ratio"] = -1.0, -5.0, 5.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (all_failed, "a status is not what the losses say"),
        (negative, "a ratio is not after / before"),
        (lambda frame: frame.__setitem__("loss_ratio", np.nan), "a ratio is not after / before"),
        (lambda frame: frame.__setitem__("target", frame["target"].iloc[0]), "does not hold the 8 rows that it should"),
        (lambda frame: frame.__setitem__("replicate", np.int16(1)), "rows of another replicate"),
        (lambda frame: frame.drop(index=0), "does not hold the 8 rows that it should"),
    ],
)
def test_what_no_measurement_writes_is_found_without_labels_too(run, change, message):
    as_version_0_1(run.path)
    rewrite(run.path / TILE, change)
    assert message in problems(run)


@pytest.mark.parametrize("kind", ["pairs", "self_transference", "controls"])
def test_a_target_has_one_loss_before_any_step(run, kind):
    """Up to what another engine may change in the last digits."""
    as_version_0_1(run.path)
    file = sorted(run.path.glob(f"{kind}/*/*.parquet"))[0]

    def scaled(factor):
        def change(frame):
            frame["loss_before"] *= factor
            frame["loss_ratio"] = loss_ratios(frame["loss_before"].to_numpy(), frame["loss_after"].to_numpy())[0]

        return change

    rewrite(file, scaled(1 + 1e-6))
    assert not problems(run)
    rewrite(file, scaled(1.01))
    assert "one of the two is of another measurement" in problems(run)
    assert str(file) in problems(run)


@pytest.mark.parametrize(
    "change", [lambda frame: frame.drop(index=0), lambda frame: frame.__setitem__("target", frame["target"] + 100)]
)
def test_controls_that_no_measurement_writes_are_found(run, change):
    as_version_0_1(run.path)
    rewrite(run.path / "controls/checkpoint_step=00000010/controls.parquet", change)
    assert "does not hold the controls that it should" in problems(run)


def test_a_folder_of_version_0_1_is_read_resumed_and_said_to_be_one(run, measured):
    whole = run.pairs(None)
    as_version_0_1(run.path)
    found = tr.verify(run.path)
    assert found.complete
    assert "was written by version 0.1" in found.notes[0]
    (run.path / TILE).unlink()
    again = measured[1]()
    assert again.pairs(None).equals(whole)
    assert b"transference" in pq.read_schema(run.path / TILE).metadata
    assert tr.verify(run.path).complete
    shutil.copy((run.path / TILE), (run.path / TILE).with_name("tile-000002-000002.parquet"))
    assert "belongs elsewhere" in problems(run), "a file that does say whose it is is held to it"


def test_rows_of_version_0_1_may_be_in_any_order(run):
    rewrite(run.path / TILE, lambda frame: frame.sort_values("target"))
    assert "was altered" in problems(run)
    as_version_0_1(run.path)
    assert not problems(run)


def test_a_folder_in_the_place_of_a_tile_is_no_tile(run):
    (run.path / TILE).unlink()
    (run.path / TILE).mkdir()
    found = tr.verify(run.path)
    assert found.missing == 1
    assert TILE in found.notes[0]


def test_what_is_there_is_known_by_one_listing_of_a_folder(run, monkeypatch):
    """On a disk of a network each question costs, and there may be 100,000 files."""
    listed, scandir = [], os.scandir
    monkeypatch.setattr("transference.store._layout.os.scandir", lambda path: listed.append(path) or scandir(path))
    monkeypatch.setattr("transference.store._files.TableFile.exists", lambda self: pytest.fail("asked file by file"))
    assert run.progress() == (16, 16)
    assert len(listed) == len(set(listed)) == 4
    (run.path / TILE).rename(run.path / TILE.replace("pairs", "sources"))
    shutil.rmtree(run.path / "pairs/checkpoint_step=00000020")
    assert run.progress() == (7, 16)
    with pytest.raises(StoreError, match="incomplete: 7 of 16 tiles"):
        run.pairs()


@pytest.fixture
def read(run, monkeypatch):
    """Return a function that goes on with the run as if its files had rested, and returns the pairs' files that were read for that."""
    from transference.store import _sound

    names, read_in_turn = [], _sound.read_in_turn
    monkeypatch.setattr(_sound, "_SETTLED", -1)
    monkeypatch.setattr(
        _sound, "read_in_turn", lambda files: read_in_turn(names.append(file.path) or file for file in files)
    )

    def again():
        names.clear()
        tr.Store(run.path).check_published()
        return [path.name for path in names if "pairs" in path.parts]

    return again


def test_what_was_read_and_has_not_changed_is_not_read_again(run, read):
    assert len(read()) == 16
    assert not read()
    assert tr.verify(run.path).notes == []
    content = (run.path / TILE).read_bytes()
    (run.path / TILE).write_bytes(content)
    assert read() == ["tile-000000-000000.parquet"]
    assert not read()
    (run.path / ".sound.json").write_text("[" * 100_000)
    assert len(read()) == 16


@pytest.mark.parametrize("how", ["copied with its times", "renamed", "altered, with its times"])
def test_what_was_read_and_has_changed_is_read_again(run, read, how):
    read()
    tile, other = run.path / TILE, (run.path / TILE).with_name("tile-000002-000000.parquet")
    if how == "copied with its times":
        shutil.copy2(other, tile)
    elif how == "renamed":
        other.rename(tile)
    else:
        times = tile.stat()
        rewrite(tile, halved)
        os.utime(tile, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(StoreError, match="tile-000000-000000"):
        read()


def test_a_file_that_has_just_been_written_is_read_once_more(run, read, monkeypatch):
    monkeypatch.setattr("transference.store._sound._SETTLED", 10**18)
    assert len(read()) == len(read()) == 16


def test_what_is_no_part_of_the_run_is_named(run):
    names = ["notes.txt", "figure.png", "sources/.DS_Store", "pairs.csv", "pairs.parquet", "a.csv", "b.csv"]
    for name in names:
        (run.path / name).write_text("x")
    found = tr.verify(run.path)
    assert found.complete
    assert found.notes == ["not of the run, and not read: a.csv, b.csv, figure.png, notes.txt, pairs.csv, and 2 more"]


def test_digests_of_columns_do_not_depend_on_how_they_are_stored():
    values = np.array([1.0, -0.0, np.nan])
    other = np.array([1.0, 0.0, -np.nan])
    assert column_digest(pa.chunked_array([values])) == column_digest(pa.chunked_array([other[:1], other[1:]]))
    words = pa.array(["ok", "non_finite", "ok"])
    one, two = (
        words.dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([1, 2, 1], pa.int8()), pa.array(["x", "ok", "non_finite"])),
    )
    assert column_digest(pa.chunked_array([one])) == column_digest(pa.chunked_array([two]))
    assert column_digest(pa.chunked_array([one])) != column_digest(
        pa.chunked_array([words[::-1].dictionary_encode().take([0, 0, 1])])
    )
    assert column_digest(pa.chunked_array([pa.array([], pa.dictionary(pa.int8(), pa.string()))]))


def harmed(path, random):
    """Damage one file at random; return what was done."""
    files = sorted(file for file in path.rglob("*") if file.suffix in {".parquet", ".json"})
    file = files[random.integers(len(files))]
    content = bytearray(file.read_bytes())
    how = random.choice(["bytes", "cut", "swapped", "end"])
    if how == "cut":
        content = content[: random.integers(len(content))]
    elif how == "swapped":
        other = files[random.integers(len(files))]
        theirs = other.read_bytes()
        other.write_bytes(content)
        content = theirs
    else:
        for _ in range(random.integers(1, 5)):
            content[
                random.integers(-min(len(content), 2000) if how == "end" else 0, 0 if how == "end" else len(content))
            ] = random.integers(256)
    file.write_bytes(content)
    return f"{how} {file.name}"


@pytest.mark.slow
def test_no_random_damage_passes(run, measured):
    """Forty times: what is read is what was measured, `verify` tells, and no work is built on it."""
    tables = lambda opened: [
        opened.pairs(None),
        opened.self_transference(),
        opened.controls(),
        opened.sources(),
        opened.tasks(),
    ]
    whole, random = tables(run), np.random.default_rng(0)
    kept = {file: file.read_bytes() for file in run.path.rglob("*") if file.suffix in {".parquet", ".json"}}
    for _ in range(40):
        what = harmed(run.path, random)
        for use in (lambda: tables(tr.open_run(run.path)), lambda: tables(measured[1]())):
            try:
                same = all(one.equals(other) for one, other in zip(use(), whole, strict=True))
            except tr.TransferenceError as error:
                assert "\n" not in str(error), what  # noqa: PT017 - that it is raised is one of two good ends
            else:
                assert same, what
        for file, content in kept.items():
            file.write_bytes(content)
