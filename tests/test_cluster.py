"""A run on the workers of a Dask cluster: the same table, whatever dies, and one line for whatever is wrong."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import distributed
import pytest

import transference as tr
from tests.strangers import PixelPrototypes
from tests.test_shards import CALIBRATED, EXACT, QUADRATIC, alone, ask, content, tasks  # noqa: F401 - a fixture among them
from transference.datasets import tensors_of
from transference.errors import ClusterError, DataError, LearnerError, SpecMismatchError, UsageError
from transference.executors import _clusters, _dask, check_cluster, open_cluster
from transference.measurement import _carrying_out, _job
from transference.measurement._job import Job
from transference.measurement._question import Question

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120
"""Seconds: many for a busy machine; nothing here waits so long."""


@pytest.fixture(scope="module")
def cluster():
    """Two workers of this machine, for all tests that end none of them."""
    with open_cluster("local:2", threads=1, device="cpu", say=print) as found:
        yield found.client


def unseen(monkeypatch):
    """Let workers find another folder under the name of the run's."""

    def elsewhere(*args, **words):
        job = Job(*args, **words)
        return Job(job.question, job.folder, "another word", job.digest, job.first_sources, job.threads)

    monkeypatch.setattr(_carrying_out, "Job", elsewhere)


@pytest.mark.parametrize("shared", [True, False], ids=["one disk", "no common disk"])
@pytest.mark.parametrize("estimator", [EXACT, CALIBRATED, QUADRATIC], ids=["exact", "calibrated", "quadratic"])
def test_workers_make_the_table_of_one_process(tmp_path, alone, cluster, estimator, shared, monkeypatch):  # noqa: F811
    wrote, write = [], tr.Store.write
    monkeypatch.setattr(
        tr.Store, "write", lambda store, part, *tables: (wrote.append(part), write(store, part, *tables))
    )
    if not shared:
        unseen(monkeypatch)
    run = ask(tmp_path / "run", estimator, cluster=cluster)
    assert tr.verify(run.path).complete
    assert content(run) == alone[estimator]
    assert bool(wrote) is not shared, "who sees the folder publishes there, else whoever asked does"
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.parquet")}
    sorted(run.path.glob("pairs/*/*.parquet"))[-1].unlink()
    assert content(ask(tmp_path / "run", estimator, cluster=cluster)) == alone[estimator]
    again = [path for path, when in before.items() if path.stat().st_mtime_ns != when]
    assert len(again) == 2, "what is there is not computed again"


def test_a_run_that_was_begun_elsewhere_keeps_its_threads(tmp_path, cluster, monkeypatch):
    run = ask(tmp_path / "run", cluster=cluster)
    assert run.about()["threads"] == 1
    asked = []
    bench = _job.Bench
    monkeypatch.setattr(_job, "Bench", lambda *args: (asked.append(args[2]), bench(*args))[1])
    question = asking()
    Job(question, run.path, None, question.spec.digest, {10: {"loss": float("nan")}}, 3)
    with pytest.raises(SpecMismatchError, match="loss on the first source at step 10 was nan"):
        Job(question, run.path, None, question.spec.digest, {10: {"loss": float("nan"), "gradient_norm": 1}}, 3).bench()


def asking(sources=None, learner=None):
    learner = learner or PixelPrototypes()
    return Question.of(
        learner, tr.Checkpoint(learner.init_params(0), 10), sources or tasks(0), tasks(1), n_source=2, n_target=2,
        lookahead=tr.SGD(0.1), estimator=EXACT, replicates=1, controls=0, device="cpu", precision="fp32", tile=None, combine={},
    )  # fmt: skip


def sent(question):
    packed, note = Job(question, Path("run"), None, question.spec.digest, {}, 1).packed()
    return packed, note


# What travels


def test_data_do_not_travel_but_the_way_to_them(tmp_path):
    shown = [tr.open_tasks(mode, ways=3, queries=2) for mode in ("strokes:val", "mix[a>b]:test", "linear:test")]
    assert sum(tensor.nbytes for tensor in (shown[0].dataset.images, *tensors_of(shown[1].dataset.values))) > 1e6
    packed, note = sent(asking(shown))
    assert len(packed.content) < 1e5 + 4 * sum(p.numel() for p in PixelPrototypes().init_params(0).values())
    assert note is None
    there = pickle.loads(packed.content).question
    assert there.spec == asking(shown).spec
    for mine, theirs in zip(shown, there.sources, strict=True):
        one, other = (dict(sampler[3].items()) for sampler in (mine, theirs))
        assert {name: (tensor == other[name]).all() for name, tensor in one.items()} == dict.fromkeys(one, True)


