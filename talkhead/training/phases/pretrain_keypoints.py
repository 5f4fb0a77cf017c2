"""Pretrain the keypoint detector alone, on images with landmarks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from talkhead.data.clips import Clip
from talkhead.data.landmarks import MESH, PORTRAITS, in_square, read_landmarks
from talkhead.data.meshes import sampled
from talkhead.errors import TalkheadError
from talkhead.faces.crop import cut_centre
from talkhead.io.image import read_image
from talkhead.models import Network
from talkhead.topology import HEAD_GROUPS
from talkhead.training.compute import Compute
from talkhead.training.data.batches import Batch, Batches
from talkhead.training.data.frames import ArrayFrames, DeviceFrames
from talkhead.training.data.landmark_teacher import LandmarkTeacher
from talkhead.training.data.library import Library
from talkhead.training.distributed import ProcessGroup
from talkhead.training.optimizer import Average
from talkhead.training.recipes.recipe import Augmentation, Recipe
from talkhead.video.pictures import PICTURE_SUFFIXES

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
LARGEST_GRADIENT = 5.0
WARMUP_STEPS = 50
EMA = 0.998
COVERED = 0.25  # chance that a rectangle hides a part of the picture
NOISE = 0.02  # largest standard deviation of pixel noise
REPORT_EVERY = 20

Report = Callable[[int, int, float, float], None]


def fit_teacher(library: Library) -> LandmarkTeacher:
    """A teacher with the mean face of the library's landmarks. TalkheadError without any."""
    meshes = [
        landmarks[:: max(1, len(landmarks) // 8)]
        for landmarks in sampled([each for each in library.landmarks if each is not None])
    ]
    known = [torch.from_numpy(m[np.isfinite(m).all((1, 2))][..., :2]) for m in meshes]
    if not known or not sum(len(m) for m in known):
        raise TalkheadError(
            "no clip has landmarks; --landmarks takes a folder with <clip>.npz for each clip"
        )
    return LandmarkTeacher.fit(torch.cat(known))


def portrait_files(folder: Path) -> list[Path]:
    """The pictures of a folder, in order."""
    return sorted(f for f in folder.glob("*") if f.suffix.lower() in PICTURE_SUFFIXES)


def load_portraits(
    folder: Path, landmarks: Path, size: int, device: torch.device | None = None
) -> Library:
    """Still pictures with landmarks as a library of one "clip", on a device where one is given.

    Landmarks are `<picture>.npz`, or all in `portraits.npz` with `names` (n,) and `points`
    (n, 478, 2 or 3) in pixels; pictures without are left out.
    """
    files = portrait_files(folder)
    together = landmarks / PORTRAITS
    known = read_landmarks(together, (MESH,)).by_name() if together.is_file() else {}
    pictures, points = [], []
    for file in files:
        own = landmarks / f"{file.stem}.npz"
        mesh = read_landmarks(own, (MESH,)).meshes[0] if own.is_file() else known.get(file.stem)
        if mesh is not None and np.isfinite(mesh).all():
            picture = read_image(file)
            pictures.append(cut_centre(picture, size))
            points.append(2 * in_square(mesh, picture.shape[1], picture.shape[0]) - 1)
    if len(pictures) < 2:
        raise TalkheadError(f"{folder} has fewer than two pictures with landmarks in {landmarks}")
    columns = min(mesh.shape[-1] for mesh in points)  # depth only where all have it
    stacked = np.stack([mesh[:, :columns] for mesh in points])
    clip = Clip(folder, f"portraits in {folder}")
    pixels = np.stack(pictures)
    frames = ArrayFrames(pixels) if device is None else DeviceFrames(pixels, device)
    return Library((clip,), (frames,), (stacked,), {})


def with_landmarks_only(library: Library, portraits: Library | None) -> Library:
    """The clips that have landmarks, and the portraits."""
    kept = [i for i, landmarks in enumerate(library.landmarks) if landmarks is not None]
    extra = portraits or Library((), (), (), {})
    return Library(
        tuple(library.clips[i] for i in kept) + extra.clips,
        tuple(library.frames[i] for i in kept) + extra.frames,
        tuple(library.landmarks[i] for i in kept) + extra.landmarks,
        {},
    )


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
    half = compute.precision is not torch.float32
    for step in range(steps):
        torch.manual_seed(((batches.seed * 1_000_003 + step) * 1009 + processes.rank + 500) % 2**63)
        cosine = 0.5 * (1 + math.cos(math.pi * step / steps)) + 0.005
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / WARMUP_STEPS) * cosine
        pictures, landmarks, known = _pictures(next(stream))
        with torch.autocast(compute.device.type, compute.precision, enabled=half):
            found = model.detect(pictures)
        wanted = teacher.with_free_keypoints(landmarks, found.value.shape[1] - len(HEAD_GROUPS))
        assert found.jacobian is not None
        assert wanted.jacobian is not None
        value = (found.value - wanted.value)[known].abs().mean()
        jacobian = (found.jacobian - wanted.jacobian)[known].abs().mean()
        optimizer.zero_grad(set_to_none=True)
        (VALUE_WEIGHT * value + JACOBIAN_WEIGHT * jacobian).backward()
        processes.average_gradients(detector.parameters())
        norm = torch.nn.utils.clip_grad_norm_(detector.parameters(), LARGEST_GRADIENT)
        if bool(torch.isfinite(norm)):
            optimizer.step()
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
