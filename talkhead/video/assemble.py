"""Joining finished segments and sound into the output file."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from fractions import Fraction
from math import lcm
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from talkhead.errors import TalkheadError
from talkhead.io.atomic import publish
from talkhead.video.formats import Container, Encoding, container_for
from talkhead.video.gif import write_gif
from talkhead.video.marking import mark_gif
from talkhead.video.numbered import publish_pictures, write_pictures
from talkhead.video.opening import Media
from talkhead.video.pictures import pattern_to_write
from talkhead.video.sound import Cut, Sound, SoundFeed
from talkhead.video.workspace import PICTURES, REPLACED, Timing, Workspace

log = logging.getLogger(__name__)

MAX_CLOCK = 2**31  # what FFmpeg takes


def assemble(
    workspace: Workspace,
    path: Path,
    encoding: Encoding,
    sound: Sound | None,
    *,
    trim: bool,
    metadata: Mapping[str, str],
) -> None:
    """Make the output of all stored frames, in the workspace; `publish_result` brings it out."""
    timing = workspace.timing()
    kind = container_for(path)
    if pattern := pattern_to_write(path):
        coded = (frame.data for frame in workspace.frames())
        write_pictures(coded, workspace.folder / PICTURES, pattern, metadata)
        return
    partial = _result(workspace, path)
    try:
        if kind.name == "gif":
            write_gif(workspace, partial, encoding.time_base, timing)
            mark_gif(partial, metadata)
        else:
            _mux(workspace, partial, kind, encoding, sound, timing, trim, metadata)
    except av.FFmpegError as error:
        if isinstance(error, OSError):  # the disk's troubles are explained by the caller
            raise
        advice = "; the same command with --no-sound goes on from them" if sound else ""
        raise TalkheadError(
            f"{path} could not be put together ({error.strerror}); the rendered frames are "
            f"kept{advice}"
        ) from error


def publish_result(workspace: Workspace, path: Path, overwrite: bool) -> None:
    """Bring out what `assemble` made.

    Raises TalkheadError where it would replace what it should not.
    """
    if pattern := pattern_to_write(path):
        made, aside = workspace.folder / PICTURES, workspace.folder / REPLACED
        publish_pictures(made, pattern, aside, overwrite)
    else:
        publish(_result(workspace, path), path, overwrite)


def _result(workspace: Workspace, path: Path) -> Path:
    return workspace.folder / f"result{path.suffix}"


def _mux(
    workspace: Workspace,
    partial: Path,
    kind: Container,
    encoding: Encoding,
    sound: Sound | None,
    timing: Timing,
    trim: bool,
    metadata: Mapping[str, str],
) -> None:
    """Packets of pictures and sound in order of time, none of the pictures encoded again."""
    with ExitStack() as stack:
        source = None if sound is None else stack.enter_context(sound.open())
        clock = 1000 if trim else _edit_clock(timing, encoding.time_base, source, sound)
        output = stack.enter_context(_create(partial, kind, clock))
        output.metadata.update(metadata)
        # Its header comes from an encoder that is set like the segments', never fed.
        video = encoding.add_stream(output, *timing.size)
        video.time_base = encoding.time_base
        duration = _mean_duration(timing, encoding)
        feeds = [_video_packets(workspace, video, encoding.time_base, timing, duration, trim)]
        if sound is not None and source is not None:
            start = timing.first * encoding.time_base
            end = (timing.last + duration) * encoding.time_base
            cut = Cut(start, end) if trim else None
            feeds.append(SoundFeed(source, sound, output, kind, cut, end).packets())
        for packet in heapq.merge(*feeds, key=_decoding_time):
            output.mux(packet)


def _mean_duration(timing: Timing, encoding: Encoding) -> int:
    """How long a frame is shown on average, in units of the time base."""
    if timing.count > 1:
        return max(1, round((timing.last - timing.first) / (timing.count - 1)))
    return max(1, round(1 / encoding.rate / encoding.time_base))


def _edit_clock(
    timing: Timing, time_base: Fraction, source: Media | None, sound: Sound | None
) -> int:
    """Ticks per second for an mp4's edit list, which says when each stream begins.

    The usual 1000 do when all begins at 0; a late start is exact only in the streams' own ticks.
    """
    stream = (
        None if source is None or sound is None else source.container.streams.audio[sound.track]
    )
    if timing.first <= 0 and (stream is None or (stream.start_time or 0) <= 0):
        return 1000
    ticks = [time_base.denominator]
    if stream is not None and stream.time_base is not None:
        ticks.append(stream.time_base.denominator)
    exact = lcm(*ticks)
    return exact if exact < MAX_CLOCK else max(ticks)


def _create(partial: Path, kind: Container, clock: int) -> OutputContainer:
    # Negative times (sound that starts with the encoder's run-in, frames decoded ahead of the
    # first one shown) stay as they are; muxers would else move all streams later.
    options = {"avoid_negative_ts": "disabled"}
    if kind.name in ("mp4", "mov"):
        options["movflags"] = "+faststart"
        options["movie_timescale"] = str(clock)
    return av.open(f"file:{partial}", "w", format=kind.name, options=options)


def _decoding_time(packet: Packet) -> Fraction:
    time = packet.pts if packet.dts is None else packet.dts
    return Fraction(0) if time is None else time * Fraction(packet.time_base)


def _video_packets(
    workspace: Workspace,
    stream: VideoStream,
    time_base: Fraction,
    timing: Timing,
    duration: int,
    trim: bool,
) -> Iterator[Packet]:
    """Stored frames as packets with fresh decoding times.

    Each segment comes from an encoder of its own, whose decoding times would run into those of
    the segment before. With frames coded at most `reorder` places early, the time shown that is
    `reorder` places back in order is a valid time to decode: increasing, never after being shown.
    """
    shift = timing.first if trim else 0
    # Before the first frame time is counted back in steps. They must not be longer than the first
    # frame is shown: from longer ones FFmpeg's mp4 writer takes a wrong start (8.1 does).
    step = max(1, min(duration, (timing.second - timing.first) // max(1, timing.reorder - 1)))
    waiting = [timing.first - step * place for place in range(timing.reorder, 0, -1)]
    heapq.heapify(waiting)
    for frame in workspace.frames():
        packet = Packet(frame.data)
        packet.stream = stream
        packet.time_base = time_base
        packet.pts = frame.pts - shift
        packet.dts = heapq.heappushpop(waiting, frame.pts) - shift
        packet.duration = duration
        packet.is_keyframe = frame.is_key
        yield packet
