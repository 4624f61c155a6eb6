"""Intervals for another draw of sources and targets: against slow oracles, and by simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, norm, t
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

import transference as tr
from transference.errors import UsageError
from transference.statistics import NEUTRAL_BAND, contrast, flipped, intervals, variance_shares
from transference.statistics._crossed import _dyadic, _pigeonhole, _weights, two_way_error

MEAN, SOURCE, TARGET, REST = 0.002, 0.01, 0.015, 0.02


def block(logs, *, same_tasks=False, step=1):
    return tr.Block.of(np.exp(logs), source_mode="a", target_mode="b", checkpoint_step=step, alpha=0.1, same_tasks=same_tasks)


def drawn(random, n_source, n_target, target=TARGET, mean=MEAN):
    source, columns = SOURCE * random.standard_normal((n_source, 1)), target * random.standard_normal((1, n_target))
    return mean + source + columns + REST * random.standard_normal((n_source, n_target))


def truth(mean, variance):
    spread = np.sqrt(variance)
    low, high = np.log(NEUTRAL_BAND)
    below = [norm.cdf((edge - mean) / spread) for edge in (low, high)]
    quantiles = {f"q{round(100 * q):02d}": np.exp(mean + spread * norm.ppf(q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)}
    shares = {"positive": below[0], "neutral": below[1] - below[0], "negative": 1 - below[1]}
    return {"geometric_mean": np.exp(mean), "interquartile_mean": np.exp(mean), **quantiles, **shares}


@pytest.mark.parametrize(("n_source", "n_target"), [(30, 30), (100, 20), (40, 8)])
def test_another_draw_of_both_sides_is_covered(n_source, n_target):
    random = np.random.default_rng(n_source)
    expected = truth(MEAN, SOURCE**2 + TARGET**2 + REST**2)
    covered = {name: [] for name in expected}
    for _ in range(400):
        found = intervals([block(drawn(random, n_source, n_target))], draws=200).set_index("statistic")
        assert (found["drawn"] == "sources and targets").all()
        for name, value in expected.items():
            covered[name].append(found.loc[name, "low"] <= value <= found.loc[name, "high"])
    shares = {name: np.mean(hits) for name, hits in covered.items()}
    # Whether a pair lies in the narrow band is hardly a matter of its tasks; of such variance the bootstrap takes up to three times.
    assert shares.pop("neutral") >= 0.92, shares
    assert all(0.915 <= share <= 0.985 for share in shares.values()), shares
    again = [drawn(random, n_source, n_target) for _ in range(400)]
    naive = np.mean([abs(logs.mean() - MEAN) < 1.96 * logs.std() / np.sqrt(logs.size) for logs in again])
    assert naive < 0.6, "pairs are not independent"


def test_one_target_is_what_the_interval_is_for():
    random = np.random.default_rng(0)
    here = 0.03  # of this target
    expected = truth(MEAN + here, SOURCE**2 + REST**2)
    covered = []
    for _ in range(400):
        found = intervals([block(here + drawn(random, 300, 1, target=0.0))], draws=200).set_index("statistic")
        assert (found["drawn"] == "sources").all()
        covered.append([found.loc[name, "low"] <= value <= found.loc[name, "high"] for name, value in expected.items()])
    shares = np.mean(covered, axis=0)
    assert ((shares >= 0.92) & (shares <= 0.985)).all(), dict(zip(expected, shares, strict=True))


def test_tasks_that_are_on_both_sides_are_drawn_once():
    random = np.random.default_rng(1)
    covered = []
    for _ in range(400):
        own = 0.015 * random.standard_normal(25)  # a task that helps others is also easily helped
        logs = MEAN + own[:, None] + own + REST * random.standard_normal((25, 25))
        np.fill_diagonal(logs, -1.0)  # every task helps itself, which is another question
        found = intervals([block(logs, same_tasks=True)], draws=200).set_index("statistic").loc["geometric_mean"]
        assert found["drawn"] == "tasks"
        assert abs(np.log(found["value"]) - MEAN) < 0.03
        covered.append(found["low"] <= np.exp(MEAN) <= found["high"])
    assert 0.92 <= np.mean(covered) <= 0.985


def test_the_bootstrap_counts_a_pair_as_often_as_source_times_target():
    random = np.random.default_rng(2)
    cells = random.standard_normal((11, 13))
    cells[3, 4] = np.nan
    sources, targets = _weights(11, 50, 0, "source"), _weights(13, 50, 0, "target")
    assert (sources.sum(axis=1) == 11).all()
    means = []
    for rows, columns in zip(sources.astype(int), targets.astype(int), strict=True):
        again = np.repeat(np.repeat(cells, rows, axis=0), columns, axis=1)
        means.append(np.nanmean(again))
    assert _pigeonhole(sources, targets, cells) == pytest.approx(np.std(means, ddof=1), rel=1e-12)


def cluster_oracle(cells, related, sizes):
    """The sum of products of residuals over all pairs of cells that are related."""
    left = cells - cells[np.isfinite(cells)].mean()
    places = [tuple(place) for place in np.argwhere(np.isfinite(cells))]
    ways = [*zip(related, sizes, strict=True)]
    total = sum(factor * left[p] * left[q] for p in places for q in places for same, factor in ways if same(p, q))
    return np.sqrt(total) / len(places)


def test_cluster_robust_errors_are_sums_over_pairs_that_share_a_task():
    random = np.random.default_rng(3)
    cells = drawn(random, 7, 5) + 0.1 * random.standard_normal((7, 1)) + 0.1 * random.standard_normal(5)
    cells[2, 2] = np.nan
    ways = [lambda p, q: p[0] == q[0], lambda p, q: p[1] == q[1], lambda p, q: p == q]
    assert two_way_error(cells) == pytest.approx(cluster_oracle(cells, ways, [7 / 6, 5 / 4, -1]), rel=1e-12)
    assert two_way_error(cells[:, :1]) == pytest.approx(cluster_oracle(cells[:, :1], ways[:1], [7 / 6]), rel=1e-12)
    own = 0.05 * random.standard_normal(6)
    same = own[:, None] + own + 0.01 * random.standard_normal((6, 6))
    np.fill_diagonal(same, np.nan)
    assert _dyadic(same) == pytest.approx(cluster_oracle(same, [lambda p, q: bool({*p} & {*q})], [6 / 5]), rel=1e-12)


def test_variance_shares_are_those_of_an_analysis_of_variance():
    random = np.random.default_rng(4)
    logs = drawn(random, 9, 6)
    row = variance_shares([block(logs)]).iloc[0]
    source, target = np.indices(logs.shape)
    frame = pd.DataFrame({"log": logs.ravel(), "source": source.ravel(), "target": target.ravel()})
    squares = anova_lm(ols("log ~ C(source) + C(target)", frame).fit())
    mean = squares["sum_sq"] / squares["df"]
    parts = np.array([(mean.iloc[0] - mean.iloc[2]) / 6, (mean.iloc[1] - mean.iloc[2]) / 9, mean.iloc[2]])
    np.testing.assert_allclose([row["variance"]], [parts.sum()], rtol=1e-9)
    np.testing.assert_allclose(row[["source", "target", "residual"]].to_numpy(float), parts / parts.sum(), rtol=1e-9)
    logs[2, 3] = np.nan
    assert variance_shares([block(logs)]).iloc[0]["n_sources"] == 8
    assert variance_shares([block(logs[:, :1])])["source"].isna().all()


def test_draws_are_shared_and_repeat():
    random = np.random.default_rng(5)
    tables = [block(drawn(random, 20, 15), step=k) for k in range(2)]
    both = intervals(tables, draws=100)
    pd.testing.assert_frame_equal(both, intervals(tables, draws=100))
    first = intervals([block(np.log(tables[0].loss_ratio)), block(np.log(tables[0].loss_ratio), step=2)], draws=100)
    assert first.groupby("statistic")["high"].nunique().eq(1).all()
    assert not both["high"].equals(intervals(tables, draws=100, seed=1)["high"])


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (3, 4)])
def test_small_tables_say_what_they_can(shape):
    found = intervals([block(drawn(np.random.default_rng(6), *shape))])
    assert found["value"].notna().all()
    assert found["low"].isna().all() == (shape == (1, 1))
    assert found["drawn"].iloc[0] == {(1, 1): "nothing", (1, 5): "targets", (5, 1): "sources"}.get(shape, "sources and targets")


def test_a_table_without_a_ratio_has_no_statistics():
    found = intervals([block(np.full((3, 3), np.nan))])
    assert found[["value", "low", "high"]].isna().all(axis=None)


def test_two_pairs_have_the_interquartile_mean_of_both():
    found = intervals([block(np.array([[0.1], [0.3]]))]).set_index("statistic")
    assert found.loc["interquartile_mean", "value"] == pytest.approx(np.exp(0.2))


@pytest.mark.parametrize("shape", [(2, 2), (12, 12), (1, 3)])
def test_losses_that_all_fell_to_zero_have_no_mean(shape):
    found = intervals([block(np.full(shape, -np.inf))])
    assert found[["value", "low", "high"]].isna().all(axis=None)


def test_a_loss_of_zero_after_the_step_is_left_out_of_mean_and_shares():
    found = intervals([block(np.array([[-np.inf, 0.1, 0.2], [0.0, 0.1, 0.3]]))]).set_index("statistic")
    assert found.loc["geometric_mean", "value"] == pytest.approx(np.exp(0.14))
    assert np.isfinite(found.loc["geometric_mean", "high"])
    assert found.loc["positive", "value"] == 0


def test_a_run_knows_whether_its_sources_are_its_targets(tmp_path, learner, checkpoint, sources, targets):
    settings = {"n_source": 3, "n_target": 3, "lookahead": tr.SGD(0.01), "out": tmp_path / "run"}
    run = tr.measure(learner, checkpoint, [sources, targets], [targets], **settings)
    assert [found.same_tasks for found in run.blocks()] == [False, True]


# Two tables of the same tasks


def test_p_values_are_uniform_when_nothing_differs():
    random = np.random.default_rng(7)
    for shape in ((20, 15), (30, 1), (12, 5)):
        target = TARGET if shape[1] > 1 else 0.0
        found = np.array([flipped(drawn(random, *shape, target=target, mean=0.0), draws=199, seed=k) for k in range(400)])
        assert kstest(found, "uniform").pvalue > 1e-3, (shape, np.histogram(found, bins=5, range=(0, 1))[0])
        assert 0.02 <= np.mean(found <= 0.05) <= 0.085, shape


def test_a_contrast_finds_a_difference_and_covers_it():
    random = np.random.default_rng(8)
    covered, found_it = [], []
    for _ in range(150):
        common = drawn(random, 25, 20)
        first, second = common + drawn(random, 25, 20, mean=0.03), common
        row = contrast([block(first)], [block(second)], draws=199).set_index("statistic").loc["geometric_mean"]
        covered.append(row["low"] <= np.exp(0.03) <= row["high"])
        found_it.append(row["p"] <= 0.05)
    assert 0.9 <= np.mean(covered) <= 0.99
    assert np.mean(found_it) > 0.95


def test_contrasts_are_pair_by_pair():
    random = np.random.default_rng(9)
    first, second = drawn(random, 12, 11), drawn(random, 12, 11)
    first[0, 0] = np.nan
    table = contrast([block(first)], [block(second)], draws=50).set_index("statistic")
    ok = np.isfinite(first)
    assert table.loc["geometric_mean", "value"] == pytest.approx(np.exp((first - second)[ok].mean()))
    assert table.loc["positive", "value"] == pytest.approx((first[ok] < 0).mean() - (second[ok] < 0).mean())
    same = contrast([block(first)], [block(first)], draws=50)
    assert same["p"].eq(1.0).all()
    assert same.loc[same["statistic"] != "geometric_mean", "value"].eq(0.0).all()
    nothing = contrast([block(first)], [block(np.full_like(second, np.nan))], draws=50)
    assert nothing[["value", "low", "high", "p"]].isna().all(axis=None)
    with pytest.raises(UsageError, match=r"a → b \(12, 11\) was to be compared with a → b \(12, 3\)"):
        contrast([block(first)], [block(second[:, :3])])


def test_an_interval_is_students_t_times_the_error_with_as_few_degrees_of_freedom_as_the_smaller_side_allows():
    logs = drawn(np.random.default_rng(10), 12, 30)
    found = intervals([block(logs)], draws=50).set_index("statistic").loc["geometric_mean"]
    error = _pigeonhole(_weights(12, 50, 0, "source"), _weights(30, 50, 0, "target"), logs)
    assert np.log(found["high"] / found["value"]) == pytest.approx(t.ppf(0.975, 11) * error, rel=1e-9)
    assert np.log(found["value"] / found["low"]) == pytest.approx(t.ppf(0.975, 11) * error, rel=1e-9)
    small = intervals([block(logs[:, :5])]).set_index("statistic").loc["geometric_mean"]
    assert np.log(small["high"] / small["value"]) == pytest.approx(t.ppf(0.975, 4) * two_way_error(logs[:, :5]), rel=1e-9)


def test_only_tables_of_the_same_tasks_are_compared(tmp_path, learner, checkpoint, strokes, targets):
    def blocks_of(seed, n=3):
        sources = tr.FewShot(strokes, ways=3, shots=1, queries=2, seed=seed)
        words = {"n_source": n, "n_target": 2, "lookahead": tr.SGD(0.1), "controls": 0}
        return list(tr.measure(learner, checkpoint, sources, targets, out=tmp_path / f"{seed}-{n}", **words).blocks())

    first = blocks_of(1)
    assert contrast(first, first)["p"].eq(1).all()
    with pytest.raises(UsageError, match=r"other tasks of these modes.*seed-1.*seed-2"):
        contrast(first, blocks_of(2))
    with pytest.raises(UsageError, match=r"only tables of the same tasks"):
        contrast(first, blocks_of(1, n=4))
    with pytest.raises(UsageError, match=r"not as many"):
        contrast(first, [])
    elsewhere = tr.Block.of(first[0].loss_ratio, source_mode="strokes", target_mode="shapes")
    assert len(contrast(first, [elsewhere])) == 4, "what is not known is not refused"


def test_ratios_from_elsewhere_are_summarised():
    ratios = np.exp(drawn(np.random.default_rng(10), 12, 11))
    table = tr.Block.of(ratios, redrawn=[ratios, ratios])
    assert tr.summarise_blocks([table])["geometric_mean"].iloc[0] == pytest.approx(np.exp(np.log(ratios).mean()))
    assert len(tr.single_pairs([table])) == 12 * 11
    assert np.isnan(tr.split([table])["first_order"].iloc[0])
