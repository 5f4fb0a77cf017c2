"""The equivariance loss of keypoints under a known warp."""

from __future__ import annotations

import torch
from torch import Tensor

from talkhead.models.grid import inverse_2x2, matmul_2x2
from talkhead.structs import Keypoints
from talkhead.training.data.random_warp import RandomWarp


def equivariance(found: Keypoints, moved: Keypoints, change: RandomWarp) -> dict[str, Tensor]:
    """Distance of keypoints from where the warp puts those of the warped picture.

    found: keypoints of the picture; moved: of the picture as `change.apply` warps it.
    """
    losses = {"equivariance_value": (found.value - change(moved.value)).abs().mean()}
    if found.jacobian is not None and moved.jacobian is not None:
        transported = matmul_2x2(change.jacobian(moved.value), moved.jacobian)
        product = matmul_2x2(inverse_2x2(found.jacobian), transported)
        identity = torch.eye(2, device=product.device)
        losses["equivariance_jacobian"] = (identity - product).abs().mean()
    return losses
