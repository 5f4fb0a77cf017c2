"""The discriminators of the published recipes, and one for mouths."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from talkhead.models.grid import gaussian_maps
from talkhead.models.mouth import MAPS

SLOPE = 0.2  # of the leaky ReLUs (releases)
MAX_CHANNELS = 512  # of FOMM's discriminator
NUM_BLOCKS = 4  # of FOMM's discriminator


class PatchDiscriminator(nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> logits (B, 1, h, w), positive for real patches.

    That of the codebook release: five convolutions of stride 2 and 1 with batch norms.
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, channels, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE),
        ]
        widths = (channels, 2 * channels, 4 * channels, 8 * channels, 8 * channels)
        for i in range(4):
            stride = 2 if i < 3 else 1
            layers += [
                nn.Conv2d(widths[i], widths[i + 1], 4, stride, padding=1, bias=False),
                nn.BatchNorm2d(widths[i + 1]),
                nn.LeakyReLU(SLOPE),
            ]
        layers.append(nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor, keypoints: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits, and no features: nothing is matched. Keypoints are not looked at."""
        return self.layers(images * 2 - 1), []


class KeypointDiscriminator(nn.Module):
    """Images (B, 3, H, W) in [0, 1] with the driving keypoints (B, K, 2) -> logits and features.

    That of FOMM's adversarial recipe: four blocks of a convolution without padding, instance norm
    (not in the first) and average pooling (not in the last), under spectral normalisation. It sees
    the keypoints as Gaussian maps beside the colours.
    """

    def __init__(self, num_keypoints: int, channels: int = 32) -> None:
        super().__init__()
        widths = [3 + num_keypoints]
        widths += [min(MAX_CHANNELS, channels * 2 ** (i + 1)) for i in range(NUM_BLOCKS)]
        self.blocks = nn.ModuleList()
        for i in range(NUM_BLOCKS):
            layers: list[nn.Module] = [_normalised(nn.Conv2d(widths[i], widths[i + 1], 4))]
            if i > 0:
                layers.append(nn.InstanceNorm2d(widths[i + 1], affine=True))
            layers.append(nn.LeakyReLU(SLOPE))
            if i < NUM_BLOCKS - 1:
                layers.append(nn.AvgPool2d(2))
            self.blocks.append(nn.Sequential(*layers))
        self.out = _normalised(nn.Conv2d(widths[-1], 1, 1))

    def forward(self, images: Tensor, keypoints: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits (B, 1, h, w), 1 for real and 0 for drawn patches, and each block's features."""
        size = (images.shape[-2], images.shape[-1])
        x = torch.cat([images, gaussian_maps(keypoints, size).to(images.dtype)], dim=1)
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return self.out(x), features


class MouthDiscriminator(nn.Module):
    """Squares around mouths (B, 3, S, S) in [-1, 1] -> logits (B, 1, S / 8, S / 8).

    It sees maps of what is where (B, maps, S, S) beside the colours [own experiments].
    """

    CHANNELS = (3 + MAPS.stop - MAPS.start, 32, 64, 96)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise(self.CHANNELS):
            layers += [_normalised(nn.Conv2d(before, after, 4, stride=2, padding=1))]
            layers += [nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(self.CHANNELS[-1], 1, 3, padding=1))

    def forward(self, squares: Tensor, maps: Tensor) -> Tensor:
        """Logits, positive for what is real."""
        logits: Tensor = self.layers(torch.cat([squares, maps], dim=1))
        return logits


def _normalised(layer: nn.Conv2d) -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(layer)
