"""Metrics of pixels: L1, PSNR, SSIM. Pictures are uint8 (S, S, 3)."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from talkhead.evaluation.metrics.base import FrameBatch


def l1(result: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute difference of all values, 0 to 1."""
    return float(np.abs(result.astype(np.int16) - truth).mean() / 255)


def psnr(result: np.ndarray, truth: np.ndarray) -> float:
    """20 log10(255 / RMSE) in decibels; NaN for identical pictures, where it is infinite."""
    mse = float(np.square(result.astype(np.int32) - truth).mean())
    return 10 * math.log10(255**2 / mse) if mse else math.nan


def ssim(result: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity as defined: Gaussian 11x11 of sigma 1.5, on 0..255, mean over RGB.

    Only where the window fits into the picture, as in the codebook model's evaluation.
    """
    a, b = result.astype(np.float64), truth.astype(np.float64)
    return _similarity(a, b, lambda x: cv2.GaussianBlur(x, (11, 11), 1.5), 11, 255)


def ssim_published_mcnet(result: np.ndarray, truth: np.ndarray) -> float:
    """SSIM as older scikit-image computes it for float pictures in 0..1.

    It took their range to be 2, which inflates. Otherwise its defaults: a flat 7x7 window, sample
    covariance.
    """
    a, b = result / 255, truth / 255
    return _similarity(a, b, lambda x: cv2.blur(x, (7, 7)), 7, 2, bias=49 / 48)


def _similarity(
    a: np.ndarray,
    b: np.ndarray,
    blur: Callable[[np.ndarray], np.ndarray],
    window: int,
    value_range: float,
    bias: float = 1.0,
) -> float:
    """Mean SSIM (Wang et al., eq. 13) where the window of `blur` fits into float64 pictures.

    bias: of variances, above 1 where they are those of samples.
    """
    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    likeness = (2 * mean_a * mean_b + c1) * (2 * bias * covariance + c2)
    likeness /= (mean_a**2 + mean_b**2 + c1) * (bias * (variance_a + variance_b) + c2)
    inside = slice(window // 2, -(window // 2))
    return float(likeness[inside, inside].mean())


FUNCTIONS = {"l1": l1, "psnr": psnr, "ssim": ssim, "ssim_published_mcnet": ssim_published_mcnet}


class PixelMetrics:
    """Compares each result with its driving frame."""

    key = "pixels-1"
    metrics = tuple(FUNCTIONS)

    def __call__(self, batch: FrameBatch) -> dict[str, np.ndarray]:
        """Every measure for each result."""
        pairs = list(zip(batch.results, batch.driving, strict=True))
        return {
            name: np.array([function(result, truth) for result, truth in pairs])
            for name, function in FUNCTIONS.items()
        }
