"""LPIPS and FID: distances in the features of networks that learned something else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from talkhead.evaluation.metrics.base import FrameBatch
from talkhead.models.efficientnet import feature_distance
from talkhead.models.efficientnet_weights import load_efficientnet

Compare = Callable[[Tensor, Tensor], Tensor]


def to_tensor(pictures: np.ndarray, device: torch.device) -> Tensor:
    """uint8 (N, S, S, 3) as float (N, 3, S, S) in 0..1."""
    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float() / 255


class LpipsMetric:
    """LPIPS with one of the library's networks.

    compare: takes two batches of pictures and returns one value each.
    published: feed 0..1 where the network expects -1..1, as MCNet's `metrics.py` does.
    """

    def __init__(
        self, metric: str, compare: Compare, device: torch.device, published: bool = False
    ) -> None:
        self.metrics = (metric,)
        self.key = f"{metric}-1"
        self._compare = compare
        self._device = device
        self._published = published

    @torch.inference_mode()
    def __call__(self, batch: FrameBatch) -> dict[str, np.ndarray]:
        """The distance for each result."""
        pictures = [to_tensor(p, self._device) for p in (batch.results, batch.driving)]
        if not self._published:
            pictures = [2 * p - 1 for p in pictures]
        return {self.metrics[0]: self._compare(*pictures).flatten().cpu().double().numpy()}


def load_lpips(net: str, device: torch.device) -> Compare:
    """The library's network `alex` or `vgg`, version 0.1; its weights must be on disk."""
    from lpips import LPIPS

    loaded: Compare = LPIPS(net=net, version="0.1", verbose=False).to(device)
    return loaded


class EfficientNetJudge:
    """Perceptual distance in EfficientNet-Lite0's features."""

    metrics = ("efficientnet",)
    key = "efficientnet-1"

    def __init__(self, device: torch.device) -> None:
        self._net = load_efficientnet().to(device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, batch: FrameBatch) -> dict[str, np.ndarray]:
        """The distance for each result."""
        found, wanted = (
            self._net(to_tensor(p, self._device)) for p in (batch.results, batch.driving)
        )
        return {self.metrics[0]: feature_distance(found, wanted).cpu().double().numpy()}


class InceptionFeatures:
    """What FID compares: 2048 features of each picture, as pytorch-fid computes them."""

    key = "inception-1"

    def __init__(self, network: Callable[[Tensor], list[Tensor]], device: torch.device) -> None:
        self._network = network
        self._device = device

    @torch.inference_mode()
    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """float32 (N, 2048) of uint8 (N, S, S, 3)."""
        features = self._network(to_tensor(pictures, self._device))[0]
        return features.flatten(1).float().cpu().numpy()


def load_inception(device: torch.device) -> InceptionFeatures:
    """pytorch-fid's network; its weights must be on disk."""
    from pytorch_fid.inception import InceptionV3

    network = InceptionV3([InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).to(device).eval()
    return InceptionFeatures(network, device)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float | None:
    """Distance of two sets of features (N, D) and (M, D), each taken for a normal distribution.

    |mean_a - mean_b|^2 + trace(C_a + C_b - 2 sqrt(C_a C_b)), C with N - 1; None for a single
    picture. Far fewer pictures than features make it too large.
    """
    if min(len(a), len(b)) < 2:
        return None
    a, b = a.astype(np.float64), b.astype(np.float64)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The trace of sqrt(AB) is the sum of the roots of the eigenvalues of sqrt(A) B sqrt(A), which
    # is symmetric: no imaginary rest has to be cut off.
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(min=0)).sum()
    shift = float(np.square(a.mean(0) - b.mean(0)).sum())
    return shift + float(np.trace(first) + np.trace(second) - 2 * cross)
