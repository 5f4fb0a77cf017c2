"""Animate a photo with a video, as `talkhead animate` does: one call."""

import argparse
from pathlib import Path

import talkhead

HERE = Path(__file__).parent

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--source", default=HERE / "portrait.jpg")
parser.add_argument("--driving", default=HERE / "driving.mp4")
parser.add_argument("--weights", default=None, help="default: the bundled ones")
parser.add_argument("--frames", type=int, default=None, help="stop after so many")
parser.add_argument("-o", "--output", default="animated.mp4")
arguments = parser.parse_args()

report = talkhead.animate(
    arguments.source,
    arguments.driving,
    arguments.output,
    weights=arguments.weights,
    settings=talkhead.RenderSettings(layout="side-by-side", frames=arguments.frames),
    overwrite=True,
)
print(f"{report.frames} frames at {report.frames_per_second:.1f} per second")
