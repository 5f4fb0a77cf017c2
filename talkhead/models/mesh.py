"""A face mesh (478 points, MediaPipe's numbering) as keypoints, as motion and as maps.

Meshes are (B, 478, 2 or 3) in the units of keypoints; depth, where there is any, is left alone
here. One that is not known has all its points at `NOWHERE`, far outside the picture, so that
nothing here has any weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.models.grid import identity_grid, matmul_2x2, resize_grid
from talkhead.models.points import index_tensor, mesh_points
from talkhead.models.ring_motion import RINGS
from talkhead.structs import NOWHERE, Keypoints, head_points, is_known
from talkhead.topology import (
    HEAD_GROUPS,
    INNER_LIPS,
    IRIS_RIM,
    LEFT_EYE,
    LEFT_IRIS,
    MESH_POINTS,
    OUTER_LIPS,
    OVAL,
    RIGHT_EYE,
    RIGHT_IRIS,
)

NEIGHBOURS = 45  # mesh points that a local affine map is fitted to
RADIUS = 0.12  # standard deviation of their weights, in face heights of the mean face
RIDGE = 6e-4  # pull towards the affine map of the whole face, in squared face heights

# Of the motion of a mesh, in grid units [own experiments].
WIDTH, FINE_WIDTH = 0.05, 0.025  # how far a point's displacement reaches; lips, lids and irises
NEAR_LOGIT, REACH = 4.0, 0.06  # log-weight of that motion on the mesh; how fast it falls beyond
# How far a point's displacement reaches where a deformation is refined, and how far from lips, lids
# and irises that is; sum of Gaussians below which a place is far from all points.
REFINED_WIDTH, REFINED_REACH, FAINTEST = 0.04, 0.1, 1e-30
CORNERS = 16  # of the circle that is drawn for an iris
LINES = 4  # per pixel row, of filled maps
IRISES = tuple(first + i for first in (LEFT_IRIS, RIGHT_IRIS) for i in range(IRIS_RIM + 1))
FINE = (*OUTER_LIPS, *INNER_LIPS, *LEFT_EYE, *RIGHT_EYE, *IRISES)
MAPS = 5  # channels of `face_maps`


@dataclass(frozen=True)
class MeshKeypoints:
    """Turns meshes into keypoints with jacobians, relative to one mean face.

    offsets:     (M, 2), the mean face; its height is 1, its centre 0.
    points:      (K, 2), its keypoints.
    neighbours:  (K, n), mesh points around each keypoint.
    weights:     (K, n), their weights.
    """

    offsets: Tensor
    points: Tensor
    neighbours: Tensor
    weights: Tensor

    @classmethod
    def of(cls, mean: Tensor) -> MeshKeypoints:
        """From the mean face (478, 2)."""
        points = head_points(mean[None])[0]
        distance = (points[:, None] - mean).square().sum(-1).sqrt()
        nearest = distance.topk(NEIGHBOURS, largest=False)
        weights = torch.exp(-0.5 * (nearest.values / RADIUS).square())
        for k, group in enumerate(HEAD_GROUPS):
            if len(group) > 1:  # an eye moves as its ring does
                ring = torch.tensor(group, device=mean.device)
                weights[k] = 0
                nearest.indices[k, : len(ring)] = ring
                weights[k, : len(ring)] = 1
        weights = weights / weights.sum(1, keepdim=True)
        return cls(mean, points, nearest.indices, weights)

    def __call__(self, meshes: Tensor) -> Keypoints:
        """Meshes (B, 478, 2) -> keypoints (B, K, 2) and (B, K, 2, 2).

        The jacobian is the affine map from the mean face to the mesh around the keypoint, so that
        J_source J_driving^-1 is the local motion between two pictures.
        """
        meshes = meshes[..., :2]
        value = head_points(meshes)
        mean = self.offsets[self.neighbours] - self.points[:, None]  # K n 2
        moved = meshes[:, self.neighbours] - value[:, :, None]  # B K n 2
        jacobian = least_squares(mean, moved, self.weights, prior=self.whole(meshes)[:, None])
        return Keypoints(value, jacobian)

    def whole(self, meshes: Tensor) -> Tensor:
        """The affine map (B, 2, 2) from the mean face to each mesh."""
        return least_squares(
            self.offsets - self.offsets.mean(0),
            meshes - meshes.mean(1, keepdim=True),
            self.offsets.new_full((len(self.offsets),), 1 / len(self.offsets)),
        )


def least_squares(
    points: Tensor, images: Tensor, weights: Tensor, prior: Tensor | None = None
) -> Tensor:
    """The 2 x 2 maps A that minimise sum w |image - A point|^2 (+ ridge |A - prior|^2).

    points (..., n, 2), images (B, ..., n, 2), weights (..., n) -> (B, ..., 2, 2).
    """
    weighted = points * weights[..., None]
    moment = (weighted[..., :, None] * points[..., None, :]).sum(-3)
    cross = (images[..., :, None] * weighted[..., None, :]).sum(-3)
    if prior is not None:
        moment = moment + RIDGE * torch.eye(2, device=moment.device)
        cross = cross + RIDGE * prior
    return matmul_2x2(cross, torch.linalg.inv(moment))


def unknown_mesh(keypoints: Keypoints) -> Tensor:
    """A mesh (B, 478, 2) that is not known, for keypoints that come without one."""
    value = keypoints.value
    return value.new_full((len(value), MESH_POINTS, 2), NOWHERE)


def mesh_motion(source: Tensor, driving: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The motion (B, h, w, 2) between two meshes, and its log-weight (B, h, w).

    Every place moves as the points around it, weighted by Gaussians. The log-weight is `NEAR_LOGIT`
    on the driving mesh and falls with the squared distance from it.
    """
    grid = identity_grid(*size, device=driving.device)
    with torch.autocast(driving.device.type, enabled=False):
        places, points = grid.flatten(0, 1), driving[..., :2].float()
        precision = 1 / _widths(driving.device).square()
        # -|z - p|^2 precision / 2 as one product of (x, y, |z|^2, 1) with what depends on p.
        left = F.pad(
            torch.cat([places, places.square().sum(-1, keepdim=True)], dim=1), (0, 1), value=1
        )
        right = torch.stack(
            [
                *(points * precision[:, None]).unbind(-1),
                (-0.5 * precision).expand(len(points), -1),
                -0.5 * precision * points.square().sum(-1),
            ],
            dim=1,
        )
        nearness = left @ right  # B hw M
        motion = places + F.softmax(nearness, dim=-1) @ (source[..., :2].float() - points)
        logit = NEAR_LOGIT + (WIDTH / REACH) ** 2 * nearness.amax(-1)
    return motion.unflatten(1, size), logit.unflatten(1, size)


