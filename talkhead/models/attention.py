"""Softmax attention: the library's kernel, and what is quicker than it on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIP = 2**22  # scores that are held at once: 16 MB, which stay near the processor


class SoftmaxAttention(nn.Module):
    """Attention with nothing to learn; `scale` of the scores, None: 1 / sqrt(D)."""

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """(B, heads, T, D), (B, heads, N, D) and (B, heads, N, D) -> (B, heads, T, D).

        `mask` (B, 1, 1, N), true where a key may be attended to.
        """
        # Training in bfloat16 on a CPU: products and a softmax take half the fused kernel's time.
        stepwise = torch.is_grad_enabled() and query.dtype is torch.bfloat16
        if not (stepwise and query.device.type == "cpu"):
            return F.scaled_dot_product_attention(query, key, value, mask, scale=self.scale)
        scores = self._scaled(query) @ key.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return torch.softmax(scores, dim=-1) @ value

    def _scaled(self, query: Tensor) -> Tensor:
        return query * (query.shape[-1] ** -0.5 if self.scale is None else self.scale)


class DrawingAttention(SoftmaxAttention):
    """The same for drawing: on a CPU its products are convolutions of one pixel, see `by_pixel`."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """(B, heads, T, D) each, `mask` (B, 1, 1, N) -> (B, heads, T, D)."""
        if not by_pixel(query):
            return super().forward(query, key, value, mask)
        together = 2 - query.shape[1] % 2  # heads of one convolution: the groups of its channels
        queries = _bundle(self._scaled(query), together).transpose(2, 3).flatten(3).flatten(0, 1)
        keys = _bundle(key, together).flatten(2, 3).flatten(0, 1)
        values = _bundle(value, together).transpose(3, 4).flatten(2, 3).flatten(0, 1)
        barred = None if mask is None else _barred(mask, len(keys), together)
        found = [
            _attend(queries[i], keys[i], values[i], None if barred is None else barred[i], together)
            for i in range(len(keys))
        ]
        heads = torch.stack(found).unflatten(2, (together, -1)).transpose(1, 2)
        return heads.flatten(0, 1).unflatten(0, query.shape[:2])


def by_pixel(tokens: Tensor) -> bool:
    """Whether products with tokens are quicker as convolutions of one pixel.

    Convolutions are compiled for the processor at hand, matrix products of float32 come from a
    library that spares AMD's the widest vectors: 118 against 50 billion multiply-adds per second
    and core on Zen 5. With one thread convolutions too would go the other way.
    """
    return (
        tokens.device.type == "cpu"
        and tokens.dtype is torch.float32
        and not torch.is_grad_enabled()
        and torch.get_num_threads() > 1
    )


def pixel_product(tokens: Tensor, weight: Tensor, bias: Tensor | None, groups: int = 1) -> Tensor:
    """Tokens (B, T, D) times the transpose of weight (E, D / groups): (B, T, E)."""
    row = tokens.transpose(1, 2).unsqueeze(2)  # (B, D, 1, T): as it lies, with channels last
    y = F.conv2d(row, weight[:, :, None, None], bias, groups=groups)
    return y.squeeze(2).transpose(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, heads: int) -> Tensor:
    """query (T, heads D), key (heads N, D), value (heads D, N), bias (heads N,) -> (T, heads D)."""
    strips = []
    for strip in query[None].split(max(1, STRIP // len(key)), dim=1):
        scores = pixel_product(strip, key, bias, heads).unflatten(2, (heads, -1))
        shares = torch.softmax(scores, dim=-1).flatten(2)
        strips.append(pixel_product(shares, value, None, heads))
    return torch.cat(strips, dim=1)[0]


def _bundle(x: Tensor, together: int) -> Tensor:
    """(B, heads, T, D) -> (B, bundles, together, T, D)."""
    return x.unflatten(1, (-1, together))


def _barred(mask: Tensor, bundles: int, together: int) -> Tensor:
    """Mask (B, 1, 1, N) as what is added to the scores: (B bundles, together N)."""
    bias = torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))[:, 0]  # B 1 N
    per_item = bundles // len(mask)
    return bias.repeat(1, per_item, together).flatten(0, 1)
