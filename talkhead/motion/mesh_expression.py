"""The same as `expression` for face meshes: strengths of its parts, and what faces can do.

Meshes are (B, 478, 3) in the units of keypoints, see `mesh_transfer`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.motion.expression import OPENING, bounded, gap_change
from talkhead.motion.head_pose import limit_turn, rotation_power
from talkhead.motion.mesh_transfer import align, middle
from talkhead.structs import Strengths, iris_places, is_known
from talkhead.topology import (
    CHIN,
    FOREHEAD,
    IRISES,
    LEFT_EYE,
    LEFT_EYE_REFINED,
    LEFT_IRIS,
    LOWER_LIDS,
    LOWER_LIP,
    MESH_POINTS,
    RIGHT_EYE,
    RIGHT_EYE_REFINED,
    RIGHT_IRIS,
    RIGID_POINTS,
    UPPER_LIDS,
    UPPER_LIP,
)

# How far the lids of an eye are apart, in heights of the face: at least, as a rule, and at most. A
# source's lids open as far as the rule, or `WIDER` times as far as they are: narrow eyes that are
# pulled further open turn tall and black [own experiments].
LIDS = (0.0, 0.05, 0.085)
WIDER = 1.5
# Where irises lie between the corners of their eyes: 99 % of 5767 meshes of 117 clips.
ASIDE = (0.28, 0.75)
EYES = (  # all that moves with an eye, its iris, its ring, and the middles of its lids
    (LEFT_EYE_REFINED, slice(LEFT_IRIS, RIGHT_IRIS), LEFT_EYE, UPPER_LIDS[0], LOWER_LIDS[0]),
    (RIGHT_EYE_REFINED, slice(RIGHT_IRIS, MESH_POINTS), RIGHT_EYE, UPPER_LIDS[1], LOWER_LIDS[1]),
)
_ELSEWHERE = {
    *RIGID_POINTS,
    *LEFT_EYE_REFINED,
    *RIGHT_EYE_REFINED,
    *range(LEFT_IRIS, MESH_POINTS),
}
MOUTH = tuple(point for point in range(MESH_POINTS) if point not in _ELSEWHERE)
# What opens and closes: its points, the middles of its upper and lower edge, and its bounds. Lips
# open as far as lips do, whatever the source's are.
GAPS = (
    (MOUTH, UPPER_LIP, LOWER_LIP, (*OPENING, OPENING[1])),
    *((ring, upper, lower, LIDS) for _, _, ring, upper, lower in EYES),
)

NEARLY_SHUT = 0.02  # heights of the face: nearer than this, an anchor's gap says little
MOST_CLOSING = 2.0  # times what the driver's gap closes by


class MeshExpression:
    """Changes the moved mesh of a source to other strengths, and to what faces can do.

    source: (1, 478, 3). The skull is the head; eyes are what lies around them, brows included;
    gaze is what irises do beyond that; all the rest of the face belongs to the mouth.
    anchor: (1, 478, 3), the driver's face that relative motion is measured from, and scale, how
    much larger the source's is. Gaps close by the share that the driver's do, within limits: wide
    eyes shut when narrow ones do.
    """

    def __init__(
        self,
        source: Tensor,
        strengths: Strengths,
        anchor: Tensor | None = None,
        scale: float = 1.0,
    ) -> None:
        self._source, self._strengths = source, strengths
        axis = source[:, CHIN] - source[:, FOREHEAD]
        self._height = axis.norm(dim=1)
        self._down = axis / self._height[:, None]
        self._centre = middle(source)
        self._start = source - self._centre
        self._place = (source @ self._down[..., None])[..., 0]
        share = torch.full((MESH_POINTS, 1), strengths.mouth)
        share[list(RIGID_POINTS)] = strengths.head
        for around, *_ in EYES:
            share[list(around)] = strengths.eyes
        self._extra = share - 1
        self._closing = [1.0] * len(GAPS)
        if anchor is not None and bool(is_known(anchor).all()):
            least = NEARLY_SHUT * float(self._height)
            self._closing = [
                min(max(own, 0.0) / max(scale * theirs, least), MOST_CLOSING)
                for own, theirs in zip(_openings(source), _openings(anchor.float()), strict=True)
            ]

    def __call__(self, moved: Tensor) -> Tensor:
        """Meshes to be drawn -> the same, changed; what need not change is left exactly."""
        head, start = self._strengths.head, self._start
        rotation, growth, shift = align(self._source, moved)
        change = (moved - self._centre - shift) @ rotation / growth - start
        wanted = self._limited(change + self._stronger(change))
        wanted = self._within_eyes(wanted)
        turn, _ = limit_turn(rotation if head == 1 else rotation_power(rotation, head))
        face = growth**head * (start + wanted) @ turn.mT - growth * (start + change) @ rotation.mT
        drawn = moved + (face + (head - 1) * shift)
        return torch.where(is_known(moved)[:, None, None], drawn, moved)

    def _stronger(self, change: Tensor) -> Tensor:
        """What strengths add to changes (B, 478, 3) within the head."""
        extra = self._extra * change
        for _, iris, ring, *_ in EYES:
            eye = change[:, list(ring)].mean(1, keepdim=True)
            rest = change[:, iris] - eye
            gaze, eyes = self._strengths.gaze - 1, self._strengths.eyes - 1
            extra[:, iris] = gaze * rest + eyes * eye
        return extra

    def _within_eyes(self, change: Tensor) -> Tensor:
        """Changes of which no iris looks further aside than irises do."""
        face = self._start + change
        places, own = iris_places(face), iris_places(self._start)
        missing = bounded(places, own, *ASIDE) - places
        change = change.clone()
        for number, ((_, left, right), (_, iris, *_)) in enumerate(zip(IRISES, EYES, strict=True)):
            axis = face[:, right] - face[:, left]
            change[:, iris] += missing[:, number, None, None] * axis[:, None]
        return change

    def _limited(self, change: Tensor) -> Tensor:
        """Changes of which no gap of lips or lids closes or opens further than faces can."""
        place, moved = self._place, (change @ self._down[..., None])[..., 0]
        more = torch.zeros_like(moved)
        for (points, upper, lower, bounds), closing in zip(GAPS, self._closing, strict=True):
            own = place[:, lower] - place[:, upper]
            opened = moved[:, lower] - moved[:, upper]
            wanted = own + torch.where(opened < 0, closing * opened, opened)
            least, usual, most = (bound * self._height for bound in bounds)
            most = torch.minimum(most, torch.maximum(usual, WIDER * own))
            part = list(points)
            below = place[0, part] > (place[0, lower] + place[0, upper]) / 2
            at = points.index(upper), points.index(lower)
            below[at[0]], below[at[1]] = False, True  # of lips that cross, too
            missing = bounded(wanted, own, least, most) - (own + opened)
            more[:, part] += gap_change(moved[:, part], missing, *at, below)
        return change + more[..., None] * self._down[:, None]


def _openings(mesh: Tensor) -> list[float]:
    """How far the `GAPS` of a mesh (1, 478, 3) are apart, in its own units."""
    down = F.normalize(mesh[0, CHIN] - mesh[0, FOREHEAD], dim=0)
    return [float((mesh[0, lower] - mesh[0, upper]) @ down) for _, upper, lower, _ in GAPS]
