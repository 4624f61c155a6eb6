"""θ is what an outer optimizer would move: no buffers, nothing frozen, one entry for a shared tensor."""

import copy
import json

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import nn
from torch.nn.utils import prune

import transference as tr
from meta_models.training import Training, train
from tests.conftest import random_episode
from tests.strangers import PixelPrototypes
from transference.cli import main
from transference.errors import LearnerError, SpecMismatchError, UsageError
from transference.learners import bind, theta

FP64 = torch.float64
SMALL = {"n_source": 2, "n_target": 2, "precision": "fp64", "device": "cpu", "tile": (2, 2)}


def prototypes(embed, episode):
    support, query = embed(episode.support_x).flatten(1), embed(episode.query_x).flatten(1)
    ways = int(episode.support_y.max()) + 1
    centres = torch.stack([support[episode.support_y == k].mean(0) for k in range(ways)])
    return F.cross_entropy(-(query[:, None] - centres).square().sum(-1), episode.query_y)


class Normed:
    """A plain learner that reads statistics as batch norm does, with a gradient to them."""

    def episode_loss(self, params, episode):
        wide = lambda name: params[f"bn.{name}"][:, None, None]
        hidden = lambda x: F.conv2d(x, params["conv.weight"], stride=4)
        normed = lambda x: (
            (hidden(x) - wide("running_mean")) / torch.sqrt(wide("running_var") + 1e-5) * wide("weight") + wide("bias")
        )
        return prototypes(lambda x: torch.tanh(normed(x)), episode)


class Constant(Normed):
    """The same by torch's own function, which refuses statistics that want a gradient."""

    def episode_loss(self, params, episode):
        statistics = params["bn.running_mean"], params["bn.running_var"]
        hidden = lambda x: F.conv2d(x, params["conv.weight"], stride=4)
        return prototypes(
            lambda x: torch.tanh(
                F.batch_norm(hidden(x), *statistics, params["bn.weight"], params["bn.bias"], training=False)
            ),
            episode,
        )


def normed_state():
    draw = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 5, 5, generator=draw) * 0.3,
        "bn.weight": torch.ones(4),
        "bn.bias": torch.zeros(4),
        "bn.running_mean": torch.randn(4, generator=draw) * 0.1,
        "bn.running_var": torch.rand(4, generator=draw) + 0.5,
        "bn.num_batches_tracked": torch.tensor(9),
    }


