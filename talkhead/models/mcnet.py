"""Implicit Identity Representation Conditioned Memory Compensation Network (MCNet, ICCV 2023)."""

from __future__ import annotations

from torch import Tensor

from talkhead.config import McnetConfig
from talkhead.models.grid import resize, warp
from talkhead.models.memory import FaceMemory
from talkhead.models.motion import DenseMotionEstimator, KeypointDetector
from talkhead.models.unet import ConvEncoder, UnetDecoder
from talkhead.models.warping import WarpingModel
from talkhead.structs import DenseMotion, SourceState


class McnetModel(WarpingModel):
    """Warped features at every scale, compensated by the memory, into a U-net's decoder."""

    config: McnetConfig

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

    def warp_features(self, state: SourceState, dense: DenseMotion) -> list[Tensor]:
        """Every feature under the deformation, times the one occlusion map."""
        return [
            warp(feature, dense.deformation) * occlusion_like(feature, dense)
            for feature in state.features
        ]

    def _decode(
        self, features: list[Tensor], warped_source: Tensor | None, dense: DenseMotion
    ) -> Tensor:
        assert warped_source is not None
        occlusion = occlusion_like(warped_source, dense)
        return self.decoder(features, warped_source, occlusion).float()


def occlusion_like(feature: Tensor, dense: DenseMotion) -> Tensor:
    """The one occlusion map (B, 1, h, w) at a feature's size and in its precision."""
    size = (feature.shape[-2], feature.shape[-1])
    return resize(dense.occlusion[0], size).to(feature.dtype)
