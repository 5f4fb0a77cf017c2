"""Keypoints that follow the optical flow from a reference picture."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from miniatures import meshes, mini, mini_config, mini_preset, pictures, shared_mini
from torch import Tensor
from toys import CODEBOOK, toy_batch

from talkhead.config import CodebookConfig, FommConfig, ModelConfig
from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.inference.tracker import KeypointTracker
from talkhead.models import build
from talkhead.models.codebook import CodebookModel
from talkhead.models.grid import identity_grid
from talkhead.models.motion import sparse_motions
from talkhead.models.tracking import follow_flow
from talkhead.motion.optical_flow import Flow, match, on_grid
from talkhead.structs import NOWHERE, Keypoints
from talkhead.topology import MESH_POINTS
from talkhead.training.compute import Compute
from talkhead.training.distributed import ProcessGroup
from talkhead.training.loop.trainer import Trainer
from talkhead.training.loop.validation import Validation
from talkhead.training.losses.objective import Objective
from talkhead.training.recipes.recipe import LossWeights, Recipe

CPU = torch.device("cpu")
TURN = torch.tensor([[1.05, 0.1], [-0.08, 0.97]])
SHIFT = torch.tensor([0.04, -0.03])
ALL = [0, 1, 2, 3, 4]
SIZE = 64
SURE = torch.ones(2, SIZE, SIZE)


def moved(turn: Tensor = TURN, error: float = 0.02) -> tuple[Keypoints, Keypoints, Keypoints]:
    """Keypoints of a reference, those of two pictures that it moved to, and as wrongly found.

    A picture's point z lies at turn z + SHIFT in the reference.
    """
    rng = torch.Generator().manual_seed(0)
    value = torch.rand(1, 5, 2, generator=rng) - 0.5
    jacobian = torch.eye(2) + 0.1 * torch.randn(1, 5, 2, 2, generator=rng)
    back = torch.linalg.inv(turn)
    true = Keypoints(
        ((value - SHIFT) @ back.T).expand(2, -1, -1), (back @ jacobian).expand(2, -1, -1, -1)
    )
    assert true.jacobian is not None
    off = error * torch.randn(2, 5, 2, generator=rng)
    return Keypoints(value, jacobian), true, Keypoints(true.value + off, 1.1 * true.jacobian)


def flow(turn: Tensor = TURN, shift: Tensor = SHIFT) -> Tensor:
    return (identity_grid(SIZE, SIZE) @ turn.T + shift).expand(2, -1, -1, -1)


def move(found: Keypoints, reference: Keypoints) -> tuple[Tensor, Tensor]:
    """Mask and deformation: every pixel moves like the keypoints near to it.

    Nothing moves like the background, the first candidate, or like a mesh, the last.
    """
    motions = sparse_motions(reference, found, (SIZE, SIZE))[:, 1:]
    offsets = identity_grid(SIZE, SIZE) - found.value[:, :, None, None]
    near = torch.softmax(-offsets.square().sum(-1) / 0.05, dim=1)
    nothing = torch.zeros_like(near[:, :1])
    return torch.cat([nothing, near, nothing], dim=1), (near[..., None] * motions).sum(1)


def follow(
    found: Keypoints,
    reference: Keypoints,
    places: Tensor,
    trust: Tensor = SURE,
    which: list[int] = ALL,
) -> Keypoints:
    reference = reference.expand(len(found))
    return follow_flow(found, reference, *move(found, reference), places, trust, which)


def test_keypoints_are_set_where_a_sure_flow_says() -> None:
    reference, true, found = moved()
    led = follow(found, reference, flow())
    for part in ("value", "jacobian"):
        off, before = ((getattr(k, part) - getattr(true, part)).abs().mean() for k in (led, found))
        assert off < 0.3 * before


def test_parts_that_move_apart_are_followed_each_by_its_keypoints() -> None:
    value = torch.tensor([[[-0.5, -0.4], [-0.5, 0.4], [0.5, -0.4], [0.5, 0.4], [0.7, 0.0]]])
    still = Keypoints(value, torch.eye(2).expand(1, 5, 2, 2))
    split = flow(torch.eye(2), torch.zeros(2)).clone()
    split[:, :, : SIZE // 2, 0] += 0.06
    split[:, :, SIZE // 2 :, 0] -= 0.04
    change = follow(still.expand(2), still, split).value - value
    assert change[0, :2, 0].tolist() == pytest.approx([-0.06] * 2, abs=0.01)
    assert change[0, 2:, 0].tolist() == pytest.approx([0.04] * 3, abs=0.01)
    assert change[..., 1].abs().max() < 0.005


def test_the_deformation_comes_nearer_to_the_flow() -> None:
    reference, _, found = moved()
    led = follow(found, reference, flow())
    before, after = (
        (move(each, reference.expand(2))[1] - flow()).abs().mean() for each in (found, led)
    )
    assert after < 0.1 * before


def test_a_flow_that_is_not_to_be_trusted_changes_nothing() -> None:
    reference, _, found = moved()
    trust = torch.zeros(2, SIZE, SIZE)
    trust[0] = 1
    led = follow(found, reference, flow(), trust)
    assert (led.value[0] - found.value[0]).abs().max() > 0.01
    assert torch.allclose(led.value[1], found.value[1])
    assert torch.allclose(led.jacobian[1], found.jacobian[1], atol=1e-6)


def test_where_the_flow_is_not_to_be_trusted_it_is_followed_if_it_is_elsewhere() -> None:
    reference, true, found = moved()
    trust = (identity_grid(SIZE, SIZE)[..., 0] < 0).float().expand(2, -1, -1)
    led = follow(found, reference, flow(), trust)
    off, before = ((k.value - true.value).norm(dim=-1).mean() for k in (led, found))
    assert off < 0.5 * before


def test_a_flow_between_pictures_with_nothing_in_common_changes_nothing() -> None:
    reference, _, found = moved()
    trust = torch.zeros(2, SIZE, SIZE)
    trust[..., :5] = 1  # 0.08 of all
    led = follow(found, reference, flow(shift=torch.tensor([0.5, 0.3])), trust)
    assert torch.allclose(led.value, found.value, atol=1e-6)


def test_gradients_are_those_of_the_keypoints_that_result() -> None:
    reference, _, found = (each[:1] for each in moved())
    mask, _ = move(found, reference)
    trust, places = 0.5 * SURE[:1], flow()[:1]

    def led(value: Tensor, start: Tensor) -> Tensor:
        before, after = replace(reference, value=start), replace(found, value=value)
        motions = sparse_motions(before, after, (SIZE, SIZE))
        deformation = (mask[:, :-1, ..., None] * motions).sum(1)
        return follow_flow(after, before, mask, deformation, places, trust, ALL).value[0, 1, 0]

    at = [found.value.clone().requires_grad_(), reference.value.clone().requires_grad_()]
    step = torch.zeros_like(found.value)
    step[0, 1, 0] = 1e-2
    for number, gradient in enumerate(torch.autograd.grad(led(at[0], at[1]), at)):
        more, less = ([*at] for _ in range(2))
        more[number], less[number] = at[number] + step, at[number] - step
        quotient = (led(more[0], more[1]) - led(less[0], less[1])) / 2e-2
        assert gradient[0, 1, 0].item() == pytest.approx(quotient.item(), abs=0.02)


def test_a_flow_that_folds_its_picture_changes_nothing() -> None:
    reference, _, found = moved()
    led = follow(found, reference, flow(torch.tensor([[-1.0, 0.0], [0.0, 1.0]])))
    assert torch.equal(led.value, found.value)
    assert torch.allclose(led.jacobian, found.jacobian)


def test_keypoints_at_the_border_stay_finite() -> None:
    reference, _, found = moved()
    found = replace(found, value=found.value.clamp(-1, 1).sign())
    led = follow(found, reference, flow())
    assert torch.isfinite(led.value).all()
    assert torch.isfinite(led.jacobian).all()


def test_keypoints_that_are_not_asked_for_stay_as_they_were_found() -> None:
    reference, true, found = moved()
    assert true.jacobian is not None
    assert found.jacobian is not None
    asked = torch.tensor([False, True, False, True, False])
    found = Keypoints(
        torch.where(asked[:, None], found.value, true.value),
        torch.where(asked[:, None, None], found.jacobian, true.jacobian),
    )
    led = follow(found, reference, flow(), which=[1, 3])
    off, before = ((k.value - true.value)[:, [1, 3]].norm(dim=-1).mean() for k in (led, found))
    assert off < before
    same = (led.value == found.value).all(-1).all(0)
    assert same.tolist() == [True, False, True, False, True]
    assert torch.equal(led.jacobian[:, [0, 2, 4]], found.jacobian[:, [0, 2, 4]])


def tracked(config: ModelConfig) -> CodebookConfig:
    assert isinstance(config, CodebookConfig)
    count = config.keypoints.num_keypoints
    return replace(
        config,
        keypoints=replace(config.keypoints, tracked=tuple(range(count))),
        dense_motion=replace(config.dense_motion, prior_sigmas=(0.4,) * count),
    )


def texture() -> np.ndarray:
    noise = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(noise, scale_factor=5, mode="bicubic")[0].clamp(0, 1)
    return (large * 255).byte().permute(1, 2, 0).numpy()


def test_an_engine_leads_keypoints_by_the_flow_from_the_reference() -> None:
    torch.manual_seed(0)
    engine = Engine(build(tracked(mini_config("codebook"))).eval(), CPU)
    picture = texture()
    first, second = (picture[20:84, left : left + SIZE].copy() for left in (20, 23))
    led = engine.detect([first, second], engine.tracker())
    assert torch.allclose(led.value[:1], engine.detect([first]).value, atol=1e-4)
    shift = (led.value[1] - led.value[0])[:, 0] * (SIZE - 1) / 2
    assert shift.median().item() == pytest.approx(-3, abs=0.5)
    alone = engine.detect([second])
    assert abs((alone.value[0] - led.value[0])[:, 0].median().item()) * (SIZE - 1) / 2 < 1


def test_models_that_do_not_track_have_no_tracker() -> None:
    assert Engine(mini("fomm"), CPU).tracker() is None


def image(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None] / 255


def test_what_trembles_between_two_equal_pictures_is_calmed() -> None:
    model = build(tracked(mini_config("codebook"))).eval()
    tracker, picture = KeypointTracker(model), image(texture()[:SIZE, :SIZE])
    still = Keypoints(torch.zeros(1, 4, 2), torch.eye(2).expand(1, 4, 2, 2))
    with torch.no_grad():
        tracker(still, picture)
        led = tracker(replace(still, value=still.value + 0.04), picture)
    assert led.value.abs().max() < 0.01


def test_after_a_cut_keypoints_are_the_detectors() -> None:
    model = build(tracked(mini_config("codebook"))).eval()
    tracker, picture = KeypointTracker(model), image(texture()[:SIZE, :SIZE])
    still = Keypoints(torch.zeros(1, 4, 2), torch.eye(2).expand(1, 4, 2, 2))
    other = replace(still, value=still.value + 0.3)
    with torch.no_grad():
        tracker(still, picture)
        led = tracker(other, torch.zeros_like(picture))
    assert (led.value - other.value).abs().max() < 0.1


def test_motion_too_large_to_be_found_at_once_is_found_from_picture_to_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.uniform(0, 255, (64, 128)).astype(np.float32), (0, 0), 1.5)
    scene = cv2.normalize(scene, scene, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    views = [np.ascontiguousarray(scene[:, left : left + SIZE]) for left in range(0, 25, 2)]
    model = build(tracked(mini_config("codebook"))).eval()
    tracker, inside, flows = KeypointTracker(model), np.s_[15:49, 5:30], list[Flow]()
    monkeypatch.setattr(
        "talkhead.inference.tracker.on_grid",
        lambda some, size: (flows.extend(some), on_grid(some, size))[1],
    )
    still = Keypoints(torch.zeros(1, 4, 2), torch.eye(2).expand(1, 4, 2, 2))
    for view in [*views, views[0]]:
        tracker(still, image(np.repeat(view[..., None], 3, axis=2)))
    far, back = (np.median(flow.there[inside][..., 0]) for flow in flows[-2:])
    assert far == pytest.approx(24, abs=0.5)
    assert back == pytest.approx(0, abs=0.1)
    at_once = match(views[0], views[-1])
    assert abs(np.median(at_once.there[inside][..., 0]) - 24) > 2
    assert flows[-2].trust[inside].mean() > 0.8 > at_once.trust[inside].mean()


def test_a_mesh_that_only_one_picture_has_moves_no_keypoint() -> None:
    model = shared_mini(mini_preset("codebook-mesh"))
    assert isinstance(model, CodebookModel)
    assert model.dense_motion.mesh
    picture, size = pictures(1), model.config.dense_motion.size
    still = identity_grid(size, size)[None], torch.ones(1, size, size)
    nobody = torch.full((1, MESH_POINTS, 2), NOWHERE)
    with torch.no_grad():
        small, reference = model.see_small(picture), model.detect(picture, nobody)
        without = model.track(model.detect(picture, nobody), reference, small, *still)
        led = model.track(model.detect(picture, meshes(1)), reference, small, *still)
    assert torch.allclose(led.value, without.value)


@pytest.mark.parametrize("motion_only", [False, True])
def test_a_tracked_model_learns_and_is_validated_with_the_flow(motion_only: bool) -> None:
    weights = LossWeights(pyramid=1.0, dense_flow=1.0)
    recipe = Recipe("test", batch_size=2, motion_only=motion_only, weights=weights)
    torch.manual_seed(0)
    model = build(tracked(CODEBOOK))
    one = Trainer(model, recipe, Objective(recipe), Compute(CPU), ProcessGroup(), seed=0)
    terms = one.train_step(toy_batch(recipe, flow=True), 0, 0.0)
    assert all(torch.isfinite(value) for value in terms.values())
    size = model.config.image_size
    pictures = torch.from_numpy(texture()).permute(2, 0, 1)[None, :, :size, :size]
    nobody = torch.full((1, 478, 2), 10.0)
    score, drawn = Validation(pictures, pictures, nobody, nobody)(model, Compute(CPU), recipe)
    assert np.isfinite(score.l1)
    assert drawn.shape == pictures.shape


def test_tracking_needs_a_codebook_model() -> None:
    fomm = mini_config("fomm")
    assert isinstance(fomm, FommConfig)
    with pytest.raises(TalkheadError, match=r"keypoints\.tracked needs"):
        build(replace(fomm, keypoints=tracked(mini_config("codebook")).keypoints))


@pytest.mark.parametrize("wrong", [(0, 0), (0, 99)])
def test_tracked_keypoints_are_named_once_and_there(wrong: tuple[int, ...]) -> None:
    config = tracked(mini_config("codebook"))
    with pytest.raises(TalkheadError, match="name each once"):
        build(replace(config, keypoints=replace(config.keypoints, tracked=wrong)))
