"""The measurement against its definition, to 1e-10 in float64."""

import numpy as np
import pytest
import torch

import transference as tr
from meta_models import MAML, ProtoNet
from tests import oracles


def maml_oracle(**settings):
    return lambda params, episode: oracles.maml_loss(params, episode, **settings)


CASES = {
    "protonet": (ProtoNet(), oracles.protonet_loss),
    "maml, one step, second order": (MAML(ways=3, inner_steps=1), maml_oracle(steps=1)),
    "maml, three steps, second order": (MAML(ways=3, inner_steps=3), maml_oracle(steps=3)),
    "maml, two steps, first order": (
        MAML(ways=3, inner_steps=2, second_order=False),
        maml_oracle(steps=2, second_order=False),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_measure_agrees_with_the_double_loop(case, tmp_path, sources, targets):
    learner, loss = CASES[case]
    checkpoint = tr.Checkpoint(learner.init_params(0), step=1)
    alphas = (1e-3, 1e-1)
    run = tr.measure(
        learner,
        checkpoint,
        sources,
        targets,
        n_source=2,
        n_target=2,
        lookahead=tr.SGD(alphas),
        precision="fp64",
        out=tmp_path / "run",
    )
    doubled = lambda sampler, n: [sampler[k].to(dtype=torch.float64) for k in range(n)]
    for alpha in alphas:
        expected = oracles.loss_ratios(loss, checkpoint.params, doubled(sources, 2), doubled(targets, 2), alpha)
        assert np.abs(expected - 1).max() > 1e-4, "the case must have an effect to measure"
        np.testing.assert_allclose(run.matrix(alpha=alpha), expected, rtol=1e-10)


def test_self_transference_is_the_diagonal_of_targets_on_targets(tmp_path, learner, checkpoint, targets):
    run = tr.measure(
        learner, checkpoint, targets, targets, n_source=4, n_target=4, lookahead=tr.SGD(0.005), out=tmp_path / "run"
    )
    own = run.self_transference()["loss_ratio"].to_numpy()
    np.testing.assert_array_equal(own, np.diag(run.matrix()))
    assert (own < 1).all()
