"""The vocabulary that every other room shares: `Params`, `Inputs` and `Episode`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeAlias, cast

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from typing_extensions import TypeVar

from transference.errors import UsageError

Params: TypeAlias = dict[str, Tensor]
"""Tensors by name; the parameters θ of a learner, a gradient, or a displacement of the parameters."""

Inputs = TypeVar("Inputs", Tensor, Mapping[str, Tensor], default=Tensor)
"""A tensor, or tensors by name where an example has several parts: the tokens and the mask of a text, an image and its caption."""


_FIELDS = ("support_x", "support_y", "query_x", "query_y")


@dataclass(frozen=True)
class Episode(Generic[Inputs]):
    """The tensors of one task, and the mode that it comes from; it knows nothing of files or ids.

    It is a pytree of torch: ``torch.vmap`` maps over its tensors, whatever the inputs are made of.

    Attributes:
        support_x: inputs to adapt on, ``[n_support, *input]``; images are ``[n_support, channels, side, side]`` in [0, 1]. Tensors by
            name, ``{"ids": [n_support, length], "mask": [n_support, length]}``, where an example has several parts.
        support_y: their targets, ``[n_support]`` int64 labels ``0 … ways-1`` in classification, ``[n_support, 1]`` values in regression.
        query_x: inputs that the loss is taken on, ``[n_query, *input]``, made like ``support_x``.
        query_y: their targets, like ``support_y``.
        mode: name of the mode, for mode-aware learners (one learner per mode, as in Multi-MAML). A learner that reads
            it says so with an attribute ``mode_aware = True``, so that tasks of different modes are not batched together.
    """

    support_x: Inputs
    support_y: Tensor
    query_x: Inputs
    query_y: Tensor
    mode: str | None = None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors, in the order of `items`."""
        return tuple(dict(self.items()).values())

    @property
    def device(self) -> torch.device:
        """Where the episode is."""
        return self.tensors[0].device

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Iterate over names and tensors: ``support_x``, or ``support_x['ids']`` where the inputs have parts.

        Yields:
            A name, and its tensor.

        Raises:
            UsageError: something in the episode is neither a tensor nor tensors by name.
        """
        for field in _FIELDS:
            if isinstance(value := getattr(self, field), Tensor):
                yield field, value
            else:
                yield from ((f"{field}[{name!r}]", part) for name, part in _parts(field, value).items())

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the episode with each tensor changed.

        Raises:
            UsageError: something in the episode is neither a tensor nor tensors by name.
        """

        def changed(field: str) -> Any:  # noqa: ANN401 - what the field holds, a tensor or tensors by name
            value = getattr(self, field)
            return (
                change(value)
                if isinstance(value, Tensor)
                else {name: change(part) for name, part in _parts(field, value).items()}
            )

        return replace(self, **{field: changed(field) for field in _FIELDS})

    def some_queries(self, part: int, parts: int) -> Self:
        """Return the episode with one part of its queries: every ``parts``-th, from number ``part`` on.

        Where the queries are grouped by class, and each class has a multiple of ``parts``, so does every part hold every class alike.

        Raises:
            UsageError: the queries cannot be split into parts of one size.
        """
        if len(self.query_y) % parts:
            raise UsageError(
                f"A task has {len(self.query_y)} queries, which cannot be split into {parts} parts of one size; ask for another number "
                "of queries, or of parts."
            )
        if parts == 1:
            return self
        taken = slice(part, None, parts)
        queries = self.map(lambda tensor: tensor[taken])
        return replace(self, query_x=queries.query_x, query_y=queries.query_y)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """Return the episode on ``device``, its floating-point tensors as ``dtype``; integer labels keep theirs."""
        return self.map(lambda t: t.to(device=device, dtype=dtype if t.is_floating_point() else None))

    def describe(self) -> str:
        """Return the shapes and dtypes in one line, for messages."""
        return ", ".join(f"{name} {tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for name, t in self.items())


def has_images(episode: Episode[Any]) -> bool:
    """Return whether inputs have channels and two sides, which is what the layout of memory matters to."""
    return any(tensor.dim() == 4 for tensor in episode.tensors)


def stack(episodes: Sequence[Episode]) -> Episode:
    """Return episodes of equal shapes as one, ``[n_episodes, …]`` in every tensor, with the mode of the first."""
    # Mapped, so that parts stand in one order, in a dictionary that torch knows.
    alike = [replace(episode.map(lambda tensor: tensor), mode=episodes[0].mode) for episode in episodes]
    return cast("Episode", pytree.tree_map(lambda *column: torch.stack(column), *alike))


def _parts(field: str, value: object) -> dict[str, Tensor]:
    """Return tensors by name, in the order of the names: how a sampler happened to fill its dictionary makes no difference.

    Raises:
        UsageError: they are something else.
    """
    if not isinstance(value, Mapping):
        raise UsageError(
            f"{field} of an episode is a {type(value).__name__}; give a tensor, or a dictionary of tensors by name."
        )
    for name, part in value.items():
        if not (isinstance(name, str) and isinstance(part, Tensor)):
            raise UsageError(
                f"{field}[{name!r}] of an episode is a {type(part).__name__}; give tensors by names that are text."
            )
    return {name: value[name] for name in sorted(value)}


pytree.register_pytree_node(
    Episode,
    lambda episode: ([getattr(episode, field) for field in _FIELDS], episode.mode),
    lambda values, mode: Episode(**dict(zip(_FIELDS, values, strict=True)), mode=mode),
    serialized_type_name="transference.Episode",
)
