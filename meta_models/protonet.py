"""Prototypical networks (Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017).

    c_k = mean of f(x) over the support of class k,    p(y=k | x) = softmax_k(-‖f(x) - c_k‖²),    L = mean of -log p(y | x) over the queries

with ``f`` the released four-block backbone, flattened (1024 features at 28 pixels, 9216 at 84), as in KML-Classification. The squared
distance is summed over features and not scaled. Adapting means computing the prototypes.

Deviations from the released code: its unused linear head is left out; its transductive prototype update is not offered here yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from meta_models.backbones import conv4
from transference import Episode, Params


@dataclass(frozen=True)
class ProtoNet:
    """A prototypical network on the released backbone. Ways, shots and image sides are whatever the episode's are.

    Args:
        channels: of the images, 1 or 3.
    """

    channels: int = 3

    def init_params(self, seed: int) -> Params:
        """Return fresh parameters, 389 376 numbers at 3 channels."""
        return conv4.init(torch.Generator().manual_seed(seed), channels=self.channels, affine=True)

    def episode_loss(self, params: Params, episode: Episode) -> Tensor:
        """Return the mean negative log-likelihood of the queries, ``[]``."""
        return F.cross_entropy(self.logits(params, episode), episode.query_y)

    def episode_scores(self, params: Params, episode: Episode) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy on the queries, both ``[]``."""
        logits = self.logits(params, episode)
        correct = logits.argmax(dim=1) == episode.query_y
        return F.cross_entropy(logits, episode.query_y), correct.float().mean()

    def logits(self, params: Params, episode: Episode) -> Tensor:
        """Return the negative squared distances ``[n_query, n_support]``: one column per label, those that no support row has at -∞.

        There are at most as many labels as support rows. Giving each possible label a column keeps the shapes free of the values of the
        labels, which batching over episodes needs.
        """
        support = conv4.features(params, episode.support_x).flatten(1)
        query = conv4.features(params, episode.query_x).flatten(1)
        belongs = F.one_hot(episode.support_y, len(support)).to(support.dtype)  # [n_support, label]
        count = belongs.sum(dim=0)
        # Centred first: the distances stay the same, and expanding their square then cancels no digits that a loss ratio needs.
        centre = support.mean(dim=0)
        prototypes = (belongs.T @ (support - centre)) / count.clamp(min=1)[:, None]
        distances = squared_distances(query - centre, prototypes)
        return (-distances).masked_fill(count == 0, -torch.inf)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return ``‖a_i - b_k‖² = ‖a_i‖² - 2⟨a_i, b_k⟩ + ‖b_k‖²``, ``[n_a, n_b]``, for rows of ``[n_a, d]`` and ``[n_b, d]``."""
    return a.square().sum(dim=1)[:, None] - 2 * (a @ b.T) + b.square().sum(dim=1)[None, :]
