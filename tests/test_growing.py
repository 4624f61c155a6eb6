"""A run takes further checkpoints in, and keeps what it has of the others."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

import transference as tr
from transference.errors import SpecMismatchError, StoreError

SETTINGS = {
    "n_source": 4,
    "n_target": 3,
    "tile": (2, 2),
    "lookahead": tr.SGD(alpha=(1e-3, 1e-2)),
    "replicates": 2,
    "controls": 2,
}


@pytest.fixture
def measure(tmp_path, learner, sources, targets):
    """Return a function that measures some checkpoints, by step and seed of their parameters, into a folder."""

    def measure_them(name="run", **changes):
        def of(*checkpoints):
            found = [tr.Checkpoint(learner.init_params(seed), step) for step, seed in checkpoints]
            return tr.measure(learner, found, sources, targets, out=tmp_path / name, **{**SETTINGS, **changes})

        return of

    return measure_them


def tables(run):
    return {file.relative_to(run.path): file.read_bytes() for file in run.path.rglob("*.parquet")}


@pytest.mark.parametrize("first", [10, 20, 30])
def test_a_run_that_grew_is_the_run_that_was_measured_at_once(measure, first):
    checkpoints = {step: (step, step) for step in (10, 20, 30)}
    begun = measure()(checkpoints[first])
    before = {file: file.stat().st_mtime_ns for file in begun.path.rglob("*.parquet")}
    grown = measure()(*checkpoints.values())
    assert {file: file.stat().st_mtime_ns for file in before} == before
    whole = measure("whole")(*checkpoints.values())
    assert tables(grown) == tables(whole)
    told = [json.loads((run.path / "run.json").read_text()) for run in (grown, whole)]
    for name in ("digest", "spec", "checkpoints", "threads", "versions", "theta", "format"):
        assert told[0][name] == told[1][name], name
    assert grown.steps == (10, 20, 30)
    assert tr.verify(grown.path).complete


def test_a_run_that_was_killed_while_it_grew_is_incomplete_and_goes_on(measure, monkeypatch):
    begun = measure()((10, 0))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("transference.store.Store.write", killed)
        with pytest.raises(KeyboardInterrupt):
            measure()((10, 0), (20, 1))
    with pytest.raises(StoreError, match="incomplete"):
        tr.open_run(begun.path).pairs()
    grown = measure()((10, 0), (20, 1))
    assert tr.verify(grown.path).complete


@pytest.mark.parametrize(
    ("asked", "changes"),
    [
        (((20, 1),), {}),
        (((10, 9), (20, 1)), {}),
        (((10, 0), (20, 1)), {"n_source": 5}),
        (((10, 0), (20, 1)), {"lookahead": tr.SGD(alpha=1e-3)}),
        (((10, 0), (20, 1)), {"tile": (4, 2)}),
    ],
    ids=["others instead", "another of that step", "more sources", "another step size", "other tiles"],
)
def test_it_grows_by_checkpoints_alone(measure, asked, changes):
    run = measure()((10, 0))
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(SpecMismatchError, match="holds a run of another spec"):
        measure(**changes)(*asked)
    assert (run.path / "run.json").read_bytes() == before


def test_it_does_not_shrink(measure):
    run = measure()((10, 0), (20, 1))
    with pytest.raises(SpecMismatchError, match=r"checkpoints\[1\]"):
        measure()((10, 0))
    assert tr.open_run(run.path).steps == (10, 20)


def as_version_0_2(path):
    """Let every file name the whole run, as version 0.2 did."""
    about = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**about, "format": "transference-run/2"}))
    for file in path.rglob("*.parquet"):
        content = pq.read_table(file, partitioning=None)
        label = {**json.loads(content.schema.metadata[b"transference"]), "spec": about["digest"]}
        labelled = content.replace_schema_metadata({b"transference": json.dumps(label)})
        pq.write_table(labelled, file, compression="zstd", write_page_checksum=True)


def test_a_folder_of_version_0_2_is_read_and_resumed_and_does_not_grow(measure):
    run = measure()((10, 0), (20, 1))
    as_version_0_2(run.path)
    assert tr.verify(run.path).complete
    shutil.rmtree(run.path / "pairs" / "checkpoint_step=00000020")
    with pytest.raises(StoreError, match="incomplete"):
        tr.open_run(run.path).pairs()
    assert len(measure()((10, 0), (20, 1)).pairs())
    assert tr.verify(run.path).complete
    with pytest.raises(SpecMismatchError, match="another spec"):
        measure()((10, 0), (20, 1), (30, 2))
