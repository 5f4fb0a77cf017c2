"""The whole path on a toy model: times, sound, anchors, layouts, resuming."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from media import frame_seconds, make_clip, make_pictures, sound_packets
from miniatures import mini, mini_config, mini_preset

import talkhead
from talkhead.animation.animator import Animator, reenact
from talkhead.animation.driving import VideoMotion, find_anchor
from talkhead.animation.fingerprint import fingerprint
from talkhead.animation.portrait import load_portrait
from talkhead.animation.settings import RenderSettings
from talkhead.config import PRESETS
from talkhead.errors import TalkheadError
from talkhead.faces.finder import FaceFinder
from talkhead.inference.engine import Engine
from talkhead.io.image import read_image
from talkhead.motion.template import MotionTemplate, load_motion
from talkhead.structs import Keypoints
from talkhead.video import VideoReader, VideoWriter
from talkhead.video.pictures import picture_files
from talkhead.video.sound import SoundFeed

CENTRED = RenderSettings(crop_source="none", crop_driving="none")


def settings(**changes: object) -> RenderSettings:
    return RenderSettings(**{"crop_source": "none", "crop_driving": "none", **changes})  # type: ignore[arg-type]


def frames_of(path: Path) -> np.ndarray:
    with VideoReader(path) as reader:
        return np.stack([frame.rgb for frame in reader])


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


def test_interrupted_render_goes_on_where_it_was(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=12)
    whole = tmp_path / "whole.mkv"
    lossless = settings(codec="ffv1")
    Animator(engine)(portrait, driving, whole, lossless)

    output = tmp_path / "out.mkv"
    real = VideoWriter.write

    def short_segments(self: VideoWriter, rgb: np.ndarray, pts: int) -> None:
        self._segment_frames = 4
        real(self, rgb, pts)

    def interrupted(self: VideoWriter, rgb: np.ndarray, pts: int) -> None:
        if self.frames_done == 8:
            raise KeyboardInterrupt
        short_segments(self, rgb, pts)

    monkeypatch.setattr(VideoWriter, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Animator(engine)(portrait, driving, output, lossless)
    assert not output.exists()

    monkeypatch.setattr(VideoWriter, "write", short_segments)
    report = Animator(engine)(portrait, driving, output, lossless)
    assert report.resumed == 8
    assert report.frames == 12
    assert frame_seconds(output) == frame_seconds(whole)
    assert np.array_equal(frames_of(output), frames_of(whole))


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


def test_numbered_anchor_is_that_frame(engine: Engine, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=6)
    source = make_clip(tmp_path / "other.mp4", frames=1, size=(80, 80), audio=False)
    photo = frames_of(source)[0][:64, :64]
    found = engine.encode(photo)
    driver = VideoMotion(driving, engine, CENTRED, FaceFinder())
    number, keypoints = find_anchor(driver, found.keypoints, settings(anchor="4"))
    assert number == 4
    assert keypoints is not None
    assert np.allclose(keypoints.value, driver.motion().keypoints.value[4:5])


def test_anchor_beyond_the_end_says_how_many_frames_there_are(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=5)
    with pytest.raises(TalkheadError, match="5 frames"):
        Animator(engine)(portrait, driving, tmp_path / "out.mp4", settings(anchor="5"))


def test_recorded_motion_gives_the_same_video_without_the_pictures(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=6, audio=False)
    lossless = settings(codec="ffv1")
    render = Animator(engine)
    cache = tmp_path / "motion.safetensors"
    render(portrait, driving, tmp_path / "a.mkv", lossless, motion_out=cache)
    render(portrait, load_motion(cache), tmp_path / "b.mkv", lossless)
    assert np.array_equal(frames_of(tmp_path / "a.mkv"), frames_of(tmp_path / "b.mkv"))
    assert frame_seconds(tmp_path / "a.mkv") == frame_seconds(tmp_path / "b.mkv")


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
    assert odd == "the size 99 is odd, which video is not; it is made 100"
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


def test_work_is_not_gone_on_with_at_another_size(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    folder = make_pictures(tmp_path / "frames", count=3)
    wishes = [settings(size=size) for size in (64, 80)] + [
        settings(paste_back=True, max_side=side) for side in (64, 80)
    ]
    assert len({fingerprint(engine, [portrait], folder, wish) for wish in wishes}) == 4


def test_work_is_not_gone_on_with_at_another_strength(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    folder = make_pictures(tmp_path / "frames", count=3)
    wishes = [settings(**{part: 0.5}) for part in ("mouth", "eyes", "head", "gaze")]
    prints = {fingerprint(engine, [portrait], folder, wish) for wish in (CENTRED, *wishes)}
    assert len(prints) == 5


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


def test_several_sources_share_a_grid(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    Animator(engine)([portrait] * 3, driving, tmp_path / "out.mp4", settings(layout="grid"))
    assert frames_of(tmp_path / "out.mp4").shape == (2, 160, 160, 3)


@pytest.mark.parametrize("driving", ["frames", "frames/*.png", "frames/frame_%d.png"])
def test_folder_or_pattern_of_pictures_drives(
    driving: str, engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    make_pictures(tmp_path / "frames", count=5)
    report = Animator(engine)(portrait, tmp_path / driving, tmp_path / "out.mp4", CENTRED)
    assert report.frames == 5


def test_work_is_not_gone_on_with_once_what_drives_it_has_changed(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    folder = make_pictures(tmp_path / "frames", count=3)
    before = fingerprint(engine, [portrait], folder, CENTRED)
    assert fingerprint(engine, [portrait], folder, CENTRED) == before
    (folder / "frame_2.png").write_bytes(portrait.read_bytes())  # in place: the folder is as it was
    assert fingerprint(engine, [portrait], folder, CENTRED) != before

    keypoints = Keypoints(torch.zeros(2, 3, 2), torch.ones(2, 3, 2, 2))
    facts = (Fraction(1, 25), engine.weights, "drive.mp4")
    recorded = MotionTemplate(keypoints, (0, 1), *facts)
    others = (
        MotionTemplate(replace(keypoints, value=keypoints.value + 1), (0, 1), *facts),
        MotionTemplate(replace(keypoints, jacobian=None), (0, 1), *facts),
        MotionTemplate(keypoints, (0, 2), *facts),
    )
    prints = [fingerprint(engine, [portrait], m, CENTRED) for m in (recorded, *others)]
    assert len(set(prints)) == 4


@pytest.mark.parametrize("output", ["out", "f_%03d.png"])
def test_pictures_are_replaced_only_on_demand_and_then_all_of_them(
    output: str, engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_pictures(tmp_path / "frames", count=4)
    path = tmp_path / output
    Animator(engine)(portrait, driving, path, CENTRED)
    first = {file: file.read_bytes() for file in picture_files(path)}
    shorter = settings(frames=2, size=32)
    with pytest.raises(TalkheadError, match="exists; pass --overwrite"):
        Animator(engine)(portrait, driving, path, shorter)
    assert {file: file.read_bytes() for file in picture_files(path)} == first
    Animator(engine)(portrait, driving, path, shorter, overwrite=True)
    assert picture_files(path) == list(first)[:2]
    assert frames_of(path).shape == (2, 32, 32, 3)


def test_pictures_that_drive_are_not_replaced(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    folder = make_pictures(tmp_path / "frames", count=2)
    with pytest.raises(TalkheadError, match="also an input"):
        Animator(engine)(portrait, folder, folder / "frame_%d.png", CENTRED, overwrite=True)


def test_driver_without_a_face_says_what_to_do(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=5)
    with pytest.raises(TalkheadError, match="--crop-driving"):
        Animator(engine)(portrait, driving, tmp_path / "out.mp4", settings(crop_driving="auto"))
    assert list(tmp_path.iterdir()) == [driving]


def test_existing_output_is_kept(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    output = tmp_path / "out.mp4"
    output.write_bytes(b"precious")
    with pytest.raises(TalkheadError, match="--overwrite"):
        Animator(engine)(portrait, driving, output, CENTRED)
    assert output.read_bytes() == b"precious"
    Animator(engine)(portrait, driving, output, CENTRED, overwrite=True)
    assert len(frame_seconds(output)) == 2


def test_recorded_motion_replaces_nothing_unasked(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    photo = tmp_path / "photo.png"
    photo.write_bytes(portrait.read_bytes())
    taken = tmp_path / "other.safetensors"
    taken.write_bytes(b"precious")
    render, output = Animator(engine), tmp_path / "out.mp4"
    with pytest.raises(TalkheadError, match="also an input"):
        render(photo, driving, output, CENTRED, motion_out=photo, overwrite=True)
    with pytest.raises(TalkheadError, match="--overwrite"):
        render(photo, driving, output, CENTRED, motion_out=taken)
    assert photo.read_bytes() == portrait.read_bytes()
    assert taken.read_bytes() == b"precious"
    render(photo, driving, output, CENTRED, motion_out=taken, overwrite=True)
    assert len(load_motion(taken).pts) == 2


def test_output_may_not_be_an_input(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    with pytest.raises(TalkheadError, match="also an input"):
        Animator(engine)(portrait, driving, driving, CENTRED, overwrite=True)


def test_reenact_yields_one_picture_per_frame(engine: Engine) -> None:
    frames = [np.full((64, 64, 3), level, np.uint8) for level in range(0, 250, 50)]
    results = list(reenact(frames[0], frames, engine))
    assert [result.shape for result in results] == [(64, 64, 3)] * 5


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


def test_motion_recorded_of_a_part_begins_at_zero_and_is_taken_whole(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=20)
    part = settings(start=0.4, frames=5)
    motion = tmp_path / "m.safetensors"
    Animator(engine)(portrait, driving, tmp_path / "a.mp4", part, motion_out=motion)
    Animator(engine)(portrait, load_motion(motion), tmp_path / "b.mp4", CENTRED)
    assert frame_seconds(tmp_path / "b.mp4") == frame_seconds(tmp_path / "a.mp4")
    assert frame_seconds(tmp_path / "b.mp4")[0] == 0
    with pytest.raises(TalkheadError, match="taken whole"):
        Animator(engine)(portrait, load_motion(motion), tmp_path / "c.mp4", part)


def test_a_driver_that_has_changed_is_read_anew(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    render = Animator(engine)
    for frames in (4, 3):
        driving = make_clip(tmp_path / "drive.mp4", frames=frames)
        assert render(portrait, driving, tmp_path / f"{frames}.mp4", CENTRED).frames == frames


def test_what_cannot_be_muxed_keeps_its_frames_for_a_render_without_sound(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=6, audio_tracks=2)

    def fail(self: SoundFeed) -> Iterator[av.Packet]:
        raise av.ArgumentError(22, "Invalid argument")
        yield

    with monkeypatch.context() as broken:
        broken.setattr(SoundFeed, "packets", fail)
        with pytest.raises(
            TalkheadError, match="frames are kept; the same command with --no-sound"
        ):
            Animator(engine)(portrait, driving, tmp_path / "out.mp4", CENTRED)
    report = Animator(engine)(portrait, driving, tmp_path / "out.mp4", settings(sound=False))
    assert (report.resumed, report.frames, report.sound_track) == (6, 6, None)
    with monkeypatch.context() as broken:
        broken.setattr(SoundFeed, "packets", fail)
        with pytest.raises(TalkheadError):
            Animator(engine)(portrait, driving, tmp_path / "b.mp4", CENTRED)
    report = Animator(engine)(portrait, driving, tmp_path / "b.mp4", settings(track=1))
    assert (report.resumed, report.sound_track, report.video_track) == (6, 1, 0)


def test_another_video_track_is_other_work(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=3)
    works = {
        fingerprint(engine, [portrait], driving, settings(video_track=track))
        for track in (None, 0, 1)
    }
    assert len(works) == 3


@pytest.mark.parametrize("wish", [{"motion": "absolute"}, {"anchor": "first"}, {}])
def test_keypoints_are_found_once_for_all_renders(
    engine: Engine,
    portrait: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wish: dict[str, str],
) -> None:
    looked: list[int] = []
    detect = Engine.detect
    monkeypatch.setattr(
        Engine, "detect", lambda self, found: looked.append(len(found)) or detect(self, found)
    )
    driving = make_clip(tmp_path / "drive.mp4", frames=6)
    render = Animator(engine)
    for name in ("a", "b"):
        render(portrait, driving, tmp_path / f"{name}.mp4", settings(**wish))
    assert sum(looked) == 6 + (wish == {"anchor": "first"})


def test_each_portrait_of_a_grid_moves_from_its_own_anchor(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mkv", frames=6, size=(64, 64), codec="ffv1", audio=False)
    pictures = make_pictures(tmp_path / "photos", count=2, size=(64, 64))
    portraits = [pictures / "frame_1.png", pictures / "frame_2.png"]
    alone = settings(codec="ffv1")
    render = Animator(engine)
    anchors = [render(p, driving, tmp_path / f"{p.stem}.mkv", alone).anchor for p in portraits]
    assert anchors[0] != anchors[1]
    render(portraits, driving, tmp_path / "grid.mkv", replace(alone, layout="grid"))
    grid = frames_of(tmp_path / "grid.mkv").astype(int)
    cells = grid[:, :64, 64:], grid[:, 64:, :64]
    for cell, each in zip(cells, portraits, strict=True):
        assert np.abs(cell - frames_of(tmp_path / f"{each.stem}.mkv")).max() <= 1


def test_what_cannot_be_written_is_told_before_the_driver_is_read(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the driver was read")

    monkeypatch.setattr(Engine, "detect", refuse)
    driving = make_clip(tmp_path / "drive.mp4", frames=3)
    for name, wish in (("a.avi", {}), ("a.mp4", {"codec": "prores"}), ("a.mp4", {"track": 3})):
        with pytest.raises(TalkheadError):
            Animator(engine)(portrait, driving, tmp_path / name, settings(**wish))
    assert list(tmp_path.iterdir()) == [driving]


def test_motion_is_kept_only_of_what_was_rendered(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=4)
    call = (portrait, driving, tmp_path / "out.mp4", CENTRED)
    motion = tmp_path / "m.safetensors"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VideoWriter, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Animator(engine)(*call, motion_out=motion)
    assert not motion.exists()
    Animator(engine)(*call, motion_out=motion)  # the same call again goes on
    assert len(load_motion(motion).pts) == 4
    with pytest.raises(TalkheadError, match="is also"):
        Animator(engine)(*call, motion_out=tmp_path / "out.mp4", overwrite=True)


def test_names_of_version_0_1_lead_to_the_same_classes() -> None:
    assert talkhead.Settings is talkhead.RenderSettings is RenderSettings
    assert talkhead.Report is talkhead.RenderReport
    assert {"Settings", "Report"}.isdisjoint(dir(talkhead))
