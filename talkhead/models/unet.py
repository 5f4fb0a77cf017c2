"""The convolutional encoder of FOMM, MCNet and TPSMM, and the U-net decoder of the last two.

Channels run coarse to fine, (512, 256, 128, 64) in both U-nets, for features at 1/8, 1/4, 1/2 and
1/1 of the image; FOMM has (256, 128, 64) for 1/4 to 1/1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from talkhead.models.blocks import DownBlock, ResidualBlock, SameBlock, UpBlock


class ConvEncoder(nn.Module):
    """Image (B, 3, H, W) -> features (B, C, S, S) at every scale, coarse to fine."""

    def __init__(self, channels: Sequence[int], norm: str = "batch") -> None:
        super().__init__()
        fine_first = channels[::-1]
        self.first = SameBlock(3, fine_first[0], kernel=7, norm=norm)
        self.down = nn.ModuleList(DownBlock(a, b, norm) for a, b in pairwise(fine_first))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) -> (B, C, S, S) for every scale, coarse to fine."""
        features = [self.first(images)]
        for down in self.down:
            features.append(down(features[-1]))
        return tuple(reversed(features))


class UnetDecoder(nn.Module):
    """Warped features, coarse to fine -> image (B, 3, H, W) in [0, 1].

    What is kept of the warped source is shown as it is; the rest is painted.
    """

    def __init__(self, channels: Sequence[int], norm: str = "batch") -> None:
        super().__init__()
        # From the second step on the decoder's map is concatenated with the skip of its size.
        widths = [channels[0], *(2 * c for c in channels[1:-1])]
        self.residual = nn.ModuleList(ResidualBlock(c, norm) for c in widths for _ in range(2))
        self.up = nn.ModuleList(
            UpBlock(before, after, norm) for before, after in zip(widths, channels[1:], strict=True)
        )
        self.final = nn.Conv2d(channels[-1], 3, 7, padding=3)

    def forward(
        self, features: Sequence[Tensor], warped_source: Tensor, occlusion: Tensor
    ) -> Tensor:
        """`occlusion` (B, 1, H, W), 1 keeps; `features` are occluded already."""
        x, *skips = features
        for i, up in enumerate(self.up):
            if i > 0:
                x = torch.cat([x, skips[i - 1]], dim=1)
            x = up(self.residual[2 * i + 1](self.residual[2 * i](x)))
        x = x * (1 - occlusion) + skips[-1]
        painted = torch.sigmoid(self.final(x))
        return painted * (1 - occlusion) + warped_source * occlusion
