"""The codebook model's multi-scale image encoder and decoder, and how features are fused.

Layer order and sizes are those of the release; channels run coarse to fine, (256, 128, 128, 64)
there, for features at 1/8, 1/4, 1/2 and 1/1 of the image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead.models.attention import SoftmaxAttention
from talkhead.models.group_norm import GroupNorm


def group_norm(channels: int, groups: int) -> GroupNorm:
    """Group norm with the release's epsilon."""
    return GroupNorm(groups, channels, eps=1e-6)


def swish(x: Tensor) -> Tensor:
    """x sigmoid(x); in place of an `x` that nobody needs, if nothing is learned."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


class ResBlock(nn.Module):
    """Norm, swish, convolution, twice, plus the input (through 1 x 1 if channels change)."""

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = group_norm(in_channels, groups)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = group_norm(out_channels, groups)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut: nn.Module = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w)."""
        y = self.conv1(swish(self.norm1(x)))
        y = self.conv2(swish(self.norm2(y)))
        y += self.shortcut(x)  # in place: no gradient needs what a convolution gave
        return y


class AttentionBlock(nn.Module):
    """Single-head self-attention over all positions of a map, plus the input."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, groups)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        self.attend = SoftmaxAttention()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        y = self.norm(x)
        query, key, value = (
            layer(y).flatten(2).transpose(1, 2).unsqueeze(1)
            for layer in (self.query, self.key, self.value)
        )
        y = self.attend(query, key, value)
        return x + self.out(y.squeeze(1).transpose(1, 2).unflatten(2, x.shape[-2:]))


class Downsample(nn.Module):
    """3 x 3 convolution of stride 2, padded by one zero on the right and at the bottom only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h / 2, w / 2)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest doubling, then a 3 x 3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, 2 h, 2 w)."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


def attentive_blocks(channels: int, groups: int) -> nn.Sequential:
    """The middle of both networks: residual, attention, residual."""
    return nn.Sequential(
        ResBlock(channels, channels, groups),
        AttentionBlock(channels, groups),
        ResBlock(channels, channels, groups),
    )


class Encoder(nn.Module):
    """Image (B, 3, H, W) -> features at every scale."""

    def __init__(self, channels: Sequence[int], groups: int) -> None:
        super().__init__()
        coarsest, *finer = channels
        finer = finer[::-1]  # finest first: the order in which an encoder works
        self.stem = nn.Conv2d(3, finer[0], 3, padding=1)
        self.levels = nn.ModuleList()
        self.downs = nn.ModuleList()
        width = finer[0]
        for out in finer:
            self.levels.append(
                nn.Sequential(ResBlock(width, out, groups), ResBlock(out, out, groups))
            )
            self.downs.append(Downsample(out))
            width = out
        self.coarse_in = nn.Sequential(
            ResBlock(width, coarsest, groups), AttentionBlock(coarsest, groups)
        )
        self.coarse_out = nn.Sequential(
            ResBlock(coarsest, coarsest, groups), AttentionBlock(coarsest, groups)
        )
        self.middle = attentive_blocks(coarsest, groups)
        self.norm = group_norm(coarsest, groups)
        self.out = nn.Conv2d(coarsest, coarsest, 3, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features coarse to fine: (B, C, S, S) for each scale."""
        skips, x = self._descend(images)
        # parity: the release has no activation between this norm and this convolution.
        return (self.out(self.norm(self.middle(self.coarse_out(x)))), *skips)

    def shallow(self, images: Tensor) -> tuple[Tensor, ...]:
        """Like `forward`, but the coarsest map is taken before the middle.

        parity: it is this map whose patches teach the appearance codes of the coarsest scale.
        """
        skips, x = self._descend(images)
        return (x, *skips)

    def _descend(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        x = self.stem(images)
        skips: list[Tensor] = []
        for level, down in zip(self.levels, self.downs, strict=True):
            x = level(x)
            skips.insert(0, x)
            x = down(x)
        return skips, self.coarse_in(x)


class Fusion(nn.Module):
    """Lets a compensated feature modulate the decoder's (SFT), then adds a convolution of it."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.joint = ResBlock(2 * channels, channels, groups)
        self.scale = self._head(channels)
        self.shift = self._head(channels)
        self.add = nn.Conv2d(channels, channels, 3, padding=1)

    @staticmethod
    def _head(channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor, compensated: Tensor) -> Tensor:
        """Both (B, C, h, w) -> the same shape."""
        joint = self.joint(torch.cat([compensated, x], dim=1))
        y = self.shift(joint)
        y += x
        y.addcmul_(x, self.scale(joint))
        y += self.add(compensated)
        return y


class DecoderLevel(nn.Module):
    """Doubling, then two residual blocks with the fusion of this scale between them."""

    def __init__(self, in_channels: int, channels: int, groups: int) -> None:
        super().__init__()
        self.up = Upsample(in_channels)
        self.before = ResBlock(in_channels, channels, groups)
        self.fusion = Fusion(channels, groups)
        self.after = ResBlock(channels, channels, groups)

    def forward(self, x: Tensor, compensated: Tensor | None, hint: Tensor | None = None) -> Tensor:
        """(B, C, h, w) -> (B, C', 2 h, 2 w); `hint` and `compensated` are of the result's size."""
        x = self.before(self.up(x))
        if hint is not None:
            x = x + hint
        if compensated is not None:
            x = self.fusion(x, compensated)
        return self.after(x)


def shadow(features: Tensor) -> Tensor:
    """What is left of features (B, C, h, w) after halving and doubling their size."""
    half = F.avg_pool2d(features, 2)
    return F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)


class Decoder(nn.Module):
    """Compensated features, coarse to fine -> image (B, out_channels, H, W), unbounded."""

    def __init__(
        self, channels: Sequence[int], groups: int, out_channels: int = 3, num_maps: int = 0
    ) -> None:
        super().__init__()
        coarsest, *finer = channels
        self.stem = nn.Conv2d(coarsest, coarsest, 3, padding=1)
        self.maps = nn.ModuleList(
            nn.Conv2d(num_maps, width, 3, padding=1) for width in channels if num_maps
        )
        for layer in self.maps.parameters():  # weights without it go on as they were
            nn.init.zeros_(layer)
        self.middle = attentive_blocks(coarsest, groups)
        self.coarse = nn.Sequential(
            ResBlock(coarsest, coarsest, groups),
            AttentionBlock(coarsest, groups),
            ResBlock(coarsest, coarsest, groups),
            AttentionBlock(coarsest, groups),
        )
        self.levels = nn.ModuleList(
            DecoderLevel(before, channels_here, groups)
            for before, channels_here in zip(channels, finer, strict=False)
        )
        self.norm = group_norm(finer[-1], groups)
        self.out = nn.Conv2d(finer[-1], out_channels, 3, padding=1)

    def forward(
        self,
        coarse: Tensor,
        finer: Sequence[Tensor | None],
        maps: Sequence[Tensor] = (),
    ) -> Tensor:
        """`finer` holds one feature for each scale after the coarsest; None skips its fusion.

        maps: what else is known of each scale, (B, num_maps, S, S), where the decoder takes any.
        """
        hints = [layer(given) for layer, given in zip(self.maps, maps, strict=True)]
        x = self.stem(coarse)
        x = self.coarse(self.middle(x + hints[0] if hints else x))
        for number, (level, compensated) in enumerate(zip(self.levels, finer, strict=True), 1):
            x = level(x, compensated, hints[number] if hints else None)
        # parity: no activation before or after the last convolution.
        return self.out(self.norm(x))
