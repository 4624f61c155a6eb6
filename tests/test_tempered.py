"""Losses at their best temperature: what of a ratio is confidence, and what is not."""

import dataclasses
import json
import shutil
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar

import transference as tr
from tests.strangers import PixelPrototypes
from tests.test_cli import call
from transference._streams import Stream
from transference.errors import LearnerError, UsageError
from transference.measurement._question import Question
from transference.measurement._temperature import Tempered
from transference.spec import TEMPERATURES
from transference.statistics import GROUP, random_parts
from transference.store import CONTROL_NAMES, verify

ALPHAS = (3e-3, 3e-2)
N_SOURCE, N_TARGET = 4, 3
EAGER = ["loop", "threads", "vmap"]


@dataclass(frozen=True)
class Classifier:
    """Nearest prototypes whose logits are multiplied by a constant, and by a parameter, which a step may move alone."""

    scale: float = 1.0

    def init_params(self, seed):
        return PixelPrototypes().init_params(seed) | {"log_scale": torch.zeros(())}

    def episode_logits(self, params, episode):
        embed = lambda x: torch.tanh(F.linear(x.flatten(1), params["map.weight"], params["map.bias"]))
        support, query = embed(episode.support_x), embed(episode.query_x)
        of_class = F.one_hot(episode.support_y, 3).to(support)
        prototypes = of_class.T @ support / of_class.sum(dim=0)[:, None]
        squares = (query[:, None] - prototypes[None]).square().sum(dim=2)
        return -self.scale * params["log_scale"].exp() * squares

    def episode_loss(self, params, episode):
        return F.cross_entropy(self.episode_logits(params, episode), episode.query_y)


def tasks(mode, seed):
    return tr.few_shot(mode, ways=3, shots=1, queries=4, seed=seed)


SOURCES, TARGETS = (
    [tasks("strokes:val", 0), tasks("shapes:val", 0)],
    [tasks("strokes:test", 1), tasks("shapes:test", 1)],
)
CHECKPOINT = tr.Checkpoint(Classifier().init_params(0), step=10)


def measured(out, learner=None, checkpoint=CHECKPOINT, **settings):
    given = {
        "n_source": N_SOURCE, "n_target": N_TARGET, "lookahead": tr.SGD(ALPHAS), "estimator": tr.Exact(engine="loop"),
        "tempered": True, "precision": "fp64", "device": "cpu", "controls": 2, **settings,
    }  # fmt: skip
    return tr.measure(learner or Classifier(), checkpoint, SOURCES, TARGETS, out=out, **given)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("tempered") / "run")


def best(logits, labels):
    """The best temperature of these queries and their loss at it, by a search that knows no margins and no slopes."""
    loss = lambda log: float(F.cross_entropy(logits / np.exp(log), labels))
    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-12})
    return float(np.exp(found.x)), loss(found.x)


def by_hand(learner, params, sampler, draw=lambda sampler, k: sampler[k]):
    """What `best` finds of a mode's targets, and each target's loss at that temperature."""
    episodes = [draw(sampler, k).to(dtype=torch.float64) for k in range(N_TARGET)]
    logits = [learner.episode_logits(params, episode) for episode in episodes]
    temperature, _ = best(torch.cat(logits), torch.cat([episode.query_y for episode in episodes]))
    return temperature, [
        float(F.cross_entropy(z / temperature, e.query_y)) for z, e in zip(logits, episodes, strict=True)
    ]


def in_double(checkpoint):
    return {name: value.double() for name, value in checkpoint.params.items()}


def stepped(params, episode, alpha):
    """The parameters after a step down the gradient of an episode."""
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    loss = Classifier().episode_loss(leaves, episode.to(dtype=torch.float64))
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return {name: value - alpha * g for (name, value), g in zip(params.items(), gradients, strict=True)}


