"""What a table predicts of trainings, on simulated ones of which the truth is known."""

import itertools

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import stats

import transference as tr
from transference.cli import main
from transference.errors import DataError, UsageError
from transference.validation import (
    MEAN,
    Outcomes,
    ceiling,
    compare,
    harms,
    lds,
    mean_of_rows,
    outcomes,
    own_share,
    read_trainings,
    regrets,
    size,
)

MODES = ("a", "b", "c", "d", "e")
SUBSETS = [one for n in range(1, 6) for one in itertools.combinations(MODES, n)]


def trainings(effect, seeds=range(3), noise=0.0, rng=None, targets=MODES):
    """A table of trainings on all subsets, whose loss is exp(effect(subset, target)) but for noise."""
    rng = rng or np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"training": "+".join(subset), "seed": seed, "target": target, "n": 10, "accuracy": 0.5,
             "loss": np.exp(effect(subset, target) + noise * rng.normal()),
             **{f"share/{mode}": (mode in subset) / len(subset) for mode in MODES}}
            for subset in SUBSETS for seed in seeds for target in targets
        ]
    )  # fmt: skip


def simulated(rng, n_sets, n_seeds, *, signal, noise, slope=0.0, n_targets=1):
    """Outcomes with a known correlation, and the table that predicts them; ``slope`` is what a seed has in common for all sets."""
    said = rng.normal(size=(n_sets, n_targets))
    expected = signal * said + np.sqrt(1 - signal**2) * rng.normal(size=said.shape)
    common = slope * rng.normal(size=(1, n_seeds, 1)) * said[:, None]
    values = expected[:, None] + common + noise * rng.normal(size=(n_sets, n_seeds, n_targets))
    sets, targets = (tuple(f"{letter}{k}" for k in range(n)) for letter, n in (("s", n_sets), ("t", n_targets)))
    found = Outcomes("loss", sets, ("m",), np.ones((n_sets, 1)), tuple(range(n_seeds)), targets, values, {})
    return found, pd.DataFrame(said, index=list(sets), columns=list(targets))


def spearman_of(pearson):
    """Spearman's correlation of normal variables."""
    return 6 / np.pi * np.arcsin(np.asarray(pearson) / 2)


EFFECTS = pd.DataFrame(np.random.default_rng(5).normal(size=(5, 5)), index=list(MODES), columns=list(MODES))


def additive(subset, target):
    return float(EFFECTS.loc[list(subset), target].mean())


def test_a_perfect_predictor_has_an_lds_of_one():
    found = outcomes(trainings(additive))
    table = lds(found, {"rows": mean_of_rows(EFFECTS)})
    assert table["lds"].tolist() == pytest.approx([1.0] * len(table))
    assert table["high"].tolist() == pytest.approx([1.0] * len(table))
    assert (table["low"] > 0.99).all()
    assert table["ceiling"].tolist() == pytest.approx([1.0] * len(table))
    opposite = lds(found, {"rows": mean_of_rows(-EFFECTS)})
    assert opposite["lds"].tolist() == pytest.approx([-1.0] * len(table))


def test_a_permuted_predictor_has_an_lds_of_about_zero_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    found = outcomes(trainings(additive, noise=0.1))
    perfect = pd.DataFrame(found.values.mean(axis=1), index=list(found.sets), columns=list(found.targets))
    values, held = [], []
    for _ in range(40):
        permuted = perfect.iloc[rng.permutation(len(perfect))].set_axis(perfect.index)
        row = lds(found, {"permuted": permuted}, groups=["all"], draws=200).iloc[-1]
        values.append(row["lds"])
        held.append(row["low"] <= 0 <= row["high"])
    assert abs(np.mean(values)) < 0.1
    assert np.mean(held) >= 0.85