def refine(
    motion: Tensor, source: Keypoints, driving: Keypoints, size: int
) -> tuple[Tensor, Tensor | None]:
    """A deformation (B, h, w, 2) at another size, that of the meshes around lips, lids and irises.

    Grids of dense motion are too coarse to close a lid or to turn an eye. Where a mesh is not known
    the deformation is only resized.

    The second (B, 2, size, size) in [0, 1] is where open eyes of the source are to be shown as they
    are bent, and where shut ones are not. The motion of open eyes is exact, and all that a decoder
    does there is to blur them: above eyes that open wide, to grey. Lids that shut further than half
    of the source's opening are left to it, as is a face without a mesh [own experiments].
    """
    if source.mesh is None or driving.mesh is None:
        return resize_grid(motion, (size, size)), None
    with torch.autocast(motion.device.type, enabled=False):
        before, after = source.mesh[..., :2].float(), driving.mesh[..., :2].float()
        seen = (is_known(before) * is_known(after))[:, None, None]
        places = identity_grid(motion.shape[1], motion.shape[2], device=motion.device)
        distance = torch.cdist(
            places.flatten(0, 1).expand(len(after), -1, -1), mesh_points(after, FINE)
        )
        share = torch.exp(-0.5 * (distance.amin(-1) / REFINED_REACH).square())
        share = seen * share.unflatten(1, places.shape[:2])
        moved = places + _carried(before - after, after, len(places))
        fine = resize_grid(torch.lerp(motion, moved, share[..., None]), (size, size))
        eyes = []
        for opening in RINGS:
            exact, share = opening.motion(before, after, size)
            share = seen * share
            fine = torch.lerp(fine, exact, share[..., None])
            if opening.iris is not None:
                open_share = opening.open_share(before, after)
                both = torch.stack([open_share, 1 - open_share], dim=1)
                eyes.append(share[:, None] * both[..., None, None])
    return fine, torch.maximum(*eyes)


