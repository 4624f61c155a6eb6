"""Pairs that are measured several times, with other episodes of the same tasks, and what that tells of single pairs."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

import transference as tr
from benchmarks import coverage
from tests.strangers import PixelPrototypes
from transference.cli import main
from transference.cli._table import json_text, replicates_text
from transference.errors import UsageError
from transference.samplers import FunctionFamily
from transference.statistics import NEUTRAL_BAND, single_pairs, summarise_replicates, variance_shares
from transference.statistics._skewed_noise import pair_skewness, upper_tail

pytestmark = pytest.mark.slow

HIGH = np.log(NEUTRAL_BAND[1])
N = {"n_source": 6, "n_target": 5}


class Another:
    """Presents one replicate of a sampler's tasks as the tasks of a sampler."""

    def __init__(self, sampler, replicate):
        self.name, self._sampler, self._replicate = f"{sampler.name}/replicate-{replicate}", sampler, replicate

    def __getitem__(self, index):
        return self._sampler.redraw(index, self._replicate)


@pytest.fixture
def measured(tmp_path, learner, checkpoint, sources, targets):
    def run(name="run", sources=sources, targets=targets, **changes):
        words = {**N, "lookahead": tr.SGD((0.01, 0.1)), "estimator": tr.Exact("threads"), "controls": 4, **changes}
        return tr.measure(learner, checkpoint, sources, targets, out=tmp_path / name, **words)

    return run


# Episodes


@pytest.mark.parametrize(
    "tasks",
    [
        tr.few_shot("strokes:train", shots=2, queries=3),
        FunctionFamily("sinusoid"),
        tr.open_tasks("mix[a>*]:train", shots=2, queries=3),
    ],
    ids=["images", "functions", "pairs"],
)
def test_replicates_are_different_episodes_of_the_same_task_whatever_was_drawn_before(tasks):
    drawn = [tasks[3], *(tasks.redraw(3, replicate) for replicate in (1, 2, 3))]
    assert len({tuple(episode.tensors[-2].flatten().tolist()) for episode in drawn}) == 4
    for again, before in ((tasks.redraw(3, 3), drawn[3]), (tasks.redraw(3), drawn[1])):
        assert all(map(torch.equal, again.tensors, before.tensors))
    with pytest.raises(IndexError, match=r"Replicate 0 .* numbered from 1"):
        tasks.redraw(3, 0)


def test_replicates_of_a_task_have_its_classes_and_independent_draws_of_their_images():
    tasks = tr.few_shot("strokes:train", ways=3, shots=1, queries=2, seed=5)
    classes = [
        next(
            c
            for c in range(len(tasks._dataset.class_names))
            if tasks._dataset.starts[c] <= rows[0] < tasks._dataset.starts[c + 1]
        )
        for rows in tasks._draws.rows(0)
    ]
    counts = Counter()
    for replicate in range(1, 301):
        for c, rows in zip(classes, tasks._draws.rows(0, replicate), strict=True):
            assert len(set(rows)) == 3
            assert all(tasks._dataset.starts[c] <= row < tasks._dataset.starts[c + 1] for row in rows)
            counts.update(rows)
    expected = np.concatenate(
        [np.full(tasks._dataset.class_sizes[c], 900 / tasks._dataset.class_sizes[c]) for c in classes]
    )
    seen = [counts[row] for c in classes for row in range(tasks._dataset.starts[c], tasks._dataset.starts[c + 1])]
    assert stats.chisquare(seen, expected).pvalue > 1e-3


# The run


