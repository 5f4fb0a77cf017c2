"""The face detector: MediaPipe's short-range BlazeFace as a torch module, and what it means.

The network is fully convolutional: at sides of 256 and 512 pixels instead of 128 it finds faces of
an eighth and less of the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead.faces.blocks import Block, BundledNetwork, own_stream

SIDES = (128, 256, 512)  # of the pictures that the detector looks at, pixels
LEAST_SCORE = 0.5  # of a box that is kept
SAME_FACE = 0.3  # intersection over union from which boxes mean one face
_STRIDES, _ANCHORS = (8, 16), (2, 6)  # of both maps: picture pixels per place, boxes per place
_LEFT_EYE, _RIGHT_EYE = 0, 1  # of the six points
_FINE = ((24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1))
_FINE_OUT = 88
_COARSE = ((96, 2), (96, 1), (96, 1), (96, 1), (96, 1))


@dataclass(frozen=True)
class Detection:
    """A face as the detector sees it, in pixels of the picture that it looked at.

    x, y: centre of its box, which goes from the brows to the chin; roll: radians by which the line
    of the eyes is turned clockwise; score: 0 to 1.
    """

    x: float
    y: float
    width: float
    height: float
    roll: float
    score: float


class BlazeFace(BundledNetwork):
    """Images (B, 3, S, S), RGB in [-1, 1] -> logits (B, N) and boxes (B, N, 8, 2).

    Boxes are centre, size and six points, in pixels of S; centre and points count from `anchors`.
    """

    FILE = "detector.safetensors"

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 5, 2)
        self.fine = _blocks(24, (*_FINE, (_FINE_OUT, 1)))
        self.coarse = _blocks(_FINE_OUT, _COARSE)
        channels = (_FINE_OUT, _COARSE[-1][0])
        self.scores = nn.ModuleList(
            nn.Conv2d(c, n, 1) for c, n in zip(channels, _ANCHORS, strict=True)
        )
        self.boxes = nn.ModuleList(
            nn.Conv2d(c, 16 * n, 1) for c, n in zip(channels, _ANCHORS, strict=True)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, N) and boxes (B, N, 8, 2) of the N anchors."""
        x = F.pad(images.contiguous(memory_format=torch.channels_last), (1, 2, 1, 2))
        fine = self.fine(F.relu(self.stem(x)))
        maps = (fine, self.coarse(fine))
        logits = [
            s(m).permute(0, 2, 3, 1).flatten(1) for s, m in zip(self.scores, maps, strict=True)
        ]
        boxes = [
            b(m).permute(0, 2, 3, 1).reshape(len(x), -1, 8, 2)
            for b, m in zip(self.boxes, maps, strict=True)
        ]
        return torch.cat(logits, 1), torch.cat(boxes, 1)


def _blocks(inputs: int, widths: tuple[tuple[int, int], ...]) -> nn.Sequential:
    channels = (inputs, *(outputs for outputs, _ in widths))
    return nn.Sequential(
        *(
            Block(channels[i], outputs, stride, nn.ReLU)
            for i, (outputs, stride) in enumerate(widths)
        )
    )


class FaceDetector:
    """Finds boxes of faces in square pictures."""

    def __init__(self, network: BlazeFace) -> None:
        self._network = network
        self._device = next(network.parameters()).device
        self._stream = own_stream(self._device)

    @torch.inference_mode()
    def find(self, squares: np.ndarray, least: float = LEAST_SCORE) -> list[list[Detection]]:
        """Faces of score `least` or more in each of uint8 (B, S, S, 3), best first."""
        side = squares.shape[1]
        with self._stream():
            images = torch.from_numpy(squares).to(self._device).permute(0, 3, 1, 2)
            logits, boxes = self._network(images.float() / 127.5 - 1)
            scores, boxes = logits.sigmoid().cpu().numpy(), boxes.cpu().numpy()
        found = []
        for score, box in zip(scores, boxes, strict=True):
            sure = score >= least
            rows = box[sure].astype(np.float64)
            places = anchors(side)[sure]
            rows[:, 0] += places
            rows[:, 2:] += places[:, None]
            found.append([_detection(*merged) for merged in merge(rows, score[sure])])
        return found


@lru_cache(maxsize=len(SIDES))
def anchors(side: int) -> np.ndarray:
    """Where boxes count from, (N, 2), in pixels of a picture of `side`: the centres of places."""
    rows = []
    for stride, count in zip(_STRIDES, _ANCHORS, strict=True):
        steps = (np.arange(side // stride) + 0.5) * stride
        places = np.stack(np.meshgrid(steps, steps, indexing="xy"), -1).reshape(-1, 2)
        rows.append(places.repeat(count, axis=0))
    return np.concatenate(rows)


def merge(rows: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Weighted suppression of boxes (n, 8, 2) by scores (n,), as in BlazeFace's paper.

    Each best box becomes the mean of all that mean the same face, weighted by score; it keeps its
    own score.
    """
    low, high = rows[:, 0] - rows[:, 1] / 2, rows[:, 0] + rows[:, 1] / 2
    area = np.maximum(high - low, 0).prod(axis=1)
    rest = np.argsort(-scores, kind="stable")
    merged = []
    while len(rest):
        best = rest[0]
        overlap = np.minimum(high[rest], high[best]) - np.maximum(low[rest], low[best])
        both = np.maximum(overlap, 0).prod(axis=1)
        same = both > SAME_FACE * (area[rest] + area[best] - both)
        same[0] = True  # of itself, however small it is
        group = rest[same]
        merged.append((np.average(rows[group], axis=0, weights=scores[group]), float(scores[best])))
        rest = rest[~same]
    return merged


def _detection(row: np.ndarray, score: float) -> Detection:
    (x, y), (width, height), *points = row.tolist()
    left, right = points[_LEFT_EYE], points[_RIGHT_EYE]
    roll = math.atan2(right[1] - left[1], right[0] - left[0])
    return Detection(x, y, width, height, roll, score)
