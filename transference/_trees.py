"""Arithmetic on dictionaries of tensors (parameters, gradients, displacements)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def add(params: Mapping[str, Tensor], displacement: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``params + displacement``, in the plain layout; a name absent from ``displacement`` keeps its tensor."""

    def moved(value: Tensor, by: Tensor) -> Tensor:
        return torch.add(value, by, out=torch.empty(value.shape, dtype=value.dtype, device=value.device))

    return {name: moved(value, displacement[name]) if name in displacement else value for name, value in params.items()}


def norm(tree: Mapping[str, Tensor]) -> float:
    """Return the Euclidean norm over all entries of all tensors, accumulated in float64 (0 for an empty tree)."""
    norms = [torch.linalg.vector_norm(value.detach(), dtype=torch.float64) for value in tree.values()]
    return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0


def digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return a hexadecimal digest of names, dtypes, shapes and bytes: equal exactly when the tensors are."""
    growing = Digest()
    for name, tensor in tensors:
        growing.begin(name, tensor.dtype, tensor.shape)
        growing.feed(tensor)
    return growing.hexdigest()


class Digest:
    """The digest of tensors that need not be in memory at once: what `digest` returns, fed in pieces."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def begin(self, name: str, dtype: torch.dtype, shape: Sequence[int]) -> None:
        """Say which tensor comes next."""
        self._hash.update(f"{name}|{dtype}|{tuple(shape)}|".encode())

    def feed(self, part: Tensor) -> None:
        """Add the next rows of that tensor."""
        self._hash.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)

    def hexdigest(self) -> str:
        """Return the digest of all that was fed."""
        return self._hash.hexdigest()


def settings(thing: object) -> dict[str, Any]:
    """Return the fields of a dataclass instance as plain values; nothing for any other object.

    A field that is a dataclass itself is told by its type and its fields, any other value that is not plain by the name of its type.
    """
    if not dataclasses.is_dataclass(thing) or isinstance(thing, type):
        return {}
    return {field.name: _plain(getattr(thing, field.name)) for field in dataclasses.fields(thing)}


def _plain(value: object) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        if isinstance(value, Mapping):
            return {str(key): _plain(inside) for key, inside in value.items()}
        return {"class": name, **settings(value)} if dataclasses.is_dataclass(value) else name
