import numpy as np
import pandas as pd
import pytest

import transference as tr
from transference.errors import UsageError
from transference.statistics import NEUTRAL_BAND, classify


def pairs(ratios, status=None, **columns):
    n = len(ratios)
    return pd.DataFrame(
        {
            "checkpoint_step": 1,
            "alpha": 0.1,
            "source_mode": "a",
            "target_mode": "b",
            "loss_ratio": ratios,
            "accuracy_before": np.full(n, 0.5, dtype=np.float32),
            "status": status or ["ok"] * n,
            **columns,
        }
    )


def test_the_band_is_closed_below_and_open_above():
    low, high = tr.NEUTRAL_BAND
    below, inside = np.nextafter(low, 0), np.nextafter(high, 0)
    assert tr.classify([0.5, below, low, inside, high, 2.0]).tolist() == [
        "positive",
        "positive",
        "neutral",
        "neutral",
        "negative",
        "negative",
    ]


def test_the_default_band_is_one_bar_of_the_papers_figure():
    edges = np.linspace(0.8, 1.3, 61)
    assert pytest.approx((edges[24], edges[25])) == tr.NEUTRAL_BAND


def test_summary_by_hand():
    row = tr.summarise(pairs([0.5, 2.0, 1.0, 1.0])).iloc[0]
    assert row["n"] == 4
    assert row["geometric_mean"] == pytest.approx(1.0), "halving and doubling cancel"
    assert (row["positive"], row["neutral"], row["negative"]) == (0.25, 0.5, 0.25)
    assert row["q50"] == 1.0
    assert row["accuracy"] == 0.5


def test_failed_cells_are_counted_and_left_out():
    row = tr.summarise(pairs([0.5, np.nan, 0.5], ["ok", "non_finite", "ok"])).iloc[0]
    assert (row["n"], row["failed"], row["positive"]) == (2, 1, 1.0)
    nothing = tr.summarise(pairs([np.nan], ["zero_loss"])).iloc[0]
    assert nothing["n"] == 0
    assert np.isnan(nothing["geometric_mean"])
    assert np.isnan(nothing["positive"])


def test_step_sizes_are_never_mixed():
    both = pd.concat([pairs([0.5]), pairs([2.0], alpha=0.2)])
    assert tr.summarise(both)["positive"].tolist() == [1.0, 0.0]


def test_quantiles_agree_with_numpy():
    ratios = np.exp(np.random.default_rng(0).normal(0, 0.1, 500))
    row = tr.summarise(pairs(ratios)).iloc[0]
    assert row["q05"] == np.quantile(ratios, 0.05)
    assert row["q99"] == np.quantile(ratios, 0.99)
    assert row["geometric_mean"] == pytest.approx(np.exp(np.log(ratios).mean()), rel=1e-12)


def test_a_loss_of_zero_after_is_counted_and_left_out():
    """As version 0.1 exported it, and as a table that comes from elsewhere may have it."""
    row = tr.summarise(pairs([0.0, 0.5, 2.0])).iloc[0]
    assert (row["n"], row["failed"], row["geometric_mean"], row["q01"]) == (
        2,
        1,
        pytest.approx(1.0),
        pytest.approx(0.515),
    )
    assert (row["positive"], row["negative"]) == (0.5, 0.5)
    ratios = np.array([[0.0, 0.5], [2.0, -1.0], [np.inf, np.nan]])
    block = tr.Block.of(ratios, redrawn=[ratios])
    row = tr.summarise_blocks([block]).iloc[0]
    assert (row["n"], row["failed"], row["geometric_mean"]) == (2, 4, pytest.approx(1.0))
    for matrix in (block.loss_ratio, *block.redrawn):
        np.testing.assert_array_equal(matrix, [[np.nan, 0.5], [2.0, np.nan], [np.nan, np.nan]])


def vanishing(random):
    """Log ratios of which one fell to minus infinity, and the same table without that cell."""
    logs = random.normal(0.0, 0.1, (12, 11))
    gone = logs.copy()
    gone[3, 4], logs[3, 4] = -np.inf, np.nan
    return [tr.Block.of(np.exp(table), redrawn=[np.exp(table)] * 2) for table in (gone, logs)]


@pytest.mark.parametrize(
    "statistic", [tr.intervals, tr.split, tr.variance_shares, tr.single_pairs, lambda b: tr.contrast(b, b)]
)
def test_no_statistic_tells_a_loss_of_zero_after_from_a_cell_without_a_ratio(statistic):
    zero, missing = vanishing(np.random.default_rng(0))
    pd.testing.assert_frame_equal(statistic([zero]), statistic([missing]))


@pytest.mark.parametrize("band", [(1.1, 1.2), (0.8, 0.9), (1.0, 1.0)])
def test_a_band_without_one_is_refused(band):
    with pytest.raises(UsageError, match="must hold 1"):
        tr.classify([1.0], band)


@pytest.mark.slow
def test_blocks_are_summarised_as_their_table_is(tmp_path, learner, checkpoint, sources, targets, strokes):
    others = tr.FewShot(strokes, ways=3, shots=1, queries=2, seed=5)
    settings = {"n_source": 5, "n_target": 4, "lookahead": tr.SGD((1e-2, 3.0)), "tile": (3, 3)}
    later = tr.Checkpoint({name: 2 * value for name, value in checkpoint.params.items()}, step=20)
    run = tr.measure(
        learner, [later, checkpoint], [others, targets], [sources, targets], out=tmp_path / "run", **settings
    )
    pd.testing.assert_frame_equal(
        tr.summarise_blocks(run.blocks()), tr.summarise(run.pairs()).astype({"source_mode": str, "target_mode": str})
    )
    first = next(run.blocks())
    np.testing.assert_array_equal(first.loss_ratio, run.matrix(10, 1e-2)[:5, :4])
    np.testing.assert_array_equal(first.change, first.loss_ratio)


def test_the_ends_of_the_band_are_counted_as_they_are_classified():
    ratios = [NEUTRAL_BAND[0], NEUTRAL_BAND[1], np.nextafter(1.0, 0.0)]
    row = tr.summarise(pairs(ratios)).iloc[0]
    assert classify(ratios).tolist() == ["neutral", "negative", "positive"]
    assert (row["neutral"], row["negative"], row["positive"]) == (1 / 3, 1 / 3, 1 / 3)
