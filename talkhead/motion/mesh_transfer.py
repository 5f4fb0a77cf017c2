"""From a driver's face mesh to the source's: head turned in space, expression carried over.

Meshes are (B, 478, 3) in the units of keypoints: x, y and depth, which grows away from the viewer
and starts anywhere. Unknown ones have all points at `NOWHERE`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from talkhead.motion.head_pose import led_by_turn
from talkhead.structs import NOWHERE, Keypoints, head_points, is_known
from talkhead.topology import RIGID_POINTS


class MeshTransfer:
    """Moves a source's mesh as a driver's moves away from an anchor, meshes (1, 478, 3) each.

    The rotation, growth and shift (times `scale`) of the driver's skull since the anchor are done
    to the source's head; what the driver's face does within its head is turned into the source's
    head and added, times `scale`. Unknown where any of the three is.
    """

    def __init__(self, anchor: Tensor, source: Tensor, scale: float) -> None:
        self._anchor, self._source, self._scale = anchor, source, scale
        self._known = bool(is_known(anchor) & is_known(source))
        self._carry, _, _ = align(anchor, source)  # from the anchor's head to the source's

    def __call__(self, driving: Tensor) -> Tensor:
        """Driving meshes (B, 478, 3) -> those to be drawn, of the same shape."""
        if not self._known:
            return torch.full_like(driving, NOWHERE)
        rotation, growth, shift = align(self._anchor, driving)
        start = middle(self._anchor)
        within = (driving - start - shift) @ rotation / growth - (self._anchor - start)
        centre = middle(self._source)
        face = self._source - centre + self._scale * within @ self._carry.mT
        # The driver's rotation happens about axes of the picture, whoever's head it is.
        moved = growth * face @ rotation.mT + centre + self._scale * shift
        return torch.where(is_known(driving)[:, None, None], moved, NOWHERE)


def follow_mesh(moved: Keypoints, source: Keypoints) -> Tensor:
    """Places (B, K, 2) of a source's keypoints that are moved with their mesh, led by it.

    Keypoints turn a mean head. At 30 to 46 degrees they lay 10 to 15 of 256 pixels beside the mesh,
    which is the source's own: noses are pressed against cheeks. But a mesh trembles, so that
    keypoints are followed where a head turns little from the source's view [own experiments].
    """
    assert moved.mesh is not None
    assert source.mesh is not None
    mesh = source.mesh.float()
    rotation, _, _ = align(mesh, moved.mesh)
    share = torch.where(is_known(moved.mesh), led_by_turn(rotation), 0)[:, None, None]
    places = head_points(moved.mesh) - head_points(mesh)
    places = places + source.value[:, : places.shape[1]].float()
    value = moved.value.clone()
    value[:, : places.shape[1]].lerp_(places, share)
    return value


def align(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation (B, 3, 3), growth (B, 1, 1) and shift (B, 1, 3) of the skull between meshes.

    end = growth (start - m) rotation^T + m + shift, with m the middle of `start`. Least squares
    over the points that expressions leave alone (Umeyama 1991).
    """
    first, second = middle(start), middle(end)
    a, b = start[:, RIGID_POINTS] - first, end[:, RIGID_POINTS] - second
    u, _, vh = torch.linalg.svd(b.mT @ a)
    mirror = torch.ones(len(u), 3, device=u.device)
    mirror[:, 2] = torch.det(u @ vh).sign()
    rotation = u @ (mirror[:, :, None] * vh)
    growth = (b * (a @ rotation.mT)).sum((1, 2)) / a.square().sum((1, 2)).clamp(min=1e-9)
    return rotation, growth[:, None, None], second - first


def middle(mesh: Tensor) -> Tensor:
    """Of the points that expressions leave alone, (B, 1, 3)."""
    return mesh[:, RIGID_POINTS].mean(1, keepdim=True)
