"""Tasks of one's own by ``module:sampler`` on the command line."""

import importlib
import json
import textwrap

import pytest
import torch
from click.testing import CliRunner

import transference as tr
from tests.conftest import random_episode
from tests.strangers import PixelPrototypes
from tests.test_readme import DOCS, example
from transference.cli import main
from transference.errors import DataError, UsageError
from transference.samplers import episode_of, load_tasks, mode_of

HEAD = """
import torch
import transference as tr

class Noise:
    def __init__(self, seed=0, mode="noise"):
        self.seed, self.mode, self.name = seed, mode, f"{mode}/seed-{seed}"

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(1000 * self.seed + index)
        x, y = torch.rand(2, 3, 28, 28, generator=generator), torch.arange(2)
        return tr.Episode(x, y, x.flip(3), y)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that can be imported; returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def write(source="", name=None, head=HEAD):
        name = name or f"own_tasks_{tmp_path.name.replace('-', '_')}_{len(made)}"
        made.append(name)
        (tmp_path / f"{name}.py").write_text(head + textwrap.dedent(source))
        importlib.invalidate_caches()
        return name

    yield write
    for name in made:
        monkeypatch.delitem(importlib.sys.modules, name, raising=False)


def refused(text, **settings):
    with pytest.raises((DataError, UsageError)) as error:
        load_tasks(text, **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_sampler_is_taken_as_it_is(module):
    name = module("sampler = Noise(3)")
    tasks = load_tasks(f"{name}:sampler", ways=9)
    assert (tasks.name, mode_of(tasks)) == ("noise/seed-3", "noise")
    assert tasks is importlib.import_module(name).sampler


def test_what_makes_one_is_called_with_what_it_names(module):
    name = module("""
        def make(ways, *, seed, shots=7, other=1, device="cpu"):
            found = Noise(seed)
            found.told = {"ways": ways, "shots": shots, "other": other, "device": device}
            return found

        class Held:
            attribute = Noise
    """)
    tasks = load_tasks(f"{name}:make", ways=4, shots=2, seed=5, queries=3, device="cpu")
    assert (tasks.name, tasks.told) == ("noise/seed-5", {"ways": 4, "shots": 2, "other": 1, "device": "cpu"})
    assert (
        load_tasks(f"{name}:Noise", seed=2).name == load_tasks(f"{name}:Held.attribute", seed=2).name == "noise/seed-2"
    )


def test_the_sampler_of_the_page_is_one(module):
    name = module(example(DOCS / "start.md", "class Blobs"), head="")
    tasks = load_tasks(f"{name}:Blobs", n=20, ways=3, shots=2, queries=1, seed=4)
    assert (tasks.name, mode_of(tasks)) == ("blobs/3-way/2-shot/1-query/seed-4", "blobs")
    assert tasks[7].support_x.shape == (6, 16)


def test_a_mode_is_called_by_its_name_without_one(module):
    assert mode_of(load_tasks(f"{module('s = Noise(); del s.mode')}:s")) == "noise/seed-0"


def test_a_mode_that_there_is_comes_first(module, tmp_path):
    module("raise SystemExit('somebody ran the script')", name="strokes")
    assert load_tasks("strokes:test").name.startswith("strokes:test/")
    assert load_tasks("sinusoid:test").name.startswith("sinusoid:test/")
    assert load_tasks("mix[a]:test").name.startswith("mix[a]:test/")


@pytest.mark.parametrize(
    "defined", ["test = Noise()", "def test(): pass", "class test: pass", "from torch import nn as test"]
)
def test_a_mode_and_a_sampler_of_one_name_are_told_apart_by_nobody(module, defined):
    module(defined, name="shapes")
    told = refused("shapes:test")
    assert "both the mode shapes and test of the module" in told
    assert "shapes.py" in told
    assert load_tasks("shapes:val").name.startswith("shapes:val/")


def test_a_folder_of_images_is_no_module(tmp_path, monkeypatch):
    (tmp_path / "birds" / "train" / "wren").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    told = refused("birds:train")
    assert "birds" in told
    assert "module" not in told


WRONG = {
    "a member that is not there": ("sampler = Noise()", "sampled", "has no 'sampled' for .* Did you mean sampler"),
    "an import that fails": ("1 / 0", "sampler", "cannot be imported: ZeroDivisionError"),
    "an import that leaves": ("raise SystemExit(3)", "sampler", "cannot be imported: SystemExit"),
    "no sampler": ("sampler = [1, 2]", "sampler", "is a list; a sampler has a name"),
    "nothing made": ("def sampler(): pass", "sampler", "gave a NoneType; a sampler has a name"),
    "a factory that fails": ("def sampler(): raise KeyError('x')", "sampler", "made no sampler: KeyError: 'x'"),
    "a factory that wants more": ("def sampler(root, ways): pass", "sampler", "asks for root, which no command offers"),
    "a name that is none": ("sampler = Noise(); sampler.name = None", "sampler", "The name of .* is None"),
    "a task that fails": (
        "class S(Noise):\n    def __getitem__(self, k): raise KeyError(k)", "S", r"failed at \[0\]: KeyError: 0",
    ),
    "too few tasks": (
        "class S(Noise):\n    def __getitem__(self, k): return [Noise()[0], Noise()[1]][k]", "S",
        r"failed at \[4\]: IndexError.* Has it fewer tasks than were asked for",
    ),
    "no episode": (
        "class S(Noise):\n    def __getitem__(self, k): return Noise()[k].support_x", "S", "gave a Tensor for",
    ),
    "no tensors": (
        "class S(Noise):\n    def __getitem__(self, k): return tr.Episode([1], [2], [3], [4])", "S", "tensor",
    ),
    "luck": (
        "class S(Noise):\n    def __getitem__(self, k): x = torch.rand(2, 3); return tr.Episode(x, x, x, x)", "S",
        "Task 0 of .* is another one when it is drawn again",
    ),
    "a memory": (
        "class S(Noise):\n    n = 0\n    def __getitem__(self, k): self.n += 1; return Noise(self.n)[k]", "S",
        "another one when it is drawn again",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_sampler_is_told_in_one_line(module, kind):
    source, attribute, words = WRONG[kind]
    name = module(source)
    with pytest.raises((DataError, UsageError), match=words) as error:
        load_tasks(f"{name}:{attribute}", n=5)
    assert "\n" not in str(error.value)


def test_a_module_that_is_not_there_is_told():
    told = refused("no_such_module_here:sampler")
    assert "no_such_module_here" in told
    assert "Nor is there a module" in told
    assert "Nor is there a module" not in refused("omniglto:train"), "a mode was meant"
    assert "Nor is there a module" in refused("no_such_package.inside:sampler")


class Fails:
    name = "fails"

    def __getitem__(self, index):
        if index == 1:
            raise ValueError("no such file")
        return random_episode(seed=index)

    def redraw(self, index, replicate=1):
        return None


def test_a_sampler_that_fails_in_a_measurement_is_named(tmp_path):
    learner = PixelPrototypes()
    with pytest.raises(DataError, match=r"The sampler fails failed at \[1\]: ValueError: no such file"):
        tr.measure(
            learner,
            tr.Checkpoint(learner.init_params(0), 1),
            Fails(),
            Fails(),
            n_source=2,
            n_target=1,
            controls=0,
            lookahead=tr.SGD(0.1),
            device="cpu",
            out=tmp_path / "run",
        )
    with pytest.raises(DataError, match=r"gave a NoneType for redraw\(0, 2\)"):
        episode_of(Fails(), 0, 2)
    with pytest.raises(DataError, match="Task -1 of fails was asked for; tasks are numbered from 0"):
        episode_of(Fails(), -1)


def invoke(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.slow
def test_the_commands_take_samplers_of_ones_own(module, tmp_path):
    name = module("one = Noise(1, 'one')\ndef two(seed): return Noise(seed, 'two')")
    learner, path = PixelPrototypes(), tmp_path / "net_1.pt"
    torch.save(learner.init_params(0), path)
    common = (path, "--learner", "tests.strangers:PixelPrototypes", "--device", "cpu", "--ways", 2, "--queries", 2)
    done = invoke(
        "compute",
        *common,
        "--source",
        f"{name}:one",
        "--source",
        f"{name}:two",
        "--source",
        "strokes:train",
        "--target",
        f"{name}:one",
        "--n-source",
        2,
        "--n-target",
        2,
        "--alpha",
        0.01,
        "--controls",
        0,
        "--out",
        tmp_path / "run",
    )
    assert done.exit_code == 0, done.output
    assert "note: one/seed-1 is source and target" in done.stderr
    run = tr.open_run(tmp_path / "run")
    assert list(dict.fromkeys(run.modes("source"))) == ["one", "two", "strokes"]
    assert [tasks.sampler for tasks in run.spec.sources][:2] == ["one/seed-1", "two/seed-1"]
    done = invoke("evaluate", *common, "--target", f"{name}:one", "--target", "strokes:test", "--n-tasks", 2, "--json")
    assert done.exit_code == 0, done.output
    assert [row["mode"] for row in json.loads(done.stdout)] == ["one", "strokes:test", "mean"]
    done = invoke("evaluate", *common, "--target", f"{name}:one", "--target", f"{name}:one", "--n-tasks", 2)
    assert done.exit_code == 2
    done = invoke(
        "compute",
        *common,
        "--source",
        f"{name}:three",
        "--target",
        "strokes:test",
        "--alpha",
        0.1,
        "--out",
        tmp_path / "no",
    )
    assert done.exit_code == 1
    assert "has no 'three'" in done.stderr
    assert not (tmp_path / "no").exists()
