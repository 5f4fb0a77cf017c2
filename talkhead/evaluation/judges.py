"""Which judges sit: all that can on this machine, or those of the metrics that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from talkhead.engine import Engine
from talkhead.errors import TalkheadError
from talkhead.evaluation import lookers, networks
from talkhead.evaluation.faces import (
    BehaviourJudge,
    FaceJudge,
    absolute,
    cosine,
    euclidean,
    rooted,
    squared,
)
from talkhead.evaluation.following import DISTANCE, SLOPES, Follower
from talkhead.evaluation.judging import Judge
from talkhead.evaluation.landmarks import LandmarkFolder
from talkhead.evaluation.metrics import METRICS
from talkhead.evaluation.motion import KeypointJudge, RegionJudge
from talkhead.evaluation.perceptual import (
    InceptionFeatures,
    LpipsJudge,
    load_inception,
    load_lpips,
)
from talkhead.evaluation.pixels import PixelJudge

LANDMARKS_MISSING = (
    "needs landmarks of clips and results: write the results with --frames-out DIR, find the "
    "landmarks of both with examples/landmarks.py, pass --landmarks and --result-landmarks"
)


@dataclass(frozen=True)
class Bench:
    """The judges that sit, the features of FID where they can be had, and who is missing why.

    follower: compares landmarks of the results, where there are some.
    """

    judges: tuple[Judge, ...]
    features: InceptionFeatures | None
    skipped: dict[str, str]
    follower: Follower | None = None


def parse_metrics(text: str | None) -> tuple[str, ...]:
    """Names separated by commas; all for None. Raises TalkheadError for an unknown one."""
    if text is None:
        return tuple(METRICS)
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in METRICS:
            raise TalkheadError(f"no metric {name!r}; use {', '.join(METRICS)}")
    return names


def seat_judges(
    wanted: Sequence[str],
    engine: Engine,
    landmarks: Path | None = None,
    download: bool = False,
    result_landmarks: Path | None = None,
) -> Bench:
    """Judges for the metrics `wanted`, on the engine's device.

    engine: finds the keypoints of the metric `keypoints`. landmarks: a folder of landmark files;
    result_landmarks: of the results, see `following`.
    download: fetch networks that are missing, where their library is there.
    """
    skipped: dict[str, str] = {}
    judges: list[Judge] = []
    features = None
    makers = judge_makers(engine.device)
    for name in dict.fromkeys(METRICS[metric].network for metric in wanted):
        metrics = [metric for metric in wanted if METRICS[metric].network == name]
        if name in makers:
            reason = networks.ready(name, download)
            if reason is not None:
                skipped |= dict.fromkeys(metrics, reason)
            elif name == "inception":
                features = load_inception(engine.device)
            else:
                judges += makers[name](metrics)
    if any(metric in PixelJudge.metrics for metric in wanted):
        judges.insert(0, PixelJudge())
    if "keypoints" in wanted:
        judges.append(KeypointJudge(engine))
    regions = [metric for metric in wanted if metric in RegionJudge.metrics]
    if regions and landmarks is not None:
        judges.append(RegionJudge(LandmarkFolder(landmarks)))
    elif regions:
        skipped |= dict.fromkeys(regions, "needs landmark files: pass --landmarks DIR")
    follower = None
    following = [metric for metric in wanted if metric in (DISTANCE, *SLOPES)]
    if landmarks is not None and result_landmarks is not None:
        follower = Follower(LandmarkFolder(landmarks), result_landmarks)
    elif result_landmarks is not None:
        raise TalkheadError("--result-landmarks is compared with --landmarks; give both")
    else:
        skipped |= dict.fromkeys(following, LANDMARKS_MISSING)
    return Bench(tuple(judges), features, skipped, follower)


def judge_makers(device: torch.device) -> dict[str, Callable[[Sequence[str]], list[Judge]]]:
    """How the judges of each network are made, given which of their metrics are wanted."""

    def lpips(net: str) -> Callable[[Sequence[str]], list[Judge]]:
        def make(metrics: Sequence[str]) -> list[Judge]:
            compare = load_lpips(net, device)
            return [
                LpipsJudge(metric, compare, device, published="published" in metric)
                for metric in metrics
            ]

        return make

    return {
        "alex": lpips("alex"),
        "vgg": lpips("vgg"),
        "inception": lambda _: [],
        "fan": lambda _: [
            FaceJudge(
                "fan-1",
                lookers.landmarks_68(str(device)),
                {"akd": euclidean, "akd_published": absolute},
            )
        ],
        "openface": lambda _: [
            FaceJudge("openface-1", lookers.openface(), {"aed": rooted, "aed_published": squared})
        ],
        "sface": lambda _: [FaceJudge("sface-1", lookers.sface(), {"csim": cosine}, True)],
        "antelope": lambda _: [
            FaceJudge("antelope-1", lookers.antelope(str(device)), {"csim_published": cosine}, True)
        ],
        "pyfeat": lambda _: [BehaviourJudge("pyfeat-2", lookers.behaviour(str(device)))],
    }
