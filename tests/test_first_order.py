"""The tangent against directional derivatives of the oracle's loss, and against the exact measurement."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import transference as tr
from meta_models import MAML, ProtoNet
from tests import oracles
from transference.cli import main
from transference.engines import ENGINES, KeptGradients, loss_gradient
from transference.errors import UsageError
from transference.estimators.first_order import LinearTargets
from transference.statistics import check_estimates


def oracle_gradient(loss, params, episode):
    """The gradient of the slow loss, which shares no code with the packages, by torch's plain autograd."""
    leaves = {name: value.double().requires_grad_() for name, value in params.items()}
    value = loss(leaves, episode)
    value.backward()
    return float(value.detach()), {
        name: leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for name, leaf in leaves.items()
    }


CASES = {
    "protonet": (ProtoNet(), oracles.protonet_loss),
    "maml": (MAML(ways=3, inner_steps=2), lambda params, episode: oracles.maml_loss(params, episode, steps=2)),
}


STEPS = {"protonet": (1e-6, 1e-5), "maml": (1e-3, 1e-1)}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tile", [(2, 3), (1, 2)])
def test_every_pair_is_one_plus_the_product_of_two_gradients(case, tile, tmp_path, sources, targets):
    learner, loss = CASES[case]
    checkpoint, alphas = tr.Checkpoint(learner.init_params(0), step=1), STEPS[case]
    run = tr.measure(learner, checkpoint, sources, targets, n_source=2, n_target=3, lookahead=tr.SGD(alphas), precision="fp64",
                     estimator=tr.FirstOrder(checked=2), tile=tile, out=tmp_path / "run")  # fmt: skip
    steps = [oracle_gradient(loss, checkpoint.params, sources[i].to(dtype=torch.float64))[1] for i in range(2)]
    lines = [oracle_gradient(loss, checkpoint.params, targets[j].to(dtype=torch.float64)) for j in range(3)]
    for alpha in alphas:
        expected = [
            [1 - alpha * sum(float((g[n] * h[n]).sum()) for n in g) / before for before, h in lines] for g in steps
        ]
        np.testing.assert_allclose(run.matrix(alpha=alpha), expected, rtol=1e-9)
        assert np.abs(np.array(expected) - 1).max() > 1e-4
    frame = run.pairs()
    assert frame["accuracy_after"].isna().all()
    assert frame["accuracy_before"].notna().all()


def test_the_error_falls_with_the_square_of_the_step(tmp_path, learner, checkpoint, sources, targets):
    alphas = (1e-3, 1e-2)
    settings = {"n_source": 4, "n_target": 4, "lookahead": tr.SGD(alphas), "precision": "fp64"}
    runs = [
        tr.measure(learner, checkpoint, sources, targets, estimator=e, out=tmp_path / type(e).__name__, **settings)
        for e in (tr.Exact(), tr.FirstOrder())
    ]
    small, large = (np.abs(runs[0].matrix(alpha=a) - runs[1].matrix(alpha=a)).max() for a in alphas)
    assert 50 < large / small < 200
    check = check_estimates(runs[1].exact_pairs())
    assert check["n"].tolist() == [16, 16], "more were asked for than there are"
    np.testing.assert_allclose(check["largest_error"], [small, large], rtol=1e-6)
    assert check["trusted"].tolist() == [True, True]
    np.testing.assert_allclose(runs[1].exact_pairs()["loss_ratio"], runs[0].pairs()["loss_ratio"], rtol=1e-12)
    own = [run.self_transference()["loss_ratio"] for run in runs]
    np.testing.assert_allclose(*own, rtol=1e-12, err_msg="each target's own is measured exactly by both")


def test_what_moves_is_all_that_counts(tmp_path, learner, checkpoint, sources, targets):
    run = tr.measure(learner, checkpoint, sources, targets, n_source=2, n_target=2, lookahead=tr.SGD(0.1, moves=("map.bias",)),
                     precision="fp64", estimator=tr.FirstOrder(checked=0), out=tmp_path / "run")  # fmt: skip
    params = {name: value.double() for name, value in checkpoint.params.items()}
    bias = [loss_gradient(learner, params, s[0].to(dtype=torch.float64), ["map.bias"]) for s in (sources, targets)]
    expected = 1 - 0.1 * float((bias[0][1]["map.bias"] * bias[1][1]["map.bias"]).sum()) / bias[1][0][0]
    assert run.matrix()[0, 0] == pytest.approx(expected, rel=1e-12)
    assert run.exact_pairs().empty


def test_a_parameter_that_a_loss_does_not_depend_on_has_a_slope_of_zero(strokes):
    learner = tr.load_learner("multi-protonet", {"modes": ["strokes", "shapes"]})
    params, episode = learner.init_params(0), tr.FewShot(strokes, ways=3, queries=2)[0]
    prepared = tr.FirstOrder().prepare(learner, params, [episode])
    other = {name: torch.ones_like(value) for name, value in params.items() if "shapes" in name}
    assert other
    [after] = prepared.after([other])
    assert torch.equal(after.loss, prepared.before.loss)


