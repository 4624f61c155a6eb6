"""The four-block convolutional backbone of the released MMAML and KML code.

Each block: 3×3 convolution with bias, stride 2, zero padding 1 → batch norm on the statistics of the batch in hand → ReLU. Output channels
32, 64, 128, 256. Spatial side: 84 → 42 → 21 → 11 → 6 and 28 → 14 → 7 → 4 → 2. There is no pooling and no running statistic, in training
as in meta-test.

The names of the parameters are those of the released checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from transference import Params

WIDTHS = (32, 64, 128, 256)


def init(generator: torch.Generator, *, channels: int, affine: bool) -> Params:
    """Return fresh parameters: Xavier-uniform kernels, zero biases, batch norm at 1 and 0.

    Args:
        generator: where the random numbers come from.
        channels: of the images.
        affine: whether batch norm has a scale and shift (ProtoNet's has, MAML's has not).
    """
    params: Params = {}
    for block, (c_in, c_out) in _blocks(channels):
        params[f"features.layer{block}_conv.weight"] = xavier_uniform((c_out, c_in, 3, 3), generator)
        params[f"features.layer{block}_conv.bias"] = torch.zeros(c_out)
        if affine:
            params[f"features.layer{block}_bn.weight"] = torch.ones(c_out)
            params[f"features.layer{block}_bn.bias"] = torch.zeros(c_out)
    return params


def features(params: Params, images: Tensor) -> Tensor:
    """Return the feature maps ``[n, 256, s, s]`` of images ``[n, channels, side, side]``.

    The images share their batch statistics, so the features of one depend on which others are given with it.
    """
    x = images
    for block in range(1, len(WIDTHS) + 1):
        layer = f"features.layer{block}"
        x = F.conv2d(x, params[f"{layer}_conv.weight"], params[f"{layer}_conv.bias"], stride=2, padding=1)
        x = F.relu(batch_norm(x, params.get(f"{layer}_bn.weight"), params.get(f"{layer}_bn.bias")))
    return x


def batch_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Normalise ``[n, c, h, w]`` by its own statistics; eps is the released code's 1e-5, and it matters for KML."""
    return F.batch_norm(x, None, None, weight, bias, training=True, eps=1e-5)


def xavier_uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return a tensor uniform on ±√(6 / (fan_in + fan_out)) (Glorot & Bengio, 2010)."""
    return torch.nn.init.xavier_uniform_(torch.empty(shape), generator=generator)


def _blocks(channels: int) -> Iterator[tuple[int, tuple[int, int]]]:
    return enumerate(zip((channels, *WIDTHS[:-1]), WIDTHS, strict=True), start=1)
