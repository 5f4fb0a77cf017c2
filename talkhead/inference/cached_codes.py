"""Codebook attention with everything precomputed that depends on weights alone.

`CodeAttentionLayer` is how the layer is written and trained; `CodeReader` is the same map for
drawing, equal up to rounding. With positions p and codes c fixed,

    (y + p) W + b = y W + (p W + b)        and        c W + b

need only y: one product for query, key and value of self-attention, one for the query of
cross-attention, none for the codes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead.models.attention import DrawingAttention, by_pixel, pixel_product
from talkhead.models.compensation import (
    AppearanceCompensator,
    Attention,
    CodeAttentionLayer,
    MotionCompensator,
    Patches,
    to_map,
    to_tokens,
)


class TokenLinear(nn.Linear):
    """`nn.Linear` on tokens (B, T, D), as quick as the processor allows."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, E)."""
        return pixel_product(x, self.weight, self.bias) if by_pixel(x) else super().forward(x)


def token_linear(weight: Tensor, bias: Tensor | None) -> TokenLinear:
    """The linear layer with these numbers."""
    layer = TokenLinear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer


class CodeReader(nn.Module):
    """A `CodeAttentionLayer` that knows its positions (T, D) and all its codes (N, D)."""

    self_offset: Tensor
    query_offset: Tensor
    keys: Tensor
    values: Tensor

    def __init__(self, layer: CodeAttentionLayer, position: Tensor, codes: Tensor) -> None:
        super().__init__()
        own, cross = layer.self_attention, layer.cross_attention
        self.num_heads = own.num_heads
        self.attend = DrawingAttention()
        self.norm1, self.norm2, self.norm3 = layer.norm1, layer.norm2, layer.norm3
        self.conv1, self.conv2 = layer.conv1, layer.conv2
        self.self_in = token_linear(own.in_proj.weight, None)
        self.self_out = token_linear(own.out_proj.weight, own.out_proj.bias)
        self.query_in = token_linear(cross.in_proj.weight.chunk(3)[0], None)
        self.cross_out = token_linear(cross.out_proj.weight, cross.out_proj.bias)
        self.register_buffer("self_offset", _self_offset(own, position), persistent=False)
        weight, bias = cross.in_proj.weight.chunk(3)[0], cross.in_proj.bias.chunk(3)[0]
        self.register_buffer("query_offset", F.linear(position, weight, bias), persistent=False)
        self.register_buffer("keys", cross._project(codes[None], 1), persistent=False)
        self.register_buffer("values", cross._project(codes[None], 2), persistent=False)

    def forward(
        self, x: Tensor, position: Tensor, codes: Tensor, size: int, mask: Tensor | None = None
    ) -> Tensor:
        """As `CodeAttentionLayer`; `position` is known, of `codes` (a prefix) only the number."""
        y = self.self_in(self.norm1(x)) + self.self_offset
        query, key, value = (self._split(part) for part in y.chunk(3, dim=-1))
        x = x + self.self_out(_join(self.attend(query, key, value, mask)))
        query = self._split(self.query_in(self.norm2(x)) + self.query_offset)
        keys, values = (
            known[:, :, : len(codes)].expand(len(x), -1, -1, -1)
            for known in (self.keys, self.values)
        )
        x = x + self.cross_out(_join(self.attend(query, keys, values)))
        y = to_map(self.norm3(x), size)
        return x + to_tokens(self.conv2(F.gelu(self.conv1(y))))

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, T, D) -> (B, heads, T, D / heads)."""
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def _join(heads: Tensor) -> Tensor:
    """(B, heads, T, D / heads) -> (B, T, D)."""
    return heads.transpose(1, 2).flatten(2)


def _self_offset(attention: Attention, position: Tensor) -> Tensor:
    """What positions and biases add to query, key and value: (T, 3 D)."""
    query, key, _ = attention.in_proj.weight.chunk(3)
    moved = F.linear(position, torch.cat([query, key]))
    return torch.cat([moved, torch.zeros_like(position)], dim=1) + attention.in_proj.bias


def prepare_reading(module: nn.Module) -> None:
    """Give a compensator layers that know their codes, in place; other modules stay."""
    if isinstance(module, MotionCompensator | AppearanceCompensator):
        codes, position = module.codebook.codes.detach(), module.position.detach()
        module.layers = nn.ModuleList(
            CodeReader(layer, position, codes) if isinstance(layer, CodeAttentionLayer) else layer
            for layer in module.layers
        )
    if isinstance(module, Patches):
        module.embed = token_linear(module.embed.weight, module.embed.bias)
        module.restore = token_linear(module.restore.weight, module.restore.bias)
