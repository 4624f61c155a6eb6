import json

import numpy as np
import pandas as pd
import pytest
import torch

import transference as tr
from meta_models import MAML, ProtoNet
from tests.strangers import Impure, Net, PixelPrototypes, one_step_loss
from transference import _trees
from transference.devices import choose_device, full_precision
from transference.errors import LearnerError, SpecMismatchError, StoreError, UsageError
from transference.measurement import default_tile


def run_here(out, learner, checkpoints, sources, targets, **changes):
    settings = {"n_source": 6, "n_target": 4, "lookahead": tr.SGD((1e-3, 1e-2)), "device": "cpu", **changes}
    return tr.measure(learner, checkpoints, sources, targets, out=out, **settings)


@pytest.mark.parametrize(
    "learner", [ProtoNet(), MAML(ways=3, inner_steps=2), PixelPrototypes()], ids=["protonet", "maml", "stranger"]
)
@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_zero_step_gives_exactly_one(tmp_path, learner, sources, targets, precision):
    checkpoint = tr.Checkpoint(learner.init_params(0), 1)
    run = run_here(
        tmp_path / "run", learner, checkpoint, sources, targets, lookahead=tr.SGD(0.0), n_source=2, precision=precision
    )
    assert (run.matrix() == 1.0).all()
    assert (run.self_transference()["loss_ratio"] == 1.0).all()


@pytest.mark.parametrize("tile", [(1, 1), (4, 3), (5, 2), (100, 100)])
def test_any_tiling_gives_the_same_table(tmp_path, learner, checkpoint, sources, targets, tile):
    whole = run_here(tmp_path / "whole", learner, checkpoint, sources, targets, tile=(6, 4))
    tiled = run_here(tmp_path / "tiled", learner, checkpoint, sources, targets, tile=tile)
    pd.testing.assert_frame_equal(tiled.pairs(), whole.pairs(), check_exact=True)
    pd.testing.assert_frame_equal(tiled.sources(), whole.sources(), check_exact=True)
    assert tiled.spec.digest != whole.spec.digest or tile == (6, 4)


@pytest.mark.slow
@pytest.mark.parametrize("tile", [(1, 1), (4, 3), (3, 4)])
def test_any_tiling_gives_the_same_estimates(tmp_path, learner, checkpoint, sources, targets, tile):
    settings = {"estimator": tr.FirstOrder(checked=4, engine="loop"), "n_source": 35, "n_target": 18}
    whole = run_here(tmp_path / "whole", learner, checkpoint, sources, targets, tile=(35, 18), **settings)
    tiled = run_here(tmp_path / "tiled", learner, checkpoint, sources, targets, tile=tile, **settings)
    pd.testing.assert_frame_equal(tiled.pairs(), whole.pairs(), check_exact=True)


def test_order_of_modes_does_not_matter(tmp_path, learner, checkpoint, sources, targets):
    there = run_here(tmp_path / "there", learner, checkpoint, [sources, targets], [sources, targets])
    back = run_here(tmp_path / "back", learner, checkpoint, [targets, sources], [targets, sources])
    for alpha in there.alphas:
        matrix = np.block(
            [[m for m in np.hsplit(rows, 2)][::-1] for rows in np.vsplit(there.matrix(alpha=alpha), 2)][::-1]
        )
        np.testing.assert_array_equal(back.matrix(alpha=alpha), matrix)


def test_the_table_says_what_was_measured(tmp_path, learner, sources, targets):
    checkpoints = [tr.Checkpoint(learner.init_params(k), step) for k, step in ((1, 200), (0, 100))]
    run = run_here(tmp_path / "run", learner, checkpoints, [sources], [targets])
    frame = run.pairs()
    assert len(frame) == 2 * 2 * 6 * 4 == run.spec.n_cells
    assert frame["checkpoint_step"].unique().tolist() == [100, 200]
    assert (frame["source_mode"] == "strokes").all()
    assert (frame["target_mode"] == "shapes").all()
    assert (frame["status"] == "ok").all()
    np.testing.assert_array_equal(frame["loss_ratio"], frame["loss_after"] / frame["loss_before"])
    assert frame.groupby(["checkpoint_step", "target"])["loss_before"].nunique().max() == 1
    tasks = run.tasks()
    record = targets.describe(3)
    row = tasks[(tasks["role"] == "target") & (tasks["id"] == 3)].iloc[0]
    assert (row["mode"], row["ways"], tuple(row["support_ids"])) == ("shapes", 3, record.support_ids)


