"""The parabola along a step: beside its definition, beside the exact measurement, and where it has nothing to say."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch

import transference as tr
from meta_models import ProtoNet
from tests import oracles
from tests.strangers import PixelPrototypes
from tests.test_cli import call
from tests.test_estimators import Bowls, Place
from tests.test_first_order import oracle_gradient
from transference.errors import UsageError
from transference.estimators import Ray
from transference.estimators.exact import ExactTargets
from transference.estimators.quadratic import CurvedTargets
from transference.report import write_report
from transference.statistics import check_estimates

KEYS = ["source", "target", "alpha"]
LOSSES = ["loss_before", "loss_after", "loss_ratio", "first_order"]


def measured(
    out, estimator, *, learner=None, checkpoint=None, sources=None, targets=None, alphas=(0.1, 1.5, 0.7), **words
):
    """By default of bowls, which are parabolas."""
    asked = {
        "n_source": 6,
        "n_target": 5,
        "lookahead": tr.SGD(alphas),
        "precision": "fp64",
        "device": "cpu",
        "controls": 2,
    }
    checkpoint = checkpoint or tr.Checkpoint({"w": torch.tensor([0.3, -0.2])}, step=1)
    return tr.measure(learner or Place(), checkpoint, sources or Bowls(), targets or Bowls(), out=out, estimator=estimator,
                      **{**asked, **words})  # fmt: skip


def both(folder, *, engine="loop", checked=8, **words):
    return [
        measured(folder / type(one).__name__, one, **words)
        for one in (tr.Exact(engine), tr.Quadratic(checked=checked, engine=engine))
    ]


# What it says


@pytest.mark.slow
def test_every_smaller_step_is_on_the_parabola_of_the_definition(tmp_path, sources, targets):
    learner, alphas = ProtoNet(), (1e-5, 4e-5, 1e-4)
    checkpoint = tr.Checkpoint(learner.init_params(0), step=1)
    run = measured(tmp_path / "run", tr.Quadratic(checked=2), learner=learner, checkpoint=checkpoint, sources=sources,
                   targets=targets, alphas=alphas, n_source=2, n_target=3)  # fmt: skip
    found = run.pairs().set_index(KEYS)["loss_after"]
    params = {name: value.double() for name, value in checkpoint.params.items()}
    there = [targets[j].to(dtype=torch.float64) for j in range(3)]
    lines = [oracle_gradient(oracles.protonet_loss, checkpoint.params, episode) for episode in there]
    without = {"slope": 0.0, "curvature": 0.0}
    for i in range(2):
        _, g = oracle_gradient(oracles.protonet_loss, checkpoint.params, sources[i].to(dtype=torch.float64))
        after = {name: value - 1e-4 * g[name] for name, value in params.items()}
        for j, (before, h) in enumerate(lines):
            end = float(oracles.protonet_loss(after, there[j]))
            assert found[i, j, 1e-4] == pytest.approx(end, rel=1e-9)
            slope = -1e-4 * sum(float((g[name] * h[name]).sum()) for name in params)
            bend = end - before - slope
            for s, alpha in ((0.1, 1e-5), (0.4, 4e-5)):
                assert found[i, j, alpha] == pytest.approx(before + s * slope + s * s * bend, rel=1e-9)
                straight, flat = before + s * slope, before + s * s * (end - before)
                without["curvature"] = max(without["curvature"], abs(found[i, j, alpha] - straight) / before)
                without["slope"] = max(without["slope"], abs(found[i, j, alpha] - flat) / before)
    assert min(without.values()) > 1e-4, "either would be missed"


@pytest.mark.parametrize("alphas", [(0.1, 1.5, 0.7), (1.5, 0.0), (2.0, 1e-6, 1.9999)], ids=str)
def test_a_parabola_is_measured_exactly_at_every_step(tmp_path, alphas):
    exact, found = both(tmp_path, alphas=alphas)
    np.testing.assert_allclose(found.pairs()[LOSSES], exact.pairs()[LOSSES], rtol=1e-12)
    away = (exact.pairs()["loss_ratio"] - 1 - exact.pairs()["first_order"]).abs()
    assert away.max() > 0.5, "steps that the first order would not follow"
    assert check_estimates(found.exact_pairs())["largest_error"].max() < 1e-12


def test_the_error_is_of_third_order(tmp_path, learner, checkpoint, sources, targets):
    words = {"learner": learner, "checkpoint": checkpoint, "sources": sources, "targets": targets}
    errors = []
    for largest in (0.01, 0.1):
        exact, found = both(tmp_path / str(largest), alphas=(largest / 2, largest), **words)
        errors.append(np.abs(exact.matrix(alpha=largest / 2) - found.matrix(alpha=largest / 2)).max())
    assert 400 < errors[1] / errors[0] < 2500


class Alone(tr.SGD):
    """A step that the package does not know, of half the length."""

    def displacements(self, source):
        return [{name: value / 2 for name, value in one.items()} for one in super().displacements(source)]


def adamw(params):
    moments = {name: torch.full_like(value, 0.01) for name, value in params.items()}
    return tr.OptimizerState(
        "adamw", 1e-3, {"weight_decay": 0.1}, {"exp_avg": moments, "exp_avg_sq": moments}, dict.fromkeys(params, 5)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "engine"), [(tr.SGD, "loop"), (tr.Normalised, "threads"), (tr.Outer, "loop"), (Alone, "loop")]
)
def test_the_largest_step_is_that_of_an_exact_run(tmp_path, strokes, shapes, kind, engine):
    """Losses and accuracies, of single sources and combinations, in every replicate; so is all beside the table."""
    learner = ProtoNet()
    checkpoint = tr.Checkpoint(params := learner.init_params(0), step=1, optimizer=adamw(params))
    tasks = [[tr.FewShot(data, ways=3, shots=1, queries=2, seed=k) for data in (strokes, shapes)] for k in range(2)]
    exact, found = both(
        tmp_path, engine=engine, checked=8, learner=learner, checkpoint=checkpoint, sources=tasks[0], targets=tasks[1],
        lookahead=kind((1e-6, 1e-5, 3e-6)), combine={"mgda": tr.MGDA()}, replicates=2, n_source=2, n_target=1, tile=(4, 1),
        precision="fp32", controls=1,
    )  # fmt: skip
    pairs, others = (run.pairs(None) for run in (found, exact))
    last = pairs["alpha"] == 1e-5
    pd.testing.assert_frame_equal(pairs[last], others[last], check_exact=True)
    assert pairs.loc[last, "accuracy_after"].notna().all()
    assert pairs.loc[~last, "accuracy_after"].isna().all()
    assert (pairs["status"] == "ok").all()
    shared = [name for name in pairs if name not in ("loss_after", "loss_ratio", "accuracy_after")]
    pd.testing.assert_frame_equal(pairs[shared], others[shared], check_exact=True)
    for table in ("self_transference", "controls", "sources"):
        pd.testing.assert_frame_equal(getattr(found, table)(), getattr(exact, table)(), rtol=1e-5)
    sample = found.exact_pairs()
    assert set(sample["alpha"]) == {1e-6, 3e-6}, "what is exact needs no check"
    both_of = sample.merge(others[others["replicate"] == 0], on=KEYS, suffixes=("", "_exact"))
    assert len(both_of) == len(sample) > 0
    np.testing.assert_allclose(both_of["loss_after"], both_of["loss_after_exact"], rtol=1e-5)
    assert tr.verify(found.path).complete


def test_it_evaluates_one_step_of_each_source(tmp_path, monkeypatch):
    evaluated, after = [], ExactTargets.after

    def counted(self, displacements):
        evaluated.extend(displacements)
        return after(self, displacements)

    monkeypatch.setattr(ExactTargets, "after", counted)
    words = {"alphas": (0.1, 0.2, 0.3, 0.4), "controls": 0, "tile": (4, 5)}
    measured(tmp_path / "run", tr.Quadratic(checked=0, engine="loop"), **words)
    assert len(evaluated) == 6
    measured(tmp_path / "exact", tr.Exact("loop"), **words)
    assert len(evaluated) == 6 + 4 * 6


# What a run tells


@pytest.mark.slow
def test_a_run_tells_which_steps_are_exact(tmp_path):
    run = measured(tmp_path / "run", tr.Quadratic(checked=30, engine="loop"))
    assert run.spec.estimator == {"kind": "quadratic", "checked": 30, "seed": 0, "engine": "loop", "exact_at": [1.5]}
    again = tr.open_run(run.path).spec
    assert (again.estimates, again.sampled, again.calibrated) == (True, True, False)
    assert (again.exact_at, again.estimated_at) == ((1.5,), (0.1, 0.7))
    for estimator, exact in ((tr.Exact("loop"), (0.1, 1.5, 0.7)), (tr.FirstOrder(engine="loop"), ())):
        other = measured(tmp_path / type(estimator).__name__, estimator, dry_run=True).spec
        assert other.exact_at == exact
        assert "exact_at" not in other.estimator, "specs of earlier versions have other digests else"
    told = call("summary", run.path).stdout
    assert "At α = 1.5 every loss is exact, at other step sizes an estimate." in told
    assert "The quadratic beside exact, on a sample of pairs" in told
    rows = json.loads(call("summary", run.path, "--json").stdout)
    assert {row["alpha"]: row["estimated"] for row in rows} == {0.1: True, 0.7: True, 1.5: False}
    write_report([run], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "but for those at α = 1.5, which are exact" in page
    assert "those of smaller sizes are estimates, by a parabola" in page
    assert "The quadratic beside exact" in page
    assert "are estimates (quadratic; those at α = 1.5 are exact)" in tr.Explorer(run).page
    for alpha, warned in ((0.1, True), (1.5, False)):
        drawn = call("plot", run.path, "--kind", "matrix", "--alpha", alpha, "-o", tmp_path / f"{alpha}.png")
        assert ("holds estimates (quadratic; those at α = 1.5 are exact)" in drawn.output) == warned


def test_where_the_largest_step_is_too_large_the_check_says_so(tmp_path):
    class Wavy:
        def episode_loss(self, params, episode):
            return 1.5 + torch.sin(6 * (params["w"] - episode.support_x)).sum() / 4 + 0 * episode.query_x.sum()

    run = measured(tmp_path / "run", tr.Quadratic(checked=30, engine="loop"), learner=Wavy(), alphas=(0.01, 0.3, 1.0))
    check = check_estimates(run.exact_pairs()).set_index("alpha")
    assert check["trusted"].to_dict() == {0.01: True, 0.3: False}
    told = call("summary", run.path).stdout
    assert "step too large for the quadratic" in told
    assert "take --estimator exact, or a smaller --alpha" in told


def test_without_a_check_the_summary_still_tells_what_is_exact(tmp_path):
    run = measured(tmp_path / "run", tr.Quadratic(checked=0, engine="loop"))
    assert run.exact_pairs().empty
    told = call("summary", run.path).stdout
    assert "At α = 1.5 every loss is exact" in told
    assert "on a sample of pairs" not in told


@pytest.mark.slow
def test_somebody_elses_estimator_along_rays_says_the_same(tmp_path):
    class Two(tr.Quadratic):
        """The two largest exactly."""

        def exact_at(self, alphas):
            return tuple(sorted(alphas)[-2:])

        def prepare(self, learner, params, targets):
            return TwoEnds(learner, params, targets, self.engine)

    class TwoEnds(CurvedTargets):
        def along(self, rays):
            for ray in rays:
                yield list(self.after(ray.displacements))

    run = measured(tmp_path / "run", Two(checked=30, engine="loop"))
    assert run.spec.estimates
    assert run.spec.estimator["exact_at"] == [0.7, 1.5]
    assert set(run.exact_pairs()["alpha"]) == {0.1}
    write_report([run], tmp_path / "report.html")
    assert "were estimated by two, those at α = 0.7 and 1.5 computed" in (tmp_path / "report.html").read_text()


# Where it has nothing to say


class Line:
    """Losses of one number, by a formula."""

    def __init__(self, formula):
        self.formula = formula

    def episode_loss(self, params, episode):
        return self.formula(params["x"].sum()) + 0 * episode.query_x.sum()


def along_a_line(out, formula, alphas, estimator=None):
    """The step of size α goes from 0 to α times the slope of the source's loss, downwards."""
    checkpoint = tr.Checkpoint({"x": torch.zeros(1)}, step=1)
    return measured(out, estimator or tr.Quadratic(checked=0, engine="loop"), learner=Line(formula), checkpoint=checkpoint,
                    alphas=alphas, n_source=1, n_target=1, controls=0).pairs().set_index("alpha")  # fmt: skip


