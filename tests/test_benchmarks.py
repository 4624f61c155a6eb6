"""The benchmarks start: what they time is a matter for a quiet machine, that they run is not."""

import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import calibrating, coverage, datasets, digits, measuring, memory, storing, training


@pytest.mark.parametrize(
    "module", [calibrating, coverage, datasets, digits, measuring, memory, storing, training], ids=lambda module: module.__name__
)
def test_each_says_what_it_does(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module.__name__, "--help"])
    with pytest.raises(SystemExit, match="0"):
        module.main()
    assert "usage" in capsys.readouterr().out


def test_a_made_table_is_written_and_read(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["storing", "--size", "20", "--rounds", "1"])
    storing.main()
    told = capsys.readouterr().out
    assert "written: 400 pairs in" in told
    assert "open_run, pairs (pandas):" in told


def test_digits_of_every_engine_are_told(monkeypatch, capsys):
    asked = "digits --learners protonet --sides 28 --engines loop,threads --sources 1 --targets 2 --rounds 1"
    monkeypatch.setattr(sys, "argv", asked.split())
    digits.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("protonet")]
    assert [row[2] for row in rows] == ["loop", "threads"]
    assert all(float(row[5]) < 1e-5 for row in rows)


def test_coverage_is_simulated_and_written_into_a_page(monkeypatch, capsys, tmp_path):
    page, csv = tmp_path / "page.md", tmp_path / "coverage.csv"
    page.write_text("before\n<!-- coverage: contrast -->\nold\n<!-- end of coverage -->\nafter\n")
    monkeypatch.setattr(coverage, "_MANY", 1000)
    monkeypatch.setattr(coverage, "_expected", coverage._expected.__wrapped__)  # what it keeps is of more
    tiny = {
        "intervals": partial(coverage.coverage_of_intervals, shapes=[(6, 3)], designs=["normal", "low rank"]),
        "cut": partial(coverage.coverage_around_the_cut, cut=[(0.5, [4])]),
        "contrast": partial(coverage.coverage_of_contrasts, shapes=[(5, 4), (3, 1)], designs=["skewed"]),
        "single_pairs": partial(coverage.false_discoveries, shapes=[(3, 4, 3)]),
    }
    monkeypatch.setattr(coverage, "PARTS", tiny)
    monkeypatch.setattr(sys, "argv", ["coverage", "--tables", "6", "--csv", str(csv), "--into", str(page)])
    coverage.main()
    told = capsys.readouterr().out
    assert "| 6 × 3 | low rank |" in told
    assert "nan" not in told
    text = page.read_text()
    assert text.startswith("before\n<!-- coverage: contrast -->\n\n| tables | effects | geometric_mean |")
    assert text.endswith("<!-- end of coverage -->\nafter\n")
    assert "old" not in text
    again = coverage.as_markdown(pd.read_csv(csv, dtype={"tables_of": str}), "contrast")
    assert again in text
    monkeypatch.setattr(sys, "argv", ["coverage", "--from", str(csv), "--into", str(page)])
    coverage.main()
    assert page.read_text() == text


def test_the_page_on_statistics_shows_the_shares_that_were_simulated():
    docs = Path(__file__).parent.parent / "docs"
    page, found = (docs / "statistics.md").read_text(), pd.read_csv(docs / "coverage.csv", dtype={"tables_of": str})
    assert set(found["part"]) == set(coverage.PARTS)
    for part in coverage.PARTS:
        assert coverage.as_markdown(found, part) in page, "python -m benchmarks.coverage --from docs/coverage.csv --into docs/statistics.md"
