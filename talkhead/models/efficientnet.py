"""EfficientNet-Lite0 up to its eleventh block, frozen: features that pictures are compared in.

Structure: EfficientNet-B0 (Tan, Le: "EfficientNet", ICML 2019, table 1) without squeeze and
excitation and with ReLU6, as its Lite variants are described.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Blocks: (expansion, kernel, stride, in, out), the first eleven of sixteen.
BLOCKS = (
    (1, 3, 1, 32, 16),
    *((6, 3, 2, 16, 24), (6, 3, 1, 24, 24)),
    *((6, 5, 2, 24, 40), (6, 5, 1, 40, 40)),
    *((6, 3, 2, 40, 80), (6, 3, 1, 80, 80), (6, 3, 1, 80, 80)),
    *((6, 5, 1, 80, 112), (6, 5, 1, 112, 112), (6, 5, 1, 112, 112)),
)
COMPARED = (0, 2, 4, 10)  # blocks whose output is compared, beside the stem's
STEM = 32  # channels


class Convolution(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: with stride 2, one more pixel after than before.

    Batch norm is part of its weight and bias.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h / stride, w / stride)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        return super().forward(F.pad(x, (before, after, before, after)))


class InvertedResidual(nn.Module):
    """1 x 1 expansion (none for a factor of 1), depthwise convolution, linear 1 x 1 projection."""

    def __init__(self, expansion: int, kernel: int, stride: int, inputs: int, outputs: int) -> None:
        super().__init__()
        width = expansion * inputs
        self.expand = Convolution(inputs, width, 1) if expansion > 1 else None
        self.depthwise = Convolution(width, width, kernel, stride, groups=width)
        self.project = Convolution(width, outputs, 1)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h / stride, w / stride)."""
        y = F.relu6(self.expand(x)) if self.expand is not None else x
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """Images (B, 3, H, W), RGB in [0, 1], H and W even at every halving -> five feature maps.

    At 1/2, 1/2, 1/4, 1/8 and 1/16 of the size, computed in float32 under any autocast: in half
    precision their gradients are mostly noise.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, 2)
        self.blocks = nn.ModuleList(InvertedResidual(*block) for block in BLOCKS)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Five feature maps, each finer than or as fine as the next."""
        with torch.autocast(images.device.type, enabled=False):
            x = (images.float() * 255 - 127) / 128
            x = F.relu6(self.stem(x.contiguous(memory_format=torch.channels_last)))
            found = [x]
            for number, block in enumerate(self.blocks):
                x = block(x)
                if number in COMPARED:
                    found.append(x)
        return found


def feature_distance(found: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """(B,): mean over the places of mean |a - b| / mean |b|, per picture."""
    ratios = [
        (a - b).abs().mean((1, 2, 3)) / b.abs().mean((1, 2, 3)).clamp(min=1e-6)
        for a, b in zip(found, wanted, strict=True)
    ]
    return torch.stack(ratios).mean(0)
