"""Every engine gives what the plain loop gives, in float64 to its digits, and in any tiling the same."""

import copy
import dataclasses
import json
import re
import shutil
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import transference as tr
from tests.strangers import Net, PixelPrototypes, make_net_learner, one_step_loss
from transference.devices import n_workers, out_of_memory, workers
from transference.engines import ENGINES, _graphs, _trial, find_engine, loss_gradient, trial
from transference.engines import _engines as engines
from transference.errors import SpecMismatchError, UsageError
from transference.learners import Bound, mode_aware

EAGER = [name for name in ENGINES if not name.startswith("compiled")]
FAMILY = {"regression-maml": "sinusoid:test", "regression-mmaml": "abs:test"}
LEARNERS = {
    "protonet": {},
    "kml-protonet": {},
    "maml": {"inner_steps": 1},
    "multi-protonet": {"modes": ["strokes", "shapes"]},
    "regression-maml": {},
    "regression-mmaml": {},
}


def subject(name, precision=torch.float64, n=5):
    """A learner, its parameters and a few tasks, of two modes where the learner knows modes."""
    learner = tr.load_learner(name, LEARNERS[name])
    params = {key: value.to(precision) for key, value in learner.init_params(0).items()}
    modes = [FAMILY.get(name, "strokes:val"), *(["shapes:val"] if name.startswith("multi") else [])]
    samplers = [tr.open_tasks(mode, ways=5, shots=1, queries=3, seed=1) for mode in modes]
    return learner, params, [samplers[k % len(samplers)][k].to(dtype=precision) for k in range(n)]


def oracle(learner, params, episodes):
    found = [learner.episode_scores(params, episode) if hasattr(learner, "episode_scores") else (
        learner.episode_loss(params, episode), torch.tensor(torch.nan)) for episode in episodes]  # fmt: skip
    return torch.tensor([[float(loss), float(accuracy)] for loss, accuracy in found], dtype=torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("engine", EAGER)
def test_engines_agree_with_one_call_after_the_other(engine, name):
    learner, params, episodes = subject(name)
    evaluate = find_engine(engine)(learner, episodes)
    for scale in (1.0, 1.01):  # what is loaded once serves other parameters
        moved = {key: scale * value for key, value in params.items()}
        torch.testing.assert_close(
            evaluate(moved), oracle(learner, moved, episodes), rtol=1e-9, atol=1e-10, equal_nan=True
        )


@pytest.mark.parametrize("engine", EAGER)
def test_episodes_of_several_shapes_and_modes_keep_their_places(engine):
    learner, params, episodes = subject("multi-protonet")
    params = {key: value + 0.01 * len(key) for key, value in params.items()}  # each mode's learner is another one
    others = tr.open_tasks("shapes:val", ways=3, shots=2, queries=2, seed=4)
    mixed = [episodes[0], others[0].to(dtype=torch.float64), *episodes[1:], others[1].to(dtype=torch.float64)]
    expected = oracle(learner, params, mixed)
    torch.testing.assert_close(find_engine(engine)(learner, mixed)(params), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("engine", EAGER)
def test_single_episodes_are_evaluated_each_at_its_own_parameters(engine):
    learner, params, episodes = subject("multi-protonet")
    moved = [{key: value + 0.01 * k for key, value in params.items()} for k in range(3)]
    cells = [(4, moved[0]), (1, moved[2]), (0, moved[0]), (1, moved[1]), (3, moved[0])]
    expected = torch.cat([oracle(learner, settings, [episodes[k]]) for k, settings in cells])
    torch.testing.assert_close(find_engine(engine)(learner, episodes).each(cells), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("engine", EAGER)
def test_a_mean_gradient_is_the_mean_of_the_gradients(engine):
    learner, params, episodes = subject("multi-protonet")
    others = tr.open_tasks("shapes:val", ways=3, shots=2, queries=2, seed=4)
    mixed = [episodes[0], others[0].to(dtype=torch.float64), episodes[1], others[1].to(dtype=torch.float64)]
    names = list(params)[::2]
    found = find_engine(engine).mean_gradient(learner, params, mixed, names)
    each = [loss_gradient(learner, params, episode, names) for episode in mixed]
    zero = {name: torch.zeros_like(params[name]) for name in names}
    reached = {name for _, gradient in each for name in gradient}
    expected = {name: sum((g.get(name, zero[name]) for _, g in each), zero[name]) / 4 for name in reached}
    assert reached < set(params)
    torch.testing.assert_close(found.gradient, expected, rtol=1e-9, atol=1e-12)
    scores = [*zip(found.losses, found.accuracies, strict=True)]
    torch.testing.assert_close(scores, [score for score, _ in each], rtol=1e-9, atol=0)


@pytest.mark.parametrize("word", ["mode_aware", "told_mode"])
def test_a_mode_aware_learner_says_so_by_either_word(word):
    class ByMode:
        def episode_loss(self, params, episode):
            return params[episode.mode] * episode.query_x.mean()

    setattr(ByMode, word, True)
    params = {"strokes": torch.tensor(1.0), "shapes": torch.tensor(10.0)}
    bound = Bound(ByMode(), {}, {})
    assert mode_aware(bound)
    x, y = torch.ones(2, 1), torch.zeros(2)
    episodes = [tr.Episode(x, y, x, y, mode) for mode in ("strokes", "shapes", "strokes")]
    assert find_engine("together")(bound, episodes)(params)[:, 0].tolist() == [1.0, 10.0, 1.0]


def test_workers_within_workers_are_the_same_and_the_block_has_one_kernel_thread(four_threads):
    with workers() as outer:
        with workers() as inner:
            assert inner is outer
        assert (torch.get_num_threads(), n_workers()) == (1, 4)
        assert outer.submit(torch.get_num_threads).result() == 1
    assert (torch.get_num_threads(), n_workers()) == (4, 4)
    with workers() as another:
        assert another is not outer


@pytest.fixture
def four_threads():
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(1)


class Lasting(tr.ModuleLearner):
    """Long enough at work for another thread to come in between."""

    def __init__(self, copied):
        super().__init__(Net(), one_step_loss)
        self.busy, self.copied = 0, copied

    def episode_loss(self, params, episode):
        self.busy += 1
        assert self.busy == 1
        time.sleep(0.002)
        loss = super().episode_loss(params, episode)
        self.busy -= 1
        return loss

    def __deepcopy__(self, memo):
        if not self.copied:
            raise TypeError("it cannot be copied")
        other = Lasting(True)
        other.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return other


@pytest.mark.parametrize("copied", [True, False])
def test_a_learner_that_puts_its_parameters_into_a_module_is_never_called_twice_at_once(copied, four_threads):
    learner = Lasting(copied)
    params = {key: value.double() + 0.05 for key, value in learner.init_params(0).items()}
    episodes = [tr.few_shot("strokes:val", queries=3)[k].to(dtype=torch.float64) for k in range(8)]
    expected = [loss_gradient(learner, params, episode, list(params)) for episode in episodes]
    for _ in range(5):
        scores = find_engine("threads")(learner, episodes)(params)
        assert scores[:, 0].tolist() == pytest.approx([loss for (loss, _), _ in expected], rel=1e-9)
        for (_, found), (_, wanted) in zip(
            find_engine("threads").gradients(learner, params, episodes, list(params)), expected, strict=True
        ):
            torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("engine", ["compiled", "compiled-threads"])
@pytest.mark.parametrize("name", ["protonet", "maml"])
def test_compiled_engines_agree_too(engine, name):
    learner, params, episodes = subject(name)
    evaluate = find_engine(engine)(learner, episodes)
    torch.testing.assert_close(evaluate(params), oracle(learner, params, episodes), rtol=1e-9, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("engine", EAGER)
def test_a_run_is_the_same_in_any_tiling(engine, tmp_path, strokes):
    learner = tr.load_learner("protonet", {})
    checkpoint = tr.Checkpoint(learner.init_params(0), step=1)
    tasks = tr.FewShot(strokes, ways=3, shots=1, queries=2, seed=0)
    tables = [
        tr.measure(learner, checkpoint, tasks, tasks, n_source=3, n_target=7, tile=tile, lookahead=tr.SGD(0.01), out=tmp_path / f"{k}",
                   estimator=tr.Exact(engine)).matrix()
        for k, tile in enumerate([(3, 7), (2, 3), (1, 1)])
    ]  # fmt: skip
    for table in tables:
        np.testing.assert_array_equal(table, tables[0])
    assert tr.open_run(tmp_path / "0").spec.estimator == {"kind": "exact", "engine": engine}


def test_a_learner_that_cannot_be_laid_out_otherwise_or_batched_is_measured_all_the_same(monkeypatch):
    class Viewing(PixelPrototypes):
        def episode_loss(self, params, episode):
            flat = dataclasses.replace(episode, support_x=episode.support_x.view(len(episode.support_x), -1))
            return super().episode_loss(params, flat)

    monkeypatch.setattr(_trial, "_SHORT", 0.0)
    learner = Viewing()
    episodes = [tr.few_shot("strokes:val", ways=3, queries=2)[k] for k in range(3)]
    found = trial(learner, learner.init_params(0), episodes, n_pairs=10)
    assert (found.chosen, list(found.milliseconds)) == ("loop", ["loop"])
    net = make_net_learner()
    assert (
        trial(net, net.init_params(0), [tr.few_shot("strokes:val", queries=2)[k] for k in range(3)], n_pairs=10).chosen
        in ENGINES
    )


@pytest.mark.slow
def test_the_fastest_that_is_right_is_chosen(monkeypatch):
    def slow(seconds, wrong=0.0, gradient=0.0):
        def evaluate(learner, episodes, params):
            time.sleep(seconds * len(episodes))
            return oracle(learner, params, episodes) + wrong

        return engine_of(evaluate, gradient)

    def engine_of(evaluate, gradient=0.0):
        def engine(learner, episodes):
            read = partial(evaluate, learner, episodes)
            return SimpleNamespace(at_once=1, at=lambda settings: [read(params) for params in settings])

        def gradients(learner, params, episodes, names):
            time.sleep(gradient * len(episodes))
            return [((1.0, 1.0), {}) for _ in episodes]

        engine.gradients = gradients
        return engine

    monkeypatch.setattr(_trial, "_SHORT", 0.0)
    monkeypatch.setitem(ENGINES, "loop", slow(0.03))
    monkeypatch.setitem(ENGINES, "threads", slow(0.015))
    monkeypatch.setitem(ENGINES, "vmap", slow(0.02))
    monkeypatch.setitem(ENGINES, "compiled", slow(0.0, wrong=1.0))
    monkeypatch.setitem(ENGINES, "compiled-threads", slow(0.0))
    learner, params, episodes = subject("protonet", torch.float32, n=2)
    assert trial(learner, params, episodes, n_pairs=10).chosen == "threads", "compiling is not worth it"
    found = trial(learner, params, episodes, n_pairs=10**6)
    assert found.chosen == "compiled-threads"
    assert "compiled" not in found.milliseconds, "a wrong one is no candidate"
    assert str(found).startswith("engine compiled-threads: ")
    unsteady = iter([0.0, 0.0, 1.0, *[0.0] * 20])
    noisy = engine_of(lambda learner, episodes, params: oracle(learner, params, episodes) + next(unsteady))
    monkeypatch.setitem(ENGINES, "threads", noisy)
    monkeypatch.setitem(ENGINES, "vmap", slow(0.0, wrong=1.0))
    assert trial(learner, params, episodes, n_pairs=10).milliseconds.keys() == {"loop"}, "once is enough to be wrong"
    monkeypatch.setattr(_trial, "_SHORT", 10.0)
    assert trial(learner, params, episodes, n_pairs=10).milliseconds.keys() == {"loop"}, (
        "a short run repeats to the last digit"
    )
    monkeypatch.setitem(ENGINES, "loop", slow(0.02, gradient=0.1))
    monkeypatch.setitem(ENGINES, "threads", slow(0.03, gradient=0.0))
    monkeypatch.setitem(ENGINES, "vmap", slow(0.0, gradient=0.2))

    def chosen(n_pairs, n_gradients):
        return trial(learner, params, episodes, n_pairs, _trial.Gradients(episodes[:1], list(params), n_gradients))

    assert chosen(2000, 10).chosen == "vmap"
    assert chosen(1000, 1000).chosen == "threads", "gradients are work, too"
    assert (list(chosen(10, 10).milliseconds), chosen(10, 10).gradients) == (["loop"], {})
    assert len(chosen(10, 1000).gradients) == 3, "which alone make a run a long one"
    assert re.fullmatch(r"engine threads: .* ms \(.*\) a pair, .* ms \(.*\) a gradient", str(chosen(1000, 1000)))


def test_blocks_are_halved_until_they_fit(monkeypatch):
    learner, params, episodes = subject("regression-maml", n=11)
    sizes, whole = [], torch.vmap

    def narrow(function, *args, **settings):
        batched = whole(function, *args, **settings)

        def call(episodes):
            sizes.append(len(episodes.query_y))
            if sizes[-1] > 3:
                raise torch.OutOfMemoryError("no more")
            return batched(episodes)

        return call

    expected = find_engine("vmap")(learner, episodes)(params)
    monkeypatch.setattr(engines.torch, "vmap", narrow)
    found = find_engine("vmap")(learner, episodes)(params)
    assert sizes == [16, 8, 4, 2, 2, 2, 2, 2, 2], "from the beginning again, with blocks of one size"
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0, equal_nan=True)
    monkeypatch.setattr(
        engines.torch, "vmap", lambda *_, **__: lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("none at all"))
    )
    with pytest.raises(torch.OutOfMemoryError):
        find_engine("vmap")(learner, episodes)(params)
    assert not out_of_memory(RuntimeError("shapes"))


def test_many_learners_and_shapes_can_be_compiled_in_one_process(monkeypatch):
    """torch gives up after eight on one code object; here the compiler only counts."""
    made = []
    monkeypatch.setattr(engines.torch, "compile", lambda function, **_: made.append(function.__code__) or function)
    monkeypatch.setattr(engines, "_kept", engines.OrderedDict())
    for _ in range(12):
        learner, params, episodes = subject("regression-maml", n=1)
        find_engine("compiled")(learner, episodes)(params)
        find_engine("compiled")(learner, episodes)(params)
    assert len({id(code) for code in made}) == len(made) == 12
    assert len(engines._kept) == 8


def test_a_run_goes_on_with_the_engine_it_was_begun_with(tmp_path, learner, checkpoint, sources, targets, monkeypatch):
    def run(engine, n=4):
        return tr.measure(learner, checkpoint, sources, targets, n_source=n, n_target=4, lookahead=tr.SGD(0.1), out=tmp_path / "run",
                          estimator=tr.Exact(engine))  # fmt: skip

    settled = iter(["threads", "loop"])
    monkeypatch.setattr(
        "transference.measurement._question.trial", lambda *_: _trial.Trial(name := next(settled), {name: 1.0})
    )
    run("auto")
    about = tr.open_run(tmp_path / "run")
    assert about.spec.estimator["engine"] == "threads"
    for tile in (tmp_path / "run" / "pairs").rglob("*.parquet"):
        tile.unlink()
    run("auto")
    assert next(settled) == "loop", "the second time nothing was tried"
    run("threads")
    with pytest.raises(SpecMismatchError, match="estimator.engine: threads → loop"):
        run("loop")
    with pytest.raises(SpecMismatchError, match=r"sources\[0\].n: 4 → 5"):
        run("auto", n=5)


@pytest.mark.parametrize("estimator", [tr.Exact, tr.FirstOrder])
def test_an_engine_that_cannot_take_the_learner_is_told_before_anything_is_begun(
    estimator, tmp_path, learner, checkpoint, sources
):
    """It looks at the values of labels, which `torch.vmap` does not allow."""
    with pytest.raises(
        UsageError,
        match=r"engine 'vmap' .* cannot evaluate this learner, .*item.*int\(tensor\).*Take --engine auto",
    ):
        tr.measure(learner, checkpoint, sources, sources, n_source=2, n_target=2, lookahead=tr.SGD(0.1),
                   estimator=estimator(engine="vmap"), out=tmp_path / "run")  # fmt: skip
    assert not (tmp_path / "run" / "run.json").exists()


def test_an_engine_that_does_not_exist_is_told():
    with pytest.raises(UsageError, match="The engine 'warp' was asked for; it must be auto or one of loop, threads"):
        tr.Exact("warp")


@pytest.mark.slow
def test_gradients_are_the_same_in_the_layout_of_the_engine(tmp_path, strokes):
    learner = tr.load_learner("maml", {"inner_steps": 1})
    checkpoint = tr.Checkpoint(learner.init_params(0), step=1)
    tasks = tr.FewShot(strokes, ways=5, shots=1, queries=2, seed=0)
    norms = [
        tr.measure(learner, checkpoint, tasks, tasks, n_source=2, n_target=1, precision="fp64", lookahead=tr.SGD(0.01), out=tmp_path / name,
                   estimator=tr.Exact(name)).sources()["gradient_norm"].to_numpy()
        for name in ("loop", "threads")
    ]  # fmt: skip
    torch.testing.assert_close(*map(torch.tensor, norms), rtol=1e-9, atol=0)
    assert (norms[0] > 0).all()


class OnlyPlainBackward(torch.autograd.Function):
    """Has no gradient for images that lie channels last."""

    @staticmethod
    def forward(ctx, x):
        ctx.plain = x.is_contiguous()
        return x * 1.0

    @staticmethod
    def backward(ctx, gradient):
        if not ctx.plain:
            raise RuntimeError("no kernel for this layout")
        return gradient


class PlainLayoutOnly(PixelPrototypes):
    """Its loss can be evaluated in every layout, its gradient in the plain one."""

    def episode_loss(self, params, episode):
        kernel = OnlyPlainBackward.apply(params["kernel"])
        return super().episode_loss(params, episode) * kernel.square().mean()

    def init_params(self, seed):
        return {**super().init_params(seed), "kernel": torch.ones(2, 3, 3, 3)}


def test_an_engine_that_cannot_take_the_gradient_is_refused_and_never_chosen(monkeypatch):
    learner = PlainLayoutOnly()
    params, episodes = learner.init_params(0), [tr.few_shot("strokes:val", ways=3, queries=2)[k] for k in range(2)]
    _trial.check_engine("loop", learner, params, episodes[0])
    with pytest.raises(UsageError, match=r"The engine 'threads' was asked for, .* no kernel for this layout") as caught:
        _trial.check_engine("threads", learner, params, episodes[0])
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(_trial, "_SHORT", 0.0)
    assert _trial.trial(learner, params, episodes, 1).chosen == "loop"
    assert set(_trial.trial(learner, params, episodes, 1).milliseconds) <= {"loop", "vmap"}


@pytest.mark.parametrize("later", ["apart", "threads", "auto"])
def test_a_run_that_was_begun_under_an_engines_old_name_goes_on(later, tmp_path, learner, checkpoint, sources, targets):
    settings = {
        "n_source": 3,
        "n_target": 2,
        "lookahead": tr.SGD(0.1),
        "out": tmp_path / "run",
        "tile": (2, 2),
        "controls": 0,
    }
    begun = tr.measure(learner, checkpoint, sources, targets, estimator=tr.Exact("apart"), **settings).pairs()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["spec"]["estimator"]["engine"] == "apart"
    next((tmp_path / "run" / "pairs").rglob("*.parquet")).unlink()
    again = tr.measure(learner, checkpoint, sources, targets, estimator=tr.Exact(later), **settings).pairs()
    pd.testing.assert_frame_equal(again, begun)
    with pytest.raises(SpecMismatchError, match="estimator.engine: apart → loop"):
        tr.measure(learner, checkpoint, sources, targets, estimator=tr.Exact("loop"), **settings)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("engine", EAGER)
@pytest.mark.parametrize("n_targets", [1, 3])
def test_few_targets_after_several_steps_are_read_on_as_many_threads_as_one_by_one(engine, n_targets):
    learner, params, episodes = subject("protonet", n=n_targets)
    prepared = tr.Exact(engine).prepare(learner, params, episodes)
    steps = [{name: 1e-2 * k * value.sin() for name, value in params.items()} for k in range(5)]
    assert find_engine(engine)(learner, episodes).at_once == (4 // n_targets if engine == "threads" else 1)
    found = list(prepared.after(steps))
    assert len(found) == 5
    for step, readings in zip(steps, found, strict=True):
        moved = {name: value + step[name] for name, value in params.items()}
        torch.testing.assert_close(readings.loss, oracle(learner, moved, episodes)[:, 0], rtol=1e-9, atol=0)


def test_gradients_of_images_are_taken_on_threads_by_vmap_too(monkeypatch):
    learner, params, episodes = subject("protonet", n=3)
    asked = []
    threads = ENGINES["threads"]
    monkeypatch.setitem(
        ENGINES, "threads", SimpleNamespace(gradients=lambda *given: asked.append(given) or threads.gradients(*given))
    )
    names = list(params)
    found = find_engine("vmap").gradients(learner, params, episodes, names)
    assert len(asked) == 1
    for ((loss, _), gradient), episode in zip(found, episodes, strict=True):
        (expected, _), its = loss_gradient(learner, params, episode, names)
        assert loss == pytest.approx(expected, rel=1e-9)
        torch.testing.assert_close(gradient, its, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("possible", [True, False])
def test_work_is_captured_once_it_is_repeated(monkeypatch, possible, targets):
    done = []

    def way(name):
        return lambda params, block: (done.append(name), (params["w"], {}))[1]

    monkeypatch.setattr(_graphs, "_captured", lambda work, *_: way("graph") if possible else None)
    graphs, block = _graphs.Graphs(), targets[0]
    for n in (1, 1, 1, 1, 2, 2, 2):
        rows, _ = graphs.do("kind", way("work"), way("watched"), {"w": torch.zeros(n)}, block)
        assert len(rows) == n
    later = "graph" if possible else "watched"
    assert done == ["watched", "watched", later, later, "watched", "watched", later]
    with _graphs.repeated():
        outer = _graphs.current()
        with _graphs.repeated():
            assert _graphs.current() is outer
    assert _graphs.current() is None