def test_data_that_were_changed_in_memory_travel_as_they_are():
    from dataclasses import replace

    drawn = tr.open_dataset("strokes:val")
    changed = replace(drawn, images=255 - drawn.images, digest="changed")
    packed, _ = sent(asking([tr.FewShot(changed, ways=3, shots=1, queries=2)]))
    assert len(packed.content) > drawn.images.nbytes
    [there] = pickle.loads(packed.content).question.sources
    assert (there.dataset.images == changed.images).all()


def test_what_is_large_or_cannot_travel_is_told():
    class Held:
        name = "held"

        def __init__(self, what):
            self.what = what

        def __getitem__(self, index):
            return tasks(0)[0][index]

    assert "MiB travel to every worker" in sent(asking([Held(bytes(70 * 2**20))]))[1]
    with pytest.raises(UsageError, match=r"cannot be sent to other processes .*--shard i/N"):
        sent(asking([Held(threading.Lock())]))


def images(root, shade):
    from PIL import Image

    for c in range(3):
        (root / "own" / f"class{c}").mkdir(parents=True)
        for k in range(4):
            Image.new("RGB", (28, 28), (shade, 40 * c, 40 * k)).save(root / "own" / f"class{c}" / f"{k}.png")
    return tr.few_shot("own:all", data_root=root, ways=3, shots=1, queries=2)


def test_a_worker_that_cannot_see_the_data_says_where_it_looked(tmp_path, cluster, monkeypatch):
    sampler = images(tmp_path / "data", 10)
    learner = PixelPrototypes()
    words = {
        "n_source": 2,
        "n_target": 2,
        "lookahead": tr.SGD(0.1),
        "out": tmp_path / "run",
        "device": "cpu",
        "tile": (1, 1),
    }

    def measured():
        return tr.measure(
            learner, tr.Checkpoint(learner.init_params(0), 1), sampler, tasks(1)[0], cluster=cluster, **words
        )

    (tmp_path / "data").rename(tmp_path / "away")
    with pytest.raises(DataError, match=rf"On the worker tcp://\S+: .*{tmp_path / 'data'} is not a folder") as found:
        measured()
    assert "\n" not in str(found.value)
    images(tmp_path / "data", 200)
    with pytest.raises(DataError, match=rf"own:all in {tmp_path / 'data'} holds other data .*Copy them there anew"):
        measured()
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "away").rename(tmp_path / "data")
    assert tr.verify(measured().path).complete


