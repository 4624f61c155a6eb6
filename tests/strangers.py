"""Learners that someone else might bring. None is a subclass of anything in the packages."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from transference import Episode, ModuleLearner


class PixelPrototypes:
    """Nearest prototype after one linear map of the pixels: fast, smooth, and with a gradient everywhere."""

    def init_params(self, seed):
        generator = torch.Generator().manual_seed(seed)
        return {"map.weight": 0.05 * torch.randn(6, 3 * 28 * 28, generator=generator), "map.bias": torch.zeros(6)}

    def episode_loss(self, params, episode):
        embed = lambda x: torch.tanh(F.linear(x.flatten(1), params["map.weight"], params["map.bias"]))
        support, query = embed(episode.support_x), embed(episode.query_x)
        ways = int(episode.support_y.max()) + 1
        prototypes = torch.stack([support[episode.support_y == k].mean(dim=0) for k in range(ways)])
        return F.cross_entropy(-torch.cdist(query, prototypes), episode.query_y)


class Vanishing(PixelPrototypes):
    """Its loss falls to 0 after any step, on one episode in two: those whose queries are the darker in the left half."""

    def episode_loss(self, params, episode):
        loss = super().episode_loss(params, episode)
        left, right = (float(half.mean()) for half in episode.query_x.chunk(2, dim=3))
        return 0.0 * loss if left < right and params["map.bias"].detach().any() else loss


class Net(nn.Module):
    """A network with running statistics, as people have them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=4)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 49, 5)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.conv(x))).flatten(1))


def one_step_loss(module: nn.Module, episode: Episode):
    """An inner loop with torch.autograd.grad and functional_call, as one would write it without knowing this package."""
    params = dict(module.named_parameters())
    loss = F.cross_entropy(module(episode.support_x), episode.support_y)
    gradients = torch.autograd.grad(loss, list(params.values()), create_graph=True)
    adapted = {name: p - 0.1 * g for (name, p), g in zip(params.items(), gradients, strict=True)}
    return F.cross_entropy(torch.func.functional_call(module, adapted, (episode.query_x,)), episode.query_y)


def make_net_learner():
    return ModuleLearner(Net(), one_step_loss)


class Impure:
    """Breaks the rules, in the way that ``how`` says."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.calls = torch.zeros(())
        self.hidden = 0

    def episode_loss(self, params, episode):
        value = params["w"].square().sum()
        if self.how == "params":
            params["w"].data.add_(1.0)
        elif self.how == "episode":
            episode.query_x.add_(1.0)
        elif self.how == "attribute":
            self.calls += 1
        elif self.how == "dropout":
            value = value * F.dropout(torch.ones(10)).mean()
        elif self.how == "hidden":
            self.hidden += 1
            value = value + self.hidden
        elif self.how == "vector":
            value = params["w"].square()
        elif self.how == "constant":
            value = torch.tensor(1.0)
        return value
