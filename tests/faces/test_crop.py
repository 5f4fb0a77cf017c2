"""Crops land on the right pixels, and pasting touches only what it must."""

import numpy as np
import pytest

from talkhead.errors import TalkheadError
from talkhead.faces.crop import centre_square, cut, parse_crop
from talkhead.faces.paste import Paster, soft_mask
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


def test_pasting_back_what_was_cut_changes_nothing_visible():
    photo, crop = gradient(), Crop(30, 20, 80)
    for size in (80, 160):
        pasted = Paster(photo, crop)(cut(photo, crop, size))
        assert np.abs(pasted.astype(int) - photo).max() <= 1


@pytest.mark.parametrize("crop", [Crop(30, 20, 80), Crop(-20, 60, 90), Crop(-10, -10, 200)])
def test_pasting_leaves_the_photo_outside_of_the_mask_untouched(crop):
    photo = gradient()
    original = photo.copy()
    pasted = Paster(photo, crop)(np.full((64, 64, 3), 255, np.uint8))
    inside = np.zeros(photo.shape[:2], bool)
    y, x, side = int(crop.y), int(crop.x), int(crop.side)
    inside[max(y, 0) : y + side, max(x, 0) : x + side] = True
    assert np.array_equal(pasted[~inside], photo[~inside])
    middle = (y + side // 2, min(max(x + side // 2, 0), 159))
    assert np.all(pasted[middle] == 255)
    assert np.array_equal(photo, original)


def test_a_paster_can_be_used_again_and_again():
    paste = Paster(gradient(), Crop(30, 20, 80))
    first = paste(np.full((64, 64, 3), 255, np.uint8))
    paste(np.zeros((64, 64, 3), np.uint8))
    assert np.array_equal(paste(np.full((64, 64, 3), 255, np.uint8)), first)


def test_the_mask_is_soft_symmetric_and_zero_at_the_border():
    mask = soft_mask(100)
    assert mask[0].max() == mask[:, 0].max() == 0
    assert mask[50, 50] == 1
    assert np.array_equal(mask, mask.T)
    assert np.allclose(mask, mask[::-1])
    assert np.all(np.diff(mask[50, :50]) >= 0)
    assert np.abs(np.diff(mask[50])).max() < 0.2
    assert mask[8, 8] == 0 < mask[8, 50]  # round corners


def test_a_crop_far_larger_than_the_frame_is_refused():
    with pytest.raises(TalkheadError, match="8 times as large"):
        cut(np.zeros((30, 40, 3), np.uint8), Crop(0, 0, 2_000_000), 64)
