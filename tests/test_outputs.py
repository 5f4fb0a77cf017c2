"""What is written: whole or not at all, in place of nothing unasked, in our own folders only."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import frame_seconds, make_clip, make_pictures, moving_picture
from PIL import Image

from talkhead import checkpoint
from talkhead.animation.animator import Animator
from talkhead.animation.paths import check_output
from talkhead.animation.settings import RenderSettings
from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.io.atomic import atomic_path, check_file, publish, whole_folder, write_text
from talkhead.io.image import write_image
from talkhead.io.owned import OwnedFolder, delete_own
from talkhead.motion.template import load_motion
from talkhead.video import StreamWriter, VideoWriter
from talkhead.video.pictures import picture_files
from talkhead.video.workspace import Workspace

RATE = Fraction(1, 25)
CENTRED = RenderSettings(crop_source="none", crop_driving="none")


def write(path: Path, frames: int = 3, **options: object) -> None:
    with VideoWriter(path, time_base=RATE, **options) as writer:  # type: ignore[arg-type]
        for number in range(writer.frames_done, frames):
            writer.write(moving_picture(number, 48, 48), number)


def interrupt(path: Path, frames: int, side: int = 48, **options: object) -> Path:
    """Write some frames, end as Ctrl-C does, and return the work folder."""
    with suppress(KeyboardInterrupt), VideoWriter(path, time_base=RATE, **options) as writer:  # type: ignore[arg-type]
        for number in range(frames):
            writer.write(moving_picture(number, side, side), number)
        raise KeyboardInterrupt
    (folder,) = path.parent.glob(".*.talkhead")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Somebody's folder, with files called like ours and unlike them."""
    folder = tmp_path / "victim"
    (folder / "sub").mkdir(parents=True)
    names = ("a", "settings.json", "000000000.partial", "000000000-000000250.segment", "sub/b")
    for name in names:
        (folder / name).write_bytes(b"precious")
    return folder


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


def test_a_work_folder_that_is_a_link_is_refused_and_its_end_untouched(
    tmp_path: Path, victim: Path
) -> None:
    before = tree(victim)
    (tmp_path / ".out.mp4.talkhead").symlink_to(victim)
    with pytest.raises(TalkheadError, match=r"out\.mp4\.talkhead is a link"):
        write(tmp_path / "out.mp4")
    assert tree(victim) == before
    assert not (tmp_path / "out.mp4").exists()


def test_a_work_folder_of_somebody_else_is_refused(tmp_path: Path, victim: Path) -> None:
    before = tree(victim)
    victim.rename(tmp_path / ".out.mp4.talkhead")
    with pytest.raises(TalkheadError, match="holds other files"):
        write(tmp_path / "out.mp4")
    assert tree(tmp_path / ".out.mp4.talkhead") == before


