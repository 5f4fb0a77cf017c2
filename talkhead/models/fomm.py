"""First Order Motion Model for Image Animation (FOMM, NeurIPS 2019)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from talkhead.config import FommConfig
from talkhead.models.blocks import ResidualBlock, UpBlock
from talkhead.models.grid import pixel_flow, resize, resize_grid, warp
from talkhead.models.memory import FaceMemory
from talkhead.models.motion import DenseMotionEstimator, KeypointDetector
from talkhead.models.unet import ConvEncoder
from talkhead.models.warping import WarpingModel
from talkhead.structs import DenseMotion, Keypoints, RenderParts, SourceState


class FommModel(WarpingModel):
    """The warped coarsest feature alone, into a decoder without skips."""

    config: FommConfig
    shows_source = False

    def __init__(self, config: FommConfig) -> None:
        super().__init__()
        self.config = config
        num_keypoints = config.keypoints.num_keypoints
        self.keypoint_detector = KeypointDetector(config.keypoints, config.image_size)
        self.dense_motion = DenseMotionEstimator(
            config.dense_motion,
            num_keypoints,
            config.image_size,
            align_corners=config.align_corners,
        )
        self.encoder = ConvEncoder(config.channels)
        self.memory = (
            FaceMemory(config.memory, config.channels, num_keypoints) if config.memory else None
        )
        self.decoder = FommDecoder(config.channels, config.num_residual)

    def encode_source(self, image: Tensor) -> SourceState:
        """All that depends on the source (B, 3, H, W) alone; only the coarsest map is warped."""
        state = super().encode_source(image)
        return replace(state, features=state.features[:1])

    def render_parts(self, state: SourceState, driving: Keypoints) -> RenderParts:
        """The same as `render`, with where it came from."""
        image, dense = self._draw(state, driving)
        size = (image.shape[-2], image.shape[-1])
        grid = resize_grid(dense.deformation, size, align_corners=False)
        occlusion = resize(dense.occlusion[0], size, align_corners=False)
        flow = pixel_flow(grid, align_corners=self.config.align_corners)
        return RenderParts(image, flow, torch.zeros_like(occlusion), occlusion)

    def warp_features(self, state: SourceState, dense: DenseMotion) -> list[Tensor]:
        """The coarsest feature under the deformation, times the occlusion."""
        (feature,) = state.features
        size = (feature.shape[-2], feature.shape[-1])
        occlusion = resize(dense.occlusion[0], size, align_corners=False)
        return [self._warp(feature, dense.deformation) * occlusion.to(feature.dtype)]

    def _warp(self, features: Tensor, deformation: Tensor) -> Tensor:
        # parity: sampling follows the config, resizing was never aligned to corners.
        size = (features.shape[-2], features.shape[-1])
        grid = resize_grid(deformation, size, align_corners=False)
        return warp(features, grid, align_corners=self.config.align_corners)

    def _decode(
        self, features: list[Tensor], warped_source: Tensor | None, dense: DenseMotion
    ) -> Tensor:
        (feature,) = features
        return self.decoder(feature).float()


class FommDecoder(nn.Module):
    """Warped feature (B, C, S, S) -> image (B, 3, H, W) in [0, 1], without skips."""

    def __init__(self, channels: tuple[int, ...], num_residual: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(*(ResidualBlock(channels[0]) for _ in range(num_residual)))
        self.up = nn.Sequential(*(UpBlock(a, b) for a, b in pairwise(channels)))
        self.final = nn.Conv2d(channels[-1], 3, 7, padding=3)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, C, S, S) -> (B, 3, H, W) in [0, 1]."""
        return torch.sigmoid(self.final(self.up(self.residual(feature))))
