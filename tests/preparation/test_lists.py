"""Lists say which parts of which videos are taken, and whose faces they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkhead.errors import TalkheadError
from talkhead.preparation.lists import read_list
from talkhead.preparation.sources import find_sources, safe_name

VOX = """Identity  : \tid10001
Reference : \tabc
Offset    : \t14

FRAME \tX \tY \tW \tH
000050 \t{0} \t{1} \t{2} \t{2}
000074 \t{0} \t{1} \t{2} \t{2}
"""


def videos(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_identities_come_from_folders_and_names_from_what_lies_below(tmp_path: Path) -> None:
    root = videos(tmp_path, "anna/a.mp4", "anna/day/a.mp4", "id1#x#0#9.mp4", ".hidden/b.mp4")
    sources, _ = find_sources([root])
    found = {(s.segments[0].identity, s.name) for s in sources}
    assert found == {("anna", "a"), ("anna", "day-a"), ("id1", "id1-x-0-9")}


def test_videos_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one, two = (videos(tmp_path / name, "anna/a.mp4") for name in ("one", "two"))
    sources, _ = find_sources([one, two])
    assert len({source.name for source in sources}) == 2
    later, _ = find_sources([two], taken={((one / "anna/a.mp4").resolve(), "a")})
    assert later[0].name != "a"
    assert safe_name("a#b/c:d") == "a-b-c-d"


def test_clips_of_training_sets_are_no_videos(tmp_path: Path) -> None:
    root = videos(tmp_path, "a.mp4", "set/clips/a/a#0#9.mp4", "other/b.mp4")
    (root / "set" / ".talkhead").write_text("talkhead training set\n")
    (root / "other" / ".talkhead").write_text("talkhead training run\n")
    assert [source.name for source in find_sources([root])[0]] == ["a", "b"]
    with pytest.raises(TalkheadError, match="no videos in"):
        find_sources([root / "set"])


def test_names_are_cut_where_file_systems_would_refuse_them(tmp_path: Path) -> None:
    title = "見" * 48
    root = videos(tmp_path, f"{title}一.mp4", f"{title}二.mp4")
    sources, _ = find_sources([root])
    names = [source.name for source in sources]
    assert len(set(names)) == 2
    assert all(len(name.encode()) <= 100 and name.startswith("見" * 30) for name in names)
    assert safe_name("a" * 100) == "a" * 100


def test_csv_names_parts_by_seconds_with_commas_and_any_letters(tmp_path: Path) -> None:
    root = videos(tmp_path, "späte, Show.mp4", "b.mp4", "c.mp4")
    table = tmp_path / "list.csv"
    table.write_text(
        'video,start,end,identity\n"späte, Show.mp4",1.5,3,Zoë\nb,,,\nb.mp4,4,,eva\nx.mp4,0,1,\n'
    )
    sources, missing = find_sources([root], read_list(table))
    parts = {s.path.name: [(p.start, p.end, p.identity) for p in s.segments] for s in sources}
    assert parts["späte, Show.mp4"] == [(1.5, 3, "Zoë")]
    assert sorted(parts["b.mp4"], key=str) == [(4, None, "eva"), (None, None, "b")]
    assert "c.mp4" not in parts
    assert list(missing) == ["x.mp4"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("start,end\n1,2\n", "no column `video`"),
        ("video,colour\na,red\n", "colour"),
        ("video,start\na,soon\n", "line 2: start must be seconds"),
        ("video,start,end\na,3,2\n", "must come after"),
        ("video,start\na\n", "line 2 has 1 values"),
        ("video\n", "lists no videos"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said(tmp_path: Path, text: str, says: str) -> None:
    table = tmp_path / "list.csv"
    table.write_text(text)
    with pytest.raises(TalkheadError, match=says):
        read_list(table)


def test_voxceleb_lists_bring_times_people_and_boxes(tmp_path: Path) -> None:
    for number, box in enumerate([("0.5", "0.25", "0.1"), ("180", "90", "36")]):
        file = tmp_path / "txt" / "id10001" / "abc" / f"0000{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(VOX.format(*box))
    root = videos(tmp_path / "videos", "abc.mp4")
    (source,), missing = find_sources([root], read_list(tmp_path / "txt"))
    assert not missing
    shares, lines = source.segments
    assert (shares.start, shares.end, shares.identity) == (2.0, 3.0, "id10001")
    # The first box is in shares of the picture, the second in pixels of one with 360 lines.
    assert shares.shows(2.4, (0.55 * 1280, 0.3 * 720), 1280, 720)
    assert not shares.shows(2.4, (0.2 * 1280, 0.3 * 720), 1280, 720)
    assert lines.shows(2.4, (198 * 2, 108 * 2), 1280, 720)
    assert not lines.shows(2.4, (198, 108), 1280, 720)


def test_a_folder_without_lists_and_a_list_without_its_videos_are_errors(tmp_path: Path) -> None:
    with pytest.raises(TalkheadError, match="identity/video/segment"):
        read_list(tmp_path)
    table = tmp_path / "list.csv"
    table.write_text("video\nother.mp4\n")
    with pytest.raises(TalkheadError, match=r"none of the videos.*other\.mp4"):
        find_sources([videos(tmp_path / "v", "a.mp4")], read_list(table))
