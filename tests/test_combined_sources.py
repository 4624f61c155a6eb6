"""Combinations as sources of a measurement, and in training."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchjd import aggregation

import transference as tr
from meta_models import ProtoNet, Training, train
from tests.strangers import PixelPrototypes
from tests.test_cli import call
from transference.cli.combinations import read_combinations
from transference.errors import LearnerError, UsageError
from transference.statistics import intervals
from transference.store import verify

ALPHAS = (3e-4, 3e-3)
COMBINE = {"mgda": tr.MGDA(), "sum": tr.Sum(), "pcgrad": tr.PCGrad(), "precision:3": tr.Precision(3)}
N_SOURCE, N_TARGET = 4, 3


def tasks(mode, seed, **shape):
    return tr.few_shot(mode, **{"ways": 3, "shots": 1, "queries": 3, "seed": seed, **shape})


MODES = [tasks("strokes:val", 0), tasks("shapes:val", 0)], [tasks("strokes:test", 1), tasks("shapes:test", 1)]
CHECKPOINT = tr.Checkpoint(PixelPrototypes().init_params(0), step=10)


def measured(out, modes=MODES, learner=None, checkpoint=CHECKPOINT, **settings):
    given = {
        "n_source": N_SOURCE, "n_target": N_TARGET, "lookahead": tr.SGD(ALPHAS), "estimator": tr.Exact(engine="loop"),
        "combine": COMBINE, "precision": "fp64", "device": "cpu", "controls": 2, **settings,
    }  # fmt: skip
    return tr.measure(learner or PixelPrototypes(), checkpoint, *modes, out=out, **given)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("combined") / "run")


def loss_and_gradient(params, episode):
    leaves = {name: value.double().requires_grad_() for name, value in params.items()}
    loss = PixelPrototypes().episode_loss(leaves, episode)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return float(loss.detach()), torch.cat([g.flatten() for g in gradients])


def in_double(episode):
    return episode.to(dtype=torch.float64)


def combined_by_hand(name, index):
    """The gradient of a combined source, written out."""
    episodes = [in_double(sampler[index]) for sampler in MODES[0]]
    if name == "precision:3":
        rows = []
        for e in episodes:
            parts = [tr.Episode(e.support_x, e.support_y, e.query_x[k::3], e.query_y[k::3], e.mode) for k in range(3)]
            rows.append(torch.stack([loss_and_gradient(CHECKPOINT.params, part)[1] for part in parts]))
        means, variances = torch.stack([r.mean(0) for r in rows]), torch.stack([r.var(0) / 3 for r in rows])
        evidence = torch.where(variances > 0, 1 / variances, 0.0)  # pixels that are black in all parts say nothing
        return (means * evidence).sum(0) / evidence.sum(0).clamp(min=1e-300)
    first, second = (loss_and_gradient(CHECKPOINT.params, e)[1] for e in episodes)
    if name == "sum":
        return first + second
    if name == "pcgrad":
        along = first @ second
        if along >= 0:
            return first + second
        return first - along / (second @ second) * second + second - along / (first @ first) * first
    weight = (((second - first) @ second) / ((first - second) @ (first - second))).clamp(0, 1)
    return weight * first + (1 - weight) * second


@pytest.mark.parametrize("name", COMBINE)
def test_a_combined_row_is_what_the_definition_says(run, name):
    table = run.pairs().query("source_mode == @name")
    assert len(table) == N_SOURCE * 2 * N_TARGET * len(ALPHAS)
    for (index, alpha), rows in table.groupby([table["source"] % N_SOURCE, "alpha"]):
        step, at, moved = -alpha * combined_by_hand(name, index), 0, {}
        for parameter, value in CHECKPOINT.params.items():
            moved[parameter] = value.double() + step[at : at + value.numel()].reshape(value.shape)
            at += value.numel()
        for _, row in rows.iterrows():
            episode = in_double(MODES[1][row["target"] // N_TARGET][row["target"] % N_TARGET])
            after = float(PixelPrototypes().episode_loss(moved, episode))
            assert row["loss_after"] == pytest.approx(after, rel=1e-9)


def test_other_modes_are_what_they_are_without_combinations(run, tmp_path):
    alone = measured(tmp_path / "alone", combine=None)
    together = run.pairs()
    together = together[together["source"] < 2 * N_SOURCE].reset_index(drop=True)
    columns = ["loss_before", "loss_after", "loss_ratio", "first_order"]
    assert together[columns].equals(alone.pairs()[columns])
    assert "combine" not in alone.spec.to_json()
    assert "weights" not in alone.sources()


def test_the_spec_names_the_combinations_and_comes_back(run):
    assert [one["name"] for one in run.spec.combine] == list(COMBINE)
    assert run.spec.combine[3] == {
        "name": "precision:3",
        "class": "transference.combine.precision.Precision",
        "parts": 3,
    }
    assert tr.RunSpec.from_json(run.spec.to_json()) == run.spec
    assert run.spec.n_source == (2 + len(COMBINE)) * N_SOURCE
    assert list(dict.fromkeys(run.modes("source"))) == ["strokes", "shapes", *COMBINE]
    other = measured(run.path.with_name("other"), combine={"precision:3": tr.Precision(9)}, dry_run=True)
    assert other.spec.digest != run.spec.digest


def test_the_run_is_whole_and_has_controls_of_combinations_too(run):
    found = verify(run.path)
    assert not found.problems
    assert set(run.controls()["source_mode"].unique()) == {"strokes", "shapes", *COMBINE}
    zero = run.controls().query("control == 'zero'")
    assert (zero["loss_ratio"] == 1).all()


def test_weights_say_what_a_step_is_made_of(run):
    sources = run.sources()
    mode = lambda name: sources[sources["mode"] == name]
    np.testing.assert_allclose(np.stack(mode("sum")["weights"]), 1.0, rtol=1e-9)
    shares = np.stack(mode("mgda")["weights"])
    np.testing.assert_allclose(shares.sum(1), 1.0, rtol=1e-9)
    assert (shares >= -1e-9).all()
    assert (mode("sum")["unexplained"] < 1e-9).all()
    assert (mode("precision:3")["unexplained"] > 0.01).all()  # a weight for every number, not for every mode
    assert mode("strokes")["weights"].isna().all()
    for block in run.blocks():
        assert (block.combination is None) == (block.source_mode in ("strokes", "shapes"))


def test_a_weighting_of_gradients_is_a_weighting_of_rows(run):
    table = tr.predicted_rows(run.blocks())
    assert set(table["combination"]) == set(COMBINE)
    error = {
        alpha: np.concatenate([
            (block.loss_ratio - _by_hand(run, block)).ravel()
            for block in run.blocks()
            if block.alpha == alpha and block.source_mode in ("sum", "mgda", "pcgrad")
        ])
        for alpha in ALPHAS
    }  # fmt: skip
    size = {
        alpha: np.concatenate([(block.loss_ratio - 1).ravel() for block in run.blocks() if block.alpha == alpha])
        for alpha in ALPHAS
    }
    rms = {alpha: np.sqrt((error[alpha] ** 2).mean() / (size[alpha] ** 2).mean()) for alpha in ALPHAS}
    assert rms[ALPHAS[0]] <= 0.02
    assert rms[ALPHAS[1]] >= 2.5 * rms[ALPHAS[0]]


def _by_hand(run, combination):
    """Equation (1), a pair at a time."""
    alone = [
        block
        for block in run.blocks()
        if block.combination is None
        and (block.alpha, block.target_mode) == (combination.alpha, combination.target_mode)
    ]
    found = np.empty_like(combination.loss_ratio)
    for i, j in np.ndindex(found.shape):
        found[i, j] = 1 + sum(
            w * (one.loss_ratio[i, j] - 1) for w, one in zip(combination.combination.weights[i], alone, strict=True)
        )
    return found


def test_predicted_rows_hold_intervals_of_both_and_of_their_difference(run):
    table = tr.predicted_rows(run.blocks()).set_index(["combination", "target_mode", "alpha", "statistic"])
    (block,) = [b for b in run.blocks() if (b.source_mode, b.target_mode, b.alpha) == ("mgda", "shapes", ALPHAS[1])]
    row = table.loc[("mgda", "shapes", ALPHAS[1], "geometric_mean")]
    mine = intervals([block]).set_index("statistic").loc["geometric_mean"]
    assert row[["measured", "measured_low", "measured_high"]].tolist() == mine[["value", "low", "high"]].tolist()
    predicted = np.exp(np.log(_by_hand(run, block)).mean())
    assert row["predicted"] == pytest.approx(predicted, rel=1e-12)
    assert row["difference"] == pytest.approx(row["measured"] / row["predicted"], rel=1e-12)
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    negative = table.loc[("mgda", "shapes", ALPHAS[1], "negative")]
    assert negative["measured"] == pytest.approx((block.loss_ratio >= tr.NEUTRAL_BAND[1]).mean())


def test_predicted_rows_of_a_run_without_combinations_say_what_to_do(tmp_path):
    alone = measured(tmp_path / "alone", combine=None, controls=0)
    with pytest.raises(UsageError, match="transference compute --combine"):
        tr.predicted_rows(alone.blocks())


def test_the_table_does_not_depend_on_the_tiling_and_a_lost_tile_comes_again(run, tmp_path):
    tiled = measured(tmp_path / "tiled", tile=(3, 2))
    assert tiled.pairs().equals(run.pairs())
    for mine, other in zip(run.sources()["weights"], tiled.sources()["weights"], strict=True):
        assert (mine is None) == (other is None)
        assert mine is None or mine.tolist() == other.tolist()
    lost = sorted((tiled.path / "pairs").rglob("*.parquet"))[-1]
    content = lost.read_bytes()
    lost.unlink()
    measured(tmp_path / "tiled", tile=(3, 2))
    assert lost.read_bytes() == content


@pytest.mark.parametrize("estimator", [tr.FirstOrder(engine="loop"), tr.Calibrated(engine="loop", share=0.5)])
def test_estimates_of_combinations(run, tmp_path, estimator):
    estimated = measured(tmp_path / "estimated", estimator=estimator, lookahead=tr.SGD(1e-4), n_source=6, n_target=5)
    exact = measured(tmp_path / "exact", lookahead=tr.SGD(1e-4), n_source=6, n_target=5)
    np.testing.assert_allclose(estimated.matrix(), exact.matrix(), atol=1e-4)
    assert not verify(estimated.path).problems


def test_replicates_step_on_the_redrawn_tasks_of_all_modes(run, tmp_path):
    again = measured(tmp_path / "again", replicates=2, combine={"sum": tr.Sum()}, lookahead=tr.SGD(1e-5), controls=0)
    rows = again.matrix(replicate=1) - 1
    first, second, both = np.split(rows, 3)
    np.testing.assert_allclose(both, first + second, atol=2e-3 * np.abs(rows).max())
    assert np.abs(rows - (again.matrix() - 1)).max() > 0.1 * np.abs(rows).max()


def test_a_target_that_is_part_of_a_combined_source_is_no_other_task(tmp_path):
    run = measured(
        tmp_path / "own", modes=(MODES[0], MODES[0]), n_target=N_SOURCE, combine={"sum": tr.Sum()}, controls=0
    )
    assert all(block.same_tasks for block in run.blocks() if block.source_mode == "sum")


def test_an_aggregator_of_somebody_elses_is_one_function(tmp_path):
    run = measured(
        tmp_path / "upgrad",
        combine={"upgrad": lambda losses, gradients: aggregation.MGDA()(gradients), "mgda": tr.MGDA()},
    )
    theirs, ours = (np.stack(run.sources().query("mode == @name")["weights"]) for name in ("upgrad", "mgda"))
    np.testing.assert_allclose(theirs, ours, atol=1e-6)
    assert "<lambda>" in run.spec.combine[0]["class"]


class Together(PixelPrototypes):
    """Reads the queries together, as batch statistics do: its loss on them is no mean of those on their parts."""

    def episode_loss(self, params, episode):
        x = episode.query_x
        return super().episode_loss(params, dataclasses.replace(episode, query_x=(x - x.mean(0)) / (x.std(0) + 0.1)))


@dataclasses.dataclass(frozen=True)
class FirstByParts:
    """The first task's gradient, as the mean of those on three parts of its queries."""

    parts: int = 3

    def __call__(self, losses, gradients):
        return gradients[0].mean(dim=0)


