"""The task encoder of the released MMAML and KML code: a set of images → one vector, and linear generators from that vector.

    v = mean over the images of ReLU(A · average over space of f(x) + a),    generator k:  G_k v + g_k

with ``f`` the four-block network under its own weights, batch norm affine and on the statistics of the set. The vector has 128 numbers.
Labels are not used, nor the order of the images; there is no recurrent network, whatever the released option is called.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from meta_models.backbones import conv4
from transference import Params

VECTOR = 128
"""Numbers in a task vector."""

PREFIXES = ("encoder.", "generator.")
"""How the names of all its parameters begin."""


def init(rng: torch.Generator, *, channels: int, outputs: Sequence[int]) -> Params:
    """Return fresh parameters of the encoder and of one linear generator per entry of ``outputs``, as torch initialises its layers."""
    params = conv4.init(rng, channels=channels, affine=True, names=conv4.ENCODER)
    params |= conv4.torch_default("encoder.linear", (VECTOR, conv4.WIDTHS[-1]), rng)
    for k, size in enumerate(outputs):
        params |= conv4.torch_default(f"generator.{k}", (size, VECTOR), rng)
    return params


def encode(params: Params, images: Tensor) -> Tensor:
    """Return the task vector ``[128]`` of images ``[n, channels, side, side]``."""
    pooled = conv4.features(params, images, names=conv4.ENCODER).mean(dim=(2, 3))
    return F.relu(F.linear(pooled, params["encoder.linear.weight"], params["encoder.linear.bias"])).mean(dim=0)


def generate(params: Params, vector: Tensor, n: int) -> tuple[Tensor, ...]:
    """Return what the first ``n`` generators make of a task vector."""
    return tuple(F.linear(vector, params[f"generator.{k}.weight"], params[f"generator.{k}.bias"]) for k in range(n))


def without(params: Params) -> Params:
    """Return the parameters that belong to neither encoder nor generators."""
    return {name: value for name, value in params.items() if not name.startswith(PREFIXES)}
