"""Track a face through a video as one steady crop."""

from __future__ import annotations

import logging
import math
import statistics
from collections import deque
from collections.abc import Iterable

import cv2
import numpy as np

from talkhead.faces.cascade import shrink
from talkhead.faces.crop import whole_pixels
from talkhead.faces.face import Finder, NoFaceError, choose, face_crop
from talkhead.structs import Crop, Face

log = logging.getLogger(__name__)


class Tracker:
    """One steady crop over a video, frame by frame, without looking ahead.

    Steadiness is worth more than centring, since the networks were trained on crops that stand
    still: the crop stays where it is while the face stays well inside, glides after it when it
    must, jumps at a scene cut, and holds when the face is lost. Faces are looked for on every
    `interval`-th frame, at cuts, and when the picture under the face has moved.

    Equal frames give equal crops, so a video can be walked through twice.
    lost, cuts: how many times the face was lost, and how many times the crop jumped.
    """

    START_FRAMES = 50  # how many frames are searched for the first face
    HOLD = 0.12  # the crop holds while the face is off its place by less, in crop sides
    HOLD_SIZE = 1.25  # ... and has not grown or shrunk by more than this
    GLIDE = 0.12  # share of the way to go that is gone in each frame
    HURRY = 3  # frames between two looks when the face seems to have moved

    def __init__(self, finder: Finder, face: int | None = None, interval: int = 15) -> None:
        self._finder = finder
        self._face = face
        self._interval = interval
        self._crop: Crop | None = None
        self._goal: Crop | None = None  # where the crop is gliding to
        self._recent: deque[Crop] = deque(maxlen=3)
        self._patch: _Patch | None = None
        self._shot = _Shot()
        self._age = 0
        self._misses = 0  # looks since the face was last seen
        self._free = False  # the next face may be anywhere, as after a cut
        self.lost = 0
        self.cuts = 0

    def start(self, frames: Iterable[np.ndarray]) -> None:
        """Take the first crop from the first frames (rgb uint8) instead of the very first only.

        Every fifth frame is searched until five hold the face, of at most START_FRAMES; their
        median is steadier than one box. Then call `update` from the first frame on. Raises
        NoFaceError when no frame holds a face, TalkheadError when there is no such face number.
        """
        crops: list[Crop] = []
        for number, rgb in enumerate(frames):
            if number >= self.START_FRAMES or len(crops) == 5:
                break
            if number % 5:
                continue
            faces = self._finder.find(rgb, near=crops[0] if crops else None)
            if faces and not crops:
                crops.append(_crop_in(rgb, choose(faces, self._face)))
            elif faces:
                crop = _nearest(rgb, faces, crops[0])
                if not _far(crop, crops[0]):
                    crops.append(crop)
        if not crops:
            raise NoFaceError(
                f"no face found in the first {self.START_FRAMES} frames of the driving video; "
                "say where it is with --crop-driving x,y,size (or none)"
            )
        self._crop = _median(crops)

    def update(self, rgb: np.ndarray) -> Crop:
        """The crop for the next frame, rgb uint8 (H, W, 3), in whole pixels."""
        if self._crop is None:
            self.start([rgb])
        small = _Small(rgb)
        cut_here = self._shot.changed(small)
        moved = self._patch is not None and self._patch.moved(small)
        self._age += 1
        hurry = (moved or self._goal is not None) and self._age >= self.HURRY
        if cut_here:
            self._free = True
        if cut_here or hurry or self._patch is None or self._age >= self._interval:
            self._encode(rgb, small, cut_here)
        return self._glide()

    def _encode(self, rgb: np.ndarray, small: _Small, cut_here: bool) -> None:
        """Find the face again and decide whether to hold, glide or jump."""
        assert self._crop is not None
        self._age = 0
        # A face that was here a moment ago is looked for nearby; everywhere costs ten times as
        # much, so it is done once at a cut or loss and then now and then.
        everywhere = cut_here or self._misses % 6 == 1
        faces = self._finder.find(rgb, near=None if everywhere else self._crop)
        self._patch = _Patch(small, self._crop)
        if not faces:
            self._lose()
            return
        target = _nearest(rgb, faces, self._crop)
        if _far(target, self._crop):
            # Someone else's face, or a chance pattern, unless there was a cut or it is there again.
            if not self._free:
                self._lose()
                self._free = True
                return
            if cut_here:
                target = _crop_in(rgb, choose(faces))
            self._crop, self._goal = target, None
            self._recent.clear()
            self._patch = _Patch(small, target)
            self.cuts += 1
        self._misses, self._free = 0, False
        self._recent.append(target)
        target = _median(self._recent)
        if self._goal is not None or not self._holds(target):
            self._goal = target

    def _lose(self) -> None:
        if self._misses == 0:
            self.lost += 1
            log.warning("the driving face is lost; holding its last place")
        self._misses += 1
        self._goal = None

    def _holds(self, target: Crop) -> bool:
        assert self._crop is not None
        dx, dy = _offset(target, self._crop)
        growth = target.side / self._crop.side
        return max(abs(dx), abs(dy)) < self.HOLD and 1 / self.HOLD_SIZE < growth < self.HOLD_SIZE

    def _glide(self) -> Crop:
        assert self._crop is not None
        if self._goal is not None:
            here, goal, share = self._crop, self._goal, self.GLIDE
            self._crop = Crop(
                here.x + share * (goal.x - here.x),
                here.y + share * (goal.y - here.y),
                here.side + share * (goal.side - here.side),
            )
            rest = max(abs(goal.x - here.x), abs(goal.y - here.y), abs(goal.side - here.side))
            if rest < 0.01 * goal.side:
                self._goal = None
        return Crop(*(float(v) for v in whole_pixels(self._crop)))


