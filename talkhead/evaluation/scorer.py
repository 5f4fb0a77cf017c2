"""Score every method on every case, frame by frame; stored, so that it can resume."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from talkhead.animation.driving import batches
from talkhead.errors import TalkheadError, shown
from talkhead.evaluation.clips import file_name, promised_frames, read_frames, read_picture
from talkhead.evaluation.methods import Method
from talkhead.evaluation.metrics.base import FrameBatch
from talkhead.evaluation.metrics.following import LandmarkComparison
from talkhead.evaluation.metrics.keypoints import MESH_KEY
from talkhead.evaluation.metrics.registry import FID, METRICS
from talkhead.evaluation.metrics.suite import MetricSuite
from talkhead.evaluation.protocols import Case, EvaluationSet
from talkhead.io.arrays import read_arrays
from talkhead.io.atomic import atomic_path, check_folder, fitting_name, whole_folder, write_text
from talkhead.io.image import write_image
from talkhead.progress import Progress
from talkhead.schema import Finite, Range, read_dataclass, read_json

log = logging.getLogger(__name__)

FORMAT = 2  # of stored scores; old ones are computed again
FRAME_NAME = re.compile(r"\d{7,}\.png")
FEATURES = ("source", "driving", "results")  # what FID compares
SHORT_FRAMES = 2  # that headers may be wrong by


@dataclass(frozen=True)
class CaseScores:
    """What one method got on one case.

    frames: numbers of the driving frames; values: by metric, one per frame, None = not measured.
    error:  why the case could not be drawn; then there are no frames.
    remark: what is wrong with a clip that was scored all the same.
    shown:  number of the frame in the case's picture.
    slopes: by metric, for those that have one value for all frames of a case.
    """

    case: str
    clip: str
    frames: tuple[Annotated[int, Range(0, 10**9)], ...]
    values: dict[str, tuple[Finite | None, ...]]
    error: str | None = None
    remark: str = ""
    shown: int = 0
    slopes: dict[str, Finite | None] = field(default_factory=dict)

    def array(self, metric: str) -> np.ndarray:
        """Values with NaN for frames that were not measured."""
        return np.array([np.nan if v is None else v for v in self.values[metric]], dtype=float)

    def mean(self, metric: str) -> float | None:
        """Over the frames that were measured; None when none was."""
        if metric in self.slopes:
            return self.slopes[metric]
        values = self.array(metric)
        judged = values[np.isfinite(values)]
        return float(judged.mean()) if len(judged) else None


class Scorer:
    """Scores cases and keeps what is done in a folder: one JSON file and one picture per case.

    metrics: which of the suite's are wanted; what the evaluation set cannot give is left out.
    size:  of the pictures that are drawn and measured.
    shard: (number, of how many): which share of the cases this process takes.
    frames_out: where every result is kept as a PNG: KEY/CASE/NUMBER.png. overwrite: in place of
           those of another evaluation.
    """

    def __init__(
        self,
        evaluation_set: EvaluationSet,
        suite: MetricSuite,
        metrics: Sequence[str],
        folder: Path,
        size: int,
        batch_size: int = 4,
        shard: tuple[int, int] = (0, 1),
        progress: Progress | None = None,
        frames_out: Path | None = None,
        overwrite: bool = False,
    ) -> None:
        truth = all(case.truth for case in evaluation_set.cases)
        apt = [name for name in metrics if truth or not METRICS[name].truth]
        self.evaluation_set = evaluation_set
        self._backends = [backend for backend in suite.backends if set(backend.metrics) & set(apt)]
        self._features = suite.features if set(FID) & set(apt) else None
        self._mesh = suite.mesh
        able = {name for backend in self._backends for name in backend.metrics}
        self.metrics = tuple(name for name in apt if name in able)
        self._size = size
        self._batch_size = batch_size
        self._shard = shard
        self._progress = progress
        self._frames_out = frames_out
        self._overwrite = overwrite
        keys = [backend.key for backend in self._backends] + [self._features and self._features.key]
        keys.append(MESH_KEY if self._mesh is not None else None)
        facts = [FORMAT, evaluation_set.protocol, size, self.metrics, keys]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]
        self._folder = folder / "cases" / f"{evaluation_set.protocol}-{digest}"

    def score(self, method: Method) -> None:
        """Score this process's share of the cases that are not done yet."""
        number, count = self._shard
        share = self.evaluation_set.cases[number::count]
        for done, case in enumerate(share, start=1):
            stored = self._stored(method, case)
            if stored is None or not self._is_complete(method, stored):
                self._score_case(method, case)
            if self._progress is not None:
                self._progress(f"scoring {method.name}", done, len(share))

    def _is_complete(self, method: Method, scores: CaseScores) -> bool:
        """Whether all files that belong to these scores are there."""
        features = self._path(method.key, scores.case, "npz")
        if self._features is not None and not features.is_file():
            return False
        if self._frames_out is None:
            return True
        folder = self._kept(self._frames_out, method, scores.case)
        return all((folder / frame_name(number)).is_file() for number in scores.frames)

    def _kept(self, frames_out: Path, method: Method, case: str) -> Path:
        """Where the pictures of a case are kept."""
        return frames_out / method.key / fitting_name(file_name(case), "")

    def results(self, method: Method) -> list[CaseScores] | None:
        """Scores of all cases in order; None while another process is still at work on some."""
        found = [self._stored(method, case, failed=True) for case in self.evaluation_set.cases]
        done = [scores for scores in found if scores is not None]
        return done if len(done) == len(found) else None

    def picture(self, key: str, case: str) -> Path:
        """Where the strip of a case lies: source, driving, result (and difference)."""
        return self._path(key, case, "jpg")

    def features(self, method: Method) -> dict[str, np.ndarray] | None:
        """What FID compares, over all cases: features (N, D) of source, driving and results.

        None where FID is not wanted; N is 0 where every case failed.
        """
        if self._features is None:
            return None
        files = [self._path(method.key, case.name, "npz") for case in self.evaluation_set.cases]
        found = [_read_features(file) for file in files if file.is_file()]
        none = np.empty((0, 0), np.float32)
        return {
            name: np.concatenate([each[name] for each in found]) if found else none
            for name in FEATURES
        }

    def followed(self, key: str, case: str) -> LandmarkComparison | None:
        """What the face mesh saw in driving frames and results; None where it did not look."""
        file = self._path(key, case, "mesh.npz")
        if not file.is_file():
            return None
        with np.load(file, allow_pickle=False) as stored:
            return LandmarkComparison.of(stored["driving"], stored["results"])

    def _path(self, key: str, case: str, ending: str) -> Path:
        return self._folder / key / fitting_name(file_name(case), f".{ending}")

    def _score_case(self, method: Method, case: Case) -> None:
        path = self._path(method.key, case.name, "json")
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._frames_out is not None:
            kept = self._kept(self._frames_out, method, case.name)
            check_folder(kept, self._overwrite, is_frame)
        try:
            scores = self._compute_case(method, case)
        except TalkheadError as error:
            log.warning("%s: %s is left out: %s", method.name, case.name, error)
            scores = CaseScores(case.name, case.clip, (), {}, str(error))
            for ending in ("npz", "mesh.npz"):  # of an earlier run
                self._path(method.key, case.name, ending).unlink(missing_ok=True)
        write_text(path, json.dumps({"inputs": _stamp(case), **asdict(scores)}))

    def _compute_case(self, method: Method, case: Case) -> CaseScores:
        """Score a case; its pictures, where they are kept, appear all at once."""
        if self._frames_out is None:
            return self._judge(method, case, None)
        target = self._kept(self._frames_out, method, case.name)
        with whole_folder(target, self._overwrite, is_frame) as folder:
            return self._judge(method, case, folder)

    def _judge(self, method: Method, case: Case, frames_out: Path | None) -> CaseScores:
        source = read_picture(*case.source, self._size)
        anchor = None
        if case.anchor is not None:
            anchor = read_picture(case.driving, case.anchor, self._size)
        draw = method.start(source, anchor)
        strip = Strip(case.truth)
        frames: list[int] = []
        values: dict[str, list[float | None]] = {name: [] for name in self.metrics}
        features: dict[str, list[np.ndarray]] = {"driving": [], "results": []}
        meshes: dict[str, list[np.ndarray]] = {"driving": [], "results": []}
        pictures = read_frames(case.driving, self._size, case.numbers, case.every)
        for batch in batches(pictures, self._batch_size):
            numbers = tuple(number for number, _ in batch)
            driving = np.stack([picture for _, picture in batch])
            shots = FrameBatch(source, anchor, driving, draw(list(driving)), case.driving, numbers)
            for backend in self._backends:
                for name, judged in backend(shots).items():
                    if name in values:
                        values[name] += [float(v) if np.isfinite(v) else None for v in judged]
            if frames_out is not None:
                write_frames(frames_out, numbers, shots.results)
            frames += numbers
            strip.update(shots)
            if self._features is not None:
                features["driving"].append(self._features(shots.driving))
                features["results"].append(self._features(shots.results))
            if self._mesh is not None:
                meshes["driving"].append(self._mesh(shots.driving)[..., :2])
                meshes["results"].append(self._mesh(shots.results)[..., :2])
        write_image(self.picture(method.key, case.name), strip.picture())
        if self._features is not None:
            found = {name: np.concatenate(parts) for name, parts in features.items()}
            with atomic_path(self._path(method.key, case.name, "npz")) as partial:
                np.savez(
                    partial,
                    source=self._features(source[None]),
                    driving=found["driving"],
                    results=found["results"],
                )
        if self._mesh is not None:
            with atomic_path(self._path(method.key, case.name, "mesh.npz")) as partial:
                np.savez(
                    partial,
                    driving=np.concatenate(meshes["driving"]),
                    results=np.concatenate(meshes["results"]),
                )
        kept = {name: tuple(column) for name, column in values.items()}
        return CaseScores(
            *(case.name, case.clip, tuple(frames), kept),
            remark="" if case.numbers else shortness(case, frames[-1]),
            shown=strip.frame,
        )

    def _stored(self, method: Method, case: Case, failed: bool = False) -> CaseScores | None:
        """What an earlier run found out; None when inputs have changed since, or it failed."""
        path = self._path(method.key, case.name, "json")
        if not path.is_file():
            return None
        try:
            stored = read_json(path.read_bytes())
            if not isinstance(stored, dict):
                raise TalkheadError("it is not an object")
            current = stored.pop("inputs", None) == _stamp(case)
            scores = read_dataclass(CaseScores, stored)
            self._check(scores, case)
        except TalkheadError as error:
            log.warning("%s is damaged (%s); the case is scored again", path, error)
            return None
        return scores if current and (failed or not scores.error) else None

    def _check(self, scores: CaseScores, case: Case) -> None:
        """Raise TalkheadError for what was not written for this case and these metrics."""
        if (scores.case, scores.clip) != (case.name, case.clip):
            raise TalkheadError(f"it is of {shown(scores.case)}")
        if scores.error:
            return
        if scores.values.keys() != set(self.metrics) or not scores.frames:
            raise TalkheadError("it has not the scores that are wanted")
        if any(len(column) != len(scores.frames) for column in scores.values.values()):
            raise TalkheadError(f"it has not a score for each of {len(scores.frames)} frames")


