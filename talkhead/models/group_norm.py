"""Group norm whose gradient is also quick in half precision on a CPU.

The library's backward pass is two to five times slower there than its forward pass explains, and
was a quarter of a training step. With the channels last it crashes where the norm learns and what
it is given does not, as behind layers that are held still.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm` in every respect but the training on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        learns = torch.is_grad_enabled() and self.weight.requires_grad
        other = x.dtype is torch.bfloat16 or (learns and not x.requires_grad)
        if not (torch.is_grad_enabled() and x.device.type == "cpu" and other):
            return super().forward(x)
        return QuickGroupNorm.apply(x, self.weight, self.bias, self.num_groups, self.eps)


class QuickGroupNorm(torch.autograd.Function):
    """Group norm of (B, C, h, w) with a gradient of two sums and two multiply-adds per element."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
    ) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        batch, channels, height, width = x.shape
        y, mean, rstd = torch.native_group_norm(
            x, weight, bias, batch, channels, height * width, groups, eps
        )
        ctx.save_for_backward(x, weight, mean, rstd)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of input, weight and bias."""
        (dy,) = gradients
        x, weight, mean, rstd = ctx.saved_tensors
        batch = len(x)
        mean, rstd = (m.float().view(batch, -1, 1) for m in (mean, rstd))  # B G 1
        groups = mean.shape[1]
        size = x[0].numel() // groups
        # Sums over the pixels of each channel: of the gradient, and of gradient times input.
        plain, moved = (_pixel_sum(t).view(batch, groups, -1) for t in (dy, dy * x))
        scale = weight.float().view(groups, -1)
        inner = (scale * moved).sum(2, keepdim=True) - mean * (scale * plain).sum(2, keepdim=True)
        outer = (scale * plain).sum(2, keepdim=True)
        # dx = a dy + b x + c, with numbers per channel and item.
        a = scale * rstd
        b = (-inner * rstd**3 / size).expand_as(a)
        c = -b * mean - outer * rstd / size
        a, b, c = (_per_channel(t, x) for t in (a, b, c))
        dx = (dy * a).add_(x * b).add_(c)  # broadcast multiply-adds are ten times slower
        dweight = ((moved - mean * plain) * rstd).sum(0).flatten()
        return dx, dweight.to(weight.dtype), plain.sum(0).flatten().to(weight.dtype), None, None


def _pixel_sum(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C) in float32, row by row: a sum in float32 at once copies `x` first."""
    return x.sum(3).float().sum(2)


def _per_channel(numbers: Tensor, like: Tensor) -> Tensor:
    """(B, G, C / G) -> (B, C, 1, 1) in the precision of `like`."""
    return numbers.flatten(1)[..., None, None].to(like.dtype)
