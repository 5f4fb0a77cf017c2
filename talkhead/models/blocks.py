"""Small convolutional blocks that the FOMM family shares."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORMS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}


def make_norm(kind: str, channels: int) -> nn.Module:
    """An affine normalisation layer: "batch" or "instance"."""
    return NORMS[kind](channels, affine=True)


class SameBlock(nn.Module):
    """Convolution, norm, ReLU; size unchanged."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, norm: str = "batch"
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
        self.norm = make_norm(norm, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h, w)."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class DownBlock(SameBlock):
    """A 3 x 3 same block, then the mean of each 2 x 2 pixels: (B, C, h, w) -> (B, C', h/2, w/2)."""

    def __init__(self, in_channels: int, out_channels: int, norm: str = "batch") -> None:
        super().__init__(in_channels, out_channels, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h / 2, w / 2)."""
        return F.avg_pool2d(super().forward(x), 2)


class UpBlock(SameBlock):
    """Nearest doubling, then a 3 x 3 same block: (B, C, h, w) -> (B, C', 2h, 2w)."""

    def __init__(self, in_channels: int, out_channels: int, norm: str = "batch") -> None:
        super().__init__(in_channels, out_channels, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, 2 h, 2 w)."""
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))


class ResidualBlock(nn.Module):
    """Pre-activation residual block: norm, ReLU, convolution, twice; shape unchanged."""

    def __init__(self, channels: int, norm: str = "batch") -> None:
        super().__init__()
        self.norm1 = make_norm(norm, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = make_norm(norm, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class Hourglass(nn.Module):
    """U-net that halves and doubles `num_blocks` times, concatenating [up-sampled, skip].

    (B, in, h, w) -> (B, base + in, h, w). `forward` returns the output of every decoder step,
    coarse to fine, each with its skip; the last is the output.
    """

    def __init__(
        self,
        base: int,
        in_channels: int,
        num_blocks: int = 5,
        max_channels: int = 1024,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        widths = [min(max_channels, base * 2**i) for i in range(num_blocks + 1)]
        inputs = [in_channels, *widths[1:]]
        self.down = nn.ModuleList(
            DownBlock(inputs[i], widths[i + 1], norm) for i in range(num_blocks)
        )
        self.up = nn.ModuleList(
            UpBlock(widths[i + 1] * (1 if i == num_blocks - 1 else 2), widths[i], norm)
            for i in reversed(range(num_blocks))
        )
        # The output of decoder step i has widths[i] channels and the skip of the same size.
        skips = [in_channels, *widths[1:num_blocks]]
        self.step_channels = [widths[i] + skips[i] for i in reversed(range(num_blocks))]
        self.out_channels = base + in_channels

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, in, h, w) -> the decoder's steps, coarse to fine."""
        skips = [x]
        for down in self.down:
            skips.append(down(skips[-1]))
        y = skips.pop()
        steps = []
        for up in self.up:
            y = torch.cat([up(y), skips.pop()], dim=1)
            steps.append(y)
        return steps


def gaussian_kernel(factor: int) -> Tensor:
    """The FOMM family's anti-alias kernel for shrinking by an integer factor; sums to 1.

    On the CPU even while a model is built on `meta`: no checkpoint of ours holds it.
    """
    sigma = (factor - 1) / 2
    radius = round(4 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64, device="cpu")
    line = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = torch.outer(line, line)
    return (kernel / kernel.sum()).float()


class AntiAliasDownsample(nn.Module):
    """Blur with a Gaussian and keep every `factor`-th pixel: (B, C, H, W) -> (B, C, h, w)."""

    kernel: Tensor

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.channels = channels
        if factor > 1:
            kernel = gaussian_kernel(factor).expand(channels, 1, -1, -1).clone()
            self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H / factor, W / factor)."""
        if self.factor == 1:
            return x
        padding = self.kernel.shape[-1] // 2
        return F.conv2d(x, self.kernel, stride=self.factor, padding=padding, groups=self.channels)
