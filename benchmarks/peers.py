"""What a careful user would write to measure loss ratios without this package: the backbone as an ``nn.Module``, and a plain loop.

Most functions return a reading: from the parameters after a step to the losses of the targets; two are the losses that a plain loop trains
on. They use what one finds in tutorials, ``torch.func.functional_call`` with ``torch.autograd.grad``, ``higher`` (its last release is of
2020) and ``TorchOpt``, and nothing of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from transference import Episode, Params

Reading: TypeAlias = Callable[[Params], list[float]]


class Conv4(nn.Module):
    """The released backbone, with a head for MAML."""

    def __init__(self, *, affine: bool, ways: int = 0) -> None:
        super().__init__()
        self.features = nn.Sequential()
        for block, (c_in, c_out) in enumerate(((3, 32), (32, 64), (64, 128), (128, 256)), start=1):
            self.features.add_module(f"layer{block}_conv", nn.Conv2d(c_in, c_out, 3, stride=2, padding=1))
            self.features.add_module(
                f"layer{block}_bn", nn.BatchNorm2d(c_out, affine=affine, track_running_stats=False)
            )
            self.features.add_module(f"layer{block}_relu", nn.ReLU())
        self.classifier = nn.Sequential()
        if ways:
            self.classifier.add_module("fully_connected", nn.Linear(256, ways))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits with a head, features without."""
        maps = self.features(images)
        return self.classifier(maps.mean(dim=(2, 3))) if len(self.classifier) else maps.flatten(1)


def protonet_loss(net: nn.Module, params: Params, episode: Episode) -> Tensor:
    """ProtoNet's loss of one task."""
    support, query = (functional_call(net, params, (images,)) for images in (episode.support_x, episode.query_x))
    classes = episode.support_y.unique()
    prototypes = torch.stack([support[episode.support_y == c].mean(dim=0) for c in classes])
    return F.cross_entropy(-(torch.cdist(query, prototypes) ** 2), episode.query_y)


def maml_loss(net: nn.Module, params: Params, episode: Episode, steps: int, lr: float, clamp: float) -> Tensor:
    """MAML's loss of one task, whose gradient goes through the inner steps."""
    fast = params
    for _ in range(steps):
        inner = F.cross_entropy(functional_call(net, fast, (episode.support_x,)), episode.support_y)
        gradients = torch.autograd.grad(inner, list(fast.values()), create_graph=True)
        fast = {
            name: value - lr * g.clamp(-clamp, clamp) for (name, value), g in zip(fast.items(), gradients, strict=True)
        }
    return F.cross_entropy(functional_call(net, fast, (episode.query_x,)), episode.query_y)


def protonet(episodes: Sequence[Episode]) -> Reading:
    """A plain loop over ProtoNet's targets."""
    net = Conv4(affine=True)

    @torch.no_grad()
    def read(params: Params) -> list[float]:
        return [protonet_loss(net, params, episode).item() for episode in episodes]

    return read


def kml_protonet(episodes: Sequence[Episode]) -> Reading:
    """A plain loop over the targets of MProtoNet+KML: encoder, generators and modulated kernels as the formulas have them."""

    def block(x: Tensor, params: Params, conv: str, norm: str) -> Tensor:
        x = F.conv2d(x, params[f"{conv}.weight"], params[f"{conv}.bias"], stride=2, padding=1)
        return F.relu(F.batch_norm(x, None, None, params[f"{norm}.weight"], params[f"{norm}.bias"], training=True))

    def encode(params: Params, x: Tensor) -> Tensor:
        for k in range(1, 5):
            x = block(x, params, f"encoder.conv.conv{k}", f"encoder.conv.bn{k}")
        pooled = x.mean(dim=(2, 3))
        return F.relu(F.linear(pooled, params["encoder.linear.weight"], params["encoder.linear.bias"])).mean(dim=0)

    def modulated(params: Params, vector: Tensor) -> Params:
        made = dict(params)
        for k in range(4):
            rows, columns, shift = (
                F.linear(vector, params[f"generator.{i}.weight"], params[f"generator.{i}.bias"])
                for i in range(3 * k, 3 * k + 3)
            )
            conv = f"features.layer{k + 1}_conv"
            kernel = params[f"{conv}.weight"]
            made[f"{conv}.weight"] = kernel * (1 + torch.outer(rows, columns).view_as(kernel))
            made[f"{conv}.bias"] = params[f"{conv}.bias"] + shift
        return made

    def features(params: Params, x: Tensor) -> Tensor:
        for k in range(1, 5):
            x = block(x, params, f"features.layer{k}_conv", f"features.layer{k}_bn")
        return x.flatten(1)

    def loss(params: Params, episode: Episode) -> Tensor:
        own = modulated(params, encode(params, episode.support_x))
        support, query = features(own, episode.support_x), features(own, episode.query_x)
        prototypes = torch.stack([support[episode.support_y == c].mean(dim=0) for c in episode.support_y.unique()])
        return F.cross_entropy(-(torch.cdist(query, prototypes) ** 2), episode.query_y)

    @torch.no_grad()
    def read(params: Params) -> list[float]:
        return [loss(params, episode).item() for episode in episodes]

    return read


