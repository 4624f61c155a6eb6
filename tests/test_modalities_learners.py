"""The learners of modalities: their formulas, whatever is there, and what is told when it cannot be."""

import re

import pytest
import torch

import transference as tr
from meta_models import ProductOfExperts, SharedLatent
from tests import oracles
from tests.conftest import paired_episode, random_episode
from transference.engines import find_engine
from transference.errors import LearnerError
from transference.learners import tell_apart

SHAPES = {"accel": [6, 3], "face": [3, 18, 12], "mor": [5]}
FLAT = {"a": [16], "b": [4, 2]}
SMALL = {"hidden": 7, "latent": 6}
EAGER = ["loop", "threads", "vmap"]


def double(params):
    return {name: value.double() for name, value in params.items()}


def shared(shapes=SHAPES, **settings):
    learner = SharedLatent(shapes, **SMALL, **settings)
    return learner, double(learner.init_params(2))


def experts(shapes=SHAPES, **settings):
    learner = ProductOfExperts(shapes, **SMALL, **settings)
    return learner, double(learner.init_params(2))


BOTH = pytest.mark.parametrize("make", [shared, experts], ids=["shared-latent", "i2m2"])
SUBSETS = [["accel"], ["face"], ["mor", "face"], ["face", "accel", "mor"]]


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_shared_latent_is_its_formula(subset):
    for trunk in (True, False):
        learner, params = shared(trunk=trunk)
        for queries in (
            subset,
            ["accel"],
            ["face", "mor"],
        ):  # in what they share with the support, or in something else
            episode = paired_episode(SHAPES, subset, queries, dtype=torch.float64)
            expected = oracles.shared_latent_loss(params, episode)
            torch.testing.assert_close(learner.episode_loss(params, episode), expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_the_product_of_experts_is_its_formula(subset):
    whole = len(subset) == len(SHAPES)
    for kind in ("product", "intra", *(["inter"] if whole else [])):
        learner, params = experts(experts=kind)
        for queries in (subset, list(SHAPES)):
            episode = paired_episode(SHAPES, subset, queries, dtype=torch.float64)
            expected = oracles.product_of_experts_loss(params, episode, joint=whole and kind != "intra")
            torch.testing.assert_close(learner.episode_loss(params, episode), expected, rtol=1e-10, atol=0)


@BOTH
def test_scores_are_loss_and_share_of_the_likeliest(make):
    learner, params = make()
    episode = paired_episode(SHAPES, dtype=torch.float64)
    loss, accuracy = learner.episode_scores(params, episode)
    assert torch.equal(loss, learner.episode_loss(params, episode))
    likeliest = learner.episode_logits(params, episode).argmax(dim=1)
    assert float(accuracy) == pytest.approx(int((likeliest == episode.query_y).sum()) / 12)


@BOTH
def test_labels_may_leave_numbers_out(make):
    learner, params = make(FLAT)
    episode = paired_episode(FLAT, dtype=torch.float64)
    number = torch.tensor([4, 0, 3])
    other = tr.Episode(episode.support_x, number[episode.support_y], episode.query_x, number[episode.query_y])
    torch.testing.assert_close(
        learner.episode_loss(params, other), learner.episode_loss(params, episode), rtol=1e-12, atol=0
    )
    leaves = {name: value.requires_grad_() for name, value in params.items()}
    gradients = torch.autograd.grad(learner.episode_loss(leaves, other), list(leaves.values()))
    assert all(torch.isfinite(gradient).all() for gradient in gradients), "a column at -∞ leaves no NaN behind"
    absent = tr.Episode(episode.support_x, torch.zeros(6, dtype=torch.int64), episode.query_x, episode.query_y)
    assert learner.episode_loss(params, absent).detach() == torch.inf


@BOTH
def test_the_order_of_modalities_is_of_no_consequence(make):
    (learner, params), (turned, others) = make(SHAPES), make(dict(reversed(SHAPES.items())))
    assert learner == turned
    assert params.keys() == others.keys()
    assert all(torch.equal(params[name], others[name]) for name in params)
    episode = paired_episode(SHAPES, dtype=torch.float64)
    backwards = lambda inputs: dict(reversed(inputs.items()))
    other = tr.Episode(backwards(episode.support_x), episode.support_y, backwards(episode.query_x), episode.query_y)
    assert torch.equal(learner.episode_loss(params, episode), turned.episode_loss(params, other))


STRANGE = ["a", "a.hidden", "a.latent.weight", "hidden", "joint", "trunk", "teacher", "student", "ema", "mask", "é-2",
           "running_mean", "features", "features.layer1_conv", "position_ids"]  # fmt: skip


@BOTH
def test_whatever_modalities_are_called_every_one_has_parameters_that_move(make):
    shapes = {name: [3, 4, 4] if name in {"a", "features"} else [3] for name in STRANGE}
    learner, params = make(shapes)
    found = tell_apart(learner, params, moves=())
    assert found.params.keys() == params.keys()
    assert not found.constants
    assert not found.tied
    encoders = [name for name in params if name.startswith(("encoders/", "experts/"))]
    assert len(encoders) == 2 * (4 * 4 + 2) + 13 * 4, "two networks of images, each with a last map"
    leaves = {name: value.requires_grad_() for name, value in params.items()}
    episode = paired_episode(shapes, dtype=torch.float64)
    gradients = torch.autograd.grad(learner.episode_loss(leaves, episode), list(leaves.values()), allow_unused=True)
    still = [name for name, gradient in zip(leaves, gradients, strict=True) if gradient is None]
    assert all(name.endswith("_conv.bias") for name in still), "what batch norm takes away"


@BOTH
@pytest.mark.parametrize("shapes", [FLAT, SHAPES], ids=["flat", "with images"])
@pytest.mark.parametrize("engine", EAGER)
def test_every_engine_takes_subsets_side_by_side(engine, shapes, make):
    learner, params = make(shapes)
    names = list(shapes)
    subsets = [[names[0]], names, [names[1]], names, [names[0]]]
    episodes = [paired_episode(shapes, subset, seed=k, dtype=torch.float64) for k, subset in enumerate(subsets)]
    expected = torch.stack([torch.stack(learner.episode_scores(params, episode)) for episode in episodes]).double()
    torch.testing.assert_close(find_engine(engine)(learner, episodes)(params), expected, rtol=1e-9, atol=1e-12)
    mean = find_engine(engine).mean_gradient(learner, params, episodes, list(params))
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    torch.stack([learner.episode_loss(leaves, episode) for episode in episodes]).mean().backward()
    for name, gradient in mean.gradient.items():
        torch.testing.assert_close(gradient, leaves[name].grad, rtol=1e-7, atol=1e-10)


@BOTH
def test_settings_come_back_from_a_file(make, tmp_path):
    learner, params = make(SHAPES)
    name = "shared-latent" if make is shared else "i2m2"
    settings = tr.learners.describe(learner)
    assert settings.pop("class") == f"{type(learner).__module__}.{type(learner).__qualname__}"
    assert settings["modalities"] == SHAPES
    tr.save_checkpoint(tr.Checkpoint(params, 7, name, settings), tmp_path / "x.safetensors")
    loaded = tr.load_checkpoint(tmp_path / "x.safetensors")
    assert tr.load_learner(loaded) == learner
    assert tr.learners.bind(tr.load_learner(loaded), loaded)[1].keys() == params.keys()


def test_a_support_in_one_modality_serves_queries_in_another():
    learner, params = shared(FLAT)
    leaves = {name: value.requires_grad_() for name, value in params.items()}
    episode = paired_episode(FLAT, ["a"], ["b"], dtype=torch.float64)
    learner.episode_loss(leaves, episode).backward()
    assert all(value.grad is not None and value.grad.any() for value in leaves.values())


@pytest.mark.parametrize(
    ("make", "episode", "message"),
    [
        (shared, random_episode(), "the support set has one tensor [6, 3, 28, 28] without a name; "),
        (experts, random_episode(), "the support set has one tensor [6, 3, 28, 28] without a name; "),
        (shared, paired_episode({"a": [16], "gyro": [3]}), "the support set has a [16], gyro [3]; "),
        (shared, paired_episode({"a": [15]}), "the support set has a [15]; "),
        (experts, paired_episode({"a": [16], "b": [8]}, ["a"], ["b"]), "the query set has b [8]; "),
    ],
)
def test_what_the_learner_does_not_know_is_told_beside_what_it_knows(make, episode, message):
    learner, params = make(FLAT)
    with pytest.raises(ValueError, match=re.escape(message + "the learner knows a [16], b [4, 2]")):
        learner.episode_loss(params, episode)
    with pytest.raises(LearnerError, match=re.escape(message)):
        tr.check_pure(learner, params, episode)


def test_experts_that_there_are_not_are_told():
    crossed, one = paired_episode(FLAT, ["a"], ["b"]), paired_episode(FLAT, ["a"])
    learner, params = experts(FLAT)
    with pytest.raises(
        ValueError, match="no expert for a support set of a and queries of b: each needs its modality in"
    ):
        learner.episode_loss(params, crossed)
    learner, params = experts(FLAT, experts="inter")
    with pytest.raises(
        ValueError, match="no expert for a support set of a and queries of a: each needs all of a, b in"
    ):
        learner.episode_loss(params, one)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modalities": {}}, "modalities is {}; train on paired modes, such as mix"),
        ({"modalities": ["a", "b"]}, r"modalities is \['a', 'b'\]; .* give the shape of one example by name"),
        ({"modalities": {"a": 16}}, "the shape of the modality a is 16; give the shape"),
        ({"modalities": {"a": [16.0]}}, r"the shape of the modality a is \[16.0\]"),
        ({"modalities": {"a": [0]}}, r"the shape of the modality a is \[0\]"),
        ({"modalities": {"a": []}}, r"the shape of the modality a is \[\]"),
        ({"modalities": {"a": [True]}}, r"the shape of the modality a is \[True\]"),
        ({"modalities": {"a/b": [3]}}, "modalities has the name 'a/b'; letters, digits"),
        ({"modalities": FLAT, "hidden": 0}, "hidden is 0; it must be a whole number, 1 or above"),
        ({"modalities": FLAT, "latent": 0}, "latent is 0; it must be a whole number, 1 or above"),
    ],
)
@pytest.mark.parametrize("name", ["shared-latent", "i2m2"])
def test_settings_of_the_wrong_kind_are_told(name, settings, message):
    with pytest.raises(LearnerError, match=message):
        tr.load_learner(name, settings)


def test_settings_of_one_learner_are_told():
    with pytest.raises(LearnerError, match="trunk is 1; it must be true or false"):
        tr.load_learner("shared-latent", {"modalities": FLAT, "trunk": 1})
    with pytest.raises(LearnerError, match="experts is 'poe'; it must be one of 'product', 'inter', 'intra'"):
        tr.load_learner("i2m2", {"modalities": FLAT, "experts": "poe"})
    with pytest.raises(LearnerError, match="experts is 'inter', but a is the only modality; name another"):
        tr.load_learner("i2m2", {"modalities": {"a": [3]}, "experts": "inter"})


@pytest.mark.parametrize("name", ["protonet", "maml", "kml-protonet", "regression-maml"])
def test_of_a_learner_of_one_tensor_it_is_told_that_there_are_several(name):
    learner = tr.load_learner(name)
    with pytest.raises(LearnerError, match="its inputs are tensors by name, and the learner names none that it knows"):
        tr.check_pure(learner, learner.init_params(0), paired_episode(FLAT))
