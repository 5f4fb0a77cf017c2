"""Augmentation: turn the head of a photo further to the side.

A clip seldom shows one person from the front and from the side, so a model sees little of what
appears when a turned head looks up. A mesh with depth makes such pairs from any picture: turned,
the far side of the face is hidden behind its near side; as it is, it shows. As a source the turned
picture may be rough, since what is learned to be drawn is the real one.
"""

from __future__ import annotations

import math

import numpy as np

from talkhead.topology import LEFT_EAR, RIGHT_EAR
from talkhead.training.data.mesh_warp import warp_mesh

FARTHEST = 0.9  # yaw in radians to which a head is turned at most
UNSURE = 0.1  # standard deviation of the yaw at which either direction is "further aside"
NOD = 0.3  # largest pitch in radians, up or down


def draw_angles(rng: np.random.Generator, mesh: np.ndarray) -> tuple[float, float]:
    """Yaw and pitch for `turn_head` that turn the head of a mesh (478, 3) further aside."""
    yaw = yaw_of(mesh)
    side = math.copysign(1.0, yaw + rng.normal(0, UNSURE))
    aim = side * rng.uniform(abs(yaw), max(abs(yaw), FARTHEST))
    return aim - yaw, rng.uniform(-NOD, NOD)


def yaw_of(mesh: np.ndarray) -> float:
    """How far a head is turned, radians, 0 from the front."""
    across = mesh[RIGHT_EAR] - mesh[LEFT_EAR]
    return math.atan2(across[2], across[0])


def turn_head(
    picture: np.ndarray, mesh: np.ndarray, yaw: float, pitch: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Let the head in a picture nod, then turn it about the upright axis between its ears.

    picture: uint8 (S, S, 3). mesh: (478, 3) as in `warp_mesh`. Angles in radians are added
    to those of the head. Returns the new picture and mesh.
    """
    for along, angle in ((1, pitch), (0, yaw)):  # a turned face, folded, could not be moved on
        if angle:
            turned = _rotate(mesh, -angle, along)
            picture = warp_mesh(picture, mesh, turned[:, along] - mesh[:, along], along)
            mesh = turned
    return picture, mesh


def _rotate(mesh: np.ndarray, angle: float, along: int) -> np.ndarray:
    """The mesh turned in the plane of x or y and depth, about the point between its ears."""
    axis = mesh[[LEFT_EAR, RIGHT_EAR]].mean(0)
    place, depth = mesh[:, along] - axis[along], mesh[:, 2] - axis[2]
    turned = mesh.copy()
    turned[:, along] = axis[along] + place * math.cos(angle) + depth * math.sin(angle)
    turned[:, 2] = axis[2] + depth * math.cos(angle) - place * math.sin(angle)
    return turned
