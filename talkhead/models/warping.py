"""What FOMM, MCNet and TPSMM share: warp the source's features, mend them by a memory, decode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from talkhead.config import FommConfig, McnetConfig, TpsmmConfig
from talkhead.models.detail import warped_parts
from talkhead.models.grid import warp
from talkhead.models.memory import FaceMemory, MemoryReadout, compensate, consistency_loss
from talkhead.models.motion import DenseMotionEstimator, KeypointDetector
from talkhead.models.tps import PointDetector, SplineMotionEstimator
from talkhead.models.unet import ConvEncoder
from talkhead.structs import DenseMotion, Keypoints, RenderParts, SourceState, TrainOutputs


class WarpingModel(nn.Module):
    """Images in and out are RGB in [0, 1]. A family makes the parts, warps features and decodes."""

    config: McnetConfig | FommConfig | TpsmmConfig
    keypoint_detector: KeypointDetector | PointDetector
    dense_motion: DenseMotionEstimator | SplineMotionEstimator
    encoder: ConvEncoder
    memory: FaceMemory | None
    shows_source = True  # whether the decoder is given the warped source image

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
        readouts = self._read_memory(warped, state.keypoints, noise)
        source = self._warp(state.image, dense.deformation) if self.shows_source else None
        return self._decode(compensate(warped, readouts), source, dense).clamp(0, 1), dense

    def reconstruct(self, source: Tensor, driving: Tensor) -> TrainOutputs:
        """A training step's forward pass on images in [0, 1] of one person, (B, 3, H, W) each."""
        state, keypoints = self.encode_source(source), self.detect(driving)
        dense = self.dense_motion(state.small, state.keypoints, keypoints)
        return self._outputs(state, keypoints, dense, {})

    def _outputs(
        self, state: SourceState, driving: Keypoints, dense: DenseMotion, losses: dict[str, Tensor]
    ) -> TrainOutputs:
        warped = self.warp_features(state, dense)
        readouts = self._read_memory(warped, state.keypoints)
        source = self._warp(state.image, dense.deformation)
        return TrainOutputs(
            image=self._decode(compensate(warped, readouts), source, dense),
            coarse_image=None,
            warped_source=source.float(),
            source=state.keypoints,
            driving=driving,
            dense=dense,
            motion=dense.deformation,
            losses=losses | consistency_loss(readouts),
        )

    def training_arguments(self, progress: float, coarse: bool) -> dict[str, Any]:
        """What `reconstruct` is told beyond its images: nothing."""
        return {}

    def warp_features(self, state: SourceState, dense: DenseMotion) -> list[Tensor]:
        """The source's features under the deformation, times the occlusion, coarse to fine."""
        raise NotImplementedError

    def _warp(self, features: Tensor, deformation: Tensor) -> Tensor:
        return warp(features, deformation)

    def _read_memory(
        self, warped: Sequence[Tensor], source: Keypoints, noise: Sequence[Tensor] | None = None
    ) -> dict[int, MemoryReadout]:
        return {} if self.memory is None else self.memory(warped, source.value, noise)

    def _decode(
        self, features: list[Tensor], warped_source: Tensor | None, dense: DenseMotion
    ) -> Tensor:
        raise NotImplementedError

    def _enter(self, images: Tensor) -> Tensor:
        """In the precision of the weights."""
        return images.to(self.encoder.first.conv.weight.dtype)
