"""The face meshes at work: points of faces in regions of frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from talkhead.faces.blocks import own_stream
from talkhead.faces.mesh import FaceMesh468, FaceMesh478
from talkhead.faces.regions import Region
from talkhead.structs import Face

SIDE = 192  # of the pictures that a mesh looks at, pixels


class Landmarker:
    """Places face meshes in regions of pictures; loads its networks when they are first used.

    device: where they run. Pictures are rgb uint8 (H, W, 3).
    """

    BATCH = 32  # regions at a time

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._stream = own_stream(self._device)

    @cached_property
    def _mesh(self) -> FaceMesh468:
        return FaceMesh468.load(self._device)

    @cached_property
    def _fine_mesh(self) -> FaceMesh478:
        return FaceMesh478.load(self._device)

    def look(self, rgb: np.ndarray, regions: Sequence[Region]) -> list[Face]:
        """The face of 468 points in each region of one picture, and how sure it is one."""
        return self.look_each([rgb] * len(regions), regions)

    @torch.inference_mode()
    def look_each(self, pictures: Sequence[np.ndarray], regions: Sequence[Region]) -> list[Face]:
        """The same in one region of each picture."""
        looks = []
        for start in range(0, len(regions), self.BATCH):
            part = slice(start, start + self.BATCH)
            with self._stream():
                points, logits = self._mesh(self._images(pictures[part], regions[part]))
                found, presence = points.cpu().numpy(), logits.sigmoid().tolist()
            for mesh, region, sure in zip(found, regions[part], presence, strict=True):
                looks.append(Face(region.to_picture(mesh, SIDE), sure))
        return looks

    @torch.inference_mode()
    def refine(self, pictures: Sequence[np.ndarray], regions: Sequence[Region]) -> list[np.ndarray]:
        """478 points, float32 (478, 3), in one region of each picture."""
        found: list[np.ndarray] = []
        for start in range(0, len(regions), self.BATCH):
            part = slice(start, start + self.BATCH)
            with self._stream():
                points = self._fine_mesh(self._images(pictures[part], regions[part])).cpu().numpy()
            found += [r.to_picture(p, SIDE) for p, r in zip(points, regions[part], strict=True)]
        return found

    def _images(self, pictures: Sequence[np.ndarray], regions: Sequence[Region]) -> Tensor:
        cuts = np.stack([r.cut(rgb, SIDE) for rgb, r in zip(pictures, regions, strict=True)])
        return torch.from_numpy(cuts).to(self._device).permute(0, 3, 1, 2).float() / 255
