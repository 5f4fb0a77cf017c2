"""The decoder's own picture and the warped source, mixed [own experiments]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from talkhead.models.grid import resize

BLEND_START = 2.0  # logit of showing the warped source, before training: 0.88
SHARPEST = 4.0  # added to it at a sharpness of 1


@dataclass(frozen=True)
class Blended:
    """A picture and what it was mixed of, in the model's own value range.

    image:  (B, 3, H, W).
    own:    (B, 3, H, W), what the decoder drew of it.
    warped: (B, 3, H, W), the source as it is deformed; None where a model does not blend it.
    kept:   (B, 1, H, W) in [0, 1], the share of it that is shown.
    """

    image: Tensor
    own: Tensor
    warped: Tensor | None
    kept: Tensor


def blend(
    decoded: Tensor, warped: Tensor, eyes: Tensor | None, sharpness: Tensor | None
) -> Blended:
    """Blend the decoder's image with the warped source, (B, 3, H, W).

    decoded: (B, 4 or 7, H, W), its own image (3), the logit of the source's share (1), and perhaps
    light that is added to the source (3). eyes: as in `ScaleStep`, of any size. sharpness: as in
    `SourceState`; where the decoder is unsure it hedges, and what it draws is blurred, so sharpness
    raises that logit; half as much on closing lids, where warped pixels still show the eye.
    """
    own, logit, shade = decoded[:, :3], decoded[:, 3:4], decoded[:, 4:]
    shown = warped + shade if shade.shape[1] else warped
    opened = shut = torch.zeros_like(logit)
    if eyes is not None:
        both = resize(eyes.to(logit.dtype), (logit.shape[-2], logit.shape[-1]))
        opened, shut = both[:, :1], both[:, 1:]
    if sharpness is not None:
        logit = logit + SHARPEST * sharpness[:, None, None, None].to(logit.dtype) * (1 - shut / 2)
    kept = torch.sigmoid(logit)
    kept = kept + opened * (1 - kept)
    return Blended(kept * shown + (1 - kept) * own, own, warped, kept)
