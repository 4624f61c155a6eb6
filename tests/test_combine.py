"""Ways to combine gradients: each held to its definition, and torchjd's where it has one."""

from functools import partial
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torchjd import aggregation
from torchjd.scalarization import STCH

import transference as tr
from transference.combine import COMBINATIONS, combined, form, parse_combination
from transference.combine.precision import fused
from transference.errors import LearnerError, UsageError

LOSSES = torch.tensor([0.3, 1.2, 0.7], dtype=torch.float64)


def matrices(n, rows=3, columns=6):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(rows, columns, generator=generator, dtype=torch.float64) for _ in range(n)]


def harms(direction, gradients):
    """Whether a step along it would raise one of the losses, by more than a hundredth of its length."""
    return bool((gradients @ direction).min() < -0.01 * direction.norm())


def test_mgda_harms_no_task_where_the_sum_does():
    jacobians = matrices(300)
    assert not any(harms(tr.MGDA()(LOSSES, one), one) for one in jacobians)
    assert sum(harms(tr.Sum()(LOSSES, one), one) for one in jacobians) > 20  # else nothing was asked


def squared_length(gradients, weights):
    return float(np.sum((weights @ gradients) ** 2))


def test_mgda_is_the_shortest_vector_between_the_gradients():
    for gradients in matrices(20):
        within = ({"type": "eq", "fun": lambda w: w.sum() - 1},)
        found = minimize(
            partial(squared_length, gradients.numpy()),
            np.full(3, 1 / 3),
            bounds=[(0, 1)] * 3,
            constraints=within,
            tol=1e-14,
        )
        ours = tr.MGDA()(LOSSES, gradients)
        assert float(ours @ ours) == pytest.approx(found.fun, rel=1e-5, abs=1e-9)
        assert float(ours @ ours) <= found.fun * (1 + 1e-9) + 1e-12


def test_mgda_agrees_with_torchjd_on_two_tasks_and_is_never_longer_on_three():
    for gradients in matrices(50, rows=2):
        torch.testing.assert_close(
            tr.MGDA()(LOSSES[:2], gradients), aggregation.MGDA()(gradients), rtol=1e-9, atol=1e-9
        )
    for gradients in matrices(50):
        assert tr.MGDA()(LOSSES, gradients).norm() <= aggregation.MGDA()(gradients).norm() * (1 + 1e-9)


@pytest.mark.parametrize(
    ("rows", "least"),
    [
        ([[1, 0], [-1, 0]], [0, 0]),
        ([[1, 1], [1, 1]], [1, 1]),
        ([[0, 0], [3, 1]], [0, 0]),
        ([[0, 0], [0, 0]], [0, 0]),
        ([[2, 0], [0, 2]], [1, 1]),
        ([[1e-9, 0], [0, 1e9]], [1e-9, 0]),
        ([[1, 0], [1, 0], [0, 1], [0, 1]], [0.5, 0.5]),
        ([[3, 0], [1, 0], [2, 0]], [1, 0]),
        ([[3e200, 0], [1e200, 0]], [1e200, 0]),
        ([[3e-200, 0], [1e-200, 0]], [1e-200, 0]),
    ],
)
def test_mgda_of_gradients_that_depend_on_each_other(rows, least):
    gradients = torch.tensor(rows, dtype=torch.float64)
    found = tr.MGDA()(torch.ones(len(rows)), gradients)
    torch.testing.assert_close(found, torch.tensor(least, dtype=torch.float64), rtol=1e-6, atol=1e-9 * gradients.max())


def test_mgda_weighs_short_gradients_exactly_beside_a_long_one():
    gradients = torch.diag(torch.tensor([1e-9, 2e-9, 1.0], dtype=torch.float64))
    expected = torch.tensor([0.8e-9, 0.4e-9, 0.0], dtype=torch.float64)
    torch.testing.assert_close(tr.MGDA()(LOSSES, gradients), expected, rtol=1e-6, atol=1e-16)


def surgery(gradients):
    """What the paper's algorithm gives, on the vectors themselves, mean over all orders of the others."""
    total = torch.zeros_like(gradients[0])
    for i, mine in enumerate(gradients):
        orders = list(permutations([k for k in range(len(gradients)) if k != i]))
        for order in orders:
            left = mine.clone()
            for k in order:
                if (along := left @ gradients[k]) < 0:
                    left = left - along / (gradients[k] @ gradients[k]) * gradients[k]
            total = total + left / len(orders)
    return total