@pytest.mark.parametrize("tile", [(10, 10), (4, 2)])
@pytest.mark.parametrize("estimator", [tr.Exact("threads"), tr.FirstOrder(checked=5)], ids=["exact", "first-order"])
def test_every_replicate_is_the_table_of_its_own_episodes(measured, sources, targets, estimator, tile):
    run = measured(replicates=3, tile=tile, estimator=estimator)
    assert tr.verify(run.path).complete
    assert run.progress().done == run.progress().total
    everything = run.pairs(None)
    assert len(everything) == run.spec.n_cells == 3 * len(run.pairs())
    numbers = ["alpha", "source", "target", "loss_before", "loss_after", "loss_ratio", "first_order"]
    blocks = list(run.blocks())
    for replicate in range(3):
        them = (sources, targets) if replicate == 0 else (Another(sources, replicate), Another(targets, replicate))
        alone = measured(f"alone-{replicate}", *them, tile=tile, estimator=estimator)
        mine = run.pairs(replicate)
        assert (mine["replicate"] == replicate).all()
        pd.testing.assert_frame_equal(mine[numbers], alone.pairs()[numbers], check_exact=True)
        both = everything[everything["replicate"] == replicate].reset_index(drop=True)
        pd.testing.assert_frame_equal(both, mine)
        np.testing.assert_array_equal(run.matrix(None, 0.1, replicate), alone.matrix(None, 0.1))
        stored = [[block.loss_ratio, *block.redrawn][replicate] for block in blocks]
        np.testing.assert_array_equal(stored, [block.loss_ratio for block in alone.blocks()])


def test_replicates_leave_what_one_episode_says_as_it_was(measured):
    one, three = measured("one"), measured("three", replicates=3)
    assert "replicates" not in json.loads(one._store.run_json.read_text())["spec"]
    for table in ("pairs", "sources", "self_transference", "controls"):
        pd.testing.assert_frame_equal(getattr(one, table)(), getattr(three, table)(), check_exact=True)
    pd.testing.assert_frame_equal(tr.summarise_blocks(one.blocks()), tr.summarise_blocks(three.blocks()))
    assert one.spec.digest != three.spec.digest


def test_the_control_with_fresh_episodes_is_the_first_replicate(measured):
    run = measured(replicates=2)
    fresh = run.controls().query("control == 'resampled'").set_index(["alpha", "source", "target"])["loss_ratio"]
    table = run.pairs(1).set_index(["alpha", "source", "target"])["loss_ratio"]
    np.testing.assert_allclose(fresh, table[fresh.index], rtol=1e-6)


def test_a_run_that_was_killed_goes_on_with_its_replicates(measured):
    whole = measured("whole", replicates=3, tile=(4, 3))
    measured(replicates=3, tile=(4, 3))
    lost = [
        *whole.path.glob("pairs/*/*-replicate-2.parquet"),
        *whole.path.glob("pairs/*/tile-000004-000000-replicate-1.parquet"),
    ]
    before = whole.pairs(None)
    for file in lost:
        file.unlink()
    assert tr.verify(whole.path).missing == len(lost) == 5
    pd.testing.assert_frame_equal(measured("whole", replicates=3, tile=(4, 3)).pairs(None), before, check_exact=True)


def test_a_replicate_in_the_place_of_another_is_noticed(measured):
    run = measured(replicates=3)
    one, two = (next(run.path.glob(f"pairs/*/*-replicate-{k}.parquet")) for k in (1, 2))
    one.write_bytes(two.read_bytes())
    assert any(str(one) in problem for problem in tr.verify(run.path).problems)


def test_what_cannot_be_replicated_is_said(measured, learner, checkpoint, sources, targets):
    with pytest.raises(UsageError, match=r"replicate-1 has one episode of each task"):
        measured(sources=Another(sources, 1), replicates=2)
    with pytest.raises(UsageError, match=r"0 replicates were asked for"):
        measured(replicates=0)
    run = measured()
    with pytest.raises(UsageError, match=r"Replicate 1 .* it has 1, numbered from 0"):
        run.pairs(1)
    with pytest.raises(UsageError, match=r"Replicate -1"):
        run.matrix(None, 0.1, -1)
    with pytest.raises(UsageError, match=r"--replicates 5"):
        single_pairs(run.blocks())


# Statistics


def replicated(tables, same_tasks=False):
    ratios = np.exp(np.asarray(tables))
    return tr.Block.of(ratios[0], redrawn=ratios[1:], same_tasks=same_tasks)


def drawn(random, shape, sizes):
    """Tables ``[n, rows, columns]`` with the given standard deviations: row, column, both; their episodes."""
    n, rows, columns = shape
    shapes = [(rows, 1), (1, columns), (rows, columns), (n, rows, 1), (n, 1, columns), (n, rows, columns)]
    return sum(size * random.standard_normal(of) for size, of in zip(sizes, shapes, strict=True))