class Twice:
    """A plain learner that reads one weight under two names."""

    def episode_loss(self, params, episode):
        hidden = lambda x: torch.tanh(F.conv2d(x, params["a.weight"], padding=1))
        return prototypes(lambda x: F.conv2d(hidden(x), params["b.weight"], stride=4), episode)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.Conv2d(3, 3, 3, stride=4, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


class Backboned(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.head = nn.Conv2d(3, 4, 5, stride=4), nn.Conv2d(4, 4, 3)
        self.backbone.requires_grad_(requires_grad=False)

    def forward(self, x):
        return self.head(torch.tanh(self.backbone(x)))


def adapted_loss(module, episode):
    """An inner step on whatever requires a gradient, as one would write it for a module with a frozen part."""
    free = {name: p for name, p in module.named_parameters() if p.requires_grad}
    loss = prototypes(module, episode)
    gradients = torch.autograd.grad(loss, list(free.values()), create_graph=True)
    moved = {name: p - 0.1 * g for (name, p), g in zip(free.items(), gradients, strict=True)}
    return prototypes(lambda x: torch.func.functional_call(module, moved, (x,)), episode)


def shared_state(seed=0):
    weight = torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(seed)) * 0.3
    return {"a.weight": weight, "b.weight": weight}


def oracle(loss, state, free, sources, targets, alpha, tied=()):
    """``LR[i][j]`` in float64 when the tensors in ``free`` move, those in ``tied`` being the first of them."""
    state = {name: value.double() if value.is_floating_point() else value for name, value in state.items()}
    whole = lambda own: {**state, **own, **dict.fromkeys(tied if own else (), own.get(free[0]))}
    found = torch.empty(2, 2, dtype=FP64)
    for i in range(2):
        leaves = {name: state[name].clone().requires_grad_() for name in free}
        gradients = torch.autograd.grad(loss(whole(leaves), sources[i].map(wide)), list(leaves.values()))
        moved = {name: (p - alpha * g).detach() for (name, p), g in zip(leaves.items(), gradients, strict=True)}
        for j in range(2):
            before, after = loss(whole({}), targets[j].map(wide)), loss(whole(moved), targets[j].map(wide))
            found[i, j] = float(after.detach()) / float(before.detach())
    return found.numpy()


def wide(tensor):
    return tensor.double() if tensor.is_floating_point() else tensor


def run_here(out, learner, checkpoint, sources, targets, **settings):
    return tr.measure(
        learner, checkpoint, sources, targets, out=out, **{"lookahead": tr.SGD(0.1), "controls": 0, **SMALL, **settings}
    )


def whole_moves(learner, params, moves=("*",), **checkpoint):
    found = theta(learner, tr.Checkpoint(params, 1, **checkpoint), moves)
    return set(found.params)


# Buffers


@pytest.mark.slow
@pytest.mark.parametrize("learner", [Normed(), Constant()], ids=["formula", "function"])
def test_running_statistics_of_a_plain_state_dict_do_not_move(tmp_path, learner, sources, targets):
    state = normed_state()
    run = run_here(tmp_path / "run", learner, tr.Checkpoint(state, 1), sources, targets, controls=2)
    free = ["conv.weight", "bn.weight", "bn.bias"]
    expected = oracle(Normed().episode_loss, state, free, sources, targets, 0.1)
    np.testing.assert_allclose(run.matrix(), expected, rtol=1e-12)
    moved = oracle(Normed().episode_loss, state, [*free, "bn.running_mean", "bn.running_var"], sources, targets, 0.1)
    assert np.abs(moved - expected).max() > 1e-4, "it would make a difference"


def test_every_part_of_a_run_sees_the_same_theta(tmp_path, sources, targets):
    """Slopes, first order, self-transference and the random direction."""
    state, alpha = normed_state(), 1e-6
    free = ("conv.weight", "bn.weight", "bn.bias")
    bare = {**state, **{name: state[name].clone() for name in free}}

    class Given(Normed):
        def episode_loss(self, params, episode):
            held = {name: value.to(params["bn.weight"].dtype) for name, value in bare.items() if name not in free}
            return super().episode_loss({**held, **params}, episode)

    how = {"lookahead": tr.SGD(alpha), "controls": 2}
    for estimator in (
        tr.Exact("loop"),
        tr.FirstOrder(checked=2, engine="loop"),
        tr.Calibrated(checked=2, engine="loop"),
    ):
        kind = type(estimator).__name__
        whole = run_here(
            tmp_path / kind, Normed(), tr.Checkpoint(state, 1), sources, targets, estimator=estimator, **how
        )
        parts = {name: state[name] for name in free}
        alone = run_here(
            tmp_path / f"{kind}-alone", Given(), tr.Checkpoint(parts, 1), sources, targets, estimator=estimator, **how
        )
        for table in ("pairs", "sources", "self_transference", "controls"):
            one, other = (getattr(run, table)().select_dtypes("number").to_numpy(float) for run in (whole, alone))
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14, err_msg=f"{kind}: {table}")


BUFFERS = {
    "bn.running_mean": torch.tensor([0.5, 0.1]),
    "layer1_bn_running_var": torch.tensor([0.5, 0.1]),
    "bn1.backup_running_mean": torch.rand(5, 4),
    "norm.moving_variance": torch.rand(3),
    "rope.inv_freq": torch.rand(4),
    "embed.position_ids": torch.arange(4.0),
    "attn.mask": torch.ones(3, 3).tril(),
    "attn.bias": torch.ones(1, 1, 3, 3).tril(),
    "attn.attn_mask": torch.tensor([0.0, -100.0]),
    "attn.masked_bias": torch.tensor(-1e4),
    "moco.queue": torch.rand(4, 4),
    "averaging.n_averaged": torch.tensor(3.0),
    "counter.step": torch.tensor(7.0),
    "pixel_mean": torch.rand(3),
    "encoder.pe": torch.stack([torch.tensor([0.0, 1.0, 0.0, 1.0]), torch.tensor([0.84, 0.54, 0.01, 0.99])]),
    "ema.w": torch.rand(3),
    "w_ema": torch.rand(3),
    "shadow.w": torch.rand(3),
    "teacher.w": torch.rand(3),
    "counts": torch.arange(3),
    "flags": torch.tensor([True, False]),
    "bn.running_mu": torch.rand(3),
    "bn.runningVar": torch.rand(3),
    "emaModel.w": torch.rand(3),
}
PARAMETERS = {
    "bn.weight": torch.rand(3) + 1,
    "running.weight": torch.rand(3, 2) + 1,
    "fc.weight_g": torch.rand(3, 1),
    "fc.weight_v": torch.rand(3, 4),
    "fc.parametrizations.weight.original0": torch.rand(3, 1),
    "vit.mask_token": torch.rand(1, 1, 4),
    "vit.pos_embed": torch.randn(1, 5, 4),
    "fc.bias": torch.rand(6),
    "step": torch.tensor(0.01),
    "inner.step_size": torch.tensor(1.5),
    "factor.weight_u": torch.rand(4, 2),
    "attn.query.weight": torch.rand(7, 2),
    "attn.key.weight": torch.rand(7, 2),
    "temperature": torch.tensor(3.0),
    "momentum": torch.tensor(0.9),
    "target.weight": torch.rand(5),
    "cell.weight_ih": torch.rand(4, 2),
    "block.layer_dict-conv0-conv-weight": torch.rand(4, 2),
    "mixer.A_log": torch.rand(4),
    "blocks.0.gamma_1": torch.rand(4),
    "norm.scale": torch.rand(4),
    "attn.relative_position_bias_table": torch.rand(4, 2),
    "visual.proj": torch.rand(4, 2),
    "sn.weight_bar": torch.rand(4, 2),
    "slope": torch.rand(2),
    "w1": torch.rand(2, 2),
    "prototypes": torch.rand(2, 2),
}
DOUBTFUL = """
    bn.mu bn.stat bn.m2 bn.Mean norm.inv_std norm.mean0 means x_mean stats.0.mean bn.r_max
    attn.tril causal masks mask_1 positions pos_ids grid coords rotary.freqs fc.u0 fc.sv0 fc.weight_u fc.weight_v blur.kernel
    conv.weight_prev conv.weight_copy w_init best_w fc__weight_EWC_estimated_fisher net.vars.0 criterion.weight class_weights
"""
PAIRS = [
    ("bn.mu", "bn.var"), ("bn.Mean", "bn.Var"), ("bn.m", "bn.v"), ("rm", "rv"), ("mean0", "var0"), ("norm.mean", "norm.scale"),
    ("x_mu", "x_sigma"), ("norm.mean", "norm.rstd"), ("MEAN", "STD"),
]  # fmt: skip
"""Names of a mean and its spread, though each alone may be a parameter's."""


