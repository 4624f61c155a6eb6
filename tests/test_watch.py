"""A watch looks at a training, changes nothing of it, and leaves a run like any other."""

import shutil
import sys
import types

import numpy as np
import pytest
import torch

import transference as tr
from meta_models.training import Training
from meta_models.training import train as train_learner
from transference.errors import LearnerError, SpecMismatchError, UsageError
from transference.watch._budget import Budget

SETTINGS = {"n_source": 4, "n_target": 3, "lookahead": tr.SGD(alpha=(1e-3, 1e-2)), "controls": 2}
ESTIMATOR = tr.FirstOrder(checked=4, engine="threads")


@pytest.fixture
def train(learner, sources):
    """Return a function that trains and calls a watch after every update; it returns θ at each."""

    def loop(watch, updates=6, begin=None, lr=1e-2):
        done, theta = begin or (0, learner.init_params(0))
        params = {name: value.clone().requires_grad_() for name, value in theta.items()}
        optimizer = torch.optim.SGD(params.values(), lr=lr)
        seen = {}
        for step in range(done + 1, updates + 1):
            optimizer.zero_grad()
            learner.episode_loss(params, sources[step]).backward()
            optimizer.step()
            if watch:
                watch(step, params)
            seen[step] = {name: value.detach().clone() for name, value in params.items()}
        return seen

    return loop


@pytest.fixture
def watching(learner, sources, targets, tmp_path):
    """Return what makes a watch of every second update that never lacks time."""

    def make(out="watched", **changes):
        asked = {"every": 2, "time_share": 1e9, "estimator": ESTIMATOR, **SETTINGS, **changes}
        return tr.Watch(sources, targets, learner=learner, out=tmp_path / out, **asked)

    return make


def tables(run):
    return {file.relative_to(run.path): file.read_bytes() for file in run.path.rglob("*.parquet")}


def test_its_run_is_that_of_the_saved_checkpoints(train, watching, learner, sources, targets, tmp_path):
    seen = train(watching())
    for step in (2, 4, 6):
        torch.save(seen[step], tmp_path / f"step-{step}.pt")
    saved = [tr.load_checkpoint(tmp_path / f"step-{step}.pt") for step in (2, 4, 6)]
    measured = tr.measure(learner, saved, sources, targets, out=tmp_path / "measured", estimator=ESTIMATOR, **SETTINGS)
    watched = tr.open_run(tmp_path / "watched")
    assert watched.spec == measured.spec
    assert tables(watched) == tables(measured)
    assert tr.verify(watched.path).complete


def test_it_changes_nothing_of_the_training(train, watching):
    torch.manual_seed(3)
    alone = train(None)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    watched = train(watching())
    assert torch.equal(torch.rand(1), drawn)
    for step, theta in alone.items():
        assert all(torch.equal(value, watched[step][name]) for name, value in theta.items())


