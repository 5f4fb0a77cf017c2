"""Heads that are turned aside, and the pairs made of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import SIZE, film, mesh, toy_library

from talkhead.errors import TalkheadError
from talkhead.structs import NOWHERE
from talkhead.topology import LEFT_EAR, LOWER_LIP, OVAL, RIGHT_EAR, UPPER_LIP
from talkhead.training.data.batches import Batches
from talkhead.training.data.close_mouth import MouthCloser, draw_shares
from talkhead.training.data.frames import ArrayFrames
from talkhead.training.data.head_turn import FARTHEST, NOD, draw_angles, turn_head, yaw_of
from talkhead.training.data.landmark_teacher import gaps_over_height
from talkhead.training.data.library import Library
from talkhead.training.data.mesh_warp import warp_mesh
from talkhead.training.losses.terms import disocclusion_map
from talkhead.training.recipes.recipe import Augmentation, Recipe

SIDE = 128
RADIUS = 0.5  # of the head, in half image sides
NOSE = 1
SKIN, GROUND, NEAR, FAR = (200, 150, 120), (40, 60, 90), (250, 20, 20), (20, 20, 250)


def head() -> np.ndarray:
    """A mesh (478, 3) on the front half of a ball whose centre is between the ears."""
    rng = np.random.default_rng(0)
    across, up = rng.uniform(-1, 1, (2, 4000))
    inside = across**2 + up**2 < 0.9
    points = np.stack([across[inside], up[inside]], axis=1)[:478]
    around = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    points[list(OVAL)] = np.stack([np.sin(around), -np.cos(around)], axis=1)
    points[LEFT_EAR], points[RIGHT_EAR], points[NOSE] = (-1, 0), (1, 0), (0, 0.2)
    depth = -np.sqrt(np.clip(1 - (points**2).sum(1), 0, None))
    return (RADIUS * np.column_stack([points, depth])).astype(np.float32)


def portrait() -> np.ndarray:
    """uint8 (S, S, 3): that head, a spot near each side of it."""
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE * 2 - 1
    picture = np.where((x**2 + y**2 < RADIUS**2)[..., None], SKIN, GROUND)
    for side, colour in ((-1, NEAR), (1, FAR)):
        picture[(x - side * 0.44) ** 2 + y**2 < 0.03**2] = colour
    return picture.astype(np.uint8)


def pixels_of(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - colour).max(-1) < 40).sum())


def test_a_turned_head_hides_its_far_side_and_shows_its_near_one() -> None:
    for angle, hidden, shown in ((0.6, FAR, NEAR), (-0.6, NEAR, FAR)):
        before, (after, _) = portrait(), turn_head(portrait(), head(), angle)
        assert pixels_of(before, hidden) > 10
        assert pixels_of(after, hidden) == 0
        assert pixels_of(after, shown) > pixels_of(before, shown)


def test_what_a_turned_source_hides_is_revealed_and_nothing_of_an_equal_one() -> None:
    from scipy.spatial import Delaunay

    flat = torch.from_numpy(head()[None, :, :2])
    triangles = torch.from_numpy(Delaunay(flat[0].numpy()).simplices).long()
    for angle, hidden in ((0.7, 1), (-0.7, -1)):
        _, aside = turn_head(portrait(), head(), angle)
        source = torch.from_numpy(aside[None, :, :2])
        found = disocclusion_map(source, flat, triangles, SIDE)[0, 0]
        _, x = torch.nonzero(found > 0.9).float().T / SIDE * 2 - 1
        assert ((x * hidden) > 0).float().mean() > 0.97  # on the side that was turned away
        assert (x * hidden).max() > 0.7 * RADIUS
        assert found[:, :8].max() == 0
    assert disocclusion_map(flat, flat, triangles, SIDE).max() == 0
    unknown = torch.full_like(flat, NOWHERE)
    assert disocclusion_map(unknown, unknown, triangles, SIDE).max() == 0


def test_pixels_go_where_the_mesh_goes_and_what_is_far_out_stays() -> None:
    picture = portrait()
    x, y = ((head()[NOSE, :2] + 1) / 2 * SIDE).astype(int)
    picture[y - 2 : y + 3, x - 2 : x + 3] = 0
    seen, turned = turn_head(picture, head(), 0.5)
    darkest = seen.sum(-1) < 60
    middle = (np.argwhere(darkest).mean(0) + 0.5) / SIDE * 2 - 1
    expected = -head()[NOSE, 2] * math.sin(0.5)  # the nose was in the middle
    assert turned[NOSE, 0] == pytest.approx(expected, abs=1e-5)
    assert middle[::-1] == pytest.approx(turned[NOSE, :2], abs=1.5 * 2 / SIDE)
    assert yaw_of(turned) == pytest.approx(0.5, abs=1e-5)
    assert np.array_equal(seen[:8], picture[:8])
    assert np.array_equal(seen[:, -8:], picture[:, -8:])
    _, nodding = turn_head(picture, head(), 0.0, 0.2)
    assert nodding[NOSE, 0] == pytest.approx(head()[NOSE, 0])
    assert nodding[NOSE, 1] > head()[NOSE, 1] + 0.05


def test_a_turn_by_nothing_changes_no_pixel() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for along in (0, 1):
        assert np.array_equal(warp_mesh(noise, head(), np.zeros(478, np.float32), along), noise)
    seen, turned = turn_head(noise, head(), 0.0)
    assert np.array_equal(seen, noise)
    assert np.array_equal(turned, head())


def test_faces_that_hardly_fit_into_the_picture_can_be_turned() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for offset in (1.66, 1.698, 5.0):  # the last is nowhere in it
        seen, _ = turn_head(noise, head() + np.array([offset, 0, 0], np.float32), 0.8)
        assert np.array_equal(seen[:, :100], noise[:, :100])
    seen, _ = turn_head(noise, 12 * head(), 0.8)  # all that was seen of it leaves the picture
    assert seen.shape == noise.shape


def test_heads_are_turned_further_aside_never_back() -> None:
    rng = np.random.default_rng(0)
    _, aside = turn_head(portrait(), head(), 0.5)
    drawn = np.array([draw_angles(rng, aside) for _ in range(50)])
    assert drawn[:, 0].min() >= 0
    assert drawn[:, 0].max() == pytest.approx(FARTHEST - 0.5, abs=0.1)
    assert -NOD <= drawn[:, 1].min() < 0 < drawn[:, 1].max() <= NOD
    sides = [draw_angles(rng, head())[0] > 0 for _ in range(50)]
    assert 10 < sum(sides) < 40  # one that looks ahead may turn either way


def talking(opened: np.ndarray) -> np.ndarray:
    """Meshes of that head whose mouth and eyes open by so many radii (F, 2), up and down."""
    closed = head()
    places = ((UPPER_LIP, LOWER_LIP, 0.0, 0.25), (159, 145, -0.2, -0.12), (386, 374, 0.2, -0.12))
    for upper, lower, x, y in places:
        closed[[upper, lower], :2] = (x, y - 0.001), (x, y + 0.001)
    meshes = np.repeat(closed[None], len(opened), axis=0)
    for (_, _, x, y), which in zip(places, (0, 1, 1), strict=True):
        across, down = closed[:, 0] - x, closed[:, 1] - y
        share = np.sign(down) * np.exp(-(across**2 + down**2) / 0.1**2)
        meshes[:, :, 1] += RADIUS * opened[:, which, None] * share
    return meshes.astype(np.float32)


def test_mouth_and_eyes_are_shut_as_clips_show_it_and_pixels_follow() -> None:
    rng = np.random.default_rng(0)
    clip = talking(rng.uniform(0, 0.15, (40, 2)))
    lost = np.full_like(clip, np.nan)
    shutter = MouthCloser.fit(replace(toy_library(1), landmarks=(clip, lost, None)))
    mesh = talking(np.array([[0.12, 0.08]]))[0]
    picture = portrait()
    top, bottom = ((mesh[[UPPER_LIP, LOWER_LIP], 1] + 1) / 2 * SIDE).round().astype(int)
    picture[top:bottom, SIDE // 2 - 4 : SIDE // 2 + 4] = 0
    seen, closed = shutter(picture, mesh, np.array([1.0, 0.5]))
    (mouth, eyes), (mouth_before, eyes_before) = (
        gaps_over_height(closed[None])[0],
        gaps_over_height(mesh[None])[0],
    )
    assert abs(mouth) < 0.1 * mouth_before
    assert eyes == pytest.approx(0.5 * eyes_before, rel=0.1)
    assert pixels_of(seen, (0, 0, 0)) < 0.4 * pixels_of(picture, (0, 0, 0))
    same, still = shutter(picture, mesh, np.array([0.0, 0.0]))
    assert np.array_equal(same, picture)
    assert np.array_equal(still, mesh)
    shares = np.array([draw_shares(rng) for _ in range(50)])
    assert shares.min() >= 0
    assert shares.max() <= 1


def test_what_cannot_be_learned_from_is_told_before_mouths_are_shut() -> None:
    lone = np.full_like(mesh(), np.nan)
    lone[2] = mesh()[2]
    with pytest.raises(TalkheadError, match="close_mouth=0"):
        MouthCloser.fit(replace(toy_library(1), landmarks=(lone,)))


def with_depth(library: Library) -> Library:
    deep = np.concatenate([mesh(), np.zeros((6, 478, 1), np.float32)], axis=-1)
    deep[:, :, 2] = 0.3 - deep[:, :, 0] ** 2
    deep[:, LEFT_EAR], deep[:, RIGHT_EAR] = (-0.4, 0, 0.3), (0.4, 0, 0.3)
    return replace(library, landmarks=tuple(deep for _ in library.clips))


def test_the_source_is_turned_and_the_driving_picture_is_the_real_one() -> None:
    """Clips of one still frame each, so that without turning both pictures are equal."""
    still = tuple(ArrayFrames(np.repeat(film(60 * i, 1), 6, axis=0)) for i in range(3))
    plain = replace(toy_library(landmarks=True), frames=still)
    recipe = Recipe("", batch_size=4, augmentation=Augmentation(flip=0.0, turned=1.0))
    flat = Batches(plain, recipe, size=SIZE, seed=0).batch(0)
    assert flat.source.equal(flat.driving)  # landmarks without depth say nothing of a turn
    batch = Batches(with_depth(plain), recipe, size=SIZE, seed=0).batch(0)
    real = {frames.pixels[0].tobytes() for frames in still}
    for source, driving in zip(batch.source, batch.driving, strict=True):
        shown = (driving.permute(1, 2, 0) * 255).round().byte().numpy().tobytes()
        assert shown in real
        assert not source.equal(driving)
    moved = (batch.source_landmarks - batch.driving_landmarks).abs()
    assert moved[..., 0].max() > 0.05


def test_portraits_become_pairs_of_one_person() -> None:
    clips, portraits = toy_library(landmarks=True), with_depth(toy_library(1))
    white = replace(portraits, frames=(ArrayFrames(np.full((6, SIZE, SIZE, 3), 255, np.uint8)),))
    recipe = Recipe("", batch_size=24, augmentation=Augmentation(portrait_pairs=0.5))
    batch = Batches(clips, recipe, size=SIZE, seed=0, portraits=white).batch(0)
    count = sum(bool((driving == 1).all()) for driving in batch.driving)
    assert 6 <= count <= 18
    assert sum(bool((source == 1).all()) for source in batch.source) == count
    without = Batches(clips, recipe, size=SIZE, seed=0).batch(0)
    assert not any(bool((driving == 1).all()) for driving in without.driving)
