"""A few frames ahead of the render, single pictures of a camera, and renders that are stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from media import frame_seconds, frames_of, make_clip, moving_picture, sound_packets
from miniatures import mini, mini_config
from rendering import settings as centred

from talkhead.animation import preview
from talkhead.animation.animator import Animator
from talkhead.animation.driving import open_driving
from talkhead.animation.found_faces import faces_of_driving, faces_of_portrait
from talkhead.animation.live_portrait import LivePortrait
from talkhead.animation.portrait import load_portrait
from talkhead.animation.preview import SEARCHED, Preview, sample_frames, spread, with_crops
from talkhead.animation.settings import RenderSettings
from talkhead.errors import Stopped, TalkheadError
from talkhead.faces.choice import NoFaceError
from talkhead.faces.finder import FaceFinder
from talkhead.faces.framing import face_crop
from talkhead.inference.engine import Engine
from talkhead.io.image import from_jpeg, to_jpeg
from talkhead.structs import Crop, Face, Frame
from talkhead.video import VideoReader

CPU = torch.device("cpu")
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    "settings",
    [
        centred(motion="absolute"),
        centred(anchor="first"),
        centred(anchor="3"),
        centred(motion="absolute", layout="side-by-side", size=32),
        centred(motion="absolute", paste_back=True),
        centred(motion="absolute", start=0.2),
    ],
)
def test_preview_shows_frames_of_the_render(
    engine: Engine, portrait: Path, tmp_path: Path, settings: RenderSettings
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=20)
    drawn = list(Preview(engine, 4)(portrait, driving, settings))
    lossless = {**settings.__dict__, "codec": "ffv1"}
    Animator(engine)(portrait, driving, tmp_path / "out.mkv", RenderSettings(**lossless))
    rendered = frames_of(tmp_path / "out.mkv")
    numbers = spread(len(rendered), 4)
    assert len(drawn) == 4
    for frame, number in zip(drawn, numbers, strict=True):
        # Batches of another size may round a level differently.
        assert np.abs(frame.rgb.astype(int) - rendered[number].astype(int)).max() <= 1
        assert frame.seconds == pytest.approx(number / 25 + (settings.start or 0))


def test_a_change_of_settings_finds_no_keypoints_again(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=8)
    show = Preview(engine, 2)
    first = [frame.rgb for frame in show(portrait, driving, centred(anchor="first"))]
    monkeypatch.setattr(engine, "detect", None)  # would fail when called
    monkeypatch.setattr(engine, "encode", None)
    second = [frame.rgb for frame in show(portrait, driving, centred(motion="absolute"))]
    assert len(first) == len(second) == 2


def test_a_replaced_driver_is_read_again(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=8)
    show = Preview(engine, 4)
    assert len(list(show(portrait, driving, centred()))) == 4
    make_clip(driving, frames=2)
    assert len(list(show(portrait, driving, centred()))) == 2


def test_an_anchor_that_does_not_exist_is_said(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=8)
    with pytest.raises(TalkheadError, match="the anchor is frame 8"):
        list(Preview(engine, 2)(portrait, driving, centred(anchor="8")))


def test_a_long_video_that_was_cut_off_is_shown_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "NEAR", 10)
    driving = make_clip(tmp_path / "drive.mp4", frames=60, audio=False)
    whole = [frame.pts for frame in sample_frames(driving, RenderSettings(), 6)]
    opened = preview.open_driving

    def cut(path: Path, settings: RenderSettings) -> VideoReader:
        if (settings.start or 0) > 1.2:
            raise TalkheadError("nothing is selected")
        return opened(path, settings)

    monkeypatch.setattr(preview, "open_driving", cut)
    there = [frame.pts for frame in sample_frames(driving, RenderSettings(), 6)]
    assert there == whole[: len(there)]
    assert 1 < len(there) < len(whole)


def test_a_driver_without_a_face_is_said(engine: Engine, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=4)
    with pytest.raises(NoFaceError, match="--crop-driving"):
        list(Preview(engine, 2)(portrait, driving, centred(crop_driving="auto")))


def test_long_videos_are_sought_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=40)
    near = [frame.pts for frame in sample_frames(driving, RenderSettings(start=0.4), 5)]
    monkeypatch.setattr(preview, "NEAR", 10)
    far = [frame.pts for frame in sample_frames(driving, RenderSettings(start=0.4), 5)]
    assert far == near
    assert len(near) == 5


def test_picked_frames_are_those_of_the_whole_video(tmp_path: Path) -> None:
    reader = VideoReader(make_clip(tmp_path / "drive.mp4", frames=10), start=0.08)
    every = list(reader)
    picked = list(reader.pick([0, 3, 7, 99]))
    assert [frame.pts for frame in picked] == [every[number].pts for number in (0, 3, 7)]
    assert np.array_equal(picked[1].rgb, every[3].rgb)


def stop_at(wanted: str, frames: int) -> Callable[[str, int, int | None], None]:
    def progress(stage: str, done: int, _: int | None) -> None:
        if stage == wanted and done >= frames:
            raise Stopped("enough")

    return progress


def test_a_stopped_render_keeps_what_is_drawn(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=50)
    render = Animator(engine, stop_at("rendering", 8))
    report = render(portrait, driving, tmp_path / "out.mp4", centred())
    assert (report.frames, report.stopped) == (8, True)
    assert frame_seconds(tmp_path / "out.mp4") == frame_seconds(driving)[:8]
    assert sound_packets(tmp_path / "out.mp4")[-1] < 8 / 25 < sound_packets(driving)[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive.mp4", "out.mp4"]


def test_a_render_stopped_before_its_first_frame_leaves_nothing(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=12)
    render = Animator(engine, stop_at("reading motion", 4))
    with pytest.raises(Stopped):
        render(portrait, driving, tmp_path / "out.mp4", centred())
    assert [path.name for path in tmp_path.iterdir()] == ["drive.mp4"]


def test_a_live_portrait_starts_from_its_own_pose(engine: Engine, portrait: Path) -> None:
    live = LivePortrait(engine, portrait, centred())
    first = live(moving_picture(0), 0)
    still = live(moving_picture(0), 40)
    moved = live(moving_picture(9), 80)
    assert first is not None
    assert np.array_equal(first, still)
    assert not np.array_equal(first, moved)
    live.measure_anew()
    assert np.array_equal(live(moving_picture(9), 120), first)


def test_a_live_portrait_waits_for_a_face(engine: Engine, portrait: Path) -> None:
    assert (
        LivePortrait(engine, portrait, RenderSettings(crop_source="none"))(moving_picture(0), 0)
        is None
    )


def test_a_live_portrait_takes_no_anchor_of_later(engine: Engine, portrait: Path) -> None:
    with pytest.raises(TalkheadError, match="first frame"):
        LivePortrait(engine, portrait, centred(anchor="3"))


def test_found_faces_are_framed_as_a_render_frames_them(engine: Engine) -> None:
    path, finder = EXAMPLES / "portrait.jpg", FaceFinder()
    found = faces_of_portrait(path, RenderSettings(), finder)
    assert found.chosen == 1
    assert found.crops == (load_portrait(path, engine, RenderSettings(), finder).crop,)


def face_at(x: float, side: float) -> Face:
    points = np.array([[x, 10, 0], [x + side, 10 + side, 0]], np.float32)
    return Face(np.resize(points, (478, 3)), 1.0)


class Pretended(FaceFinder):
    """Finds two faces, from the second look on."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def find(self, rgb: np.ndarray, every: bool = False) -> list[Face]:
        self.seen.append(rgb.mean())
        return [face_at(60, 30), face_at(5, 20)] if len(self.seen) > 1 else []


