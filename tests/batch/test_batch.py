"""Many renders from a table: what is missing is made, what fails fails alone."""

from __future__ import annotations

import csv
import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from media import frame_seconds, make_clip, make_pictures
from typer.testing import CliRunner

import talkhead
from talkhead.animation.driving import VideoMotion
from talkhead.animation.settings import RenderSettings
from talkhead.batch import results as batch_results
from talkhead.batch import worker
from talkhead.batch.batch import BatchReport, batch
from talkhead.batch.jobs import Job, read_jobs
from talkhead.batch.options import BatchOptions
from talkhead.batch.results import NOTES, TABLE, Result, write_note
from talkhead.cli import app
from talkhead.errors import TalkheadError

Table = Callable[..., Path]
CENTRED = {"crop-source": "none", "crop-driving": "none", "size": "64"}


@pytest.fixture
def table(tmp_path: Path, portrait: Path) -> Table:
    """Write a table of jobs beside two drivers, a.mp4 and b.mp4, and two sources, p.png, q.png."""
    for name, frames in (("a.mp4", 3), ("b.mp4", 5)):
        make_clip(tmp_path / name, frames=frames)
    for name in ("p.png", "q.png"):
        (tmp_path / name).write_bytes(portrait.read_bytes())

    def write(*rows: dict[str, str]) -> Path:
        path = tmp_path / "jobs.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list({name: None for row in rows for name in row}))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


def row(source: str = "p.png", driving: str = "a.mp4", **cells: str) -> dict[str, str]:
    return {"source": source, "driving": driving, **CENTRED, **cells}


@pytest.fixture
def run(toy_weights: Path, tmp_path: Path) -> Callable[..., BatchReport]:
    """Render a table into `results` with toy weights."""

    def call(jobs: Path, **options: Any) -> BatchReport:
        overwrite = options.pop("overwrite", False)
        chosen = BatchOptions(weights=toy_weights, device="cpu", **options)
        return batch(jobs, tmp_path / "results", chosen, overwrite=overwrite)

    return call


