import pytest
import torch

import transference as tr
from transference.errors import CheckpointError, UsageError
from transference.lookahead import moving, with_alpha

PARAMS = {"a.weight": torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64), "b.bias": torch.tensor([[0.5]], dtype=torch.float64)}


def gradient(k):
    generator = torch.Generator().manual_seed(k)
    return {name: torch.randn(value.shape, generator=generator, dtype=torch.float64) for name, value in PARAMS.items()}


def test_sgd_is_minus_alpha_times_the_gradient():
    small, large = tr.SGD((0.1, 2.0)).displacements(PARAMS, gradient(0), None)
    for name, g in gradient(0).items():
        assert torch.equal(small[name], -0.1 * g)
        assert torch.equal(large[name], -2.0 * g)


@pytest.mark.parametrize("steps_before", [0, 1, 7])
def test_adam_matches_a_torch_optim_step(steps_before):
    leaves = {name: value.clone().requires_grad_() for name, value in PARAMS.items()}
    optimizer = torch.optim.Adam(leaves.values(), lr=0.03, betas=(0.8, 0.99), eps=1e-6)

    def step(k):
        for name, g in gradient(k).items():
            leaves[name].grad = g
        optimizer.step()

    for k in range(steps_before):
        step(k)
    state = {name: dict(optimizer.state[leaf]) for name, leaf in leaves.items()}
    adam = tr.AdamState(
        lr=0.03,
        betas=(0.8, 0.99),
        eps=1e-6,
        steps={name: int(s["step"]) for name, s in state.items() if s},
        exp_avg={name: s["exp_avg"].clone() for name, s in state.items() if s},
        exp_avg_sq={name: s["exp_avg_sq"].clone() for name, s in state.items() if s},
    )
    before = {name: leaf.detach().clone() for name, leaf in leaves.items()}
    step(99)
    (displacement,) = tr.Adam(0.03).displacements(before, gradient(99), adam)
    for name, leaf in leaves.items():
        torch.testing.assert_close(before[name] + displacement[name], leaf.detach(), rtol=1e-12, atol=1e-14)


def test_adam_without_a_state_is_refused():
    with pytest.raises(CheckpointError, match="holds no optimizer state; use sgd"):
        tr.Adam(0.1).displacements(PARAMS, gradient(0), None)


def test_moving_takes_patterns():
    assert moving(tr.SGD(0.1), PARAMS) == ["a.weight", "b.bias"]
    assert moving(tr.SGD(0.1, moves=("a.*",)), PARAMS) == ["a.weight"]
    with pytest.raises(UsageError, match=r"No parameter is called 'c\.\*'.*there are: a.weight, b.bias"):
        moving(tr.SGD(0.1, moves=("c.*",)), PARAMS)


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf"), (0.1, 0.1)])
def test_bad_step_sizes_are_refused(alpha):
    with pytest.raises(UsageError, match="different finite number"):
        tr.SGD(alpha)


def test_the_step_size_defaults_to_the_checkpoints_outer_rate():
    at = lambda step, lr: tr.Checkpoint(PARAMS, step, optimizer=tr.AdamState(lr=lr) if lr else None)
    assert with_alpha(tr.SGD(), [at(1, 0.01), at(2, 0.01)]) == tr.SGD((0.01,))
    assert with_alpha(tr.SGD(0.5), [at(1, 0.01), at(2, 0.02)]) == tr.SGD(0.5)
    with pytest.raises(UsageError, match="found: 0.01 at step 1, 0.02 at step 2.*Give --alpha"):
        with_alpha(tr.SGD(), [at(1, 0.01), at(2, 0.02)])
    with pytest.raises(UsageError, match="no checkpoint holds the outer learning rate"):
        with_alpha(tr.SGD(), [at(1, None)])
