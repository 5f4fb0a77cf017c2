"""Output frames: smoothing, transfer, model, then layout or pasting back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np

from talkhead.animation.driving import DrivingBatch
from talkhead.animation.layout import arrange
from talkhead.animation.portrait import Portrait
from talkhead.animation.settings import RenderSettings
from talkhead.faces.paste import Paster
from talkhead.inference.drawn import PendingBatch
from talkhead.inference.engine import EncodedSource, Engine
from talkhead.motion.smoothing import Smoother
from talkhead.options import LARGEST_SIDE
from talkhead.structs import Keypoints


@dataclass(frozen=True)
class RenderedFrame:
    """One frame, drawn (perhaps not yet to the end) but not yet composed.

    batches: for each source the batch that the frame is in, as number `index`; driving: its crop.
    """

    batches: list[PendingBatch]
    index: int
    driving: np.ndarray | None
    pts: int

    @property
    def results(self) -> list[np.ndarray]:
        """A picture per source, waited for."""
        return [batch.pictures[self.index] for batch in self.batches]


class FrameRenderer:
    """Turns batches into frames: smoothing, transfer, the model, then the layout or the photo.

    sources, settings: with detail and a size in pixels, see `resolution`.
    anchors: for each source the keypoints that its relative motion is measured from.
    """

    def __init__(
        self,
        engine: Engine,
        sources: Sequence[Portrait],
        anchors: Sequence[Keypoints | None],
        settings: RenderSettings,
        time_base: Fraction,
    ) -> None:
        self._engine = engine
        self._sources = sources
        self._settings = settings
        self._time_base = time_base
        self._smoother = Smoother(settings.smooth)
        self._transfers = [
            choose_transfer(engine, source.encoded, anchor, settings)
            for source, anchor in zip(sources, anchors, strict=True)
        ]
        self._paster = None
        if settings.paste_back:
            self._paster = Paster(sources[0].photo, sources[0].crop, LARGEST_SIDE)

    def draw(self, batch: DrivingBatch, skip: int = 0) -> Iterator[RenderedFrame]:
        """The frames of a batch after the first `skip`, which are only smoothed over."""
        seconds = [float(pts * self._time_base) for pts in batch.pts]
        keypoints = self._smoother(batch.keypoints, seconds)[skip:]
        if len(keypoints) == 0:
            return
        results = [
            self._engine.begin(source.encoded, transfer(keypoints))
            for source, transfer in zip(self._sources, self._transfers, strict=True)
        ]
        pictures = batch.pictures[skip:] if batch.pictures else [None] * len(keypoints)
        for i, (picture, pts) in enumerate(zip(pictures, batch.pts[skip:], strict=True)):
            yield RenderedFrame(results, i, picture, pts)

    def compose(self, frame: RenderedFrame) -> np.ndarray:
        """The output frame, uint8 RGB."""
        if self._paster is not None:
            return self._paster(frame.results[0])
        portraits = [source.encoded.shown for source in self._sources]
        side = self._settings.size
        assert side != "auto"
        return arrange(self._settings.layout, portraits, frame.driving, frame.results, side)


def choose_transfer(
    engine: Engine, source: EncodedSource, anchor: Keypoints | None, settings: RenderSettings
) -> Callable[[Keypoints], Keypoints]:
    """What turns driving keypoints into those that are drawn, for one source."""
    if settings.motion == "avd":
        return partial(engine.disentangle, source)
    return engine.transfer(
        settings.motion,
        source.keypoints,
        anchor,
        settings.adapt_scale,
        settings.strengths,
        source.picture,
    )
