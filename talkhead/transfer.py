"""From the driver's keypoints to the keypoints to render."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

import torch
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.head import Turn
from talkhead.structs import Keypoints, Mode

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Transfer:
    """Maps driving keypoints to the keypoints to render, for one source and one anchor frame.

    relative: the change since the anchor, scaled, is added to the source's own pose.
    absolute: the driving keypoints themselves; the anchor is not used.

    source and anchor are batches of one. Without `adapt_scale` the scale is 1, except for
    keypoints without jacobians, where it is always adapted (as TPSMM defines relative motion).
    landmarks: the keypoints are those of `head`; relative motion then turns the head in space.
    Raises TalkheadError when relative motion has no anchor or one whose tilt cannot be undone.
    """

    mode: Mode
    source: Keypoints
    anchor: Keypoints | None = None
    adapt_scale: bool = True
    landmarks: bool = False

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise TalkheadError(f"motion is {' or '.join(get_args(Mode))}, not {self.mode!r}")

    def __call__(self, driving: Keypoints) -> Keypoints:
        """Any batch of driving keypoints to as many keypoints to render, in float32."""
        driving = driving.map(Tensor.float)
        if self.mode == "absolute":
            return driving
        moved = _move(driving, self._anchor, self.source, self.scale, self._tilt)
        if not self.landmarks:
            return moved
        return replace(moved, value=moved.value + self._turn(driving.value))

    @cached_property
    def scale(self) -> float:
        """How much larger the source's face is than the anchor's."""
        if self.mode == "absolute" or not (self.adapt_scale or self.source.jacobian is None):
            return 1.0
        return movement_scale(self.source, self._anchor)

    @cached_property
    def _anchor(self) -> Keypoints:
        if self.anchor is None:
            raise TalkheadError("relative motion needs an anchor frame; use absolute motion")
        return self.anchor.map(Tensor.float)

    @cached_property
    def _turn(self) -> Turn:
        return Turn(self._anchor.value, self.source.value.float(), self.scale)

    @cached_property
    def _tilt(self) -> Tensor | None:
        return _constant_tilt(self.source, self._anchor)


def _move(
    driving: Keypoints, anchor: Keypoints, source: Keypoints, scale: float, tilt: Tensor | None
) -> Keypoints:
    value = (driving.value - anchor.value.float()) * scale + source.value.float()
    if driving.jacobian is None or tilt is None:
        return Keypoints(value)
    return Keypoints(value, driving.jacobian @ tilt)


def _constant_tilt(source: Keypoints, anchor: Keypoints) -> Tensor | None:
    """J_anchor^-1 J_source: the part of (J_driving J_anchor^-1) J_source that stays."""
    if source.jacobian is None or anchor.jacobian is None:
        return None
    return _invert(anchor.jacobian) @ source.jacobian.float()


def movement_scale(source: Keypoints, anchor: Keypoints) -> float:
    """sqrt(convex hull area) of the source's keypoints over that of the anchor's; batches of one.

    1.0, with a warning, when either set of keypoints spans no area.
    """
    areas = [hull_area(keypoints.value[0]) for keypoints in (source, anchor)]
    if not all(math.isfinite(area) and area > _SMALLEST_AREA for area in areas):
        log.warning("keypoints span no area (%.2g and %.2g): motion is not scaled", *areas)
        return 1.0
    return math.sqrt(areas[0] / areas[1])


# In the units of keypoints, where a picture has area 4: below this all points lie on one line.
_SMALLEST_AREA = 1e-8


def hull_area(points: Tensor) -> float:
    """Area of the convex hull of points (K, 2); 0 for fewer than three or points on a line.

    Andrew's monotone chain: a dozen points once per render are not worth a call into scipy.
    """
    rows: list[list[float]] = sorted(points.detach().double().cpu().tolist())
    if not all(math.isfinite(number) for row in rows for number in row):
        return math.nan
    hull: list[list[float]] = []
    for chain in (rows, rows[::-1]):
        start = len(hull)
        for point in chain:
            while len(hull) - start >= 2 and _turn(hull[-2], hull[-1], point) <= 0:
                hull.pop()
            hull.append(point)
        hull.pop()  # the last of one chain is the first of the other
    shifted = hull[1:] + hull[:1]
    return abs(sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(hull, shifted, strict=True))) / 2


def _turn(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    """Positive where the way a, b, c turns left (x to the right, y up)."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _invert(matrices: Tensor) -> Tensor:
    """2x2 inverses in closed form: float32 on every device, none of which needs a solver."""
    a, b, c, d = matrices.float().flatten(-2).unbind(-1)
    determinant = a * d - b * c
    if not bool(torch.all(determinant.abs() > 1e-12)):
        raise TalkheadError(
            "the motion of the anchor frame is degenerate, so no motion can be measured from it; "
            "choose another with --anchor N or use --motion absolute"
        )
    adjugate = torch.stack([d, -b, -c, a], dim=-1).unflatten(-1, (2, 2))
    return adjugate / determinant[..., None, None]


