"""Encoders of the modalities that an example has, chosen by the shape of one example.

    three numbers (channels, side, side), an image:  z = B·f(x) + b    with f the released four-block network, flattened
    any other shape, laid flat:                      z = B·ReLU(A·x + a) + b

Weights of linear maps begin at N(0, 2/inputs) (He et al., ICCV 2015), their biases at 0, the four-block network as
ProtoNet's. Parameters of a part are called ``PART/NAME``; a modality's name has no slash, so no two can be the same.

An episode's inputs are tensors by the name of the modality. Which names are there tells the subset: there is no flag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from meta_models.backbones import conv4
from transference import Params

Shapes: TypeAlias = Mapping[str, Sequence[int]]
"""The shape of one example by modality."""

_NAME = re.compile(r"[\w.-]+")


def shapes_of(modalities: object) -> Shapes:
    """Return the setting ``modalities`` as shapes by name, in alphabetical order: what is computed depends on no other.

    Args:
        modalities: the shape of one example by name, as lists where they come from a file.

    Raises:
        ValueError: they are something else.
    """
    form = 'give the shape of one example by name, such as {"accel": [50, 3], "gyro": [50, 3]}'
    if not isinstance(modalities, Mapping) or not modalities:
        raise ValueError(f"modalities is {modalities!r}; train on paired modes, such as mix[a],mix[*], or {form}")
    for name, shape in modalities.items():
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise ValueError(f"modalities has the name {name!r}; letters, digits, '_', '.' and '-' are allowed")
        if not (isinstance(shape, list | tuple) and shape and all(type(n) is int and n > 0 for n in shape)):
            raise ValueError(f"the shape of the modality {name} is {shape!r}; {form}")
    return {name: tuple(modalities[name]) for name in sorted(modalities)}


def present(known: Shapes, inputs: Tensor | Mapping[str, Tensor], where: str) -> Params:
    """Return the inputs, checked, in the order of the learner's modalities.

    Args:
        known: what the learner knows.
        inputs: of an episode's support set or its queries.
        where: which of the two they are, for messages.

    Raises:
        ValueError: they are no tensors by name, none, or some that the learner does not know.
    """
    given: Mapping[str, Tensor] = {} if isinstance(inputs, Tensor) else inputs
    found = {name: tuple(x.shape[1:]) for name, x in given.items()}
    if not found or any(known.get(name) != shape for name, shape in found.items()):
        unnamed = f"one tensor {list(inputs.shape)} without a name" if isinstance(inputs, Tensor) else "no modality"
        raise ValueError(
            f"{where} has {_told(found) or unnamed}; the learner knows {_told(known)}, and takes some or all of these by name"
        )
    return {name: given[name] for name in known if name in given}


def _told(shapes: Shapes) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())


def init_encoder(generator: torch.Generator, shape: Sequence[int], *, hidden: int, outputs: int) -> Params:
    """Return fresh parameters of the encoder of one modality.

    Args:
        generator: where the random numbers come from.
        shape: of one example.
        hidden: units between the two maps, of anything but an image.
        outputs: numbers in the vector.
    """
    if is_image(shape):
        return init_features(generator, shape) | linear("latent", n_features(shape), outputs, generator)
    return mlp(generator, n_features(shape), hidden=hidden, outputs=outputs)


def encode(params: Params, shape: Sequence[int], x: Tensor) -> Tensor:
    """Return the vectors ``[n, outputs]`` of examples ``[n, *shape]`` of one modality.

    Images share their batch statistics, so that the vector of one depends on which others are given with it.
    """
    return apply("latent", params, features(params, shape, x)) if is_image(shape) else run_mlp(params, x.flatten(1))


def is_image(shape: Sequence[int]) -> bool:
    """Return whether this is the shape of an image: channels and two sides."""
    return len(shape) == 3


def n_features(shape: Sequence[int]) -> int:
    """Return the number of features of one example."""
    if not is_image(shape):
        return math.prod(shape)
    height, width = (-(-side // (1 << len(conv4.WIDTHS))) for side in shape[1:])  # every block halves them, upwards
    return conv4.WIDTHS[-1] * height * width


def init_features(generator: torch.Generator, shape: Sequence[int]) -> Params:
    """Return fresh parameters of what `features` does: the four-block network of an image, nothing of anything else."""
    return conv4.init(generator, channels=shape[0], affine=True) if is_image(shape) else {}


def features(params: Params, shape: Sequence[int], x: Tensor) -> Tensor:
    """Return the features ``[n, n_features]`` of examples ``[n, *shape]``: of an image the four-block network's, else x."""
    return (conv4.features(params, x) if is_image(shape) else x).flatten(1)


def mlp(generator: torch.Generator, inputs: int, *, hidden: int, outputs: int) -> Params:
    """Return fresh parameters of a network with one hidden layer."""
    return linear("hidden", inputs, hidden, generator) | linear("latent", hidden, outputs, generator)


def run_mlp(params: Params, x: Tensor) -> Tensor:
    """Return the network's vectors ``[n, outputs]`` of ``[n, inputs]``."""
    return apply("latent", params, F.relu(apply("hidden", params, x)))


def linear(name: str, inputs: int, outputs: int, generator: torch.Generator) -> Params:
    """Return ``name.weight`` ``[outputs, inputs]`` and ``name.bias`` of a linear map."""
    weight = torch.empty(outputs, inputs).normal_(0.0, math.sqrt(2 / inputs), generator=generator)
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(outputs)}


def apply(name: str, params: Params, x: Tensor) -> Tensor:
    """Return what the linear map ``name`` makes of ``[n, inputs]``."""
    return F.linear(x, params[f"{name}.weight"], params[f"{name}.bias"])


def called(part: str, params: Params) -> Params:
    """Return the parameters of a part by their names in the whole."""
    return {f"{part}/{name}": value for name, value in params.items()}


def part_of(params: Params, part: str) -> Params:
    """Return the parameters of a part by the names that it has for them."""
    begin = f"{part}/"
    return {name.removeprefix(begin): value for name, value in params.items() if name.startswith(begin)}
