"""Tiny media files for tests, made with PyAV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from PIL import Image

from talkhead.video import VideoReader, VideoWriter

TONE = 440.0  # Hz


def moving_picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """uint8 (H, W, 3): a smooth gradient, red to the left, blue below, that moves."""
    y, x = np.mgrid[0:height, 0:width]
    red = 200 - 150 * x / width
    green = 60 + 100 * (0.5 + 0.5 * np.sin(number / 5 + x / width * 6))
    blue = 40 + 160 * y / height
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def large_picture(number: int) -> np.ndarray:
    """The same where coded bytes are compared: x264 codes pictures of 64 pixels now so, now so."""
    return moving_picture(number, 256, 192)


def make_clip(
    path: Path,
    frames: int = 25,
    rate: Fraction | int = 25,
    *,
    size: tuple[int, int] = (64, 48),
    audio: bool = True,
    audio_codec: str = "aac",
    audio_tracks: int = 1,
    audio_seconds: float | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    pictures: Sequence[np.ndarray] | None = None,
    colorspace: int = 1,
    color_range: int = 1,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip of `moving_picture`s (or `pictures`) with a tone and return its path.

    size:      (width, height) as stored; `rotation` is how far players turn it, in degrees
               counter-clockwise.
    pts:       presentation times in `time_base` units (default: 0, 1, 2, ... at `rate`).
    colorspace, color_range: FFmpeg's numbers; pixels are converted accordingly and tagged
               (1, 1 is BT.709 limited; colorspace 2 means untagged and is converted as BT.601).
    """
    rate = Fraction(rate)
    time_base = time_base or 1 / rate
    times = list(pts) if pts is not None else [round(i / rate / time_base) for i in range(frames)]
    with av.open(str(path), "w", options=options or {}) as output:
        video = output.add_stream(codec, rate=rate)
        video.width, video.height, video.pix_fmt = *size, pixel_format
        video.codec_context.time_base = time_base
        video.codec_context.colorspace, video.codec_context.color_range = colorspace, color_range
        video.codec_context.thread_count = 1
        if codec in ("libx264", "libx265"):
            video.options = {"preset": "veryfast"}  # quick, and still with B-frames
        if rotation:
            video.set_display_rotation(rotation)
        seconds = audio_seconds or float(times[-1] * time_base + 1 / rate)
        tones = [_add_tone(output, audio_codec) for _ in range(audio_tracks if audio else 0)]
        for number, time in enumerate(times):
            rgb = moving_picture(number, *size) if pictures is None else pictures[number]
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
            if pixel_format.startswith("yuv"):
                frame = frame.reformat(
                    format=pixel_format,
                    dst_colorspace={1: 1, 9: 9}.get(colorspace, 5),
                    src_color_range=2,
                    dst_color_range=color_range or 1,
                )
            frame.pts, frame.time_base = time, time_base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        for number, tone in enumerate(tones):
            _fill_tone(output, tone, seconds, TONE * (number + 1))
    return path


def _add_tone(output: OutputContainer, codec: str) -> av.AudioStream:
    stream = output.add_stream(codec, rate=48000)
    stream.layout = "mono"
    return stream


