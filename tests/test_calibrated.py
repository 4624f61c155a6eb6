"""Which pairs are measured exactly beside the estimates, and what they say of the whole table."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import transference as tr
from transference.blocks import Block
from transference.cli import main
from transference.errors import StoreError, UsageError
from transference.measurement._sample import missing
from transference.plan import ExactTile
from transference.statistics import NEUTRAL_BAND, classify
from transference.statistics._calibrated import _regression_estimate
from transference.store import Store

pytestmark = pytest.mark.slow

ALPHAS = (0.03, 0.3)
KEYS = ["checkpoint_step", "source", "target", "alpha"]


def measure_here(out, learner, checkpoint, sources, targets, **changes):
    settings = {
        "n_source": 12,
        "n_target": 10,
        "lookahead": tr.SGD(ALPHAS),
        "precision": "fp64",
        "device": "cpu",
        **changes,
    }
    return tr.measure(learner, checkpoint, sources, targets, out=out, **settings)


@pytest.fixture
def both_modes(strokes, shapes):
    tasks = lambda dataset, seed: tr.FewShot(dataset, ways=3, shots=1, queries=2, seed=seed)
    return [tasks(strokes, 0), tasks(shapes, 0)], [tasks(shapes, 1), tasks(strokes, 1)]


def cells_of(run):
    return set(map(tuple, run.exact_pairs()[["source", "target"]].to_numpy().tolist()))


# The sample


def test_a_sample_is_the_same_in_any_tiling_and_grows_with_its_share(tmp_path, learner, checkpoint, both_modes):
    asked = [((5, 7), {}), ((24, 20), {}), ((24, 1), {"share": 0.6}), ((24, 20), {"seed": 1})]
    estimators = [tr.Calibrated(**{"checked": 1, "share": 0.3, **words}) for _, words in asked]
    runs = [
        measure_here(tmp_path / str(k), learner, checkpoint, *both_modes, tile=tile, estimator=estimator)
        for k, ((tile, _), estimator) in enumerate(zip(asked, estimators, strict=True))
    ]
    cells = [cells_of(run) for run in runs]
    assert cells[0] == cells[1] < cells[2]
    assert cells[0] != cells[3]
    np.testing.assert_allclose(runs[0].exact_pairs()["loss_after"], runs[1].exact_pairs()["loss_after"], rtol=1e-12)
    frame = runs[2].exact_pairs()
    per_pair = frame[frame["alpha"] == ALPHAS[0]].groupby(["source_mode", "target_mode"], observed=True).size()
    assert per_pair.between(0.6 * 120 - 16, 0.6 * 120 + 16).all(), "three standard deviations of a binomial"
    assert len(per_pair) == 4


def test_sampled_pairs_are_those_of_an_exact_run(tmp_path, learner, checkpoint, both_modes):
    exact = measure_here(tmp_path / "exact", learner, checkpoint, *both_modes)
    run = measure_here(
        tmp_path / "run", learner, checkpoint, *both_modes, estimator=tr.Calibrated(checked=8, share=0.01), tile=(7, 6)
    )
    found = run.exact_pairs()
    there = found[KEYS].merge(exact.pairs(), on=KEYS)
    assert 8 * 4 * 2 / 2 < len(found) == len(there)
    for column in ("loss_before", "loss_after", "loss_ratio"):
        np.testing.assert_allclose(found[column], there[column], rtol=1e-12)
    np.testing.assert_allclose(
        run.self_transference()["loss_ratio"], exact.self_transference()["loss_ratio"], rtol=1e-12
    )
    assert tr.verify(run.path).complete


def test_how_many_pairs_are_exact():
    cells = np.array([[300, 100], [20, 60]])
    np.testing.assert_allclose(tr.FirstOrder(checked=48).shares(cells), 0.1)
    np.testing.assert_allclose(tr.FirstOrder(checked=1000).shares(cells), 1.0)
    np.testing.assert_allclose(tr.Calibrated(checked=30, share=0.2).shares(cells), [[0.2, 0.3], [1.0, 0.5]])


# What it says of the table


@pytest.fixture
def table():
    """A made table of two mode pairs: blocks of estimates that lack the curvature, and all pairs measured exactly."""
    random = np.random.default_rng(0)
    slopes = 0.02 * random.standard_normal((80, 100))
    log_ratio = slopes + 2.0 * slopes**2 + 0.003 * random.standard_normal(slopes.shape) * (1 + 40 * np.abs(slopes))
    source, target = (places.ravel() for places in np.indices(slopes.shape))
    modes = np.where(target < 60, "b", "c")
    exact = pd.DataFrame(
        {
            "checkpoint_step": 1,
            "alpha": 0.1,
            "source": source,
            "target": target,
            "source_mode": "a",
            "target_mode": modes,
        }
    )
    exact = exact.assign(loss_ratio=np.exp(log_ratio).ravel(), estimate=1 + slopes.ravel(), status="ok")
    return blocks_of(1 + slopes), exact


def blocks_of(change):
    known = np.where(change > 0, change, np.nan)
    parts = (("b", slice(0, 60)), ("c", slice(60, 100)))
    return [
        Block(1, 0.1, "a", mode, known[:, at], change[:, at], change[:, at] - 1, np.full(at.stop - at.start, np.nan))
        for mode, at in parts
    ]


def truth_of(exact):
    rows = {}
    for mode, group in exact.groupby("target_mode"):
        ratio = group["loss_ratio"].to_numpy()
        shares = {name: (classify(ratio) == name).mean() for name in ("positive", "neutral", "negative")}
        rows[mode] = {"geometric_mean": np.exp(np.log(ratio).mean()), **shares}
    return pd.DataFrame(rows).T


def test_intervals_cover_the_table_and_are_narrow(table):
    random = np.random.default_rng(1)
    blocks, exact = table
    truth, nothing = truth_of(exact), 1 + 0.01 * random.standard_normal((80, 100))
    tables = {"told": (blocks, exact), "blind": (blocks_of(nothing), exact.assign(estimate=nothing.ravel()))}
    covered, widths = [], {"told": [], "blind": []}
    for _ in range(200):
        chosen = random.random(len(exact)) < 0.05
        for name, (estimates, pairs) in tables.items():
            found = tr.calibrate(estimates, pairs[chosen]).set_index("target_mode")
            assert found["n"].tolist() == [4800, 3200]
            assert found["n_exact"].sum() == chosen.sum()
            low, high = (found[[f"{c}{end}" for c in truth]].to_numpy(float) for end in ("_low", "_high"))
            widths[name].append(np.log(high / low)[:, 0])
            covered.append((low <= truth.to_numpy(float)) & (truth.to_numpy(float) <= high))
    share = np.mean(covered, axis=0)
    assert ((share >= 0.92) & (share <= 0.99)).all(), share
    assert np.median(widths["told"]) < 0.5 * np.median(widths["blind"])


def test_a_share_of_all_pairs_gives_the_table_itself(table):
    found = tr.calibrate(*table).set_index("target_mode")
    truth = truth_of(table[1])
    for column in truth:
        np.testing.assert_allclose(found[column].astype(float), truth[column].astype(float), rtol=1e-9)
        np.testing.assert_allclose(found[f"{column}_low"], found[f"{column}_high"], rtol=1e-9)


def test_too_few_exact_pairs_give_no_interval(table):
    blocks, exact = table
    found = tr.calibrate(blocks, exact.iloc[[0, 1, 2, 70, 71]])
    assert found["n_exact"].tolist() == [3, 2]
    assert found.filter(like="positive").isna().all(axis=None)
    assert tr.calibrate(blocks, exact.iloc[:0])["n_exact"].tolist() == [0, 0]


def test_a_failed_exact_pair_counts_for_nothing_and_an_estimate_below_zero_still_tells(table):
    blocks, exact = table
    expected = tr.calibrate(blocks, exact.iloc[:400])
    assert expected.pop("exact_failed").tolist() == [0, 0]
    failed = exact.iloc[400:410].assign(status="non_finite", loss_ratio=np.nan)
    for without in (failed, failed.assign(status="zero_loss"), failed.assign(status="ok", loss_ratio=0.0)):
        found = tr.calibrate(blocks, pd.concat([exact.iloc[:400], without]))
        assert found.pop("exact_failed").sum() == 10
        pd.testing.assert_frame_equal(found, expected)
    below = exact.iloc[:400].assign(estimate=exact["estimate"].where(exact.index != 5, -0.1))
    assert tr.calibrate(blocks, below)["n_exact"].sum() == 400
    blocks[0].change[0, 0] = np.nan
    assert tr.calibrate(blocks, below)["n"].tolist() == [4800, 3200]


def test_a_rare_class_does_not_hang_on_one_pair(table):
    band = (NEUTRAL_BAND[0], 1.06)  # hardly any pair is negative
    blocks, exact = table
    found = tr.calibrate(blocks, exact[np.random.default_rng(2).random(8000) < 0.05], band=band)
    truth = [(classify(g["loss_ratio"], band) == "negative").mean() for _, g in exact.groupby("target_mode")]
    assert (found["negative_high"] - found["negative_low"] < 0.03).all()
    assert ((found["negative_low"] <= truth) & (truth <= found["negative_high"])).all()


def test_the_variance_is_that_of_leaving_each_pair_out():
    random = np.random.default_rng(3)
    features = random.standard_normal((20, 2))
    values, at = features @ [1.0, -2.0] + random.standard_normal(20) * np.abs(features[:, 0]), np.array([0.3, 0.1])
    fit = lambda keep: (
        np.linalg.lstsq(np.column_stack([np.ones(keep.sum()), features[keep]]), values[keep], rcond=None)[0]
        @ [1.0, *at]
    )
    whole = fit(np.ones(20, bool))
    apart = [fit(np.arange(20) != k) for k in range(20)]
    value, half_width = _regression_estimate(values, features, at, n_pairs=80, level=0.95)
    assert value == pytest.approx(whole, rel=1e-12)
    assert half_width == pytest.approx(
        2.1098155778331806 * np.sqrt(np.sum((np.array(apart) - whole) ** 2) * (1 - 20 / 80)), rel=1e-9
    )


# Until the intervals are narrow enough


def wide(run):
    found = tr.calibrate(run.blocks(), run.exact_pairs())
    halves = [(np.log(found["geometric_mean_high"]) - np.log(found["geometric_mean"])).max()]
    return max(
        halves + [((found[f"{c}_high"] - found[f"{c}_low"]) / 2).max() for c in ("positive", "neutral", "negative")]
    )


def test_pairs_are_added_until_every_interval_is_narrow_interrupted_or_not(
    tmp_path, learner, checkpoint, both_modes, monkeypatch
):
    def measured(name, **words):
        estimator = tr.Calibrated(checked=8, share=0.1, **words)
        return measure_here(
            tmp_path / name,
            learner,
            checkpoint,
            *both_modes,
            estimator=estimator,
            n_source=30,
            n_target=15,
            tile=(60, 10),
        )

    run, fewer = measured("whole", half_width=0.1), measured("fewer")
    found = sorted(path.name for path in (run.path / "exact" / "checkpoint_step=00000010").iterdir())
    assert found[:2] == ["round=0", "round=1"]
    assert wide(run) <= 0.1 < wide(fewer)
    assert cells_of(fewer) < cells_of(run)
    assert tr.verify(run.path).complete

    class Killed(Exception):
        pass

    write, left = Store.write, [4]

    def stops(store, part, *tables):
        if isinstance(part, ExactTile):
            if not left[0]:
                raise Killed
            left[0] -= 1
        write(store, part, *tables)

    monkeypatch.setattr(Store, "write", stops)
    with pytest.raises(Killed):
        measured("killed", half_width=0.1)
    killed = tr.open_run(tmp_path / "killed")
    assert killed.progress() == (3 + 3, 6), "the first round is whole"
    assert cells_of(killed) == cells_of(fewer), "a part of a round is no random sample"
    left[0] = 100
    pd.testing.assert_frame_equal(measured("killed", half_width=0.1).exact_pairs(), run.exact_pairs())


def test_a_run_that_was_killed_in_its_last_round_goes_on_with_the_same_pairs(tmp_path, learner, checkpoint, both_modes):
    def measured():
        return measure_here(tmp_path / "run", learner, checkpoint, *both_modes, n_source=8, n_target=6, tile=(8, 6),
                            estimator=tr.Calibrated(checked=1, share=0.1, half_width=0.02))  # fmt: skip

    run = measured()
    rounds = sorted(run.path.glob("exact/*/round=*"), key=lambda folder: int(folder.name[6:]))
    assert len(rounds) > 2
    whole = {path: path.read_bytes() for path in run.path.glob("exact/*/*/*.parquet")}
    next(rounds[-1].iterdir()).unlink()
    measured()
    assert {path: path.read_bytes() for path in run.path.glob("exact/*/*/*.parquet")} == whole


def test_a_width_out_of_reach_ends_with_every_pair_exact(tmp_path, learner, checkpoint, both_modes):
    run = measure_here(tmp_path / "run", learner, checkpoint, *both_modes, n_source=3, n_target=3,
                       estimator=tr.Calibrated(checked=1, share=0.1, half_width=1e-9))  # fmt: skip
    assert len(cells_of(run)) == 36
    assert not missing(Store(run.path), run.spec, tr.Calibrated(checked=1, share=0.1, half_width=1e-9).sample, 10)


# The folder


@pytest.fixture
def run(tmp_path, learner, checkpoint, both_modes):
    return measure_here(
        tmp_path / "run", learner, checkpoint, *both_modes, estimator=tr.Calibrated(checked=4, share=0.2), tile=(10, 10)
    )


def test_a_run_that_lacks_exact_pairs_says_so(run):
    file = next(run.path.glob("exact/*/*/*.parquet"))
    file.unlink()
    assert tr.open_run(run.path).progress() == (11, 12)
    with pytest.raises(StoreError, match=r"lacks exact pairs that belong to it. Repeat the command in its run.json"):
        run.exact_pairs()
    assert [problem for problem in tr.verify(run.path).problems if f"{file} is missing" in problem]


def test_a_share_alone_makes_a_sample_that_can_be_missed(tmp_path, learner, checkpoint, both_modes):
    run = measure_here(
        tmp_path / "run", learner, checkpoint, *both_modes, estimator=tr.Calibrated(checked=0, share=0.2), tile=(10, 10)
    )
    next(run.path.glob("exact/*/*/*.parquet")).unlink()
    with pytest.raises(StoreError, match="lacks exact pairs"):
        run.exact_pairs()
    assert not tr.verify(run.path).complete


def test_exact_files_that_are_not_what_they_should_be_are_found(run):
    first, second = sorted(run.path.glob("exact/*/*/*.parquet"))[:2]
    whole = first.read_bytes()
    for content, message in ((second.read_bytes(), "belongs elsewhere"), (whole[:100], "damaged or missing")):
        first.write_bytes(content)
        assert [problem for problem in tr.verify(run.path).problems if str(first) in problem and message in problem]
    first.write_bytes(whole)
    assert tr.verify(run.path).complete
    shutil.copy(first, first.with_name("tile-000001-000001.parquet"))
    assert "belongs to no tile of this run" in tr.verify(run.path).problems[0]


def test_an_exact_run_has_no_sample(tmp_path, learner, checkpoint, sources, targets):
    run = measure_here(tmp_path / "run", learner, checkpoint, sources, targets, n_source=2, n_target=2)
    assert run.exact_pairs().empty
    assert run.exact_pairs().columns.tolist() == [*run.pairs().columns, "estimate"]
    assert run.progress() == (1, 1)


# The command


def test_compute_and_summary_print_intervals(tmp_path):
    runner = CliRunner()
    trained = "--learner maml --modes strokes --ways 3 --queries 2 --iterations 3 --out"
    assert runner.invoke(main, ["train", *trained.split(), str(tmp_path / "t")]).exit_code == 0
    asked = "--source strokes:train --target strokes:val --n-source 6 --n-target 6 --alpha 0.01 --estimator calibrated --share 0.5 --out"
    result = runner.invoke(
        main, ["compute", str(tmp_path / "t" / "step-00000003.safetensors"), *asked.split(), str(tmp_path / "run")]
    )
    assert result.exit_code == 0, result.output
    for text in (
        "As estimated, every pair:",
        "Calibrated by exact pairs, with 95 % intervals for this table:",
        "First order beside exact",
    ):
        assert text in result.stdout
    assert runner.invoke(main, ["summary", str(tmp_path / "run")]).stdout in result.stdout
    (row,) = json.loads(runner.invoke(main, ["summary", str(tmp_path / "run"), "--json"]).stdout)
    assert row["n_exact"] == 36, "at least 64 pairs were asked for"
    assert row["calibrated_positive_low"] == pytest.approx(row["calibrated_positive"])
    assert row["n"] == 36
    for kind in ("types", "blocks", "histogram"):
        drawn = tmp_path / f"{kind}.svg"
        result = runner.invoke(main, ["plot", str(tmp_path / "run"), "--kind", kind, "-o", str(drawn)])
        assert result.exit_code == 0, result.output
        data = pd.read_csv(drawn.with_suffix(".csv"))
        name = "geometric_mean" if kind == "blocks" else "positive"
        here = (
            data[data["class"] == f"calibrated share, {name}"]
            if kind == "histogram"
            else data[(data["of"] == "calibrated") & (data["statistic"] == name)]
        )
        assert here[["value", "low", "high"]].to_numpy()[0] == pytest.approx(
            [row[f"calibrated_{name}{end}"] for end in ("", "_low", "_high")]
        )
        assert "calibrated" in drawn.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "first-order --share 0.1",
            "--share 0.1 was given with --estimator first-order; it belongs to --estimator calibrated",
        ),
        ("exact --half-width 0.1", "--half-width 0.1 was given with --estimator exact"),
        ("calibrated --share 1.5", "A share of 1.5 of the pairs"),
        ("calibrated --half-width 0", "Intervals of 0.0 to either side"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, words, message, checkpoint):
    tr.save_checkpoint(checkpoint, tmp_path / "net.safetensors")
    settings = "--learner tests.strangers:PixelPrototypes --ways 3 --source strokes:train --target strokes:val --alpha 0.1 --estimator"
    command = [
        "compute",
        str(tmp_path / "net.safetensors"),
        *f"{settings} {words}".split(),
        "--out",
        str(tmp_path / "run"),
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not (tmp_path / "run").exists()


def test_the_python_api_refuses_them_too():
    with pytest.raises(UsageError, match="A share of 0 of the pairs"):
        tr.Calibrated(share=0)
