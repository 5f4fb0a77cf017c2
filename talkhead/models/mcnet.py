"""Implicit Identity Representation Conditioned Memory Compensation Network (MCNet, ICCV 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from talkhead.config import McnetConfig
from talkhead.models.detail import warped_parts
from talkhead.models.grid import resize, warp
from talkhead.models.memory import FaceMemory, MemoryReadout, compensate, consistency_loss
from talkhead.models.motion import DenseMotionEstimator, KeypointDetector
from talkhead.models.unet import ConvEncoder, UnetDecoder
from talkhead.structs import DenseMotion, Keypoints, RenderParts, SourceState, TrainOutputs


class McnetModel(nn.Module):
    """Images in and out are RGB in [0, 1]."""

    def __init__(self, config: McnetConfig) -> None:
        super().__init__()
        self.config = config
        num_keypoints = config.keypoints.num_keypoints
        self.keypoint_detector = KeypointDetector(config.keypoints, config.image_size)
        self.dense_motion = DenseMotionEstimator(
            config.dense_motion, num_keypoints, config.image_size
        )
        self.encoder = ConvEncoder(config.channels)
        self.memory = (
            FaceMemory(config.memory, config.channels, num_keypoints) if config.memory else None
        )
        self.decoder = UnetDecoder(config.channels)

    def detect(self, images: Tensor) -> Keypoints:
        """Keypoints of images (B, 3, H, W) in [0, 1]."""
        return self.keypoint_detector(self._enter(images))

    def encode_source(self, image: Tensor) -> SourceState:
        """All that depends on the source (B, 3, H, W) alone."""
        image = self._enter(image)
        return SourceState(
            keypoints=self.keypoint_detector(image),
            image=image,
            small=self.dense_motion.down(image),
            features=self.encoder(image),
        )

    def render(
        self, state: SourceState, driving: Keypoints, *, noise: Sequence[Tensor] | None = None
    ) -> Tensor:
        """The source moved to the driving keypoints: (B, 3, H, W) in [0, 1].

        noise: one map (1, m, m) per scale of the memory, to repeat a recorded conditioning.
        """
        return self._draw(state, driving, noise)[0]

    def render_parts(self, state: SourceState, driving: Keypoints) -> RenderParts:
        """The same, with where it came from."""
        return warped_parts(*self._draw(state, driving))

    def _draw(
        self, state: SourceState, driving: Keypoints, noise: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, DenseMotion]:
        state = state.expand(len(driving)) if len(state.image) != len(driving) else state
        dense = self.dense_motion(state.small, state.keypoints, driving)
        warped = self.warp_features(state, dense)
        recollections = self._recollect(warped, state.keypoints, noise)
        warped_source = warp(state.image, dense.deformation)
        return self._decode(warped, recollections, warped_source, dense).clamp(0, 1), dense

    def reconstruct(self, source: Tensor, driving: Tensor) -> TrainOutputs:
        """A training step's forward pass on images in [0, 1] of one person, (B, 3, H, W) each."""
        state = self.encode_source(source)
        keypoints = self.detect(driving)
        dense = self.dense_motion(state.small, state.keypoints, keypoints)
        warped = self.warp_features(state, dense)
        recollections = self._recollect(warped, state.keypoints)
        warped_source = warp(state.image, dense.deformation)
        return TrainOutputs(
            image=self._decode(warped, recollections, warped_source, dense),
            coarse_image=None,
            warped_source=warped_source.float(),
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
        """The source's features under the deformation, times the occlusion, coarse to fine."""
        return [
            warp(feature, dense.deformation) * occlusion_like(feature, dense)
            for feature in state.features
        ]

    def _recollect(
        self,
        warped: Sequence[Tensor],
        source: Keypoints,
        noise: Sequence[Tensor] | None = None,
    ) -> dict[int, MemoryReadout]:
        return {} if self.memory is None else self.memory(warped, source.value, noise)

    def _decode(
        self,
        warped: Sequence[Tensor],
        recollections: dict[int, MemoryReadout],
        warped_source: Tensor,
        dense: DenseMotion,
    ) -> Tensor:
        features = compensate(warped, recollections)
        occlusion = occlusion_like(warped_source, dense)
        return self.decoder(features, warped_source, occlusion).float()

    def _enter(self, images: Tensor) -> Tensor:
        return images.to(self.decoder.final.weight.dtype)


def occlusion_like(feature: Tensor, dense: DenseMotion) -> Tensor:
    """The one occlusion map (B, 1, h, w) at a feature's size and in its precision."""
    size = (feature.shape[-2], feature.shape[-1])
    return resize(dense.occlusion[0], size).to(feature.dtype)
