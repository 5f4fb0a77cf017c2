"""Keypoints that follow the optical flow from a reference picture of the same person.

A detector that sees one picture at a time is off by a few pixels, always in another way from person
to person. Between two pictures of one person optical flow sees much more. The deformation from one
to the other is the sum of the keypoints' affine motions, each by its mask; while the masks are
held, it is linear in these motions, so those nearest to the flow solve one least-squares problem,
and keypoints and jacobians are set to move so. Where the flow is hardly to be trusted, and where it
says nothing of a keypoint, they stay near the detector's [own experiments].
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from talkhead.models.grid import identity_grid, inverse_2x2, matmul_2x2
from talkhead.structs import Keypoints

ROUNDS = 2  # of masks anew, and motions by them
# Ties to the detector's own motions, as shares of the picture: of places, and of linear parts.
PLACE_TIE, LINEAR_TIE = 2e-3, 1e-4
LEAST_TRUST = 0.1  # that the flow is given anywhere in a picture
# Mean trust up to which pictures show nothing in common, as after a cut, and from which they do.
NOTHING_IN_COMMON, IN_COMMON = 0.1, 0.2
LARGEST_CHANGE = 4.0  # of the area by the fitted motion over the detector's, or its inverse


def follow_flow(
    found: Keypoints,
    reference: Keypoints,
    mask: Tensor,
    deformation: Tensor,
    places: Tensor,
    trust: Tensor,
    which: list[int],
) -> Keypoints:
    """Keypoints (B, K) of pictures whose flow to the reference's picture is known.

    reference: (B, K). mask, deformation: as in `DenseMotion`, of the reference's picture moved to
    them as they were found. places: (B, h, w, 2) in [-1, 1], where the pictures' points lie in the
    reference's. trust: (B, h, w) in [0, 1]; without any, keypoints stay. which: those that follow.
    """
    assert found.jacobian is not None
    assert reference.jacobian is not None
    value, jacobian = found.value.float()[:, which], found.jacobian.float()[:, which]
    start = reference.jacobian.float()[:, which]
    motion = matmul_2x2(start, inverse_2x2(jacobian))
    grid = identity_grid(mask.shape[-2], mask.shape[-1], device=value.device)
    offsets = grid - value[:, :, None, None]
    theirs = mask.float()[:, 1:][:, which, ..., None]  # the first is the background's
    terms = torch.cat([theirs * offsets, theirs], dim=-1)  # (B, K, h, w, 3)
    change = _fit(terms, trust.float(), places - deformation)
    fitted = motion + change[:, :, :2].transpose(-1, -2)
    growth = torch.linalg.det(fitted) / torch.linalg.det(motion)
    sane = ((growth > 1 / LARGEST_CHANGE) & (growth < LARGEST_CHANGE))[..., None, None]
    back = inverse_2x2(torch.where(sane, fitted, motion))
    moved = value - matmul_2x2(back, change[:, :, 2, :, None])[..., 0]
    led, turned = found.value.float().clone(), found.jacobian.float().clone()
    led[:, which] = torch.where(sane[..., 0], moved, value)
    turned[:, which] = torch.where(sane, matmul_2x2(back, start), jacobian)
    return replace(found, value=led, jacobian=turned)


def _fit(terms: Tensor, trust: Tensor, miss: Tensor) -> Tensor:
    """Changes of all motions (B, K, 3, 2), two rows linear and one of places, nearest to `miss`.

    terms: (B, K, h, w, 3), what a pixel makes of each. trust: (B, h, w). miss: (B, h, w, 2). Ridge
    regression in float32 under any autocast.
    """
    count = terms.shape[1]
    with torch.autocast(terms.device.type, enabled=False):
        x = terms.permute(0, 2, 3, 1, 4).flatten(1, 2).flatten(2)  # (B, h w, 3 K)
        common = (trust.mean((1, 2)) - NOTHING_IN_COMMON) / (IN_COMMON - NOTHING_IN_COMMON)
        weight = trust.flatten(1).clamp(min=LEAST_TRUST) * common.clamp(0, 1)[:, None]
        weighted = (x * weight[..., None] / x.shape[1]).transpose(1, 2)
        ties = torch.diag(x.new_tensor([LINEAR_TIE, LINEAR_TIE, PLACE_TIE]).repeat(count))
        changes = torch.linalg.solve_ex(weighted @ x + ties, weighted @ miss.flatten(1, 2)).result
    return changes.unflatten(1, (count, 3))
