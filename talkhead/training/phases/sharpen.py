"""Sharpen a trained model: prefer the warped source to generated pixels."""

from __future__ import annotations

import torch

from talkhead.models import Network
from talkhead.models.codebook import CodebookModel


def sharpen(model: Network, amount: float) -> None:
    """Add `amount` to the logit with which a model with `blend_source` shows the warped source.

    What learns by L1 hedges: where a deformation may be a pixel off, the blurred mean of all that
    might be seen there is nearer to the truth than any of it. People prefer what is sharp, and the
    mean differences that a little of it costs are small [own experiments].
    """
    assert isinstance(model, CodebookModel)
    assert model.decoder.out.bias is not None
    with torch.no_grad():
        model.decoder.out.bias[3:4] += amount
