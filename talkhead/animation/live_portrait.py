"""Portraits that follow pictures one by one, as a camera sends them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from talkhead.animation.driving import DrivingBatch
from talkhead.animation.renderer import FrameRenderer, RenderedFrame
from talkhead.animation.resolution import load_sources
from talkhead.animation.settings import RenderSettings
from talkhead.errors import TalkheadError
from talkhead.faces.alignment import make_finder
from talkhead.faces.crop import cut
from talkhead.faces.framing import Framer
from talkhead.inference.engine import Engine
from talkhead.structs import Keypoints

TIME_BASE = Fraction(1, 1000)


class LiveRenderer:
    """Crops driving pictures as they come, and draws what they move.

    Relative motion is measured from the first picture that is drawn, or from the next one after
    `measure_anew`.

    settings: with the size in pixels.

    Raises TalkheadError for settings that need the whole video or cannot be drawn, and for faces.
    """

    def __init__(
        self, sources: Sequence[Path], engine: Engine, settings: RenderSettings, time_base: Fraction
    ) -> None:
        if settings.anchor not in ("auto", "first"):
            raise TalkheadError(
                "live motion is measured from the first frame; leave out the anchor's number"
            )
        finder = make_finder(settings.detector, str(engine.device))
        self._portraits, self.settings = load_sources(sources, engine, settings, finder)
        self._framer = Framer(settings.driving_policy, finder, settings.driving_face)
        self._engine, self._time_base = engine, time_base
        self._moving: np.ndarray | None = None
        self._renderer: FrameRenderer | None = None
        self._tracker = engine.tracker()

    def crop(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The crop of a picture uint8 (H, W, 3), and the one that moves the portrait.

        That is the last with the face: while nobody is there, the portrait rests. None as long as
        no face was seen.
        """
        framed = self._framer.frame(rgb)
        if framed is None:
            return None
        picture = cut(rgb, framed.crop, self._engine.image_size)
        if framed.present or self._moving is None:
            self._moving = picture
        return picture, self._moving

    def measure_anew(self) -> None:
        """The next picture is the one that relative motion is measured from."""
        self._renderer, self._tracker = None, self._engine.tracker()

    def detect(self, moving: Sequence[np.ndarray]) -> Keypoints:
        """Keypoints of crops that move the portrait, in the order in which they came."""
        return self._engine.detect(moving, self._tracker)

    def draw(self, batch: DrivingBatch) -> Iterator[RenderedFrame]:
        """The frames of a batch, not yet composed."""
        if self._renderer is None:
            anchors = [batch.keypoints[:1]] * len(self._portraits)
            self._renderer = FrameRenderer(
                self._engine, self._portraits, anchors, self.settings, self._time_base
            )
        return self._renderer.draw(batch)

    def compose(self, frame: RenderedFrame) -> np.ndarray:
        """The output frame, uint8 RGB."""
        assert self._renderer is not None
        return self._renderer.compose(frame)


class LivePortrait(LiveRenderer):
    """One portrait, one camera, a picture at a time; for videos and pipes see `LiveAnimator`."""

    def __init__(self, engine: Engine, source: Path, settings: RenderSettings) -> None:
        whole = replace(settings, start=None, end=None, frames=None)
        super().__init__([source], engine, whole, TIME_BASE)

    def __call__(self, rgb: np.ndarray, milliseconds: int) -> np.ndarray | None:
        """The frame for a driving picture uint8 (H, W, 3); None as long as no face was seen."""
        cropped = self.crop(rgb)
        if cropped is None:
            return None
        picture, moving = cropped
        keypoints = self.detect([moving])
        (drawn,) = self.draw(DrivingBatch(keypoints, [milliseconds], [picture]))
        return self.compose(drawn)
