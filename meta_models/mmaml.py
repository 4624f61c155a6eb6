"""MMAML (Vuorio, Sun, Hu & Lim, "Multimodal Model-Agnostic Meta-Learning via Task-Aware Modulation", NeurIPS 2019), and FiLM on ProtoNet.

    v = encoder(support images),    (γ_l, β_l) = G_l v + g_l,    x_l ← ReLU((1 + γ_l) ⊙ batch_norm(conv_l(x)) + β_l)    in every block l

FiLM is by Perez et al. (AAAI 2018). The backbone is MAML's or ProtoNet's of the released code; heads are not modulated. In MAML the
modulators are computed once a task and serve all inner steps and the queries; encoder and generators learn from the outer loss alone.

Deviations: MProtoNet, which Abdollahzadeh et al. (NeurIPS 2021) compare with, has no released code; it is put together here from the
released ProtoNet and MMAML, with modulators from the support set.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from meta_models._modulation import Modulators
from meta_models.backbones import conv4, task_encoder
from meta_models.maml import MAML
from meta_models.protonet import ProtoNet
from transference import Params


@dataclass(frozen=True)
class FiLM:
    """Feature-wise linear modulation after batch norm: 960 numbers a task, from generators of 123 840 parameters."""

    def init(self, generator: torch.Generator, channels: int) -> Params:
        """Return fresh parameters of encoder and generators, 546 112 numbers at 3 channels."""
        return task_encoder.init(generator, channels=channels, outputs=[2 * width for width in conv4.WIDTHS])

    def modulators(self, params: Params, images: Tensor) -> Modulators:
        """Return for each block ``[2·c]``, γ and then β."""
        return task_encoder.generate(params, task_encoder.encode(params, images), len(conv4.WIDTHS))

    def features(self, params: Params, images: Tensor, modulators: Modulators) -> Tensor:
        """Return the feature maps ``[n, 256, s, s]`` with every block modulated."""
        return conv4.features(params, images, film=modulators)


def film_maml(
    ways: int = 5,
    channels: int = 3,
    inner_steps: int = 5,
    inner_lr: float = 0.05,
    clamp: float = 20.0,
    second_order: bool = True,
) -> MAML:
    """MMAML: MAML whose backbone is modulated by FiLM. Settings are those of MAML."""
    return MAML(
        ways=ways,
        channels=channels,
        inner_steps=inner_steps,
        inner_lr=inner_lr,
        clamp=clamp,
        second_order=second_order,
        modulation=FiLM(),
    )


def film_protonet(channels: int = 3, transductive: bool = False, query_modulation: str = "support") -> ProtoNet:
    """MProtoNet: a prototypical network whose backbone is modulated by FiLM. Settings are those of ProtoNet."""
    return ProtoNet(channels=channels, transductive=transductive, modulation=FiLM(), query_modulation=query_modulation)
