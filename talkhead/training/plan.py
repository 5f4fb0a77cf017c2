"""Model and recipe of a run, checked before anything slow begins."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from operator import attrgetter

import torch

from talkhead import config
from talkhead.checkpoint import read_header
from talkhead.config import KeypointConfig, ModelConfig, TpsmmConfig, uses_mesh
from talkhead.data.manifest import MANIFEST
from talkhead.device import PRECISIONS, choose_device
from talkhead.errors import TalkheadError
from talkhead.models.sizes import check_sizes
from talkhead.topology import HEAD_GROUPS
from talkhead.training.compute import Compute
from talkhead.training.data.landmark_teacher import FREE_STARTS
from talkhead.training.distributed import ProcessGroup
from talkhead.training.loop.state import WEIGHTS
from talkhead.training.options import AUTO, NONE, TrainOptions
from talkhead.training.recipes.overrides import apply_settings
from talkhead.training.recipes.presets import recipe_for, recipe_named, with_landmarks
from talkhead.training.recipes.recipe import Recipe

log = logging.getLogger(__name__)

USUAL_MODEL = "codebook-lite"
# Settings of a recipe that only landmark files can serve, where they are not 0 or null.
NEED_LANDMARKS = (
    "attention",
    "close_ups",
    "augmentation.far_pairs",
    "augmentation.expressive_pairs",
    "augmentation.portrait_pairs",
    "augmentation.turned",
    "augmentation.close_mouth",
    "rescale_jacobians",
    "landmark_start",
    "disocclusion_weight",
    "weights.face_mesh",
    "weights.landmark_flow",
)


@dataclass(frozen=True)
class Run:
    """What the steps of one process's run are given."""

    options: TrainOptions
    config: ModelConfig
    recipe: Recipe
    compute: Compute
    processes: ProcessGroup


def plan(options: TrainOptions) -> tuple[ModelConfig, Recipe]:
    """Model and recipe of the options, checked."""
    model_config = model_of(options)
    wanted = options.landmarks is not None
    recipe = recipe_named(options.recipe) if options.recipe else recipe_for(model_config)
    if wanted:
        recipe = with_landmarks(recipe)
    model_config, recipe = apply_settings(model_config, recipe, list(options.settings))
    if options.steps is not None:
        recipe = replace(recipe, steps=options.steps)
    if options.batch_size is not None:
        recipe = replace(recipe, batch_size=options.batch_size)
    check_sizes(model_config)
    check_recipe(recipe, model_config)
    if wanted:
        check_landmarks(model_config)
        check_mouth(options, model_config)
    elif options.keypoint_steps or options.mouth_steps or options.portraits:
        raise TalkheadError(
            "--keypoint-steps, --mouth-steps and --portraits need --landmarks auto (or a folder)"
        )
    elif uses_mesh(model_config):
        raise TalkheadError(
            "model.mesh needs --landmarks auto (or a folder), or --set model.mesh=null"
        )
    elif found := [name for name in NEED_LANDMARKS if attrgetter(name)(recipe)]:
        raise TalkheadError(f"recipe.{found[0]} needs --landmarks auto (or a folder)")
    return mark_landmark_keypoints(model_config, recipe), recipe


def model_of(options: TrainOptions) -> ModelConfig:
    """The preset that is asked for; without one the model of the weights that are gone on from."""
    if options.preset is not None:
        return config.preset(options.preset)
    saved = options.output / WEIGHTS
    if options.resume and saved.is_file():
        return read_header(saved).config
    if options.init is not None and not options.init_parts:
        return read_header(options.init).config
    return config.preset(USUAL_MODEL)


def with_own_landmarks(options: TrainOptions) -> TrainOptions:
    """With `--landmarks` decided.

    Where nothing is said, those of a prepared set are used, if they can teach the model.
    """
    if options.landmarks is not None:
        return replace(options, landmarks=None) if options.landmarks == NONE else options
    if not any((root / MANIFEST).is_file() for root in options.data):
        return options
    try:
        plan(replace(options, landmarks=AUTO))
    except TalkheadError as error:
        log.info("the landmarks of the clips are not used: %s", error)
        return options
    return replace(options, landmarks=AUTO)


