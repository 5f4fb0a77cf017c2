"""Crops land on the right pixels."""

import numpy as np
import pytest

from talkhead.errors import TalkheadError
from talkhead.faces.crop import centre_square, cut, parse_crop
from talkhead.structs import Crop


def gradient(height: int = 120, width: int = 160) -> np.ndarray:
    """Red is the pixel's x, green its y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 7)], axis=2).astype(np.uint8)


def test_a_cut_at_its_own_size_is_the_pixels_themselves():
    assert np.array_equal(cut(gradient(), Crop(10, 20, 64), 64), gradient()[20:84, 10:74])


@pytest.mark.parametrize("size", [16, 32, 128])
def test_a_resized_cut_does_not_shift(size):
    """Output pixel i covers x + i * side / size to x + (i + 1) * side / size."""
    small = cut(gradient(), Crop(10, 20, 64), size).astype(float)
    centres = (np.arange(size) + 0.5) * 64 / size - 0.5
    inner = slice(size // 8, -size // 8)  # bicubic bends at the border
    assert np.abs(small[inner, inner, 0] - (10 + centres)[None, inner]).max() <= 0.75
    assert np.abs(small[inner, inner, 1] - (20 + centres)[inner, None]).max() <= 0.75


def test_shrinking_averages_rather_than_picks():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.all(cut(stripes, Crop(0, 0, 64), 16) == 100)


def test_outside_of_the_frame_the_edge_is_repeated():
    part = cut(gradient(), Crop(-10, 100, 40), 40)
    assert np.all(part[:20, :10, 0] == 0)
    assert np.all(part[20:, 10:, 1] == 119)
    assert np.array_equal(part[:20, 10:], gradient()[100:, :30])


def test_a_crop_beside_the_frame_is_an_error_that_says_where():
    with pytest.raises(TalkheadError, match=r"500,10,40.*160x120"):
        cut(gradient(), Crop(500, 10, 40), 32)


def test_crops_are_read_from_text():
    assert parse_crop("12,-4,256") == Crop(12, -4, 256)
    assert (parse_crop("auto"), parse_crop("none")) == ("auto", "none")
    for text in ("1,2", "a,b,c", "", "1,2,3,4", "0,0,8", "0,0,-50", "nan,0,64", "0,0,inf"):
        with pytest.raises(TalkheadError, match="crop"):
            parse_crop(text)


def test_the_centre_square_is_the_largest_one():
    assert centre_square(160, 90) == Crop(35, 0, 90)
    assert centre_square(90, 160) == Crop(0, 35, 90)


def test_a_crop_far_larger_than_the_frame_is_refused():
    with pytest.raises(TalkheadError, match="8 times as large"):
        cut(np.zeros((30, 40, 3), np.uint8), Crop(0, 0, 2_000_000), 64)
