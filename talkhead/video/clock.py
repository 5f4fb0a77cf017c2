"""The clock of a media file: where it begins, and where recordings joined to one file break it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

# Formats that may be joined end to end as bytes, each part with a clock of its own.
JOINABLE = ("mpegts", "mpeg", "flv")
# Seconds by which a stream's clock may step ahead or back before it counts as another recording's:
# a broadcast that fails for less than that has a gap. In other formats every step is meant.
STEP_AHEAD, STEP_BACK = Fraction(10), Fraction(1, 10)


def clock_start(container: InputContainer) -> Fraction:
    """Seconds that a file's clock shows at its beginning: of broadcasts and live recordings hours.

    Sound that begins before 0 (an encoder's run-in) is not waited for.
    """
    return Fraction(max(0, container.start_time or 0), av.time_base)


class Clock:
    """Times that go on over the seams of joined recordings, the same for pictures and sound.

    Reads all packets in the order of the file, so that whoever reads one of its streams finds the
    same seams. A recording begins where the longest stream of the one before has ended; what each
    stream lacks there stays lacking, and pictures and sound of one recording keep together.
    """

    def __init__(self, container: InputContainer) -> None:
        self._container = container
        self._joinable = container.format.name in JOINABLE
        self._shifts: dict[int, Fraction] = {}  # by stream: seconds added to its times
        self._ends: dict[int, Fraction] = {}  # by stream: when its next packet is due
        self._newest = Fraction(0)
        self.seams: list[Fraction] = []  # when recordings begin that were joined on

    def packets(self, stream: Stream) -> Iterator[Packet]:
        """A stream's packets with repaired times. Raises av.FFmpegError where damage ends them."""
        read = [
            s
            for s in self._container.streams
            if s.type in ("video", "audio") and s.codec_context is not None
        ]
        for packet in self._container.demux(read):
            here = packet.stream.index  # of the empty packets at the end only `stream` is right
            time = packet.pts if packet.dts is None else packet.dts
            if self._joinable and time is not None and packet.time_base:
                ticks = Fraction(packet.time_base)
                if packet.pts is not None and abs(packet.pts - time) * ticks > STEP_AHEAD:
                    packet.pts = None  # before a seam FFmpeg may guess it from what comes after
                length = (packet.duration or 0) * ticks
                shift = round(self._shift(here, time * ticks, length) / ticks)
                if shift and here == stream.index:
                    packet.pts = None if packet.pts is None else packet.pts + shift
                    packet.dts = None if packet.dts is None else packet.dts + shift
            if here == stream.index:
                yield packet

    def _shift(self, stream: int, time: Fraction, length: Fraction) -> Fraction:
        """Seconds to add to a packet's times, which are `time` and last for `length`."""
        due = self._ends.get(stream)
        shift = self._shifts.get(stream, self._newest)
        if due is not None:
            shift = min((shift, self._newest), key=lambda s: abs(time + s - due))
            if not -STEP_BACK <= time + shift - due <= STEP_AHEAD:
                start = max(self._ends.values())
                shift = self._newest = start - time
                self.seams.append(start)
        self._shifts[stream] = shift
        self._ends[stream] = time + shift + length
        return shift