def test_an_lds_is_spearmans_correlation_with_the_mean_over_seeds():
    table = trainings(additive, noise=1.0)
    found = outcomes(table)
    rows = lds(found, {"size": size, "own": own_share}, draws=20)
    rows = rows.set_index(["predictor", "group", "target"])["lds"].sort_index()
    means = np.log(table["loss"]).groupby([table["training"], table["target"]]).mean()
    for target in MODES:
        own = [subset for subset in SUBSETS if target in subset]
        for group, subsets in (("all", SUBSETS), ("with", own), ("without", [s for s in SUBSETS if s not in own])):
            later = [means["+".join(subset), target] for subset in subsets]
            said = [-len(subset) for subset in subsets]
            assert rows["size", group, target] == pytest.approx(stats.spearmanr(said, later).statistic)
            said = [-(target in subset) / len(subset) for subset in subsets]
            if group != "without":
                assert rows["own", group, target] == pytest.approx(stats.spearmanr(said, later).statistic)
    assert rows["size", "all", MEAN] == pytest.approx(rows["size", "all"].loc[list(MODES)].mean())


def test_a_sample_of_sets_is_ranked_anew():
    """The bootstrap of counts is that of a table with rows repeated."""
    from transference.validation._lds import _spearman

    rng = np.random.default_rng(3)
    x, y = rng.integers(4, size=12).astype(float), rng.normal(size=(1, 12))
    counts = rng.multinomial(12, np.full(12, 1 / 12), 50).astype(float)
    for found, count in zip(_spearman(x, y, counts), counts.astype(int), strict=True):
        expected = stats.spearmanr(np.repeat(x, count), np.repeat(y[0], count)).statistic
        assert found == pytest.approx(expected, nan_ok=True)


CASES = [
    (31, 1, 0.5, 1.0, 0.0),
    (31, 3, 0.0, 1.0, 0.0),
    (31, 5, 0.8, 0.7, 0.0),
    (31, 5, 0.3, 1.0, 0.3),
    (16, 3, 0.5, 1.0, 0.0),
]


@pytest.mark.slow
@pytest.mark.parametrize(("n_sets", "n_seeds", "signal", "noise", "slope"), CASES)
def test_the_interval_of_95_percent_holds_the_truth_about_95_times_in_100(n_sets, n_seeds, signal, noise, slope):
    """The truth is the LDS of other sets with as many other seeds; 300 repetitions tell 95 % to ± 2.5 points, two standard errors."""
    rng = np.random.default_rng(11)
    common = slope * rng.normal(size=20_000) / np.sqrt(n_seeds)
    variance = (signal + common) ** 2 + 1 - signal**2 + noise**2 / n_seeds
    truth = spearman_of((signal + common) / np.sqrt(variance)).mean()
    held = []
    for k in range(300):
        found, said = simulated(rng, n_sets, n_seeds, signal=signal, noise=noise, slope=slope)
        row = lds(found, {"said": said}, groups=["all"], draws=200, seed=k).iloc[0]
        held.append(row["low"] <= truth <= row["high"])
    assert 0.915 <= np.mean(held) <= 0.995


@pytest.mark.slow
def test_without_an_interval_over_seeds_what_seeds_have_in_common_is_not_covered():
    """What the interval over both is for: one over training sets alone is too narrow for other seeds."""
    rng, held = np.random.default_rng(2), {"both": [], "sets": []}
    common = 0.8 * rng.normal(size=20_000) / np.sqrt(4)
    truth = spearman_of((0.3 + common) / np.sqrt((0.3 + common) ** 2 + 1 - 0.3**2 + 0.25)).mean()
    for k in range(150):
        found, said = simulated(rng, 60, 4, signal=0.3, noise=1.0, slope=0.8)
        for over, hits in held.items():
            row = lds(found, {"said": said}, groups=["all"], over=over, draws=150, seed=k).iloc[0]
            hits.append(row["low"] <= truth <= row["high"])
    assert np.mean(held["sets"]) < 0.8
    assert np.mean(held["both"]) > 0.9


