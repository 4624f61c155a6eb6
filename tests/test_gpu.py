"""What is measured on a GPU runs on a CPU at a toy size, and tells what fails, what is wrong and what had no time."""

import json
import os
import sys
import time

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

import transference as tr
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import agreement, card, halving, tests, ways
from benchmarks.gpu.results import Results
from benchmarks.gpu.stages import OUT_OF_MEMORY, OUT_OF_TIME, Asked
from benchmarks.gpu.stages import carry_out as carried_out
from tests.conftest import random_episode
from transference.engines import ENGINES


def quick(asked):
    yield {"device": asked.device, "toy": asked.toy}


def failing(asked):
    yield {"case": 1}
    raise ValueError("of no use")


def dying(asked):
    yield {"case": 1}
    os._exit(7)


def hanging(asked):
    yield {"case": 1}
    time.sleep(600)


def found(stage, seconds=60.0):
    rows = []
    return carried_out(stage, "cpu", True, seconds, rows.append), rows


@pytest.mark.slow
def test_a_stage_that_fails_or_dies_keeps_what_it_found():
    assert found(quick) == ("done", [{"device": "cpu", "toy": True}])
    assert found(failing) == ("failed: ValueError: of no use", [{"case": 1}])
    status, rows = found(dying)
    assert (status, rows) == ("failed: its process ended with 7", [{"case": 1}])


@pytest.mark.slow
def test_a_stage_that_hangs_is_stopped_in_its_time():
    found(quick)  # begins the server of processes, which is not what is timed
    begun = time.monotonic()
    assert found(hanging, seconds=3) == ("stopped: out of time", [{"case": 1}])
    assert time.monotonic() - begun < 30


@pytest.mark.slow
def test_other_stages_go_on_and_the_exit_code_tells(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "STAGES", {"failing": (failing, 0.5), "quick": (quick, 0.5), "late": (quick, 0.0)})
    assert gpu.carry_all_out([*gpu.STAGES], tmp_path, "cpu", toy=True, seconds=60) == 1
    kept = json.loads((tmp_path / "results.json").read_text())["stages"]
    assert [stage["status"] for stage in kept.values()] == ["failed: ValueError: of no use", "done", OUT_OF_TIME]
    assert [len(stage["rows"]) for stage in kept.values()] == [1, 1, 0]
    assert "## late\n\nskipped: out of time" in (tmp_path / "results.md").read_text()
    assert "quick: done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "status", "code"),
    [
        ({}, "done", 0),
        ({"status": OUT_OF_MEMORY}, "done", 0),
        ({"status": OUT_OF_TIME}, "done", 3),
        ({"status": "failed: of no use"}, "done", 3),
        ({"status": "wrong: by far"}, "done", 1),
        ({}, "stopped: out of time", 3),
        ({}, "failed: of no use", 1),
    ],
)
def test_what_is_missing_is_no_failure_and_what_is_wrong_is(tmp_path, row, status, code):
    results = Results(tmp_path, {"device": "cpu"})
    results.add("one", row)
    assert json.loads((tmp_path / "results.json").read_text())["stages"]["one"]["status"] == "under way"
    assert results.exit_code() != 0
    results.end("one", status, 1.0)
    assert results.exit_code() == code


def test_rows_that_tell_the_same_make_one_table(tmp_path):
    results = Results(tmp_path, {"device": "cuda:0"})
    for row in ({"way": "loop", "rate": 12.3456}, {"way": "a|b", "status": "failed: x"}, {"error": None}):
        results.add("speed", row)
    told = (tmp_path / "results.md").read_text()
    assert told.startswith("# Measured on a GPU\n")
    assert "| way | rate | status |\n| --- | --- | --- |\n| loop | 12.35 | ok |\n| a\\|b |  | failed: x |\n" in told
    assert "| error |\n| --- |\n| – |\n" in told


@pytest.mark.parametrize("options", ["", "--toy --only tests,all", "--toy --device cuda:99"])
def test_what_cannot_be_asked_is_told(tmp_path, monkeypatch, capsys, options):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "out"), *options.split()])
    assert gpu.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_python_that_has_torch_but_not_this_package_is_told_how(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "learner_names", list)
    monkeypatch.setattr(sys, "argv", ["gpu", "--toy", "--out", str(tmp_path / "out")])
    assert gpu.main() == 2
    assert "-m pip install --no-index --no-deps" in capsys.readouterr().err


