"""The bundled weights are those that are described, and draw better than doing nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import talkhead
from talkhead import checkpoint
from talkhead.bundled import sha256
from talkhead.evaluation.clips import read_frames

DRIVING = [
    Path(__file__).parents[1] / "examples" / f"{name}.mp4"
    for name in ("driving", "driving_vertical")
]


def test_the_bundled_weights_are_those_of_their_digest() -> None:
    path = checkpoint.default_weights()
    digest, name = path.with_name(f"{path.name}.sha256").read_text().split()
    assert name == path.name
    assert sha256(path) == digest


@pytest.mark.parametrize("clip", DRIVING, ids=lambda clip: clip.stem)
def test_the_bundled_weights_come_nearer_to_a_clip_than_its_first_frame(clip: Path) -> None:
    engine = talkhead.Engine.load(device="cpu", batch_size=4)
    pictures = [picture for _, picture in read_frames(clip, engine.image_size, every=40)][:3]
    source, *driving = pictures
    drawn = engine.render(engine.encode(source), engine.detect(driving))
    truth = np.stack(driving).astype(float)
    error, nothing = (np.abs(truth - found).mean() for found in (np.asarray(drawn), source))
    assert error < 0.8 * nothing