def test_a_step_by_parts_of_the_queries_is_told_by_the_steps_on_whole_tasks(tmp_path):
    run = measured(tmp_path, learner=Together(), combine={"first": FirstByParts()}, controls=0)
    sources = run.sources().set_index("mode")
    of_modes = [sources.loc[mode, "loss"].to_numpy() for mode in ("strokes", "shapes")]
    np.testing.assert_allclose(sources.loc["first", "loss"], np.mean(of_modes, axis=0), rtol=1e-6)
    assert (sources.loc["first", "unexplained"] > 0.01).all()  # the row of the first mode is of another step


class Flat(PixelPrototypes):
    """Depends on its parameters, but does not change with them."""

    def episode_loss(self, params, episode):
        return 1 + 0 * super().episode_loss(params, episode)


def test_where_all_gradients_are_zero_the_ratio_is_one(tmp_path):
    run = measured(tmp_path / "flat", learner=Flat(), lookahead=tr.SGD(0.1))
    table = run.pairs()
    assert (table["loss_ratio"] == 1).all()
    assert (table["status"] == "ok").all()
    assert not tr.predicted_rows(run.blocks())["measured"].isna().any()


def test_steps_of_one_length_are_compared_by_direction_alone(tmp_path):
    run = measured(tmp_path / "one", lookahead=tr.Normalised(0.5), controls=0)
    np.testing.assert_allclose(run.sources()["displacement_norm"], 0.5, rtol=1e-12)
    assert run.spec.lookahead["kind"] == "normalised"


