"""Outputs: what is there already is kept, links are followed, and no input is written over."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from media import frame_seconds, make_clip, make_pictures, moving_picture, tree
from PIL import Image
from rendering import CENTRED
from writing import RATE, interrupt, write

from talkhead.animation.animator import Animator
from talkhead.animation.paths import check_output
from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.motion.template import load_motion
from talkhead.video import StreamWriter, VideoWriter
from talkhead.video.pictures import picture_files


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ("out.mp4", "out.mp4"),
        ("out.gif", "out.gif"),
        ("out", "out/000000.png"),
        ("sub/%06d.png", "sub/000000.png"),
        ("f_%03d.png", "f_000.png"),
    ],
)
def test_what_appears_during_a_render_is_kept(tmp_path: Path, output: str, name: str) -> None:
    appeared = tmp_path / name
    writer = VideoWriter(tmp_path / output, time_base=RATE)
    writer.write(moving_picture(0), 0)
    appeared.parent.mkdir(exist_ok=True)
    appeared.write_bytes(b"precious")
    with pytest.raises(TalkheadError, match=r"exists.*--overwrite"):
        writer.finish()
    writer.abandon()
    assert appeared.read_bytes() == b"precious"
    appeared.unlink()
    with VideoWriter(tmp_path / output, time_base=RATE) as writer:
        assert writer.frames_done == 1  # nothing of the work is lost


def test_a_growing_output_does_not_replace_what_has_just_appeared(tmp_path: Path) -> None:
    path = tmp_path / "live.mkv"
    path.write_bytes(b"precious")
    with pytest.raises(TalkheadError, match="was kept"):
        StreamWriter(path, time_base=RATE)
    assert path.read_bytes() == b"precious"
    with StreamWriter(path, time_base=RATE, overwrite=True) as writer:
        writer.write(moving_picture(0), 0)
    assert len(frame_seconds(path)) == 1


def test_a_growing_output_that_nobody_saw_is_not_left(tmp_path: Path) -> None:
    new, old = tmp_path / "new.mkv", tmp_path / "old.mkv"
    old.write_bytes(b"precious")
    for path in (new, old):
        with pytest.raises(KeyError), StreamWriter(path, time_base=RATE, overwrite=True):
            raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["old.mkv"]


def test_the_root_of_a_disk_is_no_output() -> None:
    with pytest.raises(TalkheadError, match="/ is no place for an output"):
        VideoWriter(Path("/"), time_base=RATE)


def test_the_current_folder_takes_numbered_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "notes.txt").write_text("precious")
    monkeypatch.chdir(tmp_path / "here")
    write(Path(), frames=2)
    names = sorted(path.name for path in Path().iterdir())
    assert names == ["000000.png", "000001.png", "notes.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize("link", [os.link, os.symlink])
@pytest.mark.parametrize("what", ["drive.mp4", "photo.png", "toy.safetensors"])
def test_no_input_is_written_over_by_any_of_its_names(
    engine: Engine, portrait: Path, toy_weights: Path, tmp_path: Path, what: str, link: object
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    photo, weights = tmp_path / "photo.png", tmp_path / "toy.safetensors"
    photo.write_bytes(portrait.read_bytes())
    weights.write_bytes(toy_weights.read_bytes())
    render = Animator(Engine.load(weights, device="cpu"))
    before = tree(tmp_path)
    other = tmp_path / f"7{Path(what).suffix}"
    link(tmp_path / what, other)  # type: ignore[operator]
    output = tmp_path / ("%d.png" if other.suffix == ".png" else "7.mp4")
    motion = other if other.suffix == ".safetensors" else None
    with pytest.raises(TalkheadError, match="also an input"):
        render(photo, driving, output, CENTRED, motion_out=motion, overwrite=True)
    other.unlink()
    assert tree(tmp_path) == before


def test_a_link_as_output_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.mp4"
    link.symlink_to("disk/real.mp4")
    write(link)
    assert link.is_symlink()
    assert len(frame_seconds(tmp_path / "disk" / "real.mp4")) == 3
    with pytest.raises(TalkheadError, match="exists"):
        write(link, 2)
    write(link, 2, overwrite=True)
    assert link.is_symlink()
    assert len(frame_seconds(tmp_path / "disk" / "real.mp4")) == 2


def test_links_in_a_circle_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("b.mp4")
    (tmp_path / "b.mp4").symlink_to("a.mp4")
    with pytest.raises(TalkheadError, match="in a circle"):
        write(tmp_path / "a.mp4")


def test_a_linked_folder_of_pictures_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("disk.v2")  # which is not there yet
    write(tmp_path / "out")
    write(tmp_path / "out", 2, overwrite=True)
    write(tmp_path / "out" / "%06d.png", 1, overwrite=True)
    assert (tmp_path / "out").is_symlink()
    assert len(picture_files(tmp_path / "disk.v2")) == 1
    assert {file.name for file in tmp_path.iterdir()} == {"out", "disk.v2"}


@pytest.mark.parametrize("name", ["x" * 246 + ".mp4", "顔" * 82 + ".gif", "n" * 250])
def test_the_longest_names_are_written_and_gone_on_with(tmp_path: Path, name: str) -> None:
    interrupt(tmp_path / name, 2)
    write(tmp_path / name, 3)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_folder_called_like_a_video_is_told_before_rendering(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(TalkheadError, match=r"out\.mp4 is a folder"):
        Animator(engine)(portrait, driving, tmp_path / "out.mp4", CENTRED, overwrite=True)


@pytest.mark.parametrize("output", ["pipe.mp4", "/dev/null.mp4"])
def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path, output: str) -> None:
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)
    with pytest.raises(TalkheadError, match="no regular file"):
        write(path, overwrite=True)
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_an_empty_folder_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out")
    assert len(picture_files(tmp_path / "out")) == 3


@pytest.mark.parametrize("output", ["out", "out/%06d.png", "out/f_%d.png"])
def test_overwriting_pictures_takes_our_frames_and_nobody_elses(
    tmp_path: Path, output: str
) -> None:
    path = tmp_path / output
    if "f_" in output:
        path.parent.mkdir()
    write(path, 4)
    holiday = tmp_path / "out" / "holiday.png"
    Image.fromarray(moving_picture(9)).save(holiday)
    (tmp_path / "out" / "notes.txt").write_text("precious")
    write(path, 2, overwrite=True)
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"holiday.png", "notes.txt"} < names
    assert len(names) == 2 + 2
    mine = tmp_path / "out" / ("f_7.png" if "f_" in output else "000007.png")
    Image.fromarray(moving_picture(9)).save(mine)
    before = tree(tmp_path / "out")
    with pytest.raises(TalkheadError, match="was not written by talkhead"):
        write(path, 2, overwrite=True)
    assert tree(tmp_path / "out") == before


def test_a_folder_of_frames_is_replaced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "out", 4)
    before = tree(tmp_path / "out")
    rename = os.rename

    def fail(old: Path, new: Path) -> None:
        if old.name == "pictures":
            raise OSError(5, "Input/output error")
        rename(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", fail)
        with pytest.raises(TalkheadError, match="could not be written"):
            write(tmp_path / "out", 2, overwrite=True)
    assert tree(tmp_path / "out") == before
    write(tmp_path / "out", 2, overwrite=True)
    assert len(tree(tmp_path / "out")) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_file_in_place_of_the_folder_of_pictures_is_kept(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"precious")
    with pytest.raises(TalkheadError, match="is a file"):
        write(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").read_bytes() == b"precious"


def test_two_renders_with_one_motion_file_keep_the_first(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=3)
    motion = tmp_path / "m.safetensors"
    finish = VideoWriter.finish

    def another(self: VideoWriter) -> None:
        finish(self)
        motion.write_bytes(b"precious")

    monkeypatch.setattr(VideoWriter, "finish", another)
    with pytest.raises(TalkheadError, match="was kept"):
        Animator(engine)(portrait, driving, tmp_path / "a.mp4", CENTRED, motion_out=motion)
    assert motion.read_bytes() == b"precious"
    Animator(engine)(
        portrait, driving, tmp_path / "b.mp4", CENTRED, motion_out=motion, overwrite=True
    )
    motion.write_bytes(motion.read_bytes())
    assert {file.name for file in tmp_path.iterdir()} == {
        *("drive.mp4", "a.mp4", "b.mp4", "m.safetensors")
    }


def test_addresses_get_a_sentence_of_their_own(portrait: Path, tmp_path: Path) -> None:
    for address in ("https://example.org/a.mp4", "rtsp://camera/1", "file:///etc/passwd"):
        with pytest.raises(TalkheadError, match=r"is an address.*download"):
            check_output(tmp_path / "out.mp4", [portrait, Path(address)], overwrite=False)
        with pytest.raises(TalkheadError, match="is an address"):
            check_output(Path(address), [portrait], overwrite=False)


def test_pictures_that_are_replaced_may_not_drive(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    folder = make_pictures(tmp_path / "frames", count=2)
    with pytest.raises(TalkheadError, match="also an input"):
        Animator(engine)(portrait, folder, folder, CENTRED, overwrite=True)
    with pytest.raises(TalkheadError, match="also an input"):
        Animator(engine)(portrait, folder, folder / "%06d.png", CENTRED, overwrite=True)


def test_recorded_motion_can_be_read_by_all_who_may_read_a_new_file(
    engine: Engine, portrait: Path, tmp_path: Path
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    motion = tmp_path / "m.safetensors"
    Animator(engine)(portrait, driving, tmp_path / "a.mp4", CENTRED, motion_out=motion)
    (tmp_path / "new").touch()
    assert motion.stat().st_mode == (tmp_path / "new").stat().st_mode
    assert len(load_motion(motion).pts) == 2


def test_a_marked_frame_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    from talkhead.video.marking import is_marked_png

    write(tmp_path / "out", 1)
    ours = tmp_path / "out" / "000000.png"
    assert is_marked_png(ours)
    picture = np.asarray(Image.open(ours))
    Image.fromarray(picture).save(tmp_path / "saved again.png")
    assert not is_marked_png(tmp_path / "saved again.png")
    assert not is_marked_png(tmp_path / "missing.png")
