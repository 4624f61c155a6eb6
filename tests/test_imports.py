"""Who may import whom. The rooms are listed in order; each may import those before it."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from meta_models.cli.work._asked import training_of
from transference.cli import main
from transference.cli.checkpoints import open_checkpoints
from transference.cli.plot import OF_KINDS, parameter_of
from transference.engines import ALIASES, ENGINE_NAMES, ENGINES
from transference.estimators import ESTIMATORS
from transference.figures.kinds import KINDS
from transference.lookahead import LOOKAHEADS

ROOT = Path(__file__).resolve().parents[1]
ORDER = [
    {"amounts", "errors", "files", "later", "plain", "_trees", "_streams"},
    {"_csv", "addresses", "blocks", "logs", "progress", "weights"},
    {"devices"},
    {"exact_sums"},
    {"episodes"},
    {"fused"},
    {"datasets"},
    {"optimizers"},
    {"updates"},
    {"checkpoints"},
    {"learners"},
    {"lookahead"},
    {"samplers"},
    {"combine"},
    {"engines"},
    {"estimators"},
    {"spec"},
    {"plan"},
    {"store"},
    {"executors"},
    {"measurement"},
    {"pages"},
    {"report", "explore"},
    {"watch"},
    {"cli"},
    {"__main__"},
]
TABLE_ONLY = {"statistics": set(), "figures": {"statistics"}, "validation": set()}
"""Rooms that see only the stored table."""

TABLE = {"amounts", "errors", "files", "later", "_streams", "blocks"}
"""What these see of the ground floor."""

TELLERS = ("report", "explore", "watch", "cli")
"""Rooms that show what was measured, with figures and statistics."""

RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def rooms_imported(path):
    """Yield the rooms of ``transference`` that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "transference":
            parts = node.module.split(".")
            yield from ([parts[1]] if len(parts) > 1 else [alias.name for alias in node.names])
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("transference."))


def files():
    package = ROOT / "transference"
    return [path for path in package.rglob("*.py") if path != package / "__init__.py"]


def wrong(room, other):
    """Return why ``room`` may not import ``other``, or None if it may."""
    if other == room:
        return None
    if room in TABLE_ONLY:
        allowed = other in TABLE_ONLY[room] | TABLE
        return None if allowed else f"{room} sees only the stored table, yet imports {other}"
    if other in TABLE_ONLY:
        allowed = room in TELLERS or (room, other) == ("measurement", "statistics")
        return None if allowed else f"{room} imports {other}; only {TELLERS} may"
    return None if RANK[other] < RANK[room] else f"{room} imports {other}, which stands after it"


def test_a_room_imports_only_what_stands_before_it():
    found = [
        f"{path.relative_to(ROOT)}: {complaint}"
        for path in files()
        for other in rooms_imported(path)
        if (complaint := wrong(path.relative_to(ROOT / "transference").parts[0].removesuffix(".py"), other))
    ]
    assert not found, "\n".join(found)
    assert wrong("store", "cli")
    assert wrong("figures", "store")
    assert wrong("engines", "statistics")


def test_every_room_has_a_place():
    rooms = {path.relative_to(ROOT / "transference").parts[0].removesuffix(".py") for path in files()}
    assert rooms == set(RANK) | set(TABLE_ONLY)


def test_nothing_in_transference_imports_meta_models():
    assert not [path for path in files() if "meta_models" in {m.split(".")[0] for m in modules_imported(path)}]


def test_meta_models_uses_public_names_of_transference_only():
    imported = {
        module
        for path in (ROOT / "meta_models").rglob("*.py")
        for module in modules_imported(path)
        if module.startswith("transference")
    }
    assert imported
    assert not [module for module in imported if any(part.startswith("_") for part in module.split("."))]


def modules_imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_importing_the_package_loads_neither_pictures_nor_learners():
    code = "import sys, transference; print(*sorted(m for m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {
        "matplotlib",
        "seaborn",
        "meta_models",
        "transference.datasets.strokes",
        "transference.figures",
        "transference.cli",
    }
    assert not heavy & set(loaded)


def test_the_figures_are_there_when_they_are_first_asked_for():
    code = "import sys, transference as tr; print('matplotlib' in sys.modules); tr.figures.histogram; print('matplotlib' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == ["False", "True"]


PAGES = """
import contextlib, io, sys
import click
from transference.cli import main

def paths(group, *path):
    yield path
    context = click.Context(group)
    for name in group.list_commands(context) if isinstance(group, click.Group) else ():
        yield from paths(group.get_command(context, name), *path, name)

told = io.StringIO()
with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
    pages = list(paths(main))
    for words in (*pages, ["--version"], ["compute", "--sources"], ["plot", "run", "--kind", "pie"], ["summry"]):
        with contextlib.suppress(SystemExit):
            main([*words, "--help"] if words in pages else words)
print(*map("/".join, pages))
print(*sys.modules)
"""
"""Print every page of help, and what is wrong with some commands; then which pages there are, and what was imported."""

