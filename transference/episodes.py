"""The vocabulary that every other room shares: `Params` and `Episode`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TypeAlias

import torch
from torch import Tensor

Params: TypeAlias = dict[str, Tensor]
"""Tensors by name: the parameters θ of a learner, a gradient, or a displacement of the parameters."""


@dataclass(frozen=True)
class Episode:
    """The tensors of one task; it knows nothing of files or ids.

    Attributes:
        support_x: inputs to adapt on, ``[n_support, *input]``; images are ``[n_support, channels, side, side]`` in [0, 1].
        support_y: their targets, ``[n_support]`` int64 labels ``0 … ways-1`` in classification.
        query_x: inputs that the loss is taken on, ``[n_query, *input]``.
        query_y: their targets, ``[n_query]``.
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Iterate over (field name, tensor)."""
        return ((field.name, getattr(self, field.name)) for field in fields(self))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Episode:
        """Return the episode on ``device``, its floating-point tensors as ``dtype``; integer labels keep theirs."""
        return Episode(
            **{name: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None) for name, tensor in self.items()}
        )

    def describe(self) -> str:
        """Return the shapes and dtypes in one line, for messages."""
        return ", ".join(f"{name} {tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for name, t in self.items())
