import pytest
import torch

import transference as tr
from tests.conftest import random_episode
from tests.strangers import Impure, Net, PixelPrototypes, make_net_learner
from transference.errors import LearnerError
from transference.learners import bind, learner_names, load_learner, offered_config


def test_the_shipped_learners_are_found_by_name():
    assert {"maml", "protonet"} <= set(learner_names())
    assert type(load_learner("maml", {"ways": 7})).__name__ == "MAML"
    assert offered_config("maml", {"ways": 7, "channels": 1}) == {"ways": 7, "channels": 1}
    assert offered_config("protonet", {"ways": 7, "channels": 1}) == {"channels": 1}


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("protonets", {}, "There is no learner 'protonets'; there are: i2m2, kml-maml, .*Did you mean protonet"),
        ("nowhere.at.all:make", {}, "cannot be imported .*nowhere"),
        ("tests.strangers:absent", {}, "cannot be imported .*absent"),
        ("protonet", {"depth": 9}, r"cannot be built with the settings \{'depth': 9\}"),
        ("tests.strangers:Net", {}, r"gave a Net, which has no method episode_loss\(params, episode\)"),
    ],
)
def test_what_cannot_be_a_learner_is_told(name, config, message):
    with pytest.raises(LearnerError, match=message):
        load_learner(name, config)


def test_a_checkpoint_names_registered_learners_only():
    named = lambda learner: tr.Checkpoint({"w": torch.ones(1)}, 0, learner)
    assert load_learner(tr.Checkpoint({}, 0, "maml", {"ways": 3})).ways == 3
    with pytest.raises(LearnerError, match="does not say what learner it is; name one with --learner"):
        load_learner(named(None))
    with pytest.raises(LearnerError, match="Files never import code: .* --learner tests.strangers:PixelPrototypes"):
        load_learner(named("tests.strangers:PixelPrototypes"))


def test_a_checkpoint_of_another_learner_is_told_apart():
    maml, protonet = load_learner("maml"), load_learner("protonet")
    with pytest.raises(
        LearnerError, match=r"missing: features.layer1_bn.weight \(32,\).*unexpected: classifier.fully_connected.weight"
    ):
        bind(protonet, tr.Checkpoint(maml.init_params(0), 5))
    with pytest.raises(
        LearnerError, match=r"of another shape: .*layer1_conv.weight \(32, 1, 3, 3\) instead of \(32, 3, 3, 3\)"
    ):
        bind(protonet, tr.Checkpoint(load_learner("protonet", {"channels": 1}).init_params(0), 5))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("params", r"changed params\['w'\]"),
        ("episode", "changed episode.query_x"),
        ("attribute", "changed the learner's calls"),
        ("dropout", r"draws random numbers .*dropout is off in a module after \.eval\(\)"),
        ("hidden", "Two calls on the same episode disagree: 3 and 5"),
        ("vector", r"must return a scalar tensor \[\]; it returned shape \(2,\)"),
        ("constant", "does not depend on params"),
    ],
)
def test_the_purity_check_names_what_is_wrong(how, message):
    with pytest.raises(LearnerError, match=message):
        tr.check_pure(Impure(how), {"w": torch.tensor([1.0, 1.0])}, random_episode())


def test_the_purity_check_passes_pure_learners_and_moves_nothing():
    learner = PixelPrototypes()
    params, episode = learner.init_params(0), random_episode()
    before = {name: value.clone() for name, value in params.items()}
    tr.check_pure(learner, params, episode)
    assert all(torch.equal(before[name], value) for name, value in params.items())
    assert not any(value.requires_grad for value in params.values())


def test_a_failing_learner_is_shown_with_its_episode():
    with pytest.raises(
        LearnerError, match=r"failed on the first episode: RuntimeError.*support_x \(6, 1, 28, 28\) float32"
    ):
        tr.check_pure(PixelPrototypes(), PixelPrototypes().init_params(0), random_episode(channels=1))

    class Inner:
        def episode_loss(self, params, episode):
            return torch.autograd.grad(params["w"].sum(), [params["w"]])[0].sum()

    with pytest.raises(LearnerError, match=r"take torch.func.grad"):
        tr.check_pure(Inner(), {"w": torch.ones(2)}, random_episode())


def test_a_module_learner_takes_buffers_from_the_checkpoint_and_never_changes_them():
    learner, state = make_net_learner(), Net().state_dict()
    bound, params = bind(learner, tr.Checkpoint(state, 1))
    assert set(params) == {name for name, _ in Net().named_parameters()}
    episode = random_episode(ways=5)
    tr.check_pure(bound, params, episode)
    kept = {name: value.clone() for name, value in bound._buffers.items()}
    first = bound.episode_loss(params, episode)
    assert all(torch.equal(bound._buffers[name], value) for name, value in kept.items()), "running statistics moved"
    for _ in range(3):
        assert torch.equal(bound.episode_loss(params, episode), first)
    with pytest.raises(LearnerError, match="missing: head.weight"):
        bind(learner, tr.Checkpoint({name: value for name, value in state.items() if "head" not in name}, 1))


def test_a_module_learner_differentiates_through_its_inner_loop():
    torch.manual_seed(0)  # the module's own values: a difference across a kink of ReLU would not be the derivative
    learner = make_net_learner()
    params = {name: value.double() for name, value in learner.init_params(0).items()}
    episode = random_episode(ways=5, dtype=torch.float64)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    gradients = dict(
        zip(leaves, torch.autograd.grad(learner.episode_loss(leaves, episode), list(leaves.values())), strict=True)
    )
    direction = torch.randn(
        params["head.weight"].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    at = lambda t: float(
        learner.episode_loss({**params, "head.weight": params["head.weight"] + t * direction}, episode).detach()
    )
    expected = (at(1e-5) - at(-1e-5)) / 2e-5
    assert float((gradients["head.weight"] * direction).sum()) == pytest.approx(expected, rel=1e-6)


def test_scores_are_checked_as_the_loss_is():
    class Noisy(PixelPrototypes):
        def episode_scores(self, params, episode):
            return self.episode_loss(params, episode) + 0.1, torch.tensor(1.0)

    with pytest.raises(LearnerError, match="episode_scores gives the loss .* they must be the same number"):
        tr.check_pure(Noisy(), PixelPrototypes().init_params(0), random_episode())


def test_a_negative_loss_is_refused():
    class Negative:
        def episode_loss(self, params, episode):
            return -params["w"].square().sum()

    with pytest.raises(LearnerError, match="The loss is negative"):
        tr.check_pure(Negative(), {"w": torch.ones(2)}, random_episode())


def test_buffers_missing_from_a_checkpoint_are_told():
    state = {name: value for name, value in Net().state_dict().items() if "running_mean" not in name}
    with pytest.raises(LearnerError, match="lacks these buffers of the module.*norm.running_mean"):
        bind(make_net_learner(), tr.Checkpoint(state, 1))


def test_settings_that_are_no_plain_values_are_named_by_their_type():
    from dataclasses import dataclass

    from transference.learners import describe

    @dataclass
    class Holder:
        net: object
        width: int = 3

        def episode_loss(self, params, episode):
            return params["w"]

    assert describe(Holder(Net())) == {
        "class": f"{__name__}.{Holder.__qualname__}",
        "net": "tests.strangers.Net",
        "width": 3,
    }
