"""How good a stretch of a video is as a training clip, and why it is left out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from talkhead.structs import Crop
from talkhead.topology import LEFT_EAR, RIGHT_EAR

if TYPE_CHECKING:
    from talkhead.preparation.options import PrepareOptions
    from talkhead.preparation.stretch import Stretch

SEVERAL = 0.1  # share of frames that may show another face inside the square
CUT_OFF = 0.1  # share of frames in which the face may reach out of the square
OUTSIDE = 0.03  # of the square's side: how far that is
UNSURE = 0.75  # presence of a face that a tenth of the frames may fall below

# Why stretches are left out, in the order in which it is asked.
REASONS = {
    "unreadable": "could not be read",
    "short": "shorter than --shortest",
    "other": "not the person of the list",
    "small": "enlarged by more than --max-enlargement",
    "cut off": "the face reaches out of the picture",
    "several": "another face in the square",
    "turned": "turned aside by more than --max-yaw",
    "unsure": "hardly to be seen: covered, dark or no face",
    "blurred": "sharpness below --min-sharpness",
    "still": "motion below --min-motion",
}


@dataclass(frozen=True)
class Quality:
    """What is measured of a stretch.

    face:      median height of the face in pixels of the video.
    enlarged:  times by which the square is enlarged (below 1: shrunk).
    inside:    share of frames in which the face lies inside the square.
    alone:     share of frames without another face in the square.
    yaw:       degrees that the head is turned, 90th percentile.
    presence:  0 to 1, how sure the mesh is of a face, 10th percentile.
    sharpness: see `sharpness`, median.
    motion:    of the points within the face, in face heights, see `motion`.
    """

    face: float
    enlarged: float
    inside: float
    alone: float
    yaw: float
    presence: float
    sharpness: float
    motion: float

    def plain(self) -> dict[str, float]:
        """For the manifest."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def measure(stretch: Stretch, crop: Crop, size: int) -> Quality:
    """The quality of a stretch that is cut out by a square and brought to `size`."""
    boxes, points = np.stack(stretch.boxes), np.stack(stretch.points)
    low, high = np.array([crop.x, crop.y]), np.array([crop.x, crop.y]) + crop.side
    reach = np.maximum(low - boxes[:, :2], boxes[:, 2:] - high).max(axis=1)
    within = [bool(((low < each) & (each < high)).all(axis=1).any()) for each in stretch.others]
    return Quality(
        face=float(np.median(boxes[:, 3] - boxes[:, 1])),
        enlarged=size / crop.side,
        inside=float((reach <= OUTSIDE * crop.side).mean()),
        alone=1 - float(np.mean(within)),
        yaw=float(np.percentile(np.abs(yaws(points)), 90)),
        presence=float(np.percentile(stretch.presences, 10)),
        sharpness=float(np.median(stretch.sharpnesses)),
        motion=motion(points),
    )


def reason(quality: Quality, seconds: float, options: PrepareOptions) -> str | None:
    """The first of `REASONS` to leave a stretch out; None: it is good."""
    speaks_against = {
        "short": seconds < options.shortest,
        "small": quality.enlarged > options.max_enlargement,
        "cut off": quality.inside < 1 - CUT_OFF,
        "several": quality.alone < 1 - SEVERAL,
        "turned": quality.yaw > options.max_yaw,
        "unsure": quality.presence < UNSURE,
        "blurred": quality.sharpness < options.min_sharpness,
        "still": quality.motion < options.min_motion,
    }
    return next((name for name in REASONS if speaks_against.get(name)), None)


def sharpness(picture: np.ndarray) -> float:
    """How much of a picture's detail is lost when it is blurred, 0 (nothing) to 1.

    picture: uint8 (192, 192, 3), a face as the mesh looks at it, so that the size of the face in
    the video does not matter. After Crete et al. 2007: a picture that is blurred already has little
    to lose.
    """
    edge = len(picture) // 6
    inner = picture[edge:-edge, edge:-edge]
    grey = cv2.cvtColor(inner, cv2.COLOR_RGB2GRAY).astype(np.float32)
    lost = []
    for axis, kernel in ((0, (1, 9)), (1, (9, 1))):
        change = np.abs(np.diff(grey, axis=axis))
        blurred = np.abs(np.diff(cv2.blur(grey, kernel), axis=axis))
        lost.append(np.maximum(change - blurred, 0).sum() / max(float(change.sum()), 1.0))
    return float(min(lost))


def yaws(points: np.ndarray) -> np.ndarray:
    """Degrees by which heads (F, 478, 3) are turned, 0 from the front: (F,)."""
    across = points[:, RIGHT_EAR] - points[:, LEFT_EAR]
    found: np.ndarray = np.degrees(np.arctan2(across[:, 2], across[:, 0]))
    return found


def motion(points: np.ndarray) -> float:
    """How far points of faces (F, 478, 3) move within the face, in face heights.

    The standard deviation about their mean place once every face is shifted, turned and scaled onto
    the first. So a photo over which the camera glides does not move; a head that turns does.
    """
    flat = points[..., 0].astype(np.float64) + 1j * points[..., 1]
    flat = flat - flat.mean(axis=1, keepdims=True)
    height = float(np.ptp(flat[0].imag))
    onto = (flat.conj() * flat[0]).sum(axis=1) / (np.abs(flat) ** 2).sum(axis=1)
    placed = onto[:, None] * flat
    spread = np.sqrt((np.abs(placed - placed.mean(axis=0)) ** 2).mean(axis=0))
    return float(spread.mean()) / max(height, 1e-9)
