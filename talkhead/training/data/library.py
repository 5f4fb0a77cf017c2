"""The library of decoded training frames: in memory, on disk, on the GPU, or on demand."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from talkhead.data.clips import (
    MIN_FRAMES,
    Clip,
    frame_count,
    load_landmarks,
    stored_meshes,
    warn_about,
)
from talkhead.data.meshes import Meshes
from talkhead.errors import TalkheadError, disk_explained
from talkhead.faces.crop import cut_centre
from talkhead.io.atomic import atomic_path
from talkhead.progress import Progress
from talkhead.training.data.frames import (
    ArrayFrames,
    DeviceFrames,
    Frames,
    StreamedFrames,
    frames_on_demand,
)
from talkhead.video import VideoReader, probe

log = logging.getLogger(__name__)

MODES = ("auto", "memory", "gpu", "none")
MEMORY_SHARE = 0.5  # of the machine's memory that frames may take
GPU_SHARE = 0.4  # of the GPU's free memory that frames may take
PROBED = 24  # clips that are looked into to estimate the size of all


@dataclass(frozen=True)
class Library:
    """Clips that can be used, their frames, and their landmarks where there are some.

    landmarks: per clip float32 (F, 478, 2 or 3), -1 and 1 at the picture's edges, or None. The
           third number is the depth, in the same unit, from anywhere.
    """

    clips: tuple[Clip, ...]
    frames: tuple[Frames, ...]
    landmarks: tuple[Meshes | None, ...]
    broken: dict[str, str]

    @property
    def in_memory(self) -> bool:
        """Whether frames are where every process of this machine reaches them."""
        return not any(isinstance(frames, DeviceFrames) for frames in self.frames)

    @property
    def identities(self) -> dict[str, list[int]]:
        """Numbers of the clips of every identity."""
        found: dict[str, list[int]] = {}
        for number, clip in enumerate(self.clips):
            found.setdefault(clip.identity, []).append(number)
        return found


def load_library(
    clips: Sequence[Clip],
    size: int,
    *,
    cache: str = "auto",
    device: torch.device | None = None,
    landmarks: Path | None = None,
    workers: int = 4,
    processes: int = 1,
    progress: Progress | None = None,
) -> Library:
    """Make the frames of clips available.

    cache: "memory", "gpu", "none" (decode for every pair), a folder for decoded frames, or "auto":
        none for prepared sets, else memory or the GPU if they fit, else none. `processes` share
        this machine's memory.

    Unusable clips are skipped, with one warning; TalkheadError if none is left.
    """
    mode = choose_cache(clips, size, device, processes) if cache == "auto" else cache
    if mode == "gpu" and (device is None or device.type != "cuda"):
        raise TalkheadError("--cache gpu needs a CUDA device; use memory or a folder")

    def open_clip(clip: Clip) -> tuple[Frames, Meshes | None] | str:
        try:
            if clip.known is not None and mode == "none":  # nothing is opened
                meshes = stored_meshes(landmarks, clip) if landmarks else None
                return frames_on_demand(clip, size), meshes
            frames = open_frames(clip, size, mode, device)
            exact = None if isinstance(frames, StreamedFrames) else len(frames)
            return frames, load_landmarks(landmarks, clip, exact) if landmarks else None
        except OutOfDisk:
            raise
        except TalkheadError as error:
            return str(error)

    kept: list[tuple[Clip, Frames, Meshes | None]] = []
    broken: dict[str, str] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for number, (clip, opened) in enumerate(
            zip(clips, pool.map(open_clip, clips), strict=True)
        ):
            if isinstance(opened, str):
                broken[str(clip.path)] = opened
            else:
                kept.append((clip, *opened))
            if progress:
                progress("reading clips", number + 1, len(clips))
    warn_about(broken)
    if not kept:
        first = next(iter(broken.values()), "no clips")
        raise TalkheadError(f"none of the {len(clips)} clips can be used; the first: {first}")
    names, frames, meshes = zip(*kept, strict=True)
    return Library(names, frames, meshes, broken)


def choose_cache(
    clips: Sequence[Clip], size: int, device: torch.device | None, processes: int
) -> str:
    """Where all frames fit, by the headers of a few clips.

    Clips of a prepared set are quick to read at random places, so they stay where they are. Else
    memory before the GPU: from there processes can prepare pairs, and a batch crosses in a moment.
    """
    if all(clip.known is not None for clip in clips):
        return "none"
    counts = []
    for clip in clips[:: max(1, len(clips) // PROBED)]:
        with contextlib.suppress(TalkheadError):  # reported when all clips are opened
            counts.append(frame_count(probe(clip.path)))
    need = int(np.mean(counts or [0]) * len(clips) * size * size * 3)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if need * processes < memory * MEMORY_SHARE:
        return "memory"
    if device is not None and device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if need < free * GPU_SHARE:
            return "gpu"
    log.warning(
        "the frames (%.0f GB) do not fit into memory and are decoded for every pair; "
        "`talkhead prepare`, or --cache FOLDER on a fast disk, is quicker",
        need / 1e9,
    )
    return "none"


def open_frames(clip: Clip, size: int, mode: str, device: torch.device | None) -> Frames:
    """The frames of one clip, kept as the mode says."""
    if mode == "none":
        return frames_on_demand(clip, size)
    if mode == "gpu":
        assert device is not None
        return DeviceFrames(read_clip(clip, size), device)
    if mode == "memory":
        return ArrayFrames(read_clip(clip, size))
    return ArrayFrames(_from_disk(clip, size, Path(mode)))


def read_clip(clip: Clip, size: int) -> np.ndarray:
    """All frames, uint8 (F, S, S, 3). Raises TalkheadError for a broken or too short clip."""
    if clip.known is not None:
        return frames_on_demand(clip, size).take(range(clip.known.frames)).numpy()
    path = clip.path
    with VideoReader(path) as reader:
        frames = [cut_centre(frame.rgb, size) for frame in reader]
    if len(frames) < MIN_FRAMES:
        raise TalkheadError(f"{path} is too short: {len(frames)} frame, a pair needs two")
    return np.stack(frames)


def _from_disk(clip: Clip, size: int, folder: Path) -> np.ndarray:
    """Frames mapped from `folder`, where they are put the first time."""
    path = clip.known.place.path if clip.known else clip.path
    stat, start = path.stat(), clip.known.place.offset if clip.known else 0
    key = f"{path.resolve()} {stat.st_mtime_ns} {stat.st_size} {size}"
    key += f" {start}" if start else ""
    file = folder / f"{path.stem[:40]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
    if not file.is_file():
        pixels = read_clip(clip, size)
        what, advice = f"cannot keep frames in {folder}", "make room or leave out --cache"
        with disk_explained(what, advice, OutOfDisk):
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(file) as partial:
                np.save(partial, pixels)
    return np.load(file, mmap_mode="r")


class OutOfDisk(TalkheadError):
    """The cache cannot be written: no fault of the clip that was being read."""


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
