"""A training run: from folders and options to a weights file."""

from __future__ import annotations

import logging
import platform
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from talkhead import config
from talkhead.checkpoint import Provenance
from talkhead.data.clips import Split, find_clips
from talkhead.errors import TalkheadError
from talkhead.faces.mesh import FaceMesh478
from talkhead.models import build
from talkhead.models.codebook import CodebookModel
from talkhead.printable import counted
from talkhead.progress import Preparing, Progress
from talkhead.training.compute import Compute
from talkhead.training.data.batches import Batches
from talkhead.training.data.landmark_teacher import LandmarkTeacher, fit_teacher
from talkhead.training.data.library import Library, with_landmarks_only
from talkhead.training.data.pairs import Pairs
from talkhead.training.distributed import ProcessGroup, may_restart, process_group
from talkhead.training.folder import clear_run, run_folder
from talkhead.training.loop.logging import RunLog, open_screen
from talkhead.training.loop.loop import Outcome, run_loop
from talkhead.training.loop.run_files import RunSaver
from talkhead.training.loop.state import (
    STATE,
    check_room,
    count_parameters,
    initialise,
    read,
    restore,
)
from talkhead.training.loop.trainer import Trainer, check_learned
from talkhead.training.loop.validation import validation_pairs
from talkhead.training.losses.mesh_judge import MeshJudge
from talkhead.training.losses.objective import Objective
from talkhead.training.losses.perceptual import load_perceptual
from talkhead.training.modes import unfrozen
from talkhead.training.options import TrainOptions
from talkhead.training.phases.codebooks import CODEBOOKS, seed_codes
from talkhead.training.phases.open_occlusion import open_occlusion
from talkhead.training.phases.pretrain_keypoints import keypoint_recipe, teach_keypoints
from talkhead.training.phases.pretrain_mouth import PAIRS, cut_mouths, teach_mouth
from talkhead.training.phases.rescale_jacobians import rescale_jacobians
from talkhead.training.phases.sharpen import sharpen
from talkhead.training.plan import Run, choose_compute, plan, with_own_landmarks
from talkhead.training.recipes.recipe import LandmarkStart, Recipe
from talkhead.training.run_data import make_batches, own_landmarks, read_data, read_portraits
from talkhead.version import __version__

log = logging.getLogger(__name__)

SEEDING_BATCHES = 4


def train(options: TrainOptions, preparing: Preparing = nullcontext) -> Outcome | None:
    """Train a model; under torchrun, be one of its processes (all but the first return None).

    `preparing` shows progress until training begins, and then makes room for its own screen.

    Raises TalkheadError for bad data or options, a full disk, a batch too large for memory.
    KeyboardInterrupt (Ctrl-C) is raised after everything was saved; what is taught before the first
    step begins anew.
    """
    options = with_own_landmarks(options)
    model_config, recipe = plan(options)
    kind = options.device
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    with process_group(kind.split(":")[0]) as processes:
        if processes.size > 1 and kind == "cuda":
            kind = f"cuda:{processes.local_rank}"
        if recipe.batch_size % processes.size:
            raise TalkheadError(
                f"a batch of {recipe.batch_size} cannot be shared by {processes.size} processes; "
                f"use --batch-size {-(-recipe.batch_size // processes.size) * processes.size}"
            )
        compute = choose_compute(options, kind)
        if may_restart():
            options = resume_if_begun(options, processes, compute)
        show = preparing if processes.is_main else nullcontext
        with run_folder(options) if processes.is_main else nullcontext():
            return _train(Run(options, model_config, recipe, compute, processes), show)


def resume_if_begun(
    options: TrainOptions, processes: ProcessGroup, compute: Compute
) -> TrainOptions:
    """With `--resume`, begin a run that has no checkpoint yet: all restarts have one command.

    The first process decides for all.
    """
    begun = processes.is_main and (options.output / STATE).is_file()
    return replace(options, resume=options.resume and processes.any(begun, compute.device))


