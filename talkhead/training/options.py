"""What a person asks of a run, checked before anything slow begins."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from talkhead import config
from talkhead.config import ModelConfig
from talkhead.device import PRECISIONS, choose_device
from talkhead.errors import TalkheadError
from talkhead.training.config import (
    Recipe,
    check_landmarks,
    check_recipe,
    check_sizes,
    recipe_for,
    recipe_named,
)
from talkhead.training.learner import Compute
from talkhead.training.overrides import apply_settings
from talkhead.training.report import LOSSES, RUN
from talkhead.training.state import STATE, WEIGHTS


@dataclass(frozen=True)
class TrainOptions:
    """What the command line says; None leaves the recipe's own value.

    recipe: one of `RECIPES`. settings: `model.a.b=value`, `recipe.a=value`.
    steps, minutes: length of the run; minutes win. save_minutes, validate_steps: how often.
    accumulate: pieces in which a batch is learned. keypoint_steps: steps of the landmark start.
    """

    data: tuple[Path, ...]
    out: Path
    preset: str = "codebook-lite"
    steps: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    accumulate: int = 1
    recipe: str | None = None
    settings: tuple[str, ...] = ()
    device: str = "auto"
    precision: str = "fp32"
    compile: bool = False
    cache: str = "auto"
    workers: int = 2
    exclude: tuple[str, ...] = ()
    hold_out: tuple[str, ...] = ()
    landmarks: Path | None = None
    portraits: Path | None = None
    keypoint_steps: int = 0
    vgg: Path | None = None
    init: Path | None = None
    resume: bool = False
    overwrite: bool = False
    seed: int = 0
    validate_steps: int = 1000
    save_minutes: float = 10.0
    report_steps: int = 20
    licence: str = "that of the data it was trained on"
    quiet: bool = False


def plan(options: TrainOptions) -> tuple[ModelConfig, Recipe]:
    """Model and recipe of the options, checked."""
    model_config = config.preset(options.preset)
    wanted = options.landmarks is not None
    if options.recipe is not None:
        recipe = recipe_named(options.recipe)
    else:
        recipe = recipe_for(options.preset, model_config.family, wanted)
    model_config, recipe = apply_settings(model_config, recipe, list(options.settings))
    if options.steps is not None:
        recipe = replace(recipe, steps=options.steps)
    if options.batch_size is not None:
        recipe = replace(recipe, batch_size=options.batch_size)
    check_sizes(model_config)
    check_recipe(recipe, model_config)
    if wanted:
        check_landmarks(model_config)
    elif options.keypoint_steps or options.portraits:
        raise TalkheadError("--keypoint-steps and --portraits need --landmarks DIR")
    return model_config, recipe


def choose_compute(options: TrainOptions, device_name: str) -> Compute:
    """Device and precision."""
    device = choose_device(device_name)
    if options.precision not in PRECISIONS:
        raise TalkheadError(f"no precision {options.precision!r}; use {', '.join(PRECISIONS)}")
    precision = PRECISIONS[options.precision]
    if precision is torch.float16 and device.type != "cuda":
        raise TalkheadError("training in --fp16 needs a CUDA device; use --bf16 or neither")
    return Compute(device, precision, options.compile, options.accumulate)


def prepare_folder(options: TrainOptions) -> None:
    """An output folder that is empty, to be resumed, or allowed to be overwritten."""
    out = options.out
    if out.exists() and not out.is_dir():
        raise TalkheadError(f"{out} is a file; --out takes a folder")
    if options.resume and not (out / STATE).is_file():
        raise TalkheadError(f"nothing to resume in {out}: it has no {STATE}")
    if (out / STATE).is_file() and not (options.resume or options.overwrite):
        raise TalkheadError(
            f"{out} holds a run already; continue it with --resume, replace it with --overwrite, "
            "or choose another --out"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TalkheadError(f"cannot make the folder {out}: {error.strerror}") from error


def clear_folder(out: Path) -> None:
    """Remove what an earlier run left; called when nothing can go wrong before the first step."""
    for name in (STATE, WEIGHTS, RUN, LOSSES):
        (out / name).unlink(missing_ok=True)
    for name in ("tensorboard", "pictures"):
        shutil.rmtree(out / name, ignore_errors=True)
