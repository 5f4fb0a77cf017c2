"""The options of preparing training data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from talkhead.errors import TalkheadError
from talkhead.options import DATA, DEVICE, FACE, OUTPUT, PICTURE, Count, Option, Options
from talkhead.schema import Range

Degrees = Annotated[float, Range(0, 90)]
Size = Annotated[int, Range(64, 1024)]


@dataclass(frozen=True)
class PrepareOptions(Options):
    """Which videos become training clips, and which of their stretches are good enough.

    videos: video files, and folders that are searched for them.

    Raises TalkheadError for values beyond their bounds.
    """

    output: Annotated[Path, Option("Folder of the training set.", OUTPUT, ("--output", "-o"))]
    videos: tuple[Path, ...] = ()
    listed: Annotated[
        Path | None,
        Option(
            "What to take: a CSV file with columns video, start, end, identity (all but the first "
            "may be missing or empty), or VoxCeleb's folder of .txt files.",
            DATA,
            ("--list",),
        ),
    ] = None
    size: Annotated[Size, Option("Side of the clips in pixels.", PICTURE)] = 256
    shortest: Annotated[
        Annotated[float, Range(0.1, 60)], Option("Seconds that a clip has at least.", DATA)
    ] = 1.0
    longest: Annotated[
        Annotated[float, Range(1, 60)],
        Option("Seconds after which another clip is begun.", DATA),
    ] = 12.0
    max_enlargement: Annotated[
        Annotated[float, Range(0.1, 100)],
        Option("Times by which a crop may be enlarged to --size: leaves out small faces.", FACE),
    ] = 1.5
    max_yaw: Annotated[
        Degrees, Option("Degrees by which a head may be turned, in nine frames of ten.", FACE)
    ] = 60.0
    min_sharpness: Annotated[
        Annotated[float, Range(0, 1)],
        Option("Sharpness of the face, 0 to 1: leaves out blurred ones.", FACE),
    ] = 0.32
    min_motion: Annotated[
        Annotated[float, Range(0, 1)],
        Option("Movement inside the face, in face heights: leaves out still pictures.", FACE),
    ] = 0.003
    shard_size: Annotated[
        Count | None,
        Option(
            "Also pack the set into tar files of about N MB in its folder shards/, for file "
            "servers and object stores.",
            OUTPUT,
        ),
    ] = None
    device: Annotated[str, Option("Where faces are found: cpu or cuda.", DEVICE)] = "cpu"
    workers: Annotated[Count, Option("Number of processes.", DEVICE)] = 1
    overwrite: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 2:
            raise TalkheadError(
                f"size {self.size} is odd, which H.264 cannot hold; choose {self.size + 1}"
            )
        if self.longest < self.shortest:
            raise TalkheadError("--longest must be at least --shortest")