def test_every_reading_is_that_of_a_slow_search_on_the_logits_of_all_targets_of_the_mode(run):
    pairs, params = run.pairs(), in_double(CHECKPOINT)
    before = [by_hand(Classifier(), params, sampler) for sampler in TARGETS]
    for (source, alpha), rows in pairs.groupby(["source", "alpha"]):
        moved = stepped(params, SOURCES[source // N_SOURCE][source % N_SOURCE], alpha)
        after = [by_hand(Classifier(), moved, sampler) for sampler in TARGETS]
        for name, found in (("before", before), ("after", after)):
            expected = [temperature for temperature, losses in found for _ in losses]
            assert rows[f"temperature_{name}"].to_numpy() == pytest.approx(expected, rel=1e-4)
            expected = [loss for _, losses in found for loss in losses]
            assert rows[f"tempered_{name}"].to_numpy() == pytest.approx(expected, rel=1e-6)
    assert pairs["temperature_after"].nunique() == len(SOURCES) * N_SOURCE * len(ALPHAS) * len(TARGETS)


def in_a_random_direction(params, source, length):
    noise = {
        name: torch.from_numpy(Stream("placebo", source, name).normal(tuple(p.shape))) for name, p in params.items()
    }
    norm = torch.cat([value.flatten() for value in noise.values()]).norm()
    return {name: value + length / norm * noise[name] for name, value in params.items()}


def test_controls_are_read_at_the_best_temperature_of_all_targets_of_the_mode(run):
    controls, params = run.controls(), in_double(CHECKPOINT)
    lengths = run.sources().set_index(["alpha", "source"])["displacement_norm"]
    redrawn = lambda sampler, k: sampler.redraw(k)
    assert set(controls["control"]) == set(CONTROL_NAMES)
    for row in controls.to_dict("records"):
        mode, place = divmod(row["target"], N_TARGET)
        source = SOURCES[row["source"] // N_SOURCE], row["source"] % N_SOURCE
        draw, moved = lambda sampler, k: sampler[k], params
        if row["control"] == "resampled":
            draw, moved = redrawn, stepped(params, redrawn(*source), row["alpha"])
        elif row["control"] == "random_direction":
            moved = in_a_random_direction(params, row["source"], lengths[row["alpha"], row["source"]])
        elif row["control"] != "zero":
            moved = stepped(params, source[0][source[1]], row["alpha"])
        before, after = (by_hand(Classifier(), at, TARGETS[mode], draw) for at in (params, moved))
        assert (row["temperature_before"], row["temperature_after"]) == pytest.approx((before[0], after[0]), rel=1e-4)
        assert row["tempered_before"] == pytest.approx(before[1][place], rel=1e-6)
        assert row["tempered_after"] == pytest.approx(after[1][place], rel=1e-6)
        assert row["tempered_ratio"] == pytest.approx(after[1][place] / before[1][place], rel=1e-6)
    of = {name: rows.reset_index(drop=True) for name, rows in controls.groupby("control", observed=True)}
    assert (of["zero"]["tempered_ratio"] == 1).all()
    assert not np.isclose(of["random_direction"]["tempered_ratio"], of["measured"]["tempered_ratio"], rtol=1e-4).any()
    keys = ["alpha", "source", "target"]
    table = run.pairs().set_index(keys)["tempered_ratio"]
    measured_again = of["measured"].set_index(keys)["tempered_ratio"]
    assert measured_again.to_numpy() == pytest.approx(table[measured_again.index].to_numpy(), rel=1e-9)


def test_a_target_on_itself_is_read_at_the_temperature_of_its_mode(run):
    own, params = run.self_transference(), in_double(CHECKPOINT)
    assert len(own) == len(ALPHAS) * len(TARGETS) * N_TARGET
    for row in own.to_dict("records"):
        mode, place = divmod(row["target"], N_TARGET)
        after = by_hand(Classifier(), stepped(params, TARGETS[mode][place], row["alpha"]), TARGETS[mode])
        before = by_hand(Classifier(), params, TARGETS[mode])
        assert row["temperature_after"] == pytest.approx(after[0], rel=1e-4)
        assert row["tempered_ratio"] == pytest.approx(after[1][place] / before[1][place], rel=1e-6)


@pytest.mark.parametrize("tile", [(3, N_TARGET), (25, 2 * N_TARGET)])
@pytest.mark.parametrize("engine", EAGER)
def test_controls_are_the_same_in_any_tiling_and_by_any_engine(run, engine, tile, tmp_path):
    other = measured(tmp_path / "run", estimator=tr.Exact(engine=engine), tile=tile)
    for name in ("tempered_ratio", "temperature_before", "temperature_after", "loss_after", "accuracy_after"):
        assert other.controls()[name].to_numpy() == pytest.approx(run.controls()[name].to_numpy(), rel=1e-7)
        assert other.self_transference()[name].to_numpy() == pytest.approx(run.self_transference()[name], rel=1e-7)
    zero = other.controls().query("control == 'zero'")
    assert (zero[["loss_ratio", "tempered_ratio"]] == 1).all(axis=None)
    assert verify(other.path).complete


def test_controls_are_of_a_few_sources_since_each_is_read_on_all_targets(tmp_path):
    run = measured(tmp_path / "run", n_source=12, controls=20)
    controls = run.controls()
    assert (controls.groupby([*GROUP, "control"], observed=True).size() == 20).all()
    assert controls.groupby("source_mode", observed=True)["source"].nunique().tolist() == [8, 8]
    assert verify(run.path).complete
    plain = measured(tmp_path / "plain", n_source=12, controls=20, tempered=False).controls()
    assert plain.groupby("source_mode", observed=True)["source"].nunique().tolist() == [12, 12]
    assert "tempered_ratio" not in plain


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    """A run as it was begun when pairs alone were tempered."""
    asked = Question.of
    with monkeypatch.context() as patch:
        patch.setattr(Question, "of", lambda *args, **kw: dataclasses.replace(asked(*args, **kw), tempered_all=False))
        return measured(tmp_path / "earlier", controls=20, n_source=12)


def test_a_run_whose_pairs_alone_are_tempered_is_read_and_goes_on_as_it_was_begun(earlier, tmp_path):
    assert "tempered_all" not in earlier.spec.to_json()
    for table in (earlier.controls(), earlier.self_transference()):
        assert "tempered_ratio" not in table
    assert earlier.pairs()["tempered_ratio"].notna().all()
    assert not [name for name in tr.control_bands(earlier.controls()) if "tempered" in name or "confidence" in name]
    assert random_parts(tr.control_bands(earlier.controls())).empty
    assert "random directions as long" not in call("summary", earlier.path).output
    assert verify(earlier.path).complete
    whole = files(earlier)
    for file in [*earlier.path.rglob("controls.parquet"), *earlier.path.rglob("self-*.parquet")]:
        file.unlink()
    again = measured(earlier.path, controls=20, n_source=12)
    assert files(again) == whole
    further = tr.Checkpoint(Classifier().init_params(1), step=20)
    grown = measured(earlier.path, checkpoint=[CHECKPOINT, further], controls=20, n_source=12)
    assert "tempered_ratio" not in grown.controls()
    assert verify(earlier.path).complete
    assert {name: content for name, content in files(grown).items() if name in whole} == whole


def test_a_spec_cannot_have_all_tempered_and_no_pairs(run):
    assert run.spec.to_json()["tempered_all"] is True
    for change, message in (({"tempered_all": 1}, "true or false"), ({"tempered": False}, "false where tempered is")):
        with pytest.raises(ValueError, match=message):
            tr.RunSpec.from_json(run.spec.to_json() | change)


def test_bands_are_those_of_the_tempered_ratios_and_of_what_they_leave(run):
    controls = run.controls()
    bands = tr.control_bands(controls)
    assert bands["tempered_zero_exact"].all()
    plain = tr.control_bands(controls.drop(columns="tempered_ratio"))
    pd.testing.assert_frame_equal(bands[plain.columns], plain)
    for front, ratios in (
        ("tempered", controls["tempered_ratio"]),
        ("confidence", controls["loss_ratio"] / controls["tempered_ratio"]),
    ):
        of_part = tr.control_bands(controls.assign(loss_ratio=ratios).drop(columns="tempered_ratio"))
        for name in ("float64", "resampled_low", "random_direction_mean", "random_direction_high"):
            assert bands[f"{front}_{name}"].to_numpy() == pytest.approx(of_part[name].to_numpy(), rel=1e-9, abs=1e-12)
    parts = random_parts(bands)
    assert parts["log_ratio"].to_numpy() == pytest.approx((parts["tempered"] + parts["confidence"]).to_numpy())
    assert parts["tempered_high"].to_numpy() == pytest.approx(np.log(bands["tempered_random_direction_high"]))
    assert len(parts) == len(bands) == len(ALPHAS) * len(SOURCES) * len(TARGETS)


@pytest.mark.parametrize("spread", [0.05, 1.0, 40.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_best_temperature_is_that_of_a_slow_search(seed, spread):
    rng = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(4, 30, 5, generator=rng, dtype=torch.float64)
    labels = torch.where(torch.rand(4, 30, generator=rng) < 0.6, logits.argmax(dim=2), 0)
    temperature, loss = best(logits.flatten(0, 1), labels.flatten())
    found = Tempered.of(margins_of(logits, labels), per_mode=4)
    assert found.temperature == pytest.approx(temperature, rel=1e-6)
    assert found.loss.mean() == pytest.approx(loss, abs=1e-12, rel=1e-12)
    each = [float(F.cross_entropy(z / temperature, y)) for z, y in zip(logits, labels, strict=True)]
    assert found.loss == pytest.approx(each, rel=1e-6)


def margins_of(logits, labels):
    return tuple(z - z.gather(1, y[:, None]) for z, y in zip(logits, labels, strict=True))


def test_targets_of_different_sizes_count_alike():
    rng = torch.Generator().manual_seed(0)
    shapes = [(8, 3), (2, 5), (20, 2)]
    logits = [torch.randn(n, c, generator=rng, dtype=torch.float64) for n, c in shapes]
    labels = [(z.argmax(dim=1) * (torch.arange(len(z)) % 3 > 0)) for z in logits]
    mean = lambda log: np.mean(
        [float(F.cross_entropy(z / np.exp(log), y)) for z, y in zip(logits, labels, strict=True)]
    )
    expected = minimize_scalar(mean, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-12})
    found = Tempered.of(margins_of(logits, labels), per_mode=3)
    assert found.temperature == pytest.approx(np.exp(expected.x), rel=1e-6)
    assert found.loss.mean() == pytest.approx(expected.fun, rel=1e-12)


@pytest.mark.parametrize("factor", [1e-2, 3.0, 50.0])
def test_logits_times_a_constant_have_the_same_tempered_losses(run, tmp_path, factor):
    # the step of size 0 would do: what is compared is a reading, not what a gradient of other losses does
    other = measured(tmp_path / "run", Classifier(factor), lookahead=tr.SGD(0.0)).pairs()
    plain = run.pairs().query("alpha == @ALPHAS[0]").reset_index(drop=True)
    assert other["tempered_before"].to_numpy() == pytest.approx(plain["tempered_before"], rel=1e-9)
    assert other["temperature_before"].to_numpy() == pytest.approx(factor * plain["temperature_before"], rel=1e-9)
    assert (other["tempered_ratio"] == 1).all()
    assert not np.allclose(other["loss_before"], plain["loss_before"])


def test_a_step_that_only_multiplies_the_logits_has_a_tempered_ratio_of_1(tmp_path):
    run = measured(tmp_path / "run", lookahead=tr.SGD(ALPHAS, moves=("log_scale",)))
    pairs = run.pairs()
    assert np.abs(np.log(pairs["loss_ratio"])).max() > 1e-2  # confidence alone, and not a little
    assert np.log(pairs["tempered_ratio"]).to_numpy() == pytest.approx(np.zeros(len(pairs)), abs=1e-9)


def test_all_else_is_as_in_a_run_without(run, tmp_path):
    plain = measured(tmp_path / "plain", tempered=False)
    names = ["source", "target", "alpha", "loss_before", "loss_after", "loss_ratio", "first_order", "status"]
    assert run.pairs()[names].equals(plain.pairs()[names])
    assert "tempered" not in plain.spec.to_json()
    assert run.spec.to_json()["tempered"] is True
    assert tr.RunSpec.from_json(run.spec.to_json()) == run.spec
    assert "tempered_ratio" not in plain.pairs()
    assert np.array_equal(run.controls()["loss_after"], plain.controls()["loss_after"])
    with pytest.raises(UsageError, match="no tempered losses"):
        plain.matrix(alpha=ALPHAS[0], tempered=True)
    with pytest.raises(UsageError, match="no tempered losses"):
        plain.temperatures()
    problem = json.dumps(run.spec.to_json() | {"tempered": "yes"})
    with pytest.raises(ValueError, match="tempered is 'yes'; expected true or false"):
        tr.RunSpec.from_json(json.loads(problem))


def test_matrix_blocks_and_strips_have_the_tempered_ratios(run):
    pairs = run.pairs().query("alpha == @ALPHAS[1]")
    matrix = run.matrix(alpha=ALPHAS[1], tempered=True)
    assert matrix[pairs["source"], pairs["target"]].tolist() == pairs["tempered_ratio"].tolist()
    [block] = [b for b in run.blocks() if (b.alpha, b.source_mode, b.target_mode) == (ALPHAS[1], "shapes", "strokes")]
    assert np.array_equal(block.tempered_ratio, matrix[N_SOURCE:, :N_TARGET])
    [strips] = [s for s in run._strips_at(10, ALPHAS[1]) if (s.source_mode, s.target_mode) == ("shapes", "strokes")]
    assert strips.tempered
    read = np.full(block.shape, np.nan)
    for rows, columns, (cells,) in strips.strips("tempered_ratio"):
        read[rows, columns] = cells
    assert np.array_equal(read, block.tempered_ratio)


def test_temperatures_are_one_for_a_source_and_a_target_mode(run):
    found = run.temperatures()
    assert len(found) == len(ALPHAS) * len(SOURCES) * N_SOURCE * len(TARGETS)
    for _, rows in run.pairs().groupby(["source", "alpha", "target_mode"], observed=True):
        assert rows["temperature_after"].nunique() == 1
    merged = run.pairs().merge(found, on=["checkpoint_step", "alpha", "source", "source_mode", "target_mode"])
    for name in ("temperature_before", "temperature_after"):
        assert merged[f"{name}_x"].equals(merged[f"{name}_y"].rename(f"{name}_x"))


def files(run):
    return {path.relative_to(run.path): path.read_bytes() for path in run.path.rglob("*.parquet")}


def test_a_run_that_goes_on_has_the_same_bytes_and_so_have_shards(run, tmp_path):
    settings = {"tile": (3, N_TARGET)}
    whole = measured(tmp_path / "whole", **settings)
    assert verify(whole.path).complete
    part = tmp_path / "part"
    shutil.copytree(whole.path, part)
    for tile in sorted(part.rglob("pairs/*/*.parquet"))[1::2]:
        tile.unlink()
    assert files(measured(part, **settings)) == files(whole)
    for number in (1, 2):
        shared = measured(tmp_path / "shards", shard=(number, 2), **settings)
    assert files(shared) == files(whole)
    assert whole.pairs().equals(run.pairs())  # any tiling gives the same table


def test_replicates_have_temperatures_of_their_own(tmp_path):
    run = measured(tmp_path / "run", replicates=2)
    first, second = (run.temperatures(replicate) for replicate in (0, 1))
    assert not np.isclose(first["temperature_before"], second["temperature_before"]).any()
    assert verify(run.path).complete


@pytest.mark.parametrize("engine", EAGER)
def test_engines_agree(run, engine, tmp_path):
    found = measured(tmp_path / "run", estimator=tr.Exact(engine=engine)).pairs()
    for name in ("tempered_before", "tempered_after", "temperature_after", "accuracy_before"):
        assert found[name].to_numpy() == pytest.approx(run.pairs()[name].to_numpy(), rel=1e-7)


@pytest.mark.parametrize("engine", EAGER)
def test_an_engine_reads_margins_of_episodes_of_any_size(engine):
    shapes = [{"queries": 4}, {"queries": 1}, {"queries": 7}, {"queries": 4}]
    episodes = [tr.few_shot("strokes:val", ways=3, shots=1, seed=k, **shape)[0] for k, shape in enumerate(shapes)]
    episodes = [episode.to(dtype=torch.float64) for episode in episodes]
    params = in_double(CHECKPOINT)
    step = {name: 0.01 * torch.ones_like(value) for name, value in params.items()}
    moved = {name: value + step[name] for name, value in params.items()}
    prepared = tr.Exact(engine=engine).prepare(Classifier(), params, episodes, margins=True)
    [after] = prepared.after([step])
    for readings, at in ((prepared.before, params), (after, moved), (prepared.each([(2, step), (1, step)]), moved)):
        chosen = episodes if len(readings.loss) == len(episodes) else [episodes[2], episodes[1]]
        for margins, loss, episode in zip(readings.margins, readings.loss, chosen, strict=True):
            logits = Classifier().episode_logits(at, episode)
            expected = logits - logits[torch.arange(len(logits)), episode.query_y][:, None]
            torch.testing.assert_close(margins, expected, rtol=1e-9, atol=1e-9)
            assert float(loss) == pytest.approx(float(Classifier().episode_loss(at, episode)), rel=1e-9)
    assert tr.Exact(engine=engine).prepare(Classifier(), params, episodes).before.margins is None


@pytest.mark.slow
def test_a_compiled_engine_agrees(run, tmp_path):
    found = measured(tmp_path / "run", estimator=tr.Exact(engine="compiled")).pairs()
    assert found["tempered_after"].to_numpy() == pytest.approx(run.pairs()["tempered_after"].to_numpy(), rel=1e-7)


def separated(n=3, gap=2.0):
    labels = torch.arange(6) % 3
    return [gap * (F.one_hot(labels, 3).double() - 1) for _ in range(n)]


def test_queries_that_are_all_told_apart_are_at_the_lowest_temperature():
    found = Tempered.of(separated(), per_mode=3)
    assert (found.temperature == TEMPERATURES[0]).all()
    assert (found.loss == 0).all()
    small = Tempered.of(separated(gap=0.003), per_mode=3)
    assert (small.temperature == TEMPERATURES[0]).all()
    assert small.loss == pytest.approx(np.full(3, 2 * np.exp(-30)), rel=1e-9)  # and not what rounding leaves of it


@pytest.mark.parametrize("margins", [torch.zeros(6, 3), -separated()[0] / 2])
def test_logits_that_say_nothing_of_the_labels_are_at_the_highest_temperature(margins):
    found = Tempered.of([margins.double()] * 2, per_mode=2)
    assert (found.temperature == TEMPERATURES[1]).all()
    assert found.loss == pytest.approx(np.full(2, np.log(3)), abs=1e-3)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_target_without_finite_logits_is_left_out_of_the_temperature_and_has_no_loss(value):
    rng = torch.Generator().manual_seed(0)
    sound = [torch.randn(6, 3, generator=rng, dtype=torch.float64) for _ in range(2)]
    for margins in sound:
        margins[:, 0] = 0
    broken = sound[0].clone()
    broken[2, 1] = value
    found, without = Tempered.of([sound[0], broken, sound[1]], 3), Tempered.of(sound, 2)
    assert found.temperature.tolist() == [without.temperature[0]] * 3
    assert found.loss[[0, 2]].tolist() == without.loss.tolist()
    assert np.isnan(found.loss[1])
    nothing = Tempered.of([broken, broken], 2)
    assert np.isnan(nothing.temperature).all()
    assert np.isnan(nothing.loss).all()


def test_a_class_that_cannot_be_has_no_part():
    rng = torch.Generator().manual_seed(0)
    margins = torch.randn(8, 3, generator=rng, dtype=torch.float64)
    margins[:, 0] = 0
    masked = torch.cat([margins, torch.full((8, 1), -torch.inf, dtype=torch.float64)], dim=1)
    one, other = Tempered.of([margins], 1), Tempered.of([masked], 1)
    assert other.temperature == pytest.approx(one.temperature, rel=1e-9)
    assert other.loss == pytest.approx(one.loss, rel=1e-12)


class Separating(Classifier):
    """All queries told apart on the targets of one mode."""

    def episode_logits(self, params, episode):
        logits = super().episode_logits(params, episode)
        # so little apart that at the lowest temperature the losses are above 0 still
        return 1e-3 * logits + 0.02 * F.one_hot(episode.query_y, 3) if episode.mode in self.on else logits

    on = ("shapes",)
    mode_aware = True


class Overflowing(Classifier):
    """Its logits are no numbers after a long step."""

    def episode_logits(self, params, episode):
        logits = super().episode_logits(params, episode)
        moved = (params["map.bias"].square().sum() > 1e-7).to(logits)
        return logits / (1 - moved)


def test_pairs_at_the_lowest_temperature_have_losses_but_no_tempered_ratio(tmp_path):
    run = measured(tmp_path / "run", Separating())
    pairs = run.pairs()
    edge = pairs["target_mode"] == "shapes"
    assert (pairs.loc[edge, ["temperature_before", "temperature_after"]] == TEMPERATURES[0]).all(axis=None)
    assert (pairs.loc[edge, ["tempered_before", "tempered_after"]] > 0).all(axis=None)
    assert pairs.loc[edge, "tempered_ratio"].isna().all()
    assert pairs.loc[~edge, "tempered_ratio"].notna().all()
    assert pairs.loc[edge, "loss_ratio"].notna().all()
    assert verify(run.path).complete


def test_logits_that_are_no_numbers_fail_as_their_losses_do(tmp_path):
    run = measured(tmp_path / "run", Overflowing())
    pairs = run.pairs().query("alpha == @ALPHAS[1]")
    assert (pairs["status"] == "non_finite").all()
    assert pairs[["tempered_after", "temperature_after", "tempered_ratio"]].isna().all(axis=None)
    assert pairs["tempered_before"].notna().all()


class Smoothed(Classifier):
    def episode_loss(self, params, episode):
        return F.cross_entropy(self.episode_logits(params, episode), episode.query_y, label_smoothing=0.1)


class Misshapen(Classifier):
    def episode_logits(self, params, episode):
        return super().episode_logits(params, episode)[:-1]

    def episode_loss(self, params, episode):
        return super().episode_logits(params, episode).square().mean()


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        (
            PixelPrototypes(),
            r"PixelPrototypes has no episode_logits\(params, episode\). Give the classifier this method",
        ),
        (
            Smoothed(),
            r"cross-entropy of episode_logits is .* where episode_loss gives .*; they must be the same number",
        ),
        (
            Misshapen(),
            r"must return logits \[n_query, n_class\], here \[12, n_class\]; it returned the shape \[11, 3\]",
        ),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_learner_without_the_logits_of_its_loss_is_refused_in_one_line(learner, message, dry_run, tmp_path):
    checkpoint = tr.Checkpoint(learner.init_params(0), step=10)
    with pytest.raises(LearnerError, match=message) as error:
        measured(tmp_path / "run", learner, checkpoint, dry_run=dry_run)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_regression_has_no_logits(tmp_path):
    learner = tr.load_learner("regression-maml")
    line = tr.open_tasks("sinusoid:test", ways=1, shots=5, queries=5, seed=0)
    with pytest.raises(LearnerError, match=r"of a regression, which has none, leave tempered \(--tempered\) out"):
        tr.measure(
            learner, tr.Checkpoint(learner.init_params(0), step=1), line, line, out=tmp_path / "run", n_source=2,
            n_target=2, lookahead=tr.SGD(0.1), tempered=True,
        )  # fmt: skip


@pytest.mark.parametrize("estimator", [tr.FirstOrder(), tr.Quadratic(), tr.Calibrated()])
def test_estimates_are_refused(estimator, tmp_path):
    with pytest.raises(UsageError, match="Take --estimator exact"):
        measured(tmp_path / "run", estimator=estimator)


def test_a_tile_holds_whole_target_modes(tmp_path):
    with pytest.raises(UsageError, match=r"all 3 targets of a mode. Let a tile hold whole modes: --tile 5 3"):
        measured(tmp_path / "run", tile=(5, 4))
    with pytest.raises(UsageError, match=r"--tile 5 3"):
        measured(tmp_path / "run", tile=(5, 2))
    many = measured(tmp_path / "run", n_target=100, dry_run=True)
    assert many.spec.tile[1] == 100
    assert measured(tmp_path / "run", n_target=40, dry_run=True).spec.tile[1] == 40
    assert measured(tmp_path / "run", n_target=20, dry_run=True).spec.tile[1] == 60
    assert measured(tmp_path / "run", tile=(5, 1000), dry_run=True).spec.tile[1] == 1000


def test_it_is_another_run_than_one_without(run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "copy")
    with pytest.raises(tr.TransferenceError, match="tempered: True → none"):
        measured(copy, tempered=False)
    measured(tmp_path / "plain", tempered=False, tile=(25, 5), n_source=1)
    with pytest.raises(tr.TransferenceError, match="tempered: none → True"):
        measured(tmp_path / "plain", n_source=1)


def test_verify_finds_a_tempered_ratio_that_is_not_its_losses(run, tmp_path):
    from transference.store import Store

    copy = shutil.copytree(run.path, tmp_path / "copy")
    file = Store(copy).layout.pairs(next(run.spec.tiles(10, 0)))
    content = file.read()
    place = content.column_names.index("tempered_ratio")
    file.write(content.set_column(place, "tempered_ratio", content["loss_ratio"]))
    assert any("a tempered ratio is not what its losses say" in problem for problem in verify(copy).problems)


def test_the_split_adds_up_exactly_with_the_intervals_of_other_means(run):
    found = tr.split_confidence(run.blocks())
    assert len(found) == len(ALPHAS) * len(SOURCES) * len(TARGETS)
    assert found["log_ratio"].to_numpy() == pytest.approx(found["tempered"] + found["confidence"], abs=1e-15)
    for row in found.to_dict("records"):
        pairs = run.pairs()
        pairs = pairs[(pairs[list(GROUP)] == [row[name] for name in GROUP]).all(axis=1)]
        logs, tempered = np.log(pairs["loss_ratio"]), np.log(pairs["tempered_ratio"])
        assert (row["n"], row["untempered"]) == (len(pairs), 0)
        assert row["tempered"] == pytest.approx(tempered.mean(), rel=1e-12)
        assert row["confidence"] == pytest.approx((logs - tempered).mean(), rel=1e-12)
    whole = tr.intervals(run.blocks()).query("statistic == 'geometric_mean'")
    for end in ("low", "high"):
        assert found[f"log_ratio_{end}"].to_numpy() == pytest.approx(np.log(whole[end].to_numpy()), rel=1e-9)
    parts = tr.split(run.blocks())
    assert found["log_ratio"].to_numpy() == pytest.approx(parts["log_ratio"].to_numpy(), rel=1e-12)


def test_pairs_without_a_tempered_ratio_are_counted_and_left_out(run):
    [block, *_] = run.blocks()
    holed = block.tempered_ratio.copy()
    holed[0, 1] = np.nan
    [row] = tr.split_confidence([dataclasses.replace(block, tempered_ratio=holed)]).to_dict("records")
    assert (row["n"], row["untempered"]) == (block.loss_ratio.size - 1, 1)
    there = np.isfinite(holed)
    assert row["log_ratio"] == pytest.approx(np.log(block.loss_ratio[there]).mean(), rel=1e-12)
    assert tr.split_confidence([dataclasses.replace(block, tempered_ratio=None)]).empty


def test_the_summary_prints_the_split(run, tmp_path):
    text = call("summary", run.path).output
    assert "Mean log ratio as that of tempered losses" in text
    assert "= tempered" in text
    assert "Left out" not in text
    rows = json.loads(call("summary", run.path, "--json").output)
    for row, expected in zip(rows, tr.split_confidence(run.blocks()).to_dict("records"), strict=True):
        for name in ("tempered", "tempered_low", "confidence_high", "untempered"):
            assert row[name] == pytest.approx(expected[name], rel=1e-9)
        assert row["temperature_before"] > 0
    random = random_parts(tr.control_bands(run.controls()))
    told = text.split("The same of random directions")[1].split("\n\n")[0]
    for value in random[["tempered", "tempered_low", "confidence", "confidence_high"]].to_numpy().ravel():
        assert f"{value:+.4f}" in told
    assert [row["random_confidence"] for row in rows] == pytest.approx(random["confidence"].tolist())
    assert "tempered: random direction" in call("summary", run.path, "--controls").output
    edge = measured(tmp_path / "edge", Separating())
    told = " ".join(call("summary", edge.path).output.split())
    left = len(SOURCES) * N_SOURCE * N_TARGET * len(ALPHAS)
    assert f"Left out: {left} pairs without a tempered ratio, since at T = 0.0001 all queries" in told
    plain = measured(tmp_path / "plain", tempered=False)
    assert "tempered" not in call("summary", plain.path).output


def test_the_command_measures_and_prints_it(tmp_path):
    checkpoint = tmp_path / "step-10.safetensors"
    learner = tr.load_learner("protonet")
    tr.save_checkpoint(tr.Checkpoint(learner.init_params(0), step=10, learner="protonet"), checkpoint)
    words = [
        "compute",
        checkpoint,
        "--source",
        "strokes:val",
        "--target",
        "shapes:test",
        "--n-source",
        2,
        "--n-target",
        2,
        "--ways",
        3,
    ]
    words += ["--shots", 1, "--queries", 2, "--alpha", 0.001, "--controls", 0, "--out", tmp_path / "run"]
    result = call(*words, "--tempered")
    assert result.exit_code == 0, result.output
    told = result.output
    assert "+ confidence" in told
    run = tr.open_run(tmp_path / "run")
    assert run.spec.tempered
    assert run.pairs()["tempered_before"].notna().all()
    refused = call(*words, "--tempered", "--estimator", "first-order", "--out", tmp_path / "other")
    assert refused.exit_code == 2
    assert "Take --estimator exact" in refused.output


@pytest.mark.slow
def test_the_figure_is_drawn_and_the_report_shows_it(run, tmp_path):
    figure = tmp_path / "parts.png"
    result = call("plot", run.path, "--kind", "confidence", "--alpha", ALPHAS[0], "-o", figure)
    assert result.exit_code == 0, result.output
    drawn = pd.read_csv(figure.with_suffix(".csv"))
    expected = tr.split_confidence(run.blocks()).query("alpha == @ALPHAS[0]")
    assert drawn["confidence"].to_numpy() == pytest.approx(expected["confidence"].to_numpy(), rel=1e-6)
    random = random_parts(tr.control_bands(run.controls())).query("alpha == @ALPHAS[0]")
    assert drawn["random_tempered_high"].to_numpy() == pytest.approx(random["tempered_high"].to_numpy(), rel=1e-6)
    call("report", run.path, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("What a ratio is made of at checkpoint 10") >= len(ALPHAS)
    assert page.count("Means of random directions as long as the steps") >= len(ALPHAS)
    assert "tempered: random direction, mean" in page
    plain = measured(tmp_path / "plain", tempered=False)
    call("report", plain.path, "-o", tmp_path / "plain.html")
    told = (tmp_path / "plain.html").read_text()
    assert "What a ratio is made of" not in told
    assert "tempered: " not in told
    refused = call("plot", plain.path, "--kind", "confidence", "--alpha", ALPHAS[0], "-o", tmp_path / "other.png")
    assert refused.exit_code == 2
    assert "has no tempered losses; measure it again with --tempered" in refused.output


@pytest.mark.slow
def test_a_figure_of_no_tempered_ratio_is_refused_in_a_line(tmp_path):
    everywhere = type("Everywhere", (Separating,), {"on": ("shapes", "strokes")})
    run = measured(tmp_path / "run", everywhere())
    refused = call("plot", run.path, "--kind", "confidence", "--alpha", ALPHAS[0], "-o", tmp_path / "parts.png")
    assert refused.exit_code == 2
    assert "no pair with a tempered ratio" in refused.output
    assert call("report", run.path, "-o", tmp_path / "report.html").exit_code == 0
    assert call("summary", run.path).exit_code == 0


class Hungry(Classifier):
    """Memory does not suffice for it after a long step."""

    def episode_logits(self, params, episode):
        if params["map.bias"].detach().square().sum() > 1e-7:
            raise torch.OutOfMemoryError("of device")
        return super().episode_logits(params, episode)


def test_where_memory_runs_out_there_is_no_temperature_either(tmp_path):
    run = measured(tmp_path / "run", Hungry(), controls=0)
    pairs = run.pairs().query("alpha == @ALPHAS[1]")
    assert (pairs["status"] == "out_of_memory").all()
    assert pairs[["tempered_after", "temperature_after", "tempered_ratio"]].isna().all(axis=None)
    assert pairs["temperature_before"].notna().all()
    assert verify(run.path).complete


def test_where_memory_runs_out_controls_have_no_temperature_and_a_step_of_zero_has(tmp_path):
    run = measured(tmp_path / "run", Hungry())
    controls = run.controls().query("alpha == @ALPHAS[1]").set_index("control")
    lost = controls.loc[["measured", "float64", "resampled"]]
    assert (lost["status"] == "out_of_memory").all()
    assert lost[["tempered_after", "temperature_after", "tempered_ratio"]].isna().all(axis=None)
    assert lost["temperature_before"].notna().all()
    assert (controls.loc["zero", "tempered_ratio"] == 1).all()
    own = run.self_transference().query("alpha == @ALPHAS[1]")
    assert own["tempered_ratio"].isna().all()
    assert verify(run.path).complete


@pytest.mark.slow
def test_workers_measure_the_same(run, tmp_path):
    pytest.importorskip("distributed", reason="distributed is not installed; pip install 'transference[cluster]'")
    found = measured(tmp_path / "run", cluster="local:1", tile=(3, N_TARGET))
    assert found.pairs().equals(run.pairs())