class Anything:
    def episode_loss(self, params, episode):
        return sum(value.square().sum() for value in params.values() if value.is_floating_point())


@pytest.mark.parametrize("name", BUFFERS)
def test_what_is_evidently_a_buffer_is_constant(name):
    found = theta(Anything(), tr.Checkpoint({"w": torch.rand(3), name: BUFFERS[name]}, 1), ("*",))
    assert set(found.params) == {"w"}
    assert set(found.constants) == {name}
    assert found.constants[name] in found.told(["w"])


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_only_resembles_a_buffer_moves(name):
    assert whole_moves(Anything(), {"w": torch.rand(3), name: PARAMETERS[name]}) == {"w", name}


@pytest.mark.parametrize(
    "suffixes",
    [("weight_orig", "weight_u", "weight_v"), ("w.original", "w.0._u", "w.0._v"), ("weight_orig", "weight_mask")],
)
def test_vectors_of_spectral_norm_and_masks_of_pruning_are_constants(suffixes):
    parameter, *others = suffixes
    assert whole_moves(Anything(), {parameter: torch.rand(4, 3), **dict.fromkeys(others, torch.rand(4))}) == {parameter}


def test_torchs_own_modules_keep_their_own_parameters():
    """What torch says of real modules is what is told from their state_dict alone."""
    modules = [
        nn.utils.spectral_norm(nn.Linear(4, 3)),
        nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)),
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)),
        prune.random_unstructured(nn.Linear(4, 3), "weight", 0.5),
        nn.Sequential(
            nn.BatchNorm2d(3), nn.InstanceNorm1d(4, affine=True, track_running_stats=True), nn.LSTM(2, 3), nn.PReLU()
        ),
        nn.TransformerEncoderLayer(8, 2),
    ]
    for module in modules:
        state = {name: value.clone() for name, value in module.state_dict().items()}
        assert whole_moves(Anything(), state) == {name for name, _ in module.named_parameters()}, module


def test_an_averaged_model_alone_is_theta_and_beside_its_original_a_copy():
    net = nn.Linear(3, 2)
    averaged = torch.optim.swa_utils.AveragedModel(net)
    state = {name: value.clone() for name, value in averaged.state_dict().items()}
    assert whole_moves(Anything(), state) == {"module.weight", "module.bias"}
    assert whole_moves(Anything(), {f"ema.{name}": torch.rand(2) for name in "ab"}) == {"ema.a", "ema.b"}
    beside = {**net.state_dict(), **{f"ema_model.{name}": value + 1 for name, value in net.state_dict().items()}}
    assert whole_moves(Anything(), beside) == {"weight", "bias"}
    moco = {f"encoder_{which}.conv.weight": torch.rand(3) for which in "qk"}
    assert whole_moves(Anything(), moco) == {"encoder_q.conv.weight"}