@pytest.mark.parametrize("surroundings", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu")])
def test_it_may_be_called_anywhere(watching, learner, surroundings):
    theta = learner.init_params(0)
    plain = watching("plain")(2, theta)
    with surroundings():
        within = watching("within")(2, theta)
    assert tables(within) == tables(plain)


def test_a_watch_that_goes_on_ends_at_the_same_run(train, watching):
    whole = train(watching("whole"))
    train(watching("parts"), updates=5)
    train(watching("parts"), begin=(3, whole[3]))  # stage 4 comes again
    runs = [tr.open_run(watching(name)._store.path) for name in ("whole", "parts")]
    assert tables(runs[0]) == tables(runs[1])


def test_stages_of_a_way_that_was_not_taken_are_replaced(train, watching, caplog, tmp_path):
    first = train(watching())
    train(watching(), begin=(3, first[3]), lr=1e-3)
    train(watching("other"), begin=(3, first[3]), lr=1e-3)
    assert "its stages from step 4 on are replaced" in caplog.text
    run, other = tr.open_run(tmp_path / "watched"), tr.open_run(tmp_path / "other")
    assert run.steps == (2, 4, 6)
    assert tr.verify(run.path).complete
    frame = run.pairs()
    assert frame[frame["checkpoint_step"] > 2].reset_index(drop=True).equals(other.pairs())


@pytest.mark.parametrize("at", [2, 4])
@pytest.mark.parametrize(("method", "times"), [("write", 0), ("write", 2), ("grow", 0)])
def test_a_stage_that_was_killed_leaves_a_run_that_can_be_read(
    train, watching, monkeypatch, at, method, times, tmp_path
):
    calls, proper = iter(range(times)), getattr(tr.Store, method)

    def killed(*words):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return proper(*words)

    watch, whole = watching(), train(watching("whole"))
    for step in range(2, at, 2):
        watch(step, whole[step])
    with monkeypatch.context() as broken:
        broken.setattr(tr.Store, method, killed)
        with pytest.raises(KeyboardInterrupt):
            watch(at, whole[at])
    if at > 2:
        assert set(tr.open_run(tmp_path / "watched").pairs()["checkpoint_step"]) == {2}
    watch = watching()
    for step in (4, 6):  # what was begun at step 2 does not come again
        watch(step, whole[step])
    run = tr.open_run(tmp_path / "watched")
    assert tr.verify(run.path).complete
    assert run.steps == ((2, 4, 6) if at == 4 or method == "grow" else (4, 6))
    assert run.matrix(6, 1e-2) == pytest.approx(tr.open_run(tmp_path / "whole").matrix(6, 1e-2))


def test_what_befalls_a_later_stage_is_told_and_the_training_goes_on(watching, learner, caplog):
    theta, watch = learner.init_params(0), watching()
    with pytest.raises(LearnerError):
        watching("first")(2, {"nothing": torch.zeros(1)})
    assert watch(2, theta)
    assert watch(4, {"nothing": torch.zeros(1)}) is None
    assert "the watch failed at step 4 (LearnerError:" in caplog.text
    assert watch(6, theta).steps == (2, 6)


@pytest.mark.parametrize("error", [KeyError("ema"), ValueError("no average yet"), AssertionError()], ids=repr)
def test_whatever_befalls_a_later_stage_ends_no_training(watching, learner, caplog, error):
    def averaged():
        raise error

    theta, watch = learner.init_params(0), watching()
    with pytest.raises(type(error)):
        watching("first")(2, averaged)
    watch(2, theta)
    assert watch(4, averaged) is None
    assert f"the watch failed at step 4 ({type(error).__name__}:" in caplog.text
    assert watch(6, theta).steps == (2, 6)


def test_what_is_told_of_a_later_stage_says_what_to_do(watching, learner, caplog, tmp_path):
    theta, watch = learner.init_params(0), watching()
    watch(2, theta)
    shutil.rmtree(tmp_path / "watched")
    watching(n_source=5)(2, theta)
    assert watch(4, theta) is None
    assert "n: 5 → 4" in caplog.messages[-1]
    assert "\n" not in caplog.messages[-1]


def test_steps_that_jump_over_a_stage_are_one(watching, learner):
    theta, watch = learner.init_params(0), watching(every=10)
    assert [step for step in range(7, 50, 7) if watch(step, theta)] == [14, 21, 35, 42]
    assert tr.open_run(watch._store.path).steps == (14, 21, 35, 42)


def test_a_checkpoint_is_of_the_step_that_was_called(watching, learner):
    assert watching()(2, tr.Checkpoint(learner.init_params(0), 0)).steps == (2,)


def test_numbers_of_other_libraries_are_steps(watching, learner):
    theta, watch = learner.init_params(0), watching()
    assert watch(np.int64(2), theta)
    assert watch(torch.tensor(4), theta).steps == (2, 4)


@pytest.mark.parametrize("step", [-2, 2.0, "2", None], ids=repr)
def test_what_is_no_step_is_refused(watching, learner, step):
    with pytest.raises(UsageError, match="step="):
        watching()(step, learner.init_params(0))


@pytest.mark.parametrize("theta", [None, [torch.zeros(1)], {"weight": 1.0}], ids=repr)
def test_what_holds_no_tensors_by_name_is_refused(watching, theta):
    with pytest.raises(UsageError, match="tensors by name"):
        watching()(2, theta)


def test_a_later_stage_that_fails_leaves_no_file_behind(watching, learner, monkeypatch, tmp_path):
    watch, write, calls = watching(), tr.Store.write, iter(range(2))

    def full(*words):
        if next(calls, None) is None:
            raise OSError(28, "No space left on device")
        write(*words)

    watch(2, learner.init_params(0))
    monkeypatch.setattr(tr.Store, "write", full)
    assert watch(4, learner.init_params(1)) is None
    assert tr.verify(tmp_path / "watched").complete


def test_a_folder_of_another_run_is_refused_at_once(watching, learner):
    watching()(2, learner.init_params(0))
    with pytest.raises(SpecMismatchError, match="n: 4 → 5"):
        watching(n_source=5)(4, learner.init_params(0))


def test_nothing_is_asked_for_where_no_stage_is_due(watching):
    def never():
        raise AssertionError

    assert watching()(3, never) is None


def test_a_module_and_a_checkpoint_are_as_good_as_tensors(watching, learner):
    theta = learner.init_params(0)

    class Holder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.values = torch.nn.ParameterDict({name.replace(".", "_"): value for name, value in theta.items()})

        def state_dict(self, *_, **__):
            return {f"net.{name}": value for name, value in theta.items()}

    runs = [watching(f"run-{k}")(2, one) for k, one in enumerate((theta, Holder(), lambda: tr.Checkpoint(theta, 2)))]
    assert tables(runs[0]) == tables(runs[1]) == tables(runs[2])


def test_a_log_and_a_page_are_kept(watching, learner, tmp_path):
    logged = []
    log = types.SimpleNamespace(log=lambda data, step: logged.append((step, data)))
    page = tmp_path / "pages" / "watch.html"
    page.parent.mkdir()
    watch = watching(log=log, page=page)
    watch(2, learner.init_params(0))
    first = page.read_text()
    watch(4, learner.init_params(1))
    assert [step for step, _ in logged] == [2, 4]
    assert logged[1][1]["watch/share"] > 0
    assert any(name.startswith("geometric_mean/") for name in logged[0][1])
    assert page.read_text() != first


@pytest.mark.parametrize(
    "wrong",
    [
        {"every": 0},
        {"every": 1.5},
        {"every": "2"},
        {"time_share": 0},
        {"time_share": float("nan")},
        {"alpha": 0.1},
        {"log": "nobody"},
        {"page": "notes.txt"},
    ],
    ids=str,
)
def test_what_cannot_be_watched_is_refused(watching, wrong):
    with pytest.raises(UsageError):
        watching(**wrong)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_budget_spends_its_share_and_no_more():
    clock = Clock()
    budget, when = Budget(0.03, clock), []
    for update in range(10_000):
        clock.now += 0.1
        if update % 50 == 0 and budget.allows("stage"):
            with budget.spending("stage"):
                clock.now += 2.0
            when.append(update)
    assert when[0] == 0
    assert when[1] >= 1_300  # 4 seconds are 3 % of 133
    assert budget.spent == pytest.approx(2.0 * len(when))
    assert 0.03 - 2.5 / 1000 <= budget.share <= 0.03


def test_a_stage_that_became_dearer_is_left_out():
    clock = Clock()
    budget = Budget(0.5, clock)
    with budget.spending("stage"):
        clock.now += 1.0
    clock.now += 4.0
    assert budget.allows("stage")
    with budget.spending("stage"):
        clock.now += 10.0
    assert not budget.allows("stage")


def test_a_page_takes_no_stage_its_time():
    clock = Clock()
    budget = Budget(0.1, clock)
    for what, seconds in (("stage", 1.0), ("page", 5.0)):
        with budget.spending(what):
            clock.now += seconds
    clock.now += 75.0  # of which 7.5 may be spent: 6 were
    assert budget.allows("stage")
    assert not budget.allows("page")


def test_stages_that_are_left_out_are_named(watching, learner, tmp_path):
    watch = watching(time_share=1e-9)
    assert watch(2, learner.init_params(0))
    assert watch(4, learner.init_params(0)) is None
    assert watch.left_out == [4]
    assert tr.open_run(tmp_path / "watched").steps == (2,)


@pytest.mark.parametrize("name", ["lightning.pytorch", "pytorch_lightning"])
def test_it_is_a_callback_of_lightning(watching, learner, monkeypatch, tmp_path, name):
    """Of a package that stands in for Lightning's; the recipes are run with the real one."""
    callback = type("Callback", (), {})
    for part in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.delitem(sys.modules, part, raising=False)
    module = types.ModuleType(name)
    module.Callback = callback
    if "." in name:
        monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))
    monkeypatch.setitem(sys.modules, name, module)
    theta = learner.init_params(0)
    found = watching().callback()
    assert isinstance(found, callback)
    for step, first in ((1, True), (2, False), (2, True), (2, True), (4, True)):
        found.on_train_batch_end(types.SimpleNamespace(is_global_zero=first, global_step=step), theta, None, None, step)
    assert tr.open_run(tmp_path / "watched").steps == (2, 4)