def test_a_worker_of_other_versions_is_told_before_any_item(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(_job, "version", lambda name: "9.9" if name == "torch" else "0.0.1")
    with pytest.raises(ClusterError, match=r"tcp://\S+ has .*torch \S+ where the run has 9.9") as found:
        ask(tmp_path / "run", cluster=cluster)
    assert "where the run has 0.0.1" in str(found.value)
    monkeypatch.setattr(_dask.DaskCluster, "_check_versions", lambda self, packed: None)  # a worker that came later
    with pytest.raises(ClusterError, match=r"torch \S+ where the run has 9.9"):
        ask(tmp_path / "run", cluster=cluster)
    monkeypatch.undo()
    assert ask(tmp_path / "run", cluster=cluster).finished


def test_a_module_that_a_worker_lacks_is_told(tmp_path, cluster, monkeypatch):
    (tmp_path / "only_here.py").write_text(
        "from tests.strangers import PixelPrototypes\nclass Mine(PixelPrototypes): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from only_here import Mine

    learner = Mine()
    with pytest.raises(
        ClusterError, match=r"cannot import what the run needs: No module named 'only_here'. Install it there"
    ):
        tr.measure(learner, tr.Checkpoint(learner.init_params(0), 1), tasks(0)[0], tasks(1)[0], n_source=2, n_target=2,
                   lookahead=tr.SGD(0.1), out=tmp_path / "run", device="cpu", cluster=cluster)  # fmt: skip


class Failing(PixelPrototypes):
    def episode_loss(self, params, episode):
        if os.getpid() != int(os.environ.get("WHO_ASKED", "0")):
            raise ValueError("not on a worker")
        return super().episode_loss(params, episode)


def test_a_learner_that_fails_on_a_worker_is_told_as_in_one_process(tmp_path, cluster, monkeypatch):
    monkeypatch.setenv("WHO_ASKED", str(os.getpid()))
    learner = Failing()
    with pytest.raises(LearnerError, match=r"failed on source task 0 .*not on a worker"):
        tr.measure(learner, tr.Checkpoint(learner.init_params(0), 1), tasks(0)[0], tasks(1)[0], n_source=2, n_target=2,
                   lookahead=tr.SGD(0.1), out=tmp_path / "run", device="cpu", cluster=cluster)  # fmt: skip


# Which cluster


@pytest.mark.parametrize(
    "where", ["", "local", "local:0", "local:-1", "local:x", "tcp://", "tcp://here", "slurm:", "10.0.0.1:8786"]
)
def test_what_is_no_cluster_is_refused(where):
    with pytest.raises(
        UsageError, match=r"The cluster .* was asked for; give local:N, tcp://HOST:PORT or slurm:FILE.toml"
    ):
        check_cluster(where)


def test_a_cluster_that_nobody_answers_for_is_told_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(_clusters, "_REACH", 0.5)
    with pytest.raises(ClusterError, match=r"The cluster tcp://127.0.0.1:9 could not be reached within 0.5 seconds"):
        ask(tmp_path / "run", cluster="tcp://127.0.0.1:9")
    assert not (tmp_path / "run").exists()


def test_a_cluster_and_a_shard_exclude_each_other(tmp_path):
    with pytest.raises(UsageError, match=r"--shard 1/2 was given with --cluster"):
        ask(tmp_path / "run", cluster="local:2", shard="1/2")


def test_without_dask_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(
        UsageError, match=r"distributed is not installed. Install it: pip install 'transference\[cluster\]'"
    ):
        check_cluster("local:2")


JOBS = {"scale": "4", "memory": '"16GB"', "cores": "8", "queue": '"short"', "walltime": '"01:00:00"', "lifetime": '"55m"',
        "lifetime-stagger": '"4m"', "job_extra_directives": '["--constraint=avx512"]'}  # fmt: skip


def jobs_file(folder, settings):
    path = folder / "jobs.toml"
    path.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    return path


def test_jobs_of_slurm_are_asked_for_as_the_file_says(tmp_path):
    settings = _clusters.read_slurm(jobs_file(tmp_path, JOBS))
    with _clusters.slurm_cluster(settings, threads=1) as asked:
        script = asked.job_script()
    for line in ("#SBATCH -p short", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=15G", "#SBATCH -t 01:00:00",
                 "#SBATCH --constraint=avx512", "export OMP_NUM_THREADS=1"):  # fmt: skip
        assert f"{line}\n" in script
    for words in ("--nthreads 1", "--nworkers 8", "--lifetime=55m", "--lifetime-stagger=4m", "--no-dashboard"):
        assert words in script
    assert _clusters._expected("slurm", str(tmp_path / "jobs.toml")) == 4 * 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"partition": '"short"'}, "has partition, which no job has; it may have scale, lifetime"),
        ({"scale": '"4"'}, "scale"),
        ({"scale": "0"}, "at least 1"),
        ({"job_extra_directives": "[1]"}, "a list of texts"),
        ({"memory": None}, "lacks memory"),
    ],
)
def test_a_file_of_jobs_is_held_to_what_jobs_have(tmp_path, changes, message):
    settings = {name: value for name, value in {**JOBS, **changes}.items() if value is not None}
    with pytest.raises(UsageError, match=message):
        check_cluster(f"slurm:{jobs_file(tmp_path, settings)}")


def test_each_worker_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert _clusters._gpus(2, "cuda") == [{"CUDA_VISIBLE_DEVICES": "3"}, {"CUDA_VISIBLE_DEVICES": "5"}]
    assert _clusters._gpus(3, "cpu") == [{}, {}, {}]
    with pytest.raises(UsageError, match="there are 2 GPUs, and each worker takes one"):
        _clusters._gpus(3, "cuda")


# Whatever dies

COUNTING = """
import os, time
from pathlib import Path
from transference.measurement import Work

def count(compute):
    def counted(work, one):
        with Path({log!r}).open("a") as file:
            print(os.getpid(), one, file=file)
        time.sleep(0.05)
        return compute(work, one)
    return counted

if Work.part.__name__ != "counted":  # a worker reads this twice
    Work.part = count(Work.part)
"""


def pids(log):
    lines = log.read_text().splitlines() if log.exists() else []
    return [int(line.split()[0]) for line in lines]


def test_killed_workers_cost_what_was_in_flight_and_nothing_else(tmp_path, alone):  # noqa: F811
    log, counting, killed = tmp_path / "log", tmp_path / "counting.py", []
    counting.write_text(COUNTING.format(log=str(log)))

    def kill():
        while len(killed) < 3:
            if (at_work := [pid for pid in pids(log)[-1:] if pid not in killed]) and len(pids(log)) > 8 * len(
                killed
            ) + 2:
                os.kill(at_work[0], signal.SIGKILL)
                killed.append(at_work[0])
            time.sleep(0.01)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with dask.config.set({"distributed.worker.preload": [str(counting)]}):
        run = ask(tmp_path / "run", cluster="local:2")
    killer.join(timeout=PATIENCE)
    assert content(run) == alone[EXACT]
    parts = [line.partition(" ")[2] for line in log.read_text().splitlines()]
    assert len(killed) == 3
    assert len(set(parts)) <= len(parts) <= len(set(parts)) + len(killed)


