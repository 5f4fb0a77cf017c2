"""Thin-Plate Spline Motion Model for Image Animation (TPSMM, CVPR 2022)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from talkhead.config import TpsmmConfig
from talkhead.errors import TalkheadError
from talkhead.models.grid import warp
from talkhead.models.memory import FaceMemory
from talkhead.models.resnet import ResNet18
from talkhead.models.tps import PointDetector, SplineMotionEstimator
from talkhead.models.unet import ConvEncoder, UnetDecoder
from talkhead.models.warping import WarpingModel
from talkhead.structs import DenseMotion, Keypoints, SourceState, TrainOutputs

# TPSMM's dropout of splines and its background motion, in shares of its 100 epochs (release).
DROPOUT_RISE, DROPOUT_END, BACKGROUND_START, FIRST_DROPOUT = 0.1, 0.35, 0.1, 0.1


class TpsmmModel(WarpingModel):
    """Warped features at every scale, each with an occlusion of its own, into a U-net's decoder."""

    config: TpsmmConfig

    def __init__(self, config: TpsmmConfig) -> None:
        super().__init__()
        self.config = config
        num_points = config.num_points
        self.keypoint_detector = PointDetector(config)
        self.dense_motion = SplineMotionEstimator(config)
        self.background = (
            BackgroundPredictor(config.encoder_channels) if config.background else None
        )
        self.avd = AvdNetwork(num_points) if config.avd else None
        self.encoder = ConvEncoder(config.channels, norm="instance")
        self.memory = (
            FaceMemory(config.memory, config.channels, num_points) if config.memory else None
        )
        self.decoder = UnetDecoder(config.channels, norm="instance")

    def disentangle(self, source: Keypoints, driving: Keypoints) -> Keypoints:
        """The driving pose on the source's face: the release's "avd" mode."""
        if self.avd is None:
            raise TalkheadError("these weights have no network for animation via disentanglement")
        return self.avd(source, driving)

    def reconstruct(
        self,
        source: Tensor,
        driving: Tensor,
        *,
        background: bool = True,
        dropout: float | None = None,
    ) -> TrainOutputs:
        """A training step's forward pass on images in [0, 1] of one person, (B, 3, H, W) each.

        background: let the background move, where the config has a predictor for it.
        dropout:    chance to leave out a spline; None: the config's while training, else none.
        """
        state, keypoints = self.encode_source(source), self.detect(driving)
        if dropout is None:
            dropout = self.config.dropout if self.training else 0.0
        predictor = self.background if background else None
        moved = predictor(state.image, self._enter(driving)) if predictor else None
        dense = self.dense_motion(state.small, state.keypoints, keypoints, moved, dropout)
        losses = {"warp": torch.stack(self.warp_losses(state, driving, dense)).sum()}
        if predictor and moved is not None:
            losses["background"] = cycle_loss(moved, predictor(self._enter(driving), state.image))
        return self._outputs(state, keypoints, dense, losses)

    def training_arguments(self, progress: float, coarse: bool) -> dict[str, Any]:
        """What `reconstruct` is told by the share of the run that is done (0 to 1)."""
        first = FIRST_DROPOUT
        dropout = first + min(1.0, progress / DROPOUT_RISE) * (self.config.dropout - first)
        dropout = round(dropout * 20) / 20  # in few steps: a compiled model is built for each
        return {
            "background": progress >= BACKGROUND_START,
            "dropout": dropout if progress < DROPOUT_END else 0.0,
        }

    def warp_features(self, state: SourceState, dense: DenseMotion) -> list[Tensor]:
        """Every feature under the deformation, times its own occlusion map."""
        return [
            warp(feature, dense.deformation) * occlusion.to(feature.dtype)
            for feature, occlusion in zip(state.features, dense.occlusion, strict=True)
        ]

    def warp_losses(self, state: SourceState, driving: Tensor, dense: DenseMotion) -> list[Tensor]:
        """Distance of the warped features from the driving image's own, for each scale.

        It teaches the deformation alone: features and occlusion are taken as they are.
        """
        with torch.no_grad():
            targets = self.encoder(self._enter(driving))
        scales = zip(state.features, targets, dense.occlusion, strict=True)
        return [
            ((warp(feature.detach(), dense.deformation) - target) * occlusion.detach())
            .float()
            .abs()
            .mean()
            for feature, target, occlusion in scales
        ]

    def _decode(
        self, features: list[Tensor], warped_source: Tensor | None, dense: DenseMotion
    ) -> Tensor:
        assert warped_source is not None
        occlusion = dense.occlusion[-1].to(warped_source.dtype)
        return self.decoder(features, warped_source, occlusion).float()


class BackgroundPredictor(nn.Module):
    """How the background moves from the driving to the source image: an affine (B, 3, 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder = ResNet18(6, 6, channels)
        nn.init.zeros_(self.encoder.fc.weight)
        with torch.no_grad():
            self.encoder.fc.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """Both (B, 3, H, W) -> (B, 3, 3)."""
        rows = self.encoder(torch.cat([source, driving], dim=1)).float().unflatten(1, (2, 3))
        last = rows.new_tensor([0.0, 0.0, 1.0]).expand(len(rows), 1, 3)
        return torch.cat([rows, last], dim=1)


def cycle_loss(there: Tensor, back: Tensor) -> Tensor:
    """How far going there and back (B, 3, 3) is from staying."""
    product = (there[..., :, :, None] * back[..., None, :, :]).sum(-2)
    return (product - torch.eye(3, device=product.device)).abs().mean()


class AvdNetwork(nn.Module):
    """Takes the pose from the driving points and the identity from the source's.

    Widths are the release's.
    """

    def __init__(self, num_points: int) -> None:
        super().__init__()
        self.identity = perceptron(2 * num_points, 256, 512, 1024, 128)
        self.pose = perceptron(2 * num_points, 256, 512, 1024, 128)
        self.decoder = perceptron(256, 1024, 512, 256, 2 * num_points)

    def forward(self, source: Keypoints, driving: Keypoints) -> Keypoints:
        """Source and driving points in one batch, or one source for all."""
        dtype = next(self.parameters()).dtype
        identity = self.identity(source.value.flatten(1).to(dtype)).expand(len(driving), -1)
        pose = self.pose(driving.value.flatten(1).to(dtype))
        points = self.decoder(torch.cat([pose, identity], dim=1))
        return Keypoints(points.float().unflatten(1, (-1, 2)))


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers with batch norm and ReLU between them."""
    layers: list[nn.Module] = []
    for i, width in enumerate(widths[1:]):
        if i > 0:
            layers += [nn.BatchNorm1d(widths[i]), nn.ReLU()]
        layers.append(nn.Linear(widths[i], width))
    return nn.Sequential(*layers)
