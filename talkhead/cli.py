"""The command line: parse, validate, call the library, print. Heavy imports wait until needed."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from talkhead import __version__
from talkhead.errors import TalkheadError
from talkhead.heap import keep_freed_memory

if TYPE_CHECKING:
    from talkhead.driver import Progress

app = typer.Typer(
    name="talkhead",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="A portrait photo and a driving video in, the portrait moving and talking like the "
    "driver out.",
)

INTERRUPTED = 130


class MotionMode(StrEnum):
    relative = "relative"
    absolute = "absolute"


class DetectorName(StrEnum):
    auto = "auto"
    yunet = "yunet"
    sfd = "sfd"
    blazeface = "blazeface"
    lbp = "lbp"
    centre = "centre"


class LayoutTarget(StrEnum):
    talkhead = "talkhead"
    official = "official"


class LayoutName(StrEnum):
    result = "result"
    side_by_side = "side-by-side"
    grid = "grid"


def print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"talkhead {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Log details; show tracebacks.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]


@app.command()
def animate(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... DRIVING",
            help="One or more portraits (images, or videos whose first frame is taken; quoted "
            "patterns work), then the driving video: any video, GIF, folder or pattern of images, "
            "or a motion file.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The video to write (.mp4, .mov, .mkv, .webm, .gif, a folder or pattern of PNGs); "
            "a folder when there are several sources or drivings.",
        ),
    ],
    driving: Annotated[
        list[str] | None,
        typer.Option("--driving", "-d", help="One more driving video; can be repeated."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", "-w", help="Weights instead of the bundled ones.")
    ] = None,
    motion: Annotated[
        MotionMode,
        typer.Option(help="relative: the driver's movement; absolute: the driver's pose as well."),
    ] = MotionMode.relative,
    anchor: Annotated[
        str,
        typer.Option(
            help="The driving frame that relative motion is measured from: auto (closest in pose "
            "to the source), first, or a number from 0."
        ),
    ] = "auto",
    adapt_scale: Annotated[
        bool, typer.Option(help="Scale relative motion by the sizes of both faces.")
    ] = True,
    smooth: Annotated[
        float, typer.Option(min=0, max=1, help="Steady the motion, 0 (off) to 1.")
    ] = 0.0,
    crop_source: Annotated[
        str, typer.Option(help="auto (follow the face), none (centred square) or x,y,size.")
    ] = "auto",
    crop_driving: Annotated[str, typer.Option(help="The same for the driving video.")] = "auto",
    face: Annotated[
        int | None,
        typer.Option(min=1, help="Which face of the source, from the left; default: the largest."),
    ] = None,
    driving_face: Annotated[
        int | None, typer.Option(min=1, help="Which face of the driving video.")
    ] = None,
    detector: Annotated[
        DetectorName, typer.Option(help="Face detector; auto: the best that works offline.")
    ] = DetectorName.auto,
    paste_back: Annotated[
        bool, typer.Option("--paste-back", help="Put the face back into the whole photo.")
    ] = False,
    layout: Annotated[
        LayoutName,
        typer.Option(help="result; side-by-side: source, driver, result; grid: driver, results."),
    ] = LayoutName.result,
    size: Annotated[
        int | None, typer.Option(help="Side of the result in pixels; default: the model's.")
    ] = None,
    start: Annotated[float | None, typer.Option(min=0, help="Start at this second.")] = None,
    end: Annotated[float | None, typer.Option(min=0, help="Stop at this second.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="At most so many frames.")] = None,
    rate: Annotated[
        float, typer.Option(help="Frames per second of a sequence of pictures.")
    ] = 25.0,
    sound: Annotated[bool, typer.Option(help="Keep the driver's sound.")] = True,
    track: Annotated[
        int | None, typer.Option(min=0, help="Which sound track, from 0; default: the first.")
    ] = None,
    codec: Annotated[str | None, typer.Option(help="h264, hevc, vp9, av1, prores or ffv1.")] = None,
    crf: Annotated[int | None, typer.Option(help="Quality of the codec; lower is better.")] = None,
    encoder_preset: Annotated[
        str | None, typer.Option(help="The encoder's own name for its speed.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    fp16: Annotated[bool, typer.Option("--fp16", help="Half precision (GPU).")] = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="bfloat16 precision.")] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Frames that are drawn at once.")
    ] = None,
    motion_out: Annotated[
        Path | None, typer.Option(help="Also write the driver's motion (safetensors).")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make portraits move and talk like a driving video."""
    with plain_errors(debug, quiet), progress_bar(quiet) as progress:
        from talkhead.animation import Animator
        from talkhead.engine import Engine
        from talkhead.settings import Settings

        if fp16 and bf16:
            raise typer.BadParameter("choose one of --fp16 and --bf16")
        settings = Settings(
            motion=motion.value,
            adapt_scale=adapt_scale,
            anchor=anchor,
            smooth=smooth,
            crop_source=crop_source,
            crop_driving=crop_driving,
            face=face,
            driving_face=driving_face,
            detector=detector.value,
            layout=layout.value,
            paste_back=paste_back,
            size=size,
            start=start,
            end=end,
            frames=frames,
            rate=rate,
            sound=sound,
            track=track,
            codec=codec,
            crf=crf,
            preset=encoder_preset,
        )
        sources, drivings = inputs(source, driving or [])
        jobs = plan(sources, drivings, output, grid=layout is LayoutName.grid)
        precision = "fp16" if fp16 else "bf16" if bf16 else "fp32"
        engine = Engine.load(weights, device, precision, batch_size)
        render = Animator(engine, progress)
        for portraits, driver, target in jobs:
            report = render(
                portraits,
                read_driving(driver),
                target,
                settings,
                motion_out=motion_out,
                overwrite=overwrite,
            )
            show(asdict(report) if as_json else describe(report), quiet)


