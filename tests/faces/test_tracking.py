"""A face is followed, lost and found again; the crop holds, keeps up and jumps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkhead.errors import TalkheadError
from talkhead.faces.choice import NoFaceError
from talkhead.faces.finder import FaceFinder
from talkhead.faces.framing import Framed, Framer, SteadyCrop, face_crop
from talkhead.faces.regions import Region, region_of_points
from talkhead.faces.tracker import FaceTracker
from talkhead.io.image import read_image
from talkhead.structs import Crop, Face, Frame

SIZE = 110.0  # height of a face, pixels
ANNA, BERT = (200, 90, 60), (60, 120, 220)  # the colours that tell people apart


@pytest.fixture(scope="module")
def mesh() -> np.ndarray:
    """Points of a real face, about its centre, of height 1."""
    picture = read_image(Path(__file__).parents[2] / "examples" / "portrait.jpg")
    face = FaceFinder().find(picture)[0]
    points = face.points - np.float32([*face.centre, 0])
    return points / np.float32(face.height)


class Stage:
    """People before a camera, and a finder that sees them where they are; it counts its looks."""

    def __init__(self, mesh: np.ndarray, noise: float = 0.0) -> None:
        self._mesh = mesh
        self._random = np.random.default_rng(1)
        self._noise = noise
        self.people: list[Face] = []
        self.searches = 0
        self.landmarker = self

    def place(
        self,
        *people: tuple[float, float, tuple[int, int, int]],
        size: float = SIZE,
        background: int = 60,
        frame: tuple[int, int] = (640, 360),
    ) -> np.ndarray:
        """The frame with people at (x, y), in their colours."""
        rgb = np.full((frame[1], frame[0], 3), background, np.uint8)
        self.people = []
        for x, y, colour in people:
            half = round(size * 0.6)
            rgb[
                max(round(y) - half, 0) : round(y) + half, max(round(x) - half, 0) : round(x) + half
            ] = colour
            shift = np.float32([x, y, 0]) + self._random.normal(0, self._noise, 3).astype(
                np.float32
            )
            self.people.append(Face(self._mesh * np.float32(size) + shift, 0.99))
        return rgb

    def find(self, rgb: np.ndarray, every: bool = False) -> list[Face]:
        self.searches += 1
        return list(self.people)

    def propose(self, rgb: np.ndarray, side: int = 128) -> list[Region]:
        self.searches += 1
        return [region_of_points(face.points) for face in self.people]

    def look(self, rgb: np.ndarray, regions: Sequence[Region]) -> list[Face]:
        looks = []
        for region in regions:
            near = [
                face
                for face in self.people
                if np.hypot(face.centre[0] - region.x, face.centre[1] - region.y) < region.side / 2
            ]
            best = min(
                near,
                key=lambda f: np.hypot(f.centre[0] - region.x, f.centre[1] - region.y),
                default=None,
            )
            points = self._mesh * np.float32(SIZE) if best is None else best.points
            looks.append(Face(points, 0.0 if best is None else 0.99))
        return looks


@pytest.fixture
def stage(mesh: np.ndarray) -> Stage:
    return Stage(mesh, noise=1)


def framer(stage: Stage, face: int | None = None) -> Framer:
    return Framer("auto", stage, face)  # type: ignore[arg-type]


def tracker(stage: Stage, face: int | None = None) -> FaceTracker:
    return FaceTracker(stage, face)  # type: ignore[arg-type]


def centre(framed: Framed | Crop | None) -> tuple[float, float]:
    assert framed is not None
    crop = framed if isinstance(framed, Crop) else framed.crop
    return crop.x + crop.side / 2, crop.y + crop.side / 2


def frames(pictures: Iterator[np.ndarray], rate: int = 25) -> Iterator[Frame]:
    for number, rgb in enumerate(pictures):
        yield Frame(rgb, number, Fraction(1, rate))


def test_a_still_face_gets_one_crop_and_one_search(stage: Stage) -> None:
    follow = framer(stage)
    crops = {follow.frame(stage.place((300, 150, ANNA))) for _ in range(100)}
    assert len(crops) == 1
    assert stage.searches == 1
    assert (follow.lost, follow.cuts) == (0, 0)


def test_small_motion_is_left_to_the_face(stage: Stage) -> None:
    follow = framer(stage)
    path = (300 + 15 * np.sin(i / 8) for i in range(100))
    assert len({follow.frame(stage.place((x, 150, ANNA))) for x in path}) == 1


def test_a_walking_face_is_followed_smoothly_and_closely(stage: Stage) -> None:
    follow = framer(stage)
    xs = [150 + min(3 * i, 300) for i in range(160)]
    path = [centre(follow.frame(stage.place((x, 150, ANNA))))[0] for x in xs]
    steps = np.diff(path)
    assert steps.min() >= -1  # never back and forth
    assert np.abs(np.diff(steps)).max() < 12
    assert np.abs(np.array(path) - xs).max() < (SteadyCrop.LEASH + 0.02) * SIZE / 0.55
    assert abs(path[-1] - 450) < 0.04 * SIZE / 0.55  # in the middle again
    assert (follow.lost, follow.cuts) == (0, 0)


def test_a_face_that_crosses_a_crop_in_a_second_never_leaves_it(stage: Stage) -> None:
    follow = framer(stage)
    xs = [120 + 8 * i for i in range(50)]  # a crop's side in 25 frames
    crops = [follow.frame(stage.place((x, 150, ANNA))) for x in xs]
    off = [abs(centre(framed)[0] - x) / 200 for framed, x in zip(crops, xs, strict=True)]
    assert max(off) < SteadyCrop.LEASH + 0.02


def test_a_lost_face_rests_and_is_counted_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    follow = framer(stage)
    before = follow.frame(stage.place((300, 150, ANNA)))
    assert before is not None
    gone = {follow.frame(stage.place(background=60)) for _ in range(60)}
    assert gone == {Framed(before.crop, present=False)}
    back = [follow.frame(stage.place((300, 150, ANNA))) for _ in range(30)]
    assert back[-1] == before
    assert back.index(before) < FaceTracker.PATIENCE
    assert (follow.lost, follow.cuts) == (1, 0)
    assert caplog.text.count("lost") == 1


def test_a_long_absence_costs_few_searches(stage: Stage) -> None:
    follow = framer(stage)
    follow.frame(stage.place((300, 150, ANNA)))
    stage.searches = 0
    for _ in range(100):
        follow.frame(stage.place())
    assert stage.searches <= 60  # two quick looks each, and a thorough one now and then


def test_a_face_that_quick_looks_miss_is_followed_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small or lying head, which was found ahead."""
    monkeypatch.setattr(stage, "propose", lambda *_: [])
    follow = framer(stage)
    follow.start(frames(stage.place((300, 150, ANNA)) for _ in range(30)))
    seen = [follow.frame(stage.place((300, 150, ANNA))) for _ in range(5)]
    assert all(framed is not None and framed.present for framed in seen)


