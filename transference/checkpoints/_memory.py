"""Which tensors lie in one memory: the same one under two names, or parts of it that overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor


def same_memory(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the names of tensors that are the very memory of another one before them, with that one's name."""
    seen: dict[tuple[Any, ...], str] = {}
    found = {}
    for name, value in tensors.items():
        if _lies_somewhere(value):
            where = (
                value.untyped_storage().data_ptr(),
                value.storage_offset(),
                value.shape,
                value.stride(),
                value.dtype,
            )
            if (first := seen.setdefault(where, name)) != name:
                found[name] = first
    return found


def overlapping(tensors: Mapping[str, Tensor]) -> tuple[tuple[str, str], ...]:
    """Return pairs of names whose tensors share numbers without being one: a transposed view, a row beside the whole.

    Parts of one flat tensor that have no number in common are no such pair.
    """
    same = same_memory(tensors)
    stored: dict[int, list[str]] = {}
    for name, value in tensors.items():
        if _lies_somewhere(value) and name not in same:
            stored.setdefault(value.untyped_storage().data_ptr(), []).append(name)
    return tuple(
        chain.from_iterable(
            _pairs({name: tensors[name] for name in names}) for names in stored.values() if len(names) > 1
        )
    )


def _lies_somewhere(value: Tensor) -> bool:
    return value.layout is torch.strided and value.numel() > 0 and not value.is_meta


def _pairs(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield the pairs among tensors of one storage, each in the order of the file."""
    order = {name: k for k, name in enumerate(tensors)}
    spans = sorted((*_span(value), name) for name, value in tensors.items())
    for k, (_, end, one) in enumerate(spans):
        for begin, _, other in spans[k + 1 :]:
            if begin >= end:
                break
            if bool((_bytes(tensors[one]) & _bytes(tensors[other])).any()):
                first, second = sorted((one, other), key=order.__getitem__)
                yield first, second


def _span(value: Tensor) -> tuple[int, int]:
    """Return the first byte of a tensor in its storage, and the first one behind it."""
    last = sum((size - 1) * stride for size, stride in zip(value.shape, value.stride(), strict=True))
    begin = int(value.storage_offset()) * value.element_size()
    return begin, begin + int(last + 1) * value.element_size()


def _bytes(value: Tensor) -> Tensor:
    """Return for each byte of a tensor's storage whether it is the tensor's."""
    marks = torch.zeros(value.untyped_storage().nbytes(), dtype=torch.bool)
    size = value.element_size()
    strides = [stride * size for stride in value.stride()]
    marks.as_strided((*value.shape, size), (*strides, 1), value.storage_offset() * size).fill_(True)
    return marks