def test_a_parabola_below_zero_is_no_loss(tmp_path):
    frame = along_a_line(tmp_path / "run", lambda x: torch.exp(-20 * x) + x, (0.5 / 19, 1 / 19))
    small, large = frame.loc[0.5 / 19], frame.loc[1 / 19]
    assert large["status"] == "ok"
    assert large["loss_after"] == pytest.approx(1 + np.exp(-20), rel=1e-9)
    assert small["status"] == "non_finite"
    assert small["loss_after"] == pytest.approx(1 - 19 / 2 + 19 / 4, rel=1e-6)
    assert np.isnan(small["loss_ratio"])
    run = tr.open_run(tmp_path / "run")
    changes = {block.alpha: block.change[0, 0] for block in run.blocks()}
    assert changes[0.5 / 19] == pytest.approx(small["loss_after"]), "whatever the status, of an estimate"
    assert run.failed() == {"non_finite": 1}


@pytest.mark.parametrize("end", [torch.inf, -torch.inf, torch.nan])
def test_nothing_is_known_before_a_step_that_diverged(tmp_path, end):
    formula = lambda x: torch.where(x > 0.5, end, 1.0) - x
    frame = along_a_line(tmp_path / "run", formula, (0.1, 0.2, 1.0))
    assert frame["status"].tolist() == ["non_finite"] * 3
    assert frame.loc[[0.1, 0.2], "loss_after"].isna().all(), "though the losses there are sound"


