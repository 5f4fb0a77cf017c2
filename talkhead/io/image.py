"""Read still and animated images, write still ones (with `srgb` the only user of Pillow)."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError

from talkhead.errors import TalkheadError, disk_explained
from talkhead.io.atomic import atomic_path
from talkhead.io.srgb import check_pixel_format, to_rgb

log = logging.getLogger(__name__)

# What is read, by content and whatever the file's name. Pillow knows more formats: some start a
# program (EPS), some have no beginning that identifies them, so that any file may be taken for one.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM")
ANIMATED = ("PNG", "WEBP", "AVIF", "GIF")  # of these, those that may move
MIN_SIDE = 16  # pixels; less than this holds no face
# Pixels that are decoded at most (240 MB as RGB); stays below Pillow's own warning at 89 million.
MAX_PIXELS = 80_000_000
# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size when it is larger than that, for as long as its
# full size stays below this. A progressive one keeps 6 bytes per pixel while it is being read.
MAX_JPEG_PIXELS, MAX_PROGRESSIVE_PIXELS = 500_000_000, 150_000_000
# A progressive JPEG goes over its pixels in about ten scans. Each takes time, so they are limited,
# and so are scans x pixels.
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 5_000_000_000
MAX_CAMERA_PIXELS = 3840 * 2160
MAX_JPEG_BYTES = 2**29  # more than the largest such picture takes at the best quality
JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd8])")  # a stuffed 0 and restarts are no markers
START_OF_SCAN, END_OF_IMAGE = b"\xda", b"\xd9"
HEIC = (b"ftypheic", b"ftypheix", b"ftypheim", b"ftypheis", b"ftypmif1")
CANON_RAW = slice(8, 10), b"CR"  # where a CR2 file says that it is no ordinary TIFF
# Browsers show a frame of an animation that asks for 10 ms or less for 100 ms.
SHORTEST_DELAY, DEFAULT_DELAY = 10, 100

UPRIGHT = {  # EXIF orientation -> what makes the stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture as rgb uint8 (H, W, 3): upright, in sRGB, the first frame if it moves.

    EXIF orientation is applied; transparency is laid over white; 16 bits become 8; colour profiles
    are applied. A JPEG of more than 80 megapixels is read at a half, a quarter or an eighth of its
    size, which is logged.

    Raises TalkheadError when the file is missing, empty, a folder, in none of FORMATS, cut short or
    damaged, larger than 80 megapixels (JPEG: 500), smaller than 16 pixels, a camera's raw file, or
    stores its pixels in a way that would come out wrong.
    """
    path = Path(path)
    _check_file(path)
    with _reading(path), _open(path) as image:
        image.load()
        rgb = np.array(to_rgb(_upright(image, path), path))
    if min(rgb.shape[:2]) < MIN_SIDE:
        raise TalkheadError(
            f"{path} is only {rgb.shape[1]}x{rgb.shape[0]} pixels; "
            f"use a picture of at least {MIN_SIDE}x{MIN_SIDE}"
        )
    return rgb


@dataclass(frozen=True)
class PictureHeader:
    """What a picture file says about itself.

    format: Pillow's name for it. frames: 1 for one that does not move; None when it moves and the
    number is not in the header (GIF).
    """

    format: str
    width: int
    height: int
    frames: int | None


def picture_header(path: Path) -> PictureHeader | None:
    """What a picture file holds, by its content; None for a file that is no picture.

    A still HEIC picture, which video readers would take for a film of one tile, is recognised only.
    Raises TalkheadError for a picture that is damaged or too large.
    """
    try:
        with _reading(path), _open(path) as image:
            moves = image.format in ANIMATED and getattr(image, "is_animated", False)
            frames = None if moves and image.format == "GIF" else _count(image) if moves else 1
            return PictureHeader(image.format or "", image.width, image.height, frames)
    except NotAPictureError:
        with path.open("rb") as file:
            is_heic = file.read(12)[4:] in HEIC
        return PictureHeader("HEIC", 0, 0, 1) if is_heic else None


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its content, also one that moves."""
    return path.is_file() and picture_header(path) is not None


def read_animation(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """The frames of an animated picture: milliseconds shown and rgb uint8 (H, W, 3).

    Raises TalkheadError where it is damaged.
    """
    with _reading(path), _open(path) as image:
        frames = getattr(image, "n_frames", 1)
        for number in range(frames - _count(image), frames):
            image.seek(number)
            image.load()
            delay = round(image.info.get("duration", 0))
            shown = delay if delay > SHORTEST_DELAY else DEFAULT_DELAY
            yield shown, np.array(to_rgb(_upright(image, path), path))


def write_image(path: str | Path, rgb: np.ndarray, overwrite: bool = True) -> None:
    """Write rgb uint8 (H, W, 3); the ending of `path` chooses the format.

    Raises TalkheadError for an unknown ending, a folder that cannot be written to and, without
    `overwrite`, where `path` exists.
    """
    path = Path(path)
    image_format = check_ending(path)
    advice = "check that the folder exists, can be written to and has room"
    with disk_explained(f"cannot write {path}", advice), atomic_path(path, overwrite) as partial:
        # Settings that a format does not know are ignored by its writer.
        Image.fromarray(rgb).save(partial, format=image_format, quality=95, subsampling=0)


def to_jpeg(rgb: np.ndarray, quality: int = 90) -> bytes:
    """rgb uint8 (H, W, 3) as the bytes of a JPEG file."""
    target = io.BytesIO()
    Image.fromarray(rgb).save(target, format="JPEG", quality=quality)
    return target.getvalue()


def from_jpeg(data: bytes) -> np.ndarray:
    """The bytes of a JPEG file of a camera as rgb uint8 (H, W, 3). Raises TalkheadError."""
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_CAMERA_PIXELS or _scans(data) > MAX_SCANS:
                raise TalkheadError(
                    f"a camera's picture of {image.width}x{image.height} is too large; "
                    "send smaller ones"
                )
            return np.array(image.convert("RGB"))
    except (TalkheadError, MemoryError):
        raise
    except Exception as error:  # not a closed set, see `_reading`
        raise TalkheadError(f"a picture of the camera is no JPEG or damaged ({error})") from error


def check_ending(path: Path) -> str:
    """The picture format that a file's ending asks for; an unknown one raises TalkheadError."""
    suffix = path.suffix.lower()
    image_format = Image.registered_extensions().get(suffix)
    if image_format is None or image_format not in Image.SAVE:
        raise TalkheadError(f"cannot write {path}: unknown ending '{suffix}'; use .png or .jpg")
    return image_format


