"""Rendered heads: what is drawn, and whether the known keypoints are true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from talkhead.errors import TalkheadError
from talkhead.faces.finder import FaceFinder
from talkhead.synthetic.head import KEYPOINTS, Head, Rendering
from talkhead.synthetic.looks import Expression, Identity, Pose, Scene

SIZE = 128


def make_head(seed: int = 46, size: int = SIZE) -> Head:
    rng = np.random.default_rng(seed)
    return Head(Identity.sample(rng), Scene.sample(rng), size, size)


def at(rendering: Rendering, name: str) -> np.ndarray:
    return rendering.keypoints[KEYPOINTS.index(name)]


def around(picture: np.ndarray, point: np.ndarray, reach: int) -> np.ndarray:
    x, y = np.floor(point).astype(int)
    return picture[y - reach : y + reach + 1, x - reach : x + reach + 1].astype(float)


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head()


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again, other = (make_head(seed).render().rgb for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 10


def test_a_frontal_face_has_its_parts_in_human_places(head: Head) -> None:
    face = head.render()
    height = at(face, "chin")[1] - at(face, "forehead")[1]
    assert 0.48 * SIZE < height < 0.66 * SIZE
    assert at(face, "left eye")[0] < at(face, "nose tip")[0] < at(face, "right eye")[0]
    assert at(face, "left brow")[1] < at(face, "left eye")[1] < at(face, "nose tip")[1]
    assert at(face, "nose tip")[1] < at(face, "left mouth corner")[1] < at(face, "chin")[1]
    assert at(face, "left jaw")[1] > at(face, "left side")[1] > at(face, "left eye")[1]
    middle = (at(face, "left side") + at(face, "right side")) / 2
    np.testing.assert_allclose(middle[0], SIZE / 2, atol=1.5)


def test_a_shut_mouth_has_touching_lips_and_an_open_one_shows_its_dark_inside(head: Head) -> None:
    shut, wide = head.render(), head.render(expression=Expression(mouth_open=1.0))
    np.testing.assert_allclose(at(shut, "upper inner lip"), at(shut, "lower inner lip"), atol=0.01)
    upper, lower = at(wide, "upper inner lip"), at(wide, "lower inner lip")
    assert lower[1] - upper[1] > 0.06 * SIZE
    inside = around(wide.rgb, upper + (lower - upper) * 0.6, 2).mean()
    assert inside < 0.6 * around(shut.rgb, at(shut, "upper inner lip"), 2).mean()


def test_teeth_show_below_the_upper_lip(head: Head) -> None:
    wide = head.render(expression=Expression(mouth_open=0.6))
    upper, lower = at(wide, "upper inner lip"), at(wide, "lower inner lip")
    column = wide.rgb[:, int(upper[0])].astype(float)
    teeth = column[int(upper[1]) + 1 : int(upper[1]) + 3].mean(0)
    throat = column[int(upper[1] + 0.6 * (lower - upper)[1])]
    assert teeth.mean() > 2 * throat.mean()
    assert teeth.min() > 0.6 * teeth.max()  # white, not red


@pytest.mark.parametrize("mouth_open", [0.0, 0.7])
def test_a_blink_hides_the_eyeballs_whatever_the_mouth_does(head: Head, mouth_open: float) -> None:
    awake = head.render(expression=Expression(mouth_open=mouth_open))
    blink = Expression(mouth_open=mouth_open, blink_left=1.0, blink_right=1.0)
    asleep = head.render(expression=blink)
    assert np.isin(awake.numbers, eyeballs(head)).sum() > 20
    assert not np.isin(asleep.numbers, eyeballs(head)).any()
    wink = head.render(expression=replace(blink, blink_right=0.0))
    seen = np.argwhere(np.isin(wink.numbers, eyeballs(head)))
    assert len(seen) > 10
    assert (seen[:, 1] > SIZE / 2).all()


def eyeballs(head: Head) -> np.ndarray:
    """Triangles that only eyeballs can show: drawn 3 cm farther than they are."""
    return np.flatnonzero(head.behind == 3.0)


def test_pose_signs_are_as_documented(head: Head) -> None:
    rest = head.render()
    nose, chin = at(rest, "nose tip"), at(rest, "chin")
    assert at(head.render(Pose(yaw=20)), "nose tip")[0] > nose[0] + 3
    assert at(head.render(Pose(pitch=15)), "nose tip")[1] > nose[1] + 3
    assert at(head.render(Pose(roll=15)), "forehead")[0] > at(rest, "forehead")[0] + 3
    moved = head.render(Pose(x=0.1, y=-0.05)).keypoints - rest.keypoints
    np.testing.assert_allclose(moved, np.tile([0.1 * SIZE, -0.05 * SIZE], (15, 1)), atol=1e-3)
    big = head.render(Pose(scale=1.2))
    assert (at(big, "chin") - at(big, "nose tip"))[1] == pytest.approx(1.2 * (chin - nose)[1])


def test_gaze_moves_the_iris(head: Head) -> None:
    left, right = (head.render(expression=Expression(gaze_x=x)).rgb for x in (-1.0, 1.0))
    eye = at(head.render(), "left eye")
    places = []
    for picture in (left, right):
        dark = 255 - around(picture, eye, 5)[3:8].mean((0, 2))
        places.append((dark**4 * np.arange(11)).sum() / (dark**4).sum())
    assert places[1] > places[0] + 1


def test_an_impossible_size_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(TalkheadError, match="4x4"):
        Head(Identity.sample(rng), Scene.sample(rng), 4, 4)


def test_people_cover_the_range_of_skin_hair_and_faces() -> None:
    people = [Identity.sample(np.random.default_rng(seed)) for seed in range(200)]
    tones = np.array([np.mean(person.skin) for person in people])
    assert tones.min() < 0.25
    assert tones.max() > 0.8
    assert len({person.hair_style for person in people}) == 11
    assert {person.glasses for person in people} == {"none", "thin", "thick", "round"}
    beards = {person.beard_style for person in people}
    assert beards == {"none", "stubble", "moustache", "goatee", "full"}
    assert all(person.skin[0] > person.skin[2] for person in people)  # never blue or green


def test_the_face_finder_finds_most_frontal_faces() -> None:
    finder, found = FaceFinder(), 0
    for seed in range(100, 106):
        faces = finder.find(make_head(seed, 128).render().rgb)
        found += any(abs(face.centre[0] - 64) < 14 for face in faces)
    assert found >= 5


def test_landscape_and_portrait_frames_keep_the_head_round() -> None:
    rng = np.random.default_rng(1)
    person, scene = Identity.sample(rng), Scene.sample(rng)
    square, wide = Head(person, scene, 96, 96).render(), Head(person, scene, 160, 96).render()
    assert wide.rgb.shape == (96, 160, 3)
    np.testing.assert_allclose(
        wide.keypoints - square.keypoints, np.tile([32.0, 0.0], (15, 1)), atol=1e-4
    )