@pytest.mark.parametrize(("n_seeds", "noise"), [(2, 1.0), (4, 1.0), (5, 2.0), (3, 0.3)])
def test_the_ceiling_is_what_other_retrainings_reach_when_the_noise_is_known(n_seeds, noise):
    rng = np.random.default_rng(7)
    found, _ = simulated(rng, 3000, n_seeds, signal=0.0, noise=noise)
    row = ceiling(found).iloc[0]
    reliability = 1 / (1 + noise**2 / n_seeds)
    assert row["ceiling"] == pytest.approx(spearman_of(reliability), abs=0.03)
    assert row["best"] == pytest.approx(np.sqrt(reliability), abs=0.03)


def test_retrainings_predict_retrainings_as_well_as_the_ceiling_says():
    rng = np.random.default_rng(8)
    expected = rng.normal(size=(2000, 1, 1))
    values = expected + rng.normal(size=(2000, 8, 1))
    sets = tuple(f"s{k}" for k in range(2000))
    whole = Outcomes("loss", sets, ("m",), np.ones((2000, 1)), tuple(range(8)), ("t",), values, {})
    half, others = whole.of_seeds(0, 1, 2, 3), whole.of_seeds(4, 5, 6, 7)
    said = pd.DataFrame(others.values.mean(axis=1), index=list(sets), columns=["t"])
    row = lds(half, {"others": said}, groups=["all"], draws=10).iloc[0]
    assert row["lds"] == pytest.approx(row["ceiling"], abs=0.03)
    known = pd.DataFrame(expected[:, 0], index=list(sets), columns=["t"])
    best = lds(half, {"known": known}, groups=["all"], draws=10).iloc[0]["lds"]
    assert best == pytest.approx(ceiling(half).iloc[0]["best"], abs=0.03)


def test_with_one_seed_the_interval_is_about_training_sets_and_says_so():
    table = lds(outcomes(trainings(additive, seeds=[4], noise=1.0)), {"size": size}, draws=50)
    assert set(table["population"]) == {"other training sets, this one seed"}
    assert table["ceiling"].isna().all()
    assert (table["low"] < table["high"]).all()
    over_seeds = lds(outcomes(trainings(additive, seeds=[4])), {"size": size}, over="seeds", draws=50)
    assert over_seeds["low"].isna().all()
    assert set(over_seeds["note"]) == {"one seed: no other can be drawn"}
    assert set(lds(outcomes(trainings(additive)), {"size": size}, draws=50)["population"]) == {
        "other training sets, other seeds"
    }


def test_a_constant_predictor_has_no_lds_and_is_told_why():
    found = outcomes(trainings(additive, noise=1.0))
    table = lds(found, {"constant": lambda shares, target: 1.0, "own": own_share}, draws=50).set_index(
        ["predictor", "group", "target"]
    )
    assert table["lds"]["constant"].isna().all()
    assert set(table["note"]["constant", "all"].drop(MEAN)) == {"the prediction is the same for all training sets"}
    assert table["lds"]["own", "without"].isna().all()
    assert table["note"]["own", "without", MEAN] == "no LDS for a, b, c, d, e"
    assert table["lds"]["own", "with"].notna().all()
    told = compare(found, {"size": size}, own_share, groups=["without"], draws=50)
    assert told["note"].tolist() == ["no target for which both have an LDS"]


def test_predictions_that_are_not_finite_are_left_out_and_counted():
    found = outcomes(trainings(additive))
    gaps = lambda shares, target: np.nan if len(shares) == 1 else len(shares)
    table = lds(found, {"gaps": gaps}, groups=["all"], draws=20)
    assert set(table["n"]) == {26}


def test_a_training_set_that_lacks_an_outcome_is_left_out_and_named():
    table = trainings(additive)
    table.loc[(table["training"] == "a+b") & (table["seed"] == 1) & (table["target"] == "c"), "loss"] = np.nan
    found = outcomes(table[~((table["training"] == "e") & (table["seed"] == 2))])
    assert found.left_out == {
        "e": "5 of 15 outcomes are missing or not finite",
        "a+b": "1 of 15 outcomes are missing or not finite",
    }
    assert len(found.sets) == 29
    assert found.values.shape == (29, 3, 5)


