"""How far long work is, as a log shows it, and where its numbers go."""

import io
import logging
import re
import sys

import pytest

import transference as tr
from meta_models import multi_protonet
from meta_models.training import Training, train
from tests.strangers import PixelPrototypes
from transference.progress import progress_bar

SHAPE = {"ways": 3, "shots": 1, "queries": 2}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, total, steps, **settings):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar(total, unit="pair", shown=True, **settings) as bar:
        bar.mininterval = 0  # as where every step takes long
        bar.set_description("checkpoint 5")
        for _ in range(steps):
            bar.update(1)
    return stream.getvalue()


def test_a_log_gets_a_line_every_few_percent(monkeypatch):
    written = shown(monkeypatch, io.StringIO(), 1000, 1000)
    lines = written.splitlines()
    assert "\r" not in written
    assert "\x1b" not in written
    assert 15 <= len(lines) <= 20
    assert re.fullmatch(r"checkpoint 5: 5 %, 50 of 1000 pair, \d\d:\d\d so far, \d\d:\d\d to go", lines[0])
    assert lines[-1].startswith("checkpoint 5: 100 %, 1000 of 1000 pair")
    assert written.isascii()


def test_a_log_is_told_where_work_went_on_and_where_it_ended(monkeypatch):
    lines = shown(monkeypatch, io.StringIO(), 1000, 30, initial=900).splitlines()
    assert len(lines) == 1
    assert "93 %, 930 of 1000" in lines[0]
    assert shown(monkeypatch, io.StringIO(), 1000, 0, initial=1000) == ""


def test_work_of_unknown_length_and_hidden_work(monkeypatch):
    assert re.search("30 pair, .* so far", shown(monkeypatch, io.StringIO(), None, 30))
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with progress_bar(10, unit="pair", shown=False) as bar:
        bar.update(10)
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_that_is_redrawn(monkeypatch):
    written = shown(monkeypatch, Terminal(), 100, 100)
    assert written.count("\r") > 10
    assert written.count("\n") == 1


class Kept:
    """A log like wandb's."""

    def __init__(self, fails=False):
        self.entries, self.fails = [], fails

    def log(self, data, *, step):
        self.entries.append((step, data))
        if self.fails:
            raise ConnectionError("no network\nat all")


class Board:
    """A log like TensorBoard's."""

    def __init__(self):
        self.entries = []

    def add_scalar(self, tag, scalar_value, global_step):
        self.entries.append((global_step, tag, scalar_value))


def measured(out, log, checkpoints=(1, 2)):
    learner = PixelPrototypes()
    made = [tr.Checkpoint(learner.init_params(step), step=step) for step in checkpoints]
    tasks = [tr.few_shot(f"{mode}:val", **SHAPE) for mode in ("strokes", "shapes")]
    return tr.measure(
        learner, made, tasks[0], tasks[1], n_source=2, n_target=2, lookahead=tr.SGD((0.1, 0.2)), controls=0, out=out, log=log,
        device="cpu",
    )  # fmt: skip


def test_a_measurement_logs_each_checkpoint(tmp_path):
    log = Kept()
    run = measured(tmp_path / "run", log)
    table = tr.summarise(run.pairs()).set_index(["checkpoint_step", "alpha"])
    assert [step for step, _ in log.entries] == [1, 2]
    for step, numbers in log.entries:
        assert len(numbers) == 8
        for name in ("geometric_mean", "positive", "neutral", "negative"):
            assert numbers[f"{name}/strokes to shapes/alpha=0.1"] == pytest.approx(table.loc[(step, 0.1), name])
            assert type(numbers[f"{name}/strokes to shapes/alpha=0.2"]) is float
    again = Board()
    measured(tmp_path / "run", again)  # everything is there already, and a log that is new to it gets it all
    assert again.entries == [(step, name, value) for step, numbers in log.entries for name, value in numbers.items()]


def test_a_log_that_fails_loses_nothing_and_is_told_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "transference.logs"):
        run = measured(tmp_path / "run", log := Kept(fails=True))
    assert len(log.entries) == 2
    (record,) = caplog.records
    assert "the log failed at step 1 (ConnectionError: no network)" in record.getMessage()
    assert run.progress().done == run.progress().total
    with pytest.raises(tr.errors.UsageError, match="log=int was given, which has neither log"):
        measured(tmp_path / "other", 3)
    assert not (tmp_path / "other").exists()


def trained(out, log, iterations=5, **settings):
    training = Training(
        "multi-protonet", {"modes": ["strokes", "shapes"]}, ("strokes", "shapes"), **SHAPE, meta_batch=2
    )
    tasks, validation = (
        [tr.few_shot(f"{mode}:{split}", **SHAPE) for mode in training.modes] for split in ("train", "val")
    )
    learner = multi_protonet(modes=["strokes", "shapes"])
    return train(
        learner,
        training,
        tasks,
        out=out,
        iterations=iterations,
        save_every=4,
        validation=validation,
        n_validation=2,
        log=log,
        **settings,
    )


def test_a_training_logs_every_few_updates_and_its_validation(tmp_path):
    log = Kept()
    trained(tmp_path, log, log_every=2)
    assert [step for step, _ in log.entries] == [2, 4, 4, 5, 5]
    names = [f"{score}/{mode}" for score in ("loss", "accuracy") for mode in ("strokes", "shapes")]
    assert list(log.entries[0][1]) == [*(f"train/{name}" for name in names), "train/lr"]
    assert set(log.entries[2][1]) > {f"validation/{name}" for name in names}
    metrics = tr_metrics(tmp_path)
    for step, first in ((2, 1), (4, 3), (5, 5)):
        logged = next(data for at, data in log.entries if at == step)
        mean = metrics[metrics["iteration"].between(first, step) & (metrics["mode"] == "shapes")]["loss"].mean()
        assert logged["train/loss/shapes"] == pytest.approx(mean)


def tr_metrics(folder):
    import pandas as pd

    return pd.read_parquet(folder / "metrics")


def test_a_training_whose_log_fails_goes_on(tmp_path, caplog):
    assert len(trained(tmp_path, Kept(fails=True), log_every=1)) == 2
    assert len(caplog.records) == 1
    with pytest.raises(tr.errors.UsageError, match="logging every 0"):
        trained(tmp_path / "other", None, log_every=0)
