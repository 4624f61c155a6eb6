"""Model-agnostic meta-learning (Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017).

    φ ← φ - lr · clamp(∇_φ L_support(φ), ±20)    for each inner step, from φ = θ,    L = mean cross-entropy of the queries at φ

with the released four-block backbone without affine batch norm, averaged over space to 256 features, and a linear head, as in
MMAML-Classification. All parameters of backbone and head are adapted. With a modulation (see ``mmaml`` and ``kml``) the modulators are
computed once, from the support set at θ, and stay the same through the inner loop and for the queries. The outer gradient goes through the
inner steps (second order) unless ``second_order`` is off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from meta_models._modulation import Modulation, Modulators, check, features
from meta_models._settings import check_settings
from meta_models.backbones import conv4, task_encoder
from meta_models.training import Recipe
from transference import Episode, Params
from transference.devices import eager

_HEAD = "classifier.fully_connected"


@dataclass(frozen=True)
class InnerLoop:
    """Plain gradient steps on the support loss.

    Args:
        steps: how many.
        lr: their size.
        clamp: each element of a gradient is limited to ± this; 0 does not limit it.
        second_order: let the outer gradient go through the steps.
    """

    steps: int
    lr: float
    clamp: float
    second_order: bool

    def __call__(self, support_loss: Callable[[Params], Tensor], params: Params) -> Params:
        """Return the parameters after the steps, from ``params``."""
        for _ in range(self.steps):
            gradient = inner_gradient(support_loss, params, graph=self.second_order)
            if self.clamp and not _within(gradient, self.clamp):
                gradient = {name: g.clamp(-self.clamp, self.clamp) for name, g in gradient.items()}
            params = params | {name: torch.add(params[name], g, alpha=-self.lr) for name, g in gradient.items()}
        return params


def _within(gradient: Params, limit: float) -> bool:
    """Return whether limiting a gradient is known to change nothing, neither it nor what passes through it.

    A step that limits nothing then leaves no trace of it in the graph, which saves second order a tenth of its time with few images.
    """
    if not eager() or any(g.device.type != "cpu" for g in gradient.values()):
        return False
    ends = [end for g in gradient.values() if g.numel() for end in g.detach().aminmax()]
    return all(-limit <= float(end) <= limit for end in ends)  # NaN is not


def inner_gradient(loss: Callable[[Params], Tensor], params: Params, *, graph: bool) -> Params:
    """Return the gradient of a loss with respect to all parameters; one that it does not depend on may have no entry.

    Inside a transform of ``torch.func``, compiled, or of what was made in inference mode, ``torch.func.grad`` alone will do. Elsewhere
    autograd takes less time, and keeps what a derivative of the gradient would need only where one will be taken.

    Args:
        loss: from the parameters to a scalar ``[]``.
        params: where.
        graph: whether the gradient is a function of the parameters for an outer gradient.
    """
    if not eager() or torch.is_inference_mode_enabled() or any(value.is_inference() for value in params.values()):
        gradient = torch.func.grad(loss)(params)
        return gradient if graph else {name: g.detach() for name, g in gradient.items()}
    graph = graph and any(value.requires_grad for value in params.values())
    with torch.enable_grad():
        at = {name: v if graph and v.requires_grad else v.detach().requires_grad_() for name, v in params.items()}
        found = torch.autograd.grad(loss(at), [*at.values()], create_graph=graph, allow_unused=True)
    return {name: g for name, g in zip(at, found, strict=True) if g is not None}


@dataclass(frozen=True)
class MAML:
    """MAML: gradient steps on the support set, on the released backbone.

    Args:
        ways: outputs of the head; episodes may have at most as many classes.
        channels: of the images, 1 or 3.
        inner_steps: gradient steps on the support set.
        inner_lr: their size.
        clamp: each element of an inner gradient is limited to ± this; 0 does not limit it.
        second_order: let the outer gradient go through the inner steps.
        modulation: how the backbone changes with the task, or None.

    Raises:
        ValueError: ``modulation`` is something else, or a number is negative or of the wrong kind.
    """

    ways: int = 5
    channels: int = 3
    inner_steps: int = 5
    inner_lr: float = 0.05
    clamp: float = 20.0
    second_order: bool = True
    modulation: Modulation | None = None

    def __post_init__(self) -> None:
        check(self.modulation)
        check_settings(self, ways=1, channels=1)

    def init_params(self, seed: int) -> Params:
        """Return fresh parameters, 389 701 numbers at 5 ways and 3 channels, and those of the modulation."""
        generator = torch.Generator().manual_seed(seed)
        params = conv4.init(generator, channels=self.channels, affine=False)
        params[f"{_HEAD}.weight"] = conv4.xavier_uniform((self.ways, conv4.WIDTHS[-1]), generator)
        params[f"{_HEAD}.bias"] = torch.zeros(self.ways)
        return params if self.modulation is None else params | self.modulation.init(generator, self.channels)

    def recipe(self, modes: int) -> Recipe:
        """Return the released training: 600 000 tasks at 5 ways, 400 000 in meta-batches of 5 at 20; the rate stays."""
        del modes
        return Recipe(iterations=60_000) if self.ways < 20 else Recipe(iterations=80_000, meta_batch=5)

    def episode_loss(self, params: Params, episode: Episode) -> Tensor:
        """Return the mean cross-entropy of the queries after adaptation, ``[]``."""
        return F.cross_entropy(self.episode_logits(params, episode), episode.query_y)

    def episode_scores(self, params: Params, episode: Episode) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy on the queries after adaptation, both ``[]``."""
        logits = self.episode_logits(params, episode)
        correct = logits.argmax(dim=1) == episode.query_y
        return F.cross_entropy(logits, episode.query_y), correct.float().mean()

    def episode_logits(self, params: Params, episode: Episode) -> Tensor:
        """Return the queries' logits ``[n_query, ways]`` after adaptation."""
        modulators = self._modulators(params, episode)
        return self._classify(self._adapt(params, episode, modulators), episode.query_x, modulators)

    def adapt(self, params: Params, episode: Episode) -> Params:
        """Return the parameters of backbone and head after the inner loop on the support set."""
        return self._adapt(params, episode, self._modulators(params, episode))

    def _adapt(self, params: Params, episode: Episode, modulators: Modulators) -> Params:
        inner_loop = InnerLoop(self.inner_steps, self.inner_lr, self.clamp, self.second_order)
        support_loss = lambda adapted: F.cross_entropy(
            self._classify(adapted, episode.support_x, modulators), episode.support_y
        )
        return inner_loop(support_loss, task_encoder.without(params))

    def _modulators(self, params: Params, episode: Episode) -> Modulators:
        return () if self.modulation is None else self.modulation.modulators(params, episode.support_x)

    def _classify(self, params: Params, images: Tensor, modulators: Modulators) -> Tensor:
        """Return ``[n, ways]`` logits of images ``[n, channels, side, side]``."""
        pooled = features(self.modulation, params, images, modulators).mean(dim=(2, 3))
        return F.linear(pooled, params[f"{_HEAD}.weight"], params[f"{_HEAD}.bias"])
