"""The benchmark measures what it says, and runs from the command line with nothing at hand."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from copies import COPIES
from miniatures import FAMILIES, TOY, mini_config
from PIL import Image
from torch import nn
from typer.testing import CliRunner, Result

from talkhead.benchmark import benchmark as whole_run
from talkhead.benchmark.loop import LoopRun, PlainLoop, Task, run_apart
from talkhead.benchmark.machine import PEAK_SIDES
from talkhead.benchmark.probes import probes
from talkhead.benchmark.result import Comparison, Render
from talkhead.benchmark.stages import Scene, count_work, inside_model
from talkhead.benchmark.subject import Subject, load_subject, resized, untrained
from talkhead.benchmark.table import comparison_lines, comparison_table, figures, read_result
from talkhead.benchmark.timing import REST, Effort, Part, Probe, Timeline, Timing, measure
from talkhead.cli import app
from talkhead.config import preset
from talkhead.errors import TalkheadError
from talkhead.models import build

CPU = torch.device("cpu")


@dataclass
class Steps:
    """A clock that goes on by one at every reading."""

    now: int = 0

    def read(self) -> int:
        self.now += 1
        return self.now

    def between(self, earlier: int, later: int) -> float:
        return later - earlier


@dataclass
class Calls:
    """Counts how often work was done and waited for."""

    order: list[str] = field(default_factory=list)

    def note(self, what: str) -> Callable[[], None]:
        return lambda: self.order.append(what)


def test_timing_is_per_frame_in_milliseconds() -> None:
    timing = Timing.of([0.2, 0.4, 0.6], frames=2)
    assert timing.mean == pytest.approx(200)
    assert timing.median == pytest.approx(200)
    assert (timing.p5, timing.p95) == pytest.approx((110, 290))
    assert timing.count == 3


def test_measuring_warms_up_and_waits_on_both_sides_of_the_work() -> None:
    calls = Calls()
    effort = Effort(seconds=0, least=2, warm_up=1)
    samples = measure(calls.note("work"), calls.note("wait"), effort)
    assert len(samples) == 2
    assert calls.order == ["work", *["wait", "work", "wait"] * 2]


def test_timeline_divides_everything_among_nested_and_following_parts() -> None:
    inner, outer = nn.Identity(), nn.Sequential(nn.Identity(), nn.Identity())
    outer.append(inner)
    marks = [
        Probe(outer, Part("outer")),
        Probe(outer[1], Part("second"), inside=False),
        Probe(inner, Part("inner", 8)),
    ]
    clock = Steps()
    with Timeline(marks, clock) as timeline:
        spent = timeline.run(lambda: outer(torch.ones(1)), lambda: None)
    # One step from each mark to the next: rest, outer, second, inner, second again, rest again.
    assert spent == {REST: 2, Part("outer"): 1, Part("second"): 2, Part("inner", 8): 1}
    steps = clock.now
    outer(torch.ones(1))
    assert clock.now == steps, "hooks stay behind"


@pytest.mark.parametrize("family", FAMILIES)
def test_work_is_divided_among_parts_without_loss(family: str) -> None:
    subject = Subject(family, untrained(mini_config(family)))
    engine = subject.engine(CPU, torch.float32, 1)
    picture = np.zeros((64, 64, 3), np.uint8)
    source, keypoints = engine.encode(picture), engine.detect([picture])
    parts = count_work(engine, lambda: engine.render(source, keypoints))
    landmarked = sum(macs for part, macs in parts.items() if part != REST)
    assert landmarked > 0.99 * sum(parts.values())
    names = {part.name for part in parts}
    wanted = {"dense motion", "decoder"}
    if family == "codebook":
        wanted |= {"motion compensation", "appearance compensation", "fusion"}
    if family == "mcnet":
        wanted.add("memory")
    assert wanted | {REST.name} == names
    decoder_sizes = {part.size for part in parts if part.name == "decoder"}
    assert decoder_sizes == {64 >> i for i in range(len(mini_config(family).channels))}


def test_attention_is_counted() -> None:
    engine = load_subject("none").engine(CPU, torch.float32, 1)
    query = torch.ones(1, 2, 16, 4)
    attend = lambda: nn.functional.scaled_dot_product_attention(query, query, query)  # noqa: E731
    assert sum(count_work(engine, attend).values()) == 2 * 2 * 16 * 16 * 4


def test_published_model_needs_the_work_that_is_known() -> None:
    """256 px, 2 x MAC: 369 GFLOP per frame, of them 60 for the source (counted on meta)."""
    with torch.device("meta"):
        model = untrained(preset("codebook"))
    with torch.inference_mode(), torch.utils.flop_counter.FlopCounterMode(display=False) as count:
        model.encoder(torch.empty(1, 3, 256, 256, device="meta"))
    assert count.get_total_flops() == pytest.approx(60e9, rel=0.02)


def test_plain_loop_draws_what_the_engine_draws() -> None:
    subject = Subject("toy", untrained(TOY))
    engine = subject.engine(CPU, torch.float32, 2)
    pictures = list(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
    drawn = PlainLoop(subject.model, CPU).draw(pictures[0], pictures)
    # The first frame is the anchor of relative motion, so it leaves the source where it is.
    encoded = engine.encode(pictures[0])
    again = engine.render(encoded, encoded.keypoints)
    assert np.abs(drawn[0].astype(int) - again[0]).max() <= 1
    assert drawn[0].std() > 1


def test_what_the_loops_process_refuses_is_told_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: COPIES)  # imports nothing again
    task = Task(tmp_path / "clip.mp4", np.zeros((64, 64, 3), np.uint8), tmp_path / "out.mp4", 2)
    with pytest.raises(TalkheadError, match="no preset 'shrew'"):
        run_apart("shrew", None, CPU, task)


def test_model_grows_with_the_pictures_or_says_why_not() -> None:
    config = resized(preset("fomm"), 512)
    assert (config.image_size, config.dense_motion.size) == (512, 128)
    with pytest.raises(TalkheadError, match="multiples of 128"):
        resized(preset("fomm"), 300)
    toy = Subject("toy", untrained(mini_config("codebook")))
    assert toy.at_size(128).model.config.image_size == 128
    trained = replace(toy, weights="abc")
    with pytest.raises(TalkheadError, match="does not work at 128"):
        trained.at_size(128)


def test_a_reduced_working_size_grows_with_the_picture_and_names_its_parts() -> None:
    config = preset("codebook-lite")
    assert resized(config, 512).working_size == 2 * config.working_size
    sizes = [size for mark in probes(build(config)) for size in (mark.part.size, *mark.scales)]
    assert max(size for size in sizes if size) == config.working_size == 128


def test_unknown_model_and_doubled_choice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TalkheadError, match="no preset"):
        load_subject("nonsense")
    with pytest.raises(TalkheadError, match="choose one"):
        load_subject("fomm", tmp_path / "w.safetensors")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["benchmark", *map(str, arguments)])


def test_a_plot_that_cannot_be_written_is_told_first(tmp_path: Path) -> None:
    (tmp_path / "none").touch()  # no weights, which would be told if they were read
    for plot in (tmp_path / "plot.nonsense", tmp_path / "nowhere" / "plot.png"):
        result = run("--weights", tmp_path / "none", "--plot", plot)
        assert result.exit_code == 1
        assert str(plot.name if plot.suffix == ".nonsense" else plot.parent) in result.stderr


@pytest.fixture(scope="module")
def quick(toy_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """One whole run, and its plot."""
    plot = tmp_path_factory.mktemp("plot") / "plot.png"
    options = ("--quick", "--json", "--plot", plot, "--lengths", "4,8", "--sizes", 128)
    with pytest.MonkeyPatch.context() as smaller:
        smaller.setattr(whole_run, "PHOTO", (480, 270))
        smaller.setattr(whole_run, "PHOTO_CROP", "150,25,180")
        smaller.setitem(PEAK_SIDES, "cpu", (64, 128))
        return run("--weights", toy_weights, "--device", "cpu", "--frames", 4, *options), plot


@pytest.fixture(scope="module")
def facts(quick: tuple[Result, Path]) -> dict[str, Any]:
    result, _ = quick
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_table_comes_before_the_json(quick: tuple[Result, Path]) -> None:
    lines = quick[0].stdout.splitlines()
    assert any("Stages, ms per frame" in line for line in lines[:-1])
    assert any("times the published loop" in line for line in lines[:-1])


def test_json_has_every_stage_and_whole_renders(facts: dict[str, Any]) -> None:
    stages = {stage["name"] for stage in facts["stages"]}
    assert {"decode", "track the face", "crop and resize", "paste back", "encode"} <= stages
    assert {"keypoints", "transfer", "dense motion", "decoder 64 px"} <= stages
    assert all(0 <= stage["time"]["p5"] <= stage["time"]["p95"] for stage in facts["stages"])
    assert [batch["size"] for batch in facts["batches"]] == [1, 2]
    assert facts["best"]["frames_per_second"] == max(
        batch["frames_per_second"] for batch in facts["batches"]
    )
    assert [(render["name"], render["frames"]) for render in facts["renders"]] == [
        ("64 px, face tracked", 4),
        ("64 px, as the plain loop", 4),
        ("128 px, with the source's detail", 4),
        ("in a photo of 270 lines", 4),
    ]
    assert [render["frames"] for render in facts["lengths"]] == [4, 8]
    assert facts["driven_gmac"] > facts["source_gmac"] > 0
    assert [each["size"] for each in facts["sizes"]] == [128]  # FOMM draws other sizes, too


def test_work_is_counted_however_many_cores_draw() -> None:
    pictures = [np.full((64, 64, 3), level, np.uint8) for level in (40, 90)]
    threads, work = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            engine = Subject("toy", untrained(TOY)).engine(torch.device("cpu"), torch.float32, 2)
            scene = Scene.make(engine, pictures[0], pictures)
            stages = inside_model(scene, 2, 1e9, Effort(0.0, 1, 1, 0))
            work.append(sum(stage.gmac or 0 for stage in stages if stage.room == "generator"))
    finally:
        torch.set_num_threads(threads)
    assert work[0] == work[1] > 0


def test_comparison_has_ratio_and_pixel_difference(facts: dict[str, Any]) -> None:
    comparison = facts["comparison"]
    ours, theirs = comparison["ours"], comparison["loop"]
    rates = ours["frames_per_second"], theirs["frames_per_second"]
    assert comparison["ratio"] == pytest.approx(rates[0] / rates[1])
    assert theirs["frames"] == 2
    assert comparison["largest"] <= 1
    assert comparison["mean"] <= comparison["largest"]


def test_plot_is_a_picture_with_bars(quick: tuple[Result, Path], facts: dict[str, Any]) -> None:
    picture = np.asarray(Image.open(quick[1]))
    assert picture.shape[1] == 1200
    assert (picture == (60, 110, 190)).all(-1).sum() > 500


def test_compare_tells_what_changed(facts: dict[str, Any], tmp_path: Path) -> None:
    old = json.loads(json.dumps(facts))
    old["precision"] = "fp16"
    old["batches"][0]["frames_per_second"] = 2 * facts["batches"][0]["frames_per_second"]
    path = tmp_path / "old.json"
    path.write_text("a table\n" + json.dumps(old) + "\n")
    table = comparison_table(read_result(path), facts)
    cells = list(zip(*(column.cells for column in table.columns), strict=True))
    assert ("precision", "fp16", "fp32", "[bold]other[/bold]") in cells
    changes = {cell[0]: cell[3] for cell in cells}
    assert changes["batch of 1, frames/s"] == "[bold]-50.0%[/bold]"
    assert changes["batch of 2, frames/s"] == "+0.0%"
    assert len(cells) == len(figures(facts)) + 1


def test_compare_refuses_what_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}")
    result = run("--model", "none", "--quick", "--compare", tmp_path / "old.json")
    assert result.exit_code == 1
    assert "no result of" in result.stderr


def test_numbers_that_are_none_are_misuse() -> None:
    assert run("--model", "none", "--batch-sizes", "1,x").exit_code == 2
    assert run("--model", "none", "--sizes", "0").exit_code == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_of_memory_is_that_of_its_own_time() -> None:
    """Also where freed memory stays with the process, as in every command."""
    code = """
import numpy, torch
from talkhead.benchmark.machine import PeakMemory
from talkhead.cli.malloc import keep_freed_memory
keep_freed_memory()
peaks = []
for megabytes in (50, 300, 50):
    memory = PeakMemory(torch.device("cpu"))
    numpy.ones(megabytes << 17)
    peaks.append(memory.process)
print(*peaks)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, most, last = map(float, done.stdout.split())
    assert most - first > 200
    assert most - last > 200


def test_what_the_loop_does_not_find_is_not_compared() -> None:
    loop = LoopRun(8, 1.0, 2.0, 1.0, None, None)
    comparison = Comparison(loop, Render("a", 8, 2.0, 0.1, None, None), 5.0)
    assert "pixels are not compared" in comparison_lines(comparison)
    assert "3/255 at most" in comparison_lines(replace(comparison, largest=3, mean=0.5))