def test_an_averaged_copy_under_another_key_is_not_read_and_that_is_said(tmp_path):
    torch.save(
        {"model": {"w": torch.zeros(2)}, "ema": {"w": torch.ones(2)}, "optimizer": {"state": {}}}, tmp_path / "net_1.pt"
    )
    loaded = tr.load_checkpoint(tmp_path / "net_1.pt")
    assert loaded.unread == ("ema",)
    assert torch.equal(loaded.params["w"], torch.zeros(2))
    found = CliRunner().invoke(main, ["convert", str(tmp_path / "net_1.pt"), str(tmp_path / "net.safetensors")])
    assert f"{tmp_path / 'net_1.pt'}: not read: ema" in found.stderr


# Where it is doubtful


@pytest.mark.parametrize(
    ("state", "doubtful"),
    [
        ({"w": torch.rand(3), "ema.other": torch.rand(4)}, "ema.other"),
        ({"encoder.w": torch.rand(3), "target.encoder.w": torch.rand(3)}, "target.encoder.w"),
        ({"w": torch.rand(3), "attn.mask": torch.rand(3, 3)}, "attn.mask"),
        ({"bn.mean": torch.rand(3), "bn.var": torch.rand(3)}, "bn.mean"),
    ],
)
def test_what_is_doubtful_is_asked_and_the_answer_counts(state, doubtful):
    with pytest.raises(UsageError, match="move\\? The file does not tell .*--moves '!") as caught:
        whole_moves(Anything(), state)
    assert f"'!{doubtful}'" in str(caught.value)
    assert f"--moves {doubtful} " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert doubtful in whole_moves(Anything(), state, tuple(state)), "each named in full"
    others = tuple(f"!{name}" for name in state if name == doubtful or name == "bn.var")
    if len(others) < len(state):
        assert theta(Anything(), tr.Checkpoint(state, 1), others), "said not to move"
    assert theta(Anything(), tr.Checkpoint(state, 1)), "an evaluation does not need to know"


@pytest.mark.parametrize("name", DOUBTFUL.split())
def test_what_is_called_neither_as_parameters_nor_as_buffers_is_asked(name):
    with pytest.raises(UsageError, match="The file does not tell") as caught:
        whole_moves(Anything(), {"fc.weight": torch.rand(3, 2), "fc.bias": torch.rand(3), name: torch.rand(4)})
    assert f"--moves '!{name}'" in str(caught.value)
    state = {"fc.weight": torch.rand(3, 2), name: torch.rand(4)}
    assert whole_moves(Declaring(()), state) == set(state), "a learner that says what is constant is not asked"


@pytest.mark.parametrize("names", PAIRS)
def test_a_mean_and_its_spread_are_asked_about(names):
    mean, spread = names
    state = {"fc.weight": torch.rand(3, 2), mean: torch.randn(4), spread: torch.rand(4)}
    with pytest.raises(UsageError, match="statistics of batch norm may be called so"):
        whole_moves(Anything(), state)
    assert whole_moves(Anything(), state, (f"!{mean}", f"!{spread}")) == {"fc.weight", mean, spread}


@pytest.mark.parametrize("prefix", ["best", "fisher", "exp_avg", "velocity", "second", "bank.0"])
def test_a_second_model_is_asked_about(prefix):
    net = {"conv.weight": torch.rand(4, 3), "conv.bias": torch.rand(4), "fc.weight": torch.rand(2, 4)}
    other = {f"{prefix}.{name}": value + 1 for name, value in net.items()}
    with pytest.raises(UsageError, match="it may follow conv.weight"):
        whole_moves(Anything(), net | other)
    behind = {f"net.{name}": value for name, value in net.items()}
    if prefix not in {"second", "bank.0"}:  # which is the original of two that stand side by side, only words tell
        with pytest.raises(UsageError, match="it may follow net.conv.weight"):
            whole_moves(Anything(), behind | other)


def test_blocks_with_the_names_of_the_whole_are_not_taken_for_a_second_model():
    block = lambda: nn.ModuleDict({"conv1": nn.Conv2d(8, 8, 3), "bn1": nn.BatchNorm2d(8, track_running_stats=False)})
    net = nn.ModuleDict({"conv1": nn.Conv2d(3, 8, 3), "bn1": nn.BatchNorm2d(8, track_running_stats=False)})
    net.update({"layer1": nn.Sequential(block(), block()), "fc": nn.Linear(8, 5)})
    state = {name: value.clone() for name, value in net.state_dict().items()}
    assert whole_moves(Anything(), state) == set(state)


def test_a_weight_with_a_number_beside_one_without_is_asked_about():
    with pytest.raises(UsageError, match="it may follow fc.weight"):
        whole_moves(Anything(), {"fc.weight": torch.rand(3), "fc.weight0": torch.rand(3)})


