"""The notebooks run from the top, without a warning, and what is committed is what they say."""

import ast
import copy
import re

import nbformat
import pytest

import meta_models
import transference as tr
from notebooks.execute import FOLDER, KERNEL, executed
from transference import figures

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

# The kernel is another process, which the settings of pytest do not reach.
# Not errors: what the kernel says of its own way to shut down, and the inline figures of their own settings; neither is a matter of ours.
STRICT = nbformat.v4.new_code_cell(
    """import warnings

warnings.simplefilter("error")
warnings.filterwarnings("ignore", message=".*do_shutdown", category=PendingDeprecationWarning)
warnings.filterwarnings("ignore", message=".*deprecated in traitlets", category=DeprecationWarning)"""
)


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def python(cell):
    """Return the cell's code without what only IPython reads."""
    return re.sub(r"^%.*$", "", cell.source, flags=re.MULTILINE)


def texts(cell):
    return ["".join(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in cell.outputs]


def words(cell):
    """Return the words of a cell's outputs; digits may differ between machines, and with them where a table is broken."""
    return [set(re.findall(r"[^\W\d_]+", text)) for text in texts(cell)]


def kinds(cell):
    return [(output.output_type, sorted(output.get("data", {}))) for output in cell.outputs]


def test_there_are_five():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@notebooks
def test_it_runs_without_a_warning_and_says_what_is_committed(path, tmp_path):
    committed = read(path)
    strict = copy.deepcopy(committed)
    for cell in code(strict):
        cell.outputs = []
    strict.cells.insert(0, STRICT)
    again = executed(strict, tmp_path)
    found = code(again)[1:]
    assert [kinds(cell) for cell in found] == [kinds(cell) for cell in code(committed)]
    assert [words(cell) for cell in found] == [words(cell) for cell in code(committed)]
    assert not list(tmp_path.iterdir())


@notebooks
def test_it_is_committed_as_it_ran_from_the_top(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata == KERNEL
    assert [cell.execution_count for cell in code(notebook)] == [k + 1 for k in range(len(code(notebook)))]
    assert not any(cell.metadata for cell in notebook.cells)
    shown = [cell for cell in code(notebook) if cell.outputs]
    ends = [cell for cell in code(notebook) if isinstance(ast.parse(python(cell)).body[-1], ast.Expr)]
    assert len(shown) >= 2
    assert all(cell.outputs for cell in ends)
    assert any("image/png" in output.get("data", {}) for cell in shown for output in cell.outputs)
    assert not any(
        output.output_type == "error" or output.get("name") == "stderr" for cell in shown for output in cell.outputs
    )


@notebooks
def test_it_is_short_and_small(path):
    assert 5 <= len(read(path).cells) <= 8
    assert path.stat().st_size < 400_000


@notebooks
def test_it_names_no_place_of_a_machine(path):
    notebook = read(path)
    said = [cell.source for cell in notebook.cells] + [text for cell in code(notebook) for text in texts(cell)]
    assert not [
        text
        for text in said
        if re.search(r"(?<![\w.:/<])/(?:home|tmp|work|usr|root|var|opt|Users|mnt)\b|[A-Z]:\\", text)
    ]


@notebooks
def test_it_uses_public_names_only(path):
    public = {"tr": tr, "figures": figures, "meta_models": meta_models}
    for cell in code(read(path)):
        for node in ast.walk(ast.parse(python(cell))):
            if isinstance(node, ast.Import):
                assert all(
                    alias.name.split(".")[0] not in {"transference", "meta_models"} or "." not in alias.name
                    for alias in node.names
                )
            elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in {"transference", "meta_models"}:
                assert (node.module, [alias.name for alias in node.names]) == ("transference", ["figures"])
            elif isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_") or node.attr == "__name__"
                if isinstance(node.value, ast.Name) and node.value.id in public:
                    assert node.attr in public[node.value.id].__all__
