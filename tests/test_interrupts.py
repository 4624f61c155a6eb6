"""What ends a command from outside: Ctrl-C, SIGTERM, a full disk, a reader that has gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TRANSFERENCE = Path(sys.executable).with_name("transference")
TRAIN = ["--learner", "regression-maml", "--modes", "sinusoid", "--save-every", "5", "--device", "cpu"]


def begin(*words, **settings):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **settings}
    return subprocess.Popen([str(word) for word in (TRANSFERENCE, *words)], **pipes)


def in_the_middle_of(module, words):
    """Code that runs the command and sends itself a Ctrl-C while a module is imported; its last line says that it did."""
    return f"""
import importlib.abc, os, signal, sys

class Interrupting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv = ["transference", *{words!r}]
from transference.cli import main
sys.exit(main())
"""


IMPORTING = {
    "compute": ["compute", "x.pt", "--source", "a:b", "--target", "a:b", "--out", "run"],
    "plot": ["plot", "run", "--kind", "histogram", "-o", "figure.png"],
    "train": ["train", "--learner", "maml", "--modes", "a", "--out", "out"],
    "datasets": ["datasets", "list"],
}


@pytest.mark.parametrize(
    ("command", "module"),
    [
        *(("compute", module) for module in ("click", "numpy", "torch.nn", "transference.measurement")),
        ("plot", "matplotlib.figure"),
        ("plot", "pyarrow"),
        ("train", "torch.nn"),
        ("datasets", "pandas"),
    ],
)
def test_an_interrupt_while_something_is_imported_is_one_line(tmp_path, command, module):
    words = IMPORTING[command]
    done = subprocess.run(
        [sys.executable, "-c", in_the_middle_of(module, words)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted; repeat the same command to go on from here\n"


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_training_that_is_ended_says_so_and_leaves_whole_files(tmp_path, number, code, word):
    process = begin("train", *TRAIN, "--iterations", 100_000, "--out", tmp_path / "out")
    while not list((tmp_path / "out").glob("step-*")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    told = process.communicate(timeout=60)[0]
    assert process.returncode == code
    assert told.rstrip().splitlines()[-1] == f"{word}; repeat the same command to go on from here"
    assert "Traceback" not in told
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_a_reader_that_has_had_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    process = begin("learners", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert process.communicate(timeout=60)[1] == ""


FULL = """
import errno, io, os, sys
from pathlib import Path

class Full(io.FileIO):
    def write(self, content):
        raise OSError(getattr(errno, {name!r}), os.strerror(getattr(errno, {name!r})))

plain = io.open

def opened(file, mode="r", *rest, **settings):
    if not isinstance(file, int) and {folder!r} in os.fspath(file) and set(mode) & set("wax+"):
        raw = Full(file, mode.replace("b", "").replace("t", ""))
        return raw if "b" in mode and rest[:1] == (0,) else io.BufferedWriter(raw) if "b" in mode else io.TextIOWrapper(
            io.BufferedWriter(raw), write_through=True)
    return plain(file, mode, *rest, **settings)

io.open = opened
import builtins
builtins.open = opened
sys.argv = ["transference", *{words!r}]
from transference.cli import main
main()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A checkpoint, a run and class folders, for commands that are to fail on a full disk."""
    folder = tmp_path_factory.mktemp("made")
    checkpoint, run = folder / "training" / "step-00000005.safetensors", folder / "run"
    for words in (
        ["train", *TRAIN, "--iterations", 5, "--meta-batch", 1, "--out", folder / "training"],
        ["compute", checkpoint, "--source", "sinusoid:train", "--target", "abs:test", "--n-source", 2, "--n-target", 2, "--alpha", 0.01,
         "--controls", 0, "--out", run],
    ):  # fmt: skip
        process = begin(*words)
        told = process.communicate(timeout=120)[0]
        assert process.returncode == 0, told
    return checkpoint, run


COMMANDS = {
    "train": ["train", *TRAIN, "--iterations", "5", "--out", "{there}"],
    "convert to .pt": ["convert", "{checkpoint}", "{there}/x.pt"],
    "convert to .safetensors": ["convert", "{checkpoint}", "{there}/x.safetensors"],
    "compute": ["compute", "{checkpoint}", "--source", "sinusoid:train", "--target", "abs:test", "--n-source", "2", "--n-target", "2",
                "--alpha", "0.01", "--out", "{there}"],
    "export .csv": ["export", "{run}", "{there}/x.csv"],
    "export .parquet": ["export", "{run}", "{there}/x.parquet"],
    "export .npz": ["export", "{run}", "{there}/x.npz"],
    "plot .png": ["plot", "{run}", "--kind", "matrix", "-o", "{there}/x.png"],
    "plot .pdf": ["plot", "{run}", "--kind", "matrix", "-o", "{there}/x.pdf"],
    "report": ["report", "{run}", "-o", "{there}/x.html"],
    "datasets show": ["datasets", "show", "strokes", "-o", "{there}/x.png"],
    "evaluate": ["evaluate", "{checkpoint}", "--target", "sinusoid:test", "--n-tasks", "2", "--out", "{there}/x.parquet"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *((command, "ENOSPC") for command in COMMANDS),
        *(("export .csv", name) for name in ("EDQUOT", "EROFS", "EACCES", "ENOENT", "ENOTDIR", "ENAMETOOLONG")),
    ],
)
def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing(made, tmp_path, command, name):
    there = tmp_path / "full"
    words = [word.format(there=there, checkpoint=made[0], run=made[1]) for word in COMMANDS[command]]
    code = FULL.format(name=name, folder=str(there), words=words)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    lines = [
        line
        for line in done.stderr.replace("\r", "\n").splitlines()
        if line.strip() and "it/s" not in line and "%|" not in line and " to go" not in line  # how far it was
    ]
    told = [line for line in lines if "move, " not in line]  # what moves was said before anything was written
    assert len(told) == 1, done.stderr
    assert told[0].startswith("error: ")
    assert "then repeat the command" in told[0]
    assert not [path for path in there.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "command", [name for name in COMMANDS if name in ("convert to .pt", "export .csv", "plot .png", "report")]
)
def test_what_was_there_stays_whole_when_a_command_is_killed_while_it_writes(made, tmp_path, command):
    words = [word.format(there=tmp_path, checkpoint=made[0], run=made[1]) for word in COMMANDS[command]]
    code = f"""
import os, sys

def killed(*paths):
    os.kill(os.getpid(), 9)
os.rename = os.replace = killed
import pathlib
pathlib.os.replace = killed
sys.argv = ["transference", *{words!r}]
from transference.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")], (
        "something is seen under the final name"
    )
