"""Float32 keeps its digits whatever the layout in memory, and how a tensor came to lie there changes no loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import transference as tr
from transference.devices import as_allocated, channels_last
from transference.engines import ENGINES, loss_gradient
from transference.exact_sums import ExactSums, batch_norm

SHAPES = [(75, 32, 14, 14), (5, 16, 42, 42), (3, 8, 1, 700), (40, 8, 7, 5)]  # more rows, and fewer, than columns
EAGER = ["loop", "threads", "vmap"]


def images(shape, dtype=torch.float32):
    """A mean of thirty deviations: where torch's own sums over channels-last images lose three digits of the normalised values."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.1 + 3
    return values.float().to(dtype).to(memory_format=torch.channels_last)


def affine(shape, dtype):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape[1], generator=generator).to(dtype) for _ in range(2)]


def close(found, expected, limit):
    found, expected = found.detach().double(), expected.detach()
    assert float((found - expected).abs().max() / expected.abs().max()) <= limit


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_normalised_images_have_six_digits(shape):
    found = batch_norm(images(shape), *affine(shape, torch.float32))
    assert found.is_contiguous(memory_format=torch.channels_last), "the layout stays"
    close(
        found,
        F.batch_norm(images(shape, torch.float64), None, None, *affine(shape, torch.float64), training=True),
        2e-6,
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_and_their_gradients_do_too(shape):
    weighing = torch.randn(shape, generator=torch.Generator().manual_seed(2))

    def gradients(normalise, dtype):
        leaves = [t.requires_grad_() for t in (images(shape, dtype), *affine(shape, dtype))]
        normalised = normalise(*leaves)
        first = torch.autograd.grad(
            (normalised * weighing.to(dtype)).sum() + normalised.square().mean(), leaves, create_graph=True
        )
        return [*first, *torch.autograd.grad(sum(g.square().sum() for g in first), leaves)]

    torch_own = lambda x, weight, bias: F.batch_norm(x, None, None, weight, bias, training=True)
    for found, expected in zip(gradients(batch_norm, torch.float32), gradients(torch_own, torch.float64), strict=True):
        close(found, expected, 1e-5)


def test_an_inner_loop_goes_through_it():
    """`torch.func.grad` inside, autograd outside, as in MAML."""
    shape = (40, 4, 8, 8)

    def outer(dtype, normalise):
        x, scale = images(shape, dtype), torch.ones(4, dtype=dtype, requires_grad=True)
        loss = lambda s: (normalise(x * s[:, None, None] + x.square()).pow(3) * x).mean()
        moved = scale - 0.1 * torch.func.grad(loss)(scale)
        return torch.autograd.grad(loss(moved), scale)[0]

    expected = outer(torch.float64, lambda x: F.batch_norm(x, None, None, training=True))
    close(outer(torch.float32, batch_norm), expected, 1e-3)
    assert float(expected.abs().max()) > 1e-6


def test_modules_of_torch_are_replaced_inside_the_context_and_nothing_else_is():
    x = images((75, 16, 14, 14))
    batch, group = nn.BatchNorm2d(16), nn.GroupNorm(4, 16)
    wide = [nn.BatchNorm2d(16).double()(x.double()), nn.GroupNorm(4, 16).double()(x.double())]
    before = ExactSums.replaced
    with ExactSums():
        found = [batch(x), group(x)]
        assert ExactSums.replaced == before + 2
        assert torch.equal(F.relu(x), x.relu())
        nn.GroupNorm(4, 16)(x.contiguous())
        nn.BatchNorm2d(16).eval()(x)
        assert ExactSums.replaced == before + 2, "what loses no digits is torch's own"
    for ours, expected in zip(found, wide, strict=True):
        close(ours, expected, 3e-6)
        assert ours.is_contiguous(memory_format=torch.channels_last)
    plain = nn.BatchNorm2d(16)
    plain(x.contiguous())
    torch.testing.assert_close(batch.running_mean, plain.running_mean, rtol=1e-5, atol=0)
    torch.testing.assert_close(batch.running_var, plain.running_var, rtol=1e-5, atol=0)


def rows_of(kind):
    """Batches whose channels lie together in memory, in each number of dimensions."""
    shape, last = {
        "features": ((30_000, 8), torch.contiguous_format),
        "images": ((40, 8, 28, 28), torch.channels_last),
        "volumes": ((20, 8, 10, 14, 14), torch.channels_last_3d),
    }[kind]
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.1 + 3
    return values.contiguous(memory_format=last), last


CALLS = {
    "torch.batch_norm": lambda x: torch.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False),
    "F.batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "module": lambda x: {2: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[x.dim()](8).to(x.dtype)(x),
    "torch.group_norm": lambda x: torch.group_norm(x, 2, None, None, 1e-5, False),
    "F.group_norm": lambda x: F.group_norm(x, 2),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["features", "images", "volumes"])
