"""Tables too large for memory: read strip by strip, they say what their matrices do."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import transference as tr
from transference.cli import main
from transference.errors import UsageError
from transference.plan import ExactTile, OwnBlock, parts_of
from transference.spec import CheckpointRef, TaskSet
from transference.statistics import _order
from transference.statistics._order import Ordered
from transference.store import TASKS, pair_rows, pairs_table, sources_schema, table

ALPHAS = (0.1, 0.01)


def made(out, n_source, n_target, tile, *, same=False, estimated=False, replicates=1):
    """Write a run of two source modes and two target modes with random ratios, of which some failed."""
    sets = {
        role: tuple(TaskSet(f"{mode}:{'all' if same else role}", n // 2, mode) for mode in "ab")
        for role, n in (("source", n_source), ("target", n_target))
    }
    spec = tr.RunSpec(
        checkpoints=(CheckpointRef(1, "made"), CheckpointRef(2, "made")), learner={"class": "made"}, sources=sets["source"],
        targets=sets["target"], lookahead={"kind": "sgd", "alpha": list(ALPHAS)}, controls=0, device="cpu", precision="fp32",
        estimator={"kind": "calibrated" if estimated else "exact"}, tile=tile, replicates=replicates,
    )  # fmt: skip
    store, random = tr.Store(out), np.random.default_rng(0)
    store.begin(spec, {})
    shape = {"ways": 5, "shots": 1, "queries": 15, "seed": 1, "class_names": [], "support_ids": [], "query_ids": []}
    rows = [
        {"role": role, "id": k * tasks.n + i, "sampler": tasks.sampler, "index": i, "mode": tasks.digest, "split": "made", **shape}
        for role in sets for k, tasks in enumerate(sets[role]) for i in range(tasks.n)
    ]  # fmt: skip
    store.write_tasks(table(TASKS, rows))
    before, accuracy = 1 + random.random(n_target), random.random(n_target).astype(np.float32)
    for each in (each for step in (1, 2) for each in spec.tiles(step)):
        targets, pairs, sources = np.arange(*each.targets), [], []
        for source in range(*each.sources):
            for alpha in ALPHAS:
                logs = alpha * random.standard_normal(len(targets)) + 0.3 * alpha * np.sin(source + targets)
                after = before[targets] * np.where(random.random(len(targets)) < 0.05, np.inf, np.exp(logs))
                if estimated:
                    after = before[targets] * (1 + 10 * logs)
                slope = 0.1 * random.standard_normal(len(targets))
                reading = (before[targets], accuracy[targets]), (after, accuracy[targets])
                pairs.append(pair_rows(source, targets, alpha, *reading, slope))
                sources.append(
                    {"source": source, "alpha": alpha, "loss": 1.0, "gradient_norm": 1.0, "displacement_norm": 0.1}
                )
        store.write(each, pairs_table(pairs, each.replicate), table(sources_schema(combined=False), sources))
        if estimated:
            content = pairs_table(pairs[::7])
            store.write(ExactTile(each, 0), content.set_column(4, content.schema[4], content["loss_before"]))
    for part in (part for step in (1, 2) for part in parts_of(spec, step) if isinstance(part, OwnBlock)):
        read = [(before[[j]], accuracy[[j]]) for j in range(*part.targets)]
        own = [
            pair_rows(j, np.array([j]), a, one, one)
            for j, one in zip(range(*part.targets), read, strict=True)
            for a in ALPHAS
        ]
        store.write(part, pairs_table(own))
    return tr.open_run(out)


@pytest.fixture
def large(monkeypatch):
    """Let every table count as large."""
    monkeypatch.setattr("transference.store._run._WHOLE", 0)
    monkeypatch.setattr(_order, "WHOLE", 0)


SHAPES = [
    (24, 26, (5, 7), False),  # tiles that lie across modes; the bootstrap's errors
    (26, 26, (26, 4), True),
    (40, 8, (9, 3), False),  # the cluster-robust ones
    (8, 8, (3, 5), True),
    (2, 24, (1, 5), False),
    (2, 2, (1, 1), False),
]


@pytest.mark.slow
@pytest.mark.parametrize(("n_source", "n_target", "tile", "same"), SHAPES)
def test_strips_give_what_the_matrices_give(tmp_path, large, monkeypatch, n_source, n_target, tile, same):
    run = made(tmp_path / "run", n_source, n_target, tile, same=same, replicates=2)
    statistics = (tr.summarise_blocks, tr.intervals, tr.split)
    assert all(isinstance(one, tr.Strips) for one in run.tables())
    found = [statistic(run.tables()) for statistic in statistics]
    monkeypatch.undo()
    assert all(isinstance(one, tr.Block) for one in run.tables())
    for mine, statistic in zip(found, statistics, strict=True):
        pd.testing.assert_frame_equal(mine, statistic(run.tables()), rtol=1e-12, atol=1e-13)


def test_estimates_are_calibrated_by_strips(tmp_path, large, monkeypatch):
    run = made(tmp_path / "run", 24, 26, (5, 7), estimated=True)
    found = tr.calibrate(run.tables(), run.exact_pairs())
    assert found["geometric_mean"].notna().all()
    monkeypatch.undo()
    pd.testing.assert_frame_equal(found, tr.calibrate(run.blocks(), run.exact_pairs()), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("shape", "same"), [((24, 26), False), ((24, 24), True), ((40, 8), False), ((8, 8), True)])
def test_matrices_say_the_same_in_any_strips(monkeypatch, shape, same):
    random = np.random.default_rng(4)
    ratio = np.where(random.random(shape) < 0.05, np.nan, np.exp(random.normal(0, 0.1, shape)))
    block = dataclasses.replace(tr.Block.of(ratio, same_tasks=same), first_order=np.log(ratio).astype(np.float32))
    statistics = (tr.summarise_blocks, tr.intervals, tr.split)
    at_once = [statistic([block]) for statistic in statistics]
    monkeypatch.setattr("transference.blocks._CELLS", 60)
    for one, statistic in zip(at_once, statistics, strict=True):
        pd.testing.assert_frame_equal(one, statistic([block]), rtol=1e-12, atol=1e-13)


def test_strips_are_the_matrices_cut_up(tmp_path, large):
    run = made(tmp_path / "run", 10, 12, (3, 5), estimated=True)
    for one, whole in zip(run.tables(), run.blocks(), strict=True):
        names = [field.name for field in dataclasses.fields(one) if field.name not in ("read", "shape")]
        for name in names:
            np.testing.assert_array_equal(getattr(one, name), getattr(whole, name))
        assert one.shape == whole.shape
        for name in ("loss_ratio", "change", "first_order"):
            matrix, times = np.full(one.shape, np.nan), np.zeros(one.shape)
            for rows, columns, (cells,) in one.strips(name):
                matrix[rows, columns] = cells
                times[rows, columns] += 1
            np.testing.assert_array_equal(matrix, getattr(whole, name))
            assert (times == 1).all()


CASES = {
    "spread": np.exp(np.random.default_rng(0).normal(0, 0.1, 1000)),
    "far apart": np.exp(np.random.default_rng(1).normal(0, 100, 999)),
    "near one": 1 + 1e-13 * np.arange(500.0),
    "equal": np.full(300, 0.7),
    "ties": np.repeat([0.5, 1.0, 2.0], [100, 300, 7]),
    "one": np.array([3.0]),
    "with zeros": np.array([0.0, 0.0, 5e-324, 1.0, np.finfo(float).max]),
}


@pytest.mark.parametrize("whole", [0, 5, 50, 2**24])
@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_quantiles_are_exact_however_few_values_are_held(monkeypatch, values, whole):
    monkeypatch.setattr(_order, "WHOLE", whole)
    parts = np.array_split(np.random.default_rng(2).permutation(values), 13)
    at, held = [0, 0.01, 0.25, 0.3333, 0.5, 0.99, 1], []
    ordered = Ordered(lambda: [part.copy() for part in parts], held.append)
    np.testing.assert_array_equal(ordered.quantiles(at), np.quantile(values, at))
    if values.min() > 0:
        np.testing.assert_array_equal(ordered.quantiles(at, np.log), np.quantile(np.log(values), at))
    assert sum(map(len, held)) == ordered.n == len(values)


def test_a_table_is_not_read_more_often_than_its_bits_ask_for(monkeypatch):
    monkeypatch.setattr(_order, "WHOLE", 100)
    times, values = [], 1 + 1e-13 * np.arange(500.0)
    ordered = Ordered(lambda: times.append(1) or [values.copy()])
    ordered.quantiles([0.1, 0.5])
    assert len(times) <= 4
    ordered.quantiles([0.5], np.log)
    assert len(times) <= 4


def test_a_summary_is_printed_of_whatever_size(tmp_path, large, monkeypatch, capsys):
    run = made(tmp_path / "run", 10, 12, (5, 12), replicates=2)
    monkeypatch.setattr("transference.store._run.free_memory", lambda: 500)
    told = CliRunner().invoke(main, ["summary", str(run.path)])
    assert told.exit_code == 0
    assert "a → a" in told.stdout
    assert "note: what replicates tell of single pairs is left out" in told.stderr
    drawn = CliRunner().invoke(
        main, ["plot", str(run.path), "--kind", "matrix", "--alpha", "0.1", "-o", str(tmp_path / "x.png")]
    )
    assert drawn.exit_code == 2
    assert re.fullmatch(r"error: .* GB of memory.*\n", drawn.stderr)


@pytest.mark.parametrize("read", ["blocks", "matrix", "pairs"])
def test_a_table_that_memory_does_not_hold_is_refused_in_a_line(tmp_path, monkeypatch, read):
    run = made(tmp_path / "run", 10, 12, (5, 12))
    monkeypatch.setattr("transference.store._run.free_memory", lambda: 500)
    with pytest.raises(
        UsageError, match=r"take 0\.0 GB of memory, of which 0\.0 GB are free.*transference summary"
    ) as told:
        getattr(run, read)(*([1, 0.1] if read == "matrix" else []))
    assert "\n" not in str(told.value)
    monkeypatch.setattr("transference.store._run.free_memory", lambda: None)
    assert getattr(run, read)(*([1, 0.1] if read == "matrix" else [])) is not None
