"""The driving file's sound: copied as it is where possible, else decoded, cut and encoded anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from talkhead.io.image import is_picture
from talkhead.video.clock import Clock, clock_start
from talkhead.video.formats import Container
from talkhead.video.media import pick_track
from talkhead.video.opening import Media, Stamp, open_media
from talkhead.video.pictures import is_picture_sequence

log = logging.getLogger(__name__)

COMMON_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
BIT_RATE_PER_CHANNEL = 96_000
# Containers round times to a millisecond and encoders to a frame; what is off by less than this is
# taken as following on directly, what is off by more is a real gap and is filled with silence.
GAP_SECONDS = Fraction(1, 25)
# Silence is made for a gap while pictures are shown, but not for hours: a broken clock is likelier.
LONGEST_GAP, ANY_GAP = Fraction(60), Fraction(2 * 3600)
MAX_CHUNK = 48000  # samples handed to the encoder at a time: a long gap must not take memory


@dataclass(frozen=True)
class Cut:
    """A stretch of the driving file's clock, in seconds; it is moved to begin at 0."""

    start: Fraction
    end: Fraction


@dataclass(frozen=True)
class Sound:
    """One sound track of a media file; `stamp` is what the file was when the track was chosen."""

    path: Path
    track: int
    codec: str
    stamp: Stamp

    @classmethod
    def find(cls, path: Path, track: int | None = None) -> Sound | None:
        """The chosen track (None: the default one); None when the file has no sound to be had."""
        if is_picture_sequence(path) or is_picture(path):
            return None
        with open_media(path) as media:
            tracks = media.container.streams.audio
            number = pick_track(tracks, track, str(path), "sound")
            if number is None:
                if tracks:
                    log.warning(
                        "the sound of %s cannot be decoded here; the result is silent", path
                    )
                return None
            return cls(path, number, tracks[number].codec.canonical_name, media.stamp)

    def open(self) -> AbstractContextManager[Media]:
        """The file again; raises TalkheadError when it has changed since."""
        return open_media(self.path, stamp=self.stamp)


