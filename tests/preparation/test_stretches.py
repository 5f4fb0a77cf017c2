"""Faces are followed, divided into stretches and measured."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from talkhead.faces.finder import FaceFinder
from talkhead.faces.people import PeopleTracker
from talkhead.io.image import read_image
from talkhead.preparation.quality import motion, sharpness
from talkhead.preparation.stretch import Stretch, Stretches

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return cv2.resize(read_image(PORTRAIT)[:400, :400], (200, 200))


def test_two_people_are_followed_and_a_cut_begins_anew(
    finder: FaceFinder, photo: np.ndarray
) -> None:
    both = np.hstack([photo, cv2.cvtColor(photo[:, ::-1], cv2.COLOR_RGB2BGR)])
    tracker = PeopleTracker(finder)
    first, second = tracker.update(both), tracker.update(both)
    assert len(first) == 2
    assert {each.number for each in first} == {each.number for each in second}
    alone = np.hstack([np.full_like(photo, 128), photo])
    third = tracker.update(alone)
    assert tracker.cut
    assert len(third) == 1
    assert third[0].number not in {each.number for each in first}
    assert tracker.update(np.zeros_like(both)) == []


def test_stretches_end_when_they_are_long_and_when_the_face_is_gone(
    finder: FaceFinder, photo: np.ndarray
) -> None:
    stretches = Stretches(finder, least=20, longest=3)
    ended = []
    for number in range(5):
        ended += stretches.add(number, photo, number / 25)
    assert [(each.start, len(each)) for each in ended] == [(0, 3)]
    assert stretches.oldest == 3
    (last,) = stretches.add(5, np.zeros_like(photo), 0.2)
    assert (last.start, last.stop, last.seconds) == (3, 5, (3 / 25, 4 / 25))
    assert [points.shape for points in last.points] == [(478, 3)] * 2
    assert stretches.finish() == []


def test_the_square_has_room_for_all_faces_and_lies_in_the_frame() -> None:
    stretch = Stretch(0, (640, 360), boxes=[np.array([300.0, 10, 400, 120])])
    assert stretch.square().side == 200  # 110 pixels are 0.55 of it
    assert stretch.square().y == 0
    assert stretch.has_room_for(np.array([330.0, 20, 430, 130]))
    assert not stretch.has_room_for(np.array([500.0, 10, 600, 120]))
    large = Stretch(0, (640, 360), boxes=[np.array([100.0, 0, 500, 360])])
    assert large.square().side == 360


def test_sharpness_falls_with_blur_and_not_with_brightness(photo: np.ndarray) -> None:
    face = cv2.resize(photo, (192, 192))
    values = [sharpness(cv2.GaussianBlur(face, (0, 0), s) if s else face) for s in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.4 > 0.3 > values[3]
    assert sharpness(face // 2) == pytest.approx(values[0], abs=0.05)
    assert sharpness(np.zeros_like(face)) == 0


def test_a_photo_under_a_gliding_camera_does_not_move_and_a_mouth_does() -> None:
    rng = np.random.default_rng(0)
    face = rng.uniform(0, 100, (478, 3))
    turn = np.exp(1j * np.linspace(0, 0.3, 20)) * np.linspace(1, 1.5, 20)
    flat = (face[:, 0] + 1j * face[:, 1]) * turn[:, None] + np.linspace(0, 50, 20)[:, None]
    glided = np.stack([flat.real, flat.imag, np.zeros_like(flat.real)], axis=-1)
    assert motion(glided) < 1e-6
    talking = np.repeat(face[None], 20, axis=0)
    talking[::2, :80, 1] += 5
    assert motion(talking) > 0.003
