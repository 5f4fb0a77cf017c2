"""The driving motion: batches of keypoints with times, from a video or a motion file."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from talkhead.animation.settings import RenderSettings
from talkhead.animation.threads import Prefetcher
from talkhead.errors import TalkheadError
from talkhead.faces.crop import cut
from talkhead.faces.finder import FaceFinder
from talkhead.faces.framing import Framed, Framer
from talkhead.inference.engine import Engine
from talkhead.motion.anchor import closest_frame
from talkhead.motion.template import MotionTemplate
from talkhead.progress import Progress
from talkhead.structs import Keypoints
from talkhead.topology import MESH_POINTS
from talkhead.video import VideoReader
from talkhead.video.pictures import is_picture_sequence

T = TypeVar("T")

QUEUE_BATCHES = 2  # how far cropping runs ahead of the model
QUEUE_FRAMES = 4  # how far decoding runs ahead of cropping: whole frames are large


@dataclass(frozen=True)
class Cropped:
    """The crop of one driving frame, and the one that moves the portrait.

    That is the last with the face where nobody is there, so that the portrait rests.
    """

    pts: int
    picture: np.ndarray
    moving: np.ndarray


@dataclass(frozen=True)
class DrivingBatch:
    """A batch of driving frames: keypoints, times, and the cropped pictures where wanted."""

    keypoints: Keypoints
    pts: list[int]
    pictures: list[np.ndarray] | None


def open_driving(path: Path, settings: RenderSettings) -> VideoReader:
    """The part of a driving video that settings select. A folder of one picture: TalkheadError."""
    with ExitStack() as stack:
        reader = stack.enter_context(
            VideoReader(
                path,
                start=settings.start,
                end=settings.end,
                frames=settings.frames,
                rate=settings.rate,
                hardware=settings.hardware,
                track=settings.video_track,
            )
        )
        if reader.info.frames == 1 and is_picture_sequence(path):
            raise TalkheadError(
                f"{path} holds one picture, which does not move; give a video, or at least two "
                "pictures"
            )
        stack.pop_all()  # open from here on
    return reader


def motion_settings(settings: RenderSettings) -> RenderSettings:
    """The same for all settings with which a driving video is read and followed alike."""
    return settings.only(
        *("crop_driving", "driving_face", "detector"),
        *("start", "end", "frames", "rate", "video_track", "hardware"),
    )


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


class VideoMotion:
    """A driving video as batches of keypoints; walks through the file as often as it must.

    Keypoints of a whole video are small (half a kilobyte a frame, with meshes six), so they are
    kept once all are found, with the crops: drawing then needs no second detection, and pictures
    only for layouts that show them.

    framer: what crops the frames; it counts losses and jumps.
    """

    def __init__(
        self,
        path: Path,
        engine: Engine,
        settings: RenderSettings,
        finder: FaceFinder,
        progress: Progress | None = None,
    ) -> None:
        self.reader = open_driving(path, settings)
        self.time_base, self.rate = self.reader.time_base, self.reader.rate
        self._engine = engine
        self._new_framer = lambda: Framer(settings.driving_policy, finder, settings.driving_face)
        self.framer = self._new_framer()
        self._progress = progress
        self._motion: DrivingBatch | None = None
        self._first: Keypoints | None = None
        self._framed: list[Framed] = []

    def first(self) -> Keypoints:
        """Keypoints of the first frame, a batch of one."""
        if self._motion is not None:
            return self._motion.keypoints[:1]
        if self._first is None:
            self._first = self._engine.detect([next(iter(self._crops())).moving])
        return self._first

    def motion(self) -> DrivingBatch:
        """Keypoints of the whole selection; read now, if they were not before."""
        if self._motion is None:
            count = 0
            for batch in self._read(pictures=False):
                count += len(batch.pts)
                if self._progress is not None:
                    self._progress("reading motion", count, self.expected())
            assert self._motion is not None
        return self._motion

    def batches(self, pictures: bool) -> Iterator[DrivingBatch]:
        """All frames in order; what is known already is not found again."""
        if self._motion is None or pictures:
            return self._read(pictures)
        return split(self._motion, self._engine.batch_size)

    def expected(self) -> int | None:
        """About how many frames there are; None when that cannot be estimated."""
        return self.reader.expected_frames if self._motion is None else len(self._motion.pts)

    def _read(self, pictures: bool) -> Iterator[DrivingBatch]:
        size, buffer = self._engine.batch_size, MotionBuffer()
        done, tracker = 0, self._engine.tracker()
        with Prefetcher(self._crops(), QUEUE_BATCHES * size) as crops:
            for batch in batches(crops, size):
                pts = [each.pts for each in batch]
                if self._motion is not None:
                    keypoints = self._motion.keypoints[done : done + len(batch)]
                else:
                    keypoints = self._engine.detect([each.moving for each in batch], tracker)
                    buffer.add(keypoints, pts)
                done += len(batch)
                shown = [each.picture for each in batch] if pictures else None
                yield DrivingBatch(keypoints, pts, shown)
        if self._motion is None:
            self._motion = buffer.batch()

    def _crops(self) -> Iterator[Cropped]:
        """Time and crop of every frame."""
        known = self._framed if self._motion is not None else []
        size, moving = self._engine.image_size, None
        if not known:
            self._framed, self.framer = [], self._new_framer()
            first = self.framer.start(self.reader)
            moving = None if first is None else cut(*first, size)
        with Prefetcher(self.reader, QUEUE_FRAMES) as frames:
            for number, frame in enumerate(frames):
                framed = known[number] if known else self.framer.frame(frame.rgb)
                assert framed is not None  # the framer has looked ahead
                if not known:
                    self._framed.append(framed)
                picture = cut(frame.rgb, framed.crop, size)
                moving = picture if framed.present or moving is None else moving
                yield Cropped(frame.pts, picture, moving)


class TemplateMotion:
    """A motion cache in place of a driving video, taken whole. TalkheadError for a part of it."""

    def __init__(self, motion: MotionTemplate, batch_size: int, settings: RenderSettings) -> None:
        if settings.start or settings.end is not None or settings.frames is not None:
            raise TalkheadError("recorded motion is taken whole; cut it when you record it")
        self.time_base = motion.time_base
        self.rate: Fraction | None = None
        self._batch_size = batch_size
        self._motion = DrivingBatch(motion.keypoints, list(motion.pts), None)

    def first(self) -> Keypoints:
        """Keypoints of the first frame, a batch of one."""
        return self._motion.keypoints[:1]

    def motion(self) -> DrivingBatch:
        """All of it."""
        return self._motion

    def batches(self, pictures: bool) -> Iterator[DrivingBatch]:
        """All frames in order. Raises TalkheadError where pictures are wanted."""
        if pictures:
            raise TalkheadError(
                "a motion file holds no pictures; with it only the layout `result` is possible"
            )
        return split(self._motion, self._batch_size)

    def expected(self) -> int | None:
        """How many frames there are."""
        return len(self._motion.pts)


MotionSource = VideoMotion | TemplateMotion


def find_anchor(
    driver: MotionSource, source: Keypoints, settings: RenderSettings, landmarks: bool = False
) -> tuple[int | None, Keypoints | None]:
    """Number and keypoints of the driving frame that a source's motion is measured from, if any.

    landmarks: the keypoints are points of a head that are known by name.
    """
    if settings.motion != "relative":
        return None, None
    if settings.anchor == "first":
        return 0, driver.first()
    keypoints = driver.motion().keypoints
    if settings.anchor == "auto":
        number = closest_frame(source, keypoints, landmarks)
    else:
        number = int(settings.anchor)
    if number >= len(keypoints):
        raise TalkheadError(
            f"the anchor is frame {number}, but the driver has {len(keypoints)} frames (from 0)"
        )
    return number, keypoints[number : number + 1]


def split(motion: DrivingBatch, size: int) -> Iterator[DrivingBatch]:
    """One long batch as batches."""
    for start in range(0, len(motion.pts), size):
        part = slice(start, start + size)
        yield DrivingBatch(motion.keypoints[part], motion.pts[part], None)


class MotionBuffer:
    """Collects batches into one long batch without pictures.

    Plain numbers until the end: small tensors that stay, allocated among large ones that go, would
    break the heap into pieces, and memory would grow by one feature map for every batch.
    """

    def __init__(self) -> None:
        self._values, self._jacobians, self._meshes = array("f"), array("f"), array("f")
        self._pts: list[int] = []

    def add(self, keypoints: Keypoints, pts: list[int]) -> None:
        """The next batch: keypoints of B frames, and their B times."""
        self._values.extend(keypoints.value.flatten().tolist())
        if keypoints.jacobian is not None:
            self._jacobians.extend(keypoints.jacobian.flatten().tolist())
        if keypoints.mesh is not None:
            self._meshes.extend(keypoints.mesh.flatten().tolist())
        self._pts += pts

    def batch(self) -> DrivingBatch:
        """All of it."""
        frames = len(self._pts)
        value, jacobian, mesh = (
            torch.frombuffer(numbers, dtype=torch.float32).clone() if numbers else None
            for numbers in (self._values, self._jacobians, self._meshes)
        )
        assert value is not None
        keypoints = Keypoints(
            value.view(frames, -1, 2),
            None if jacobian is None else jacobian.view(frames, -1, 2, 2),
            None if mesh is None else mesh.view(frames, MESH_POINTS, -1),
        )
        return DrivingBatch(keypoints, self._pts, None)
