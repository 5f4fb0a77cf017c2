"""Containers and codecs, and the settings of each encoder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import CodecContext, Flags
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from talkhead.errors import TalkheadError
from talkhead.video.pictures import pattern_to_write
from talkhead.video.pixels import BT709, LIMITED

PCM = frozenset({"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_f32le"})


@dataclass(frozen=True)
class Container:
    """A kind of output: FFmpeg's name, the codecs offered (first = default), the sound it carries.

    copied_sound: sound codecs that players expect in it; others are encoded as `sound_codec`.
    An empty sound_codec means that it has no sound.
    """

    name: str
    codecs: tuple[str, ...]
    copied_sound: frozenset[str] = frozenset()
    sound_codec: str = ""


CONTAINERS = {
    ".mp4": Container(
        "mp4",
        ("h264", "hevc", "av1", "vp9"),
        frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}),
        "aac",
    ),
    ".mov": Container(
        "mov", ("h264", "hevc", "prores"), PCM | {"aac", "mp3", "ac3", "eac3", "alac"}, "aac"
    ),
    ".mkv": Container(
        "matroska",
        ("h264", "hevc", "av1", "vp9", "prores", "ffv1"),
        PCM | {"aac", "mp2", "mp3", "ac3", "eac3", "dts", "alac", "opus", "vorbis", "flac"},
        "aac",
    ),
    ".webm": Container("webm", ("vp9", "av1"), frozenset({"opus", "vorbis"}), "libopus"),
    ".gif": Container("gif", ("png",)),
    "": Container("png", ("png",)),
}


@dataclass(frozen=True)
class Codec:
    """One encoder: its FFmpeg name, pixel format, fixed options, default quality and speed.

    crf is None where quality is not chosen that way; `crf_option` and `preset_option` name the
    settings of quality and speed; `worst` is the end of that scale, which begins at 0.
    """

    encoder: str
    pixel_format: str
    options: tuple[tuple[str, str], ...] = ()
    crf: int | None = None
    preset: str | None = None
    preset_option: str = "preset"
    crf_option: str = "crf"
    worst: int = 51

    def quality(self, crf: int | None) -> str:
        """The value of `crf_option`; raises TalkheadError for one that is not on the scale."""
        if crf is not None and not 0 <= crf <= self.worst:
            raise TalkheadError(f"crf lies between 0 and {self.worst} here, not {crf}")
        return str(self.crf if crf is None else crf)


CODECS = {
    "h264": Codec("libx264", "yuv420p", (), 18, "medium"),
    "hevc": Codec("libx265", "yuv420p", (("x265-params", "log-level=error"),), 20, "medium"),
    "vp9": Codec("libvpx-vp9", "yuv420p", (("row-mt", "1"),), 24, "4", "cpu-used", worst=63),
    "av1": Codec("libsvtav1", "yuv420p", (), 24, "8", worst=63),
    "prores": Codec("prores_ks", "yuv422p10le", (("profile", "hq"),)),
    "ffv1": Codec("ffv1", "bgr0", (("level", "3"), ("g", "1"))),
    "png": Codec("png", "rgb24"),
}


# NVIDIA's encoders (NVENC), in place of those above: constant quality, p1 (quickest) to p7.
_NVENC = (("rc", "vbr"),)
HARDWARE = {
    "h264": Codec("h264_nvenc", "yuv420p", _NVENC, 19, "p5", crf_option="cq"),
    "hevc": Codec("hevc_nvenc", "yuv420p", _NVENC, 21, "p5", crf_option="cq"),
    "av1": Codec("av1_nvenc", "yuv420p", _NVENC, 26, "p5", crf_option="cq"),
}


def container_for(path: Path) -> Container:
    """The kind of output that a path asks for; raises TalkheadError for an unknown ending.

    Numbered PNG pictures are asked for as `pattern_to_write` says.
    """
    suffix = path.suffix.lower()
    if pattern_to_write(path):
        return CONTAINERS[""]
    if suffix == ".png":
        raise TalkheadError(f"{path} is one picture; number the frames, as in frames_%05d.png")
    if suffix not in CONTAINERS:
        known = ", ".join(name for name in CONTAINERS if name)
        raise TalkheadError(
            f"cannot write {path}: unknown ending '{suffix}'; use {known}, or a folder for pictures"
        )
    return CONTAINERS[suffix]


@dataclass(frozen=True)
class Encoding:
    """All that decides the coded bytes of a video apart from its pictures."""

    codec: Codec
    time_base: Fraction
    rate: Fraction
    options: tuple[tuple[str, str], ...]

    @classmethod
    def choose(
        cls,
        path: Path,
        time_base: Fraction,
        rate: Fraction,
        codec: str | None,
        crf: int | None,
        preset: str | None,
        hardware: bool = False,
    ) -> Encoding:
        """Fill in the defaults; raises TalkheadError when the container lacks the codec.

        hardware: NVIDIA's encoder for it; raises TalkheadError where that is not to be had.
        """
        offered = container_for(path).codecs
        name = codec or offered[0]
        if name not in offered:
            raise TalkheadError(
                f"{path} cannot hold codec '{name}'; choose from {', '.join(offered)}, "
                "or another file ending"
            )
        if hardware and name not in HARDWARE:
            raise TalkheadError(
                f"there is no hardware encoder for '{name}'; choose from {', '.join(HARDWARE)}, or "
                "leave out --hardware"
            )
        chosen = HARDWARE[name] if hardware else CODECS[name]
        for wish, offer, what in ((crf, chosen.crf, "crf"), (preset, chosen.preset, "preset")):
            if wish is not None and offer is None:
                raise TalkheadError(
                    f"what is written to {path} has no {what} to choose; leave it out"
                )
        options = dict(chosen.options)
        preset = preset or chosen.preset
        if chosen.crf is not None:
            options[chosen.crf_option] = chosen.quality(crf)
        if chosen.preset is not None and preset is not None:
            options[chosen.preset_option] = preset
        if chosen.encoder == "libsvtav1":
            # SVT-AV1 reports every start on stderr unless told not to before it is loaded.
            os.environ.setdefault("SVT_LOG", "1")
        encoding = cls(chosen, time_base, rate, tuple(options.items()))
        if hardware:
            encoding.require()
        return encoding

    def require(self) -> None:
        """Raise TalkheadError unless an encoder of this kind opens on this machine."""
        try:
            self.encoder(256, 256).open()
        except av.FFmpegError as error:
            raise TalkheadError(
                f"the hardware encoder {self.codec.encoder} does not open here: it needs an NVIDIA "
                "GPU that encodes (some, such as the H100, do not) and its driver; leave out "
                "--hardware"
            ) from error

    def encoder(self, width: int, height: int) -> VideoCodecContext:
        """A fresh encoder, not yet opened."""
        context = CodecContext.create(self.codec.encoder, "w")
        assert isinstance(context, VideoCodecContext)
        self.configure(context, width, height)
        return context

    def add_stream(self, output: OutputContainer, width: int, height: int) -> VideoStream:
        """A stream of an open output, with an encoder of its own."""
        stream = output.add_stream(self.codec.encoder, rate=self.rate)
        assert isinstance(stream, VideoStream)
        self.configure(stream.codec_context, width, height)
        return stream

    def configure(self, context: VideoCodecContext, width: int, height: int) -> None:
        """Set an encoder that is not yet open; the same settings give the same stream header."""
        context.width, context.height = width, height
        context.pix_fmt = self.codec.pixel_format
        context.time_base, context.framerate = self.time_base, self.rate
        context.options = dict(self.options)
        context.flags |= Flags.global_header
        if self.codec.pixel_format.startswith("yuv"):
            context.colorspace = context.color_primaries = context.color_trc = BT709
            context.color_range = LIMITED
        if self.codec.encoder in ("libx265", "hevc_nvenc"):
            context.codec_tag = "hvc1"  # Apple's players refuse FFmpeg's default, hev1
