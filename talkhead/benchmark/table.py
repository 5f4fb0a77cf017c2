"""Results as tables for people, and as plain values for scripts and later comparisons."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from talkhead.benchmark.result import Comparison, Render, Result
from talkhead.benchmark.stages import Batch, Stage
from talkhead.errors import TalkheadError, shown
from talkhead.schema import Finite, fitting, read_json

EXPLANATION = (
    "Times are milliseconds per frame: mean, median, 5th and 95th percentile, after warm-up, with "
    "the device waited for. MAC: multiply-adds of convolutions and matrix products, two FLOP "
    "each. Share: of the fastest product or convolution here in this precision. Driving "
    "video and portrait are rendered; nothing is read from outside."
)


def as_json(thing: Any) -> Any:
    """Fields and properties of dataclasses as plain values, at any depth."""
    if is_dataclass(thing):
        names = [field.name for field in fields(thing)]
        names += [name for name, value in vars(type(thing)).items() if isinstance(value, property)]
        return {name: as_json(getattr(thing, name)) for name in names}
    if isinstance(thing, list | tuple):
        return [as_json(each) for each in thing]
    return thing


def print_tables(result: Result, console: Console) -> None:
    """Everything that was measured."""
    machine = result.machine
    console.print(
        f"[bold]{escape(result.model)}[/bold] ({result.family}, {result.parameters / 1e6:.1f} "
        f"million parameters) at {result.image_size} px in {result.precision}"
        f"{', compiled,' if result.compiled else ''} on {machine.device}"
    )
    console.print(
        f"{machine.processor}, {machine.cores} cores, {machine.threads} threads, "
        f"{machine.instructions}; {machine.system}, Python {machine.python}, torch "
        f"{machine.torch_version}, talkhead {result.version}; {result.date}"
    )
    console.print(f"Peak: {2 * result.peak / 1e12:.3f} TFLOP/s. {EXPLANATION}\n")
    console.print(stage_table(result))
    if result.driven_gmac:
        console.print(work_line(result))
    compensation = [stage for stage in result.stages if stage.compensates]
    if compensation:
        console.print(compensation_table(compensation, result))
    console.print(batch_table("The model alone, by batch size", result.batches))
    console.print(render_table("End to end, from files to a file", result.renders))
    if result.lengths:
        console.print(render_table("By length of the driving video", result.lengths))
    for at in result.sizes:
        title = f"The model alone at {at.size} px: {at.gmac:.1f} GMAC per frame"
        console.print(batch_table(title, at.batches))
    if result.comparison:
        console.print(comparison_lines(result.comparison))


def work_line(result: Result) -> str:
    """GMAC of a frame and of a source, how near to the peak they come, and the time of loading."""
    generator = [stage for stage in result.stages if stage.room == "generator"]
    seconds = sum(stage.time.mean for stage in generator) / 1000
    macs = sum(stage.gmac or 0 for stage in generator) * 1e9
    return (
        f"{result.driven_gmac:.2f} GMAC per driving frame; in the generator "
        f"{macs / seconds / result.peak:.1%} of the peak. Once per source: "
        f"{result.source_gmac:.2f} GMAC in {result.source.mean:.1f} ms. Loading the model took "
        f"{result.load_seconds:.2f} s.\n"
    )


def new_table(title: str, *columns: str) -> Table:
    """A table whose columns after the first hold numbers."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    return table


def stage_table(result: Result) -> Table:
    """Milliseconds and GMAC of every stage of a frame, a section for each room."""
    title = f"Stages, ms per frame (model: batches of {result.best.size})"
    table = new_table(title, "stage", "mean", "median", "p5", "p95", "GMAC", "share")
    room = None
    for stage in result.stages:
        if room not in (None, stage.room):
            table.add_section()
        room = stage.room
        times = (stage.time.mean, stage.time.median, stage.time.p5, stage.time.p95)
        work = "" if stage.gmac is None else f"{stage.gmac:.3f}"
        share = "" if stage.share is None else f"{stage.share:.1%}"
        table.add_row(stage.name, *(f"{value:.3f}" for value in times), work, share)
    return table


def compensation_table(stages: list[Stage], result: Result) -> Table:
    """What each kind of compensation costs over all scales."""
    table = new_table("What compensation costs", "module", "ms", "of drawing", "GMAC")
    drawing = [stage for stage in result.stages if stage.room == "generator"]
    whole = sum(stage.time.mean for stage in drawing)
    for part in dict.fromkeys(stage.part for stage in stages):
        own = [stage for stage in stages if stage.part == part]
        spent = sum(stage.time.mean for stage in own)
        gmac = sum(stage.gmac or 0 for stage in own)
        table.add_row(part, f"{spent:.3f}", f"{spent / whole:.1%}", f"{gmac:.3f}")
    return table


