"""Training clips are written whole and read at random places."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import moving_picture

from talkhead.errors import TalkheadError
from talkhead.io.window import Place
from talkhead.video import VideoReader
from talkhead.video.clip import clip_writer, read_frames


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "a#b.mp4"
    with clip_writer(path, 64, Fraction(30000, 1001)) as write:
        for number in range(30):
            write(moving_picture(number, 64, 64))
    return path


def test_frames_at_random_places_are_those_of_reading_on(clip: Path) -> None:
    with VideoReader(clip) as reader:
        everything = [frame.rgb for frame in reader]
    assert len(everything) == 30
    numbers = [29, 0, 7, 8, 9, 9, 15]
    for number, picture in zip(numbers, read_frames(Place(clip), numbers), strict=True):
        assert np.array_equal(picture, everything[number])


def test_a_clip_is_read_from_the_middle_of_another_file(clip: Path, tmp_path: Path) -> None:
    whole = tmp_path / "shard"
    content = clip.read_bytes()
    whole.write_bytes(b"x" * 700 + content + b"y" * 900)
    found = read_frames(Place(whole, 700, len(content)), [3, 20])
    for one, other in zip(found, read_frames(Place(clip), [3, 20]), strict=True):
        assert np.array_equal(one, other)


def test_frames_that_are_not_there_and_damage_are_one_sentence(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(TalkheadError, match="ends before"):
        read_frames(Place(clip), [30])
    with pytest.raises(TalkheadError, match="cannot be read"):
        read_frames(Place(tmp_path / "gone.mp4"), [0])
    clip.write_bytes(clip.read_bytes()[:400])
    with pytest.raises(TalkheadError, match="damaged"):
        read_frames(Place(clip), [0])


def test_a_clip_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with clip_writer(tmp_path / "a.mp4", 64, Fraction(25)) as write:
            write(moving_picture(0, 64, 64))
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []
