"""Pretrain the keypoint detector alone, on images with landmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from talkhead.models import Network
from talkhead.topology import HEAD_GROUPS
from talkhead.training.compute import Compute
from talkhead.training.data.batches import Batch, Batches
from talkhead.training.data.landmark_teacher import LandmarkTeacher
from talkhead.training.distributed import ProcessGroup
from talkhead.training.optimizer import Average
from talkhead.training.phases.single_network import rate_share, set_rate, update
from talkhead.training.recipes.recipe import Augmentation, Recipe

# Stronger than for pairs: a picture alone may be bent at will, and a detector should not mind
# [own experiments].
AUGMENTATION = Augmentation(
    rotation=0.35,
    scale=0.14,
    stretch=0.05,
    shift=0.09,
    bend=0.002,
    colour=0.08,
    gain=0.2,
    offset=0.06,
    gamma=0.2,
)
VALUE_WEIGHT, JACOBIAN_WEIGHT = 10.0, 2.0
WARMUP_STEPS = 50
EMA = 0.998
COVERED = 0.25  # chance that a rectangle hides a part of the picture
NOISE = 0.02  # largest standard deviation of pixel noise
REPORT_EVERY = 20

Report = Callable[[int, int, float, float], None]


def teach_keypoints(
    model: Network,
    teacher: LandmarkTeacher,
    batches: Batches,
    compute: Compute,
    processes: ProcessGroup,
    steps: int,
    rate: float,
    report: Report,
) -> None:
    """Train `model.keypoint_detector` alone; it ends with the average of its weights.

    `batches` must be of `keypoint_recipe`. `report` gets (step, steps, value and jacobian error).
    """
    detector = model.keypoint_detector
    optimizer = torch.optim.Adam(detector.parameters(), lr=rate, betas=(0.9, 0.99))
    average = Average(detector, EMA)
    teacher = teacher.to(compute.device)
    stream = batches.stream(0)
    for step in range(steps):
        torch.manual_seed(((batches.seed * 1_000_003 + step) * 1009 + processes.rank + 500) % 2**63)
        set_rate(optimizer, rate * rate_share(step, steps, WARMUP_STEPS, floor=0.005))
        pictures, landmarks, known = _pictures(next(stream))
        with compute.autocast():
            found = model.detect(pictures)
        wanted = teacher.with_free_keypoints(landmarks, found.value.shape[1] - len(HEAD_GROUPS))
        assert found.jacobian is not None
        assert wanted.jacobian is not None
        value = (found.value - wanted.value)[known].abs().mean()
        jacobian = (found.jacobian - wanted.jacobian)[known].abs().mean()
        loss = VALUE_WEIGHT * value + JACOBIAN_WEIGHT * jacobian
        if update(detector, optimizer, loss, processes):
            average.update(step)
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == steps:
            report(step + 1, steps, value.item(), jacobian.item())
    stream.close()
    detector.load_state_dict(average.model.state_dict())


def keypoint_recipe(recipe: Recipe, batch_size: int) -> Recipe:
    """How pictures are drawn for `teach_keypoints`: two per pair."""
    return replace(recipe, batch_size=max(1, batch_size // 2), augmentation=AUGMENTATION)


def _pictures(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Both frames of every pair as pictures, damaged a little; landmarks; which are known."""
    pictures = torch.cat([batch.source, batch.driving])
    landmarks = torch.cat([batch.source_landmarks, batch.driving_landmarks])
    known = torch.cat([batch.has_landmarks, batch.has_landmarks])
    side = pictures.shape[-1]
    for number in torch.nonzero(torch.rand(len(pictures)) < COVERED).flatten().tolist():
        _cover(pictures[number], side)
    level = NOISE * torch.rand(()).item()
    return (pictures + level * torch.randn_like(pictures)).clamp(0, 1), landmarks, known


def _cover(picture: Tensor, side: int) -> None:
    """Hide a rectangle of a picture (3, S, S) under one colour, as hands and microphones do."""
    width, height = (int(x) for x in torch.randint(side // 12, side * 2 // 5, (2,)))
    x, y = (int(v) for v in torch.randint(0, side - side // 12, (2,)))
    picture[:, y : y + height, x : x + width] = torch.rand(3, 1, 1, device=picture.device)