def _crop_in(rgb: np.ndarray, face: Face) -> Crop:
    return face_crop(face, rgb.shape[1], rgb.shape[0])


def _nearest(rgb: np.ndarray, faces: list[Face], crop: Crop) -> Crop:
    """The crop of the face that is nearest to `crop` in place and size."""
    crops = [_crop_in(rgb, face) for face in faces]
    return min(crops, key=lambda c: math.hypot(*_offset(c, crop), math.log2(c.side / crop.side)))


def _offset(crop: Crop, other: Crop) -> tuple[float, float]:
    """From the centre of `other` to that of `crop`, in sides of `other`."""
    half = crop.side / 2 - other.side / 2
    return (crop.x + half - other.x) / other.side, (crop.y + half - other.y) / other.side


def _far(crop: Crop, other: Crop) -> bool:
    """Too far apart, or too different in size, for one face between two looks."""
    return math.hypot(*_offset(crop, other)) > 0.5 or abs(math.log2(crop.side / other.side)) > 0.7


def _median(crops: Iterable[Crop]) -> Crop:
    """Median centre and side."""
    rows = [(c.x + c.side / 2, c.y + c.side / 2, c.side) for c in crops]
    x, y, side = (statistics.median(column) for column in zip(*rows, strict=True))
    return Crop(x - side / 2, y - side / 2, side)


class _Small:
    """A grey copy of a frame, made once for all that only needs to see it roughly.

    factor: its size relative to the frame.
    """

    SIDE = 160  # its longer side in pixels

    def __init__(self, rgb: np.ndarray) -> None:
        small, self.factor = shrink(rgb, self.SIDE)
        self.grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)


class _Shot:
    """Notices scene cuts from thumbnails."""

    LEAST = 22.0  # mean grey levels; heads that talk and turn change a thumbnail by 2 to 10
    TIMES = 4.0  # ... and this many times what was usual lately, for shaky cameras

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._usual = 0.0

    def changed(self, frame: _Small) -> bool:
        """Whether a new shot begins with this frame."""
        thumbnail = cv2.resize(frame.grey, (32, 32), interpolation=cv2.INTER_AREA)
        thumbnail = thumbnail.astype(np.float32)
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        change = float(np.abs(thumbnail - last).mean())
        if change > max(self.LEAST, self.TIMES * self._usual):
            self._usual = 0.0
            return True
        self._usual += 0.1 * (change - self._usual)
        return False


class _Patch:
    """The small grey picture under the face, to notice cheaply that it has moved."""

    MOVED = 0.06  # crop sides
    ALIKE = 0.5  # correlation below which the patch is not there any more

    def __init__(self, frame: _Small, crop: Crop) -> None:
        grey, factor = frame.grey, frame.factor
        centre_x, centre_y = crop.x + crop.side / 2, crop.y + crop.side / 2
        half = max(4, round(0.22 * crop.side * factor))  # about the eyes to the mouth
        self._x = min(max(round(centre_x * factor) - half, 0), max(grey.shape[1] - 2 * half, 0))
        self._y = min(max(round(centre_y * factor) - half, 0), max(grey.shape[0] - 2 * half, 0))
        self._reach = max(3, half)
        self._limit = self.MOVED * crop.side * factor
        self._shape = grey.shape
        self._patch = grey[self._y : self._y + 2 * half, self._x : self._x + 2 * half]

    def moved(self, frame: _Small) -> bool:
        """Whether the patch is elsewhere, or nowhere near, in this frame."""
        grey = frame.grey
        if grey.shape != self._shape:
            return True  # a picture of another size: nothing is where it was
        left, top = max(self._x - self._reach, 0), max(self._y - self._reach, 0)
        height, width = self._patch.shape
        area = grey[top : self._y + height + self._reach, left : self._x + width + self._reach]
        match = cv2.matchTemplate(area, self._patch, cv2.TM_CCOEFF_NORMED)
        _, best, _, (x, y) = cv2.minMaxLoc(match)
        return best < self.ALIKE or math.hypot(left + x - self._x, top + y - self._y) > self._limit
