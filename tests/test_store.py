import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import transference as tr
from tests.test_files import left_behind
from tests.test_labels import as_version_0_1
from transference.errors import StoreError, UsageError
from transference.store import PAIRS, STATUSES, loss_ratios, pair_rows
from transference.store._files import TableFile
from transference.store._view import mode_names


@pytest.fixture
def measure_here(tmp_path, learner, checkpoint, sources, targets):
    """The measurement of this file's run folder; called again, it goes on with it."""
    settings = {"n_source": 4, "n_target": 3, "lookahead": tr.SGD((1e-3, 1e-2)), "tile": (2, 2), "device": "cpu"}
    return lambda: tr.measure(learner, checkpoint, sources, targets, out=tmp_path / "run", **settings)


@pytest.fixture
def run(measure_here):
    return measure_here()


def test_a_run_says_as_sql_what_its_modes_are_called(run, measure_here):
    view = run.path / "pairs.sql"
    told = view.read_text()
    assert all(f"p.{name}" in told for name in PAIRS.names)
    assert "s.mode AS source_mode" in told
    assert "t.mode AS target_mode" in told
    assert not tr.verify(run.path).notes
    view.unlink()  # as in a folder that was begun before there was one
    assert tr.verify(run.path).complete
    measure_here()
    assert view.read_text() == told


@pytest.mark.parametrize(
    ("samplers", "modes", "splits", "sql", "names"),
    [
        (["a", "b"], ["x", "y"], ["train", "train"], "{task}.mode", ["x", "y"]),
        (["a", "b"], ["x", "x"], ["train", "test"], "{task}.mode || ':' || {task}.split", ["x:train", "x:test"]),
        (["a", "b"], ["x", "x"], ["train", "train"], "{task}.sampler", ["a", "b"]),
        (["a", "b"], ["x", None], ["train", None], "{task}.sampler", ["a", "b"]),
    ],
)
def test_modes_are_called_as_shortly_as_tells_them_apart(samplers, modes, splits, sql, names):
    tasks = pd.DataFrame(
        {"role": "source", "id": range(len(modes)), "sampler": samplers, "mode": modes, "split": splits}
    )
    assert mode_names(tasks, "source") == (sql, names)


def test_any_library_of_tables_takes_a_run(run):
    table = pa.table(run)
    assert table.column_names == list(run.pairs().columns)
    assert pa.types.is_integer(table.schema.field("checkpoint_step").type)
    np.testing.assert_array_equal(table["loss_ratio"], run.pairs()["loss_ratio"])


def test_pandas_opens_the_folder_of_pairs_and_knows_the_checkpoint(run):
    found = pd.read_parquet(run.path / "pairs").astype({"checkpoint_step": int})
    keys = ["checkpoint_step", "alpha", "source", "target", "replicate"]
    found = found.sort_values(keys, ignore_index=True)
    np.testing.assert_array_equal(found["loss_ratio"], run.pairs()["loss_ratio"])
    assert set(found["checkpoint_step"]) == set(run.steps)


def test_ratios_and_statuses():
    before = np.array([2.0, 0.0, 0.0, 1.0, np.inf, np.nan, 1e-320])
    after = np.array([1.0, 1.0, np.inf, np.nan, 1.0, 1.0, 1e300])
    ratio, status = loss_ratios(before, after)
    assert [STATUSES[code] for code in status] == [
        "ok",
        "zero_loss",
        "non_finite",
        "non_finite",
        "non_finite",
        "non_finite",
        "non_finite",
    ]
    assert ratio[0] == 0.5
    assert np.isnan(ratio[1:]).all()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (3.0, 0.0, "zero_loss"),
        (3.0, -0.0, "zero_loss"),
        (0.0, 0.0, "zero_loss"),
        (1e-320, 0.0, "zero_loss"),
        (np.inf, 0.0, "non_finite"),
        (np.nan, 0.0, "non_finite"),
        (0.0, -1.0, "non_finite"),
        (-1.0, 0.0, "non_finite"),
        (3.0, -1e-9, "non_finite"),
        (-1.0, -2.0, "non_finite"),
        (1e300, 1e-300, "non_finite"),  # the quotient is below the range of float64
        (1e-300, 1e300, "non_finite"),  # and above it
        (1.0, 5e-324, "ok"),
    ],
)
def test_a_cell_is_ok_where_its_ratio_has_a_logarithm(before, after, expected):
    [ratio], [status] = loss_ratios(np.array([before]), np.array([after]))
    assert STATUSES[status] == expected
    with np.errstate(all="ignore"):
        assert np.isfinite(np.log(ratio)) == (expected == "ok")


@pytest.mark.parametrize("before", [0.0, np.inf, np.nan, -1.0])
def test_no_first_order_part_without_a_loss_before(before):
    one = np.array([before]), np.array([np.nan], np.float32)
    rows = pair_rows(0, [0], 0.1, one, (np.array([1.0]), one[1]), np.array([0.5]))
    assert np.isnan(rows["first_order"]).all()