LIBRARIES = {
    "torch", "numpy", "pandas", "pyarrow", "scipy", "matplotlib", "PIL", "safetensors", "jinja2", "tqdm", "dask", "filelock",
}  # fmt: skip


def test_help_and_what_is_said_of_a_mistyped_option_wait_for_no_library():
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    pages, loaded = (line.split() for line in done.stdout.splitlines())
    assert {"compute", "train", "evaluate", "datasets", "datasets/prepare", "plot"} <= set(pages)
    assert not LIBRARIES & set(loaded)
    assert not [module for module in loaded if module.startswith(("transference.cli.work.", "meta_models.cli.work."))]


RUN = """
import contextlib, io, sys
from transference.cli import main

with contextlib.redirect_stdout(io.StringIO()):
    for words in {words!r}:
        with contextlib.suppress(SystemExit):
            main(words)
print(*sys.modules)
"""


def loaded_by(*commands):
    """Return the modules that a process has which runs some commands, each of which must have done what it was to do."""
    code = RUN.format(words=[[str(word) for word in words] for words in commands])
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run, and the modules that measuring it took."""
    folder = tmp_path_factory.mktemp("measured")
    train = ["train", "--learner", "protonet", "--modes", "shapes", "--iterations", "1", "--meta-batch", "1"]
    modes = ["--source", "shapes:val", "--target", "shapes:test", "--n-source", 2, "--n-target", 2, "--alpha", 0.01]
    compute = ["compute", folder / "training" / "step-00000001.safetensors", *modes, "--controls", 0]
    assert CliRunner().invoke(main, [*train, "--out", str(folder / "training")]).exit_code == 0
    loaded = loaded_by([*compute, "--out", folder / "run"])
    assert (folder / "run" / "run.json").exists()
    return folder / "run", loaded


@pytest.mark.slow
def test_measuring_does_without_the_compiler(measured):
    _, loaded = measured
    assert "torch" in loaded
    assert not {"torch._dynamo", "torch._inductor", "sympy", "scipy.stats", "matplotlib", "dask"} & loaded


@pytest.mark.slow
def test_what_reads_a_run_does_without_torch(measured, tmp_path):
    run, figure, table = measured[0], tmp_path / "figure.png", tmp_path / "table.csv"
    plot = ["plot", run, "--kind", "histogram", "-o", figure]
    loaded = loaded_by(["summary", run], plot, ["export", run, table], ["verify", run])
    assert figure.exists()
    assert table.exists()
    assert {"pandas", "matplotlib"} <= loaded
    assert not {"torch", "scipy.stats", "scipy.cluster", "transference.learners", "meta_models"} & loaded


def commands(group, *path):
    """Yield every command below a group, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        elif name != "demo":  # which has no work of its own
            yield (*path, name), command


@pytest.mark.parametrize(
    ("words", "command"), [pytest.param(*found, id=" ".join(found[0])) for found in commands(main)]
)
def test_what_does_the_work_of_a_command_takes_the_values_of_its_options(words, command):
    room = "meta_models" if words[0] in ("train", "evaluate") else "transference"
    work = getattr(importlib.import_module(f"{room}.cli.work.{words[0]}"), command.callback.__name__)
    taken = inspect.signature(work).parameters
    given = {parameter.name for parameter in command.params if parameter.expose_value}
    if "reading" in taken:
        given -= set(inspect.signature(open_checkpoints).parameters)
    if "options" in taken:
        given -= set(inspect.signature(training_of).parameters)
    if "of_kinds" in taken:
        given -= {parameter_of(option) for option in OF_KINDS.values()}
    assert given == {name for name, p in taken.items() if p.kind is p.POSITIONAL_OR_KEYWORD and name != "ctx"}


def test_what_is_chosen_by_name_is_there():
    assert list(ENGINES) == list(ENGINE_NAMES)
    assert set(ALIASES.values()) <= set(ENGINES)
    assert [ESTIMATORS[name]().sample is None for name in ESTIMATORS] == [True, False, False, False]
    assert [LOOKAHEADS[name].__name__.lower() for name in LOOKAHEADS] == list(LOOKAHEADS)
    functions = [kind.draw for kind in KINDS] + [shown.describe for kind in KINDS for shown in kind.in_report]
    assert all(callable(pkgutil.resolve_name(function.place)) for function in functions)


@pytest.mark.parametrize("stub", sorted(ROOT.glob("[tm]*/**/__init__.pyi")), ids=lambda stub: stub.parent.name)
def test_every_name_of_a_room_is_where_the_list_says(stub):
    room = importlib.import_module(".".join(stub.parent.relative_to(ROOT).parts))
    assert room.__all__
    assert [name for name in room.__all__ if getattr(room, name, None) is None] == []