def test_a_largest_step_to_a_loss_of_zero_tells_the_others(tmp_path):
    frame = along_a_line(tmp_path / "run", lambda x: (1 - x).square(), (0.25, 0.5))
    assert frame["status"].tolist() == ["ok", "zero_loss"]
    assert frame.loc[0.25, "loss_after"] == pytest.approx(0.25, rel=1e-12)


def test_a_step_that_is_no_number_is_a_failed_cell_and_no_crooked_ray(tmp_path):
    class Far(tr.SGD):
        def displacements(self, source):
            return [{name: value / 0 for name, value in one.items()} for one in super().displacements(source)]

    run = measured(tmp_path / "run", tr.Quadratic(checked=4, engine="loop"), lookahead=Far((0.1, 0.2)))
    assert set(run.pairs()["status"]) == {"non_finite"}


def test_rays_that_do_not_fit_are_read_in_halves(tmp_path, learner, checkpoint, sources, targets, monkeypatch):
    whole = CurvedTargets.along

    def narrow(self, rays):
        if len(rays) > limit:
            raise torch.OutOfMemoryError("no more")
        return whole(self, rays)

    monkeypatch.setattr(CurvedTargets, "along", narrow)
    words = {
        "learner": learner,
        "checkpoint": checkpoint,
        "sources": sources,
        "targets": targets,
        "alphas": (0.01, 0.03),
    }
    tables = {}
    for limit in (100, 2, 0):
        tables[limit] = measured(tmp_path / str(limit), tr.Quadratic(checked=0, engine="loop"), **words).pairs()
    pd.testing.assert_frame_equal(tables[100], tables[2], rtol=1e-12)
    assert set(tables[100]["status"]) == {"ok"}
    assert set(tables[0]["status"]) == {"out_of_memory"}


