"""The benchmarks start: what they time is a matter for a quiet machine, that they run is not."""

import json
import re
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

import benchmarks
import transference as tr
from benchmarks import (
    calibrating,
    cluster,
    coverage,
    datasets,
    digits,
    exploring,
    large,
    measuring,
    memory,
    outer_steps,
    paper_job,
    released_steps,
    starting,
    storing,
    training,
)
from tests.strangers import PixelPrototypes
from transference.engines import loss_gradient

pytestmark = pytest.mark.slow


@pytest.fixture
def start(monkeypatch, capsys):
    """Start a benchmark with options as on its command line, and return what it printed."""

    def started(module, options):
        monkeypatch.setattr(sys, "argv", [module.__name__, *options.split()])
        module.main()
        return capsys.readouterr().out

    return started


MODULES = (
    calibrating,
    cluster,
    coverage,
    datasets,
    digits,
    exploring,
    large,
    measuring,
    memory,
    outer_steps,
    paper_job,
    starting,
    storing,
    training,
)


def test_all_of_them_are_started_here():
    found = {path.stem for path in Path(benchmarks.__file__).parent.glob("*.py") if "def main()" in path.read_text()}
    assert found == {module.__name__.partition(".")[2] for module in MODULES}
    packages = {path.parent.name for path in Path(benchmarks.__file__).parent.glob("*/__main__.py")}
    assert packages == {"gpu"}, "which tests/test_gpu.py starts"


def test_a_scheduler_is_timed(start, tmp_path):
    pytest.importorskip("distributed")
    start(cluster, f"--only scheduler --workers 2 --lasts 0 --json {tmp_path / 'found.json'}")
    [row] = json.loads((tmp_path / "found.json").read_text())["scheduler"]
    assert (row["items"], row["seconds"] > 0) == (60, True)


def test_training_is_timed_beside_a_loop(start, tmp_path):
    told = start(
        training,
        f"--side 28 --meta-batch 2 --rounds 1 --learners protonet --device cpu --json {tmp_path / 'rows.json'}",
    )
    assert re.search(r"^protonet +[\d.]+ +[\d.]+ +[\d.]+", told, re.MULTILINE)
    [row] = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert row["ours"] > 0


class Here:
    """What `outer_steps.Process` is, without a process: steps of a way."""

    def __init__(self, way):
        self._take = way.step()

    def step(self):
        begun = time.process_time()
        self._take()
        return time.process_time() - begun

    def close(self):
        pass


def test_an_outer_step_is_timed_beside_what_others_write(start, monkeypatch, tmp_path):
    elsewhere = outer_steps.Process  # for one of two: each process imports all of torch
    monkeypatch.setattr(outer_steps, "Process", lambda way: (elsewhere if way.beside == "plain" else Here)(way))
    options = f"--learners protonet --sides 28 --meta-batch 1 --rounds 2 --json {tmp_path / 'rows.json'}"
    told = start(outer_steps, options)
    assert re.search(r"^protonet +28 +plain +as ours +[\d.]+ +[\d.]+ +[\d.]+ \([\d.]+ to [\d.]+\)", told, re.MULTILINE)
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [(row["beside"], row["malloc"]) for row in rows] == [
        ("released", "default"), ("released", "as ours"), ("plain", "default"), ("plain", "as ours")]  # fmt: skip
    assert all(row["least"] <= row["ratio"] <= row["largest"] for row in rows)


@pytest.mark.parametrize("name", released_steps.CONFIGS)
def test_the_released_step_has_our_losses_and_gradients(name):
    learner = tr.load_learner(name, released_steps.CONFIGS[name])
    params = {key: value.double() for key, value in learner.init_params(0).items()}
    samplers = [tr.few_shot(f"{mode}:train", side=28, shots=2, queries=3) for mode in ("strokes", "shapes")]
    episodes = [sampler[0].to(dtype=torch.float64) for sampler in samplers]
    theirs = {key: value.clone().requires_grad_() for key, value in params.items()}
    program = released_steps.Program(name)
    losses = [float(program.loss(theirs, episode).detach()) for episode in episodes]
    program.step(theirs)(episodes)
    found = [loss_gradient(learner, params, episode, list(params)) for episode in episodes]
    assert losses == pytest.approx([loss for (loss, _), _ in found], rel=1e-10)
    for key, value in theirs.items():
        if key in found[0][1]:
            ours = sum(gradient[key] for _, gradient in found) / len(found)
            assert float((value.grad - ours).norm() / ours.norm()) < 1e-9, key
        else:  # a bias ahead of a batch norm
            assert value.grad is None or float(value.grad.abs().max()) < 1e-8, key


@pytest.mark.parametrize("name", outer_steps.PLAIN)
def test_the_plain_step_has_our_gradients(name):
    learner = tr.load_learner(name, {})
    params = {key: value.double() for key, value in learner.init_params(0).items()}
    episode = tr.few_shot("strokes:train", side=28, shots=2, queries=3)[0].to(dtype=torch.float64)
    net, loss = outer_steps.plain(name)
    theirs = {key: value.clone().requires_grad_() for key, value in params.items()}
    loss(net, theirs, episode).backward()
    _, found = loss_gradient(learner, params, episode, list(params))
    for key, ours in found.items():
        assert float((theirs[key].grad - ours).norm() / ours.norm()) < 1e-10, key


def test_measuring_is_timed_beside_what_others_would_write(start, monkeypatch, tmp_path):
    monkeypatch.setattr(measuring, "matrix_product", partial(measuring.matrix_product, side=64))
    options = f"--learners protonet --sides 42 --rounds 1 --pairs 50 --device cpu --json {tmp_path / 'rows.json'}"
    assert "of the limit" in start(measuring, options)
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["way"] for row in rows] == ["straightforward", "vmap", "kept", "ours", "limit", "ceiling", "gradient"]


