"""A convolution for gradients on a CPU, by the call that is the quickest for its shapes, and whose gradients have quick gradients too.

A convolution and its two gradients are the derivatives of one trilinear form, ``⟨g, conv(x, w)⟩``, with respect to g, x and w. So the
gradients of the two gradients are convolutions and such gradients again. (torch computes one of them by a convolution with a kernel as
large as the map, which takes three times as long.)
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from transference.devices import eager
from transference.fused._batched import as_products, differ
from transference.fused._convolution import as_product, bordered, rows_of, small
from transference.fused._geometry import Geometry
from transference.fused._windows import summed, windows


def conv2d(images: Tensor, weight: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Return ``torch.nn.functional.conv2d``, by a quicker way where there is one; gradients pass through, of any order.

    There is for small maps on a CPU, and on a GPU for tasks that go together, each with kernels of its own.

    Args:
        images: ``[n, c_in, side, side]``.
        weight: ``[c_out, c_in, *kernel]``.
        stride: of the kernel.
        padding: with zeros on every side.
    """
    if has_torch_function((images,)):
        found: Tensor = handle_torch_function(conv2d, (images,), images, weight, stride=stride, padding=padding)
        return found
    if images.device.type != "cpu" and differ(weight):
        return as_products(images, weight, stride=stride, padding=padding)
    if not eager() or images.device.type != "cpu":
        return F.conv2d(images, weight, stride=stride, padding=padding)
    geometry = Geometry.of(weight, stride, padding, 1)
    if torch.is_grad_enabled() and (images.requires_grad or weight.requires_grad):
        return _convolved(images, weight, geometry)
    return _convolve(images, weight, geometry)


def _convolve(images: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    if small(images, geometry):
        return as_product(images, weight, None, geometry)
    return F.conv2d(images, weight, None, geometry.stride, geometry.padding, geometry.dilation)


def _gradients(
    gradient: Tensor, images: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Return what `_convolve` hands on to images and kernel of the gradient of its maps, those that are wanted."""
    if not small(images, geometry):
        how = geometry.stride, geometry.padding, geometry.dilation, False, (0, 0), 1, (*wanted, False)
        of_images, of_weight, _ = torch.ops.aten.convolution_backward(gradient, images, weight, None, *how)
        return of_images, of_weight
    rows = gradient.permute(0, 2, 3, 1).reshape(-1, weight.shape[0])
    of_images = of_weight = None
    pixels = bordered(images, geometry)
    if wanted[0]:
        (above, left), (height, width) = geometry.padding, images.shape[2:]
        all_around = summed(rows @ rows_of(weight), pixels.shape, geometry)
        on_images = all_around[:, above : above + height, left : left + width].contiguous()
        of_images = on_images.permute(0, 3, 1, 2)
    if wanted[1]:
        products = rows.T @ windows(pixels, geometry)
        of_weight = products.view(len(weight), *geometry.kernel, -1).permute(0, 3, 1, 2)
    return of_images, of_weight


def _convolved(images: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    found: Tensor = _Convolution.apply(images, weight, geometry)  # type: ignore[no-untyped-call]
    return found


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:  # noqa: ANN401 - torch's context
        ctx.save_for_backward(images, weight)
        ctx.geometry = geometry
        return _convolve(images, weight, geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        images, weight = ctx.saved_tensors
        return *_Gradients.of(gradients[0], images, weight, ctx.geometry, ctx.needs_input_grad[:2]), None


class _Gradients(torch.autograd.Function):
    """Those of a convolution with respect to images and kernel."""

    @classmethod
    def of(
        cls, gradient: Tensor, images: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return them, None for one that is not wanted."""
        if not any(wanted):
            return None, None
        found: tuple[Tensor | None, Tensor | None] = cls.apply(gradient, images, weight, geometry, wanted)  # type: ignore[no-untyped-call]
        return found

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        gradient: Tensor,
        images: Tensor,
        weight: Tensor,
        geometry: Geometry,
        wanted: tuple[bool, bool],
    ) -> tuple[Tensor | None, Tensor | None]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(gradient, images, weight)
        ctx.geometry = geometry
        return _gradients(gradient, images, weight, geometry, wanted)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (gradient, images, weight), (by_images, by_weight) = ctx.saved_tensors, gradients
        terms = []
        if by_images is not None:
            terms.append(_convolved(by_images, weight, ctx.geometry))
        if by_weight is not None:
            terms.append(_convolved(images, by_weight, ctx.geometry))
        of_gradient = sum(terms[1:], start=terms[0]) if terms else None
        # That of the images comes by way of the kernel's gradient, and that of the kernel by way of the images'.
        _, images_wanted, weight_wanted, *_ = ctx.needs_input_grad
        wanted = images_wanted and by_weight is not None, weight_wanted and by_images is not None
        others = images if by_images is None else by_images, weight if by_weight is None else by_weight
        return of_gradient, *_Gradients.of(gradient, *others, ctx.geometry, wanted), None, None
