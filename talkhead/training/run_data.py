"""The data of a run: clips, their landmarks, portraits, and the batches drawn from them."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from talkhead.config import ModelConfig
from talkhead.data.clips import DataReport, Split, check_data, find_clips
from talkhead.data.landmarking import landmarks_beside, make_landmarks
from talkhead.errors import TalkheadError
from talkhead.progress import Progress
from talkhead.training.compute import Compute
from talkhead.training.data.batches import Batches
from talkhead.training.data.landmark_teacher import LandmarkTeacher, mirror_order
from talkhead.training.data.library import Library, load_library
from talkhead.training.distributed import ProcessGroup
from talkhead.training.loop.trainer import Trainer
from talkhead.training.options import AUTO, TrainOptions
from talkhead.training.phases.pretrain_keypoints import load_portraits, portrait_files
from talkhead.training.plan import with_own_landmarks
from talkhead.training.recipes.recipe import Recipe

log = logging.getLogger(__name__)


def inspect_data(options: TrainOptions, progress: Progress | None = None) -> DataReport:
    """What `--check-data` says."""
    split = find_clips(options.data, options.exclude, options.hold_out)
    options = with_own_landmarks(options)
    options = replace(options, landmarks=landmark_folder(options))
    report = (lambda done, all_: progress("opening clips", done, all_)) if progress else None
    found = check_data(split, options.landmarks, options.workers, report)
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


def own_landmarks(
    options: TrainOptions,
    split: Split,
    compute: Compute,
    processes: ProcessGroup,
    progress: Progress | None,
) -> TrainOptions:
    """With `--landmarks auto`: find the landmarks of clips and portraits that are not known yet."""
    folder = landmark_folder(options)
    if options.landmarks == AUTO and folder is not None:
        unknown = [clip.path for clip in split.train if clip.known is None]
        share = unknown[processes.rank :: processes.size]
        stills = options.portraits if processes.is_main else None
        pictures = portrait_files(stills) if stills else []
        make_landmarks(share, folder, pictures, str(compute.device), progress)
        log.info("landmarks are in %s", folder)
        processes.wait()
    return replace(options, landmarks=folder)


def read_data(
    options: TrainOptions,
    split: Split,
    model_config: ModelConfig,
    compute: Compute,
    processes: ProcessGroup,
    progress: Progress | None,
) -> Library:
    """Open the clips."""
    library = load_library(
        split.train,
        model_config.image_size,
        cache=options.cache,
        device=compute.device,
        landmarks=options.landmarks,
        workers=options.workers,
        processes=processes.local_size,
        progress=progress,
    )
    if len(library.identities) == 1:
        log.warning("all clips show one identity; the model will not learn what others look like")
    unmarked = sum(landmarks is None for landmarks in library.landmarks)
    if options.landmarks and unmarked:
        log.warning("%d of %d clips have no landmark file", unmarked, len(library.clips))
    return library


def read_portraits(
    options: TrainOptions, recipe: Recipe, library: Library, trainer: Trainer
) -> Library | None:
    """The pictures of `--portraits`, kept where the clips are.

    Raises TalkheadError where they lack what the recipe needs.
    """
    if not options.portraits:
        return None
    assert options.landmarks is not None
    portraits = load_portraits(
        options.portraits,
        options.landmarks,
        trainer.model.config.image_size,
        None if library.in_memory else trainer.compute.device,
    )
    (landmarks,) = portraits.landmarks
    if recipe.augmentation.portrait_pairs and landmarks is not None and landmarks.shape[-1] < 3:
        raise TalkheadError(
            f"landmarks of {options.portraits} have no depth, without which heads cannot be "
            "turned; add --set recipe.augmentation.portrait_pairs=0"
        )
    return portraits


def make_batches(
    options: TrainOptions,
    recipe: Recipe,
    trainer: Trainer,
    library: Library,
    portraits: Library | None,
    processes: ProcessGroup,
    teacher: LandmarkTeacher | None,
) -> Batches:
    """The data of a process."""
    size = trainer.model.config.image_size
    deep = any(landmarks is not None and landmarks.shape[-1] > 2 for landmarks in library.landmarks)
    if recipe.augmentation.turned and not deep:
        log.warning("the clips' landmarks have no depth: no heads of clips are turned")
    return Batches(
        library,
        recipe,
        size=size,
        seed=options.seed,
        flow_size=trainer.model.config.dense_motion.size if recipe.needs_flow else None,
        portraits=portraits,
        share=(processes.rank, processes.size),
        mirror=mirror_order(teacher.offsets.cpu()) if teacher else None,
        workers=options.workers,
        device=trainer.compute.device,
    )
