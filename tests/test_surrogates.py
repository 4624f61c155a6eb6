"""Surrogates: a table of rows that a few retrainings correct, on simulated trainings whose truth is known."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from transference.errors import DataError, UsageError
from transference.validation import MEAN, Outcomes, Surrogate, lds, mean_of_rows, surrogate
from transference.validation._surrogates import _RIDGES

MODES = tuple("abcde")
SUBSETS = [one for n in range(1, 6) for one in itertools.combinations(MODES, n)]
SHARES = np.array([[(mode in one) / len(one) for mode in MODES] for one in SUBSETS])


def drawn(rng, noise, n_targets=1, n_seeds=1):
    """What modes are worth to targets, ``[5, n_targets]``, and outcomes of all subsets, linear in shares but for noise."""
    targets = tuple(f"t{k}" for k in range(n_targets))
    worth = pd.DataFrame(rng.normal(size=(5, n_targets)), list(MODES), list(targets))
    values = (SHARES @ worth.to_numpy())[:, None] + noise * rng.normal(size=(31, n_seeds, n_targets))
    sets = tuple("+".join(one) for one in SUBSETS)
    return worth, Outcomes("loss", sets, MODES, SHARES, tuple(range(n_seeds)), targets, values, {})


def split(rng, found, n):
    """Some sets to retrain on, and the others."""
    order = [found.sets[place] for place in rng.permutation(31)]
    return found.of_sets(*order[:n]), found.of_sets(*order[n:])


def mean_lds(found, **said):
    table = lds(found, said, groups=["all"], draws=2)
    return table[table["target"] == MEAN].set_index("predictor")["lds"]


def by_normal_equations(x, y, r):
    """The worth of each mode by the normal equations of [1, p, x], the ridge by leaving each set out and fitting the rest."""

    def solved(x, y, ridge, with_rows):
        unbound = [np.ones(len(x)), x @ r] if with_rows else [np.ones(len(x))]
        design = np.column_stack([*unbound, x])
        penalty = np.diag([0.0] * len(unbound) + [ridge] * x.shape[1])
        found = np.linalg.solve(design.T @ design + penalty, design.T @ y)
        scale = found[1] if with_rows else 0.0
        return found[0] + scale * (r if with_rows else 0.0) + found[len(unbound) :], scale

    best = None
    for ridge in _RIDGES:
        with_rows = r is not None and solved(x, y, ridge, True)[1] > 0
        error = 0.0
        for i in range(len(x)):
            rest = np.arange(len(x)) != i
            error += (y[i] - x[i] @ solved(x[rest], y[rest], ridge, with_rows)[0]) ** 2
        if best is None or error < best[0]:
            best = error, ridge, *solved(x, y, ridge, with_rows)
    return best[2], best[3], best[1], np.sqrt(best[0] / len(x))


@pytest.mark.parametrize(
    ("n", "noise", "agree"), [(4, 0.1, 0.5), (6, 0.5, -1.0), (9, 0.3, 0.0), (14, 1.0, 0.5), (9, 0.3, None)]
)
def test_the_closed_form_is_that_of_the_normal_equations(n, noise, agree):
    rng = np.random.default_rng(n)
    worth, found = drawn(rng, noise, n_targets=4, n_seeds=2)
    some, _ = split(rng, found, n)
    rows = (
        None
        if agree is None
        else agree * worth + 0.7 * pd.DataFrame(rng.normal(size=(5, 4)), worth.index, worth.columns)
    )
    made = surrogate(some, rows)
    fits = made.fits.set_index("target")
    for k, target in enumerate(found.targets):
        column = None if rows is None else rows[target].to_numpy()
        values, scale, ridge, error = by_normal_equations(some.shares, some.values[:, :, k].mean(axis=1), column)
        assert fits.loc[target, "ridge"] == ridge
        assert made.rows[target].to_numpy() == pytest.approx(values, rel=1e-6, abs=1e-6)
        assert fits.loc[target, ["n", "scale", "error"]].tolist() == pytest.approx(
            [n, scale, error], rel=1e-6, abs=1e-9
        )
    if agree is None or agree < 0:
        assert (fits["scale"] == 0).any(), "rows that say the opposite are not used"


def lds_of_truth(rng, worth, noise, n, **given):
    """The LDS, on sets that were not retrained, of surrogates with such rows, a row per target, with the expected outcomes."""
    order = rng.permutation(31)
    values = SHARES @ worth.to_numpy()
    noisy = (values + noise * rng.normal(size=values.shape))[:, None]
    sets = tuple("+".join(one) for one in SUBSETS)
    found = Outcomes("loss", sets, MODES, SHARES, (0,), tuple(worth), noisy, {})
    some, others = found.of_sets(*np.array(sets)[order[:n]].tolist()), order[n:]
    made = {name: SHARES @ surrogate(some, rows).rows.to_numpy() for name, rows in given.items()}
    score = lambda said, k: stats.spearmanr(said[others, k], values[others, k]).statistic
    return pd.DataFrame({name: [score(said, k) for k in range(worth.shape[1])] for name, said in made.items()})


def test_rows_that_know_make_the_most_of_a_few_retrainings():
    rng = np.random.default_rng(0)
    worth = pd.DataFrame(rng.normal(size=(5, 60)), list(MODES), [f"t{k}" for k in range(60)])
    told = lds_of_truth(rng, worth, 0.1, 5, rows=worth, none=None).mean()
    assert told["rows"] > 0.93
    assert told["rows"] > told["none"] + 0.1


def test_worthless_rows_cost_little():
    rng = np.random.default_rng(1)
    worth = pd.DataFrame(rng.normal(size=(5, 100)), list(MODES), [f"t{k}" for k in range(100)])
    permuted = worth.iloc[[1, 2, 3, 4, 0]].set_axis(worth.index)
    told = lds_of_truth(rng, worth, 0.2, 10, permuted=permuted, none=None, rows=worth)
    worse = told["none"] - told["permuted"]
    assert worse.mean() < 2 * worse.sem() + 0.02
    assert (told["rows"] - told["none"]).mean() > 0.02


@pytest.mark.parametrize("given", [False, True])
def test_with_all_sets_and_no_noise_it_fits(given):
    worth, found = drawn(np.random.default_rng(2), 0.0, n_targets=2)
    made = surrogate(found, worth if given else None)
    np.testing.assert_allclose(made.rows, worth, atol=1e-2)
    assert mean_lds(found, made=made)["made"] > 0.99
    assert made({"a": 0.25, "d": 0.75}, "t1") == pytest.approx(
        0.25 * worth.loc["a", "t1"] + 0.75 * worth.loc["d", "t1"], abs=1e-2
    )


def test_rows_may_have_any_unit_and_order():
    rng = np.random.default_rng(3)
    worth, found = drawn(rng, 0.3, n_targets=2)
    some, _ = split(rng, found, 6)
    made = surrogate(some, worth)
    other = surrogate(some, (1e-9 * worth + 1e-6).iloc[::-1, ::-1].assign(more=0.0))
    np.testing.assert_allclose(other.rows, made.rows, rtol=1e-5)
    np.testing.assert_allclose(other.fits["scale"], 1e9 * made.fits["scale"], rtol=1e-5)
    assert isinstance(other, Surrogate)


def test_with_two_sets_the_rows_keep_their_order():
    worth, found = drawn(np.random.default_rng(4), 0.0)
    some = found.of_sets(str(worth["t0"].idxmin()), str(worth["t0"].idxmax()))
    made = surrogate(some, worth)
    assert made.fits.loc[0, ["scale", "ridge"]].tolist() == pytest.approx([1.0, _RIDGES[0]])
    assert np.isnan(made.fits.loc[0, "error"])
    np.testing.assert_allclose(made.rows, worth, atol=1e-3)


def test_rows_that_say_the_same_of_all_retrained_sets_are_not_used():
    rng = np.random.default_rng(5)
    _, found = drawn(rng, 0.1)
    some = found.of_sets("a", "b", "a+b", "c")
    rows = pd.DataFrame({"t0": [1.0, 1.0, 1.0, 5.0, 7.0]}, list(MODES))
    made = surrogate(some, rows)
    assert made.fits["scale"].tolist() == [0]
    np.testing.assert_array_equal(made.rows, surrogate(some).rows)


def test_a_target_is_learnt_from_the_sets_that_have_an_outcome_for_it():
    rng = np.random.default_rng(6)
    worth, found = drawn(rng, 0.1, n_targets=2, n_seeds=2)
    some, _ = split(rng, found, 6)
    whole = surrogate(some.of_sets(*some.sets[1:]), worth)
    some.values[0, 1, 1] = np.nan
    made = surrogate(some, worth)
    assert made.fits["n"].tolist() == [6, 5]
    np.testing.assert_allclose(made.rows["t1"], whole.rows["t1"])
    some.values[1:5, :, 1] = np.nan
    with pytest.raises(UsageError, match="from 1 retrained sets with an outcome for t1"):
        surrogate(some, worth)


@pytest.mark.parametrize(
    ("spoil", "error", "why"),
    [
        (lambda rows: rows.drop(index="b"), UsageError, "The rows have no b"),
        (lambda rows: rows.drop(columns="t1"), UsageError, "The rows have no t1"),
        (lambda rows: rows.mask(rows == rows.iloc[2, 1]), DataError, "no finite number for mode c and target t1"),
        (lambda rows: rows.replace(rows.iloc[0, 0], np.inf), DataError, "no finite number for mode a and target t0"),
        (lambda rows: rows.astype(object).replace(rows.iloc[0, 0], "much"), DataError, "no finite number for mode a"),
        (lambda rows: pd.concat([rows, rows.loc[["b"]]]), DataError, "a mode or a target twice"),
        (lambda rows: rows[["t0", "t1", "t1"]], DataError, "a mode or a target twice"),
    ],
)  # fmt: skip
def test_rows_that_are_no_prior_are_told(spoil, error, why):
    worth, found = drawn(np.random.default_rng(7), 0.1, n_targets=2)
    with pytest.raises(error, match=why):
        surrogate(found, spoil(worth))


def test_one_retraining_is_too_few_and_a_mode_unheard_of_is_told():
    worth, found = drawn(np.random.default_rng(8), 0.1)
    with pytest.raises(UsageError, match="from 1 retrained sets"):
        surrogate(found.of_sets("a"), worth)
    with pytest.raises(UsageError, match="The rows have no z"):
        surrogate(found, worth)({"a": 0.5, "z": 0.5}, "t0")
    assert mean_of_rows(worth)({"a": 1.0}, "t0") == worth.loc["a", "t0"]
