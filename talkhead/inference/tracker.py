"""Keypoints of one driving video, led by the optical flow from its first picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from talkhead.models import Network
from talkhead.models.codebook import CodebookModel
from talkhead.motion.optical_flow import Flow, match, on_grid, small_grey
from talkhead.structs import Keypoints


@dataclass(frozen=True, eq=False)
class Reference:
    """The picture from which flow is measured.

    grey: uint8 (s, s). small: (1, 3, h, w), as dense motion sees it. keypoints: a batch of one.
    """

    grey: np.ndarray
    small: Tensor
    keypoints: Keypoints


class KeypointTracker:
    """Follows one driving video, picture after picture, in their order.

    The first picture is the reference: nothing drifts away from it. Its flow to each is sought
    anew, and from that to the picture before; the better one counts.
    """

    def __init__(self, model: Network) -> None:
        assert isinstance(model, CodebookModel)
        self._model = model
        self._size = model.config.dense_motion.size
        self._reference: Reference | None = None
        self._flow: Flow | None = None

    def __call__(self, found: Keypoints, images: Tensor) -> Keypoints:
        """The keypoints found in the next pictures, (B, 3, S, S) in [0, 1], led by the flow."""
        greys = list(small_grey(images.permute(0, 2, 3, 1) * 255).byte().cpu().numpy())
        if self._reference is None:
            self._reference = Reference(greys[0], self._model.see_small(images[:1]), found[:1])
        reference, count = self._reference, len(greys)
        places, trust = on_grid([self._follow(reference.grey, grey) for grey in greys], self._size)
        return self._model.track(
            found,
            reference.keypoints.expand(count),
            reference.small.expand(count, -1, -1, -1),
            places.to(images.device),
            trust.to(images.device),
        )

    def _follow(self, first: np.ndarray, grey: np.ndarray) -> Flow:
        flow = match(first, grey)
        if self._flow is not None:
            flow = max(flow, match(first, grey, self._flow), key=lambda each: each.trust.mean())
        self._flow = flow
        return flow
