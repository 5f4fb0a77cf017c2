"""The options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from talkhead.choices import Protocol
from talkhead.inference.options import DeviceOptions
from talkhead.options import DATA, DEVICE, MODEL, OUTPUT, SCORES, Count, Option, Share, Side


@dataclass(frozen=True)
class EvaluateOptions(DeviceOptions):
    """What to score, on which clips, and how.

    output: scores that an earlier run left there are used again.

    Raises TalkheadError for values beyond their bounds.
    """

    data: Annotated[Path, Option("Folder of clips (square crops), or one with test/ in it.", DATA)]
    protocol: Annotated[Protocol, Option("Which source is driven by what.", DATA)] = (
        "reconstruction"
    )
    weights: Annotated[
        tuple[Path, ...],
        Option("Can be repeated. Default: the bundled weights.", MODEL, ("--weights", "-w")),
    ] = ()
    output: Annotated[
        Path,
        Option(
            "Folder for the report. Scores that are in it are used again.",
            OUTPUT,
            ("--output", "-o"),
        ),
    ] = Path("evaluation")
    pair_list: Annotated[
        Path | None,
        Option("CSV file of pairs, videos, cross-pairs or cross-videos.", DATA, ("--list",)),
    ] = None
    every: Annotated[Count, Option("Score every Nth frame.", DATA)] = 1
    limit: Annotated[Count | None, Option("Only the first N clips or pairs.", DATA)] = None
    seed: Annotated[int, Option("Random seed of random-pairs.", DATA)] = 0
    num_pairs: Annotated[Count, Option("Number of random-pairs.", DATA, ("--pairs",))] = 50
    metrics: Annotated[
        str | None,
        Option("Names with commas between them. Default: all that can be computed.", SCORES),
    ] = None
    landmarks: Annotated[
        Path | None, Option("Folder with landmarks of the clips (CLIP.npz).", SCORES)
    ] = None
    result_landmarks: Annotated[
        Path | None, Option("Folder with landmarks of the results (KEY/CASE.npz).", SCORES)
    ] = None
    frames_out: Annotated[
        Path | None, Option("Keep each result as KEY/CASE/NUMBER.png in this folder.", OUTPUT)
    ] = None
    published: Annotated[
        Path | None,
        Option("CSV file of papers' rows to show beside (name, source, protocol, ...).", SCORES),
    ] = None
    size: Annotated[
        Side | None,
        Option(
            "Side of the pictures that are scored. Default: the model's. Weights that draw smaller "
            "ones are scored with the source's detail, and enlarged.",
            SCORES,
        ),
    ] = None
    sharpness: Annotated[
        Share,
        Option(
            "As of `animate`, whose default is 1. Default: 0, weights as they were trained.", MODEL
        ),
    ] = 0.0
    keypoints: Annotated[
        Path | None,
        Option("Weights whose keypoint detector judges. Default: the first weights.", SCORES),
    ] = None
    download: Annotated[bool, Option("Fetch networks that metrics lack.", SCORES)] = False
    batch_size: Annotated[
        Count | None, Option("Frames per batch. Default: what suits the device.", DEVICE)
    ] = None
    overwrite: bool = False
