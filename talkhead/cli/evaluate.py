"""`talkhead evaluate` and `talkhead ablate`: how good weights are."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from talkhead.cli.console import AsJson, Debug, Overwrite, Quiet, plain_errors, progress_bar, show
from talkhead.cli.options import Bf16, Device, Fp16, precision_of
from talkhead.errors import TalkheadError


class ProtocolName(StrEnum):
    reconstruction = "reconstruction"
    pairs = "pairs"
    videos = "videos"
    cross_pairs = "cross-pairs"
    cross_videos = "cross-videos"
    random_pairs = "random-pairs"


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
        typer.Option("--list", help="The csv of pairs, videos, cross-pairs and cross-videos."),
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
    result_landmarks: Annotated[
        Path | None,
        typer.Option(help="A folder with landmarks of the results (KEY/CASE.npz)."),
    ] = None,
    frames_out: Annotated[
        Path | None, typer.Option(help="Keep every result as KEY/CASE/NUMBER.png in this folder.")
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(help="A csv of papers' rows (name, source, protocol, METRIC, ...) beside."),
    ] = None,
    keypoints: Annotated[
        Path | None,
        typer.Option(help="Weights whose detector finds keypoints; default: the first weights."),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the networks of metrics that lack them.")
    ] = False,
    device: Device = "auto",
    fp16: Fp16 = False,
    bf16: Bf16 = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Frames that are drawn at once.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score weights as the papers do, against doing nothing: a table, JSON and a report."""
    others = os.environ.get("RANK", "0") != "0"  # under torchrun only the first shows a bar
    with plain_errors(debug, quiet), progress_bar(quiet or others) as progress:
        from talkhead.evaluation.evaluate import evaluate as run
        from talkhead.evaluation.methods import load_methods
        from talkhead.evaluation.metrics.suite import build_metrics, parse_metrics
        from talkhead.evaluation.protocols import plan_evaluation
        from talkhead.evaluation.published import read_published
        from talkhead.evaluation.report.html import check_reports, write_report
        from talkhead.evaluation.report.tables import as_json as facts_of
        from talkhead.evaluation.report.tables import markdown, metric_list
        from talkhead.evaluation.shards import own_device, shard
        from talkhead.inference.engine import Engine

        if list_metrics:
            show(metric_list(), quiet)
            return
        if data is None:
            raise typer.BadParameter("give --data a folder of clips")
        evaluation_set = plan_evaluation(
            protocol.value,
            data,
            pair_list=pair_list,
            every=every,
            seed=seed,
            num_pairs=num_pairs,
            limit=limit,
        )
        wanted = parse_metrics(metrics)
        if not others:
            given = [*(weights or []), pair_list, published, keypoints]
            check_reports(output, [path for path in given if path is not None], overwrite)
        rows = read_published(published, protocol.value) if published else ()
        device = own_device(device)
        precision = precision_of(fp16, bf16)
        methods, engines = load_methods(weights or [None], device, precision, batch_size)
        detector = engines[0]
        if keypoints is not None:
            detector = Engine.load(keypoints, device, precision, batch_size)
            if detector.image_size != engines[0].image_size:
                raise TalkheadError(
                    f"{keypoints} finds keypoints at {detector.image_size} pixels, the pictures "
                    f"have {engines[0].image_size}"
                )
        result = run(
            evaluation_set,
            methods,
            build_metrics(wanted, detector, landmarks, download, result_landmarks),
            output,
            metrics=wanted,
            size=engines[0].image_size,
            batch_size=engines[0].batch_size,
            description={
                "data": data.name,
                **({"list": pair_list.name} if pair_list else {}),
                **({"seed": seed} if protocol is ProtocolName.random_pairs else {}),
                "every": every,
                "keypoints_by": keypoints.name if keypoints else methods[0].name,
            },
            progress=progress,
            frames_out=frames_out,
            overwrite=overwrite,
            published=rows,
        )
        if result is None:
            show("done here; the process that finishes last writes the report", quiet)
            return
        # Of several processes more than one may find all done, and each writes the same.
        write_report(result, output, overwrite or shard()[1] > 1)
        show(facts_of(result) if as_json else markdown(result), quiet)


class TableName(StrEnum):
    codebook = "codebook"
    mcnet = "mcnet"


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
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train and score the rows of an ablation table at a small size."""
    with plain_errors(debug, quiet):
        from talkhead.ablation import AblationOptions
        from talkhead.ablation import ablate as run
        from talkhead.evaluation.report.html import check_reports, write_report
        from talkhead.evaluation.report.tables import as_json as facts_of
        from talkhead.evaluation.report.tables import markdown

        check_reports(output, (), overwrite)
        options = AblationOptions(
            table.value, output, data, steps, batch_size, seeds, every, device, quiet
        )
        result = run(options, lambda: progress_bar(quiet))
        write_report(result, output, overwrite)
        show(facts_of(result) if as_json else markdown(result), quiet)
