"""Prototypical networks (Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017).

    c_k = mean of f(x) over the support of class k,    p(y=k | x) = softmax_k(-‖f(x) - c_k‖²),    L = mean of -log p(y | x) over the queries

with ``f`` the released four-block backbone, flattened (1024 features at 28 pixels, 9216 at 84), as in KML-Classification. The squared
distance is summed over features and not scaled. Adapting means computing the prototypes and, with a modulation (see ``mmaml`` and
``kml``), the modulators, from the support set.

Deviations from the released code: its unused linear head is left out. Two of its habits change the numbers, and are options, off by
default: ``transductive`` (on in its published commands) and ``query_modulation="query"``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from meta_models._modulation import Modulation, Modulators, check, features
from meta_models._settings import check_settings
from meta_models.backbones import conv4
from meta_models.training import Recipe
from transference import Episode, Params


@dataclass(frozen=True)
class ProtoNet:
    """ProtoNet: the nearest class mean, on the released backbone. Ways, shots and image sides are whatever the episode's are.

    Args:
        channels: of the images, 1 or 3.
        transductive: move the prototypes towards the queries, as the released code does (see ``softened`` in ``meta_models/protonet.py``).
        modulation: how the backbone changes with the task, or None.
        query_modulation: from which images the queries' modulators come: ``"support"``, as in the paper, or ``"query"``, as in the
            released code.

    Raises:
        ValueError: ``query_modulation`` is neither, or asks for what there is no modulation for; or a setting is of the wrong kind.
    """

    channels: int = 3
    transductive: bool = False
    modulation: Modulation | None = None
    query_modulation: str = "support"

    def __post_init__(self) -> None:
        check(self.modulation)
        check_settings(self, channels=1)
        if self.query_modulation not in {"support", "query"}:
            raise ValueError(f"query_modulation is {self.query_modulation!r}; it must be 'support' or 'query'.")
        if self.query_modulation == "query" and self.modulation is None:
            raise ValueError(
                "query_modulation is 'query', but there is no modulation; choose the learner mprotonet or kml-protonet."
            )

    def init_params(self, seed: int) -> Params:
        """Return fresh parameters, 389 376 numbers at 3 channels, and those of the modulation."""
        generator = torch.Generator().manual_seed(seed)
        backbone = conv4.init(generator, channels=self.channels, affine=True)
        return backbone if self.modulation is None else backbone | self.modulation.init(generator, self.channels)

    def recipe(self, modes: int) -> Recipe:
        """Return the released training: 300 000 tasks, the rate halved at updates 10 000, 20 000 and 30 000."""
        del modes
        return Recipe(iterations=30_000, meta_batch=10, halve_every=10_000)

    def episode_loss(self, params: Params, episode: Episode) -> Tensor:
        """Return the mean negative log-likelihood of the queries, ``[]``."""
        return F.cross_entropy(self.episode_logits(params, episode), episode.query_y)

    def episode_scores(self, params: Params, episode: Episode) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy on the queries, both ``[]``."""
        logits = self.episode_logits(params, episode)
        correct = logits.argmax(dim=1) == episode.query_y
        return F.cross_entropy(logits, episode.query_y), correct.float().mean()

    def episode_logits(self, params: Params, episode: Episode) -> Tensor:
        """Return the negative squared distances ``[n_query, n_support]``, a column per label as in ``prototype_logits``."""
        support, query = self._embed(params, episode)
        logits = prototype_logits(support, episode.support_y, query)
        if self.transductive:
            count = F.one_hot(episode.support_y, len(support)).sum(dim=0)
            prototypes, centre = softened(support, query, logits.softmax(dim=1), count), support.mean(dim=0)
            moved = -squared_distances(query - centre, prototypes - centre)
            logits = moved.masked_fill(count == 0, -torch.inf)
        return logits

    def _embed(self, params: Params, episode: Episode) -> tuple[Tensor, Tensor]:
        """Return the flattened features of support and queries."""
        by_support: Modulators = ()
        by_query: Modulators = ()
        if self.modulation is not None:
            by_support = by_query = self.modulation.modulators(params, episode.support_x)
            if self.query_modulation == "query":
                by_query = self.modulation.modulators(params, episode.query_x)
        support = features(self.modulation, params, episode.support_x, by_support)
        query = features(self.modulation, params, episode.query_x, by_query)
        return support.flatten(1), query.flatten(1)


def prototype_logits(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
    """Return ``-‖q - c_k‖²``, ``[n_query, n_support]``: one column per label, those that no support row has at -∞.

    There are at most as many labels as support rows. Giving each possible label a column keeps the shapes free of the
    values of the labels, which batching over episodes needs.

    Args:
        support: features ``[n_support, d]``.
        labels: theirs, ``[n_support]``.
        query: features ``[n_query, d]``.
    """
    belongs = F.one_hot(labels, len(support)).to(support.dtype)  # [n_support, label]
    count = belongs.sum(dim=0)
    # Centred first: the distances stay the same, and expanding their square then cancels no digits that a loss ratio needs.
    centre = support.mean(dim=0)
    prototypes = (belongs.T @ (support - centre)) / count.clamp(min=1)[:, None]
    return (-squared_distances(query - centre, prototypes)).masked_fill(count == 0, -torch.inf)


def softened(support: Tensor, query: Tensor, p: Tensor, count: Tensor) -> Tensor:
    """Return the released code's transductive prototypes ``[label, d]``, (S_j + Σ_q p_qj f_q) / (shots + Σ_q p_qj).

    S_j is meant to be the sum of class j's support features. What the released code sums are rows ``j·shots … (j+1)·shots - 2`` of the
    support set: one row too few (none at all with one shot), and those of class j only where the groups happen to stand in the order
    of their labels. Models were trained with it, so it is kept.

    Args:
        support: features ``[n_support, d]``, the rows of a class in one group.
        query: features ``[n_query, d]``.
        p: probability of each query's label before the update, ``[n_query, label]``.
        count: support rows per label, ``[label]``; 0 for labels that do not occur.
    """
    row, label = torch.arange(len(support), device=support.device), torch.arange(len(count), device=support.device)
    shots = len(support) // (count > 0).sum()
    summed = (row[:, None] // shots == label) & (row[:, None] % shots != shots - 1)  # [n_support, label]
    return (summed.to(support.dtype).T @ support + p.T @ query) / (shots + p.sum(dim=0))[:, None]


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return ``‖a_i - b_k‖² = ‖a_i‖² - 2⟨a_i, b_k⟩ + ‖b_k‖²``, ``[n_a, n_b]``, for rows of ``[n_a, d]`` and ``[n_b, d]``."""
    return a.square().sum(dim=1)[:, None] - 2 * (a @ b.T) + b.square().sum(dim=1)[None, :]