def test_a_sound_run_verifies(run):
    found = tr.verify(run.path)
    assert found.complete
    assert found.statuses == {"ok": 24}
    assert found.tiles == 4


def test_a_missing_tile_is_incomplete_and_cannot_be_read(run):
    next((run.path / "pairs").rglob("*.parquet")).unlink()
    found = tr.verify(run.path)
    assert (found.complete, found.missing, found.problems) == (False, 1, [])
    with pytest.raises(StoreError, match="incomplete: 3 of 4 tiles. Repeat the command"):
        run.pairs()


def swap_files(path):
    other = sorted(path.parent.glob("*.parquet"))[-1]
    path.write_bytes(other.read_bytes())


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("harm", [swap_files, halve])
@pytest.mark.parametrize("folder", ["pairs", "sources", "self_transference"])
def test_damage_is_found_and_named(run, harm, folder):
    if harm is swap_files and folder == "self_transference":
        pytest.skip("there is one such file")
    path = sorted((run.path / folder).rglob("*.parquet"))[0]
    harm(path)
    found = tr.verify(run.path)
    assert not found.complete
    assert any(str(path) in problem for problem in found.problems)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["pairs", "sources", "self_transference"])
def test_no_flipped_byte_changes_a_table_unnoticed(run, folder):
    path = sorted((run.path / folder).rglob("*.parquet"))[0]
    values = lambda: (
        pq.read_table(path, partitioning=None).to_pandas().astype({"status": str} if folder != "sources" else {})
    )
    whole, table = path.read_bytes(), values()
    for position in range(0, len(whole), 61):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x5A]) + whole[position + 1 :])
        assert tr.verify(run.path).problems or values().equals(table), f"byte {position}"


def test_a_false_ratio_is_found(run):
    path = sorted((run.path / "pairs").rglob("*.parquet"))[0]
    content = pq.read_table(path, partitioning=None)
    position = content.schema.get_field_index("loss_ratio")
    pq.write_table(content.set_column(position, "loss_ratio", content["loss_after"]), path)
    assert "was altered: its column loss_ratio is not what was written" in tr.verify(run.path).problems[0]
    with pytest.raises(StoreError, match="was altered"):
        run.pairs()


def test_a_stray_file_is_found(run):
    tile = sorted((run.path / "pairs").rglob("*.parquet"))[0]
    (tile.parent / "tile-000777-000000.parquet").write_bytes(tile.read_bytes())
    assert "belongs to no tile of this run" in tr.verify(run.path).problems[0]


def test_an_altered_run_json_is_found(run):
    path = run.path / "run.json"
    path.write_text(path.read_text().replace('"fp32"', '"fp64"'))
    with pytest.raises(StoreError, match="was altered"):
        tr.open_run(run.path)
    path.write_text("{")
    with pytest.raises(StoreError, match="is damaged"):
        tr.open_run(run.path)


def test_what_is_no_run_is_told(tmp_path):
    with pytest.raises(StoreError, match="has no run.json. Give the --out of a transference compute"):
        tr.open_run(tmp_path)


def test_a_matrix_needs_its_step_size(run):
    assert run.matrix(alpha=1e-3).shape == (4, 3)
    with pytest.raises(UsageError, match="step sizes 0.001, 0.01, and none was named"):
        run.matrix()
    with pytest.raises(UsageError, match="was measured at the step sizes 0.001, 0.01; 0.5 was asked for"):
        run.matrix(alpha=0.5)
    with pytest.raises(UsageError, match="no checkpoint at step 3; it has 10"):
        run.matrix(step=3, alpha=1e-3)


def test_a_leftover_of_a_killed_write_is_cleared(run, measure_here):
    tile = sorted((run.path / "pairs").rglob("*.parquet"))[0]
    leftover = left_behind(tile, 99999999)
    assert tr.verify(run.path).problems == []
    measure_here()
    assert not leftover.exists()
    assert tr.verify(run.path).complete


def test_tasks_of_another_run_are_found(run, tmp_path, learner, checkpoint, sources, targets):
    other = tr.measure(
        learner,
        checkpoint,
        targets,
        sources,
        n_source=4,
        n_target=3,
        lookahead=tr.SGD(0.1),
        device="cpu",
        out=tmp_path / "other",
    )
    (run.path / "tasks.parquet").write_bytes((other.path / "tasks.parquet").read_bytes())
    assert "tasks.parquet belongs elsewhere: it says it is of spec" in tr.verify(run.path).problems[0]


@pytest.mark.parametrize("name", ["tasks.parquet", "sources/checkpoint_step=00000010/sources-000002.parquet"])
def test_what_was_deleted_is_made_again(run, measure_here, name):
    content = (run.path / name).read_bytes()
    (run.path / name).unlink()
    assert not tr.verify(run.path).complete
    measure_here()
    assert (run.path / name).read_bytes() == content


