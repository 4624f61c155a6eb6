"""The four-block convolutional network of the released MMAML and KML code.

Each block: 3×3 convolution with bias (which is inert, see `features`), stride 2, zero padding 1 → batch norm on the statistics of the batch
in hand → (FiLM) → ReLU. Output channels 32, 64, 128, 256. Spatial side: 84 → 42 → 21 → 11 → 6 and 28 → 14 → 7 → 4 → 2. There is no pooling
and no running statistic, in training as in meta-test.

The same network serves as backbone and, under other names and from another initialisation, in the task encoder. The names of the
parameters are those of the released checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from transference import Params, exact_sums, fused

WIDTHS = (32, 64, 128, 256)


@dataclass(frozen=True)
class Names:
    """What the parameters of block ``{}`` are called, before ``.weight`` and ``.bias``."""

    conv: str
    norm: str


BACKBONE = Names("features.layer{}_conv", "features.layer{}_bn")
ENCODER = Names("encoder.conv.conv{}", "encoder.conv.bn{}")


def init(generator: torch.Generator, *, channels: int, affine: bool, names: Names = BACKBONE) -> Params:
    """Return fresh parameters: Xavier-uniform kernels and zero biases (backbone) or torch's default (encoder); batch norm at 1 and 0.

    Args:
        generator: where the random numbers come from.
        channels: of the images.
        affine: whether batch norm has a scale and shift (ProtoNet's has, MAML's has not).
        names: of the parameters, and with them the kind of initialisation.
    """
    params: Params = {}
    for block, (c_in, c_out) in blocks(channels):
        conv, norm = names.conv.format(block), names.norm.format(block)
        if names is BACKBONE:
            params[f"{conv}.weight"] = xavier_uniform((c_out, c_in, 3, 3), generator)
            params[f"{conv}.bias"] = torch.zeros(c_out)
        else:
            params |= torch_default(conv, (c_out, c_in, 3, 3), generator)
        if affine:
            params[f"{norm}.weight"] = torch.ones(c_out)
            params[f"{norm}.bias"] = torch.zeros(c_out)
    return params


def features(
    params: Params, images: Tensor, *, film: Sequence[Tensor] | None = None, names: Names = BACKBONE
) -> Tensor:
    """Return the feature maps ``[n, 256, s, s]`` of images ``[n, channels, side, side]``.

    The images share their batch statistics, so the features of one depend on which others are given with it.

    Args:
        params: of the network; others are not looked at.
        images: the batch.
        film: for each block ``[2·c]``, γ and then β: its normalised maps become ``(1 + γ) x + β``, channel by channel, before ReLU.
        names: of the parameters.
    """
    x = images
    for block in range(1, len(WIDTHS) + 1):
        conv, norm = names.conv.format(block), names.norm.format(block)
        # Without the bias b. Batch norm takes the mean of the batch away and b with it, BN(x + b) = BN(x), so b changes no loss and has no
        # gradient; but added in float32, where it is 20 000 times the deviation of x (KML as released, fresh), it costs x four digits.
        x = fused.conv2d(x, params[f"{conv}.weight"], stride=2, padding=1)
        # eps is the released code's 1e-5, and it matters for KML.
        x = exact_sums.batch_norm(x, params.get(f"{norm}.weight"), params.get(f"{norm}.bias"))
        if film is not None:
            gamma, beta = film[block - 1].chunk(2)
            x = (1 + gamma[:, None, None]) * x + beta[:, None, None]
        x = F.relu(x, inplace=True)  # of what batch norm made, which it does not look at again
    return x


def blocks(channels: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield each block's number, from 1, with its input and output channels."""
    return enumerate(zip((channels, *WIDTHS[:-1]), WIDTHS, strict=True), start=1)


def xavier_uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return a tensor uniform on ±√(6 / (fan_in + fan_out)) (Glorot & Bengio, 2010)."""
    return torch.nn.init.xavier_uniform_(torch.empty(shape), generator=generator)


def torch_default(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Params:
    """Return ``name.weight`` of the shape and ``name.bias``, uniform on ±1/√fan_in as torch initialises its layers."""
    bound = math.prod(shape[1:]) ** -0.5
    weight, bias = torch.empty(shape), torch.empty(shape[0])
    return {
        f"{name}.{part}": t.uniform_(-bound, bound, generator=generator)
        for part, t in (("weight", weight), ("bias", bias))
    }
