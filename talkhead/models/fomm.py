"""First Order Motion Model for Image Animation (FOMM, NeurIPS 2019)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from talkhead.config import FommConfig
from talkhead.models.blocks import ResidualBlock, UpBlock
from talkhead.models.grid import pixel_flow, resize, resize_grid, warp
from talkhead.models.memory import FaceMemory, MemoryReadout, compensate, consistency_loss
from talkhead.models.motion import DenseMotionEstimator, KeypointDetector
from talkhead.models.unet import ConvEncoder
from talkhead.structs import DenseMotion, Keypoints, RenderParts, SourceState, TrainOutputs


class FommModel(nn.Module):
    """Images in and out are RGB in [0, 1]."""

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

    def detect(self, images: Tensor) -> Keypoints:
        """Keypoints of images (B, 3, H, W) in [0, 1]."""
        return self.keypoint_detector(self._enter(images))

    def encode_source(self, image: Tensor) -> SourceState:
        """All that depends on the source (B, 3, H, W) alone; only the coarsest map is warped."""
        image = self._enter(image)
        return SourceState(
            keypoints=self.keypoint_detector(image),
            image=image,
            small=self.dense_motion.down(image),
            features=self.encoder(image)[:1],
        )

    def render(self, state: SourceState, driving: Keypoints) -> Tensor:
        """The source moved to the driving keypoints: (B, 3, H, W) in [0, 1]."""
        return self._draw(state, driving)[0]

    def render_parts(self, state: SourceState, driving: Keypoints) -> RenderParts:
        """The same, with where it came from."""
        image, dense = self._draw(state, driving)
        size = (image.shape[-2], image.shape[-1])
        grid = resize_grid(dense.deformation, size, align_corners=False)
        occlusion = resize(dense.occlusion[0], size, align_corners=False)
        flow = pixel_flow(grid, align_corners=self.config.align_corners)
        return RenderParts(image, flow, torch.zeros_like(occlusion), occlusion)

    def _draw(self, state: SourceState, driving: Keypoints) -> tuple[Tensor, DenseMotion]:
        state = state.expand(len(driving)) if len(state.image) != len(driving) else state
        dense = self.dense_motion(state.small, state.keypoints, driving)
        warped = self.warp_features(state, dense)
        recollections = self._recollect(warped, state.keypoints)
        return self._decode(warped, recollections).clamp(0, 1), dense

    def reconstruct(self, source: Tensor, driving: Tensor) -> TrainOutputs:
        """A training step's forward pass on images in [0, 1] of one person, (B, 3, H, W) each."""
        state = self.encode_source(source)
        keypoints = self.detect(driving)
        dense = self.dense_motion(state.small, state.keypoints, keypoints)
        warped = self.warp_features(state, dense)
        recollections = self._recollect(warped, state.keypoints)
        return TrainOutputs(
            image=self._decode(warped, recollections),
            coarse_image=None,
            warped_source=self._warp(state.image, dense.deformation).float(),
            source=state.keypoints,
            driving=keypoints,
            dense=dense,
            motion=dense.deformation,
            losses=consistency_loss(recollections),
        )

    def training_arguments(self, progress: float, coarse: bool) -> dict[str, Any]:
        """What `reconstruct` is told beyond its images: nothing."""
        return {}

    def warp_features(self, state: SourceState, dense: DenseMotion) -> list[Tensor]:
        """The source's coarsest feature under the deformation, times the occlusion; alone."""
        (feature,) = state.features
        size = (feature.shape[-2], feature.shape[-1])
        occlusion = resize(dense.occlusion[0], size, align_corners=False)
        return [self._warp(feature, dense.deformation) * occlusion.to(feature.dtype)]

    def _warp(self, features: Tensor, deformation: Tensor) -> Tensor:
        # parity: sampling follows the config, resizing was never aligned to corners.
        size = (features.shape[-2], features.shape[-1])
        grid = resize_grid(deformation, size, align_corners=False)
        return warp(features, grid, align_corners=self.config.align_corners)

    def _recollect(self, warped: list[Tensor], source: Keypoints) -> dict[int, MemoryReadout]:
        return {} if self.memory is None else self.memory(warped, source.value)

    def _decode(self, warped: list[Tensor], recollections: dict[int, MemoryReadout]) -> Tensor:
        (feature,) = compensate(warped, recollections)
        return self.decoder(feature).float()

    def _enter(self, images: Tensor) -> Tensor:
        return images.to(self.decoder.final.weight.dtype)


class FommDecoder(nn.Module):
    """Warped feature (B, C, S, S) -> image (B, 3, H, W) in [0, 1], without skips."""

    def __init__(self, channels: tuple[int, ...], num_residual: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(*(ResidualBlock(channels[0]) for _ in range(num_residual)))
        self.up = nn.Sequential(*(UpBlock(a, b) for a, b in pairwise(channels)))
        self.final = nn.Conv2d(channels[-1], 3, 7, padding=3)

    def forward(self, feature: Tensor) -> Tensor:
        return torch.sigmoid(self.final(self.up(self.residual(feature))))
