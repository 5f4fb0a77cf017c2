"""Renders for tests, of pictures in which nobody is to be found."""

from __future__ import annotations

from talkhead.animation.settings import RenderSettings

SQUARE = ["--crop-source", "none", "--crop-driving", "none"]


def settings(**changes: object) -> RenderSettings:
    """Of a render that takes the middle of both pictures."""
    return RenderSettings(**{"crop_source": "none", "crop_driving": "none", **changes})  # type: ignore[arg-type]


CENTRED = settings()