def test_the_folder_opens_with_pandas_alone(tmp_path, learner, checkpoint, sources, targets):
    run = run_here(tmp_path / "run", learner, checkpoint, sources, targets, tile=(2, 2))
    frame = pd.read_parquet(tmp_path / "run" / "pairs")
    assert len(frame) == run.spec.n_cells
    assert set(frame["checkpoint_step"]) == {10}
    chosen = frame[(frame["source"] == 5) & (frame["target"] == 2) & (frame["alpha"] == 1e-2)]
    assert chosen["loss_ratio"].item() == run.matrix(alpha=1e-2)[5, 2]


def test_source_table_holds_the_norms(tmp_path, learner, checkpoint, sources, targets):
    frame = run_here(tmp_path / "run", learner, checkpoint, sources, targets).sources()
    np.testing.assert_allclose(frame["displacement_norm"], frame["alpha"] * frame["gradient_norm"], rtol=1e-6)
    leaves = {name: value.clone().requires_grad_() for name, value in checkpoint.params.items()}
    gradients = torch.autograd.grad(learner.episode_loss(leaves, sources[3]), list(leaves.values()))
    expected = torch.cat([g.flatten() for g in gradients]).norm().item()
    assert frame.loc[frame["source"] == 3, "gradient_norm"].iloc[0] == pytest.approx(expected, rel=1e-6)


def test_only_the_named_parameters_move(tmp_path, learner, checkpoint, sources, targets):
    everything = run_here(tmp_path / "all", learner, checkpoint, sources, targets)
    bias = run_here(
        tmp_path / "bias", learner, checkpoint, sources, targets, lookahead=tr.SGD((1e-3, 1e-2), moves=("*.bias",))
    )
    assert bias.spec.lookahead["moves"] == ["*.bias"]
    assert not np.array_equal(bias.matrix(alpha=1e-2), everything.matrix(alpha=1e-2))
    norms = [run.sources()["gradient_norm"] for run in (bias, everything)]
    assert (norms[0] < norms[1]).all()


def test_adam_is_measured_with_the_checkpoints_moments(tmp_path, learner, sources, targets):
    params = learner.init_params(0)
    full = lambda value: {name: torch.full_like(p, value) for name, p in params.items()}
    adam = tr.OptimizerState.adam(lr=0.004, steps=dict.fromkeys(params, 9), exp_avg=full(0.0), exp_avg_sq=full(1e6))
    run = run_here(
        tmp_path / "run", learner, tr.Checkpoint(params, 1, optimizer=adam), sources, targets, lookahead=tr.Adam()
    )
    assert run.alphas == (0.004,)
    # with so large a second moment the step is tiny; from fresh moments it would be α per parameter
    assert np.abs(run.matrix() - 1).max() < 1e-4


class Explosive(PixelPrototypes):
    """Fails on the targets in a way that the losses show."""

    def episode_loss(self, params, episode):
        loss = super().episode_loss(params, episode)
        if episode.query_x.mean() > 0.6:  # the pale shapes, not the dark strokes
            moved = bool((params["map.bias"].detach() != 0).any())
            factors = {
                "zero": (0.0, 0.0),
                "infinite": (1.0, float("inf")),
                "zero after": (1.0, 0.0),
                "negative": (1.0, -1.0),
            }
            return loss * factors[self.how][moved]
        return loss

    how = "zero"


@pytest.mark.parametrize(
    ("how", "status"),
    [("zero", "zero_loss"), ("zero after", "zero_loss"), ("infinite", "non_finite"), ("negative", "non_finite")],
)
def test_a_bad_loss_becomes_a_status(tmp_path, sources, targets, how, status):
    learner = Explosive()
    learner.how = how
    checkpoint = tr.Checkpoint(learner.init_params(0), 1)
    frame = run_here(tmp_path / "run", learner, checkpoint, sources, [targets, sources]).pairs()
    shapes = frame[frame["target_mode"] == "shapes"]
    assert (shapes["status"] == status).all()
    assert shapes["loss_ratio"].isna().all()
    assert shapes["loss_before"].notna().all()
    assert (frame.loc[frame["target_mode"] == "strokes", "status"] == "ok").all(), (
        "the others are measured all the same"
    )