def test_a_normalised_step_of_no_gradient_stays():
    source = tr.Source(Flat(), {}, {"w": torch.zeros(3)}, None, None)
    assert tr.Normalised(0.1).displacements(source)[0]["w"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("combine", "n_modes", "said"),
    [
        ({"mgda": tr.MGDA()}, 1, "mgda combines the source modes, of which there is 1; give two or more"),
        ({"mgda": tr.MGDA()}, 5, "mgda combines at most 4 modes exactly, and there are 5"),
        ({"pcgrad": tr.PCGrad()}, 5, "aggregator of one's own"),
        ({"strokes:val/3-way/1-shot/3-query/seed-0": tr.Sum()}, 2, "is given twice"),
        ({"precision": tr.Precision(5)}, 2, "9 queries, which cannot be split into 5 parts"),
    ],
)
def test_what_cannot_be_combined_is_refused_before_anything_is_written(tmp_path, combine, n_modes, said):
    modes = [tasks("strokes:val", seed) for seed in range(n_modes)]
    with pytest.raises((UsageError, LearnerError), match=said):
        measured(tmp_path / "run", modes=(modes, MODES[1]), combine=combine)
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_combination_that_fails_is_told_before_the_first_tile(tmp_path):
    with pytest.raises(LearnerError, match=r"The combination of 8 \(bad, task 0\) failed: ZeroDivisionError"):
        measured(tmp_path / "run", combine={"bad": lambda losses, gradients: 1 / 0})