@pytest.mark.parametrize("way", [90, 330])
def test_the_crop_jumps_at_a_cut(stage: Stage, way: int) -> None:
    """Half a crop away or further."""
    follow = framer(stage)
    for _ in range(20):
        follow.frame(stage.place((150, 150, ANNA)))
    after = {follow.frame(stage.place((150 + way, 180, BERT), background=200)) for _ in range(40)}
    assert len(after) == 1
    assert abs(centre(after.pop())[0] - 150 - way) < 5
    assert (follow.lost, follow.cuts) == (0, 1)


def test_a_title_rests_and_the_person_after_it_is_framed_at_once(stage: Stage) -> None:
    follow = framer(stage)
    first = follow.frame(stage.place((150, 150, ANNA)))
    titles = [follow.frame(stage.place(background=220)) for _ in range(20)]
    assert {t.present for t in titles if t} == {False}
    assert first is not None
    assert {t.crop for t in titles if t} == {first.crop}
    after = follow.frame(stage.place((480, 150, ANNA)))
    assert after is not None
    assert after.present
    assert abs(centre(after)[0] - 480) < 5


def test_frames_of_another_size_keep_the_framing(stage: Stage) -> None:
    follow = framer(stage)
    large = follow.frame(stage.place((300, 150, ANNA)))
    small = follow.frame(stage.place((150, 75, ANNA), size=SIZE / 2, frame=(320, 180)))
    assert large is not None
    assert small is not None
    assert small.present
    assert small.crop.side == pytest.approx(large.crop.side / 2, abs=2)
    assert np.subtract(centre(large), np.multiply(centre(small), 2)) == pytest.approx(0, abs=4)
    assert follow.cuts == 0


def test_a_second_larger_person_does_not_take_over(stage: Stage) -> None:
    follow = framer(stage)
    first = follow.frame(stage.place((150, 150, ANNA)))
    for x in range(600, 400, -5):
        rgb = stage.place((150, 150, ANNA), (x, 150, BERT))
        assert follow.frame(rgb) == first


