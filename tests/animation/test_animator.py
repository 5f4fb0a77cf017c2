"""The whole path on a toy model: times, sound, sizes, layouts, every preset."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from media import frame_seconds, frames_of, make_clip, make_pictures, moving_picture, sound_packets
from miniatures import mini, mini_config, mini_preset
from rendering import CENTRED, settings

import talkhead
from talkhead.animation.animator import Animator, reenact
from talkhead.animation.portrait import load_portrait
from talkhead.animation.settings import RenderSettings
from talkhead.config import PRESETS
from talkhead.errors import TalkheadError
from talkhead.faces.finder import FaceFinder
from talkhead.inference.engine import Engine
from talkhead.io.image import read_image
from talkhead.structs import Frame
from talkhead.video import VideoReader


def test_times_and_sound_equal_the_drivers(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", pts=[0, 33, 66, 166, 200, 450], frames=6)
    # Uneven times on purpose: a fixed frame rate would move frames.
    report = Animator(engine)(portrait, driving, tmp_path / "out.mp4", CENTRED)
    assert report.frames == 6
    assert frame_seconds(tmp_path / "out.mp4") == frame_seconds(driving)
    assert sound_packets(tmp_path / "out.mp4") == sound_packets(driving)


def test_output_is_marked_as_synthetic(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=3)
    Animator(engine)(portrait, driving, tmp_path / "out.mp4", CENTRED)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert "ynthetic" in container.metadata["comment"]


def test_batch_size_does_not_change_the_pictures(
    toy_weights: Path, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=7)
    for size in (1, 4):
        engine = Engine.load(toy_weights, "cpu", batch_size=size)
        lossless = settings(codec="ffv1")
        Animator(engine)(portrait, driving, tmp_path / f"{size}.mkv", lossless)
    one, four = (frames_of(tmp_path / f"{size}.mkv").astype(int) for size in (1, 4))
    assert np.abs(one - four).max() <= 1


def test_trim_starts_at_zero_with_so_many_frames(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=50)
    report = Animator(engine)(
        portrait, driving, tmp_path / "out.mp4", settings(start=0.4, frames=10)
    )
    assert report.frames == 10
    seconds = frame_seconds(tmp_path / "out.mp4")
    assert seconds[0] == 0
    assert seconds[-1] - seconds[0] == frame_seconds(driving)[9]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_animates(name: str, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2, audio=False)
    engine = Engine(mini(mini_preset(name)), torch.device("cpu"), batch_size=2)
    report = Animator(engine)(portrait, driving, tmp_path / "out.mp4", CENTRED)
    assert report.frames == 2
    assert frames_of(tmp_path / "out.mp4").shape == (2, 80, 80, 3)  # the portrait's own size


def test_avd_motion_draws_the_disentangled_keypoints(portrait: Path, tmp_path: Path) -> None:
    model = mini(replace(mini_config("tpsmm"), avd=True))
    engine = Engine(model, torch.device("cpu"), batch_size=2)
    driving = make_clip(tmp_path / "drive.mkv", frames=3, size=(64, 64), codec="ffv1", audio=False)
    wanted = settings(motion="avd", codec="ffv1", size=64)
    report = Animator(engine)(portrait, driving, tmp_path / "out.mkv", wanted)
    assert (report.frames, report.anchor) == (3, None)
    source = load_portrait(portrait, engine, wanted, FaceFinder()).encoded
    keypoints = engine.detect(list(frames_of(driving)))
    expected = engine.render(source, engine.disentangle(source, keypoints))
    plain = engine.render(source, keypoints)
    found = frames_of(tmp_path / "out.mkv").astype(int)
    # Chroma is halved in the file, so pixels are near, not equal.
    assert np.abs(found - expected).mean() < 3 < np.abs(found - plain).mean()


def test_avd_motion_is_refused_where_weights_have_no_network_for_it(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    without = Engine(mini("tpsmm"), torch.device("cpu"))
    for each in (engine, without):
        with pytest.raises(TalkheadError, match=f"{each.family}.*no AVD network.*relative"):
            Animator(each)(portrait, driving, tmp_path / "out.mp4", settings(motion="avd"))
    assert list(tmp_path.iterdir()) == [driving]


def test_pasted_back_result_has_the_photos_size_and_corners(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    Animator(engine)(
        portrait, driving, tmp_path / "out.mkv", settings(paste_back=True, codec="ffv1")
    )
    result, photo = frames_of(tmp_path / "out.mkv"), read_image(portrait)
    assert result.shape[1:] == photo.shape
    assert np.abs(result[0, :, :4].astype(int) - photo[:, :4]).max() <= 2


def test_pixels_of_the_photo_that_do_not_move_are_not_touched(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    wanted = settings(paste_back=True, crop_source="20,10,40")
    Animator(engine)(portrait, driving, tmp_path / "out", wanted)  # PNGs: nothing is lost
    result, photo = frames_of(tmp_path / "out"), read_image(portrait)
    inside = np.zeros(photo.shape[:2], bool)
    inside[10:50, 20:60] = True
    assert all(np.array_equal(frame[~inside], photo[~inside]) for frame in result)


def test_a_photo_beyond_the_limit_is_reduced_with_a_sentence(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photo = make_pictures(tmp_path / "photos", count=1, size=(301, 151)) / "frame_1.png"
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    for limit, shape in ((1920, (150, 300)), (100, (50, 100))):
        wanted = settings(paste_back=True, max_side=limit)
        Animator(engine)(photo, driving, tmp_path / f"{limit}.mp4", wanted)
        assert frames_of(tmp_path / f"{limit}.mp4").shape == (2, *shape, 3)
    assert [record.getMessage() for record in caplog.records] == [
        "frame_1.png is 301x151; frames are made 100x50, see --max-side"
    ]


@pytest.mark.parametrize(
    ("wish", "side"),
    [({}, 80), ({"size": 64}, 64), ({"size": 32}, 32), ({"size": 130}, 130), ({"size": 99}, 100)],
)
def test_pictures_have_the_size_that_was_asked_for_or_the_sources_own(
    wish: dict[str, int], side: int, engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    Animator(engine)(portrait, driving, tmp_path / "a.gif", settings(**wish))
    beside = settings(layout="side-by-side", **wish)
    Animator(engine)(portrait, driving, tmp_path / "b.mp4", beside)
    assert frames_of(tmp_path / "a.gif").shape[1:] == (side, side, 3)
    assert frames_of(tmp_path / "b.mp4").shape[1:] == (side, 3 * side, 3)


def test_sizes_that_show_nothing_more_or_are_odd_are_told(
    engine: Engine, portrait: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    Animator(engine)(portrait, driving, tmp_path / "a.mp4", settings(size=80))
    assert not caplog.records
    Animator(engine)(portrait, driving, tmp_path / "b.mp4", settings(size=99))
    odd, small = (record.getMessage() for record in caplog.records)
    assert odd == "the size 99 is odd, which most video cannot be; it is made 100"
    assert "portrait.png: the crop of the face has only 80 pixels a side" in small


def test_the_published_picture_is_there_at_the_models_size(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mkv", frames=3, size=(64, 64), codec="ffv1", audio=False)
    wanted = settings(size=64, motion="absolute")
    Animator(engine)(portrait, driving, tmp_path / "out", wanted)
    source = load_portrait(portrait, engine, wanted, FaceFinder()).encoded
    expected = engine.render(source, engine.detect(list(frames_of(driving))))
    assert np.array_equal(frames_of(tmp_path / "out"), expected)


def test_strengths_reach_the_pictures_and_weights_without_parts_refuse_them(
    portrait: Path, tmp_path: Path
) -> None:
    folder = make_pictures(tmp_path / "frames", count=3)
    config = mini_config("codebook")
    keypoints = replace(config.keypoints, num_keypoints=16, landmarks=True)
    knowing = Engine(mini(replace(config, keypoints=keypoints)), torch.device("cpu"))
    found = []
    for strength in (1.0, 0.0):
        still = dict.fromkeys(("mouth", "eyes", "head"), strength)
        wish = settings(motion="absolute", codec="ffv1", size=64, **still)
        Animator(knowing)(portrait, folder, tmp_path / f"{strength}.mkv", wish)
        found.append(frames_of(tmp_path / f"{strength}.mkv").astype(int))
    moving, resting = found
    assert np.abs(resting - resting[:1]).max() <= 1  # nothing moves
    assert np.abs(moving - moving[:1]).max() > 5
    without = Engine(mini("fomm"), torch.device("cpu"))
    with pytest.raises(TalkheadError, match="leave out --mouth"):
        Animator(without)(portrait, folder, tmp_path / "out.mkv", settings(mouth=0.5))
    assert not (tmp_path / "out.mkv").exists()


def test_as_many_frames_are_held_of_a_long_video_as_of_a_short_one(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    iterate = VideoReader._iterate
    alive: list[weakref.ref[Frame]] = []
    peaks: list[int] = []

    def counted(reader: VideoReader) -> Iterator[Frame]:
        for frame in iterate(reader):
            alive.append(weakref.ref(frame))
            peaks[-1] = max(peaks[-1], sum(ref() is not None for ref in alive))
            yield frame

    monkeypatch.setattr(VideoReader, "_iterate", counted)
    for frames in (60, 180):
        peaks.append(0)
        driving = make_clip(tmp_path / f"{frames}.mp4", frames=frames, audio=False)
        Animator(engine)(portrait, driving, tmp_path / f"out{frames}.mp4", CENTRED)
        alive.clear()
    assert peaks[0] > 1
    assert peaks[1] <= peaks[0] + 2  # threads may be a frame further
    assert peaks[1] < 60


def test_several_sources_share_a_grid(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    Animator(engine)([portrait] * 3, driving, tmp_path / "out.mp4", settings(layout="grid"))
    assert frames_of(tmp_path / "out.mp4").shape == (2, 160, 160, 3)


def test_reenact_draws_what_it_is_told() -> None:
    engine = Engine(mini(replace(mini_config("codebook"), blend_source=True)), torch.device("cpu"))
    source, *frames = [moving_picture(n, 64, 64) for n in (30, 0, 5, 9, 14)]
    found = engine.detect(frames)
    relative = list(reenact(source, frames, engine))
    encoded = engine.encode(source, 1.0)
    transfer = engine.transfer("relative", encoded.keypoints, found[:1])
    assert np.array_equal(relative, engine.render(encoded, transfer(found)))
    absolute = list(reenact(source, frames, engine, "absolute", sharpness=0.0))
    assert np.array_equal(absolute, engine.render(engine.encode(source), found))
    assert not np.array_equal(relative, absolute)


def test_a_broadcasts_clock_is_taken_off_pictures_and_sound(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    options = {"output_ts_offset": "3600"}
    driving = make_clip(tmp_path / "drive.ts", frames=10, audio_codec="mp2", options=options)
    assert frame_seconds(driving)[0] >= 3600
    Animator(engine)(portrait, driving, tmp_path / "out.mkv", CENTRED)
    early = sound_packets(driving)[0] - frame_seconds(driving)[0]
    kept = sound_packets(tmp_path / "out.mkv")[0] - frame_seconds(tmp_path / "out.mkv")[0]
    assert abs(early - kept) < 0.002  # Matroska's clock ticks in milliseconds
    assert 0 <= frame_seconds(tmp_path / "out.mkv")[0] < 0.1


def test_names_of_version_0_1_lead_to_the_same_classes() -> None:
    assert talkhead.Settings is talkhead.RenderSettings is RenderSettings
    assert talkhead.Report is talkhead.RenderReport
    assert {"Settings", "Report"}.isdisjoint(dir(talkhead))
