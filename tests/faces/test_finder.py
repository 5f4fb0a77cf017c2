"""Faces of stills are found where they are, at any turn and size, and framed as in training."""

from __future__ import annotations

import logging
import math
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import talkhead
from talkhead.animation.portrait import find_crop
from talkhead.errors import TalkheadError
from talkhead.faces.alignment import make_finder
from talkhead.faces.choice import NoFaceError, choose
from talkhead.faces.crop import cut
from talkhead.faces.finder import FaceFinder
from talkhead.faces.framing import face_crop, upright_crop
from talkhead.faces.plausible import plausible
from talkhead.io.image import read_image
from talkhead.structs import Crop, Face

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"
CENTRE, HEIGHT = (224, 124), 107  # of the face in it, read off the picture


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return read_image(PORTRAIT)


@pytest.fixture(scope="module")
def face(finder: FaceFinder, portrait: np.ndarray) -> Face:
    return finder.find(portrait)[0]


def turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    """Turned clockwise about the face."""
    matrix = cv2.getRotationMatrix2D(CENTRE, -degrees, 1)
    return cv2.warpAffine(picture, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("degrees", [0, 30, -30, 90, 180])
def test_a_face_is_found_at_any_turn(
    finder: FaceFinder, portrait: np.ndarray, degrees: float
) -> None:
    (found,) = finder.find(turned(portrait, degrees), every=True)  # and only once
    assert math.dist(found.centre, CENTRE) < 10
    assert abs((found.roll - degrees - 3 + 180) % 360 - 180) < 8
    assert found.presence > 0.8
    assert found.points.shape == (478, 3)


def test_a_small_face_in_a_large_picture_is_found(finder: FaceFinder, portrait: np.ndarray) -> None:
    picture = np.full((1000, 1400, 3), 120, np.uint8)
    picture[700:828, 100:228] = cv2.resize(portrait, (128, 128), interpolation=cv2.INTER_AREA)
    (found,) = finder.find(picture)
    assert math.dist(found.centre, (100 + 224 / 4, 700 + 124 / 4)) < 4
    assert found.height == pytest.approx(HEIGHT / 4, rel=0.2)


def test_a_face_in_a_panorama_is_found(finder: FaceFinder, portrait: np.ndarray) -> None:
    picture = np.full((300, 5000, 3), 90, np.uint8)
    picture[:, 3100:3400] = cv2.resize(portrait, (300, 300), interpolation=cv2.INTER_AREA)
    (found,) = finder.find(picture)
    assert math.dist(found.centre, (3100 + 224 * 300 / 512, 124 * 300 / 512)) < 6


def test_every_face_of_a_group_is_found(finder: FaceFinder, portrait: np.ndarray) -> None:
    """A small face beside large ones: not only those of the first pass."""
    picture = np.full((600, 1200, 3), 150, np.uint8)
    for x, y, side in ((0, 0, 512), (520, 40, 400), (1000, 300, 150)):
        small = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
        picture[y : y + side, x : x + side] = small
    faces = finder.find(picture, every=True)
    assert [round(f.centre[0]) // 100 for f in faces] == [2, 6, 10]  # the largest first
    assert choose(faces, 3).centre[0] > 1000
    assert choose(faces) is faces[0]


@pytest.mark.parametrize(
    "picture",
    [
        np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8),
        np.full((240, 320, 3), 90, np.uint8),
        np.zeros((16, 16, 3), np.uint8),
        np.zeros((3, 2000, 3), np.uint8),
    ],
    ids=["noise", "grey", "tiny", "a line"],
)
def test_pictures_without_a_face_have_none(finder: FaceFinder, picture: np.ndarray) -> None:
    assert finder.find(picture, every=True) == []


def test_find_faces_is_public(portrait: np.ndarray) -> None:
    (found,) = talkhead.find_faces(portrait)
    assert isinstance(found, talkhead.Face)
    left, top, width, height = found.box
    assert (left + width / 2, top + height / 2) == found.centre
    assert height == pytest.approx(HEIGHT, rel=0.1)


def test_folded_and_scattered_meshes_are_no_faces(face: Face) -> None:
    assert plausible(face.points)
    upside_down = face.points.copy()
    upside_down[[61, 291]], upside_down[[33, 263]] = face.points[[33, 263]], face.points[[61, 291]]
    inside_out = face.points * [1, 1, -1]
    scattered = np.random.default_rng(0).uniform(0, 100, (478, 3))
    for points in (upside_down, inside_out, scattered, face.points * 0.05, face.points * np.nan):
        assert not plausible(points)


def test_a_face_is_framed_as_in_training(face: Face) -> None:
    """The face takes 0.55 of the side, and its centre lies at 0.52 of the height."""
    crop = face_crop(face, 512, 512)
    x, y = face.centre
    assert crop.side == pytest.approx(face.height / 0.55, abs=1)
    assert crop.x + crop.side / 2 == pytest.approx(x, abs=1)
    assert (y - crop.y) / crop.side == pytest.approx(0.52, abs=0.01)


def test_a_large_face_is_framed_more_tightly_rather_than_beyond_the_frame(face: Face) -> None:
    close = Face(face.points * np.float32(2.8), 1.0)
    crop = face_crop(close, 512, 480)
    assert crop.side == 480


def test_a_tilted_head_stays_as_it_is_and_a_lying_one_is_turned(
    finder: FaceFinder, portrait: np.ndarray
) -> None:
    tilted = finder.find(turned(portrait, 12))[0]
    assert upright_crop(tilted, 512, 512).angle == 0
    picture = turned(portrait, 90)
    crop = upright_crop(finder.find(picture)[0], 512, 512)
    assert crop.angle == pytest.approx(93, abs=8)
    again = finder.find(cut(picture, crop, 256))[0]
    assert abs(again.roll) < 6
    assert again.centre[1] / 256 == pytest.approx(0.52, abs=0.05)


def test_a_still_without_a_face_gives_its_centre_square_and_says_so(
    finder: FaceFinder, caplog: pytest.LogCaptureFixture
) -> None:
    crop, detector, points = find_crop(np.zeros((90, 160, 3), np.uint8), "dark.png", finder, None)
    assert (crop, detector, points) == (Crop(35, 0, 90), "centre", None)
    assert "no face found in dark.png" in caplog.text
    with pytest.raises(NoFaceError):
        find_crop(np.zeros((90, 160, 3), np.uint8), "dark.png", finder, 1)


def test_a_tiny_face_is_used_with_a_warning(
    finder: FaceFinder, portrait: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        crop, detector, _ = find_crop(cv2.resize(portrait, (96, 96)), "tiny.png", finder, None)
    assert detector == "mesh"
    assert crop.side < 50
    assert "pixels high" in caplog.text


def test_a_face_number_that_is_not_there_is_explained(face: Face) -> None:
    others = [Face(face.points + np.float32([x, 0, 0]), 1.0) for x in (200, 0)]
    assert choose(others, 2) is others[0]
    with pytest.raises(TalkheadError, match=r"no face 3: 2 found.*1 at \(.*2 at \("):
        choose(others, 3)


def test_detectors_without_their_weights_say_which_file_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portrait: np.ndarray
) -> None:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(TalkheadError, match=r"s3fd.*--detector auto"):
        make_finder("sfd", "cpu")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "s3fd-619a316812.pth").touch()
    with pytest.raises(TalkheadError, match="cannot be read"):
        make_finder("sfd", "cpu").find(portrait)