def test_every_call_keeps_its_digits_in_every_number_of_dimensions(kind, call):
    if kind == "features" and "group" in call:
        pytest.skip("group norm takes each row by itself, which is short")
    x, last = rows_of(kind)
    expected = CALLS[call](x.double())
    leaf = x.clone().requires_grad_()
    weighing = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    before = ExactSums.replaced
    with ExactSums():
        found = CALLS[call](leaf)
        assert ExactSums.replaced == before + 1
        [slope] = torch.autograd.grad((found * weighing).sum(), leaf)
        CALLS[call](x[:20] if kind == "features" else x.contiguous())
        assert ExactSums.replaced == before + 1, "what loses no digits is torch's own"
    close(found, expected, 2e-6)
    assert found.shape == x.shape
    if kind != "features":
        assert found.is_contiguous(memory_format=last)
    wide = x.double().requires_grad_()
    close(slope, torch.autograd.grad((CALLS[call](wide) * weighing.double()).sum(), wide)[0], 1e-4)


def test_running_statistics_of_features_and_volumes_move_as_torchs_do():
    for kind, module in (("features", nn.BatchNorm1d), ("volumes", nn.BatchNorm3d)):
        x, _ = rows_of(kind)
        ours, wide = module(8), module(8).double()
        with ExactSums():
            ours(x)
        wide(x.double())
        torch.testing.assert_close(ours.running_mean.double(), wide.running_mean, rtol=1e-6, atol=0)
        torch.testing.assert_close(ours.running_var.double(), wide.running_var, rtol=1e-4, atol=0)


def test_features_under_vmap_are_normalised_too():
    x = torch.randn(3, 400, 8, generator=torch.Generator().manual_seed(0))
    normalise = lambda one: F.batch_norm(one, None, None, training=True)
    with ExactSums():
        found = torch.vmap(normalise)(x)
    close(found, torch.stack([normalise(one.double()) for one in x]), 1e-6)


class Normed(nn.Module):
    """A stranger's network, with a bias before its batch norm and a group norm after."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2), nn.GroupNorm(4, 16)
        )

    def forward(self, x):
        return self.layers(x)


def prototype_loss(module, episode):
    support, query = (module(x).flatten(1) for x in (episode.support_x, episode.query_x))
    return F.cross_entropy(-torch.cdist(query, support), episode.support_y.argsort()[episode.query_y])


def stranger():
    torch.manual_seed(0)
    return tr.ModuleLearner(Normed(), prototype_loss)


RELEASED = {"residual": False, "query_modulation": "query"}
LEARNERS = {
    "protonet": lambda: tr.load_learner("protonet"),
    "kml": lambda: tr.load_learner("kml-protonet"),
    "kml, released": lambda: tr.load_learner("kml-protonet", RELEASED),
    "maml": lambda: tr.load_learner("maml", {"inner_steps": 1}),
    "stranger": stranger,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("engine", EAGER)
def test_every_engine_has_the_losses_of_float64(engine, name):
    if (engine, name) == ("vmap", "stranger"):
        pytest.skip("torch.vmap lets no module update its running statistics in place")
    learner = LEARNERS[name]()
    params = learner.init_params(0)
    tasks = tr.few_shot("textures:val", ways=5, shots=1, queries=15, seed=0)
    episodes = [tasks[k] for k in range(2)]
    wide = {key: value.double() for key, value in params.items()}
    exact = torch.stack([learner.episode_loss(wide, episode.to(dtype=torch.float64)).detach() for episode in episodes])
    evaluate = ENGINES[engine](learner, episodes)
    for _ in range(2):  # the second time an engine knows whether there is anything to watch
        assert float((evaluate(params)[:, 0] / exact - 1).abs().max()) < (1e-5 if name == "kml, released" else 2e-6)
    gradients = ENGINES[engine].gradients(learner, params, episodes, list(params))
    for (_, found), episode in zip(gradients, episodes, strict=True):
        (_, _), expected = loss_gradient(learner, wide, episode.to(dtype=torch.float64), list(wide))
        assert found.keys() == expected.keys()
        gap = sum(float((found[key].double() - expected[key]).square().sum()) for key in found)
        assert (gap / sum(float(value.square().sum()) for value in expected.values())) ** 0.5 < 1e-2, "but for kinks"


def test_a_learner_whose_normalisations_are_torchs_is_watched_and_others_are_not():
    for name, watched in (("protonet", False), ("stranger", True)):
        learner = LEARNERS[name]()
        evaluate = ENGINES["threads"](learner, [tr.few_shot("textures:val", queries=15)[0]])
        evaluate(learner.init_params(0))
        assert evaluate.watched is watched


def off_alignment(tensor):
    """The same values, four bytes further than torch's allocator would put them."""
    return torch.cat([tensor.new_zeros(1), tensor.flatten()])[1:].view(tensor.shape)


