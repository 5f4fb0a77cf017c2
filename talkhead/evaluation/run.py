"""Evaluate weights: from options to a report."""

from __future__ import annotations

from typing import Any

from talkhead.evaluation.evaluate import Evaluation, score_methods
from talkhead.evaluation.methods import load_methods
from talkhead.evaluation.metrics.suite import build_metrics, parse_metrics
from talkhead.evaluation.options import EvaluateOptions
from talkhead.evaluation.protocols import plan_evaluation
from talkhead.evaluation.published import read_published
from talkhead.evaluation.report.html import check_reports, write_report
from talkhead.evaluation.shards import own_device, shard
from talkhead.inference.engine import Engine
from talkhead.progress import Progress, shown


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
        list(options.weights) or [None], device, options.precision, options.batch_size, options.size
    )
    judge = _keypoint_judge(options, engines[0], device)
    suite = build_metrics(
        metrics, judge, options.landmarks, options.download, options.result_landmarks
    )
    with shown(progress) as tell:
        result = score_methods(
            evaluation_set,
            methods,
            suite,
            options.output,
            metrics=metrics,
            size=options.size or engines[0].image_size,
            batch_size=engines[0].batch_size,
            description=_describe(options, methods[0].name),
            progress=tell,
            frames_out=options.frames_out,
            overwrite=options.overwrite,
            published=published,
        )
    if result is not None:
        # Of several processes more than one may find all done, and each writes the same.
        write_report(result, options.output, options.overwrite or shard()[1] > 1)
    return result


def _keypoint_judge(options: EvaluateOptions, first: Engine, device: str) -> Engine:
    if options.keypoints is None:
        return first
    return Engine.load(options.keypoints, device, options.precision, options.batch_size)


def _describe(options: EvaluateOptions, first: str) -> dict[str, Any]:
    """What stands above the table."""
    return {
        "data": options.data.name,
        **({"list": options.pair_list.name} if options.pair_list else {}),
        **({"seed": options.seed} if options.protocol == "random-pairs" else {}),
        "every": options.every,
        "keypoints_by": options.keypoints.name if options.keypoints else first,
    }
