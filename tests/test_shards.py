"""A run in shards: processes on one disk that know nothing of each other, and one that closes."""

import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
from click.testing import CliRunner

import transference as tr
from tests.strangers import PixelPrototypes
from transference.cli import main
from transference.errors import SpecMismatchError, UsageError
from transference.plan import ControlSet, ExactTile, OwnBlock, Owners, Shard, items_of, parts_of
from transference.spec import Tile
from transference.store import Patience, Store

ROOT = Path(__file__).resolve().parents[1]
EXACT, CALIBRATED = tr.Exact(engine="loop"), tr.Calibrated(checked=6, share=0.3, half_width=0.3, engine="loop")
QUADRATIC = tr.Quadratic(checked=6, engine="loop")


def tasks(seed):
    return [tr.few_shot(f"{name}:val", ways=3, shots=1, queries=2, seed=seed) for name in ("strokes", "shapes")]


def ask(out, estimator=EXACT, **words):
    learner = PixelPrototypes()
    checkpoints = [tr.Checkpoint(learner.init_params(k), 10 * (k + 1)) for k in range(2)]
    settings = {"n_source": 6, "n_target": 5, "tile": (4, 3), "replicates": 2, "controls": 2, "device": "cpu"}
    lookahead = tr.SGD((0.1, 0.01))
    return tr.measure(learner, checkpoints, tasks(0), tasks(1), out=out, estimator=estimator, lookahead=lookahead,
                      **{**settings, **words})  # fmt: skip


def content(run):
    """Return every file of a run's tables, by name; what run.json tells of where it was computed is left out."""
    files = [*run.path.rglob("*.parquet"), run.path / "pairs.sql"]
    about = json.loads((run.path / "run.json").read_text())
    return {str(file.relative_to(run.path)): file.read_bytes() for file in files}, about["spec"]


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    """The same measurements by one process, by estimator."""
    folder = tmp_path_factory.mktemp("alone")
    found = {one: ask(folder / type(one).__name__, one) for one in (EXACT, CALIBRATED, QUADRATIC)}
    assert all(tr.verify(run.path).complete for run in found.values())
    return {one: content(run) for one, run in found.items()}


@pytest.mark.parametrize("estimator", [EXACT, CALIBRATED, QUADRATIC], ids=["exact", "calibrated", "quadratic"])
@pytest.mark.parametrize("order", [[2, 3, 1], [1, 1, 3, 2]], ids=str)
def test_shards_in_any_order_make_the_table_of_one_process(tmp_path, alone, estimator, order):
    for k, number in enumerate(order, start=1):
        run = ask(tmp_path / "run", estimator, shard=(number, 3))
        assert run.finished == (k == len(order))
    assert tr.verify(run.path).complete
    assert content(run) == alone[estimator]
    assert {path.name for path in run.path.glob(".*")} <= {".lock", ".sound.json"}


@pytest.mark.parametrize("rest", [{"shard": "2/2"}, {}, {"shard": "1/1"}], ids=["other N", "one process", "one shard"])
def test_what_is_left_may_be_done_in_other_shards_or_by_one_process(tmp_path, alone, rest):
    ask(tmp_path / "run", shard="1/2")
    (tmp_path / "run").joinpath("seen").touch()
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.parquet")}
    run = ask(tmp_path / "run", **rest)
    assert content(run) == alone[EXACT]
    assert all(path.stat().st_mtime_ns == when for path, when in first.items()), "nothing is computed twice"


def test_more_shards_than_blocks_of_sources_divide_the_targets(tmp_path, alone):
    spec = ask(tmp_path / "run", dry_run=True).spec
    numbers = {Owners(spec, 40)(tile) for ref in spec.checkpoints for tile in spec.tiles(ref.step)}
    rows = 2 * 2 * 3
    assert rows < len(numbers) <= 40
    for number in range(1, 41):
        run = ask(tmp_path / "run", shard=(number, 40))
    assert content(run) == alone[EXACT]