def test_a_run_killed_between_a_tiles_two_files_is_only_incomplete(run):
    for tile in (run.path / "pairs").rglob("tile-000002-*.parquet"):
        tile.unlink()
    found = tr.verify(run.path)
    assert (found.missing, found.problems) == (2, [])


@pytest.mark.parametrize("content", ["{}", "[]", '{"spec": {}}'])
def test_a_foreign_run_json_is_told(run, content):
    (run.path / "run.json").write_text(content)
    with pytest.raises(StoreError, match="is damaged"):
        tr.open_run(run.path)


def test_the_pairs_of_a_tile_are_written_last(tmp_path, monkeypatch, learner, checkpoint, sources, targets):
    """A run that is killed in between then has no pairs that it would write again."""
    order = []
    write = TableFile.write
    monkeypatch.setattr(
        TableFile, "write", lambda file, content: (order.append(file.whose["kind"]), write(file, content))
    )
    words = {"n_source": 2, "n_target": 2, "lookahead": tr.SGD(0.1), "controls": 0, "replicates": 2}
    tr.measure(learner, checkpoint, sources, targets, out=tmp_path / "run", **words)
    assert order[1:] == ["self_transference", "sources", "pairs", "pairs"]


def vanished_in_0_1(run, path):
    """Make a folder of version 0.1, in which a loss after the step was 0 in a file's first row: any quotient from 0 up was ok."""
    as_version_0_1(run.path)
    content = pq.read_table(path, partitioning=None)
    frame = content.to_pandas()
    frame.loc[0, ["loss_after", "loss_ratio"]] = 0.0, 0.0
    pq.write_table(
        pa.Table.from_pandas(frame, schema=content.schema, preserve_index=False), path, write_page_checksum=True
    )


def test_a_run_of_version_0_1_is_read_as_cells_are_judged_now(run):
    expected = run.pairs()
    vanished_in_0_1(run, next((run.path / "pairs").rglob("*.parquet")))
    run = tr.open_run(run.path)
    found = run.pairs()
    changed = found[found["status"] != "ok"]
    assert dict(zip(changed["status"].astype(str), changed["loss_after"], strict=True)) == {"zero_loss": 0.0}
    assert changed["loss_ratio"].isna().all()
    assert found["status"].cat.categories.tolist() == expected["status"].cat.categories.tolist()
    pd.testing.assert_frame_equal(found.drop(changed.index), expected.drop(changed.index))
    blocks = np.concatenate([block.loss_ratio.ravel() for block in run.blocks()])
    assert np.isnan(blocks).sum() == 1
    assert not (blocks == 0).any()
    verified = tr.verify(run.path)
    assert verified.complete, verified.problems
    assert verified.statuses == {"ok": 23, "zero_loss": 1}
    assert run.failed() == {"zero_loss": 1}
    summary = tr.summarise_blocks(run.blocks())
    assert summary["failed"].sum() == 1
    assert (summary["geometric_mean"] > 0.1).all()


@pytest.mark.parametrize("column", ["self_transference", "controls"])
def test_the_other_tables_of_version_0_1_too(run, column):
    path = sorted((run.path / column).rglob("*.parquet"))[0]
    vanished_in_0_1(run, path)
    found = getattr(tr.open_run(run.path), column)()
    assert found.loc[found["loss_after"] == 0, "status"].tolist() == ["zero_loss"]
    assert not (found["loss_ratio"] == 0).any()
    assert tr.verify(run.path).complete


@pytest.mark.parametrize(
    "change",
    [
        {"status": "non_finite", "loss_ratio": np.nan},
        {"status": "zero_loss", "loss_ratio": np.nan},
        {"status": "out_of_memory", "loss_ratio": np.nan},
        {"loss_before": -1.0, "loss_after": -5.0, "loss_ratio": 5.0},
        {"loss_ratio": 0.0},
        {"loss_ratio": np.nan},
        {"loss_after": np.nan, "loss_ratio": np.nan},
    ],
)
def test_a_status_that_the_losses_do_not_say_is_found(run, change):
    as_version_0_1(run.path)  # later ones have digests, by which any change is found
    path = next((run.path / "pairs").rglob("*.parquet"))
    content = pq.read_table(path, partitioning=None)
    frame = content.to_pandas()
    frame["status"] = pd.Categorical(frame["status"].astype(str), STATUSES)
    for name, value in change.items():
        frame.loc[0, name] = value
    pq.write_table(
        pa.Table.from_pandas(frame, schema=content.schema, preserve_index=False), path, write_page_checksum=True
    )
    problems = tr.verify(run.path).problems
    assert any(str(path) in problem and "a status is not what the losses say" in problem for problem in problems)
