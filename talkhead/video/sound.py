"""The driving file's sound: copied as it is where possible, else decoded, cut and encoded anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from talkhead.errors import TalkheadError
from talkhead.video.formats import Container
from talkhead.video.media import clock_start, open_media
from talkhead.video.pictures import is_picture_sequence

log = logging.getLogger(__name__)

COMMON_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
BIT_RATE_PER_CHANNEL = 96_000
# Containers round times to a millisecond and encoders to a frame; what is off by less than this is
# taken as following on directly, what is off by more is a real gap and is filled with silence.
GAP_SECONDS = Fraction(1, 25)
MAX_CHUNK = 48000  # samples handed to the encoder at a time: a long gap must not take memory


@dataclass(frozen=True)
class Cut:
    """A stretch of the driving file's clock, in seconds; it is moved to begin at 0."""

    start: Fraction
    end: Fraction


@dataclass(frozen=True)
class Sound:
    """One sound track of a media file."""

    path: Path
    track: int
    codec: str

    @classmethod
    def find(cls, path: Path, track: int | None = None) -> Sound | None:
        """The chosen track (None: the first); None when the file has no sound at all."""
        if is_picture_sequence(path):
            return None
        with open_media(path) as container:
            codecs = [stream.codec.canonical_name for stream in container.streams.audio]
        if not codecs:
            if track is not None:
                raise TalkheadError(f"{path} has no sound track; leave out the track number")
            return None
        if track is not None and not 0 <= track < len(codecs):
            raise TalkheadError(
                f"{path} has no sound track {track}; choose from 0 to {len(codecs) - 1}"
            )
        if track is None and len(codecs) > 1:
            log.warning("%s has %d sound tracks; the first one is used", path, len(codecs))
        return cls(path, track or 0, codecs[track or 0])


class SoundFeed:
    """Adds a stream for one track to an open output and yields its packets in order.

    Without a cut, and when the container carries the codec, every packet is copied with its
    timestamps (less what a broadcast's clock shows at its beginning). Otherwise the sound is
    decoded, cut to the sample and encoded anew; gaps and damaged packets become silence, so what
    follows stays in time. More than two channels are mixed down to two when encoding.
    """

    def __init__(
        self,
        source: InputContainer,
        sound: Sound,
        output: OutputContainer,
        kind: Container,
        cut: Cut | None,
    ) -> None:
        self._source = source
        self._path = sound.path
        self._input: AudioStream = source.streams.audio[sound.track]
        self._cut = cut
        self._clock = clock_start(source)
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
        """The track's packets; damage ends it with a warning."""
        try:
            for packet in self._source.demux(self._input):
                if packet.size:  # an empty packet only says: flush the decoder
                    yield packet
        except av.FFmpegError as error:
            log.warning("the sound of %s breaks off: %s", self._path, error.strerror)

    def _copy(self) -> Iterator[Packet]:
        clock = round(self._clock / (self._input.time_base or 1))
        for packet in self._demux():
            packet.stream = self._output
            packet.pts = None if packet.pts is None else packet.pts - clock
            packet.dts = None if packet.dts is None else packet.dts - clock
            yield packet

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
            if end is not None:
                at = min(at, end)
                samples = samples[:, : max(0, end - at)]
            shift = 0 if begin is None else begin
            if at > cursor:
                yield cursor - shift, _silence(samples.shape[0], at - cursor)
                cursor = at
            samples = samples[:, cursor - at :]
            if samples.shape[1]:
                yield cursor - shift, samples
                cursor += samples.shape[1]
            if cursor == end:
                return

    def _decoded(self, rate: int) -> Iterator[tuple[int, np.ndarray]]:
        """Decoded sound from about a second before the cut: sample index, float (channels, n)."""
        earliest = self._cut.start + self._clock - 1 if self._cut else None
        damaged = 0
        converters: dict[tuple[str, str, int], AudioResampler] = {}
        for packet in self._demux():
            if earliest is not None and (packet.pts or 0) * packet.time_base < earliest:
                continue
            try:
                frames = self._input.decode(packet)
            except av.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                # A damaged stream may change its format for a frame; each has its converter.
                key = (frame.format.name, frame.layout.name, frame.sample_rate)
                if key not in converters:
                    converters[key] = AudioResampler("fltp", self._output.layout.name, rate)
                if frame.pts is None or frame.time_base is None:
                    continue
                at = round((frame.pts * frame.time_base - self._clock) * rate)
                for converted in converters[key].resample(frame):
                    samples = converted.to_ndarray()
                    yield at, samples
                    at += samples.shape[1]
        if damaged:
            log.warning(
                "%s: %d damaged packets of sound are silent in the result", self._path, damaged
            )


def _silence(channels: int, length: int) -> np.ndarray:
    """Zeros that take no memory however many there are."""
    return np.broadcast_to(np.float32(0), (channels, length))