SIZES = (0.03, 0.02, 0.04, 0.05, 0.06, 0.03)


def test_variance_shares_with_replicates_are_those_of_an_analysis_of_variance():
    tables = drawn(np.random.default_rng(1), (3, 5, 4), SIZES)
    (n, rows, columns), (r, i, j) = tables.shape, np.indices(tables.shape)
    frame = pd.DataFrame({"log": tables.ravel(), "r": r.ravel(), "i": i.ravel(), "j": j.ravel()})
    model = ols("log ~ C(i) + C(j) + C(i):C(j) + C(r) + C(i):C(r) + C(j):C(r)", frame).fit()
    squares = anova_lm(model)
    mean = (squares["sum_sq"] / squares["df"]).to_dict()
    rest, both = mean["Residual"], mean["C(i):C(j)"]
    episodes = {"i": (mean["C(i):C(r)"] - rest) / columns, "j": (mean["C(j):C(r)"] - rest) / rows}
    of_tasks = {
        "i": (mean["C(i)"] - both - mean["C(i):C(r)"] + rest) / (n * columns),
        "j": (mean["C(j)"] - both - mean["C(j):C(r)"] + rest) / (n * rows),
        "both": (both - rest) / n,
    }
    apart = np.maximum([*of_tasks.values(), episodes["i"] + episodes["j"] + rest], 0)
    together = np.maximum([of_tasks["i"] + episodes["i"], of_tasks["j"] + episodes["j"], of_tasks["both"] + rest], 0)
    found = variance_shares([replicated(tables)]).iloc[0]
    names = ["source_task", "target_task", "interaction", "episode"]
    np.testing.assert_allclose(found[names].to_numpy(float), apart / apart.sum(), rtol=1e-8)
    np.testing.assert_allclose(
        found[["source", "target", "residual"]].to_numpy(float), together / together.sum(), rtol=1e-8
    )
    assert found["variance"] == pytest.approx(together.sum(), rel=1e-8)
    assert found[["n_replicates", "n_sources", "n_targets"]].tolist() == [3, 5, 4]
    alone = variance_shares([replicated(tables[:1])]).iloc[0]
    assert alone[names].isna().all()
    assert variance_shares([replicated(tables[:, :, :1])]).iloc[0][[*names, "source"]].isna().all()
    tables[1, 2, 0] = np.nan
    assert variance_shares([replicated(tables)]).iloc[0]["n_sources"] == 4


def test_variance_shares_find_the_parts_that_were_put_in():
    random = np.random.default_rng(2)
    found = variance_shares([replicated(drawn(random, (4, 30, 20), SIZES)) for _ in range(150)])
    parts = np.array([*np.square(SIZES[:3]), np.square(SIZES[3:]).sum()])
    names = ["source_task", "target_task", "interaction", "episode"]
    np.testing.assert_allclose(found[names].mean(), parts / parts.sum(), atol=0.02)
    one = variance_shares([replicated(drawn(random, (1, 30, 20), SIZES)) for _ in range(150)])
    whole = np.square(SIZES)
    np.testing.assert_allclose(
        one[["source", "target", "residual"]].mean(), (whole[:3] + whole[3:]) / whole.sum(), atol=0.02
    )


def test_single_pairs_are_t_tests_against_the_neutral_band():
    random = np.random.default_rng(3)
    luck = np.sort(np.abs(0.02 * random.standard_normal((2, 4, 3))), axis=0)
    # Luck that is symmetric in every pair: a table of skewed luck is no matter of Student's t.
    tables = np.stack([*luck, np.zeros((4, 3)), *-luck]) + np.linspace(-0.1, 0.1, 3)
    tables[2, 2, 2] = np.nan
    found = single_pairs([replicated(tables)], rate=0.1).set_index(["source_index", "target_index"])
    assert len(found) == 12
    p = {}
    for pair, row in found.iterrows():
        logs = tables[:, *pair][np.isfinite(tables[:, *pair])]
        p[pair] = (
            stats.ttest_1samp(logs, HIGH, alternative="greater").pvalue,
            stats.ttest_1samp(logs, 0.0, alternative="less").pvalue,
        )
        assert (row["p_negative"], row["p_positive"]) == pytest.approx(p[pair], rel=1e-9)
        assert row["n"] == len(logs)
        ends = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx((np.exp(ends.low), np.exp(ends.high)), rel=1e-9)
        assert row["geometric_mean"] == pytest.approx(np.exp(logs.mean()), rel=1e-12)
    for k, name in enumerate(("q_negative", "q_positive")):
        adjusted = stats.false_discovery_control([p[pair][k] for pair in found.index])
        np.testing.assert_allclose(found[name], adjusted, rtol=1e-9)
    transfer = found["transfer"].unstack().to_numpy()
    assert (transfer[:, 0] == "positive").all()
    assert (transfer[:, 2] == "negative").sum() >= 3
    assert (transfer[:, 1] != "negative").all()
    stricter = single_pairs([replicated(tables)], method="by")
    assert (stricter["q_negative"].to_numpy() >= found["q_negative"].to_numpy()).all()


