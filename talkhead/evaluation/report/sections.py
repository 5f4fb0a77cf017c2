"""What a report says, in sections of texts, tables and facts that every form of it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from talkhead.evaluation.metrics.networks import NETWORKS
from talkhead.evaluation.metrics.registry import METRICS, Metric
from talkhead.evaluation.results import Evaluation, Row
from talkhead.evaluation.statistics import Score

NO_PUBLISHED_ROWS = (
    "No paper's rows stand beside these: published numbers hold for one test set, protocol and "
    "definition each. `--published FILE.csv` puts rows here, marked as published."
)
PUBLISHED_ROWS = (
    "Rows marked as published are numbers copied from papers, not computed here. They compare only "
    "where test set, protocol and definition are the same."
)
MAX_CASES = 40  # in the tables of each case
RATIO_DIGITS = 3
ARROWS = {"lower": "↓", "higher": "↑", "one": "→ 1"}


@dataclass(frozen=True)
class Grid:
    """A table of plain texts. Each row begins with a name.

    best: cells (row, column) that stand out. text: columns are to be read, not compared.
    """

    head: list[str]
    rows: list[list[str]]
    best: frozenset[tuple[int, int]] = frozenset()
    text: bool = False


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it: paragraphs, tables, facts by name."""

    title: str
    parts: Sequence[str | Grid | Mapping[str, object]]


def sections(evaluation: Evaluation) -> list[Section]:
    """The whole report, apart from its pictures. The first section is the report's own heading."""
    first = evaluation.rows[0]
    found = [
        Section(
            f"Evaluation: {evaluation.evaluation_set.protocol}",
            [
                evaluation.description,
                f"{len(first.scored)} of {len(first.cases)} cases scored, {first.frames} frames.",
            ],
        ),
        Section(
            "Means over frames",
            [
                "As published: every frame counts the same. In brackets the 95 % interval when the "
                "clips are drawn again (bootstrap over clips).",
                score_grid(evaluation),
                *_published_notes(evaluation),
            ],
        ),
        Section("Means over clips", [_grid(evaluation.metrics, evaluation.rows, _clip_mean)]),
        _comparison(evaluation),
        *_cases(evaluation),
        Section("Methods", [{f"{row.name} ({row.key})": row.about for row in evaluation.rows}]),
    ]
    skipped = {METRICS[name].title: why for name, why in evaluation.skipped.items()}
    for title, facts in (
        ("Left out", evaluation.failed()),
        ("Scored in part", evaluation.short()),
        ("Not computed", skipped),
    ):
        if facts:
            found.append(Section(title, [facts]))
    return [*found, Section("Definitions", [definition_grid(evaluation.columns)])]


def _published_notes(evaluation: Evaluation) -> list[str | dict[str, str]]:
    """Where published rows come from, or that there are none."""
    if not evaluation.published:
        return [NO_PUBLISHED_ROWS]
    return [PUBLISHED_ROWS, {f"{row.name} (published)": row.source for row in evaluation.published}]


def _cases(evaluation: Evaluation) -> list[Section]:
    """A table of cases for every method, unless there are too many to read."""
    base = evaluation.rows[-1]
    if len(base.cases) > MAX_CASES:
        return [Section("Each case", [f"Scores of the {len(base.cases)} cases are in clips.csv."])]
    note = "In brackets what is left of doing nothing's error."
    return [
        Section(f"Each case: {row.name}", [note, case_grid(row, base, evaluation.case_metrics)])
        for row in evaluation.rows[:-1]
    ]


def heading(metric: Metric) -> str:
    """Title with an arrow that says which way is better."""
    return f"{metric.title} {ARROWS[metric.better]}"


