"""Regression tasks: functions drawn from families."""

import json
import math
import re
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy import stats

import transference as tr
from transference.errors import UsageError
from transference.samplers import FAMILIES, FunctionFamilyName

ASK = """
import json, transference as tr
tasks = {f: tr.FunctionFamily(f, "test", seed=3) for f in ("sinusoid", "linear", "quadratic", "tanh", "abs")}
read = lambda e: [round(float(v), 5) for v in (e.support_x[0, 0], e.support_y[0, 0], e.query_x[4, 0], e.query_y[4, 0])]
print(json.dumps({f: [t.describe(7).class_names[0], *read(t[7])] for f, t in tasks.items()}))
"""
GOLDEN = {
    "sinusoid": ["1.724 sin(x - 1.134)", 1.14405, 0.31549, -0.23401, -1.99189],
    "linear": ["-1.224 x + 0.615", -0.2023, 0.71228, 0.38165, -0.00437],
    "quadratic": ["0.150 (x - 0.428)² + 2.520", 3.08465, 4.17986, -1.15497, 2.86705],
    "tanh": ["-2.506 tanh(x - 0.324) + 1.416", -1.10253, 3.64668, -1.52388, 3.53636],
    "abs": ["1.869 |x - 1.921| + 2.290", -2.36054, 10.10602, 3.88973, 5.47314],
}
"""Formula, and first support and last query point, of one task of each family: a change here changes every measurement ever made."""

evaluate = {
    # formula as the record tells it → value at x, written again from the benchmark's definition
    "sinusoid": lambda x, a, p: a * math.sin(x - p),
    "linear": lambda x, a, b: a * x + b,
    "quadratic": lambda x, s, c, b: s * (x - c) ** 2 + b,
    "tanh": lambda x, a, c, b: a * math.tanh(x - c) + b,
    "abs": lambda x, a, c, b: a * abs(x - c) + b,
}


def numbers(formula):
    """The numbers in a formula, in order."""
    return [float(n) for n in re.findall(r"-?\d+\.\d{3}", formula)]


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["0", "42"])
def test_golden_functions_in_fresh_processes(hash_seed):
    out = subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": hash_seed}
    )
    assert json.loads(out.stdout) == GOLDEN


@pytest.mark.parametrize("family", FAMILIES)
def test_values_are_those_of_the_formula(family):
    tasks = tr.FunctionFamily(family, noise=0.0)
    for index in range(5):
        constants = numbers(tasks.describe(index).class_names[0])
        episode = tasks[index]
        for x, y in zip(episode.query_x[:, 0].tolist(), episode.query_y[:, 0].tolist(), strict=True):
            assert y == pytest.approx(evaluate[family](x, *constants), abs=0.02)  # the formula tells three digits


@pytest.mark.parametrize(
    ("family", "ranges"),
    {
        "sinusoid": [(0.1, 5), (0, math.pi)],
        "linear": [(-3, 3)] * 2,
        "quadratic": [(0.02, 0.15), (-3, 3), (-3, 3)],
        "tanh": [(-3, 3)] * 3,
        "abs": [(-3, 3)] * 3,
    }.items(),
)
def test_constants_fill_the_ranges_of_the_benchmark(family, ranges):
    tasks = tr.FunctionFamily(family)
    drawn = np.array([numbers(tasks.describe(k).class_names[0]) for k in range(400)])
    if family == "quadratic":
        assert 0.4 < (drawn[:, 0] > 0).mean() < 0.6
        drawn[:, 0] = np.abs(drawn[:, 0])
    for values, (low, high) in zip(drawn.T, ranges, strict=True):
        assert stats.kstest(values, "uniform", (low, high - low)).pvalue > 1e-3
    episode = tr.FunctionFamily(family, shots=2000, queries=1)[0]
    assert stats.kstest(episode.support_x[:, 0].numpy(), "uniform", (-5, 10)).pvalue > 1e-3


def test_every_value_carries_noise_of_the_asked_size():
    clean, noisy = (tr.FunctionFamily("linear", shots=3000, queries=3000, noise=noise) for noise in (0.0, 0.3))
    assert str(noisy.identity).split("/noise")[0] == str(clean.identity).split("/noise")[0]
    a, b = numbers(noisy.describe(0).class_names[0])
    for x, y in ((noisy[0].support_x, noisy[0].support_y), (noisy[0].query_x, noisy[0].query_y)):
        residual = (y - (a * x + b)).numpy()
        assert residual.std() == pytest.approx(0.3, rel=0.05)
        assert abs(residual.mean()) < 0.03


def test_splits_seeds_and_indices_are_different_draws():
    first = {
        tr.FunctionFamily("abs", split, seed=seed).describe(k).class_names
        for split in ("train", "test")
        for seed in (0, 1)
        for k in (0, 1)
    }
    assert len(first) == 8


def test_a_name_parses_back():
    tasks = tr.FunctionFamily("tanh", "val", shots=3, queries=7, noise=0.05, seed=11)
    assert tasks.name == "tanh:val/3-shot/7-query/noise-0.05/seed-11"
    again = FunctionFamilyName.parse(tasks.name)
    assert again == tasks.identity
    shape = {key: value for key, value in asdict(again).items() if key not in {"family", "split"}}
    assert torch.equal(tr.FunctionFamily(again.family, again.split, **shape)[2].query_y, tasks[2].query_y)
    third = tr.FunctionFamily("tanh", noise=1 / 3).identity
    assert FunctionFamilyName.parse(str(third)) == third
    for text in ("tanh", "abs:train/1-shot/1-query/noise-e/seed-0"):
        with pytest.raises(UsageError, match="is no name of a function family; one looks like sinusoid:train/"):
            FunctionFamilyName.parse(text)


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("cosine", {}, "cosine:train was asked for; families of functions are sinusoid, linear"),
        ("linear", {"split": "all"}, "their splits train, val, test"),
        ("linear", {"shots": 0}, "0 shots"),
        ("linear", {"noise": math.nan}, "noise nan"),
    ],
)
def test_what_cannot_be_drawn_is_told(family, settings, message):
    with pytest.raises(UsageError, match=message):
        tr.FunctionFamily(family, **settings)
    with pytest.raises(IndexError, match="numbered from 0"):
        tr.FunctionFamily("linear")[-1]


def test_a_mode_is_opened_by_name_whatever_it_is():
    functions, images = (
        tr.open_tasks("abs:test", shots=2, queries=3, seed=4),
        tr.open_tasks("strokes:test", ways=3, queries=2),
    )
    assert functions.name == "abs:test/2-shot/3-query/noise-0.3/seed-4"
    assert functions[0].mode == "abs"
    assert images.name == tr.few_shot("strokes:test", ways=3, queries=2).name
    assert images[0].mode == "strokes"
