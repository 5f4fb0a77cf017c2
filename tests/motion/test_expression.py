"""How much of an expression is drawn, and that faces do only what faces do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from miniatures import mini, mini_config
from torch import Tensor

from talkhead.animation.settings import RenderSettings
from talkhead.config import MeshConfig
from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.motion.anchor import closest_frame
from talkhead.motion.expression import BROW, DROOP, OPENING, WIDTH, gap_change
from talkhead.motion.head_pose import (
    LARGEST_TURN,
    POINTS,
    fit_view,
    rotation_power,
    turned_by,
)
from talkhead.motion.mesh_expression import ASIDE
from talkhead.motion.mesh_transfer import align, follow_mesh
from talkhead.motion.transfer import Transfer
from talkhead.structs import NOWHERE, Keypoints, Strengths, head_points, iris_places
from talkhead.topology import (
    CHIN,
    FOREHEAD,
    HEAD_GROUPS,
    HEAD_LEFT_BROW,
    IRIS_RIM,
    IRISES,
    LEFT_EYE,
    LEFT_IRIS,
    LOWER_LIDS,
    LOWER_LIP,
    MESH_POINTS,
    MOUTH_CORNERS,
    RIGID_POINTS,
    UPPER_LIDS,
    UPPER_LIP,
)

MOUTH, EYES, RIGID = [11, 12, 13, 14], [7, 8, 9, 10], [0, 2, 3, 6]
LIPS_MIDDLE = 0.215  # height of closed lips in the head's frame
# The chin and the brows have a say in where the head is, so a shape that is read from keypoints
# depends a little on the expression: by about a pixel of a face of 140 pixels.
NEAR = 0.008


def turn(yaw: float, roll: float = 0.0) -> Tensor:
    """A rotation (3, 3), degrees."""
    (s, t), (c, d) = (
        [f(math.radians(angle)) for angle in (yaw, roll)] for f in (math.sin, math.cos)
    )
    about_y = torch.tensor([[c, 0, s], [0, 1.0, 0], [-s, 0, c]])
    return torch.tensor([[d, -t, 0], [t, d, 0], [0, 0, 1.0]]) @ about_y


def face(
    opening: float = 0.0,
    width: float = 0.29,
    droop: float = 0.0,
    brow: float = 0.15,
    eye: float = 1.0,
    yaw: float = 0.0,
    roll: float = 0.0,
    size: float = 0.9,
    x: float = 0.0,
) -> Keypoints:
    """A face of the mean shape but for what is said, in heights of the face; eye: over the mean."""
    shape = torch.tensor(POINTS)
    shape[13, 1], shape[14, 1] = LIPS_MIDDLE, LIPS_MIDDLE + opening
    shape[1, 1] += opening / 2  # the chin follows
    shape[11, 0], shape[12, 0] = -width / 2, width / 2
    shape[11:13, 1] = LIPS_MIDDLE + opening / 2 + droop
    shape[9:11, 1] = shape[7:9, 1] - brow
    rotation = turn(yaw, roll)
    value = size * shape @ rotation[:2].T + torch.tensor([x, 0.02])
    local = torch.eye(2).repeat(15, 1, 1)
    local[7:9, 1, 1] = eye
    local[13:, 1, 1] = 0.5 + 8 * opening
    jacobian = size * rotation[:2, :2] @ local
    more = torch.tensor([[0.7, 0.6], [-0.7, 0.6]])  # not of the head
    return Keypoints(
        torch.cat([value, more + x])[None],
        torch.cat([jacobian, torch.eye(2).repeat(2, 1, 1)])[None],
    )


def drawn(
    source: Keypoints,
    driving: Keypoints,
    anchor: Keypoints | None = None,
    **strengths: float,
) -> Keypoints:
    mode = "absolute" if anchor is None else "relative"
    return Transfer(mode, source, anchor, landmarks=True, strengths=Strengths(**strengths))(driving)


def shape(keypoints: Keypoints) -> Tensor:
    """In the head's own frame, (15, 2)."""
    return fit_view(keypoints.value)[1][0]


def opening(keypoints: Keypoints) -> float:
    return float(shape(keypoints)[14, 1] - shape(keypoints)[13, 1])


