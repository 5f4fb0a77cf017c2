"""Keypoints that follow the optical flow from a reference picture of the same person.

A detector that sees one picture at a time is off by a few pixels, always in another way from person
to person. Between two pictures of one person optical flow sees much more: an affine map is fitted
to it around every keypoint, and the keypoint is set where that map says that it came from the
reference's. Where the flow is not to be trusted, the detector's stays [own experiments].
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.models.grid import identity_grid, inverse_2x2, matmul_2x2, sample
from talkhead.structs import Keypoints

SAMPLES = 7  # places a side at which the flow is read around a keypoint, out to two radii
RADIUS = 0.4  # of these places, over `prior_sigmas`
TIES = (0.2, 0.2, 0.2)  # to the detector's own map: of its linear part, and of its place
LARGEST_CHANGE = 4.0  # of the area by the fitted map over the detector's, or its inverse


def track(
    found: Keypoints, reference: Keypoints, places: Tensor, trust: Tensor, radii: Tensor
) -> Keypoints:
    """Keypoints (B, K) of pictures whose flow to the reference's picture is known.

    reference: (B, K) or (1, K). places: (B, h, w, 2) in [-1, 1], where the pictures' points lie in
    the reference's. trust: (B, h, w) in [0, 1]; without any, keypoints stay as they were found.
    radii: (K,) of the surroundings, in grid units.
    """
    assert found.jacobian is not None
    assert reference.jacobian is not None
    start = reference.value.float().expand_as(found.value)
    offsets = identity_grid(SAMPLES, SAMPLES, device=radii.device).flatten(0, 1) * 2  # in radii
    near = offsets * radii[:, None, None]  # (K, n, 2)
    looks = found.value.float()[:, :, None] + near
    seen = torch.cat([places, trust[..., None]], dim=-1).float().permute(0, 3, 1, 2)
    seen = sample(seen, looks, align_corners=True)
    bell = torch.exp(-offsets.square().sum(-1) / 2)
    weight = bell * seen[:, 2] * (looks.abs() <= 1).all(-1)  # (B, K, n)
    detected = matmul_2x2(reference.jacobian, inverse_2x2(found.jacobian))
    expected = matmul_2x2(detected[:, :, None], near[..., None])[..., 0] + start[:, :, None]
    miss = seen[:, :2].permute(0, 2, 3, 1) - expected
    change = _fit(offsets, weight, miss, bell.sum())
    fitted = detected + change[:, :, :2].transpose(-1, -2) / radii[:, None, None]
    growth = torch.linalg.det(fitted) / torch.linalg.det(detected)
    sane = ((growth > 1 / LARGEST_CHANGE) & (growth < LARGEST_CHANGE))[..., None, None]
    back = inverse_2x2(torch.where(sane, fitted, detected))
    moved = found.value.float() - matmul_2x2(back, change[:, :, 2, :, None])[..., 0]
    return replace(
        found,
        value=torch.where(sane[..., 0], moved, found.value.float()),
        jacobian=torch.where(sane, matmul_2x2(back, reference.jacobian), found.jacobian.float()),
    )


def part(keypoints: Keypoints, which: list[int]) -> Keypoints:
    """Some of the keypoints, with their jacobians."""
    assert keypoints.jacobian is not None
    return Keypoints(keypoints.value[:, which], keypoints.jacobian[:, which])


def _fit(offsets: Tensor, weight: Tensor, miss: Tensor, full: Tensor) -> Tensor:
    """The affine maps (B, K, 3, 2), two rows linear and one of places, nearest to `miss`.

    offsets: (n, 2). weight: (B, K, n), all of it `full` where everything is sure. miss:
    (B, K, n, 2). Ridge regression in float32 under any autocast.
    """
    with torch.autocast(offsets.device.type, enabled=False):
        terms = F.pad(offsets, (0, 1), value=1.0)
        ties = torch.diag(terms.new_tensor(TIES)) * full
        square = torch.einsum("bkn,np,nq->bkpq", weight, terms, terms) + ties
        wanted = torch.einsum("bkn,np,bknq->bkpq", weight, terms, miss)
        return torch.linalg.solve_ex(square, wanted).result
