"""Live reenactment: frames are drawn while they arrive."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from talkhead.animation.driving import Cropped, DrivingBatch, batches
from talkhead.animation.live_portrait import LiveRenderer
from talkhead.animation.renderer import RenderedFrame
from talkhead.animation.settings import RenderSettings
from talkhead.animation.threads import BackgroundWriter, DroppingPrefetcher, Prefetcher
from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.progress import Progress
from talkhead.video import LiveReader, StreamWriter

log = logging.getLogger(__name__)

QUEUE = 2  # drawn frames that may wait for the encoder; of those that come only one batch waits
PATIENCE = 2.0  # seconds for a reader that waits for a frame when nobody wants it any more
STEADY = 0.5  # the share of frames, from the end, that latency is told of: after all has warmed up


@dataclass(frozen=True)
class LiveReport:
    """What came out.

    frames:   written. left_out: came while all were busy (of a camera only: a pipe waits);
              faceless: came before the driver's face was first found.
    seconds:  from when the first frame to be drawn came.
    latency_ms, latency_p95_ms: median and 95th percentile, over the later half of the frames, of
              the time from when a frame was decoded until its result was written.
    """

    output: str
    frames: int
    left_out: int
    faceless: int
    seconds: float
    latency_ms: float
    latency_p95_ms: float

    @property
    def frames_per_second(self) -> float:
        """Written, per second of work."""
        return self.frames / self.seconds if self.seconds else 0.0


class LiveAnimator:
    """One live performance: portraits, a driver, an output.

    engine:  with a batch size of 1 for the least delay.
    keep_up: leave out frames that come while all are busy, for drivers that cannot be held up.
    anchor:  relative motion is measured from the first frame, since no later one is known yet.

    Raises TalkheadError for settings that need the whole video, for faces, and when the output
    cannot be written.
    """

    def __init__(
        self,
        sources: Sequence[Path],
        reader: LiveReader,
        engine: Engine,
        settings: RenderSettings,
        *,
        keep_up: bool = False,
        progress: Progress | None = None,
    ) -> None:
        if settings.sound and reader.has_sound:
            log.warning("the driver's sound is left out: live output has none")
        self._engine = engine
        self._reader = reader
        self._keep_up = keep_up
        self._progress = progress
        self._renderer = LiveRenderer(sources, engine, settings, reader.time_base)
        self._settings = self._renderer.settings
        self._faceless = 0
        self._began = 0.0
        self._arrived: dict[int, float] = {}
        self._latencies = array("f")

    def run(self, target: Path | BinaryIO, overwrite: bool = False) -> LiveReport:
        """Until the driver ends or `RenderSettings.frames` are drawn; Ctrl-C ends a camera.

        overwrite: replace a file that exists.
        """
        settings = self._settings
        with StreamWriter(
            target,
            time_base=self._reader.time_base,
            rate=self._reader.rate,
            codec=settings.codec,
            crf=settings.crf,
            preset=settings.preset,
            overwrite=overwrite,
        ) as writer:
            left_out = self._perform(writer)
        if not self._latencies:
            raise TalkheadError(
                f"the driver ended after {self._faceless} frames without a face; say where "
                "it is with --crop-driving x,y,size (or none)"
                if self._faceless
                else "the driver sent no frame"
            )
        steady = self._latencies[int(len(self._latencies) * (1 - STEADY)) :]
        median, p95 = np.percentile(steady, [50, 95])
        return LiveReport(
            output=str(target) if isinstance(target, Path) else "-",
            frames=len(self._latencies),
            left_out=left_out,
            faceless=self._faceless,
            seconds=time.perf_counter() - self._began,
            latency_ms=float(median),
            latency_p95_ms=float(p95),
        )

    def _perform(self, writer: StreamWriter) -> int:
        """Draw and write until the end; returns how many frames were left out."""
        crops = islice(self._crops(), self._settings.frames)
        runner = DroppingPrefetcher if self._keep_up else Prefetcher
        ahead = runner(crops, self._engine.batch_size, PATIENCE)
        write = BackgroundWriter[RenderedFrame](lambda drawn: self._write(writer, drawn), QUEUE)
        try:
            with ahead as arrivals, write as behind:
                for batch in batches(arrivals, self._engine.batch_size):
                    for drawn in self._draw(batch):
                        behind.put(drawn)
        except KeyboardInterrupt:
            if not self._keep_up:
                raise
        return ahead.left_out if isinstance(ahead, DroppingPrefetcher) else 0

    def _crops(self) -> Iterator[TimedCrop]:
        """Every frame from the first with a face on, cropped."""
        for frame in self._reader:
            seconds = time.perf_counter()
            cropped = self._renderer.crop(frame.rgb)
            if cropped is not None:
                yield TimedCrop(frame.pts, *cropped, seconds)
            else:
                if self._faceless == 0:
                    log.warning("no face in the driver yet; waiting for one")
                self._faceless += 1

    def _draw(self, batch: list[TimedCrop]) -> Iterator[RenderedFrame]:
        pictures = [arrival.picture for arrival in batch]
        keypoints = self._renderer.detect([arrival.moving for arrival in batch])
        self._began = self._began or batch[0].seconds
        self._arrived.update((arrival.pts, arrival.seconds) for arrival in batch)
        return self._renderer.draw(
            DrivingBatch(keypoints, [arrival.pts for arrival in batch], pictures)
        )

    def _write(self, writer: StreamWriter, drawn: RenderedFrame) -> None:
        writer.write(self._renderer.compose(drawn), drawn.pts)
        delay = time.perf_counter() - self._arrived.pop(drawn.pts)
        self._latencies.append(1000 * delay)
        if self._progress is not None:
            self._progress("live", len(self._latencies), None)


@dataclass(frozen=True)
class TimedCrop(Cropped):
    """A cropped driving picture, and when it came: `perf_counter` at its arrival."""

    seconds: float


def raw_size(text: str) -> tuple[int, int]:
    """Width and height from `640x480`."""
    words = text.lower().split("x")
    if len(words) != 2 or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise TalkheadError(f"the size of raw frames is written as 640x480, not {text!r}")
    return int(words[0]), int(words[1])
