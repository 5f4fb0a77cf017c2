"""The folder of a run: never anybody else's, emptied of nothing but what runs put there."""

from __future__ import annotations

import contextlib
import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from media import tree
from toys import run_options

from talkhead.errors import TalkheadError
from talkhead.interrupts import Interrupted
from talkhead.io.atomic import atomic_path
from talkhead.training.folder import clear_run, run_folder
from talkhead.training.loop.logging import RunLog
from talkhead.training.loop.trainer import Trainer
from talkhead.training.options import TrainOptions
from talkhead.training.train import train


def fill_foreign(folder: Path) -> dict[str, bytes]:
    """Somebody's folder, with names that a run has too."""
    for name in ("pictures/holiday.txt", "tensorboard/a", "run.json", "weights.safetensors"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"precious")
    return tree(folder)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("state", [False, True])
def test_a_folder_that_is_no_run_of_ours_is_never_written_into(
    clips: Path, tmp_path: Path, overwrite: bool, state: bool
) -> None:
    home = tmp_path / "home"
    if state:
        home.mkdir()
        (home / "state.pt").write_bytes(b"precious")
    before = fill_foreign(home)
    with pytest.raises(TalkheadError, match="holds other files"):
        train(run_options(clips, home, steps=1, overwrite=overwrite))
    assert tree(home) == before


def make_run(folder: Path) -> Path:
    """A folder as a run leaves it, with a mark."""
    wanted = TrainOptions(data=(), output=folder)
    with run_folder(wanted):
        facts = {"talkhead": "0.1.0", "recipe": {}, "steps_done": 1}
        for name in ("state.pt", "weights.safetensors", "losses.jsonl"):
            (folder / name).write_bytes(b"of the run")
        (folder / "run.json").write_text(json.dumps(facts))
        for name in ("pictures/0000001.png", "tensorboard/events.out.tfevents.1.host"):
            (folder / name).parent.mkdir()
            (folder / name).write_bytes(b"of the run")
    return folder


def test_overwriting_a_run_leaves_what_is_not_of_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    kept = ("notes.txt", "pictures/mine.png", "tensorboard/mine")
    for name in kept:
        (run / name).write_bytes(b"precious")
    with (
        pytest.raises(TalkheadError, match="holds a run already"),
        run_folder(TrainOptions(data=(), output=run)),
    ):
        pass
    with run_folder(TrainOptions(data=(), output=run, overwrite=True)):
        clear_run(run)
    assert tree(run) == {".talkhead": b"talkhead training run\n"} | dict.fromkeys(kept, b"precious")


def test_no_link_in_a_run_is_written_or_deleted_through(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "0000001.png").write_bytes(b"precious")
    (run / "pictures" / "0000001.png").unlink()
    (run / "pictures").rmdir()
    (run / "pictures").symlink_to(tmp_path / "victim")
    with (
        pytest.raises(TalkheadError, match="pictures is a link"),
        run_folder(TrainOptions(data=(), output=run, overwrite=True)),
    ):
        pass
    clear_run(run)
    assert tree(tmp_path / "victim") == {"0000001.png": b"precious"}


def test_a_run_is_not_replaced_while_it_is_begun_from(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    again = tmp_path / "again.safetensors"
    again.hardlink_to(run / "weights.safetensors")
    wanted = TrainOptions(data=(), output=run, overwrite=True, init=again)
    with pytest.raises(TalkheadError, match="of the run to be replaced"), run_folder(wanted):
        pass
    assert again.read_bytes() == b"of the run"


def test_leftovers_of_killed_saves_are_removed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    names = (".state.99.part.pt", ".weights.99.part.safetensors", ".tmpAb3xYz", ".run.9.part.json")
    for name in (*names, ".hidden", "pictures/.0000001.9.part.png"):
        (run / name).write_bytes(b"left over")
    with run_folder(TrainOptions(data=(), output=run, resume=True)):
        assert {path.name for path in run.rglob(".*")} == {".talkhead", ".hidden"}


def test_a_killed_save_leaves_names_that_the_next_run_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run")
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # as if killed before it
    for name in ("state.pt", "weights.safetensors", "run.json"):
        with contextlib.suppress(InterruptedError), atomic_path(run / name) as partial:
            partial.write_bytes(b"half")
            raise InterruptedError
    monkeypatch.undo()
    assert len(list(run.glob(".*.part.*"))) == 3
    with run_folder(TrainOptions(data=(), output=run, resume=True)):
        assert list(run.glob(".*.part.*")) == []


def test_a_run_of_version_0_1_is_known_without_a_mark(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / ".talkhead").unlink()
    with run_folder(TrainOptions(data=(), output=run, resume=True)):
        assert (run / ".talkhead").is_file()
    (run / ".talkhead").unlink()
    (run / "run.json").write_text("[]")
    with (
        pytest.raises(TalkheadError, match="holds other files"),
        run_folder(TrainOptions(data=(), output=run, overwrite=True)),
    ):
        pass


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    wanted = TrainOptions(data=(), output=tmp_path / "run")
    again = run_folder(wanted)
    with run_folder(wanted), pytest.raises(TalkheadError, match="another run writes to"):
        again.__enter__()
    assert not (tmp_path / "run").exists()  # nothing came of it


def test_a_folder_that_is_a_link_is_used_like_its_end(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to("disk")
    make_run(tmp_path / "run")
    assert (tmp_path / "disk" / "weights.safetensors").is_file()
    assert (tmp_path / "run").is_symlink()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", "[1, 2]"),
        ("run.json", '{"validations": [{"step": "x"}]}'),
        ("run.json", '{"validations": 3}'),
        ("run.json", "\x00"),
        ("losses.jsonl", "{}\n"),
        ("losses.jsonl", "no json\n"),
    ],
)
def test_a_tampered_log_is_one_sentence(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TalkheadError, match=rf"{name} is damaged"):
        RunLog(tmp_path, {}, done=3)


def test_a_tampered_state_is_one_sentence(clips: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    wanted = run_options(clips, run, steps=2, resume=True)
    train(replace(wanted, resume=False))
    state = torch.load(run / "state.pt", weights_only=True)
    for change in (
        {"step": -1},
        {"config": 3},
        {"optimizer": []},
    ):
        torch.save({**state, **change}, run / "state.pt")
        with pytest.raises(TalkheadError, match="damaged"):
            train(wanted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_save_like_ctrl_c(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    learn = Trainer.train_step

    def interrupted(self: Trainer, batch: object, step: int, progress: float) -> object:
        if step == 1:
            signal.raise_signal(number)
        return learn(self, batch, step, progress)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    with pytest.raises(Interrupted) as raised:
        train(run_options(clips, tmp_path / "run", steps=4))
    assert raised.value.number == number
    assert json.loads((tmp_path / "run" / "run.json").read_text())["steps_done"] == 2
