"""Names come from others: whatever they hold is shown letter by letter, and does nothing to whoever reads it."""

import csv
import io
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from tests import test_figures as made
from transference import figures
from transference._csv import write_csv
from transference.cli._table import summary_text
from transference.statistics import contrast, predicted_rows, summarise

pytestmark = pytest.mark.slow

NAMES = {
    "formula": "=1+1",
    "terminal": "a\x1b[31mred\x07\x9b2J",
    "markup": "<b>&amp;\"' --> ]]>",
    "dollars": "$x^2$ costs $",
    "bad TeX": r"$\nosuch{$ \$1",
    "other letters": "日本語 🦜",
    "underscore": "_hidden",
    "lines": "two\nlines\r\n\ttab",
    "no character": "\ufffe\uffff\x00",
    "long": "x" * 3000,
    "format": "%s {0} {name}",
    "nothing": "",
}


def drawn(name):
    """Every kind of figure, of a mode of this name and a plain one."""
    modes = (name, "plain")
    pairs, own = made.table(modes=modes)
    one_step = pairs[pairs["checkpoint_step"] == 100]
    table, trend = made.shares(modes=modes), made.shares(modes=modes, steps=(100, 200))
    difference = contrast(made.blocks(modes), made.blocks(modes, seed=1), draws=20)
    return {
        "histogram": figures.histogram(one_step, own[own["checkpoint_step"] == 100], bands=made.controls(pairs)),
        "training": figures.training(pairs, own),
        "trend": figures.trend(trend),
        "types": figures.types(table),
        "ring": figures.types(table, ring=True),
        "blocks": figures.blocks(table),
        "matrix": figures.matrix(one_step),
        "clustered": figures.matrix(one_step, clustered=True),
        "compare": figures.compare(difference, table, table, (name, "plain")),
        "rows": figures.rows(predicted_rows([made.combined(block, name) for block in made.blocks(modes)][:2])),
        "step size": figures.step_size(made.split(modes)),
        "contact sheet": figures.contact_sheet([np.zeros((1, 3, 4, 4), np.uint8)] * 2, modes),
        "example sheet": figures.example_sheet([{name: np.ones((1, 3))}] * 2, {name: "values"}, modes),
    }


@pytest.mark.parametrize("kind", NAMES)
def test_any_name_can_be_drawn(tmp_path, kind):
    for name, figure in drawn(NAMES[kind]).items():
        assert max(figure.get_size_inches()) < 30, name
        figures.save(figure, tmp_path / "figure.svg")
        ElementTree.parse(tmp_path / "figure.svg")
        ElementTree.fromstring(figures.as_svg(figure))
    figures.save(figure, tmp_path / "figure.png")
    figures.save(figure, tmp_path / "figure.pdf")


@pytest.mark.parametrize("kind", ["markup", "dollars", "bad TeX", "underscore", "format"])
def test_a_name_is_drawn_letter_by_letter(tmp_path, kind):
    for name, figure in drawn(NAMES[kind]).items():
        figures.save(figure, tmp_path / "figure.svg")
        words = "".join(ElementTree.parse(tmp_path / "figure.svg").getroot().itertext())
        assert NAMES[kind].replace(" ", "") in words.replace(" ", "").replace("\n", ""), name


def test_a_table_in_the_terminal_has_one_line_a_row_and_nothing_that_does_not_print():
    for name in NAMES.values():
        pairs, _ = made.table(modes=(name, "plain"))
        told = summary_text(summarise(pairs.assign(accuracy_before=np.nan)))
        assert all(letter.isprintable() for letter in told.replace("\n", "")), name
        assert len(told.splitlines()) == 1 + 2 * 4, name


def test_a_class_folder_whose_name_is_no_text_can_be_shown(tmp_path):
    figures.save(
        figures.contact_sheet([np.zeros((1, 3, 4, 4), np.uint8)], ["half \udcff\ud800"]), tmp_path / "sheet.svg"
    )
    assert r"half \udcff\ud800" in (tmp_path / "sheet.svg").read_text()


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t=", "\r=", "\n="])
def test_a_cell_of_a_csv_is_no_formula(begin):
    name = f"{begin}HYPERLINK(1)"
    table = pd.DataFrame(
        {"name": pd.Categorical([name, "plain"]), "word": [None, name], "x": [-1.5, np.nan], "n": [-2, 3]}
    )
    content = io.BytesIO()
    write_csv(table, content)
    rows = list(csv.reader(io.StringIO(content.getvalue().decode())))
    assert all(cell[0] not in "=+-@\t\r\n" for row in rows for cell in row[:2] if cell)
    assert [row[2:] for row in rows] == [["x", "n"], ["-1.5", "-2"], ["", "3"]], "numbers are numbers"
    assert rows[1][0].endswith("HYPERLINK(1)")
    assert rows[1][1] == ""
    assert rows[2][0] == "plain"


def test_a_csv_has_nothing_that_does_not_print():
    content = io.BytesIO()
    write_csv(pd.DataFrame({"name": list(NAMES.values())}), content)
    text = content.getvalue().decode()
    assert all(letter.isprintable() for letter in text.replace("\n", ""))
    assert len(list(csv.reader(io.StringIO(text)))) == 1 + len(NAMES)


STYLES = {
    "a style of dark slides": {
        "axes.facecolor": "black",
        "axes.grid": True,
        "lines.linewidth": 9,
        "figure.dpi": 30,
        "font.family": "serif",
    },
    "TeX": {"text.usetex": True},
    "other letters in SVG": {
        "svg.fonttype": "path",
        "savefig.bbox": "tight",
        "savefig.format": "pdf",
        "savefig.transparent": True,
    },
    "a layout": {
        "figure.constrained_layout.use": False,
        "figure.autolayout": True,
        "axes.formatter.use_mathtext": True,
    },
}


@pytest.mark.parametrize("style", STYLES)
def test_settings_of_others_do_not_change_our_figures_nor_ours_theirs(style):
    expected = {name: figures.as_svg(figure) for name, figure in drawn("birds").items()}
    with mpl.rc_context(STYLES[style]):
        before = dict(mpl.rcParams)
        found = {name: figures.as_svg(figure) for name, figure in drawn("birds").items()}
        assert dict(mpl.rcParams) == before
    assert [name for name in expected if found[name] != expected[name]] == []


def test_an_axes_of_ones_own_keeps_its_settings():
    with mpl.rc_context({"axes.facecolor": "black", "axes.grid": True}):
        ax = mpl.figure.Figure().subplots()
        figures.draw_histogram(ax, [0.9, 1.1])
        assert mpl.colors.to_hex(ax.get_facecolor()) == "#000000"
