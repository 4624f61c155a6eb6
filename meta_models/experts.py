"""Product of experts over the modalities that are there, after I2M2.

Madaan, Makino, Chopra & Cho, "Jointly Modeling Inter- & Intra-Modality Dependencies for Multi-modal Learning", NeurIPS 2024.

    log p(y | x) = log_softmax(Σ_m log p_m(y | x_m) + log p_joint(y | x)),    L = mean of -log p(y | x) over the queries

Every p_m is an expert for one modality ("intra"), p_joint one for all of them together ("inter"). They share nothing, have
equal weights, and are trained as one by the cross-entropy of the product. Each is a prototypical network with an encoder of
its own, p(y=k | x) = softmax_k(-‖f(x) - c_k‖² / d), as in ``shared_latent``. Multiplied are the experts for those modalities
that support and queries both have, and the joint one if these are all that the learner knows: so a task of one modality has
its expert alone, and tasks of different single modalities share no parameter.

As in the paper and its released code: the product, equal weights, one cross-entropy, the gradient's norm limited to 8 (the
recipe's ``clip_norm``). Ours: prototypes in place of classifiers, for classes that are new in every task; the joint expert
reads the flat examples (images: their four-block features) side by side; encoders and the rest of the training. Not taken
over: the released "intra" baseline, which is trained as a product and tested as an arithmetic mean of the experts'
probabilities; here ``experts = "intra"`` is a product in both. No number of the paper is claimed.

The product is as sure as its experts are together, so its loss can be above that of the joint expert alone where its
accuracy is not below: compare accuracies.
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

EXPERTS = ("product", "inter", "intra")


@dataclass(frozen=True)
class ProductOfExperts:
    """An expert for each modality and one for all together, multiplied.

    Args:
        modalities: the shape of one example by name; three numbers (channels, side, side) are an image. Their order is of no
            consequence. ``transference train`` fills it in from the modes.
        hidden: units of the encoders; an image's own has none.
        latent: numbers in the vector that an expert measures distances of.
        experts: ``"product"`` of all of them, the joint one alone (``"inter"``), or those for single modalities (``"intra"``).

    Raises:
        ValueError: ``modalities`` has no shapes by name, ``experts`` is something else or asks for a joint expert of one
            modality, or a setting is of the wrong kind.
    """

    modalities: Mapping[str, Sequence[int]]
    hidden: int = 64
    latent: int = 64
    experts: str = "product"
    # What modalities are called says nothing of their parameters: all of them move, and each is a tensor of its own.
    constants: ClassVar[tuple[str, ...]] = ()
    tied: ClassVar[tuple[tuple[str, ...], ...]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "modalities", encoders.shapes_of(self.modalities))
        check_settings(self, hidden=1, latent=1)
        if self.experts not in EXPERTS:
            raise ValueError(f"experts is {self.experts!r}; it must be one of {', '.join(map(repr, EXPERTS))}")
        if self.experts == "inter" and len(self.modalities) == 1:
            raise ValueError(
                f"experts is 'inter', but {next(iter(self.modalities))} is the only modality; name another"
            )

    def init_params(self, seed: int) -> Params:
        """Return fresh parameters: ``experts/MODALITY/…`` and ``joint/…``, those that the setting ``experts`` has a use for."""
        rng = torch.Generator().manual_seed(seed)
        params: Params = {}
        for name, shape in self.modalities.items() if self.experts != "inter" else ():
            expert = encoders.init_encoder(rng, shape, hidden=self.hidden, outputs=self.latent)
            params |= encoders.called(f"experts/{name}", expert)
        if self._joint:
            for name, shape in self.modalities.items():
                params |= encoders.called(f"joint/{name}", encoders.init_features(rng, shape))
            inputs = sum(map(encoders.n_features, self.modalities.values()))
            params |= encoders.called("joint", encoders.mlp(rng, inputs, hidden=self.hidden, outputs=self.latent))
        return params

    def recipe(self, modes: int) -> Recipe:
        """Return the released limit of the gradient's norm in a training of our own choice, a minute on a CPU for vectors."""
        del modes
        return Recipe(iterations=1000, clip_norm=8.0)

    def episode_loss(self, params: Params, episode: Episode[Any]) -> Tensor:
        """Return the mean negative log-likelihood of the queries, ``[]``."""
        return F.cross_entropy(self.episode_logits(params, episode), episode.query_y)

    def episode_scores(self, params: Params, episode: Episode[Any]) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy on the queries, both ``[]``."""
        logits = self.episode_logits(params, episode)
        correct = logits.argmax(dim=1) == episode.query_y
        return F.cross_entropy(logits, episode.query_y), correct.float().mean()

    def episode_logits(self, params: Params, episode: Episode[Any]) -> Tensor:
        """Return the logits of the product ``[n_query, n_support]``, a column per label as in ProtoNet.

        They are the sum of the experts' logits: what makes a probability of each adds a number to a whole row, which
        the softmax of the product takes away again.

        Raises:
            ValueError: the inputs are no tensors by name, or some that the learner does not know, or there is no expert for
                what support and queries have in common.
        """
        support = encoders.present(self.modalities, episode.support_x, "the support set")
        query = encoders.present(self.modalities, episode.query_x, "the query set")
        common = [name for name in support if name in query]
        whole = self._joint and len(common) == len(self.modalities)
        ours = common if self.experts != "inter" else []
        if not (ours or whole):
            raise ValueError(
                f"there is no expert for a support set of {'+'.join(support)} and queries of {'+'.join(query)}: each needs "
                + (
                    "its modality in both"
                    if self.experts != "inter"
                    else f"all of {', '.join(self.modalities)} in both"
                )
            )
        embeddings = [(self._expert(params, name, support), self._expert(params, name, query)) for name in ours]
        embeddings += [(self._all(params, support), self._all(params, query))] if whole else []
        logits = [prototype_logits(mine, episode.support_y, theirs) for mine, theirs in embeddings]
        return torch.stack(logits).sum(dim=0) / self.latent

    @property
    def _joint(self) -> bool:
        return self.experts != "intra" and len(self.modalities) > 1

    def _expert(self, params: Params, name: str, inputs: Params) -> Tensor:
        """Return the vectors of one modality's expert, ``[n, latent]``."""
        own = encoders.part_of(params, f"experts/{name}")
        return encoders.encode(own, self.modalities[name], inputs[name])

    def _all(self, params: Params, inputs: Params) -> Tensor:
        """Return the joint expert's vectors, ``[n, latent]``."""
        joint = encoders.part_of(params, "joint")
        each = [
            encoders.features(encoders.part_of(joint, name), shape, inputs[name])
            for name, shape in self.modalities.items()
        ]
        return encoders.run_mlp(joint, torch.cat(each, dim=1))
