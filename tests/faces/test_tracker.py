"""The crop stands still, follows when it must, holds through a loss and jumps at a cut."""

import numpy as np
import pytest

from talkhead.faces.face import Face, NoFaceError
from talkhead.faces.tracker import Tracker
from talkhead.structs import Crop

SQUARES = np.random.default_rng(0).integers(0, 255, (12, 12, 3), np.uint8)
TEXTURE = SQUARES.repeat(10, 0).repeat(10, 1)


def scene(x: int, y: int = 150, background: int = 60) -> np.ndarray:
    """A 640x360 frame with a textured square of 120 pixels, the "face", around (x, y)."""
    frame = np.full((360, 640, 3), background, np.uint8)
    frame[y - 60 : y + 60, x - 60 : x + 60] = TEXTURE
    return frame


class FakeFinder:
    """Finds the face where the test says it is, with a little noise, and counts its calls."""

    def __init__(self, noise: float = 0.0) -> None:
        self.faces: list[Face] = []
        self.calls = 0
        self._noise = noise
        self._random = np.random.default_rng(1)

    def place(self, *centres: tuple[float, float], size: float = 110) -> None:
        self.faces = [
            Face(x - size / 2, y - size / 2, size, size, "yunet", 0.9) for x, y in centres
        ]

    def find(self, rgb: np.ndarray, near: Crop | None = None) -> list[Face]:
        self.calls += 1
        dx, dy = self._random.normal(0, self._noise, 2)
        return [Face(f.x + dx, f.y + dy, f.width, f.height, f.detector) for f in self.faces]


def centre(crop: Crop) -> tuple[float, float]:
    return crop.x + crop.side / 2, crop.y + crop.side / 2


def test_a_still_face_gets_one_fixed_crop_and_few_looks():
    finder = FakeFinder(noise=3)
    finder.place((300, 150))
    tracker = Tracker(finder)
    crops = {tracker.update(scene(300)) for _ in range(100)}
    assert len(crops) == 1
    assert finder.calls < 15
    assert (tracker.lost, tracker.cuts) == (0, 0)


def test_small_motion_is_left_to_the_face():
    finder = FakeFinder()
    tracker = Tracker(finder)
    crops = set()
    for i in range(100):
        x = 300 + round(15 * np.sin(i / 8))
        finder.place((x, 150))
        crops.add(tracker.update(scene(x)))
    assert len(crops) == 1


def test_a_walking_face_is_followed_smoothly():
    finder = FakeFinder(noise=2)
    tracker = Tracker(finder)
    path = []
    for i in range(120):
        x = 150 + min(3 * i, 300)
        finder.place((x, 150))
        path.append(centre(tracker.update(scene(x)))[0])
    steps = np.diff(path)
    assert abs(path[-1] - 450) < 0.13 * 200  # one hold away at most
    assert steps.min() >= -2  # never back and forth
    assert steps.max() < 15
    assert np.abs(np.diff(steps)).max() < 12
    assert (tracker.lost, tracker.cuts) == (0, 0)


def test_a_lost_face_holds_the_crop_and_is_counted_once(caplog):
    finder = FakeFinder()
    finder.place((300, 150))
    tracker = Tracker(finder)
    before = tracker.update(scene(300))
    finder.place()
    assert {tracker.update(scene(300)) for _ in range(60)} == {before}
    finder.place((300, 150))
    assert {tracker.update(scene(300)) for _ in range(30)} == {before}
    assert (tracker.lost, tracker.cuts) == (1, 0)
    assert caplog.text.count("lost") == 1


def test_the_crop_jumps_at_a_scene_cut():
    finder = FakeFinder()
    finder.place((150, 150))
    tracker = Tracker(finder)
    for _ in range(20):
        tracker.update(scene(150))
    finder.place((480, 180))
    after = tracker.update(scene(480, 180, background=200))
    assert np.hypot(centre(after)[0] - 480, centre(after)[1] - 176) < 5
    assert {tracker.update(scene(480, 180, background=200)) for _ in range(40)} == {after}
    assert (tracker.lost, tracker.cuts) == (0, 1)


def test_a_cut_to_no_face_holds_and_a_cut_back_finds_it_again():
    finder = FakeFinder()
    finder.place((150, 150))
    tracker = Tracker(finder)
    first = tracker.update(scene(150))
    finder.place()
    empty = np.full((360, 640, 3), 220, np.uint8)
    assert {tracker.update(empty) for _ in range(20)} == {first}
    finder.place((480, 150))
    assert abs(centre(tracker.update(scene(480)))[0] - 480) < 5
    assert (tracker.lost, tracker.cuts) == (1, 1)


def test_one_false_find_elsewhere_does_not_move_the_crop():
    finder = FakeFinder()
    finder.place((300, 150))
    tracker = Tracker(finder, interval=5)
    before = tracker.update(scene(300))
    crops = set()
    for i in range(60):
        finder.place((100, 300) if 20 <= i < 25 else (300, 150))
        crops.add(tracker.update(scene(300)))
    assert crops == {before}


def test_a_second_person_does_not_take_the_crop_over():
    finder = FakeFinder()
    tracker = Tracker(finder, face=1, interval=5)
    finder.place((150, 150), (480, 150))
    crops = {tracker.update(scene(150)) for _ in range(10)}
    finder.faces = [Face(400, 60, 160, 160, "yunet"), *finder.faces[:1]]  # larger than ours
    crops |= {tracker.update(scene(150)) for _ in range(20)}
    assert len(crops) == 1
    assert abs(centre(crops.pop())[0] - 150) < 5


def test_the_start_skips_frames_without_a_face():
    finder = FakeFinder()
    tracker = Tracker(finder)

    def frames():
        for i in range(40):
            finder.place(*([(300, 150)] if i >= 8 else []))
            yield scene(300)

    tracker.start(frames())
    finder.place()
    assert abs(centre(tracker.update(np.zeros((360, 640, 3), np.uint8)))[0] - 300) < 5


def test_a_video_without_a_face_is_an_error_that_suggests_a_crop():
    finder = FakeFinder()
    with pytest.raises(NoFaceError, match="--crop-driving"):
        Tracker(finder).start(scene(300) for _ in range(1000))
    assert finder.calls <= Tracker.START_FRAMES
    with pytest.raises(NoFaceError, match="--crop-driving"):
        Tracker(finder).update(scene(300))


def test_two_walks_through_one_video_give_the_same_crops():
    def walk() -> list[Crop]:
        finder = FakeFinder(noise=4)
        tracker = Tracker(finder)
        crops = []
        for i in range(80):
            finder.place((200 + 2 * i, 150))
            crops.append(tracker.update(scene(200 + 2 * i)))
        return crops

    assert walk() == walk()


def test_pictures_of_another_size_do_not_stop_the_tracker():
    finder = FakeFinder()
    finder.place((200, 150))
    tracker = Tracker(finder)
    for size in ((300, 400), (120, 100), (300, 400)):
        tracker.update(np.full((*size, 3), 90, np.uint8))
