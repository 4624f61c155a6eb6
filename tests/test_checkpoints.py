import contextlib
import os
import pickle

import pytest
import safetensors.torch
import torch

import transference as tr
from transference.errors import CheckpointError


def full_checkpoint():
    params = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(2.5)}
    adam = tr.OptimizerState.adam(
        lr=0.002,
        betas=(0.8, 0.9),
        eps=1e-7,
        steps={"a": 3},
        exp_avg={"a": torch.ones(2, 3)},
        exp_avg_sq={"a": torch.rand(2, 3)},
    )
    return tr.Checkpoint(params, 250, "protonet", {"channels": 3}, adam, {"modes": ["strokes"]})


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_both_containers_bring_everything_back(tmp_path, suffix):
    saved = full_checkpoint()
    tr.save_checkpoint(saved, tmp_path / f"x{suffix}")
    loaded = tr.load_checkpoint(tmp_path / f"x{suffix}")
    assert (loaded.step, loaded.learner, loaded.config, loaded.training) == (
        250,
        "protonet",
        {"channels": 3},
        {"modes": ["strokes"]},
    )
    assert loaded.digest == saved.digest
    assert (loaded.optimizer.lr, *map(loaded.optimizer.setting, ("betas", "eps")), loaded.optimizer.steps) == (
        0.002,
        (0.8, 0.9),
        1e-7,
        {"a": 3},
    )
    for name, value in saved.params.items():
        assert torch.equal(loaded.params[name], value)
    assert torch.equal(loaded.optimizer.slots["exp_avg_sq"]["a"], saved.optimizer.slots["exp_avg_sq"]["a"])
    assert [path.name for path in tmp_path.iterdir()] == [f"x{suffix}"], "nothing else may be left in the folder"


def test_the_digest_sees_every_part():
    base = full_checkpoint()
    from dataclasses import replace

    others = [
        replace(base, step=251),
        replace(base, config={"channels": 1}),
        replace(base, params={**base.params, "b": torch.tensor(2.5000002)}),
        replace(base, optimizer=replace(base.optimizer, lr=0.003)),
        replace(
            base, optimizer=replace(base.optimizer, slots={**base.optimizer.slots, "exp_avg": {"a": torch.zeros(2, 3)}})
        ),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 6
    assert replace(base, training={}).digest == base.digest, "how it was trained is told, not measured"


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model_state_dict": s}]
)
def test_a_plain_state_dict_is_read_with_the_step_of_its_name(tmp_path, wrap):
    torch.save(wrap(torch.nn.Linear(2, 3).state_dict()), tmp_path / "net_1200.pt")
    loaded = tr.load_checkpoint(tmp_path / "net_1200.pt")
    assert (loaded.step, loaded.learner, set(loaded.params)) == (1200, None, {"weight", "bias"})


def test_a_plain_safetensors_file_is_read(tmp_path):
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "x.safetensors")
    assert tr.load_checkpoint(tmp_path / "x.safetensors").step == 0


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, writer):
    mark, path = tmp_path / "executed", tmp_path / "evil.pt"
    content = {"w": torch.ones(1), "x": Bomb(mark)}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError) as caught:
        tr.load_checkpoint(path)
    assert not mark.exists()
    if writer == "torch":
        assert "mkdir. Nothing of it was executed" in str(caught.value)
        assert "--unsafe-load" in str(caught.value)


def test_unsafe_load_is_explicit_and_recorded(tmp_path):
    torch.save(torch.nn.Linear(2, 3), tmp_path / "whole.pt")
    with pytest.raises(CheckpointError, match="torch.nn.modules.linear.Linear"):
        tr.load_checkpoint(tmp_path / "whole.pt")
    loaded = tr.load_checkpoint(tmp_path / "whole.pt", unsafe=True)
    assert loaded.unsafe
    assert set(loaded.params) == {"weight", "bias"}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("keep", [0, 7, 300])
def test_truncated_files_are_named(tmp_path, suffix, keep):
    path = tmp_path / f"x{suffix}"
    tr.save_checkpoint(full_checkpoint(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=f"x{suffix} is truncated or is no"):
        tr.load_checkpoint(path)


def test_other_content_is_told(tmp_path):
    torch.save({"w": torch.ones(1), "epoch": 3}, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match="it has 1 tensors and, beside them: epoch"):
        tr.load_checkpoint(tmp_path / "odd.pt")
    torch.save(torch.ones(1), tmp_path / "tensor.pt")
    with pytest.raises(CheckpointError, match="holds a Tensor; a dictionary of tensors was expected"):
        tr.load_checkpoint(tmp_path / "tensor.pt")
    with pytest.raises(CheckpointError, match="There is no checkpoint file"):
        tr.load_checkpoint(tmp_path / "absent.pt")
    with pytest.raises(CheckpointError, match=r"ends in \.safetensors or \.pt"):
        tr.save_checkpoint(full_checkpoint(), tmp_path / "x.bin")


def test_a_later_format_is_refused(tmp_path):
    safetensors.torch.save_file(
        {"params/w": torch.ones(2)},
        tmp_path / "x.safetensors",
        metadata={"transference": '{"format": "transference-checkpoint/9"}'},
    )
    with pytest.raises(CheckpointError, match="Upgrade transference"):
        tr.load_checkpoint(tmp_path / "x.safetensors")


def test_a_damaged_header_is_told(tmp_path):
    for k, header in enumerate(["{", "{}", '{"format": "transference-checkpoint/1", "step": "x"}', "[]"]):
        safetensors.torch.save_file(
            {"params/w": torch.ones(2)}, tmp_path / f"{k}.safetensors", metadata={"transference": header}
        )
        with pytest.raises(CheckpointError, match="damaged header|of the format"):
            tr.load_checkpoint(tmp_path / f"{k}.safetensors")


def test_any_flipped_byte_of_a_pt_is_an_error_or_harmless(tmp_path):
    path = tmp_path / "x.pt"
    tr.save_checkpoint(full_checkpoint(), path)
    whole = path.read_bytes()
    for position in range(0, len(whole), 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        with contextlib.suppress(CheckpointError):
            tr.load_checkpoint(path)


def test_tied_weights_and_the_unsafe_mark_survive_conversion(tmp_path):
    weight = torch.ones(3)
    tr.save_checkpoint(tr.Checkpoint({"a": weight, "b": weight}, 1, unsafe=True), tmp_path / "x.safetensors")
    loaded = tr.load_checkpoint(tmp_path / "x.safetensors")
    assert set(loaded.params) == {"a", "b"}
    assert loaded.unsafe, "a file made from an unsafe one stays marked"
