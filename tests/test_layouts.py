"""Checkpoints in the released layouts, made here from our own parameters, so that these tests always run."""

import json
import re

import pytest
import torch

import transference as tr
from meta_models import (
    MAML,
    ProtoNet,
    RegressionMAML,
    RegressionMMAML,
    film_maml,
    film_protonet,
    kml_maml,
    kml_protonet,
    regression_multi_maml,
)
from meta_models import released as layouts
from tests.conftest import random_episode
from transference.errors import CheckpointError
from transference.learners import bind


def released(learner, head=False, optimizers=True, seed=3, ids=lambda k: k, step=7):
    """The content of a file that the released programs would write for these parameters, with moments that tell their parameter."""
    params = learner.init_params(seed)
    model, encoder = {}, {}
    for name, value in params.items():
        part, old = (encoder, name.replace("generator.", "_embeddings.").removeprefix("encoder."))
        part, old = (part, old) if name.startswith(("encoder.", "generator.")) else (model, name)
        part[old] = value
        if re.search(r"(_bn|\.bn\d)\.bias$", old) or (
            old.endswith("_conv.bias") and old.replace("_conv", "_bn") not in params
        ):
            norm = old.replace("_conv", "_bn").removesuffix("bias")
            part |= {
                f"{norm}running_mean": value + 1,
                f"{norm}running_var": value + 1,
                f"{norm}num_batches_tracked": torch.tensor(0),
            }
    if head:
        model |= {
            "classifier.fully_connected.weight": torch.ones(5, 256),
            "classifier.fully_connected.bias": torch.ones(5),
        }
    content = {"model_state_dict": model} | ({"embedding_model_state_dict": encoder} if encoder else {})
    if optimizers:
        content["optimizers"] = [_adam(part, ids, step) for part in (model, encoder) if part]
    return params, content