@pytest.mark.parametrize("rows", [2, 3, 4])
def test_pcgrad_is_the_mean_over_all_orders(rows):
    for gradients in matrices(30, rows=rows):
        torch.testing.assert_close(tr.PCGrad()(LOSSES, gradients), surgery(gradients), rtol=1e-10, atol=1e-10)


def test_pcgrad_agrees_with_torchjd_on_two_tasks_where_there_is_but_one_order():
    for gradients in matrices(50, rows=2):
        torch.testing.assert_close(
            tr.PCGrad()(LOSSES, gradients), aggregation.PCGrad()(gradients), rtol=1e-9, atol=1e-9
        )


def test_pcgrad_without_a_conflict_is_the_sum_and_leaves_zeros_alone():
    gradients = torch.tensor([[1.0, 0.5], [0.5, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(tr.PCGrad()(LOSSES, gradients), tr.Sum()(LOSSES, gradients))


@pytest.mark.parametrize(("weight", "mu"), [(2.0, 0.1), (0.5, 1.0), (0.0, 0.1)])
def test_smooth_worst_is_the_gradient_of_its_loss(weight, mu):
    losses = LOSSES.clone().requires_grad_()
    # torchjd's takes the weights into account that all are 1, and its gradient with respect to the losses is ours of the gradients
    smooth = losses[-1] + weight * STCH(mu=mu, weights=torch.ones(2, dtype=torch.float64))(losses[:-1])
    (expected,) = torch.autograd.grad(smooth, losses)
    torch.testing.assert_close(tr.SmoothWorst(weight, mu)(LOSSES, torch.eye(3, dtype=torch.float64)), expected)


def test_smooth_worst_takes_the_worst_alone_or_all_alike():
    unit = torch.eye(3, dtype=torch.float64)
    for mu in (1e-6, 1e-300, 5e-324):
        assert tr.SmoothWorst(2.0, mu)(LOSSES, unit).tolist() == [0.0, 2.0, 1.0]
    torch.testing.assert_close(
        tr.SmoothWorst(2.0, 1e6)(LOSSES, unit), tr.Uniform(2.0)(LOSSES, unit), rtol=1e-5, atol=1e-5
    )
    assert tr.Uniform(2.0)(LOSSES, unit).tolist() == [1.0, 1.0, 1.0]


def test_mean_and_sum():
    (gradients,) = matrices(1)
    torch.testing.assert_close(tr.Mean()(LOSSES, gradients), gradients.mean(0))
    torch.testing.assert_close(tr.Sum()(LOSSES, gradients), gradients.sum(0))


def test_precision_of_equal_variances_gives_the_mean():
    (means,) = matrices(1)
    torch.testing.assert_close(fused(means, torch.full_like(means, 0.3)), means.mean(0))
    torch.testing.assert_close(fused(means, torch.zeros_like(means)), means.mean(0))


def test_precision_ignores_who_knows_nothing_and_takes_no_step_where_nobody_knows_anything():
    (means,) = matrices(1)
    variances = torch.ones_like(means)
    variances[1] = torch.inf
    torch.testing.assert_close(fused(means, variances), means[[0, 2]].mean(0))
    assert (fused(means, torch.full_like(means, torch.inf)) == 0).all()


def test_precision_weighs_by_the_inverse_variance_of_the_parts():
    generator = torch.Generator().manual_seed(1)
    parts = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64) + torch.arange(3.0)[:, None, None]
    means, variances = parts.numpy().mean(1), parts.numpy().var(1, ddof=1) / 5
    expected = (means / variances).sum(0) / (1 / variances).sum(0)
    found = tr.Precision(5)(torch.ones(3, 5), parts)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_precision_takes_no_word_from_a_loss_that_does_not_depend_on_a_parameter():
    parts = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1))
    parts[0, :, 0] = 0.0
    assert tr.Precision(5)(torch.ones(2, 5), parts)[0] == pytest.approx(float(parts[1, :, 0].mean()))


@pytest.mark.parametrize("name", COMBINATIONS)
def test_every_combination_is_deterministic_keeps_the_dtype_and_survives_zeros(name):
    _, combination = parse_combination({"uniform": "uniform:1", "smooth-worst": "smooth-worst:1,0.1"}.get(name, name))
    for dtype in (torch.float32, torch.float64):
        gradients = torch.randn(3, 7, generator=torch.Generator().manual_seed(2)).to(dtype)
        losses = LOSSES.to(dtype)
        if name == "precision":
            gradients, losses = torch.stack([gradients, 2 * gradients], 1), torch.stack([losses, losses], 1)
        found = combination(losses, gradients)
        assert found.shape == (7,)
        assert found.dtype == dtype
        assert torch.equal(found, combination(losses, gradients))
        assert (combination(losses, torch.zeros_like(gradients)) == 0).all()


