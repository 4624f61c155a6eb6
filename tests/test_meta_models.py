"""One list of learners, and the properties that each must have."""

import math
from dataclasses import dataclass, replace

import pytest
import torch

import transference as tr
from meta_models import (
    KML,
    MAML,
    FiLM,
    ProductOfExperts,
    ProtoNet,
    Recipe,
    RegressionMAML,
    RegressionMMAML,
    SharedLatent,
    film_maml,
    film_protonet,
    kml_maml,
    kml_protonet,
    multi_maml,
    multi_protonet,
    regression_multi_maml,
)
from meta_models.kml import factors
from meta_models.protonet import softened
from tests import oracles
from tests.conftest import paired_episode, random_episode
from transference.episodes import stack
from transference.errors import LearnerError
from transference.learners import check_logits, check_offers_logits, learner_names


@dataclass(frozen=True)
class Case:
    """A learner in the list, and the name under which it is registered."""

    name: str
    make: object
    takes: tuple = ("channels",)
    settings: tuple = ()

    def __call__(self, **shape):
        return self.make(**{key: shape[key] for key in self.takes if key in shape}, **dict(self.settings))


INNER = ("ways", "channels")
IMAGES = [
    Case("protonet", ProtoNet),
    Case("multi-protonet", multi_protonet, settings=(("modes", ("a", "b")),)),
    Case("mprotonet", film_protonet),
    Case("kml-protonet", kml_protonet),
    Case("maml", MAML, INNER, (("inner_steps", 2),)),
    Case("multi-maml", multi_maml, INNER, (("inner_steps", 2), ("modes", ("a", "b")))),
    Case("mmaml", film_maml, INNER, (("inner_steps", 2),)),
    Case("kml-maml", kml_maml, INNER, (("inner_steps", 2),)),
    # Forms of the above
    Case("maml", MAML, INNER, (("inner_steps", 2), ("second_order", False))),
    Case("kml-protonet", kml_protonet, settings=(("residual", False), ("query_modulation", "query"))),
    Case("protonet", ProtoNet, settings=(("transductive", True),)),
]
FUNCTIONS = [
    Case("regression-maml", RegressionMAML, ()),
    Case("regression-multi-maml", regression_multi_maml, (), (("modes", ("a", "b")),)),
    Case("regression-mmaml", RegressionMMAML, ()),
]
SHAPES = {"values": [4], "image": [3, 12, 8], "window": [5, 3]}
TOLD = (("modalities", SHAPES), ("hidden", 7), ("latent", 6))
PAIRED = [
    Case("shared-latent", SharedLatent, (), TOLD),
    Case("i2m2", ProductOfExperts, (), TOLD),
    Case("shared-latent", SharedLatent, (), (*TOLD, ("trunk", False))),
    Case("i2m2", ProductOfExperts, (), (*TOLD, ("experts", "inter"))),
    Case("i2m2", ProductOfExperts, (), (*TOLD, ("experts", "intra"))),
]
_FORMS = {"second_order", "residual", "transductive", "trunk", "experts"}
label = lambda case: "-".join([case.name, *(f"{k}={v}" for k, v in case.settings if k in _FORMS)])
on_images = pytest.mark.parametrize("make", IMAGES, ids=label)
every_learner = pytest.mark.parametrize("make", IMAGES + FUNCTIONS + PAIRED, ids=label)


def episode_for(make, dtype=torch.float32, seed=0, ways=3):
    """An episode that the learner takes: images, points of a function, or examples of all modalities."""
    if make in FUNCTIONS:
        tasks = tr.FunctionFamily("tanh", shots=4, queries=3, seed=seed)
        return replace(tasks[0].to(dtype=dtype), mode="a")
    if make in PAIRED:
        return paired_episode(SHAPES, ways=ways, dtype=dtype, seed=seed)
    return replace(random_episode(ways, dtype=dtype, seed=seed), mode="a")


def double(params):
    return {name: value.double() for name, value in params.items()}


def test_every_registered_learner_is_in_the_list():
    assert {case.name for case in IMAGES + FUNCTIONS + PAIRED} == set(learner_names())


@pytest.mark.slow
@every_learner
def test_is_pure(make):
    learner = make(ways=3)
    tr.check_pure(learner, learner.init_params(0), episode_for(make))


