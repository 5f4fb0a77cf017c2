"""Keypoint targets from face landmarks.

Unsupervised keypoints need very much data before they mean anything. Where landmarks of the
478-point face mesh (MediaPipe's numbering) are at hand, fifteen of them, and the local affine map
of the mesh around each, give the detector a start; training then goes on without them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import Delaunay
from torch import Tensor

from talkhead.faces.topology import (
    CHIN,
    FOREHEAD,
    HEAD_GROUPS,
    LOWER_LIDS,
    LOWER_LIP,
    UPPER_LIDS,
    UPPER_LIP,
)
from talkhead.models.grid import matmul_2x2
from talkhead.structs import Keypoints

# Where further keypoints begin that no landmark teaches, in face heights from the mean face's
# centre; training then leads them to what moves on its own. Shoulders, sides and top of the hair.
FREE_STARTS = ((-0.85, 1.05), (0.85, 1.05), (-0.75, -0.25), (0.75, -0.25), (0.0, -0.85))
MOST_OUT = 0.9  # in half image sides: they begin inside the picture

NEIGHBOURS = 45  # mesh points that a local affine map is fitted to
RADIUS = 0.12  # standard deviation of their weights, in face heights of the mean face
RIDGE = 6e-4  # pull towards the affine map of the whole face, in squared face heights


@dataclass(frozen=True)
class LandmarkTeacher:
    """Turns meshes into keypoints with jacobians, relative to one mean face.

    points:      (K, 2), the keypoints of the mean face; its height is 1, its centre 0.
    offsets:     (M, 2), the mean face itself.
    neighbours:  (K, n), mesh points around each keypoint.
    weights:     (K, n), their weights.
    triangles:   (T, 3), mesh points that cover the mean face, each of positive area in it.
    """

    offsets: Tensor
    points: Tensor
    neighbours: Tensor
    weights: Tensor
    triangles: Tensor

    @classmethod
    def fit(cls, meshes: Tensor) -> LandmarkTeacher:
        """Learn the mean face from meshes (F, 478, 2) in any unit (generalised Procrustes)."""
        mean = mean_face(meshes)
        points = group_means(mean[None])[0]
        distance = torch.cdist(points, mean)
        nearest = distance.topk(NEIGHBOURS, largest=False)
        weights = torch.exp(-0.5 * (nearest.values / RADIUS).square())
        for k, group in enumerate(HEAD_GROUPS):
            if len(group) > 1:  # an eye moves as its ring does
                ring = torch.tensor(group)
                weights[k] = 0
                nearest.indices[k, : len(ring)] = ring
                weights[k, : len(ring)] = 1
        weights = weights / weights.sum(1, keepdim=True)
        triangles = torch.from_numpy(Delaunay(mean.numpy()).simplices).long()
        return cls(mean, points, nearest.indices, weights, triangles)

    def __call__(self, meshes: Tensor) -> Keypoints:
        """Meshes (B, 478, 2) in [-1, 1] -> the keypoints to be taught, (B, K, 2) and (B, K, 2, 2).

        The jacobian is the affine map from the mean face to the mesh around the keypoint, so that
        J_source J_driving^-1 is the local motion between two pictures.
        """
        value = group_means(meshes)
        mean = self.offsets[self.neighbours] - self.points[:, None]  # K n 2
        moved = meshes[:, self.neighbours] - value[:, :, None]  # B K n 2
        jacobian = least_squares(mean, moved, self.weights, prior=self._whole(meshes)[:, None])
        return Keypoints(value, jacobian)

    def with_free_keypoints(self, meshes: Tensor, count: int) -> Keypoints:
        """The same with `count` more keypoints, which start out moving as the whole face."""
        taught = self(meshes)
        whole = self._whole(meshes)
        starts = self.offsets.new_tensor(FREE_STARTS[:count]).view(-1, 2)
        value = meshes.mean(1, keepdim=True) + matmul_2x2(starts[None], whole.transpose(1, 2))
        jacobian = whole[:, None].expand(-1, count, -1, -1)
        assert taught.jacobian is not None
        return Keypoints(
            torch.cat([taught.value, value.clamp(-MOST_OUT, MOST_OUT)], dim=1),
            torch.cat([taught.jacobian, jacobian], dim=1),
        )

    def _whole(self, meshes: Tensor) -> Tensor:
        """The affine map (B, 2, 2) from the mean face to each mesh."""
        return least_squares(
            self.offsets - self.offsets.mean(0),
            meshes - meshes.mean(1, keepdim=True),
            self.offsets.new_full((len(self.offsets),), 1 / len(self.offsets)),
        )

    def to(self, device: torch.device) -> LandmarkTeacher:
        """The same on a device."""
        return LandmarkTeacher(
            self.offsets.to(device),
            self.points.to(device),
            self.neighbours.to(device),
            self.weights.to(device),
            self.triangles.to(device),
        )


def group_means(meshes: Tensor) -> Tensor:
    """Keypoints (B, K, 2) of meshes (B, 478, 2)."""
    return torch.stack([meshes[:, list(group)].mean(1) for group in HEAD_GROUPS], dim=1)


def openings(meshes: np.ndarray) -> np.ndarray:
    """How far mouth and eyes are open, (F, 2) in face heights, in meshes (F, 478, 2)."""
    y = meshes[..., 1]
    mouth = y[:, LOWER_LIP] - y[:, UPPER_LIP]
    eyes = (y[:, LOWER_LIDS] - y[:, UPPER_LIDS]).mean(1)
    height = y[:, CHIN] - y[:, FOREHEAD]
    return np.stack([mouth, eyes], axis=1) / height[:, None]


def mean_face(meshes: Tensor, rounds: int = 3) -> Tensor:
    """Procrustes mean (478, 2) of meshes (F, 478, 2), upright, centred, of height 1."""
    centred = meshes - meshes.mean(1, keepdim=True)
    centred = centred / centred.square().sum((1, 2), keepdim=True).sqrt()
    mean = centred[0]
    for _ in range(rounds):
        u, _, vt = torch.linalg.svd(centred.transpose(1, 2) @ mean)
        mean = (centred @ (u @ vt)).mean(0)
    mean = 0.5 * (mean + mean[mirror_order(mean)] * torch.tensor([-1.0, 1.0]))
    return mean / (mean[CHIN, 1] - mean[FOREHEAD, 1])


def mirror_order(mean: Tensor) -> Tensor:
    """For every point of a mean face (n, 2), its partner on the other side, one to one."""
    cost = torch.cdist(mean * torch.tensor([-1.0, 1.0]), mean).square()
    _, partner = linear_sum_assignment((cost + cost.T).numpy())
    return torch.from_numpy(partner)


def least_squares(
    points: Tensor, images: Tensor, weights: Tensor, prior: Tensor | None = None
) -> Tensor:
    """The 2 x 2 maps A that minimise sum w |image - A point|^2 (+ ridge |A - prior|^2).

    points (..., n, 2), images (B, ..., n, 2), weights (..., n) -> (B, ..., 2, 2).
    """
    weighted = points * weights[..., None]
    progress = (weighted[..., :, None] * points[..., None, :]).sum(-3)
    cross = (images[..., :, None] * weighted[..., None, :]).sum(-3)
    if prior is not None:
        progress = progress + RIDGE * torch.eye(2, device=progress.device)
        cross = cross + RIDGE * prior
    return matmul_2x2(cross, torch.linalg.inv(progress))
