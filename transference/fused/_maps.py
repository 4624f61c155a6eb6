"""Images, and what convolutions make of them, as tensors whose numbers are computed when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from transference import exact_sums
from transference.fused._convolution import Kernels
from transference.fused._geometry import Geometry
from transference.fused._gradients import conv2d
from transference.fused._patches import LARGEST, KeptPatches
from transference.fused._works import Affine, Convolution, Convolved, Each, Normalised, Work, convolutions


class Maps(Tensor):
    """Images ``[n, c, h, w]`` that are there, or work that is done once somebody wants the numbers.

    Functions that a gradient goes through, or that are not known here, see a plain tensor. Inside ``torch.vmap`` these are the images of
    one of several episodes, and what is known here is done for one after the other.
    """

    exact_sums: ClassVar[bool] = True
    """No digits are lost; see `exact_sums.ExactSums`."""

    _work: Work | None
    _done: Sequence[Tensor] | None
    _level: int | None
    _kernels: Kernels
    _kept: KeptPatches | None
    _plain: Tensor | None

    @classmethod
    def of(
        cls, images: Tensor, kernels: Kernels, kept: KeptPatches | None, each: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Return an episode's own images, ready for a learner; as they are where nothing can be gained.

        Args:
            images: ``[n, c, side, side]``, perhaps inside ``torch.vmap``.
            kernels: those of θ.
            kept: what is known of the images, which stay alive as long; None where it is not worth knowing.
            each: inside ``torch.vmap``, the images of each episode.
        """
        level = _level(images)
        done = [images] if each is None else each
        if (each is None) != (level is None) or not all(map(_images, done)):
            return images
        made = cls._made(done[0].shape, done[0].dtype)
        made._done, made._level, made._kernels, made._kept, made._plain = done, level, kernels, kept, images
        return made

    @classmethod
    def _made(cls, shape: Sequence[int], dtype: torch.dtype) -> Maps:
        made: Maps = Tensor._make_wrapper_subclass(cls, tuple(shape), dtype=dtype, device=torch.device("cpu"))
        made._work = made._done = made._level = made._kept = made._plain = None
        return made

    def each(self) -> Sequence[Tensor]:
        """Return the numbers of each episode."""
        if self._done is None:
            assert self._work is not None
            self._done = self._work.do()
        return self._done

    def numbers(self) -> Tensor:
        """Return the plain tensor."""
        if self._plain is None:
            done = self.each()
            self._plain = done[0] if self._level is None else _batched(done, self._level)
        return self._plain

    def _open(self) -> object:
        """Return what is still to be done, None if it was."""
        return self._work if self._done is None else None

    def _then(self, work: Work) -> Maps:
        made = self._made(work.shape, self.dtype)
        made._work, made._level, made._kernels = work, self._level, self._kernels
        return made

    def _known(self, done: Sequence[Tensor]) -> Maps:
        made = self._made(done[0].shape, self.dtype)
        made._done, made._level, made._kernels = done, self._level, self._kernels
        return made

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        """Put the function off, do it with what was put off, or call it with plain tensors."""
        del types
        if func in _TOLD:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        if (rule := _RULES.get(func)) and (found := rule(*args, **(kwargs or {}))) is not None:
            return found
        return func(*plain(args), **plain(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # as torch calls it
        cls,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Call one of torch's own operations with plain tensors."""
        del types
        return func(*plain(args), **plain(kwargs or {}))


def plain(values: Any) -> Any:  # noqa: ANN401 - a tree of anything
    """Return a tree with plain tensors in the place of maps."""
    return pytree.tree_map_only(Maps, Maps.numbers, values)


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,  # noqa: ANN401 - as torch takes them
    padding: Any = 0,  # noqa: ANN401
    dilation: Any = 1,  # noqa: ANN401
    groups: int = 1,
) -> Tensor | None:
    if not isinstance(input, Maps) or groups != 1 or isinstance(padding, str):
        return None
    with suppress(_UnknownError):
        kernels, shift = _each(weight, input), _each(bias, input)
        if kernels is None or input.dim() != 4 or weight.dim() != 4:
            return None
        geometry = Geometry.of(weight, stride, padding, dilation)
        if input._kept is not None and weight[0].numel() <= LARGEST:
            return input._then(Convolution(input.each(), kernels, shift, geometry, input._kernels, input._kept))
        return input._known(convolutions(input.each(), kernels, shift, geometry, input._kernels))
    return None


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    del momentum
    if not training or running_mean is not None or running_var is not None:
        return None
    return _normalise(input, weight, bias, eps=eps)


def _normalise(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *, eps: float = 1e-5
) -> Tensor | None:
    if not isinstance(x, Maps):
        return None
    with suppress(_UnknownError):
        gamma, beta = _each(weight, x), _each(bias, x)
        if isinstance(work := x._open(), Convolution):  # whose bias is what batch norm takes away
            return x._then(Convolved(gamma, beta, eps, len(work.images), work))
        maps = x.each()
        if (
            _images(maps[0]) and maps[0].numel() >= 2 * maps[0].shape[1]
        ):  # torch says what is wrong with a single number
            return x._then(Normalised(gamma, beta, eps, len(maps), maps))
    return None


def _relu(input: Tensor, inplace: bool = False) -> Tensor | None:
    if not (isinstance(input, Maps) and isinstance(work := input._open(), Affine)):
        return None
    clipped = work.relu()
    if inplace:
        input._done = clipped
        return input
    return input._known(clipped)


def _mul(one: Any, other: Any) -> Tensor | None:  # noqa: ANN401 - a tensor or a number
    found = _by_channel(one, other)
    return found and found[0]._then(found[1].scaled(found[2]))


def _add(one: Any, other: Any) -> Tensor | None:  # noqa: ANN401
    found = _by_channel(one, other)
    return found and found[0]._then(found[1].shifted(found[2]))


def _by_channel(one: object, other: object) -> tuple[Maps, Any, Each] | None:
    """Return maps to be normalised, how, and a number for each of their channels that they are scaled or shifted by."""
    maps, by = (one, other) if isinstance(one, Maps) else (other, one)
    if not (isinstance(maps, Maps) and isinstance(work := maps._open(), Affine)):
        return None
    c = maps.shape[1]
    if not isinstance(by, Tensor) or isinstance(by, Maps) or tuple(by.shape) not in ((c, 1, 1), (1, c, 1, 1)):
        return None
    with suppress(_UnknownError):
        return maps, work, _each(by.flatten(), maps)
    return None


_RULES: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    **dict.fromkeys((torch.conv2d, conv2d), _conv2d),
    F.batch_norm: _batch_norm,
    exact_sums.batch_norm: _normalise,
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu), _relu),
    **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__), _mul),
    **dict.fromkeys((torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__), _add),
}