def test_a_tensor_lies_as_a_fresh_one_however_it_came():
    fresh = torch.randn(4, 3, 5, 5)
    ways = {
        "off alignment": off_alignment(fresh),
        "channels last": fresh.to(memory_format=torch.channels_last),
        "part of a larger one": torch.stack([fresh, fresh], dim=-1)[..., 1],
        "transposed": fresh.transpose(0, 3).contiguous().transpose(0, 3),
        "expanded": fresh[:1].expand(4, 3, 5, 5),
        "from numpy": torch.frombuffer(bytearray(b"1234" + fresh.numpy().tobytes()), dtype=torch.float32, offset=4).view(4, 3, 5, 5),
        "one channel, other strides": fresh[:, :1].contiguous(memory_format=torch.channels_last),
    }  # fmt: skip
    for name, tensor in ways.items():
        laid_out = as_allocated(tensor)
        assert torch.equal(laid_out, tensor), name
        assert laid_out.stride() == torch.empty(tensor.shape).stride(), name
        assert laid_out.data_ptr() % 64 == 0, name
    assert as_allocated(fresh) is fresh
    assert channels_last(off_alignment(torch.zeros(6))).data_ptr() % 64 == 0
    assert as_allocated(torch.zeros(0, 3)).shape == (0, 3)
    assert as_allocated(torch.tensor(3)).item() == 3


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_the_container_of_a_checkpoint_changes_no_digit(suffix, tmp_path):
    learner = LEARNERS["kml, released"]()
    params = learner.init_params(0)
    lying = {name: off_alignment(value) for name, value in params.items()}
    tr.save_checkpoint(tr.Checkpoint(lying, 1), tmp_path / f"a{suffix}")
    loaded = tr.load_checkpoint(tmp_path / f"a{suffix}").params
    assert {value.data_ptr() % 64 for value in loaded.values()} == {0}
    episode = tr.few_shot("strokes:val", queries=4)[0]
    assert float(learner.episode_loss(loaded, episode)) == float(learner.episode_loss(params, episode))


