"""What tensors of a file must be before anything is computed with them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

_SLACK = 2**26
"""Bytes that tensors may claim beyond those of their file: one value may stand for a small tensor (``expand``)."""

_TIMES = 16
"""How often the tensors of a file may claim its bytes: names may share a tensor."""

_LEAST_BYTES = 2
_MOST_TENSORS = 10**6
_DEEPEST = 20


def complaint(content: object, n_bytes: int) -> str | None:
    """Return what is wrong with the tensors in what a file held, None if nothing.

    A parameter is a dense tensor of real numbers that are there: not sparse, quantised, nested or complex, not on the meta device. All
    together claim no more memory than their file can account for, so that copying them is safe.

    Args:
        content: mappings and lists with tensors somewhere inside.
        n_bytes: of the file.
    """
    found = list(islice(_tensors(content, "", _DEEPEST), _MOST_TENSORS + 1))
    if len(found) > _MOST_TENSORS:
        return f"it holds more than {_MOST_TENSORS:,} tensors"
    for name, tensor in found:
        if kind := _unfit(tensor):
            return f"{name} is {kind}; a dense tensor of real numbers was expected"
    claimed = sum(tensor.numel() * tensor.element_size() for _, tensor in found)
    stored = sum({s.data_ptr(): s.nbytes() for s in (tensor.untyped_storage() for _, tensor in found)}.values())
    if claimed > _TIMES * n_bytes + _SLACK or stored > n_bytes + _SLACK:
        return f"its tensors claim {max(claimed, stored):,} bytes, and the file has {n_bytes:,}"
    return None


def check_packing(path: Path) -> None:
    """Make sure that unpacking a file takes no more memory than the file is long: ``torch.save`` packs, but does not compress.

    Raises:
        ValueError: it would.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as packed:
        unpacked = sum(member.file_size for member in packed.infolist())
    if unpacked > path.stat().st_size + _SLACK:
        raise ValueError(f"unpacked it would have {unpacked:,} bytes")


def _unfit(tensor: Tensor) -> str | None:
    """Return what a tensor is that no parameter can be, None if it can."""
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout != torch.strided:
        return f"a sparse tensor ({tensor.layout})"
    if tensor.is_quantized or (tensor.is_floating_point() and tensor.element_size() < _LEAST_BYTES):  # float8 and less
        return f"quantised ({tensor.dtype})"
    if tensor.is_complex():
        return f"complex ({tensor.dtype})"
    if tensor.device.type != "cpu":
        return f"on the device {tensor.device}, without values"
    return None


def _tensors(value: object, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif depth and isinstance(value, Mapping | list | tuple):
        # deeper than any program nests its parameters there are none to find
        for key, inside in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _tensors(inside, f"{name}.{key}" if name else str(key), depth - 1)
