"""Whatever colours and depths a picture is stored with, as 8-bit RGB in sRGB."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from talkhead.errors import TalkheadError

log = logging.getLogger(__name__)

# A TIFF's tags: of a preview both kinds of SUBFILE say so, the second in old files.
TIFF_SUBFILE, TIFF_OLD_SUBFILE, TIFF_BITS, TIFF_PHOTOMETRIC = 254, 255, 258, 262
TIFF_PLANAR_CONFIGURATION, TIFF_DNG_VERSION = 284, 50706
# White is what browsers and picture viewers show behind transparent pixels, so the result looks
# like the picture that was chosen.
BACKGROUND = (255, 255, 255)


def check_pixel_format(image: Image.Image, path: Path, is_raw: bool) -> None:
    """Refuse pixels that would come out wrong: raw files of cameras, and numbers without a white.

    Most raw files are TIFFs whose first picture is a small preview.
    """
    tags = getattr(image, "tag_v2", {})
    preview = tags.get(TIFF_SUBFILE, 0) & 1 or tags.get(TIFF_OLD_SUBFILE) == 2
    if is_raw or preview or TIFF_DNG_VERSION in tags:
        raise TalkheadError(
            f"{path} is a camera's raw file, of which only a small preview could be read; "
            "develop it to JPEG, PNG or TIFF first"
        )
    planar = tags.get(TIFF_PLANAR_CONFIGURATION) == 2 and max(tags.get(TIFF_BITS, (1,))) > 8
    if planar or image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise TalkheadError(
            f"{path} stores its pixels in a way that is not read here (32 bits, or 16 bits with "
            "colours apart); save it with 8 bits per colour"
        )


def to_rgb(image: Image.Image, path: Path) -> Image.Image:
    """Any of Pillow's modes as RGB in sRGB, transparent parts over white."""
    if image.mode.startswith("I"):
        image = _reduce_bits(image)
    elif image.mode == "La":  # colours multiplied by opacity
        image = image.convert("LA")
    rgb = _to_srgb(image, path)
    if not image.has_transparency_data:
        return rgb
    log.info("%s has transparent parts; they are laid over white", path)
    alpha = image.convert("RGBA").getchannel("A")
    return Image.composite(rgb, Image.new("RGB", image.size, BACKGROUND), alpha)


def _reduce_bits(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits by its upper 8. Pillow's own conversion would clip it to white."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(TIFF_BITS, (16,))[0]
    grey = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    if tags and tags.get(TIFF_PHOTOMETRIC) == 0:  # white is zero, which Pillow forgets here
        np.invert(grey, out=grey)
    reduced = Image.fromarray(grey)
    reduced.info = image.info
    return reduced


def _to_srgb(image: Image.Image, path: Path) -> Image.Image:
    """RGB by the colour profile that a picture carries; without one only change the mode."""
    content = image.info.get("icc_profile")
    try:
        if image.mode == "LAB":
            profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif content:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        else:
            return image.convert("RGB")
        picture = _in_space(image, profile.profile.xcolor_space.strip())
        if picture is not None:
            srgb = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(picture, profile, srgb, outputMode="RGB") or picture
        log.warning("%s: its colour profile is for another kind of picture; left out", path)
    except (ImageCms.PyCMSError, OSError) as error:
        log.warning("%s: its colour profile cannot be used (%s)", path, error)
    return image.convert("RGB")


def _in_space(image: Image.Image, space: str) -> Image.Image | None:
    """The picture in the mode that a profile for this colour space takes; None where it has none.

    A profile for RGB is for grey and palettes as well: their colours are numbers of its space.
    """
    if space == "RGB" and image.mode != "CMYK":
        return image.convert("RGB")
    if space == "GRAY" and image.mode in ("1", "L", "LA"):
        return image.convert("L")
    return image if image.mode == {"Lab": "LAB"}.get(space, space) else None
