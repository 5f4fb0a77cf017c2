"""Rescale the jacobians of eyes and lips to vary as much as eyes and lips do.

A detector that learned from few faces is timid: where lids and lips move, its jacobians follow by
about half, and so do the pictures drawn with them. Scaling them back takes nothing away: on people
it never saw, L1 stayed the same while eyes opened and closed nearly twice as far [own
experiments].
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from talkhead.data.meshes import sampled
from talkhead.errors import TalkheadError
from talkhead.models import Network
from talkhead.topology import EXPRESSIVE_GROUPS
from talkhead.training.compute import Compute
from talkhead.training.data.landmark_teacher import LandmarkTeacher
from talkhead.training.data.library import Library
from talkhead.training.modes import evaluating

log = logging.getLogger(__name__)

FRAMES = 40  # of every clip, at most
BATCH = 16
LARGEST_FACTOR = 2.5
FLOOR = 0.3  # share of its mean below which no value may come: an inverse of less tears the picture
FOLLOWING = 0.5  # correlation with what was taught below which a keypoint is left alone
VERTICAL = 3  # which of a jacobian's four numbers says how far something is open


@torch.inference_mode()
def rescale_jacobians(
    model: Network, library: Library, teacher: LandmarkTeacher, compute: Compute
) -> list[float]:
    """Scale the vertical part of the jacobians at `EXPRESSIVE_GROUPS` about its mean, in place.

    The factor of each keypoint, 1 to `LARGEST_FACTOR`, undoes the slope between found and taught
    values within the library's clips; it is 1 where they hardly agree, and leaves all values found
    above `FLOOR` of their mean. Returns the factors.
    """
    teacher = teacher.to(torch.device("cpu"))
    moments = torch.zeros(3, len(EXPRESSIVE_GROUPS), dtype=torch.float64)
    values = []
    with evaluating(model):
        for pictures, landmarks in _samples(library):
            found = torch.cat([_vertical(model, part, compute) for part in pictures.split(BATCH)])
            taught = teacher(landmarks).jacobian
            assert taught is not None
            values.append(found)
            y, x = (rows - rows.mean(0) for rows in (found, _rows(taught)))
            moments += torch.stack([(x * y).sum(0), x.square().sum(0), y.square().sum(0)])
    if not values:
        return [1.0] * len(EXPRESSIVE_GROUPS)
    product, taught_square, found_square = moments
    follows = product > FOLLOWING * (taught_square * found_square).sqrt()
    found = torch.cat(values)
    mean = found.mean(0)
    room = (1 - FLOOR) * mean / (mean - found.min(0).values).clamp(min=1e-6)
    factors = (
        torch.where(follows, taught_square / product, 1.0).minimum(room).clamp(1.0, LARGEST_FACTOR)
    )
    head = model.keypoint_detector.jacobian
    assert isinstance(head, nn.Conv2d)
    _scale(head, factors, mean)
    return factors.tolist()


def _samples(library: Library) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures uint8 (n, S, S, 3) and landmarks (n, 478, 2) of clips with at least two known."""
    pairs = zip(library.frames, library.landmarks, strict=True)
    for frames, meshes in sampled([(f, m) for f, m in pairs if m is not None]):
        landmarks = meshes[:]
        known = np.flatnonzero(np.isfinite(landmarks).all((1, 2)))
        if len(known) > 1:
            some = known[:: -(-len(known) // FRAMES)]
            try:
                pictures = frames.take(some.tolist())
            except TalkheadError as error:
                log.warning("left out when Jacobians are rescaled: %s", error)
                continue
            yield pictures, torch.from_numpy(landmarks[some][..., :2])


def _vertical(model: Network, pictures: Tensor, compute: Compute) -> Tensor:
    images = pictures.to(compute.device).permute(0, 3, 1, 2).float() / 255
    jacobian = model.detect(images).jacobian
    assert jacobian is not None
    return _rows(jacobian.cpu())


def _rows(jacobian: Tensor) -> Tensor:
    """(B, K, 2, 2) -> the vertical part at `EXPRESSIVE_GROUPS`, (B, E) in double precision."""
    return jacobian[:, list(EXPRESSIVE_GROUPS)].flatten(2)[..., VERTICAL].double()


def _scale(head: nn.Conv2d, factors: Tensor, mean: Tensor) -> None:
    """Let a head give mean + factor (y - mean) where it gave y."""
    assert head.bias is not None
    for keypoint, factor, middle in zip(EXPRESSIVE_GROUPS, factors, mean, strict=True):
        row = 4 * keypoint + VERTICAL
        head.weight[row] *= factor
        head.bias[row] = factor * head.bias[row] + (1 - factor) * middle