def heights(keypoints: Keypoints) -> Tensor:
    camera = fit_view(keypoints.value)[0].camera
    return (torch.linalg.inv(camera)[:, None] @ keypoints.jacobian[:, :15])[0, :, 1, 1]


SOURCE = face(0.02, 0.3, 0.005, 0.14, yaw=10, size=0.8, x=0.05)
TALKING = face(0.1, 0.27, 0.0, 0.17, eye=0.8, yaw=-12, roll=8, x=-0.1)
RESTING = face(0.02, yaw=2)


def test_absolute_motion_at_full_strength_is_the_driver_to_the_bit() -> None:
    wide = face(0.5, 0.6, eye=3)  # more than faces do, and yet
    for driving in (TALKING, wide):
        moved = drawn(SOURCE, driving)
        assert torch.equal(moved.value, driving.value)
        assert torch.equal(moved.jacobian, driving.jacobian)


def test_relative_motion_within_what_faces_do_is_what_it_was_to_the_bit() -> None:
    flat = Transfer("relative", SOURCE, RESTING, landmarks=True)
    moved, plain = flat(TALKING), flat._relative(TALKING)
    assert torch.equal(moved.value, plain.value)


def test_nothing_of_any_part_is_the_source_itself() -> None:
    for anchor in (None, RESTING):
        moved = drawn(SOURCE, TALKING, anchor, mouth=0, eyes=0, head=0)
        assert torch.allclose(moved.value, SOURCE.value, atol=1e-5)
        assert torch.allclose(moved.jacobian, SOURCE.jacobian, atol=1e-4)


@pytest.mark.parametrize("anchor", [None, RESTING])
def test_a_mouth_without_strength_stays_the_sources_own_while_all_else_moves(
    anchor: Keypoints | None,
) -> None:
    moved, whole = drawn(SOURCE, TALKING, anchor, mouth=0), drawn(SOURCE, TALKING, anchor)
    kept = (shape(moved) - shape(SOURCE))[MOUTH].abs().max()
    assert kept < NEAR
    assert (shape(whole) - shape(SOURCE))[MOUTH].abs().max() > 0.03
    assert torch.allclose(shape(moved)[EYES], shape(whole)[EYES], atol=NEAR)
    assert torch.allclose(moved.value[:, RIGID], whole.value[:, RIGID], atol=NEAR)


@pytest.mark.parametrize(("strength", "times"), [(0.5, 0.5), (2.0, 2.0)])
def test_strength_multiplies_the_change_of_mouth_and_brows(strength: float, times: float) -> None:
    driving = face(0.07, brow=0.165, yaw=10, size=0.8, x=0.05)
    source = face(0.02, brow=0.15, yaw=10, size=0.8, x=0.05)
    once = drawn(source, driving, source)
    for part, points in (("mouth", [13, 14]), ("eyes", [9, 10])):
        moved = drawn(source, driving, source, **{part: strength})
        change = (shape(moved) - shape(source))[points]
        assert torch.allclose(change, times * (shape(once) - shape(source))[points], atol=NEAR)


def test_a_head_without_strength_keeps_the_sources_pose_and_place() -> None:
    moved = drawn(SOURCE, TALKING, RESTING, head=0)
    view, own = fit_view(moved.value)[0], fit_view(SOURCE.value)[0]
    assert torch.allclose(view.rotation, own.rotation, atol=0.02)
    assert torch.allclose(moved.value[:, RIGID], SOURCE.value[:, RIGID], atol=1e-5)
    assert torch.equal(moved.value[:, 15:], SOURCE.value[:, 15:])
    assert opening(moved) > opening(SOURCE) + 0.05


def test_a_head_turns_by_its_strength() -> None:
    source, driving = face(), face(yaw=9)
    for strength in (0.5, 2.0):
        found = fit_view(drawn(source, driving, source, head=strength).value)[0].rotation[0]
        assert torch.allclose(found, turn(9 * strength), atol=1e-3)
        again = rotation_power(turn(20, 30)[None], strength)
        assert torch.allclose(rotation_power(again, 1 / strength)[0], turn(20, 30), atol=1e-5)


