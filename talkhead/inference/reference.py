"""The driving picture that the others of its video are matched with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from talkhead.models import Network
from talkhead.models.codebook import CodebookModel
from talkhead.motion.optical_flow import optical_flow, small_grey
from talkhead.structs import Keypoints


@dataclass(frozen=True, eq=False)
class Reference:
    """A driving picture as optical flow sees it, grey, and its keypoints, a batch of one."""

    grey: np.ndarray
    keypoints: Keypoints

    @classmethod
    def of(cls, picture: np.ndarray, keypoints: Keypoints) -> Reference:
        """From a picture uint8 (S, S, 3)."""
        return cls(as_grey([picture])[0], keypoints)

    def follow(self, model: Network, found: Keypoints, pictures: Sequence[np.ndarray]) -> Keypoints:
        """Keypoints that a model found in pictures, led by their flow from this one."""
        assert isinstance(model, CodebookModel)
        pairs = [(self.grey, other) for other in as_grey(pictures)]
        places, trust = optical_flow(pairs, model.config.dense_motion.size)
        return model.track(found, self.keypoints, places, trust)


def as_grey(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures uint8 (S, S, 3) as optical flow sees them, uint8 (B, s, s)."""
    return small_grey(torch.from_numpy(np.stack(pictures))).byte().numpy()