def batch_table(title: str, batches: list[Batch]) -> Table:
    """Speed by size of the batch."""
    columns = ("batch", "ms per batch", "median", "p5", "p95", "frames/s", "device MB")
    table = new_table(title, *columns)
    for batch in batches:
        times = (batch.time.mean, batch.time.median, batch.time.p5, batch.time.p95)
        rate = f"{batch.frames_per_second:.2f}"
        numbers = (f"{value:.2f}" for value in times)
        table.add_row(str(batch.size), *numbers, rate, megabytes(batch.device_mb))
    return table


def render_table(title: str, renders: list[Render]) -> Table:
    """Speed and memory of renders from files to a file."""
    columns = ("driving video", "frames", "s", "frames/s", "first frame s", "peak MB", "device MB")
    table = new_table(title, *columns)
    for render in renders:
        table.add_row(
            render.name,
            str(render.frames),
            f"{render.seconds:.2f}",
            f"{render.frames_per_second:.2f}",
            f"{render.first_frame:.2f}",
            megabytes(render.process_mb),
            megabytes(render.device_mb),
        )
    return table


def megabytes(value: float | None) -> str:
    """A whole number, or nothing where it is not known."""
    return "" if value is None else f"{value:.0f}"


def comparison_lines(comparison: Comparison) -> str:
    """Ours against the plain loop."""
    loop = comparison.loop
    pixels = "It finds neither face meshes nor optical flow, so its pixels are not compared."
    if comparison.mean is not None:
        pixels = (
            f"Pixels differ by {comparison.largest}/255 at most, {comparison.mean:.4f}/255 on "
            f"average, over {loop.frames} frames."
        )
    return (
        f"[bold]{comparison.ratio:.2f} times[/bold] the published loop end to end: "
        f"{comparison.ours.frames_per_second:.2f} against {loop.frames_per_second:.2f} frames/s "
        f"(the model alone: {comparison.ours_model:.2f} against {comparison.loop_model:.2f}).\n"
        "That loop decodes everything, draws frame by frame in float32 and default memory layout, "
        f"encodes the source anew for each, then encodes the result.\n{pixels}"
    )


def figures(facts: dict[str, Any]) -> dict[str, float]:
    """The numbers of a result (as JSON) worth comparing, by a name for people."""
    found = {"peak, GFLOP/s": 2 * facts["peak"] / 1e9}
    for stage in facts["stages"]:
        found[f"{stage['name']}, ms"] = stage["time"]["mean"]
    for batch in facts["batches"]:
        found[f"batch of {batch['size']}, frames/s"] = batch["frames_per_second"]
        found[f"batch of {batch['size']}, p95 ms"] = batch["time"]["p95"]
    for render in [*facts["renders"], *facts["lengths"]]:
        found[f"{render['name']}, frames/s"] = render["frames_per_second"]
        if render["process_mb"] is not None:
            found[f"{render['name']}, peak MB"] = render["process_mb"]
    if facts["comparison"]:
        found["times the plain loop"] = facts["comparison"]["ratio"]
        if facts["comparison"]["largest"] is not None:
            found["largest pixel difference"] = facts["comparison"]["largest"]
    for at in facts["sizes"]:
        for batch in at["batches"]:
            name = f"{at['size']} px, batch of {batch['size']}, frames/s"
            found[name] = batch["frames_per_second"]
    return found


def read_result(path: Path) -> dict[str, Any]:
    """An earlier result: the last line of what `--json` printed."""
    try:
        facts = read_json(path.read_bytes().strip().splitlines()[-1])
        compared = {**figures(facts), "date": facts["date"], "machine": facts["machine"]}
        for name, value in compared.items():
            kind = {"date": str, "machine": dict[str, Any]}.get(name, Finite)
            fitting(kind, value, name)
    except FileNotFoundError as error:
        raise TalkheadError(f"there is no {path} to compare with") from error
    except (TalkheadError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise TalkheadError(
            f"{path} is no result of `talkhead benchmark --json`; make one first"
        ) from error
    result: dict[str, Any] = facts
    return result


SETTING = ("model", "precision", "image_size", "compiled")
NOTABLE = 0.05  # share by which a figure must change to be marked


def comparison_table(before: dict[str, Any], now: dict[str, Any]) -> Table:
    """Every figure that both results have, and how it changed."""
    table = new_table(escape(f"Since {before['date']}"), "figure", "before", "now", "change")
    settings = [(name, before.get(name), now[name]) for name in SETTING]
    settings += [(f"machine: {k}", before["machine"].get(k), v) for k, v in now["machine"].items()]
    for name, old, new in settings:
        if old != new:
            table.add_row(escape(name), _cell(old), _cell(new), "[bold]other[/bold]")
    table.add_section()
    old_figures = figures(before)
    for name, value in figures(now).items():
        if name in old_figures:
            old = old_figures[name]
            change = value / old - 1 if old else 0.0
            text = f"{change:+.1%}" if old or not value else "new"
            marked = f"[bold]{text}[/bold]" if abs(change) > NOTABLE else text
            table.add_row(escape(name), f"{old:.3f}", f"{value:.3f}", marked)
    return table


def _cell(value: Any) -> str:
    """A value from a file as it is, not as markup or control codes."""
    return escape(value if isinstance(value, str) and value.isprintable() else shown(value))
