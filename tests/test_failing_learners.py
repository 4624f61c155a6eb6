"""A learner that fails midway, after it was found to be pure: one line with the episode, and nothing that looks like a result."""

import os
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import transference as tr
from tests.strangers import PixelPrototypes
from transference.cli import main
from transference.errors import LearnerError


class StopTrainingError(BaseException):
    """As some training programs use to leave a loop."""


def fail_by(how):
    if how == "exit":
        sys.exit(0)
    if how == "vector":
        return torch.zeros(3)
    if how == "nothing":
        return None
    if how == "float":
        return 1.5
    if how == "whole number":
        return torch.tensor(2)
    raise {"error": ValueError("no\nsuch class"), "generator": GeneratorExit(), "own": StopTrainingError("enough")}[how]


HOWS = {
    "exit": "SystemExit: 0",
    "vector": "it returned the shapes (3,)",
    "nothing": "it returned a NoneType",
    "float": "it returned a float",
    "whole number": "it returned a tensor of torch.int64",
    "error": "ValueError: no such class",
    "generator": "GeneratorExit",
    "own": "StopTrainingError: enough",
}


class Failing(PixelPrototypes):
    """Fails on one episode, known by its images; only after a step if ``moved``."""

    def __init__(self, how, episode, moved=False):
        self.how, self.episode, self.moved = how, episode, moved

    def episode_loss(self, params, episode):
        same = episode.query_x.shape == self.episode.query_x.shape and torch.equal(
            episode.query_x, self.episode.query_x
        )
        if same and (not self.moved or params["map.bias"].any()):  # which is zero where training begins
            return fail_by(self.how)
        return super().episode_loss(params, episode)


def measure(learner, checkpoint, sources, targets, out, **settings):
    return tr.measure(
        learner,
        checkpoint,
        sources,
        targets,
        n_source=4,
        n_target=3,
        lookahead=tr.SGD(0.1),
        out=out,
        controls=0,
        device="cpu",
        **settings,
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["loop", "threads"])
@pytest.mark.parametrize("how", HOWS)
def test_the_target_is_named(checkpoint, sources, targets, tmp_path, how, engine):
    with pytest.raises(LearnerError) as caught:
        measure(Failing(how, targets[2]), checkpoint, sources, targets, tmp_path / "run", estimator=tr.Exact(engine))
    said = str(caught.value)
    assert said.startswith(f"The learner failed on target task 2 ({targets.name}, task 2) at checkpoint step 10")
    assert HOWS[how] in said
    assert "\n" not in said
    if how not in ("vector", "nothing", "float", "whole number"):
        assert f"{Path(__file__).name}:" in said


def test_the_source_is_named(checkpoint, sources, targets, tmp_path):
    for estimator in (tr.Exact("loop"), tr.FirstOrder(checked=2, engine="loop")):
        with pytest.raises(
            LearnerError, match=r"failed on source task 3 \(.*, task 3\) at checkpoint step 10: SystemExit"
        ):
            measure(
                Failing("exit", sources[3]),
                checkpoint,
                sources,
                targets,
                tmp_path / type(estimator).__name__,
                estimator=estimator,
            )


def test_a_loss_that_loses_its_gradient_midway_is_told_with_its_task(checkpoint, sources, targets, tmp_path):
    class Detached(Failing):
        def episode_loss(self, params, episode):
            loss = PixelPrototypes.episode_loss(self, params, episode)
            return loss.detach() if torch.equal(episode.query_x, self.episode.query_x) else loss

    with pytest.raises(
        LearnerError, match=r"failed on source task 3 \(.*, task 3\) at checkpoint step 10: The loss depends on none"
    ):
        measure(Detached("", sources[3]), checkpoint, sources, targets, tmp_path / "run")


