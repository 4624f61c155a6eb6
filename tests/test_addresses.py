"""Addresses where something of this machine was asked for: one line that says what to do, and nothing is opened or made."""

import pytest
from click.testing import CliRunner

import transference as tr
from transference.cli import main
from transference.errors import UsageError

HUB = "hf://datasets/owner/birds"
WAYS = "datasets prepare NAME --download --from hf://datasets/owner/birds"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["compute", "hf://owner/model/x.pt", "--source", "strokes:train", "--target", "shapes:test"],
            "Download the file",
        ),
        (["compute", "CHECKPOINT", "--source", "strokes:train", "--target", "shapes:test", "--data-root", HUB], WAYS),
        (["compute", "CHECKPOINT", "--source", f"{HUB}:train", "--target", "shapes:test"], WAYS),
        (["compute", "CHECKPOINT", "--source", HUB, "--target", "shapes:test"], WAYS),
        (["evaluate", "CHECKPOINT", "--target", HUB], WAYS),
        (["train", "--learner", "maml", "--modes", HUB], WAYS),
        (["convert", "https://example.org/x.pt", "x.safetensors"], "Download it first"),
        (["summary", HUB], WAYS),
        (["datasets", "list", "--data-root", HUB], WAYS),
        (["datasets", "show", HUB], WAYS),
        (["datasets", "prepare", "birds", "--from", HUB, "--data-root", "data"], "add --download to fetch it"),
        (["datasets", "prepare", "birds", "--from", "s3://bucket/x.zip", "--data-root", "data"], "Download it first"),
        (["datasets", "prepare", "watch", "--from", HUB, "--data-root", "data"], "add --download to fetch it"),
        (
            ["datasets", "prepare", HUB, "--download", "--data-root", "data"],
            "choose a name, and give the address with --from",
        ),
    ],
)
def test_a_command_opens_no_address(tmp_path, monkeypatch, words, text):
    monkeypatch.chdir(tmp_path)
    made = ["-o", "x.png"] if "show" in words else ["--out", "x"] if words[0] in ("compute", "train") else []
    tr.save_checkpoint(tr.Checkpoint(tr.load_learner("maml").init_params(0), step=1), tmp_path / "given.safetensors")
    if words[0] == "compute":
        made += ["--learner", "maml", "--alpha", "0.1"]
    words = ["given.safetensors" if word == "CHECKPOINT" else word for word in words]
    result = CliRunner().invoke(main, [*words, *made])
    assert result.exit_code in (1, 2)
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    assert text in line
    assert [path.name for path in tmp_path.iterdir()] == ["given.safetensors"]


def test_nor_does_a_program():
    for ask in (
        lambda: tr.load_checkpoint("hf://owner/model/x.pt"),
        lambda: tr.open_dataset("strokes:val", data_root=HUB),
        lambda: tr.open_dataset(f"{HUB}:train"),
        lambda: tr.open_tasks(HUB),
    ):
        with pytest.raises(UsageError, match="is an address, and a file or folder of this machine was asked for"):
            ask()
