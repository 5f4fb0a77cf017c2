"""MCNet's facial memory: a learned bank, conditioned on who is shown, that compensates features.

IICM is the conditioning, MCM the compensation. Where paper and release differ, this is the release.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead.config import MemoryConfig
from talkhead.models.attention import SoftmaxAttention
from talkhead.models.grid import resize

STYLE_HIDDEN = 128  # width inside the identity MLP (release)
NUM_KERNELS = 4  # of the dynamic convolution (release)
KERNEL_TEMPERATURE = 34.0  # of the softmax over those kernels (release)
ATTENTION_SCALE = 1 / 4  # parity: a constant in the release, not 1 / sqrt(channels)


@dataclass(frozen=True)
class MemoryReadout:
    """What the memory made of one warped feature.

    compensated: (B, C, S, S), like the feature that came in.
    projected:   (B, D, S, S), the compensated part of the feature in the memory's space.
    conditioned: (B, D, m, m), the memory as the identity bends it; the bank itself without IICM.
    value:       (B, D, m, m), what was there to be remembered.
    """

    compensated: Tensor
    projected: Tensor
    conditioned: Tensor
    value: Tensor

    def consistency(self) -> Tensor:
        """Mean distance of what is there to be remembered from the feature, which stays put."""
        size = (self.value.shape[-2], self.value.shape[-1])
        target = resize(self.projected.detach().float(), size)
        return (self.value.float() - target).abs().mean()


def unit_variance(*shape: int) -> nn.Parameter:
    """A random start with mean 0 and variance 1, as equalised learning rates want it.

    Uniform, because a normal start on the meta device would import torch's compiler.
    """
    return nn.Parameter(torch.empty(shape).uniform_(-math.sqrt(3), math.sqrt(3)))


class StyleConv(nn.Module):
    """A 3 x 3 convolution of one shared map, modulated by a style (StyleGAN2, section 2.2)."""

    def __init__(self, channels: int, style_channels: int) -> None:
        super().__init__()
        self.weight = unit_variance(channels, channels, 3, 3)
        self.modulation = nn.Linear(style_channels, channels)
        self.modulation.weight = unit_variance(channels, style_channels)
        nn.init.ones_(self.modulation.bias)
        self.noise_weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None = None) -> Tensor:
        """x (1, C, m, m), style (B, D), noise (1 or B, 1, m, m) -> (B, C, m, m).

        Modulating the input and demodulating the output equals changing the kernel, and lets the
        whole batch share one convolution.
        """
        # Both gains are StyleGAN2's equalised learning rate.
        weight = self.weight / math.sqrt(self.weight[0].numel())
        gain = 1 / math.sqrt(style.shape[1])
        scale = F.linear(style, self.modulation.weight * gain, self.modulation.bias)
        energy = scale.float().square() @ weight.float().square().sum((2, 3)).T
        y = F.conv2d(x * scale[:, :, None, None], weight, padding=1)
        y = y * torch.rsqrt(energy + 1e-8).to(y.dtype)[:, :, None, None]
        if noise is not None:
            y = y + self.noise_weight * noise.to(y.dtype)
        return F.leaky_relu(y + self.bias[:, None, None], 0.2) * math.sqrt(2)


class DynamicConv(nn.Module):
    """A 3 x 3 convolution whose kernel is a mixture that a second input chooses."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        hidden = in_channels // 4 + 1
        self.attention = nn.Sequential(
            nn.Linear(in_channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, NUM_KERNELS)
        )
        self.weight = nn.Parameter(torch.empty(NUM_KERNELS, out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(NUM_KERNELS, out_channels))
        for kernel in self.weight:
            nn.init.kaiming_uniform_(kernel)

    def mixture(self, pooled: Tensor) -> Tensor:
        """Weights (B, kernels) of the kernels for a pooled feature (B, C)."""
        logits = self.attention(pooled).float()
        return F.softmax(logits / KERNEL_TEMPERATURE, dim=1).to(pooled.dtype)

    def forward(self, x: Tensor, pooled: Tensor) -> Tensor:
        """x (B, C, m, m), pooled (B, C) -> (B, out, m, m)."""
        mixture = self.mixture(pooled)
        weight = torch.einsum("bk,koihw->boihw", mixture, self.weight)
        bias = mixture @ self.bias
        y = F.conv2d(
            x.flatten(0, 1)[None], weight.flatten(0, 1), bias.flatten(), padding=1, groups=len(x)
        )
        return y.unflatten(1, (len(x), -1))[0]


class MemoryPort(nn.Module):
    """The layers of one scale: into the memory's space and back."""

    def __init__(self, channels: int, memory_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, memory_channels, 1)
        self.conv = nn.Conv2d(memory_channels, channels, 3, padding=1)
        self.norm = nn.InstanceNorm2d(channels, affine=True)

    def leave(self, x: Tensor) -> Tensor:
        """(B, D, S, S) -> (B, C, S, S)."""
        return F.relu(self.norm(self.conv(x)))


class FaceMemory(nn.Module):
    """Compensates warped features, at each of its scales, by what faces usually look like.

    Nothing worth keeping depends on the source alone: even the identity code contains the warped
    feature, and the source keypoints' share in it is one small matrix.
    """

    def __init__(self, config: MemoryConfig, channels: Sequence[int], num_keypoints: int) -> None:
        """`channels` of the features at all scales, coarse to fine."""
        super().__init__()
        self.config = config
        dim = config.channels
        parts = 2 if config.split else 1
        self.bank = unit_variance(1, dim, config.size, config.size)
        self.ports = nn.ModuleDict(
            {str(scale): MemoryPort(channels[scale] // parts, dim) for scale in config.scales}
        )
        self.query = nn.Conv2d(dim, dim, 1)
        self.key_value = DynamicConv(dim, 2 * dim)
        self.difference = nn.Conv2d(dim, dim, 1)
        self.attend = SoftmaxAttention(ATTENTION_SCALE)
        if config.identity:
            self.identity = nn.Sequential(
                nn.Linear(dim + 2 * num_keypoints, STYLE_HIDDEN),
                nn.ReLU(),
                nn.Linear(STYLE_HIDDEN, dim),
            )
            self.style_conv = StyleConv(dim, dim)

    def forward(
        self,
        features: Sequence[Tensor],
        source_points: Tensor,
        noise: Sequence[Tensor] | None = None,
    ) -> dict[int, MemoryReadout]:
        """Readouts by scale, of features at all scales, coarse to fine.

        noise: one map per scale of the memory, to repeat a recorded conditioning.
        """
        scales = self.config.scales
        maps = [None] * len(scales) if noise is None else noise
        return {
            scale: self.read(features[scale], source_points, scale, noise_map)
            for scale, noise_map in zip(scales, maps, strict=True)
        }

    def read(
        self, feature: Tensor, source_points: Tensor, scale: int, noise: Tensor | None = None
    ) -> MemoryReadout:
        """feature (B, C, S, S) warped and occluded, source_points (B, K, 2).

        noise: (1 or B, 1, m, m) for the conditioning instead of fresh noise or none.
        """
        port = self.ports[str(scale)]
        assert isinstance(port, MemoryPort)
        # parity: the paper splits into halves, the release into even and odd channels.
        changed = feature[:, 1::2] if self.config.split else feature
        projected = port.project(changed)
        pooled = projected.mean((2, 3))
        memory = self.condition(pooled, source_points, noise)
        key, value = F.relu(self.key_value(memory, pooled)).chunk(2, dim=1)
        residual = self.remember(self.ask(projected), key, value)
        fresh = F.relu(self.difference(projected - residual)) + projected
        compensated = port.leave(fresh)
        if self.config.split:
            compensated = torch.stack([feature[:, ::2], compensated], dim=2).flatten(1, 2)
        return MemoryReadout(compensated, projected, memory, value)

    def ask(self, projected: Tensor) -> Tensor:
        """The query (B, D, S, S) of a projected feature."""
        return F.relu(self.query(projected))

    def remember(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Every position of query (B, D, S, S) attends to every one of the memory (B, D, m, m)."""
        q, k, v = (x.flatten(2).transpose(1, 2).unsqueeze(1) for x in (query, key, value))
        found = self.attend(q, k, v)
        return found.squeeze(1).transpose(1, 2).unflatten(2, query.shape[-2:])

    def identify(self, pooled: Tensor, source_points: Tensor) -> Tensor:
        """The implicit identity representation (B, D) of who is shown."""
        points = source_points.flatten(1).to(pooled.dtype)
        return self.identity(torch.cat([pooled, points], dim=1))

    def condition(self, pooled: Tensor, points: Tensor, noise: Tensor | None = None) -> Tensor:
        """The bank (B, D, m, m) as the identity bends it; as it is without IICM."""
        if not self.config.identity:
            return self.bank.expand(len(pooled), -1, -1, -1)
        if noise is None and (self.training or self.config.noise):
            noise = torch.randn_like(self.bank[:, :1].expand(len(pooled), -1, -1, -1))
        return self.style_conv(self.bank, self.identify(pooled, points), noise)


def compensate(features: Sequence[Tensor], readouts: Mapping[int, MemoryReadout]) -> list[Tensor]:
    """The features, coarse to fine, with what the memory made of them in their place."""
    return [
        readouts[scale].compensated if scale in readouts else feature
        for scale, feature in enumerate(features)
    ]


def consistency_loss(readouts: Mapping[int, MemoryReadout]) -> dict[str, Tensor]:
    """The memory's own loss, summed over its scales; nothing without a memory."""
    terms = [readout.consistency() for readout in readouts.values()]
    return {"consistency": sum(terms[1:], terms[0])} if terms else {}
