"""A portrait that follows pictures one by one, as a camera sends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from talkhead.animation.driving import DrivingBatch
from talkhead.animation.portrait import Portrait
from talkhead.animation.renderer import FrameRenderer
from talkhead.animation.resolution import load_sources
from talkhead.animation.settings import RenderSettings
from talkhead.errors import TalkheadError
from talkhead.faces.alignment import make_finder
from talkhead.faces.crop import cut
from talkhead.faces.framing import Framer
from talkhead.inference.engine import Engine

TIME_BASE = Fraction(1, 1000)


class FrameCropper:
    """Crops driving pictures as they come."""

    def __init__(self, framer: Framer, size: int) -> None:
        self._framer = framer
        self._size = size
        self._moving: np.ndarray | None = None

    def crop(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The crop of a picture uint8 (H, W, 3), and the one that moves the portrait.

        That is the last with the face: while nobody is there, the portrait rests. None as long as
        no face was seen.
        """
        framed = self._framer.frame(rgb)
        if framed is None:
            return None
        picture = cut(rgb, framed.crop, self._size)
        if framed.present or self._moving is None:
            self._moving = picture
        return picture, self._moving


def load_live(
    sources: Sequence[Path], engine: Engine, settings: RenderSettings
) -> tuple[list[Portrait], RenderSettings, FrameCropper]:
    """The portraits, the settings with their size, and what crops the driver.

    Raises TalkheadError for settings that need the whole video or cannot be drawn, and for faces.
    """
    if settings.anchor not in ("auto", "first"):
        raise TalkheadError(
            "live motion is measured from the first frame; leave out the anchor's number"
        )
    finder = make_finder(settings.detector, str(engine.device))
    portraits, settled = load_sources(sources, engine, settings, finder)
    framer = Framer(settings.driving_policy, finder, settings.driving_face)
    return portraits, settled, FrameCropper(framer, engine.image_size)


class LivePortrait:
    """One portrait, one camera, a picture at a time; for videos and pipes see `LiveAnimator`.

    Relative motion is measured from the first picture with a face, or from the one after
    `measure_anew`. Raises TalkheadError for settings that need the whole video.
    """

    def __init__(self, engine: Engine, source: Path, settings: RenderSettings) -> None:
        whole = replace(settings, start=None, end=None, frames=None)
        self._engine = engine
        self._sources, self._settings, self._cropper = load_live([source], engine, whole)
        self._renderer: FrameRenderer | None = None

    def measure_anew(self) -> None:
        """The next picture is the one that relative motion is measured from."""
        self._renderer = None

    def __call__(self, rgb: np.ndarray, milliseconds: int) -> np.ndarray | None:
        """The frame for a driving picture uint8 (H, W, 3); None as long as no face was seen."""
        cropped = self._cropper.crop(rgb)
        if cropped is None:
            return None
        picture, moving = cropped
        keypoints = self._engine.detect([moving])
        if self._renderer is None:
            self._renderer = FrameRenderer(
                self._engine, self._sources, [keypoints], self._settings, TIME_BASE
            )
        (drawn,) = self._renderer.draw(DrivingBatch(keypoints, [milliseconds], [picture]))
        return self._renderer.compose(drawn)
