"""Open a model's occlusion, so that features of the source reach the decoder from the start."""

from __future__ import annotations

import torch
from torch import nn

from talkhead.models.codebook import CodebookModel


@torch.no_grad()
def open_occlusion(model: CodebookModel, logit: float) -> None:
    """Let all occlusion maps, before compensation and after, start at one logit, in place."""
    layers = [model.dense_motion.occlusion]
    if model.motion is not None:
        layers.append(model.motion.head.occlusion2)
    for layer in layers:
        assert layer.bias is not None
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, logit)
