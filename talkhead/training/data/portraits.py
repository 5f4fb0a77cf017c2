"""Portraits: still pictures with landmarks, as a library of one clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from talkhead.data.clips import Clip
from talkhead.data.landmarks import PORTRAITS, in_square, read_landmarks
from talkhead.errors import TalkheadError
from talkhead.faces.crop import cut_centre
from talkhead.io.image import read_image
from talkhead.topology import MESH_POINTS
from talkhead.training.data.frames import ArrayFrames, DeviceFrames
from talkhead.training.data.library import Library
from talkhead.video.pictures import PICTURE_SUFFIXES


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
    known = read_landmarks(together, (MESH_POINTS,)).by_name() if together.is_file() else {}
    pictures, points = [], []
    for file in files:
        own = landmarks / f"{file.stem}.npz"
        mesh = (
            read_landmarks(own, (MESH_POINTS,)).meshes[0] if own.is_file() else known.get(file.stem)
        )
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
