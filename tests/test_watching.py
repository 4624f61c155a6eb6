"""``transference train --watch``: a file in the words of ``compute``, and a run beside the checkpoints."""

import json

import pytest
from click.testing import CliRunner

import transference as tr
from transference.cli import main

TRAIN = [
    "train",
    "--learner",
    "protonet",
    "--modes",
    "strokes,shapes",
    "--ways",
    "3",
    "--shots",
    "1",
    "--queries",
    "2",
    "--meta-batch",
    "2",
]
WATCH = """
source = ["strokes:train", "shapes:train"]
target = "shapes:test"
n-source = 2
n-target = 2
alpha = 0.001
every = 2
time-share = 1e9
"""


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Return a function that trains with some text as its watch's file."""
    monkeypatch.chdir(tmp_path)

    def run(text, *options):
        (tmp_path / "watch.toml").write_text(text)
        return CliRunner().invoke(main, [*TRAIN, "--watch", "watch.toml", "--out", "net", *options])

    return run


@pytest.mark.slow
def test_its_run_is_what_compute_finds_on_the_checkpoints(train):
    found = train(WATCH, "--iterations", "4", "--save-every", "2")
    assert found.exit_code == 0, found.output
    assert "net/watch: 2 stages in " in found.stderr
    assert tr.verify("net/watch").complete
    modes = "--source strokes:train --source shapes:train --target shapes:test --n-source 2 --n-target 2"
    how = "--alpha 0.001 --estimator first-order --controls 0 --engine threads"
    saved = [f"net/step-0000000{step}.safetensors" for step in (2, 4)]
    again = CliRunner().invoke(main, ["compute", *saved, *modes.split(), *how.split(), "--out", "run"])
    assert again.exit_code == 0, again.output
    watched, measured = tr.open_run("net/watch"), tr.open_run("run")
    assert watched.spec.differences(measured.spec) == ["estimator.checked: 16 → 64"]  # a watch is small
    assert watched.pairs().equals(measured.pairs())
    assert watched.self_transference().equals(measured.self_transference())
    assert json.loads((watched.path / "run.json").read_text())["watch"]["every"] == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            WATCH.replace("every", "evry"),
            "'evry', which is no option of transference train --watch. Did you mean every?",
        ),
        (
            WATCH + 'device = "cpu"',
            "'device', which is no option of transference train --watch. They are source, target, ",
        ),
        (WATCH.replace("\nsource =", "\n#"), "Missing option '--source'"),
        (WATCH.replace("every = 2", "every = 0"), "every is 0; expected a whole number"),
        (WATCH.replace("alpha = 0.001", "alpha = 'x'"), "alpha is 'x'; expected a number, or a list of such"),
        (WATCH.replace("time-share = 1e9", "time-share = 0"), "both must be above 0"),
        (WATCH + 'combine = "mgda"\nestimator = "exact"\nshare = 0.5', "--share 0.5 was given with --estimator exact"),
        ("source = ", "watch.toml is no TOML file of options"),
    ],
)
def test_a_file_that_is_none_is_told_before_anything_is_trained(train, tmp_path, text, told):
    found = train(text, "--iterations", "4")
    assert found.exit_code == 2, found.output
    assert told in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert not (tmp_path / "net").exists()