@pytest.mark.parametrize("name", ["lock", ".talkhead"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_planted_lock_truncates_nothing(tmp_path: Path, name: str, link: object) -> None:
    important, folder = tmp_path / "important", tmp_path / ".out.mp4.talkhead"
    important.write_bytes(b"precious")
    folder.mkdir()
    link(important, folder / name)  # type: ignore[operator]
    with pytest.raises(TalkheadError, match="not used as work folder"):
        write(tmp_path / "out.mp4")
    assert important.read_bytes() == b"precious"


def test_a_pipe_in_place_of_the_mark_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / ".out.mp4.talkhead"
    folder.mkdir()
    os.mkfifo(folder / ".talkhead")
    with pytest.raises(TalkheadError, match="not used as work folder"):
        write(tmp_path / "out.mp4")


def test_links_inside_of_a_work_folder_are_not_followed(tmp_path: Path, victim: Path) -> None:
    before = tree(victim)
    folder = interrupt(tmp_path / "out.mp4", 3)
    for name in ("000000003.partial", "result.mp4"):
        (folder / name).symlink_to(victim / "a")
    for name in ("pictures", "replaced"):
        (folder / name).symlink_to(victim)
    write(tmp_path / "out.mp4")
    assert tree(victim) == before
    assert len(frame_seconds(tmp_path / "out.mp4")) == 3


def test_only_our_own_files_are_deleted_with_the_work(tmp_path: Path) -> None:
    folder = interrupt(tmp_path / "out.mp4", 3)
    (folder / "diary.txt").write_text("precious")
    (folder / "000000009.segment.bak").mkdir()
    write(tmp_path / "out.mp4", 5)
    assert len(frame_seconds(tmp_path / "out.mp4")) == 5
    assert {file.name for file in folder.iterdir()} == {"diary.txt", "000000009.segment.bak"}


def test_an_owned_folder_is_locked_and_given_back(tmp_path: Path) -> None:
    held = OwnedFolder(tmp_path / "own", "work folder", "in use")
    with pytest.raises(TalkheadError, match="in use"):
        OwnedFolder(tmp_path / "own", "work folder", "in use")
    held.release()
    with pytest.raises(TalkheadError, match="says something else"):
        OwnedFolder(tmp_path / "own", "training run", "in use")
    OwnedFolder(tmp_path / "own", "work folder", "in use").remove()
    assert not (tmp_path / "own").exists()


def test_deleting_our_own_takes_links_and_leaves_what_they_lead_to(
    tmp_path: Path, victim: Path
) -> None:
    import re

    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "x.png").symlink_to(victim / "a")
    (folder / "y.png").symlink_to(victim)
    (folder / "z.png").mkdir()
    before = tree(victim)
    delete_own(folder, re.compile(r".\.png"))
    assert {file.name for file in folder.iterdir()} == {"z.png"}
    assert tree(victim) == before


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "cut":
        data = data[: len(data) // 2]
    elif how == "flipped":
        data[len(data) // 2] ^= 1
    elif how == "empty":
        data = bytearray()
    elif how == "grown":
        data += b"more"
    elif how == "lengths":  # a frame that claims 4 GB
        data[12 + 9 : 12 + 13] = b"\xff\xff\xff\xff"
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "grown", "lengths", "renamed", "link"])
def test_work_that_was_tampered_with_is_found_out_and_made_again(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    straight, path = tmp_path / "straight.mp4", tmp_path / "out.mp4"
    write(straight, 12, segment_frames=4)
    folder = interrupt(path, 10, segment_frames=4)
    second = folder / "000000004-000000008.segment"
    if how == "renamed":
        second.rename(folder / "000000004-000000009.segment")
    elif how == "link":
        second.rename(tmp_path / "elsewhere")
        second.symlink_to(tmp_path / "elsewhere")
    else:
        damage(second, how)
    with VideoWriter(path, time_base=RATE, segment_frames=4) as writer:
        assert writer.frames_done == 4
        for number in range(4, 12):
            writer.write(moving_picture(number, 48, 48), number)
    assert "is damaged" in caplog.text
    assert path.read_bytes() == straight.read_bytes()


def test_segments_of_another_render_do_not_get_in(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    small = interrupt(tmp_path / "one" / "out.mp4", 4)
    path = tmp_path / "other" / "out.mp4"
    folder = interrupt(path, 8, side=96, segment_frames=4)
    first = "000000000-000000004.segment"
    (small / first).replace(folder / first)
    with VideoWriter(path, time_base=RATE, segment_frames=4) as writer:
        assert writer.frames_done == 4  # those after it have another size
        with pytest.raises(TalkheadError, match="frames of another size"):
            writer.write(moving_picture(4, 96, 96), 4)


@pytest.mark.parametrize("note", [b"\xff\xfe{", b"[" * 100_000, b""])
def test_a_damaged_note_of_settings_drops_the_work(
    tmp_path: Path, note: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folder = interrupt(tmp_path / "out.mp4", 3)
    (folder / "settings.json").write_bytes(note)
    assert Workspace(tmp_path / "out.mp4", {}).frames_done == 0
    assert "other settings" in caplog.text


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


def test_without_hard_links_what_appears_is_kept_too(tmp_path: Path, no_links: None) -> None:
    write(tmp_path / "new.mp4")
    assert len(frame_seconds(tmp_path / "new.mp4")) == 3
    (tmp_path / "partial").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"precious")
    with pytest.raises(TalkheadError, match="was kept"):
        publish(tmp_path / "partial", tmp_path / "old", overwrite=False)
    assert (tmp_path / "old").read_bytes() == b"precious"
    assert (tmp_path / "partial").read_bytes() == b"new"


def test_a_growing_output_does_not_replace_what_has_just_appeared(tmp_path: Path) -> None:
    path = tmp_path / "live.mkv"
    path.write_bytes(b"precious")
    with pytest.raises(TalkheadError, match="was kept"):
        StreamWriter(path, time_base=RATE)
    assert path.read_bytes() == b"precious"
    with StreamWriter(path, time_base=RATE, overwrite=True) as writer:
        writer.write(moving_picture(0), 0)
    assert len(frame_seconds(path)) == 1


@pytest.mark.parametrize("link", [os.link, os.symlink])
@pytest.mark.parametrize("what", ["drive.mp4", "photo.png", "toy.safetensors"])
def test_no_input_is_written_over_by_any_of_its_names(
    engine: Engine, portrait: Path, toy_weights: Path, tmp_path: Path, what: str, link: object
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    photo = tmp_path / "photo.png"
    photo.write_bytes(portrait.read_bytes())
    weights = tmp_path / "toy.safetensors"
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


def test_the_longest_names_of_motion_and_pictures(tmp_path: Path) -> None:
    write_image(tmp_path / ("p" * 251 + ".png"), moving_picture(0))
    write_text(tmp_path / ("t." + "t" * 250), "text")
    assert len(list(tmp_path.iterdir())) == 2


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


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(IsADirectoryError), atomic_path(path) as partial:
        partial.write_text(tmp_path.read_text())
    assert tree(tmp_path) == {"a.txt": b"old"}
    with pytest.raises(TalkheadError, match="was kept"):
        write_text(path, "new", overwrite=False)
    write_text(path, "name \udcff")  # as Python has names that are no UTF-8
    assert path.read_bytes() == b"name \\udcff"


def test_a_planted_partial_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "important").write_bytes(b"precious")
    (tmp_path / f".a.{os.getpid()}.part.txt").symlink_to("important")
    write_text(tmp_path / "a.txt", "new")
    assert tree(tmp_path) == {"a.txt": b"new", "important": b"precious"}


def test_a_folder_appears_whole_and_replaces_only_its_kind(tmp_path: Path) -> None:
    def is_own(path: Path) -> bool:
        return path.suffix == ".png"

    for text in ("old", "new"):
        with whole_folder(tmp_path / "a" / "case", text == "new", is_own) as folder:
            (folder / "0.png").write_text(text)
            assert text == "old" or (tmp_path / "a/case/0.png").read_text() == "old"
    with (
        pytest.raises(TalkheadError, match="was kept"),
        whole_folder(tmp_path / "a" / "case", False, is_own),
    ):
        pass
    (tmp_path / "a" / "case" / "notes.txt").write_text("precious")
    with (
        pytest.raises(TalkheadError, match=r"notes\.txt, which is kept"),
        whole_folder(tmp_path / "a" / "case", True, is_own),
    ):
        pass
    assert tree(tmp_path) == {"a/case/0.png": b"new", "a/case/notes.txt": b"precious"}


def test_checks_of_a_single_file_name_what_is_wrong(tmp_path: Path) -> None:
    old = tmp_path / "old.png"
    old.write_bytes(b"old")
    os.link(old, tmp_path / "again.png")
    with pytest.raises(TalkheadError, match="also an input"):
        check_file(tmp_path / "again.png", [old], overwrite=True)
    with pytest.raises(TalkheadError, match="pass --overwrite"):
        check_file(old, [], overwrite=False)
    with pytest.raises(TalkheadError, match="is a folder"):
        check_file(tmp_path, [], overwrite=True)
    check_file(old, [tmp_path / "other.png"], overwrite=True)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_locks_renders_with_a_warning(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    write(tmp_path / "out.mp4", 1)
    assert "without locks" in caplog.text
    assert len(frame_seconds(tmp_path / "out.mp4")) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


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


def test_weights_are_not_replaced_unasked(toy_weights: Path, tmp_path: Path) -> None:
    model, header = checkpoint.load(toy_weights)
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"precious")
    with pytest.raises(TalkheadError, match="was kept"):
        checkpoint.write(path, model.state_dict(), header, overwrite=False)
    assert path.read_bytes() == b"precious"


def test_a_marked_frame_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    from talkhead.video.marking import is_marked_png

    write(tmp_path / "out", 1)
    ours = tmp_path / "out" / "000000.png"
    assert is_marked_png(ours)
    picture = np.asarray(Image.open(ours))
    Image.fromarray(picture).save(tmp_path / "saved again.png")
    assert not is_marked_png(tmp_path / "saved again.png")
    assert not is_marked_png(tmp_path / "missing.png")
