"""The data of a run: clips, their landmarks, portraits, and the batches drawn from them."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from talkhead.config import is_tracked, uses_mesh
from talkhead.data.check import DataReport, check_data
from talkhead.data.clips import Split, find_clips
from talkhead.data.landmarking import landmarks_beside, make_landmarks
from talkhead.errors import TalkheadError
from talkhead.progress import Progress
from talkhead.training.data.batches import Batches
from talkhead.training.data.landmark_teacher import LandmarkTeacher, mirror_order
from talkhead.training.data.library import Library, load_library
from talkhead.training.data.portraits import load_portraits, portrait_files
from talkhead.training.options import AUTO, TrainOptions
from talkhead.training.plan import Run, with_own_landmarks

log = logging.getLogger(__name__)


def inspect_data(options: TrainOptions, progress: Progress | None = None) -> DataReport:
    """What `--check-data` says."""
    split = find_clips(options.data, options.exclude, options.hold_out)
    options = with_own_landmarks(options)
    options = replace(options, landmarks=landmark_folder(options))
    found = check_data(split, options.landmarks, options.workers, progress)
    if not found.clips:
        first = next(iter(found.broken.values()), "no clips")
        raise TalkheadError(f"none of the clips can be used; the first: {first}")
    return found


def landmark_folder(options: TrainOptions) -> Path | None:
    """Where landmarks are.

    Those that are made lie beside the data, or in the run's folder where nothing can be written
    there. Raises TalkheadError for what is no folder.
    """
    folder = options.landmarks
    if folder != AUTO:
        if folder is not None and not folder.is_dir():
            what = "is a file" if folder.is_file() else "does not exist"
            raise TalkheadError(f"{folder} {what}; --landmarks takes a folder of them, or auto")
        return folder
    beside = landmarks_beside(options.data[0])
    writable = os.access(beside if beside.exists() else beside.parent, os.W_OK)
    return beside if writable else options.output / "landmarks"


def own_landmarks(run: Run, split: Split, progress: Progress | None) -> Run:
    """With `--landmarks auto`: find the landmarks of clips and portraits that are not known yet."""
    options, processes = run.options, run.processes
    folder = landmark_folder(options)
    if options.landmarks == AUTO and folder is not None:
        shown = [*split.train, *(split.test if uses_mesh(run.config) else ())]
        unknown = [clip.path for clip in shown if clip.known is None]
        share = unknown[processes.rank :: processes.size]
        photos = options.portraits if processes.is_main else None
        pictures = portrait_files(photos) if photos else []
        make_landmarks(share, folder, pictures, str(run.compute.device), progress)
        log.info("landmarks are in %s", folder)
        processes.wait()
    return replace(run, options=replace(options, landmarks=folder))


def read_data(run: Run, split: Split, progress: Progress | None) -> Library:
    """Open the clips."""
    options = run.options
    library = load_library(
        split.train,
        run.config.image_size,
        cache=options.cache,
        device=run.compute.device,
        landmarks=options.landmarks,
        workers=options.workers,
        processes=run.processes.local_size,
        progress=progress,
    )
    if len(library.identities) == 1:
        log.warning("all clips show one identity; the model will not learn what others look like")
    without = sum(landmarks is None for landmarks in library.landmarks)
    if options.landmarks and without:
        log.warning("%d of %d clips have no landmark file", without, len(library.clips))
    return library


def read_portraits(run: Run, library: Library) -> Library | None:
    """The pictures of `--portraits`, kept where the clips are.

    Raises TalkheadError where they lack what the recipe needs.
    """
    folder, landmarks = run.options.portraits, run.options.landmarks
    if not folder:
        return None
    assert landmarks is not None
    device = None if library.in_memory else run.compute.device
    portraits = load_portraits(folder, landmarks, run.config.image_size, device)
    (meshes,) = portraits.landmarks
    if run.recipe.augmentation.portrait_pairs and meshes is not None and meshes.shape[-1] < 3:
        raise TalkheadError(
            f"landmarks of {folder} have no depth, without which heads cannot be turned; add --set "
            "recipe.augmentation.portrait_pairs=0"
        )
    return portraits


def make_batches(
    run: Run, library: Library, portraits: Library | None, teacher: LandmarkTeacher | None
) -> Batches:
    """The data of a process."""
    deep = any(landmarks is not None and landmarks.shape[-1] > 2 for landmarks in library.landmarks)
    if run.recipe.augmentation.turned and not deep:
        log.warning("the clips' landmarks have no depth: no heads of clips are turned")
    return Batches(
        library,
        run.recipe,
        size=run.config.image_size,
        seed=run.options.seed,
        flow_size=run.config.dense_motion.size if needs_flow(run) else None,
        portraits=portraits,
        share=(run.processes.rank, run.processes.size),
        mirror=mirror_order(teacher.offsets.cpu()) if teacher else None,
        workers=run.options.workers,
        device=run.compute.device,
    )


def needs_flow(run: Run) -> bool:
    """Whether the optical flow teaches anything, or keypoints follow it."""
    return run.recipe.needs_flow or is_tracked(run.config)