class ReadsTheEpisode(tr.SGD):
    def displacements(self, source):
        assert source.episode.query_y is not None
        return super().displacements(source)


def test_a_lookahead_that_reads_the_episode_cannot_step_on_several(tmp_path):
    with pytest.raises(UsageError, match="combines tasks of 2 modes and has none of its own"):
        measured(tmp_path / "run", lookahead=ReadsTheEpisode(0.1), combine={"sum": tr.Sum()})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda spec: spec["combine"].reverse(), "not the last of the sources"),
        (lambda spec: spec["combine"].extend(2 * spec["combine"]), "not the last of the sources"),
        (lambda spec: spec["combine"][0].pop("class"), "class"),
        (lambda spec: spec.update(combine="mgda"), "combine"),
    ],
)
def test_a_spec_whose_combinations_are_wrong_is_refused(run, change, said):
    spec = run.spec.to_json()
    change(spec)
    with pytest.raises(ValueError, match=said):
        tr.RunSpec.from_json(spec)


TRAINING = Training(
    learner="protonet",
    config={"channels": 3},
    modes=("strokes", "shapes"),
    ways=2,
    shots=1,
    queries=2,
    side=8,
    channels=3,
    meta_batch=4,
)


def trained(out, combine, iterations=4, **settings):
    learner = ProtoNet(channels=3)
    sets = [tr.few_shot(f"{mode}:val", ways=2, shots=1, queries=2, side=8, channels=3) for mode in TRAINING.modes]
    asked = dataclasses.replace(TRAINING, combine=combine)
    paths = train(learner, asked, sets, out=out, iterations=iterations, save_every=2, **settings)
    return tr.load_checkpoint(paths[-1])


