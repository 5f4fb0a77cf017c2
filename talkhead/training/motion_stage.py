"""Training the motion alone: without decoder and appearance, many times quicker per step."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from talkhead.config import AppearanceCodebookConfig
from talkhead.models.codebook import CodebookModel
from talkhead.structs import TrainOutputs


class MotionStage(nn.Module):
    """A codebook model's motion: `reconstruct` answers the source under the final deformation.

    Shares the model's own modules, so training it trains the model.
    """

    def __init__(self, model: CodebookModel) -> None:
        super().__init__()
        config = replace(
            model.config,
            blend_source=False,
            appearance_codebook=AppearanceCodebookConfig(scales=()),
        )
        with torch.device("meta"):  # every part is replaced
            part = CodebookModel(config)
        part.keypoint_detector, part.dense_motion = model.keypoint_detector, model.dense_motion
        part.encoder, part.motion = model.encoder, model.motion
        part.decoder = NoDecoder()  # type: ignore[assignment]
        self.part = part

    def reconstruct(self, source: Tensor, driving: Tensor) -> TrainOutputs:
        """As the model's, with the warped source in place of the image."""
        outputs = self.part.reconstruct(source, driving, coarse=False)
        return replace(outputs, image=outputs.warped_source)


class NoDecoder(nn.Module):
    """Draws nothing, at no cost."""

    def forward(self, coarse: Tensor, finer: list[Tensor]) -> Tensor:
        return coarse.new_zeros(len(coarse), 3, 1, 1)
