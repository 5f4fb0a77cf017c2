"""An endless GIF with one palette for all frames: what stands still is stored once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import CodecContext
from av.filter import Graph
from av.filter.context import FilterContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from talkhead.video.workspace import Timing, Workspace

log = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 100)
DITHER = "dither=bayer:bayer_scale=4"  # a fixed grid: still parts do not flicker
PALETTE_SIZE = (16, 16)  # FFmpeg's picture of 256 colours
MIN_DELAY = 2  # browsers show a frame of 1/100 s for 1/10 s


def write_gif(workspace: Workspace, partial: Path, time_base: Fraction, timing: Timing) -> None:
    """Write the stored PNG frames, whose times count from the first."""
    width, height = timing.size
    times = _times(workspace, time_base, timing.first)
    graph = Graph()
    pictures = _input(graph, width, height, "rgb24")
    colours = _input(graph, *PALETTE_SIZE, "bgra")
    paint = graph.add("paletteuse", DITHER)
    colours.link_to(paint, 0, 1)
    graph.link_nodes(pictures, paint, graph.add("buffersink")).configure()
    colours.push(_palette(_frames(workspace, times), width, height))
    colours.push(None)
    with av.open(f"file:{partial}", "w", format="gif") as output:
        stream = output.add_stream("gif", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
        stream.codec_context.time_base = TIME_BASE
        for frame in _frames(workspace, times):
            pictures.push(frame)
            painted = graph.vpull()
            painted.pts, painted.time_base = frame.pts, TIME_BASE
            output.mux(stream.encode(painted))
        output.mux(stream.encode(None))


def _input(graph: Graph, width: int, height: int, pixels: str) -> FilterContext:
    return graph.add_buffer(
        width=width, height=height, format=VideoFormat(pixels), time_base=TIME_BASE
    )


def _palette(frames: Iterable[VideoFrame], width: int, height: int) -> VideoFrame:
    """The 256 colours that show all frames best."""
    graph = Graph()
    pictures = _input(graph, width, height, "rgb24")
    graph.link_nodes(pictures, graph.add("palettegen"), graph.add("buffersink")).configure()
    for frame in frames:
        pictures.push(frame)
    pictures.push(None)
    palette = graph.vpull()
    palette.pts, palette.time_base = 0, TIME_BASE
    return palette


def _times(workspace: Workspace, time_base: Fraction, first: int) -> list[int | None]:
    """Of every frame, hundredths of a second from 0; None where it comes too soon."""
    times: list[int | None] = []
    last = -MIN_DELAY
    for coded in workspace.frames():
        pts = round((coded.pts - first) * time_base / TIME_BASE)
        soon = pts - last < MIN_DELAY
        times.append(None if soon else pts)
        last = last if soon else pts
    if left_out := times.count(None):
        log.warning("a GIF shows at most 50 frames per second: %d frames left out", left_out)
    return times


def _frames(workspace: Workspace, times: Sequence[int | None]) -> Iterator[VideoFrame]:
    """Decoded frames at their times."""
    for coded, pts in zip(workspace.frames(), times, strict=True):
        if pts is None:
            continue
        # A decoder for each: one that is used again adds the picture before to the next (FFmpeg
        # 8.1), and with several threads frames would come out later than they go in.
        decoder = CodecContext.create("png", "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.thread_count = 1
        for frame in decoder.decode(Packet(coded.data)):
            frame.pts, frame.time_base = pts, TIME_BASE
            yield frame
