"""The controls of a run, and what gradients alone say of its ratios."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import transference as tr
from tests.strangers import PixelPrototypes
from transference.engines import GradientRows
from transference.errors import StoreError, UsageError
from transference.measurement._controlled import controlled_pairs, default_controls
from transference.store import CONTROL_NAMES, _cells, verify
from transference.store._schema import OLD_CONTROL_NAMES


def measured(out, learner, checkpoint, sources, targets, **changes):
    words = {"n_source": 6, "n_target": 5, "lookahead": tr.SGD((0.01, 0.1)), "controls": 7, **changes}
    return tr.measure(learner, checkpoint, sources, targets, out=out, **words)


@pytest.fixture
def run(tmp_path, learner, checkpoint, sources, targets):
    return measured(tmp_path / "run", learner, checkpoint, sources, targets)


def ratio_in_double(learner, checkpoint, source, target, displacement):
    params = {name: value.double() for name, value in checkpoint.params.items()}
    moved = {name: value + displacement[name] for name, value in params.items()}
    target = target.to("cpu", torch.float64)
    return float(learner.episode_loss(moved, target) / learner.episode_loss(params, target))


def gradient_in_double(learner, checkpoint, episode):
    params = {name: value.double().requires_grad_() for name, value in checkpoint.params.items()}
    loss = learner.episode_loss(params, episode.to("cpu", torch.float64))
    return float(loss.detach()), dict(zip(params, torch.autograd.grad(loss, list(params.values())), strict=True))


@pytest.mark.slow
def test_every_control_is_what_it_says(run, learner, checkpoint, sources, targets):
    controls = run.controls()
    assert set(controls["control"]) == set(CONTROL_NAMES)
    assert (controls.groupby(["control", "alpha"], observed=True).size() == 7).all()
    table = run.pairs().set_index(["alpha", "source", "target"])["loss_ratio"]
    of = {
        name: controls[controls["control"] == name].set_index(["alpha", "source", "target"])["loss_ratio"]
        for name in CONTROL_NAMES
    }
    assert (of["zero"] == 1).all()
    np.testing.assert_allclose(of["measured"], table[of["measured"].index], rtol=1e-6)
    for (alpha, i, j), ratio in of["float64"].items():
        _, gradient = gradient_in_double(learner, checkpoint, sources[i])
        down = {name: -alpha * value for name, value in gradient.items()}
        assert ratio == pytest.approx(ratio_in_double(learner, checkpoint, sources[i], targets[j], down), rel=1e-12)
        _, other = gradient_in_double(learner, checkpoint, sources.redraw(i))
        elsewhere = {name: -alpha * value for name, value in other.items()}
        anew = ratio_in_double(learner, checkpoint, sources.redraw(i), targets.redraw(j), elsewhere)
        assert of["resampled"][alpha, i, j] == pytest.approx(anew, rel=1e-5)
        assert of["random_direction"][alpha, i, j] != of["measured"][alpha, i, j]


def test_a_random_direction_is_as_long_as_the_step_and_knows_nothing_of_it(tmp_path, checkpoint, sources, targets):
    seen = []

    class Watching(PixelPrototypes):
        def episode_loss(self, params, episode):
            if not any(value.requires_grad for value in params.values()):
                seen.append({name: (params[name] - checkpoint.params[name]).double() for name in params})
            return super().episode_loss(params, episode)

    run = measured(
        tmp_path / "run",
        Watching(),
        checkpoint,
        sources,
        targets,
        estimator=tr.Exact("loop"),
        n_source=2,
        n_target=2,
        controls=1,
    )
    norms = run.sources().set_index("alpha").loc[0.1, "displacement_norm"]
    lengths = [float(torch.cat([value.flatten() for value in tree.values()]).norm()) for tree in seen]
    steps = [tree for tree, length in zip(seen, lengths, strict=True) if np.isclose(norms, length, rtol=1e-3).any()]
    flat = torch.stack([torch.cat([value.flatten() for value in tree.values()]) for tree in steps])
    cosines = torch.nn.functional.normalize(flat) @ torch.nn.functional.normalize(flat).T
    assert (cosines.abs() < 0.05).any(), "some step of the same length is at right angles to the others"


def test_pairs_with_controls_are_few_different_and_of_every_mode_pair(run):
    spec = replace(
        run.spec, controls=9, sources=(run.spec.sources[0], replace(run.spec.sources[0], sampler="other", n=4))
    )
    for n, per_pair in ((9, 9), (1000, 30)):
        chosen = controlled_pairs(replace(spec, controls=n))
        cells = [(i, j) for i, targets in chosen.items() for j in targets]
        assert len(cells) == len(set(cells))
        assert sum(i < 6 for i, _ in cells) == per_pair
        assert sum(i >= 6 for i, _ in cells) == min(per_pair, 20)
    assert max(i for i, _ in cells) == 9
    assert max(j for _, j in cells) == 4


def test_by_default_one_pair_in_a_hundred_has_controls():
    assert [default_controls(n, 20, estimated=False) for n in (1, 2, 5, 100, 300, 1000)] == [2, 4, 8, 20, 60, 64]
    assert default_controls(1000, 1000, estimated=True) == 16


def test_estimates_have_exact_controls(tmp_path, learner, checkpoint, sources, targets, run):
    other = measured(tmp_path / "fo", learner, checkpoint, sources, targets, estimator=tr.FirstOrder(checked=0))
    columns = ["control", "alpha", "source", "target"]
    one, two = (r.controls().sort_values(columns)["loss_ratio"].to_numpy() for r in (run, other))
    np.testing.assert_allclose(one, two, rtol=1e-6)


def test_a_sampler_that_cannot_draw_anew_has_no_fresh_episodes(tmp_path, learner, checkpoint, sources, targets):
    class Plain:
        name = "plain"

        def __getitem__(self, index):
            return sources[index]

    run = measured(tmp_path / "run", learner, checkpoint, Plain(), targets)
    assert set(run.controls()["control"]) == set(CONTROL_NAMES) - {"resampled"}
    assert tr.control_bands(run.controls())["resampled_low"].isna().all()


def test_a_learner_that_is_float32_at_heart_has_no_control_in_float64(tmp_path, checkpoint, sources, targets):
    class Single(PixelPrototypes):
        def episode_loss(self, params, episode):
            return super().episode_loss(params, episode) + (episode.query_x.flatten(1) @ torch.zeros(3 * 28 * 28)).sum()

    run = measured(tmp_path / "run", Single(), checkpoint, sources, targets)
    assert set(run.controls()["control"]) == set(CONTROL_NAMES) - {"float64"}
    assert tr.control_bands(run.controls())["float64"].isna().all()


def test_a_device_too_small_for_float64_loses_that_control_and_nothing_else(tmp_path, checkpoint, sources, targets):
    class Large(PixelPrototypes):
        def episode_loss(self, params, episode):
            if params["map.bias"].dtype == torch.float64:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().episode_loss(params, episode)

    run = measured(tmp_path / "run", Large(), checkpoint, sources, targets)
    assert set(run.controls()["control"]) == set(CONTROL_NAMES) - {"float64"}
    assert tr.verify(run.path).complete


def test_without_controls_there_are_none(tmp_path, learner, checkpoint, sources, targets):
    run = measured(tmp_path / "run", learner, checkpoint, sources, targets, controls=0)
    assert len(run.controls()) == 0
    assert len(tr.control_bands(run.controls())) == 0
    assert tr.verify(run.path).complete
    with pytest.raises(UsageError, match="give 0 or more"):
        measured(tmp_path / "other", learner, checkpoint, sources, targets, controls=-1)


def test_controls_that_are_lost_are_noticed_and_made_again(run, learner, checkpoint, sources, targets):
    [file] = run.path.glob("controls/*/*.parquet")
    whole = file.read_bytes()
    file.unlink()
    assert [problem for problem in tr.verify(run.path).problems if "controls.parquet is missing" in problem]
    with pytest.raises(StoreError, match="missing"):
        run.controls()
    measured(run.path, learner, checkpoint, sources, targets)
    assert file.read_bytes() == whole
    assert tr.verify(run.path).complete


def test_a_task_drawn_anew_has_the_same_classes_and_other_images(strokes):
    tasks = tr.FewShot(strokes, ways=3, shots=2, queries=4, seed=3)
    one, two = tasks[5], tasks.redraw(5)
    assert torch.equal(one.query_y, two.query_y)
    assert not torch.equal(one.support_x, two.support_x)
    assert torch.equal(two.support_x, tasks.redraw(5).support_x)
    rows = [
        strokes.images[start:stop].float() / 255
        for start, stop in zip(strokes.starts, strokes.starts[1:], strict=False)
    ]
    class_of = lambda image: next(k for k, images in enumerate(rows) if (images == image).flatten(1).all(1).any())
    assert [class_of(image) for image in one.support_x] == [class_of(image) for image in two.support_x]


def test_a_function_drawn_anew_is_the_same_function():
    tasks = tr.FunctionFamily("quadratic", noise=0.0, shots=3, queries=9)
    one, two = tasks[4], tasks.redraw(4)
    fit = np.polynomial.Polynomial.fit(one.query_x[:, 0], one.query_y[:, 0], 2)
    assert not torch.equal(one.query_x, two.query_x)
    np.testing.assert_allclose(fit(two.query_x[:, 0].numpy()), two.query_y[:, 0], atol=1e-3)
    with pytest.raises(IndexError):
        tasks.redraw(-1)


def table_of(controls):
    rows = [
        {
            "checkpoint_step": 1,
            "alpha": 0.1,
            "source_mode": "a",
            "target_mode": "b",
            "source": k,
            "target": k,
            "control": name,
            "loss_ratio": x,
        }
        for name, ratios in controls.items()
        for k, x in enumerate(ratios)
    ]
    return pd.DataFrame(rows)


@pytest.mark.slow
def test_bands_hold_as_many_as_they_say():
    generator, inside = np.random.default_rng(0), []
    for _ in range(400):
        draws = generator.normal(size=(3, 9))
        logs = {
            "measured": 0.2 * draws[0] + 0.05 * draws[1],
            "resampled": 0.2 * draws[0] + 0.05 * draws[2],
            "random_direction": 0.03 + 0.1 * draws[1],
        }
        [band] = tr.control_bands(table_of({name: np.exp(log) for name, log in logs.items()})).to_dict("records")
        another = generator.normal(size=2)
        inside.append(
            [
                band["resampled_low"] < np.exp(0.05 * another[0]) < band["resampled_high"],
                band["random_direction_low"] < np.exp(0.03 + 0.1 * another[1]) < band["random_direction_high"],
            ]
        )
    for hits in np.sum(inside, axis=0):
        assert stats.binomtest(int(hits), 400, 0.95).pvalue > 1e-3


def test_controls_of_version_0_1_are_read_under_their_names_of_today(
    tmp_path, learner, checkpoint, sources, targets, monkeypatch
):
    measure_here = lambda out: measured(out, learner, checkpoint, sources, targets, lookahead=tr.SGD(0.1))
    now = measure_here(tmp_path / "now").controls()
    old = tuple({new: name for name, new in OLD_CONTROL_NAMES.items()}.get(name, name) for name in CONTROL_NAMES)
    write = _cells.control_table
    with monkeypatch.context() as patch:
        patch.setattr("transference.store._cells.CONTROL_NAMES", old)
        names = {new: name for name, new in OLD_CONTROL_NAMES.items()}
        patch.setattr(
            "transference.measurement._work.control_table", lambda name, rows: write(names.get(name, name), rows)
        )
        run = measure_here(tmp_path / "then")
    (file,) = (run.path / "controls").rglob("*.parquet")
    assert {"fresh", "placebo"} <= set(pd.read_parquet(file)["control"])
    pd.testing.assert_frame_equal(run.controls(), now)
    assert verify(run.path).complete


def test_bands_say_when_zero_is_not_one_and_how_far_float64_is():
    ratios = {"measured": [1.1, 0.9], "float64": [1.1 * np.exp(1e-4), 0.9], "zero": [1.0, 1.0]}
    [band] = tr.control_bands(table_of(ratios)).to_dict("records")
    assert band["zero_exact"]
    assert band["float64"] == pytest.approx(1e-4)
    assert np.isnan(band["random_direction_low"])
    [band] = tr.control_bands(table_of({**ratios, "zero": [1.0, 1.0 + 1e-9]})).to_dict("records")
    assert not band["zero_exact"]


@pytest.mark.parametrize("lookahead", [tr.SGD((1e-3, 0.1)), tr.SGD(0.1, moves=("map.bias",))])
@pytest.mark.parametrize("estimator", [tr.Exact(), tr.FirstOrder(checked=0)])
def test_the_first_order_part_is_what_the_gradients_say(
    tmp_path, learner, checkpoint, sources, targets, lookahead, estimator
):
    run = measured(tmp_path / "run", learner, checkpoint, sources, targets, lookahead=lookahead, estimator=estimator)
    moving = ("map.bias",) if lookahead.moves != ("*",) else ("map.weight", "map.bias")
    for row in run.pairs().itertuples():
        _, of_source = gradient_in_double(learner, checkpoint, sources[row.source])
        loss, of_target = gradient_in_double(learner, checkpoint, targets[row.target])
        product = sum(float((of_source[name] * of_target[name]).sum()) for name in moving)
        assert row.first_order == pytest.approx(-row.alpha * product / loss, rel=2e-4, abs=1e-7)


def test_the_parts_of_a_log_ratio_add_up(run):
    found = tr.split(run.blocks())
    np.testing.assert_allclose(found["log_ratio"], found["first_order"] + found["curvature"])
    pairs = run.pairs()
    for row in found.itertuples():
        here = pairs[pairs["alpha"] == row.alpha]
        logs, slopes = np.log(here["loss_ratio"]), here["first_order"]
        assert (row.log_ratio, row.first_order) == (pytest.approx(logs.mean()), pytest.approx(slopes.mean()))
        assert row.agree == pytest.approx((slopes < 0).mean())
        assert row.overshoot == pytest.approx(((slopes < 0) & (logs > 0)).mean())
        assert row.curvature_low < row.curvature < row.curvature_high


def test_the_rest_is_of_second_order(tmp_path, learner, checkpoint, sources, targets):
    run = measured(
        tmp_path / "run", learner, checkpoint, sources, targets, lookahead=tr.SGD((1e-4, 1e-3)), precision="fp64"
    )
    small, large = tr.split(run.blocks()).sort_values("alpha")["curvature"].abs()
    assert 80 < large / small < 120, "ten times the step, about a hundred times the rest"


def test_the_parts_agree_with_the_intervals_of_the_whole(run):
    whole = tr.intervals(run.blocks()).query("statistic == 'geometric_mean'")
    parts = tr.split(run.blocks())
    for end in ("low", "high"):
        np.testing.assert_allclose(np.exp(parts[f"log_ratio_{end}"]), whole[end])


def test_bands_are_prediction_intervals_of_as_many_pairs_as_there_are():
    logs = {"measured": [0.1, -0.2, 0.05], "resampled": [0.12, -0.1, 0.0], "random_direction": [0.01, 0.03, -0.02]}
    [band] = tr.control_bands(table_of({name: np.exp(log) for name, log in logs.items()})).to_dict("records")
    wide = stats.t.ppf(0.975, 2) * np.sqrt(1 + 1 / 3)
    mean, spread = np.mean(logs["random_direction"]), np.std(logs["random_direction"], ddof=1)
    assert (band["random_direction_low"], band["random_direction_high"]) == pytest.approx(
        tuple(np.exp([mean - wide * spread, mean + wide * spread]))
    )
    moved = np.subtract(logs["resampled"], logs["measured"]) / np.sqrt(2)
    spread = np.std(np.concatenate([moved, -moved]), ddof=1)
    assert (band["resampled_low"], band["resampled_high"]) == pytest.approx(
        tuple(np.exp([-wide * spread, wide * spread]))
    )


def test_pairs_without_a_first_order_part_are_in_no_mean(run):
    [block] = [block for block in run.blocks() if block.alpha == 0.1]
    slopes = block.first_order.copy()
    slopes[0] = np.nan
    [part] = tr.split([replace(block, first_order=slopes)]).to_dict("records")
    assert (part["n"], part["log_ratio"]) == (25, pytest.approx(np.log(block.loss_ratio[1:]).mean()))


def test_products_are_summed_over_all_parameters(monkeypatch):
    monkeypatch.setattr("transference.engines._rows._COLUMNS", 7)
    params = {"a": torch.zeros(4, 5), "b": torch.zeros(3)}
    rows = GradientRows(2, params)
    rows[1] = gradient = {name: torch.randn(value.shape) for name, value in params.items()}
    step = {"a": torch.randn(4, 5)}
    assert rows.products([step])[0].tolist() == pytest.approx(
        [0.0, float((step["a"].double() * gradient["a"].double()).sum())]
    )


def test_controls_are_different_pairs_where_both_sides_have_a_common_divisor(run):
    spec = replace(
        run.spec,
        controls=24,
        sources=(replace(run.spec.sources[0], n=4),),
        targets=(replace(run.spec.targets[0], n=6),),
    )
    cells = [(i, j) for i, targets in controlled_pairs(spec).items() for j in targets]
    assert len(set(cells)) == len(cells) == 24
