"""A face is found where it is, without the network, and framed as in training."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from talkhead.errors import TalkheadError
from talkhead.faces.face import Face, FaceFinder, NoFaceError, choose, face_crop, find_face

# The astronaut's face at half size, read off the picture: between the eyes and the mouth.
CENTRE = (111, 59)


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder("lbp")


@pytest.mark.parametrize("degrees_aside", [0, 20, -20])
def test_a_face_is_found_upright_and_tilted(finder, degrees_aside):
    turn = cv2.getRotationMatrix2D(CENTRE, degrees_aside, 1)
    small = cv2.resize(astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    picture = cv2.warpAffine(small, turn, (256, 256), borderMode=cv2.BORDER_REPLICATE)
    face = finder.find(picture)[0]
    assert np.hypot(face.centre[0] - CENTRE[0], face.centre[1] - CENTRE[1]) < 8
    assert 35 < face.height < 65
    assert face.detector == "lbp"
    assert face.score is not None
    assert face.score >= 0.5


def test_a_small_face_in_a_large_picture_is_found(finder):
    picture = np.full((1000, 800, 3), 120, np.uint8)
    picture[100:356, 300:556] = cv2.resize(astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    face = choose(finder.find(picture))
    assert np.hypot(face.centre[0] - 300 - 111, face.centre[1] - 100 - 59) < 12


def test_noise_and_flat_pictures_hold_no_face(finder):
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    assert finder.find(noise) == []
    assert finder.find(np.full((120, 160, 3), 90, np.uint8)) == []
    assert finder.find(np.zeros((16, 16, 3), np.uint8)) == []


def test_a_still_picture_without_a_face_gives_its_centre_square_and_says_so(finder, caplog):
    face = find_face(np.zeros((90, 160, 3), np.uint8), finder)
    assert (face.x, face.y, face.width, face.detector) == (35, 0, 90, "centre")
    assert "centre square" in caplog.text
    assert face_crop(face, 160, 90).side == 90


def test_without_weights_on_disk_the_ladder_ends_at_lbp(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    assert FaceFinder("auto").detector == "lbp"
    with pytest.raises(TalkheadError, match=r"s3fd.*--detector lbp"):
        FaceFinder("sfd").find(astronaut())
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "s3fd-619a316812.pth").touch()
    assert FaceFinder("auto").detector == "sfd"
    with pytest.raises(TalkheadError, match="cannot be read"):
        FaceFinder("auto").find(astronaut())


def faces_at(*places: int) -> list[Face]:
    return [Face(x, 10, 40 + i, 40 + i, "lbp", 0.8) for i, x in enumerate(places)]


def test_the_largest_face_is_chosen_unless_a_number_is_given():
    faces = faces_at(300, 10, 150)
    assert choose(faces).x == 150
    assert [choose(faces, n).x for n in (1, 2, 3)] == [10, 150, 300]


def test_a_face_number_that_is_not_there_is_explained():
    with pytest.raises(
        TalkheadError, match=r"no face 3: 2 found.*1 at \(30, 30\).*2 at \(220, 30\)"
    ):
        choose([Face(x, 10, 40, 40, "lbp") for x in (200, 10)], 3)
    with pytest.raises(NoFaceError, match="no face found"):
        choose([])


def test_a_face_is_framed_as_in_training():
    """The face takes 0.55 of the side, and its centre lies at 0.52 of the height."""
    crop = face_crop(Face(400, 300, 110, 110, "yunet"), 1280, 720)
    assert crop.side == 200
    assert crop.x + crop.side / 2 == pytest.approx(455, abs=1)
    assert (355 - crop.y) / crop.side == pytest.approx(0.52, abs=0.01)


def test_a_large_face_is_framed_more_tightly_rather_than_beyond_the_frame():
    crop = face_crop(Face(100, 100, 300, 300, "yunet"), 500, 480)
    assert crop.side == 480
    assert (crop.x, crop.y) == (10, 0)


def test_a_face_at_the_border_lets_the_crop_stick_out():
    crop = face_crop(Face(0, 200, 110, 110, "yunet"), 1280, 720)
    assert crop.side == 200
    assert -45 < crop.x < -20
