"""The table of metrics: definition, computation and required networks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """name: on the command line and in files; title: in tables.

    better:     "higher", "lower", or "one": the nearer to 1.
    definition: what is computed, on which value range, and what published numbers it matches.
    library:    what does the computing; network: its name in `networks.NETWORKS`, empty for none.
    truth:      whether it needs driving frames that the result should look like.
    digits:     after the point, in tables.
    values:     range of the picture values that it is computed on.
    """

    name: str
    title: str
    better: str
    definition: str
    library: str
    network: str = ""
    truth: bool = True
    digits: int = 4
    values: str = "0..255"


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "l1",
            "L1",
            "lower",
            "mean absolute difference of all values, 0..1 (the codebook model prints 0..255, too)",
            "numpy",
            values="0..1",
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
            "own code, equal to scikit-image's (gaussian_weights, data_range=255)",
        ),
        Metric(
            "ssim_published_mcnet",
            "SSIM (MCNet's)",
            "higher",
            "as older scikit-image computed it for float pictures in 0..1: flat 7x7 window and a "
            "data range of 2, which inflates; compare with MCNet's published numbers only",
            "own code, equal to scikit-image's (data_range=2)",
            values="0..1",
        ),
        Metric(
            "keypoints",
            "keypoints",
            "lower",
            "mean distance in pixels of the result's keypoints from those that it should have: the "
            "driving frame's, or the source's moved like the driver's (relative motion); found "
            "by one stated detector, which favours the weights that it belongs to",
            "talkhead's own detector",
            truth=False,
            digits=2,
        ),
        Metric(
            "landmarks",
            "landmarks",
            "lower",
            "mean Euclidean distance in pixels of all landmarks of the result from those of the "
            "driving frame: 478 points by the bundled face mesh, or those of landmark files",
            "talkhead's face mesh (MediaPipe's)",
            digits=2,
        ),
        Metric(
            "mouth_opening",
            "mouth kept",
            "one",
            "how much of the driver's mouth opening (inner lips, over the mouth's width) the "
            "result shows: slope of the line through all frames, each clip about its own mean; 1 "
            "is all of it, 0 a mouth that never moves",
            "talkhead's face mesh (MediaPipe's)",
            truth=False,
            digits=2,
        ),
        Metric(
            "eye_opening",
            "eyes kept",
            "one",
            "the same of the eyes' opening (lids, over the eye's width)",
            "talkhead's face mesh (MediaPipe's)",
            truth=False,
            digits=2,
        ),
        Metric(
            "gaze",
            "gaze kept",
            "one",
            "the same of where the irises lie between the corners of the eyes, from side to side",
            "talkhead's face mesh (MediaPipe's)",
            truth=False,
            digits=2,
        ),
        *(
            Metric(
                f"l1_{region}",
                f"L1 {region}",
                "lower",
                f"L1 (0..1) within the box around the {region} of the driving frame, 4 % of the "
                "side wider on all sides; boxes by the bundled face mesh, or from landmark files",
                "numpy",
                values="0..1",
            )
            for region in ("mouth", "eyes", "face")
        ),
        Metric(
            "lpips_alex",
            "LPIPS (Alex)",
            "lower",
            "as defined: version 0.1, pictures in -1..1",
            "lpips",
            "alex",
            values="-1..1",
        ),
        Metric(
            "lpips_vgg",
            "LPIPS (VGG)",
            "lower",
            "version 0.1, pictures in -1..1; what the codebook model and MCNet publish",
            "lpips",
            "vgg",
            values="-1..1",
        ),
        Metric(
            "lpips_alex_published_mcnet",
            "LPIPS (MCNet's Alex)",
            "lower",
            "as MCNet's metrics.py feeds it: pictures in 0..1 where -1..1 is expected",
            "lpips",
            "alex",
            values="0..1",
        ),
        Metric(
            "efficientnet",
            "EfficientNet",
            "lower",
            "perceptual distance: mean absolute difference of features of EfficientNet-Lite0 over "
            "the driving frame's mean, mean over five layers (1/2 to 1/16 of the size); no "
            "published numbers; weights trained with this network as a loss do well by it",
            "talkhead, with weights from pip",
            "efficientnet",
            values="0..1",
        ),
        Metric(
            "fid",
            "FID",
            "lower",
            "between all results and all driving frames; far fewer pictures than 2048 features "
            "make it too large",
            "pytorch-fid's network; numpy",
            "inception",
            truth=False,
            digits=2,
            values="0..1",
        ),
        Metric(
            "fid_published_codebook",
            "FID (to sources)",
            "lower",
            "between all results and the sources, one per case, as the codebook model publishes it",
            "pytorch-fid's network; numpy",
            "inception",
            truth=False,
            digits=2,
            values="0..1",
        ),
        Metric(
            "akd",
            "AKD",
            "lower",
            "mean Euclidean distance in pixels of 68 landmarks of the first face; pairs with a "
            "picture without a face are left out",
            "face-alignment",
            "fan",
            digits=3,
        ),
        Metric(
            "akd_published",
            "AKD (published)",
            "lower",
            "the same landmarks, but the mean absolute difference of their 136 coordinates, which "
            "is what FOMM and its successors publish",
            "face-alignment",
            "fan",
            digits=3,
        ),
        Metric(
            "aed",
            "AED",
            "lower",
            "Euclidean distance of identity features of result and driving frame, 96x96",
            "opencv dnn",
            "openface",
            values="0..1",
        ),
        Metric(
            "aed_published",
            "AED (published)",
            "lower",
            "its square: FOMM and its successors sum squared differences and take no root",
            "opencv dnn",
            "openface",
            values="0..1",
        ),
        Metric(
            "csim",
            "CSIM",
            "higher",
            "cosine of identity features of result and source, SFace; no paper's numbers "
            "(MCNet's are of a grey ArcFace-18 that is not offered here)",
            "opencv FaceRecognizerSF",
            "sface",
            truth=False,
        ),
        Metric(
            "csim_published",
            "CSIM (published)",
            "higher",
            "the same with antelopev2, as the codebook model publishes it",
            "insightface",
            "antelope",
            truth=False,
        ),
        Metric(
            "prmse",
            "PRMSE",
            "lower",
            "root of the mean squared difference of three head angles in degrees (py-feat gives "
            "radians), per picture, result and driving frame; changes with the version of py-feat",
            "py-feat",
            "pyfeat",
            truth=False,
            digits=3,
        ),
        Metric(
            "aucon",
            "AUCON",
            "higher",
            "share of action units that are on (0.5 or more) in both or in neither, result and "
            "driving frame; changes with the version of py-feat",
            "py-feat",
            "pyfeat",
            truth=False,
        ),
    )
}
FID = ("fid", "fid_published_codebook")
WITHOUT_FRAMES = (*FID, "mouth_opening", "eye_opening", "gaze")  # one value for many frames
