"""Softmax attention, by the library's kernel or, where that is slower, in steps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B, heads, T, D), (B, heads, N, D) and (B, heads, N, D) -> (B, heads, T, D).

    `mask` (B, 1, 1, N), true where a key may be attended to.
    """
    # Training in bfloat16 on a CPU: three products and a softmax take half the fused kernel's time.
    stepwise = torch.is_grad_enabled() and query.dtype is torch.bfloat16
    if not (stepwise and query.device.type == "cpu"):
        return F.scaled_dot_product_attention(query, key, value, mask)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ value
