"""The benchmarks start: what they time is a matter for a quiet machine, that they run is not."""

import sys

import pytest

from benchmarks import calibrating, datasets, measuring, memory, storing, training


@pytest.mark.parametrize("module", [calibrating, datasets, measuring, memory, storing, training], ids=lambda module: module.__name__)
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
