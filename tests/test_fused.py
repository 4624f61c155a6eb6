"""Convolutions, batch norms and ReLUs that are done together give what torch gives one after the other."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import transference as tr
from tests.strangers import make_net_learner
from transference import exact_sums, fused
from transference.engines import ENGINES, ONCE
from transference.fused import KeptPatches, Kernels, Maps, Patches
from transference.fused._batched import as_products, differ
from transference.fused._convolution import convolve
from transference.fused._geometry import Geometry
from transference.learners import EpisodeError

RANDOM = torch.Generator().manual_seed(0)


def images(*shape, dtype=torch.float32):
    values = torch.rand(shape, generator=RANDOM, dtype=torch.float64).to(dtype)
    return values.to(memory_format=torch.channels_last)


def kernel(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=RANDOM, dtype=torch.float64).to(dtype).to(memory_format=torch.channels_last)


GEOMETRIES = [*itertools.product(((3, 3), (1, 1), (2, 3)), (1, 2, (2, 1)), (0, 1, (1, 2)), (1, 2))]


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("n", [1, 20])
@pytest.mark.parametrize("side", [3, 5])
def test_a_convolution_of_any_geometry_is_torchs(side, n, relu):
    tried = 0
    for size, stride, padding, dilation in GEOMETRIES:
        x, weight, bias = images(n, 3, side, side + 1), kernel(6, 3, *size), torch.randn(6, generator=RANDOM)
        if any(s + 2 * max((padding,) if isinstance(padding, int) else padding) < dilation * (k - 1) + 1
               for s, k in zip(x.shape[2:], size, strict=True)):  # fmt: skip
            continue
        try:
            expected = F.conv2d(x.double(), weight.double(), bias.double(), stride, padding, dilation)
        except RuntimeError:  # the kernel is larger than the image
            continue
        tried += 1
        expected = expected.relu() if relu else expected
        geometry = Geometry.of(weight, stride, padding, dilation)
        for kernels in (None, Kernels({"w": weight})):
            found = convolve(x, weight, bias, geometry, kernels, relu=relu)
            torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
            assert found.is_contiguous(memory_format=torch.channels_last)
        wide = convolve(x.double(), weight.double(), bias.double(), geometry, relu=relu)
        torch.testing.assert_close(wide, expected, rtol=1e-12, atol=1e-12)
    assert tried > 20


@pytest.mark.parametrize("geometry", [(1, 0), (1, 1), (2, 1), (2, 0)])
@pytest.mark.parametrize("size", [(3, 3), (2, 3)])
def test_kernels_that_differ_from_task_to_task_convolve_as_products(size, geometry):
    stride, padding = geometry
    x, weight = images(20, 3, 7, 6, dtype=torch.float64), kernel(8, 3, *size, dtype=torch.float64)
    x, weight = x.unflatten(0, (4, 5)), weight.unflatten(0, (4, 2))
    seen = []

    def ours(x, weight):
        seen.append(differ(weight))
        return as_products(x, weight, stride=stride, padding=padding)

    def torchs(x, weight):
        return F.conv2d(x, weight, stride=stride, padding=padding)

    for way in (ours, torchs):
        torch.testing.assert_close(
            torch.vmap(way)(x, weight), torch.stack([torchs(*each) for each in zip(x, weight, strict=True)])
        )
    torch.testing.assert_close(torch.vmap(ours, (None, 0))(x[0], weight), torch.vmap(torchs, (None, 0))(x[0], weight))
    inputs = [each[:2, :2, :2, :5].clone().requires_grad_() for each in (x, weight)]
    assert torch.autograd.gradgradcheck(lambda *each: torch.vmap(ours)(*each).sin().mean(), inputs)
    assert all(seen)


def test_it_is_known_whose_kernels_differ():
    weight, said = torch.ones(3, 2, 2), []
    torch.vmap(lambda w: (said.append(differ(w)), w)[1])(weight)
    torch.vmap(lambda w: (said.append(differ(weight)), w)[1])(weight)
    torch.vmap(lambda w: torch.vmap(lambda v: (said.append((differ(w), differ(v), differ(w * v))), v)[1])(w))(weight)
    assert said == [True, False, (False, True, True)]
    assert not differ(weight)


@pytest.mark.parametrize("n", [3, 40])
def test_gradients_and_their_gradients_pass_through_a_convolution_of_few_images(n):
    weighing = kernel(n, 8, 2, 2, dtype=torch.float64)

    def gradients(convolution):
        x, weight = (t.clone().requires_grad_() for t in (wide_x, wide_weight))
        maps = convolution(x, weight, stride=2, padding=1)
        first = torch.autograd.grad((maps * weighing).sum() + maps.pow(3).sum(), [x, weight], create_graph=True)
        return [maps, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), [x, weight])]

    wide_x, wide_weight = images(n, 3, 4, 4, dtype=torch.float64), kernel(8, 3, 3, 3, dtype=torch.float64)
    for found, expected in zip(gradients(fused.conv2d), gradients(F.conv2d), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("padding", "stride", "side"), [(0, 1, 6), (1, 2, 7), (2, 3, 5)])
def test_statistics_of_maps_follow_from_those_of_patches(padding, stride, side):
    x, weight = images(4, 3, side, side, dtype=torch.float64) + 20, kernel(5, 3, 3, 3, dtype=torch.float64)
    gamma, beta = torch.randn(2, 5, generator=RANDOM, dtype=torch.float64)
    geometry = Geometry.of(weight, stride, padding, 1)
    scaled, shift = Patches.of(x, geometry).normalising(weight, gamma, beta, 1e-3)
    found = F.conv2d(x, scaled, shift, stride, padding)
    maps = F.conv2d(x, weight, None, stride, padding)
    torch.testing.assert_close(
        found, F.batch_norm(maps, None, None, gamma, beta, training=True, eps=1e-3), rtol=1e-9, atol=1e-9
    )


class Blocks(nn.Module):
    """What fusing meets: modules and functions, in place and not, strides, biases, FiLM, a residual, a pool, a norm of another kind."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.Conv2d(8, 8, 3, 2, 1),
            nn.Conv2d(8, 6, 3, 2, 1),
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(c, track_running_stats=False) for c in (8, 8, 6))
        self.film = nn.Linear(1, 16)

    def forward(self, x):
        gamma, beta = self.film(x.mean()[None]).chunk(2)
        x = self.norms[0](self.one(x))
        x = F.relu((1 + gamma[:, None, None]) * x + beta[:, None, None], inplace=True)
        kept = self.norms[1](self.two(x))
        x = torch.relu(kept) + kept  # what was clipped is looked at again
        x = F.group_norm(x, 2)
        x = self.norms[2](self.three(x))
        return (x * x.shape[1] + x.relu() - 0.5).flatten(1)


