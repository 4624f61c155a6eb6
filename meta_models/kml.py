"""Kernel modulation (KML).

Abdollahzadeh, Malekzadeh & Cheung, "Revisit Multimodal Meta-Learning through the Lens of Multi-Task Learning", NeurIPS 2021.

    v = encoder(support images),    M_l = reshape(r_l(v) ⊗ c_l(v)),    Ŵ_l = W_l ⊙ (J + M_l),    b̂_l = b_l + Δb_l(v)

with J all ones. For each kernel two small linear generators make a row factor r and a column factor c, whose outer product, read row by
row, has one number for each of the kernel's weights: 2 555 outputs instead of the 388 416 that one generator of all kernels and biases
would need, 152 times fewer. All four blocks are modulated; batch norm and head are not. Δb has no effect before a batch norm on batch
statistics: it is generated, since paper and code have it, and like the bias itself is not added (see ``backbones/conv4``).

The backbone is MAML's or ProtoNet's of the released code.

Deviations of the released code from the paper, as options, off by default: it multiplies by M instead of J + M (``residual = false``),
takes the queries' modulators from the query images (``query_modulation = "query"``), and moves the prototypes (``transductive``, see
``protonet``). For KML on MAML there is no released code; it is put together here from the released MMAML and the formula above.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from meta_models._modulation import Modulators
from meta_models._settings import check_settings
from meta_models.backbones import conv4, task_encoder
from meta_models.maml import MAML
from meta_models.protonet import ProtoNet
from transference import Params


@dataclass(frozen=True)
class KML:
    """Kernel modulation of the four-block backbone, 329 595 parameters in its generators at 3 channels.

    Args:
        residual: multiply the kernels by J + M, as in the paper; else by M alone, as in the released code, where the modulated kernels
            are so small at first that batch norm's eps counts.

    Raises:
        ValueError: ``residual`` is no truth value.
    """

    residual: bool = True

    def __post_init__(self) -> None:
        check_settings(self)

    def init(self, generator: torch.Generator, channels: int) -> Params:
        """Return fresh parameters of encoder and generators, 751 867 numbers at 3 channels."""
        outputs = [size for c_out, rows, columns in factors(channels) for size in (rows, columns, c_out)]
        return task_encoder.init(generator, channels=channels, outputs=outputs)

    def modulators(self, params: Params, images: Tensor) -> Modulators:
        """Return for each block the row factor, the column factor and Δb."""
        return task_encoder.generate(params, task_encoder.encode(params, images), 3 * len(conv4.WIDTHS))

    def features(self, params: Params, images: Tensor, modulators: Modulators) -> Tensor:
        """Return the feature maps ``[n, 256, s, s]`` of the backbone with modulated kernels."""
        return conv4.features(self.modulated(params, modulators), images)

    def modulated(self, params: Params, modulators: Modulators) -> Params:
        """Return the parameters with Ŵ and b̂ in place of each block's W and b."""
        modulated = dict(params)
        for k in range(len(conv4.WIDTHS)):
            name = conv4.BACKBONE.conv.format(k + 1)
            rows, columns, shift = modulators[3 * k : 3 * k + 3]
            kernel = params[f"{name}.weight"]
            m = torch.outer(rows, columns).reshape(kernel.shape)
            modulated[f"{name}.weight"] = torch.addcmul(kernel, kernel, m) if self.residual else kernel * m
            modulated[f"{name}.bias"] = params[f"{name}.bias"] + shift
        return modulated


def factors(channels: int) -> list[tuple[int, int, int]]:
    """Return (output channels, rows, columns) of each block's kernel, as the released code cuts it.

    The first block's kernel is cut into one row per output channel, the others' into three.
    """
    return [
        (c_out, c_out, 9 * c_in) if block == 1 else (c_out, 3 * c_out, 3 * c_in)
        for block, (c_in, c_out) in conv4.blocks(channels)
    ]


def kml_maml(
    ways: int = 5,
    channels: int = 3,
    inner_steps: int = 5,
    inner_lr: float = 0.05,
    clamp: float = 20.0,
    second_order: bool = True,
    residual: bool = True,
) -> MAML:
    """MMAML+KML: MAML whose kernels are modulated. Settings are those of MAML and KML."""
    return MAML(
        ways=ways,
        channels=channels,
        inner_steps=inner_steps,
        inner_lr=inner_lr,
        clamp=clamp,
        second_order=second_order,
        modulation=KML(residual),
    )


def kml_protonet(
    channels: int = 3, residual: bool = True, transductive: bool = False, query_modulation: str = "support"
) -> ProtoNet:
    """MProtoNet+KML: a prototypical network whose kernels are modulated. Settings are those of ProtoNet and KML."""
    return ProtoNet(
        channels=channels, transductive=transductive, modulation=KML(residual), query_modulation=query_modulation
    )