class SoundFeed:
    """Adds a stream for one track to an open output and yields its packets in order.

    Without a cut, and when the container carries the codec, every packet is copied with its
    timestamps (less what the file's clock shows at its beginning). Otherwise the sound is decoded,
    cut to the sample and encoded anew; gaps and damaged packets become silence, so what follows
    stays in time. More than two channels are mixed down to two when encoding.

    end: seconds at which the pictures end: sound that goes on after a gap beyond it is left out.
    """

    def __init__(
        self,
        media: Media,
        sound: Sound,
        output: OutputContainer,
        kind: Container,
        cut: Cut | None,
        end: Fraction,
    ) -> None:
        self._media = media
        self._path = sound.path
        self._input: AudioStream = media.container.streams.audio[sound.track]
        self._cut = cut
        self._end = end
        self._start = clock_start(media.container)
        self._copied = cut is None and sound.codec in kind.copied_sound
        if self._copied:
            self._output = output.add_stream_from_template(self._input)
        else:
            log.info("the sound (%s) is encoded anew with %s", sound.codec, kind.sound_codec)
            self._output = self._new_stream(output, kind.sound_codec)

    def _new_stream(self, output: OutputContainer, codec: str) -> AudioStream:
        rate = self._input.rate
        if codec == "libopus" or rate not in COMMON_RATES:
            rate = 48000
        stream = output.add_stream(codec, rate=rate)
        assert isinstance(stream, AudioStream)
        channels = min(2, self._input.channels)
        stream.codec_context.layout = "stereo" if channels == 2 else "mono"
        stream.bit_rate = BIT_RATE_PER_CHANNEL * channels
        return stream

    def packets(self) -> Iterator[Packet]:
        """Packets of the output stream, by time."""
        return self._copy() if self._copied else self._encode()

    def _demux(self) -> Iterator[Packet]:
        """The track's packets with repaired times; damage ends it with a warning."""
        try:
            for packet in Clock(self._media.container).packets(self._input):
                if packet.size:  # an empty packet only says: flush the decoder
                    yield packet
        except av.FFmpegError as error:
            self._media.check(error)
            log.warning("the sound of %s breaks off: %s", self._path, error.strerror)
        self._media.check()

    def _copy(self) -> Iterator[Packet]:
        """Packets as they are, with times that containers take: each later than the one before."""
        ticks = Fraction(self._input.time_base or 1)
        start, due, lost = round(self._start / ticks), None, 0
        for packet in self._demux():
            packet.pts = None if packet.pts is None else packet.pts - start
            packet.dts = packet.pts if packet.dts is None else packet.dts - start
            if packet.dts is None or (due is not None and packet.dts < due):
                lost += 1
                continue
            if due is not None and self._is_lost(due * ticks, packet.dts * ticks):
                break
            due = packet.dts + 1
            packet.stream = self._output
            yield packet
        if lost:
            log.warning(
                "%s: %d packets of sound overlap those before and are left out", self._path, lost
            )

    def _is_lost(self, before: Fraction, after: Fraction) -> bool:
        """Whether a gap leads so far beyond the pictures that nobody would wait for its end."""
        lost = after - before > LONGEST_GAP and (after > self._end or after - before > ANY_GAP)
        if lost:
            log.warning(
                "the sound of %s stops at %.2f s and goes on at %.2f s; the rest is left out",
                self._path,
                float(before),
                float(after),
            )
        return lost

    def _encode(self) -> Iterator[Packet]:
        rate = self._input.rate
        for start, samples in self._fitted(rate):
            for begin in range(0, samples.shape[1], MAX_CHUNK):
                chunk = np.ascontiguousarray(samples[:, begin : begin + MAX_CHUNK])
                frame = AudioFrame.from_ndarray(chunk, "fltp", self._output.layout.name)
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = start + begin
                yield from self._output.encode(frame)
        yield from self._output.encode(None)

    def _fitted(self, rate: int) -> Iterator[tuple[int, np.ndarray]]:
        """Runs of samples without gap or overlap inside the cut, each with its first index."""
        begin = round(self._cut.start * rate) if self._cut else None
        end = round(self._cut.end * rate) if self._cut else None
        cursor: int | None = None
        for at, samples in self._decoded(rate):
            if cursor is None:
                first = at if begin is None else max(at, begin)
                if at + samples.shape[1] <= first:
                    continue  # still before the cut
                cursor = first
            elif abs(at - cursor) < GAP_SECONDS * rate:
                at = cursor
            elif self._is_lost(Fraction(cursor, rate), Fraction(at, rate)):
                return
            if end is not None:
                at = min(at, end)
                samples = samples[:, : max(0, end - at)]
            shift = 0 if begin is None else begin
            if at > cursor:
                # Silence; zeros that take no memory however many there are.
                yield cursor - shift, np.broadcast_to(np.float32(0), (len(samples), at - cursor))
                cursor = at
            samples = samples[:, cursor - at :]
            if samples.shape[1]:
                yield cursor - shift, samples
                cursor += samples.shape[1]
            if cursor == end:
                return

    def _decoded(self, rate: int) -> Iterator[tuple[int, np.ndarray]]:
        """Decoded sound from about a second before the cut: sample index, float (channels, n)."""
        earliest = self._cut.start + self._start - 1 if self._cut else None
        damaged = 0
        converters: dict[tuple[str, str, int], AudioResampler] = {}
        for packet in self._demux():
            if earliest is not None and (packet.pts or 0) * packet.time_base < earliest:
                continue
            try:
                frames = self._input.decode(packet)
            except av.FFmpegError as error:
                self._media.check(error)
                damaged += 1
                continue
            for frame in frames:
                # A damaged stream may change its format for a frame; each has its converter.
                key = (frame.format.name, frame.layout.name, frame.sample_rate)
                if key not in converters:
                    converters[key] = AudioResampler("fltp", self._output.layout.name, rate)
                if frame.pts is None or frame.time_base is None:
                    continue
                at = round((frame.pts * frame.time_base - self._start) * rate)
                for converted in converters[key].resample(frame):
                    samples = converted.to_ndarray()
                    yield at, samples
                    at += samples.shape[1]
        if damaged:
            log.warning(
                "%s: %d damaged packets of sound are silent in the result", self._path, damaged
            )