def inputs(positional: list[str], more_drivings: list[str]) -> tuple[list[Path], list[Path]]:
    """Sources and drivings; the last positional argument is a driving video."""
    if len(positional) < 2 and not more_drivings:
        raise typer.BadParameter("give at least one source and a driving video")
    last = [positional[-1]] if len(positional) > 1 else []
    sources = [path for text in positional[: len(positional) - len(last)] for path in expand(text)]
    return sources, [Path(text) for text in [*last, *more_drivings]]


def expand(text: str) -> list[Path]:
    """A path, or all that a quoted pattern finds, in order."""
    if Path(text).exists() or not any(mark in text for mark in "*?["):
        return [Path(text)]
    found = sorted(glob(text))
    if not found:
        raise TalkheadError(f"nothing matches {text}")
    return [Path(each) for each in found]


def plan(
    sources: list[Path], drivings: list[Path], output: Path, grid: bool
) -> list[tuple[list[Path], Path, Path]]:
    """Which sources and driver go into which output file."""
    groups = [sources] if grid else [[source] for source in sources]
    if len(groups) * len(drivings) == 1:
        return [(groups[0], drivings[0], output)]
    if output.suffix:
        raise TalkheadError(
            f"{len(groups) * len(drivings)} videos do not fit into {output}; give a folder with -o"
        )
    output.mkdir(parents=True, exist_ok=True)
    jobs = [
        (group, driving, output / f"{group[0].stem}--{driving.stem}.mp4")
        for driving in drivings
        for group in groups
    ]
    if len({target for _, _, target in jobs}) < len(jobs):
        raise TalkheadError("two of the inputs have the same name; rename one of them")
    return jobs


def read_driving(path: Path) -> Any:
    """A driving video stays a path; a motion file is read."""
    if path.suffix != ".safetensors":
        return path
    from talkhead.recording import load_motion

    return load_motion(path)


def describe(report: Any) -> str:
    """A render in one line."""
    text = f"{report.output}: {report.frames} frames, {report.frames_per_second:.1f} per second"
    if report.resumed:
        text += f", {report.resumed} of them from an interrupted run"
    if report.lost:
        text += f"; the driving face was lost {report.lost} times"
    return text


