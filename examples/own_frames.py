"""Bring your own frames: here every picture is made in a loop, and each result is yours to use.

`talkhead.reenact` takes square faces one after the other and yields the moved source in the same
order, in batches, so that a webcam, a game engine or another decoder can drive a portrait.
"""

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

import talkhead
from talkhead.faces.crop import centre_square, cut
from talkhead.io.image import read_image
from talkhead.video import VideoReader, VideoWriter

HERE = Path(__file__).parent

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--weights", default=None, help="default: the bundled ones")
parser.add_argument("--frames", type=int, default=None, help="stop after so many")
parser.add_argument("-o", "--output", default="own_frames.mp4")
arguments = parser.parse_args()

weights = Path(arguments.weights) if arguments.weights else None
engine = talkhead.Engine.load(weights)


def square(picture: np.ndarray) -> np.ndarray:
    """The middle of a picture at the model's size."""
    height, width = picture.shape[:2]
    return cut(picture, centre_square(width, height), engine.image_size)


def my_frames() -> Iterator[np.ndarray]:
    """Whatever you have: here, a video's frames, mirrored."""
    with VideoReader(HERE / "driving.mp4", frames=arguments.frames) as reader:
        for frame in reader:
            yield square(frame.rgb[:, ::-1])


portrait = square(read_image(HERE / "portrait.jpg")[:320])
with VideoWriter(arguments.output, time_base=Fraction(1, 25), rate=Fraction(25)) as writer:
    for number, picture in enumerate(talkhead.reenact(portrait, my_frames(), engine)):
        writer.write(picture, number)
