"""Checkpoints as somebody may have made them by hand: one `CheckpointError`, soon and in little memory; nothing wrong in silence."""

import json
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner

import transference as tr
from transference.cli import main
from transference.errors import CheckpointError

SOUND = {
    "format": "transference-checkpoint/1", "step": 3, "learner": "protonet", "config": {}, "unsafe": False, "training": {"ways": 5},
    "optimizer": {"lr": 0.1, "betas": [0.9, 0.999], "eps": 1e-8, "steps": {"w": 3}},
}  # fmt: skip
TENSORS = {"params/w": torch.ones(2), "optimizer/exp_avg/w": torch.zeros(2), "optimizer/exp_avg_sq/w": torch.zeros(2)}


def save(path, header, tensors=TENSORS):
    """Both containers, whatever the header holds."""
    text = header if isinstance(header, str) else json.dumps(header)
    if path.suffix == ".pt":
        torch.save({"transference": text, "tensors": tensors}, path)
    else:
        safetensors.torch.save_file(tensors, path, metadata={"transference": text})
    return path


def refusal(path):
    with pytest.raises(CheckpointError) as refused:
        tr.load_checkpoint(path)
    message = str(refused.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.fixture(params=[".pt", ".safetensors"])
def path(tmp_path, request):
    return tmp_path / f"x{request.param}"


def test_the_sound_one_is_read(path):
    loaded = tr.load_checkpoint(save(path, SOUND))
    assert (loaded.step, loaded.learner, loaded.optimizer.steps) == (3, "protonet", {"w": 3})


def changed(place, value):
    header = json.loads(json.dumps(SOUND))
    *way, last = place.split(".")
    inside = header
    for part in way:
        inside = inside[part]
    inside[last] = value
    return header


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("step", -1), ("step", "3"), ("step", 3.5), ("step", True), ("step", 10**30), ("step", None), ("learner", 7), ("learner", ["x"]),
        ("config", [1]), ("config", "x"), ("training", None), ("training", [1]), ("optimizer", [1]), ("optimizer", "adam"),
        ("optimizer.lr", "x"), ("optimizer.lr", float("nan")), ("optimizer.lr", float("inf")), ("optimizer.lr", -1.0),
        ("optimizer.lr", 10**400), ("optimizer.betas", [0.9]), ("optimizer.betas", [0.9, 2.0]), ("optimizer.betas", ["a", "b"]),
        ("optimizer.betas", 0.9), ("optimizer.eps", None), ("optimizer.steps", [3]), ("optimizer.steps", {"w": "3"}),
        ("optimizer.steps", {"w": -1}), ("format", "transference-checkpoint/9"), ("format", 1),
    ],
    ids=lambda x: str(x)[:20],
)  # fmt: skip
def test_a_header_value_of_another_kind_or_size_is_named(path, place, value):
    assert place.split(".")[-1] in refusal(save(path, changed(place, value)))


@pytest.mark.parametrize("name", ["step", "learner", "config", "optimizer", "training"])
def test_a_header_that_lacks_something_is_refused(path, name):
    assert name in refusal(save(path, {key: value for key, value in SOUND.items() if key != name}))


NO_RECORDS = {
    "empty": "",
    "list": "[]",
    "number": "7",
    "deep": "[" * 100_000,
    "deep objects": '{"config":' * 5_000 + "1" + "}" * 5_000,
    "long number": '{"step": ' + "9" * 5_000 + "}",
    "a key twice": '{"step": 1, "step": 2}',
    "byte order mark": "\ufeff{}",
}


@pytest.mark.parametrize("header", NO_RECORDS.values(), ids=NO_RECORDS)
def test_a_header_that_is_no_record_is_refused(path, header):
    refusal(save(path, header))


def test_a_very_deep_config_is_refused(path):
    header = json.dumps(SOUND).replace('"config": {}', '"config": {"x": ' + "[" * 900 + "]" * 900 + "}")
    assert "nested" in refusal(save(path, header))


@pytest.mark.parametrize(
    "tensors",
    [{"params/w": torch.ones(2), "optimizer/exp_avg/w": torch.zeros(3)}, {"optimizer/exp_avg/w": torch.zeros(2)}],
)
def test_moments_and_parameters_must_fit(path, tensors):
    refusal(save(path, SOUND, tensors))


@pytest.mark.parametrize("tensors", [{"params/w": 7}, {"params/w": [torch.ones(2)]}, [1], 7, {"params/w": None}])
def test_what_is_no_tensor_is_refused(tmp_path, tensors):
    refusal(save(tmp_path / "x.pt", SOUND, tensors))


