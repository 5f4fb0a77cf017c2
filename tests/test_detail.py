"""Pictures larger than the model's: detail of the source, the model's picture when reduced."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from miniatures import mini_engine
from toys import FAMILIES

from talkhead.faces.crop import cut
from talkhead.inference.drawn import to_levels
from talkhead.models.detail import (
    FAR,
    LEAST_TRUST,
    Placement,
    SourceDetail,
    steepened,
    strength_of,
    trusted,
)
from talkhead.models.grid import identity_grid, pixel_flow, rescale, warp, warp_by_flow
from talkhead.structs import Crop, Keypoints, RenderParts

SIZE = 64


def photo(size: int, seed: int = 0) -> np.ndarray:
    """Soft blots with fine grain on them."""
    rng = np.random.default_rng(seed)
    blots = cv2.resize(rng.normal(128, 50, (6, 6, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(blots + rng.normal(0, 12, (size, size, 3)), 0, 255).astype(np.uint8)


def moved(keypoints: Keypoints, by: float) -> Keypoints:
    return Keypoints(keypoints.value + by, keypoints.jacobian)


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_hold_the_picture_that_is_rendered(family: str) -> None:
    engine = mini_engine(family)
    size = engine.image_size
    state = engine.encode(photo(size)).state
    driving = moved(state.keypoints, 0.05)
    with torch.inference_mode():
        parts = engine.model.render_parts(state, driving)
        image = engine.model.render(state, driving)
    assert (parts.image - image).abs().mean() < 0.01
    for maps, channels in (
        (parts.image, 3),
        (parts.flow, 2),
        (parts.kept, 1),
        (parts.occlusion, 1),
    ):
        assert maps.shape == (1, channels, size, size)
        assert maps.dtype is torch.float32


@pytest.mark.parametrize("family", FAMILIES)
def test_a_larger_picture_reduced_is_the_models_own(family: str) -> None:
    engine = mini_engine(family)
    size = engine.image_size
    large = photo(2 * size)
    whole = Crop(0, 0, 2 * size)
    source = engine.encode(cut(large, whole, size))
    driving = moved(source.keypoints, 0.02)
    plain = torch.from_numpy(engine.render(source, driving)).permute(0, 3, 1, 2)
    drawn = engine.render(engine.add_detail(source, large), driving)[0]
    assert drawn.shape == (2 * size, 2 * size, 3)
    # Enlarging blurs the noise that untrained networks draw, with and without detail.
    enlarged = rescale(steepened(plain.float()), 2 * size).clamp(0, 255)
    expected = rescale(enlarged, size)[0].permute(1, 2, 0).numpy()
    assert np.abs(cut(drawn, whole, size) - expected).mean() < 1


@pytest.mark.parametrize("family", FAMILIES)
def test_detail_is_no_further_from_the_truth_than_enlarging(family: str) -> None:
    engine = mini_engine(family)
    size = engine.image_size
    truth = photo(2 * size)
    source = engine.encode(cut(truth, Crop(0, 0, 2 * size), size))
    small = engine.render(source, source.keypoints)[0]
    drawn = engine.render(engine.add_detail(source, truth), source.keypoints)[0]
    enlarged = cut(small, Crop(0, 0, size), 2 * size)
    off, before = (np.abs(each.astype(int) - truth).mean() for each in (drawn, enlarged))
    assert off < before + 0.5  # levels


def test_strong_detail_of_a_source_that_is_kept_is_there() -> None:
    large = torch.from_numpy(photo(2 * SIZE)).permute(2, 0, 1)[None].float() / 255
    small = rescale(large, SIZE)
    still, ones = torch.zeros(1, 2, SIZE, SIZE), torch.ones(1, 1, SIZE, SIZE)
    found = SourceDetail.whole(large, SIZE).lay_in(RenderParts(small, still, ones, ones))
    enlarged = rescale(steepened(small), 2 * SIZE)
    assert (found - large).abs().mean() < 0.2 * (enlarged - large).abs().mean()


def test_edges_pass_and_faint_grain_fades() -> None:
    torch.manual_seed(0)
    picture = 0.5 + 0.004 * torch.randn(1, 3, 2 * SIZE, 2 * SIZE)
    picture[..., SIZE + 1 :] += 0.3
    whole = Placement(2 * SIZE, 2 * SIZE)
    strength = strength_of(picture, whole, SIZE)[0, 0]
    edge = SIZE // 2
    assert strength[:, edge].min() > 0.8
    assert strength[:, : edge - 3].max() < 0.25
    assert strength[:, edge + 4 :].max() < 0.25


def test_the_strength_of_detail_moves_with_it() -> None:
    large = torch.full((1, 3, 2 * SIZE, 2 * SIZE), 0.5)
    large[:, :, 40:60, 40:60] = torch.from_numpy(photo(20)).permute(2, 0, 1).float() / 255
    ones, flow = torch.ones(1, 1, SIZE, SIZE), torch.zeros(1, 2, SIZE, SIZE)
    flow[:, 0] = 10  # 20 of the large picture, to the left
    image = warp_by_flow(rescale(large, SIZE), flow)
    detail = SourceDetail.whole(large, SIZE)
    found = detail.lay_in(RenderParts(image, flow, ones, ones))
    fine = (found - rescale(steepened(image), 2 * SIZE)).abs()
    assert fine[:, :, 40:60, 20:40].mean() > 20 * fine[:, :, 40:60, 60:].mean()


def test_where_the_picture_is_another_no_detail_is_laid_in() -> None:
    large = torch.from_numpy(photo(2 * SIZE)).permute(2, 0, 1)[None].float() / 255
    plain = torch.full((1, 3, SIZE, SIZE), 0.9)
    still, ones = torch.zeros(1, 2, SIZE, SIZE), torch.ones(1, 1, SIZE, SIZE)
    other = RenderParts(plain, still, 0 * ones, ones)
    found = SourceDetail.whole(large, SIZE).lay_in(other)
    assert (found - 0.9).abs().mean() < 0.01
    small = rescale(large, SIZE)
    like = RenderParts(small, still, 0 * ones, ones)
    assert (SourceDetail.whole(large, SIZE).lay_in(like) - large).abs().mean() < 0.01
    hidden = RenderParts(small, still, 0 * ones, 0 * ones)
    assert (SourceDetail.whole(large, SIZE).lay_in(hidden) - large).abs().mean() > 0.02


def test_detail_follows_the_flow() -> None:
    large = torch.from_numpy(photo(2 * SIZE)).permute(2, 0, 1)[None].float() / 255
    ones = torch.ones(1, 1, SIZE, SIZE)
    flow = torch.zeros(1, 2, SIZE, SIZE)
    flow[:, 0] = 0.5  # pixels of the model: 1 of the large picture
    image = warp_by_flow(rescale(large, SIZE), flow)
    found = SourceDetail.whole(large, SIZE).lay_in(RenderParts(image, flow, ones, ones))
    enlarged = rescale(steepened(image), 2 * SIZE)
    off, unmoved, before = (
        (each - large[..., start : start - 8]).abs().mean()
        for each, start in ((found[..., :-8], 1), (found[..., :-8], 0), (enlarged[..., :-8], 1))
    )
    assert off < 0.3 * unmoved
    assert off < 0.5 * before


def test_detail_gives_way_to_motion_slowly_and_not_wholly() -> None:
    flow = torch.zeros(1, 2, 1, 200)
    flow[0, 0, 0] = torch.linspace(0, 0.3 * 200, 200)
    share = trusted(flow)[0, 0, 0]
    assert share[0] == 1
    assert LEAST_TRUST < share[-1] < LEAST_TRUST + 0.02
    assert (share.diff() <= 0).all()
    flow[0, 0, 0] = FAR * 200
    assert trusted(flow)[0, 0, 0, 0] == pytest.approx((1 + LEAST_TRUST) / 2)
    flow[0, 0, 0] = 0.01 * 200  # what a talking head moves: hardly any less
    assert trusted(flow).min() > 0.9


def test_what_enlarging_blurs_is_put_back_before() -> None:
    picture = rescale(torch.from_numpy(photo(2 * SIZE)).permute(2, 0, 1)[None].float(), SIZE)
    blurred = (rescale(rescale(picture, 2 * SIZE), SIZE) - picture).abs().mean()
    kept = (rescale(rescale(steepened(picture), 2 * SIZE), SIZE) - picture).abs().mean()
    assert kept < 0.6 * blurred


@pytest.mark.parametrize("align_corners", [True, False])
def test_flow_in_pixels_samples_as_the_grid_does(align_corners: bool) -> None:
    torch.manual_seed(0)
    picture = rescale(torch.rand(1, 2, 6, 6), 24)
    grid = (identity_grid(24, 24) * 0.7 + 0.1)[None]
    by_grid = warp(picture, grid, align_corners=align_corners)
    by_flow = warp_by_flow(picture, pixel_flow(grid, align_corners=align_corners))
    assert (by_grid - by_flow).abs().mean() < 0.01
    shifted = warp_by_flow(picture, pixel_flow(grid, align_corners=not align_corners))
    assert (by_grid - by_flow).abs().mean() < (by_grid - shifted).abs().mean() / 2


def test_an_unmoved_picture_comes_back_as_it_is() -> None:
    levels = torch.randint(0, 256, (1, 3, 300, 300))
    same = to_levels(warp_by_flow(levels / 255, torch.zeros(1, 2, 300, 300)))
    assert torch.equal(same[0].permute(2, 0, 1), levels[0].to(torch.uint8))


def test_batches_with_detail_are_drawn_in_pieces_that_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = mini_engine("codebook")
    size = engine.image_size
    source = engine.add_detail(engine.encode(photo(size)), photo(2 * size))
    value = torch.cat([source.keypoints.value + by for by in (0.0, 0.05, -0.05)])
    jacobian = source.keypoints.jacobian
    assert jacobian is not None
    three = Keypoints(value, jacobian.expand(3, -1, -1, -1))
    whole = engine.render(source, three)
    monkeypatch.setattr("talkhead.inference.drawn.PIXELS_AT_ONCE", {"cpu": 1})
    assert np.array_equal(engine.render(source, three), whole)
    assert len({picture.tobytes() for picture in whole}) == 3
