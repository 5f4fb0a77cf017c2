"""What clips there are and which cannot be used, by their headers and first frames."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkhead.data.clips import MIN_FRAMES, Clip, Split, frame_count, load_landmarks, named
from talkhead.errors import TalkheadError
from talkhead.faces.crop import cut_centre
from talkhead.faces.finder import FaceFinder
from talkhead.printable import counted
from talkhead.progress import Progress
from talkhead.video import VideoReader, probe
from talkhead.video.clip import read_frames


@dataclass(frozen=True)
class DataReport:
    """What `--check-data` tells: counts, sizes, and every file that cannot be used with why.

    faceless: clips in whose first frame no face is found; those of prepared sets all have one.
    """

    clips: int
    identities: int
    test_clips: int
    test_identities: int
    frames: int
    seconds: float
    sizes: dict[str, int]
    landmarks: int
    faceless: list[str]
    broken: dict[str, str]

    def lines(self) -> list[str]:
        """For people."""
        sizes = ", ".join(f"{count} of {size}" for size, count in self.sizes.items())
        text = [
            f"training: {_clips(self.clips, self.identities)}, {counted(self.frames, 'frame')}, "
            f"{self.seconds / 60:.1f} minutes",
            f"testing: {_clips(self.test_clips, self.test_identities)}",
            f"sizes: {sizes}",
        ]
        if self.landmarks:
            text.append(f"landmarks: {counted(self.landmarks, 'clip')}")
        if self.faceless:
            clips = counted(len(self.faceless), "clip")
            text.append(f"no face in the first frame: {clips}, such as {self.faceless[0]}")
        for path, why in self.broken.items():
            text.append(f"unusable: {named(path, why)}")
        return text


def check_data(
    split: Split,
    landmarks: Path | None = None,
    workers: int = 4,
    progress: Progress | None = None,
) -> DataReport:
    """Open every clip, and say what is there. Only the first frame of each is looked at."""
    clips = [*split.train, *split.test]
    infos: dict[Clip, _Header] = {}
    broken: dict[str, str] = {}
    faceless: list[str] = []
    finder = FaceFinder()
    with ThreadPoolExecutor(workers) as pool:
        for number, (clip, info) in enumerate(zip(clips, pool.map(_header, clips), strict=True)):
            if isinstance(info, str):
                broken[str(clip.path)] = info
            else:
                infos[clip] = info
                if clip.known is None and not finder.find(first_frame(clip)):
                    faceless.append(str(clip.path))
            if progress:
                progress("opening clips", number + 1, len(clips))
    train = [clip for clip in split.train if clip in infos]
    test = [clip for clip in split.test if clip in infos]
    has_landmarks = 0
    if landmarks is not None:
        for clip in train:
            try:
                has_landmarks += load_landmarks(landmarks, clip) is not None
            except TalkheadError as error:
                broken[str(clip.path)] = str(error)
    return DataReport(
        clips=len(train),
        identities=len({clip.identity for clip in train}),
        test_clips=len(test),
        test_identities=len({clip.identity for clip in test}),
        frames=sum(infos[clip].frames for clip in train),
        seconds=sum(infos[clip].seconds for clip in train),
        sizes=dict(Counter(info.size for info in infos.values()).most_common()),
        landmarks=has_landmarks,
        faceless=faceless,
        broken=broken,
    )


def first_frame(clip: Clip) -> np.ndarray:
    """The centre square of a clip's first frame, which training sees: uint8 (S, S, 3)."""
    with VideoReader(clip.path, frames=1) as reader:
        rgb = next(iter(reader)).rgb
    return cut_centre(rgb, min(rgb.shape[:2]))


def _clips(clips: int, identities: int) -> str:
    return f"{counted(clips, 'clip')} of {counted(identities, 'identity', 'identities')}"


@dataclass(frozen=True)
class _Header:
    """What is known of a clip whose first frame decodes; size: such as 256x256."""

    size: str
    frames: int
    seconds: float


def _header(clip: Clip) -> _Header | str:
    """The clip's header, or why it cannot be used."""
    known = clip.known
    try:
        if known is not None:
            read_frames(known.place, [0])
            return _Header(f"{known.size}x{known.size}", known.frames, known.frames / known.fps)
        info = probe(clip.path)
    except TalkheadError as error:
        return str(error)
    count = frame_count(info)
    if count < MIN_FRAMES:
        return f"too short: {count} frame, a pair needs two"
    return _Header(f"{info.width}x{info.height}", count, info.duration or 0.0)