UNFIT = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "sparse rows": lambda: torch.eye(3).to_sparse_csr(),
    "complex": lambda: torch.zeros(3, dtype=torch.complex64),
    "meta": lambda: torch.empty(10**12, device="meta"),
    "float8": lambda: torch.ones(3).to(torch.float8_e4m3fn),
    "claims 4 TB": lambda: torch.zeros(1).expand(10**12),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", UNFIT.values(), ids=UNFIT)
@pytest.mark.parametrize(
    "wrap",
    [lambda t: {"w": t}, lambda t: {"state_dict": {"w": torch.ones(1), "v": t}}, None],
    ids=["plain", "nested", "ours"],
)
def test_tensors_that_no_learner_has_are_refused(tmp_path, make, wrap):
    path = tmp_path / "x.pt"
    if wrap is None:
        save(path, SOUND, {**TENSORS, "params/v": make()})
    else:
        torch.save(wrap(make()), path)
    assert "cannot be measured" in refusal(path)


@pytest.mark.filterwarnings("ignore")
def test_quantised_and_nested_tensors_are_refused(tmp_path):
    torch.save({"w": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}, tmp_path / "x.pt")
    assert "quantised" in refusal(tmp_path / "x.pt")
    torch.save({"w": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}, tmp_path / "y.pt")
    assert "nested" in refusal(tmp_path / "y.pt")


def test_one_value_may_stand_for_a_small_tensor_and_names_may_share_one(tmp_path):
    shared = torch.ones(1000)
    torch.save({"a": torch.zeros(1).expand(64), "b": shared, "c": shared.view(10, 100)}, tmp_path / "x.pt")
    assert set(tr.load_checkpoint(tmp_path / "x.pt").params) == {"a", "b", "c"}


def test_a_safetensors_header_that_claims_4_TB_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    text = json.dumps({"w": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0" * 64)
    refusal(path)
    path.write_bytes((2**62).to_bytes(8, "little") + text)
    refusal(path)
    deep = b"[" * 100_000
    path.write_bytes(len(deep).to_bytes(8, "little") + deep)
    refusal(path)


@pytest.mark.parametrize("kind", ["F4", "F6_E2M3", "F8_E8M0", "F8_E4M3FNUZ", "F128", "Q4_K"])
def test_a_tensor_of_a_type_without_full_numbers_is_told_as_that(tmp_path, kind):
    n_bytes = {"F4": 4, "F6_E2M3": 6}.get(kind, 8)
    header = json.dumps({"w": {"dtype": kind, "shape": [8], "data_offsets": [0, n_bytes]}}).encode()
    (tmp_path / "c_1.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(n_bytes))
    told = refusal(tmp_path / "c_1.safetensors")
    assert "of a type that cannot be read" in told or "quantised" in told
    assert "Save its parameters as" in told
    assert len(told) < 400


def test_a_packed_file_that_unpacks_to_much_more_is_refused(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"w": torch.zeros(2**25)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in plain.infolist():
            packed.writestr(member.filename, plain.read(member))
    assert path.stat().st_size < 2**20
    assert "unpacked it would have" in refusal(path)


@pytest.mark.parametrize("harm", ["bytes", "cut"])
def test_damage_is_refused_or_changes_nothing(path, harm):
    """Sixty of each, of a file that we wrote: what loads is what was saved."""
    tr.save_checkpoint(tr.load_checkpoint(save(path, SOUND)), path)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    sound = tr.load_checkpoint(path)
    for _ in range(60):
        content = bytearray(whole)
        if harm == "cut":
            content = content[: random.integers(len(whole))]
        else:
            for position in random.integers(len(whole), size=random.integers(1, 5)):
                content[position] = random.integers(256)
        path.write_bytes(content)
        with suppress(CheckpointError):
            loaded = tr.load_checkpoint(path)
            assert (loaded.digest, loaded.training, loaded.unsafe) == (sound.digest, sound.training, sound.unsafe)


@pytest.mark.slow
@pytest.mark.parametrize(
    "training", [{"ways": [1]}, {"ways": "x"}, {"shots": {}}, {"seed": "x"}, {"note": 7}, {"side": None}]
)
@pytest.mark.parametrize("command", ["compute", "evaluate"])
def test_a_training_of_another_kind_ends_in_one_line(tmp_path, training, command):
    learner = tr.load_learner("protonet")
    path = tmp_path / "x.safetensors"
    tr.save_checkpoint(tr.Checkpoint(learner.init_params(0), 1, "protonet", training=training), path)
    words = {
        "compute": ["compute", path, "--source", "strokes:val", "--target", "shapes:val", "--out", tmp_path / "run", "--alpha", "0.1",
                    "--n-source", "1", "--n-target", "1", "--dry-run"],
        "evaluate": ["evaluate", path, "--modes", "strokes:val", "--tasks", "1"],
    }[command]  # fmt: skip
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
