"""FID of all results together, whatever fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from scoring import SIZE, Perfect

from talkhead.data.clips import find_test_clips
from talkhead.errors import TalkheadError
from talkhead.evaluation.clips import read_frames
from talkhead.evaluation.evaluate import score_methods
from talkhead.evaluation.metrics.perceptual import InceptionFeatures, frechet_distance
from talkhead.evaluation.metrics.pixels import PixelMetrics
from talkhead.evaluation.metrics.suite import MetricSuite
from talkhead.evaluation.protocols import plan_evaluation
from talkhead.evaluation.report.tables import markdown
from talkhead.evaluation.scorer import Scorer


@pytest.fixture
def with_fid() -> MetricSuite:
    """Pixels, and FID of features that are four pixels."""
    features = InceptionFeatures(lambda x: [x[:, :, :2, :2].flatten(1)], torch.device("cpu"))
    return MetricSuite((PixelMetrics(),), features, {})


def test_fid_is_of_all_results_together(data: Path, tmp_path: Path, with_fid: MetricSuite) -> None:
    features, suite = with_fid.features, with_fid
    assert features is not None
    evaluation_set = plan_evaluation("reconstruction", data)
    result = score_methods(Scorer(evaluation_set, suite, tmp_path / "out", SIZE), [Perfect()])
    assert result is not None
    frames = [p for clip in find_test_clips(data) for _, p in read_frames(clip.path, SIZE)]
    sources = [next(read_frames(clip.path, SIZE))[1] for clip in find_test_clips(data)]
    perfect, nothing = result.rows
    assert perfect.scores["fid"].frame_mean == pytest.approx(0, abs=1e-5)
    assert perfect.scores["fid_published_codebook"].frame_mean == pytest.approx(
        frechet_distance(features(np.stack(frames)), features(np.stack(sources)))
    )
    assert nothing.scores["fid"].frame_mean > 0.001  # type: ignore[operator]
    assert "fid" not in result.frame_metrics


def test_fid_leaves_out_what_has_failed_since(
    data: Path, tmp_path: Path, with_fid: MetricSuite
) -> None:
    evaluation_set = plan_evaluation("reconstruction", data)

    def stored() -> int:
        result = score_methods(
            Scorer(evaluation_set, with_fid, tmp_path / "out", SIZE), [Perfect()]
        )
        assert result is not None
        found = len(list((tmp_path / "out").rglob("perfect/*.npz")))
        assert found == len(result.rows[0].scored)
        return found

    assert stored() == 2
    for picture in (data / "bert-0").glob("*.png"):
        picture.write_text("this is no picture")
    (data / "bert-0" / "sub").mkdir()  # touches the folder
    assert stored() == 1


def test_where_every_case_fails_fid_is_no_traceback(
    data: Path, tmp_path: Path, with_fid: MetricSuite
) -> None:
    class Failing(Perfect):
        name, key = "failing", "failing"

        def start(
            self, source: np.ndarray, anchor: np.ndarray | None
        ) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
            raise TalkheadError("cannot")

    evaluation_set = plan_evaluation("reconstruction", data)
    for methods in ([Failing(), Perfect()], [Perfect(), Failing()]):
        result = score_methods(Scorer(evaluation_set, with_fid, tmp_path / "out", SIZE), methods)
        assert result is not None
        scores = {row.name: row.scores["fid"].frame_mean for row in result.rows}
        assert scores["failing"] is None
        assert scores["perfect"] == pytest.approx(0, abs=1e-5)
        assert "| failing |" in markdown(result)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "text.mp4").write_text("this is no video")
    evaluation_set = plan_evaluation("reconstruction", tmp_path / "broken")
    with pytest.raises(TalkheadError, match="no clip could be scored"):
        score_methods(Scorer(evaluation_set, with_fid, tmp_path / "out", SIZE), [Perfect()])
