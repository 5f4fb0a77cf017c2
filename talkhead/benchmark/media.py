"""Synthetic input for the benchmark: a portrait and driving clips of any size."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np

from talkhead.choices import USUAL_RATE
from talkhead.io.image import write_image
from talkhead.synthetic.head import Head
from talkhead.synthetic.looks import Identity, Scene
from talkhead.synthetic.synth import Clip, write_clip
from talkhead.video import VideoReader, VideoWriter

RATE = Fraction(USUAL_RATE)
RENDERED = 24  # frames that are drawn; longer clips play them to and fro
SEED = 86


def write_portrait(path: Path, width: int, height: int) -> Path:
    """A still face in the middle of a photo."""
    rng = np.random.default_rng([SEED, 7])
    head = Head(Identity.sample(rng), Scene.sample(rng), width, height)
    write_image(path, head.render().rgb)
    return path


def write_driving(path: Path, width: int, height: int, frames: int) -> Path:
    """A talking head, H.264 at 25 frames per second, without sound."""
    drawn = path.with_name(f"{path.stem}-drawn.mp4")
    seconds = min(frames, RENDERED) / float(RATE)
    write_clip(
        Clip(
            drawn, seed=SEED, identity=0, seconds=seconds, rate=RATE, width=width, height=height,
            from_neutral=True,
        )
    )  # fmt: skip
    with VideoReader(drawn) as reader:
        pictures = [frame.rgb for frame in reader]
    # Without a jump that the tracker would take for a cut.
    there_and_back = itertools.cycle([*pictures, *pictures[-2:0:-1]])
    with VideoWriter(path, time_base=1 / RATE, rate=RATE, crf=20) as writer:
        for pts, picture in enumerate(itertools.islice(there_and_back, frames)):
            writer.write(picture, pts)
    drawn.unlink()
    return path