def test_running_out_of_memory_becomes_a_status(tmp_path, learner, checkpoint, sources, targets, monkeypatch):
    asked, add = {}, _trees.add

    def greedy(params, displacement):
        if asked.setdefault(float(_trees.norm(displacement)), len(asked)) == 8:
            raise torch.OutOfMemoryError("no more")
        return add(params, displacement)

    monkeypatch.setattr("transference.estimators.exact._trees.add", greedy)
    frame = run_here(tmp_path / "run", learner, checkpoint, sources, targets).pairs()
    failed = frame[frame["status"] == "out_of_memory"]
    assert len(failed) == 4
    assert failed["loss_before"].notna().all()
    assert failed["loss_after"].isna().all()


def test_running_out_of_memory_on_a_gradient_becomes_a_status(tmp_path, checkpoint, sources, targets):
    class Heavy(PixelPrototypes):
        def episode_loss(self, params, episode):
            if params["map.weight"].requires_grad and torch.equal(episode.query_x, sources[3].query_x):
                raise torch.OutOfMemoryError("no more")
            return super().episode_loss(params, episode)

    run = run_here(tmp_path / "run", Heavy(), checkpoint, sources, targets)
    failed = run.pairs()["status"] == "out_of_memory"
    assert run.pairs().loc[failed, "source"].unique().tolist() == [3]
    assert failed.sum() == 2 * 4
    assert run.sources().set_index("source").loc[3, "loss"].isna().all()


def test_resuming_recomputes_nothing_that_was_published(tmp_path, learner, checkpoint, sources, targets):
    out = tmp_path / "run"
    run_here(out, learner, checkpoint, sources, targets, tile=(2, 2))
    tiles = sorted((out / "pairs").rglob("*.parquet"))
    contents = {tile: tile.read_bytes() for tile in tiles}
    for tile in tiles[::2]:
        tile.unlink()
    kept = {tile: tile.stat().st_mtime_ns for tile in tiles[1::2]}
    run_here(out, learner, checkpoint, sources, targets, tile=(2, 2))
    assert {tile: tile.read_bytes() for tile in tiles} == contents
    assert {tile: tile.stat().st_mtime_ns for tile in kept} == kept


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"n_source": 7}, r"sources\[0\].n: 6 → 7"),
        ({"lookahead": tr.SGD(0.5)}, r"lookahead.alpha\[0\]: 0.001 → 0.5\n  lookahead.alpha\[1\]: 0.01 → none"),
        ({"precision": "fp64"}, "precision: fp32 → fp64"),
        ({"tile": (1, 1)}, r"tile\[0\]: 25 → 1"),
    ],
)
def test_a_changed_spec_is_refused_and_loses_nothing(tmp_path, learner, checkpoint, sources, targets, change, line):
    out = tmp_path / "run"
    before = run_here(out, learner, checkpoint, sources, targets).pairs()
    with pytest.raises(SpecMismatchError, match=line):
        run_here(out, learner, checkpoint, sources, targets, **change)
    pd.testing.assert_frame_equal(tr.open_run(out).pairs(), before)


def test_another_checkpoint_or_other_images_are_another_spec(tmp_path, learner, checkpoint, sources, targets, strokes):
    out = tmp_path / "run"
    run_here(out, learner, checkpoint, sources, targets)
    with pytest.raises(SpecMismatchError, match=r"checkpoints\[0\].digest"):
        run_here(out, learner, tr.Checkpoint(learner.init_params(1), 10), sources, targets)
    from dataclasses import replace

    other = tr.FewShot(replace(strokes, digest="other"), ways=3, shots=1, queries=2, seed=0)
    with pytest.raises(SpecMismatchError, match=r"sources\[0\].digest"):
        run_here(out, learner, checkpoint, other, targets)


class Edited(PixelPrototypes):
    """The same class and settings, but someone changes its code between two runs."""

    temperature = 1.0

    def episode_loss(self, params, episode):
        return super().episode_loss(params, episode) * self.temperature


def test_code_edited_between_two_runs_is_noticed(tmp_path, checkpoint, sources, targets, monkeypatch):
    run_here(tmp_path / "run", Edited(), checkpoint, sources, targets)
    run_here(tmp_path / "run", Edited(), checkpoint, sources, targets)
    monkeypatch.setattr(Edited, "temperature", 1.01)
    with pytest.raises(SpecMismatchError, match="on the first source at step 10 was .*Has its code changed"):
        run_here(tmp_path / "run", Edited(), checkpoint, sources, targets)


