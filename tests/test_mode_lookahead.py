"""Modes as sources: what K updates of a checkpoint's own training on a mode add to θ, and the table of it."""

import dataclasses
import json
import re
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import torch

import transference as tr
from meta_models import RegressionMAML, RegressionMMAML, Training, train
from tests.strangers import PixelPrototypes
from tests.test_cli import call
from transference.amounts import STEP_SIZES
from transference.amounts import UPDATES as NUMBERS
from transference.errors import CheckpointError, DataError, LearnerError, UsageError
from transference.explore._page import ExploreOptions
from transference.explore._page import build_page as explore_page
from transference.figures._panels import title_of
from transference.measurement import Question, Work
from transference.optimizers import parse_optimizer
from transference.report._page import ReportOptions
from transference.report._page import build_page as report_page
from transference.store import verify

UPDATES = (1, 3, 5)
SHAPE = {"shots": 3, "queries": 3}
MODES = ("sinusoid", "linear", "quadratic")


class Line:
    """A learner of one's own: a straight line, adapted by one step on the support points."""

    def episode_loss(self, params, episode):
        error = lambda p, x, y: ((p["slope"] * x + p["offset"] - y) ** 2).mean()
        gradients = torch.func.grad(lambda p: error(p, episode.support_x, episode.support_y))(params)
        moved = {name: params[name] - 0.01 * g for name, g in gradients.items()}
        return error(moved, episode.query_x, episode.query_y)


class Later:
    """The tasks of a sampler from a number on, as the draw of a training that is that far."""

    def __init__(self, sampler, first):
        self.sampler, self.first, self.name = sampler, first, f"{sampler.name} from {first}"

    def __getitem__(self, index):
        return self.sampler[self.first + index]


def functions(mode, split="train", seed=0):
    return tr.FunctionFamily(mode, split, seed=seed, **SHAPE)


def state_of(optimizer, leaves):
    """The state of one of torch's optimizers, by the names of the leaves."""
    kind = type(optimizer).__name__.lower()
    entries = {name: optimizer.state[leaf] for name, leaf in leaves.items() if optimizer.state[leaf]}
    slots = {
        slot: {name: e[slot].clone() for name, e in entries.items() if isinstance(e.get(slot), torch.Tensor)}
        for slot in ("momentum_buffer", "exp_avg", "exp_avg_sq")
    }
    group = optimizer.param_groups[0]
    known = ("momentum", "nesterov", "weight_decay", "betas", "eps")
    return tr.OptimizerState(
        kind,
        group["lr"],
        {name: group[name] for name in known if name in group},
        {slot: tree for slot, tree in slots.items() if tree},
        {name: int(e["step"]) for name, e in entries.items() if "step" in e},
    )


def line_checkpoint(make=lambda p: torch.optim.Adam(p, lr=0.05), warm=4, step=7, **training):
    """A line, and an optimizer that has a state."""
    leaves = {
        "slope": torch.tensor([0.7], dtype=torch.float64, requires_grad=True),
        "offset": torch.tensor([-0.3], dtype=torch.float64, requires_grad=True),
    }
    optimizer = make(list(leaves.values()))
    for k in range(warm):
        leaves["slope"].grad = torch.full_like(leaves["slope"], 0.3 * (k + 1))
        leaves["offset"].grad = torch.full_like(leaves["offset"], -0.2)
        optimizer.step()
    params = {name: leaf.detach().clone() for name, leaf in leaves.items()}
    return tr.Checkpoint(params, step, optimizer=state_of(optimizer, leaves), training=training)


TOLD = {"meta_batch": 4, "clip_norm": 0.5, "halve_every": 0}


def measured(out, checkpoint=None, modes=MODES[:2], lookahead=None, learner=None, **settings):
    given = {"n_source": 2, "n_target": 3, "precision": "fp64", "device": "cpu", "controls": 0, **settings}
    return tr.measure(
        learner or Line(),
        line_checkpoint(**TOLD) if checkpoint is None else checkpoint,
        [functions(mode) if isinstance(mode, str) else mode for mode in modes],
        [functions(mode, "test", 1) for mode in MODES[:2]],
        lookahead=lookahead or tr.ModeLookahead(UPDATES),
        estimator=given.pop("estimator", tr.Exact("loop")),
        out=out,
        **given,
    )