@app.command()
def convert(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="One or two files of an official release; with --to official our weights."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The weights to write; a folder for two files."),
    ],
    to: Annotated[
        LayoutTarget, typer.Option(help="talkhead reads a release; official writes one.")
    ] = LayoutTarget.talkhead,
    align_corners: Annotated[
        bool | None,
        typer.Option(
            help="FOMM only: how its grids are aligned; weights from before 2020 want it."
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Read an official checkpoint (codebook model, MCNet, FOMM, TPSMM) safely, or write one."""
    with plain_errors(debug, quiet=False):
        from talkhead.convert import convert as convert_files
        from talkhead.convert import export

        if output.exists() and not (overwrite or output.is_dir()):
            raise TalkheadError(f"{output} exists; pass --overwrite to replace it")
        if to is LayoutTarget.official:
            if len(files) != 1:
                raise TalkheadError("--to official takes one file of weights")
            written = [str(path) for path in export(files[0], output)]
            show({"written": written} if as_json else ", ".join(written), quiet=False)
            return
        header = convert_files(files, output, align_corners=align_corners)
        show(facts_of(header) if as_json else describe_weights(output, header), quiet=False)


@app.command("inspect-weights")
def inspect_weights(
    weights: Annotated[
        Path | None, typer.Argument(help="A weights file; default: the bundled one.")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say what a weights file holds, where it comes from and under which licence."""
    with plain_errors(debug, quiet=False):
        from talkhead import checkpoint

        path = weights or checkpoint.default_weights()
        header = checkpoint.read_header(path)
        show(facts_of(header) if as_json else describe_weights(path, header), quiet=False)


def facts_of(header: Any) -> dict[str, Any]:
    """What a weights file says about itself, for scripts."""
    from talkhead import config

    return {"config": config.to_dict(header.config), "provenance": asdict(header.provenance)}


def describe_weights(path: Path, header: Any) -> str:
    """The same for people."""
    provenance = header.provenance
    lines = [
        f"{path}: {header.config.family}, {header.config.image_size} px",
        f"origin: {provenance.origin}",
        f"licence: {provenance.licence}",
        *(f"from {name}, SHA-256 {digest}" for name, digest in provenance.sources.items()),
        *(f"{name}: {value}" for name, value in provenance.notes.items()),
    ]
    return "\n".join(lines)


class ProtocolName(StrEnum):
    reconstruction = "reconstruction"
    pairs = "pairs"
    cross_pairs = "cross-pairs"
    cross_videos = "cross-videos"
    random_pairs = "random-pairs"


@app.command()
def evaluate(
    data: Annotated[
        Path | None,
        typer.Option(help="A folder of clips (square crops), or one with test/ in it."),
    ] = None,
    protocol: Annotated[
        ProtocolName, typer.Option(help="Which source is driven by what.")
    ] = ProtocolName.reconstruction,
    weights: Annotated[
        list[Path] | None,
        typer.Option("--weights", "-w", help="Can be repeated; default: the bundled ones."),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="A folder for the report; scores already in it are used again."
        ),
    ] = Path("evaluation"),
    pair_list: Annotated[
        Path | None,
        typer.Option("--list", help="The csv of pairs, cross-pairs and cross-videos."),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Score every so many-th frame.")] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many clips or pairs.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random-pairs.")] = 0,
    num_pairs: Annotated[int, typer.Option("--pairs", min=1, help="Of random-pairs.")] = 50,
    metrics: Annotated[
        str | None, typer.Option(help="Names separated by commas; default: all that can be had.")
    ] = None,
    list_metrics: Annotated[
        bool, typer.Option("--list-metrics", help="What each metric is; nothing is scored.")
    ] = False,
    landmarks: Annotated[
        Path | None, typer.Option(help="A folder with landmarks of the clips (CLIP.npz).")
    ] = None,
    keypoints: Annotated[
        Path | None,
        typer.Option(help="Weights whose detector finds keypoints; default: the first weights."),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the networks of metrics that lack them.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    fp16: Annotated[bool, typer.Option("--fp16", help="Half precision (GPU).")] = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="bfloat16 precision.")] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Frames that are drawn at once.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score weights as the papers do, against doing nothing: a table, JSON and a report."""
    with plain_errors(debug, quiet), progress_bar(quiet) as progress:
        from talkhead.engine import Engine
        from talkhead.evaluation.contenders import load_contenders
        from talkhead.evaluation.evaluate import evaluate as run
        from talkhead.evaluation.judges import parse_metrics, seat_judges
        from talkhead.evaluation.protocols import plan_trials
        from talkhead.evaluation.report import html_report
        from talkhead.evaluation.tables import as_json as facts_of
        from talkhead.evaluation.tables import markdown, metric_list, write_tables

        if list_metrics:
            show(metric_list(), quiet)
            return
        if data is None:
            raise typer.BadParameter("give --data a folder of clips")
        if fp16 and bf16:
            raise typer.BadParameter("choose one of --fp16 and --bf16")
        trials = plan_trials(
            protocol.value,
            data,
            pair_list=pair_list,
            every=every,
            seed=seed,
            num_pairs=num_pairs,
            limit=limit,
        )
        wanted = parse_metrics(metrics)
        precision = "fp16" if fp16 else "bf16" if bf16 else "fp32"
        contenders, engines = load_contenders(weights or [None], device, precision, batch_size)
        detector = engines[0]
        if keypoints is not None:
            detector = Engine.load(keypoints, device, precision, batch_size)
        result = run(
            trials,
            contenders,
            seat_judges(wanted, detector, landmarks, download),
            output,
            metrics=wanted,
            size=engines[0].image_size,
            batch_size=engines[0].batch_size,
            description={
                "data": data.name,
                **({"list": pair_list.name} if pair_list else {}),
                **({"seed": seed} if protocol is ProtocolName.random_pairs else {}),
                "every": every,
                "keypoints_by": keypoints.name if keypoints else contenders[0].name,
            },
            progress=progress,
        )
        if result is None:
            show("done here; the process that finishes last writes the report", quiet)
            return
        write_tables(result, output)
        (output / "report.html").write_text(html_report(result), encoding="utf-8")
        show(facts_of(result) if as_json else markdown(result), quiet)


@app.command()
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
    fp16: Annotated[bool, typer.Option("--fp16", help="Half precision (GPU).")] = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="bfloat16 precision.")] = False,
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
        typer.Option(help="Folder with <clip>.npz landmark files: start from landmarks."),
    ] = None,
    keypoint_steps: Annotated[
        int, typer.Option(min=0, help="Steps that teach the keypoints alone from landmarks first.")
    ] = 0,
    portraits: Annotated[
        Path | None, typer.Option(help="Pictures with landmarks for those steps.")
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
        from talkhead.training.run import inspect_data
        from talkhead.training.run import train as run

        if fp16 and bf16:
            raise typer.BadParameter("choose one of --fp16 and --bf16")
        options = TrainOptions(
            data=tuple(data),
            out=out,
            preset=preset,
            steps=steps,
            minutes=minutes,
            batch_size=batch_size,
            accumulate=accumulate,
            settings=tuple(settings or ()),
            device=device,
            precision="fp16" if fp16 else "bf16" if bf16 else "fp32",
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


@app.command()
def synth(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for train/ and test/.")],
    identities: Annotated[int, typer.Option(min=1, help="How many people.")] = 16,
    clips: Annotated[int, typer.Option(min=1, help="Clips of each.")] = 2,
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of each clip.")] = 4.0,
    rate: Annotated[int, typer.Option(min=1, help="Frames per second.")] = 25,
    size: Annotated[int, typer.Option(min=32, help="Side of the pictures in pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Other numbers draw other people.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the synthetic clips in the folder.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw clips of synthetic talking heads, in the layout that `train` reads."""
    with plain_errors(debug, quiet), progress_bar(quiet) as progress:
        from talkhead.training.synth import synth as draw

        def update(done: int, total: int) -> None:
            if progress:
                progress("drawing clips", done, total)

        paths = draw(
            output, identities, clips, seconds, rate, size, seed, workers, overwrite, update
        )
        names = [str(path) for path in paths]
        line = f"{output}: {len(names)} clips of {identities} identities"
        show({"clips": names} if as_json else line, quiet)


