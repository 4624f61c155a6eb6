"""One latent space for all modalities, after Huang et al.

Huang, Du, Xue, Chen, Zhao & Huang, "What Makes Multi-modal Learning Better than Single (Provably)", NeurIPS 2021.

    z(x) = mean of g_m(x_m) over the modalities m that are there,    f(x) = T·ReLU(z(x)) + t
    c_k = mean of f(x) over the support of class k,    p(y=k | x) = softmax_k(-‖f(x) - c_k‖² / d)

with an encoder ``g_m`` for each modality (``backbones/encoders``) and one task map for every subset of them, d numbers
wide. L is the mean of -log p(y | x) over the queries. Support and queries are embedded each by what is there, so a task may
have its support in one modality and its queries in another. ``trunk = false`` leaves the map out, ``f = z``: tasks of
different modalities then share no parameter.

From the paper: encoders into a common latent space and one map from it, h ∘ g. Ours: that the latent vectors of the
modalities that are there are averaged (in the paper's experiments they are concatenated), so that every subset meets the
same map; prototypes in place of a classifier's head, for classes that are new in every task; the division by d, a mean in
place of a sum of squares, without which fresh networks are so sure of themselves that losses of tens of nats are followed
by losses of exactly 0, which have no ratio; encoders and training. No number of the paper is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from meta_models._settings import check_settings
from meta_models.backbones import encoders
from meta_models.protonet import prototype_logits
from meta_models.training import Recipe
from transference import Episode, Params


@dataclass(frozen=True)
class SharedLatent:
    """Encoders of modalities into one latent space, a map that all share, and the nearest class mean.

    Args:
        modalities: the shape of one example by name; three numbers (channels, side, side) are an image. Their order is of no
            consequence. ``transference train`` fills it in from the modes.
        hidden: units of the encoders of anything but images.
        latent: numbers in a latent vector.
        trunk: whether there is a map behind the latent space; without it modalities share nothing.

    Raises:
        ValueError: ``modalities`` has no shapes by name, or a setting is of the wrong kind.
    """

    modalities: Mapping[str, Sequence[int]]
    hidden: int = 64
    latent: int = 64
    trunk: bool = True
    # What modalities are called says nothing of their parameters: all of them move, and each is a tensor of its own.
    constants: ClassVar[tuple[str, ...]] = ()
    tied: ClassVar[tuple[tuple[str, ...], ...]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "modalities", encoders.shapes_of(self.modalities))
        check_settings(self, hidden=1, latent=1)

    def init_params(self, seed: int) -> Params:
        """Return fresh parameters: ``encoders/MODALITY/…`` and ``trunk/…``."""
        rng = torch.Generator().manual_seed(seed)
        params: Params = {}
        for name, shape in self.modalities.items():
            encoder = encoders.init_encoder(rng, shape, hidden=self.hidden, outputs=self.latent)
            params |= encoders.called(f"encoders/{name}", encoder)
        trunk = encoders.linear("trunk", self.latent, self.latent, rng) if self.trunk else {}
        return params | trunk

    def recipe(self, modes: int) -> Recipe:
        """Return a training of our own choice, a minute on a CPU for vectors and windows: the paper has no such tasks."""
        del modes
        return Recipe(iterations=1000)

    def episode_loss(self, params: Params, episode: Episode[Any]) -> Tensor:
        """Return the mean negative log-likelihood of the queries, ``[]``."""
        return F.cross_entropy(self.episode_logits(params, episode), episode.query_y)

    def episode_scores(self, params: Params, episode: Episode[Any]) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy on the queries, both ``[]``."""
        logits = self.episode_logits(params, episode)
        correct = logits.argmax(dim=1) == episode.query_y
        return F.cross_entropy(logits, episode.query_y), correct.float().mean()

    def episode_logits(self, params: Params, episode: Episode[Any]) -> Tensor:
        """Return minus the mean squared differences ``[n_query, n_support]``, a column per label as in ProtoNet.

        Raises:
            ValueError: the inputs are no tensors by name, or some that the learner does not know.
        """
        support = self._embed(params, encoders.present(self.modalities, episode.support_x, "the support set"))
        query = self._embed(params, encoders.present(self.modalities, episode.query_x, "the query set"))
        return prototype_logits(support, episode.support_y, query) / self.latent

    def _embed(self, params: Params, inputs: Params) -> Tensor:
        """Return f(x), ``[n, latent]``, of the modalities that are there."""
        each = [
            encoders.encode(encoders.part_of(params, f"encoders/{name}"), self.modalities[name], x)
            for name, x in inputs.items()
        ]
        z = torch.stack(each).mean(dim=0)
        return encoders.apply("trunk", params, F.relu(z)) if self.trunk else z
