"""Hair of a head that turns far goes with the head, whatever the driver's hair does."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from talkhead.motion.hair_transfer import DEPTH, HAIR, MOST_BENT, MOST_MOVED
from talkhead.motion.head_pose import POINTS, RIGIDITY, rotation_about
from talkhead.motion.transfer import Transfer
from talkhead.structs import Keypoints, Strengths
from talkhead.training.data.landmark_teacher import FREE_STARTS

FACE = torch.tensor(POINTS)
MIDDLE = torch.tensor(RIGIDITY) @ FACE / sum(RIGIDITY)
SHOULDERS = torch.tensor([[-0.9, 1.0], [0.9, 1.0]])
DRIVERS, SOURCES = (
    torch.cat([torch.tensor(places), torch.tensor(DEPTH)[:, None] + MIDDLE[2]], dim=1)
    for places in (
        [[-0.6, -0.2], [0.6, -0.2], [0.0, -0.6]],
        [[-0.8, 0.1], [0.7, -0.3], [0.1, -0.9]],
    )
)


def turn(yaw: float, pitch: float = 0.0) -> Tensor:
    """A rotation of angles in degrees."""
    up, across = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    angles = torch.tensor([math.radians(yaw)]), torch.tensor([math.radians(pitch)])
    return (rotation_about(across, angles[1]) @ rotation_about(up, angles[0]))[0]


def head(hair: Tensor, rotation: Tensor, size: float = 1.0) -> Keypoints:
    """Twenty keypoints of a head with that hair, seen so; surfaces look where the face does."""
    points = size * torch.cat([FACE, hair]) @ rotation[:2].T
    value = torch.cat([points[:15], SHOULDERS, points[15:]])[None]
    return Keypoints(value, (size * rotation[:2, :2]).expand(1, 20, 2, 2))


def test_hair_keypoints_are_those_that_landmarks_start_beside_and_above_the_face() -> None:
    left, right, top = FREE_STARTS[HAIR.start - len(POINTS) :]
    assert left[0] < -0.5 < 0.5 < right[0]
    assert top[1] < FACE[:, 1].min()


@pytest.mark.parametrize("own", [0, 25])
def test_hair_rides_on_a_head_that_turns_far(own: float) -> None:
    source, anchor = head(SOURCES, turn(own), 0.6), head(DRIVERS, turn(-5, 20), 0.5)
    driving = head(DRIVERS, turn(21, 20), 0.5)
    moved = Transfer("relative", source, anchor, landmarks=True)(driving)
    true = head(SOURCES, turn(21, 20) @ turn(-5, 20).T @ turn(own), 0.6)
    assert moved.jacobian is not None
    assert true.jacobian is not None
    for found, wanted in ((moved.value, true.value), (moved.jacobian, true.jacobian)):
        assert torch.allclose(found[:, HAIR], wanted[:, HAIR], atol=0.01)
    in_the_picture = Transfer("relative", source, anchor)(driving)
    assert (in_the_picture.value - true.value)[:, HAIR].norm(dim=-1).max() > 0.04


@pytest.mark.parametrize("own", [0, 25])
def test_hair_is_moved_in_the_picture_while_a_head_turns_little(own: float) -> None:
    source, anchor = head(SOURCES, turn(own)), head(DRIVERS, turn(0))
    driving = head(DRIVERS + 0.1, turn(8))
    moved = Transfer("relative", source, anchor, adapt_scale=False, landmarks=True)(driving)
    in_the_picture = Transfer("relative", source, anchor, adapt_scale=False)(driving)
    assert torch.allclose(moved.value[:, HAIR], in_the_picture.value[:, HAIR], atol=1e-5)


def test_little_is_taken_over_of_how_a_drivers_hair_bends_on_a_turned_head() -> None:
    source, anchor, driving = (
        head(SOURCES, turn(0)),
        head(DRIVERS, turn(0)),
        head(DRIVERS, turn(26)),
    )
    assert driving.jacobian is not None
    stretch = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    transfer = Transfer("relative", source, anchor, adapt_scale=False, landmarks=True)
    still, bent = transfer(driving), transfer(replace(driving, jacobian=driving.jacobian @ stretch))
    assert still.jacobian is not None
    assert bent.jacobian is not None
    change = (torch.linalg.inv(still.jacobian) @ bent.jacobian)[:, HAIR] - torch.eye(2)
    wanted = torch.tensor([[0.0, 0.0], [0.0, MOST_BENT]])
    assert torch.allclose(change, wanted.expand(1, 3, 2, 2), atol=0.01)


@pytest.mark.parametrize("far", [0.2, 2.0])
def test_little_is_taken_over_of_what_a_drivers_hair_does_on_a_turned_head(far: float) -> None:
    source, anchor = head(SOURCES, turn(0)), head(DRIVERS, turn(0))
    transfer = Transfer("relative", source, anchor, adapt_scale=False, landmarks=True)
    still = transfer(head(DRIVERS, turn(26)))
    blown = transfer(head(DRIVERS + torch.tensor([0.0, -far, 0.0]), turn(26)))
    lifted = (still.value - blown.value)[:, HAIR, 1]
    assert (lifted > 0.9 * MOST_MOVED).all()
    assert (lifted < 1.01 * MOST_MOVED).all()
    assert torch.equal(still.value[:, : HAIR.start], blown.value[:, : HAIR.start])


def test_keypoints_without_a_pose_or_without_hair_stay_finite() -> None:
    source, anchor = head(SOURCES, turn(0)), head(DRIVERS, turn(0))
    flat = Keypoints(anchor.value[:, :1].expand(-1, 20, -1), anchor.jacobian)
    moved = Transfer("relative", source, anchor, landmarks=True)(flat)
    assert moved.value.isfinite().all()
    fewer = [each.map(lambda tensor: tensor[:, :15]) for each in (source, anchor)]
    without = Transfer("relative", *fewer, landmarks=True)(fewer[1])
    assert torch.allclose(without.value, fewer[0].value, atol=1e-5)


def test_hair_stays_with_a_head_that_is_not_to_move() -> None:
    source, anchor = head(SOURCES, turn(0)), head(DRIVERS, turn(0))
    transfer = Transfer("relative", source, anchor, landmarks=True, strengths=Strengths(head=0))
    moved = transfer(head(DRIVERS, turn(28)))
    assert torch.allclose(moved.value[:, HAIR], source.value[:, HAIR], atol=1e-4)