@app.command()
def benchmark(
    model: Annotated[
        str | None,
        typer.Option(
            help="A preset, untrained, or none: everything around a model that costs nothing. "
            "Default: the bundled weights."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", "-w", help="Weights instead of the bundled ones.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    fp16: Annotated[bool, typer.Option("--fp16", help="Half precision (GPU).")] = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="bfloat16 precision.")] = False,
    batch_sizes: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Frames that are drawn at once.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=2, help="Of the driving video; default: what suits.")
    ] = None,
    loop_frames: Annotated[
        int | None,
        typer.Option(min=0, help="Of these, for the published loop; 0 leaves it out."),
    ] = None,
    sizes: Annotated[
        str, typer.Option(metavar="N,N,...", help="Measure the model at these image sizes, too.")
    ] = "",
    lengths: Annotated[
        str,
        typer.Option(
            metavar="N,N,...", help="Compare memory over driving videos of so many frames."
        ),
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="See that everything works; figures of no worth.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Also draw the result (.png).")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="What changed since this result (of --json).")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Also print the result as JSON, as the last line.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables.")] = False,
    debug: Debug = False,
) -> None:
    """Measure speed and memory, stage by stage and end to end; needs no input files.

    Driving videos and a portrait are rendered. Measured are the stages around the model and inside
    of it, the model alone by batch size, whole renders, and the loop of the published demos with
    the same weights: one frame at a time, everything computed again, decode, then draw, then
    encode. Leave the machine alone meanwhile.
    """
    with plain_errors(debug, quiet), progress_bar(quiet) as progress:
        from rich.console import Console

        from talkhead.benchmark import plot as plotting
        from talkhead.benchmark import table
        from talkhead.benchmark.benchmark import benchmark as run
        from talkhead.benchmark.result import Options
        from talkhead.image import write_image

        if fp16 and bf16:
            raise typer.BadParameter("choose one of --fp16 and --bf16")
        before = table.read_result(compare) if compare else None
        options = Options(
            model=model,
            weights=weights,
            device=device,
            precision="fp16" if fp16 else "bf16" if bf16 else "fp32",
            batch_sizes=numbers(batch_sizes or "") or None,
            frames=frames,
            loop_frames=loop_frames,
            sizes=numbers(sizes),
            lengths=numbers(lengths),
            quick=quick,
        )
        result = run(options, progress)
        facts = table.as_json(result)
        if not quiet:
            console = Console(width=None if sys.stdout.isatty() else 120)
            table.print_tables(result, console)
            if before is not None:
                console.print(table.comparison_table(before, facts))
        if plot is not None:
            write_image(plot, plotting.draw(result))
        if as_json:
            show(facts, quiet)


