"""Motion is carried from driver to source as the papers define it."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from talkhead.errors import TalkheadError
from talkhead.motion.anchor import closest_frame
from talkhead.motion.smoothing import Smoother
from talkhead.motion.transfer import Transfer, hull_area, movement_scale
from talkhead.structs import NOWHERE, Keypoints


def random_keypoints(batch: int, seed: int = 0) -> Keypoints:
    generator = torch.Generator().manual_seed(seed)
    value = torch.rand(batch, 10, 2, generator=generator) - 0.5
    jacobian = torch.eye(2) + 0.2 * torch.randn(batch, 10, 2, 2, generator=generator)
    return Keypoints(value, jacobian)


SOURCE, ANCHOR, DRIVING = random_keypoints(1, 1), random_keypoints(1, 2), random_keypoints(6, 3)


def test_no_motion_since_the_anchor_gives_the_source_back():
    moved = Transfer("relative", SOURCE, ANCHOR)(ANCHOR)
    assert torch.equal(moved.value, SOURCE.value)
    assert torch.allclose(moved.jacobian, SOURCE.jacobian, atol=1e-5)


def test_absolute_motion_is_the_driver_itself():
    moved = Transfer("absolute", SOURCE)(DRIVING)
    assert torch.equal(moved.value, DRIVING.value)
    assert torch.equal(moved.jacobian, DRIVING.jacobian)


def test_relative_motion_follows_the_formula_for_each_frame_of_a_batch():
    moved = Transfer("relative", SOURCE, ANCHOR, adapt_scale=False)(DRIVING)
    for i in range(len(DRIVING)):
        value = DRIVING.value[i] - ANCHOR.value[0] + SOURCE.value[0]
        tilt = DRIVING.jacobian[i] @ torch.linalg.inv(ANCHOR.jacobian[0]) @ SOURCE.jacobian[0]
        assert torch.allclose(moved.value[i], value, atol=1e-6)
        assert torch.allclose(moved.jacobian[i], tilt, atol=1e-4)


def test_half_precision_keypoints_are_moved_in_single_precision():
    moved = Transfer("relative", SOURCE, ANCHOR)(DRIVING.map(torch.Tensor.half))
    assert moved.value.dtype == moved.jacobian.dtype == torch.float32


def test_a_face_twice_as_large_moves_twice_as_far():
    doubled = Keypoints(ANCHOR.value * 2 + 0.1, ANCHOR.jacobian)
    assert movement_scale(doubled, ANCHOR) == pytest.approx(2)
    step = Keypoints(ANCHOR.value + 0.05, ANCHOR.jacobian)
    moved = Transfer("relative", doubled, ANCHOR)(step)
    assert torch.allclose(moved.value - doubled.value, torch.tensor(0.1), atol=1e-5)


def test_keypoints_without_jacobians_always_adapt_the_scale():
    source, anchor = Keypoints(ANCHOR.value * 3), Keypoints(ANCHOR.value)
    mover = Transfer("relative", source, anchor, adapt_scale=False)
    assert mover.scale == pytest.approx(3)
    assert mover(Keypoints(DRIVING.value)).jacobian is None


def test_hull_area_is_that_of_scipy_and_ignores_inner_points():
    spatial = pytest.importorskip("scipy.spatial")
    points = np.random.default_rng(0).normal(size=(50, 2))
    assert hull_area(torch.tensor(points)) == pytest.approx(spatial.ConvexHull(points).volume)
    square = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5], [0, 0], [0.5, 0]])
    assert hull_area(square) == 1


@pytest.mark.parametrize(
    "points", [[[0.0, 0.0]] * 10, [[i / 10, i / 5] for i in range(10)], [[torch.nan, 0.0]] * 10]
)
def test_degenerate_keypoints_are_not_scaled_and_said_so(points, caplog):
    assert movement_scale(SOURCE, Keypoints(torch.tensor([points]))) == 1
    assert "span no area" in caplog.text


def test_a_degenerate_anchor_and_a_missing_one_are_errors():
    flat = Keypoints(ANCHOR.value, torch.zeros_like(ANCHOR.jacobian))
    with pytest.raises(TalkheadError, match="--anchor"):
        Transfer("relative", SOURCE, flat)(DRIVING)
    with pytest.raises(TalkheadError, match="anchor"):
        Transfer("relative", SOURCE)(DRIVING)


def test_a_mode_that_nobody_knows_is_refused():
    with pytest.raises(TalkheadError, match="relative or absolute, not 'relativ'"):
        Transfer("relativ", SOURCE, ANCHOR)


def test_the_closest_pose_is_found_whatever_its_place_and_size():
    value = DRIVING.value.clone()
    value[4] = SOURCE.value[0] * 0.3 + torch.tensor([0.4, -0.2])
    assert closest_frame(SOURCE, Keypoints(value)) == 4


def test_the_search_for_an_anchor_skips_broken_frames():
    value = DRIVING.value.clone()
    value[0] = torch.nan
    value[1] = 0.0
    value[5] = SOURCE.value[0]
    with pytest.raises(TalkheadError, match=r"no driving frame can serve .* --anchor"):
        closest_frame(SOURCE, Keypoints(value[:2]))
    assert closest_frame(SOURCE, Keypoints(value, DRIVING.jacobian)) == 5


def test_an_anchor_has_a_mesh_where_any_frame_has_one():
    value = DRIVING.value.clone()
    value[2] = SOURCE.value[0]
    unknown = torch.full((len(value), 478, 3), NOWHERE)
    assert closest_frame(SOURCE, Keypoints(value, None, unknown)) == 2
    some = unknown.clone()
    some[[1, 4]] = 0.1
    assert closest_frame(SOURCE, Keypoints(value, None, some)) in (1, 4)


def noisy_still(frames: int) -> Keypoints:
    generator = torch.Generator().manual_seed(0)
    noise = 0.003 * torch.randn(frames, 10, 2, generator=generator)
    tilt = 0.003 * torch.randn(frames, 10, 2, 2, generator=generator)
    return Keypoints(SOURCE.value + noise, SOURCE.jacobian + tilt)


def test_smoothing_steadies_a_still_face_more_when_stronger():
    still = noisy_still(100)
    seconds = [i / 25 for i in range(100)]
    spreads = []
    for strength in (0.0, 0.5, 1.0):
        smooth = Smoother(strength)(still, seconds)
        spreads.append(
            (smooth.value[25:].std(dim=0).mean(), smooth.jacobian[25:].std(dim=0).mean())
        )
    for before, after in pairwise(spreads):
        assert after[0] < 0.75 * before[0]
        assert after[1] < 0.75 * before[1]


def test_no_smoothing_changes_nothing():
    assert Smoother(0.0)(DRIVING, range(6)) is DRIVING


def test_quick_motion_passes_a_strong_smoother_with_little_delay():
    path = torch.linspace(0, 1, 26)[:, None, None].expand(26, 10, 2)  # one unit in a second
    smooth = Smoother(1.0)(Keypoints(path), [i / 25 for i in range(26)])
    assert float((path - smooth.value)[-1].max()) < 0.06  # less than two frames behind


def test_smoothing_is_causal_and_does_not_depend_on_batches():
    seconds = [i / 25 for i in range(20)]
    still = noisy_still(20)
    whole = Smoother(0.7)(still, seconds)
    smoother = Smoother(0.7)
    parts = [smoother(still[i : i + 7], seconds[i : i + 7]).value for i in range(0, 20, 7)]
    assert torch.equal(torch.cat(parts), whole.value)
