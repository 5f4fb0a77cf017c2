"""Clips are found, split and drawn as the field has it; broken ones are named and skipped."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from media import make_clip
from PIL import Image
from toys import SIZE, film, mesh, toy_library, write_clips

from talkhead.data.clips import find_clips, identity_of, load_landmarks
from talkhead.data.landmarks import find_landmarks, in_square, read_landmarks
from talkhead.errors import TalkheadError
from talkhead.evaluation.metrics.landmarks import LandmarkFolder
from talkhead.training.data.batches import NOWHERE, Batches
from talkhead.training.data.frames import ArrayFrames, StreamedFrames
from talkhead.training.data.library import Library, load_library, read_clip
from talkhead.training.data.pairs import Pairs
from talkhead.training.data.prefetch import from_processes
from talkhead.training.recipes.recipe import Augmentation, Recipe

PLAIN = Recipe("test", batch_size=4, augmentation=Augmentation(flip=0.0))


def test_identities_are_compared_exactly() -> None:
    base = Path("vox")
    assert identity_of(base / "id1#a#0#9.mp4", base) == "id1"
    assert identity_of(base / "id10#a#0#9.mp4", base) == "id10"
    assert identity_of(base / "id10#a#0#9", base) == "id10"  # a folder of frames
    assert identity_of(base / "anna" / "first.take.mp4", base) == "anna"
    assert identity_of(base / "id001-news-0.mp4", base) == "id001"


def test_layout_with_test_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    split = find_clips([write_clips(tmp_path)])
    assert [clip.identity for clip in split.train] == ["id00000", "id00001", "id00002"]
    assert [clip.identity for clip in split.test] == ["id00003"]


def test_several_roots_frame_folders_exclusion_and_held_out_people(tmp_path: Path) -> None:
    for name in ("anna#v#0#3", "bert#v#0#3", "carl#v#0#3"):
        folder = tmp_path / "one" / name
        folder.mkdir(parents=True)
        for i, picture in enumerate(film(0, 3)):
            Image.fromarray(picture).save(folder / f"{i:03d}.png")
    (tmp_path / "two").mkdir()
    make_clip(tmp_path / "two" / "dora-1.mp4", frames=3, audio=False)
    roots = [tmp_path / "one", tmp_path / "two"]
    split = find_clips(roots, exclude=["bert"], hold_out=["carl"])
    assert [clip.identity for clip in split.train] == ["anna", "dora"]
    assert [clip.identity for clip in split.test] == ["carl"]
    assert read_clip(split.train[0], SIZE).shape == (3, SIZE, SIZE, 3)
    with pytest.raises(TalkheadError, match="zoe"):
        find_clips(roots, hold_out=["zoe"])


def test_still_pictures_and_empty_folders_are_explained(tmp_path: Path) -> None:
    with pytest.raises(TalkheadError, match="no clips in"):
        find_clips([tmp_path])
    Image.fromarray(film(0, 1)[0]).save(tmp_path / "face.png")
    with pytest.raises(TalkheadError, match="still pictures"):
        find_clips([tmp_path])


def test_broken_and_short_clips_are_skipped_by_name_and_nothing_left_is_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken-1.mp4").write_bytes(b"not a video")
    make_clip(tmp_path / "short-1.mp4", frames=1, audio=False)
    clips = find_clips([tmp_path]).train
    with pytest.raises(TalkheadError, match="none of the 2 clips"):
        load_library(clips, SIZE, cache="memory")
    make_clip(tmp_path / "sound-1.mp4", frames=5, audio=False)
    with caplog.at_level(logging.WARNING):
        library = load_library(find_clips([tmp_path]).train, SIZE, cache="memory")
    assert [clip.identity for clip in library.clips] == ["sound"]
    assert "skipped 2 unusable clips" in caplog.text
    assert "broken-1.mp4" in caplog.text
    assert "too short" in caplog.text


def test_disk_cache_and_stream_give_the_frames_that_memory_gives(tmp_path: Path) -> None:
    clips = find_clips([write_clips(tmp_path / "clips")]).train
    memory = load_library(clips, SIZE, cache="memory")
    disk = load_library(clips, SIZE, cache=str(tmp_path / "cache"))
    again = load_library(clips, SIZE, cache=str(tmp_path / "cache"))
    streamed = load_library(clips, SIZE, cache="none")
    wanted = memory.frames[1].take([4, 0])
    for library in (disk, again, streamed):
        assert torch.equal(library.frames[1].take([4, 0]), wanted)
    assert isinstance(streamed.frames[1], StreamedFrames)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 3


def test_a_clip_that_breaks_later_is_replaced_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = toy_library(1)
    missing = StreamedFrames(tmp_path / "gone.mp4", SIZE)
    library = Library(good.clips * 2, (good.frames[0], missing), (None, None), {})
    with caplog.at_level(logging.WARNING):
        batch = Batches(library, replace(PLAIN, batch_size=16), size=SIZE, seed=0).batch(0)
    assert len(batch) == 16
    assert caplog.text.count("gone.mp4") == 1


def test_data_are_a_function_of_seed_and_step() -> None:
    recipe = replace(PLAIN, augmentation=Augmentation(jitter=0.1, rotation=0.2))
    one = Batches(toy_library(), recipe, size=SIZE, seed=3)
    again = Batches(toy_library(), recipe, size=SIZE, seed=3, workers=3)
    other = Batches(toy_library(), recipe, size=SIZE, seed=4)
    stream = again.stream(5)
    for step in (5, 6, 7):
        assert torch.equal(one.batch(step).driving, next(stream).driving)
    stream.close()
    assert not torch.equal(one.batch(5).driving, other.batch(5).driving)
    halves = [Batches(toy_library(), recipe, size=SIZE, seed=3, share=(r, 2)) for r in (0, 1)]
    shared = torch.cat([half.batch(5).driving for half in halves])
    assert torch.equal(shared, one.batch(5).driving)


def test_processes_draw_what_threads_draw_and_tell_what_they_cannot() -> None:
    batches = Batches(toy_library(landmarks=True), PLAIN, size=SIZE, seed=3, flow_size=16)
    draws = from_processes(batches.draw, 5, workers=2)
    for step in (5, 6, 7):
        found, wanted = next(draws).finish(), batches.batch(step)
        assert torch.equal(found.driving, wanted.driving)
        assert torch.equal(found.driving_landmarks, wanted.driving_landmarks)
        assert found.flow is not None
        assert wanted.flow is not None
        assert torch.equal(found.flow, wanted.flow)
    draws.close()

    def refuse(step: int) -> int:
        raise TalkheadError(f"no batch {step}")

    def die(step: int) -> int:
        os._exit(3)

    with pytest.raises(TalkheadError, match=r"^no batch 4$"):
        next(from_processes(refuse, 4, workers=1))
    with pytest.raises(TalkheadError, match="was ended"):
        next(from_processes(die, 4, workers=1))


def test_both_frames_of_a_pair_show_one_person_and_one_change() -> None:
    """Clips of one still frame each: source and driving stay equal under any augmentation."""
    still = [np.repeat(film(60 * i, 1), 4, axis=0) for i in range(3)]
    plain = toy_library()
    library = replace(plain, frames=tuple(ArrayFrames(pixels) for pixels in still))
    wild = Augmentation(jitter=0.1, rotation=0.3, shift=0.1, bend=0.003, colour=0.1, gamma=0.2)
    batch = Batches(library, replace(PLAIN, augmentation=wild), size=SIZE, seed=0).batch(0)
    assert torch.equal(batch.source, batch.driving)
    assert not torch.equal(batch.source[0], batch.source[1])


def test_landmarks_are_in_pixels_of_the_clip_and_kept_relative_to_its_square(
    tmp_path: Path,
) -> None:
    points = np.zeros((6, 478, 3), np.float16)
    points[:, :, 0] = SIZE
    np.savez(tmp_path / "id00000#v#000#006.npz", points=points)
    clip = find_clips([write_clips(tmp_path / "clips")]).train[0]
    landmarks = load_landmarks(tmp_path, clip, frames=6)
    assert landmarks is not None
    assert landmarks[0, 0, :2].tolist() == [1.0, -1.0]  # the right edge, the upper edge
    with pytest.raises(TalkheadError, match="6 frames, the clip has 5"):
        load_landmarks(tmp_path, clip, frames=5)
    assert in_square(np.array([8.0, 3.0]), width=12, height=8).tolist() == [0.75, 0.375]


def test_numbered_landmarks_belong_to_their_frames(tmp_path: Path) -> None:
    points = np.full((2, 478, 2), SIZE / 2, np.float32)
    file = tmp_path / "id00000#v#000#006.npz"
    np.savez(file, points=points, frames=[1, 4])
    clip = find_clips([write_clips(tmp_path / "clips")]).train[0]
    landmarks = load_landmarks(tmp_path, clip, frames=6)
    assert landmarks is not None
    assert np.isfinite(landmarks).all((1, 2)).tolist() == [False, True, False, False, True, False]
    seen = LandmarkFolder(tmp_path).points(clip.path, SIZE)
    assert seen is not None
    assert np.isfinite(seen).all((1, 2)).tolist() == [False, True, False, False, True]
    np.savez(file, points=points, frames=[1, 10**12])
    with pytest.raises(TalkheadError, match="numbers its `frames` twice, below 0 or above"):
        load_landmarks(tmp_path, clip, frames=6)


def test_landmarks_that_number_nothing_may_be_of_any_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talkhead.data.landmarks.MOST_FRAMES", 3)
    np.savez(tmp_path / "a.npz", points=np.zeros((5, 478, 2), np.float32))
    assert len(read_landmarks(tmp_path / "a.npz").of_all_frames()) == 5


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 a broken archive"])
def test_a_damaged_landmark_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(TalkheadError, match=r"a\.npz holds no landmarks"):
        read_landmarks(tmp_path / "a.npz")


def test_unknown_landmarks_are_marked_as_such() -> None:
    half = toy_library(2, landmarks=True)
    library = replace(half, landmarks=(mesh(), None))
    batch = Batches(library, replace(PLAIN, batch_size=16), size=SIZE, seed=0).batch(0)
    assert batch.has_landmarks.any()
    assert not batch.has_landmarks.all()
    assert (batch.driving_landmarks[~batch.has_landmarks] == NOWHERE).all()
    assert (batch.driving_landmarks[batch.has_landmarks].abs() < 1.2).all()


@pytest.mark.parametrize("choice", ["far_pairs", "expressive_pairs"])
def test_frames_without_a_face_are_not_taken_for_the_most_different(choice: str) -> None:
    lost = mesh()
    lost[3:] = np.nan
    library = replace(toy_library(1, landmarks=True), landmarks=(lost,))
    always = replace(Augmentation(flip=0.0), **{choice: 1.0})
    drawn = Pairs(library, None, always)
    pairs = [drawn._choose(np.random.default_rng(seed), 0, 6) for seed in range(300)]
    known = [driving for source, driving in pairs if source < 3]
    assert sum(driving < 3 for driving in known) > 0.65 * len(known)  # by chance: half


def test_landmarks_of_fewer_frames_than_the_clip_do_not_stop_a_run() -> None:
    library = replace(toy_library(1, landmarks=True), landmarks=(mesh(frames=3),))
    always = Augmentation(flip=0.0, far_pairs=0.5, expressive_pairs=0.5)
    recipe = replace(PLAIN, batch_size=16, augmentation=always)
    batch = Batches(library, recipe, size=SIZE, seed=0).batch(0)
    assert batch.has_landmarks.any()
    assert not batch.has_landmarks.all()


def test_people_of_both_sides_are_told_and_a_lone_test_folder_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = write_clips(tmp_path / "clips")
    find_clips([data])
    assert not caplog.records
    (clip,) = (data / "test").iterdir()
    (data / "test" / "id00001#v#000#006.mp4").write_bytes(clip.read_bytes())
    find_clips([data])
    assert "1 identities are in train and in test, such as id00001" in caplog.text
    (data / "train").rename(tmp_path / "elsewhere")
    with pytest.raises(TalkheadError, match="no train/"):
        find_clips([data])


def test_landmark_files_may_lie_as_deep_as_the_clips(tmp_path: Path) -> None:
    clip = tmp_path / "clips" / "test" / "anna" / "1.mp4"
    assert find_landmarks(tmp_path, clip, "1") is None
    for place in ("", "anna", "test/anna"):
        file = tmp_path / place / "1.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        assert find_landmarks(tmp_path, clip, "1") == file
