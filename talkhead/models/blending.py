"""The decoder's own picture and the warped source, mixed [own experiments]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from talkhead.models.grid import resize

BLEND_START = 2.0  # logit of showing the warped source, before training: 0.88
SHARPEST = 2.5  # added to it at a sharpness of 1


@dataclass(frozen=True)
class Blended:
    """A picture and what it was mixed of, in the model's own value range.

    image: (B, 3, H, W).
    own:   (B, 3, H, W), what the decoder drew of it.
    bent:  (B, 3, H, W), the source as it is deformed; None where a model does not blend it.
    kept:  (B, 1, H, W) in [0, 1], the share of it that is shown.
    """

    image: Tensor
    own: Tensor
    bent: Tensor | None
    kept: Tensor


def blend(decoded: Tensor, bent: Tensor, eyes: Tensor | None, sharpness: Tensor | None) -> Blended:
    """Mix what was decoded (B, 4 or 7, H, W) with the bent source (B, 3, H, W).

    Channels: the own picture, the logit of showing the source and, of seven, light that is added to
    it. eyes: as in `ScaleStep`, of any size. sharpness: as in `SourceState`. Where the decoder is
    unsure it hedges, and what it draws is blurred; a sharp picture prefers the source there. Of
    lids that shut, bent pixels still show some of the eye: half as much of them is preferred.
    """
    own, logit, shade = decoded[:, :3], decoded[:, 3:4], decoded[:, 4:]
    shown = bent + shade if shade.shape[1] else bent
    opened = shut = torch.zeros_like(logit)
    if eyes is not None:
        both = resize(eyes.to(logit.dtype), (logit.shape[-2], logit.shape[-1]))
        opened, shut = both[:, :1], both[:, 1:]
    if sharpness is not None:
        logit = logit + SHARPEST * sharpness[:, None, None, None].to(logit.dtype) * (1 - shut / 2)
    kept = torch.sigmoid(logit)
    kept = kept + opened * (1 - kept)
    return Blended(kept * shown + (1 - kept) * own, own, bent, kept)