class AnchorSearch:
    """The driving frame whose pose is closest to the source's, from a stream of keypoints.

    Distance: keypoints are centred and divided by sqrt(hull area), so that neither place nor size
    of the face matters; then the squared differences are summed. Frames without area are skipped.
    """

    def __init__(self, source: Keypoints) -> None:
        self._source = _normalise(source.value[:1])
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
        distances = (_normalise(keypoints.value) - self._source).square().sum(dim=(1, 2))
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


def _normalise(value: Tensor) -> Tensor:
    """Centre (B, K, 2) and divide by sqrt(hull area), on the CPU; NaN where there is no area."""
    value = value.detach().float().cpu()
    areas = torch.tensor([hull_area(points) for points in value])
    areas = torch.where(areas > _SMALLEST_AREA, areas, torch.nan)
    return (value - value.mean(dim=1, keepdim=True)) / areas.sqrt()[:, None, None]


class Smoother:
    """Causal smoothing of keypoints over time: still faces are steadied, quick motion passes.

    The One-Euro filter (Casiez, Roussel, Vogel: "1 Euro Filter", CHI 2012): a first-order low-pass
    whose cut-off frequency grows with speed. `strength` runs from 0 (nothing happens) to 1 (1/2 Hz
    at rest).
    """

    def __init__(self, strength: float) -> None:
        if not 0 <= strength <= 1:
            raise TalkheadError(f"smoothing must lie between 0 and 1, not {strength}")
        self._strength = strength
        # At rest 8 Hz leaves visible jitter alone and 0.5 Hz removes it. Keypoints of speech move
        # at about 1 unit per second and need some 8 Hz to pass undelayed, whatever the strength.
        self._rest_cutoff = 8.0 * (0.5 / 8.0) ** strength
        self._gain = 8.0
        self._last: tuple[float, Tensor, Tensor] | None = None

    def __call__(self, keypoints: Keypoints, seconds: Sequence[float]) -> Keypoints:
        """Smooth the next frames, a batch in order with the time of each in seconds."""
        if self._strength == 0:
            return keypoints
        numbers = keypoints.value
        if keypoints.jacobian is not None:
            numbers = torch.cat([numbers, keypoints.jacobian.flatten(2)], dim=2)
        smooth = torch.stack(
            [self._step(row, now) for row, now in zip(numbers.float(), seconds, strict=True)]
        )
        if keypoints.jacobian is None:
            return Keypoints(smooth)
        return Keypoints(smooth[..., :2], smooth[..., 2:].unflatten(2, (2, 2)))

    def _step(self, row: Tensor, now: float) -> Tensor:
        if self._last is None:
            self._last = (now, row, torch.zeros_like(row))
            return row
        before, value, speed = self._last
        step = max(now - before, 1e-3)  # two frames with one time stamp still are two frames
        speed_now = (row - value) / step
        speed = speed + (speed_now - speed) * _weight(torch.ones_like(row), step)
        cutoff = self._rest_cutoff + self._gain * speed.abs()
        value = value + (row - value) * _weight(cutoff, step)
        self._last = (now, value, speed)
        return value


def _weight(cutoff: Tensor, step: float) -> Tensor:
    """Share of the new sample in a first-order low-pass, for a cut-off in Hz and a step in s."""
    turn = 2 * math.pi * cutoff * step
    return turn / (turn + 1)