def test_a_training_by_the_mean_is_the_plain_training(tmp_path):
    plain, mean = trained(tmp_path / "plain", ""), trained(tmp_path / "mean", "mean")
    for name, value in plain.params.items():
        torch.testing.assert_close(mean.params[name], value, rtol=1e-3, atol=1e-4)
    told = json.loads((tmp_path / "mean" / "training.json").read_text())
    assert told["combine"] == "mean"
    assert "combine" not in json.loads((tmp_path / "plain" / "training.json").read_text())


@pytest.mark.parametrize("combine", ["mgda", "precision:2"])
def test_a_training_by_a_combination_goes_on_where_it_stopped(tmp_path, combine):
    whole = trained(tmp_path / "whole", combine)
    trained(tmp_path / "parts", combine, iterations=2)
    parts = trained(tmp_path / "parts", combine)
    assert all(torch.equal(parts.params[name], value) for name, value in whole.params.items())
    plain = trained(tmp_path / "plain", "")
    assert any(not torch.allclose(plain.params[name], value, atol=1e-5) for name, value in whole.params.items())


def test_a_training_by_an_aggregator_of_ones_own(tmp_path):
    theirs = trained(
        tmp_path / "theirs", "their mgda", combination=lambda losses, gradients: aggregation.MGDA()(gradients)
    )
    ours = trained(tmp_path / "ours", "mgda")
    for name, value in ours.params.items():
        # Adam's first steps are as long as its rate, whatever the gradient: where that is rounding, so is their direction.
        apart = (theirs.params[name] - value).abs() > 1e-3 + 1e-2 * value.abs()
        assert apart.float().mean() < 1e-4


def test_trainings_that_cannot_be_combined_are_refused(tmp_path):
    with pytest.raises(UsageError, match="Take --meta-batch 4"):
        train(
            ProtoNet(channels=3),
            dataclasses.replace(TRAINING, combine="mgda", meta_batch=5),
            [],
            out=tmp_path,
            iterations=1,
            save_every=1,
        )
    with pytest.raises(UsageError, match=r"training\.combine does not name it"):
        train(ProtoNet(channels=3), TRAINING, [], out=tmp_path, iterations=1, save_every=1, combination=tr.Mean())