def number(value: float | None, digits: int) -> str:
    """A value for people; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def _cell(score: Score, digits: int) -> str:
    """The frame mean, its interval, and the share of frames where not all could be measured."""
    text = number(score.frame_mean, digits)
    if score.low is not None:
        text += f" [{number(score.low, digits)}, {number(score.high, digits)}]"
    if score.frame_mean is not None and score.judged < 1:
        text += f" ({100 * score.judged:.1f} % measured)"
    return text


def _grid(names: Sequence[str], rows: Sequence[Row], cell: Callable[[Row, Metric], str]) -> Grid:
    """A row per method, a column per metric."""
    metrics = [METRICS[name] for name in names]
    lines = [[row.name, *(cell(row, metric) for metric in metrics)] for row in rows]
    return Grid(["", *map(heading, metrics)], lines)


def score_grid(evaluation: Evaluation) -> Grid:
    """Means over frames, as published, one row per method; published rows above."""
    nothing = Score(None)
    grid = _grid(
        evaluation.columns,
        evaluation.rows,
        lambda row, metric: _cell(row.scores.get(metric.name, nothing), metric.digits),
    )
    metrics = [METRICS[name] for name in evaluation.columns]
    published = [
        [f"{row.name} (published)", *(number(row.values.get(m.name), m.digits) for m in metrics)]
        for row in evaluation.published
    ]
    best = frozenset(
        (len(published) + place, column)
        for column, metric in enumerate(metrics, start=1)
        for place in _best(evaluation.rows, metric)
    )
    return Grid(grid.head, published + grid.rows, best)


def _best(rows: Sequence[Row], metric: Metric) -> list[int]:
    """The rows with the best mean of a metric."""
    means = [row.scores.get(metric.name, Score(None)).frame_mean for row in rows]
    miss = {
        i: abs(1 - mean) if metric.better == "one" else mean if metric.better == "lower" else -mean
        for i, mean in enumerate(means)
        if mean is not None
    }
    return [i for i, value in miss.items() if value == min(miss.values())]


def _clip_mean(row: Row, metric: Metric) -> str:
    """The mean over the means of clips."""
    return number(row.scores[metric.name].clip_mean, metric.digits)


def _comparison(evaluation: Evaluation) -> Section:
    """Every method against doing nothing, on the frames that were measured for both."""
    names, rows = evaluation.frame_metrics, evaluation.rows[:-1]
    errors = [name for name in names if METRICS[name].better == "lower"]
    return Section(
        "Against doing nothing",
        [
            "Differences of the means over the frames that were measured for both, with their "
            "95 % interval; better or worse where that does not contain 0.",
            _grid(names, rows, lambda row, metric: _gain(row.gains[metric.name], metric)),
            "What is left of doing nothing's error: the mean over the same frames divided by "
            "its mean.",
            _grid(errors, rows, lambda row, metric: _cell(row.ratios[metric.name], RATIO_DIGITS)),
        ],
    )


def _gain(gain: Score, metric: Metric) -> str:
    """A signed difference, its interval, and whether that is clearly better or worse."""
    if gain.frame_mean is None:
        return "-"
    text = f"{gain.frame_mean:+.{metric.digits}f}"
    if gain.low is None or gain.high is None:
        return text
    text += f" [{gain.low:+.{metric.digits}f}, {gain.high:+.{metric.digits}f}]"
    if gain.low <= 0 <= gain.high:
        return text
    better = (gain.frame_mean > 0) == (metric.better == "higher")
    return f"{text} {'better' if better else 'worse'}"


def case_grid(row: Row, base: Row, names: Sequence[str]) -> Grid:
    """One method's means of each case, with the ratio to `base`'s where lower is better."""
    metrics = [METRICS[name] for name in names]
    nothing = {case.case: case for case in base.scored}
    lines = []
    for case in row.scored:
        line = [case.case, str(len(case.frames))]
        for metric in metrics:
            mean = case.mean(metric.name)
            text = number(mean, metric.digits)
            other = nothing[case.case].mean(metric.name) if case.case in nothing else None
            if mean is not None and other and metric.better == "lower":
                text += f" ({mean / other:.{RATIO_DIGITS}f})"
            line.append(text)
        lines.append(line)
    return Grid(["", "frames", *map(heading, metrics)], lines)


def definition_grid(names: Sequence[str]) -> Grid:
    """What each metric is."""
    rows = []
    for metric in (METRICS[name] for name in names):
        network = NETWORKS[metric.network] if metric.network else None
        weights = f"{network.title}; {network.licence}" if network else "none"
        cells = [heading(metric), f"`{metric.name}`", metric.definition, metric.values]
        rows.append([*cells, metric.library, weights])
    head = ["metric", "name", "definition", "picture values", "computed by"]
    return Grid([*head, "network weights; licence"], rows, text=True)
