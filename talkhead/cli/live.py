"""`talkhead animate` with pipes and cameras."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from talkhead.errors import TalkheadError
from talkhead.printable import counted

if TYPE_CHECKING:
    from talkhead.animation.live import LiveReport
    from talkhead.animation.settings import RenderSettings
    from talkhead.inference.engine import Engine
    from talkhead.progress import Progress
    from talkhead.video import LiveReader

PIPE = "-"
CAMERA = "camera"


def is_camera(driving: Path) -> bool:
    """Whether it says `camera` or `camera:NAME`, and there is no file of that name."""
    return str(driving).partition(":")[0] == CAMERA and not driving.exists()


def is_live(drivings: list[Path], output: Path) -> bool:
    """Whether frames come, or go, as they are made."""
    return str(output) == PIPE or any(str(d) == PIPE or is_camera(d) for d in drivings)


def run_live(
    sources: list[Path],
    drivings: list[Path],
    output: Path,
    engine: Engine,
    settings: RenderSettings,
    *,
    raw: str | None,
    overwrite: bool,
    progress: Progress | None,
) -> LiveReport:
    """Draw from a pipe, a camera or a file, into a pipe or a growing file."""
    from talkhead.animation.live import LiveAnimator
    from talkhead.animation.paths import check_output
    from talkhead.video.stream import streamed

    if settings.hardware:
        raise TalkheadError("live video is decoded and encoded by the CPU; leave out --hardware")
    if len(drivings) != 1:
        raise TalkheadError("a live output has one driver; give the others a run of their own")
    (driving,) = drivings
    target: Path | BinaryIO = output
    if str(output) == PIPE:
        if sys.stdout.isatty():
            raise TalkheadError("standard output is a terminal; pipe it into a player or a file")
        target = sys.stdout.buffer
    else:
        streamed(output)
        files = [] if str(driving) == PIPE or is_camera(driving) else [driving]
        check_output(output, [*sources, *files, *([engine.path] if engine.path else [])], overwrite)
    reader = open_driver(driving, settings, raw)
    live = LiveAnimator(
        sources, reader, engine, settings, keep_up=is_camera(driving), progress=progress
    )
    return live.run(target, overwrite)


def open_driver(driving: Path, settings: RenderSettings, raw: str | None) -> LiveReader:
    """What `-`, `camera:NAME` or a file stands for."""
    from talkhead.animation.live import raw_size
    from talkhead.video import RawPipe, VideoReader, open_camera, open_pipe
    from talkhead.video.pictures import frame_rate

    if str(driving) != PIPE and raw is not None:
        raise TalkheadError("--raw describes frames on standard input; give - as the driver")
    if str(driving) != PIPE and not is_camera(driving):
        return VideoReader(
            driving,
            start=settings.start,
            end=settings.end,
            rate=settings.rate,
            track=settings.video_track,
        )
    if settings.start is not None or settings.end is not None:
        raise TalkheadError("what comes live cannot be wound to --start or --end; use --frames")
    if is_camera(driving):
        if settings.video_track is not None:
            raise TalkheadError("a camera has one video track; leave out --video-track")
        return open_camera(str(driving).partition(":")[2] or None)
    stream = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - not ours to close
    if raw is not None:
        if settings.video_track is not None:
            raise TalkheadError("raw frames have one video track; leave out --video-track")
        return RawPipe(stream, raw_size(raw), frame_rate(settings.rate))
    return open_pipe(stream, track=settings.video_track)


def describe_live(report: LiveReport) -> str:
    """A performance in one line."""
    text = (
        f"{report.output}: {counted(report.frames, 'frame')}, "
        f"{report.frames_per_second:.1f} per second, "
        f"latency {report.latency_ms:.0f} ms (95 % under {report.latency_p95_ms:.0f} ms)"
    )
    if report.left_out:
        text += f"; {report.left_out} came too quickly and were left out"
    if report.faceless:
        text += f"; {report.faceless} passed before a face was seen"
    return text
