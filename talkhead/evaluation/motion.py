"""Metrics of motion that need no download: our own keypoints, and landmark files beside clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from talkhead.engine import Engine
from talkhead.errors import TalkheadError
from talkhead.evaluation.clips import clip_name
from talkhead.evaluation.judging import Shots
from talkhead.transfer import Transfer

# Of the 478 points of MediaPipe's face mesh and of the 68 of the usual landmarks.
REGIONS = {
    478: {
        "mouth": (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37),
        "eyes": (33, 133, 159, 145, 263, 362, 386, 374),
        "face": tuple(range(468)),
    },
    68: {
        "mouth": tuple(range(48, 68)),
        "eyes": tuple(range(36, 48)),
        "face": tuple(range(68)),
    },
}
MARGIN = 0.04  # of the picture's side, around the box of a region's points


class KeypointJudge:
    """Mean distance, in pixels, of the keypoints of the result from those that it should have.

    These are the driving frame's or, for relative motion, the source's moved like the driver's.
    One engine finds them all and judges all contenders. Its own weights have an advantage: they
    are drawn to fit what their detector sees.
    """

    metrics = ("keypoints",)

    def __init__(self, engine: Engine) -> None:
        self.key = f"keypoints-{engine.weights[:12]}-{engine.precision}"
        self._engine = engine

    def __call__(self, shots: Shots) -> dict[str, np.ndarray]:
        wanted = self._engine.detect(list(shots.driving))
        if shots.anchor is not None:
            source, anchor = (self._engine.detect([p]) for p in (shots.source, shots.anchor))
            wanted = Transfer("relative", source, anchor)(wanted)
        found = self._engine.detect(list(shots.results))
        # -1 and 1 are the centres of the border pixels.
        pixels = (found.value - wanted.value) * (shots.source.shape[0] - 1) / 2
        return {"keypoints": pixels.norm(dim=-1).mean(dim=1).double().numpy()}


class RegionJudge:
    """L1 within the boxes around mouth, eyes and face, where landmark files say those are.

    folder: `<clip>.npz` with `points` (frames, P, 2 or more), x and y in pixels of the clip, P 478
    (MediaPipe's face mesh) or 68; size: side of the clips in pixels. Not judged: frames without
    points, clips without a file.
    """

    metrics = ("l1_mouth", "l1_eyes", "l1_face")

    def __init__(self, folder: Path, size: int = 256) -> None:
        if not folder.is_dir():
            raise TalkheadError(f"there is no folder of landmarks {folder}")
        self.key = f"regions-1-{folder.resolve()}-{size}"
        self._folder = folder
        self._size = size
        self._clip: tuple[Path, np.ndarray | None] | None = None

    def __call__(self, shots: Shots) -> dict[str, np.ndarray]:
        points = self._points(shots.clip)
        values = np.full((len(shots.numbers), len(self.metrics)), np.nan)
        for i, number in enumerate(shots.numbers):
            if points is None or number >= len(points) or not np.isfinite(points[number]).all():
                continue
            side = shots.source.shape[0]
            difference = np.abs(shots.results[i].astype(np.int16) - shots.driving[i])
            for j, metric in enumerate(self.metrics):
                region = REGIONS[points.shape[1]][metric.removeprefix("l1_")]
                rows, columns = box(points[number][list(region)] * side / self._size, side)
                values[i, j] = difference[rows, columns].mean() / 255
        return dict(zip(self.metrics, values.T, strict=True))

    def _points(self, clip: Path) -> np.ndarray | None:
        """Landmarks (frames, P, 2) of a clip; None when there is no file for it."""
        if self._clip is None or self._clip[0] != clip:
            self._clip = (clip, self._read(self._folder / f"{clip_name(clip)}.npz"))
        return self._clip[1]

    def _read(self, file: Path) -> np.ndarray | None:
        if not file.is_file():
            return None
        try:
            with np.load(file, allow_pickle=False) as stored:
                points = np.asarray(stored["points"], dtype=np.float32)
        except (OSError, ValueError, KeyError) as error:
            raise TalkheadError(f"{file} holds no landmarks `points` ({error})") from error
        if points.ndim != 3 or points.shape[1] not in REGIONS or points.shape[2] < 2:
            raise TalkheadError(
                f"{file} has points of shape {points.shape}; expected (frames, 478 or 68, 2)"
            )
        return points[..., :2]


def box(points: np.ndarray, side: int) -> tuple[slice, slice]:
    """Rows and columns of the box around points (P, 2), with a margin, within the picture."""
    room = MARGIN * side
    low = np.clip(np.floor(points.min(axis=0) - room), 0, side - 1).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + room), low + 1, side).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])
