"""Model-agnostic meta-learning (Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017).

    φ ← φ - lr · clamp(∇_φ L_support(φ), ±20)    for each inner step, from φ = θ,    L = mean cross-entropy of the queries at φ

with the released four-block backbone without affine batch norm, averaged over space to 256 features, and a linear head, as in
MMAML-Classification. All parameters are adapted. The outer gradient goes through the inner steps (second order) unless
``second_order`` is off.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from meta_models.backbones import conv4
from transference import Episode, Params

_HEAD = "classifier.fully_connected"


@dataclass(frozen=True)
class MAML:
    """MAML on the released backbone.

    Args:
        ways: outputs of the head; episodes may have at most as many classes.
        channels: of the images, 1 or 3.
        inner_steps: gradient steps on the support set.
        inner_lr: their size.
        clamp: each element of an inner gradient is limited to ± this.
        second_order: let the outer gradient go through the inner steps.
    """

    ways: int = 5
    channels: int = 3
    inner_steps: int = 5
    inner_lr: float = 0.05
    clamp: float = 20.0
    second_order: bool = True

    def init_params(self, seed: int) -> Params:
        """Return fresh parameters, 389 701 numbers at 5 ways and 3 channels."""
        generator = torch.Generator().manual_seed(seed)
        params = conv4.init(generator, channels=self.channels, affine=False)
        params[f"{_HEAD}.weight"] = conv4.xavier_uniform((self.ways, conv4.WIDTHS[-1]), generator)
        params[f"{_HEAD}.bias"] = torch.zeros(self.ways)
        return params

    def episode_loss(self, params: Params, episode: Episode) -> Tensor:
        """Return the mean cross-entropy of the queries after adaptation, ``[]``."""
        return F.cross_entropy(self.logits(self.adapt(params, episode), episode.query_x), episode.query_y)

    def episode_scores(self, params: Params, episode: Episode) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy on the queries after adaptation, both ``[]``."""
        logits = self.logits(self.adapt(params, episode), episode.query_x)
        correct = logits.argmax(dim=1) == episode.query_y
        return F.cross_entropy(logits, episode.query_y), correct.float().mean()

    def adapt(self, params: Params, episode: Episode) -> Params:
        """Return the parameters after the inner loop on the support set."""

        def support_loss(adapted: Params) -> Tensor:
            return F.cross_entropy(self.logits(adapted, episode.support_x), episode.support_y)

        for _ in range(self.inner_steps):
            gradient = torch.func.grad(support_loss)(params)
            if not self.second_order:
                gradient = {name: g.detach() for name, g in gradient.items()}
            params = {name: value - self.inner_lr * gradient[name].clamp(-self.clamp, self.clamp) for name, value in params.items()}
        return params

    @staticmethod
    def logits(params: Params, images: Tensor) -> Tensor:
        """Return ``[n, ways]`` logits of images ``[n, channels, side, side]``."""
        pooled = conv4.features(params, images).mean(dim=(2, 3))
        return F.linear(pooled, params[f"{_HEAD}.weight"], params[f"{_HEAD}.bias"])
