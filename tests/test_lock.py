"""Several processes, one run folder: one writer at a time, one spec for ever."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
import torch

import transference as tr
from tests.strangers import Impure
from transference.errors import LearnerError, SpecMismatchError, StoreError
from transference.store import Store, _lock

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120
"""Seconds: many for a busy machine; nothing here waits so long."""

SCRIPT = """
import sys, time
from pathlib import Path
import torch
import transference as tr
from tests.strangers import PixelPrototypes
from transference.errors import TransferenceError
from transference.measurement import Work

torch.set_num_threads(1)
out, gate, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
compute = Work.tile

def tile(work, a_tile):
    print("tile", flush=True)
    while not gate.exists():
        time.sleep(0.01)
    return compute(work, a_tile)

Work.tile = tile
learner = PixelPrototypes()
tasks = [tr.FewShot(tr.open_dataset(f"{name}:val"), ways=3, shots=1, queries=2, seed=0) for name in ("strokes", "shapes")]
print("ready", flush=True)
sys.stdin.readline()
try:
    tr.measure(learner, tr.Checkpoint(learner.init_params(seed), 10), *tasks, out=out, n_source=6, n_target=4, lookahead=tr.SGD(0.1),
               tile=(2, 2), controls=2, device="cpu")
except TransferenceError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""
N_TILES = 6


class Process:
    """A measurement in a process of its own, ready to begin; its tiles wait for the gate."""

    def __init__(self, out, gate, seed=0):
        words = [sys.executable, "-c", SCRIPT, str(out), str(gate), str(seed)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.tiles = 0
        self.popen = subprocess.Popen(words, cwd=ROOT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes)

    def begin(self):
        assert self.popen.stdout.readline() == "ready\n", self.popen.stderr.read()
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def until_it_computes(self):
        assert self.popen.stdout.readline() == "tile\n", self.popen.stderr.read()
        self.tiles += 1

    def until_it_says(self, text):
        while text not in (line := self.popen.stderr.readline()):
            assert line, f"it ended without a word of {text!r}"

    def end(self):
        """Return exit code, tiles computed, and stderr."""
        out, err = self.popen.communicate(timeout=PATIENCE)
        return self.popen.returncode, self.tiles + out.count("tile"), err


@pytest.fixture
def start(tmp_path):
    """Start processes on one folder."""
    started = []

    def begin(*seeds):
        new = [Process(tmp_path / "run", tmp_path / "gate", seed) for seed in seeds]
        started.extend(new)
        for process in new:
            process.begin()
        return new

    yield begin
    for process in started:
        process.popen.kill()
        process.popen.communicate()


@pytest.fixture
def gate(tmp_path):
    return tmp_path / "gate"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same measurement by one process."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "gate").touch()
    process = Process(folder / "run", folder / "gate")
    process.begin()
    assert process.end()[:2] == (0, N_TILES)
    return tr.open_run(folder / "run")


def same(path, other):
    run = tr.open_run(path)
    assert tr.verify(path).complete
    return (
        run.pairs().equals(other.pairs())
        and run.controls().equals(other.controls())
        and run.sources().equals(other.sources())
    )


def test_a_job_array_on_one_folder_makes_one_table_and_computes_nothing_twice(tmp_path, start, gate, alone):
    processes = start(0, 0, 0, 0)
    gate.touch()
    codes, tiles, _ = zip(*(process.end() for process in processes), strict=True)
    assert codes == (0, 0, 0, 0)
    assert sum(tiles) == N_TILES
    assert same(tmp_path / "run", alone)
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_while_one_computes_the_same_waits_another_is_refused_and_readers_read(tmp_path, start, gate, alone):
    [first] = start(0)
    first.until_it_computes()
    second, other = start(0, 1)
    code, tiles, said = other.end()
    assert (code, tiles) == (2, 0)
    assert "holds a run of another spec" in said
    assert "checkpoints[0].digest" in said
    second.until_it_says(f"is being written by process {first.popen.pid} on ")
    run = tr.open_run(tmp_path / "run")
    assert run.progress() == (0, N_TILES)
    assert tr.verify(run.path).problems == []
    with pytest.raises(StoreError, match="incomplete: 0 of 6 tiles"):
        run.pairs()
    gate.touch()
    assert (first.end()[:2], second.end()[:2]) == ((0, N_TILES), (0, 0))
    assert same(tmp_path / "run", alone)


def test_of_two_specs_begun_at_once_one_is_refused(tmp_path, start, gate):
    processes = start(0, 1)
    gate.touch()
    codes, tiles, said = zip(*(process.end() for process in processes), strict=True)
    assert sorted(codes) == [0, 2]
    assert sum(tiles) == N_TILES
    assert "holds a run of another spec" in said[codes.index(2)]
    assert tr.verify(tmp_path / "run").complete


def test_a_killed_writer_blocks_nobody(tmp_path, start, gate, alone):
    [first] = start(0)
    first.until_it_computes()
    [second] = start(0)
    second.until_it_says("is being written by")
    left = tmp_path / "run" / "tasks" / ".tile-000000-000000.parquet.elsewhere-00000000.1.00000000.tmp"
    left.parent.mkdir()
    left.touch()
    first.popen.send_signal(signal.SIGKILL)
    gate.touch()
    assert second.end()[:2] == (0, N_TILES)
    assert same(tmp_path / "run", alone)
    assert not left.exists(), "under the lock nobody else writes"


def test_begin_lets_one_spec_in_without_a_lock_too(tmp_path, alone):
    """As where the disk has none."""
    spec = alone.spec
    other = tr.RunSpec.from_json({**spec.to_json(), "controls": 3})
    tr.Store(tmp_path / "run").begin(spec, {})
    tr.Store(tmp_path / "run").begin(spec, {})
    with pytest.raises(SpecMismatchError, match="controls: 2 → 3"):
        tr.Store(tmp_path / "run").begin(other, {})
    assert tr.open_run(tmp_path / "run").spec == spec


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("use SoftFileLock instead")]
)
def test_a_disk_without_locks_is_told_and_used(
    tmp_path, monkeypatch, capsys, learner, checkpoint, sources, targets, error
):
    def refuse(*_):
        raise error

    monkeypatch.setattr(filelock.FileLock, "_acquire", refuse)
    run = tr.measure(
        learner, checkpoint, sources, targets, out=tmp_path / "run", n_source=2, n_target=2, lookahead=tr.SGD(0.1)
    )
    assert "cannot be locked" in capsys.readouterr().err
    assert tr.verify(run.path).complete


