"""The driving frame that relative motion is measured from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.motion.expression import expression_and_pose
from talkhead.motion.transfer import _SMALLEST_AREA, hull_area
from talkhead.structs import Keypoints


class AnchorSearch:
    """The driving frame whose face is closest to the source's, from a stream of keypoints.

    landmarks: the keypoints are those of `head_pose`; expression and pose are compared, whoever's
    face it is. Otherwise keypoints are centred and divided by sqrt(hull area), so that neither
    place nor size of the face matters. Squared differences are summed. Frames in which keypoints
    span no area are skipped.
    """

    def __init__(self, source: Keypoints, landmarks: bool = False) -> None:
        self._describe = expression_and_pose if landmarks else _normalise
        self._source = self._describe(source[:1])
        if not bool(torch.isfinite(self._source).all()):
            raise TalkheadError(
                "the source's keypoints span no area, so no frame can be compared with it; "
                "choose the anchor with --anchor N"
            )
        self._seen = 0
        self._distance = math.inf
        self._best = -1
        self._keypoints: Keypoints | None = None

    def update(self, keypoints: Keypoints) -> None:
        """Look at the next frames of the video, a batch in order."""
        distances = (self._describe(keypoints) - self._source).square().flatten(1).sum(1)
        distances = torch.nan_to_num(distances, nan=math.inf)
        index = int(distances.argmin())
        if float(distances[index]) < self._distance:
            self._distance = float(distances[index])
            self._best = self._seen + index
            self._keypoints = keypoints[index : index + 1].map(Tensor.clone)
        self._seen += len(keypoints)

    @property
    def best(self) -> int:
        """Index of the closest frame so far. Raises TalkheadError when there was none."""
        self._require()
        return self._best

    @property
    def keypoints(self) -> Keypoints:
        """The keypoints of the closest frame, a batch of one. Raises like `best`."""
        return self._require()

    def _require(self) -> Keypoints:
        if self._keypoints is None:
            raise TalkheadError(
                "no driving frame can serve as the anchor; choose one with --anchor N"
            )
        return self._keypoints


def _normalise(keypoints: Keypoints) -> Tensor:
    """Centre (B, K, 2) and divide by sqrt(hull area), on the CPU; NaN where there is no area."""
    value = keypoints.value.detach().float().cpu()
    areas = torch.tensor([hull_area(points) for points in value])
    areas = torch.where(areas > _SMALLEST_AREA, areas, torch.nan)
    return (value - value.mean(dim=1, keepdim=True)) / areas.sqrt()[:, None, None]
