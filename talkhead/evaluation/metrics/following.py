"""Compare landmarks of results with the driver's, found by another tool.

The bundled face mesh finds them. Or any other tool does: the results' frames are written as PNG
files (`--frames-out`), and what it found in them and in the driving clips is read from files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talkhead.data.landmarks import gaze, opening, read_landmarks
from talkhead.errors import TalkheadError
from talkhead.evaluation.clips import file_name
from talkhead.evaluation.metrics.landmarks import LandmarkFolder
from talkhead.evaluation.statistics import Score, quotient

DISTANCE = "landmarks"
SLOPES = ("mouth_opening", "eye_opening", "gaze")


@dataclass(frozen=True)
class LandmarkComparison:
    """Landmarks of one case, frame by frame, NaN where either was not found.

    distance: (F,) mean over the points, in pixels of the picture.
    openings: by name of `SLOPES`, (2, F): the driver's and the result's.
    """

    distance: np.ndarray
    openings: dict[str, np.ndarray]

    @classmethod
    def of(cls, driver: np.ndarray, result: np.ndarray) -> LandmarkComparison:
        """From points (F, P, 2) of the driver and of the result."""
        distance = np.linalg.norm(result - driver, axis=-1).mean(axis=-1)
        return cls(
            distance, {p: np.stack([slope_of(driver, p), slope_of(result, p)]) for p in SLOPES}
        )

    def moments(self, part: str) -> tuple[float, float, int]:
        """Sum of products of deviations (driver's and result's), of squares (driver's), frames."""
        driver, result = self.openings[part][:, np.isfinite(self.openings[part]).all(axis=0)]
        if not len(driver):
            return 0.0, 0.0, 0
        deviation = driver - driver.mean()
        return (
            float(deviation @ (result - result.mean())),
            float(deviation @ deviation),
            len(driver),
        )

    def slope(self, part: str) -> float | None:
        """How much of the driver's opening the result shows: 1 all of it, 0 none of it."""
        products, squares, _ = self.moments(part)
        return products / squares if squares else None


def slope_of(points: np.ndarray, part: str) -> np.ndarray:
    """The number of `SLOPES` for points (F, P, 2), (F,)."""
    return gaze(points) if part == "gaze" else opening(points, part)


class LandmarkComparer:
    """Compares landmarks of results with those of the driving clips.

    driving: of the clips. results: a folder with `<method's key>/<case>.npz`.
    """

    def __init__(self, driving: LandmarkFolder, results: Path) -> None:
        if not results.is_dir():
            raise TalkheadError(
                f"there is no folder of the results' landmarks {results}; make it from what "
                "--frames-out wrote, or leave it out: the bundled face mesh finds them"
            )
        self._driving = driving
        self._results = results

    def follow(
        self, key: str, case: str, driving: Path, numbers: Sequence[int], size: int
    ) -> LandmarkComparison | None:
        """Compare a method's case with the frames `numbers` of its driving clip.

        size: side of the pictures. None without frames or landmarks of both.
        """
        file = self._results / key / f"{file_name(case)}.npz"
        if not numbers or not file.is_file():
            return None
        wanted = self._driving.points(driving, size)
        if wanted is None:
            return None
        found = read_landmarks(file).by_frame()
        count = wanted.shape[1]
        if any(points.shape[0] != count for points in found.values()):
            raise TalkheadError(f"{file} has not the {count} points that the driving clip has")
        nothing = np.full((count, 2), np.nan, np.float32)
        driver = np.stack([wanted[n] if n < len(wanted) else nothing for n in numbers])
        result = np.stack([found.get(n, nothing) for n in numbers])
        return LandmarkComparison.of(driver, result)


def slope_score(clips: Sequence[Sequence[LandmarkComparison]], part: str, frames: int) -> Score:
    """The slope over a set: one line through all frames, each case about its own mean.

    clips: cases by clip, which are drawn together in the bootstrap. frames: of the whole set.
    """
    moments = np.array(
        [np.sum([each.moments(part) for each in clip], axis=0) for clip in clips if clip]
    ).reshape(-1, 3)
    moving = moments[moments[:, 1] > 0]
    if not len(moving):
        return Score(None, judged=0.0)
    products, squares, counts = moving.T
    return quotient(products, squares, counts.sum() / frames)
