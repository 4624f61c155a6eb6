"""The benchmarks start: what they time is a matter for a quiet machine, that they run is not."""

import sys

import pytest

from benchmarks import calibrating, datasets, digits, measuring, memory, storing, training


@pytest.mark.parametrize(
    "module", [calibrating, datasets, digits, measuring, memory, storing, training], ids=lambda module: module.__name__
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
    asked = "digits --learners protonet --sides 28 --engines loop,apart --sources 1 --targets 2 --rounds 1"
    monkeypatch.setattr(sys, "argv", asked.split())
    digits.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("protonet")]
    assert [row[2] for row in rows] == ["loop", "apart"]
    assert all(float(row[5]) < 1e-5 for row in rows)
