"""Clips of synthetic heads on disk, and what the heads in them do and say."""

from __future__ import annotations

import errno
import multiprocessing
import runpy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from copies import COPIES

from talkhead.errors import TalkheadError
from talkhead.synthetic import synth as synth_module
from talkhead.synthetic.babble import SOUND_RATE, perform
from talkhead.synthetic.options import SynthOptions
from talkhead.synthetic.synth import Clip, synth, write_clip
from talkhead.video import VideoReader, probe

TIMES = np.arange(150) / 25


def loudness(sound: np.ndarray, times: np.ndarray, width: float = 0.06) -> np.ndarray:
    half = int(width * SOUND_RATE / 2)
    padded = np.pad(sound, half)
    starts = (times * SOUND_RATE).astype(int)
    return np.array([np.sqrt((padded[start : start + 2 * half] ** 2).mean()) for start in starts])


def test_the_mouth_opens_when_the_voice_is_loud() -> None:
    together = []
    for seed in range(4):
        performance = perform(np.random.default_rng(seed), TIMES)
        mouth = np.array([face.mouth_open for _, face in performance.moments])
        together.append(np.corrcoef(mouth, loudness(performance.sound, TIMES))[0, 1])
    assert np.mean(together) > 0.5


def test_the_voice_lasts_as_long_as_the_frames_and_has_pauses() -> None:
    sound = perform(np.random.default_rng(1), TIMES).sound
    assert len(sound) == round(6.0 * SOUND_RATE)
    assert 0.5 < np.abs(sound).max() <= 1.0
    volume = loudness(sound, np.arange(0.1, 5.9, 0.02))
    assert (volume < 0.01).mean() > 0.05
    assert (volume > 0.05).mean() > 0.3


def test_heads_blink_every_few_seconds_for_a_fifth_of_a_second() -> None:
    times = np.arange(0, 60, 0.04)
    moments = perform(np.random.default_rng(2), times).moments
    shut = np.array([face.blink_left for _, face in moments]) > 0.5
    starts = int((np.diff(shut.astype(int)) == 1).sum())
    assert 12 <= starts <= 30
    assert 0.1 < shut.sum() * 0.04 / starts < 0.3


def test_heads_move_smoothly_and_within_reach() -> None:
    moments = perform(np.random.default_rng(3), np.arange(0, 40, 0.04), lively=1.5).moments
    yaw, pitch = (
        np.array([getattr(pose, name) for pose, _ in moments]) for name in ("yaw", "pitch")
    )
    assert 15 < np.ptp(yaw) < 110
    assert np.ptp(pitch) > 8
    assert np.abs(np.diff(yaw)).max() < 6  # degrees in a frame


def test_a_neutral_start_is_neutral() -> None:
    pose, face = perform(np.random.default_rng(4), TIMES, from_neutral=True).moments[0]
    held = [pose.yaw, pose.pitch, pose.roll, pose.x, pose.y, pose.scale]
    np.testing.assert_allclose(held, [0, 0, 0, 0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(list(vars(face).values()), 0, atol=1e-9)


def frames(path: Path) -> np.ndarray:
    with VideoReader(path) as reader:
        return np.stack([frame.rgb for frame in reader])


def test_clips_lie_in_the_voxceleb_layout_with_sound_and_disjoint_people(tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    paths = synth(
        SynthOptions(tmp_path / "data", identities=2, clips=2, seconds=0.2, size=64),
        progress=lambda _, done, total: calls.append((done, total)),
    )
    names = [str(path.relative_to(tmp_path / "data")) for path in paths]
    assert names == [
        "train/id00001#synth0#000000#000005.mp4", "train/id00001#synth1#000000#000005.mp4",
        "test/id00002#synth0#000000#000005.mp4", "test/id00002#synth1#000000#000005.mp4",
    ]  # fmt: skip
    assert sorted(path for path in (tmp_path / "data").rglob("*.*")) == sorted(paths)
    assert calls == [(done, 4) for done in range(5)]
    info = probe(paths[0])
    assert (info.width, info.height, info.rate, info.codec) == (64, 64, 25, "h264")
    assert info.audio_codec == "aac"
    assert len(frames(paths[0])) == 5


def test_the_same_seed_writes_the_same_pictures_however_many_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: COPIES)  # imports nothing again
    settings: dict = {"identities": 2, "clips": 1, "seconds": 0.12, "size": 48}
    alone = synth(SynthOptions(tmp_path / "a", seed=7, **settings))
    shared = synth(SynthOptions(tmp_path / "b", seed=7, workers=2, **settings))
    other = synth(SynthOptions(tmp_path / "c", seed=8, **settings))
    for one, two in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(frames(one), frames(two))
    assert np.abs(frames(alone[0]).astype(int) - frames(other[0])).mean() > 5


def test_unsteady_frame_times_are_kept(tmp_path: Path) -> None:
    clip = Clip(tmp_path / "phone.mp4", seed=1, identity=0, seconds=0.5, width=48, height=64,
                rate=Fraction(30), variable_rate=True)  # fmt: skip
    write_clip(clip)
    with VideoReader(clip.path) as reader:
        seconds = [frame.seconds for frame in reader]
    gaps = np.diff(seconds)
    assert len(seconds) == 15
    assert gaps.min() > 0
    assert np.ptp(gaps) > 0.004


def test_a_folder_in_use_is_left_alone_unless_told_otherwise(tmp_path: Path) -> None:
    settings: dict = {"identities": 1, "seconds": 0.1, "size": 32}
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "mine.txt").write_text("keep")
    old = tmp_path / "train" / "id00009#synth0#000000#000100.mp4"
    old.write_text("earlier")
    with pytest.raises(TalkheadError, match="not empty"):
        synth(SynthOptions(tmp_path, **settings))
    assert old.exists()
    synth(SynthOptions(tmp_path, overwrite=True, clips=1, **settings))
    left = sorted(path.name for path in (tmp_path / "train").iterdir())
    assert left == ["id00001#synth0#000000#000002.mp4", "mine.txt"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("identities", 0), ("clips", 0), ("seconds", 0), ("rate", 0), ("size", 8),
     ("size", 65), ("workers", 0), ("seed", -1)],
)  # fmt: skip
def test_a_bad_number_is_named(tmp_path: Path, name: str, value: int) -> None:
    settings: dict = {name: value}
    with pytest.raises(TalkheadError, match=rf"{name} .*{value}"):
        synth(SynthOptions(tmp_path / "out", **settings))
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(TalkheadError, match="is a file"):
        synth(SynthOptions(tmp_path / "out"))


def test_a_full_disk_is_one_sentence_and_leaves_no_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, samples: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(synth_module, "write_sound", full)
    with pytest.raises(TalkheadError, match="No space left on device"):
        synth(SynthOptions(tmp_path / "out", identities=1, seconds=0.1, size=32))
    assert not list((tmp_path / "out").rglob("*.mp4"))


def test_the_example_clips_are_what_their_script_renders(tmp_path: Path) -> None:
    examples = Path(__file__).parents[2] / "examples"
    for clip in runpy.run_path(str(examples / "make_driving.py"))["CLIPS"]:
        kept = examples / clip.path
        assert kept.stat().st_size < 600_000
        assert probe(kept).audio_codec == "aac"
        short = replace(clip, path=tmp_path / clip.path, seconds=0.04)  # both start neutral
        write_clip(short)
        with VideoReader(kept) as reader:
            first = next(iter(reader)).rgb
        assert np.abs(first.astype(float) - frames(short.path)[0]).mean() < 4