class Prototypes:
    """A learner of one's own, a function of its parameters."""

    def __init__(self):
        self.model = Blocks()

    def episode_loss(self, params, episode):
        of = lambda images: torch.func.functional_call(self.model, params, (images,))
        distances = torch.cdist(of(episode.query_x), of(episode.support_x)[episode.support_y.argsort()])
        return F.cross_entropy(-distances, episode.query_y)


def tasks(n=5, dtype=torch.float32, side=12):
    sampler = tr.few_shot("textures:val", ways=3, shots=1, queries=20, side=side)
    return [sampler[k].to(dtype=dtype) for k in range(n)]


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
@pytest.mark.parametrize("engine", ["threads", "vmap"])
def test_any_network_gives_what_it_gives_unfused(engine, dtype, limit, monkeypatch):
    torch.manual_seed(0)
    learner = Prototypes()
    params = {name: value.detach().to(dtype) for name, value in learner.model.named_parameters()}
    wide = {name: value.double() for name, value in params.items()}
    expected = torch.stack([learner.episode_loss(wide, task.to(dtype=torch.float64)) for task in tasks(dtype=dtype)])
    seen = []
    monkeypatch.setattr(Patches, "normalising", spied(Patches.normalising, seen))
    found = ENGINES[engine](learner, tasks(dtype=dtype))(params)[:, 0]
    torch.testing.assert_close(found, expected.detach(), rtol=limit, atol=limit)
    assert len(seen) >= 2 * 5, "support and queries of each task"


def spied(function, calls):
    def spy(*args):
        calls.append(args)
        return function(*args)

    return spy


@pytest.mark.parametrize("engine", ["threads", "vmap"])
@pytest.mark.parametrize("name", ["protonet", "mprotonet", "kml-protonet"])
def test_shipped_learners_keep_six_digits(name, engine):
    learner, episodes = tr.load_learner(name), tasks(3, side=28)
    params = learner.init_params(0)
    wide = {key: value.double() for key, value in params.items()}
    expected = torch.stack([learner.episode_loss(wide, task.to(dtype=torch.float64)) for task in episodes])
    evaluate = ENGINES[engine](learner, episodes)
    torch.testing.assert_close(evaluate(params)[:, 0], expected, rtol=3e-6, atol=0)
    moved = {key: value + 0.001 for key, value in params.items()}
    found = evaluate.each([(2, moved), (0, params)])[:, 0]
    assert torch.equal(found[1], evaluate(params)[0, 0]), "no kernel of another θ was kept"
    torch.testing.assert_close(found[0], evaluate(moved)[2, 0], rtol=0, atol=0)


def test_maps_are_tensors_for_everybody_else():
    x, weight = images(4, 3, 8, 8), kernel(6, 3, 3, 3)
    maps = F.conv2d(Maps.of(x, Kernels({}), KeptPatches()), weight, stride=2)
    assert isinstance(maps, Maps)
    assert (tuple(maps.shape), maps.dtype, maps.dim(), len(maps)) == ((4, 6, 3, 3), torch.float32, 4, 4)
    expected = F.conv2d(x, weight, stride=2)
    normalised = F.batch_norm(maps, None, None, training=True)
    for found, wanted in (
        (maps.sum(), expected.sum()),
        (maps[1, ..., 0], expected[1, ..., 0]),
        (torch.cat([maps, x.new_ones(1, 6, 3, 3)]), torch.cat([expected, x.new_ones(1, 6, 3, 3)])),
        (maps.numpy().mean(), expected.mean().item()),
        (normalised + normalised, 2 * F.batch_norm(expected, None, None, training=True)),
    ):
        torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(wanted), rtol=1e-4, atol=1e-5)
        assert not isinstance(found, Maps)


def test_what_a_gradient_goes_through_is_left_to_torch():
    x, weight = images(4, 3, 8, 8), kernel(6, 3, 3, 3).requires_grad_()
    seen = Maps.of(x, Kernels({"w": weight}), KeptPatches())
    loss = lambda w, at: F.batch_norm(F.conv2d(at, w), None, None, training=True).relu().pow(3).mean()
    expected = torch.autograd.grad(loss(weight, x), weight)[0]
    torch.testing.assert_close(torch.autograd.grad(loss(weight, seen), weight)[0], expected)
    torch.testing.assert_close(torch.func.grad(loss)(weight.detach(), seen), expected)


def test_a_batch_norm_of_one_number_is_refused_as_by_torch():
    one = Maps.of(images(1, 3, 1, 1), Kernels({}), KeptPatches())
    with pytest.raises(ValueError, match="more than 1 value"):
        F.batch_norm(one, None, None, training=True)


def test_a_module_with_running_statistics_and_an_inner_loop_is_as_ever():
    learner, episodes = make_net_learner(), tasks(3, side=28)
    params = learner.init_params(0)
    expected = ENGINES["loop"](learner, episodes)(params)
    torch.testing.assert_close(
        ENGINES["threads"](learner, episodes)(params), expected, rtol=1e-5, atol=1e-6, equal_nan=True
    )


def test_short_sums_are_taken_where_images_are_many():
    """Large means and small deviations, where torch's own sums of channels-last rows lose digits."""
    x = images(75, 8, 42, 42) * 0.1 + 3
    weight = torch.eye(8)[:, :, None, None].to(memory_format=torch.channels_last).contiguous()
    kept = Maps.of(x, Kernels({}), KeptPatches())
    later = F.conv2d(F.relu(exact_sums.batch_norm(kept)) + 3, weight)
    for found, wide in (
        (exact_sums.batch_norm(F.conv2d(kept, weight)), x.double()),
        (exact_sums.batch_norm(Maps.of(x, Kernels({}), KeptPatches())), x.double()),
        (exact_sums.batch_norm(later), F.relu(F.batch_norm(x.double(), None, None, training=True)) + 3),
    ):
        expected = F.batch_norm(wide, None, None, training=True)
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)


def test_images_that_are_seen_once_are_not_studied(monkeypatch):
    learner, episodes = tr.load_learner("protonet"), tasks(2, side=28)
    params = learner.init_params(0)
    expected = ENGINES["threads"](learner, episodes)(params)
    monkeypatch.setattr(Patches, "of", None)
    torch.testing.assert_close(ONCE(learner, episodes)(params), expected, rtol=1e-5, atol=0)
    with pytest.raises(EpisodeError):
        ENGINES["threads"](learner, episodes)(params)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("side", [4, 9])
def test_a_convolution_has_gradients_of_gradients(side, layout):
    x, weight = (t.to(memory_format=layout).requires_grad_() for t in (
        images(2, 3, side, side, dtype=torch.float64), kernel(4, 3, 3, 3, dtype=torch.float64)))  # fmt: skip
    convolution = lambda x, weight: fused.conv2d(x, weight, stride=2, padding=1)
    assert torch.autograd.gradcheck(convolution, (x, weight))
    assert torch.autograd.gradgradcheck(convolution, (x, weight))
    assert torch.autograd.gradgradcheck(lambda weight: convolution(x.detach(), weight), (weight,))
    assert torch.autograd.gradgradcheck(lambda x: convolution(x, weight.detach()), (x,))


@pytest.mark.parametrize("side", [4, 9])
def test_a_convolutions_gradients_of_all_orders_are_torchs(side):
    def third(convolution):
        x, weight = (t.clone().requires_grad_() for t in (wide_x, wide_weight))
        found = convolution(x, weight, stride=2, padding=1).pow(3).sum()
        for _ in range(3):
            found = sum(g.square().sum() for g in torch.autograd.grad(found, [x, weight], create_graph=True))
        return found

    wide_x = images(3, 3, side, side, dtype=torch.float64)
    wide_weight = kernel(5, 3, 3, 3, dtype=torch.float64) / 10
    torch.testing.assert_close(third(fused.conv2d), third(F.conv2d), rtol=1e-10, atol=0)


def test_gradients_of_images_lie_as_the_images_do():
    x, weight = images(3, 8, 4, 4).requires_grad_(), kernel(5, 8, 3, 3)
    (found,) = torch.autograd.grad(fused.conv2d(x, weight, stride=2, padding=1).sum(), [x])
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("side", [4, 9])
def test_only_kernels_of_theta_are_kept(side, relu):
    x, own, other = images(20, 3, side, side), kernel(4, 3, 3, 3), kernel(4, 3, 3, 3)
    kernels, geometry = Kernels({"w": own}), Geometry.of(own, 2, 1, 1)
    convolve(x, other, None, geometry, kernels, relu=relu)
    assert not kernels._laid_out, "another kernel may come to lie where it lay"
    convolve(x, own, None, geometry, kernels, relu=relu)
    assert kernels._laid_out
