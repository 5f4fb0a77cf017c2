"""A head that turns in space, and what relative motion in the picture misses of it."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from miniatures import mini, mini_config

from talkhead.config import HEAD_POINTS, KeypointConfig
from talkhead.errors import TalkheadError
from talkhead.faces.finder import FaceFinder
from talkhead.inference.engine import Engine
from talkhead.io.image import read_image
from talkhead.motion.head_pose import (
    FREE_TURN,
    LARGEST_TURN,
    POINTS,
    RIGIDITY,
    HeadRotation,
    fit_view,
    limit_turn,
    poses,
    turned_by,
)
from talkhead.motion.transfer import Transfer
from talkhead.structs import Keypoints, head_points
from talkhead.topology import HEAD_GROUPS

SHAPE = torch.tensor(POINTS)


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> torch.Tensor:
    """R of angles in degrees."""
    sines, cosines = zip(
        *((math.sin(a), math.cos(a)) for a in map(math.radians, (yaw, pitch, roll))), strict=True
    )
    turn = torch.tensor([[cosines[0], 0, sines[0]], [0, 1, 0], [-sines[0], 0, cosines[0]]])
    nod = torch.tensor([[1, 0, 0], [0, cosines[1], -sines[1]], [0, sines[1], cosines[1]]])
    tilt = torch.tensor([[cosines[2], -sines[2], 0], [sines[2], cosines[2], 0], [0, 0, 1]])
    return tilt @ nod @ turn


def seen(turn: torch.Tensor, size: float = 1.0, x: float = 0.0, y: float = 0.0) -> torch.Tensor:
    """Keypoints (1, 15, 2) of a head of that size at that place."""
    return (size * SHAPE @ turn[:2].T + torch.tensor([x, y]))[None]


def test_every_taught_keypoint_has_its_place_on_the_head():
    assert len(POINTS) == len(RIGIDITY) == len(HEAD_GROUPS) == HEAD_POINTS
    mirrored = SHAPE * torch.tensor([-1.0, 1, 1])
    partners = torch.cdist(mirrored, SHAPE).min(dim=1)
    assert partners.values.max() < 1e-6
    assert SHAPE[:, 2].argmin() == 6  # the tip of the nose is nearest


def test_the_keypoints_of_a_real_face_are_those_of_the_mean_head():
    picture = read_image(Path(__file__).parents[2] / "examples" / "portrait.jpg")
    (face, *_) = FaceFinder().find(picture)
    mesh = torch.from_numpy(face.points)[None] / face.height
    shape = fit_view(head_points(mesh))[1][0]
    weight = torch.tensor(RIGIDITY)
    mean = SHAPE - (weight @ SHAPE) / weight.sum()
    assert torch.cdist(shape, mean[:, :2]).argmin(1).tolist() == list(range(HEAD_POINTS))


def test_size_and_pose_of_a_head_are_found():
    turn = rotation(25, -10, 5)
    sizes, rotations = poses(seen(turn, 0.7, x=0.2, y=-0.1))
    assert sizes.item() == pytest.approx(0.7, rel=1e-5)
    assert torch.allclose(rotations[0], turn, atol=1e-5)


def test_a_face_that_moves_hardly_changes_its_pose():
    moved = seen(rotation(10))
    moved[:, 11:] += torch.tensor([0.03, 0.05])  # the mouth
    _, rotations = poses(moved)
    assert torch.allclose(rotations[0], rotation(10), atol=1e-6)


def test_a_turn_goes_no_further_than_can_be_drawn_and_stays_a_turn_about_its_axis():
    small = rotation(15, -8, 40)[None]
    kept, left = limit_turn(small)
    assert torch.equal(kept, small)
    assert left == 1
    before = FREE_TURN
    for yaw in (25, 40, 60, 90):
        large = rotation(yaw)[None]
        kept, left = limit_turn(rotation(0, 0, 70) @ large)  # the head lies, too
        angle = turned_by(kept)
        assert before < angle < LARGEST_TURN
        assert left.item() == pytest.approx(angle.item() / math.radians(yaw), rel=1e-4)
        upright = rotation(math.degrees(angle.item()))
        assert torch.allclose(kept[0], rotation(0, 0, 70) @ upright, atol=1e-5)
        before = angle


def test_a_portrait_from_the_side_turns_on_as_a_head_does():
    source = seen(rotation(30), 1.2, x=0.1)
    anchor = seen(rotation(0), 0.8)
    turns = [rotation(-15, 4), rotation(20), rotation(0, 0, 10)]
    driving = torch.cat([seen(turn, 0.8, y=0.05) for turn in turns])
    transfer = Transfer("relative", Keypoints(source), Keypoints(anchor), landmarks=True)
    moved = transfer(Keypoints(driving)).value
    # The shift of the driver is scaled, as ever, by the sizes of the faces in the picture.
    wanted = [seen(t @ rotation(30), 1.2, x=0.1, y=0.05 * transfer.scale) for t in turns]
    assert torch.allclose(moved, torch.cat(wanted), atol=1e-5)
    flat = Transfer("relative", Keypoints(source), Keypoints(anchor))(Keypoints(driving)).value
    assert (flat - moved).abs().max() > 0.05


def test_nothing_is_missed_in_the_anchors_pose_or_of_a_shift():
    side, front = seen(rotation(20, 5)), seen(rotation(0), 0.5)
    assert HeadRotation(side, side, 1.0)(seen(rotation(-10))).abs().max() < 1e-5
    assert HeadRotation(front, front * 2, 2.0)(seen(rotation(-10), 0.7)).abs().max() < 1e-5
    shifted = front + torch.tensor([0.1, 0.2])
    assert HeadRotation(front, side, 1.5)(shifted).abs().max() < 1e-5


def test_keypoints_beyond_the_head_and_collapsed_ones_are_left_alone():
    extra = torch.rand(3, 5, 2)
    turns = torch.cat([seen(rotation(angle)) for angle in (-20, 0, 20)])
    driving = torch.cat([turns, extra], dim=1)
    missed = HeadRotation(driving[1:2], driving[:1], 1.0)(driving)
    assert missed.shape == (3, 20, 2)
    assert missed[:, :15].abs().max() > 0.01
    assert torch.equal(missed[:, 15:], torch.zeros(3, 5, 2))
    line = torch.linspace(-1, 1, 15)[None, :, None].expand(1, 15, 2)
    assert torch.equal(HeadRotation(line, turns[:1], 1.0)(turns), torch.zeros(3, 15, 2))


def test_motion_of_weights_that_know_the_head_turns_it():
    picture = np.zeros((64, 64, 3), np.uint8)
    config = mini_config("codebook")
    for known in (True, False):
        keypoints = replace(config.keypoints, num_keypoints=16, landmarks=known)
        engine = Engine(mini(replace(config, keypoints=keypoints)), torch.device("cpu"))
        source = engine.detect([picture])
        assert engine.transfer("relative", source, source).landmarks is known


def test_too_few_keypoints_cannot_be_a_head():
    with pytest.raises(TalkheadError, match="10 keypoints cannot be the 15 landmarks"):
        KeypointConfig(num_keypoints=10, landmarks=True)
