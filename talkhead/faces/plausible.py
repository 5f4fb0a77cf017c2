"""Whether a mesh can be a face at all: its proportions in space, whatever the pose."""

from __future__ import annotations

import numpy as np

from talkhead.faces.topology import (
    CHIN,
    FOREHEAD,
    LEFT_EAR,
    MOUTH_CORNERS,
    NOSE_TIP,
    OUTER_EYE_CORNERS,
    RIGHT_EAR,
)

SMALLEST = 10.0  # height of a face in pixels
# In face heights (forehead to chin), least and most. Over 6,154 meshes of 290 people: 0.67 to 1.08
# (ears), 0.43 to 0.68 (eyes), 0.30 to 0.48 (eyes to mouth), 0.45 to 0.74 (nose).
EARS = (0.5, 1.35)
EYES = (0.3, 0.85)
EYES_TO_MOUTH = (0.2, 0.6)
NOSE = (0.25, 0.95)


def plausible(points: np.ndarray) -> bool:
    """Whether points (n, 3) of a mesh are in the order and the proportions of a face."""
    height = float(np.linalg.norm(points[CHIN] - points[FOREHEAD]))
    if not np.isfinite(points).all() or height < SMALLEST:
        return False
    down = (points[CHIN] - points[FOREHEAD]) / height
    across = points[RIGHT_EAR] - points[LEFT_EAR]
    outwards = np.cross(down, across)
    outwards /= max(float(np.linalg.norm(outwards)), 1e-9)
    eyes, mouth = (points[list(pair)] for pair in (OUTER_EYE_CORNERS, MOUTH_CORNERS))
    middle = (points[LEFT_EAR] + points[RIGHT_EAR]) / 2
    shares = (
        (float(np.linalg.norm(across)), EARS),
        (float(np.linalg.norm(eyes[1] - eyes[0])), EYES),
        (float((mouth.mean(axis=0) - eyes.mean(axis=0)) @ down), EYES_TO_MOUTH),
        (float((points[NOSE_TIP] - middle) @ outwards), NOSE),
    )
    return all(least < length / height < most for length, (least, most) in shares)
