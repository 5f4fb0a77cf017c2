"""Work folders: our own alone are written into and deleted, and damaged work is made again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from media import frame_seconds, moving_picture, tree
from writing import RATE, interrupt, write

from talkhead.errors import TalkheadError
from talkhead.io.owned import OwnedFolder, delete_own
from talkhead.video import VideoWriter
from talkhead.video.workspace import Workspace


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Somebody's folder, with files called like ours and unlike them."""
    folder = tmp_path / "victim"
    (folder / "sub").mkdir(parents=True)
    names = ("a", "settings.json", "000000000.partial", "000000000-000000250.segment", "sub/b")
    for name in names:
        (folder / name).write_bytes(b"precious")
    return folder


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
