"""Open a model's occlusion, so that features of the source reach the decoder from the start."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from talkhead.models.codebook import CodebookModel

LAYERS = ("dense_motion.occlusion", "motion.head.occlusion2")  # before compensation, and after


@torch.no_grad()
def open_occlusion(model: CodebookModel, logit: float, new: Collection[str]) -> None:
    """Let occlusion maps start at one logit, in place.

    Those that other weights have brought are left alone: `new` has the names of all parameters that
    begin anew.
    """
    for name in LAYERS:
        if f"{name}.weight" in new:
            layer = model.get_submodule(name)
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, logit)