def test_a_person_who_passes_in_front_does_not_take_over(stage: Stage) -> None:
    """Bert crosses before Anna, who is hidden while he does."""
    follow = tracker(stage, face=1)
    found = []
    for x in range(560, 40, -12):
        hidden = abs(x - 300) < 90
        people = [(x, 150, BERT)] if hidden else [(300, 150, ANNA), (x, 150, BERT)]
        face = follow.update(stage.place(*people))
        if not hidden:
            found.append(face)
    assert found[-1] is not None
    assert abs(found[-1].centre[0] - 300) < 8
    assert follow.lost <= 1


def test_the_chosen_person_is_kept_through_a_cut_away(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    follow = tracker(stage, face=2)
    for _ in range(10):
        assert follow.update(stage.place((150, 150, ANNA), (480, 150, BERT))) is not None
    alone = [follow.update(stage.place((300, 150, ANNA), background=200)) for _ in range(40)]
    assert alone == [None] * 40  # somebody else: the portrait rests
    assert "the portrait rests" in caplog.text
    back = follow.update(stage.place((200, 150, BERT), (500, 150, ANNA)))
    assert back is not None
    assert abs(back.centre[0] - 200) < 5


def test_without_a_choice_the_largest_of_a_new_shot_is_followed(stage: Stage) -> None:
    follow = tracker(stage)
    follow.update(stage.place((150, 150, ANNA)))
    found = follow.update(stage.place((400, 150, BERT), background=210))
    assert found is not None
    assert follow.jumped


def test_the_start_looks_for_the_face_over_seconds(stage: Stage) -> None:
    follow = framer(stage)

    def pictures() -> Iterator[np.ndarray]:
        for i in range(200):
            yield stage.place(*([(300, 150, ANNA)] if i >= 100 else []))

    first = follow.start(frames(pictures()))
    assert first is not None
    rgb, crop = first
    assert tuple(rgb[150, 300]) == ANNA
    title = follow.frame(stage.place())
    assert title == Framed(Crop(*map(round, (crop.x, crop.y, crop.side))), present=False)


def test_a_video_without_a_face_is_an_error_that_suggests_a_crop(stage: Stage) -> None:
    empty = (stage.place() for _ in range(2000))
    with pytest.raises(NoFaceError, match=r"first 30 seconds.*--crop-driving"):
        framer(stage).start(frames(empty))
    assert next(empty, None) is not None  # not read to its end


def test_people_are_counted_over_several_frames(stage: Stage) -> None:
    """The first frame shows one of two; face 2 is the one who comes from the right."""
    follow = framer(stage, face=2)

    def pictures() -> Iterator[np.ndarray]:
        for i in range(100):
            yield stage.place((150, 150, ANNA), *([(480, 150, BERT)] if i >= 10 else []))

    first = follow.start(frames(pictures()))
    assert first is not None
    assert abs(centre(first[1])[0] - 480) < 6
    alone = follow.frame(stage.place((150, 150, ANNA)))
    assert alone is not None
    assert not alone.present
    with pytest.raises(TalkheadError, match="no face 3: 2 found"):
        framer(stage, face=3).start(frames(pictures()))


def test_two_walks_through_one_video_give_the_same_crops(mesh: np.ndarray) -> None:
    def walk() -> list[Framed | None]:
        stage = Stage(mesh, noise=2)
        follow = framer(stage)
        return [follow.frame(stage.place((200 + 2 * i, 150, ANNA))) for i in range(80)]

    assert walk() == walk()


def test_a_fixed_crop_and_the_centre_square_look_for_nobody(stage: Stage) -> None:
    fixed = Framer(Crop(10, 20, 100), stage)  # type: ignore[arg-type]
    square = Framer("none", stage)  # type: ignore[arg-type]
    assert fixed.start(iter([])) is square.start(iter([])) is None
    rgb = stage.place((300, 150, ANNA))
    assert fixed.frame(rgb) == Framed(Crop(10, 20, 100), present=True)
    assert square.frame(rgb) == Framed(Crop(140, 0, 360), present=True)
    assert stage.searches == 0


def test_a_real_face_is_tracked_and_framed(mesh: np.ndarray) -> None:
    picture = read_image(Path(__file__).parents[2] / "examples" / "portrait.jpg")
    follow = FaceTracker()
    for shift in range(0, 40, 8):
        face = follow.update(np.roll(picture, shift, axis=1))
        assert face is not None
        assert abs(face.centre[0] - 224 - shift) < 4
        crop = face_crop(face, 512, 512)
        assert face.height / crop.side == pytest.approx(0.55, abs=0.01)
    assert (follow.lost, follow.cuts) == (0, 0)
