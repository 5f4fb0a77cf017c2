"""Other face detectors to choose from: those of face-alignment whose weights lie on disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import cv2
import numpy as np

from talkhead.choices import Detector
from talkhead.errors import TalkheadError
from talkhead.faces.crop import shrink
from talkhead.faces.detector import Detection
from talkhead.faces.finder import FaceFinder, Pass
from talkhead.faces.regions import Region

log = logging.getLogger(__name__)

# Their files, as face-alignment names them in torch's hub folder.
_WEIGHTS = {
    "yunet": ["face_detection_yunet_2023mar.onnx"],
    "sfd": ["s3fd-619a316812.pth"],
    "blazeface": ["blazeface.pth", "anchors.npy"],
}
_SIDE = 480  # longer side of the copy that they look at, pixels


def make_finder(detector: Detector, device: str) -> FaceFinder:
    """What finds faces: "auto" by the bundled networks, else by the detector of that name.

    Nothing is ever downloaded. Raises TalkheadError when the detector's weights are missing.
    """
    if detector in ("auto", "centre"):
        return FaceFinder(device)
    return AlignmentFinder(detector, device)


class AlignmentFinder(FaceFinder):
    """Faces that a detector of face-alignment proposes and the mesh confirms.

    Raises TalkheadError when the detector's weights are missing.
    """

    PASSES = (Pass(128, presence=0.5),)  # of any picture: its detector looks at the whole

    def __init__(self, detector: str, device: str) -> None:
        super().__init__(device)
        self.name = detector
        missing = [str(path) for path in _weights(detector) if not path.is_file()]
        if missing:
            raise TalkheadError(
                f"the face detector {detector} needs {' and '.join(missing)}, which is not there; "
                "put it there or use --detector auto"
            )

    @cached_property
    def _alignment(self) -> Any:
        log.info("finding faces with the %s detector of face-alignment", self.name)
        files = [str(path) for path in _weights(self.name)]
        device = self.device if self.device.startswith("cuda") else "cpu"
        try:
            return _build(self.name, device, files)
        except ImportError as error:
            raise TalkheadError(
                f"the face detector {self.name} needs the package face-alignment ({error}); "
                "install it with pip, or use --detector auto"
            ) from error
        except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError, cv2.error) as error:
            raise TalkheadError(
                f"the weights of the face detector {self.name} cannot be read "
                f"({' and '.join(files)}); delete them or use --detector auto"
            ) from error

    def _detect(
        self, rgb: np.ndarray, regions: Sequence[Region], side: int, least: float
    ) -> list[Detection]:
        """Boxes of the whole picture whose middle lies in one of the regions."""
        small, factor = shrink(rgb, _SIDE)
        found = []
        for *box, score in self._alignment.detect_from_image(small):
            x, y, right, bottom = (float(v) / factor for v in box)
            middle = (x + right) / 2, (y + bottom) / 2
            if any(region.holds(*middle) for region in regions):
                found.append(Detection(*middle, right - x, bottom - y, 0.0, float(score)))
        return found


def _build(name: str, device: str, files: list[str]) -> Any:
    """One of face-alignment's detectors alone. Given its files, it does not download any."""
    if name == "yunet":
        from face_alignment.detection.yunet.yunet_detector import YuNetDetector

        return YuNetDetector("cpu", *files)
    if name == "sfd":
        from face_alignment.detection.sfd.sfd_detector import SFDDetector

        return SFDDetector(device, *files)
    from face_alignment.detection.blazeface.blazeface_detector import BlazeFaceDetector

    return BlazeFaceDetector(device, False, *files)


def _weights(name: str) -> list[Path]:
    """Where face-alignment keeps a detector's weights."""
    from torch import hub

    return [Path(hub.get_dir()) / "checkpoints" / file for file in _WEIGHTS[name]]