def test_a_gradient_edited_between_two_runs_is_noticed(tmp_path, learner, checkpoint, sources, targets, monkeypatch):
    run_here(tmp_path / "run", learner, checkpoint, sources, targets)
    loss = PixelPrototypes.episode_loss
    halved = lambda self, params, episode: loss(self, {k: (v + v.detach()) / 2 for k, v in params.items()}, episode)
    monkeypatch.setattr(PixelPrototypes, "episode_loss", halved)
    with pytest.raises(SpecMismatchError, match="whose gradient norm on the first source"):
        run_here(tmp_path / "run", learner, checkpoint, sources, targets)


def test_a_run_goes_on_with_the_threads_it_was_begun_with(tmp_path, learner, checkpoint, sources, targets):
    seen = []

    class Watching(PixelPrototypes):
        def episode_loss(self, params, episode):
            seen.append(torch.get_num_threads())
            return super().episode_loss(params, episode)

    run_here(tmp_path / "run", Watching(), checkpoint, sources, targets)
    try:
        torch.set_num_threads(2)
        seen.clear()
        run_here(tmp_path / "run", Watching(), checkpoint, sources, targets)
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_samplers_of_one_mode_are_told_apart(tmp_path, learner, checkpoint, strokes, targets):
    two = [tr.FewShot(strokes, ways=ways, shots=1, queries=2) for ways in (2, 3)]
    frame = run_here(tmp_path / "run", learner, checkpoint, two, targets).pairs()
    assert set(frame["source_mode"]) == {sampler.name for sampler in two}


def test_nothing_that_moves_is_told(tmp_path, sources, targets):
    class Partial:
        def episode_loss(self, params, episode):
            return params["used"].square().sum()

    checkpoint = tr.Checkpoint({"used": torch.ones(2), "idle": torch.ones(2)}, 1)
    with pytest.raises(LearnerError, match=r"depends on none of the parameters that move \(idle\)"):
        run_here(tmp_path / "run", Partial(), checkpoint, sources, targets, lookahead=tr.SGD(0.1, moves=("idle",)))


def test_targets_too_large_for_the_memory_are_told(tmp_path, learner, checkpoint, sources, targets):
    class Huge(tr.Exact):
        def prepare(self, learner, params, targets):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    with pytest.raises(UsageError, match="ran out of memory on 4 targets before any step. Take fewer"):
        run_here(tmp_path / "run", learner, checkpoint, sources, targets, estimator=Huge())
    with pytest.raises(UsageError, match="ran out of memory on 2 targets"):
        # a smaller tile asks for less from the first
        run_here(tmp_path / "fewer", learner, checkpoint, sources, targets, estimator=Huge(), tile=(6, 2))


def test_two_losses_on_one_module_are_two_specs(tmp_path, sources, targets):
    import torch.nn.functional as F

    def mean_loss(module, episode):
        return F.cross_entropy(module(episode.query_x), episode.query_y)

    net = Net()
    checkpoint = tr.Checkpoint(net.state_dict(), 1)
    run_here(tmp_path / "run", tr.ModuleLearner(net, one_step_loss), checkpoint, sources, targets)
    with pytest.raises(SpecMismatchError, match="learner.loss: .*one_step_loss.* → .*mean_loss"):
        run_here(tmp_path / "run", tr.ModuleLearner(net, mean_loss), checkpoint, sources, targets)


def test_a_folder_with_something_else_is_left_alone(tmp_path, learner, checkpoint, sources, targets):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="is no run folder; choose a new --out"):
        run_here(tmp_path, learner, checkpoint, sources, targets)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_source": 0}, "0 sources"),
        ({"precision": "bf16"}, "'bf16' was asked for; it must be one of fp32, fp64"),
        ({"lookahead": tr.SGD()}, "No step size was given"),
        ({"lookahead": tr.SGD(0.1, moves=("nothing",))}, "No parameter is called 'nothing'"),
        ({"device": "cuda:99"}, "'cuda:99' was asked for; this machine has cpu and"),
        ({"device": "tpu"}, "use auto, cpu, cuda or cuda:N"),
    ],
)
def test_impossible_questions_are_refused_before_anything_is_written(
    tmp_path, learner, checkpoint, sources, targets, change, message
):
    with pytest.raises(UsageError, match=message):
        run_here(tmp_path / "run", learner, checkpoint, sources, targets, **change)
    assert not (tmp_path / "run").exists()


