"""What commands print, wherever they print it to."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import transference as tr
from transference.cli._table import summary_text

pytestmark = pytest.mark.slow

TRANSFERENCE = Path(sys.executable).with_name("transference")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run between folders of images whose names are beyond ASCII."""
    folder = tmp_path_factory.mktemp("output")
    for mode in ("ñandú", "plain"):
        for k, name in enumerate(("a", "日本", "c")):
            place = folder / "data" / mode / name
            place.mkdir(parents=True)
            for number in range(4):
                pixels = np.full((8, 8, 3), 60 * k + 10 * number, np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    torch.save({"map.weight": 0.05 * torch.randn(6, 3 * 28 * 28), "map.bias": torch.zeros(6)}, folder / "c_1.pt")
    (folder / "settings.toml").write_text("# Einstellungen für alle, 設定\n", encoding="utf-8")
    return folder


def run(folder, environment, *words):
    around = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment}
    return subprocess.run([TRANSFERENCE, *words], env=around, cwd=folder, capture_output=True, check=False)


COMPUTE = [
    "compute", "c_1.pt", "--learner", "tests.strangers:PixelPrototypes", "--source", "ñandú:all", "--target", "plain:all",
    "--data-root", "data", "--ways", "2", "--shots", "1", "--queries", "2", "--n-source", "3", "--n-target", "2", "--alpha", "0.01",
    "--config", "settings.toml", "--device", "cpu", "--controls", "0",
]  # fmt: skip

PLACES = {
    "UTF-8": ({"PYTHONUTF8": "1"}, "ñandú → plain"),
    "Latin-1": ({"PYTHONUTF8": "1", "PYTHONIOENCODING": "latin-1"}, "ñandú -> plain"),
    "ASCII": ({"PYTHONUTF8": "1", "PYTHONIOENCODING": "ascii"}, r"\xf1and\xfa -> plain"),
    "a batch job": ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, r"\xf1and\xfa -> plain"),
    "strict": ({"PYTHONUTF8": "1", "PYTHONIOENCODING": "cp1252:strict"}, "ñandú -> plain"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_table_is_printed_whatever_the_terminal_can_show(folder, place):
    environment, told = PLACES[place]
    out = f"run in {place}"
    done = run(folder, environment, *COMPUTE, "--out", out)
    assert done.returncode == 0, done.stderr
    assert told.encode("utf-8" if place == "UTF-8" else "latin-1") in done.stdout
    # What is stored does not depend on it.
    assert tr.open_run(folder / out).pairs()["source_mode"].unique().tolist() == ["ñandú"]
    assert "日本" in set(np.concatenate(tr.open_run(folder / out).tasks()["class_names"]))


def test_a_name_in_an_error_or_a_path_tells_a_terminal_nothing(folder):
    done = run(folder, {}, "summary", "a\x1b[31mred")
    assert done.returncode == 1
    assert rb"a\x1b[31mred is no run folder" in done.stderr
    assert b"\x1b" not in done.stderr


def test_a_backend_or_style_of_the_user_does_not_reach_a_figure(folder):
    (folder / "matplotlibrc").write_text("text.usetex: True\nbackend: Qt5Agg\n")
    done = run(
        folder,
        {"MPLBACKEND": "nosuch"},
        "datasets",
        "show",
        "strokes",
        "--classes",
        "2",
        "--images",
        "2",
        "-o",
        "sheet.png",
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_warnings_as_errors_do_not_end_a_command(folder):
    done = run(folder, {"PYTHONWARNINGS": "error"}, *COMPUTE, "--out", "strict run")
    assert done.returncode == 0, done.stderr
    for words in (
        ["plot", "strict run", "--kind", "blocks", "-o", "x.svg"],
        ["report", "strict run", "-o", "x.html"],
        ["summary", "strict run"],
    ):
        done = run(folder, {"PYTHONWARNINGS": "error"}, *words)
        told = [line for line in done.stderr.splitlines() if b" part, " not in line]  # but how far it is
        assert (done.returncode, told) == (0, []), words


def test_numbers_beyond_all_decimals_are_told_in_three_digits():
    key = {
        "checkpoint_step": 1,
        "alpha": 0.01,
        "source_mode": "a",
        "target_mode": "b",
        "n": 9,
        "failed": 0,
        "accuracy": 0.5,
    }
    shares = {"positive": 0.002, "neutral": 0.0, "negative": 0.998}
    ends = {"geometric_mean": 1135091372.123456, "geometric_mean_low": 3.2e-9, "geometric_mean_high": 8.7654e300}
    parts = {"first_order": -123456.7, "curvature": 0.123456}
    told = summary_text(pd.DataFrame([{**key, **shares, **ends, **parts}]))
    for found in ("1.14e+09 [3.2e-09, 8.77e+300]", "0% ", "100% ", "-1.23e+05", "+0.1235"):
        assert found in told
    assert max(map(len, told.split())) < 15
    plain = summary_text(pd.DataFrame([{**key, **shares, "geometric_mean": 0.98765}]))
    assert " 0.9877 " in plain
