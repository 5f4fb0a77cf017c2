"""A batch of renders: what is missing is made, what fails fails alone."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from talkhead.animation.paths import check_inputs
from talkhead.batch.here import devices_for, run_here
from talkhead.batch.jobs import read_jobs
from talkhead.batch.options import BatchOptions
from talkhead.batch.plan import Plan, Task
from talkhead.batch.results import TABLE, Result, Results
from talkhead.progress import Progress, progress_callback

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchReport:
    """What came out of a batch.

    table:   the file with the result of every row.
    rows:    in all; done: of these, made; failed: not made.
    before:  of both, what an earlier run has done, or failed in, already.
    seconds: of this run.
    """

    table: str
    rows: int
    done: int
    failed: int
    before: int
    seconds: float


def batch(
    jobs: str | Path,
    output: str | Path,
    options: BatchOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | bool | None = False,
) -> BatchReport:
    """Render every row of the CSV table `jobs` into the folder `output`.

    A row names a source, a driver and any setting of a render. One that fails is logged and leaves
    the others alone. What an earlier call has made of the same inputs with the same settings is
    not made again. `results.jsonl` in `output` says what became of every row.

    overwrite: replace other files that have the name of an output.
    progress:  True for a bar, or a function that is called with "rows", rows done, rows in all.

    Raises TalkheadError for a table, a folder, weights, devices or a cluster that cannot be used.
    """
    options, started = options or BatchOptions(), time.perf_counter()
    table, folder = Path(jobs), Path(output)
    rows = read_jobs(table, options.weights)
    check_inputs([options.weights] if options.weights else [])
    with progress_callback(progress) as tell, Results(folder) as results:
        retry = options.retry == "failed"
        planned = Plan(results, options, overwrite=overwrite, retry=retry, table=table)(rows)
        settled = [each for each in planned if isinstance(each, Result)]
        tasks = [each for each in planned if isinstance(each, Task)]
        count = Counter(result.status for result in settled)
        with _started(tasks, results, options) as rendered:
            results.put([*settled, *(task.waiting for task in tasks)])
            for result in settled:
                _tell(result)
            for number, result in enumerate(rendered, len(settled) + 1):
                results.put([result])
                count[result.status] += 1
                _tell(result)
                if tell is not None:
                    tell("rows", number, len(rows))
    return BatchReport(
        str(folder / TABLE),
        len(rows),
        count["done"],
        count["failed"],
        sum(result.work != "" for result in settled),
        time.perf_counter() - started,
    )


@contextmanager
def _started(
    tasks: list[Task], results: Results, options: BatchOptions
) -> Iterator[Generator[Result]]:
    """The results of tasks, as they come, from where options say; started only where it must be."""
    if options.engine == "process" or not tasks:
        with closing(run_here(devices_for(options), tasks, results.folder, options)) as rendered:
            yield rendered
        return
    from talkhead.batch.cluster import Workers, cluster

    with cluster(options) as ray, closing(Workers(ray, results, options).run(tasks)) as rendered:
        yield rendered


def _tell(result: Result) -> None:
    if result.error is not None:
        log.error("row %d: %s", result.row, result.error)
