"""A packed set is read like the set itself."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from media import moving_picture

from talkhead.data.check import check_data
from talkhead.data.clips import find_clips, find_test_clips, load_landmarks
from talkhead.data.manifest import ClipEntry, read_manifest, write_manifest
from talkhead.errors import TalkheadError
from talkhead.preparation.shards import pack, remove_stale
from talkhead.training.data.library import load_library
from talkhead.video.clip import clip_writer

ENTRY = ClipEntry(
    "clip", "landmarks", "id", "v.mp4", 0.0, 1.0, (0, 0, 64), 64, 25.0, 12, {"face": 40.0}
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of three clips."""
    entries = []
    for number in range(3):
        clip, landmarks = f"clips/id{number}/ä {number}.mp4", f"landmarks/id{number}/{number}.npz"
        for name in (clip, landmarks):
            (tmp_path / name).parent.mkdir(parents=True)
        with clip_writer(tmp_path / clip, 64, Fraction(25)) as write:
            for frame in range(12):
                write(moving_picture(frame + 20 * number, 64, 64))
        points = np.random.default_rng(number).uniform(0, 64, (12, 478, 3)).astype(np.float16)
        np.savez(tmp_path / landmarks, points=points)
        entries.append(replace(ENTRY, clip=clip, landmarks=landmarks, identity=f"id{number}"))
    write_manifest(tmp_path, entries)
    return tmp_path


def test_clips_and_landmarks_are_read_where_they_lie_in_tar_files(folder: Path) -> None:
    pack(folder, read_manifest(folder) or (), 1000)
    with tarfile.open(folder / "shards" / "00000.tar") as shard:
        assert len(shard.getnames()) == 6
        assert "clips/id0/ä 0.mp4" in shard.getnames()
    loose, packed = (
        load_library(find_clips([root]).train, 64, landmarks=folder / "none")
        for root in (folder, folder / "shards")
    )
    assert [clip.identity for clip in packed.clips] == ["id0", "id1", "id2"]
    for number in range(3):
        frames = [library.frames[number].take([11, 2]) for library in (loose, packed)]
        meshes = [library.landmarks[number] for library in (loose, packed)]
        assert torch.equal(*frames)
        assert meshes[0] is not None
        assert meshes[1] is not None
        assert np.array_equal(meshes[0][[5, 11]], meshes[1][[5, 11]])
    report = check_data(find_clips([folder / "shards"]))
    assert (report.frames, report.sizes, report.broken) == (36, {"64x64": 3}, {})
    memory = load_library(find_clips([folder / "shards"]).train, 64, cache="memory")
    assert torch.equal(memory.frames[2].take([11, 2]), packed.frames[2].take([11, 2]))


def test_shards_are_not_evaluated_but_the_set_is(folder: Path) -> None:
    pack(folder, read_manifest(folder) or (), 1)
    assert find_test_clips(folder)
    with pytest.raises(TalkheadError, match="lie in tar files"):
        find_test_clips(folder / "shards")


def test_shards_are_written_once_and_anew_when_the_set_has_changed(folder: Path) -> None:
    clips = read_manifest(folder) or ()
    pack(folder, clips, 1)
    shards = folder / "shards"
    before = {file.name: file.stat().st_mtime_ns for file in shards.iterdir()}
    pack(folder, clips, 1)
    assert {file.name: file.stat().st_mtime_ns for file in shards.iterdir()} == before
    (shards / "00009.tar").write_bytes(b"of a larger set")
    pack(folder, clips[:2], 1)
    assert sorted(file.name for file in shards.iterdir()) == ["00000.tar", "manifest.jsonl"]
    assert len(read_manifest(shards) or ()) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frames", 0),
        ("frames", 10**10),
        ("frames", True),
        ("fps", 0.0),
        ("start", float("nan")),
        ("box", [0, 0]),
        ("box", [0, 0, "9"]),
        ("box", [0, 0, 0.5]),
        ("quality", {"yaw": "far"}),
        ("clip", "../elsewhere.mp4"),
    ],
)
def test_a_line_of_the_manifest_that_is_wrong_is_named(
    folder: Path, name: str, value: object
) -> None:
    path = folder / "manifest.jsonl"
    lines = path.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), name: value})
    path.write_text("\n".join(lines))
    with pytest.raises(TalkheadError, match=r"damaged in line 2"):
        read_manifest(folder)


def test_shards_of_another_set_or_size_do_not_stay(folder: Path) -> None:
    clips = read_manifest(folder) or ()
    pack(folder, clips, 1)
    one = {path.name for path in (folder / "shards").glob("*.tar")}
    remove_stale(folder, clips)
    assert {path.name for path in (folder / "shards").glob("*.tar")} == one
    pack(folder, clips, 0)  # a shard for every clip
    assert len(list((folder / "shards").glob("*.tar"))) == len(clips)
    remove_stale(folder, clips[1:])
    assert not (folder / "shards").exists()


def test_shards_stand_without_the_clips_that_they_hold(folder: Path) -> None:
    clips = read_manifest(folder) or ()
    pack(folder, clips, 1)
    (folder / clips[0].clip).unlink()
    pack(folder, clips, 1)  # nothing to do


def test_own_numbered_landmarks_of_a_prepared_clip_belong_to_their_frames(folder: Path) -> None:
    clip = find_clips([folder]).train[0]
    own = folder / "own" / f"{clip.name}.npz"
    own.parent.mkdir()
    np.savez(own, points=np.full((2, 478, 3), 16, np.float32), frames=[1, 4])
    found = load_landmarks(own.parent, clip)
    assert found is not None
    assert np.flatnonzero(np.isfinite(found).all((1, 2))).tolist() == [1, 4]