def with_one_infinite(table):
    """Trainings of which one test loss is infinite, of set a+b with seed 1 on target c."""
    hit = (table["training"] == "a+b") & (table["seed"] == 1) & (table["target"] == "c")
    return table.assign(loss=table["loss"].mask(hit, np.inf))


def test_by_target_a_training_set_is_left_out_where_it_lacks_an_outcome_alone():
    table = with_one_infinite(trainings(additive))
    found = outcomes(table[~((table["training"] == "e") & (table["seed"] == 2))], missing="target")
    assert found.left_out == {
        "e": "5 of 15 outcomes are missing or not finite",
        "a+b": "left out for c alone: 1 of 15 outcomes are missing or not finite",
    }
    assert len(found.sets) == 30
    lost = np.argwhere(~found.known)
    assert [(found.sets[one], found.targets[target]) for one, target in lost] == [("a+b", "c")]
    assert found.of_seeds(0, 2).known.sum() == 30 * 5 - 1, "other seeds are told on the same sets"
    assert len(outcomes(with_one_infinite(trainings(additive))).sets) == 30, (
        "unless it is asked for, the set is left out"
    )
    with pytest.raises(UsageError, match="Leaving out by 'seed'"):
        outcomes(table, missing="seed")
    with pytest.raises(DataError, match="every seed of any target"):
        outcomes(table[table["seed"] != 2].assign(loss=np.nan), missing="target")


@pytest.mark.parametrize("over", ["both", "sets", "seeds"])
def test_a_perfect_predictor_stays_perfect_beside_an_infinite_loss(over):
    found = outcomes(with_one_infinite(trainings(additive)), missing="target")
    table = lds(found, {"rows": mean_of_rows(EFFECTS)}, over=over, draws=50)
    assert table["lds"].tolist() == pytest.approx([1.0] * len(table))
    assert table["ceiling"].tolist() == pytest.approx([1.0] * len(table))
    assert (table["low"] > 0.99).all()
    numbers = table.set_index(["group", "target"])["n"]
    assert numbers["all"].to_dict() == {"a": 31, "b": 31, "c": 30, "d": 31, "e": 31, MEAN: 30}
    assert (numbers["with", "c"], numbers["without", "c"]) == (16, 14)
    assert compare(found, {"rows": mean_of_rows(EFFECTS)}, size, over=over, draws=50)["lds"].tolist() == pytest.approx(
        [1.0] * 3
    )


def test_what_is_known_of_a_target_is_told_as_plain_loops_tell_it():
    found = outcomes(with_one_infinite(trainings(additive, noise=1.0)), missing="target")
    said = {"rows": mean_of_rows(EFFECTS)}
    scores = lds(found, said, groups=["all"], draws=10).set_index("target")
    ceilings, hurts, lost = (
        one.set_index("target")
        for one in (ceiling(found), harms(found, said, draws=10), regrets(found, said, draws=10))
    )
    for place, target in enumerate(MODES):
        means, halves = {}, {}
        for one, subset in enumerate(SUBSETS):
            values = found.values[one, :, place]
            if np.isfinite(values).all():
                means[frozenset(subset)] = values.mean()
                halves[frozenset(subset)] = [
                    (values[k], np.delete(values, k).mean()) for k in range(3)
                ]  # a seed, and the others
        assert len(means) == (30 if target == "c" else 31)
        expected = {one: additive(sorted(one), target) for one in means}
        assert scores.loc[target, "lds"] == pytest.approx(stats.spearmanr([*expected.values()], [*means.values()])[0])
        split = [stats.spearmanr([pair[k] for pair in halves.values()])[0] for k in range(3)]
        assert ceilings.loc[target, ["n", "split_half"]].tolist() == pytest.approx([len(means), np.mean(split)])
        changes = [
            (means[one | {mode}] > means[one], expected[one | {mode}] - expected[one])
            for one in means
            for mode in set(MODES) - one
            if one | {mode} in means
        ]
        right = [(x > y) + 0.5 * (x == y) for (p, x), (q, y) in itertools.product(changes, changes) if p and not q]
        assert hurts.loc[target, ["pairs", "hurt", "auc"]].tolist() == pytest.approx(
            [len(changes), np.mean([hurt for hurt, _ in changes]), np.mean(right)]
        )
        chosen, best = means[min(expected, key=expected.get)], min(means.values())
        assert lost.loc[target, ["regret", "random"]].tolist() == pytest.approx(
            [chosen - best, np.mean([*means.values()]) - best]
        )
    assert hurts.loc["c", "pairs"] == hurts.loc[MEAN, "pairs"] == 75 - 5
    assert ceilings.loc[MEAN, "n"] == 30


