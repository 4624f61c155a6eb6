"""Who may import whom. The rooms are listed in order; each may import those before it."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ORDER = [
    {"errors", "files", "later", "plain", "_trees", "_streams"},
    {"_csv", "addresses", "blocks", "logs", "progress"},
    {"devices", "exact_sums"},
    {"episodes"},
    {"datasets"},
    {"optimizers"},
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
TABLE_ONLY = {"statistics": set(), "figures": {"statistics"}}
"""Rooms that see only the stored table."""

TABLE = {"errors", "files", "later", "_streams", "blocks"}
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


def test_the_help_of_plot_does_without_torch():
    code = "import sys, transference.cli.plot; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == [
        "False"
    ]
