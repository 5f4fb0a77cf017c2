"""Still pictures in and out: the one door to Pillow."""

from __future__ import annotations

import io
import logging
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin, UnidentifiedImageError

from talkhead.errors import TalkheadError
from talkhead.files import whole

log = logging.getLogger(__name__)

MIN_SIDE = 16  # pixels; less than this holds no face
# Pixels that are decoded at most (240 MB as RGB); stays below Pillow's own warning at 89 million.
MAX_PIXELS = 80_000_000
# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size when it is larger than that, for as long as its
# full size stays below this (a progressive one keeps 6 bytes per pixel while it is being read).
MAX_JPEG_PIXELS = 500_000_000
MAX_CAMERA_PIXELS = 3840 * 2160
# White is what browsers and picture viewers show behind transparent pixels, so the result looks
# like the picture that was chosen.
BACKGROUND = (255, 255, 255)

# What Pillow's readers raise for a file that is cut short or damaged.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error)


def read_image(path: str | Path) -> np.ndarray:
    """Read any picture as rgb uint8 (H, W, 3): upright, in sRGB, the first frame if it moves.

    EXIF orientation is applied; transparency is laid over white; 16 bits become 8; colour profiles
    (CMYK, Display P3) are converted. A JPEG of more than 80 megapixels is read at a half, a
    quarter or an eighth of its size, which is logged.

    Raises TalkheadError when the file is missing, empty, a folder, not a picture, cut short or
    damaged, larger than 80 megapixels (JPEG: 500), or smaller than 16 pixels.
    """
    path = Path(path)
    _check_file(path)
    with _open(path) as image:
        try:
            image.load()
            upright = ImageOps.exif_transpose(image)
            rgb = np.array(_to_rgb(upright, path))
        except _BROKEN as error:
            raise TalkheadError(
                f"{path} is cut short or damaged ({error}); get a complete copy of the picture"
            ) from error
    if min(rgb.shape[:2]) < MIN_SIDE:
        raise TalkheadError(
            f"{path} is only {rgb.shape[1]}x{rgb.shape[0]} pixels; "
            f"use a picture of at least {MIN_SIDE}x{MIN_SIDE}"
        )
    return rgb


def write_image(path: str | Path, rgb: np.ndarray) -> None:
    """Write rgb uint8 (H, W, 3); the ending of `path` chooses the format.

    Raises TalkheadError for an unknown ending or a folder that cannot be written to.
    """
    path = Path(path)
    image_format = check_ending(path)
    try:
        with whole(path) as partial:
            # Settings that a format does not know are ignored by its writer.
            Image.fromarray(rgb).save(partial, format=image_format, quality=95, subsampling=0)
    except OSError as error:
        raise TalkheadError(
            f"cannot write {path} ({error.strerror or error}); check that the folder exists, "
            "can be written to and has room"
        ) from error


def to_jpeg(rgb: np.ndarray, quality: int = 90) -> bytes:
    """rgb uint8 (H, W, 3) as the bytes of a JPEG file."""
    target = io.BytesIO()
    Image.fromarray(rgb).save(target, format="JPEG", quality=quality)
    return target.getvalue()


def from_jpeg(data: bytes) -> np.ndarray:
    """The bytes of a JPEG file of a camera as rgb uint8 (H, W, 3). Raises TalkheadError."""
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_CAMERA_PIXELS:
                raise TalkheadError(
                    f"a camera's picture of {image.width}x{image.height} is too large; "
                    "send smaller ones"
                )
            return np.array(image.convert("RGB"))
    except _BROKEN as error:
        raise TalkheadError(f"a picture of the camera is no JPEG or damaged ({error})") from error


