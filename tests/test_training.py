import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import transference as tr
from meta_models import (
    ProtoNet,
    RegressionMMAML,
    Training,
    evaluate,
    film_maml,
    kml_protonet,
    multi_maml,
    summary,
    train,
)
from meta_models.training import BATCHINGS
from tests.strangers import Impure, PixelPrototypes
from transference.devices import channels_last
from transference.engines import meta_gradient, usual
from transference.errors import LearnerError, SpecMismatchError, UsageError

pytestmark = pytest.mark.slow

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
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "twice" / "metrics"), pd.read_parquet(tmp_path / "straight" / "metrics")
    )


def test_a_training_killed_after_its_metrics_but_before_its_checkpoint_goes_on(tmp_path, tasks):
    train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path / "a", iterations=8, save_every=4)
    train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path / "b", iterations=8, save_every=4)
    (tmp_path / "b" / "step-00000008.safetensors").unlink()
    train(PixelPrototypes(), SETTINGS, tasks, out=tmp_path / "b", iterations=8, save_every=4)
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "b" / "metrics"), pd.read_parquet(tmp_path / "a" / "metrics")
    )


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
        torch.testing.assert_close(
            saved.optimizer.slots["exp_avg"][name], optimizer.state[leaf]["exp_avg"], rtol=1e-4, atol=1e-9
        )
        assert saved.optimizer.steps[name] == 1


def test_the_schedule_halves_the_rate(tmp_path, tasks):
    settings = replace(SETTINGS, halve_every=3)
    assert [settings.lr_at(k) for k in (0, 1, 2, 4, 5)] == [0.01, 0.01, 0.005, 0.005, 0.0025]
    paths = train(PixelPrototypes(), settings, tasks, out=tmp_path, iterations=7, save_every=3)
    assert [tr.load_checkpoint(path).optimizer.lr for path in paths] == [0.005, 0.0025, 0.0025], "of the update to come"
    assert (
        pd.read_parquet(tmp_path / "metrics").drop_duplicates("iteration")["lr"].tolist()
        == [0.01] * 2 + [0.005] * 3 + [0.0025] * 2
    )


def released_rates(updates, every=10_000, lr=1e-3):
    """What the released KML trainer does: updates count from 1, and the optimizer's own rate is halved before the step is taken."""
    optimizer, rates = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr), {}
    for i in range(1, updates + 1):
        if i % every == 0:
            optimizer.param_groups[0]["lr"] *= 0.5
        rates[i] = optimizer.param_groups[0]["lr"]
    return rates


def test_the_rate_is_halved_at_the_released_programs_update():
    settings = replace(SETTINGS, lr=1e-3, halve_every=10_000)
    expected = released_rates(30_001)
    assert (expected[9_999], expected[10_000], expected[10_001]) == (1e-3, 5e-4, 5e-4)
    assert {update: settings.lr_at(update - 1) for update in expected} == expected


@pytest.mark.parametrize("stop", [4, 5, 6])
def test_a_training_that_is_resumed_halves_at_the_same_update(tmp_path, tasks, stop):
    settings = replace(SETTINGS, halve_every=5)
    for iterations in (stop, 11):
        train(PixelPrototypes(), settings, tasks, out=tmp_path, iterations=iterations, save_every=20)
    rates = pd.read_parquet(tmp_path / "metrics").drop_duplicates("iteration").set_index("iteration")["lr"]
    assert rates.to_dict() == pytest.approx(released_rates(11, every=5, lr=0.01))


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
    assert [tr.load_checkpoint(path).step for path in shorter] == [2, 4], (
        "what lies beyond is left alone and not claimed"
    )


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


IMAGE_LEARNERS = {
    "protonet": ProtoNet(),
    "kml-protonet": kml_protonet(),
    "mmaml": film_maml(ways=3, inner_steps=2),
    "multi-maml": multi_maml(["strokes", "shapes"], ways=3, inner_steps=1),
    "a stranger": PixelPrototypes(),
}