def choose_compute(options: TrainOptions, device_name: str) -> Compute:
    """Device and precision."""
    device = choose_device(device_name)
    if options.precision not in PRECISIONS:
        raise TalkheadError(f"no precision {options.precision!r}; use {', '.join(PRECISIONS)}")
    precision = PRECISIONS[options.precision]
    if precision is torch.float16 and device.type != "cuda":
        raise TalkheadError("training in --fp16 needs a CUDA device; use --bf16 or neither")
    return Compute(device, precision, options.compile, options.accumulate)


def check_landmarks(config: ModelConfig) -> None:
    """Whether landmarks can teach the model's keypoints; raises TalkheadError if not."""
    keypoints: KeypointConfig | None = getattr(config, "keypoints", None)
    if keypoints is None:
        raise TalkheadError(
            f"{config.family} has no keypoints that landmarks could teach; leave out --landmarks"
        )
    taught, free = len(HEAD_GROUPS), len(FREE_STARTS)
    if not taught <= keypoints.num_keypoints <= taught + free:
        raise TalkheadError(
            f"landmarks teach {taught} keypoints and start {free} more, the model has "
            f"{keypoints.num_keypoints}; add --set model.keypoints.num_keypoints={taught}"
        )


def check_mouth(options: TrainOptions, config: ModelConfig) -> None:
    """Whether there is a painter of mouths to be taught; raises TalkheadError if not."""
    mesh = getattr(config, "mesh", None)
    if options.mouth_steps and not (mesh and mesh.mouth):
        how = "model.mesh.mouth=true" if mesh else """'model.mesh={"mouth": true}'"""
        raise TalkheadError(
            f"--mouth-steps needs a codebook model that draws mouths: add --set {how}"
        )


def mark_landmark_keypoints(config: ModelConfig, recipe: Recipe) -> ModelConfig:
    """Set `keypoints.landmarks`.

    True if the recipe supervises them to the end, or if they are landmarks already and frozen.
    """
    if isinstance(config, TpsmmConfig):
        return config
    start, detector = recipe.landmark_start, "keypoint_detector."
    frozen = not recipe.keypoint_rate or not any(
        detector.startswith(each) or each.startswith(detector) for each in recipe.learned or ("",)
    )
    held = (frozen and config.keypoints.landmarks) or (start is not None and start.holds)
    return replace(config, keypoints=replace(config.keypoints, landmarks=held))


def check_recipe(recipe: Recipe, config: ModelConfig) -> None:
    """Contradictions between model and recipe, as TalkheadErrors."""
    if recipe.motion_only and "motion_only" not in config.abilities:
        raise TalkheadError("motion_only needs a codebook model with a motion codebook")
    if recipe.detail_ramp and not getattr(config, "detail_skips", False):
        raise TalkheadError(
            "recipe.detail_ramp needs a codebook model with finer features to ramp: add --set "
            "model.detail_skips=true"
        )
    if recipe.sharpen and "sharpen" not in config.abilities:
        raise TalkheadError(
            "recipe.sharpen needs a codebook model that shows the source: add --set "
            "model.blend_source=true, or --set recipe.sharpen=0"
        )
    if recipe.weights.disentangling and "disentangling" not in config.abilities:
        raise TalkheadError(
            "this recipe trains the disentangling network of a tpsmm model: use --preset tpsmm "
            "--set model.avd=true, and --init with the weights of a trained tpsmm"
        )
    adversarial = recipe.adversarial
    if adversarial and adversarial.kind == "hinge" and "hinge" not in config.abilities:
        raise TalkheadError(
            f"{config.family} has no layer at which a hinge loss could be balanced; use "
            "--set recipe.adversarial=null, or --recipe fomm-adversarial"
        )
    if recipe.motion_only and adversarial:
        raise TalkheadError(
            "motion_only draws no image that an adversary could judge; add --set "
            "recipe.adversarial=null"
        )
    weights = recipe.weights
    if adversarial and not (weights.pixel or weights.perceptual or weights.pyramid):
        raise TalkheadError(
            "an adversary needs an image term beside it: pixel, perceptual or pyramid"
        )
    if weights.mask_choice and "mask_choice" not in config.abilities:
        raise TalkheadError(
            "weights.mask_choice needs a model that chooses among keypoints' motions"
        )
    for name, least in (("batch_size", 1), ("steps", 1), ("epochs", 1)):
        value = getattr(recipe, name)
        if value is not None and value < least:
            raise TalkheadError(f"recipe.{name} must be at least {least}, not {value}")