def test_single_pairs_without_spread_without_ratios_and_of_a_task_on_itself():
    tables = np.zeros((3, 3, 3))
    tables[:, 0, 1], tables[:, 1, 0] = 0.5, -0.5
    tables[1:, 2, 1] = np.nan
    tables[:, 2, 0] = -np.inf
    found = single_pairs([replicated(tables, same_tasks=True)]).set_index(["source_index", "target_index"])
    assert sorted(found.index) == [(0, 1), (0, 2), (1, 0), (1, 2)]
    assert found["transfer"].to_dict() == {
        (0, 1): "negative",
        (0, 2): "undecided",
        (1, 0): "positive",
        (1, 2): "undecided",
    }
    nothing = single_pairs([replicated(np.full((2, 2, 2), np.nan))])
    assert len(nothing) == 0
    assert "transfer" in nothing
    for rate in (0, 1):
        with pytest.raises(UsageError, match=r"rate of false discoveries"):
            single_pairs([replicated(tables)], rate=rate)


@pytest.mark.parametrize("shape", [(5, 30, 20), (8, 40, 5)])
@pytest.mark.parametrize("sizes", [SIZES, (0, 0, 0.04, 0.1, 0.0, 0.01)])
def test_false_discoveries_are_as_rare_as_promised_though_pairs_share_their_episodes(shape, sizes):
    random = np.random.default_rng(4)
    shares, found = [], 0
    for _ in range(100):
        of_tasks = drawn(random, (1, *shape[1:]), (*sizes[:3], 0, 0, 0))[0]
        null = random.uniform(size=shape[1:]) < 0.8
        truth = np.where(null, HIGH, HIGH + 5 * np.abs(of_tasks))
        negative = single_pairs([replicated(truth + drawn(random, shape, (0, 0, 0, *sizes[3:])))]).query(
            "transfer == 'negative'"
        )
        false = null[negative["source_index"], negative["target_index"]].sum()
        shares.append(false / max(1, len(negative)))
        found += len(negative)
    assert np.mean(shares) < 0.05 + 2 * np.std(shares) / 10
    assert found / (100 * shape[1] * shape[2]) > 0.05


@pytest.mark.parametrize("shape", [(5, 30, 20), (8, 40, 5), (5, 6, 4)], ids=str)
@pytest.mark.parametrize("kind", ["left-skewed", "right-skewed", "t, 3 degrees"])
def test_false_discoveries_are_as_rare_as_promised_however_luck_is_skewed(shape, kind):
    for row in coverage.false_discoveries(50, [shape], [kind]):
        if row["of"] == "false":
            assert row["share"] <= 0.05 + 2 * row["error"], "a t test alone calls far more"


def test_of_luck_that_is_not_skewed_pairs_are_found():
    found = [row["share"] for row in coverage.false_discoveries(20, [(5, 30, 20)], ["normal"]) if row["of"] == "found"]
    assert min(found) > 0.4


def test_both_sides_are_tested_alike():
    random = np.random.default_rng(6)
    tables = coverage.luck(random, "left-skewed", "source, target, pair", (6, 20, 15)) + 0.1 * random.standard_normal(
        (20, 15)
    )
    low, high = np.log(NEUTRAL_BAND)
    found, mirrored = single_pairs([replicated(tables)]), single_pairs([replicated(low + high - tables)])
    np.testing.assert_allclose(found["q_negative"], mirrored["q_positive"], rtol=1e-6)
    np.testing.assert_allclose(found["q_positive"], mirrored["q_negative"], rtol=1e-6)


