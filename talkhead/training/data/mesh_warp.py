"""Warp the pixels of a face with its mesh, the nearest to the camera on top."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead.topology import LEFT_EAR, OVAL, RIGHT_EAR

STILL = np.array([1.4, 1.5])  # size of the oval beyond which nothing moves, in those of the face
BEHIND = 0.5  # depth of what stands still, behind the ears, in half image sides
FAR = np.array([(x, y) for x in (-9, 9) for y in (-9, 9)])  # beyond any picture
GRID = 64  # the motion is smooth: it is found at so many points each way, and enlarged
SMOOTHING = 1.0  # standard deviation in its steps; at the rim of the face triangles are long
OVERSAMPLING = 4  # so that what is stretched less than this leaves no holes
DEPTH_STEPS = 4000  # per half image side


def warp_mesh(picture: np.ndarray, mesh: np.ndarray, shift: np.ndarray, along: int) -> np.ndarray:
    """Move the points of a mesh along x (0) or y (1), and the picture with them.

    picture: uint8 (S, S, 3). mesh: (478, 3), x and y from -1 to 1 at the picture's edges, depth in
    the same unit, growing away from the camera. shift: (478,).

    Beyond some distance from the face nothing moves: hair, neck and ground stay where they are.
    """
    if along == 1:
        turned = warp_mesh(picture.transpose(1, 0, 2), mesh[:, [1, 0, 2]], shift, 0)
        return np.ascontiguousarray(turned.transpose(1, 0, 2))
    oval = mesh[list(OVAL), :2]
    ring = oval.mean(0) + (oval - oval.mean(0)) * STILL
    edges = np.stack([ring.min(0), ring.max(0)])
    (left, top), (right, bottom) = ((edges + 1) / 2 * len(picture)).round().astype(int).clip(0)
    part = np.ascontiguousarray(picture[top:bottom, left:right])  # all that moves
    if 0 in part.shape:
        return picture
    still = np.concatenate([ring, FAR])
    points = (np.concatenate([mesh[:, :2], still]) + 1) / 2 * len(picture) - (left, top)
    depth = mesh[:, 2] - mesh[[LEFT_EAR, RIGHT_EAR], 2].mean()
    moving = np.stack([shift * (len(picture) / 2), depth], axis=1)
    known = np.concatenate([moving, np.tile([0.0, BEHIND], (len(still), 1))])
    motion = _everywhere(points, known, *part.shape[:2])
    places = _visible(motion[..., 0], motion[..., 1])
    rows = np.repeat(np.arange(len(part), dtype=np.float32)[:, None], part.shape[1], axis=1)
    moved = picture.copy()
    moved[top:bottom, left:right] = cv2.remap(
        part, places, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return moved


def _everywhere(points: np.ndarray, known: np.ndarray, height: int, width: int) -> np.ndarray:
    """Shift and depth, float32 (height, width * OVERSAMPLING, 2), from those known at some points.

    points: (n, 2), in pixels. known: (n, 2).
    """
    from scipy.interpolate import LinearNDInterpolator  # takes long to import, and few runs need it

    y, x = ((np.arange(GRID) + 0.5) * (side / GRID) for side in (height, width))
    field = LinearNDInterpolator(points, known)
    coarse = field(*np.meshgrid(x, y)).astype(np.float32)
    coarse = cv2.GaussianBlur(coarse, (0, 0), SMOOTHING)
    return cv2.resize(coarse, (width * OVERSAMPLING, height), interpolation=cv2.INTER_LINEAR)


def _visible(shift: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Where along its row each new pixel was, float32 (H, W), by what is nearest to the camera.

    shift, in pixels, and depth: (H, W * OVERSAMPLING).
    """
    height, width = len(shift), shift.shape[1] // OVERSAMPLING
    origin = (np.arange(shift.shape[1], dtype=np.float32) + 0.5) / OVERSAMPLING - 0.5
    exact = origin + shift
    target = np.rint(exact).astype(np.int32)
    rows, columns = np.nonzero((target >= 0) & (target < width))
    nearness = (depth[rows, columns] * -DEPTH_STEPS).astype(np.int16)  # which sorts quickly
    order = np.argsort(nearness, kind="stable")  # the nearest is written last
    rows, columns = rows[order], columns[order]
    places = np.full((height, width), np.nan, np.float32)
    hit = target[rows, columns]
    places[rows, hit] = origin[columns] + (hit - exact[rows, columns])
    every = np.arange(width)
    for row in places:  # between pixels that were pulled apart
        known = np.isfinite(row)
        row[:] = np.interp(every, every[known], row[known]) if known.any() else every
    return places
