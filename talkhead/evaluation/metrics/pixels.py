"""Metrics of pixels: L1, PSNR, SSIM. Pictures are uint8 (S, S, 3)."""

from __future__ import annotations

import math

import numpy as np
from skimage.metrics import structural_similarity

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
    return float(
        structural_similarity(
            result,
            truth,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
    )


def ssim_published_mcnet(result: np.ndarray, truth: np.ndarray) -> float:
    """What older scikit-image made of float pictures in 0..1: it took their range to be 2, which
    inflates. Otherwise its defaults: a flat 7x7 window, sample covariance."""
    floats = [picture.astype(np.float64) / 255 for picture in (result, truth)]
    return float(structural_similarity(*floats, channel_axis=2, data_range=2))


FUNCTIONS = {"l1": l1, "psnr": psnr, "ssim": ssim, "ssim_published_mcnet": ssim_published_mcnet}


class PixelMetrics:
    """Compares each result with its driving frame."""

    key = "pixels-1"
    metrics = tuple(FUNCTIONS)

    def __call__(self, batch: FrameBatch) -> dict[str, np.ndarray]:
        pairs = list(zip(batch.results, batch.driving, strict=True))
        return {
            name: np.array([function(result, truth) for result, truth in pairs])
            for name, function in FUNCTIONS.items()
        }
