"""Fade a result into the surrounding photo without a visible seam.

Towards the sides where the photo goes on, first the decoder's picture gives way to the warped
source, then the motion dies out; there the warped source is the photo itself. The same holds for
whatever neither moves nor changes: those pixels stay the photo's, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.models.grid import rescale
from talkhead.structs import PhotoWindow, RenderParts

MOTION_ENDS, DRAWING_ENDS = (0.0, 0.14), (0.12, 0.22)  # of the crop's side, from its border
CELLS = 64  # per side, that change or not
FLOW_UNIT = 0.5 / 256  # of the crop's side: motion that counts as change
LEVEL_UNIT = 0.06  # of 1: difference from the source that counts as change


@dataclass(frozen=True)
class PhotoBlend:
    """What is known before any frame. All (1, C, S, S) float32 at the model's size S.

    source: RGB in [0, 1].
    moving: the share of the motion that is left towards the border of the crop.
    drawn:  the share of the decoder's picture there.
    face:   1 where the face always counts as changed.
    """

    source: Tensor
    moving: Tensor
    drawn: Tensor
    face: Tensor

    @classmethod
    def of(cls, window: PhotoWindow, source: Tensor) -> PhotoBlend:
        """For a source (1, 3, S, S)."""
        size, device = source.shape[-1], source.device
        inside = border_distance(size, window.goes_on).to(device)
        face = torch.zeros_like(inside)
        if window.face is not None:
            face = torch.from_numpy(window.face).to(device)[None, None]
        return cls(source, rise(inside, *MOTION_ENDS), rise(inside, *DRAWING_ENDS), face)

    def changed(self, parts: RenderParts) -> Tensor:
        """(B, 1, S, S) in [0, 1]: 0 where the photo may stay as it is."""
        size = self.source.shape[-1]
        moved = parts.flow.norm(dim=1, keepdim=True) / (FLOW_UNIT * size)
        redrawn = (parts.image - self.source).abs().mean(1, keepdim=True) / LEVEL_UNIT
        cells = F.adaptive_max_pool2d(torch.maximum(moved, redrawn), min(CELLS, size))
        cells = F.max_pool2d(rise(cells, 0.5, 1.0), 3, stride=1, padding=1)
        cells = F.avg_pool2d(cells, 3, stride=1, padding=1, count_include_pad=False)
        return torch.maximum(rescale(cells, size), self.face)


def border_distance(size: int, goes_on: tuple[bool, bool, bool, bool]) -> Tensor:
    """How far pixels (1, 1, size, size) are from the edges beyond which the photo goes on.

    The nearest of `goes_on` (left, top, right, bottom) counts; in shares of the picture's side.
    """
    near = (torch.arange(size) + 0.5) / size
    far = near.flip(0)
    left, top, right, bottom = (
        side if counts else torch.ones(size)
        for side, counts in zip((near, near, far, far), goes_on, strict=True)
    )
    across, down = torch.minimum(left, right), torch.minimum(top, bottom)
    return torch.minimum(across[None], down[:, None])[None, None]


def rise(values: Tensor, start: float, end: float) -> Tensor:
    """0 up to `start`, 1 from `end` on, smooth between them."""
    share = ((values - start) / (end - start)).clamp(0, 1)
    return share * share * (3 - 2 * share)