def check_ending(path: Path) -> str:
    """The picture format that a file's ending asks for; an unknown one raises TalkheadError."""
    suffix = path.suffix.lower()
    image_format = Image.registered_extensions().get(suffix)
    if image_format is None or image_format not in Image.SAVE:
        raise TalkheadError(f"cannot write {path}: unknown ending '{suffix}'; use .png or .jpg")
    return image_format


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise TalkheadError(f"{path} is a folder; give a picture file")
    try:
        empty = path.stat().st_size == 0
    except OSError as error:
        raise TalkheadError(
            f"cannot read {path} ({error.strerror}); check the path of the picture"
        ) from error
    if empty:
        raise TalkheadError(f"{path} is empty; get a complete copy of the picture")


def _open(path: Path) -> Image.Image:
    """Read the header only, and arrange for a sane size."""
    try:
        with path.open("rb") as file:
            is_jpeg = file.read(3) == b"\xff\xd8\xff"
        if is_jpeg:
            # The plug-in itself rather than Image.open, whose limit is a global setting and
            # refuses a 200-megapixel telephone picture before it can be read at a reduced size.
            image: Image.Image = JpegImagePlugin.JpegImageFile(path)
            _reduce(image, path)
            return image
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # checked below
            image = Image.open(path)
    except Image.DecompressionBombError as error:
        raise _too_large(path, "over 170 megapixels") from error
    except UnidentifiedImageError as error:
        raise TalkheadError(
            f"{path} is not a picture that can be read; use JPEG, PNG or WebP "
            "(convert HEIC, RAW and SVG first)"
        ) from error
    except _BROKEN as error:
        raise TalkheadError(
            f"cannot read {path} ({error}); get a complete copy of the picture"
        ) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise _too_large(path, f"{image.width}x{image.height}")
    return image


def _reduce(image: Image.Image, path: Path) -> None:
    """Have an oversized JPEG decoded at 1/2, 1/4 or 1/8, the largest that fits the limit."""
    width, height = image.size
    if width * height <= MAX_PIXELS:
        return
    if width * height > MAX_JPEG_PIXELS:
        image.close()
        raise _too_large(path, f"{width}x{height}")
    for part in (2, 4, 8):
        if width * height / part**2 <= MAX_PIXELS:
            image.draft(None, (width // part, height // part))
            log.warning("%s is %dx%d; reading it at 1/%d of its size", path, width, height, part)
            return


def _too_large(path: Path, size: str) -> TalkheadError:
    return TalkheadError(
        f"{path} is too large ({size}; the limit is {MAX_PIXELS // 10**6} megapixels, "
        f"{MAX_JPEG_PIXELS // 10**6} for JPEG); make a smaller copy of it"
    )


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    """Any of Pillow's modes as RGB in sRGB."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _reduce_bits(np.asarray(image))
    if image.has_transparency_data:
        log.info("%s has transparent parts; they are laid over white", path)
        rgba = image.convert("RGBA")
        background = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        return _to_srgb(Image.alpha_composite(background, rgba).convert("RGB"), image, path)
    if image.mode == "CMYK":
        return _to_srgb(image, image, path)
    return _to_srgb(image.convert("RGB"), image, path)


def _reduce_bits(values: np.ndarray) -> Image.Image:
    """Grey of more than 8 bits. Pillow's own conversion would clip it to white."""
    if np.issubdtype(values.dtype, np.floating):
        scaled = values * (255.0 if values.max() <= 1 else 1.0)
    else:
        # Integers are read as 16 bits wide: no common format stores wider grey pictures.
        scaled = values / 257.0
    grey = np.clip(np.nan_to_num(scaled) + 0.5, 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _to_srgb(picture: Image.Image, original: Image.Image, path: Path) -> Image.Image:
    """Apply the colour profile that `original` carries; without one only change the mode."""
    profile = original.info.get("icc_profile")
    if profile and original.mode in ("RGB", "RGBA", "CMYK"):
        try:
            converted = ImageCms.profileToProfile(
                picture,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
            return converted or picture
        except (ImageCms.PyCMSError, OSError) as error:
            log.warning("%s: its colour profile cannot be used (%s)", path, error)
    return picture.convert("RGB")