def test_a_source_whose_step_does_not_fit_leaves_the_others(tmp_path, checkpoint, sources, targets):
    class Heavy(PixelPrototypes):
        def episode_loss(self, params, episode):
            if params["map.weight"].requires_grad and torch.equal(episode.query_x, sources[3].query_x):
                raise torch.OutOfMemoryError("no more")
            return super().episode_loss(params, episode)

    run = measured(tmp_path / "run", tr.Quadratic(checked=4, engine="loop"), learner=Heavy(), checkpoint=checkpoint,
                   sources=sources, targets=targets, alphas=(0.01, 0.03), precision="fp32")  # fmt: skip
    statuses = run.pairs().groupby("source")["status"].agg(lambda found: set(found.astype(str)))
    assert statuses.tolist() == [{"ok"}, {"ok"}, {"ok"}, {"out_of_memory"}, {"ok"}, {"ok"}]


# What is refused


def test_one_step_size_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(
        UsageError, match=r"0.3 is the only one. Give --alpha at least twice, or take --estimator exact.$"
    ):
        measured(tmp_path / "run", tr.Quadratic(), alphas=0.3)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_says_what_it_cannot_do(tmp_path):
    words = ["train", "--learner", "protonet", "--modes", "strokes", "--ways", 3, "--queries", 2, "--iterations", 2]
    assert call(*words, "--out", tmp_path / "t").exit_code == 0
    words = ["compute", tmp_path / "t" / "step-00000002.safetensors", "--source", "strokes:train", "--target", "strokes:val",
             "--n-source", 3, "--n-target", 3, "--estimator", "quadratic", "--out", tmp_path / "run"]  # fmt: skip
    for more in ([], ["--alpha", 0.01]):  # the first has the checkpoint's own
        refused = call(*words, *more)
        assert refused.exit_code == 2
        assert "Give --alpha at least twice" in refused.output
        assert refused.output.splitlines()[-1].startswith("error: The quadratic estimator")
    refused = call(*words, "--alpha", 0.01, "--alpha", 0.001, "--share", 0.1)
    assert refused.exit_code == 2
    assert "it belongs to --estimator calibrated" in refused.output
    assert not (tmp_path / "run").exists()
    done = call(*words, "--alpha", 0.001, "--alpha", 0.0001)
    assert done.exit_code == 0, done.output
    assert "The quadratic beside exact" in done.output
    changed = call(*[word if word != "quadratic" else "exact" for word in words], "--alpha", 0.001, "--alpha", 0.0001)
    assert changed.exit_code == 2
    assert "estimator" in changed.output, "no other estimator goes on with this folder"


