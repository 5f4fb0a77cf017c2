"""Pasting back touches only what it must: squares, windows, the photo's size, what changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talkhead.errors import TalkheadError
from talkhead.faces.paste import Paster, face_mask, fit_photo
from talkhead.models.detail import Placement, SourceDetail
from talkhead.models.grid import warp_by_flow
from talkhead.models.photo import border_distance, rise
from talkhead.structs import Crop, PhotoWindow, RenderParts

SIZE = 32


def noise(height: int = 120, width: int = 160, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def to_images(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255


def to_rgb(images: torch.Tensor) -> np.ndarray:
    return images[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()


def draw(
    photo: np.ndarray, crop: Crop, flow: torch.Tensor, image: torch.Tensor | None = None
) -> tuple[np.ndarray, PhotoWindow]:
    """The window of a photo whose crop moves by a flow (1, 2, S, S); the source is kept, or an
    image (1, 3, S, S) is drawn in its place."""
    window = Paster(photo, crop, 4096).window(SIZE)
    placement = Placement(window.rgb.shape[0], window.side, window.angle)
    source = placement.reduce(to_images(window.rgb), SIZE)
    detail = SourceDetail.in_photo(to_images(window.rgb), window, source)
    kept = torch.full((1, 1, SIZE, SIZE), 1.0 if image is None else 0.0)
    image = warp_by_flow(source, flow) if image is None else image
    parts = RenderParts(image, flow, kept, torch.ones_like(kept))
    return to_rgb(detail.lay_in(parts)), window


CROPS = [Crop(30, 20, 80), Crop(-20, 60, 90), Crop(-10, -10, 200), Crop(60, 30, 50, 30.0)]


@pytest.mark.parametrize("crop", CROPS)
def test_what_neither_moves_nor_changes_stays_the_photo_to_the_bit(crop: Crop) -> None:
    photo = noise()
    square, window = draw(photo, crop, torch.zeros(1, 2, SIZE, SIZE))
    assert np.array_equal(square, window.rgb)
    assert np.array_equal(Paster(photo, crop, 4096)(square), photo)


@pytest.fixture
def all_motion_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the bent photo itself is seen, however large the motion."""
    monkeypatch.setattr("talkhead.models.detail.trusted", lambda flow: torch.ones_like(flow[:, :1]))


@pytest.mark.parametrize("crop", [CROPS[0], CROPS[3]])
@pytest.mark.usefixtures("all_motion_trusted")
def test_motion_dies_out_towards_the_photo_so_that_no_seam_is_left(crop: Crop) -> None:
    y, x = np.mgrid[:120, :160]
    photo = np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8)  # a seam would be an edge
    square, window = draw(photo, crop, torch.full((1, 2, SIZE, SIZE), 1.5))
    pasted = Paster(photo, crop, 4096)(square).astype(int)
    assert np.abs(pasted - photo).max() > 2  # something moved
    for axis in (0, 1):
        assert np.abs(np.diff(pasted, axis=axis)).max() <= 4  # the photo's own steps are 1
    if not crop.angle:
        moved = square[40, 40].astype(int) - window.rgb[40, 40]
        assert moved[:2].tolist() == pytest.approx([1.5 * 80 / SIZE] * 2, abs=0.6)


@pytest.mark.usefixtures("all_motion_trusted")
def test_motion_goes_on_where_the_photo_ends() -> None:
    photo = noise(80, 80)
    flow = torch.full((1, 2, SIZE, SIZE), 2.0)  # 5 pixels of the photo
    square, window = draw(photo, Crop(0, 0, 80), flow)
    assert window.goes_on == (False,) * 4
    like_all_others = np.abs(square[0, :70].astype(int) - photo[5, 5:75]).mean()
    assert like_all_others < 8 < np.abs(square[0].astype(int) - photo[0]).mean()


def test_what_is_drawn_shows_in_the_middle_and_not_at_the_border() -> None:
    photo, crop = noise() // 2, Crop(30, 20, 80)
    white = torch.ones(1, 3, SIZE, SIZE)
    square, window = draw(photo, crop, torch.zeros(1, 2, SIZE, SIZE), white)
    assert square[40, 40].min() >= 250
    border = np.ones((80, 80), bool)
    border[8:-8, 8:-8] = False
    assert np.array_equal(square[border], window.rgb[border])


def test_a_small_change_draws_only_around_itself() -> None:
    photo, crop = noise(), Crop(30, 20, 96)
    flow = torch.zeros(1, 2, SIZE, SIZE)
    flow[:, :, 14:18, 14:18] = 2.0
    square, window = draw(photo, crop, flow)
    changed = (square != window.rgb).any(axis=2)
    assert changed[48, 48]
    assert not changed[:24].any()
    assert not changed[:, 72:].any()


def test_a_turned_crop_lies_in_its_window_as_it_was_cut() -> None:
    y, x = np.mgrid[:120, :160]
    photo = np.stack([x, y, np.full_like(x, 90)], axis=2).astype(np.uint8)
    crop = Crop(60, 30, 48, 90.0)
    flow = torch.zeros(1, 2, SIZE, SIZE)
    flow[:, 0] = 2.0  # to the right in the crop: downwards in the photo, 3 pixels of it
    square, window = draw(photo, crop, flow)
    middle = window.rgb.shape[0] // 2
    moved = square[middle, middle].astype(int) - window.rgb[middle, middle]
    assert moved.tolist() == pytest.approx([0, 3, 0], abs=0.6)


def test_pasting_leaves_the_photo_outside_of_the_square_untouched() -> None:
    photo, crop = noise(), Crop(100, -20, 90)
    original = photo.copy()
    pasted = Paster(photo, crop, 4096)(np.full((90, 90, 3), 255, np.uint8))
    inside = np.zeros(photo.shape[:2], bool)
    inside[:70, 100:] = True
    assert np.array_equal(pasted[~inside], photo[~inside])
    assert np.all(pasted[inside] == 255)
    assert np.array_equal(photo, original)


def test_a_crop_too_large_to_be_pasted_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(TalkheadError, match=r"200 pixels.*--max-side or --crop-source"):
        Paster(noise(), Crop(-10, -10, 200), 128)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (120, 160, (120, 160)),
        (121, 161, (120, 160)),
        (500, 250, (400, 200)),
        (251, 601, (166, 400)),
    ],
)
def test_photos_become_even_and_no_larger_than_the_limit(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    photo = noise(height, width)
    fitted = fit_photo(photo, 400)
    assert fitted.shape[:2] == expected
    if max(height, width) <= 400:
        assert np.array_equal(fitted, photo[: expected[0], : expected[1]])


def test_the_face_of_a_mesh_is_inside_and_the_rest_is_not() -> None:
    points = np.array([[70, 60, 0], [110, 60, 0], [90, 100, 0], [90, 80, 5]], np.float32)
    mask = face_mask(points, Crop(50, 40, 80), SIZE)
    assert mask.shape == (SIZE, SIZE)
    assert mask[12, 16] == 1  # (90, 70)
    assert mask[2, 2] == mask[30, 2] == 0


def test_distance_counts_only_from_sides_where_the_photo_goes_on() -> None:
    distance = border_distance(10, (True, False, False, False))[0, 0]
    assert distance[0].tolist() == pytest.approx([i / 10 + 0.05 for i in range(10)])
    assert torch.equal(distance[0], distance[9])
    assert border_distance(4, (False,) * 4).min() == 1
    assert rise(torch.tensor([0.0, 0.5, 1.0, 2.0]), 0.5, 1.5).tolist() == [0, 0, 0.5, 1]