def test_the_scale_of_skewness_is_that_of_exponential_luck_whatever_its_spread():
    random = np.random.default_rng(7)
    spread = np.exp(random.standard_normal((200, 200)))
    for n in (3, 5, 8):
        exponential = pair_skewness(spread * random.exponential(size=(n, 200, 200)))
        assert exponential.mean() == pytest.approx(2, abs=0.05)
        assert pair_skewness(-spread * random.exponential(size=(n, 200, 200))).mean() == pytest.approx(-2, abs=0.05)
        assert pair_skewness(spread * random.standard_normal((n, 200, 200))).mean() == pytest.approx(0, abs=0.05)
    some = random.exponential(size=(5, 1, 3))
    some[:3, 0, 0], some[:, 0, 1] = np.nan, 0.1
    assert np.isnan(pair_skewness(some)).tolist() == [[True, True, False]], (
        "two values have no skewness, nor have equal ones"
    )
    assert pair_skewness(some)[0, 2] / stats.skew(some[:, 0, 2]) == pytest.approx(2 / 0.54, rel=0.02)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_p_values_are_those_of_skewed_luck(n):
    """Against an independent simulation: of exponential luck and no difference, one in a thousand p-values is below 0.001."""
    luck = 1 - np.random.default_rng(8).exponential(size=(n, 300_000))
    t = luck.mean(axis=0) / stats.sem(luck, axis=0)
    p = upper_tail(t, n, 2.0)
    for level in (0.05, 0.01, 0.001):
        assert (p <= level).mean() == pytest.approx(level, rel=0.25)
        assert (stats.t.sf(t, n - 1) <= level).mean() > 2 * level
    np.testing.assert_allclose(upper_tail(t[:100], n, 0.0), stats.t.sf(t[:100], n - 1), rtol=1e-9)
    far = np.geomspace(1, 1e6, 200)
    assert (np.diff(upper_tail(far, n, 1.3)) < 0).all(), (
        "the larger the statistic the smaller the p-value, far beyond what was simulated"
    )


def test_what_a_table_cannot_tell_is_not_decided_and_says_why(tmp_path):
    random = np.random.default_rng(9)
    skewed = [0.5 - 0.02 * random.exponential(size=(5, 30, 20)) ** 2, 0.5 + 0.02 * random.standard_normal((2, 30, 20))]
    found = single_pairs([replicated(skewed[0])])
    assert found[["p_negative", "q_negative"]].isna().all(axis=None), "though every pair is far beyond the band"
    assert found[["p_positive", "q_positive"]].notna().all(axis=None)
    assert (found["transfer"] == "undecided").all()
    assert found["note"].str.startswith("no pair is called negative: the resampling noise has a skewness of -").all()
    two = single_pairs([replicated(skewed[1])])
    assert (two["transfer"] == "undecided").all()
    told = "no pair is called negative: 2 replicates of 600 pairs do not tell how skewed their resampling noise is"
    assert (two["note"] == told).all()
    assert two["q_positive"].gt(0.05).all(), "where even Student's t calls none there is nothing to refuse"
    counts = summarise_replicates([replicated(skewed[0]), replicated(skewed[1])])
    assert counts["single_negative"].isna().all(), "not decided is not none"
    assert (counts["single_positive"] == 0).all()
    assert (counts["single_undecided"] == 600).all()
    told = replicates_text(counts)
    assert "nan" not in told.replace(" nan ", " ").replace("alpha nan", "")  # a table from elsewhere has no step size
    assert "<NA>" not in told
    assert told.count("\n–: no pair is") == 2
    assert json.loads(json_text(counts))[1]["single_negative"] is None


def test_pairs_by_themselves_without_correction_are_wrong_more_often():
    """What the correction is for: with a true mean at the margin everywhere, one test in twenty would call a pair negative."""
    random = np.random.default_rng(5)
    tables = [HIGH + drawn(random, (5, 30, 20), (0, 0, 0, *SIZES[3:])) for _ in range(40)]
    pairs = single_pairs([replicated(table) for table in tables])
    assert (pairs["p_negative"] < 0.05).mean() == pytest.approx(0.05, abs=0.02)
    assert (pairs["transfer"] == "negative").mean() < 0.002


