"""Face networks as functions of one image, uint8 (S, S, 3).

They return None where no face is found. Their weights must be on disk: see `networks`.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from talkhead.evaluation.metrics.faces import FaceEncoder
from talkhead.evaluation.metrics.networks import NETWORKS
from talkhead.io.image import write_image

OPENFACE_SIDE = 96
FEAT_ANGLES = ["Pitch", "Roll", "Yaw"]


def landmarks_68(device: str) -> FaceEncoder:
    """68 landmarks in pixels by 2D-FAN, of the first face that S3FD finds."""
    from face_alignment import FaceAlignment, LandmarksType

    # compile=False: compiling takes half a minute and a C++ compiler.
    network = FaceAlignment(
        LandmarksType.TWO_D, device=device, flip_input=False, face_detector="sfd", compile=False
    )

    def encoder(picture: np.ndarray) -> np.ndarray | None:
        faces = network.get_landmarks_from_image(picture)
        return np.asarray(faces[0], dtype=float) if faces else None

    return encoder


def sface() -> FaceEncoder:
    """OpenCV's SFace on the surest face that YuNet finds, aligned: 128-d."""
    recogniser_file, detector_file = (file.path for file in NETWORKS["sface"].files)
    recogniser = cv2.FaceRecognizerSF.create(str(recogniser_file), "")
    detector = cv2.FaceDetectorYN.create(str(detector_file), "", (320, 320))

    def encoder(picture: np.ndarray) -> np.ndarray | None:
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        detector.setInputSize(bgr.shape[1::-1])
        _, faces = detector.detect(bgr)
        if faces is None:
            return None
        surest = max(faces, key=lambda face: face[-1])
        return recogniser.feature(recogniser.alignCrop(bgr, surest)).flatten().astype(float)

    return encoder


def antelope(device: str) -> FaceEncoder:
    """InsightFace's antelopev2 on the first face that it finds: a vector of length 1."""
    from insightface.app import FaceAnalysis

    app: Any = FaceAnalysis(name="antelopev2", allowed_modules=["detection", "recognition"])
    app.prepare(ctx_id=-1 if device == "cpu" else 0, det_size=(256, 256))

    def encoder(picture: np.ndarray) -> np.ndarray | None:
        faces = app.get(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return np.asarray(faces[0].normed_embedding, dtype=float) if faces else None

    return encoder


def openface() -> FaceEncoder:
    """OpenFace nn4.small2 on the whole picture at 96x96, as in the papers."""
    network = cv2.dnn.readNetFromONNX(str(NETWORKS["openface"].files[0].path))

    def encoder(picture: np.ndarray) -> np.ndarray | None:
        side = (OPENFACE_SIDE, OPENFACE_SIDE)
        network.setInput(cv2.dnn.blobFromImage(picture, 1 / 255, side))
        return np.asarray(network.forward(), dtype=float).flatten()

    return encoder


def behaviour(device: str) -> FaceEncoder:
    """Three head angles in degrees, then action units 0..1, by py-feat, of its surest face."""
    import feat

    detector = feat.Detectorv1(device=device, identity_model=None, gaze_model=None)

    def encoder(picture: np.ndarray) -> np.ndarray | None:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "picture.png"
            write_image(file, picture)
            found = detector.detect([str(file)], progress_bar=False)
        found = found.dropna(subset=FEAT_ANGLES)
        if not len(found):
            return None
        surest = found.sort_values("FaceScore").iloc[[-1]]
        angles = np.degrees(surest.poses[FEAT_ANGLES].to_numpy(dtype=float)[0])  # of radians
        return np.concatenate([angles, surest.aus.to_numpy(dtype=float)[0]])

    return encoder