def found(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results" / TABLE).read_text().splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    """All files below the results, the table left out."""
    whole = folder / "results"
    every = (path for path in whole.rglob("*") if path.is_file() and path.name != TABLE)
    return {str(path.relative_to(whole)): path.read_bytes() for path in every}


def test_a_row_is_a_job_with_typed_settings(table: Table, tmp_path: Path) -> None:
    jobs = table(
        row(anchor="3", smooth="0.5", sound="no", output="x/y.mp4", **{"encoder-preset": "fast"}),
        row(size="auto", face="", **{"paste-back": "True"}),
    )
    first, second = read_jobs(jobs, None)
    assert first == Job(
        1,
        (tmp_path / "p.png",),
        tmp_path / "a.mp4",
        Path("x/y.mp4"),
        RenderSettings(
            crop_source="none", crop_driving="none", size=64, anchor="3", smooth=0.5, sound=False,
            preset="fast",
        ),
        None,
    )  # fmt: skip
    assert isinstance(second, Job)
    assert (second.settings.paste_back, second.settings.size) == (True, "auto")
    assert second.output == Path("p--a.mp4")


def test_names_may_hold_commas_quotes_and_any_letters(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.csv"
    text = 'Source,DRIVING\r\n"Bild, ""das""\n顔 é.png",ü.mp4\r\n\r\n'
    jobs.write_bytes(b"\xef\xbb\xbf" + text.encode())  # as Excel writes it
    (job,) = read_jobs(jobs, None)
    assert isinstance(job, Job)
    assert job.sources[0] == tmp_path / 'Bild, "das"\n顔 é.png'
    assert job.driving == tmp_path / "ü.mp4"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "no column source"),
        (b"source,driving\n", "has no rows"),
        (b"source;driving\np.png;a.mp4\n", "no column source.*commas"),
        (b"source\np.png\n", "no column driving"),
        (b"source,driving,sise\np,a,1\n", "do you mean size"),
        (b"source,driving,colour\np,a,1\n", "'colour', which is no setting of a row; there are"),
        (b"source,driving,device\np,a,cpu\n", "give --device to the command, for all rows"),
        (b"source,driving,size,size\np,a,1,1\n", "two columns size"),
        (b'source,driving\n"p,a\n', "no CSV table"),
        (b"source,driving\n\xff\xfe,a\n", "not text in UTF-8"),
    ],
)
def test_a_table_that_is_none_is_one_sentence(
    content: bytes, sentence: str, tmp_path: Path
) -> None:
    jobs = tmp_path / "jobs.csv"
    jobs.write_bytes(content)
    with pytest.raises(TalkheadError, match=sentence):
        read_jobs(jobs, None)


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (row(source=""), "names no source"),
        (row(source="https://a.org/p.png"), "only files are read"),
        (row(size="huge"), "size must be"),
        (row(smooth="2"), "smooth must be a number, 0 to 1"),
        (row(output="../x.mp4"), "no place in the folder"),
        (row(output="/tmp/x.mp4"), "no place in the folder"),
        (row(output=".talkhead-batch/x.mp4"), "hidden"),
        (row(motion="absolute", anchor="first"), "not measured from an anchor"),
    ],
)
def test_a_bad_row_says_why(cells: dict[str, str], sentence: str, table: Table) -> None:
    (bad,) = read_jobs(table(cells), None)
    assert isinstance(bad, Result)
    assert sentence in (bad.error or "")


def test_a_row_with_more_values_than_columns_is_told_to_use_quotes(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("source,driving\na,b.png,a.mp4\n")
    (bad,) = read_jobs(tmp_path / "jobs.csv", None)
    assert isinstance(bad, Result)
    assert "3 values for 2 columns; put quotes" in (bad.error or "")


def test_a_disk_that_was_away_costs_no_result(run: Any, table: Table, tmp_path: Path) -> None:
    jobs = table(row())
    assert run(jobs).done == 1
    made = files(tmp_path)
    (tmp_path / "p.png").rename(tmp_path / "away.png")
    assert run(jobs).failed == 1
    (tmp_path / "away.png").rename(tmp_path / "p.png")
    report = run(jobs)
    assert (report.done, report.before, report.failed) == (1, 1, 0)
    assert files(tmp_path) == made


def test_two_rows_with_one_output_stay_told_of_and_the_first_is_made_once(
    run: Any, table: Table, tmp_path: Path
) -> None:
    jobs = table(row(), row(smooth="0.5"))
    for before in (0, 1, 1):
        report = run(jobs)
        assert (report.done, report.before, report.failed) == (1, before, 1)
    facts = found(tmp_path)
    assert [(each["row"], each["status"]) for each in facts] == [(1, "done"), (2, "failed")]


def test_no_output_replaces_what_another_row_reads(run: Any, table: Table, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    driver = tmp_path / "results" / "b.mp4"
    driver.write_bytes((tmp_path / "b.mp4").read_bytes())
    before = driver.read_bytes()
    report = run(table(row(output="b.mp4"), row(driving="results/b.mp4")), overwrite=True)
    assert (report.done, report.failed) == (1, 1)
    assert "also an input" in found(tmp_path)[0]["error"]
    assert driver.read_bytes() == before


def test_a_path_that_no_system_knows_fails_its_own_row_alone(
    run: Any, table: Table, tmp_path: Path
) -> None:
    report = run(table(row(), row("p" * 300 + ".png")))
    assert (report.done, report.failed) == (1, 1)


def test_pictures_that_another_row_reads_are_not_replaced(
    run: Any, table: Table, tmp_path: Path
) -> None:
    make_pictures(tmp_path / "results" / "frames", 3)
    before = files(tmp_path)
    report = run(table(row(output="frames"), row(driving="results/frames")), overwrite=True)
    assert (report.done, report.failed) == (1, 1)
    assert "also an input" in found(tmp_path)[0]["error"]
    assert before.items() <= files(tmp_path).items()


def test_results_are_those_of_animate(
    run: Any, table: Table, tmp_path: Path, toy_weights: Path
) -> None:
    report = run(table(row(), row("q.png"), row("p.png", "b.mp4", output="deep/er.mp4")))
    assert (report.rows, report.done, report.failed, report.before) == (3, 3, 0, 0)
    assert sorted(files(tmp_path)) == ["deep/er.mp4", "p--a.mp4", "q--a.mp4"]
    alone = tmp_path / "alone.mp4"
    settings = RenderSettings(crop_source="none", crop_driving="none", size=64)
    talkhead.animate(
        tmp_path / "p.png", tmp_path / "b.mp4", alone, settings, weights=toy_weights, device="cpu"
    )
    assert files(tmp_path)["deep/er.mp4"] == alone.read_bytes()
    facts = found(tmp_path)
    assert [(each["row"], each["status"], each["frames"]) for each in facts] == [
        (1, "done", 3),
        (2, "done", 3),
        (3, "done", 5),
    ]
    assert [(each["lost"], each["error"]) for each in facts] == [(0, None)] * 3


def test_what_fails_fails_alone(
    run: Any, table: Table, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    report = run(
        table(row(), row(), row("gone.png"), row("q.png", "broken.mp4"), row("q.png", frames="x"))
    )
    assert (report.done, report.failed) == (1, 4)
    assert list(files(tmp_path)) == ["p--a.mp4"]
    errors = [each["error"] for each in found(tmp_path)]
    assert errors[0] is None
    assert "same output p--a.mp4 as row 1" in errors[1]
    assert "gone.png does not exist" in errors[2]
    assert "broken.mp4" in errors[3]
    assert "frames must be" in errors[4]
    assert "row 3: " in caplog.text


def test_a_second_run_makes_only_what_is_missing(
    run: Any, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = table(row(), row("q.png"))
    run(jobs)
    before = files(tmp_path)
    (tmp_path / "results" / "q--a.mp4").unlink()
    made: list[int] = []
    render = worker.Worker.do
    monkeypatch.setattr(
        worker.Worker, "do", lambda self, task: made.append(task.job.row) or render(self, task)
    )
    report = run(jobs)
    assert (report.done, report.before, made) == (2, 1, [2])
    assert files(tmp_path) == before
    assert run(jobs).before == 2
    assert made == [2]


def test_a_changed_row_is_made_anew_only_where_that_is_wanted(
    run: Any, table: Table, tmp_path: Path
) -> None:
    run(table(row()))
    report = run(table(row(frames="2")))
    assert report.failed == 1
    assert "exists; pass --overwrite" in found(tmp_path)[0]["error"]
    assert run(table(row(frames="2")), overwrite=True).done == 1
    assert len(frame_seconds(tmp_path / "results" / "p--a.mp4")) == 2


def test_failed_rows_wait_for_retry_or_for_other_inputs(
    run: Any, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = table(row(), row("q.png"))
    monkeypatch.setattr(worker, "read_driving", lambda path: 1 / 0)
    assert run(jobs).failed == 2
    monkeypatch.undo()
    assert run(jobs).failed == 2  # nothing has changed
    (tmp_path / "q.png").touch()
    report = run(jobs)
    assert (report.done, report.failed) == (1, 1)
    report = run(jobs, retry="failed")
    assert (report.done, report.failed, report.before) == (2, 0, 1)


def test_results_of_another_table_stay_in_the_list(run: Any, table: Table, tmp_path: Path) -> None:
    run(table(row()))
    run(table(row("q.png")))
    assert [(each["row"], each["output"]) for each in found(tmp_path)] == [
        (1, "q--a.mp4"),
        (None, "p--a.mp4"),
    ]
    assert run(table(row("q.png"), row())).before == 2


def test_a_driver_is_read_once_for_all_its_sources(
    run: Any, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    begin = VideoMotion.__init__

    def count(self: VideoMotion, path: Path, *rest: Any) -> None:
        opened.append(path.name)
        begin(self, path, *rest)

    monkeypatch.setattr(VideoMotion, "__init__", count)
    run(table(row(), row("p.png", "b.mp4"), row("q.png", size="32"), row("q.png", "b.mp4")))
    assert sorted(opened) == ["a.mp4", "b.mp4"]


def test_two_workers_make_the_same_files(run: Any, table: Table, tmp_path: Path) -> None:
    jobs = table(row(), row("q.png"), row("p.png", "b.mp4"), row("q.png", "b.mp4"))
    run(jobs)
    one = files(tmp_path)
    for path in (tmp_path / "results").iterdir():
        path.unlink()
    assert run(jobs, workers=2).done == 4
    assert files(tmp_path) == one


def test_a_batch_that_was_killed_before_it_said_so_owns_its_output(
    run: Any, table: Table, tmp_path: Path
) -> None:
    jobs = table(row())
    run(jobs)
    whole, (result,) = files(tmp_path), found(tmp_path)
    (tmp_path / "results" / TABLE).unlink()
    assert run(jobs).failed == 1  # for all that is known, the file is somebody else's
    (tmp_path / "results" / NOTES).mkdir()
    begun = {**result, "status": "begun", "stamp": ""}
    (tmp_path / "results" / NOTES / ".talkhead").write_text("talkhead batch\n")
    write_note(tmp_path / "results", Result(**begun))
    (tmp_path / "results" / NOTES / f".{'0' * 32}.77.part.json").touch()  # half a note
    assert run(jobs).done == 1
    assert not (tmp_path / "results" / NOTES).exists()
    assert files(tmp_path) == whole


def test_an_interrupted_batch_goes_on(
    run: Any, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = table(row(), row("q.png"))
    render = worker.Worker.do

    def interrupt(self: worker.Worker, task: Any) -> Result:
        if task.job.row == 2:
            raise KeyboardInterrupt
        return render(self, task)

    monkeypatch.setattr(worker.Worker, "do", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(jobs)
    assert [each["status"] for each in found(tmp_path)] == ["done", "waiting"]
    monkeypatch.undo()
    report = run(jobs)
    assert (report.done, report.before) == (2, 1)


def test_a_folder_serves_one_batch_at_a_time(run: Any, table: Table, tmp_path: Path) -> None:
    jobs = table(row())
    with (
        batch_results.Results(tmp_path / "results"),
        pytest.raises(TalkheadError, match="another batch writes to"),
    ):
        run(jobs)


def test_a_full_disk_fails_the_row_and_a_table_that_cannot_be_written_ends_the_batch(
    run: Any, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, result: Result) -> None:
        if result.row == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_note(folder, result)

    monkeypatch.setattr(worker, "write_note", full)
    report = run(table(row(), row("q.png")))
    assert (report.done, report.failed) == (1, 1)
    assert "No space left" in found(tmp_path)[0]["error"]
    before = (tmp_path / "results" / TABLE).read_bytes()

    def no_room(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(batch_results, "write_text", no_room)
    with pytest.raises(TalkheadError, match=r"No space left on device\); make room"):
        run(table(row("q.png", "b.mp4")))
    assert (tmp_path / "results" / TABLE).read_bytes() == before


def test_the_command_says_what_came_of_it(table: Table, tmp_path: Path, toy_weights: Path) -> None:
    def command(jobs: Path, *more: str) -> Any:
        rest = ["-o", str(tmp_path / "results"), "--weights", str(toy_weights), "--device", "cpu"]
        return CliRunner().invoke(app, ["batch", str(jobs), *rest, *more])

    good = command(table(row()))
    assert (good.exit_code, "1 of 1 row done" in good.stdout) == (0, True)
    bad = command(table(row(), row("gone.png")), "--json")
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)["failed"] == 1
    assert "row 2: " in bad.stderr
    alone = command(table(row()), "--address", "auto")
    assert (alone.exit_code, "add --engine ray" in alone.stderr) == (1, True)
