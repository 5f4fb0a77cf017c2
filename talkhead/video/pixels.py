"""Convert decoded frames to upright RGB arrays and back."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

log = logging.getLogger(__name__)

HD_HEIGHT = 720  # players take untagged pictures of this height and above as BT.709
BT709 = 1  # the number that FFmpeg gives BT.709 as matrix, primaries and transfer alike
# Pixels wider or narrower than this are no camera's: players ignore what is said about them, too.
WIDEST_PIXEL = 8
LIMITED = int(ColorRange.MPEG)
FULL = int(ColorRange.JPEG)
# FFmpeg's colour matrix tag -> the scaler's name for it.
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}


def pixel_aspect(stream: VideoStream, name: Path | str) -> Fraction:
    """Width of a stored pixel in heights, 1 where the file says nothing or something absurd."""
    told = Fraction(stream.sample_aspect_ratio or 1)
    if Fraction(1, WIDEST_PIXEL) <= told <= WIDEST_PIXEL:
        return told
    log.warning(
        "%s says that its pixels are %.4g times as wide as high; taken as square", name, float(told)
    )
    return Fraction(1)


class FrameToRgb:
    """Turns decoded frames into upright uint8 RGB, as a player would show them.

    The colour matrix is the tagged one (untagged: BT.709 from 720 lines up, else BT.601), the
    range the tagged one (untagged: limited). The display matrix (turns by 90 degrees, mirroring)
    is applied to the pixels; pixels that are not square are made so by stretching the width.
    """

    def __init__(self, pixel_aspect: Fraction = Fraction(1)) -> None:
        self._pixel_aspect = pixel_aspect
        self._scaler = VideoReformatter()  # kept: setting one up costs more than a small frame

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """uint8 (H, W, 3), contiguous."""
        untagged = Colorspace.ITU709 if frame.height >= HD_HEIGHT else Colorspace.ITU601
        full = frame.color_range == FULL or frame.format.name.startswith("yuvj")
        picture = self._scaler.reformat(
            frame,
            width=round(frame.width * self._pixel_aspect),
            format="rgb24",
            src_colorspace=MATRICES.get(int(frame.colorspace), untagged),
            src_color_range=FULL if full or frame.format.is_rgb else LIMITED,
            dst_color_range=FULL,
            threads=1,
        )
        return upright(picture.to_ndarray(), display_matrix(frame))

    def size(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height that `rgb` will give for this frame."""
        width, height = round(frame.width * self._pixel_aspect), frame.height
        matrix = display_matrix(frame)
        return (height, width) if matrix is not None and _swaps_axes(matrix) else (width, height)


def display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """The 2 x 2 part [[a, b], [c, d]]: stored (x, y) is shown at (a x + c y, b x + d y)."""
    side = cast(bytes | None, frame.side_data.get("DISPLAYMATRIX"))  # a buffer of 9 int32
    return None if side is None else np.frombuffer(side, np.int32)[:9].reshape(3, 3)[:2, :2]


def _swaps_axes(matrix: np.ndarray) -> bool:
    return abs(int(matrix[0, 1])) > abs(int(matrix[0, 0]))


def upright(rgb: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Turn and mirror by the nearest quarter turn of a display matrix."""
    if matrix is None:
        return rgb
    if _swaps_axes(matrix):
        rgb = rgb.transpose(1, 0, 2)
        mirror_x, mirror_y = matrix[1, 0] < 0, matrix[0, 1] < 0
    else:
        mirror_x, mirror_y = matrix[0, 0] < 0, matrix[1, 1] < 0
    return np.ascontiguousarray(rgb[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1])


class RgbToFrame:
    """Turns uint8 RGB into frames for an encoder: BT.709, limited range, tagged so.

    Formats with halved chroma get even sizes by repeating the last column and row.
    """

    def __init__(self, pixel_format: str) -> None:
        self._format = pixel_format
        self._scaler = VideoReformatter()

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The coded width and height for pictures of this size."""
        if "420" in self._format:
            return width + width % 2, height + height % 2
        if "422" in self._format:
            return width + width % 2, height
        return width, height

    def frame(self, rgb: np.ndarray, pts: int, time_base: Fraction) -> VideoFrame:
        """One picture to encode at time `pts` (in units of `time_base`)."""
        height, width = rgb.shape[:2]
        coded_width, coded_height = self.size(width, height)
        if (coded_width, coded_height) != (width, height):
            rgb = np.pad(
                rgb, ((0, coded_height - height), (0, coded_width - width), (0, 0)), "edge"
            )
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        if self._format.startswith("yuv"):
            frame = self._scaler.reformat(
                frame,
                format=self._format,
                dst_colorspace=Colorspace.ITU709,
                src_color_range=FULL,
                dst_color_range=LIMITED,
                threads=1,
            )
            frame.color_primaries = frame.color_trc = frame.colorspace = BT709
            frame.color_range = LIMITED
        elif self._format != "rgb24":
            frame = self._scaler.reformat(frame, format=self._format, threads=1)
        frame.pts, frame.time_base = pts, time_base
        return frame
