"""The one table of metrics: what each is, who computes it, and on what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """name: on the command line and in files; title: in tables; better: "higher" or "lower".

    definition: what is computed, on which value range, and what published numbers it matches.
    library:    what does the computing; weights: of a network, empty without one.
    truth:      whether it needs driving frames that the result should look like.
    digits:     after the point, in tables.
    """

    name: str
    title: str
    better: str
    definition: str
    library: str
    weights: str = ""
    truth: bool = True
    digits: int = 4


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "l1",
            "L1",
            "lower",
            "mean absolute difference of all values, 0..1 (the codebook model prints 0..255, too)",
            "numpy",
        ),
        Metric(
            "psnr",
            "PSNR",
            "higher",
            "20 log10(255 / RMSE) per picture in dB, RGB; mean of the pictures' values, as "
            "published; identical pictures (infinite) are left out",
            "numpy",
            digits=2,
        ),
        Metric(
            "ssim",
            "SSIM",
            "higher",
            "Gaussian 11x11, sigma 1.5, on 0..255, valid region, mean over RGB; also what the "
            "codebook model computes",
            "scikit-image structural_similarity(gaussian_weights, data_range=255)",
        ),
        Metric(
            "ssim_published_mcnet",
            "SSIM (MCNet's)",
            "higher",
            "as older scikit-image computed it for float pictures in 0..1: flat 7x7 window and a "
            "data range of 2, which inflates; compare with MCNet's published numbers only",
            "scikit-image structural_similarity(data_range=2)",
        ),
    )
}
