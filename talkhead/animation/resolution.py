"""How large a result is, and sources with the detail that this size can show."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from talkhead.animation.portrait import Portrait, load_portrait
from talkhead.animation.settings import RenderSettings
from talkhead.errors import TalkheadError
from talkhead.faces.crop import cut, whole_pixels
from talkhead.faces.finder import FaceFinder
from talkhead.faces.paste import Paster, fit_photo
from talkhead.inference.engine import Engine
from talkhead.options import LARGEST_SIDE

log = logging.getLogger(__name__)

LARGEST_BY_ITSELF = 512  # pixels: what "auto" stops at, for the sake of speed and of small files


def load_sources(
    paths: Sequence[Path], engine: Engine, settings: RenderSettings, finder: FaceFinder
) -> tuple[list[Portrait], RenderSettings]:
    """Sources as they are drawn, and the settings with the size that this is.

    Raises TalkheadError for settings that cannot be drawn, for files and for faces.
    """
    if len(paths) != 1 and settings.layout != "grid":
        raise TalkheadError("several sources in one output need the layout `grid`")
    check_abilities(engine, settings)
    found = [load_portrait(path, engine, settings, finder) for path in paths]
    settled = settle_size(settings, found, engine.image_size)
    return [add_detail(source, engine, settled) for source in found], settled


def check_abilities(engine: Engine, settings: RenderSettings) -> None:
    """Raise TalkheadError where settings ask for what these weights cannot do."""
    if settings.motion == "avd":
        engine.require_avd()
    engine.require_parts(settings.strengths)
    if settings.sharpness != RenderSettings.sharpness:
        engine.require_blending()


def settle_size(
    settings: RenderSettings, sources: Sequence[Portrait], image_size: int
) -> RenderSettings:
    """The settings with a size in pixels, even for the sake of codecs; one for all sources.

    image_size: what the model draws by itself.
    """
    if settings.paste_back:
        return settings
    sides = {source.path.name: whole_pixels(source.crop)[2] for source in sources}
    if settings.size == "auto":
        size = min(max(sides.values()), LARGEST_BY_ITSELF)
        size = max(size - size % 2, image_size)
    else:
        size = settings.size + settings.size % 2
        if size != settings.size:
            log.warning(
                "the size %d is odd, which most video cannot be; it is made %d", settings.size, size
            )
        for name, side in sides.items():
            if size > side:
                log.warning(
                    "%s: the crop of the face has only %d pixels a side; a size of %d shows no "
                    "more of the photo than %d",
                    *(name, side, size, max(side, image_size)),
                )
    return replace(settings, size=size)


def add_detail(source: Portrait, engine: Engine, settings: RenderSettings) -> Portrait:
    """The source as it must be for settled settings: with its own detail where they show it."""
    if settings.paste_back:
        return fit_source(source, engine, settings.max_side)
    size = settings.size
    assert size != "auto"
    if size <= engine.image_size:
        return source
    picture = cut(source.photo, source.crop, size)
    return replace(source, encoded=engine.add_detail(source.encoded, picture))


def fit_source(source: Portrait, engine: Engine, max_side: int) -> Portrait:
    """The source with a photo of the frames' size, drawn at that photo's resolution.

    Where the face's mesh is known, all of the face is drawn in every frame.
    """
    height, width = source.photo.shape[:2]
    photo = fit_photo(source.photo, max_side)
    scale, encoded, crop = 1.0, source.encoded, source.crop
    if max(height, width) > max_side:
        scale = photo.shape[1] / width
        crop = replace(crop, x=crop.x * scale, y=crop.y * scale, side=crop.side * scale)
        # Anew: the model's picture and the photo must not differ by half a pixel.
        encoded = engine.encode(cut(photo, crop, engine.image_size), encoded.sharpness)
        log.warning(
            "%s is %dx%d; frames are made %dx%d, see --max-side",
            *(source.path.name, width, height, photo.shape[1], photo.shape[0]),
        )
    points = None if source.points is None else source.points * scale
    window = Paster(photo, crop, LARGEST_SIDE).window(engine.image_size, points)
    return replace(source, photo=photo, crop=crop, encoded=engine.add_detail(encoded, window))
