"""One list of learners, and the properties that each must have."""

import pytest
import torch

import transference as tr
from meta_models import MAML, ProtoNet
from tests import oracles
from tests.conftest import random_episode

LEARNERS = {
    "protonet": lambda **k: ProtoNet(channels=k.get("channels", 3)),
    "maml": lambda **k: MAML(ways=k.get("ways", 5), channels=k.get("channels", 3), inner_steps=2),
    "first-order maml": lambda **k: MAML(ways=k.get("ways", 5), channels=k.get("channels", 3), inner_steps=2, second_order=False),
}
every_learner = pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)


def double(params):
    return {name: value.double() for name, value in params.items()}


@every_learner
def test_is_pure(make):
    learner = make()
    tr.check_pure(learner, learner.init_params(0), random_episode(ways=5))


@every_learner
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [28, 32, 84])
def test_takes_any_side_and_channels(make, channels, side):
    learner = make(channels=channels, ways=2)
    loss, accuracy = learner.episode_scores(
        learner.init_params(0), random_episode(ways=2, shots=1, queries=2, side=side, channels=channels)
    )
    assert loss.shape == accuracy.shape == ()
    assert torch.isfinite(loss)
    assert 0 <= float(accuracy) <= 1


@every_learner
@pytest.mark.parametrize(("ways", "shots", "queries"), [(2, 1, 1), (3, 4, 2), (7, 2, 3)])
def test_takes_any_episode(make, ways, shots, queries):
    learner = make(ways=ways)
    params, episode = learner.init_params(0), random_episode(ways, shots, queries)
    loss, _ = learner.episode_scores(params, episode)
    assert torch.equal(loss, learner.episode_loss(params, episode))


@every_learner
def test_the_order_of_support_rows_does_not_matter(make):
    learner = make(ways=3)
    params, episode = double(learner.init_params(0)), random_episode(dtype=torch.float64)
    rows = torch.randperm(6, generator=torch.Generator().manual_seed(3))
    shuffled = tr.Episode(episode.support_x[rows], episode.support_y[rows], episode.query_x, episode.query_y)
    torch.testing.assert_close(learner.episode_loss(params, shuffled), learner.episode_loss(params, episode), rtol=1e-12, atol=0)


def test_protonet_does_not_care_how_classes_are_numbered():
    learner = ProtoNet()
    params, episode = double(learner.init_params(0)), random_episode(dtype=torch.float64)
    renumbered = torch.tensor([2, 0, 1])
    other = tr.Episode(episode.support_x, renumbered[episode.support_y], episode.query_x, renumbered[episode.query_y])
    torch.testing.assert_close(learner.episode_loss(params, other), learner.episode_loss(params, episode), rtol=1e-12, atol=0)


@every_learner
def test_gradients_agree_with_finite_differences(make):
    learner = make(ways=3)
    if not getattr(learner, "second_order", True):
        pytest.skip("a first-order gradient is not the gradient of the loss, by design")
    params, episode = double(learner.init_params(0)), random_episode(dtype=torch.float64)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    gradients = torch.autograd.grad(learner.episode_loss(leaves, episode), list(leaves.values()))
    generator = torch.Generator().manual_seed(0)
    for name, gradient in zip(leaves, gradients, strict=True):
        direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)
        direction /= direction.norm()  # a short step: the loss has kinks, and after an inner loop jumps, where a ReLU switches
        at = lambda t, name=name, direction=direction: float(
            learner.episode_loss({**params, name: params[name] + t * direction}, episode).detach()
        )
        expected = (at(1e-7) - at(-1e-7)) / 2e-7
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-6), name


@every_learner
def test_vmap_over_episodes_equals_a_loop(make):
    learner = make(ways=3)
    params = double(learner.init_params(0))
    episodes = [random_episode(seed=k, dtype=torch.float64) for k in range(3)]
    fields = [
        torch.stack([dict(episode.items())[name] for episode in episodes]) for name in ("support_x", "support_y", "query_x", "query_y")
    ]
    batched = torch.vmap(lambda *tensors: learner.episode_loss(params, tr.Episode(*tensors)))(*fields)
    looped = torch.stack([learner.episode_loss(params, episode) for episode in episodes])
    torch.testing.assert_close(batched, looped, rtol=1e-10, atol=0)


@every_learner
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_saved_and_loaded_it_has_the_same_loss(make, suffix, tmp_path):
    learner = make(ways=3)
    params, episode = learner.init_params(4), random_episode()
    tr.save_checkpoint(tr.Checkpoint(params, 3), tmp_path / f"x{suffix}")
    loaded = tr.load_checkpoint(tmp_path / f"x{suffix}").params
    assert torch.equal(learner.episode_loss(loaded, episode), learner.episode_loss(params, episode))


@every_learner
def test_the_seed_decides_the_initial_parameters(make):
    first, same, other = (make().init_params(seed) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["features.layer2_conv.weight"], other["features.layer2_conv.weight"])


def test_parameter_counts_are_those_of_the_released_models():
    count = lambda learner: sum(value.numel() for value in learner.init_params(0).values())
    assert count(ProtoNet()) == 389_376
    assert count(MAML()) == 389_701
    assert count(MAML(channels=1)) == 389_125


def test_accuracy_counts_correct_queries():
    learner = ProtoNet()
    episode = random_episode(ways=3, shots=1, queries=1)
    same = tr.Episode(episode.support_x, episode.support_y, episode.support_x, episode.support_y)
    wrong = tr.Episode(episode.support_x, episode.support_y, episode.support_x, episode.support_y.roll(1))
    params = learner.init_params(0)
    assert float(learner.episode_scores(params, same)[1]) == 1.0
    assert float(learner.episode_scores(params, wrong)[1]) == 0.0


def test_the_inner_gradient_is_clamped_element_by_element():
    params = double(MAML(ways=3).init_params(0))
    episode = random_episode(dtype=torch.float64)
    tight = MAML(ways=3, inner_steps=1, clamp=1e-3)
    moved = tight.adapt(params, episode)
    largest = max(float((moved[name] - params[name]).abs().max()) for name in params)
    assert largest == pytest.approx(0.05 * 1e-3)


def test_float32_distances_keep_their_digits():
    learner, episode = ProtoNet(), random_episode()
    params = learner.init_params(0)
    single = float(learner.episode_loss(params, episode))
    exact = float(oracles.protonet_loss(double(params), episode.to(dtype=torch.float64)))
    assert single == pytest.approx(exact, rel=2e-6)
