"""A face mesh as a judge: whether a drawn face has the driving face's points, openings and gaze."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from talkhead.data.landmarks import OPENINGS
from talkhead.faces.crop_mesh import CENTRE, SHARE, crop_mesh
from talkhead.faces.mesh import FaceMesh478
from talkhead.models.grid import identity_grid, warp
from talkhead.models.mesh import FINE
from talkhead.structs import iris_places
from talkhead.topology import MESH_POINTS

MARGIN = 1.5  # side of the square that the network looks at, over the longer side of the face
FINE_WEIGHT = 3.0  # of lips, lids and irises among the points
POINT_WEIGHT = 10.0  # of distances, in shares of that square, beside openings and gaze
OPENED = OPENINGS[MESH_POINTS]


class MeshJudge(nn.Module):
    """Difference of two pictures of a face by what a mesh network sees in them, a scalar.

    Computed in float32 under any autocast; gradients flow into the first picture alone.
    """

    def __init__(self, net: FaceMesh478) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor, target: Tensor, mesh: Tensor) -> Tensor:
        """image, target: (B, 3, S, S) in [0, 1]; mesh: the target's, (B, 478, 2) in [-1, 1]."""
        with torch.autocast(image.device.type, enabled=False):
            grid = face_grid(mesh.float(), image.shape[-1])
            with torch.no_grad():
                wanted = self._encode(target, grid)
            found = self._encode(image, grid)
        weight = torch.ones(found.shape[1], device=found.device)
        weight[list(FINE)] = FINE_WEIGHT
        distance = ((found - wanted).abs().sum(-1) * weight).mean() / weight.mean()
        opened = (shape_measures(found) - shape_measures(wanted)).abs().mean()
        return POINT_WEIGHT * distance + opened

    def _encode(self, images: Tensor, grid: Tensor) -> Tensor:
        """Points (B, 478, 2) in shares of the face's square."""
        faces = warp(images.float(), grid)
        return crop_mesh(self.net, faces, looks=1)[..., :2] / (SHARE * images.shape[-1])


def face_grid(mesh: Tensor, size: int) -> Tensor:
    """Where to sample pictures, (B, size, size, 2), to show faces where `crop_mesh` looks first.

    The faces are those of the meshes given.
    """
    low, high = mesh.amin(1), mesh.amax(1)
    side = MARGIN * (high - low).amax(-1) / 2  # of half a picture
    middle = mesh.new_tensor(CENTRE) * 2 - 1
    places = (identity_grid(size, size, device=mesh.device) - middle) / SHARE
    return (low + high)[:, None, None] / 2 + side[:, None, None, None] * places


def shape_measures(points: Tensor) -> Tensor:
    """Of the mouth, of each eye, and each iris between its corners: (B, 5)."""
    opened = [
        (points[:, upper] - points[:, lower]).norm(dim=-1)
        / (points[:, corner] - points[:, other]).norm(dim=-1)
        for upper, lower, corner, other in (*OPENED["mouth_opening"], *OPENED["eye_opening"])
    ]
    return torch.cat([torch.stack(opened, dim=1), iris_places(points)], dim=1)
