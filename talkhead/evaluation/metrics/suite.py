"""Build the metrics that this machine can compute, or those that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from talkhead.errors import TalkheadError
from talkhead.evaluation.metrics import backends, networks
from talkhead.evaluation.metrics.base import MetricBackend
from talkhead.evaluation.metrics.faces import (
    FaceMetric,
    absolute,
    agreement,
    cosine,
    euclidean,
    pose_error,
    rooted,
    squared,
)
from talkhead.evaluation.metrics.following import DISTANCE, SLOPES, LandmarkComparer
from talkhead.evaluation.metrics.keypoints import KeypointMetrics, RegionMetrics
from talkhead.evaluation.metrics.landmarks import LandmarkFolder
from talkhead.evaluation.metrics.perceptual import (
    EfficientNetJudge,
    InceptionFeatures,
    LpipsMetric,
    load_inception,
    load_lpips,
)
from talkhead.evaluation.metrics.pixels import PixelMetrics
from talkhead.evaluation.metrics.registry import METRICS
from talkhead.faces.crop_mesh import CropMesh
from talkhead.inference.engine import Engine


@dataclass(frozen=True)
class MetricSuite:
    """The metrics that can be computed, the features of FID where they can, and why others cannot.

    mesh: finds landmarks of driving frames and results; follower: compares landmark files instead.
    """

    backends: tuple[MetricBackend, ...]
    features: InceptionFeatures | None
    skipped: dict[str, str]
    mesh: CropMesh | None = None
    follower: LandmarkComparer | None = None


def parse_metrics(text: str | None) -> tuple[str, ...]:
    """Names separated by commas; all for None. Raises TalkheadError for an unknown one."""
    if text is None:
        return tuple(METRICS)
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in METRICS:
            raise TalkheadError(f"no metric {name!r}; use {', '.join(METRICS)}")
    return names


def build_metrics(
    wanted: Sequence[str],
    engine: Engine,
    landmarks: Path | None = None,
    download: bool = False,
    result_landmarks: Path | None = None,
) -> MetricSuite:
    """Judges for the metrics `wanted`, on the engine's device.

    engine: finds the keypoints of the metric `keypoints`. landmarks: a folder of landmark files;
    result_landmarks: of the results, see `following`; without them the face mesh finds them.
    download: fetch networks that are missing, where their library is there.
    """
    skipped: dict[str, str] = {}
    backends: list[MetricBackend] = []
    features = None
    makers = backend_makers(engine.device)
    for name in dict.fromkeys(METRICS[metric].network for metric in wanted):
        metrics = [metric for metric in wanted if METRICS[metric].network == name]
        if name in makers:
            reason = networks.ready(name, download)
            if reason is not None:
                skipped |= dict.fromkeys(metrics, reason)
            elif name == "inception":
                features = load_inception(engine.device)
            else:
                backends += makers[name](metrics)
    if any(metric in PixelMetrics.metrics for metric in wanted):
        backends.insert(0, PixelMetrics())
    if "keypoints" in wanted:
        backends.append(KeypointMetrics(engine))
    regions = [metric for metric in wanted if metric in RegionMetrics.metrics]
    mesh = CropMesh(engine.device)
    if regions:
        backends.append(RegionMetrics(LandmarkFolder(landmarks) if landmarks else mesh))
    if result_landmarks is not None and landmarks is None:
        raise TalkheadError("--result-landmarks is compared with --landmarks; give both")
    following = any(metric in (DISTANCE, *SLOPES) for metric in wanted)
    if landmarks is not None and result_landmarks is not None:
        follower = LandmarkComparer(LandmarkFolder(landmarks), result_landmarks)
        return MetricSuite(tuple(backends), features, skipped, follower=follower)
    return MetricSuite(tuple(backends), features, skipped, mesh if following else None)


def backend_makers(
    device: torch.device,
) -> dict[str, Callable[[Sequence[str]], list[MetricBackend]]]:
    """How the judges of each network are made, given which of their metrics are wanted."""

    def lpips(net: str) -> Callable[[Sequence[str]], list[MetricBackend]]:
        def make(metrics: Sequence[str]) -> list[MetricBackend]:
            compare = load_lpips(net, device)
            return [
                LpipsMetric(metric, compare, device, published="published" in metric)
                for metric in metrics
            ]

        return make

    return {
        "alex": lpips("alex"),
        "vgg": lpips("vgg"),
        "efficientnet": lambda _: [EfficientNetJudge(device)],
        "inception": lambda _: [],
        "fan": lambda _: [
            FaceMetric(
                "fan-1",
                backends.landmarks_68(str(device)),
                {"akd": euclidean, "akd_published": absolute},
            )
        ],
        "openface": lambda _: [
            FaceMetric("openface-1", backends.openface(), {"aed": rooted, "aed_published": squared})
        ],
        "sface": lambda _: [FaceMetric("sface-1", backends.sface(), {"csim": cosine}, True)],
        "antelope": lambda _: [
            FaceMetric(
                "antelope-1", backends.antelope(str(device)), {"csim_published": cosine}, True
            )
        ],
        "pyfeat": lambda _: [
            FaceMetric(
                "pyfeat-2",
                backends.behaviour(str(device)),
                {"prmse": pose_error, "aucon": agreement},
            )
        ],
    }