@pytest.mark.parametrize("learner", IMAGE_LEARNERS.values(), ids=IMAGE_LEARNERS)
@pytest.mark.parametrize("name", BATCHINGS)
def test_a_meta_gradient_is_the_mean_of_the_tasks_gradients(learner, name, tasks):
    if name == "together" and isinstance(learner, PixelPrototypes):
        pytest.skip("it looks at values, and cannot be batched")
    params = {key: value.double() for key, value in learner.init_params(0).items()}
    exact = [Doubled(sampler) for sampler in tasks]
    batch = [(exact[0], 0), (exact[1], 0), (exact[0], 1)]
    found = meta_gradient(name, learner, params, batch)
    leaves = {key: value.clone().requires_grad_() for key, value in params.items()}
    losses = [learner.episode_loss(leaves, sampler[index]) for sampler, index in batch]
    torch.stack(losses).mean().backward()
    np.testing.assert_allclose(found.losses, [float(loss.detach()) for loss in losses], rtol=1e-10)
    assert set(found.gradient) == {key for key, leaf in leaves.items() if leaf.grad is not None} != set()
    for key, gradient in found.gradient.items():
        torch.testing.assert_close(gradient, leaves[key].grad, rtol=1e-8, atol=1e-10)
    accuracies = [
        float(learner.episode_scores(params, s[k])[1]) if hasattr(learner, "episode_scores") else np.nan
        for s, k in batch
    ]
    np.testing.assert_allclose(found.accuracies, accuracies, rtol=1e-6)


def test_images_go_together_in_float32_too(tasks):
    learner, batch = film_maml(ways=3, inner_steps=1), [(tasks[0], 0), (tasks[1], 0)]
    params = {key: channels_last(value) for key, value in learner.init_params(0).items()}  # as a training keeps them
    apart, together = (meta_gradient(name, learner, params, batch) for name in ("apart", "together"))
    np.testing.assert_allclose(together.losses, apart.losses, rtol=1e-3)
    assert together.gradient.keys() == apart.gradient.keys()


class Flat:
    """A sampler whose images have lost their shape."""

    def __init__(self, sampler):
        self.sampler, self.name = sampler, sampler.name

    def __getitem__(self, index):
        return self.sampler[index].map(lambda t: t.flatten(1) if t.dim() == 4 else t)


class Doubled:
    """A sampler whose episodes are float64."""

    def __init__(self, sampler):
        self.sampler, self.name = sampler, sampler.name

    def __getitem__(self, index):
        return self.sampler[index].to(dtype=torch.float64)


@pytest.mark.parametrize("name", BATCHINGS)
def test_the_number_of_threads_does_not_change_a_bit(tasks, name):
    learner, batch = ProtoNet(), [(tasks[0], 0), (tasks[1], 0), (tasks[0], 1), (tasks[1], 1)]
    params, before, found = learner.init_params(0), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(meta_gradient(name, learner, params, batch).gradient)
            assert torch.get_num_threads() == threads, "what the workers set is theirs"
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(other[name], g) for name, g in found[0].items())


def test_a_learner_that_cannot_be_batched_goes_apart(tasks):
    class Branching(PixelPrototypes):
        def episode_loss(self, params, episode):
            loss = super().episode_loss(params, episode)
            return loss if float(loss) >= 0 else -loss  # needs a number, which vmap has none of

    assert usual(Branching(), Branching().init_params(0), (Flat(tasks[0]), 0)) == "apart"
    assert usual(ProtoNet(), ProtoNet().init_params(0), (tasks[0], 0)) == "apart", "images on a CPU always are"
    assert usual(RegressionMMAML(), RegressionMMAML().init_params(0), (tr.FunctionFamily("abs"), 0)) == "together"


def test_a_resumed_training_keeps_its_batching(tmp_path, tasks):
    train(ProtoNet(), SETTINGS, tasks, out=tmp_path, iterations=1, save_every=1, batching="together")
    train(ProtoNet(), SETTINGS, tasks, out=tmp_path, iterations=2, save_every=1)
    assert json.loads((tmp_path / "training.json").read_text())["batching"] == "together"
    with pytest.raises(SpecMismatchError, match="begun with tasks batched together, and apart was asked for"):
        train(ProtoNet(), SETTINGS, tasks, out=tmp_path, iterations=3, save_every=1, batching="apart")