class Strip:
    """Keeps the frame of a case whose driver has moved furthest: the same for all methods.

    frame: its number.
    """

    def __init__(self, truth: bool) -> None:
        self.frame = 0
        self._truth = truth
        self._start: np.ndarray | None = None
        self._most = -1.0
        self._cells: list[np.ndarray] = []

    def update(self, batch: FrameBatch) -> None:
        """Look at the next batch."""
        if self._start is None:
            self._start = (batch.source if self._truth else batch.driving[0]).astype(np.int16)
        for number, driving, result in zip(
            batch.numbers, batch.driving, batch.results, strict=True
        ):
            if (amount := float(np.abs(driving - self._start).mean())) > self._most:
                self._most, self.frame = amount, number
                self._cells = [batch.source, driving, result]
                if self._truth:
                    difference = np.abs(driving.astype(np.int16) - result)
                    self._cells.append(np.minimum(3 * difference, 255).astype(np.uint8))

    def picture(self) -> np.ndarray:
        """Source, driving, result and, with a truth, three times the difference, in a row."""
        return np.concatenate(self._cells, axis=1)


def _read_features(file: Path) -> dict[str, np.ndarray]:
    """Features (N, D) by name. Raises TalkheadError for a file that was not written here."""
    try:
        found = read_arrays(file, FEATURES)
        widths = {array.shape[1:] for array in found.values()}
        if found.keys() != set(FEATURES) or [len(width) for width in widths] != [1]:
            raise TalkheadError("it holds other arrays")
        if not all(a.dtype.kind == "f" and np.isfinite(a).all() for a in found.values()):
            raise TalkheadError("it holds no finite numbers")
    except TalkheadError as error:
        raise TalkheadError(
            f"{file} is damaged ({error}); delete it, and its case is scored again"
        ) from error
    return found


def shortness(case: Case, last: int) -> str:
    """Says so when a clip's frames end well before its header says."""
    promised = promised_frames(case.driving)
    if promised is None or last + case.every + SHORT_FRAMES > promised:
        return ""
    return f"only its frames up to {last} can be read, its header promises {promised}"


def frame_name(number: int) -> str:
    """As VoxCeleb's frame folders have them."""
    return f"{number:07d}.png"


def is_frame(path: Path) -> bool:
    """Whether a file is called like the picture of a frame."""
    return FRAME_NAME.fullmatch(path.name) is not None and path.is_file()


def write_frames(folder: Path, numbers: Sequence[int], pictures: np.ndarray) -> None:
    """PNG files, exactly what is measured."""
    for number, picture in zip(numbers, pictures, strict=True):
        write_image(folder / frame_name(number), picture)


def _stamp(case: Case) -> list[Any]:
    """Changes when what is read changes."""
    paths = [case.source[0], case.driving]
    facts = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
    numbers = list(case.numbers) if case.numbers else None
    return [*map(list, facts), case.source[1], numbers, case.every, case.anchor]
