"""The options of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from talkhead.choices import PerceptualNetwork, Precision
from talkhead.options import (
    DATA,
    DEVICE,
    LEARNING,
    MODEL,
    OUTPUT,
    Count,
    Index,
    Option,
    Options,
)
from talkhead.schema import Range

Minutes = Annotated[float, Range(0, 1_000_000)]

AUTO, NONE = Path("auto"), Path("none")  # in place of a folder of landmarks


@dataclass(frozen=True)
class TrainOptions(Options):
    """What to train on, what, and for how long; None leaves the recipe's own value.

    Raises TalkheadError for values beyond their bounds.
    """

    data: Annotated[
        tuple[Path, ...],
        Option(
            "Folder of clips (videos or folders of frames), with train/ and test/ or without. "
            "Can be repeated.",
            DATA,
        ),
    ]
    output: Annotated[
        Path,
        Option(
            "Folder of the run: weights, state, pictures.",
            OUTPUT,
            ("--output", "-o", "--out"),  # --out as in version 0.1
        ),
    ] = Path("runs/talkhead")
    preset: Annotated[
        str | None,
        Option(
            "Model: codebook, mcnet, fomm, ... Default: that of the run to --resume, that of "
            "--init, or codebook-lite.",
            MODEL,
        ),
    ] = None
    steps: Annotated[Count | None, Option("Length in steps. Default: the recipe's.", LEARNING)] = (
        None
    )
    minutes: Annotated[Minutes | None, Option("Length in minutes, instead of steps.", LEARNING)] = (
        None
    )
    batch_size: Annotated[Count | None, Option("Pairs per step, over all processes.", LEARNING)] = (
        None
    )
    accumulate: Annotated[
        Count, Option("Compute each batch in N pieces, which takes less memory.", LEARNING)
    ] = 1
    recipe: Annotated[
        str | None,
        Option("Another recipe than the preset's, such as fomm-adversarial.", MODEL),
    ] = None
    settings: Annotated[
        tuple[str, ...],
        Option(
            "Any setting: model.NAME=VALUE or recipe.NAME=VALUE, such as recipe.weights.pixel=1. "
            "Can be repeated.",
            MODEL,
            ("--set",),
        ),
    ] = ()
    device: Annotated[str, Option("auto, cpu, cuda or cuda:N.", DEVICE)] = "auto"
    precision: Annotated[
        Precision, Option("Precision", DEVICE, ("--fp16", "--bf16"), switches=True)
    ] = "fp32"
    compile: Annotated[
        bool, Option("Compile the model: slow start, faster steps.", DEVICE, ("--compile",))
    ] = False
    cache: Annotated[
        str, Option("Decoded frames: auto, memory, gpu, none or a folder on disk.", DATA)
    ] = "auto"
    workers: Annotated[Count, Option("Number of threads or processes that load data.", DATA)] = 2
    exclude: Annotated[
        tuple[str, ...], Option("Identity to leave out. Can be repeated.", DATA)
    ] = ()
    hold_out: Annotated[
        tuple[str, ...], Option("Identity for validation. Can be repeated.", DATA)
    ] = ()
    landmarks: Annotated[
        Path | None,
        Option(
            "Start keypoints from landmarks: auto (found by the face mesh once and kept beside the "
            "data), a folder of CLIP.npz files, or none. Default: those of a prepared set, if the "
            "model can use them.",
            DATA,
        ),
    ] = None
    portraits: Annotated[
        Path | None,
        Option("Photos with landmarks, for the keypoints and for pairs with turned heads.", DATA),
    ] = None
    keypoint_steps: Annotated[
        Index, Option("Steps that first train the keypoints alone on landmarks.", LEARNING)
    ] = 0
    mouth_steps: Annotated[
        Index, Option("Steps that first train what draws the inside of mouths.", LEARNING)
    ] = 0
    perceptual: Annotated[
        PerceptualNetwork,
        Option("Network of the perceptual loss. auto: vgg, else efficientnet-lite0.", MODEL),
    ] = "auto"
    vgg: Annotated[
        Path | None, Option("VGG-19 weights (torchvision's) for the perceptual loss.", MODEL)
    ] = None
    init: Annotated[Path | None, Option("Weights to start from.", MODEL)] = None
    init_parts: Annotated[
        tuple[str, ...],
        Option(
            "Take only this part of --init, such as encoder. Can be repeated.",
            MODEL,
            ("--init-part",),
        ),
    ] = ()
    resume: Annotated[bool, Option("Continue the run in --output.", OUTPUT)] = False
    overwrite: bool = False
    seed: Annotated[Index, Option("Random seed.", LEARNING)] = 0
    validate_steps: Annotated[Count, Option("Validate every N steps.", LEARNING)] = 1000
    save_minutes: Annotated[Minutes, Option("Save every N minutes.", OUTPUT)] = 10.0
    report_steps: Annotated[Count, Option("Write the losses every N steps.", OUTPUT)] = 20
    licence: Annotated[str, Option("Licence, written into the weights.", OUTPUT)] = (
        "that of the data it was trained on"
    )
    quiet: bool = False
