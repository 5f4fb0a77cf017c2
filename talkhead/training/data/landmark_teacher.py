"""Keypoint targets from face landmarks.

Unsupervised keypoints need very much data before they mean anything. Where landmarks of the
478-point face mesh (MediaPipe's numbering) are at hand, fifteen of them, and the local affine map
of the mesh around each, give the detector a start; recipes say how long they go on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talkhead.data.meshes import sampled
from talkhead.errors import TalkheadError
from talkhead.models.grid import matmul_2x2
from talkhead.models.mesh import MeshKeypoints
from talkhead.structs import Keypoints, map_tensors
from talkhead.topology import CHIN, FOREHEAD, LOWER_LIDS, LOWER_LIP, UPPER_LIDS, UPPER_LIP
from talkhead.training.data.library import Library

# Where further keypoints begin that no landmark teaches, in face heights from the mean face's
# centre; training then leads them to what moves on its own. Shoulders, sides and top of the hair.
FREE_STARTS = ((-0.85, 1.05), (0.85, 1.05), (-0.75, -0.25), (0.75, -0.25), (0.0, -0.85))
ROUNDS = 3  # of aligning meshes to their mean
MOST_OUT = 0.9  # in half image sides: they begin inside the picture


@dataclass(frozen=True)
class LandmarkTeacher(MeshKeypoints):
    """Turns meshes into the keypoints to be taught, and knows the mesh's surface.

    triangles: (T, 3), mesh points that cover the mean face, each of positive area in it.
    """

    triangles: Tensor

    @classmethod
    def fit(cls, meshes: Tensor) -> LandmarkTeacher:
        """Learn the mean face from meshes (F, 478, 2) in any unit (generalised Procrustes)."""
        from scipy.spatial import Delaunay  # takes long to import, and few runs need it

        mean = mean_face(meshes)
        known = MeshKeypoints.of(mean)
        triangles = torch.from_numpy(Delaunay(mean.numpy()).simplices).long()
        return cls(mean, known.points, known.neighbours, known.weights, triangles)

    def with_free_keypoints(self, meshes: Tensor, count: int) -> Keypoints:
        """The same with `count` more keypoints, which start out moving as the whole face."""
        taught = self(meshes)
        whole = self.whole(meshes)
        starts = self.offsets.new_tensor(FREE_STARTS[:count]).view(-1, 2)
        value = meshes.mean(1, keepdim=True) + matmul_2x2(starts[None], whole.transpose(1, 2))
        jacobian = whole[:, None].expand(-1, count, -1, -1)
        assert taught.jacobian is not None
        return Keypoints(
            torch.cat([taught.value, value.clamp(-MOST_OUT, MOST_OUT)], dim=1),
            torch.cat([taught.jacobian, jacobian], dim=1),
        )

    def to(self, device: torch.device) -> LandmarkTeacher:
        """The same on a device."""
        return map_tensors(self, lambda tensor: tensor.to(device))


def gaps_over_height(meshes: np.ndarray) -> np.ndarray:
    """How far mouth and eyes are open, (F, 2) in face heights, in meshes (F, 478, 2)."""
    y = meshes[..., 1]
    mouth = y[:, LOWER_LIP] - y[:, UPPER_LIP]
    eyes = (y[:, LOWER_LIDS] - y[:, UPPER_LIDS]).mean(1)
    height = y[:, CHIN] - y[:, FOREHEAD]
    return np.stack([mouth, eyes], axis=1) / height[:, None]


def mean_face(meshes: Tensor) -> Tensor:
    """Procrustes mean (478, 2) of meshes (F, 478, 2), upright, centred, of height 1."""
    centred = meshes - meshes.mean(1, keepdim=True)
    centred = centred / centred.square().sum((1, 2), keepdim=True).sqrt()
    mean = centred[0]
    for _ in range(ROUNDS):
        u, _, vt = torch.linalg.svd(centred.transpose(1, 2) @ mean)
        mean = (centred @ (u @ vt)).mean(0)
    mean = 0.5 * (mean + mean[mirror_order(mean)] * torch.tensor([-1.0, 1.0]))
    return mean / (mean[CHIN, 1] - mean[FOREHEAD, 1])


def mirror_order(mean: Tensor) -> Tensor:
    """For every point of a mean face (n, 2), its partner on the other side, one to one."""
    from scipy.optimize import linear_sum_assignment  # likewise

    cost = torch.cdist(mean * torch.tensor([-1.0, 1.0]), mean).square()
    _, partner = linear_sum_assignment((cost + cost.T).numpy())
    return torch.from_numpy(partner)


def fit_teacher(library: Library) -> LandmarkTeacher:
    """A teacher with the mean face of the library's landmarks. TalkheadError without any."""
    meshes = [
        landmarks[:: max(1, len(landmarks) // 8)]
        for landmarks in sampled([each for each in library.landmarks if each is not None])
    ]
    known = [torch.from_numpy(m[np.isfinite(m).all((1, 2))][..., :2]) for m in meshes]
    if not known or not sum(len(m) for m in known):
        raise TalkheadError(
            "no clip has landmarks; --landmarks takes a folder with <clip>.npz for each clip"
        )
    return LandmarkTeacher.fit(torch.cat(known))