def _fill_tone(
    output: OutputContainer, stream: av.AudioStream, seconds: float, hertz: float
) -> None:
    """A tone that is silent in the first half of every second: its edges show the timing."""
    time = np.arange(round(seconds * 48000)) / 48000
    wave = 0.5 * np.sin(2 * np.pi * hertz * time) * (time % 1 >= 0.5)
    for begin in range(0, len(wave), 4800):
        frame = av.AudioFrame.from_ndarray(
            wave[None, begin : begin + 4800].astype(np.float32), "fltp", "mono"
        )
        frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), begin
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def remux(
    source: Path,
    output: Path,
    change: Callable[[av.Packet], None] = lambda packet: None,
    title: str = "",
) -> Path:
    """Copy every packet of a clip into another file, changed on the way; returns its path."""
    with av.open(str(source)) as old, av.open(str(output), "w") as new:
        if title:
            new.metadata["title"] = title
        streams = {stream: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.size:
                change(packet)
                packet.stream = streams[packet.stream]
                new.mux(packet)
    return output


def loop(source: Path, output: Path, times: int) -> Path:
    """Write a clip's packets `times` over, each time later by its length; returns the new path.

    So even an hour is made at once.
    """
    with av.open(str(source)) as old, av.open(str(output), "w") as new:
        video = old.streams.video[0]
        length = video.frames / video.average_rate
        streams = {stream: new.add_stream_from_template(stream) for stream in old.streams}
        packets = [
            (packet, packet.stream, packet.pts, packet.dts)
            for packet in old.demux()
            if packet.size and 0 <= packet.pts * packet.time_base < length  # no priming of sound
        ]
        for turn in range(times):
            for packet, stream, pts, dts in packets:
                later = round(turn * length / stream.time_base)
                packet.stream = stream
                packet.time_base = stream.time_base
                packet.pts, packet.dts = pts + later, dts + later
                packet.stream = streams[stream]
                new.mux(packet)
    return output


def forget_codec(path: Path, kind: str, number: int) -> Path:
    """Give a track of an mp4 a codec that nobody knows. kind: "avc1" or "alac" as stored."""
    content = path.read_bytes()
    pieces = content.split(b"stsd")
    found = [place for place, piece in enumerate(pieces) if piece[12:16] == kind.encode()]
    place = found[number]
    pieces[place] = pieces[place][:12] + b"zzzz" + pieces[place][16:]
    path.write_bytes(b"stsd".join(pieces))
    return path


def make_sound(path: Path, seconds: float = 1.0, codec: str = "aac") -> Path:
    """Write a file with a tone and no pictures."""
    with av.open(str(path), "w") as output:
        _fill_tone(output, _add_tone(output, codec), seconds, TONE)
    return path


def make_pictures(folder: Path, count: int = 5, size: tuple[int, int] = (64, 48)) -> Path:
    """Write `moving_picture`s as frame_1.png, frame_2.png, ... and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(moving_picture(number, *size)).save(folder / f"frame_{number + 1}.png")
    return folder


def frame_seconds(path: Path) -> list[Fraction]:
    """The exact presentation time of every frame."""
    with av.open(str(path)) as container:
        return [frame.pts * Fraction(frame.time_base) for frame in container.decode(video=0)]


def sound_packets(path: Path, track: int = 0) -> list[Fraction]:
    """The presentation time of every packet of a sound track."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        return [p.pts * Fraction(p.time_base) for p in container.demux(stream) if p.size]


def sound_samples(path: Path, track: int = 0) -> tuple[np.ndarray, float, int]:
    """Decoded samples (n,) of the first channel, the second at which they begin, the rate."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(container.streams.audio[track]))
        samples = [np.atleast_2d(_planar(frame))[0] for frame in decoded]
        first = decoded[0]
        return np.concatenate(samples), float(first.pts * first.time_base), first.sample_rate


def _planar(frame: av.AudioFrame) -> np.ndarray:
    resampler = av.AudioResampler("fltp", frame.layout, frame.sample_rate)
    return resampler.resample(frame)[0].to_ndarray()


def copy_sound(
    source: Path, output: Path, *, trim: bool = False, **selection: float
) -> list[Fraction]:
    """Write the selected frames with the sound of `source`; returns the times of the frames."""
    track = selection.pop("track", None)
    preset = "8" if output.suffix == ".webm" else "ultrafast"
    with (
        VideoReader(source, **selection) as reader,
        VideoWriter(
            output,
            time_base=reader.info.time_base,
            rate=reader.info.rate,
            preset=preset,
            sound=source,
            track=track,
            trim=trim,
        ) as writer,
    ):
        times = []
        for frame in reader:
            writer.write(frame.rgb, frame.pts)
            times.append(frame.pts * frame.time_base)
    return times


def sound_onset(path: Path, track: int = 0) -> float:
    """The second at which the tone is first heard."""
    samples, start, rate = sound_samples(path, track)
    return start + float(np.argmax(np.abs(samples) > 0.1)) / rate


def frames_of(path: Path) -> np.ndarray:
    """All frames of a video or folder of pictures, uint8 (F, H, W, 3)."""
    with VideoReader(path) as reader:
        return np.stack([frame.rgb for frame in reader])


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