def test_a_codebook_that_follows_its_entries_is_constant():
    state = {
        "vq.proj": torch.rand(3, 3),
        "vq.embed": torch.rand(4, 3),
        "vq.embed_avg": torch.rand(4, 3),
        "vq.cluster_size": torch.rand(4),
    }
    assert whole_moves(Anything(), state) == {"vq.proj"}


def test_a_tensor_of_zeros_and_ones_is_asked_about_unless_it_is_called_a_weight():
    with pytest.raises(UsageError, match="holds nothing but 0 and 1"):
        whole_moves(Anything(), {"w": torch.rand(3), "I": torch.eye(3)})
    assert whole_moves(Anything(), {"fc.weight": torch.eye(3)}) == {"fc.weight"}


def test_a_prefix_that_all_names_have_makes_no_module_of_a_dictionary():
    state = {"params.slope": torch.rand(2), "params.phi": torch.rand(3)}
    assert whole_moves(Anything(), state) == set(state)


def test_complex_numbers_are_not_quietly_left_out():
    state = {
        "w": torch.rand(3),
        "z": torch.rand(3).to(torch.complex64),
        "rope.freqs_cis": torch.rand(3).to(torch.complex64),
    }
    with pytest.raises(UsageError, match="z would move, but holds complex numbers.*--moves '!z'"):
        whole_moves(Anything(), state)
    assert whole_moves(Anything(), state, ("!z",)) == {"w"}


def test_equal_tensors_are_asked_about_and_the_answer_counts(tmp_path, sources, targets):
    state = {name: value.clone() for name, value in shared_state().items()}
    checkpoint, loss = tr.Checkpoint(state, 1), Twice().episode_loss
    with pytest.raises(
        UsageError, match="Are a.weight and b.weight one tensor\\? .*--moves a.weight=b.weight if they are"
    ):
        run_here(tmp_path / "asks", Twice(), checkpoint, sources, targets)
    ratios = {}
    for name, moves in {
        "one": ("a.weight=b.weight",),
        "two": ("*", "a.weight", "b.weight"),
        "copy": ("!b.weight",),
    }.items():
        ratios[name] = run_here(
            tmp_path / name, Twice(), checkpoint, sources, targets, lookahead=tr.SGD(0.1, moves=moves)
        ).matrix()
    settings = (loss, state)
    np.testing.assert_allclose(
        ratios["one"], oracle(*settings, ["a.weight"], sources, targets, 0.1, ["b.weight"]), rtol=1e-12
    )
    np.testing.assert_allclose(
        ratios["two"], oracle(*settings, ["a.weight", "b.weight"], sources, targets, 0.1), rtol=1e-12
    )
    np.testing.assert_allclose(ratios["copy"], oracle(*settings, ["a.weight"], sources, targets, 0.1), rtol=1e-12)
    assert len({float(matrix[0, 0]) for matrix in ratios.values()}) == 3


def test_fresh_tensors_of_one_number_are_not_taken_for_one_tensor():
    assert whole_moves(
        Anything(), {"a.bias": torch.zeros(3), "b.bias": torch.zeros(3), "a.w": torch.ones(2), "b.w": torch.ones(2)}
    )


# Shared tensors


