"""The mesh of face crops: for losses with gradients, for models, for metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.faces.blocks import rotation
from talkhead.faces.landmarker import SIDE, Landmarker
from talkhead.faces.mesh import FaceMesh468, FaceMesh478
from talkhead.faces.plausible import plausible
from talkhead.faces.regions import MARGIN, Region, region_of_points
from talkhead.topology import MESH_POINTS, OUTER_EYE_CORNERS, SKIN_POINTS

CENTRE, SHARE = (0.5, 0.52), 0.9  # where a crop's face is expected: centre, and side of the region
PRESENT = 0.5  # probability from which on a crop is taken to show a face
_COARSE = 2 * SIDE  # crops of this side and more are averaged down first


def crop_mesh(mesh: Callable[[Tensor], Tensor], crops: Tensor, looks: int = 2) -> Tensor:
    """Points (B, n, 3) in pixels of face crops (B, 3, S, S), RGB in [0, 1].

    mesh:  `FaceMesh478`, or the points of another such network.
    looks: the first looks at the middle, each later one where the one before saw the face.

    Differentiable in the crops: gradients flow through what the last look sees, not through where
    it looks. As a loss keep its weight small and judge with another network: alone it paints noise.
    """
    images, factor = _averaged(crops)
    side = images.shape[-1]
    middle = images.new_tensor([CENTRE[0] * side, CENTRE[1] * side, SHARE * side, 0.0])
    regions = middle.expand(len(images), 4)
    with torch.no_grad():
        for _ in range(looks - 1):
            regions = _regions(_back(mesh(_cut(images, regions)), regions))
    return factor * _back(mesh(_cut(images, regions)), regions)


def crop_meshes(landmarker: Landmarker, crops: Sequence[np.ndarray]) -> np.ndarray:
    """Points float32 (B, 478, 3) in pixels of square face crops, rgb uint8 (S, S, 3), for models.

    Found as in landmark files, which models learn from: one look at the middle must be sure of a
    face, a second where that saw it. NaN where no face is seen, or one of impossible proportions.
    """
    found = np.full((len(crops), MESH_POINTS, 3), np.nan, np.float32)
    sides = [crop.shape[0] for crop in crops]
    middles = [Region(CENTRE[0] * side, CENTRE[1] * side, SHARE * side) for side in sides]
    looks = landmarker.look_each(crops, middles)
    seen = [number for number, look in enumerate(looks) if look.presence >= PRESENT]
    regions = [region_of_points(looks[number].points) for number in seen]
    meshes = landmarker.refine([crops[number] for number in seen], regions)
    for number, points in zip(seen, meshes, strict=True):
        if plausible(points):
            found[number] = points
    return found


class CropMesh:
    """Meshes of many face crops, for metrics: loads its networks when first used.

    It looks as a loss does, twice with the fine mesh, and half a pixel beside `crop_meshes`: scores
    depend on it, so it stays as it is.
    """

    BATCH = 16

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)

    @cached_property
    def _meshes(self) -> tuple[FaceMesh478, FaceMesh468]:
        return FaceMesh478.load(self._device), FaceMesh468.load(self._device)

    @torch.inference_mode()
    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """float32 (N, 478, 3) in pixels of uint8 (N, S, S, 3); NaN where no face is seen."""
        mesh, judge = self._meshes
        found = []
        for start in range(0, len(pictures), self.BATCH):
            part = torch.from_numpy(np.ascontiguousarray(pictures[start : start + self.BATCH]))
            images, factor = _averaged(part.to(self._device).permute(0, 3, 1, 2).float() / 255)
            points = crop_mesh(mesh, images)
            present = judge(_cut(images, _regions(points)))[1].sigmoid() >= PRESENT
            points = points.where(present[:, None, None], torch.nan)
            found.append((factor * points).cpu().numpy())
        return np.concatenate(found)


def _averaged(crops: Tensor) -> tuple[Tensor, int]:
    """Large crops averaged down, and by how much."""
    factor = max(crops.shape[-1] // _COARSE, 1)
    return (F.avg_pool2d(crops, factor) if factor > 1 else crops), factor


def _regions(points: Tensor) -> Tensor:
    """(B, 4): centre x, centre y, side and angle, as `regions.region_of_points`."""
    xy = points[:, :SKIN_POINTS, :2]
    low, high = xy.amin(1), xy.amax(1)
    left, right = OUTER_EYE_CORNERS
    dx, dy = (xy[:, right] - xy[:, left]).unbind(-1)
    side = MARGIN * (high - low).amax(-1)
    return torch.cat([(low + high) / 2, side[:, None], torch.atan2(dy, dx)[:, None]], 1)


def _cut(images: Tensor, regions: Tensor) -> Tensor:
    """(B, 3, 192, 192), sampled as `regions.Region.cut` does; edges are repeated."""
    height, width = images.shape[-2:]
    steps = torch.arange(SIDE, device=images.device, dtype=images.dtype) / SIDE - 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    offsets = torch.stack([x, y], -1).view(1, -1, 2) * regions[:, None, 2:3]
    xy = offsets @ rotation(regions[:, 3]).mT + regions[:, None, :2] + 0.5
    grid = (xy * xy.new_tensor([2 / width, 2 / height]) - 1).view(-1, SIDE, SIDE, 2)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _back(points: Tensor, regions: Tensor) -> Tensor:
    """Points of the cut as points of the image."""
    scaled = points * (regions[:, None, 2:3] / SIDE)
    offsets = scaled[..., :2] - regions[:, None, 2:3] / 2
    xy = offsets @ rotation(regions[:, 3]).mT + regions[:, None, :2]
    return torch.cat([xy, scaled[..., 2:]], -1)
