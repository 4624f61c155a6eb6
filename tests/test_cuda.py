"""What runs on a GPU: the same numbers as on the CPU, training too, and memory that runs out for real."""

from functools import partial

import numpy as np
import pytest
import torch

import transference as tr
from benchmarks.gpu import ways
from meta_models.kml import kml_protonet
from meta_models.maml import MAML
from meta_models.protonet import ProtoNet
from meta_models.training import Training, train
from transference.devices import full_precision
from transference.engines import BATCHINGS, ENGINES, find_engine, meta_gradient, repeated
from transference.engines._graphs import current

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


def measured(folder, learner, sources, targets, **changes):
    given = {"n_source": 6, "n_target": 4, "lookahead": tr.SGD(1e-3), "precision": "fp64", **changes}
    return tr.measure(learner, tr.Checkpoint(learner.init_params(0), 1), sources, targets, out=folder, **given)


@pytest.mark.parametrize("learner", [ProtoNet(), MAML(ways=3, inner_steps=2)], ids=["protonet", "maml"])
def test_cuda_agrees_with_the_cpu(tmp_path, learner, sources, targets):
    here, there = (
        measured(tmp_path / device, learner, sources, targets, device=device).matrix() for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(there, here, rtol=1e-8)


@pytest.mark.parametrize("estimator", [tr.FirstOrder(), tr.Calibrated(share=0.5)], ids=["first-order", "calibrated"])
def test_estimates_agree_with_the_cpu(tmp_path, estimator, sources, targets):
    here, there = (
        measured(tmp_path / device, ProtoNet(), sources, targets, device=device, estimator=estimator).matrix()
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(there, here, rtol=1e-8)


def episodes_of(tasks, n, dtype=torch.float64):
    return [tasks[k].to("cuda", dtype) for k in range(n)]


def params_of(learner, dtype=torch.float64):
    return {name: value.to("cuda", dtype) for name, value in learner.init_params(0).items()}


@pytest.mark.parametrize("name", [name for name in ENGINES if "compiled" not in name])
@pytest.mark.parametrize(
    "learner", [ProtoNet(), kml_protonet(), MAML(ways=3, inner_steps=2)], ids=["protonet", "kml-protonet", "maml"]
)
def test_engines_agree(name, learner, targets):
    params, episodes = params_of(learner), episodes_of(targets, 5)
    found, expected = (find_engine(each)(learner, episodes)(params) for each in (name, "loop"))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_a_compiled_engine_agrees(targets):
    learner = ProtoNet()
    params, episodes = params_of(learner), episodes_of(targets, 2)
    found, expected = (find_engine(each)(learner, episodes)(params) for each in ("compiled", "loop"))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


def test_the_batchings_of_training_agree(targets):
    learner = ProtoNet()
    params = params_of(learner, torch.float32)
    tasks = [(tr.FewShot(targets.dataset.to("cuda"), ways=3, shots=1, queries=2, seed=1), k) for k in range(4)]
    with full_precision():
        one, other = (meta_gradient(way, learner, params, tasks) for way in BATCHINGS)
    torch.testing.assert_close(torch.tensor(one.losses), torch.tensor(other.losses), rtol=1e-4, atol=0)
    for name, gradient in one.gradient.items():
        torch.testing.assert_close(gradient, other.gradient[name], rtol=1e-2, atol=1e-3 * float(gradient.abs().max()))


@pytest.mark.parametrize(
    "learner", [ProtoNet(), kml_protonet(), MAML(ways=3)], ids=["protonet", "kml-protonet", "maml"]
)
def test_a_gradient_as_a_graph_is_what_it_was(learner, targets):
    tasks = tr.FewShot(targets.dataset.to("cuda"), ways=3, shots=1, queries=2, seed=1)
    batches = [[(tasks, 4 * step + k) for k in range(4)] for step in range(5)]
    settings = [
        {name: value * (1 - step / 10) for name, value in params_of(learner, torch.float32).items()}
        for step in range(5)
    ]
    with full_precision():
        expected = [meta_gradient("together", learner, *each) for each in zip(settings, batches, strict=True)]
        with repeated():
            found = [meta_gradient("together", learner, *each) for each in zip(settings, batches, strict=True)]
            graphs = current()
    assert [work.__name__ for work in graphs._captured.values()] == ["replayed"]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.tensor(one.losses), torch.tensor(other.losses), rtol=1e-4, atol=1e-6)
        for name, gradient in one.gradient.items():
            torch.testing.assert_close(
                gradient, other.gradient[name], rtol=1e-2, atol=1e-3 * float(gradient.abs().max())
            )


def test_what_cannot_be_a_graph_is_done_as_it_is_written(targets):
    class Waiting(ProtoNet):
        def episode_scores(self, params, episode):
            loss, accuracy = super().episode_scores(params, episode)
            torch.cuda.synchronize()
            return loss, accuracy

    tasks = [(tr.FewShot(targets.dataset.to("cuda"), ways=3, shots=1, queries=2, seed=1), k) for k in range(4)]
    learner, params = Waiting(), params_of(ProtoNet(), torch.float32)
    with full_precision(), repeated():
        found = [meta_gradient("together", learner, params, tasks).losses for _ in range(5)]
    assert all(losses == found[0] for losses in found)


def test_a_training_on_a_gpu_goes_on_where_it_stopped(tmp_path, strokes):
    tasks = [tr.FewShot(strokes.to("cuda"), ways=3, shots=1, queries=2)]
    training = Training("protonet", modes=("strokes",), ways=3, queries=2, meta_batch=2)
    given = {"save_every": 2, "device": "cuda"}
    train(ProtoNet(), training, tasks, out=tmp_path / "halted", iterations=2, **given)
    halted, whole = (
        tr.load_checkpoint(train(ProtoNet(), training, tasks, out=tmp_path / name, iterations=4, **given)[-1])
        for name in ("halted", "whole")
    )
    for name, value in whole.params.items():
        # without its Adam it would be off by as much as the rate, 1e-3
        assert float((halted.params[name] - value).abs().mean()) < 1e-4


def test_blocks_that_do_not_fit_are_halved():
    tasks = tr.few_shot("textures:val", side=84, device="cuda")
    learner, episodes = ProtoNet(), [tasks[k] for k in range(16)]
    params = params_of(learner, torch.float32)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    expected = find_engine("vmap")(learner, episodes)(params)
    total, most = torch.cuda.get_device_properties(0).total_memory, 0.6 * torch.cuda.max_memory_reserved()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(most / total)
    try:
        found = find_engine("vmap")(learner, episodes)(params)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_sources", [0, 2], ids=["targets", "sources"])
def test_a_block_as_one_graph_agrees(n_sources, targets):
    learner, episodes = ProtoNet(), episodes_of(targets, 4)
    settings = [{name: value * scale for name, value in params_of(learner).items()} for scale in (1.0, 0.9, 0.8, 0.7)]
    make = partial(ways.sources_together if n_sources else ways.targets_together, learner)
    found = ways.Blocks(make, episodes, 2, n_sources, ways.graphed)(settings)
    expected = ways.by_engine(ENGINES["loop"], learner, episodes)(settings)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