def test_counts_are_of_single_pairs_and_variance_shares(measured):
    run = measured(replicates=4)
    found = summarise_replicates(run.blocks())
    kinds, parts = single_pairs(run.blocks()), variance_shares(run.blocks())
    for k, (_, row) in enumerate(found.iterrows()):
        here = kinds[kinds["alpha"] == row["alpha"]]
        for kind in ("positive", "negative", "undecided"):
            assert row[f"single_{kind}"] == (here["transfer"] == kind).sum()
        assert row["episode"] == parts["episode"].iloc[k]
        assert row["n_replicates"] == 4


# The command line


def test_the_command_measures_and_prints_replicates(tmp_path, checkpoint):
    tr.save_checkpoint(checkpoint, tmp_path / "net.safetensors")
    words = [
        "compute",
        str(tmp_path / "net.safetensors"),
        "--learner",
        "tests.strangers:PixelPrototypes",
        "--source",
        "strokes:train",
    ]
    words += ["--target", "shapes:test", "--n-source", "4", "--n-target", "3", "--alpha", "0.1", "--replicates", "3"]
    out = tmp_path / "run"
    result = CliRunner().invoke(main, [*words, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "Single pairs, by 3 episodes each" in result.output
    [row] = json.loads(CliRunner().invoke(main, ["summary", str(out), "--json"]).output)
    expected = summarise_replicates(tr.open_run(out).blocks()).iloc[0]
    assert row["single_undecided"] == expected["single_undecided"]
    assert row["episode"] == pytest.approx(expected["episode"])
    assert row["single_note"] == expected["note"]
    assert row["q01_low"] is None
    assert "q01 needs 368 tasks on the smaller side, which has 3" in row["intervals_note"]
    assert CliRunner().invoke(main, ["export", str(out), str(tmp_path / "pairs.csv")]).exit_code == 0
    assert len(pd.read_csv(tmp_path / "pairs.csv")) == 3 * 4 * 3
    assert CliRunner().invoke(main, ["export", str(out), str(tmp_path / "matrices.npz")]).exit_code == 0
    with np.load(tmp_path / "matrices.npz") as matrices:
        assert len(matrices.files) == 3
        name = next(name for name in matrices.files if name.endswith("replicate=2"))
        np.testing.assert_array_equal(matrices[name], tr.open_run(out).matrix(replicate=2))


class FailsElsewhere(PixelPrototypes):
    """Has no loss on one episode, which is the first replicate of the first target of the command below."""

    def episode_loss(self, params, episode):
        lost = torch.equal(episode.query_x, tr.few_shot("shapes:test", ways=3, queries=2, seed=2).redraw(0).query_x)
        return super().episode_loss(params, episode) * (torch.nan if lost else 1.0)


def test_cells_that_fail_in_a_later_replicate_are_told(tmp_path, checkpoint):
    tr.save_checkpoint(checkpoint, tmp_path / "net.safetensors")
    words = [
        "compute",
        str(tmp_path / "net.safetensors"),
        "--learner",
        "tests.test_replicates:FailsElsewhere",
        "--engine",
        "loop",
    ]
    words += [
        "--source",
        "strokes:train",
        "--target",
        "shapes:test",
        "--ways",
        "3",
        "--queries",
        "2",
        "--n-source",
        "4",
        "--n-target",
        "2",
    ]
    out = tmp_path / "run"
    result = CliRunner().invoke(main, [*words, "--alpha", "0.1", "--replicates", "3", "--out", str(out)])
    assert result.exit_code == 3
    assert "4 of 24 cells failed" in result.stderr
    assert (tr.open_run(out).pairs()["status"] == "ok").all()
    pairs = single_pairs(tr.open_run(out).blocks())
    assert pairs["n"].tolist() == [2, 3] * 4
    assert "nan" not in result.stdout, "no source has all its cells, so that there are no shares of the variance"
    assert CliRunner().invoke(main, ["report", str(out), "-o", str(tmp_path / "x.html")]).exit_code == 0
    assert "of which some have no ratio: 4 non_finite" in (tmp_path / "x.html").read_text()