def _train(run: Run, preparing: Preparing) -> Outcome | None:
    """The run of one process."""
    processes = run.processes
    with preparing() as progress:
        processes.wait()
        split = find_clips(run.options.data, run.options.exclude, run.options.hold_out)
        run = own_landmarks(run, split, progress)
        options, recipe, compute = run.options, run.recipe, run.compute
        # What is quick and may be refused comes before the data, which may take long to read.
        before = read(options.output, run.config, recipe) if options.resume else None
        torch.manual_seed(options.seed)
        model = build(run.config)
        new = set(model.state_dict())  # what no other weights bring
        if options.init and not options.resume:
            new = initialise(model, options.init, options.init_parts)
        check_learned(model, recipe)
        perceptual = load_perceptual(options.perceptual, options.vgg, recipe, compute.device)
        library = read_data(run, split, progress)
        teacher = fit_teacher(library).to(compute.device) if options.landmarks else None
        objective = Objective(recipe, perceptual, teacher, load_mesh_judge(recipe, compute))
        trainer = Trainer(model, recipe, objective, compute, processes, options.seed)
        batches = make_batches(run, library, read_portraits(run, library), teacher)
        if processes.is_main:
            check_room(options.output, trainer)
        done, seconds = 0, 0.0
        if before is not None:
            done, seconds = restore(before, trainer)
            batches.seed = trainer.seed
        else:
            with trainer.explain_memory():
                start(options, trainer, batches, teacher, new, progress)
            processes.copy_from_main(trainer.model.state_dict().values())
            trainer.average.restart()
        saver = make_saver(options, split, library, trainer, batches, done)

    steps = recipe.num_steps(len(library.identities))
    screen = open_screen(options.quiet or not processes.is_main)
    outcome = run_loop(
        *(trainer, batches, options, steps, saver, screen),
        first=done,
        seconds=seconds,
        finish=partial(finish, trainer, library, teacher),
    )
    return outcome if processes.is_main else None


def load_mesh_judge(recipe: Recipe, compute: Compute) -> MeshJudge | None:
    """The face mesh as a loss, where the recipe weighs it."""
    if not recipe.weights.face_mesh or recipe.motion_only:
        return None
    return MeshJudge(FaceMesh478.load(compute.device))


def finish(trainer: Trainer, library: Library, teacher: LandmarkTeacher | None) -> None:
    """What comes after the last step, done to the averaged weights."""
    recipe, model = trainer.recipe, trainer.average.model
    if recipe.rescale_jacobians and teacher is not None:
        factors = rescale_jacobians(model, library, teacher, trainer.compute)
        log.info("jacobians of eyes and mouth times %s", ", ".join(f"{x:.2f}" for x in factors))
    if recipe.sharpen:
        sharpen(model, recipe.sharpen)


def make_saver(
    options: TrainOptions,
    split: Split,
    library: Library,
    trainer: Trainer,
    batches: Batches,
    done: int,
) -> RunSaver | None:
    """What validates and saves, in the leading process only."""
    if not trainer.processes.is_main:
        return None
    if not options.resume:
        clear_run(options.output)
    if not split.test:
        log.warning("no clips are held out; validation uses training clips")
    facts = describe(options, split, library, trainer)
    origin = (
        f"trained by talkhead {__version__} on {counted(len(library.clips), 'clip')} of "
        f"{counted(len(library.identities), 'identity', 'identities')}"
    )
    return RunSaver(
        trainer,
        batches,
        options.output,
        RunLog(options.output, facts, done),
        validation_pairs(split.test or split.train, batches.size, options.landmarks),
        Provenance(origin, options.licence),
    )


