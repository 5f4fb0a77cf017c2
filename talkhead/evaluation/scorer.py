"""Score every method on every case, frame by frame; stored, so that it can resume."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from talkhead.animation.driving import batches
from talkhead.errors import TalkheadError
from talkhead.evaluation.case_files import CaseFiles, CaseScores, Seen
from talkhead.evaluation.clips import file_name, read_frames, read_picture
from talkhead.evaluation.methods import Method
from talkhead.evaluation.metrics.base import FrameBatch
from talkhead.evaluation.metrics.keypoints import MESH_KEY
from talkhead.evaluation.metrics.registry import FID, METRICS
from talkhead.evaluation.metrics.suite import MetricSuite
from talkhead.evaluation.protocols import Case, EvaluationSet
from talkhead.evaluation.shards import shard
from talkhead.evaluation.strip import Strip
from talkhead.io.atomic import check_folder, fitting_name, whole_folder
from talkhead.io.image import write_image
from talkhead.progress import Progress
from talkhead.version import __version__
from talkhead.video import probe

log = logging.getLogger(__name__)

FORMAT = 3  # of stored scores; old ones are computed again
FRAME_NAME = re.compile(r"\d{7,}\.png")
SHORT_FRAMES = 2  # that headers may be wrong by


class Scorer:
    """Scores cases and keeps what is done in a folder: one JSON file and one picture per case.

    size:  of the pictures that are drawn and measured.
    metrics: which of the suite's are wanted; what the evaluation set cannot give is left out.
    frames_out: where every result is kept as a PNG: KEY/CASE/NUMBER.png. overwrite: in place of
           those of another evaluation.

    Raises TalkheadError when nothing that is wanted can be computed.
    """

    def __init__(
        self,
        evaluation_set: EvaluationSet,
        suite: MetricSuite,
        folder: Path,
        size: int,
        *,
        metrics: Sequence[str] = tuple(METRICS),
        batch_size: int = 4,
        progress: Progress | None = None,
        frames_out: Path | None = None,
        overwrite: bool = False,
    ) -> None:
        truth = all(case.truth for case in evaluation_set.cases)
        apt = [name for name in metrics if truth or not METRICS[name].truth]
        self.evaluation_set, self.suite, self.wanted = evaluation_set, suite, metrics
        self._backends = [backend for backend in suite.backends if set(backend.metrics) & set(apt)]
        self._features = suite.features if set(FID) & set(apt) else None
        able = {name for backend in self._backends for name in backend.metrics}
        self.metrics = tuple(name for name in apt if name in able)
        self.size = size
        self._batch_size = batch_size
        self._progress = progress
        self._frames_out = frames_out
        self._overwrite = overwrite
        keys = [backend.key for backend in self._backends] + [self._features and self._features.key]
        keys.append(MESH_KEY if suite.mesh is not None else None)
        facts = [FORMAT, __version__, evaluation_set.protocol, size, self.metrics, keys]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]
        place = folder / "cases" / f"{evaluation_set.protocol}-{digest}"
        self.files = CaseFiles(place, self.metrics)
        if not (self.metrics or suite.features or frames_out or suite.mesh or suite.follower):
            raise TalkheadError(
                f"none of the metrics {', '.join(metrics)} can be computed for "
                f"{evaluation_set.protocol} here; see `talkhead evaluate --list-metrics`"
            )

    def score(self, method: Method) -> None:
        """Score this process's share of the cases that are not done yet."""
        number, count = shard()
        share = self.evaluation_set.cases[number::count]
        for done, case in enumerate(share, start=1):
            stored = self.files.read(method.key, case)
            if stored is None or not self._is_complete(method, stored):
                self._score_case(method, case)
            if self._progress is not None:
                self._progress(f"scoring {method.name}", done, len(share))

    def results(self, method: Method) -> list[CaseScores] | None:
        """Scores of all cases in order; None while another process is still at work on some."""
        cases = self.evaluation_set.cases
        found = [self.files.read(method.key, case, failed=True) for case in cases]
        done = [scores for scores in found if scores is not None]
        return done if len(done) == len(found) else None

    def _is_complete(self, method: Method, scores: CaseScores) -> bool:
        """Whether all files that belong to these scores are there."""
        wanted = {"npz": self._features, "mesh.npz": self.suite.mesh}
        files = (self.files.path(method.key, scores.case, end) for end, by in wanted.items() if by)
        if not all(file.is_file() for file in files):
            return False
        if self._frames_out is None:
            return True
        folder = self._kept(self._frames_out, method, scores.case)
        return all((folder / frame_name(number)).is_file() for number in scores.frames)

    def _kept(self, frames_out: Path, method: Method, case: str) -> Path:
        """Where the pictures of a case are kept."""
        return frames_out / method.key / fitting_name(file_name(case), "")

    def _score_case(self, method: Method, case: Case) -> None:
        """Score a case and keep it; its pictures, where they are kept, appear all at once."""
        self.files.path(method.key, case.name, "json").parent.mkdir(parents=True, exist_ok=True)
        pictures: AbstractContextManager[Path | None] = nullcontext()
        if self._frames_out is not None:
            kept = self._kept(self._frames_out, method, case.name)
            check_folder(kept, self._overwrite, is_frame)
            pictures = whole_folder(kept, self._overwrite, is_frame)
        try:
            with pictures as folder:
                scores = self._measure_case(method, case, folder)
        except TalkheadError as error:
            log.warning("%s: %s is left out: %s", method.name, case.name, error)
            scores = CaseScores(case.name, case.clip, (), {}, str(error))
        self.files.write(method.key, case, scores)

    def _measure_case(self, method: Method, case: Case, frames_out: Path | None) -> CaseScores:
        strip = Strip(case.truth)
        frames: list[int] = []
        values: dict[str, list[float | None]] = {name: [] for name in self.metrics}
        features = Seen(self._features) if self._features else None
        meshes = Seen(self.suite.mesh) if self.suite.mesh else None
        for batch in self._draw_case(method, case):
            for name, measured in self._measure(batch).items():
                values[name] += measured
            for seen in (features, meshes):
                if seen is not None:
                    seen.update(batch)
            if frames_out is not None:
                for number, picture in zip(batch.numbers, batch.results, strict=True):
                    write_image(frames_out / frame_name(number), picture)
            frames += batch.numbers
            strip.update(batch)
        key, name = method.key, case.name
        write_image(self.files.picture(key, name), strip.picture())
        if features is not None and self._features is not None:
            source = self._features(batch.source[None])
            features.write(self.files.path(key, name, "npz"), source=source)
        if meshes is not None:
            meshes.write(self.files.path(key, name, "mesh.npz"))
        kept = {name: tuple(column) for name, column in values.items()}
        remark = "" if case.numbers else shortness(case, frames[-1])
        return CaseScores(name, case.clip, tuple(frames), kept, remark=remark, shown=strip.frame)

    def _draw_case(self, method: Method, case: Case) -> Iterator[FrameBatch]:
        """Driving frames and the method's results, batch after batch."""
        source, anchor = read_picture(*case.source, self.size), None
        if case.anchor is not None:
            anchor = read_picture(case.driving, case.anchor, self.size)
        draw = method.start(source, anchor)
        pictures = read_frames(case.driving, self.size, case.numbers, case.every)
        for batch in batches(pictures, self._batch_size):
            numbers = tuple(number for number, _ in batch)
            driving = np.stack([picture for _, picture in batch])
            results = draw(list(driving))
            yield FrameBatch(source, anchor, driving, results, case.driving, numbers)

    def _measure(self, batch: FrameBatch) -> dict[str, list[float | None]]:
        """The wanted metrics of every frame, None where they cannot be measured."""
        return {
            name: [float(value) if np.isfinite(value) else None for value in column]
            for backend in self._backends
            for name, column in backend(batch).items()
            if name in self.metrics
        }


def shortness(case: Case, last: int) -> str:
    """Says so when a clip's frames end well before its header says."""
    promised = probe(case.driving).frames
    if promised is None or last + case.every + SHORT_FRAMES > promised:
        return ""
    return f"only its frames up to {last} can be read, its header promises {promised}"


def frame_name(number: int) -> str:
    """As VoxCeleb's frame folders have them."""
    return f"{number:07d}.png"


def is_frame(path: Path) -> bool:
    """Whether a file is called like the picture of a frame."""
    return FRAME_NAME.fullmatch(path.name) is not None and path.is_file()
