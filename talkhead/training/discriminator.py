"""Patch discriminator with hinge loss and adaptive weight, as the codebook release has them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of the leaky ReLUs (release)
EPSILON = 1e-4  # beside the gradient's norm in the adaptive weight (release)


class PatchDiscriminator(nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> logits (B, 1, h, w), positive for real patches."""

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

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images * 2 - 1)


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss on its logits."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def adaptive_weight(
    reconstruction: Tensor, adversarial: Tensor, weight: Tensor, largest: float
) -> Tensor:
    """Balance both losses' gradients at one layer's weight: largest * clamp(ratio, 0, 1)."""
    wanted = torch.autograd.grad(reconstruction, weight, retain_graph=True)[0].norm()
    given = torch.autograd.grad(adversarial, weight, retain_graph=True)[0].norm()
    return largest * (wanted / (given + EPSILON)).clamp(0, 1).detach()