@dataclass(frozen=True)
class Clipped(tr.SGD):
    """No step is longer than this: on a line, and not as long as the step sizes say."""

    longest: float = 1.0

    def displacements(self, source):
        steps = super().displacements(source)
        lengths = [sum(float(value.square().sum()) for value in step.values()) ** 0.5 for step in steps]
        return [
            {name: value * min(1.0, self.longest / length) for name, value in step.items()}
            for step, length in zip(steps, lengths, strict=True)
        ]


@dataclass(frozen=True)
class Repeated(tr.SGD):
    """Two steps of plain SGD on the source, which bend."""

    def displacements(self, source):
        slope = torch.func.grad(lambda params: source.learner.episode_loss(params, source.episode))
        found = []
        for step in super().displacements(source):
            again = slope({name: value + step[name] for name, value in source.params.items()})
            found.append({name: step[name] * (1 + again[name] / source.gradient[name]) for name in step})
        return found


@pytest.mark.parametrize(
    "lookahead", [Clipped((0.1, 0.5), longest=0.1), Repeated((0.01, 0.3))], ids=["clipped", "bent"]
)
def test_steps_that_are_no_multiples_of_one_another_are_refused_at_once(tmp_path, lookahead):
    with pytest.raises(
        UsageError, match=r"steps of this lookahead are no multiples .* Take --estimator exact.$"
    ) as refused:
        measured(tmp_path / "run", tr.Quadratic(engine="loop"), lookahead=lookahead)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.rglob("*.parquet"))
    assert (measured(tmp_path / "exact", tr.Exact("loop"), lookahead=lookahead).pairs()["status"] == "ok").all()