def test_lips_close_no_further_than_they_are_open() -> None:
    smiling, shut = face(0.12, 0.36), face(0.0, 0.29)
    for own in (0.0, 0.03):
        moved = drawn(face(own), shut, smiling)
        assert opening(moved) == pytest.approx(0, abs=1e-3)
        # The lower lip and the chin stay behind, not the upper lip.
        assert shape(moved)[13, 1] == pytest.approx(float(shape(face(own))[13, 1]), abs=NEAR)


def test_no_part_of_a_face_goes_beyond_what_faces_do() -> None:
    wide = face(0.18, 0.36, -0.03, 0.2, eye=1.25)
    plain = face(0.0, 0.25, 0.02, 0.12, eye=0.6)
    for source, driving, anchor in ((wide, wide, plain), (plain, plain, wide)):
        moved = drawn(source, driving, anchor, mouth=2, eyes=2)
        found = shape(moved)
        assert OPENING[0] - 2 * NEAR < opening(moved) < OPENING[1] + 2 * NEAR
        assert WIDTH[0] - 2 * NEAR < found[12, 0] - found[11, 0] < WIDTH[1] + 2 * NEAR
        droop = found[11:13, 1].mean() - found[13:15, 1].mean()
        assert DROOP[0] - 2 * NEAR < droop < DROOP[1] + 2 * NEAR
        brows = found[7:9, 1] - found[9:11, 1]
        assert (brows > BROW[0] - 2 * NEAR).all()
        assert (brows < BROW[1] + 2 * NEAR).all()
        assert 0.5 < heights(moved)[7] < 1.35
        assert 0.45 < heights(moved)[13] < 2.2


def test_a_source_that_does_more_than_others_keeps_what_it_does() -> None:
    yawning = face(0.3, 0.45)
    moved = drawn(yawning, RESTING, RESTING)
    assert torch.allclose(moved.value, yawning.value, atol=1e-5)
    assert torch.allclose(moved.jacobian, yawning.jacobian, atol=1e-5)


def test_thick_lips_open_as_far_as_thin_ones() -> None:
    thin, thick = face(0.0), face(0.0)
    thick.jacobian[:, 13:15, 1, 1] *= 2
    grown = [
        (heights(drawn(source, face(0.05), face(0.0))) - heights(source))[13]
        for source in (thin, thick)
    ]
    assert grown[0] > 0.2
    assert grown[0] == pytest.approx(float(grown[1]), abs=1e-3)


def test_the_sources_mesh_says_when_lips_and_lids_are_closed() -> None:
    """Keypoints of lips that touch may lie apart, and lids that nearly touch be taken for open."""
    source = face(0.03)
    shut, smiling = face(0.0, eye=0.6), face(0.1, eye=1.0)
    moved = drawn(replace(source, mesh=face_mesh(lips=0.01, lids=0.02)), shut, smiling)
    assert opening(moved) == pytest.approx(0.02, abs=2e-3)
    assert heights(moved)[7] == pytest.approx(0.8, abs=0.01)
    unknown = torch.full((1, MESH_POINTS, 3), NOWHERE)
    moved = drawn(replace(source, mesh=unknown), shut, smiling)
    assert opening(moved) == pytest.approx(0, abs=1e-3)


def test_keypoints_on_a_line_stay_as_they_are() -> None:
    line = torch.linspace(-1, 1, 17)[None, :, None].repeat(1, 1, 2)
    flat = Keypoints(line, torch.eye(2).repeat(1, 17, 1, 1))
    moved = drawn(flat, flat, RESTING, mouth=2, head=1)
    plain = Transfer("relative", flat, RESTING)(flat)  # without any limit or strength
    assert torch.equal(moved.value, plain.value)
    assert torch.equal(moved.jacobian, plain.jacobian)


def test_the_anchor_has_the_sources_expression_not_another_face_like_it() -> None:
    source = face(0.0, 0.33, yaw=8)  # a wide mouth at rest
    frames = [face(0.08, 0.36, -0.03, yaw=8), face(0.0, 0.29, yaw=6), face(0.0, 0.29, yaw=-30)]
    driving = Keypoints(
        torch.cat([frame.value for frame in frames]),
        torch.cat([frame.jacobian for frame in frames]),
    )
    assert closest_frame(source, driving, landmarks=True) == 1


WIDE = torch.tensor([0.08, 0.0, 0.0])  # half of an eye


