"""What the detector is too timid about is scaled to what landmarks say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toys import mesh

from talkhead.data.clips import Clip
from talkhead.structs import Keypoints
from talkhead.topology import EXPRESSIVE_GROUPS, HEAD_GROUPS, LEFT_EYE
from talkhead.training.compute import Compute
from talkhead.training.data.frames import ArrayFrames
from talkhead.training.data.landmark_teacher import fit_teacher
from talkhead.training.data.library import Library
from talkhead.training.phases.rescale_jacobians import FLOOR, LARGEST_FACTOR, rescale_jacobians

COMPUTE = Compute(torch.device("cpu"))
LEFT, RIGHT = 7, 8  # the eyes among the keypoints
VERTICAL = 3


class Seer(nn.Module):
    """A detector that sees how bright a picture is, and says it with its jacobians."""

    def __init__(self, slopes: dict[int, float]) -> None:
        super().__init__()
        self.keypoint_detector = nn.Module()
        head = nn.Conv2d(3, 4 * len(HEAD_GROUPS), 1).requires_grad_(False)
        head.weight.zero_()
        head.bias.fill_(1.0)
        for keypoint, slope in slopes.items():
            head.weight[4 * keypoint + VERTICAL, 0] = slope
        self.keypoint_detector.jacobian = head

    def detect(self, images: Tensor) -> Keypoints:
        numbers = self.keypoint_detector.jacobian(images).mean((2, 3))
        jacobian = numbers.unflatten(1, (len(HEAD_GROUPS), 2, 2))
        return Keypoints(jacobian.new_zeros(len(images), len(HEAD_GROUPS), 2), jacobian)

    def says(self, images: Tensor) -> Tensor:
        return self.detect(images).jacobian[:, :, 1, 1]


def winking() -> Library:
    """One clip: the brighter the picture, the wider open the left eye."""
    brightness = np.linspace(0, 240, 13).astype(np.uint8)
    pictures = np.repeat(brightness, 8 * 8 * 3).reshape(-1, 8, 8, 3)
    landmarks = np.repeat(mesh(1), len(brightness), axis=0)
    eye = landmarks[:, LEFT_EYE, 1]
    middle = eye.mean(1, keepdims=True)
    landmarks[:, LEFT_EYE, 1] = middle + (eye - middle) * (1 + brightness[:, None] / 255)
    return Library((Clip(Path("x.mp4"), "x"),), (ArrayFrames(pictures),), (landmarks,), {})


def test_a_timid_eye_moves_as_far_as_the_landmarks_afterwards() -> None:
    library = winking()
    teacher = fit_teacher(library)
    images = library.frames[0].take(range(13)).permute(0, 3, 1, 2).float() / 255
    taught = teacher(torch.from_numpy(library.landmarks[0])).jacobian[:, LEFT, 1, 1]
    full = float((taught[-1] - taught[0]) / images[-1, 0, 0, 0])
    model = Seer({LEFT: 0.5 * full})
    before = model.says(images)
    model.train()
    factors = rescale_jacobians(model, library, teacher, COMPUTE)
    assert model.training
    after = model.says(images)
    assert factors[EXPRESSIVE_GROUPS.index(LEFT)] == pytest.approx(2, rel=1e-3)
    moved = after[:, LEFT] - after[:, LEFT].mean()
    torch.testing.assert_close(moved, taught - taught.mean(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after.mean(0), before.mean(0))  # still about the same middle
    others = [k for k in range(len(HEAD_GROUPS)) if k != LEFT]
    assert torch.equal(after[:, others], before[:, others])


def test_what_does_not_follow_the_landmarks_is_left_alone_and_nothing_grows_without_end() -> None:
    library = winking()
    teacher = fit_teacher(library)
    taught = teacher(torch.from_numpy(library.landmarks[0])).jacobian[:, LEFT, 1, 1]
    full = float(taught[-1] - taught[0])
    backwards = rescale_jacobians(Seer({LEFT: -full}), library, teacher, COMPUTE)
    assert backwards == [1.0] * len(EXPRESSIVE_GROUPS)
    hardly = rescale_jacobians(Seer({LEFT: 0.01 * full}), library, teacher, COMPUTE)
    assert hardly[EXPRESSIVE_GROUPS.index(LEFT)] == LARGEST_FACTOR
    bold = rescale_jacobians(Seer({LEFT: 3 * full}), library, teacher, COMPUTE)
    assert bold[EXPRESSIVE_GROUPS.index(LEFT)] == 1.0


def test_no_jacobian_comes_near_to_none() -> None:
    library = winking()
    teacher = fit_teacher(library)
    taught = teacher(torch.from_numpy(library.landmarks[0])).jacobian[:, LEFT, 1, 1]
    slope = 0.45 * float(taught[-1] - taught[0])
    model = Seer({LEFT: slope})
    model.keypoint_detector.jacobian.bias.fill_(0.54 * slope)  # so little that 2 would be too much
    images = library.frames[0].take(range(13)).permute(0, 3, 1, 2).float() / 255
    factor = rescale_jacobians(model, library, teacher, COMPUTE)[EXPRESSIVE_GROUPS.index(LEFT)]
    assert 1 < factor < 1 / 0.45
    after = model.says(images)[:, LEFT]
    assert float(after.min() / after.mean()) == pytest.approx(FLOOR, rel=1e-3)


def test_without_landmarks_nothing_changes() -> None:
    library = winking()
    teacher = fit_teacher(library)
    model = Seer({LEFT: 1.0, RIGHT: 1.0})
    blind = Library(library.clips, library.frames, (None,), {})
    assert rescale_jacobians(model, blind, teacher, COMPUTE) == [1.0] * len(EXPRESSIVE_GROUPS)
