"""Ordinary videos become a training set: counted, resumable, read by training as it is."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from media import make_clip
from typer.testing import CliRunner

import talkhead.preparation.extract as extract_module
from talkhead.cli import app
from talkhead.data.clips import find_clips
from talkhead.data.landmarks import read_landmarks
from talkhead.data.manifest import read_manifest
from talkhead.errors import TalkheadError
from talkhead.faces.crop import cut
from talkhead.faces.finder import FaceFinder
from talkhead.io.image import read_image
from talkhead.preparation.extract import Extract
from talkhead.preparation.journal import Journal, work_of
from talkhead.preparation.lists import Segment
from talkhead.preparation.options import PrepareOptions
from talkhead.preparation.prepare import PrepareReport, prepare
from talkhead.preparation.sources import Source
from talkhead.structs import Crop
from talkhead.training.data.batches import Batches
from talkhead.training.data.library import load_library
from talkhead.training.options import AUTO, NONE, TrainOptions
from talkhead.training.plan import with_own_landmarks
from talkhead.training.recipes.recipe import Augmentation, Recipe
from talkhead.video import VideoReader

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZE, FRAMES = 96, 16
EASY = {"size": SIZE, "shortest": 0.4, "max_enlargement": 2.0}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Anna talks, then the picture is black; of Bert there is a photo only; one file is broken."""
    folder = tmp_path_factory.mktemp("videos")
    with VideoReader(EXAMPLES / "driving.mp4", frames=FRAMES) as reader:
        talking = [frame.rgb for frame in reader]
    for name in ("anna", "bert"):
        (folder / name).mkdir()
    black = [np.zeros_like(talking[0])] * 3
    anna = folder / "anna" / "talk.mp4"
    make_clip(anna, FRAMES + 3, size=(640, 480), pictures=talking + black, audio=False)
    photo = [read_image(EXAMPLES / "portrait.jpg")[:400, :400]] * 12
    make_clip(folder / "bert" / "photo.mp4", 12, size=(400, 400), pictures=photo, audio=False)
    (folder / "broken.mp4").write_bytes(b"not a video")
    return folder


@pytest.fixture(scope="module")
def made(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PrepareReport]:
    out = tmp_path_factory.mktemp("set") / "prepared"
    return out, prepare(PrepareOptions(out, (videos,), **EASY))


def test_what_is_taken_and_left_out_is_counted(made: tuple[Path, PrepareReport]) -> None:
    _, report = made
    assert (report.videos, report.clips, report.frames, report.identities) == (2, 1, FRAMES, 1)
    assert report.rejected == {"still": 1}
    assert [Path(video).name for video in report.failed] == ["broken.mp4"]
    assert report.faceless == pytest.approx(3 / 25 / 60, abs=0.005)
    assert "not a video" in "\n".join(report.lines())


def test_a_clip_shows_its_square_and_landmarks_lie_on_the_face(
    made: tuple[Path, PrepareReport], videos: Path
) -> None:
    out, _ = made
    (entry,) = read_manifest(out) or ()
    assert (entry.identity, entry.frames, entry.size, entry.fps) == ("anna", FRAMES, SIZE, 25)
    with VideoReader(videos / "anna" / "talk.mp4") as source, VideoReader(out / entry.clip) as clip:
        first = next(iter(source)).rgb
        pictures = [frame.rgb for frame in clip]
    assert len(pictures) == FRAMES
    wanted = cut(first, Crop(*entry.box), SIZE).astype(int)
    assert np.abs(pictures[0] - wanted).mean() < 4
    points = read_landmarks(out / entry.landmarks).meshes
    assert points.shape == (FRAMES, 478, 3)
    height = np.ptp(points[..., 1], axis=1) / SIZE
    assert (height > 0.4).all()  # framed as the networks are trained
    assert (height < 0.7).all()
    chin, lips = (points[0, i, :2].round().astype(int) for i in (152, 13))
    assert np.abs(points[0, 13, 0] - SIZE / 2) < SIZE / 4
    assert chin[1] > lips[1]


def test_the_report_shows_pictures(made: tuple[Path, PrepareReport]) -> None:
    text = (made[0] / "report.html").read_text()
    assert text.count("data:image/jpeg") == 2  # the clip, and what was left out
    assert "still" in text
    assert "broken.mp4" in text


def test_what_is_done_is_not_done_again(
    made: tuple[Path, PrepareReport], videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, before = made
    manifest = (out / "manifest.jsonl").read_bytes()
    monkeypatch.setattr("talkhead.preparation.workers.FaceFinder", lambda device: None)
    again = prepare(PrepareOptions(out, (videos,), **EASY))
    assert (again.new, again.clips, again.rejected) == (0, before.clips, before.rejected)
    assert (out / "manifest.jsonl").read_bytes() == manifest
    with pytest.raises(TalkheadError, match="size 96, not 128"):
        prepare(PrepareOptions(out, (videos,), **{**EASY, "size": 128}))


def test_a_line_that_was_not_completed_does_not_count(
    made: tuple[Path, PrepareReport], videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, before = made
    journal = out / "sources.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 3  # settings, anna, bert
    journal.write_text("".join(lines[:2]) + lines[2][:50])
    seen: list[str] = []
    extract = extract_module.extract

    def watch(source, *rest):  # type: ignore[no-untyped-def]
        seen.append(source.path.name)
        return extract(source, *rest)

    monkeypatch.setattr("talkhead.preparation.workers.extract", watch)
    again = prepare(PrepareOptions(out, (videos,), **EASY))
    assert seen == ["photo.mp4", "broken.mp4"]  # what failed is tried again
    assert again.rejected == before.rejected


def test_left_overs_of_killed_calls_go_and_files_of_others_stay(
    made: tuple[Path, PrepareReport], videos: Path
) -> None:
    out, _ = made
    folder = out / "clips" / "anna"
    partial, orphan = folder / ".a#b#0#1.99.part.mp4", folder / "anna#old#000000#000009.mp4"
    mine = folder / "notes.txt"
    for file in (partial, orphan, mine):
        file.write_bytes(b"x")
    prepare(PrepareOptions(out, (videos,), **EASY))
    assert [file.exists() for file in (partial, orphan, mine)] == [False, False, True]


def test_a_full_disk_is_one_sentence_and_keeps_what_is_done(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def full(*_: object) -> Iterator[None]:
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    monkeypatch.setattr("talkhead.preparation.cutting.clip_writer", full)
    out = tmp_path / "set"
    with pytest.raises(TalkheadError, match=r"No space left on device.*it goes on"):
        prepare(PrepareOptions(out, (videos / "anna",), **EASY))
    assert read_manifest(out) == ()


def test_the_command_ends_with_a_table_and_exit_code_1(
    made: tuple[Path, PrepareReport], videos: Path
) -> None:
    options = ["--size", str(SIZE), "--shortest", "0.4", "--max-enlargement", "2"]
    result = CliRunner().invoke(app, ["prepare", str(videos), "-o", str(made[0]), *options])
    assert result.exit_code == 1
    assert "1 video could not be prepared" in result.stdout
    assert "1 clip of 1 identity" in result.stdout


def test_folders_of_others_and_nothing_at_all_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TalkheadError, match="holds other files"):
        prepare(PrepareOptions(tmp_path, (EXAMPLES,), **EASY))
    with pytest.raises(TalkheadError, match="no videos in"):
        prepare(PrepareOptions(tmp_path / "set", (tmp_path,), **EASY))
    with pytest.raises(TalkheadError, match="nowhere does not exist"):
        prepare(PrepareOptions(tmp_path / "set", (tmp_path / "nowhere",), **EASY))


def test_training_reads_the_manifest_and_opens_no_clip(
    made: tuple[Path, PrepareReport], tmp_path: Path
) -> None:
    out, _ = made
    (entry,) = read_manifest(out) or ()
    for name in ("clip", "landmarks"):  # a copy whose files are not there
        entry = replace(entry, **{name: f"gone/{name}"})
    (tmp_path / "manifest.jsonl").write_text(json.dumps(vars(entry)) + "\n")
    clips = find_clips([tmp_path]).train
    library = load_library(clips, 64, landmarks=tmp_path / "landmarks")
    assert len(library.frames[0]) == FRAMES
    assert library.landmarks[0] is not None
    with pytest.raises(TalkheadError, match="gone"):
        library.frames[0].take([0])
    with pytest.raises(TalkheadError, match="gone"):
        library.landmarks[0][[0]]


def test_frames_and_landmarks_on_demand_are_those_of_memory(
    made: tuple[Path, PrepareReport],
) -> None:
    clips = find_clips([made[0]]).train
    folder = made[0] / "landmarks"
    memory = load_library(clips, 64, cache="memory", landmarks=folder)
    demand = load_library(clips, 64, landmarks=folder)
    wanted = [9, 0, 15, 8, 8]
    assert torch.equal(memory.frames[0].take(wanted), demand.frames[0].take(wanted))
    known, stored = memory.landmarks[0], demand.landmarks[0]
    assert known is not None
    assert stored is not None
    assert known.shape == stored.shape
    assert np.array_equal(known[wanted], stored[wanted])
    assert np.array_equal(known[::5], stored[::5])
    assert np.array_equal(known[3], stored[3])


def test_the_global_order_is_the_same_on_any_number_of_processes(
    made: tuple[Path, PrepareReport],
) -> None:
    library = load_library(find_clips([made[0]]).train, 64, landmarks=made[0] / "landmarks")
    recipe = Recipe("test", batch_size=4, augmentation=Augmentation(far_pairs=0.5, jitter=0.1))
    whole = Batches(library, recipe, size=64, seed=5).batch(7)
    parts = [Batches(library, recipe, size=64, seed=5, share=(n, 2)).batch(7) for n in range(2)]
    assert torch.equal(whole.source, torch.cat([part.source for part in parts]))
    assert torch.equal(
        whole.driving_landmarks, torch.cat([part.driving_landmarks for part in parts])
    )
    assert whole.has_landmarks.all()


def test_landmarks_of_a_set_are_used_unasked_where_they_can_teach_the_model(
    made: tuple[Path, PrepareReport], tmp_path: Path
) -> None:
    def decided(preset: str, landmarks: Path | None, data: Path) -> Path | None:
        options = TrainOptions(data=(data,), preset=preset, landmarks=landmarks)
        return with_own_landmarks(options).landmarks

    assert decided("codebook-lite", None, made[0]) == AUTO
    assert decided("codebook-lite", NONE, made[0]) is None
    assert decided("codebook-lite", None, tmp_path) is None
    assert decided("fomm", None, made[0]) is None  # has too few keypoints
    assert decided("codebook-lite", tmp_path, made[0]) == tmp_path


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"nonsense",
        b'{"clip": "../../etc/passwd"}',
        b"[1]",
    ],
)
def test_a_damaged_manifest_is_one_sentence(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(line + b"\n")
    with pytest.raises(TalkheadError, match="damaged in line 1"):
        read_manifest(tmp_path)


def test_a_manifest_names_nothing_outside_of_its_folder(
    made: tuple[Path, PrepareReport], tmp_path: Path
) -> None:
    line = json.loads((made[0] / "manifest.jsonl").read_text().splitlines()[0])
    for name in ("../other.mp4", "/etc/passwd", ""):
        text = json.dumps({**line, "clip": name})
        (tmp_path / "manifest.jsonl").write_text(text + "\n")
        with pytest.raises(TalkheadError, match="outside of the training set"):
            read_manifest(tmp_path)


def test_a_set_is_not_made_of_its_own_clips(tmp_path: Path, videos: Path) -> None:
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "talk.mp4").write_bytes((videos / "anna" / "talk.mp4").read_bytes())
    for new in (1, 0, 0):
        report = prepare(PrepareOptions(tmp_path / "set", (tmp_path,), **EASY))
        assert (report.new, report.videos, report.clips) == (new, 1, 1)


def test_a_listed_video_that_cannot_be_read_is_named_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"not a video")
    table = tmp_path / "list.csv"
    table.write_text("video,start,end\nbad.mp4,0,1\nbad.mp4,2,3\n")
    options = PrepareOptions(tmp_path / "set", (tmp_path / "bad.mp4",), listed=table, **EASY)
    for _ in range(2):
        report = prepare(options)
        assert [Path(video).name for video in report.failed] == ["bad.mp4"]
        assert report.videos == 0


def test_a_part_that_breaks_leaves_no_clip_without_a_file(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "list.csv"
    table.write_text("video,start,end\ntalk.mp4,0,0.64\ntalk.mp4,0,0.64\n")
    finish = extract_module.Cutter.finish
    calls: list[int] = []

    def breaks(self: object, pieces: Iterator[object]) -> None:
        calls.append(len(list(pieces)))
        if len(calls) == 2:
            raise TalkheadError("it has changed while it was being read")
        finish(self, iter(()))  # type: ignore[arg-type]

    monkeypatch.setattr(extract_module.Cutter, "finish", breaks)
    source = Source(
        videos / "anna" / "talk.mp4",
        "talk",
        (Segment(0.0, 0.64, "anna"), Segment(0.0, 0.64, "anna")),
    )
    found = extract_module.extract(
        source, PrepareOptions(tmp_path / "set", (videos,), **EASY), FaceFinder()
    )
    assert calls == [1, 1]
    assert len(found.clips) == 1
    assert [each.reason for each in found.rejected] == ["unreadable"]


def test_seconds_are_counted_from_the_first_picture(tmp_path: Path, videos: Path) -> None:
    with VideoReader(videos / "anna" / "talk.mp4", frames=FRAMES) as reader:
        pictures = [frame.rgb for frame in reader]
    late = make_clip(
        tmp_path / "late.ts",
        FRAMES,
        size=(640, 480),
        pictures=pictures,
        audio=False,
        options={"output_ts_offset": "3600"},
    )
    prepare(PrepareOptions(tmp_path / "set", (late,), **EASY))
    (entry,) = read_manifest(tmp_path / "set") or ()
    assert entry.start == pytest.approx(0, abs=0.05)
    assert entry.end == pytest.approx(FRAMES / 25, abs=0.05)


def test_a_name_that_is_no_text_is_kept(tmp_path: Path) -> None:
    options = PrepareOptions(tmp_path, (tmp_path,), **EASY)
    name = os.fsdecode(b"caf\xe9")
    odd = Source(tmp_path / f"{name}.mp4", name, (Segment(0.0, 1.0, name),))
    odd.path.write_bytes(b"")
    journal = Journal(tmp_path, options)
    journal.keep()
    journal.add(odd, work_of(odd), Extract((), (), 0.0, 0.0))
    assert Journal(tmp_path, options).has(odd)
