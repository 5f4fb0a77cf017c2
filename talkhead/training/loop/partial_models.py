"""Training a part of a model alone: the same `reconstruct`, many times quicker per step."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from talkhead.config import AppearanceCodebookConfig
from talkhead.models import Network
from talkhead.models.codebook import CodebookModel
from talkhead.models.grid import warp
from talkhead.models.tpsmm import TpsmmModel
from talkhead.structs import Keypoints, TrainOutputs
from talkhead.training.recipes.recipe import Recipe

RANDOM_SCALE = 0.25  # of the driving points, per axis, in the training of AVD (TPSMM release)


def partial_model(model: Network, recipe: Recipe) -> Network | MotionOnly | AvdOnly:
    """What a recipe trains: the whole model, its motion, or its disentangling network."""
    if recipe.motion_only:
        assert isinstance(model, CodebookModel)
        return MotionOnly(model)
    if recipe.weights.disentangling:
        assert isinstance(model, TpsmmModel)
        return AvdOnly(model)
    return model


class MotionOnly(nn.Module):
    """A codebook model's motion: `reconstruct` answers the source under the final deformation.

    Shares the model's own modules, so training it trains the model.
    """

    def __init__(self, model: CodebookModel) -> None:
        super().__init__()
        config = replace(
            model.config,
            blend_source=False,
            shade_source=False,
            mesh=model.config.mesh and replace(model.config.mesh, maps=False, mouth=False),
            appearance_codebook=AppearanceCodebookConfig(scales=()),
        )
        with torch.device("meta"):  # every part is replaced
            part = CodebookModel(config)
        part.keypoint_detector, part.dense_motion = model.keypoint_detector, model.dense_motion
        part.encoder, part.motion = model.encoder, model.motion
        if config.mesh is not None and config.mesh.keypoints:
            part.mean_face = model.mean_face
        part.decoder = NoDecoder()  # type: ignore[assignment]
        self.part = part

    def reconstruct(
        self,
        source: Tensor,
        driving: Tensor,
        *,
        meshes: tuple[Tensor | None, Tensor | None] = (None, None),
        flow: tuple[Tensor, Tensor] | None = None,
    ) -> TrainOutputs:
        """As the model's, with the warped source in place of the image."""
        outputs = self.part.reconstruct(source, driving, coarse=False, meshes=meshes, flow=flow)
        return replace(outputs, image=outputs.warped_source)


class NoDecoder(nn.Module):
    """Draws nothing, at no cost."""

    def forward(self, coarse: Tensor, finer: list[Tensor], maps: tuple[Tensor, ...]) -> Tensor:
        """Black, (B, 3, 1, 1)."""
        return coarse.new_zeros(len(coarse), 3, 1, 1)


class AvdOnly(nn.Module):
    """TPSMM's network for animation via disentanglement, the rest of the model as it is.

    The network must give the driving points back after each axis was scaled at random, as in
    another person's face: their pose from the driving points, their sizes from the source's.
    """

    def __init__(self, model: TpsmmModel) -> None:
        super().__init__()
        self.model = model

    def reconstruct(self, source: Tensor, driving: Tensor) -> TrainOutputs:
        """The image is the source, warped by the disentangled motion: nothing is drawn."""
        model = self.model
        assert model.avd is not None
        model.keypoint_detector.eval()  # frozen: its batch norms must not learn either
        with torch.no_grad():
            start, wanted = model.detect(source), model.detect(driving)
        factor = 1 + RANDOM_SCALE * (2 * torch.rand_like(wanted.value[:, :1]) - 1)
        given = Keypoints(wanted.value * factor) if model.avd.training else wanted
        found = model.avd(start, given)
        with torch.no_grad():
            dense = model.dense_motion(model.dense_motion.down(source), start, found)
            warped = warp(source, dense.deformation)
        loss = (found.value - wanted.value).abs().mean()
        return TrainOutputs(
            image=warped,
            coarse_image=None,
            warped_source=warped,
            source=start,
            driving=found,
            dense=dense,
            motion=dense.deformation,
            losses={"disentangling": loss},
        )