def test_the_mere_existence_of_a_file_is_no_lock(tmp_path, monkeypatch, capsys, learner, checkpoint, sources, targets):
    """What filelock falls back to: a file that a killed process would leave behind for ever."""
    monkeypatch.setattr(_lock, "FileLock", filelock.SoftFileLock)
    run = tr.measure(
        learner, checkpoint, sources, targets, out=tmp_path / "run", n_source=2, n_target=2, lookahead=tr.SGD(0.1)
    )
    assert "cannot be locked" in capsys.readouterr().err
    assert not (run.path / ".lock").exists()


def test_a_folder_that_could_not_be_begun_is_not_left_behind(tmp_path, sources, targets):
    learner = Impure("params")
    kept = tmp_path / "kept"
    kept.mkdir()
    for out in (tmp_path / "run", kept):
        with pytest.raises(LearnerError):
            tr.measure(
                learner, tr.Checkpoint({"w": torch.ones(3)}, 1), sources, targets, out=out, lookahead=tr.SGD(0.1)
            )
    assert not (tmp_path / "run").exists()
    assert kept.exists()


def test_a_dry_run_neither_waits_nor_writes(tmp_path, start, gate, learner, checkpoint, sources, targets):
    words = {"n_source": 2, "n_target": 2, "lookahead": tr.SGD(0.1), "dry_run": True}
    tr.measure(learner, checkpoint, sources, targets, out=tmp_path / "free", **words)
    assert not (tmp_path / "free").exists()


def test_a_run_that_begins_while_the_folder_is_looked_at_is_no_stranger(tmp_path, alone, monkeypatch):
    shutil.copytree(alone.path, tmp_path / "run")
    run_json = tmp_path / "run" / "run.json"
    (tmp_path / "aside.json").write_bytes(run_json.read_bytes())
    run_json.unlink()
    looked = Path.iterdir

    def begun_meanwhile(folder):
        if folder == tmp_path / "run":
            shutil.copy(tmp_path / "aside.json", run_json)
        return looked(folder)

    monkeypatch.setattr(Path, "iterdir", begun_meanwhile)
    assert Store(tmp_path / "run").check(alone.spec)