def maml(episodes: Sequence[Episode], steps: int, lr: float, clamp: float) -> Reading:
    """A plain loop over MAML's targets."""
    net = Conv4(affine=False, ways=5)

    def loss(params: Params, episode: Episode) -> Tensor:
        fast = {name: value.detach().requires_grad_() for name, value in params.items()}
        for _ in range(steps):
            inner = F.cross_entropy(functional_call(net, fast, (episode.support_x,)), episode.support_y)
            gradients = torch.autograd.grad(inner, list(fast.values()))
            fast = {
                name: (value - lr * g.clamp(-clamp, clamp)).detach().requires_grad_()
                for (name, value), g in zip(fast.items(), gradients, strict=True)
            }
        with torch.no_grad():
            return F.cross_entropy(functional_call(net, fast, (episode.query_x,)), episode.query_y)

    return lambda params: [loss(params, episode).item() for episode in episodes]


def convolutions(episodes: Sequence[Episode]) -> Reading:
    """What no exact measurement on a CPU can do without: each image through four convolutions, in oneDNN's own layouts, and no more.

    Kernels are laid out once, ReLUs are part of the call, and there is no batch norm, no adaptation and no loss.
    """
    images = [
        tensor.to(memory_format=torch.channels_last)
        for episode in episodes
        for tensor in (episode.support_x, episode.query_x)
    ]
    geometry = ([1, 1], [2, 2], [1, 1], 1)  # padding, stride, dilation, groups

    @torch.inference_mode()
    def read(params: Params) -> list[float]:
        laid_out: dict[tuple[int, torch.Size], Tensor] = {}
        for whole in images:
            x = whole
            for k in range(1, 5):
                if (k, x.shape) not in laid_out:
                    kernel = params[f"features.layer{k}_conv.weight"]
                    laid_out[k, x.shape] = torch.ops.mkldnn._reorder_convolution_weight(kernel, *geometry, [*x.shape])
                x = torch.ops.mkldnn._convolution_pointwise(x, laid_out[k, x.shape], None, *geometry, "relu", [], "")
        return []

    return read


def maml_higher(episodes: Sequence[Episode], steps: int, lr: float, clamp: float) -> Reading:
    """MAML's targets with ``higher``."""
    import higher

    net = Conv4(affine=False, ways=5).to(episodes[0].query_x.device)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)

    def read(params: Params) -> list[float]:
        net.load_state_dict(params)
        found = []
        for episode in episodes:
            with higher.innerloop_ctx(net, optimizer, copy_initial_weights=False, track_higher_grads=False) as (
                fast,
                step,
            ):
                for _ in range(steps):
                    inner = F.cross_entropy(fast(episode.support_x), episode.support_y)
                    step.step(inner, grad_callback=lambda gradients: [g.clamp(-clamp, clamp) for g in gradients])
                with torch.no_grad():
                    found.append(F.cross_entropy(fast(episode.query_x), episode.query_y).item())
        return found

    return read


def maml_torchopt(episodes: Sequence[Episode], steps: int, lr: float, clamp: float) -> Reading:
    """MAML's targets with ``TorchOpt``."""
    import torchopt

    net = Conv4(affine=False, ways=5).to(episodes[0].query_x.device)
    optimizer = torchopt.MetaOptimizer(
        net, torchopt.combine.chain(torchopt.clip.clip_grad_norm(float("inf")), torchopt.sgd(lr=lr))
    )

    def read(params: Params) -> list[float]:
        net.load_state_dict(params)
        begun = torchopt.extract_state_dict(net, by="reference", detach_buffers=True)
        found = []
        for episode in episodes:
            for _ in range(steps):
                optimizer.step(F.cross_entropy(net(episode.support_x), episode.support_y))
            with torch.no_grad():
                found.append(F.cross_entropy(net(episode.query_x), episode.query_y).item())
            torchopt.recover_state_dict(net, begun)
        return found

    del clamp  # it has no elementwise limit; no gradient comes near ours here
    return read