def test_a_worker_that_dies_again_and_again_is_no_endless_loop(monkeypatch):
    tried = []

    class Dead:
        def __init__(self, error):
            self.error = error

        def result(self):
            raise self.error

    class Client:
        status, loop = "running", None

        def submit(self, *_, **__):
            tried.append(1)
            return Dead(distributed.scheduler.KilledWorker("item", None, 4))

        def cancel(self, *_, **__):
            pass

    class Done(list):
        def __init__(self, futures, loop):
            super().__init__(futures)

        def __next__(self):
            return self.pop(0)

        add = list.append

    monkeypatch.setattr(_dask, "as_completed", Done)
    employed = _dask._Employed(_dask.DaskCluster(Client(), "local:1", print), "job")
    with pytest.raises(ClusterError, match="Workers died again and again at one item"):
        list(employed.carry_out(["an item"], lambda item: 0))
    assert len(tried) == _dask._BARREN
    tried.clear()
    with pytest.raises(ClusterError):
        list(employed.carry_out(["an item"], lambda item: min(len(tried), 6)))
    assert len(tried) == 6 + _dask._BARREN, "while something is finished it goes on"


def begin(*words, **settings):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **settings}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([str(word) for word in words], env=environment, cwd=ROOT, **pipes)


def wait_for(what, *processes):
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it takes too long"
        assert all(process.poll() is None for process in processes), [p.communicate() for p in processes if p.poll()]
        time.sleep(0.02)


def test_a_scheduler_that_dies_midway_is_one_line_and_the_same_call_goes_on(tmp_path, alone):  # noqa: F811
    told = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = begin(sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard",
                      "--scheduler-file", told, **quiet)  # fmt: skip
    wait_for(told.exists, scheduler)
    worker = begin(sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", told, "--nthreads", 1, "--no-nanny",
                   "--no-dashboard", "--local-directory", tmp_path / "scratch", **quiet)  # fmt: skip
    try:
        with distributed.Client(scheduler_file=str(told), set_as_default=False) as client:
            address = client.scheduler.address

        def kill():
            wait_for(lambda: len(list((tmp_path / "run").glob("pairs/*/*.parquet"))) >= 2)
            scheduler.kill()

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        with pytest.raises(
            ClusterError, match=r"The scheduler tcp://\S+ was lost .*repeat the command to go on"
        ) as found:
            ask(tmp_path / "run", cluster=address)
        assert "\n" not in str(found.value)
        worker.wait(timeout=PATIENCE)
    finally:
        scheduler.kill()
        worker.kill()
        scheduler.wait()
        worker.wait()
    assert content(ask(tmp_path / "run")) == alone[EXACT]


def descendants(pid):
    told = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    children = {}
    for child, parent in zip(told[::2], told[1::2], strict=True):
        children.setdefault(int(parent), []).append(int(child))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found[1:]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked for in /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["Ctrl-C", "killed"])
def test_whatever_ends_the_command_ends_its_workers(tmp_path, number, code):
    learner = tr.load_learner("protonet")
    tr.save_checkpoint(tr.Checkpoint(learner.init_params(0), 10, learner="protonet"), tmp_path / "net.safetensors")
    process = begin(Path(sys.executable).with_name("transference"), "compute", tmp_path / "net.safetensors", "--source", "strokes:val",
                    "--target", "shapes:val", "--n-source", 200, "--n-target", 100, "--tile", 5, 5, "--alpha", 0.01, "--engine", "loop",
                    "--out", tmp_path / "run", "--cluster", "local:1", start_new_session=True)  # fmt: skip
    wait_for(lambda: list((tmp_path / "run").glob("pairs/*/*.parquet")), process)
    workers = descendants(process.pid)
    assert workers
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does, to the workers too
    else:
        process.send_signal(number)
    told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == code
    if number == signal.SIGINT:
        assert told.rstrip().splitlines()[-1] == "interrupted; repeat the same command to go on from here"
        assert "Traceback" not in told
        assert "distributed" not in told
    wait_for(lambda: not any(map(alive, workers)))
    assert not (ROOT / "dask-worker-space").exists()
    assert not (ROOT / "dask-scratch-space").exists()