def _adam(part, ids, step):
    names = [name for name in part if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    moments = lambda k, name: {"step": step, "exp_avg": part[name] * 2, "exp_avg_sq": part[name] * 3}
    idle = (
        {"classifier.fully_connected.weight", "classifier.fully_connected.bias"}
        if "features.layer1_bn.weight" in part
        else set()
    )
    state = {ids(k): moments(k, name) for k, name in enumerate(names) if name not in idle}
    group = {
        "lr": 0.0005,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0,
        "params": [ids(k) for k in range(len(names))],
    }
    return {"state": state, "param_groups": [group]}


KINDS = {
    # name: (learner, idle head in the file, settings recognised beyond the learner's own defaults)
    "maml": (MAML(), False, {}),
    "mmaml": (film_maml(), False, {}),
    "kml-maml": (kml_maml(), False, {}),
    "protonet": (ProtoNet(transductive=True), True, {"transductive": True}),
    "mprotonet": (film_protonet(), True, {}),
    "kml-protonet": (
        kml_protonet(residual=False, transductive=True, query_modulation="query"),
        False,
        {"residual": False, "transductive": True, "query_modulation": "query"},
    ),
    "regression-maml": (RegressionMAML(), False, {}),
    "regression-mmaml": (RegressionMMAML(), False, {}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_every_kind_is_recognised_with_its_moments(kind, container, tmp_path):
    learner, head, settings = KINDS[kind]
    legacy = container == "legacy"
    ids, step = (lambda k: 140_000_000_000_000 + 8 * k, 7) if legacy else (lambda k: k, torch.tensor(7.0))
    params, content = released(learner, head, ids=ids, step=step)
    file = tmp_path / "model_1000.pt"
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    loaded = tr.load_checkpoint(file)
    assert (loaded.learner, loaded.step) == (kind, 1000)
    assert {key: loaded.config[key] for key in settings} == settings
    assert tr.load_learner(loaded) == learner, "in the form in which it was trained"
    assert loaded.params.keys() == params.keys()
    assert loaded.optimizer.lr == 0.0005
    for name, value in params.items():
        assert torch.equal(loaded.params[name], value)
        assert torch.equal(loaded.optimizer.slots["exp_avg"][name], value * 2)
        assert torch.equal(loaded.optimizer.slots["exp_avg_sq"][name], value * 3)
        assert loaded.optimizer.steps[name] == 7
    bind(tr.load_learner(loaded), loaded)  # nothing missing, nothing left over


def test_both_containers_have_one_digest_and_convert_to_ours(tmp_path):
    learner, head, _ = KINDS["kml-protonet"]
    digests = set()
    for legacy in (False, True):
        _, content = released(learner, head, ids=(lambda k: 10**14 + k) if legacy else (lambda k: k), step=7)
        torch.save(content, tmp_path / f"model_{int(legacy)}_5.pt", _use_new_zipfile_serialization=not legacy)
        loaded = tr.load_checkpoint(tmp_path / f"model_{int(legacy)}_5.pt")
        tr.save_checkpoint(loaded, tmp_path / "ours.safetensors")
        assert tr.load_checkpoint(tmp_path / "ours.safetensors").learner == "kml-protonet"
        digests |= {loaded.digest, tr.load_checkpoint(tmp_path / "ours.safetensors").digest}
    assert len(digests) == 1


def test_without_optimizers_there_is_no_state(tmp_path):
    _, content = released(MAML(), optimizers=False)
    torch.save(content, tmp_path / "maml_conv_1.pt")
    assert tr.load_checkpoint(tmp_path / "maml_conv_1.pt").optimizer is None


def test_multi_maml_on_functions_falls_apart_into_its_modes(tmp_path):
    learner = regression_multi_maml(["sinusoid", "linear", "quadratic"], adapt_bias=False)
    params = learner.init_params(1)
    model = {"bias_transformation.weight": torch.arange(60.0).reshape(3, 20)}
    for k, mode in enumerate(learner.learners):
        own = {name.removeprefix(f"{mode}/"): value for name, value in params.items() if name.startswith(f"{mode}/")}
        model |= {f"task{k}_{name}": value for name, value in own.items() if name != "bias_transformation"}
    torch.save({"model_state_dict": model, "optimizers": [_adam(model, lambda k: k, 4)]}, tmp_path / "maml_multi_20.pt")
    loaded = tr.load_checkpoint(tmp_path / "maml_multi_20.pt")
    assert loaded.learner == "regression-multi-maml"
    assert loaded.config["modes"] == ["sinusoid", "linear", "quadratic"]
    assert loaded.params.keys() == params.keys()
    assert torch.equal(loaded.params["linear/bias_transformation"], torch.arange(20.0, 40.0))
    assert torch.equal(loaded.optimizer.slots["exp_avg"]["quadratic/bias_transformation"], torch.arange(40.0, 60.0) * 2)
    assert torch.equal(loaded.params["quadratic/layer2_linear.weight"], params["quadratic/layer2_linear.weight"])
    assert tr.load_learner(loaded) == learner


def test_settings_come_from_the_config_beside_the_file(tmp_path):
    _, content = released(MAML(ways=4), optimizers=False)
    torch.save(content, tmp_path / "maml_conv_3.pt")
    config = {
        "fast_lr": 0.1, "num_updates": 2, "inner_loop_grad_clip": 5.0, "first_order": True, "num_classes_per_batch": 4,
        "num_samples_per_class": 3, "num_val_samples": 6,
        "dataset": "multimodal_few_shot", "common_img_side_len": 32, "common_img_channel": 3,
    }  # fmt: skip
    assert (
        "assumed: inner_lr 0.05, inner_steps 5, clamp 20.0, second_order True, shots 1, queries 15, side 84"
        in (tr.load_checkpoint(tmp_path / "maml_conv_3.pt").training["note"])
    )
    (tmp_path / "train_config.json").write_text(json.dumps(config))
    loaded = tr.load_checkpoint(tmp_path / "maml_conv_3.pt")
    assert tr.load_learner(loaded) == MAML(ways=4, inner_steps=2, inner_lr=0.1, clamp=5.0, second_order=False)
    assert {k: loaded.training[k] for k in ("ways", "shots", "queries", "side")} == {
        "ways": 4,
        "shots": 3,
        "queries": 6,
        "side": 32,
    }
    assert "note" not in loaded.training
    (tmp_path / "train_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"train_config.json, beside maml_conv_3.pt, is damaged"):
        tr.load_checkpoint(tmp_path / "maml_conv_3.pt")
    (tmp_path / "train_config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="holds no settings by name"):
        tr.load_checkpoint(tmp_path / "maml_conv_3.pt")


def test_a_protonet_trained_without_the_update_of_prototypes_says_so_in_its_config(tmp_path):
    _, content = released(ProtoNet(), head=True)
    torch.save(content, tmp_path / "model_conv_30000.pt")
    assert tr.load_learner(tr.load_checkpoint(tmp_path / "model_conv_30000.pt")) == ProtoNet(transductive=True)
    (tmp_path / "train_config.json").write_text('{"transductive": false}')
    assert tr.load_learner(tr.load_checkpoint(tmp_path / "model_conv_30000.pt")) == ProtoNet()


def test_functions_count_their_samples_in_all(tmp_path):
    _, content = released(RegressionMMAML(), optimizers=False)
    torch.save(content, tmp_path / "maml_gated_1.pt")
    (tmp_path / "train_config.json").write_text('{"num_samples_per_class": 12, "num_val_samples": 5}')
    training = tr.load_checkpoint(tmp_path / "maml_gated_1.pt").training
    assert (training["shots"], training["queries"]) == (7, 5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"num_classes_per_batch": null}', "says num_classes_per_batch = None, which is no int"),
        ('{"first_order": "False"}', "says first_order = 'False', which is no bool"),
        ('{"num_updates": "3"}', "says num_updates = '3', which is no int"),
        ('{"fast_lr": true}', "says fast_lr = True, which is no float"),
        ('{"num_classes_per_batch": 20}', "says ways 20, but the tensors of maml_conv_3.pt say 5"),
        ('{"dataset": ["cifar"]}', "which is no str"),
        ('{"use_max_pool": true}', "says use_max_pool = True; only False can be analysed"),
    ],
)
def test_a_config_that_makes_no_sense_is_told(config, message, tmp_path):
    _, content = released(MAML(), optimizers=False)
    torch.save(content, tmp_path / "maml_conv_3.pt")
    (tmp_path / "train_config.json").write_text(config)
    with pytest.raises(CheckpointError, match=message):
        tr.load_checkpoint(tmp_path / "maml_conv_3.pt")


def test_a_single_dataset_tells_the_side(tmp_path):
    _, content = released(MAML(), optimizers=False)
    torch.save(content, tmp_path / "maml_conv_3.pt")
    (tmp_path / "train_config.json").write_text('{"dataset": "cifar", "fast_lr": 1}')
    loaded = tr.load_checkpoint(tmp_path / "maml_conv_3.pt")
    assert (loaded.training["side"], loaded.config["inner_lr"]) == (32, 1)
    assert "inner_steps 5" in loaded.training["note"]
    assert "side" not in loaded.training["note"]


def spoil_missing(content):
    del content["embedding_model_state_dict"]["linear.weight"]
    del content["model_state_dict"]["features.layer3_conv.bias"]


def spoil_unexpected(content):
    content["model_state_dict"]["features.layer5_conv.weight"] = torch.zeros(2)


def spoil_shape(content):
    content["embedding_model_state_dict"]["_embeddings.1.weight"] = torch.zeros(64, 128)


def spoil_mixed(content):
    content["embedding_model_state_dict"]["_embeddings.4.weight"] = torch.zeros(64, 128)


def spoil_backbone(content):
    content["model_state_dict"] = {"conv.weight": torch.zeros(2)}


def spoil_entry(content):
    content["model_state_dict"]["epoch"] = 3


def spoil_order(content):
    group = content["optimizers"][0]["param_groups"][0]
    group["params"] = group["params"][::-1]


def spoil_count(content):
    content["optimizers"][1]["param_groups"][0]["params"].pop()


def spoil_rates(content):
    content["optimizers"][1]["param_groups"][0]["lr"] = 0.1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            spoil_missing,
            r"not quite one \(missing: model_state_dict: features.layer3_conv.bias, embedding_model_state_dict: linear.weight\)",
        ),
        (spoil_unexpected, r"unexpected: model_state_dict: features.layer5_conv.weight"),
        (
            spoil_shape,
            r"of another shape: embedding_model_state_dict: _embeddings.1.weight \(64, 128\) instead of \(128, 128\)",
        ),
        (spoil_mixed, r"mixes layouts: a backbone without affine batch norm, and 5 generators"),
        (spoil_backbone, r"has an encoder, but its model_state_dict has none of features.layer1_conv.weight"),
        (spoil_entry, r"should be tensors, but are not: epoch"),
        (spoil_order, r"of features.layer1_conv.weight is \(5,\), the parameter \(32, 3, 3, 3\)"),
        (spoil_count, r"its optimizers do not fit its parameters"),
        (spoil_rates, r"its optimizers differ in their settings"),
    ],
)
def test_an_incomplete_or_mixed_file_is_refused(spoil, message, tmp_path):
    _, content = released(film_maml())
    spoil(content)
    torch.save(content, tmp_path / "maml_gatedconv_1.pt")
    with pytest.raises(CheckpointError, match=message):
        tr.load_checkpoint(tmp_path / "maml_gatedconv_1.pt")


def test_other_files_are_left_to_others(tmp_path):
    assert layouts.recognise({"model_state_dict": {"weight": torch.zeros(2)}}, tmp_path / "x.pt") is None
    assert layouts.recognise({"features.layer1_conv.weight": torch.zeros(2)}, tmp_path / "x.pt") is None
    _, content = released(ProtoNet(), head=True, optimizers=False)
    torch.save(content, tmp_path / "net_4.pt")
    plain = tr.load_checkpoint(tmp_path / "net_4.pt", plain=True)
    assert (plain.learner, plain.step) == (None, 4)
    assert "features.layer1_bn.running_mean" in plain.params


def test_the_loss_is_that_of_the_parameters(tmp_path):
    learner, head, _ = KINDS["kml-protonet"]
    params, content = released(learner, head)
    torch.save(content, tmp_path / "model_gatedconv_8.pt")
    loaded = tr.load_checkpoint(tmp_path / "model_gatedconv_8.pt")
    bound, found = bind(tr.load_learner(loaded), loaded)
    assert torch.equal(bound.episode_loss(found, random_episode()), learner.episode_loss(params, random_episode()))
