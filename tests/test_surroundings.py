"""What is set around a measurement has no say in it."""

import itertools
import warnings

import numpy as np
import pytest
import torch

import transference as tr
from meta_models import MAML
from meta_models.training import Training, evaluate, train
from transference.learners import load_learner

pytestmark = pytest.mark.slow


class Setting:
    """A setting that is made with one call and put back with another."""

    def __init__(self, make, back):
        self.make, self.back = make, back

    def __enter__(self):
        self.make()

    def __exit__(self, *_):
        self.back()


SURROUNDINGS = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu"),
    "anomaly": torch.autograd.detect_anomaly,
    "a device": lambda: torch.device("meta"),
    "default device": lambda: Setting(lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)),
    "default dtype": lambda: Setting(
        lambda: torch.set_default_dtype(torch.float64), lambda: torch.set_default_dtype(torch.float32)
    ),
    "deterministic": lambda: Setting(
        lambda: torch.use_deterministic_algorithms(True), lambda: torch.use_deterministic_algorithms(False)
    ),
    "numpy raises": lambda: np.errstate(all="raise"),
    "warnings are errors": lambda: warnings.catch_warnings(action="error"),
}


def state():
    return (
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"), torch.is_anomaly_enabled(),
        torch.get_default_device(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(), np.geterr(),
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_a_measurement_does_not_depend_on_what_is_set_around_it(learner, checkpoint, sources, targets, tmp_path, name):
    numbers = itertools.count()

    def measured(estimator):
        return tr.measure(
            learner, checkpoint, sources, targets, n_source=3, n_target=2, lookahead=tr.SGD(0.01), estimator=estimator,
            out=tmp_path / str(next(numbers)), device="cpu",
        ).matrix()  # fmt: skip

    estimators = [tr.Exact("loop"), tr.Exact("threads"), tr.FirstOrder(engine="loop")]
    expected = [measured(estimator) for estimator in estimators]
    with SURROUNDINGS[name]():
        before = state()
        found = [measured(estimator) for estimator in estimators]
        assert state() == before
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_a_training_does_not_depend_on_what_is_set_around_it(strokes, tmp_path, name):
    training = Training("maml", {"ways": 3}, ("strokes",), ways=3, queries=2, meta_batch=2)
    tasks = [tr.FewShot(strokes, ways=3, shots=1, queries=2, seed=0)]

    def trained(out):
        paths = train(MAML(ways=3), training, tasks, out=tmp_path / out, iterations=2, save_every=2)
        loaded = tr.load_checkpoint(paths[0])
        return loaded.params, evaluate(MAML(ways=3), loaded.params, {"strokes": tasks[0]}, 3)["loss"].tolist()

    expected, scores = trained("plain")
    with SURROUNDINGS[name]():
        before = state()
        found, scored = trained("surrounded")
        assert state() == before
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value)
    np.testing.assert_allclose(scored, scores, rtol=1e-5)


def test_what_was_loaded_in_inference_mode_can_be_measured(learner, strokes, shapes, tmp_path):
    with torch.inference_mode():
        tr.save_checkpoint(tr.Checkpoint(learner.init_params(0), step=10), tmp_path / "c_10.safetensors")
        checkpoint = tr.load_checkpoint(tmp_path / "c_10.safetensors")
        sources, targets = (tr.FewShot(data, ways=3, shots=1, queries=2, seed=0) for data in (strokes, shapes))
        run = tr.measure(
            learner, checkpoint, sources, targets, n_source=2, n_target=2, lookahead=tr.SGD(0.01), out=tmp_path / "run"
        )
    assert np.isfinite(run.matrix()).all()


FILE = """
import warnings
import numpy as np
import torch
from tests.strangers import PixelPrototypes
def change():
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_grad_enabled(False)
    torch.set_num_threads(3)
    torch.use_deterministic_algorithms(True)
    torch.autograd.set_detect_anomaly(True)
    np.seterr(all="raise")
    warnings.simplefilter("ignore")
def make():
    change()
    return PixelPrototypes()
change()
"""


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_the_file_of_a_learner_sets_nothing_for_the_process(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "setting.py").write_text(FILE)
    before = (*state(), torch.get_num_threads(), list(warnings.filters))
    load_learner("setting:make")
    assert (*state(), torch.get_num_threads(), list(warnings.filters)) == before
