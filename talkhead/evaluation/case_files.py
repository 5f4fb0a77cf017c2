"""What is kept of each case: one JSON file of scores, one picture, what networks saw in it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from talkhead.errors import TalkheadError, shown
from talkhead.evaluation.clips import file_name
from talkhead.evaluation.metrics.base import FrameBatch
from talkhead.evaluation.metrics.following import LandmarkComparison
from talkhead.evaluation.protocols import Case
from talkhead.io.arrays import read_arrays
from talkhead.io.atomic import atomic_path, fitting_name, write_text
from talkhead.schema import Finite, Range, read_dataclass, read_json
from talkhead.video.pictures import content_stamp

log = logging.getLogger(__name__)

FEATURES = ("source", "driving", "results")  # what FID compares


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


class CaseFiles:
    """The files of the cases of one evaluation, by method and case.

    folder: theirs alone, so that what other metrics or sizes have left is not taken for them.
    metrics: those that scores must have.
    """

    def __init__(self, folder: Path, metrics: tuple[str, ...]) -> None:
        self._folder = folder
        self._metrics = metrics

    def path(self, key: str, case: str, ending: str) -> Path:
        """Where a file of a case lies; `key` is the method's."""
        return self._folder / key / fitting_name(file_name(case), f".{ending}")

    def picture(self, key: str, case: str) -> Path:
        """Where the strip of a case lies: source, driving, result (and difference)."""
        return self.path(key, case, "jpg")

    def write(self, key: str, case: Case, scores: CaseScores) -> None:
        """Keep the scores of a case; of one that failed nothing else stays."""
        if scores.error:
            for ending in ("npz", "mesh.npz"):  # of an earlier run
                self.path(key, case.name, ending).unlink(missing_ok=True)
        text = json.dumps({"inputs": _stamp(case), **asdict(scores)})
        write_text(self.path(key, case.name, "json"), text)

    def read(self, key: str, case: Case, failed: bool = False) -> CaseScores | None:
        """What an earlier run found; None when inputs have changed since, or the case failed."""
        path = self.path(key, case.name, "json")
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
        if scores.values.keys() != set(self._metrics) or not scores.frames:
            raise TalkheadError("it has not the scores that are wanted")
        if any(len(column) != len(scores.frames) for column in scores.values.values()):
            raise TalkheadError(f"it has not a score for each of {len(scores.frames)} frames")

    def features(self, key: str, cases: Iterable[Case]) -> dict[str, np.ndarray]:
        """What FID compares, over all cases: features (N, D) of source, driving and results.

        N is 0 where every case failed.
        """
        files = [self.path(key, case.name, "npz") for case in cases]
        found = [_read_features(file) for file in files if file.is_file()]
        none = np.empty((0, 0), np.float32)
        return {
            name: np.concatenate([each[name] for each in found]) if found else none
            for name in FEATURES
        }

    def followed(self, key: str, case: str) -> LandmarkComparison | None:
        """What the face mesh saw in driving frames and results; None where it did not look."""
        file = self.path(key, case, "mesh.npz")
        if not file.is_file():
            return None
        names = ("driving", "results")
        try:
            found = read_arrays(file, names)
            return LandmarkComparison.of(*(found[name][..., :2] for name in names))
        except (TalkheadError, LookupError, ValueError) as error:
            raise _damaged(file, error) from error


class Seen:
    """What a network sees in driving frames and results of a case, batch after batch."""

    def __init__(self, network: Callable[[np.ndarray], np.ndarray]) -> None:
        self._network = network
        self._driving: list[np.ndarray] = []
        self._results: list[np.ndarray] = []

    def update(self, batch: FrameBatch) -> None:
        """Look at the next batch."""
        self._driving.append(self._network(batch.driving))
        self._results.append(self._network(batch.results))

    def write(self, file: Path, **more: np.ndarray) -> None:
        """Keep it all as arrays `driving` and `results`, and `more` by name."""
        seen = {"driving": np.concatenate(self._driving), "results": np.concatenate(self._results)}
        arrays: dict[str, Any] = seen | more
        with atomic_path(file) as partial:
            np.savez(partial, **arrays)


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
        raise _damaged(file, error) from error
    return found


def _damaged(file: Path, error: Exception) -> TalkheadError:
    return TalkheadError(f"{file} is damaged ({error}); delete it, and its case is scored again")


def _stamp(case: Case) -> list[Any]:
    """Changes when what is read changes."""
    paths = [case.source[0], case.driving]
    content = hashlib.sha256(content_stamp(paths).encode()).hexdigest()
    numbers = list(case.numbers) if case.numbers else None
    names = [str(path.resolve()) for path in paths]
    return [*names, content, case.source[1], numbers, case.every, case.anchor]