@pytest.mark.parametrize("make", IMAGES + PAIRED, ids=label)
def test_the_cross_entropy_of_a_classifiers_logits_is_its_loss(make):
    learner, episode = make(ways=3), episode_for(make, torch.float64)
    params = double(learner.init_params(0))
    logits = learner.episode_logits(params, episode)
    assert len(logits) == len(episode.query_y)
    assert logits.isfinite().sum(dim=1).tolist() == [3] * len(
        logits
    )  # what is no class of the episode is at minus infinity
    own = torch.logsumexp(logits, dim=1) - logits[torch.arange(len(logits)), episode.query_y]
    assert float(own.mean().detach()) == pytest.approx(float(learner.episode_loss(params, episode).detach()), rel=1e-12)
    check_logits(learner, params, episode)


@pytest.mark.parametrize("make", FUNCTIONS, ids=label)
def test_a_regression_has_no_logits(make):
    learner = make()
    check = lambda: (check_offers_logits(learner), check_logits(learner, learner.init_params(0), episode_for(make)))
    with pytest.raises(
        LearnerError, match=r"has no episode_logits\(params, episode\).*leave tempered \(--tempered\) out"
    ):
        check()


@on_images
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [28, 32, 84])
def test_takes_any_side_and_channels(make, channels, side):
    learner = make(channels=channels, ways=2)
    episode = replace(random_episode(ways=2, shots=1, queries=2, side=side, channels=channels), mode="b")
    loss, accuracy = learner.episode_scores(learner.init_params(0), episode)
    assert loss.shape == accuracy.shape == ()
    assert torch.isfinite(loss)
    assert 0 <= float(accuracy) <= 1


@on_images
@pytest.mark.parametrize(("ways", "shots", "queries"), [(2, 1, 1), (3, 4, 2), (7, 2, 3)])
def test_takes_any_episode(make, ways, shots, queries):
    learner = make(ways=ways)
    params, episode = learner.init_params(0), replace(random_episode(ways, shots, queries), mode="a")
    loss, _ = learner.episode_scores(params, episode)
    assert torch.equal(loss, learner.episode_loss(params, episode))


@on_images
def test_the_order_of_support_rows_does_not_matter(make):
    if "transductive=True" in label(make):
        pytest.skip("the released update of prototypes takes rows by position")
    learner = make(ways=3)
    params, episode = double(learner.init_params(0)), episode_for(make, torch.float64)
    rows = torch.randperm(6, generator=torch.Generator().manual_seed(3))
    shuffled = replace(episode, support_x=episode.support_x[rows], support_y=episode.support_y[rows])
    # The released KML form magnifies rounding: its modulated kernels almost vanish.
    torch.testing.assert_close(
        learner.episode_loss(params, shuffled), learner.episode_loss(params, episode), rtol=1e-10, atol=0
    )


@on_images
def test_how_classes_are_numbered_does_not_matter(make):
    if "transductive=True" in label(make):
        pytest.skip("the released update of prototypes takes rows by position")
    learner = make(ways=3)
    params, episode = double(learner.init_params(0)), episode_for(make, torch.float64)
    number = torch.tensor([2, 0, 1])
    other = replace(episode, support_y=number[episode.support_y], query_y=number[episode.query_y])
    # A head has one row per label, so its rows have to be numbered anew too.
    heads = [name for name in params if "classifier" in name]
    renumbered = {**params, **{name: params[name][number.argsort()] for name in heads}}
    torch.testing.assert_close(
        learner.episode_loss(renumbered, other), learner.episode_loss(params, episode), rtol=1e-10, atol=0
    )


@pytest.mark.slow
@every_learner
def test_gradients_agree_with_finite_differences(make):
    learner = make(ways=3)
    if "second_order=False" in label(make):
        pytest.skip("a first-order gradient is not the gradient of the loss, by design")
    params, episode = double(learner.init_params(0)), episode_for(make, torch.float64)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    gradients = torch.autograd.grad(learner.episode_loss(leaves, episode), list(leaves.values()), allow_unused=True)
    generator = torch.Generator().manual_seed(0)
    for name, gradient in zip(leaves, gradients, strict=True):
        if gradient is None:  # a learner of another mode, or what batch norm takes away
            assert float(learner.episode_loss({**params, name: params[name] + 1.0}, episode)) == float(
                learner.episode_loss(params, episode)
            )
            continue
        direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)
        # a short step: the loss has kinks, and after an inner loop jumps, where a ReLU switches
        direction /= direction.norm()
        at = lambda t, name=name, direction=direction: float(
            learner.episode_loss({**params, name: params[name] + t * direction}, episode).detach()
        )
        expected = (at(1e-7) - at(-1e-7)) / 2e-7
        noise = 5e-5 if "residual=False" in label(make) else 1e-6  # the released KML form magnifies rounding
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-5, abs=noise), name