def start(
    options: TrainOptions,
    trainer: Trainer,
    batches: Batches,
    teacher: LandmarkTeacher | None,
    new: Collection[str],
    progress: Progress | None,
) -> None:
    """What comes before the first step: keypoints from landmarks, new codes from data."""
    recipe = trainer.recipe
    if options.keypoint_steps and teacher is not None:
        pretrain_keypoints(options, trainer, batches, teacher, progress)
    if options.mouth_steps:
        pretrain_mouth(options, trainer, batches, progress)
    if "mean_face" in new and teacher is not None:
        assert isinstance(trainer.model, CodebookModel)
        trainer.model.adopt_face(teacher.offsets)
    if recipe.open_occlusion and isinstance(trainer.model, CodebookModel):
        open_occlusion(trainer.model, recipe.open_occlusion, new)
    unseeded = [name for name in CODEBOOKS if f"{name}.codebook.codes" in new]
    if recipe.seed_codes and unseeded:
        generator = torch.Generator().manual_seed(options.seed)
        some = (batches.batch(step) for step in range(SEEDING_BATCHES))
        seed_codes(trainer.model, some, generator, unseeded)


def pretrain_keypoints(
    options: TrainOptions,
    trainer: Trainer,
    batches: Batches,
    teacher: LandmarkTeacher,
    progress: Progress | None,
) -> None:
    """Teach keypoints from landmarks before anything else is learned."""
    recipe, processes = trainer.recipe, trainer.processes
    how = recipe.landmark_start or LandmarkStart()
    pictures = replace(
        batches,
        library=with_landmarks_only(batches.library, batches.portraits),
        recipe=keypoint_recipe(recipe, how.keypoint_batch * processes.size),
        flow_size=None,
        portraits=None,
    )

    def report(done: int, steps: int, value: float, jacobian: float) -> None:
        pixels = value * batches.size / 2
        log.info("keypoints %d/%d: %.2f px, jacobians %.3f", done, steps, pixels, jacobian)
        if progress and processes.is_main:
            progress("teaching keypoints", done, steps)

    with unfrozen(trainer.model.keypoint_detector):
        teach_keypoints(
            *(trainer.model, teacher, pictures, trainer.compute, processes),
            options.keypoint_steps,
            how.keypoint_rate,
            report,
        )


def pretrain_mouth(
    options: TrainOptions, trainer: Trainer, batches: Batches, progress: Progress | None
) -> None:
    """Teach what draws the inside of mouths before anything else is learned."""
    model, processes = trainer.model, trainer.processes
    assert isinstance(model, CodebookModel)
    assert model.mouth is not None
    library = with_landmarks_only(batches.library, None)
    rng = np.random.default_rng([options.seed, processes.rank])
    shown = progress if processes.is_main else None

    def report(done: int, steps: int, error: float) -> None:
        log.info("mouths %d/%d: L1 %.4f", done, steps, error)
        if shown:
            shown("teaching mouths", done, steps)

    mouths = cut_mouths(Pairs(library, batches.portraits, PAIRS), model.mouth, rng, shown)
    with unfrozen(model.mouth):
        teach_mouth(
            *(model.mouth, mouths, trainer.objective.perceptual, trainer.compute, processes),
            options.mouth_steps,
            rng,
            report,
        )


def describe(
    options: TrainOptions, split: Split, library: Library, trainer: Trainer
) -> dict[str, Any]:
    """What stays the same during a run, for `run.json`."""
    place = str(trainer.compute.device)
    if trainer.compute.device.type == "cuda":
        place += f" ({torch.cuda.get_device_name(trainer.compute.device)})"
    return {
        "talkhead": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": place,
        "processes": trainer.processes.size,
        **({"preset": options.preset} if options.preset else {}),
        "parameters": count_parameters(trainer.model),
        "perceptual_network": trainer.objective.perceptual is not None,
        "data": {
            "clips": len(library.clips),
            "identities": len(library.identities),
            "with_landmarks": sum(landmarks is not None for landmarks in library.landmarks),
            "test_clips": len(split.test),
            "unusable": library.broken,
        },
        "arguments": vars(options),
        "config": config.to_dict(trainer.model.config),
        "recipe": asdict(trainer.recipe),
    }
