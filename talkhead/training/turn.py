"""A photo of a head as it would look with the head turned further aside.

A clip seldom shows one person from the front and from the side, so a model sees little of what
appears when a turned head looks up. A mesh with depth makes such pairs from any picture: turned,
the far side of the face is hidden behind its near side; as it is, it shows. As a source the turned
picture may be rough, since what is learned to be drawn is the real one.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy.interpolate import LinearNDInterpolator

LEFT_EAR, RIGHT_EAR = 234, 454  # the ends of the jaw line
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
FARTHEST = 0.9  # yaw in radians to which a head is turned at most
UNSURE = 0.1  # standard deviation of the yaw at which either direction is "further aside"
STILL = np.array([1.4, 1.5])  # size of the oval beyond which nothing moves, in those of the face
BEHIND = 0.5  # depth of what stands still behind the ears, in half image sides
GRID = 64  # the motion is smooth: it is found at so many points and enlarged
SMOOTHING = 1.0  # standard deviation in steps of that grid
OVERSAMPLING = 4  # so that what is stretched less than this leaves no holes


def draw_angle(rng: np.random.Generator, mesh: np.ndarray) -> float:
    """An angle for `turn` that turns the head of a mesh (478, 3) further aside than it is."""
    yaw = yaw_of(mesh)
    side = math.copysign(1.0, yaw + rng.normal(0, UNSURE))
    return yaw - side * rng.uniform(abs(yaw), max(abs(yaw), FARTHEST))


def yaw_of(mesh: np.ndarray) -> float:
    """How far a head is turned, radians, 0 from the front."""
    across = mesh[RIGHT_EAR] - mesh[LEFT_EAR]
    return math.atan2(across[2], across[0])


def turn(picture: np.ndarray, mesh: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Turn the head in a picture about the upright axis between its ears.

    picture: uint8 (S, S, 3). mesh: (478, 3), x and y from -1 to 1 at the picture's edges, depth in
    the same unit, growing away from the camera. angle: radians, taken off the yaw.

    Returns the new picture and mesh. The ears hardly move, and what is farther out not at all:
    hair, neck and ground stay where they are.
    """
    size = len(picture)
    axis = mesh[[LEFT_EAR, RIGHT_EAR]].mean(0)
    x, depth = mesh[:, 0] - axis[0], mesh[:, 2] - axis[2]
    turned = mesh.copy()
    turned[:, 0] = axis[0] + x * math.cos(angle) + depth * math.sin(angle)
    turned[:, 2] = axis[2] + depth * math.cos(angle) - x * math.sin(angle)
    motion = _everywhere(mesh, turned[:, 0] - mesh[:, 0], depth, size)
    places = _visible(motion[..., 0] * (size / 2), motion[..., 1])
    rows = np.repeat(np.arange(size, dtype=np.float32)[:, None], size, axis=1)
    seen = cv2.remap(picture, places, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return seen, turned


def _everywhere(mesh: np.ndarray, shift: np.ndarray, depth: np.ndarray, size: int) -> np.ndarray:
    """Motion along x and depth, float32 (S, S * OVERSAMPLING, 2), from those of the mesh."""
    oval = mesh[list(OVAL), :2]
    ring = oval.mean(0) + (oval - oval.mean(0)) * STILL
    far = np.array([(x, y) for x in (-3, 3) for y in (-3, 3)])  # beyond any picture
    still = np.concatenate([ring, far])
    known = np.stack([shift, depth], axis=1)
    known = np.concatenate([known, np.tile([0.0, BEHIND], (len(still), 1))])
    centres = (np.arange(GRID) + 0.5) * (2 / GRID) - 1
    field = LinearNDInterpolator(np.concatenate([mesh[:, :2], still]), known)
    coarse = field(*np.meshgrid(centres, centres)).astype(np.float32)
    coarse = cv2.GaussianBlur(coarse, (0, 0), SMOOTHING)  # between face and ring triangles are long
    return cv2.resize(coarse, (size * OVERSAMPLING, size), interpolation=cv2.INTER_LINEAR)


def _visible(shift: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Where along its row each new pixel was, float32 (S, S), by what is nearest to the camera.

    shift, in pixels, and depth: (S, S * OVERSAMPLING).
    """
    size = len(shift)
    origin = (np.arange(shift.shape[1], dtype=np.float32) + 0.5) / OVERSAMPLING - 0.5
    exact = origin + shift
    target = np.rint(exact).astype(np.intp)
    inside = (target >= 0) & (target < size)
    rows, columns = np.nonzero(inside)
    order = np.argsort(-depth[inside], kind="stable")  # the nearest is written last
    rows, columns = rows[order], columns[order]
    places = np.full((size, size), np.nan, np.float32)
    hit = target[rows, columns]
    places[rows, hit] = origin[columns] + (hit - exact[rows, columns])
    every = np.arange(size)
    for row in places:  # between pixels that were pulled apart
        known = np.isfinite(row)
        row[:] = np.interp(every, every[known], row[known])
    return places
