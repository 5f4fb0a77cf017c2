"""Files and folders appear whole or not at all, and in place of nothing unasked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from media import frame_seconds, moving_picture, tree
from writing import write

from talkhead import checkpoint
from talkhead.errors import TalkheadError
from talkhead.io.atomic import atomic_path, check_file, publish, whole_folder, write_text
from talkhead.io.image import write_image


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


def test_without_hard_links_what_appears_is_kept_too(tmp_path: Path, no_links: None) -> None:
    write(tmp_path / "new.mp4")
    assert len(frame_seconds(tmp_path / "new.mp4")) == 3
    (tmp_path / "partial").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"precious")
    with pytest.raises(TalkheadError, match="was kept"):
        publish(tmp_path / "partial", tmp_path / "old", overwrite=False)
    assert (tmp_path / "old").read_bytes() == b"precious"
    assert (tmp_path / "partial").read_bytes() == b"new"


def test_the_longest_names_of_motion_and_pictures(tmp_path: Path) -> None:
    write_image(tmp_path / ("p" * 251 + ".png"), moving_picture(0))
    write_text(tmp_path / ("t." + "t" * 250), "text")
    assert len(list(tmp_path.iterdir())) == 2


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


def test_weights_are_not_replaced_unasked(toy_weights: Path, tmp_path: Path) -> None:
    model, header = checkpoint.load(toy_weights)
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"precious")
    with pytest.raises(TalkheadError, match="was kept"):
        checkpoint.write(path, model.state_dict(), header, overwrite=False)
    assert path.read_bytes() == b"precious"


def test_a_folder_that_a_killed_process_left_half_made_is_no_hindrance(tmp_path: Path) -> None:
    left = tmp_path / f".out.{os.getpid()}.part"
    left.mkdir()
    (left / "half.txt").touch()
    (tmp_path / "out").mkdir()
    with whole_folder(tmp_path / "out", False, lambda _: True) as folder:
        (folder / "a.txt").touch()
    assert tree(tmp_path).keys() == {"out/a.txt"}
