"""Which frames are drawn: folders of clips, published lists, random pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media import make_clip, make_pictures
from PIL import Image

from talkhead.data.clips import find_test_clips
from talkhead.errors import TalkheadError
from talkhead.evaluation.clips import read_frames, read_picture
from talkhead.evaluation.protocols import plan_evaluation


def frame_folder(folder: Path, levels: list[int], first: int = 0) -> Path:
    """A VoxCeleb frame folder: 0000000.png, ... of flat grey pictures."""
    folder.mkdir(parents=True)
    for number, level in enumerate(levels, start=first):
        Image.fromarray(np.full((32, 32, 3), level, np.uint8)).save(folder / f"{number:07d}.png")
    return folder


@pytest.fixture
def voxceleb(tmp_path: Path) -> Path:
    """Two people, three clips, as frame folders that are called .mp4."""
    frame_folder(tmp_path / "test" / "id1#abc#000001#000002.mp4", [0, 10, 20])
    frame_folder(tmp_path / "test" / "id1#def#000003#000004.mp4", [30, 40])
    frame_folder(tmp_path / "test" / "id2#ghi#000005#000006.mp4", [50, 60, 70, 80])
    return tmp_path


def write_list(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


AUTHORS = "/data/somebody/vox1_frames/test"


def test_reconstruction_drives_every_clip_by_itself(voxceleb: Path) -> None:
    evaluation_set = plan_evaluation("reconstruction", voxceleb)
    assert [case.name for case in evaluation_set.cases] == [
        "id1#abc#000001#000002",
        "id1#def#000003#000004",
        "id2#ghi#000005#000006",
    ]
    for case in evaluation_set.cases:
        assert case.source == (case.driving, 0)
        assert case.anchor is None
        assert case.truth


def test_frames_are_read_exactly_and_every_so_many(voxceleb: Path) -> None:
    clip = find_test_clips(voxceleb)[2].path
    found = [(number, int(picture[0, 0, 0])) for number, picture in read_frames(clip, 16, every=3)]
    assert found == [(0, 50), (3, 80)]
    assert read_picture(clip, 2, 32).shape == (32, 32, 3)
    assert (read_picture(clip, 2, 32) == 70).all()


def test_numbered_frames_of_a_video_are_the_right_ones(tmp_path: Path) -> None:
    levels = [np.full((32, 32, 3), 20 * n, np.uint8) for n in range(8)]
    clip = make_clip(tmp_path / "a.mp4", 8, size=(32, 32), pictures=levels, audio=False)
    found = [(n, int(p.mean())) for n, p in read_frames(clip, 32, [3, 6])]
    assert [n for n, _ in found] == [3, 6]
    assert [level for _, level in found] == pytest.approx([60, 120], abs=3)


def test_a_frame_after_the_end_is_an_error(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 4, size=(32, 32), audio=False)
    with pytest.raises(TalkheadError, match="no frame 9"):
        list(read_frames(clip, 32, [2, 9]))


def test_wide_clips_are_cut_to_their_centre(tmp_path: Path) -> None:
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 200
    folder = tmp_path / "wide"
    folder.mkdir()
    Image.fromarray(wide).save(folder / "0.png")
    assert (read_picture(folder, 0, 16) == 200).all()


def test_published_pairs_are_found_under_the_own_folder(voxceleb: Path, tmp_path: Path) -> None:
    rows = write_list(
        tmp_path / "pairs.csv",
        "source,driving",
        f"{AUTHORS}/id1#abc#000001#000002.mp4/0000002.png,"
        f"{AUTHORS}/id1#abc#000001#000002.mp4/0000001.png",
    )
    (case,) = plan_evaluation("pairs", voxceleb, pair_list=rows).cases
    assert (case.source[0].name, case.source[1]) == ("id1#abc#000001#000002.mp4", 2)
    assert case.numbers == (1,)
    assert case.truth
    assert case.anchor is None


def test_lists_of_frames_work_on_videos_as_well(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    make_clip(tmp_path / "test" / "id1#abc.mp4", 4, size=(32, 32), audio=False)
    rows = write_list(
        tmp_path / "p.csv", f"{AUTHORS}/id1#abc.mp4/0000000.png,{AUTHORS}/id1#abc.mp4/0000003.png"
    )
    (case,) = plan_evaluation("pairs", tmp_path, pair_list=rows).cases
    assert case.numbers == (3,)


def test_frames_are_found_by_name_where_they_do_not_count_from_zero(tmp_path: Path) -> None:
    frame_folder(tmp_path / "clip", [1, 2, 3], first=1)
    rows = write_list(tmp_path / "p.csv", "x/test/clip/0000001.png,x/test/clip/0000003.png")
    (case,) = plan_evaluation("pairs", tmp_path, pair_list=rows).cases
    assert (case.source[1], case.numbers) == (0, (2,))


def test_the_best_frame_of_a_cross_pair_is_its_anchor(voxceleb: Path, tmp_path: Path) -> None:
    driver = f"{AUTHORS}/id2#ghi#000005#000006.mp4"
    rows = write_list(
        tmp_path / "cross.csv",
        "source,driving,best_frame",
        f"{AUTHORS}/id1#abc#000001#000002.mp4/0000000.png,{driver}/0000002.png,"
        f"{driver}/0000003.png",
        f"{AUTHORS}/id1#abc#000001#000002.mp4/0000001.png,{driver}/0000002.png,1",
        f"{AUTHORS}/id1#abc#000001#000002.mp4/0000002.png,{driver}/0000002.png",
    )
    cases = plan_evaluation("cross-pairs", voxceleb, pair_list=rows).cases
    assert [case.anchor for case in cases] == [3, 1, 0]
    assert not any(case.truth for case in cases)


def test_cross_videos_drive_with_the_whole_clip(voxceleb: Path, tmp_path: Path) -> None:
    rows = write_list(
        tmp_path / "videos.csv",
        "source,driving",
        "id1#abc#000001#000002.mp4,id2#ghi#000005#000006.mp4",
        f"{AUTHORS}/id1#abc#000001#000002.mp4/0000002.png,{AUTHORS}/id2#ghi#000005#000006.mp4",
    )
    cases = plan_evaluation("cross-videos", voxceleb, pair_list=rows, every=2).cases
    assert [case.source[1] for case in cases] == [0, 2]
    assert all(case.numbers is None and case.every == 2 for case in cases)


def test_videos_of_one_identity_are_driven_absolutely_and_have_a_truth(
    voxceleb: Path, tmp_path: Path
) -> None:
    clip = f"{AUTHORS}/id1#abc#000001#000002.mp4"
    rows = write_list(tmp_path / "same.csv", "source,driving", f"{clip}/0000001.png,{clip}")
    (case,) = plan_evaluation("videos", voxceleb, pair_list=rows).cases
    assert (case.source[1], case.numbers, case.anchor, case.truth) == (1, None, None, True)


def test_a_best_frame_without_the_slash_before_its_clip_is_understood(
    voxceleb: Path, tmp_path: Path
) -> None:
    driver = "id2#ghi#000005#000006.mp4"
    rows = write_list(
        tmp_path / "cross.csv",
        f"{AUTHORS}/id1#abc#000001#000002.mp4/0000000.png,{AUTHORS}/{driver}/0000002.png,"
        f"{AUTHORS}{driver}/0000003.png",
        f"{AUTHORS}/id1#abc#000001#000002.mp4/0000000.png,{AUTHORS}/{driver}/0000001.png,"
        f"{AUTHORS}/another.mp4/0000003.png",
    )
    evaluation_set = plan_evaluation("cross-pairs", voxceleb, pair_list=rows)
    assert [case.anchor for case in evaluation_set.cases] == [3]
    assert "no frame of" in evaluation_set.missing[0]


def test_rows_that_are_not_there_are_named_and_the_rest_used(
    voxceleb: Path, tmp_path: Path
) -> None:
    good = f"{AUTHORS}/id1#def#000003#000004.mp4/0000001.png"
    rows = write_list(
        tmp_path / "p.csv", f"{good},{AUTHORS}/lost.mp4/0000001.png", f"{good},{good}"
    )
    evaluation_set = plan_evaluation("pairs", voxceleb, pair_list=rows)
    assert len(evaluation_set.cases) == 1
    assert evaluation_set.missing[0].startswith("line 1: ")
    assert "lost.mp4" in evaluation_set.missing[0]


def test_a_list_of_other_clips_is_an_error(voxceleb: Path, tmp_path: Path) -> None:
    rows = write_list(tmp_path / "p.csv", "/x/test/a.mp4/0.png,/x/test/b.mp4/0.png")
    with pytest.raises(TalkheadError, match="none of the 1 rows"):
        plan_evaluation("pairs", voxceleb, pair_list=rows)


def test_random_pairs_are_of_different_people_and_repeat_with_the_seed(voxceleb: Path) -> None:
    evaluation_set = plan_evaluation("random-pairs", voxceleb, seed=3, num_pairs=3)
    assert evaluation_set == plan_evaluation("random-pairs", voxceleb, seed=3, num_pairs=3)
    assert len({case.name for case in evaluation_set.cases}) == 3
    for case in evaluation_set.cases:
        people = {path.name.split("#")[0] for path in (case.source[0], case.driving)}
        assert people == {"id1", "id2"}
        assert case.anchor == 0


def test_random_pairs_need_two_people(tmp_path: Path) -> None:
    for name in ("anna-1", "anna-2"):
        frame_folder(tmp_path / name, [1])
    with pytest.raises(TalkheadError, match="at least two people"):
        plan_evaluation("random-pairs", tmp_path)


def test_folders_without_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TalkheadError, match="holds no clips"):
        find_test_clips(tmp_path)
    with pytest.raises(TalkheadError, match="no folder"):
        find_test_clips(tmp_path / "nowhere")


def test_frame_folders_and_videos_are_clips_and_other_files_are_not(tmp_path: Path) -> None:
    make_pictures(tmp_path / "frames", 2)
    make_clip(tmp_path / "video.mp4", 2, audio=False)
    (tmp_path / "notes.txt").write_text("no clip")
    (tmp_path / "empty").mkdir()
    assert [clip.name for clip in find_test_clips(tmp_path)] == ["frames", "video"]


def test_clips_in_folders_of_people_are_found_and_called_by_their_folders(tmp_path: Path) -> None:
    for person in ("anna", "bert"):
        (tmp_path / "test" / person).mkdir(parents=True)
        make_pictures(tmp_path / "test" / person / "1", 2)
    (tmp_path / "train").mkdir()
    plan = plan_evaluation("reconstruction", tmp_path)
    assert [case.name for case in plan.cases] == ["anna/1", "bert/1"]
    pairs = plan_evaluation("random-pairs", tmp_path, num_pairs=9)
    assert {case.name for case in pairs.cases} == {"anna/1@0--bert/1", "bert/1@0--anna/1"}
    assert {case.clip for case in pairs.cases} == {"anna/1", "bert/1"}


def test_a_folder_of_training_clips_alone_is_not_scored_by_mistake(tmp_path: Path) -> None:
    make_pictures(tmp_path / "train" / "anna-1", 2)
    with pytest.raises(TalkheadError, match="no test/"):
        find_test_clips(tmp_path)


def test_lists_are_asked_for_where_they_are_needed(voxceleb: Path) -> None:
    with pytest.raises(TalkheadError, match="needs"):
        plan_evaluation("pairs", voxceleb)
    with pytest.raises(TalkheadError, match="takes no"):
        plan_evaluation("reconstruction", voxceleb, pair_list=voxceleb / "x.csv")
