"""The face networks answer what they should, in batches and with gradients."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from talkhead import bundled
from talkhead.errors import TalkheadError
from talkhead.faces.crop_mesh import crop_mesh
from talkhead.faces.detector import BlazeFace, FaceDetector, anchors, merge
from talkhead.faces.landmarker import Landmarker
from talkhead.faces.mesh import FaceMesh468, FaceMesh478
from talkhead.faces.regions import Region, region_of_points, whole_picture
from talkhead.io.image import read_image
from talkhead.topology import (
    LEFT_EYE_REFINED,
    LIPS_REFINED,
    MESH_POINTS,
    OUTER_LIPS,
    RIGHT_EYE_REFINED,
)

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"
# Read off the picture, within a few pixels: outer corners of the eyes, tip of the nose, corners of
# the mouth, chin; the centres of the irises.
PLACES = {
    33: (196, 100),
    263: (256, 103),
    1: (226, 129),
    61: (206, 141),
    291: (244, 142),
    152: (223, 178),
}
IRISES = {468: (203, 101), 473: (246, 103)}


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return read_image(PORTRAIT)


def test_points_lie_on_eyes_nose_and_mouth(portrait: np.ndarray) -> None:
    region = Region(224, 124, 165)
    points = Landmarker().refine([portrait], [region])[0]
    assert points.shape == (MESH_POINTS, 3)
    for index, place in {**PLACES, **IRISES}.items():
        assert np.hypot(*(points[index, :2] - place)) < 6, (index, points[index])


def test_the_mesh_is_sure_of_a_face_and_of_none(portrait: np.ndarray) -> None:
    face, jacket = Landmarker().look(portrait, [Region(224, 124, 165), Region(380, 420, 150)])
    assert face.presence > 0.95
    assert jacket.presence < 0.3


def test_a_turned_region_gives_the_points_of_the_picture(portrait: np.ndarray) -> None:
    upright, turned = Landmarker().look(
        portrait, [Region(224, 124, 165), Region(224, 124, 165, angle=0.25)]
    )
    assert np.abs(upright.points - turned.points)[:, :2].mean() < 3


def test_the_batch_does_not_change_a_face() -> None:
    torch.manual_seed(0)
    images = torch.rand(3, 3, 192, 192)
    for network in (FaceMesh478.load(), lambda x: FaceMesh468.load()(x)[0]):
        with torch.inference_mode():
            alone, together = network(images[1:2]), network(images)
        assert torch.allclose(alone[0], together[1], atol=1e-2)


def test_crops_of_the_judge_are_those_of_the_landmarker(portrait: np.ndarray) -> None:
    """Batches of tensors and single frames are sampled alike."""
    crop = portrait[20:276, 100:356]
    images = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
    mesh = FaceMesh478.load()
    with torch.inference_mode():
        found = crop_mesh(mesh, images)[0].numpy()
    landmarker = Landmarker()
    first = landmarker.refine([crop], [Region(128, 0.52 * 256, 0.9 * 256)])[0]
    again = landmarker.refine([crop], [region_of_points(first)])[0]
    assert np.abs(found - again).mean() < 0.1


def test_gradients_reach_the_pixels_of_the_face(portrait: np.ndarray) -> None:
    crop = torch.from_numpy(portrait[20:276, 100:356]).permute(2, 0, 1)[None].float() / 255
    crop.requires_grad_()
    crop_mesh(FaceMesh478.load(), crop)[..., :2].square().mean().backward()
    assert crop.grad is not None
    strength = crop.grad.abs().sum(1)[0]
    assert strength[60:180, 60:190].mean() > 5 * strength[:, 245:].mean()


def test_large_crops_are_judged_like_small_ones(portrait: np.ndarray) -> None:
    small = torch.from_numpy(portrait[20:276, 100:356]).permute(2, 0, 1)[None].float() / 255
    large = torch.nn.functional.interpolate(small, scale_factor=4.0, mode="bilinear")
    with torch.inference_mode():
        a, b = (crop_mesh(FaceMesh478.load(), images) for images in (small, large))
    assert (a - b / 4)[..., :2].norm(dim=-1).mean() < 1.5


@pytest.mark.parametrize("side", [128, 256, 512])
def test_the_detector_sees_the_face_at_every_side(portrait: np.ndarray, side: int) -> None:
    square = whole_picture(portrait).cut(portrait, side, cv2.BORDER_CONSTANT)
    best = FaceDetector(BlazeFace.load()).find(square[None])[0][0]
    assert best.score > 0.6
    assert np.hypot(best.x * 512 / side - 224, best.y * 512 / side - 126) < 12
    assert abs(best.roll) < 0.2


def test_there_is_an_anchor_for_every_box() -> None:
    logits, boxes = BlazeFace.load()(torch.zeros(1, 3, 256, 256))
    assert logits.shape[1] == boxes.shape[1] == len(anchors(256)) == 4 * 896
    assert anchors(128).min() == 4
    assert anchors(128).max() == 124


def test_boxes_of_one_face_become_their_mean_weighted_by_score() -> None:
    rows = np.zeros((3, 8, 2))
    rows[:, 0] = [(50, 50), (54, 50), (100, 100)]
    rows[:, 1] = 40
    merged = merge(rows, np.array([0.6, 0.9, 0.8]))
    assert [score for _, score in merged] == [0.9, 0.8]
    assert merged[0][0][0, 0] == pytest.approx((0.6 * 50 + 0.9 * 54) / 1.5)
    assert merged[1][0][0].tolist() == [100, 100]


def test_refined_parts_are_points_of_the_skin_and_share_none() -> None:
    parts = [*LIPS_REFINED, *LEFT_EYE_REFINED, *RIGHT_EYE_REFINED]
    assert len(set(parts)) == len(parts) == 80 + 71 + 71
    assert max(parts) < 468
    assert set(OUTER_LIPS) <= set(LIPS_REFINED)


def test_damaged_face_weights_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "detector.safetensors"
    file.write_bytes(bundled.bundled("faces/detector.safetensors").read_bytes()[:-1])
    digest = bundled.bundled("faces/detector.safetensors.sha256")
    (tmp_path / "detector.safetensors.sha256").write_text(digest.read_text())
    monkeypatch.setattr("talkhead.faces.blocks.bundled", lambda _: file)
    for reason in ("SHA-256", "is damaged"):
        with pytest.raises(TalkheadError, match=reason):
            BlazeFace.load(torch.device("cpu", 0))  # which nothing else asks for
        (tmp_path / "detector.safetensors.sha256").unlink(missing_ok=True)


def test_gradients_flow_through_a_mesh_that_was_loaded_where_none_are_kept() -> None:
    FaceMesh478.load.__func__.cache_clear()  # type: ignore[attr-defined]
    with torch.inference_mode():
        mesh = FaceMesh478.load()
    assert mesh is FaceMesh478.load()
    picture = torch.rand(1, 3, 192, 192, requires_grad=True)
    mesh(picture).sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0


def test_face_weights_lie_beside_their_licence_and_digests() -> None:
    for name in ("detector", "mesh468", "mesh478"):
        path = bundled.bundled(f"faces/{name}.safetensors")
        bundled.check_digest(path, bundled.sha256(path))
        assert bundled.sha256(path) in path.with_name(f"{path.name}.sha256").read_text()
        assert path.name in (path.parent / "NOTICE").read_text()
    assert "Apache License" in bundled.bundled("faces/LICENSE").read_text()
    with pytest.raises(TalkheadError, match="faces/mesh9"):
        bundled.bundled("faces/mesh9.safetensors")