@every_learner
def test_vmap_over_episodes_equals_a_loop(make):
    learner = make(ways=3)
    params = double(learner.init_params(0))
    episodes = [episode_for(make, torch.float64, seed=k) for k in range(3)]
    batched = torch.vmap(lambda episode: learner.episode_loss(params, episode))(stack(episodes))
    looped = torch.stack([learner.episode_loss(params, episode) for episode in episodes])
    torch.testing.assert_close(batched, looped, rtol=1e-9, atol=0)


@every_learner
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_saved_and_loaded_it_has_the_same_loss(make, suffix, tmp_path):
    built = make(ways=3)
    params, episode = built.init_params(4), episode_for(make)
    config = {key: list(value) if isinstance(value, tuple) else value for key, value in make.settings}
    config |= {"ways": 3} if "ways" in make.takes else {}
    tr.save_checkpoint(tr.Checkpoint(params, 3, make.name, config), tmp_path / f"x{suffix}")
    loaded = tr.load_checkpoint(tmp_path / f"x{suffix}")
    assert torch.equal(
        tr.load_learner(loaded).episode_loss(loaded.params, episode), built.episode_loss(params, episode)
    )


@every_learner
def test_the_seed_decides_the_initial_parameters(make):
    first, same, other = (make().init_params(seed) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    drawn = [name for name in first if first[name].unique().numel() > 1]
    assert drawn
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


MAML_RECIPE = Recipe(iterations=60_000, meta_batch=10, lr=1e-3, halve_every=0, clip_norm=0.0, shots=1, queries=15)
PROTONET_RECIPE = Recipe(
    iterations=30_000, meta_batch=10, lr=1e-3, halve_every=10_000, clip_norm=0.0, shots=1, queries=15
)
FUNCTIONS_RECIPE = Recipe(iterations=70_000, meta_batch=75, lr=1e-3, halve_every=0, clip_norm=2.0, shots=5, queries=5)
RECIPES = {
    **dict.fromkeys(("maml", "mmaml", "kml-maml"), MAML_RECIPE),
    "multi-maml": replace(MAML_RECIPE, iterations=80_000, meta_batch=12),
    **dict.fromkeys(("protonet", "mprotonet", "kml-protonet"), PROTONET_RECIPE),
    "multi-protonet": replace(PROTONET_RECIPE, meta_batch=30),
    **dict.fromkeys(("regression-maml", "regression-mmaml", "regression-multi-maml"), FUNCTIONS_RECIPE),
    "shared-latent": Recipe(iterations=1000),
    "i2m2": Recipe(iterations=1000, clip_norm=8.0),
}
"""The released training on three modes; of the learners of modalities our own, with I2M2's limit of the gradient."""


@every_learner
def test_the_recipe_is_that_of_the_released_code(make):
    assert make().recipe(3) == RECIPES[make.name]
    assert MAML(ways=20).recipe(3) == replace(MAML_RECIPE, iterations=80_000, meta_batch=5)


def test_defaults_are_the_papers_and_settings_arrive():
    inner = {"ways": 5, "channels": 3, "inner_steps": 5, "inner_lr": 0.05, "clamp": 20.0, "second_order": True}
    other = {"ways": 4, "channels": 1, "inner_steps": 2, "inner_lr": 0.3, "clamp": 7.0, "second_order": False}
    for make, modulation in (
        (MAML, {}),
        (film_maml, {"modulation": FiLM()}),
        (kml_maml, {"modulation": KML(residual=True)}),
    ):
        assert make() == MAML(**inner, **modulation)
        assert make(**other) == MAML(**other, **modulation)
    assert kml_maml(residual=False).modulation == KML(residual=False)
    assert multi_maml(["a"]).learners == {"a": MAML(**{**inner, "inner_lr": 0.01})}
    assert multi_maml(["a"], **other).learners == {"a": MAML(**other)}
    soft = {"channels": 1, "transductive": True}
    assert ProtoNet() == ProtoNet(channels=3, transductive=False, modulation=None, query_modulation="support")
    assert film_protonet(**soft, query_modulation="query") == ProtoNet(
        **soft, modulation=FiLM(), query_modulation="query"
    )
    assert kml_protonet(**soft, query_modulation="query", residual=False) == ProtoNet(
        **soft, modulation=KML(residual=False), query_modulation="query"
    )
    assert kml_protonet() == ProtoNet(modulation=KML(residual=True))
    assert multi_protonet(["a"], **soft).learners == {"a": ProtoNet(**soft)}
    function = {"inner_steps": 5, "inner_lr": 0.001, "second_order": True}
    assert RegressionMAML() == RegressionMAML(**function, clamp=0.0, adapt_bias=True)
    assert RegressionMMAML() == RegressionMMAML(**function, clamp=10.0, generators=3)
    assert regression_multi_maml(["a"], clamp=3.0, adapt_bias=False).learners == {
        "a": RegressionMAML(clamp=3.0, adapt_bias=False)
    }


def test_initial_parameters_are_those_of_torchs_own_layers():
    """Bounds of the uniform draws, as torch's layers have them; a bound is nearly reached where there are many weights."""
    params = kml_maml().init_params(0)
    xavier = lambda fan_in, fan_out: math.sqrt(6 / (fan_in + fan_out))
    expected = {
        "features.layer2_conv.weight": xavier(9 * 32, 9 * 64),
        "classifier.fully_connected.weight": xavier(256, 5),
        "encoder.conv.conv3.weight": 1 / math.sqrt(9 * 64),
        "encoder.linear.weight": 1 / math.sqrt(256),
        "generator.9.weight": 1 / math.sqrt(128),
        "generator.9.bias": 1 / math.sqrt(128),
    }
    for name, bound in expected.items():
        assert float(params[name].abs().max()) == pytest.approx(bound, rel=0.02), name
        assert float(params[name].abs().max()) <= bound
        assert float(params[name].std()) == pytest.approx(bound / math.sqrt(3), rel=0.1), name
    zero = [n for n in params if n.endswith("bias") and n.startswith(("features", "classifier"))]
    assert not any(params[name].any() for name in zero)
    one = [n for n in params if ".bn" in n and n.endswith("weight")]
    assert all((params[name] == 1).all() for name in one)
    assert (len(zero), len(one)) == (5, 4)
    function = RegressionMMAML().init_params(0)
    assert float(function["layer2_linear.weight"].std()) == pytest.approx(0.01, rel=0.05)
    assert float(function["encoder.rnn.weight_hh_l1"].abs().max()) == pytest.approx(1 / math.sqrt(40), rel=0.02)
    assert float(RegressionMAML(adapt_bias=False).init_params(0)["bias_transformation"].std()) == pytest.approx(
        1, rel=0.5
    )


def test_kml_shifts_each_bias():
    """The shift cannot be seen behind a batch norm, so it is looked at before."""
    params = ProtoNet().init_params(0)
    params["features.layer1_conv.bias"] = torch.arange(32.0)
    made = [torch.ones(size) for c_out, rows, columns in factors(3) for size in (rows, columns, c_out)]
    made[2] = torch.full((32,), 2.5)
    modulated = KML().modulated(params, tuple(made))
    assert torch.equal(modulated["features.layer1_conv.bias"], torch.arange(32.0) + 2.5)
    assert torch.equal(modulated["features.layer1_conv.weight"], params["features.layer1_conv.weight"] * 2)


def test_accuracy_after_adaptation_counts_correct_queries():
    learner, episode = MAML(ways=3), random_episode()
    params = learner.init_params(0)
    predicted = learner.episode_logits(params, episode).argmax(dim=1)
    right = replace(episode, query_y=predicted)
    assert float(learner.episode_scores(params, right)[1]) == 1.0
    assert float(learner.episode_scores(params, replace(right, query_y=(predicted + 1) % 3))[1]) == 0.0


def count(params):
    return sum(value.numel() for value in params.values())


def test_parameter_counts_are_those_of_the_released_models():
    assert count(ProtoNet().init_params(0)) == 389_376
    assert count(MAML().init_params(0)) == 389_701
    assert count(MAML(channels=1).init_params(0)) == 389_125
    assert count(film_maml().init_params(0)) == 935_813
    assert count(kml_protonet().init_params(0)) == 1_141_243
    assert count(FiLM().init(torch.Generator(), 3)) == 546_112
    assert count(KML().init(torch.Generator(), 3)) == 751_867
    assert count(RegressionMAML().init_params(0)) == 22_521
    assert count(RegressionMMAML().init_params(0)) == 20_501 + 101_720
    assert count(regression_multi_maml(["sinusoid", "linear"]).init_params(0)) == 2 * 22_521


def test_two_small_generators_need_152_times_fewer_outputs_than_one():
    kernels = {name: value for name, value in ProtoNet().init_params(0).items() if "_conv." in name}
    generators = {name: value for name, value in kml_protonet().init_params(0).items() if name.startswith("generator.")}
    outputs = sum(len(value) for name, value in generators.items() if name.endswith(".bias"))
    assert count(kernels) == 388_416
    assert outputs == 2_555
    assert count(kernels) / outputs == pytest.approx(152, abs=0.05)
    assert count(generators) == 2_555 * 129 == 329_595
    assert factors(3) == [(32, 32, 27), (64, 192, 96), (128, 384, 192), (256, 768, 384)]


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_kml_multiplies_each_weight_by_its_own_number(residual, channels):
    learner = kml_protonet(channels=channels, residual=residual)
    episode = random_episode(dtype=torch.float64, channels=channels)
    params = {name: value + 0.3 * torch.randn_like(value) for name, value in double(learner.init_params(0)).items()}
    expected = oracles.modulated_protonet_loss(params, episode, kml="residual" if residual else "released")
    assert float(learner.episode_loss(params, episode)) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("query_modulation", ["support", "query"])
def test_film_agrees_with_its_oracle(query_modulation):
    learner, episode = film_protonet(query_modulation=query_modulation), random_episode(dtype=torch.float64)
    params = double(learner.init_params(0))
    expected = oracles.modulated_protonet_loss(params, episode, by_query=query_modulation == "query")
    assert float(learner.episode_loss(params, episode)) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("modulation", ["film", "residual", "released"])
def test_modulated_inner_loops_agree_with_their_oracle(modulation):
    """One set of modulators, from the support set, serves every inner step and the queries."""
    settings = {"ways": 3, "inner_steps": 2, "inner_lr": 0.1}
    learner = film_maml(**settings) if modulation == "film" else kml_maml(**settings, residual=modulation == "residual")
    episode = random_episode(dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    params = {  # as initialised, the generators hardly do anything yet
        name: value + 0.2 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for name, value in double(learner.init_params(0)).items()
    }
    expected = oracles.maml_loss(params, episode, steps=2, lr=0.1, modulation=modulation)
    assert float(learner.episode_loss(params, episode)) == pytest.approx(float(expected.detach()), rel=1e-8)


@pytest.mark.parametrize("shots", [1, 3])
def test_softened_prototypes_agree_with_their_oracle(shots):
    """Groups stand in another order than their labels, as the released sampler draws them: the slices then mix classes."""
    learner, episode = ProtoNet(transductive=True), random_episode(4, shots, dtype=torch.float64)
    number = torch.tensor([2, 0, 3, 1])
    episode = replace(episode, support_y=number[episode.support_y])
    params = double(learner.init_params(0))
    expected = oracles.protonet_loss(params, episode, softened=True)
    assert float(learner.episode_loss(params, episode)) == pytest.approx(float(expected), rel=1e-10)
    assert float(learner.episode_loss(params, episode)) != pytest.approx(
        float(ProtoNet().episode_loss(params, episode)), rel=1e-3
    )


def test_with_one_shot_the_released_slice_is_empty():
    f = torch.eye(3, dtype=torch.float64)
    p = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    moved = softened(f, torch.full((1, 3), 6.0, dtype=torch.float64), p, torch.ones(3))
    assert moved.tolist() == [[3.0, 3.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_a_step_on_one_mode_leaves_the_other_modes_of_multi_alone(tmp_path):
    learner = multi_protonet(["strokes", "shapes"])
    checkpoint = tr.Checkpoint(learner.init_params(0), 1)
    source = tr.few_shot("strokes:val", ways=3, shots=1, queries=2)
    targets = [tr.few_shot(f"{mode}:val", ways=3, shots=1, queries=2, seed=1) for mode in ("strokes", "shapes")]
    run = tr.measure(learner, checkpoint, source, targets, n_source=2, n_target=2, lookahead=tr.SGD(1e-3), out=tmp_path)
    ratios = run.matrix(step=1, alpha=1e-3)
    assert (ratios[:, 2:] == 1.0).all()
    assert (ratios[:, :2] != 1.0).all()


def test_multi_is_its_learners_side_by_side():
    learner, alone = (
        multi_maml(["a", "b"], ways=3, per_mode={"b": {"inner_steps": 1, "inner_lr": 0.4}}),
        MAML(ways=3, inner_lr=0.01),
    )
    params, episode = learner.init_params(0), random_episode()
    own = {name.removeprefix("a/"): value for name, value in params.items() if name.startswith("a/")}
    assert torch.equal(learner.episode_loss(params, replace(episode, mode="a")), alone.episode_loss(own, episode))
    one_step = MAML(ways=3, inner_steps=1, inner_lr=0.4)
    assert torch.equal(learner.episode_loss(params, replace(episode, mode="b")), one_step.episode_loss(own, episode))
    with pytest.raises(ValueError, match="The task is of mode 'c', but there are learners for a, b only"):
        learner.episode_loss(params, replace(episode, mode="c"))
    with pytest.raises(ValueError, match="per_mode has settings for c, but the modes are a"):
        multi_maml(["a"], per_mode={"c": {}})
    with pytest.raises(ValueError, match="modes is empty"):
        multi_maml([])


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"query_modulation": "both"}, "must be 'support' or 'query'"), ({"modulation": "film"}, "by name")],
)
def test_settings_that_make_no_sense_are_told(settings, message):
    with pytest.raises(ValueError, match=message):
        ProtoNet(**settings)