MIX = {name: ("--source", f"mix[{name}]:train") for name in ("a", "b", "a+b", "*", "a>b", "b>a", "*>a")}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A training on a paired set, by one of the combinations, with the command."""
    out = tmp_path_factory.mktemp("mixed")
    words = ("--learner", "shared-latent", "--modes", "mix[a],mix[b],mix[*]", "--combine", "smooth-worst:2,0.1", "--iterations", 2,
             "--save-every", 2, "--ways", 3, "--queries", 5, "--out", out)  # fmt: skip
    result = call("train", *words)
    assert result.exit_code == 0, result.output
    assert tr.load_checkpoint(out / "step-00000002.safetensors").training["combine"] == "smooth-worst:2,0.1"
    return out / "step-00000002.safetensors"


def compute(checkpoint, out, *words):
    return call("compute", checkpoint, *words, "--n-source", 2, "--n-target", 2, "--alpha", 0.1, "--out", out)


def test_combinations_from_the_command_line_to_the_page(mixed, tmp_path):
    combined = [
        word for name in ("uniform:2", "smooth-worst:2,0.1", "mgda", "precision") for word in ("--combine", name)
    ]
    result = compute(mixed, tmp_path / "run", *MIX["a"], *MIX["b"], *MIX["*"], "--target", "mix[b>a]:test", *combined)
    assert result.exit_code == 0, result.output
    assert "smooth-worst:2,0.1 → mix[b>a]" in result.stdout
    result = call("plot", tmp_path / "run", "--kind", "rows", "-o", tmp_path / "rows.png")
    assert result.exit_code == 0, result.output
    assert "mgda" in (tmp_path / "rows.csv").read_text()
    result = call("plot", tmp_path / "run", "--kind", "rows", "--source", "mgda", "-o", tmp_path / "one.png")
    assert result.exit_code == 0, result.output  # the rows that predict it need not be drawn
    result = call("report", tmp_path / "run", "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    assert "Combinations at checkpoint 2, α = 0.1" in (tmp_path / "page.html").read_text()
    assert call("verify", tmp_path / "run").exit_code == 0


@pytest.mark.parametrize(
    ("modes", "words", "said"),
    [
        ("a b", ["--target", "mgda"], "a step on them is a source, never a target"),
        ("a b", ["--target", "smooth-worst:1,0.1"], "a step on them is a source, never a target"),
        ("a b", ["--target", "mgda:test"], "a step on them is a source, never a target"),
        ("a b", ["--target", "smooth-worst:2"], "a step on them is a source, never a target"),
        ("a b", ["--source", "uniform:train", "--target", "mix[a]:test"], "write --combine uniform:WEIGHT"),
        ("a b", ["--source", "pcgrad", "--target", "mix[a]:test"], "write --combine pcgrad"),
        ("a b", ["--combine", "mgdaa"], "Did you mean mgda?"),
        ("a b", ["--combine", "smooth-worst:2"], "write it as smooth-worst:WEIGHT,MU"),
        ("a b *", ["--combine", "smooth-worst:2,0"], "must be a finite number above zero"),
        ("a b *", ["--combine", "uniform:-1"], "zero or above"),
        ("a b *", ["--combine", "uniform:nan"], "WEIGHT must be a number"),
        ("a b", ["--combine", "uniform:1"], "which must come last"),
        ("a * b", ["--combine", "uniform:1"], "which must come last"),
        ("a a+b a>b", ["--combine", "uniform:1"], "which must come last"),
        ("a *>a", ["--combine", "uniform:1"], "which must come last"),
        ("a>b *", ["--combine", "uniform:1"], "which must come last"),
        ("a", ["--combine", "mgda"], "of which there is 1; give two or more"),
        ("a b * a>b b>a", ["--combine", "mgda"], "at most 4 modes exactly, and there are 5"),
        ("a b * a>b b>a", ["--combine", "pcgrad"], "an aggregator of one's own"),
        ("a b", ["--combine", "mgda", "--combine", "mgda"], "names one way to combine twice"),
        ("a b", ["--combine", "precision:4"], "15 queries, which cannot be split into 4 parts"),
    ],
)
def test_combinations_that_cannot_be_are_told_in_one_line(mixed, tmp_path, modes, words, said):
    sources = [word for name in modes.split() for word in MIX[name]]
    target = [] if "--target" in words else ["--target", "mix[a]:test"]
    result = compute(mixed, tmp_path / "run", *sources, *words, *target)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "run").exists()


def test_the_joint_mode_is_known_however_it_is_written(mixed, tmp_path):
    sources = ("--source", "mix[b]:train", "--source", "mix[ b + a ]:Train")
    result = compute(
        mixed, tmp_path / "run", *sources, "--target", "mix[a]:test", "--combine", "uniform:1", "--dry-run"
    )
    assert result.exit_code == 0, result.output


def test_data_may_be_called_like_a_combination(tmp_path):
    for i in range(4):
        for split in ("train", "val", "test"):
            folder = tmp_path / "sum" / split / f"class{i}"
            folder.mkdir(parents=True)
            for k in range(4):
                Image.new("L", (8, 8), 10 * i + k).save(folder / f"{k}.png")
    assert list(read_combinations(["mgda"], ["sum:train", "strokes:train"], ["sum:test"], data_root=tmp_path)) == [
        "mgda"
    ]
    with pytest.raises(UsageError, match="--target sum:test was given"):
        read_combinations([], ["strokes:train"], ["sum:test"])


@pytest.mark.parametrize(
    ("modes", "words", "said"),
    [
        ("mix[a],mix[b]", ["--combine", "mgdaa"], "Did you mean mgda?"),
        ("mix[a],mix[b]", ["--combine", "uniform:1"], "which must come last"),
        ("mix[a],mix[*>a]", ["--combine", "uniform:1"], "which must come last"),
        ("mix[a],mgda", [], "--modes mgda was given, which is no mode but a way to combine several"),
        ("mix[a]", ["--combine", "mgda"], "of which there is 1"),
        ("mix[a],mix[b]", ["--combine", "mgda", "--meta-batch", "3"], "Take --meta-batch 2"),
        (
            "mix[a],mix[b]",
            ["--combine", "precision:4", "--queries", "3", "--ways", "3"],
            "9 queries, which cannot be split into 4 parts",
        ),
    ],
)
def test_trainings_that_cannot_be_combined_are_told_in_one_line(tmp_path, modes, words, said):
    for more in ([], ["--dry-run"]):
        result = call(
            "train",
            "--learner",
            "shared-latent",
            "--modes",
            modes,
            *words,
            *more,
            "--iterations",
            2,
            "--out",
            tmp_path / "x",
        )
        assert result.exit_code == 2, result.output
        assert said in result.stderr
        assert not (tmp_path / "x").exists()


def test_a_training_goes_on_by_the_same_combination_alone(mixed):
    words = (
        "--learner",
        "shared-latent",
        "--modes",
        "mix[a],mix[b],mix[*]",
        "--iterations",
        3,
        "--ways",
        3,
        "--queries",
        5,
    )
    result = call("train", *words, "--combine", "mean", "--out", mixed.parent)
    assert result.exit_code == 2
    assert "combine: smooth-worst:2,0.1 → mean" in result.stderr


def test_the_page_tells_combinations_apart_from_tasks(run, tmp_path):
    result = call("report", run.path, "--alpha", ALPHAS[1], "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    text = " ".join((tmp_path / "page.html").read_text().split())
    assert (
        "on each of 8 source tasks (4 of strokes:val and 4 of shapes:val), on each 4 times one task of every mode together"
        in text
    )
    assert "their gradients combined by mgda, sum, pcgrad and precision:3" in text
    assert "of every source mode" in text
    assert "a sampler that this package does not have" not in text


@pytest.mark.parametrize("mode", ["mix[b+a]", "mix[*]", "mix[ a + b ]"])
def test_a_figure_takes_a_mode_of_the_run_however_it_is_written(mixed, tmp_path, mode):
    run = compute(mixed, tmp_path / "run", *MIX["a"], *MIX["a+b"], "--target", "mix[b]:test", "--controls", 0)
    assert run.exit_code == 0, run.output
    result = call("plot", tmp_path / "run", "--kind", "types", "--source", mode, "-o", tmp_path / "x.png")
    assert result.exit_code == 0, result.output
    assert "mix[a+b]" in (tmp_path / "x.csv").read_text()
    assert "mix[a]," not in (tmp_path / "x.csv").read_text()
    result = call("plot", tmp_path / "run", "--kind", "types", "--source", "mix[b]", "-o", tmp_path / "y.png")
    assert result.exit_code == 2
    assert "has no source mode mix[b]; it has mix[a], mix[a+b]" in result.stderr