def face_mesh(lips: float = 0.0, lids: float = 0.05, seed: int = 0) -> Tensor:
    """A mesh (1, 478, 3) whose head points are the mean face's; all others lie among them."""
    rows = np.random.default_rng(seed).uniform(-0.3, 0.3, (MESH_POINTS, 3)).astype(np.float32)
    points = torch.from_numpy(rows)
    for place, group in zip(POINTS, HEAD_GROUPS, strict=True):
        offset = torch.tensor(place) - points[list(group)].mean(0)
        points[list(group)] += offset
    points[UPPER_LIP, 1], points[LOWER_LIP, 1] = LIPS_MIDDLE, LIPS_MIDDLE + lips
    for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
        middle = (points[upper] + points[lower]) / 2
        points[upper] = middle - torch.tensor([0, lids / 2, 0])
        points[lower] = middle + torch.tensor([0, lids / 2, 0])
    for iris, left, right in IRISES:
        middle = (points[left] + points[right]) / 2
        points[left], points[right] = middle - WIDE, middle + WIDE
        points[iris : iris + 1 + IRIS_RIM] = middle
    return points[None]


def with_mesh(mesh: Tensor) -> Keypoints:
    return replace(RESTING, mesh=mesh)


@pytest.mark.parametrize(
    ("own", "wanted"), [(0.035, 2), (None, 2), (0.015, 1)], ids=["narrow", "not known", "shut"]
)
def test_motion_is_not_measured_from_a_blink_unless_the_photo_blinks(
    own: float | None, wanted: int
) -> None:
    source = RESTING if own is None else with_mesh(face_mesh(lids=own))
    unknown = torch.full((1, MESH_POINTS, 3), NOWHERE)
    meshes = torch.cat([unknown, *(face_mesh(lids=lids) for lids in (0.02, 0.05, 0.06, 0.05))])
    away = torch.tensor([0.0, 0.0, 0.03, 0.06, 0.06])  # of a brow: the blink is closest
    value = RESTING.value.repeat(5, 1, 1)
    value[:, HEAD_LEFT_BROW, 1] -= away
    assert RESTING.jacobian is not None
    driving = Keypoints(value, RESTING.jacobian.expand(5, -1, -1, -1), meshes)
    assert closest_frame(source, driving, landmarks=True) == wanted


def looking(aside: float) -> Tensor:
    """A mesh whose irises lie so far to the right, in widths of an eye."""
    mesh = face_mesh()
    mesh[:, IRISES[0][0] :, 0] += 2 * aside * WIDE[0]
    return mesh


def test_the_anchor_looks_where_the_photo_looks() -> None:
    meshes = torch.cat([looking(aside) for aside in (-0.2, 0.0, 0.2)])
    value = RESTING.value.repeat(3, 1, 1)
    value[:, HEAD_LEFT_BROW, 1] -= torch.tensor([0.0, 0.01, 0.02])  # further and further away
    assert RESTING.jacobian is not None
    driving = Keypoints(value, RESTING.jacobian.expand(3, -1, -1, -1), meshes)
    for number, aside in enumerate((-0.2, 0.0, 0.2)):
        assert closest_frame(with_mesh(looking(aside)), driving, landmarks=True) == number


def test_of_frames_with_the_same_lips_and_look_the_pose_decides() -> None:
    value = RESTING.value.repeat(3, 1, 1)
    value[:, HEAD_LEFT_BROW, 1] -= torch.tensor([0.02, 0.0, 0.02])
    assert RESTING.jacobian is not None
    meshes = face_mesh().repeat(3, 1, 1)
    driving = Keypoints(value, RESTING.jacobian.expand(3, -1, -1, -1), meshes)
    two = replace(RESTING, value=RESTING.value.repeat(2, 1, 1), mesh=meshes[:2])
    for source in (with_mesh(face_mesh()), two):
        assert closest_frame(source, driving, landmarks=True) == 1


