"""Evaluate weights: from options to scores of every method and a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from talkhead.errors import TalkheadError
from talkhead.evaluation.case_files import CaseScores
from talkhead.evaluation.methods import CopySource, Method, load_methods
from talkhead.evaluation.metrics.following import LandmarkComparison
from talkhead.evaluation.metrics.registry import METRICS
from talkhead.evaluation.metrics.suite import build_metrics, parse_metrics
from talkhead.evaluation.options import EvaluateOptions
from talkhead.evaluation.protocols import PROTOCOLS, plan_evaluation
from talkhead.evaluation.published import PublishedRow, read_published
from talkhead.evaluation.report.html import check_reports, write_report
from talkhead.evaluation.results import Evaluation, Row, add_gains, add_motion, fid_scores, make_row
from talkhead.evaluation.scorer import Scorer
from talkhead.evaluation.shards import own_device, shard
from talkhead.inference.engine import Engine
from talkhead.progress import Progress, progress_callback
from talkhead.version import __version__


def evaluate(
    options: EvaluateOptions, *, progress: Progress | bool | None = False
) -> Evaluation | None:
    """Score weights as the papers do, against doing nothing, and write the report.

    Under torchrun each process takes its share; the one that finds all done returns the whole and
    writes the report, the others return None. Raises TalkheadError for data, weights and outputs
    that cannot be used.
    """
    evaluation_set = plan_evaluation(
        options.protocol,
        options.data,
        pair_list=options.pair_list,
        every=options.every,
        seed=options.seed,
        num_pairs=options.num_pairs,
        limit=options.limit,
    )
    metrics = parse_metrics(options.metrics)
    if shard()[0] == 0:
        given = [*options.weights, options.pair_list, options.published, options.keypoints]
        check_reports(options.output, [path for path in given if path], options.overwrite)
    published = read_published(options.published, options.protocol) if options.published else ()
    device = own_device(options.device)
    methods, engines = load_methods(
        list(options.weights) or [None],
        device,
        options.precision,
        options.batch_size,
        options.size,
        options.sharpness,
    )
    judge = engines[0]
    if options.keypoints is not None:
        judge = Engine.load(options.keypoints, device, options.precision, options.batch_size)
    suite = build_metrics(
        metrics, judge, options.landmarks, options.download, options.result_landmarks
    )
    with progress_callback(progress) as tell:
        scorer = Scorer(
            evaluation_set,
            suite,
            options.output,
            options.size or engines[0].image_size,
            metrics=metrics,
            batch_size=engines[0].batch_size,
            progress=tell,
            frames_out=options.frames_out,
            overwrite=options.overwrite,
        )
        result = score_methods(scorer, methods, _describe(options, methods[0].name), published)
    if result is not None:
        # Of several processes more than one may find all done, and each writes the same.
        write_report(result, options.output, options.overwrite or shard()[1] > 1)
    return result


def _describe(options: EvaluateOptions, first: str) -> dict[str, Any]:
    """What stands above the table."""
    return {
        "data": options.data.name,
        **({"list": options.pair_list.name} if options.pair_list else {}),
        **({"seed": options.seed} if options.protocol == "random-pairs" else {}),
        "every": options.every,
        **({"sharpness": options.sharpness} if options.sharpness else {}),
        "keypoints_by": options.keypoints.name if options.keypoints else first,
    }


def score_methods(
    scorer: Scorer,
    methods: Sequence[Method],
    description: dict[str, Any] | None = None,
    published: tuple[PublishedRow, ...] = (),
) -> Evaluation | None:
    """Score methods and the baseline of doing nothing.

    What is found for each case is kept in `output/cases`, and what an earlier run left there is
    used. Under torchrun (RANK and WORLD_SIZE) each process takes its share of the cases; whichever
    finds all of them done returns the whole, the others None. `write_report` makes it readable.
    Raises TalkheadError when no case could be drawn.
    """
    everybody = [*methods, CopySource()]
    for method in everybody:
        scorer.score(method)
    rows = []
    for method in everybody:
        cases = scorer.results(method)
        if cases is None:
            return None
        rows.append(_row(method, cases, scorer))
    evaluation_set = scorer.evaluation_set
    facts = {
        "talkhead": __version__,
        "protocol": evaluation_set.protocol,
        "protocol_is": PROTOCOLS[evaluation_set.protocol],
        "picture_size": scorer.size,
        **(description or {}),
    }
    computed = tuple(name for name in METRICS if name in rows[0].scores)
    compared, skipped = tuple(add_gains(rows)), scorer.suite.skipped
    result = Evaluation(evaluation_set, computed, compared, facts, skipped, published)
    if not any(row.frames for row in rows):
        name, reason = next(iter(result.failed().items()))
        raise TalkheadError(f"no clip could be scored; {name}: {reason}")
    return result


def _row(method: Method, cases: Sequence[CaseScores], scorer: Scorer) -> Row:
    """All that the files of a method's cases say, in one row."""
    row, suite = make_row(method, cases, scorer.metrics), scorer.suite
    if suite.mesh is not None or suite.follower is not None:
        row = add_motion(row, scorer.evaluation_set, _followed(row, scorer), scorer.wanted)
    scores = dict(row.scores)
    if suite.features is not None:
        features = scorer.files.features(method.key, scorer.evaluation_set.cases)
        scores |= fid_scores(features, scorer.wanted)
    files = {case.case: scorer.files.picture(row.key, case.case) for case in row.scored}
    pictures = {case: file for case, file in files.items() if file.is_file()}
    return replace(row, scores=scores, pictures=pictures)


def _followed(row: Row, scorer: Scorer) -> dict[str, LandmarkComparison]:
    """By case, landmarks of the driver and of the results: from files, or by the face mesh."""
    driving = {case.name: case.driving for case in scorer.evaluation_set.cases}
    follower = scorer.suite.follower
    found = {
        scores.case: follower.follow(
            row.key, scores.case, driving[scores.case], scores.frames, scorer.size
        )
        if follower is not None
        else scorer.files.followed(row.key, scores.case)
        for scores in row.cases
    }
    return {case: followed for case, followed in found.items() if followed is not None}
