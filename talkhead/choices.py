"""What a person can choose from: the command line and the library take the same words."""

from __future__ import annotations

from typing import Literal

USUAL_RATE = 25  # frames per second, where neither a file nor a person says

TransferMode = Literal["relative", "absolute"]
MotionMode = Literal["relative", "absolute", "avd"]
Detector = Literal["auto", "yunet", "sfd", "blazeface", "centre"]
Layout = Literal["result", "side-by-side", "grid"]
Precision = Literal["fp32", "fp16", "bf16"]
BatchEngine = Literal["process", "ray"]
Protocol = Literal[
    "reconstruction", "pairs", "videos", "cross-pairs", "cross-videos", "random-pairs"
]
Figure = Literal[
    "keypoints",
    "mesh",
    "deformation",
    "candidates",
    "flow",
    "quantized",
    "occlusion",
    "features",
    "codes",
    "memory",
    "detail",
]
PerceptualNetwork = Literal["auto", "vgg", "efficientnet-lite0", "none"]
AblationTable = Literal["codebook", "mcnet"]
WeightsLayout = Literal["talkhead", "official"]