def test_things_given_twice_are_refused(tmp_path, learner, checkpoint, sources, targets):
    with pytest.raises(UsageError, match="The source strokes:val/3-way/1-shot/2-query/seed-0 is given twice"):
        run_here(tmp_path / "run", learner, checkpoint, [sources, sources], targets)
    with pytest.raises(UsageError, match="checkpoint step 10 is given twice"):
        run_here(tmp_path / "run", learner, [checkpoint, checkpoint], sources, targets)


def test_an_impure_learner_is_refused_before_anything_is_written(tmp_path, sources, targets):
    with pytest.raises(LearnerError, match="disagree"):
        run_here(tmp_path / "run", Impure("hidden"), tr.Checkpoint({"w": torch.ones(2)}, 1), sources, targets)
    assert not (tmp_path / "run").exists()


def test_run_json_says_how_it_was_made(tmp_path, learner, checkpoint, sources, targets):
    run_here(tmp_path / "run", learner, checkpoint, sources, targets, command=["transference", "compute"])
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["command"] == ["transference", "compute"]
    assert about["spec"]["sources"] == [{"sampler": sources.name, "n": 6, "digest": sources.digest}]
    assert (
        about["versions"]["torch"] == torch.__version__.split("+")[0] or about["versions"]["torch"] == torch.__version__
    )
    assert about["checkpoints"][0]["unsafe_load"] is False
    assert about["device"] == "cpu"


def test_any_sampler_will_do(tmp_path, learner, checkpoint, targets):
    class Noise:
        name = "noise"

        def __getitem__(self, index):
            from tests.conftest import random_episode

            return random_episode(seed=index)

    run = run_here(tmp_path / "run", learner, checkpoint, Noise(), targets)
    assert run.pairs()["source_mode"].unique().tolist() == ["noise"]
    assert run.tasks().loc[0, "class_names"] is None


def test_precision_flags_are_restored():
    assert choose_device("cpu").type == "cpu"
    before = torch.backends.cudnn.conv.fp32_precision
    with full_precision():
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == before


def files_of(tile, n_source, n_target):
    return -(-n_source // tile[0]) * -(-n_target // tile[1])


@pytest.mark.parametrize(("size", "files"), [(300, 60), (3000, 517), (10_000, 628), (100_000, 39_075)])
def test_a_large_table_is_not_cut_into_more_files_than_its_work_asks_for(size, files):
    assert files_of(default_tile(tr.Exact(), size, size), size, size) == files


@pytest.mark.parametrize("n_alphas", [1, 3, 10, 100])
@pytest.mark.parametrize("shape", [(25, 5), (300, 20), (3000, 3000), (10**6, 10**4), (10**4, 10**6), (10**5, 10**5)])
@pytest.mark.parametrize(
    "estimator", [tr.Exact(), tr.FirstOrder(), tr.Quadratic()], ids=["exact", "first-order", "quadratic"]
)
def test_no_file_holds_more_than_minutes_of_work_or_tens_of_megabytes(estimator, shape, n_alphas):
    sources, targets = default_tile(estimator, *shape, n_alphas)
    assert sources * targets * n_alphas <= (
        2**20 if isinstance(estimator, tr.FirstOrder) else max(2**18, 25 * 64 * n_alphas)
    )
    assert files_of((sources, targets), *shape) <= 100_000 * n_alphas


def test_a_run_goes_on_with_the_tiles_it_was_begun_with(tmp_path, learner, checkpoint, sources, targets, monkeypatch):
    """The default of another version is no other question; a tile that is asked for is."""
    begun = run_here(tmp_path / "run", learner, checkpoint, sources, targets)
    monkeypatch.setattr("transference.measurement._question.default_tile", lambda *_, **__: (2, 3))
    again = run_here(tmp_path / "run", learner, checkpoint, sources, targets)
    assert again.spec == begun.spec
    fresh = run_here(tmp_path / "fresh", learner, checkpoint, sources, targets)
    assert fresh.spec.tile == (2, 3)
    assert fresh.pairs().equals(begun.pairs())
    with pytest.raises(SpecMismatchError, match="tile"):
        run_here(tmp_path / "run", learner, checkpoint, sources, targets, tile=(2, 3))