def test_meshes_that_say_nothing_leave_the_anchor_to_the_pose() -> None:
    flat, crossed = torch.full_like(face_mesh(), 0.1), face_mesh(lids=-0.004)
    torn, point = face_mesh(), face_mesh()
    torn[:, LOWER_LIDS[0]] = torch.nan
    point[:, list(IRISES[0][1:])] = 0.1  # corners of an eye in one place
    for driving in (flat, crossed, torn, point):
        for source in (face_mesh(), flat):
            assert closest_frame(with_mesh(source), with_mesh(driving), landmarks=True) == 0
    meshes = torch.cat([torn, face_mesh(lids=0.02), face_mesh(), face_mesh()])
    assert RESTING.jacobian is not None
    driving = Keypoints(
        RESTING.value.repeat(4, 1, 1), RESTING.jacobian.expand(4, -1, -1, -1), meshes
    )
    assert closest_frame(with_mesh(face_mesh()), driving, landmarks=True) == 2
    moved = drawn(with_mesh(point), with_mesh(face_mesh()), with_mesh(face_mesh()))
    assert moved.mesh.isfinite().all()


@pytest.mark.parametrize("own", [0.0, -0.003, -0.02])
def test_lips_that_touch_or_cross_close_no_further(own: float) -> None:
    source, anchor = with_mesh(face_mesh(lips=own)), with_mesh(face_mesh(lips=0.06))
    closed = drawn(source, with_mesh(face_mesh(lips=0.0)), anchor).mesh
    assert (closed[0, LOWER_LIP] - closed[0, UPPER_LIP])[1] == pytest.approx(own, abs=1e-3)


@pytest.mark.parametrize("own", [0.0, 0.3])
def test_irises_look_no_further_aside_than_irises_do(own: float) -> None:
    source, anchor = with_mesh(looking(own)), with_mesh(looking(0.0))
    far, near, left = (
        iris_places(drawn(source, with_mesh(looking(aside)), anchor).mesh)
        for aside in (0.4, -0.1, -0.7)
    )
    assert torch.allclose(near, torch.tensor(0.5 + own - 0.1), atol=1e-3)
    assert torch.allclose(far, torch.tensor(max(ASIDE[1], 0.5 + own)), atol=1e-3)
    assert torch.allclose(left, torch.tensor(ASIDE[0]), atol=1e-3)
    squinting = looking(0.0)
    squinting[:, IRISES[1][0] :, 0] += 0.8 * WIDE[0]
    places = iris_places(drawn(source, with_mesh(squinting), anchor).mesh)[0]
    assert places.tolist() == pytest.approx([0.5 + own, max(ASIDE[1], 0.5 + own)], abs=1e-3)


@pytest.mark.parametrize(("own", "wanted"), [(0.0, 2), (0.06, 0), (None, 0)])
def test_the_anchors_lips_are_apart_as_the_photos_are(own: float | None, wanted: int) -> None:
    source = RESTING if own is None else with_mesh(face_mesh(lips=own))
    meshes = torch.cat([face_mesh(lips=lips) for lips in (0.06, 0.03, 0.005)])
    value = RESTING.value.repeat(3, 1, 1)
    value[:, HEAD_LEFT_BROW, 1] -= torch.tensor([0.0, 0.01, 0.02])  # further and further away
    assert RESTING.jacobian is not None
    driving = Keypoints(value, RESTING.jacobian.expand(3, -1, -1, -1), meshes)
    assert closest_frame(source, driving, landmarks=True) == wanted


def mesh_drawn(source: Tensor, driving: Tensor, **strengths: float) -> Tensor:
    """Of a driver that is the source's double, in the source's pose at first."""
    return drawn(with_mesh(source), with_mesh(driving), with_mesh(source), **strengths).mesh


def lids_of(mesh: Tensor) -> Tensor:
    return (mesh[0, list(LOWER_LIDS)] - mesh[0, list(UPPER_LIDS)])[:, 1]


@pytest.mark.parametrize(("own", "theirs"), [(0.08, 0.05), (0.04, 0.08), (0.05, 0.05)])
def test_lids_close_by_the_share_that_the_drivers_do(own: float, theirs: float) -> None:
    source, anchor = with_mesh(face_mesh(lids=own)), with_mesh(face_mesh(lids=theirs))
    for share in (1.0, 0.5, 0.1):
        driving = with_mesh(face_mesh(lids=share * theirs))
        closed = drawn(source, driving, anchor).mesh
        assert lids_of(closed).tolist() == pytest.approx([share * own] * 2, abs=1e-3)
    one = face_mesh(lids=theirs)
    one[:, UPPER_LIDS[0], 1] += theirs / 2
    winking = lids_of(drawn(source, with_mesh(one), anchor).mesh).tolist()
    assert winking == pytest.approx([own / 2, own], abs=1e-3)
    far_away = [
        with_mesh(face_mesh(lids=lids)).map(lambda tensor: 0.5 * tensor)
        for lids in (theirs / 2, theirs)
    ]
    assert lids_of(drawn(source, *far_away).mesh).tolist() == pytest.approx([own / 2] * 2, abs=1e-3)
    wider = drawn(source, with_mesh(face_mesh(lids=theirs + 0.005)), anchor).mesh
    assert lids_of(wider).tolist() == pytest.approx([own + 0.005] * 2, abs=1e-3)


