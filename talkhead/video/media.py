"""Open media files, find their picture stream, read their headers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, ColorTrc
from av.video.stream import VideoStream

from talkhead.errors import TalkheadError

log = logging.getLogger(__name__)

VIDEO_ENDINGS = "mp4 m4v mov mkv webm avi mpg mpeg ts mts m2ts wmv flv ogv 3gp gif"
VIDEO_SUFFIXES = frozenset(f".{ending}" for ending in VIDEO_ENDINGS.split())
NO_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails  # covers, pictures of chapters
HDR_TRANSFERS = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}
COLORSPACE_NAMES = {
    0: "rgb",
    1: "bt709",
    2: "unspecified",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
}
RANGE_NAMES = {int(ColorRange.MPEG): "limited", int(ColorRange.JPEG): "full"}
RATE_TRUST = 2  # a header's frame rate that is off by more than this factor is not believed

Track = TypeVar("Track", VideoStream, AudioStream)


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header and first frames say; good for a progress bar, not for counting.

    width, height: pixels as shown: upright, and square where the file stores them stretched.
    time_base:     seconds per unit of a frame's pts.
    rate:          average frames per second, None when unknown.
    duration:      seconds of pictures, None when the header does not say.
    frames:        number of frames, exact for few containers; None when it cannot be estimated.
    colorspace, color_range: the tags ("bt709", "limited"), "unspecified" when absent.
    transfer:      "PQ" or "HLG" for HDR, else "sdr".
    audio_codec:   of the sound track that is taken unasked, None where none can be decoded.
    track:         which of the video tracks this is, from 0.
    """

    width: int
    height: int
    time_base: Fraction
    rate: Fraction | None
    duration: float | None
    frames: int | None
    codec: str
    colorspace: str
    color_range: str
    transfer: str
    bit_depth: int
    audio_tracks: int = 0
    audio_codec: str | None = None
    track: int = 0


def video_tracks(container: InputContainer) -> list[VideoStream]:
    """The streams of moving pictures; a cover picture is not one."""
    return [s for s in container.streams.video if not s.disposition & NO_VIDEO]


def default_track(tracks: Sequence[Track]) -> int | None:
    """The number of the track that is taken unasked; None where none can be decoded here.

    Those marked as default come first.
    """
    decodable = [n for n, track in enumerate(tracks) if track.codec_context is not None]
    marked = [n for n in decodable if tracks[n].disposition & Disposition.default]
    return next(iter(marked or decodable), None)


def pick_track(tracks: Sequence[Track], wish: int | None, name: str, kind: str) -> int | None:
    """The number of the track to take, with a word in the log where there are several.

    wish: the one asked for, from 0; TalkheadError when there is none such or it cannot be decoded.
    kind: "video" or "sound".
    """
    if wish is None:
        number = default_track(tracks)
        if number is not None and len(tracks) > 1:
            lost = [str(n) for n, track in enumerate(tracks) if track.codec_context is None]
            told = f" ({', '.join(lost)} cannot be decoded here)" if lost else ""
            log.warning(
                "%s has %d %s tracks%s; track %d is used", name, len(tracks), kind, told, number
            )
        return number
    if wish not in range(len(tracks)):
        there = f"choose from 0 to {len(tracks) - 1}" if tracks else "leave out the track number"
        raise TalkheadError(f"{name} has no {kind} track {wish}; {there}")
    if tracks[wish].codec_context is None:
        raise TalkheadError(
            f"{kind} track {wish} of {name} is coded in a way that cannot be decoded here; choose "
            "another"
        )
    return wish


def video_track(container: InputContainer, name: Path | str, wish: int | None = None) -> int:
    """Which of `video_tracks` to take; raises TalkheadError where there is none to be had."""
    tracks = video_tracks(container)
    if not tracks:
        kind = (
            "holds only sound: it has no video stream"
            if container.streams.audio
            else "has no video stream"
        )
        raise TalkheadError(f"{name} {kind}; pass a video")
    number = pick_track(tracks, wish, str(name), "video")
    if number is None:
        raise TalkheadError(
            f"the pictures of {name} are coded in a way that cannot be decoded here; convert it to "
            "H.264 in mp4 first"
        )
    return number


def frame_rate_of(stream: VideoStream, times: Sequence[int]) -> Fraction | None:
    """Frames per second, by the header.

    Unless the times of the first frames tell of something very different.
    """
    told = Fraction(stream.average_rate) if stream.average_rate else None
    ordered = sorted(set(times))
    steps = [after - before for before, after in pairwise(ordered)]
    if not steps or not stream.time_base:
        return told
    usual = 2 * median(steps)  # a pause, or frames missing among the last, take longer
    steady = [step for step in steps if step < usual]
    seen = len(steady) / (sum(steady) * stream.time_base)
    if told is not None and told / RATE_TRUST <= seen <= told * RATE_TRUST:
        return told
    return seen.limit_denominator(1001)


def stream_seconds(container: InputContainer, stream: VideoStream, start: float) -> float | None:
    """How long the pictures last as the header claims, in seconds; `start` is `clock_start`."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    seconds = None
    tag = stream.metadata.get("DURATION", "")  # Matroska: "00:00:05.008000000"
    parts = tag.split(":")
    if len(parts) == 3 and all(part.replace(".", "", 1).isdecimal() for part in parts):
        hours, minutes, rest = map(float, parts)
        seconds = hours * 3600 + minutes * 60 + rest
    elif container.duration and not container.streams.audio:
        seconds = container.duration / av.time_base
    if seconds is not None and seconds > start and container.format.name.startswith("matroska"):
        seconds -= start  # most writers store when the last frame ends, not how long all takes
    return seconds


def describe(
    container: InputContainer,
    track: int,
    first: VideoFrame,
    size: tuple[int, int],
    start: float,
    times: Sequence[int],
) -> VideoInfo:
    """Put together what the header and the first frames of a video track say.

    size: (width, height) as shown; start: `clock_start`; times: of the first frames, in the
    stream's units.
    """
    stream = video_tracks(container)[track]
    seconds = stream_seconds(container, stream, start)
    if seconds is None and container.duration:
        seconds = container.duration / av.time_base
    time_base = stream.time_base or Fraction(1, av.time_base)
    rate = frame_rate_of(stream, times)
    frames = stream.frames or (round(seconds * rate) if seconds and rate else None)
    audio = container.streams.audio
    sound = default_track(audio)
    # JPEG-style pixel formats mean full range even where the range tag is missing.
    full = first.format.name.startswith("yuvj")
    return VideoInfo(
        width=size[0],
        height=size[1],
        time_base=Fraction(time_base),
        rate=rate,
        duration=seconds,
        frames=frames,
        codec=stream.codec.canonical_name,
        colorspace=COLORSPACE_NAMES.get(int(first.colorspace), "unspecified"),
        color_range="full" if full else RANGE_NAMES.get(int(first.color_range), "unspecified"),
        transfer=HDR_TRANSFERS.get(first.color_trc, "sdr"),
        bit_depth=max(component.bits for component in first.format.components),
        audio_tracks=len(audio),
        audio_codec=None if sound is None else audio[sound].codec.canonical_name,
        track=track,
    )
