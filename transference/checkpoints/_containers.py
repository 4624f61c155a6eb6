"""Where in a file of another program the ``state_dict`` of the model is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor, nn
from typing_extensions import TypeIs

from transference.checkpoints._optimizers import is_optimizer
from transference.episodes import Params
from transference.errors import CheckpointError

_USUAL_KEYS = ("model_state_dict", "state_dict", "model")
"""Where most programs put it; the first of these that is there is read, whatever else a file holds."""

_DEEPEST = 6
"""Deeper than any program nests its models."""

_SHOWN = 8

_StateDict: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True)
class Found:
    """The tensors of a model in a file.

    Attributes:
        params: by name.
        key: under which key of the file they are, nested ones with dots between; None where it is a usual one that
            nobody named.
        unread: keys under which there are tensors that are not read.
        alike: keys of other models of the same shapes: an optimizer beside several of them could be any one's.
    """

    params: Params
    key: str | None = None
    unread: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()


def find_state_dict(content: Mapping[str, Any], path: Path, key: str | None) -> Found:
    """Return the ``state_dict`` that a file holds.

    Args:
        content: of the file.
        path: of the file, for messages.
        key: where it is, nested keys with dots between; by default the file itself, a usual key, or the only one that
            there is.

    Raises:
        CheckpointError: there is none, or none under the key, or there are several and no key says which.
    """
    if key is not None:
        return _under(key, content, path)
    if _is_state_dict(content):
        return Found(_params(content))
    usual = next((name for name in _USUAL_KEYS if isinstance(content.get(name), Mapping)), None)
    if usual is not None and _is_state_dict(content[usual]):
        return Found(_params(content[usual]), unread=_beside(usual, content))
    inside, loose = _models(content), [name for name, value in _loose(content) if _is_array(value)]
    if len(inside) == 1 and not loose:
        [(only, tensors)] = inside.items()
        return Found(_params(tensors), only, _others(only, content))
    if inside:
        told = f"{path} holds {'several state_dicts' if len(inside) > 1 else 'a state_dict and tensors beside it'}: "
        told += _listed(inside) + (f"; beside them: {', '.join(loose[:_SHOWN])}" if loose else "")
        raise CheckpointError(f"{told}. Name the one to read with --key {next(iter(inside))} (key= in Python).")
    raise CheckpointError(_none_found(content if usual is None else content[usual], path))


def as_state_dicts(content: object, depth: int = _DEEPEST) -> object:
    """Return what a file holds with the ``state_dict`` of each module in its place, which tells what is frozen."""
    if isinstance(content, nn.Module):
        return content.state_dict(keep_vars=True)
    if depth and isinstance(content, Mapping) and not _is_state_dict(content):
        return {key: as_state_dicts(value, depth - 1) for key, value in content.items()}
    if depth and isinstance(content, list):
        return [as_state_dicts(value, depth - 1) for value in content]
    return content


def _under(key: str, content: Mapping[str, Any], path: Path) -> Found:
    """Return what is under a key.

    Raises:
        CheckpointError: no ``state_dict`` is.
    """
    everything = dict(_state_dicts(content))
    if key in everything:
        tensors = everything[key]
        alike = (
            ()
            if key in _USUAL_KEYS
            else tuple(n for n, v in everything.items() if n != key and _same_shapes(v, tensors))
        )
        return Found(_params(tensors), key, _others(key, content), alike)
    if _is_state_dict(content):
        raise CheckpointError(
            f"{path} holds nothing under {key!r}: it is a state_dict itself, of {len(content)} tensors. Leave --key "
            "out; --strip-prefix takes the beginning off its names, --ignore leaves some out."
        )
    there = f"there are: {_listed(everything)}" if everything else "there is none in it"
    raise CheckpointError(f"{path} has no state_dict (names and tensors) under {key!r}, which --key names; {there}.")


def _none_found(content: Mapping[str, Any], path: Path) -> str:
    tensors = [name for name, value in content.items() if isinstance(value, Tensor)]
    others = [str(name) for name in content if name not in tensors]
    return (
        f"{path} was expected to be a state_dict (names and tensors), alone or under {', '.join(_USUAL_KEYS)} or "
        f"another key; it has {len(tensors)} tensors and, beside them: {', '.join(others[:5]) or 'nothing'}."
    )


def _beside(own: str, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of dictionaries of tensors beside a usual one, which is read whatever they are."""
    others = {str(key): value for key, value in content.items() if key != own and isinstance(value, Mapping)}
    return tuple(key for key, value in others.items() if any(isinstance(inside, Tensor) for inside in value.values()))


def _others(own: str, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of all tensors but those that are read and those of optimizers."""
    loose = [name for name, value in _loose(content) if value.dim()]
    return tuple(name for name in (*dict(_state_dicts(content)), *loose) if name != own)


def _models(content: Mapping[str, Any]) -> dict[str, _StateDict]:
    """Return what may be the state of a model, by key: not a dictionary of scores, nor of a generator's state."""
    return {name: found for name, found in _state_dicts(content) if any(map(_is_array, found.values()))}


def _state_dicts(value: object, name: str = "", depth: int = _DEEPEST) -> Iterator[tuple[str, _StateDict]]:
    """Yield every dictionary of nothing but tensors inside, with its key; what optimizers keep is none."""
    if is_optimizer(value) or not depth:
        return
    if name and _is_state_dict(value):
        yield name, value
    elif isinstance(value, Mapping | list | tuple):
        for key, inside in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _state_dicts(inside, f"{name}.{key}" if name else str(key), depth - 1)


def _loose(value: object, name: str = "", depth: int = _DEEPEST) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that are in no ``state_dict`` and no optimizer's state, with their keys."""
    if is_optimizer(value) or not depth or (name and _is_state_dict(value)):
        return
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping | list | tuple):
        for key, inside in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _loose(inside, f"{name}.{key}" if name else str(key), depth - 1)


def _is_state_dict(value: object) -> TypeIs[_StateDict]:
    return isinstance(value, Mapping) and len(value) > 0 and all(isinstance(v, Tensor) for v in value.values())


def _is_array(value: object) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.is_floating_point()


def _same_shapes(one: _StateDict, other: _StateDict) -> bool:
    return sorted(tuple(v.shape) for v in one.values()) == sorted(tuple(v.shape) for v in other.values())


def _params(tensors: _StateDict) -> Params:
    return {str(name): value for name, value in tensors.items()}


def _listed(found: Mapping[str, _StateDict]) -> str:
    shown = [f"{name} ({len(tensors)} tensors)" for name, tensors in found.items()]
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