def _carried(values: Tensor, points: Tensor, size: int) -> Tensor:
    """What points (B, M, 2) carry (B, M, 2), as places around them see it: (B, size, size, 2).

    The mean under Gaussians; as these are products of one along x and one along y, it takes no
    more than the product of two small matrices. Far from all points, nothing.
    """
    centres = torch.linspace(-1, 1, size, device=points.device)
    x, y = (
        torch.exp(-0.5 * ((centres - points[..., axis, None]) / REFINED_WIDTH).square())
        for axis in (0, 1)
    )  # B M size
    weighted = F.pad(values, (0, 1), value=1)[..., None] * y[:, :, None]  # B M 3 size
    sums = (weighted.flatten(2).transpose(1, 2) @ x).unflatten(1, (3, size))
    return (sums[:, :2] / (sums[:, 2:] + FAINTEST)).permute(0, 2, 3, 1)


def _widths(device: torch.device) -> Tensor:
    """The width of each point's Gaussian, (478,)."""
    widths = torch.full((MESH_POINTS,), WIDTH, device=device)
    widths[index_tensor(FINE, device)] = FINE_WIDTH
    return widths


def face_maps(mesh: Tensor, size: int) -> Tensor:
    """How much of every pixel a face and its parts cover, (B, 5, size, size) in [0, 1].

    The face, the lips with the mouth, the inside of the mouth, the open eyes, the irises in them.
    """
    mesh = mesh[..., :2].float()
    eyes = torch.maximum(*(fill(mesh_points(mesh, ring), size) for ring in (LEFT_EYE, RIGHT_EYE)))
    irises = torch.maximum(*(fill(_rim(mesh, first), size) for first in (LEFT_IRIS, RIGHT_IRIS)))
    parts = (fill(mesh_points(mesh, ring), size) for ring in (OVAL, OUTER_LIPS, INNER_LIPS))
    return torch.stack([*parts, eyes, irises * eyes], dim=1)


def _rim(mesh: Tensor, first: int) -> Tensor:
    """A circle of `CORNERS` points for an iris, of which the mesh has the centre and four more."""
    middle, rim = mesh[:, first : first + 1], mesh[:, first + 1 : first + 1 + IRIS_RIM]
    radius = (rim - middle).norm(dim=-1).mean(1)[:, None, None]
    angle = torch.arange(CORNERS, device=mesh.device) * (2 * math.pi / CORNERS)
    return middle + radius * torch.stack([angle.cos(), angle.sin()], dim=-1)


def fill(corners: Tensor, size: int) -> Tensor:
    """How much of every pixel polygons (B, E, 2) cover: (B, size, size).

    Each of `LINES` lines of a pixel row is cut by the edges; from a cut on, edges that lead up
    count 1 and edges that lead down -1. The part of the cut's own pixel is exact.
    """
    pixels = (corners + 1) * ((size - 1) / 2) + 0.5  # edges of pixels are whole numbers
    (x0, y0), (x1, y1) = pixels[:, None].unbind(-1), pixels.roll(-1, 1)[:, None].unbind(-1)
    y = (torch.arange(size * LINES, device=corners.device) + 0.5)[:, None] / LINES  # lines 1
    sign = (y0 <= y).float() - (y1 <= y).float()  # B lines E
    cut = x0 + (y - y0) / torch.where(y1 == y0, 1.0, y1 - y0) * (x1 - x0)
    cut = cut.nan_to_num().clamp(0, size)
    pixel = cut.floor()
    part = pixel + 1 - cut  # of the pixel to the right of the cut
    steps = cut.new_zeros(*cut.shape[:2], size + 2)
    steps.scatter_add_(2, pixel.long(), sign * part)
    steps.scatter_add_(2, pixel.long() + 1, sign * (1 - part))
    covered = steps.cumsum(-1)[..., :size].abs().clamp(max=1)
    return covered.unflatten(1, (size, LINES)).mean(2)