def test_detectors_of_a_package_that_is_not_installed_say_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portrait: np.ndarray
) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "s3fd-619a316812.pth").touch()
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setitem(sys.modules, "face_alignment.detection.sfd.sfd_detector", None)
    with pytest.raises(TalkheadError, match="needs the package face-alignment"):
        make_finder("sfd", "cpu").find(portrait)


def test_another_detectors_box_is_confirmed_by_the_mesh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portrait: np.ndarray
) -> None:
    class Boxes:
        def detect_from_image(self, rgb: np.ndarray) -> list[list[float]]:
            share = rgb.shape[0] / 512
            return [
                [v * share for v in box] + [0.9]
                for box in ([180, 60, 270, 180], [350] * 2 + [480] * 2)
            ]

    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "face_detection_yunet_2023mar.onnx").touch()
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("talkhead.faces.alignment._build", lambda *_: Boxes())
    (found,) = make_finder("yunet", "cpu").find(portrait)
    assert math.dist(found.centre, CENTRE) < 8
    small = cv2.resize(portrait, (256, 256), interpolation=cv2.INTER_AREA)
    (found,) = make_finder("yunet", "cpu").find(small)
    assert math.dist(found.centre, np.array(CENTRE) / 2) < 4
    beside = np.hstack([portrait, np.zeros((512, 1024, 3), np.uint8)])  # a long picture
    (found,) = make_finder("yunet", "cpu").find(beside)
    assert math.dist(found.centre, CENTRE) < 8