@pytest.mark.parametrize("of", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("estimator", [EXACT, CALIBRATED, QUADRATIC], ids=["exact", "calibrated", "quadratic"])
@pytest.mark.parametrize(("seconds", "workers"), [(1e-4, 2), (0.5, 3), (30.0, 100)])
def test_every_part_is_in_one_item_and_in_one_shard(tmp_path, estimator, of, seconds, workers):
    spec = ask(tmp_path / "run", estimator, n_source=37, n_target=23, dry_run=True).spec
    for step in (10, 20):
        parts = list(parts_of(spec, step))
        assert len(set(parts)) == len(parts)
        kinds = {Tile, OwnBlock, ControlSet} | ({ExactTile} if estimator is not EXACT else set())
        assert set(map(type, parts)) == kinds
        shards = [list(Shard(number, of).parts(spec, step)) for number in range(1, of + 1)]
        for dealt in (shards, list(items_of(spec, step, seconds, workers))):
            assert sorted(map(repr, chain(*dealt))) == sorted(map(repr, parts))


@pytest.mark.parametrize(("n_source", "n_target", "tile"), [(20_000, 2_000, (25, 64)), (1_000_000, 10_000, (500, 64))])
@pytest.mark.parametrize("seconds", [1e-3, 1e-2, 1e-1])
def test_an_item_of_exact_pairs_lasts_about_a_minute_where_its_tiles_allow_it(n_source, n_target, tile, seconds):
    spec = a_spec(n_source=n_source, n_target=n_target, tile=tile)
    items = list(items_of(spec, 10, seconds, workers=100))
    tiles = [[part for part in item if isinstance(part, Tile)] for item in items[:-1]]
    assert len(items) < 100_000
    lasts = seconds * sum(spec.n_cells_of(one) for some in tiles for one in some) / len(tiles)
    fewest = len({one.targets for one in tiles[0]}) == 1  # a block of targets is not cut
    assert 10 < lasts < 120 or fewest or len(items) > 40_000
    assert len({number for one in tiles[0] for number in range(*one.sources)}) >= 40, "targets are prepared for many"


def a_spec(**changes):
    learner = PixelPrototypes()
    from transference.measurement import make_spec

    settings = {"controls": 2, "device": "cpu", "precision": "fp32", "step": tr.SGD(0.1), "estimator": tr.Exact("loop")}
    checkpoint = tr.Checkpoint(learner.init_params(0), 10)
    return make_spec(learner, [checkpoint], tasks(0)[:1], tasks(1)[:1], **{**settings, **changes})


ARRAY = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_MAX": "11"}


@pytest.mark.parametrize(
    ("text", "environment", "shard"),
    [
        ("3/8", {}, Shard(3, 8)),
        ("8/8", {}, Shard(8, 8)),
        ("auto", ARRAY, Shard(5, 9)),
        ("auto", {**ARRAY, "SLURM_ARRAY_TASK_STEP": "2"}, Shard(3, 5)),
        ("auto", {**ARRAY, "SLURM_ARRAY_TASK_STEP": "4", "SLURM_ARRAY_TASK_COUNT": "3"}, Shard(2, 3)),
        ("auto", {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "4"}, Shard(1, 4)),
    ],
)
def test_a_shard_is_numbers_or_a_place_in_a_job_array(text, environment, shard):
    assert Shard.parse(text, environment) == shard


@pytest.mark.parametrize("text", ["7/4", "0/3", "x", "1", "-1/3", "1/0", "1/2/3", "", "auto", "١/٢"])
def test_what_is_no_shard_is_one_line_before_anything_is_read(monkeypatch, text):
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    words = ["compute", "absent.pt", "--source", "a:b", "--target", "a:b", "--out", "run", "--shard", text]
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "shard" in result.stderr


def test_a_job_array_with_gaps_is_refused():
    with pytest.raises(UsageError, match="have gaps"):
        Shard.parse("auto", {**ARRAY, "SLURM_ARRAY_TASK_COUNT": "3"})


def test_a_shard_of_another_spec_is_refused_with_the_difference(tmp_path):
    run = ask(tmp_path / "run", shard="1/2")
    before = content(run)
    with pytest.raises(SpecMismatchError, match="controls: 2 → 3"):
        ask(tmp_path / "run", shard="2/2", controls=3)
    assert content(run) == before


class Impatient(Exception):
    pass


def give_up():
    raise Impatient


def test_a_shard_and_a_writer_keep_out_of_each_others_way(tmp_path):
    said = []
    store, patience = Store(tmp_path / "run"), Patience(give_up, said.append)
    store.path.mkdir()
    with store.sharing(Shard(1, 2), patience):
        assert store.shards_at_work() == [Shard(1, 2)]
        with store.sharing(Shard(2, 2), patience), store.beginning(patience):
            pass
        for taken in (store.sharing(Shard(1, 2), patience), store.writing(patience)):
            with pytest.raises(Impatient), taken:
                pass
        with store.beginning(patience), pytest.raises(Impatient), store.beginning(patience):
            pass
    assert store.shards_at_work() == []
    with store.writing(patience):
        with pytest.raises(Impatient), store.beginning(patience):
            pass
        assert not list(store.path.glob(".shard*")), "what shards left is gone"


def test_a_writer_says_for_whom_it_waits(tmp_path):
    said = []

    def once():
        if said:
            raise Impatient

    store = Store(tmp_path / "run")
    store.path.mkdir()
    with (
        store.sharing(Shard(3, 8), Patience(give_up, said.append)),
        pytest.raises(Impatient),
        store.writing(Patience(once, said.append)),
    ):
        pass
    assert f"is being written by shard 3/8, process {os.getpid()} on " in said[0]


@pytest.fixture
def checkpoint_file(tmp_path):
    learner = tr.load_learner("protonet")
    path = tmp_path / "net.safetensors"
    tr.save_checkpoint(tr.Checkpoint(learner.init_params(0), 10, learner="protonet"), path)
    return path


def test_the_command_says_how_much_is_there_until_the_last_shard_prints_the_summary(
    tmp_path, checkpoint_file, monkeypatch
):
    words = ["compute", checkpoint_file, "--source", "strokes:val", "--target", "shapes:val", "--n-source", 4, "--n-target", 2,
             "--ways", 2, "--queries", 2, "--tile", 1, 2, "--alpha", 0.01, "--controls", 0, "--engine", "loop", "--device", "cpu",
             "--out", tmp_path / "run"]  # fmt: skip

    def call(*words):
        words = [str(word) for word in words]
        monkeypatch.setattr(sys, "argv", ["transference", *words])
        return CliRunner().invoke(main, words)

    first = call(*words, "--shard", "1/2")
    assert (first.exit_code, "is unfinished: 2 of 4 tiles (50%), no shard is at work." in first.stdout) == (0, True)
    found = call("summary", tmp_path / "run", "--json")
    told = json.loads(found.stdout)
    assert (found.exit_code, told["finished"], told["tiles"], told["done"]) == (0, False, 4, 2)
    assert told["checkpoints"] == [{"checkpoint_step": 10, "tiles": 4, "done": 2}]
    assert "2 of 4 tiles" in call("summary", tmp_path / "run").stdout
    verified = call("verify", tmp_path / "run")
    assert verified.exit_code == 1
    assert "note: missing at checkpoint 10: tiles of the sources 1 to 1, 3 to 3\n" in verified.stderr
    assert "note: of its shards these are not finished: 2/2\n" in verified.stderr
    second = call(*words, "--shard=2/2")
    assert (second.exit_code in (0, 3), "geo. mean" in second.stdout) == (True, True)
    assert call("verify", tmp_path / "run").exit_code == 0
    command = tr.open_run(tmp_path / "run").about()["command"]
    assert command == ["transference", *map(str, words)], "repeated, it measures the whole"


ARRAY_OF_PROCESSES = """
import os, signal, sys, time
import torch
torch.set_num_threads(1)
from pathlib import Path
from tests.test_shards import ask, tasks
from transference.measurement import Work

tasks(0)  # drawn once, for all

out, log = Path(sys.argv[1]), Path(sys.argv[2])
compute = Work.part

def part(work, one):
    with log.open("a") as file:
        print(one, file=file)
    time.sleep(0.02)
    return compute(work, one)

Work.part = part

def start(number):
    if child := os.fork():
        return child
    try:
        ask(out, shard=(number, 8))
    except BaseException as error:
        print(error, file=sys.stderr)
        os._exit(1)
    os._exit(0)

children = {number: start(number) for number in range(1, 9)}
lines = lambda: len(log.read_text().splitlines()) if log.exists() else 0
for number in (2, 5, 7):
    before = lines()
    while lines() < before + 4:
        time.sleep(0.005)
    os.kill(children[number], signal.SIGKILL)
    os.waitpid(children[number], 0)
    children[number] = start(number)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children.values()]
print(codes)
"""


@pytest.mark.slow
def test_eight_processes_of_which_three_are_killed_and_restarted_make_the_same_table(tmp_path, alone):
    words = [sys.executable, "-c", ARRAY_OF_PROCESSES, str(tmp_path / "run"), str(tmp_path / "log")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"{[0] * 8}\n", done.stderr
    run = tr.open_run(tmp_path / "run")
    assert tr.verify(run.path).complete
    assert content(run) == alone[EXACT]
    computed = (tmp_path / "log").read_text().splitlines()
    assert len(set(computed)) <= len(computed) <= len(set(computed)) + 3, "only what was in flight is computed twice"