def test_a_later_source_whose_steps_are_no_multiples_loses_nothing(tmp_path):
    plain = measured(tmp_path / "plain", tr.Exact("loop"), alphas=(0.1, 0.5))
    lengths = plain.sources().query("alpha == 0.5").set_index("source")["displacement_norm"]
    assert (lengths[2:] > lengths[:2].max()).any()
    lookahead = Clipped((0.1, 0.5), longest=float(lengths[:2].max()) * 1.0001)
    with pytest.raises(UsageError, match="are no multiples of one another"):
        measured(tmp_path / "run", tr.Quadratic(engine="loop"), lookahead=lookahead, tile=(2, 5))
    assert list((tmp_path / "run" / "pairs").rglob("*.parquet")), "what was finished is kept"


def test_rounding_bends_no_ray():
    generator = torch.Generator().manual_seed(0)
    along = {name: torch.randn(1000, generator=generator) for name in "ab"}
    alphas = (3e-7, 0.1, 0.7, 0.0)
    ray = Ray(alphas, tuple({name: -alpha * value for name, value in along.items()} for alpha in alphas))
    assert ray.end is ray.displacements[2]
    assert ray.shares == (3e-7 / 0.7, 0.1 / 0.7, 1.0, 0.0)
    without = {"a": torch.zeros(1000)}
    Ray((0.0, 1.0), (without, along))
    with pytest.raises(UsageError, match="that of α = 0.5 should be 0.5 times that of 1, and lies 0.69 of"):
        Ray((0.5, 1.0), ({"a": 0.5 * along["a"]}, along))
    bent = {**along, "b": along["b"] * 1.001}
    with pytest.raises(UsageError, match="no multiples"):
        Ray((0.5, 1.0), ({name: 0.5 * value for name, value in bent.items()}, along))


def test_a_negative_number_of_pairs_is_refused():
    with pytest.raises(UsageError, match="-1 pairs were to be checked"):
        tr.Quadratic(checked=-1)


# Going on


def test_an_interrupted_run_goes_on_and_an_exact_one_does_not(tmp_path):
    estimator, words = tr.Quadratic(checked=20, engine="loop"), {"tile": (2, 3)}
    whole = measured(tmp_path / "run", estimator, **words)
    files = sorted(file for folder in ("pairs", "exact") for file in (whole.path / folder).rglob("*.parquet"))
    before = whole.pairs(), whole.exact_pairs()
    for file in files[::2]:
        file.unlink()
    again = measured(tmp_path / "run", estimator, **words)
    for one, other in zip(before, (again.pairs(), again.exact_pairs()), strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-12)
    with pytest.raises(UsageError, match=r"estimator\.kind: quadratic → exact"):
        measured(tmp_path / "run", tr.Exact("loop"), **words)
    with pytest.raises(UsageError, match=r"estimator\.checked: 20 → 21"):
        measured(tmp_path / "run", replace(estimator, checked=21), **words)