def test_memory_of_a_small_table_is_told(start):
    assert re.search(r"exact +line +6 × 6: measured \d+ MB", start(memory, "--sizes 6"))


def test_episodes_of_prepared_images_are_timed(start):
    told = start(datasets, "--side 16 --episodes 4 --share 0.5 --rounds 1")
    assert re.search(r"^prepared, mapped \(ours\) +[\d.]+", told, re.MULTILINE)


def test_calibration_is_resampled(start, tmp_path):
    for name, estimator in (("exact", tr.Exact("loop")), ("first", tr.FirstOrder(engine="loop"))):
        learner, tasks = PixelPrototypes(), tr.few_shot("strokes:val", ways=3, queries=2)
        tr.measure(learner, tr.Checkpoint(learner.init_params(0), 1), tasks, tasks, n_source=8, n_target=8, lookahead=tr.SGD(0.01),
                   estimator=estimator, device="cpu", out=tmp_path / name)  # fmt: skip
    told = start(calibrating, f"{tmp_path / 'exact'} {tmp_path / 'first'} --shares 0.5 --resamplings 3")
    assert "geometric_mean" in told


def test_a_made_table_is_written_and_read(start):
    told = start(storing, "--size 20 --rounds 1")
    assert "written: 400 pairs, " in told
    assert "open_run, pairs (pandas):" in told


def test_a_made_table_of_many_files_is_kept_and_taken_up(start, tmp_path):
    assert "written:" in start(storing, f"--size 6 --rounds 1 --tile 3 2 --keep {tmp_path / 'run'}")
    told = start(storing, f"--size 6 --rounds 1 --keep {tmp_path / 'run'}")
    assert "written:" not in told
    assert "9 files" in told
    assert "going on, all read before:" in told


def test_a_large_table_is_summarised(start, monkeypatch):
    told = start(large, "--sources 20 --targets 10 --intervals --whole")
    assert "written: 200 pairs in 3 files of" in told
    for way in ("strips", "blocks"):
        assert re.search(
            rf"^{way}: summarise_blocks \d+ s, intervals \d+ s, split \d+ s; [\d,]+ MB", told, re.MULTILINE
        )


def test_starts_are_timed_beside_those_of_another_checkout(start, tmp_path):
    other = Path(benchmarks.__file__).parents[1]
    told = start(starting, f"--rounds 1 --only=--version,--help --beside {other} --json {tmp_path / 'found.json'}")
    assert [line.split(" | ")[0] for line in told.splitlines()[-3:]] == [
        "| `the interpreter`",
        "| `--version`",
        "| `--help`",
    ]
    *_, page = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert "click" in page["ours"]["imports"]
    assert all(0 < page[tree]["least"] <= page[tree]["seconds"] <= page[tree]["most"] for tree in ("ours", "beside"))


def test_a_page_for_exploring_is_opened(start, chromium):
    told = start(exploring, f"--size 20 --browser {chromium}")
    assert re.search(r"^20 × 20 pairs: [\d.]+ MB, made in [\d.]+ s$", told, re.MULTILINE)
    assert re.search(r"opened and drawn in \d+ ms, drawn again in [\d.]+ ms, a cell told in [\d.]+ ms", told)


def test_digits_of_every_engine_are_told(start):
    told = start(digits, "--learners protonet --sides 28 --engines loop,threads --sources 1 --targets 2 --rounds 1")
    rows = [line.split() for line in told.splitlines() if line.startswith("protonet")]
    assert [row[2] for row in rows] == ["loop", "threads"]
    assert all(float(row[5]) < 1e-5 for row in rows)


def test_coverage_is_simulated_and_written_into_a_page(start, monkeypatch, tmp_path):
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
    told = start(coverage, f"--tables 6 --csv {csv} --into {page}")
    assert "| 6 × 3 | low rank |" in told
    assert "nan" not in told
    text = page.read_text()
    assert text.startswith("before\n<!-- coverage: contrast -->\n\n| tables | effects | geometric_mean |")
    assert text.endswith("<!-- end of coverage -->\nafter\n")
    assert "old" not in text
    again = coverage.as_markdown(pd.read_csv(csv, dtype={"tables_of": str}), "contrast")
    assert again in text
    start(coverage, f"--from {csv} --into {page}")
    assert page.read_text() == text


def test_the_page_on_statistics_shows_the_shares_that_were_simulated():
    docs = Path(__file__).parent.parent / "docs"
    page, found = (docs / "statistics.md").read_text(), pd.read_csv(docs / "coverage.csv", dtype={"tables_of": str})
    assert set(found["part"]) == set(coverage.PARTS)
    for part in coverage.PARTS:
        assert coverage.as_markdown(found, part) in page, (
            "python -m benchmarks.coverage --from docs/coverage.csv --into docs/statistics.md"
        )


def test_the_papers_job_is_timed_beside_the_loop_that_measures_the_same(start, tmp_path):
    found = tmp_path / "found.json"
    told = start(paper_job, f"--rounds 1 --threads 1 --sources 2 --iterations 2 --json {found}")
    assert [line.split(" | ")[1] for line in told.splitlines()[-3:]] == [
        "the plain loop",
        "with our memory settings",
        "ours, loop",
    ]
    ours = json.loads(found.read_text())["rows"][-1]
    parts = {"rest", "imports", "data", "trial", "gradients", "pairs", "controls", "writing"}
    assert ours["parts"].keys() == parts
    assert all(seconds > 0 for seconds in ours["parts"].values())
    assert sum(ours["parts"].values()) == pytest.approx(ours["cpu"], rel=0.5)
