"""The command line as a person or a script meets it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from media import frame_seconds, make_clip, make_sound
from PIL import Image
from rendering import CENTRED, SQUARE
from typer.testing import CliRunner

from talkhead.animation.animator import Animator
from talkhead.animation.settings import RenderSettings
from talkhead.cli import app
from talkhead.cli.animate import expand
from talkhead.cli.console import write_line
from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.version import __version__
from talkhead.video import VideoWriter


@pytest.fixture
def run(toy_weights: Path):  # type: ignore[no-untyped-def]
    """Call `talkhead animate` with toy weights; returns exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        command = ["animate", *map(str, arguments), "--weights", str(toy_weights)]
        result = CliRunner().invoke(app, command)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.stdout, result.stderr

    return call


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"talkhead {__version__}\n")


def test_help_lists_the_commands() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "animate" in result.stdout
    assert "convert" in result.stdout


def test_animate_writes_a_video_and_says_so(run, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=5)
    code, out, _ = run(portrait, driving, "-o", tmp_path / "out.mp4", *SQUARE)
    assert code == 0
    assert "5 frames" in out
    assert len(frame_seconds(tmp_path / "out.mp4")) == 5


def test_json_is_one_object_on_stdout(run, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=5)
    code, out, _ = run(portrait, driving, "-o", tmp_path / "out.mp4", "--json", *SQUARE)
    assert code == 0
    assert json.loads(out)["frames"] == 5
    assert json.loads(out)["detector"] == "user"


def test_several_sources_and_drivings_fill_a_folder(run, portrait: Path, tmp_path: Path) -> None:
    one = make_clip(tmp_path / "one.mp4", frames=2)
    two = make_clip(tmp_path / "two.mp4", frames=2)
    other = tmp_path / "other.png"
    other.write_bytes(portrait.read_bytes())
    code, _, _ = run(portrait, other, one, "-d", two, "-o", tmp_path / "results", *SQUARE)
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == [
        "other--one.mp4",
        "other--two.mp4",
        "portrait--one.mp4",
        "portrait--two.mp4",
    ]


def test_a_later_output_that_exists_is_found_before_the_first_is_rendered(
    run, portrait: Path, tmp_path: Path
) -> None:
    drivings = [make_clip(tmp_path / f"{name}.mp4", frames=2) for name in ("one", "two")]
    results = tmp_path / "results"
    results.mkdir()
    (results / "portrait--two.mp4").write_bytes(b"precious")
    code, _, err = run(portrait, drivings[0], "-d", drivings[1], "-o", results, *SQUARE)
    assert code == 1
    assert "portrait--two.mp4 exists" in err
    assert [path.read_bytes() for path in results.iterdir()] == [b"precious"]


def test_motion_of_one_driver_is_written_once(
    run, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[Path] = []

    def save(path: Path, *_: object) -> None:
        saved.append(path)
        path.touch()

    monkeypatch.setattr("talkhead.animation.animator.save_motion", save)
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    other = tmp_path / "other.png"
    other.write_bytes(portrait.read_bytes())
    rest = ["-o", tmp_path / "results", "--motion-out", tmp_path / "m.safetensors", *SQUARE]
    assert run(portrait, other, driving, *rest)[0] == 0
    assert saved == [tmp_path / "m.safetensors"]
    code, _, err = run(portrait, driving, "-d", driving, *rest, "--overwrite")
    assert code == 1
    assert "--motion-out" in err


def test_strange_names_work(run, portrait: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mit Leer zeichen é 顔"
    folder.mkdir()
    driving = make_clip(folder / "treiber ü.mp4", frames=2)
    source = folder / "пo rtrait.png"
    source.write_bytes(portrait.read_bytes())
    code, _, err = run(source, driving, "-o", folder / "aus gabe ö.mp4", *SQUARE)
    assert (code, err) == (0, "")
    assert (folder / "aus gabe ö.mp4").is_file()


def bad_inputs(folder: Path) -> dict[str, tuple[list[object], str]]:
    """Arguments that cannot work, and a part of the sentence that must come."""
    good = folder / "good.png"
    Image.new("RGB", (64, 64), "grey").save(good)
    clip = make_clip(folder / "clip.mp4", frames=3)
    text = folder / "notes.txt"
    text.write_text("not media " * 50)
    empty = folder / "empty.mp4"
    empty.touch()
    half = folder / "half.png"
    Image.effect_noise((200, 200), 90).save(half)
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    cut = folder / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:600])
    sound = make_sound(folder / "sound.m4a")
    out = ["-o", folder / "out.mp4", *SQUARE]
    return {
        "missing source": ([folder / "no.png", clip, *out], "no.png"),
        "missing driving": ([good, folder / "no.mp4", *out], "no.mp4 does not exist"),
        "a picture drives": ([good, good, *out], "one picture"),
        "empty driving": ([good, empty, *out], "empty.mp4"),
        "driving is text": ([good, text, *out], "notes.txt"),
        "source is text": ([text, clip, *out], "notes.txt"),
        "half a picture": ([half, clip, *out], "half.png"),
        "half a video": ([good, cut, *out], "cut.mp4"),
        "sound only": ([good, sound, *out], "sound.m4a"),
        "no face": ([good, clip, "-o", folder / "out.mp4"], "--crop-driving"),
        "crop outside": ([good, clip, "-o", folder / "out.mp4", "--crop-source", "900,900,50"], ""),
        "crop nonsense": ([good, clip, "-o", folder / "out.mp4", "--crop-source", "a,b"], "crop"),
        "start after end": ([good, clip, *out, "--start", "60"], "start"),
        "no such folder": ([good, clip, "-o", folder / "no/out.mp4", *SQUARE], "folder"),
        "unknown ending": ([good, clip, "-o", folder / "out.xyz", *SQUARE], ".xyz"),
        "no cuda": ([good, clip, *out, "--device", "cuda:77"], "cuda:77"),
        "fp16 on a cpu": ([good, clip, *out, "--device", "cpu", "--fp16"], "GPU"),
        "no such track": ([good, clip, *out, "--track", "7"], "track"),
        "anchor nonsense": ([good, clip, *out, "--anchor", "soon"], "anchor"),
        "anchor of nothing": (
            [good, clip, *out, "--motion", "absolute", "--anchor", "2"],
            "anchor",
        ),
        "track of no sound": ([good, clip, *out, "--no-sound", "--track", "0"], "track"),
        "no such quality": ([good, clip, *out, "--crf", "52"], "between 0 and 51"),
    }


def test_bad_input_is_one_sentence_and_leaves_nothing(run, tmp_path: Path) -> None:
    cases = bad_inputs(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for name, (arguments, words) in cases.items():
        code, out, err = run(*arguments)
        assert code == 1, f"{name}: exit {code}\n{err}"
        assert out == "", name
        message = err.strip().splitlines()[-1]
        assert message.startswith("error: "), f"{name}: {err}"
        assert words in message, f"{name}: {message}"
        assert "Traceback" not in err, name
        assert sorted(tmp_path.rglob("*")) == before, name


def test_damaged_weights_are_refused(portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    weights = tmp_path / "bad.safetensors"
    weights.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not json at all")
    command = ["animate", str(portrait), str(driving), "-o", str(tmp_path / "o.mp4")]
    result = CliRunner().invoke(app, [*command, "--weights", str(weights), *SQUARE])
    assert result.exit_code == 1
    assert "bad.safetensors" in result.stderr


def test_a_pattern_may_lie_in_a_folder_with_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "takes [1]"
    folder.mkdir()
    for name in ("b.png", "a.png", "a.txt"):
        (folder / name).touch()
    assert expand(f"{folder}/*.png") == [folder / "a.png", folder / "b.png"]
    assert expand(f"{tmp_path}/takes*/a.png") == [folder / "a.png"]
    with pytest.raises(TalkheadError, match="nothing matches"):
        expand(f"{folder}/*.jpg")


def test_misuse_exits_with_two(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["animate"]).exit_code == 2
    assert CliRunner().invoke(app, ["animate", "only.png", "-o", "x.mp4"]).exit_code == 2


def test_readme_and_documentation_show_real_commands() -> None:
    """Every `talkhead` line of them parses: its options exist and take these values."""
    root = Path(__file__).parents[2]
    texts = [path.read_text() for path in (root / "README.md", *(root / "docs").glob("*.md"))]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = [line for line in lines if re.match(rf"talkhead ({'|'.join(commands)}) ", line)]
    assert len(lines) > 40
    for line in lines:
        _, name, *words = shlex.split(re.split(" [#|<>]", line)[0])
        with contextlib.suppress(typer.Exit):  # of --help and --list-metrics
            commands[name].make_context(name, words)  # raises where a word is not understood


def test_every_option_of_animate_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "animate.md").read_text()
    command = typer.main.get_command(app).commands["animate"]  # type: ignore[attr-defined]
    flags = [option.opts[0] for option in command.params if option.opts[0].startswith("--")]
    missing = [flag for flag in flags if flag not in page and f"--no-{flag[2:]}" not in page]
    assert missing == []


@pytest.mark.parametrize("example", ["animate_photo.py", "own_frames.py"])
def test_examples_run(
    example: str, toy_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Path(__file__).parents[2] / "examples" / example
    words = [str(script), "--weights", str(toy_weights), "--frames", "4", "-o", "out.mp4"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    assert len(frame_seconds(tmp_path / "out.mp4")) == 4


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_memory_that_runs_out_is_one_sentence(
    run,  # type: ignore[no-untyped-def]
    portrait: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("talkhead.inference.engine.Engine.encode", fail)
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    code, _, told = run(portrait, driving, "-o", tmp_path / "out.mp4", *SQUARE)
    assert (code, told.count("\n")) == (1, 1)
    assert told.startswith("error: memory ran out")
    assert ("--device cpu" in told) == isinstance(error, torch.OutOfMemoryError)
    assert not (tmp_path / "out.mp4").exists()


def test_choices_that_exclude_each_other_are_refused(run, portrait: Path, tmp_path: Path) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    for options in (["--paste-back", "--size", 64], ["--paste-back", "--layout", "grid"]):
        code, _, told = run(portrait, driving, "-o", tmp_path / "out.mp4", *SQUARE, *options)
        assert code == 1
        assert "pasted back" in told


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--size", "-4"], "size must be a whole number, 16 to 4096, or auto, not -4"),
        (["--size", "99999"], "size must be a whole number, 16 to 4096, or auto, not 99999"),
        (
            ["--paste-back", "--size", "64"],
            "a result that is pasted back has the photo's size; limit it with --max-side instead "
            "of --size",
        ),
        (
            ["--max-side", "640"],
            "--max-side limits a photo that the face is pasted back into; add --paste-back, or "
            "choose the result's size by --size",
        ),
    ],
)
def test_sizes_that_cannot_be_are_one_sentence(
    options: list[str],
    sentence: str,
    run,  # type: ignore[no-untyped-def]
    portrait: Path,
    tmp_path: Path,
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    code, _, told = run(portrait, driving, "-o", tmp_path / "out.mp4", *SQUARE, *options)
    assert (code, told) == (1, f"error: {sentence}\n")
    assert list(tmp_path.iterdir()) == [driving]


@pytest.mark.parametrize("options", [["--size", "big"], ["--size", "1.5"], ["--max-side", "5"]])
def test_sizes_that_are_misspelt_are_wrong_usage(
    options: list[str],
    run,  # type: ignore[no-untyped-def]
    portrait: Path,
    tmp_path: Path,
) -> None:
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    code, _, told = run(portrait, driving, "-o", tmp_path / "out.mp4", *SQUARE, *options)
    assert code == 2
    assert "Error" in told
    assert options[0] in told
    assert list(tmp_path.iterdir()) == [driving]


def test_a_fault_of_ours_is_one_line_and_shown_whole_with_debug(
    run,  # type: ignore[no-untyped-def]
    portrait: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr("talkhead.inference.engine.Engine.encode", fail)
    driving = make_clip(tmp_path / "drive.mp4", frames=2)
    code, _, told = run(portrait, driving, "-o", tmp_path / "out.mp4", *SQUARE)
    assert (code, told.count("\n")) == (1, 1)
    assert told.startswith("error: unexpected IndexError: list index out of range; run the command")
    with pytest.raises(AssertionError):  # the error itself came through
        run(portrait, driving, "-o", tmp_path / "out.mp4", *SQUARE, "--debug")


def test_an_interrupted_render_says_what_it_keeps(
    run,  # type: ignore[no-untyped-def]
    portrait: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    written = []
    write = VideoWriter.write

    def interrupted(self: VideoWriter, rgb: np.ndarray, pts: int) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(pts)
        write(self, rgb, pts)

    monkeypatch.setattr(VideoWriter, "write", interrupted)
    driving = make_clip(tmp_path / "drive.mp4", frames=6)
    code, _, told = run(portrait, driving, "-o", tmp_path / "out.mp4", *SQUARE)
    assert code == 130
    assert "3 frames are kept in" in caplog.text
    assert told.endswith("interrupted\n")


def test_settings_are_checked_where_they_are_made() -> None:
    for wrong in (
        {"layout": "rows"},
        {"detector": "eyes"},
        {"smooth": 5},
        {"face": 0},
        {"track": -1},
        {"motion": "absolute", "anchor": "first"},
        {"motion": "avd", "anchor": "3"},
    ):
        with pytest.raises(TalkheadError, match=next(iter(wrong))):
            RenderSettings(**wrong)


def test_animator_takes_names_as_text(
    engine: Engine, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clip(tmp_path / "drive.mp4", frames=2)
    monkeypatch.chdir(tmp_path)
    report = Animator(engine)(str(portrait), "drive.mp4", "out.mp4", CENTRED)
    assert report.output == "out.mp4"
    assert len(frame_seconds(tmp_path / "out.mp4")) == 2


def test_names_that_an_output_cannot_hold_do_not_fail_what_is_done() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    write_line("写真--é.mp4: 3 frames", stream)
    stream.flush()
    assert stream.buffer.getvalue().decode("cp1252") == "\\u5199\\u771f--é.mp4: 3 frames\n"