def test_adam_moves_as_it_does_in_the_exact_measurement(tmp_path, learner, sources, targets):
    params = learner.init_params(0)
    moments = {name: torch.full_like(value, 0.01) for name, value in params.items()}
    state = tr.OptimizerState.adam(
        lr=1e-4, betas=(0.9, 0.999), eps=1e-8, steps=dict.fromkeys(params, 5), exp_avg=moments, exp_avg_sq=moments
    )
    checkpoint = tr.Checkpoint(params, step=1, optimizer=state)
    runs = [
        tr.measure(learner, checkpoint, sources, targets, n_source=2, n_target=3, lookahead=tr.Adam(1e-6), precision="fp64",
                   estimator=estimator, out=tmp_path / type(estimator).__name__)
        for estimator in (tr.Exact(), tr.FirstOrder())
    ]  # fmt: skip
    effects = [run.matrix() - 1 for run in runs]
    assert np.abs(effects[0]).min() > 1e-9
    np.testing.assert_allclose(*effects, rtol=1e-3)


@pytest.mark.slow
def test_a_step_that_is_too_large_is_called_so(tmp_path):
    train = ["train", "--learner", "maml", "--modes", "strokes", "--ways", "3", "--queries", "2", "--iterations", "3"]
    runner = CliRunner()
    assert runner.invoke(main, [*train, "--out", str(tmp_path / "t")]).exit_code == 0
    words = [
        "compute",
        str(tmp_path / "t" / "step-00000003.safetensors"),
        "--source",
        "strokes:train",
        "--target",
        "strokes:val",
    ]
    words += [
        "--n-source",
        "4",
        "--n-target",
        "4",
        "--precision",
        "fp64",
        "--estimator",
        "first-order",
        "--out",
        str(tmp_path / "run"),
    ]
    result = runner.invoke(main, [*words, "--alpha", "0.000000001", "--alpha", "30"])
    assert result.exit_code in (0, 3), result.output
    lines = result.stdout.splitlines()
    (small,) = [line for line in lines if line.split()[1:3] == ["1e-09", "16"]]
    assert "too large" not in small
    assert "step too large for first order" in result.stdout
    assert "take --estimator exact, or a smaller --alpha" in result.stdout
    assert "First order beside exact" in runner.invoke(main, ["summary", str(tmp_path / "run")]).stdout
    assert runner.invoke(main, ["verify", str(tmp_path / "run")]).exit_code == 0
    spec = json.loads((tmp_path / "run" / "run.json").read_text())["spec"]["estimator"]
    assert spec.pop("engine") in ENGINES, "which one is a matter of the clock"
    assert spec == {"kind": "firstorder", "checked": 64, "seed": 0}


def test_agreement_is_what_it_says():
    both = {"loss_ratio": [0.7, 1.2, 1.3, 1.0, np.nan], "estimate": [0.8, 0.9, 1.1, np.nan, 1.0]}
    found = check_estimates(pd.DataFrame({"checkpoint_step": 1, "alpha": 0.1, **both})).iloc[0]
    assert (found["n"], found["spearman"], found["sign_agreement"]) == (3, pytest.approx(1.0), pytest.approx(2 / 3))
    assert found["largest_error"] == pytest.approx(0.3)
    assert not found["trusted"]


def test_gradients_are_computed_once_and_read_back_as_they_were(
    tmp_path, learner, checkpoint, sources, targets, monkeypatch
):
    calls = []
    monkeypatch.setattr(
        "transference.engines._engines.loss_gradient", lambda *words: calls.append(1) or loss_gradient(*words)
    )
    runs = [
        tr.measure(
            learner,
            checkpoint,
            sources,
            targets,
            n_source=3,
            n_target=4,
            tile=tile,
            lookahead=tr.SGD(0.1),
            controls=0,
            out=tmp_path / str(k),
        )
        for k, tile in enumerate([(3, 4), (2, 1)])
    ]
    assert len(calls) == 2 * (2 + 3 + 4), (
        "the first of all, for a trial too, every source, every target as its own source"
    )
    np.testing.assert_array_equal(*(run.matrix() for run in runs))
    assert not [path for path in (tmp_path / "1").iterdir() if path.name.startswith("tmp")]


def test_kept_gradients_come_back_to_the_bit(tmp_path):
    kept = KeptGradients(tmp_path)
    first = {
        # 27 floats: what follows would not be aligned
        "a": torch.randn(3, 1, 3, 3).contiguous(memory_format=torch.channels_last),
        "b": torch.tensor(2.0, dtype=torch.float64),
    }
    kept.put(7, 0.5, first)
    kept.put(2, 1.5, {"a": torch.zeros(0, 2)})
    loss, found = kept.get(7)
    assert loss == 0.5
    assert all(torch.equal(found[name], first[name]) and found[name].dtype == first[name].dtype for name in first)
    assert kept.get(2)[1]["a"].shape == (0, 2)
    assert kept.get(1) is None
    kept.close()
    assert kept.get(7) is None


