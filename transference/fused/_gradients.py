"""A convolution whose gradients have quicker gradients than torch's.

A convolution and its two gradients are the derivatives of one trilinear form, ``⟨g, conv(x, w)⟩``, with respect to g, x and w. So the
gradients of the two gradients are convolutions and such gradients again; torch computes one of them by a convolution with a kernel as large
as the map, which takes three times as long.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def convolved(images: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Return ``torch.nn.functional.conv2d`` where a gradient of a gradient may pass."""
    found: Tensor = _Convolution.apply(images, weight, stride, padding)  # type: ignore[no-untyped-call]
    return found


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.save_for_backward(images, weight)
        ctx.how = stride, padding
        return F.conv2d(images, weight, stride=stride, padding=padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        images, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:2]
        of_both = _Gradients.apply(gradients[0], images, weight, *ctx.how, wanted)  # type: ignore[no-untyped-call]
        return (*(g if is_wanted else None for g, is_wanted in zip(of_both, wanted, strict=True)), None, None)


class _Gradients(torch.autograd.Function):
    """Those of a convolution with respect to images and kernel, each zero-sized where it is not wanted."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        gradient: Tensor,
        images: Tensor,
        weight: Tensor,
        stride: int,
        padding: int,
        wanted: tuple[bool, bool],
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(gradient, images, weight)
        ctx.how, ctx.wanted = (stride, padding), wanted
        found = torch.ops.aten.convolution_backward(
            gradient, images, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [*wanted, False]
        )
        of_images, of_weight = (g if g is not None else gradient.new_empty(0) for g in found[:2])
        return of_images, of_weight

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        gradient, images, weight = ctx.saved_tensors
        by_images, by_weight = (g if wanted else None for g, wanted in zip(gradients, ctx.wanted, strict=True))
        terms = []
        if by_images is not None:
            terms.append(convolved(by_images, weight, *ctx.how))
        if by_weight is not None:
            terms.append(convolved(images, by_weight, *ctx.how))
        of_gradient = sum(terms[1:], start=terms[0]) if terms else None
        # of images by way of the kernel's gradient, and of the kernel by way of the images'
        wanted = (
            by_weight is not None and ctx.needs_input_grad[1],
            by_images is not None and ctx.needs_input_grad[2],
        )
        of_both: tuple[Tensor | None, Tensor | None] = (None, None)
        if any(wanted):
            shapes = (
                by_images if by_images is not None else images,
                by_weight if by_weight is not None else weight,
            )
            found = _Gradients.apply(gradient, *shapes, *ctx.how, wanted)  # type: ignore[no-untyped-call]
            of_both = found[0] if wanted[0] else None, found[1] if wanted[1] else None
        return of_gradient, *of_both, None, None, None