def test_a_target_without_any_outcome_has_no_numbers_and_spoils_none():
    table = trainings(additive)
    nothing = outcomes(table.assign(loss=table["loss"].mask(table["target"] == "c")), missing="target")
    without = outcomes(table[table["target"] != "c"])
    said = {"rows": mean_of_rows(EFFECTS)}
    for told, column in ((lds, "lds"), (harms, "auc"), (regrets, "regret"), (regrets, "random")):
        rows = told(nothing, said, draws=20).set_index("target")[column]
        assert rows[["c"]].isna().all()
        kept = told(without, said, draws=20).set_index("target")[column]
        assert rows.drop("c").tolist() == pytest.approx(kept.tolist())
    assert np.isnan(ceiling(nothing).set_index("target").loc["c", "ceiling"])


@pytest.mark.slow
def test_the_interval_covers_where_sets_lack_an_outcome_for_a_target():
    """Of 31 sets three lack an outcome with one seed for each of two targets, others for each; the truth is that of complete tables."""
    rng, held = np.random.default_rng(12), []
    truth = spearman_of(0.5 / np.sqrt(1 + 1 / 3))
    for k in range(300):
        found, said = simulated(rng, 31, 3, signal=0.5, noise=1.0, n_targets=2)
        for target in range(2):
            found.values[rng.choice(31, 3, replace=False), :, target] = np.nan
        row = lds(found, {"said": said}, groups=["all"], draws=200, seed=k).iloc[-1]
        assert row["n"] == 28
        held.append(row["low"] <= truth <= row["high"])
    assert 0.915 <= np.mean(held) <= 0.995


def test_outcomes_of_some_sets_are_those_rows():
    found = outcomes(trainings(additive, noise=0.5))
    some = found.of_sets("a+b", "e")
    assert some.sets == ("a+b", "e")
    assert some.shares.tolist() == [[0.5, 0.5, 0, 0, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_array_equal(some.values[1], found.values[found.sets.index("e")])
    with pytest.raises(UsageError, match="Outcomes of x were asked for"):
        found.of_sets("a+b", "x")
    with pytest.raises(UsageError, match="Outcomes of no training set"):
        found.of_sets()


def test_outcomes_may_be_the_loss_its_logarithm_or_the_error():
    table = trainings(additive, noise=0.5).assign(accuracy=lambda t: 1 / (1 + t["loss"]))
    log, plain, error = (outcomes(table, name) for name in ("log_loss", "loss", "error"))
    assert np.allclose(np.exp(log.values), plain.values)
    assert np.allclose(error.values, 1 - 1 / (1 + plain.values))
    with pytest.raises(DataError, match="no numbers called precision"):
        outcomes(table, "precision")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda t: t.drop(columns="seed"), "no seed"),
        (lambda t: t.drop(columns=[f"share/{mode}" for mode in MODES]), "no share/MODE"),
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: t.assign(seed="first"), "other things than numbers in seed"),
        (lambda t: t.assign(seed=0.5), "other things than numbers in seed"),
        (lambda t: t.assign(**{"share/b": "much"}), "other things than numbers in share/b"),
        (lambda t: pd.concat([t, t.iloc[[3]]]), "two rows of training a, seed 0, target d"),
        (
            lambda t: t.assign(**{"share/a": np.where(t["seed"] == 1, 0.9, t["share/a"])}),
            "has other shares of modes in some rows",
        ),
        (lambda t: t.assign(**{"share/a": -1.0}), "negative, missing, or all zero"),
        (lambda t: t.assign(loss=np.nan), "No training set has a finite log_loss"),
    ],
)
def test_a_table_that_is_none_of_trainings_is_told(spoil, why):
    with pytest.raises(DataError, match=why):
        outcomes(spoil(trainings(additive)))


def test_a_predictor_that_lacks_something_is_told():
    found = outcomes(trainings(additive))
    table = pd.DataFrame(0.0, index=list(found.sets), columns=list(MODES))
    for spoiled in (table.drop(index="a+b"), table.drop(columns="c"), pd.concat([table, table.iloc[:1]])):
        with pytest.raises(DataError, match="The predictor mine has"):
            lds(found, {"mine": spoiled}, draws=5)
    with pytest.raises(UsageError, match="The rows have no b"):
        lds(found, {"mine": mean_of_rows(EFFECTS.drop(index="b"))}, draws=5)
    for wrong in ({"groups": ["some"]}, {"level": 1.0}, {"draws": 1}, {"over": "tasks"}):
        with pytest.raises(UsageError, match="asked for"):
            lds(found, {"size": size}, **wrong)
    with pytest.raises(UsageError, match="no seed"):
        found.of_seeds()
    with pytest.raises(UsageError, match="Outcomes of 9"):
        found.of_seeds(0, 9)


@pytest.mark.slow
def test_two_equally_good_predictors_are_seldom_told_apart():
    rng, told = np.random.default_rng(4), []
    for k in range(200):
        found, one = simulated(rng, 31, 3, signal=0.5, noise=1.0)
        other = pd.DataFrame(as_good_as_half(found, rng), index=list(found.sets), columns=list(found.targets))
        told.append(compare(found, {"one": one}, other, groups=["all"], draws=150, seed=k)["p"].iloc[0] <= 0.05)
    assert np.mean(told) <= 0.09


def as_good_as_half(found, rng):
    """Predictions as good as those of `simulated` with a signal of one half, of another half of the expected outcome."""
    expected = found.values.mean(axis=1)  # its noise is counted with what is not predicted
    rho = 0.5 / np.sqrt(1 + 1 / 3)
    scale = expected.std()
    return rho * expected / scale + np.sqrt(1 - rho**2) * rng.normal(size=expected.shape)


def test_a_better_predictor_is_told_from_a_worse_one():
    found = outcomes(trainings(additive, noise=0.3))
    row = compare(found, {"rows": mean_of_rows(EFFECTS)}, size, groups=["all"], draws=200).iloc[0]
    assert row["difference"] == pytest.approx(row["lds"] - row["against"])
    assert row["low"] > 0
    assert row["p"] < 0.001
    same = compare(found, {"size": size}, size, groups=["all"], draws=50).iloc[0]
    assert (same["difference"], same["low"], same["high"], same["p"]) == (0, 0, 0, 1)


def test_whether_adding_a_mode_hurts_is_told_as_often_as_counting_says():
    found = outcomes(trainings(additive, noise=0.4))
    rows = harms(found, {"size": size, "rows": mean_of_rows(EFFECTS)}, draws=50).set_index(["predictor", "target"])
    means = dict(zip(found.sets, found.values.mean(axis=1), strict=True))
    for target, name in enumerate(MODES):
        changes = []
        for subset in SUBSETS:
            for mode in set(MODES) - set(subset):
                larger = tuple(sorted((*subset, mode)))
                hurts = means["+".join(larger)][target] > means["+".join(subset)][target]
                changes.append((hurts, additive(larger, name) - additive(subset, name)))
        right = [(x > y) + 0.5 * (x == y) for (p, x), (q, y) in itertools.product(changes, changes) if p and not q]
        assert rows["auc"]["rows", name] == pytest.approx(np.mean(right))
        assert rows["hurt"]["rows", name] == pytest.approx(np.mean([hurts for hurts, _ in changes]))
        assert rows["auc"]["size", name] == 0.5, "it says the same of all pairs"
    assert set(rows["pairs"]) == {75}
    assert (rows["low"]["rows"] <= rows["auc"]["rows"]).all()
    assert (rows["auc"]["rows"] <= rows["high"]["rows"]).all()


