"""The documentation is whole: every public name, every column, links that lead somewhere, code that runs."""

import pydoc
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from click.testing import CliRunner

import meta_models
import transference as tr
from tests.strangers import PixelPrototypes
from tests.test_readme import ROOT, blocks, replaced
from transference import figures, statistics, validation
from transference.cli import main
from transference.store import TASKS, pairs_schema, sources_schema

DOCS = ROOT / "docs"
API = {page.stem: page.read_text() for page in (DOCS / "api").glob("*.md")}


def documented():
    """Return the names that the API reference takes docstrings from."""
    return re.findall(r"^\.\. auto\w+:: ([\w.]+)$", "\n".join(API.values()), re.MULTILINE)


@pytest.mark.parametrize(
    "package", [tr, statistics, figures, validation, meta_models], ids=lambda package: package.__name__
)
def test_every_public_name_is_in_the_api_reference(package):
    told = documented()
    elsewhere = {name.rpartition(".")[2]: pydoc.locate(name) for name in told if name.startswith("transference.")}
    missing = [
        name
        for name in package.__all__
        if f"{package.__name__}.{name}" not in told
        and elsewhere.get(name) is not getattr(package, name)  # told where users meet it
    ]
    assert not missing, f"give these a line in docs/api/*.md: {missing}"


def test_the_api_reference_tells_no_name_twice():
    told = documented()
    assert len(told) > 80
    assert sorted(told) == sorted(set(told))


def test_every_page_of_the_api_reference_is_in_its_contents():
    assert {page for page in API if re.search(rf"^{page}$", API["index"], re.MULTILINE)} == set(API) - {"index"}


@pytest.mark.parametrize(
    ("title", "schema"),
    [("Pairs", pairs_schema(tempered=True)), ("Sources", sources_schema(combined=True)), ("Tasks", TASKS)],
)
def test_the_tables_of_a_run_folder_are_told_as_they_are(title, schema):
    section = API["run_folder"].split(f"### {title}\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", section, re.MULTILINE)
    names = {
        "dictionary<values=string, indices=int8, ordered=0>": "dictionary of string",
        "list<element: string>": "list of string",
        "list<element: double>": "list of double",
    }
    assert rows == [
        (field.name, names.get(str(field.type).replace("item:", "element:"), str(field.type))) for field in schema
    ]


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def anchors(page):
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)}


PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "meta_models" / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere_without_the_site_too(page):
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        file = Path(page.parent, target) if target else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}#{anchor}"


def small_run(out, estimator, replicates=1):
    learner = PixelPrototypes()
    tasks = [tr.few_shot(f"{mode}:val", ways=3, queries=2) for mode in ("strokes", "shapes")]
    checkpoint = tr.Checkpoint(learner.init_params(0), 240)
    lookahead = tr.SGD((1e-3, 1e-1))
    words = {"n_source": 4, "n_target": 3, "lookahead": lookahead, "estimator": estimator, "replicates": replicates}
    tr.measure(learner, checkpoint, tasks, tasks, out=out, **words)


@pytest.mark.slow
def test_the_code_of_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_run("runs/guide-ratios", tr.Exact("loop"))
    small_run("runs/guide-first-order", tr.FirstOrder(engine="loop"))
    small_run("runs/guide-replicates", tr.Exact("loop"), replicates=3)
    code = "\n".join(block for language, block in blocks((DOCS / "guide.md").read_text()) if language == "python")
    code = replaced(code, ("tables=500", "tables=3"), ("((300, 20), (40, 40), (1000, 20))", "((30, 12), (12, 12))"))
    names = {}
    exec(code, names)
    assert len(names["parts"]) == 2 * 2 * 2
    assert names["parts"].drop(columns="pair").notna().all(axis=None)
    assert len(names["yardstick"]) == 2 * 2
    assert names["yardstick"]["below_1"].between(0, 3).all()
    assert all(len(found) == 4 for found in names["coverage"].values())
    assert isinstance(names["difference"], pd.DataFrame)
    assert len(names["difference"]) == 4 * 4
    assert names["pairs"]["n"].eq(3).all()
    assert names["shares"]["episode"].between(0, 1).all()


@pytest.mark.slow
def test_the_code_of_the_page_of_figures_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_run("runs/ratios", tr.Exact("loop"))
    [code] = [block for language, block in blocks((DOCS / "figures.md").read_text()) if language == "python"]
    names = {}
    with plt.rc_context(), plt.style.context("default"):
        plt.switch_backend("agg")
        exec(code, names)
        for figure in (names["panels"], names["parts"]):
            figure.canvas.draw()
            plt.close(figure)
    assert names["left"].patches
    assert names["right"].patches
    assert [bool(part.axes) for part in (names["one"], names["other"])] == [True, True]


def test_the_page_of_figures_names_every_figure_of_a_table():
    page = (DOCS / "figures.md").read_text()
    of_tables = [name for name in figures.__all__ if callable(getattr(figures, name)) and f"`{name}`" not in page]
    others = {"arranged", "as_svg", "binned", "check_name", "clustered_order", "contact_sheet", "draw_example"}
    assert set(of_tables) <= others | {"example_sheet", "save", "span_of", "shared_limit", "styled"}


def test_every_block_of_python_parses():
    for page in DOCS.rglob("*.md"):
        for language, block in blocks(page.read_text()):
            if language == "python":
                compile(block, str(page), "exec")


@pytest.mark.slow
def test_the_plan_of_the_docs_is_carried_out_and_its_table_validated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = next(block for language, block in blocks((DOCS / "plans.md").read_text()) if "subsets" in block)
    plan = replaced(
        plan, ("iterations = 100", "iterations = 2"), ("tasks = 50", "tasks = 2"), ("queries = 5", "queries = 2")
    )
    (tmp_path / "plan.toml").write_text(plan)
    told = CliRunner().invoke(main, ["train", "--plan", "plan.toml", "--out", "runs/subsets"])
    assert told.exit_code == 0, told.output
    rows = pd.DataFrame(0.1, index=["strokes", "shapes", "textures"], columns=["strokes", "shapes", "textures"])
    code = "\n".join(block for language, block in blocks((DOCS / "validation.md").read_text()) if language == "python")
    names = {"rows": rows}
    exec(code, names)
    assert set(names["table"]["predictor"]) == {"own share", "size", "rows"}
    assert names["difference"]["group"].tolist() == ["all"]


def test_the_code_of_the_page_on_watching_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learner = PixelPrototypes()
    code, _ = (block for language, block in blocks((DOCS / "watch.md").read_text()) if language == "python")
    names = {"learner": learner, "params": learner.init_params(0), "iterations": 1000, "update": lambda *_: None}
    exec(
        replaced(
            code,
            ("ways=5, shots=1, queries=15", "ways=3, shots=1, queries=2"),
            ("every=500", "every=500, time_share=1e9"),
        ),
        names,
    )
    assert tr.open_run("runs/watch").steps == (500, 1000)
