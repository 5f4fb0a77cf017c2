"""The driving frame that relative motion is measured from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.motion.expression import expression_and_pose
from talkhead.motion.transfer import SMALLEST_AREA, hull_area
from talkhead.structs import Keypoints, is_known


def closest_frame(source: Keypoints, driving: Keypoints, landmarks: bool = False) -> int:
    """Index of the driving frame whose face is closest to the source's.

    landmarks: the keypoints are those of `head_pose`; expression and pose are compared, whoever's
    face it is. Otherwise keypoints are centred and divided by sqrt(hull area), so that neither
    place nor size of the face matters. Squared differences are summed. Frames in which keypoints
    span no area are skipped, and so are those without a face mesh where others have one: motion of
    meshes starts from the anchor's.

    Raises TalkheadError where the source spans none, and when no frame is left.
    """
    describe = expression_and_pose if landmarks else _normalise
    wanted = describe(source[:1])
    if not bool(torch.isfinite(wanted).all()):
        raise TalkheadError(
            "the source's keypoints span no area, so no frame can be compared with it; "
            "choose the anchor with --anchor N"
        )
    distances = (describe(driving) - wanted).square().flatten(1).sum(1)
    distances = torch.nan_to_num(distances, nan=math.inf)
    if driving.mesh is not None and bool((seen := is_known(driving.mesh)).any()):
        distances = torch.where(seen, distances, math.inf)
    best = int(distances.argmin())
    if not math.isfinite(distances[best]):
        raise TalkheadError("no driving frame can serve as the anchor; choose one with --anchor N")
    return best


def _normalise(keypoints: Keypoints) -> Tensor:
    """Centre (B, K, 2) and divide by sqrt(hull area), on the CPU; NaN where there is no area."""
    value = keypoints.value.detach().float().cpu()
    areas = torch.tensor([hull_area(points) for points in value])
    areas = torch.where(areas > SMALLEST_AREA, areas, torch.nan)
    return (value - value.mean(dim=1, keepdim=True)) / areas.sqrt()[:, None, None]
