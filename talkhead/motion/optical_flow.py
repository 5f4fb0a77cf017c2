"""Optical flow between two pictures (DIS, Kroeger et al. 2016), and how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FLOW_SIZE = 128  # pixels; more is slower and not better for a motion grid of 64
TRUST_RADIUS = 1.0  # pixels of forward-backward disagreement that cost 40 % of the trust
TRUST_LEVELS = 15.0  # of grey, of 255, between what was matched: as much again
BLUR = 5  # pixels a side over which that is taken


@dataclass(frozen=True, eq=False)
class Flow:
    """Optical flow between two grey pictures of (s, s), in pixels.

    there: (s, s, 2), from each point of the second to where it lies in the first; back: the other
    way. trust: (s, s) in [0, 1].
    """

    there: np.ndarray
    back: np.ndarray
    trust: np.ndarray


def optical_flow(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], size: int
) -> tuple[Tensor, Tensor]:
    """Where each point of a second picture lies in the first, and how far to trust that.

    pairs: grey pictures, uint8 (s, s), as `small_grey` makes them. Returns absolute coordinates
    (B, size, size, 2) in [-1, 1] and a confidence (B, size, size) in [0, 1], on the CPU.
    """
    return on_grid([match(first, second) for first, second in pairs], size)


def on_grid(flows: Sequence[Flow], size: int) -> tuple[Tensor, Tensor]:
    """Flows of pictures as `optical_flow` returns them."""
    there = torch.from_numpy(np.stack([flow.there for flow in flows])).permute(0, 3, 1, 2)
    trust = torch.from_numpy(np.stack([flow.trust for flow in flows]))[:, None]
    # Pixels to half sides, and resized with the border pixels' centres in place.
    moved = F.interpolate(there, (size, size), mode="bilinear", align_corners=True)
    line = torch.linspace(-1, 1, size)
    own = torch.stack(torch.meshgrid(line, line, indexing="xy"))
    places = own + moved * (2 / (there.shape[-1] - 1))
    return places.permute(0, 2, 3, 1), F.interpolate(trust, (size, size), mode="area")[:, 0]


def small_grey(pictures: Tensor) -> Tensor:
    """Pictures (..., S, S, 3) as grey ones (..., s, s) of float32, s at most `FLOW_SIZE`."""
    grey = pictures.float().mean(-1)
    side = min(FLOW_SIZE, grey.shape[-1])
    if grey.shape[-1] == side:
        return grey
    small = F.interpolate(grey.flatten(0, -3)[:, None], (side, side), mode="area")
    return small.view(*grey.shape[:-2], side, side)


def match(source: np.ndarray, driving: np.ndarray, start: Flow | None = None) -> Flow:
    """The flow of one pair of grey pictures, uint8 (s, s).

    start: that of a similar pair, from which it is sought. A large motion is found so, little by
    little, that could not be found at once.
    """
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    none = cast(np.ndarray, None)  # the stubs do not know that the last argument may be left out
    there = method.calc(driving, source, none if start is None else start.there.copy())
    back = method.calc(source, driving, none if start is None else start.back.copy())
    height, width = driving.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x + there[..., 0], y + there[..., 1]
    returned = cv2.remap(back, x, y, cv2.INTER_LINEAR)
    miss = np.linalg.norm(there + returned, axis=-1) / TRUST_RADIUS
    matched = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    unlike = cv2.blur(cv2.absdiff(matched, driving).astype(np.float32), (BLUR, BLUR)) / TRUST_LEVELS
    trust = np.exp(-0.5 * (np.square(miss) + np.square(unlike))).astype(np.float32)
    return Flow(there, back, trust)
