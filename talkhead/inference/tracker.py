"""Keypoints of one driving video, led by the optical flow between its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from talkhead.models import Network
from talkhead.models.codebook import CodebookModel
from talkhead.motion.optical_flow import optical_flow, small_grey
from talkhead.structs import Keypoints

FRESH = 0.25  # of what is seen in a picture alone; the rest goes on from the picture before


@dataclass(frozen=True, eq=False)
class SeenFrame:
    """A picture as optical flow sees it, grey, uint8 (s, s), and its keypoints, a batch of one."""

    grey: np.ndarray
    keypoints: Keypoints


class KeypointTracker:
    """Follows one driving video, picture after picture, in their order.

    The first picture is the reference: nothing drifts away from it. From one picture to the next
    keypoints go on with the flow, which takes what a detector trembles and costs no delay.
    """

    def __init__(self, model: Network) -> None:
        assert isinstance(model, CodebookModel)
        self._model = model
        self._size = model.config.dense_motion.size
        self._first: SeenFrame | None = None
        self._last: SeenFrame | None = None

    def __call__(self, found: Keypoints, pictures: Sequence[np.ndarray]) -> Keypoints:
        """The keypoints found in the next pictures, uint8 (S, S, 3), led by the flow."""
        greys = list(small_grey(torch.from_numpy(np.stack(pictures))).byte().numpy())
        if self._first is None or self._last is None:
            self._first = self._last = SeenFrame(greys[0], found[:1])
        first, led = self._first, list[Keypoints]()
        flow = optical_flow([(first.grey, grey) for grey in greys], self._size)
        seen = self._model.track(found, first.keypoints, *flow)
        for number, grey in enumerate(greys):
            own = seen[number : number + 1]
            flow = optical_flow([(self._last.grey, grey)], self._size)
            carried = self._model.track(own, self._last.keypoints, *flow)
            led.append(_mixed(carried, own, FRESH))
            self._last = SeenFrame(grey, led[-1])
        return replace(
            found,
            value=torch.cat([each.value for each in led]),
            jacobian=torch.cat([each.jacobian for each in led if each.jacobian is not None]),
        )


def _mixed(first: Keypoints, second: Keypoints, share: float) -> Keypoints:
    """Of two sets of keypoints with jacobians: `share` of it the second, the mesh the first's."""
    assert first.jacobian is not None
    assert second.jacobian is not None
    return replace(
        first,
        value=torch.lerp(first.value, second.value, share),
        jacobian=torch.lerp(first.jacobian, second.jacobian, share),
    )