@pytest.mark.slow
def test_all_stages_run_on_a_cpu_at_a_toy_size(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys,
        "argv",
        ["gpu", "--toy", "--device", "cpu", "--only", "card,agreement,training,halving,speed", "--out", str(tmp_path)],
    )
    code = gpu.main()
    stages = json.loads((tmp_path / "results.json").read_text())["stages"]
    assert [(name, stage["status"]) for name, stage in stages.items()] == [
        (name, "done") for name in ("card", "agreement", "training", "halving", "speed")
    ]
    assert code == 0
    assert 0 < stages["card"]["rows"][1]["error_of_a_convolution"] < 1e-5
    assert all(
        row["difference_of_loss_ratio"] < 1e-9 for row in stages["agreement"]["rows"] if row["precision"] == "fp64"
    )
    [trained] = stages["training"]["rows"]
    assert trained["minutes_for_30000"] == pytest.approx(500 / trained["iterations_per_second"])
    [halved] = stages["halving"]["rows"]
    assert halved["halvings"] == 2
    speed = pd.DataFrame(stages["speed"]["rows"])
    assert (speed.loc[speed["way"].isin(["sources 2 × 2", "sources 2 × 2, products"]), "difference"] < 1e-4).all()
    plain, limit = (speed[speed["way"].str.startswith(name)] for name in ("straightforward", "limit"))
    assert plain["ratio"].tolist() == [1, 1]
    assert limit["share_of_limit"].tolist() == [1, 1]
    assert (speed["pairs_per_second"] > 0).all()
    assert (tmp_path / "results.md").read_text() in capsys.readouterr().out


@pytest.mark.slow
def test_the_tests_that_need_a_gpu_are_run_or_skipped():
    [row] = tests.tests(Asked("cpu", toy=True, until=time.monotonic() + 300))
    assert row["status"] == "ok"
    assert row["passed"] + row["skipped"] > 10


def test_ten_bits_of_a_product_are_told_from_float32():
    def with_ten_bits(a, b):
        if a.dtype == torch.float32:
            a, b = ((matrix.view(torch.int32) & ~0x1FFF).view(torch.float32) for matrix in (a, b))
        return a @ b

    generator = torch.Generator().manual_seed(0)
    for side in (64, 512):
        a, b = (torch.randn(side, side, generator=generator, dtype=torch.float64) for _ in range(2))
        assert card.error_of(torch.matmul, a, b) < card._EXACT / 10
        assert card.error_of(with_ten_bits, a, b) > card._EXACT * 5


def test_a_difference_from_the_cpu_is_told():
    cpu = pd.DataFrame({"loss_before": [1.0], "loss_after": [2.0], "loss_ratio": [2.0]})
    other = cpu.assign(loss_after=2.0 + 1e-8)
    assert agreement._compared(cpu, cpu, "fp64")["status"] == "ok"
    assert agreement._compared(cpu, other, "fp64")["status"].startswith("wrong: ")
    assert agreement._compared(cpu, other, "fp32")["status"] == "ok"
    assert agreement._compared(cpu, cpu.assign(loss_ratio=float("nan")), "fp32")["status"].startswith("wrong: ")


def test_numbers_that_change_where_memory_is_short_are_told():
    short = lambda: halving._refusing(2)
    expected = torch.tensor([1.0, 2.0])
    assert halving._row("as told", expected, lambda: expected, short, 0)["status"].startswith("failed: it fitted")

    def halved():
        torch.cuda.empty_cache()
        return expected + 1e-3

    assert halving._row("as told", expected, halved, short, 0)["status"].startswith("wrong: ")


@pytest.mark.parametrize("name", ["protonet", "kml-protonet", "maml"])
@pytest.mark.parametrize("products", [False, True], ids=["convolutions", "products"])
def test_several_settings_of_the_parameters_go_through_the_network_together(name, products):
    learner = tr.load_learner(name, {"ways": 3, "inner_steps": 2} if name == "maml" else {})
    episodes = [random_episode(side=12, queries=2, seed=k, dtype=torch.float64) for k in range(4)]
    settings = [{key: value.double() for key, value in learner.init_params(seed).items()} for seed in range(4)]
    expected = ways.by_engine(ENGINES["loop"], learner, episodes)(settings)
    make = lambda block: ways.sources_together(learner, block, products=products)
    torch.testing.assert_close(ways.Blocks(make, episodes, 2, 2)(settings), expected, rtol=1e-9, atol=0)


def test_blocks_are_wrapped_once_each():
    learner, episodes = tr.load_learner("protonet"), [random_episode(side=12, seed=k) for k in range(4)]
    settings, wrapped = [learner.init_params(seed) for seed in range(2)], []
    wrap = lambda losses, params: wrapped.append(params) or losses
    way = ways.Blocks(lambda block: ways.targets_together(learner, block), episodes, 2, 0, wrap)
    expected = ways.by_engine(ENGINES["loop"], learner, episodes)(settings)
    for _ in range(2):
        torch.testing.assert_close(way(settings), expected, rtol=1e-4, atol=0)
    assert [params is settings[0] for params in wrapped] == [True, True]


@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 2, 1), (3, 1, 0), (1, 1, 0), (2, 2, 1)])
def test_a_convolution_is_a_product_of_patches(size, stride, padding):
    generator = torch.Generator().manual_seed(0)
    images, kernel, bias = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((2, 3, 9, 8), (4, 3, size, size), (4,))
    )
    expected = F.conv2d(images, kernel, bias, stride=stride, padding=padding)
    torch.testing.assert_close(ways._convolved(images, kernel, bias, stride, padding), expected, rtol=1e-9, atol=1e-12)
