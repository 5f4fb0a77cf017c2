"""Data and a method for tests of scores: no network draws here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from media import moving_picture
from PIL import Image

from talkhead.evaluation.evaluate import score_methods
from talkhead.evaluation.metrics.pixels import PixelMetrics
from talkhead.evaluation.metrics.suite import MetricSuite
from talkhead.evaluation.protocols import plan_evaluation
from talkhead.evaluation.results import Evaluation
from talkhead.evaluation.scorer import Scorer

PIXELS = MetricSuite((PixelMetrics(),), None, {})
SIZE = 32


class Perfect:
    """Returns the driving frames; counts how often it is asked."""

    name, key, about = "perfect", "perfect", "cheats"

    def __init__(self) -> None:
        self.drawn = 0
        self.anchors: list[np.ndarray | None] = []

    def start(
        self, source: np.ndarray, anchor: np.ndarray | None
    ) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
        self.anchors.append(anchor)

        def draw(driving: Sequence[np.ndarray]) -> np.ndarray:
            self.drawn += len(driving)
            return np.stack(driving)

        return draw


def picture_clip(folder: Path, first: int, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        picture = moving_picture(first + 3 * number, SIZE, SIZE)
        Image.fromarray(picture).save(folder / f"{number:07d}.png")


def run(data: Path, output: Path, method: Perfect, **options: object) -> Evaluation:
    evaluation_set = plan_evaluation("reconstruction", data)
    found = score_methods(Scorer(evaluation_set, PIXELS, output, SIZE, batch_size=2), [method])
    assert found is not None
    return found
