"""Face meshes whose lips part."""

from __future__ import annotations

import torch
from torch import Tensor

from talkhead.topology import INNER_LIPS, OUTER_LIPS


def turned(mesh: Tensor, degrees: float) -> Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    matrix = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()]).view(2, 2)
    return mesh @ matrix


def parted(face: Tensor, amount: float) -> Tensor:
    """The mesh with lips apart by an amount, in the middle; 0: closed."""
    face, arch = face.clone(), 1 - torch.linspace(-1, 1, 9).square()
    gape = torch.stack([torch.zeros(9), amount / 2 * arch], dim=-1)
    for ring in (INNER_LIPS, OUTER_LIPS):
        above, below = list(ring[11:][::-1]), list(ring[1:10])
        thickness = (face[:, below] - face[:, above]) / 2 * float(ring is OUTER_LIPS)
        middle = (face[:, INNER_LIPS[11:][::-1]] + face[:, INNER_LIPS[1:10]]) / 2
        face[:, above], face[:, below] = middle - thickness - gape, middle + thickness + gape
    return face