@pytest.mark.parametrize("engine", ["loop", "threads"])
def test_running_statistics_serve_a_small_and_a_large_batch_in_one_gradient(engine):
    """A few support rows by torch's kernel, which saves the running statistics for its gradient, and then many queries by ours."""
    torch.manual_seed(0)
    block = lambda n: nn.Sequential(nn.Conv2d(n, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    learner = tr.ModuleLearner(nn.Sequential(block(3), block(8), block(8)), prototype_loss)
    tasks = tr.few_shot("textures:val", ways=5, shots=1, queries=15, seed=0)
    params, episodes = learner.init_params(0), [tasks[0]]
    [(_, found)] = ENGINES[engine].gradients(learner, params, episodes, list(params))
    wide = {key: value.double() for key, value in params.items()}
    _, expected = loss_gradient(learner, wide, episodes[0].to(dtype=torch.float64), list(wide))
    gap = sum(float((found[key].double() - expected[key]).square().sum()) for key in found)
    assert (gap / sum(float(value.square().sum()) for value in expected.values())) ** 0.5 < 1e-2


def test_a_module_keeps_its_digits_without_an_engine_too():
    learner = stranger()
    params, episode = learner.init_params(0), tr.few_shot("textures:val", queries=15)[0]
    exact = float(
        learner.episode_loss({k: v.double() for k, v in params.items()}, episode.to(dtype=torch.float64)).detach()
    )
    found = learner.episode_loss({k: channels_last(v) for k, v in params.items()}, episode.map(channels_last))
    assert abs(float(found.detach()) / exact - 1) < 2e-6


class OffAlignment:
    """A sampler whose tensors lie where they like."""

    def __init__(self, sampler):
        self.sampler, self.name = sampler, sampler.name

    def __getitem__(self, index):
        return self.sampler[index].map(off_alignment)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["regression-maml", "protonet"])
@pytest.mark.parametrize("engine", EAGER)
def test_a_step_of_zero_gives_exactly_one_and_tiles_change_nothing(engine, name, tmp_path):
    """With parameters and tasks that lie anywhere in memory, and tiles that give each call another number of episodes."""
    learner = tr.load_learner(name)
    params = {key: off_alignment(value) for key, value in learner.init_params(3).items()}
    mode = "sinusoid:test" if name.startswith("regression") else "textures:val"
    tasks = OffAlignment(tr.open_tasks(mode, ways=3, shots=1, queries=2, seed=1))
    runs = [
        tr.measure(learner, tr.Checkpoint(params, 1), tasks, tasks, n_source=2, n_target=17, tile=tile, controls=4,
                   lookahead=tr.SGD((0.0, 0.001)), estimator=tr.Exact(engine), out=tmp_path / f"{k}")
        for k, tile in enumerate([(2, 17), (2, 7)])
    ]  # fmt: skip
    for run in runs:
        controls = run.controls()
        assert set(controls["loss_ratio"][controls["control"] == "zero"]) == {1.0}
        ratios = run.matrix(alpha=0.0)
        assert (ratios[np.isfinite(ratios)] == 1.0).all()
        assert np.isfinite(ratios).mean() > 0.8, "here and there a loss is zero"
    np.testing.assert_array_equal(*(run.matrix(alpha=0.001) for run in runs))
    assert (runs[0].matrix(alpha=0.001) != 1.0).any()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_batch_norm_without_scale_has_gradients_of_gradients(layout):
    x = torch.randn(4, 3, 5, 4, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    normalise = lambda x: batch_norm(x, eps=0.1)
    torch.testing.assert_close(normalise(x), F.batch_norm(x, None, None, training=True, eps=0.1))
    assert torch.autograd.gradcheck(normalise, (x,))
    assert torch.autograd.gradgradcheck(normalise, (x,))


def test_a_batch_norm_without_scale_has_third_derivatives():
    def third(normalise):
        x = values.clone().requires_grad_()
        found = normalise(x).pow(3).sum()
        for _ in range(3):
            (gradient,) = torch.autograd.grad(found, [x], create_graph=True)
            found = gradient.pow(2).sum()
        return found.detach()

    def as_written(x):
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()

    values = torch.randn(4, 3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(third(batch_norm), third(as_written), rtol=1e-9, atol=0)


def test_gradients_of_gradients_keep_their_digits_with_channels_last():
    torch.manual_seed(0)
    wide = torch.randn(20, 3, 32, 32, dtype=torch.float64) + 3
    along = torch.randn(20, 3, 32, 32, dtype=torch.float64)

    def second(x):
        x = x.to(memory_format=torch.channels_last).requires_grad_()
        loss = (batch_norm(x) * along.to(x.dtype)).pow(2).mean()
        (first,) = torch.autograd.grad(loss, [x], create_graph=True)
        return torch.autograd.grad((first * along.to(x.dtype)).sum(), [x])[0].double()

    expected = second(wide)
    assert float((second(wide.float()) - expected).norm() / expected.norm()) < 3e-6