def test_faces_are_counted_from_the_left(tmp_path: Path) -> None:
    finder = Pretended()
    driving = make_clip(tmp_path / "drive.mp4", frames=40)
    found = faces_of_driving(driving, RenderSettings(), finder)
    assert [face.box[0] for face in found.faces] == [5, 60]
    assert found.chosen == 2
    assert found.picture.mean() == finder.seen[1]  # the first with a face


def test_crops_hold_while_the_face_stays_inside_and_wait_for_the_first() -> None:
    frames = [Frame(moving_picture(i, 320, 240), i, Fraction(1)) for i in range(8)]
    found = list(with_crops(frames, RenderSettings(), Pretended(), every=2))
    assert [frame.pts for frame, _ in found] == list(range(8))
    assert len({framed.crop for _, framed in found}) == 1
    assert found[0][1].crop == face_crop(face_at(60, 30), 320, 240)
    assert [framed.present for _, framed in found] == [False] * 2 + [True] * 6


def test_the_portrait_rests_where_nobody_is_there(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Comes(Pretended):
        def find(self, rgb: np.ndarray, every: bool = False) -> list[Face]:
            self.seen.append(0)
            return [face_at(60, 30)] if len(self.seen) == 2 else []

    finder, detect = Comes(), engine.detect
    seen: list[np.ndarray] = []
    monkeypatch.setattr(engine, "detect", lambda some, *rest: (seen.extend(some), detect(some))[1])
    driving = make_clip(tmp_path / "drive.mp4", frames=40)
    settings = RenderSettings(crop_source="none", anchor="first")
    list(Preview(engine, 3, lambda _: finder)(portrait, driving, settings))
    assert len(seen) > 6
    assert all(np.array_equal(seen[0], each) for each in seen[:SEARCHED])  # before it comes
    last = seen[2 * SEARCHED - 1]
    assert all(np.array_equal(last, each) for each in seen[2 * SEARCHED :])  # after it went
    assert not np.array_equal(seen[SEARCHED], last)


def test_a_preview_is_as_sharp_as_the_render(portrait: Path, tmp_path: Path) -> None:
    blending = Engine(mini(replace(mini_config("codebook"), blend_source=True)), CPU)
    driving = make_clip(tmp_path / "drive.mp4", frames=8)
    show, render = Preview(blending, 2), Animator(blending)
    drawn = []
    for share in (0.0, 1.0):
        settings = centred(sharpness=share, anchor="first", codec="ffv1")
        drawn.append([frame.rgb for frame in show(portrait, driving, settings)])
        render(portrait, driving, tmp_path / f"{share}.mkv", settings)
        frames = frames_of(tmp_path / f"{share}.mkv")[spread(8, 2)]
        assert np.abs(frames.astype(int) - drawn[-1]).mean() < 1
    assert np.abs(drawn[0][1].astype(int) - drawn[1][1]).mean() > 5


def test_a_picture_without_faces_offers_its_centre(portrait: Path) -> None:
    found = faces_of_portrait(portrait, RenderSettings(), FaceFinder())
    assert (found.chosen, found.faces) == (None, ())
    assert found.crops == (Crop(8, 0, 80),)


def test_one_picture_is_no_driver(portrait: Path) -> None:
    with pytest.raises(TalkheadError, match="is one picture"):
        faces_of_driving(portrait, RenderSettings(), FaceFinder())


def test_a_folder_of_one_picture_is_no_driver(portrait: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "1.png").write_bytes(portrait.read_bytes())
    with pytest.raises(TalkheadError, match="holds one picture, which does not move"):
        open_driving(tmp_path / "frames", RenderSettings())


def test_a_camera_picture_survives_the_way() -> None:
    rgb = moving_picture(3)
    assert np.abs(from_jpeg(to_jpeg(rgb, 95)).astype(int) - rgb).mean() < 3


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0broken"])
def test_a_damaged_camera_picture_is_said(data: bytes) -> None:
    with pytest.raises(TalkheadError, match="picture of the camera"):
        from_jpeg(data)