def updates_of_torch(make, checkpoint, rows, updates, size, clip=0.0, rate=lambda update: None):
    """Slow and obvious: an optimizer of torch on the mean loss of each meta-batch, by autograd, in float64.

    Sharing no code with the package: the state is put back by hand, the norm is clipped by hand, tasks are taken one by one.
    """
    leaves = {name: value.clone().double().requires_grad_() for name, value in checkpoint.params.items()}
    optimizer, state = make(list(leaves.values())), checkpoint.optimizer
    for name, leaf in leaves.items():
        kept = {slot: tree[name].clone() for slot, tree in state.slots.items() if name in tree}
        optimizer.state[leaf].update(kept | ({"step": torch.tensor(float(state.steps[name]))} if state.steps else {}))
    found, k = [], 0
    for update in range(updates):
        losses = []
        for _ in range(size):
            episode = rows[k % len(rows)][k // len(rows)].to(dtype=torch.float64)
            losses.append(Line().episode_loss(leaves, episode))
            k += 1
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        norm = sum(float((leaf.grad**2).sum()) for leaf in leaves.values()) ** 0.5
        for leaf in leaves.values():
            leaf.grad *= min(1.0, clip / (norm + 1e-6)) if clip else 1.0
        if (lr := rate(update)) is not None:
            optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        found.append({name: leaf.detach().clone() for name, leaf in leaves.items()})
    return found


def losses_after(moved):
    """The losses of the targets at parameters, by hand."""
    targets = [functions(mode, "test", 1)[index] for mode in MODES[:2] for index in range(3)]
    return [float(Line().episode_loss(moved, episode.to(dtype=torch.float64))) for episode in targets]


DRAW = 2**20
"""Tasks from one draw to the next."""

OPTIMIZERS = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "adam with decay": lambda p: torch.optim.Adam(p, lr=0.02, betas=(0.8, 0.95), weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.2),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_those_of_torch_on_the_mean_loss_of_meta_batches(name, tmp_path):
    checkpoint = line_checkpoint(OPTIMIZERS[name], **TOLD)
    run = measured(tmp_path / "run", checkpoint)
    table = run.pairs()
    for source in range(4):
        row = Later(functions(MODES[source // 2]), source % 2 * DRAW)
        moved = updates_of_torch(OPTIMIZERS[name], checkpoint, [row], max(UPDATES), 4, clip=0.5)
        for k in UPDATES:
            found = table[(table["source"] == source) & (table["alpha"] == k)].sort_values("target")["loss_after"]
            np.testing.assert_allclose(found, losses_after(moved[k - 1]), rtol=1e-9)


def test_the_rate_is_halved_where_training_would_halve_it(tmp_path):
    checkpoint = line_checkpoint(
        **{**TOLD, "halve_every": 3}
    )  # seven updates so far; the ninth is the next at a lower rate
    run = measured(tmp_path / "run", checkpoint)
    rates = [0.05, 0.025, 0.025, 0.025, 0.0125]
    row = Later(functions("sinusoid"), 0)
    moved = updates_of_torch(OPTIMIZERS["adam"], checkpoint, [row], 5, 4, clip=0.5, rate=lambda update: rates[update])
    found = run.pairs().query("source == 0 and alpha == 5").sort_values("target")["loss_after"]
    np.testing.assert_allclose(found, losses_after(moved[4]), rtol=1e-9)


def test_modes_of_a_subset_take_turns(tmp_path):
    modes = ("linear:train", "sinusoid")
    run = measured(tmp_path / "run", combine={"linear+sinusoid": tr.Together(modes)})
    assert run.modes("source")[-1] == "linear+sinusoid"
    rows = [functions("linear"), functions("sinusoid")]
    moved = updates_of_torch(OPTIMIZERS["adam"], line_checkpoint(**TOLD), rows, 5, 4, clip=0.5)
    found = run.pairs().query("source == 4 and alpha == 5").sort_values("target")["loss_after"]
    np.testing.assert_allclose(found, losses_after(moved[4]), rtol=1e-9)


def test_several_numbers_of_updates_are_those_of_separate_runs(tmp_path):
    together = measured(tmp_path / "together").pairs()
    for k in UPDATES:
        alone = measured(tmp_path / str(k), lookahead=tr.ModeLookahead(k)).pairs()
        pd.testing.assert_frame_equal(together[together["alpha"] == k].reset_index(drop=True), alone)


def test_a_draw_knows_of_no_other(tmp_path):
    three = measured(tmp_path / "three", n_source=3).pairs()
    two = measured(tmp_path / "two").pairs()
    columns = ["alpha", "target", "loss_after"]
    for draw in range(2):
        for mode in range(2):
            one, other = (table[table["source"] == mode * n + draw] for table, n in ((three, 3), (two, 2)))
            assert one[columns].reset_index(drop=True).equals(other[columns].reset_index(drop=True))
    assert two.groupby("source")["loss_after"].first().nunique() == 4


def function_training(tmp_path, modes=("linear",), learner=None, **settings):
    """A training on functions, and its checkpoints after four updates and after eight."""
    learner = learner or RegressionMAML()
    settings = {"meta_batch": 4, "lr": 0.01, "shots": 3, "queries": 3, **settings}
    training = Training("of functions", {}, modes=modes, **settings)
    paths = train(learner, training, list(map(functions, modes)), out=tmp_path, iterations=8, save_every=4)
    return [tr.load_checkpoint(path) for path in paths]


def gone_on(tmp_path, first, modes, source, learner=None, **settings):
    """The displacement of four updates, on the tasks that come next in the training that a checkpoint is of."""
    rows = [Later(functions(mode), 4 * 4 // len(modes)) for mode in modes]
    question = Question.of(
        learner or RegressionMAML(), first, rows, functions("linear", "test"), n_source=1, n_target=1, lookahead=tr.ModeLookahead(4),
        estimator=tr.Exact("loop"), replicates=1, controls=0, device="cpu", precision="fp32", tile=None, **{"combine": {}, **settings},
    )  # fmt: skip
    work = Work(question, question.subjects(), tmp_path)
    [[step]] = work._stepper(4).walk([source])
    work.close()
    return step.displacement


@pytest.mark.parametrize(
    ("learner", "settings"),
    [
        (RegressionMAML(), {}),
        (RegressionMAML(), {"clip_norm": 0.1, "halve_every": 6}),
        (RegressionMMAML(), {"clip_norm": 0.01}),  # its encoder has a norm of its own
    ],
    ids=["plain", "clipped and halved", "clipped apart"],
)
def test_updates_are_those_of_the_training_gone_on_bit_for_bit(tmp_path, learner, settings):
    first, last = function_training(tmp_path / "training", learner=learner, **settings)
    found = gone_on(tmp_path, first, ["linear"], 0, learner)
    assert set(found) == set(first.params)
    for name, moved in found.items():
        assert torch.equal(moved, last.params[name] - first.params[name]), name


@pytest.mark.parametrize("combine", ["", "mgda"])
def test_updates_on_several_modes_are_those_of_their_training_bit_for_bit(tmp_path, combine):
    modes = ("linear", "sinusoid")
    first, last = function_training(tmp_path / "training", modes, combine=combine)
    names = tuple(Later(functions(mode), 8).name for mode in modes)
    given = tr.MGDA() if combine else tr.Together(names)
    for name, moved in gone_on(tmp_path, first, modes, 2, combine={"both": given}).items():
        assert torch.equal(moved, last.params[name] - first.params[name]), name


def test_images_too_are_moved_as_the_training_would(tmp_path):
    tasks = tr.few_shot("strokes:train", ways=3, shots=1, queries=2)
    training = Training("stranger", modes=("strokes",), ways=3, queries=2, meta_batch=3, lr=0.01)
    first, last = map(
        tr.load_checkpoint,
        train(PixelPrototypes(), training, [tasks], out=tmp_path / "t", iterations=4, save_every=2),
    )
    run = tr.measure(
        PixelPrototypes(), first, Later(tasks, 2 * 3), tasks, n_source=1, n_target=2, lookahead=tr.ModeLookahead(2), device="cpu",
        controls=0, estimator=tr.Exact("loop"), out=tmp_path / "run",
    )  # fmt: skip
    after = [float(PixelPrototypes().episode_loss(last.params, tasks[k])) for k in range(2)]
    np.testing.assert_allclose(run.pairs()["loss_after"], after, rtol=1e-5)


def test_a_killed_run_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    whole = measured(tmp_path / "whole", controls=2, combine={"both": tr.Together(MODES[:2])})
    done, steps_on = [], Work.tile

    def killed(self, tile):
        done.append(tile)
        if len(done) == 4:
            raise KeyboardInterrupt
        return steps_on(self, tile)

    monkeypatch.setattr(Work, "tile", killed)
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path / "killed", controls=2, combine={"both": tr.Together(MODES[:2])})
    monkeypatch.undo()
    again = measured(tmp_path / "killed", controls=2, combine={"both": tr.Together(MODES[:2])})
    files = sorted(path.relative_to(whole.path) for path in whole.path.rglob("*.parquet"))
    assert files == sorted(path.relative_to(again.path) for path in again.path.rglob("*.parquet"))
    assert all((whole.path / file).read_bytes() == (again.path / file).read_bytes() for file in files)
    assert not verify(again.path).problems


def test_any_tiling_and_shards_give_the_same_table(tmp_path):
    whole = measured(tmp_path / "whole", n_target=5).pairs()
    assert measured(tmp_path / "tiles", n_target=5, tile=(3, 2)).pairs().equals(whole)
    for number in (1, 2, 3):
        run = measured(tmp_path / "shards", n_target=5, shard=(number, 3))
    assert run.pairs().equals(whole)


def test_the_targets_of_several_tiles_share_a_trajectory(tmp_path, monkeypatch):
    taken, take = [], tr.ModeLookahead.displacements
    monkeypatch.setattr(
        tr.ModeLookahead, "displacements", lambda self, source: taken.append(self.counts) or take(self, source)
    )
    measured(tmp_path / "run", tile=(1, 2))
    assert taken.count(UPDATES) == 4, "one for each draw of each mode"
    taken.clear()
    measured(tmp_path / "controlled", n_target=40, controls=40)
    assert taken.count(UPDATES) == 4 + 2 + 2, "and of one draw of each mode in double precision, and on other episodes"


def test_rows_are_modes_and_draws_with_controls_and_intervals(tmp_path):
    run = measured(tmp_path / "run", controls=4)
    assert run.spec.updates == UPDATES
    assert run.modes("source") == ["sinusoid", "sinusoid", "linear", "linear"]
    tasks = run.tasks().query("role == 'source'")
    assert tasks["index"].tolist() == [0, 1, 0, 1]
    assert tasks[["class_names", "support_ids", "query_ids"]].isna().all(axis=None)
    assert run.sources()["alpha"].tolist() == [k for k in UPDATES for _ in range(4)]
    controls = run.controls()
    assert (controls.query("control == 'zero'")["loss_ratio"] == 1).all()
    assert set(controls["control"]) == {"measured", "zero", "random_direction", "float64", "resampled"}
    assert controls.groupby("source_mode", observed=True)["source"].nunique().eq(1).all(), "one draw of each mode"
    pairs = run.pairs().set_index(["source", "target", "alpha"])["loss_ratio"]
    mine = controls.query("control == 'measured'").set_index(["source", "target", "alpha"])["loss_ratio"]
    pd.testing.assert_series_equal(mine, pairs.loc[mine.index], rtol=1e-12)
    assert run.self_transference().empty
    table = tr.intervals(run.blocks())
    means = table[table["statistic"] == "geometric_mean"]
    assert len(means) == 2 * 2 * len(UPDATES)
    assert means[["low", "high"]].notna().all(axis=None)
    assert not verify(run.path).problems
    assert tr.RunSpec.from_json(run.spec.to_json()) == run.spec


def test_estimates_of_first_order_are_read_as_of_any_displacement(tmp_path):
    exact, first = (
        measured(tmp_path / type(how).__name__, estimator=how) for how in (tr.Exact("loop"), tr.FirstOrder())
    )
    np.testing.assert_allclose(exact.pairs()["first_order"], first.pairs()["first_order"], rtol=1e-5)
    with pytest.raises(UsageError, match="no multiple of what others do. Take --estimator exact"):
        measured(tmp_path / "quadratic", estimator=tr.Quadratic())


def test_what_does_not_move_stays(tmp_path):
    question = Question.of(
        Line(), line_checkpoint(**TOLD), functions("linear"), functions("linear"), n_source=1, n_target=1,
        lookahead=tr.ModeLookahead(3, moves=("slope",)), estimator=tr.Exact("loop"), replicates=1, controls=0, device="cpu",
        precision="fp64", tile=None, combine={},
    )  # fmt: skip
    work = Work(question, question.subjects(), tmp_path)
    [[step]] = work._stepper(7).walk([0])
    work.close()
    assert list(step.displacement) == ["slope"]
    assert step.displacement["slope"].abs() > 0.01


class Shy(Line):
    """A learner that fails once its slope has moved."""

    def episode_loss(self, params, episode):
        if abs(float(params["slope"].detach()) - 0.7) > 0.1:
            raise ValueError("it does not like that")
        return params["slope"].sum() * episode.query_x.square().mean()


def test_a_learner_that_fails_on_the_way_is_told_where(tmp_path):
    start = tr.Checkpoint({"slope": torch.tensor([0.7])}, 3)
    lookahead = tr.ModeLookahead(9, meta_batch=2, optimizer=tr.OptimizerState("sgd", 0.005), batching="apart")
    with pytest.raises(
        LearnerError, match=r"in update \d of source 0 \(draw 0 of sinusoid:train.*it does not like that"
    ):
        measured(tmp_path / "run", start, learner=Shy(), lookahead=lookahead, precision="fp32")


class Diverging(Line):
    """A line whose loss is no number once its slope has moved far."""

    def episode_loss(self, params, episode):
        return super().episode_loss(params, episode) + 0.0 * torch.log(0.2 - (params["slope"] - 0.5).abs()).sum()


def test_a_trajectory_that_diverges_fails_its_cells_and_no_others(tmp_path):
    steep = tr.Checkpoint({"slope": torch.tensor([0.5]), "offset": torch.tensor([0.0])}, 3)
    lookahead = tr.ModeLookahead((1, 2, 9), meta_batch=2, optimizer=tr.OptimizerState.adam(lr=0.15))
    run = measured(tmp_path / "run", steep, learner=Diverging(), lookahead=lookahead, precision="fp32")
    status = run.pairs().groupby("alpha")["status"].agg(set)
    assert status[1] == {"ok"}
    assert status[9] == {"non_finite"}


class Few(Later):
    """A sampler that knows how many tasks it has, or that does not."""

    def __init__(self, n, sized):
        super().__init__(functions("linear"), 0)
        self.n, self.name = n, f"few {n}"
        if sized:
            self.__class__ = SizedFew

    def __getitem__(self, index):
        if index >= self.n:
            raise IndexError(f"there are {self.n}")
        return self.sampler[index]


class SizedFew(Few):
    def __len__(self):
        return self.n


def test_samplers_with_few_tasks(tmp_path):
    with pytest.raises(
        UsageError, match="5 updates of 4 tasks need 20 tasks of few 19, of which a draw has 19. Take fewer"
    ):
        measured(tmp_path / "short", modes=[Few(19, sized=True)])
    with pytest.raises(DataError, match=r"The last draw takes its tasks 1,048,576 to 1,048,595; if there are fewer"):
        measured(tmp_path / "unsized", modes=[Few(50, sized=False)])
    assert not (tmp_path / "short").exists()
    assert not (tmp_path / "unsized").exists()
    run = measured(tmp_path / "run", modes=[Few(20, sized=True)])
    assert run.pairs()["loss_ratio"].notna().all()
    assert run.pairs().groupby("source")["loss_after"].first().nunique() == 2


@pytest.mark.parametrize("updates", [0, -1, (3, 3), (), 1.5, True, (1, 0)])
def test_numbers_of_updates_that_cannot_be(updates):
    with pytest.raises(UsageError, match="give different whole numbers, 1 or above"):
        tr.ModeLookahead(updates)


def test_what_checkpoints_do_not_tell_is_asked_for(tmp_path):
    bare = dataclasses.replace(line_checkpoint(), optimizer=None)
    with pytest.raises(UsageError, match="holds no optimizer state to take updates with. Give one that begins afresh"):
        measured(tmp_path / "run", bare)
    with pytest.raises(UsageError, match="do not tell meta_batch of their training, .*; give --meta-batch N"):
        measured(tmp_path / "run", line_checkpoint())
    two = [line_checkpoint(step=k, meta_batch=k) for k in (2, 3)]
    with pytest.raises(UsageError, match="tell 2 and 3 as meta_batch"):
        measured(tmp_path / "run", two)
    unusable = dataclasses.replace(
        line_checkpoint(**TOLD), optimizer=tr.OptimizerState("sgd", 0.1, unusable="it was lost")
    )
    with pytest.raises(CheckpointError, match="No step of the checkpoint's own can be taken: it was lost"):
        measured(tmp_path / "run", unusable)
    afresh = tr.ModeLookahead(2, meta_batch=2, optimizer=tr.OptimizerState("sgd", 0.01))
    with pytest.raises(UsageError, match="is no source mode; they are sinusoid:train, linear:train"):
        measured(tmp_path / "run", bare, lookahead=afresh, combine={"x": tr.Together(("tanh", "linear"))})
    assert not (tmp_path / "run").exists()
    assert measured(tmp_path / "run", bare, lookahead=afresh).spec.lookahead["clip_norm"] == 0


def test_modes_that_take_turns_are_no_source_of_one_step(tmp_path):
    with pytest.raises(UsageError, match="Give --lookahead-updates K"):
        measured(tmp_path / "run", lookahead=tr.SGD(0.1), combine={"both": tr.Together(MODES[:2])})


def test_a_lookahead_of_updates_is_none_of_a_task():
    source = tr.Source(None, {}, {}, None, None)
    with pytest.raises(UsageError, match="steps on modes, and a single task was given"):
        tr.ModeLookahead(2, meta_batch=1, halve_every=0, clip_norm=0.0).displacements(source)


def test_optimizers_in_words():
    found = parse_optimizer("adamw, lr=0.001,betas=0.8/0.9,amsgrad=true")
    assert (found.kind, found.lr, found.settings) == ("adamw", 0.001, {"betas": (0.8, 0.9), "amsgrad": True})
    for text, told in (
        ("rmsprop,lr=1", "KIND one of sgd, adam, adamw"),
        ("adam", "has no rate"),
        ("adam,momentum=0.9,lr=1", "'momentum' of the optimizer .* is no setting of adam"),
        ("sgd,lr=1,lr=2", "given twice"),
        ("sgd,lr=x", "lr of the optimizer .* must be a finite number"),
        ("sgd,lr=nan", "must be a finite number"),
        ("adam,lr=1,betas=0.9", "must be two numbers"),
        ("adam,lr=1,betas=0.9/1", "must be two numbers"),
        ("sgd,lr=1,nesterov=yes", "must be a switch"),
    ):
        with pytest.raises(UsageError, match=told):
            parse_optimizer(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    training = Training(
        "regression-maml", {}, modes=("linear",), meta_batch=3, lr=0.01, shots=3, queries=3, clip_norm=1.5
    )
    return train(RegressionMAML(), training, [functions("linear")], out=folder, iterations=2, save_every=2)[0]


def compute(path, out, *words):
    source = ("--source", "linear:train", "--source", "sinusoid:train", "--target", "tanh:test")
    return call("compute", path, *source, "--n-target", 3, "--controls", 0, *words, "--out", out)


def test_updates_from_the_command_line(trained, tmp_path):
    words = ("--lookahead-updates", "2,4", "--combine", "linear+sinusoid", "--combine", "mean", "--meta-batch", 4)
    result = compute(trained, tmp_path / "run", *words)
    assert result.exit_code == 0, result.output
    assert (
        "2, 4 updates of 4 tasks by adam as the checkpoint left it, rate 0.01, not halved, gradients clipped"
        in result.stderr
    )
    run = tr.open_run(tmp_path / "run")
    assert run.spec.updates == (2, 4)
    assert list(dict.fromkeys(run.modes("source"))) == ["linear", "sinusoid", "linear+sinusoid", "mean"]
    assert run.spec.n_source == 4 * 5, "five draws"
    again = compute(trained, tmp_path / "run", *words, "--dry-run")
    assert "0 to do" in again.stdout
    assert json.loads((tmp_path / "run" / "run.json").read_text())["spec"]["lookahead"]["updates"] == [2, 4]


def test_pages_and_figures_tell_draws_and_updates(trained, tmp_path):
    words = ("--lookahead-updates", "2,4", "--combine", "linear+sinusoid", "--n-source", 2)
    assert compute(trained, tmp_path / "run", *words).exit_code == 0
    for kind in ("histogram", "types", "matrix", "blocks", "rows"):
        result = call("plot", tmp_path / "run", "--kind", kind, "--alpha", 4, "-o", tmp_path / f"{kind}.png")
        assert result.exit_code == 0, result.output
    for page in ("report", "explore"):
        result = call(page, tmp_path / "run", "-o", tmp_path / f"{page}.html")
        assert result.exit_code == 0, result.output
        text = " ".join((tmp_path / f"{page}.html").read_text().split())
        assert "2 and 4 updates of 3 tasks were taken, as in training, on each of 4 draws" in text
        assert "is not what it was" not in text
    text = (tmp_path / "report.html").read_text()
    assert "K = 4 updates" in text
    assert ", draw 1" in text
    assert "alpha is the number of updates" in call("summary", tmp_path / "run").stdout


def test_a_spec_whose_updates_are_not_its_step_sizes_is_refused(tmp_path):
    plain = measured(tmp_path / "run", dry_run=True).spec.to_json()
    plain["lookahead"]["updates"] = [1, 3]
    with pytest.raises(ValueError, match=r"lookahead\.alpha"):
        tr.RunSpec.from_json(plain)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lookahead-updates", "0"], "give different whole numbers, 1 or above"),
        (["--lookahead-updates", "1.5"], "give whole numbers, 1 or above"),
        (["--lookahead-updates", "2,x"], "give whole numbers, 1 or above"),
        (["--lookahead-updates", "2,2"], "give different whole numbers"),
        (["--lookahead-updates", ""], "give whole numbers"),
        (["--lookahead-updates", "2", "--alpha", "0.1"], "--alpha was given with --lookahead-updates"),
        (["--lookahead-updates", "2", "--lookahead", "adam"], "--lookahead adam was given with --lookahead-updates"),
        (["--meta-batch", "2", "--alpha", "0.1"], "--meta-batch was given without --lookahead-updates"),
        (["--outer-optimizer", "adam,lr=1", "--alpha", "0.1"], "--outer-optimizer was given without"),
        (["--lookahead-updates", "2", "--outer-optimizer", "adam"], "has no rate"),
        (["--lookahead-updates", "2", "--combine", "linear+abs"], "abs is no source mode"),
        (["--lookahead-updates", "2", "--combine", "mgdaa"], "Did you mean mgda?"),
        (["--lookahead-updates", "2", "--combine", "mgda"], "take --meta-batch 2"),
        (["--lookahead-updates", "2", "--estimator", "quadratic"], "Take --estimator exact"),
        (["--lookahead-updates", "400000"], "need 1,200,000 tasks of linear:train"),
        (["--combine", "linear+sinusoid", "--alpha", "0.1"], "There is no combination 'linear+sinusoid'"),
        (["--lookahead-updates", "2", "--clip-norm", "-1"], "clip_norm = -1.0 was asked for"),
    ],
)  # fmt: skip
def test_updates_that_cannot_be_are_told_in_one_line(trained, tmp_path, words, said):
    result = compute(trained, tmp_path / "run", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr.splitlines()[-1]
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("amount", "told"), [(STEP_SIZES, "step size α = 10"), (NUMBERS, "K = 10 updates")])
def test_figures_say_what_their_alpha_is(amount, told):
    rows = pd.DataFrame({"checkpoint_step": [5], "alpha": [10.0]})
    assert title_of(rows, amount) == f"checkpoint 5, {told}"


def test_the_pages_of_a_run_of_modes_say_updates_and_no_step_size(tmp_path):
    run = measured(tmp_path / "run", lookahead=tr.ModeLookahead((1, 3)), controls=0)
    for page in (report_page([run], ReportOptions()), explore_page(run, ExploreOptions())):
        text = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
        shown = unquote(text)
        assert "α" not in shown
        assert "step size" not in shown.lower()
        assert "number of updates K" in shown.replace("Number", "number")
    assert '"told":["K = 1 update","K = 3 updates"]' in page.replace('", "', '","').replace('": [', '":[')