def test_a_perfect_predictor_tells_every_harm_and_has_no_regret():
    found = outcomes(trainings(additive))
    assert (harms(found, {"rows": mean_of_rows(EFFECTS)}, draws=20)["auc"] == 1).all()
    rows = regrets(found, {"rows": mean_of_rows(EFFECTS)}, draws=20)
    assert (rows["regret"] == 0).all()
    assert (rows["random"] > 0).all()
    assert rows["chosen"].iloc[0] == min(SUBSETS, key=lambda subset: additive(subset, "a"))[0]


def test_of_equally_good_training_sets_one_is_chosen_at_random():
    found = outcomes(trainings(additive))
    row = regrets(found, {"size": lambda shares, target: float(len(shares))}, draws=20).set_index("target").loc["b"]
    assert row["chosen"] == "a, b, c, d, e"
    values = found.values.mean(axis=1)[:, 1]
    assert row["regret"] == pytest.approx(values[:5].mean() - values.min())
    assert regrets(found, {"none": lambda shares, target: np.nan}, draws=20)["note"].tolist() == ["no prediction"] * 6
    one = regrets(outcomes(trainings(additive, seeds=[0])), {"size": size})
    assert one["low"].isna().all()
    assert set(one["note"]) == {"one seed: no other can be drawn"}


def test_trainings_with_weights_are_training_sets_too_but_no_subsets():
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(5), size=20)
    table = pd.DataFrame(
        [
            {
                "training": f"w{k}",
                "seed": seed,
                "target": "a",
                "loss": np.exp(-3 * row[0]),
                **{f"share/{m}": s for m, s in zip(MODES, row, strict=True)},
            }
            for k, row in enumerate(shares)
            for seed in (0, 1)
        ]
    )
    found = outcomes(table)
    assert lds(found, {"own": own_share}, groups=["all"], draws=20)["lds"].tolist() == pytest.approx([1, 1])
    with pytest.raises(UsageError, match="train on subsets"):
        harms(found, {"own": own_share})


@pytest.mark.slow
def test_a_plans_table_is_read_from_its_folder_or_as_csv(tmp_path):
    (tmp_path / "plan.toml").write_text(
        'learner = "regression-maml"\nmodes = "sinusoid,abs"\niterations = 1\nmeta-batch = 2\nseeds = [0, 1]\nsubsets = "all"\n'
        "[test]\ntasks = 2\n"
    )
    told = CliRunner().invoke(main, ["train", "--plan", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "out")])
    assert told.exit_code == 0, told.output
    table = read_trainings(tmp_path / "out")
    table.to_csv(tmp_path / "trainings.csv", index=False)
    found = [outcomes(one) for one in (table, read_trainings(tmp_path / "trainings.csv"))]
    assert np.allclose(found[0].values, found[1].values)
    assert found[0].sets == ("sinusoid", "abs", "sinusoid+abs")
    assert found[0].shares.tolist() == [[1, 0], [0, 1], [0.5, 0.5]]
    assert len(tr.validation.lds(found[0], {"size": size}, draws=10)) == 9


@pytest.mark.parametrize(
    ("name", "content"),
    [("none.parquet", None), ("bad.parquet", b"nothing"), ("bad.csv", b"a,b\n1,2\n"), ("empty.csv", b"")],
)
def test_a_file_that_is_no_table_of_trainings_is_told_in_one_line(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as told:
        read_trainings(tmp_path / name)
    assert name in str(told.value)
    assert "\n" not in str(told.value)