def test_accuracy_counts_correct_queries():
    learner = ProtoNet()
    episode = random_episode(ways=3, shots=1, queries=1)
    same = replace(episode, query_x=episode.support_x, query_y=episode.support_y)
    wrong = replace(same, query_y=episode.support_y.roll(1))
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
    free, unlimited = MAML(ways=3, inner_steps=1, clamp=1e9), MAML(ways=3, inner_steps=1, clamp=0)
    assert torch.equal(free.episode_loss(params, episode), unlimited.episode_loss(params, episode))


def test_encoder_and_generators_are_not_adapted():
    learner = film_maml(ways=3)
    params = learner.init_params(0)
    moved = learner.adapt(params, random_episode())
    assert set(moved) == {name for name in params if not name.startswith(("encoder.", "generator."))}


def test_float32_distances_keep_their_digits():
    learner, episode = ProtoNet(), random_episode()
    params = learner.init_params(0)
    single = float(learner.episode_loss(params, episode))
    exact = float(oracles.protonet_loss(double(params), episode.to(dtype=torch.float64)))
    assert single == pytest.approx(exact, rel=2e-6)


@pytest.mark.parametrize(
    "learner",
    [RegressionMAML(inner_lr=0.01), RegressionMAML(inner_lr=0.01, adapt_bias=False), RegressionMMAML(inner_lr=0.01)],
)
def test_regression_agrees_with_its_oracle(learner):
    modulated = isinstance(learner, RegressionMMAML)
    generator = torch.Generator().manual_seed(5)
    params = {  # the initial weights are so small that nothing would show
        name: value + 0.2 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for name, value in double(learner.init_params(0)).items()
    }
    episode = tr.FunctionFamily("quadratic", shots=4, queries=3)[0].to(dtype=torch.float64)
    fixed, clamp = not getattr(learner, "adapt_bias", True), 10.0 if modulated else math.inf
    expected = oracles.regression_loss(params, episode, steps=5, lr=0.01, clamp=clamp, fixed=fixed)
    assert float(learner.episode_loss(params, episode)) == pytest.approx(float(expected.detach()), rel=1e-10)