class BrokenPictureError(TalkheadError):
    """The file is cut short or damaged."""


class NotAPictureError(BrokenPictureError):
    """The file is in no picture format that is read."""


def _count(image: Image.Image) -> int:
    """Frames of an animation; of a PNG less the picture for readers that know no animations."""
    return int(getattr(image, "n_frames", 1)) - bool(getattr(image, "default_image", False))


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise TalkheadError(f"{path} is a folder; give a picture file")
    with disk_explained(f"cannot read {path}", "check the path of the picture"):
        size = path.stat().st_size
    if not path.is_file():
        raise TalkheadError(f"{path} is no file; save the picture as one first")
    if size == 0:
        raise BrokenPictureError(f"{path} is empty; get a complete copy of the picture")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a picture is read into one sentence."""
    try:
        with warnings.catch_warnings():
            # Sizes are checked here, and oddities of metadata do not concern the pixels.
            warnings.simplefilter("ignore")
            yield
    except (TalkheadError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise NotAPictureError(
            f"{path} is not a picture that can be read; use JPEG, PNG or WebP "
            "(convert HEIC, RAW, PSD, EPS and SVG first)"
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path, "over 170 megapixels") from error
    except Exception as error:
        # What decoders raise for damaged files is not a closed set (RuntimeError of libavif,
        # struct.error, KeyError, ...); only the system's own errors carry a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise TalkheadError(
                f"cannot read {path} ({error.strerror}); check the disk and the permissions"
            ) from error
        raise BrokenPictureError(
            f"{path} is cut short or damaged ({error}); get a complete copy of the picture"
        ) from error


def _open(path: Path) -> Image.Image:
    """Read the header only, refuse what would come out wrong, and arrange for a sane size."""
    with path.open("rb") as file:
        head = file.read(10)
    if head.startswith(b"\xff\xd8\xff"):
        return _open_jpeg(path)
    image = Image.open(path, formats=FORMATS)
    try:
        if image.width * image.height > MAX_PIXELS:
            raise _too_large(path, f"{image.width}x{image.height}")
        place, mark = CANON_RAW
        check_pixel_format(image, path, is_raw=head[place] == mark)
    except BaseException:
        image.close()
        raise
    return image


def _open_jpeg(path: Path) -> Image.Image:
    """Open a picture with the plug-in itself rather than `Image.open`.

    That has a limit which is a global setting, and which refuses a 200-megapixel telephone picture
    before it can be read at a reduced size.
    """
    with path.open("rb") as file:
        content = file.read(MAX_JPEG_BYTES + 1)
    if len(content) > MAX_JPEG_BYTES:
        raise _too_large(path, f"over {MAX_JPEG_BYTES // 10**6} MB")
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(content))
    scans = _scans(content)
    if scans > MAX_SCANS or scans * image.width * image.height > MAX_SCANNED_PIXELS:
        raise TalkheadError(
            f"{path} goes over its picture in {scans} scans or more, which no camera or editor "
            "does; save it anew as PNG or as an ordinary JPEG"
        )
    _reduce(image, path)
    return image


def _scans(jpeg: bytes) -> int:
    """How often a JPEG goes over its picture, at most one more than allowed.

    Thumbnails in its metadata are not counted.
    """
    scans, marker = 0, JPEG_MARKER.search(jpeg, 2)
    while marker and marker[1] != END_OF_IMAGE and scans <= MAX_SCANS:
        scans += marker[1] == START_OF_SCAN
        length = int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
        marker = JPEG_MARKER.search(jpeg, marker.end() + length)
    return scans


def _reduce(image: Image.Image, path: Path) -> None:
    """Have an oversized JPEG decoded at 1/2, 1/4 or 1/8, the largest that fits the limit."""
    width, height = image.size
    if width * height <= MAX_PIXELS:
        return
    if width * height > MAX_JPEG_PIXELS:
        raise _too_large(path, f"{width}x{height}")
    if width * height > MAX_PROGRESSIVE_PIXELS and image.info.get("progressive"):
        raise _too_large(path, f"{width}x{height}, progressive")
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


def _upright(image: Image.Image, path: Path) -> Image.Image:
    """Turned as its EXIF data says; as it is stored where these cannot be read."""
    try:
        turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:  # as above: Pillow's readers of EXIF raise anything
        log.warning("%s: its EXIF data cannot be read (%s); shown as it is stored", path, error)
        return image
    return image if turn is None else image.transpose(turn)
