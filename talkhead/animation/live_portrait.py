"""A portrait that follows pictures one by one, as a camera sends them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from talkhead.animation.driving import DrivingBatch
from talkhead.animation.live import FrameCropper
from talkhead.animation.portrait import load_portrait
from talkhead.animation.renderer import FrameRenderer
from talkhead.animation.settings import RenderSettings
from talkhead.errors import TalkheadError
from talkhead.faces.crop import cut
from talkhead.inference.engine import Engine
from talkhead.structs import Frame

TIME_BASE = Fraction(1, 1000)


class LivePortrait:
    """One portrait, one camera, a picture at a time; for whole videos and pipes there is `Live`.

    Relative motion is measured from the first picture with a face, or from the one after
    `measure_anew`. Raises TalkheadError for settings that need the whole video.
    """

    def __init__(self, engine: Engine, source: Path, settings: RenderSettings) -> None:
        if settings.anchor not in ("auto", "first"):
            raise TalkheadError(
                "live motion is measured from the first frame; leave out the anchor's number"
            )
        if settings.motion == "avd":
            engine.require_avd()
        self._engine = engine
        self._settings = replace(settings, start=None, end=None, frames=None)
        self._source = load_portrait(source, engine, settings)
        self._cropper = FrameCropper(settings, engine.image_size, str(engine.device))
        self._renderer: FrameRenderer | None = None

    def measure_anew(self) -> None:
        """The next picture is the one that relative motion is measured from."""
        self._renderer = None

    def __call__(self, rgb: np.ndarray, milliseconds: int) -> np.ndarray | None:
        """The frame for a driving picture uint8 (H, W, 3); None as long as no face was seen."""
        crop = self._cropper.crop_of(Frame(rgb, milliseconds, TIME_BASE))
        if crop is None:
            return None
        picture = cut(rgb, crop, self._engine.image_size)
        keypoints = self._engine.detect([picture])
        if self._renderer is None:
            self._renderer = FrameRenderer(
                self._engine, [self._source], [keypoints], self._settings, TIME_BASE
            )
        (drawn,) = self._renderer.draw(DrivingBatch(keypoints, [milliseconds], [picture]))
        return self._renderer.compose(drawn)