def test_a_learner_that_changes_the_folder_does_not_move_the_run(checkpoint, sources, targets, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    class Wandering(PixelPrototypes):
        def episode_loss(self, params, episode):
            if torch.equal(episode.query_x, sources[3].query_x):
                os.chdir(tmp_path / "elsewhere")
            return super().episode_loss(params, episode)

    run = measure(Wandering(), checkpoint, sources, targets, "run", tile=(2, 2))
    assert run.matrix().shape == (4, 3)
    assert tr.verify(tmp_path / "run").complete
    assert not list((tmp_path / "elsewhere").iterdir())


def test_whose_step_it_was_is_named_and_the_run_goes_on_when_mended(checkpoint, sources, targets, tmp_path):
    with pytest.raises(
        LearnerError, match=r"failed on target task 2 .* at checkpoint step 10, after a step on (itself|source task \d)"
    ):
        measure(Failing("error", targets[2], moved=True), checkpoint, sources, targets, tmp_path / "run", tile=(2, 2))
    assert tr.open_run(tmp_path / "run").progress().done > 0
    mended = Failing("error", sources[0], moved=True)
    assert measure(mended, checkpoint, sources, targets, tmp_path / "run", tile=(2, 2)).matrix().shape == (4, 3)


def test_a_ctrl_c_inside_a_learner_is_a_ctrl_c(checkpoint, sources, targets, tmp_path):
    class Interrupted(Failing):
        def episode_loss(self, params, episode):
            if torch.equal(episode.query_x, self.episode.query_x):
                raise KeyboardInterrupt
            return PixelPrototypes.episode_loss(self, params, episode)

    with pytest.raises(KeyboardInterrupt):
        measure(Interrupted("", targets[2]), checkpoint, sources, targets, tmp_path / "run")


LEARNER = """
import sys
from tests.strangers import PixelPrototypes

class Learner(PixelPrototypes):
    calls = 0

    def episode_loss(self, params, episode):
        Learner.calls += 1
        if Learner.calls > {after}:
            {then}
        return super().episode_loss(params, episode)
"""


@pytest.mark.parametrize("then", ["sys.exit()", "sys.exit(0)", "raise GeneratorExit", "1 / 0"])
def test_commands_end_with_1_and_one_line(checkpoint, tmp_path, monkeypatch, then):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    tr.save_checkpoint(checkpoint, "c_10.safetensors")
    name = f"failing{abs(hash(then))}"
    Path(f"{name}.py").write_text(LEARNER.format(after=12, then=then))
    shape = ["--ways", "3", "--shots", "1", "--queries", "2", "--learner", f"{name}:Learner", "--device", "cpu"]
    commands = {
        "compute": ["c_10.safetensors", "--source", "strokes:val", "--target", "shapes:val", "--n-source", "4", "--n-target", "3",
                    "--alpha", "0.01", "--out", "run"],
        "train": ["--modes", "strokes", "--iterations", "100", "--meta-batch", "1", "--lr", "0.1", "--out", "trained"],
        "evaluate": ["c_10.safetensors", "--target", "strokes:val", "--n-tasks", "50"],
    }  # fmt: skip
    for command, words in commands.items():
        sys.modules.pop(name, None)
        result = CliRunner().invoke(main, [command, *words, *shape])
        assert result.exit_code == 1, (command, result.output)
        [line] = [line for line in result.stderr.replace("\r", "\n").splitlines() if line.startswith("error: ")]
        assert "The learner failed" in line
        assert f"{name}.py:11)" in line
        assert "task" in line


def in_place(params, episode):
    with torch.no_grad():
        params["map.weight"].mul_(1.01)


def past_the_count(params, episode):
    params["map.bias"].data.add_(1e-3)


def by_name(params, episode):
    params["map.weight"] = params["map.weight"] * 1.01


def the_task(params, episode):
    episode.query_x.mul_(0.5)


def the_device(params, episode):
    torch.set_default_device("meta")


def the_dtype(params, episode):
    torch.set_default_dtype(torch.float64)


CHANGES = {
    in_place: "map.weight",
    past_the_count: "map.bias",
    by_name: "map.weight",
    the_task: r"episode\.query_x",
    the_device: "torch's default device",
    the_dtype: "torch's default dtype",
}


class Meddling(PixelPrototypes):
    """Changes what it is given from one call on; only after a step if ``moved``."""

    def __init__(self, how, after, moved=False):
        self.how, self.after, self.moved, self.calls = how, after, moved, 0

    def episode_loss(self, params, episode):
        self.calls += not self.moved or bool(params["map.bias"].any())
        if self.calls > self.after:
            self.how(params, episode)
        return super().episode_loss(params, episode)


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("engine", ["loop", "threads"])
@pytest.mark.parametrize("how", CHANGES)
def test_a_learner_that_changes_what_it_is_given_midway_is_told(
    checkpoint, sources, targets, tmp_path, how, engine, moved
):
    if how is the_device and engine == "threads":
        pytest.skip("a thread's default device ends with it")
    with pytest.raises(
        LearnerError, match=rf"at checkpoint step 10.*: it changed .*{CHANGES[how]}.*must work on copies"
    ) as caught:
        measure(
            Meddling(how, 5 if moved else 28, moved),
            checkpoint,
            sources,
            targets,
            tmp_path / "run",
            estimator=tr.Exact(engine),
        )
    assert "\n" not in str(caught.value)
    assert tr.open_run(tmp_path / "run").progress().done == 0
    assert (torch.get_default_device().type, torch.get_default_dtype()) == ("cpu", torch.float32)


def test_estimates_of_a_learner_that_changes_its_parameters_are_not_kept(checkpoint, sources, targets, tmp_path):
    with pytest.raises(LearnerError, match="it changed"):
        measure(
            Meddling(in_place, 8),
            checkpoint,
            sources,
            targets,
            tmp_path / "run",
            estimator=tr.FirstOrder(checked=0, engine="loop"),
        )
    assert tr.open_run(tmp_path / "run").progress().done == 0


def test_a_learner_that_changes_its_own_tensors_midway_is_told(checkpoint, sources, targets, tmp_path):
    class Warming(Meddling):
        def __init__(self):
            super().__init__(lambda params, episode: self.scale.data.mul_(1.01), 28)
            self.scale = torch.ones(())

        def episode_loss(self, params, episode):
            return super().episode_loss(params, episode) * self.scale

    with pytest.raises(LearnerError, match="it changed the learner's scale"):
        measure(Warming(), checkpoint, sources, targets, tmp_path / "run", estimator=tr.Exact("loop"))
