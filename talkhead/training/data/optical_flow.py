"""Optical flow between two frames as motion supervision (DIS, Kroeger et al. 2016)."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import torch
from torch import Tensor

from talkhead.models.grid import resize
from talkhead.training.data.augment import Change, move

FLOW_SIZE = 128  # pixels; more is slower and not better for a motion grid of 64
TRUST_RADIUS = 1.0  # pixels of forward-backward disagreement that cost 40 % of the trust


def optical_flow(pixels: Tensor, change: Change, size: int) -> tuple[Tensor, Tensor]:
    """Where each point of the changed driving image comes from, and how far to trust that.

    pixels uint8 (B, 2, S, S, 3), source first. Returns absolute source coordinates
    (B, size, size, 2) in [-1, 1] and a confidence (B, size, size) in [0, 1], on the CPU.
    """
    grey = pixels.float().mean(-1)
    side = min(FLOW_SIZE, grey.shape[-1])
    if grey.shape[-1] > side:
        grey = torch.nn.functional.interpolate(grey, (side, side), mode="area")
    pictures = move(grey.cpu()[:, :, None], change)[:, :, 0].byte().numpy()
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    pairs = [_match(method, source, driving) for source, driving in pictures]
    places = torch.from_numpy(np.stack([place for place, _ in pairs])).permute(0, 3, 1, 2)
    trust = torch.from_numpy(np.stack([trust for _, trust in pairs]))[:, None]
    places = resize(places, (size, size)).permute(0, 2, 3, 1)
    return places, torch.nn.functional.interpolate(trust, (size, size), mode="area")[:, 0]


def _match(
    method: cv2.DISOpticalFlow, source: np.ndarray, driving: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Places (h, w, 2) and confidence (h, w) of one pair of grey pictures."""
    none = cast(np.ndarray, None)  # the stubs do not know that the last argument may be left out
    there = method.calc(driving, source, none)
    back = method.calc(source, driving, none)
    height, width = driving.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x + there[..., 0], y + there[..., 1]
    returned = cv2.remap(back, x, y, cv2.INTER_LINEAR)
    miss = np.linalg.norm(there + returned, axis=-1)
    places = np.stack([x / (width - 1) * 2 - 1, y / (height - 1) * 2 - 1], axis=-1)
    return places, np.exp(-0.5 * np.square(miss / TRUST_RADIUS)).astype(np.float32)
