"""Compensation of motion and appearance by attending to codebooks (the paper's MMC and MAC)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead.config import AppearanceCodebookConfig, CodebookConfig, MotionCodebookConfig
from talkhead.models.attention import SoftmaxAttention
from talkhead.models.autoencoder import Downsample, ResBlock, Upsample, group_norm
from talkhead.models.grid import resize, resize_grid, resize_thinned, warp_thin
from talkhead.models.quantizer import Codebook


def to_tokens(features: Tensor) -> Tensor:
    """(B, D, h, w) -> (B, h w, D), row by row."""
    return features.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, size: int) -> Tensor:
    """(B, size * size, D) -> (B, D, size, size)."""
    return tokens.transpose(1, 2).unflatten(2, (size, size))


class Attention(nn.Module):
    """Multi-head attention with one packed projection for query, key and value."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)
        self.attend = SoftmaxAttention()

    def _project(self, x: Tensor, part: int) -> Tensor:
        """(B, T, D) -> (B, heads, T, D / heads) by the query (0), key (1) or value (2) part."""
        weight = self.in_proj.weight.chunk(3)[part]
        bias = self.in_proj.bias.chunk(3)[part]
        return F.linear(x, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """`mask` (B, 1, 1, T), true where a key may be attended to."""
        query, key, value = (self._project(x, i) for i, x in enumerate((query, key, value)))
        y = self.attend(query, key, value, mask)
        return self.out_proj(y.transpose(1, 2).flatten(2))


class CodeAttentionLayer(nn.Module):
    """Pre-norm self-attention, cross-attention to the raw codes, convolutional feed-forward."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.self_attention = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.cross_attention = Attention(dim, num_heads)
        self.norm3 = nn.LayerNorm(dim)
        self.conv1 = nn.Conv2d(dim, 2 * dim, 3, padding=1)
        self.conv2 = nn.Conv2d(2 * dim, dim, 3, padding=1)

    def forward(
        self, x: Tensor, position: Tensor, codes: Tensor, size: int, mask: Tensor | None = None
    ) -> Tensor:
        """x (B, T, D) with T = size * size, position (T, D), codes (n, D) -> (B, T, D)."""
        y = self.norm1(x)
        query = y + position
        x = x + self.self_attention(query, query, y, mask)
        query = self.norm2(x) + position
        # The same codes for every item: broadcast, so they are projected once per call.
        shared = codes.to(query.dtype)[None]
        x = x + self.cross_attention(query, shared, shared)
        y = to_map(self.norm3(x), size)
        return x + to_tokens(self.conv2(F.gelu(self.conv1(y))))


class FlowHead(nn.Module):
    """Tokens, a flow and the feature that it warps -> residual flow and occlusion logits.

    The residual flow is in pixels of the motion grid.

    Widths are the release's for `width` = 128, in proportion otherwise. `feature_channels`: of the
    features at each scale that is compensated.
    """

    def __init__(self, dim: int, width: int, feature_channels: Mapping[int, int]) -> None:
        super().__init__()
        context = width * 3 // 2
        self.token1 = nn.Conv2d(dim, width, 1)
        self.token2 = nn.Conv2d(width, width * 3 // 4, 3, padding=1)
        self.flow1 = nn.Conv2d(2, width, 7, padding=3)
        self.flow2 = nn.Conv2d(width, width // 2, 3, padding=1)
        self.joint = nn.Conv2d(width * 3 // 4 + width // 2, width - 2, 3, padding=1)
        self.context1 = nn.ModuleDict(
            {str(scale): nn.Conv2d(c, context, 1) for scale, c in feature_channels.items()}
        )
        self.context2 = nn.Conv2d(context, width, 3, padding=1)
        self.residual1 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.residual2 = nn.Conv2d(width, 2, 3, padding=1)
        self.occlusion1 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.occlusion2 = nn.Conv2d(width, 1, 3, padding=1)

    def forward(
        self, tokens: Tensor, flow: Tensor, feature: Tensor, motion: Tensor, scale: int
    ) -> tuple[Tensor, Tensor]:
        """tokens (B, D, t, t), flow (B, 2, h, w), feature (B, C, S, S), motion (B, h, w, 2).

        Both results are h x w.
        """
        size = (flow.shape[-2], flow.shape[-1])
        token = self.token2(self.token1(resize(tokens, size)).relu_()).relu_()
        moved = self.flow2(self.flow1(flow).relu_()).relu_()
        joint = self.joint(torch.cat([token, moved], dim=1)).relu_()
        # Pixels that resizing would leave out are neither warped nor changed.
        context = self.context1[str(scale)](warp_thin(feature, motion, size[0])).relu_()
        context = self.context2(resize_thinned(context, feature.shape[-1], size[0])).relu_()
        z = torch.cat([joint, flow, context], dim=1)
        residual = self.residual2(self.residual1(z).relu_())
        occlusion = self.occlusion2(self.occlusion1(z).relu_())
        return residual, occlusion


class MotionCompensator(nn.Module):
    """Refines a deformation at one scale after the other by what the motion codes know."""

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        own: MotionCodebookConfig = config.motion_codebook
        size, dim, groups = config.token_size, own.dim, min(config.norm_groups, own.dim)
        self.token_size = size
        self.codebook = Codebook(own.num_codes, dim, len(config.channels), config.commitment_weight)
        self.embedding = nn.Sequential(
            nn.Conv2d(2, dim, 3, padding=1), Downsample(dim), ResBlock(dim, dim, groups)
        )
        self.keypoint_query = nn.Conv2d(config.keypoints.num_keypoints, dim, 1)
        channels = {scale: config.channels[scale] for scale in own.scales}
        self.source_query = nn.ModuleDict(
            {str(scale): nn.Conv2d(c, dim, 1) for scale, c in channels.items()}
        )
        self.query1 = nn.Conv2d(2 * dim, dim, 1)
        self.query2 = nn.Conv2d(2 * dim, dim, 1)
        self.position = nn.Parameter(torch.zeros(size * size, dim))
        self.layers = nn.ModuleList(
            CodeAttentionLayer(dim, own.num_heads) for _ in range(own.num_layers)
        )
        self.head = FlowHead(dim, own.residual_channels, channels)
        self.to_motion = nn.Sequential(
            Upsample(dim),
            ResBlock(dim, dim, groups),
            group_norm(dim, groups),
            nn.Conv2d(dim, 2, 3, padding=1),
        )

    def encode_keypoints(self, heatmap: Tensor) -> Tensor:
        """Driving heatmap (B, K, h, w) -> the part of every query that all scales share."""
        heatmap = resize(heatmap, (self.token_size, self.token_size))
        return F.relu(self.keypoint_query(heatmap))

    def forward(
        self, flow: Tensor, feature: Tensor, motion: Tensor, keypoint_query: Tensor, scale: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One scale's compensation.

        The source's feature (B, C, S, S) and the motion (B, h, w, 2), also as a flow (B, 2, h, w)
        in its own pixels, give the residual flow (B, 2, h, w), occlusion logits (B, 1, h, w) and
        the encoded flow (B, T, D).
        """
        size = self.token_size
        # parity: the warped feature is resized without blur, before its 1 x 1 convolution.
        warped = resize_thinned(warp_thin(feature, motion, size), feature.shape[-1], size)
        source_query = F.relu(self.source_query[str(scale)](warped))
        query = self.query1(torch.cat([source_query, keypoint_query], dim=1))
        embedding = self.embedding(flow.detach())
        tokens = to_tokens(self.query2(torch.cat([embedding, query], dim=1)))
        codes = self.codebook.allocated(scale)
        for layer in self.layers:
            tokens = layer(tokens, self.position, codes, size)
        residual, occlusion = self.head(to_map(tokens, size), flow, feature, motion, scale)
        return residual, occlusion, to_tokens(embedding)

    def decode_flow(self, vectors: Tensor) -> Tensor:
        """Quantised flow (B, T, D) -> the flow (B, 2, h, w) that it stands for, in pixels."""
        return self.to_motion(to_map(vectors.to(self.position.dtype), self.token_size))


class Patches(nn.Module):
    """A feature map as tokens: one linear map of every non-overlapping square of pixels.

    (B, C, S, S) <-> (B, T, D). A square is flattened row, column, channel, channel fastest.
    """

    def __init__(self, channels: int, patch: int, dim: int) -> None:
        super().__init__()
        self.channels, self.patch = channels, patch
        self.embed = nn.Linear(patch * patch * channels, dim)
        self.restore = nn.Linear(dim, patch * patch * channels)

    def to_tokens(self, x: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, T, D)."""
        p = self.patch
        x = x.unflatten(3, (-1, p)).unflatten(2, (-1, p))  # B C r p c p
        x = x.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        return self.embed(x)

    def to_map(self, tokens: Tensor, like: Tensor) -> Tensor:
        """The map that tokens (B, T, D) stand for, as large as `like`, in its memory layout."""
        p = self.patch
        result = torch.empty_like(like)
        squares = result.unflatten(3, (-1, p)).unflatten(2, (-1, p))  # B C r p c p
        x = self.restore(tokens).unflatten(2, (p, p, self.channels))
        x = x.unflatten(1, (squares.shape[2], squares.shape[4]))
        squares.copy_(x.permute(0, 5, 1, 3, 2, 4))
        return result


class AppearanceCompensator(nn.Module):
    """Rewrites a warped feature at one scale by what the appearance codes know."""

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        own: AppearanceCodebookConfig = config.appearance_codebook
        size, dim = config.token_size, own.dim
        self.token_size = size
        self.residual = own.residual
        self.codebook = Codebook(own.num_codes, dim, len(config.channels), config.commitment_weight)
        self.patches = nn.ModuleDict(
            {
                str(scale): Patches(config.channels[scale], config.scale_sizes[scale] // size, dim)
                for scale in own.scales
            }
        )
        self.position = nn.Parameter(torch.zeros(size * size, dim))
        self.layers = nn.ModuleList(
            CodeAttentionLayer(dim, own.num_heads) for _ in range(own.num_layers)
        )

    def embed(self, features: Tensor, scale: int) -> Tensor:
        """(B, C, S, S) -> (B, T, D): what the codes of this scale are learned from."""
        patches = self.patches[str(scale)]
        assert isinstance(patches, Patches)
        return patches.to_tokens(features)

    def forward(self, warped: Tensor, motion: Tensor, scale: int) -> Tensor:
        """warped (B, C, S, S) and the motion (B, h, w, 2) that warped it -> (B, C, S, S)."""
        patches = self.patches[str(scale)]
        assert isinstance(patches, Patches)
        tokens = patches.to_tokens(warped)
        codes = self.codebook.allocated(scale)
        # Only the first layer's self-attention ignores what came from outside of the source.
        mask: Tensor | None = self._inside(motion)
        for layer in self.layers:
            tokens = layer(tokens, self.position, codes, self.token_size, mask)
            mask = None
        restored = patches.to_map(tokens, warped)
        return warped + restored if self.residual else restored

    def _inside(self, motion: Tensor) -> Tensor:
        """(B, 1, 1, T), true for tokens that look inside the source; all true if none does."""
        motion = resize_grid(motion, (self.token_size, self.token_size))
        inside = (motion.abs() <= 1).all(-1).flatten(1)
        nothing = ~inside.any(1, keepdim=True)  # a softmax over nothing would be NaN
        return (inside | nothing)[:, None, None, :]