def moved_mesh(mesh: Tensor) -> Tensor:
    """The head turned and shifted, lips opened, lids lowered, an iris moved."""
    changed = mesh.clone()
    changed[:, LOWER_LIP, 1] += 0.05
    changed[:, MOUTH_CORNERS[0], 0] -= 0.03
    changed[:, UPPER_LIDS[0], 1] += 0.02
    changed[:, LEFT_IRIS, 0] += 0.02
    return 1.1 * changed @ turn(9).T + torch.tensor([0.1, 0.0, 0.0])


def test_meshes_at_full_strength_are_what_they_were_to_the_bit() -> None:
    mesh = face_mesh(0.03)
    driving = moved_mesh(mesh)
    plain = Transfer("relative", with_mesh(mesh), with_mesh(mesh), landmarks=True)
    assert torch.equal(plain(with_mesh(driving)).mesh, plain._relative(with_mesh(driving)).mesh)
    assert torch.equal(drawn(with_mesh(mesh), with_mesh(driving)).mesh, driving)


def test_a_mesh_without_any_strength_is_the_sources() -> None:
    mesh = face_mesh(0.03)
    still = mesh_drawn(mesh, moved_mesh(mesh), mouth=0, eyes=0, head=0, gaze=0)
    assert torch.allclose(still, mesh, atol=1e-5)


def test_each_part_of_a_mesh_has_its_own_strength() -> None:
    mesh = face_mesh(0.03)
    driving, own = moved_mesh(mesh), {"mouth": LOWER_LIP, "eyes": UPPER_LIDS[0], "gaze": LEFT_IRIS}
    for part, point in own.items():
        drawn_twice = mesh_drawn(mesh, driving, head=0, **{part: 2})
        once = mesh_drawn(mesh, driving, head=0)
        change, twice = (m[0, point] - mesh[0, point] for m in (once, drawn_twice))
        if part == "gaze":  # beyond what the eye's ring does
            ring = (once - mesh)[0, list(LEFT_EYE)].mean(0)
            change = 2 * (change - ring) + ring
        else:
            change = 2 * change
        assert torch.allclose(twice, change, atol=1e-4), part
        for other in own.values():
            if other != point and part != "eyes":
                assert torch.allclose(drawn_twice[0, other], once[0, other], atol=1e-5)
    still = mesh_drawn(mesh, driving, head=0)
    assert torch.allclose(still[0, list(RIGID_POINTS)], mesh[0, list(RIGID_POINTS)], atol=1e-4)


def test_a_meshs_head_turns_by_its_strength() -> None:
    mesh = face_mesh(0.03)
    rotation, growth, _ = align(mesh, mesh_drawn(mesh, moved_mesh(mesh), head=2))
    assert torch.allclose(rotation[0], turn(18), atol=1e-3)
    assert growth.item() == pytest.approx(1.1**2, abs=1e-3)


def test_heads_turn_no_further_than_can_be_drawn_and_their_keypoints_as_their_mesh() -> None:
    mesh = face_mesh(0.03)
    source = Keypoints(head_points(mesh), None, mesh)
    far = 0.9 * mesh @ turn(60).T + torch.tensor([0.1, 0.0, 0.0])
    moved = drawn(source, Keypoints(head_points(far), None, far), source)
    rotation, growth, _ = align(mesh, moved.mesh)
    assert math.radians(30) < turned_by(rotation) < LARGEST_TURN
    assert growth.item() == pytest.approx(0.9, abs=1e-3)
    assert (moved.value - head_points(moved.mesh)).norm(dim=-1).max() < 0.05