def test_the_gradient_is_clipped_for_encoder_and_rest_apart(tmp_path):
    functions = [tr.FunctionFamily("quadratic"), tr.FunctionFamily("linear")]
    learner, settings = RegressionMMAML(), replace(SETTINGS, modes=("quadratic", "linear"), clip_norm=0.5, lr=0.01)
    (path,) = train(learner, settings, functions, out=tmp_path, iterations=1, save_every=1, batching="together")
    moments = tr.load_checkpoint(path).optimizer.slots["exp_avg"]  # (1 - β₁) times the clipped gradient after one step
    leaves = {name: value.requires_grad_() for name, value in learner.init_params(0).items()}
    torch.stack([learner.episode_loss(leaves, functions[k % 2][k // 2]) for k in range(4)]).mean().backward()
    for encoder in (True, False):
        names = [name for name in moments if name.startswith(("encoder.", "generator.")) is encoder]
        whole = torch.stack([leaves[name].grad.square().sum() for name in names]).sum().sqrt()
        kept = torch.stack([moments[name].square().sum() for name in names]).sum().sqrt() * 10
        assert float(kept) == pytest.approx(min(0.5, float(whole)), rel=1e-3)
    assert float(whole) > 0.5, "or nothing would have been clipped"


def test_the_best_validated_checkpoint_is_kept(tmp_path, tasks):
    validation = [tr.few_shot(f"{mode}:val", ways=3, shots=1, queries=2) for mode in ("strokes", "shapes")]
    more = {"save_every": 2, "validation": validation, "n_validation": 4}
    straight = train(ProtoNet(), SETTINGS, tasks, out=tmp_path / "straight", iterations=8, **more)
    table = pd.concat(
        [
            pd.read_parquet(p).assign(step=int(p.stem[5:]))
            for p in sorted((tmp_path / "straight" / "validation").iterdir())
        ]
    )
    assert table.groupby("step")["mode"].agg(list).tolist() == [["strokes", "shapes", "mean"]] * 4
    mean = table[table["mode"] == "mean"].set_index("step")["accuracy"]
    best = tr.load_checkpoint(tmp_path / "straight" / "best.safetensors")
    assert mean[best.step] == mean.max()
    assert best.digest == tr.load_checkpoint(straight[best.step // 2 - 1]).digest
    scored = evaluate(ProtoNet(), best.params, dict(zip(SETTINGS.modes, validation, strict=True)), 4)
    assert summary(scored).iloc[-1]["accuracy"] == pytest.approx(mean.max())

    train(ProtoNet(), SETTINGS, tasks, out=tmp_path / "twice", iterations=4, **more)
    train(ProtoNet(), SETTINGS, tasks, out=tmp_path / "twice", iterations=8, **more)
    for name in ("best.safetensors", "validation/step-00000008.parquet"):
        assert (tmp_path / "twice" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_only_checkpoints_validated_on_as_many_tasks_are_compared(tmp_path, tasks):
    more = {"save_every": 1, "validation": tasks}
    settings = replace(SETTINGS, lr=1e-9)  # nothing changes, so the first of equals is the best
    paths = train(ProtoNet(), settings, tasks, out=tmp_path, iterations=2, n_validation=1, **more)
    train(ProtoNet(), settings, tasks, out=tmp_path, iterations=4, n_validation=3, **more)
    assert tr.load_checkpoint(tmp_path / "best.safetensors").step == 3
    (tmp_path / "best.safetensors").unlink()
    train(ProtoNet(), settings, tasks, out=tmp_path, iterations=4, n_validation=3, **more)
    assert tr.load_checkpoint(tmp_path / "best.safetensors").step == 3, "made good on a resume with nothing else to do"
    paths[0].unlink()
    train(ProtoNet(), settings, tasks, out=tmp_path, iterations=5, n_validation=1, **more)
    assert tr.load_checkpoint(tmp_path / "best.safetensors").step == 2, "the oldest that is still there"


def test_validation_builds_no_graph(tmp_path, tasks):
    seen = []

    class Watching(PixelPrototypes):
        def episode_scores(self, params, episode):
            seen.append((episode.query_x.shape[0], params["map.weight"].requires_grad))
            return self.episode_loss(params, episode), torch.tensor(0.5)

    other = [tr.few_shot(f"{mode}:val", ways=3, shots=1, queries=3) for mode in SETTINGS.modes]
    train(Watching(), SETTINGS, tasks, out=tmp_path, iterations=1, save_every=1, validation=other, n_validation=2)
    assert {grad for queries, grad in seen if queries == 9} == {False}


def test_a_gradient_that_is_not_finite_stops_the_training_before_it_is_taken(tmp_path, tasks):
    class Cliff(PixelPrototypes):
        def episode_loss(self, params, episode):
            loss = super().episode_loss(params, episode)
            return loss + (loss - loss.detach()).abs().sqrt()  # finite, but its slope is not

    with pytest.raises(LearnerError, match="its gradient became infinite or NaN at iteration 1"):
        train(Cliff(), SETTINGS, tasks, out=tmp_path, iterations=1, save_every=1)
    assert not list(tmp_path.glob("step-*"))


@pytest.mark.parametrize(
    "wrong", [{"lr": np.nan}, {"lr": 0}, {"clip_norm": -1}, {"halve_every": -3}, {"meta_batch": 0}]
)
def test_a_training_out_of_range_is_told(wrong):
    ((name, _),) = wrong.items()
    with pytest.raises(UsageError, match=f"The training was to have {name}"):
        Training("x", **wrong)
    with pytest.raises(UsageError, match="The batching 'aprat'"):
        meta_gradient("aprat", PixelPrototypes(), {}, [])


def test_a_mean_over_modes_leaves_no_nan_out():
    scores = pd.DataFrame(
        {"mode": ["a", "a", "b", "b"], "index": [0, 1, 0, 1], "loss": [np.nan, np.nan, 1.0, 3.0], "accuracy": 0.5}
    )
    table = summary(scores).set_index("mode")
    assert np.isnan(table.loc["mean", "loss"])
    assert np.isnan(table.loc["mean", "loss_ci"])
    assert table.loc["b", "loss_ci"] == pytest.approx(1.96 * np.sqrt(2) / np.sqrt(2))
    assert table.loc["mean", "accuracy"] == 0.5
    assert table.loc["mean", "accuracy_ci"] == 0.0


def test_scores_are_those_of_the_learner_task_by_task(tasks):
    learner = film_maml(ways=3, inner_steps=1)
    params = learner.init_params(0)
    table = evaluate(learner, params, {"strokes": tasks[0], "shapes": tasks[1]}, 3)
    assert list(table["mode"]) == ["strokes"] * 3 + ["shapes"] * 3
    for mode, index, loss, accuracy in table.itertuples(index=False):
        expected = learner.episode_scores(params, tasks[0 if mode == "strokes" else 1][index])
        assert (loss, accuracy) == pytest.approx([float(score) for score in expected], rel=1e-4)


def test_intervals_cover_the_mean_of_the_modes():
    """Simulated: the stated half-width contains the true mean in 95 % of evaluations, for single modes and for their mean."""
    rng, inside = np.random.default_rng(0), np.zeros(3)
    for _ in range(400):
        a, b = rng.binomial(75, 0.9, 100) / 75, rng.binomial(75, 0.3, 100) / 75
        scores = pd.DataFrame({"mode": ["a"] * 100 + ["b"] * 100, "accuracy": np.concatenate([a, b]), "loss": 1.0})
        table = summary(scores)
        inside += (table["accuracy"] - [0.9, 0.3, 0.6]).abs() <= table["accuracy_ci"]
    assert (inside / 400 > 0.91).all()
    assert (inside / 400 < 0.985).all()
    assert table["loss_ci"].tolist() == [0.0, 0.0, 0.0]


def test_an_infinite_loss_has_an_infinite_mean_and_no_interval():
    scores = pd.DataFrame(
        {"mode": ["a", "a", "b", "b"], "loss": [1.0, np.inf, 1.0, 2.0], "accuracy": [0.0, 1.0, 1.0, 1.0]}
    )
    found = summary(scores).set_index("mode")
    assert found["loss"].tolist() == [np.inf, 1.5, np.inf]
    assert found["loss_ci"].isna().tolist() == [True, False, True]
    assert found["accuracy"].tolist() == [0.5, 1.0, 0.75]
