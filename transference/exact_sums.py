"""Normalisations that keep the digits of float32 in every memory layout.

On a CPU, torch's kernels for images with their channels last add up the rows of a batch one by one in float32. Over the 132 300 rows of 75
images of 42×42 pixels that loses two to three of seven digits of a mean, more where the mean is large beside the deviation; its kernels for
the plain layout lose none, nor do its other reductions, which add in a tree. So batch norm of images takes its statistics from short sums
here, and group norm goes through the plain layout, as does batch norm of volumes with their channels last and of many rows of features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function

from transference.devices import eager

_FEW = 256
"""Rows that torch may add up one by one: half of them are rounded up, half down, and √256 roundings of float32 are a millionth. A function
of our own would cost MAML, whose support sets are small, more than it gains."""


class ExactSums(TorchFunctionMode):
    """A context in which torch's batch norm and group norm, as functions and as modules, are those of this file.

    It holds for the calling thread, and lets all other functions be, at the price of a microsecond or two for each call of any. A tensor
    of a kind with an attribute ``exact_sums = True`` sees to it itself.
    """

    replaced: ClassVar[int] = 0
    """Calls so far, in any thread, that were not left to torch: who sees that there are none can do without."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        """Call ``func``, or what stands for it here."""
        kwargs = kwargs or {}
        ours = any(getattr(kind, "exact_sums", False) for kind in types)
        if func in _EXACT and not ours and (found := _EXACT[func](*args, **kwargs)) is not None:
            ExactSums.replaced += 1
            return found
        return func(*args, **kwargs)


def batch_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *, eps: float = 1e-5) -> Tensor:
    """Return images normalised by their own statistics, ``γ (x - m) / √(v + eps) + β``, to the digits that float32 has.

    Args:
        x: ``[n, c, h, w]``.
        weight: γ, ``[c]``, or None for ones.
        bias: β, ``[c]``, or None for zeros.
        eps: added to the variance.
    """
    if has_torch_function((x,)):
        found: Tensor = handle_torch_function(batch_norm, (x,), x, weight, bias, eps=eps)
        return found
    if weight is None and bias is None and _is_differentiated(x):
        normalised: Tensor = _Normalised.apply(x, eps)  # type: ignore[no-untyped-call]
        return normalised
    exact = _batch_norm(x, None, None, weight, bias, True, eps=eps)
    return F.batch_norm(x, None, None, weight, bias, training=True, eps=eps) if exact is None else exact


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
    """Return what `torch.nn.functional.batch_norm` would, running statistics moved too; None where torch itself loses no digits."""
    if not (training and loses_digits(input)):
        return None
    if input.dim() == 2:  # rows of features are channels last too
        columns = input.t()[None].contiguous()
        return F.batch_norm(columns, running_mean, running_var, weight, bias, True, momentum, eps)[0].t()
    if input.dim() == 5:  # rare, so two copies of it will do
        plain = F.batch_norm(input.contiguous(), running_mean, running_var, weight, bias, True, momentum, eps)
        return plain.contiguous(memory_format=torch.channels_last_3d)
    mean: Tensor
    variance: Tensor
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (input, weight, bias)):
        apply: Callable[..., tuple[Tensor, Tensor, Tensor]] = _BatchNorm.apply
        normalised, mean, variance = apply(input, weight, bias, eps)
    else:
        normalised, mean, variance = _BatchNorm.forward(input, weight, bias, eps)
    n = input.numel() // input.shape[1]
    # By way of .data, as torch's own kernel moves them: a smaller batch before may have left them saved for its gradient.
    if running_mean is not None:
        running_mean.data.lerp_(mean.detach(), momentum)
    if running_var is not None:
        running_var.data.lerp_(variance.detach() * (n / max(1, n - 1)), momentum)
    return normalised


def _torch_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor | None:
    """Return what `torch.batch_norm` would, which takes the same in another order."""
    del cudnn_enabled
    return _batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def _group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor | None:
    """Return what `torch.nn.functional.group_norm` and `torch.group_norm` would; None where torch itself loses no digits."""
    del cudnn_enabled
    if input.dim() == 2 or not loses_digits(input):
        return None
    normalised = F.group_norm(input.contiguous(), num_groups, weight, bias, eps)
    return normalised.contiguous(memory_format=_LAST[input.dim()])


_EXACT: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    F.batch_norm: _batch_norm,
    F.group_norm: _group_norm,
    torch.batch_norm: _torch_batch_norm,
    torch.group_norm: _group_norm,
}


class _BatchNorm(torch.autograd.Function):
    """Batch norm of channels-last images by statistics from short sums; the gradient is torch's, from the same statistics."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        mean, variance = statistics(x)
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps), mean, variance

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401 - torch's context
        x, weight, bias, ctx.eps = inputs
        _, mean, variance = output
        ctx.mark_non_differentiable(mean, variance)
        ctx.wanted = [True, weight is not None, bias is not None]
        ctx.save_for_backward(x, weight, mean, variance)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight, mean, variance = ctx.saved_tensors
        # A derivative in its own right, so that MAML's outer gradient goes through; it knows that the statistics come from x.
        found = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, None, None, mean, (variance + ctx.eps).rsqrt(), True, ctx.eps, ctx.wanted
        )
        return (*(g if wanted else None for g, wanted in zip(found, ctx.wanted, strict=True)), None)