def test_keypoints_are_led_by_meshes_of_heads_that_turn_far_alone() -> None:
    mesh, beside = face_mesh(0.03), torch.tensor([0.02, 0.0])
    source = Keypoints(head_points(mesh), None, mesh)
    for yaw, share in ((5, 0.0), (17.5, 0.5), (30, 1.0)):
        turned = mesh @ turn(yaw).T
        found = follow_mesh(Keypoints(head_points(turned) + beside, None, turned), source)
        assert torch.allclose(found - head_points(turned), (1 - share) * beside, atol=1e-3)
    nowhere = Keypoints(source.value + beside, None, torch.full_like(mesh, NOWHERE))
    assert torch.equal(follow_mesh(nowhere, source), nowhere.value)


def test_a_meshs_lips_and_lids_close_no_further_than_they_are_open() -> None:
    source, smiling = face_mesh(0.02, 0.03), face_mesh(0.12, 0.06)
    shut = face_mesh(0.0, 0.0)
    keypoints = [with_mesh(mesh) for mesh in (source, shut, smiling)]
    moved = drawn(*keypoints).mesh
    down = mesh_axis(source)
    for upper, lower in ((UPPER_LIP, LOWER_LIP), *zip(UPPER_LIDS, LOWER_LIDS, strict=True)):
        assert float((moved[0, lower] - moved[0, upper]) @ down) == pytest.approx(0, abs=1e-4)


def test_narrow_eyes_open_half_as_far_again_and_closed_ones_as_far_as_eyes_do() -> None:
    height = float((face_mesh()[0, CHIN] - face_mesh()[0, FOREHEAD]).norm())
    for own, most in ((0.04, 1.5 * 0.04), (0.01, 0.05), (0.07, 0.085), (0.1, 0.1)):
        source, wide = (face_mesh(0.02, lids * height) for lids in (own, own + 0.06))
        moved = mesh_drawn(source, wide)
        for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
            gap = float((moved[0, lower] - moved[0, upper]) @ mesh_axis(source)) / height
            assert gap == pytest.approx(most, abs=2e-3), own


def mesh_axis(mesh: Tensor) -> Tensor:
    axis = mesh[0, CHIN] - mesh[0, FOREHEAD]
    return axis / axis.norm()


def test_a_gap_opens_by_what_is_asked_of_the_sides_that_moved() -> None:
    below = torch.tensor([False, True, True])
    more = torch.tensor([0.1])
    for change in ([0.0, -0.3, -0.2], [0.2, -0.2, 0.0], [-0.2, -0.5, 0.1], [0.0, 0.0, 0.0]):
        start = torch.tensor([change])
        added = gap_change(start, more, 0, 1, below)
        assert added[0, 1] - added[0, 0] == pytest.approx(0.1)


def engine_of(**changes: object) -> Engine:
    config = mini_config("codebook")
    keypoints = replace(config.keypoints, num_keypoints=16, landmarks=True)
    return Engine(mini(replace(config, keypoints=keypoints, **changes)), torch.device("cpu"))


def test_parts_that_weights_do_not_know_are_refused_by_name() -> None:
    plain = Engine(mini("fomm"), torch.device("cpu"))
    for part in ("mouth", "eyes", "head", "gaze"):
        with pytest.raises(TalkheadError, match=f"fomm.*leave out --{part}"):
            plain.require_parts(Strengths(**{part: 0.5}))
    plain.require_parts(Strengths())
    engine_of().require_parts(Strengths(mouth=0, eyes=2, head=0.5))
    with pytest.raises(TalkheadError, match=r"no keypoints at the irises.*--gaze"):
        engine_of().require_parts(Strengths(gaze=0.5))
    engine_of(mesh=MeshConfig()).require_parts(Strengths(gaze=0.5))


@pytest.mark.parametrize("strength", [-0.1, 2.1, 1e9, math.inf, math.nan])
def test_strengths_beyond_bounds_are_one_sentence(strength: float) -> None:
    for part in ("mouth", "eyes", "head", "gaze"):
        with pytest.raises(TalkheadError, match=f"^{part} must be a number, 0 to 2, not "):
            RenderSettings(**{part: strength})


def test_avd_motion_has_no_strengths() -> None:
    with pytest.raises(TalkheadError, match="leave out --mouth, --eyes"):
        RenderSettings(motion="avd", head=0.5)
