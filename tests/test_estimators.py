"""The seam: an estimator of somebody else's, of second order, which is exact where the loss is a parabola."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import transference as tr
from transference.errors import UsageError
from transference.estimators import ExactSample, Readings, Tangents
from transference.report import write_report
from transference.statistics import check_estimates
from transference.store import verify


class Bowls:
    """Task k is a centre c_k in the plane, and how steep the bowl around it is; the loss has its least value, 1, there."""

    name = "bowls"

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        centre, steep = torch.randn(1, 2, generator=generator), 1 + torch.rand(1, 2, generator=generator)
        return tr.Episode(centre, torch.zeros(1), steep, torch.zeros(1))


class Place:
    """``L = 1 + ½ Σ_k a_k (w_k - c_k)²``."""

    def episode_loss(self, params, episode):
        return 1 + 0.5 * (episode.query_x * (params["w"] - episode.support_x).square()).sum()


@dataclass(frozen=True)
class SecondOrder:
    """``L + ⟨g, d⟩ + ½ dᵀ H d``, with Hessian-vector products."""

    engine: str = "loop"

    @property
    def sample(self):
        return ExactSample(tr.Exact(self.engine), shares=lambda cells: np.full(cells.shape, 0.5), seed=3)

    def prepare(self, learner, params, targets):
        return Curved(learner, params, targets, self.engine)


class Curved(Tangents):
    def __init__(self, learner, params, targets, engine):
        super().__init__(learner, params, targets, engine)
        self.learner, self.params, self.targets = learner, params, targets

    def after(self, displacements):
        for displacement, change in zip(displacements, self.first_order(displacements), strict=True):
            bent = torch.stack([self._curvature(target, displacement) for target in self.targets])
            yield Readings(self.before.loss + change + bent, torch.full_like(self.before.accuracy, torch.nan))

    def each(self, cells):
        found = [next(self.after([displacement])).loss[target] for target, displacement in cells]
        return Readings(torch.stack(found), torch.full((len(found),), torch.nan))

    def _curvature(self, episode, displacement):
        slope = torch.func.grad(lambda params: self.learner.episode_loss(params, episode))
        along = lambda params: sum((g * displacement[name]).sum() for name, g in slope(params).items())
        return (
            0.5
            * sum((g * displacement[name]).sum() for name, g in torch.func.grad(along)(self.params).items()).double()
        )


@pytest.mark.slow
def test_an_estimator_of_another_order_measures_a_parabola_exactly(tmp_path):
    checkpoint, alphas = tr.Checkpoint({"w": torch.tensor([0.3, -0.2])}, step=1), (0.1, 1.5)
    asked = {
        "n_source": 6,
        "n_target": 5,
        "lookahead": tr.SGD(alphas),
        "precision": "fp64",
        "device": "cpu",
        "controls": 2,
    }
    exact, found = (
        tr.measure(
            Place(), checkpoint, Bowls(), Bowls(), estimator=estimator, out=tmp_path / type(estimator).__name__, **asked
        )
        for estimator in (tr.Exact("loop"), SecondOrder())
    )
    columns = ["loss_before", "loss_after", "loss_ratio", "first_order"]
    np.testing.assert_allclose(found.pairs()[columns], exact.pairs()[columns], rtol=1e-12)
    assert (found.pairs()["loss_ratio"] > 1.5).any(), "steps that the first order would not follow"
    assert found.spec.estimator == {"kind": "secondorder", "engine": "loop", "estimates": True, "calibrated": False}
    assert found.spec.estimates
    assert found.spec.sampled
    assert not found.spec.calibrated
    check = check_estimates(found.exact_pairs())
    assert check["n"].between(5, 25).all(), "half of thirty"
    assert check["largest_error"].max() < 1e-12
    np.testing.assert_allclose(
        found.self_transference()["loss_ratio"], exact.self_transference()["loss_ratio"], rtol=1e-12
    )
    assert verify(tmp_path / "SecondOrder").complete
    write_report([found], tmp_path / "report.html")
    assert "were estimated by secondorder" in (tmp_path / "report.html").read_text()


def test_methods_of_the_same_names_fill_no_column(tmp_path):
    """An estimator's own methods are its own matter; what is read is what it prepared."""

    class Named(tr.Exact):
        def afters(self, *_):
            raise AssertionError

        gradient = settle = shares = afters

    asked = {"n_source": 3, "n_target": 3, "lookahead": tr.SGD(0.1), "precision": "fp64", "device": "cpu"}
    checkpoint = tr.Checkpoint({"w": torch.tensor([0.3, -0.2])}, step=1)
    runs = [
        tr.measure(Place(), checkpoint, Bowls(), Bowls(), estimator=estimator, out=tmp_path / str(k), **asked)
        for k, estimator in enumerate((tr.Exact("loop"), Named("loop")))
    ]
    np.testing.assert_array_equal(*(run.pairs()["first_order"] for run in runs))
    assert runs[1].spec.estimator == {"kind": "named", "engine": "loop", "estimates": False, "calibrated": False}
    assert not runs[1].spec.estimates


def test_an_engine_that_nobody_can_set_is_asked_for(tmp_path):
    class Open(SecondOrder):
        def __init__(self):
            pass

        engine = "auto"

    checkpoint = tr.Checkpoint({"w": torch.tensor([0.3, -0.2])}, step=1)
    with pytest.raises(UsageError, match="The engine of Open cannot be set .* name an engine instead of auto"):
        tr.measure(Place(), checkpoint, Bowls(), Bowls(), lookahead=tr.SGD(0.1), estimator=Open(), out=tmp_path / "r")