def _is_differentiated(x: Tensor) -> bool:
    """Return whether autograd, and no transform or compiler, takes the gradient of what is made of images on a CPU."""
    return eager() and x.requires_grad and torch.is_grad_enabled() and x.dim() == 4 and x.device.type == "cpu"


class _Normalised(torch.autograd.Function):
    """Batch norm without scale and shift, whose gradient has a quicker gradient than torch's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:  # noqa: ANN401 - torch's context
        if loses_digits(x):
            mean, variance = statistics(x)
            spread = (variance + eps).rsqrt()
            normalised = torch.batch_norm(x, None, None, mean, variance, False, 0.0, eps, False)
        else:
            normalised, mean, spread = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
        ctx.eps = eps
        ctx.save_for_backward(x, mean, spread)
        return normalised

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        return _NormalisedGradient.apply(gradients[0], *ctx.saved_tensors, ctx.eps), None  # type: ignore[no-untyped-call]


class _NormalisedGradient(torch.autograd.Function):
    """The gradient d of a batch norm with respect to x, from that with respect to its result, g.

    With x̂ the result, r = 1 / √(v + eps), means ⟨·⟩ over the n numbers of a channel, and P g = g - ⟨g⟩ - x̂ ⟨g x̂⟩, which is its own adjoint,
    d = r P g. For a gradient u with respect to d:

        ∂/∂g = r P u,    ∂/∂x = -r (⟨g x̂⟩ r P u + ⟨u x̂⟩ d) - r x̂ ⟨u d⟩
    """

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, mean: Tensor, spread: Tensor, eps: float) -> Tensor:  # noqa: ANN401
        d, along = _normalised_gradient(g, x, mean, spread, eps)
        ctx.eps = eps
        ctx.save_for_backward(d, along, g, x, mean, spread)
        return d

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (u,) = gradients
        d, along, g, x, mean, spread = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a third derivative, which is rare
            return *_as_written(u, g, x, ctx.eps), None, None, None
        of_g, u_along = _normalised_gradient(u, x, mean, spread, ctx.eps)
        if not ctx.needs_input_grad[1]:
            return of_g, None, None, None, None
        n = x.numel() // x.shape[1]
        by_x = -((u * d).sum(dim=(0, 2, 3)) / n) * spread.square()
        of_x = torch.addcmul((-by_x * mean)[:, None, None], x, by_x[:, None, None])
        of_x.addcmul_(of_g, (-spread * along / n)[:, None, None])
        of_x.addcmul_(d, (-spread * u_along / n)[:, None, None])
        return of_g, of_x, None, None, None


def _as_written(u: Tensor, g: Tensor, x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return what `_NormalisedGradient` hands on to g and x, as its formula stands there, for derivatives of any order."""

    def mean(of: Tensor) -> Tensor:
        return of.mean(dim=(0, 2, 3), keepdim=True)

    centred = x - mean(x)
    r = (mean(centred.square()) + eps).rsqrt()
    normalised = centred * r
    of_g, d = (r * (t - mean(t) - normalised * mean(t * normalised)) for t in (u, g))
    of_x = -r * (mean(g * normalised) * of_g + mean(u * normalised) * d + normalised * mean(u * d))
    return of_g, of_x


def _normalised_gradient(g: Tensor, x: Tensor, mean: Tensor, spread: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return ``r P g``, as in `_NormalisedGradient`, and the sum of ``g x̂`` in each channel."""
    wanted = [True, True, False]
    d, along, _ = torch.ops.aten.native_batch_norm_backward(g, x, None, None, None, mean, spread, True, eps, wanted)
    return d, along


def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel of channels-last images ``[n, c, h, w]``, two tensors ``[c]``, from short sums.

    Seen as ``[n·h·w / k, k·c]``, the same memory has k partial statistics of every channel, each over so many rows fewer. With mean m_i and
    variance v_i of part i, all of one size, the whole has

        m = mean_i m_i,    v = mean_i (v_i + (m_i - m)²)        (Chan, Golub & LeVeque, 1979)
    """
    n, c, h, w = x.shape
    parts = h * w if n > w else w  # sums of n or of n·h rows; what is put together stays small beside x
    rows = x.permute(0, 2, 3, 1).reshape(1, n * h * w // parts, 1, parts * c)
    means, variances = torch.batch_norm_update_stats(rows.permute(0, 3, 1, 2), None, None, 0.0)
    means, variances = means.view(parts, c), variances.view(parts, c)
    mean = means.mean(dim=0)
    apart = means - mean
    return mean, torch.addcmul(variances, apart, apart).mean(dim=0)


_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def loses_digits(x: Tensor) -> bool:
    """Return whether torch's own kernel would add up the rows of this batch one by one in float32: those whose channels lie together."""
    if torch.compiler.is_compiling() or x.dim() not in (2, 4, 5) or x.dtype != torch.float32 or x.device.type != "cpu":
        return False
    if x.numel() // max(x.shape[1], 1) < _FEW:
        return False
    if _one_of_several(x):  # for which torch's vmap lays images out plainly
        return False
    if x.dim() == 2:
        return x.is_contiguous()
    return x.is_contiguous(memory_format=_LAST[x.dim()]) and not x.is_contiguous()


def _one_of_several(x: Tensor) -> bool:
    """Return whether ``torch.vmap`` maps over a tensor, perhaps within another transform."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(x):
        if functorch.is_batchedtensor(x):
            return True
        x = functorch.get_unwrapped(x)
    return False
