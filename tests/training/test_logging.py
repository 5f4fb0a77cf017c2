"""What a run tells: lines, a live table, files, TensorBoard, and the time that is left."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from talkhead.cli.console import CurrentStderr, messages
from talkhead.training.loop.logging import RunLog, TrainingProgress, clock, open_screen


def progress(step: int, pixel: float = 0.25) -> TrainingProgress:
    return TrainingProgress(
        done=step,
        total=100,
        seconds=61.0,
        left=3725.0,
        pairs=4.0,
        rate=0.5,
        terms={"pixel": pixel, "motion_code": 0.5},
        notes={"codes in use": "motion 50%"},
    )


def test_a_moment_tells_progress_speed_and_time_left() -> None:
    title = progress(7).title()
    assert title.startswith("step 7/100")
    assert "8.0 images/s" in title
    assert "0:01:01 done, 1:02:05 left" in title
    assert clock(59.6) == "0:01:00"


def test_lines_for_logs_have_every_term_and_do_not_come_too_often(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open_screen(quiet=False) as show:
        show(progress(1))
        show(progress(2))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "loss 0.7500 (pixel 0.2500 motion_code 0.5000)" in lines[0]
    assert "codes in use: motion 50%" in lines[0]


def test_the_live_table_shows_the_latest_moment_and_messages_above_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    with open_screen(quiet=False) as show:
        show(progress(8, pixel=0.125))
        logger = logging.Logger("test")
        logger.addHandler(CurrentStderr())
        logger.warning("skipped a clip")  # goes through the table's own console
    shown = terminal.getvalue()
    assert "step 8/100" in shown
    assert "0.1250" in shown
    assert shown.index("skipped a clip") < shown.rindex("step 8/100")


def test_who_wants_quiet_sees_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with open_screen(quiet=True) as show:
        show(progress(1))
    assert capsys.readouterr() == ("", "")


def test_the_log_takes_back_what_comes_after_the_step_that_is_resumed(tmp_path: Path) -> None:
    run_log = RunLog(tmp_path, {"preset": "toy"}, 0)
    for step in (1, 2, 3):
        run_log.add(progress(step))
        run_log.add_validation(step, {"l1": step / 10})
    run_log.write(2, 60.0, skipped_steps=0)
    run_log.close()
    story = json.loads((tmp_path / "run.json").read_text())
    assert (story["preset"], story["steps_done"]) == ("toy", 2)
    again = RunLog(tmp_path, {"preset": "toy"}, 2)
    again.close()
    assert [each["step"] for each in again.validations] == [1, 2]
    lines = (tmp_path / "losses.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]


def test_tensorboard_gets_losses_scores_and_pictures(tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="TensorBoard is an optional extra",
    )
    run_log = RunLog(tmp_path, {}, 0)
    run_log.add(progress(5))
    run_log.add_validation(5, {"psnr": 20.0})
    run_log.add_picture(5, np.zeros((8, 8, 3), np.uint8))
    run_log.close()
    events = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss/pixel")] == [(5, 0.25)]
    assert events.Scalars("images per second")[0].value == 8.0
    assert events.Scalars("validation/psnr")[0].value == 20.0
    assert events.Images("validation")[0].step == 5


def test_a_log_that_cannot_be_written_says_how_to_go_on(tmp_path: Path) -> None:
    from talkhead.errors import TalkheadError

    run_log = RunLog(tmp_path, {}, 0)
    (tmp_path / "losses.jsonl").mkdir()
    with pytest.raises(TalkheadError, match="--resume"):
        run_log.add(progress(1))
    run_log.close()


@pytest.mark.parametrize(("debug", "quiet"), [(False, True), (True, False)])
def test_a_command_leaves_the_levels_of_messages_as_they_were(debug: bool, quiet: bool) -> None:
    loggers = logging.getLogger(), logging.getLogger("talkhead")
    before = [logger.level for logger in loggers]
    with messages(debug, quiet):
        assert [logger.level for logger in loggers] != before
    assert [logger.level for logger in loggers] == before
