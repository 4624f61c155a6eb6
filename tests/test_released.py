"""Checkpoints written by the released programs, and the values that the released code computes on fixed episodes."""

import json

import numpy as np
import pytest
import torch

import transference as tr
from meta_models import MAML, ProtoNet
from transference import _trees
from transference.work import source_gradient

BLOCKS = {
    "protonet": {"official": ProtoNet()},
    "maml_conv": {"official": MAML(), "first_order": MAML(second_order=False), "one_step": MAML(inner_steps=1)},
}


def load(folder, file, learner):
    """The backbone's tensors in float64: the released layout also has buffers that are never used, and ProtoNet an idle head."""
    state = torch.load(folder / file, map_location="cpu", weights_only=True)["model_state_dict"]
    return {name: state[name].double() for name in learner.init_params(0)}


def episodes(folder):
    with np.load(folder / "episodes.npz") as arrays:
        columns = {name: torch.from_numpy(arrays[name]) for name in ("support_x", "support_y", "query_x", "query_y")}
    return [tr.Episode(**{name: values[k] for name, values in columns.items()}).to(dtype=torch.float64) for k in range(3)]


@pytest.mark.parametrize(("kind", "block"), [(kind, block) for kind, blocks in BLOCKS.items() for block in blocks])
@pytest.mark.parametrize("file", ["checkpoint.pt", "checkpoint_legacy.pt"])
def test_released_values(shared, kind, block, file):
    folder = shared / "fixtures" / kind
    if not (folder / file).exists():
        pytest.skip(f"{kind} comes in one container only")
    learner = BLOCKS[kind][block]
    params, tasks = load(folder, file, learner), episodes(folder)
    content = json.loads((folder / "expected.json").read_text())
    expected = content[block].get("float64", content[block])
    prepared = tr.Exact().prepare(learner, params, tasks)
    np.testing.assert_allclose(prepared.before.loss.numpy(), expected["L_theta"], rtol=1e-9)
    alphas = [key for key in expected if key.startswith("alpha_") and key.endswith("scope_all")]
    assert alphas
    for key in alphas:
        step = tr.SGD(float(key.split("_")[1]))
        ratios = []
        for i, task in enumerate(tasks):
            loss, gradient = source_gradient(learner, params, task, list(params))
            np.testing.assert_allclose(loss, expected["L_theta"][i], rtol=1e-9)
            if "grad_norm_total" in expected:
                np.testing.assert_allclose(_trees.norm(gradient), expected["grad_norm_total"][i], rtol=1e-8)
            (displacement,) = step.displacements(params, gradient, None)
            ratios.append((tr.Exact().after(prepared, displacement).loss / prepared.before.loss).numpy())
        np.testing.assert_allclose(ratios, expected[key]["LR"], rtol=0, atol=1e-8)