_TOLD = {
    getattr(Tensor, name).__get__
    for name in ("shape", "dtype", "device", "ndim", "requires_grad", "is_leaf", "grad_fn")
} | {Tensor.dim, Tensor.size, Tensor.numel, Tensor.is_floating_point}


class _UnknownError(Exception):
    """A tensor that a gradient goes through, or another transform of ``torch.func``."""


def _each(tensor: Tensor | None, maps: Maps) -> Each:
    """Return a tensor that all episodes of these maps share, or that of each of them.

    Raises:
        _UnknownError: it cannot be taken apart, or is of another dtype.
    """
    if tensor is None:
        return None
    level = _level(tensor)
    whole = tensor if level is None else torch._C._functorch.get_unwrapped(tensor)
    if not _constant(whole) or whole.dtype != maps.dtype or level not in (None, maps._level):
        raise _UnknownError
    return whole if level is None else whole.unbind(torch._C._functorch.maybe_get_bdim(tensor))


def _level(tensor: Tensor) -> int | None:
    """Return at which level of ``torch.vmap`` a tensor is one of several, None of a plain one."""
    functorch = torch._C._functorch
    return functorch.maybe_get_level(tensor) if functorch.is_batchedtensor(tensor) else None


def _batched(done: Sequence[Tensor], level: int) -> Tensor:
    """Return what ``torch.vmap`` sees of several episodes' maps, in the plain layout: some of torch's functions know no other there."""
    whole = done[0].new_empty((len(done), *done[0].shape))
    for place, one in zip(whole, done, strict=True):
        place.copy_(one)
    made: Tensor = torch._C._functorch._add_batch_dim(whole, 0, level)
    return made


def _constant(tensor: Tensor) -> bool:
    """Return whether no gradient goes through it, and no transform of ``torch.func``."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and not (tensor.requires_grad and torch.is_grad_enabled())
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


def _images(tensor: Tensor) -> bool:
    """Return whether it is a constant that has images with their channels last on a CPU."""
    return (
        _constant(tensor)
        and tensor.dim() == 4
        and tensor.dtype in (torch.float32, torch.float64)
        and tensor.device.type == "cpu"
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )
