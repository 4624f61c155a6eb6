"""The vocabulary that every other room shares: `Params` and `Episode`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

Params: TypeAlias = dict[str, Tensor]
"""Tensors by name; the parameters θ of a learner, a gradient, or a displacement of the parameters."""

_TENSORS = ("support_x", "support_y", "query_x", "query_y")


@dataclass(frozen=True)
class Episode:
    """The tensors of one task, and the mode that it comes from; it knows nothing of files or ids.

    Attributes:
        support_x: inputs to adapt on, ``[n_support, *input]``; images are ``[n_support, channels, side, side]`` in [0, 1].
        support_y: their targets, ``[n_support]`` int64 labels ``0 … ways-1`` in classification, ``[n_support, 1]`` values in regression.
        query_x: inputs that the loss is taken on, ``[n_query, *input]``.
        query_y: their targets, like ``support_y``.
        mode: name of the mode, for learners that are told (one learner per mode, as in Multi-MAML). A learner that reads it says so with an
            attribute ``told_mode = True``, so that tasks of different modes are not batched together.
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor
    mode: str | None = None

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four tensors, in order."""
        return self.support_x, self.support_y, self.query_x, self.query_y

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Iterate over (field name, tensor)."""
        return zip(_TENSORS, self.tensors, strict=True)

    def map(self, change: Callable[[Tensor], Tensor]) -> Episode:
        """Return the episode with each tensor changed."""
        support_x, support_y, query_x, query_y = self.tensors
        return Episode(change(support_x), change(support_y), change(query_x), change(query_y), self.mode)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Episode:
        """Return the episode on ``device``, its floating-point tensors as ``dtype``; integer labels keep theirs."""
        return self.map(lambda t: t.to(device=device, dtype=dtype if t.is_floating_point() else None))

    def describe(self) -> str:
        """Return the shapes and dtypes in one line, for messages."""
        return ", ".join(f"{name} {tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for name, t in self.items())