def test_a_disk_that_is_full_keeps_no_more(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    broken, kept = KeptGradients(tmp_path / "file" / "below"), KeptGradients(tmp_path)
    kept.put(1, 0.5, {"a": torch.ones(2)})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**40, 2**40 - 2**31, 2**31))
    for number, gradients in ((1, broken), (2, kept)):
        gradients.put(number, 0.5, {"a": torch.ones(2)})
        assert gradients.get(number) is None
    assert kept.get(1)[0] == 0.5
    kept.close()


def test_a_learner_that_cannot_be_laid_out_otherwise_is_estimated_too(
    tmp_path, learner, checkpoint, sources, targets, monkeypatch
):
    class Viewing(type(learner)):
        def episode_loss(self, params, episode):
            episode.support_x.view(len(episode.support_x), -1)
            return super().episode_loss(params, episode)

    monkeypatch.setattr("transference.engines._trial._SHORT", 0.0)
    settings = {"n_source": 2, "n_target": 2, "lookahead": tr.SGD(0.01), "estimator": tr.FirstOrder()}
    run = tr.measure(Viewing(), checkpoint, sources, targets, out=tmp_path / "run", **settings)
    assert run.spec.estimator["engine"] == "loop"
    assert (run.pairs()["status"] == "ok").all()


def test_displacements_that_do_not_fit_are_read_in_halves(tmp_path, learner, checkpoint, sources, targets, monkeypatch):
    whole = LinearTargets.after

    def narrow(self, displacements):
        sizes.append(len(displacements))
        if len(displacements) > limit:
            raise torch.OutOfMemoryError("no more")
        return whole(self, displacements)

    monkeypatch.setattr(LinearTargets, "after", narrow)
    tables = []
    for limit in (100, 2, 0):
        sizes = []
        run = tr.measure(learner, checkpoint, sources, targets, n_source=5, n_target=3, precision="fp64", lookahead=tr.SGD(0.01),
                         estimator=tr.FirstOrder(checked=0, engine="loop"), out=tmp_path / str(limit))  # fmt: skip
        tables.append(run.pairs())
    np.testing.assert_allclose(tables[0]["loss_after"], tables[1]["loss_after"], rtol=1e-12)
    assert set(tables[2]["status"]) == {"out_of_memory"}


def test_a_negative_number_of_pairs_is_refused():
    with pytest.raises(UsageError, match="-1 pairs were to be checked"):
        tr.FirstOrder(checked=-1)


def test_an_estimate_below_zero_has_no_ratio_but_is_kept(tmp_path, learner, checkpoint, sources, targets):
    run = tr.measure(learner, checkpoint, sources, targets, n_source=4, n_target=3, lookahead=tr.SGD((0.01, 1e4)), precision="fp64",
                     estimator=tr.FirstOrder(checked=2), out=tmp_path / "run")  # fmt: skip
    frame = run.pairs()
    for block in run.blocks():
        rows = frame[frame["alpha"] == block.alpha]
        raw = (rows["loss_after"] / rows["loss_before"]).to_numpy().reshape(4, 3)
        np.testing.assert_array_equal(block.change, raw)
        np.testing.assert_array_equal(block.loss_ratio, np.where(raw < 0, np.nan, raw))
    assert (raw < 0).any()
    assert (frame.loc[frame["loss_after"] < 0, "status"] == "non_finite").all()


@pytest.mark.slow
def test_own_gradients_are_those_of_the_exact_run(tmp_path, strokes):
    learner = tr.load_learner("multi-protonet", {"modes": ["strokes", "shapes"]})
    params = learner.init_params(0)
    moments = {name: torch.full_like(value, 0.01) for name, value in params.items()}
    state = tr.OptimizerState.adam(
        lr=1e-4, betas=(0.9, 0.999), eps=1e-8, steps=dict.fromkeys(params, 5), exp_avg=moments, exp_avg_sq=moments
    )
    checkpoint, tasks = (
        tr.Checkpoint(params, step=1, optimizer=state),
        tr.FewShot(strokes, ways=3, shots=1, queries=2, seed=0),
    )
    settings = {
        "n_source": 1,
        "n_target": 5,
        "tile": (1, 3),
        "precision": "fp64",
        "lookahead": tr.Adam(1e-4, moves=("*conv*",)),
    }
    own = [
        tr.measure(
            learner, checkpoint, tasks, tasks, estimator=estimator, out=tmp_path / type(estimator).__name__, **settings
        )
        for estimator in (tr.Exact(), tr.FirstOrder(checked=0))
    ]
    ratios = [run.self_transference()["loss_ratio"] for run in own]
    assert own[0].self_transference()["target"].tolist() == [0, 1, 2, 3, 4]
    assert np.abs(ratios[0] - 1).min() > 1e-6
    np.testing.assert_allclose(ratios[1], ratios[0], rtol=1e-12)
