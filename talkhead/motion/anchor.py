"""The driving frame that relative motion is measured from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.motion.expression import expression_and_pose, gaps
from talkhead.motion.transfer import SMALLEST_AREA, hull_area
from talkhead.structs import Keypoints, iris_places, is_known

BLINK = 0.6  # of how far the driver's lids usually are apart: nearer, its eyes are shutting
SHUT = 0.025  # heights of the face: a source whose lids are nearer has its eyes shut
LIPS_ALIKE = 0.02  # heights of the face by which lips are apart otherwise: counts as 1
GAZE_ALIKE = 0.05  # widths of an eye by which irises lie elsewhere: likewise


def closest_frame(source: Keypoints, driving: Keypoints, landmarks: bool = False) -> int:
    """Index of the driving frame whose face is closest to the source's.

    landmarks: the keypoints are those of `head_pose`; expression and pose are compared, whoever's
    face it is. Otherwise keypoints are centred and divided by sqrt(hull area), so that neither
    place nor size of the face matters. Squared differences are summed. Frames in which keypoints
    span no area are skipped, and so are those without a face mesh where others have one: motion of
    meshes starts from the anchor's.

    Of a head that is known, meshes also say how far lips are apart and where irises look, which
    counts beside the pose: what the anchor does otherwise than the source stays in all frames. A
    frame in which eyes shut is never the anchor, unless the source's own are shut: it looks like
    narrow eyes, and every other frame would then open them.

    Raises TalkheadError where the source spans none, and when no frame is left.
    """
    source = source[:1]
    describe = expression_and_pose if landmarks else _normalise
    wanted = describe(source)
    if not bool(torch.isfinite(wanted).all()):
        raise TalkheadError(
            "the source's keypoints span no area, so no frame can be compared with it; "
            "choose the anchor with --anchor N"
        )
    distances = (describe(driving) - wanted).square().flatten(1).sum(1)
    distances = torch.nan_to_num(distances, nan=math.inf)
    if driving.mesh is not None and bool((seen := is_known(driving.mesh)).any()):
        distances = torch.where(seen, distances, math.inf)
        if landmarks:
            told = distances[seen] + _unlike_meshes(source, driving.mesh[seen])
            distances[seen] = told if bool(told.isfinite().any()) else distances[seen]
    best = int(distances.argmin())
    if not math.isfinite(distances[best]):
        raise TalkheadError("no driving frame can serve as the anchor; choose one with --anchor N")
    return best


def _unlike_meshes(source: Keypoints, meshes: Tensor) -> Tensor:
    """What to add to distances of a driver's meshes (B, 478, 3), (B,), see `closest_frame`."""
    lips, lids = gaps(meshes)
    assert lips is not None
    assert lids is not None
    opening = lids.mean(1)
    blinks = opening < BLINK * opening.nanquantile(0.5)
    own_lips, own_lids = gaps(source.mesh)
    if source.mesh is None or own_lips is None or own_lids is None:
        return torch.where(blinks, math.inf, 0.0)
    if bool((own_lids < SHUT).all()):
        blinks = torch.zeros_like(blinks)
    gaze = iris_places(meshes.float()).mean(1) - iris_places(source.mesh.float()).mean(1)
    unlike = torch.stack([(lips - own_lips) / LIPS_ALIKE, gaze / GAZE_ALIKE])
    unlike = unlike.square().sum(0).nan_to_num(nan=math.inf, posinf=math.inf)
    return torch.where(blinks, math.inf, unlike)


def _normalise(keypoints: Keypoints) -> Tensor:
    """Centre (B, K, 2) and divide by sqrt(hull area), on the CPU; NaN where there is no area."""
    value = keypoints.value.detach().float().cpu()
    areas = torch.tensor([hull_area(points) for points in value])
    areas = torch.where(areas > SMALLEST_AREA, areas, torch.nan)
    return (value - value.mean(dim=1, keepdim=True)) / areas.sqrt()[:, None, None]