VIEWS = {
    "transposed": lambda w: w.T,
    "with ends": lambda w: w[:, :, None, None],
    "a row": lambda w: w[1],
    "flat": lambda w: w.flatten(),
    "a window": lambda w: w.flatten()[3:9].view(2, 3),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("way", ["in hand", "file", "converted"])
def test_views_of_one_tensor_do_not_move_apart_unasked(tmp_path, view, way):
    weight = torch.rand(4, 6)
    state = {"a.weight": weight, "b.weight": VIEWS[view](weight), "c.weight": torch.rand(2)}
    checkpoint = tr.Checkpoint(state, 1)
    if way != "in hand":
        checkpoint = tr.load_checkpoint(as_pt(state, tmp_path / "net_1.pt"))
    if way == "converted":
        tr.save_checkpoint(checkpoint, tmp_path / "net.safetensors")
        checkpoint = tr.load_checkpoint(tmp_path / "net.safetensors")
    with pytest.raises(UsageError, match="Do a.weight and b.weight move apart\\? They overlap .*--moves '!b.weight'"):
        theta(Anything(), checkpoint, ("*",))
    for moves in (("!b.weight",), ("!a.weight",), ("*", "a.weight", "b.weight")):
        assert theta(Anything(), checkpoint, moves)
    assert theta(Declaring(tied=()), checkpoint, ("*",))
    assert theta(Declaring(("b.*",)), checkpoint, ("*",))
    assert theta(Anything(), checkpoint), "an evaluation does not need to know"


def test_parts_of_a_flat_tensor_that_share_no_number_move_each():
    flat, columns = torch.rand(12), torch.rand(4, 6)
    parts = {
        "a.weight": flat[:6].view(2, 3),
        "a.bias": flat[6:8],
        "b.weight": flat[8:],
        "c.weight": columns[:, :2],
        "d.weight": columns[:, 2:],
    }
    assert whole_moves(Anything(), parts) == set(parts)


def as_pt(state, path):
    torch.save(state, path)
    return path


def as_save_model(state, path):
    net = Tied()
    net.load_state_dict(state)
    safetensors.torch.save_model(net, str(path := path.with_suffix(".safetensors")))
    return path


def as_ours(state, path):
    tr.save_checkpoint(tr.Checkpoint(state, 1), path)
    return path


def as_converted(state, path):
    tr.save_checkpoint(tr.load_checkpoint(as_pt(state, path)), converted := path.with_suffix(".safetensors"))
    return converted


@pytest.mark.parametrize("write", [as_pt, as_save_model, as_ours, as_converted])
@pytest.mark.parametrize("learner", [Twice(), tr.ModuleLearner(Tied(), prototypes)], ids=["plain", "module"])
def test_a_shared_tensor_moves_once_by_the_summed_gradient(tmp_path, write, learner, sources, targets):
    checkpoint = tr.load_checkpoint(write(shared_state(), tmp_path / "net_1.pt"))
    run = run_here(tmp_path / "run", learner, checkpoint, sources, targets, controls=2)
    expected = oracle(Twice().episode_loss, shared_state(), ["a.weight"], sources, targets, 0.1, ["b.weight"])
    np.testing.assert_allclose(run.matrix(), expected, rtol=1e-12)
    found = theta(learner, checkpoint, ("*",))
    assert len(found.params) == 1
    assert run.spec.theta["tied"] == found.tied


@pytest.mark.parametrize("names", [("a.weight",), ("b.weight",), ("a.weight", "b.weight")])
def test_a_module_knows_its_shared_tensors_however_the_file_lists_them(tmp_path, names, sources, targets):
    state = {name: shared_state()[name].clone() for name in names}
    run = run_here(tmp_path / "run", tr.ModuleLearner(Tied(), prototypes), tr.Checkpoint(state, 1), sources, targets)
    expected = oracle(Twice().episode_loss, shared_state(), ["a.weight"], sources, targets, 0.1, ["b.weight"])
    np.testing.assert_allclose(run.matrix(), expected, rtol=1e-12)


def test_other_values_under_the_names_of_one_tensor_are_refused():
    state = {"a.weight": torch.rand(3, 3, 3, 3), "b.weight": torch.rand(3, 3, 3, 3)}
    with pytest.raises(
        LearnerError, match="a.weight and b.weight are one tensor in the learner, but the checkpoint has other values"
    ):
        bind(tr.ModuleLearner(Tied(), prototypes), tr.Checkpoint(state, 1))
    with pytest.raises(UsageError, match="a.weight=b.weight was asked for, but their values differ"):
        theta(Twice(), tr.Checkpoint(state, 1), ("a.weight=b.weight",))
    with pytest.raises(UsageError, match="there is no 'c.weight'; there are: a.weight, b.weight"):
        theta(Twice(), tr.Checkpoint(state, 1), ("a.weight=c.weight",))


def test_a_shared_submodule_shares_its_buffers_too():
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
            self.other = self.one

        def forward(self, x):
            return self.one(x) + self.other(x)

    learner, state = tr.ModuleLearner(Siamese().eval(), prototypes), Siamese().state_dict()
    found = theta(learner, tr.Checkpoint({name: value.clone() for name, value in state.items()}, 1), ("*",))
    assert set(found.params) == {"one.0.weight", "one.0.bias", "one.1.weight", "one.1.bias"}
    tr.check_pure(found.learner, found.params, random_episode())


# What is frozen


@pytest.mark.parametrize("loss", [prototypes, adapted_loss])
def test_a_frozen_backbone_moves_neither_outside_nor_inside(tmp_path, loss, sources, targets):
    torch.manual_seed(0)
    net = Backboned().double()
    run = run_here(tmp_path / "run", tr.ModuleLearner(net, loss), tr.Checkpoint(net.state_dict(), 1), sources, targets)

    def by_hand(i, j):
        moved, free = copy.deepcopy(net), [p for p in net.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(loss(net, sources[i].map(wide)), free)
        with torch.no_grad():
            for p, g in zip((p for p in moved.parameters() if p.requires_grad), gradients, strict=True):
                p.sub_(0.1 * g)
        return float(loss(moved, targets[j].map(wide)).detach() / loss(net, targets[j].map(wide)).detach())

    np.testing.assert_allclose(run.matrix(), [[by_hand(i, j) for j in range(2)] for i in range(2)], rtol=1e-12)
    assert run.spec.theta == {
        "constant": {"backbone.weight": "a constant of ModuleLearner", "backbone.bias": "a constant of ModuleLearner"}
    }


def test_parameters_that_were_pickled_say_what_is_frozen(tmp_path):
    net = Backboned()
    torch.save(dict(net.named_parameters()), tmp_path / "net_1.pt")
    loaded = tr.load_checkpoint(tmp_path / "net_1.pt")
    assert loaded.frozen == {"backbone.weight", "backbone.bias"}
    tr.save_checkpoint(loaded, tmp_path / "net_1.safetensors")
    for checkpoint in (loaded, tr.load_checkpoint(tmp_path / "net_1.safetensors")):
        assert set(theta(Anything(), checkpoint, ("*",)).params) == {"head.weight", "head.bias"}
    live = tr.Checkpoint(dict(net.named_parameters()), 1)
    assert set(theta(Anything(), live, ("*",)).params) == {"head.weight", "head.bias"}
    torch.save(nn.BatchNorm1d(2).state_dict(keep_vars=True), tmp_path / "bn_1.pt")
    assert set(theta(Anything(), tr.load_checkpoint(tmp_path / "bn_1.pt"), ("*",)).params) == {"weight", "bias"}
    torch.save(net.state_dict(), tmp_path / "net_2.pt")
    assert tr.load_checkpoint(tmp_path / "net_2.pt").frozen is None, "a state_dict does not tell"


def test_where_nothing_is_left_to_move_it_is_told():
    with pytest.raises(LearnerError, match="Nothing is left to move: all of bn.running_mean are constants"):
        theta(Anything(), tr.Checkpoint({"bn.running_mean": torch.rand(3)}, 1))


# What a learner declares, and what the lookahead asks


class Declaring(Anything):
    def __init__(self, constants=None, tied=None):
        if constants is not None:
            self.constants = constants
        if tied is not None:
            self.tied = tied


def test_a_learner_may_declare_its_constants():
    state = {
        "w": torch.rand(3),
        "bn.running_mean": torch.rand(3),
        "backbone.0.w": torch.rand(2),
        "backbone.1.w": torch.rand(2),
    }
    assert whole_moves(Declaring(("backbone.*",)), state) == {"w", "bn.running_mean"}, "what is declared is all"
    assert whole_moves(Declaring(()), state) == set(state)
    equal = {"a": torch.arange(3.0), "b": torch.arange(3.0)}
    assert whole_moves(Declaring(tied=()), equal) == {"a", "b"}
    assert whole_moves(Declaring(tied=(("a", "b"),)), equal) == {"a"}
    for wrong, message in (
        ("bn.*", "must be a tuple of patterns"),
        ({"g": 9.81}, "must be a tuple"),
        (("bm.*",), "no tensor is called so"),
    ):
        with pytest.raises(LearnerError, match=message):
            theta(Declaring(wrong), tr.Checkpoint(state, 1))
    with pytest.raises(LearnerError, match="tied must be a tuple of groups"):
        theta(Declaring(tied=("a", "b")), tr.Checkpoint(equal, 1))


def test_what_moves_may_be_said_in_patterns_and_names(tmp_path, sources, targets):
    state = normed_state()
    checkpoint = tr.Checkpoint(state, 1)
    free = ["conv.weight", "bn.weight", "bn.bias"]
    for name, (moves, moving) in {
        "pattern": (("bn.*",), ["bn.weight", "bn.bias"]),
        "unwanted": (("!conv.*", "!bn.running_*"), ["bn.weight", "bn.bias"]),
        "in full": (("*", "bn.running_mean"), [*free, "bn.running_mean"]),
    }.items():
        ratios = run_here(
            tmp_path / name, Normed(), checkpoint, sources, targets, lookahead=tr.SGD(0.1, moves=moves)
        ).matrix()
        np.testing.assert_allclose(
            ratios, oracle(Normed().episode_loss, state, moving, sources, targets, 0.1), rtol=1e-12
        )
    for moves, message in (
        (
            ("bn.running_*",),
            "No parameter is called 'bn.running_\\*'.* bn.running_mean is held constant; to move it, write its name in full",
        ),
        (("!nothing",), "No parameter is called 'nothing', yet it was asked not to move"),
    ):
        with pytest.raises(UsageError, match=message):
            run_here(tmp_path / "wrong", Normed(), checkpoint, sources, targets, lookahead=tr.SGD(0.1, moves=moves))


# What is said of it


def test_the_spec_says_what_does_not_move_and_only_that(tmp_path, learner, checkpoint, sources, targets):
    plain = run_here(tmp_path / "plain", learner, checkpoint, sources, targets)
    about = json.loads((tmp_path / "plain" / "run.json").read_text())
    assert "theta" not in about["spec"], "specs of runs in which all moves are as they ever were"
    assert about["theta"]["moves"] == ["map.weight", "map.bias"]
    assert about["theta"]["numbers"] == sum(value.numel() for value in checkpoint.params.values())
    assert tr.open_run(tmp_path / "plain").spec == plain.spec
    held = run_here(tmp_path / "held", Normed(), tr.Checkpoint(normed_state(), 1), sources, targets)
    assert held.spec.theta == {
        "constant": {"bn.running_mean": "running statistics", "bn.running_var": "running statistics"}
    }
    assert tr.open_run(tmp_path / "held").spec == held.spec
    declared = type("Normed", (Normed,), {"constants": ("bn.running_var",), "__module__": Normed.__module__})
    with pytest.raises(SpecMismatchError, match="theta.constant.bn.running_mean: running statistics → none"):
        run_here(tmp_path / "held", declared(), tr.Checkpoint(normed_state(), 1), sources, targets)


def test_names_are_taken_together_only_where_they_share_a_fate():
    state = {f"layers.{k}.{part}": torch.rand(2) for k in range(3) for part in ("weight", "running_mean")}
    found = theta(Declaring(("layers.0.*", "*.running_mean")), tr.Checkpoint(state, 1))
    told = found.report([name for name in found.params if name != "layers.1.weight"])
    assert told["moves"] == ["layers.2.weight"]
    assert told["constant"] == {
        "layers.*.running_mean": "a constant of Declaring",
        "layers.0.weight": "a constant of Declaring",
        "layers.1.weight": "not asked to move",
    }


def test_checkpoints_that_would_move_other_tensors_are_refused(tmp_path, sources, targets):
    mask = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    states = [{"w": torch.rand(3), "gate_mask": value} for value in (mask, mask)]
    states[1]["gate_mask"] = mask.tril() * 0.5
    with pytest.raises(UsageError, match="mask"):
        run_here(tmp_path, Anything(), [tr.Checkpoint(s, k) for k, s in enumerate(states)], sources, targets)


def test_the_command_says_it_first(tmp_path):
    torch.save(normed_state(), tmp_path / "net_1000.pt")
    command = [
        "compute",
        str(tmp_path / "net_1000.pt"),
        "--learner",
        "tests.test_theta:Normed",
        "--out",
        str(tmp_path / "run"),
    ]
    modes = ["--source", "strokes:val", "--target", "shapes:val", "--ways", "2", "--queries", "2"]
    found = CliRunner().invoke(
        main, [*command, *modes, "--n-source", "1", "--n-target", "1", "--alpha", "0.1", "--dry-run"]
    )
    assert found.exit_code == 0, found.output
    first, second, *_ = found.stderr.splitlines()
    assert (
        first
        == f"{tmp_path / 'net_1000.pt'}: step 1000 (the number at the end of its name, which nothing marks as a step)"
    )
    assert second == (
        "3 tensors move, 308 numbers: conv.weight, bn.weight, bn.bias; constant (running statistics): bn.running_mean, bn.running_var; "
        "constant (whole numbers): bn.num_batches_tracked"
    )


# Training


class Trainable(Normed):
    def init_params(self, seed):
        del seed
        return {name: value for name, value in normed_state().items() if value.is_floating_point()}


def test_training_moves_what_a_measurement_would_move(tmp_path, sources, targets):
    torch.manual_seed(0)
    net = Backboned()
    learners = {
        "plain": (Trainable(), {"bn.running_mean", "bn.running_var"}),
        "frozen": (tr.ModuleLearner(net, prototypes), {"backbone.weight", "backbone.bias"}),
        "tied": (tr.ModuleLearner(Tied(), prototypes), set()),
    }
    for name, (learner, still) in learners.items():
        begun = learner.init_params(0)
        training = Training(name, modes=("strokes",), ways=3, queries=2, meta_batch=1, lr=0.01)
        (path,) = train(learner, training, [sources], out=tmp_path / name, iterations=1, save_every=1)
        saved = tr.load_checkpoint(path)
        assert {key for key, value in begun.items() if torch.equal(saved.params[key], value)} == still
        assert set(saved.optimizer.steps) == begun.keys() - still
        run = run_here(tmp_path / f"{name}-run", learner, saved, sources, targets, n_source=1, n_target=1)
        assert np.isfinite(run.matrix()).all()


def test_a_usual_learner_is_bound_as_it_is():
    learner = PixelPrototypes()
    bound, params = bind(learner, tr.Checkpoint(learner.init_params(0), 1))
    assert bound is learner
    assert set(params) == {"map.weight", "map.bias"}
