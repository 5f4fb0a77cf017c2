"""A whole evaluation: trials, contenders and judges in, a folder of scores and reports out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talkhead import __version__
from talkhead.errors import TalkheadError
from talkhead.evaluation.contenders import Contender, DoNothing
from talkhead.evaluation.judging import Judge
from talkhead.evaluation.protocols import PROTOCOLS, Trials
from talkhead.evaluation.scores import CaseScores, Progress, Scorer
from talkhead.evaluation.summary import Score, summarise


@dataclass(frozen=True)
class Row:
    """One contender's line in the table, with all it is made of."""

    name: str
    key: str
    about: str
    scores: dict[str, Score]
    cases: tuple[CaseScores, ...]

    @property
    def scored(self) -> list[CaseScores]:
        """Cases that could be drawn."""
        return [case for case in self.cases if case.error is None]

    @property
    def frames(self) -> int:
        return sum(len(case.frames) for case in self.cases)


@dataclass(frozen=True)
class Evaluation:
    """All that a report is written from.

    metrics:      names, in order; skipped: why others were not computed.
    description:  facts about the run for whoever reads the table.
    """

    trials: Trials
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    description: dict[str, Any]
    skipped: dict[str, str]

    def failed(self) -> dict[str, str]:
        """Cases that no contender could draw, and rows of the list that were left out."""
        found = {case.case: case.error for row in self.rows for case in row.cases if case.error}
        return {**found, **{f"list, {text.split(':')[0]}": text for text in self.trials.missing}}


def evaluate(
    trials: Trials,
    contenders: Sequence[Contender],
    judges: Sequence[Judge],
    output: Path,
    *,
    size: int = 256,
    batch_size: int = 4,
    description: dict[str, Any] | None = None,
    skipped: dict[str, str] | None = None,
    progress: Progress | None = None,
) -> Evaluation | None:
    """Score contenders and the baseline of doing nothing; write reports into `output`.

    What an earlier run left in `output/cases` is used. Under torchrun (RANK and WORLD_SIZE) each
    process takes its share of the cases; whichever finds all of them done writes the reports, the
    others return None. Raises TalkheadError when no case could be drawn.
    """
    everybody = [*contenders, DoNothing()]
    scorer = Scorer(trials, judges, output, size, batch_size, shard(), progress)
    for contender in everybody:
        scorer.score(contender)
    rows = []
    for contender in everybody:
        cases = scorer.results(contender)
        if cases is None:
            return None
        rows.append(make_row(contender, cases, scorer.metrics))
    facts = {
        "talkhead": __version__,
        "protocol": trials.protocol,
        "protocol_is": PROTOCOLS[trials.protocol],
        "picture_size": size,
        **(description or {}),
    }
    result = Evaluation(trials, scorer.metrics, tuple(rows), facts, skipped or {})
    if not any(row.frames for row in rows):
        name, reason = next(iter(result.failed().items()))
        raise TalkheadError(f"no clip could be scored; {name}: {reason}")
    return result


def shard() -> tuple[int, int]:
    """This process's number and how many there are, as torchrun says."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def make_row(contender: Contender, cases: Sequence[CaseScores], metrics: Sequence[str]) -> Row:
    """Summaries of one contender's values; cases of one clip are taken together."""
    scores = {}
    for metric in metrics:
        clips: dict[str, list[np.ndarray]] = {}
        for case in cases:
            if case.error is None:
                clips.setdefault(case.clip, []).append(case.array(metric))
        scores[metric] = summarise({name: np.concatenate(v) for name, v in clips.items()})
    return Row(contender.name, contender.key, contender.about, scores, tuple(cases))