def numbers(text: str) -> tuple[int, ...]:
    """Positive whole numbers between commas; none in an empty text."""
    words = text.split(",") if text else []
    if not all(word.strip().isdecimal() and int(word) for word in words):
        raise typer.BadParameter(f"write whole numbers with commas between them, not {text!r}")
    return tuple(int(word) for word in words)


class TableName(StrEnum):
    codebook = "codebook"
    mcnet = "mcnet"


@app.command()
def ablate(
    table: Annotated[
        TableName, typer.Argument(help="Which paper's ablation table.")
    ] = TableName.codebook,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A folder; what is in it is used again.")
    ] = Path("ablation"),
    data: Annotated[
        Path | None,
        typer.Option(help="Clips with train/ and test/; default: synthetic heads are drawn."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of each row.")] = 400,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs per step.")] = 8,
    seeds: Annotated[int, typer.Option(min=1, help="How often each row is trained.")] = 1,
    every: Annotated[int, typer.Option(min=1, help="Score every so many-th frame.")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train and score the rows of an ablation table at a small size."""
    with plain_errors(debug, quiet):
        from talkhead.ablation import AblationOptions
        from talkhead.ablation import ablate as run
        from talkhead.evaluation.report import html_report
        from talkhead.evaluation.tables import as_json as facts_of
        from talkhead.evaluation.tables import markdown, write_tables

        options = AblationOptions(
            table.value, output, data, steps, batch_size, seeds, every, device, quiet
        )
        result = run(options, lambda: progress_bar(quiet))
        write_tables(result, output)
        (output / "report.html").write_text(html_report(result), encoding="utf-8")
        show(facts_of(result) if as_json else markdown(result), quiet)


def show(result: Any, quiet: bool) -> None:
    """Results go to stdout: a line for people, JSON for scripts."""
    if isinstance(result, str):
        if not quiet:
            typer.echo(result)
    else:
        typer.echo(json.dumps(result))


@contextlib.contextmanager
def plain_errors(debug: bool, quiet: bool) -> Iterator[None]:
    """One sentence and exit code 1 for what went wrong; 130 for Ctrl-C."""
    level = logging.DEBUG if debug else logging.ERROR if quiet else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("talkhead").setLevel(level)
    try:
        yield
    except TalkheadError as error:
        if debug:
            raise
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        if debug:
            raise
        name = f"{error.filename}: " if error.filename else ""
        typer.echo(f"error: {name}{error.strerror or error}", err=True)
        raise typer.Exit(1) from None


@contextlib.contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress | None]:
    """A bar on stderr with rate and time left; nothing where nobody looks."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks or bars.tasks[tasks[stage]].completed > done:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield update


def main() -> None:
    """Entry point of the `talkhead` command."""
    keep_freed_memory()
    app()
