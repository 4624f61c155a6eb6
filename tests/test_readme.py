"""What the README and the docs tell people to type is what the commands take."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import torch

import transference as tr
from tests.strangers import PixelPrototypes
from transference.cli import main

ROOT = Path(__file__).resolve().parents[1]
README, DOCS = ROOT / "README.md", ROOT / "docs"
PAGES = [
    README,
    ROOT / "meta_models" / "README.md",
    *sorted(DOCS.glob("*.md")),
    *sorted((DOCS / "api").glob("*.md")),
]


def blocks(text):
    """Return language and content of each fenced block; the language of a directive is its name in braces."""
    found = re.findall(r"^( *)```([\w{}-]*)[^\n`]*\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE)
    return [(language, content) for _, language, content in found]


def example(page, containing):
    """Return the one block of Python on a page that holds some words."""
    [found] = [block for language, block in blocks(page.read_text()) if language == "python" and containing in block]
    return found


def commands():
    for page in PAGES:
        for block in (
            block for language, block in blocks(page.read_text()) if not language.startswith(("python", "{"))
        ):
            joined = block.replace("\\\n", " ")
            for line in joined.splitlines():
                words = shlex.split(line.split("  #")[0]) if "transference " in line else []
                if "transference" in words[:2]:
                    yield words[words.index("transference") + 1 :]


def test_there_are_commands_to_check():
    assert len(list(commands())) >= 8


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_parses(words):
    command = main
    while isinstance(command, click.Group):
        name, *words = words
        command = command.get_command(click.Context(command), name)
        assert command is not None, name
    # a file of settings, which the page shows, would be read while the command is parsed
    command.make_context(name, list(words), resilient_parsing=bool({"--settings", "--watch", "--plan"} & {*words}))


def replaced(text, *pairs):
    for old, new in pairs:
        assert old in text, f"the page no longer says {old!r}; mend this test with it"
        text = text.replace(old, new)
    return text


def test_the_readme_is_one_page_and_names_what_ci_runs():
    text = README.read_text()
    assert len(text.split()) <= 700
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] in [
        line.split("  #")[0].strip() for line in text.splitlines()
    ]


def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learner = PixelPrototypes()
    adam = tr.OptimizerState.adam(lr=0.01)
    for k, step in enumerate((10_000, 20_000)):
        tr.save_checkpoint(tr.Checkpoint(learner.init_params(k), step, optimizer=adam), tmp_path / f"{step}.pt")
    code = replaced(
        example(DOCS / "start.md", "tr.measure"),
        ("tr.load_learner(checkpoints[0])", "PixelPrototypes()"),
        ('"omniglot:train", data_root="data"', '"strokes:val"'),
        ('"birds:test", data_root="data"', '"shapes:val"'),
        ("n_source=300", "n_source=3"),
        ("n_target=20", "n_target=2"),
    )
    names = {"paths": sorted(tmp_path.glob("*.pt")), "PixelPrototypes": PixelPrototypes}
    exec(code, names)
    assert names["matrix"].shape == (3, 2)
    assert len(names["frame"]) == 2 * 2 * 3 * 2
    assert np.isfinite(names["matrix"]).all()


def without_module(tmp_path):
    names = {}
    exec(example(DOCS / "checkpoints.md", "class MyLearner"), names)
    return names["MyLearner"](), Wrapped()


def with_module(tmp_path):
    """Import ``mymodule.py`` beside ``mynet.py`` as ``--learner mymodule:make`` does."""
    (tmp_path / "mynet.py").write_text("from tests.test_readme import Wrapped\n\n\nclass MyNet(Wrapped):\n    pass\n")
    (tmp_path / "mymodule.py").write_text(example(README, "def make()"))
    return tr.load_learner("mymodule:make"), Wrapped()


@pytest.mark.parametrize("engine", ["loop", "threads", "vmap"])
@pytest.mark.parametrize("written", [with_module, without_module])
def test_learners_of_ones_own_can_be_measured_by_every_engine(written, engine, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mymodule", "mynet"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    learner, net = written(tmp_path)
    checkpoint = tr.Checkpoint({name: value.detach() for name, value in net.state_dict().items()}, 1000)
    tasks = tr.few_shot("strokes:val", queries=2)
    run = tr.measure(learner, checkpoint, tasks, tasks, n_source=2, n_target=2, lookahead=tr.SGD(0.01),
                     estimator=tr.Exact(engine), out=tmp_path / "run")  # fmt: skip
    assert np.isfinite(run.matrix()).all()


class Wrapped(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, stride=2)

    def forward(self, images):
        return torch.relu(self.conv(images)).flatten(1)


def test_the_package_page_shows_the_same_example():
    page = example(DOCS / "start.md", "tr.measure")
    assert "few_shot" in page
    for line in (
        "tr.load_checkpoint(path) for path in paths",
        "lookahead=tr.SGD(alpha=(1e-3, 1e-2))",
        "run.matrix(step=20_000, alpha=1e-2)",
    ):
        assert line in page
        assert line in (tr.__doc__ or "")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["transference", "transference.cli"])
def test_the_package_is_run_as_the_command(module):
    run = lambda *words: subprocess.run(
        [sys.executable, "-m", module, *words], capture_output=True, text=True, check=False
    )
    listed = run("learners")
    assert listed.returncode == 0, listed.stderr
    assert "kml-protonet" in listed.stdout
    wrong = run("measure")
    assert wrong.returncode == 2
    assert "No such command 'measure'" in wrong.stderr
