"""Build the metrics that this machine can compute, or those that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
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
    needed: dict[str, list[str]] = {}
    for metric in wanted:
        needed.setdefault(METRICS[metric].network, []).append(metric)
    needed.pop("", None)
    for name, metrics in needed.items():
        reason = networks.ready(name, download)
        if reason is not None:
            skipped |= dict.fromkeys(metrics, reason)
        elif name == "inception":
            features = load_inception(engine.device)
        else:
            backends += make_backends(name, metrics, engine.device)
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


def make_backends(network: str, wanted: Sequence[str], device: torch.device) -> list[MetricBackend]:
    """Judges by a network (not FID's), given which of its metrics are wanted."""
    where = str(device)
    if network in ("alex", "vgg"):
        compare = load_lpips(network, device)
        return [LpipsMetric(each, compare, device, "published" in each) for each in wanted]
    if network == "efficientnet":
        return [EfficientNetJudge(device)]
    if network == "fan":
        distances = {"akd": euclidean, "akd_published": absolute}
        return [FaceMetric("fan-1", backends.landmarks_68(where), distances)]
    if network == "openface":
        distances = {"aed": rooted, "aed_published": squared}
        return [FaceMetric("openface-1", backends.openface(), distances)]
    if network == "sface":
        return [FaceMetric("sface-1", backends.sface(), {"csim": cosine}, True)]
    if network == "antelope":
        encoder = backends.antelope(where)
        return [FaceMetric("antelope-1", encoder, {"csim_published": cosine}, True)]
    distances = {"prmse": pose_error, "aucon": agreement}
    return [FaceMetric("pyfeat-2", backends.behaviour(where), distances)]
