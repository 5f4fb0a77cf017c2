"""ResNet-18 (CVPR 2016), the regressor in which TPSMM finds keypoints and background motion."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions, plus the input (through 1 x 1 where size or channels change)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, out, h / stride, w / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet18(nn.Module):
    """Images (B, in_channels, H, W) -> numbers (B, out_features); layers named as in torchvision.

    channels: of the first level, 64 as published; each of the other three doubles them.
    """

    def __init__(self, in_channels: int, out_features: int, channels: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = self._level(channels, channels, stride=1)
        self.layer2 = self._level(channels, 2 * channels, stride=2)
        self.layer3 = self._level(2 * channels, 4 * channels, stride=2)
        self.layer4 = self._level(4 * channels, 8 * channels, stride=2)
        self.fc = nn.Linear(8 * channels, out_features)

    @staticmethod
    def _level(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            BasicBlock(in_channels, out_channels, stride), BasicBlock(out_channels, out_channels, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out)."""
        x = F.relu(self.bn1(self.conv1(images)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))
