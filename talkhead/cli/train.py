"""`talkhead train`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from talkhead.cli.console import AsJson, Debug, Overwrite, Quiet, plain_errors, progress_bar, show
from talkhead.cli.options import Bf16, Fp16, precision_of


def train(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            help="A folder of clips (videos or folders of frames), with train/ and test/ or "
            "without; can be repeated.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the run: weights, state, pictures.")
    ] = Path("runs/talkhead"),
    preset: Annotated[str, typer.Option(help="The model: codebook, mcnet, fomm, ...")] = (
        "codebook-lite"
    ),
    recipe: Annotated[
        str | None,
        typer.Option(help="Another recipe than the preset's, such as fomm-adversarial."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length; default: the recipe's.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Length in minutes, instead of steps.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pairs per step, over all processes.")
    ] = None,
    accumulate: Annotated[
        int, typer.Option(min=1, help="Learn each batch in so many pieces: less memory.")
    ] = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="model.NAME=VALUE or recipe.NAME=VALUE, such as recipe.weights.pixel=1."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    fp16: Fp16 = False,
    bf16: Bf16 = False,
    compile_model: Annotated[
        bool, typer.Option("--compile", help="Compile the model: slow start, quicker steps.")
    ] = False,
    cache: Annotated[
        str, typer.Option(help="Decoded frames: auto, memory, gpu, none or a folder on disk.")
    ] = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Threads that prepare data.")] = 2,
    exclude: Annotated[
        list[str] | None, typer.Option(help="An identity to leave out; can be repeated.")
    ] = None,
    hold_out: Annotated[
        list[str] | None, typer.Option(help="An identity for validation; can be repeated.")
    ] = None,
    landmarks: Annotated[
        Path | None,
        typer.Option(
            help="Start from landmarks: auto (found by the bundled face mesh, once, and kept "
            "beside the data), or a folder with <clip>.npz files."
        ),
    ] = None,
    keypoint_steps: Annotated[
        int, typer.Option(min=0, help="Steps that teach the keypoints alone from landmarks first.")
    ] = 0,
    portraits: Annotated[
        Path | None,
        typer.Option(
            help="Pictures with landmarks, for those steps and for pairs with turned heads."
        ),
    ] = None,
    vgg: Annotated[
        Path | None, typer.Option(help="VGG-19 weights (torchvision's) for the perceptual loss.")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Weights to start from.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run in --out stopped.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    validate_steps: Annotated[
        int, typer.Option(min=1, help="Validate every so many steps.")
    ] = 1000,
    save_minutes: Annotated[float, typer.Option(min=0, help="Save every so many minutes.")] = 10.0,
    licence: Annotated[
        str, typer.Option(help="Of the weights; written into them.")
    ] = "that of the data it was trained on",
    check_data: Annotated[
        bool, typer.Option("--check-data", help="Only say what the data are and what is broken.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a model on clips of talking faces; under torchrun, on several GPUs or machines."""
    quiet = quiet or os.environ.get("RANK", "0") != "0"  # under torchrun only the first talks
    with plain_errors(debug, quiet):
        from talkhead.training.options import TrainOptions
        from talkhead.training.train import inspect_data
        from talkhead.training.train import train as run

        options = TrainOptions(
            data=tuple(data),
            out=out,
            preset=preset,
            recipe=recipe,
            steps=steps,
            minutes=minutes,
            batch_size=batch_size,
            accumulate=accumulate,
            settings=tuple(settings or ()),
            device=device,
            precision=precision_of(fp16, bf16),
            compile=compile_model,
            cache=cache,
            workers=workers,
            exclude=tuple(exclude or ()),
            hold_out=tuple(hold_out or ()),
            landmarks=landmarks,
            portraits=portraits,
            keypoint_steps=keypoint_steps,
            vgg=vgg,
            init=init,
            resume=resume,
            overwrite=overwrite,
            seed=seed,
            validate_steps=validate_steps,
            save_minutes=save_minutes,
            licence=licence,
            quiet=quiet,
        )
        if check_data:
            with progress_bar(quiet) as progress:
                found = inspect_data(options, progress)
            show(asdict(found) if as_json else "\n".join(found.lines()), quiet)
            return
        outcome = run(options, lambda: progress_bar(quiet))
        if outcome is not None:
            show(asdict(outcome) if as_json else outcome.line(), quiet)
