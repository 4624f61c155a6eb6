import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import transference as tr
from meta_models import ProtoNet, Training, train
from tests.strangers import Impure, PixelPrototypes
from transference.errors import LearnerError, SpecMismatchError, UsageError

SETTINGS = Training("stranger", modes=("strokes", "shapes"), ways=3, shots=1, queries=2, meta_batch=4, lr=0.01)


@pytest.fixture(scope="module")
def tasks():
    return [tr.few_shot(f"{mode}:train", ways=3, shots=1, queries=2) for mode in ("strokes", "shapes")]


def test_training_lowers_the_loss_and_records_it(tmp_path, tasks):
    paths = train(ProtoNet(), replace(SETTINGS, lr=1e-3), tasks, out=tmp_path, iterations=60, save_every=20)
    assert [tr.load_checkpoint(path).step for path in paths] == [20, 40, 60]
    metrics = pd.read_parquet(tmp_path / "metrics")
    assert len(metrics) == 60 * 2
    assert metrics["iteration"].is_monotonic_increasing
    loss = metrics.groupby("iteration")["loss"].mean()
    assert loss[-20:].mean() < 0.9 * loss[:20].mean()


def test_an_interrupted_training_ends_at_the_same_parameters(tmp_path, tasks):
    settings = replace(SETTINGS, halve_every=5)
    straight = train(ProtoNet(), settings, tasks, out=tmp_path / "straight", iterations=9, save_every=3)
    train(ProtoNet(), settings, tasks, out=tmp_path / "twice", iterations=3, save_every=3)
    resumed = train(ProtoNet(), settings, tasks, out=tmp_path / "twice", iterations=9, save_every=3)
    assert [tr.load_checkpoint(p).digest for p in resumed] == [tr.load_checkpoint(p).digest for p in straight]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "twice" / "metrics"), pd.read_parquet(tmp_path / "straight" / "metrics"))


def test_a_training_killed_after_its_metrics_but_before_its_checkpoint_goes_on(tmp_path, tasks):
    train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path / "a", iterations=8, save_every=4)
    train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path / "b", iterations=8, save_every=4)
    (tmp_path / "b" / "step-00000008.safetensors").unlink()
    train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path / "b", iterations=8, save_every=4)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "b" / "metrics"), pd.read_parquet(tmp_path / "a" / "metrics"))


def test_metrics_that_no_checkpoint_followed_are_not_counted_twice(tmp_path, tasks):
    train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path, iterations=8, save_every=4)
    (tmp_path / "step-00000008.safetensors").unlink()
    train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path, iterations=7, save_every=4)
    assert pd.read_parquet(tmp_path / "metrics")["iteration"].tolist() == [k for k in range(1, 8) for _ in range(2)]


def test_one_update_is_adam_on_the_mean_loss_over_balanced_modes(tmp_path, tasks):
    learner = PixelPrototypes()
    (path,) = train(learner, SETTINGS, tasks, out=tmp_path, iterations=1, save_every=1)
    leaves = {name: value.requires_grad_() for name, value in learner.init_params(0).items()}
    optimizer = torch.optim.Adam(leaves.values(), lr=0.01)
    episodes = [tasks[0][0], tasks[1][0], tasks[0][1], tasks[1][1]]
    torch.stack([learner.episode_loss(leaves, episode) for episode in episodes]).mean().backward()
    optimizer.step()
    saved = tr.load_checkpoint(path)
    for name, leaf in leaves.items():
        torch.testing.assert_close(saved.params[name], leaf.detach(), rtol=0, atol=1e-5)
        torch.testing.assert_close(saved.optimizer.exp_avg[name], optimizer.state[leaf]["exp_avg"], rtol=1e-4, atol=1e-9)
        assert saved.optimizer.steps[name] == 1


def test_the_schedule_halves_the_rate(tmp_path, tasks):
    settings = replace(SETTINGS, halve_every=3)
    assert [settings.lr_at(k) for k in (0, 2, 3, 6)] == [0.01, 0.01, 0.005, 0.0025]
    paths = train(PixelPrototypes(), settings, tasks, out=tmp_path, iterations=7, save_every=3)
    assert [tr.load_checkpoint(path).optimizer.lr for path in paths] == [0.005, 0.0025, 0.0025]
    assert pd.read_parquet(tmp_path / "metrics").drop_duplicates("iteration")["lr"].tolist() == [0.01] * 3 + [0.005] * 3 + [0.0025]


def test_another_training_in_the_folder_is_refused(tmp_path, tasks):
    train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path, iterations=1, save_every=1)
    with pytest.raises(SpecMismatchError, match=r"lr: 0.01 → 0.5"):
        train(PixelPrototypes(), replace(SETTINGS, lr=0.5), tasks, out=tmp_path, iterations=1, save_every=1)
    assert json.loads((tmp_path / "training.json").read_text())["lr"] == 0.01


def test_training_can_be_made_longer(tmp_path, tasks):
    train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path, iterations=2, save_every=2)
    paths = train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path, iterations=6, save_every=2)
    assert [tr.load_checkpoint(path).step for path in paths] == [2, 4, 6]
    shorter = train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path, iterations=4, save_every=2)
    assert [tr.load_checkpoint(path).step for path in shorter] == [2, 4], "what lies beyond is left alone and not claimed"


def test_what_cannot_be_trained_is_told(tmp_path, tasks):
    with pytest.raises(LearnerError, match=r"has no init_params\(seed\)"):
        train(Impure("hidden"), SETTINGS, tasks, out=tmp_path, iterations=1, save_every=1)
    with pytest.raises(UsageError, match="0 iterations"):
        train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path, iterations=0, save_every=1)

    class Diverging(PixelPrototypes):
        def episode_loss(self, params, episode):
            return super().episode_loss(params, episode) * np.inf

    with pytest.raises(LearnerError, match="became infinite or NaN at iteration 1"):
        train(Diverging(), SETTINGS, tasks, out=tmp_path / "d", iterations=1, save_every=1)


def test_other_images_are_another_training(tmp_path, tasks):
    train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path, iterations=1, save_every=1)
    other = [tasks[0], tr.FewShot(replace(tasks[1]._dataset, digest="other"), ways=3, shots=1, queries=2)]
    with pytest.raises(SpecMismatchError, match="datasets: .*other"):
        train(PixelPrototypes(), SETTINGS, other, out=tmp_path, iterations=2, save_every=1)


def test_checkpoints_of_unknown_origin_are_not_continued(tmp_path, tasks):
    tr.save_checkpoint(tr.Checkpoint(PixelPrototypes().init_params(3), 1), tmp_path / "step-00000001.safetensors")
    (tmp_path / "step-best.safetensors").write_bytes(b"")
    with pytest.raises(SpecMismatchError, match="nothing tells whose they are"):
        train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path, iterations=2, save_every=1)