def test_without_lightning_there_is_no_callback_of_it(watching, monkeypatch):
    for part in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, part, None)
    with pytest.raises(UsageError, match="pip install lightning"):
        watching().callback()


@pytest.mark.parametrize("lookahead", [tr.SGD(alpha=1e-3), tr.Outer(alpha=1e-3)], ids=["sgd", "outer"])
def test_a_training_of_ours_and_its_watch_go_on_together(learner, tmp_path, monkeypatch, lookahead):
    """What was watched is what is measured on the saved checkpoints, to the bit, whether the training was interrupted or not."""
    modes = ("strokes", "shapes")
    episodes = {"ways": 3, "shots": 1, "queries": 2}
    sources, targets = (
        [tr.few_shot(f"{mode}:{split}", **episodes, seed=5) for mode in modes] for split in ("train", "val")
    )
    training = Training("stranger", {}, modes, ways=3, queries=2, meta_batch=2, lr=1e-3)
    tasks = [tr.few_shot(f"{mode}:train", **episodes, seed=0) for mode in modes]
    asked = {
        "n_source": 2,
        "n_target": 2,
        "lookahead": lookahead,
        "estimator": ESTIMATOR,
        "controls": 0,
        "device": "cpu",
    }

    stage = tr.Watch._stage

    def train_to(name, iterations):
        watch = tr.Watch(
            sources, targets, learner=learner, out=tmp_path / f"{name}-watch", every=2, time_share=1e9, **asked
        )
        out = tmp_path / name
        return train_learner(learner, training, tasks, out=out, iterations=iterations, save_every=4, watch=watch)

    def killed_at_4(watch, step, theta):
        if step == 4:
            raise KeyboardInterrupt
        return stage(watch, step, theta)

    train_to("whole", 8)
    with monkeypatch.context() as broken:
        broken.setattr(tr.Watch, "_stage", killed_at_4)
        with pytest.raises(KeyboardInterrupt):
            train_to("parts", 6)  # killed in a stage whose checkpoint is saved
    train_to("parts", 6)
    for path in (tmp_path / "parts").glob("step-00000006*"):
        path.unlink()  # killed after stage 6, before anything was saved
    train_to("parts", 8)
    watched = tr.open_run(tmp_path / "whole-watch")
    assert watched.steps == (2, 4, 6, 8)
    assert tables(watched) == tables(tr.open_run(tmp_path / "parts-watch"))
    saved = [tr.load_checkpoint(path) for path in sorted((tmp_path / "whole").glob("step-*.safetensors"))]
    measured = tr.measure(learner, saved, sources, targets, out=tmp_path / "measured", **asked)
    assert measured.steps == (4, 8)
    seen = tables(watched)
    assert all(seen[file] == content for file, content in tables(measured).items())
