"""Opening media that strangers made: what is read, by which readers, and what may go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.stream import VideoStream

from talkhead.errors import TalkheadError, disk_explained
from talkhead.interrupts import CalledFromC
from talkhead.io.window import Place, Window

# FFmpeg's names of the containers that are read, recognised by content and whatever the file's
# name. Of its 300 others some read further files or the network (playlists, SDP), some draw text
# as pictures, and most hold no video that anybody drives with.
VIDEO_FORMATS = (
    "mov,matroska,avi,mpeg,mpegts,asf,flv,live_flv,ogg,gif,mxf,ivf,nut,dv,"
    "h264,hevc,m4v,mpegvideo,obu,yuv4mpegpipe"
)
SOUND_FORMATS = "wav,w64,mp3,aac,flac,aiff,caf,ac3,eac3"
# Every byte comes from the one file or pipe that was asked for: FFmpeg itself opens nothing.
PROTOCOLS = ""
GPU = "cuda"  # FFmpeg's name for decoding with NVDEC
MAX_FRAME_PIXELS = 40_000_000  # of a video; 8K has 33 million
INDEX_AT_END = (b"ftyp", b"mdat", b"wide", b"free")
REFERENCES = (b"#EXTM3U", b"ffconcat", b"v=0", b"<?xml", b"[playlist]")


Stamp = tuple[int, int, int]  # inode, size and time of change: what tells states of a file apart


def stamp_of(path: Path) -> Stamp:
    """Raises TalkheadError when the file is gone."""
    with disk_explained(f"cannot read {path}", "check the path"):
        stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def check_unchanged(path: Path, stamp: Stamp) -> None:
    """Raise TalkheadError when a file is no longer what it was."""
    if stamp_of(path) != stamp:
        raise TalkheadError(
            f"{path} has changed while it was being read; wait until it is complete, then run "
            "the command again"
        )


class Media(Window, CalledFromC):
    """An open media file: its bytes, and the container that FFmpeg makes of them.

    FFmpeg would take an error of the disk for the end of the file, or for damage; here it is kept.

    stamp: what the file was when it was opened.
    """

    container: InputContainer

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)  # by its ending FFmpeg chooses between formats that look alike
        self.stamp = stamp_of(path)
        super().__init__(Place(path))
        self._error: OSError | None = None

    def read(self, count: int = -1) -> bytes:
        """At most `count` bytes; none at the end and after an error."""
        try:
            return super().read(count)
        except OSError as error:
            self._error = error
            return b""

    def check(self, error: av.FFmpegError | None = None) -> None:
        """Raise TalkheadError when reading ended for another reason than the file's own content.

        error: what FFmpeg said; damage is for the caller to tell.
        """
        if self._error is not None:
            raise TalkheadError(
                f"{self.path} cannot be read to its end ({self._error.strerror}); check the disk "
                "or the connection, then run the command again"
            ) from self._error
        if isinstance(error, MemoryError):
            raise TalkheadError(
                f"memory ran out while {self.path} was read; close other programs, or make its "
                "pictures smaller"
            ) from error
        check_unchanged(self.path, self.stamp)


@contextmanager
def open_media(path: Path, hardware: bool = False, stamp: Stamp | None = None) -> Iterator[Media]:
    """Open a local media file; raises TalkheadError that says what is wrong with it.

    hardware: its pictures are decoded by an NVIDIA GPU (NVDEC), or not at all.
    stamp:    what it was when it was read before; TalkheadError when it has changed since.
    """
    _check_file(path)
    if stamp is not None:
        check_unchanged(path, stamp)
    try:
        media = Media(path)
    except PermissionError as error:
        raise TalkheadError(f"{path} may not be read; check its permissions") from error
    try:
        with _open_container(media, hardware) as media.container:
            yield media
    finally:
        media.close()


def _check_file(path: Path) -> None:
    if not path.exists():
        raise TalkheadError(f"{path} does not exist; check the path")
    if path.is_dir():
        raise TalkheadError(f"{path} is a folder, not a media file")
    if not path.is_file():
        raise TalkheadError(f"{path} is no file that can be read twice; pipe it in and give -")
    if path.stat().st_size == 0:
        raise TalkheadError(f"{path} is empty (0 bytes); download or record it again")


def _open_container(media: Media, hardware: bool) -> InputContainer:
    accelerator = HWAccel(GPU, allow_software_fallback=False) if hardware else None
    try:
        return open_untrusted(media, f"{VIDEO_FORMATS},{SOUND_FORMATS}", hwaccel=accelerator)
    except (av.FFmpegError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        media.check(error if isinstance(error, av.FFmpegError) else None)
        if hardware:
            raise TalkheadError(
                f"{media.path} cannot be decoded in hardware here, which needs an NVIDIA GPU with "
                "its driver and a codec that it knows; leave out --hardware"
            ) from error
        if not isinstance(error, av.FFmpegError | OSError):
            raise
        raise TalkheadError(_why_not_opened(media.path)) from error


def open_untrusted(source: Any, formats: str, **options: Any) -> InputContainer:
    """A container read from a file object (`read`, perhaps `seek` and `tell`) and nothing else.

    formats: FFmpeg's names of those that it may have, with commas.
    options: further ones of `av.open`.
    """
    limits = {
        "format_whitelist": formats,
        "protocol_whitelist": PROTOCOLS,
        "max_pixels": str(MAX_FRAME_PIXELS),
        **options.pop("options", {}),
    }
    # Titles of older cameras and editors are not UTF-8.
    return av.open(source, "r", options=limits, metadata_errors="replace", **options)


def check_pixels(width: int, height: int, name: Path | str) -> None:
    """Raise TalkheadError for moving pictures that would take gigabytes."""
    if width * height > MAX_FRAME_PIXELS:
        raise TalkheadError(
            f"{name} has pictures of {width}x{height} pixels; the limit for a video is "
            f"{MAX_FRAME_PIXELS // 10**6} megapixels: make it smaller first"
        )


def limit_pixels(stream: VideoStream, name: Path | str) -> None:
    """Have no picture decoded beyond that limit; TalkheadError for one known to go beyond it."""
    context = stream.codec_context
    check_pixels(context.width, context.height, name)
    context.options = {**context.options, "max_pixels": str(MAX_FRAME_PIXELS)}


def _why_not_opened(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in INDEX_AT_END:
        return (
            f"{path} has lost its index (the moov atom), so it cannot be opened: the recording or "
            "the download broke off; fetch it again or repair it with a tool such as untrunc"
        )
    if head.startswith(REFERENCES):
        return (
            f"{path} is a list of other files or addresses, which are not opened for it; give the "
            "video itself"
        )
    return (
        f"{path} is not a video that can be read, or it is damaged; pass an mp4, mov, mkv or webm"
    )
