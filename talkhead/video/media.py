"""Open media files, find their picture stream, read their headers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, ColorTrc
from av.video.stream import VideoStream

from talkhead.errors import TalkheadError

VIDEO_ENDINGS = "mp4 m4v mov mkv webm avi mpg mpeg ts mts m2ts wmv flv ogv 3gp gif"
VIDEO_SUFFIXES = frozenset(f".{ending}" for ending in VIDEO_ENDINGS.split())
GPU = "cuda"  # FFmpeg's name for decoding with NVDEC
# FFmpeg draws plain text as a film of a terminal; to us a text file is no video.
NOT_MEDIA = {"tty", "bin", "xbin", "adf", "idf"}
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


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header and first frame say; good for a progress bar, not for counting.

    width, height: pixels as shown: upright, and square where the file stores them stretched.
    time_base:     seconds per unit of a frame's pts.
    rate:          average frames per second, None when unknown.
    duration:      seconds of pictures, None when the header does not say.
    frames:        number of frames, exact for few containers; None when it cannot be estimated.
    colorspace, color_range: the tags ("bt709", "limited"), "unspecified" when absent.
    transfer:      "PQ" or "HLG" for HDR, else "sdr".
    audio_codec:   of the first sound track, None without sound.
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


def open_media(path: Path, hardware: bool = False) -> InputContainer:
    """Open a local media file; raises TalkheadError that says what is wrong with it.

    hardware: its pictures are decoded by an NVIDIA GPU (NVDEC), or not at all.
    """
    if not path.exists():
        raise TalkheadError(f"{path} does not exist; check the path")
    if path.is_dir():
        raise TalkheadError(f"{path} is a folder, not a media file")
    if path.stat().st_size == 0:
        raise TalkheadError(f"{path} is empty (0 bytes); download or record it again")
    try:
        # "file:" keeps a colon or a percent sign in the name from being read as a protocol or a
        # pattern; the whitelist keeps a playlist from opening addresses on the network.
        options = {"protocol_whitelist": "file"}
        if hardware:
            container = _open_on_gpu(path, options)
        else:
            container = av.open(f"file:{path}", options=options)
    except PermissionError as error:
        raise TalkheadError(f"{path} may not be read; check its permissions") from error
    except (av.FFmpegError, OSError) as error:
        raise TalkheadError(_why_not_opened(path)) from error
    if container.format.name in NOT_MEDIA:
        container.close()
        raise TalkheadError(
            f"{path} is not a video that can be read; pass an mp4, mov, mkv or webm"
        )
    return container


def _open_on_gpu(path: Path, options: dict[str, str]) -> InputContainer:
    try:
        accelerator = HWAccel(GPU, allow_software_fallback=False)
        return av.open(f"file:{path}", "r", options=options, hwaccel=accelerator)
    except (av.FFmpegError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise TalkheadError(
            f"{path} cannot be decoded in hardware here, which needs an NVIDIA GPU with its driver "
            "and a codec that it knows; leave out --hardware"
        ) from error


def _why_not_opened(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free"):
        return (
            f"{path} has lost its index (the moov atom), so it cannot be opened: the recording or "
            "the download broke off; fetch it again or repair it with a tool such as untrunc"
        )
    return (
        f"{path} is not a video that can be read, or it is damaged; pass an mp4, mov, mkv or webm"
    )


def clock_start(container: InputContainer) -> Fraction:
    """Seconds that a file's clock shows at its beginning, where that says nothing: broadcasts.

    In all other formats a late start is meant.
    """
    broadcast = container.format.name in ("mpegts", "mpeg")
    return Fraction(container.start_time or 0, av.time_base) if broadcast else Fraction(0)


def picture_stream(container: InputContainer, path: Path | str) -> VideoStream:
    """The first stream of moving pictures; a cover picture in a sound file is not one."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    kind = (
        "holds only sound: it has no video stream"
        if container.streams.audio
        else "has no video stream"
    )
    raise TalkheadError(f"{path} {kind}; pass a video")


def stream_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """How long the pictures last as the header claims, in seconds."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")  # Matroska: "00:00:05.008000000"
    parts = tag.split(":")
    if len(parts) == 3 and all(part.replace(".", "", 1).isdigit() for part in parts):
        hours, minutes, seconds = map(float, parts)
        return hours * 3600 + minutes * 60 + seconds
    if container.duration and not container.streams.audio:
        return container.duration / av.time_base
    return None


def describe(
    container: InputContainer, stream: VideoStream, first: VideoFrame, size: tuple[int, int]
) -> VideoInfo:
    """Put together what the header and the first decoded frame say; `size` is (width, height)."""
    seconds = stream_seconds(container, stream)
    if seconds is None and container.duration:
        seconds = container.duration / av.time_base
    time_base = stream.time_base or Fraction(1, av.time_base)
    rate = Fraction(stream.average_rate) if stream.average_rate else None
    frames = stream.frames or (round(seconds * rate) if seconds and rate else None)
    audio = container.streams.audio
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
        audio_codec=audio[0].codec.canonical_name if audio else None,
    )
