"""Render the example driving clips: python examples/make_driving.py [FOLDER, else this one].

They show nobody: `talkhead.synthetic.synth` draws a person, moves them and gives them a voice, and
the same numbers always give the same pictures.
"""

import sys
from fractions import Fraction
from pathlib import Path

from talkhead.synthetic.synth import Clip, write_clip

CLIPS = (
    # A landscape frame with the head off its middle, as a camera on a table sees it.
    Clip(
        Path("driving.mp4"), seed=86, identity=0, seconds=4.0, rate=Fraction(25),
        width=640, height=480, x=0.12, scale=0.85, from_neutral=True, lively=1.2, crf=23,
    ),
    # Upright and with unsteady frame times, as a phone records.
    Clip(
        Path("driving_vertical.mp4"), seed=101, identity=0, seconds=3.0, rate=Fraction(30),
        width=360, height=640, x=-0.03, scale=0.62, from_neutral=True, variable_rate=True, crf=24,
    ),
)  # fmt: skip


def main(folder: Path) -> None:
    for clip in CLIPS:
        write_clip(Clip(**{**vars(clip), "path": folder / clip.path}))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