def test_names_are_canonical_and_lose_no_digit():
    assert parse_combination("smooth-worst:1.0,0.10") == ("smooth-worst:1,0.1", tr.SmoothWorst(1.0, 0.1))
    assert parse_combination("uniform:0.123456789")[0] == "uniform:0.123456789"
    assert parse_combination("precision") == ("precision", tr.Precision())
    assert parse_combination("precision:3") == ("precision:3", tr.Precision(3))
    assert form("smooth-worst") == "smooth-worst:WEIGHT,MU"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mgdaa", "There is no combination 'mgdaa'.*Did you mean mgda?"),
        ("", "There is no combination ''"),
        ("MGDA", "There is no combination 'MGDA'"),
        ("smooth-worst", "write it as smooth-worst:WEIGHT,MU"),
        ("smooth-worst:2", "write it as smooth-worst:WEIGHT,MU"),
        ("smooth-worst:2,0.1,3", "write it as smooth-worst:WEIGHT,MU"),
        ("smooth-worst:2,0", "mu 0; it must be a finite number above zero"),
        ("smooth-worst:2,-1", "mu -1; it must be a finite number above zero"),
        ("smooth-worst:2,nan", "MU must be a number"),
        ("smooth-worst:2,inf", "mu inf; it must be a finite number above zero"),
        ("smooth-worst:-1,0.1", "weight -1; it must be a finite number, zero or above"),
        ("smooth-worst:nan,0.1", "WEIGHT must be a number"),
        ("smooth-worst:inf,0.1", "weight inf; it must be a finite number"),
        ("smooth-worst:a,b", "WEIGHT must be a number"),
        ("smooth-worst:,", "WEIGHT must be a number"),
        ("uniform", "write it as uniform:WEIGHT"),
        ("uniform:", "WEIGHT must be a number"),
        ("uniform:-0.5", "weight -0.5; it must be a finite number"),
        ("mgda:1", "write it as mgda"),
        ("mgda:", "write it as mgda"),
        ("precision:1", "1 parts; a variance needs two or more"),
        ("precision:2.5", "PARTS must be a whole number"),
        ("precision:0", "0 parts; a variance needs two or more"),
    ],
)
def test_what_is_no_combination_is_told_with_the_form_that_is_right(text, said):
    with pytest.raises(UsageError, match=said):
        parse_combination(text)


def named(*rows):
    return [[{"b": torch.tensor([row[0]]), "a": torch.tensor(row[1:])} for row in [row]] for row in rows]


def test_gradients_by_name_are_combined_as_rows_and_a_missing_entry_is_zero():
    gradients = named([1.0, 2.0, 3.0], [3.0, 4.0, 5.0])
    del gradients[1][0]["b"]
    found = combined(tr.Sum(), [[1.0], [2.0]], gradients, "both")
    assert {name: value.tolist() for name, value in found.items()} == {"a": [6.0, 8.0], "b": [1.0]}


def test_losses_are_as_exact_as_the_gradients():
    gradients = [[{"a": torch.tensor(row, dtype=torch.float64)}] for row in ([1.0, 0.0], [0.0, 1.0], [0.0, 0.0])]
    losses = [[1.0], [1.0 + 1e-9], [0.0]]  # alike in single precision
    found = combined(tr.SmoothWorst(1.0, 1e-9), losses, gradients, "all")
    torch.testing.assert_close(found["a"], torch.tensor([0.0, 1.0], dtype=torch.float64).softmax(0))


@pytest.mark.parametrize(
    ("combination", "said"),
    [
        (
            lambda losses, gradients: gradients,
            r"returned a tensor \[2, 3\]; it must return one gradient, a tensor \[3\]",
        ),
        (lambda losses, gradients: 1.0, "returned a float; it must return one gradient"),
        (lambda losses, gradients: losses @ gradients.T, "The combination of both failed: RuntimeError"),
        (lambda losses: losses, "The combination of both failed: TypeError"),
    ],
)
def test_a_combination_that_fails_is_named(combination, said):
    with pytest.raises(LearnerError, match=said):
        combined(combination, [[1.0], [2.0]], named([1.0, 2.0, 3.0], [3.0, 4.0, 5.0]), "both")
