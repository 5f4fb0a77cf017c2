"""Whole runs at toy size: what they learn from, how they end, and what is in their folders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toys import CODEBOOK, SIZE, codebook_options, film, losses, mesh, run_options, write_landmarks

from talkhead import checkpoint
from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.models.grid import warp
from talkhead.training import train as run
from talkhead.training.train import train


def test_weights_of_a_run_draw_pictures_and_say_where_they_come_from(
    clips: Path, tmp_path: Path
) -> None:
    outcome = train(codebook_options(clips, tmp_path / "run", steps=2))
    assert outcome is not None
    assert outcome.steps == 2
    assert outcome.score is not None
    engine = Engine.load(Path(outcome.weights), device="cpu")
    picture = np.full((SIZE, SIZE, 3), 90, np.uint8)
    source = engine.encode(picture)
    assert engine.render(source, engine.detect([picture])).shape == (1, SIZE, SIZE, 3)
    header = checkpoint.read_header(Path(outcome.weights))
    assert header.config == CODEBOOK
    assert "3 clips of 3 identities" in header.provenance.origin
    story = json.loads((tmp_path / "run" / "run.json").read_text())
    assert story["steps_done"] == 2
    assert 0 < story["validations"][-1]["motion_codes_used"] <= 1
    assert (tmp_path / "run" / "pictures" / "0000002.png").is_file()


def test_sharpened_weights_show_the_warped_source_more_and_nothing_is_learned_from_that(
    clips: Path, tmp_path: Path
) -> None:
    settings = ("model.blend_source=true", "recipe.adversarial=null", "recipe.sharpen=30")
    wanted = codebook_options(clips, tmp_path / "run", *settings, steps=1)
    train(wanted)
    learned = torch.load(wanted.output / "state.pt", weights_only=True)["average"]
    model, _ = checkpoint.load(wanted.output / "weights.safetensors")
    sharp = model.state_dict()
    assert [name for name in learned if not torch.equal(learned[name], sharp[name])] == [
        "decoder.out.bias"
    ]
    moved = sharp["decoder.out.bias"] - learned["decoder.out.bias"]
    assert torch.allclose(moved, torch.tensor([0.0, 0, 0, 30]))
    pair = torch.rand(2, 1, 3, SIZE, SIZE)
    with torch.inference_mode():
        shown = model.reconstruct(*pair)
    assert torch.allclose(shown.image, warp(pair[0], shown.motion.clamp(-1, 1)), atol=1e-3)
    train(replace(wanted, resume=True))  # nothing is left to learn
    again, _ = checkpoint.load(wanted.output / "weights.safetensors")
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, sharp[name]), name


def test_landmarks_start_the_keypoints(clips: Path, tmp_path: Path) -> None:
    write_landmarks(clips, tmp_path)
    wanted = run_options(
        clips,
        tmp_path / "run",
        landmarks=tmp_path,
        keypoint_steps=3,
        settings=("recipe.landmark_start.keypoint_batch=4",),
    )
    train(wanted)
    first, last = losses(wanted.output)
    assert first["landmark_supervision"] > 0
    assert "landmark_supervision" not in last  # released after a tenth of the run


def test_portraits_are_learned_from_beside_the_clips_if_their_heads_can_be_turned(
    clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures, landmarks = tmp_path / "pictures", tmp_path / "marks"
    pictures.mkdir()
    landmarks.mkdir()
    write_landmarks(clips, landmarks)
    flat = (mesh(2) + 1) * (SIZE / 2)
    for number in range(2):
        Image.fromarray(film(0, 1)[0]).save(pictures / f"{number}.png")
    np.savez(landmarks / "portraits.npz", names=np.array(["0", "1"]), points=flat)
    settings = ("recipe.weights.pixel=1", "recipe.augmentation.portrait_pairs=1")
    only = run_options(
        clips, tmp_path / "run", steps=1, landmarks=landmarks, portraits=pictures, settings=settings
    )
    with pytest.raises(TalkheadError, match="no depth, without which heads cannot be turned"):
        train(only)
    deep = np.concatenate([flat, flat[..., :1] % 5], axis=-1)
    np.savez(landmarks / "portraits.npz", names=np.array(["0", "1"]), points=deep)
    train(only)
    assert "no depth" not in caplog.text
    turned = (*settings, "recipe.augmentation.turned=0.5")
    train(replace(only, settings=turned, output=tmp_path / "turned"))
    assert "the clips' landmarks have no depth: no heads of clips are turned" in caplog.text
    clips_alone = replace(only, portraits=None, output=tmp_path / "clips_alone")
    train(clips_alone)
    assert losses(only.output)[0]["pixel"] != losses(clips_alone.output)[0]["pixel"]


def test_a_finished_run_rescales_its_jacobians_if_the_recipe_says_so(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    monkeypatch.setattr(run, "rescale_jacobians", lambda model, *_: done.append(model) or [1.0])
    write_landmarks(clips, tmp_path)
    for wish in ("true", "false"):
        settings = (f"recipe.rescale_jacobians={wish}",)
        train(run_options(clips, tmp_path / wish, steps=1, landmarks=tmp_path, settings=settings))
    assert len(done) == 1


def test_a_model_of_meshes_trains_resumes_and_draws_with_and_without_a_face(
    clips: Path, tmp_path: Path
) -> None:
    settings = (
        'model.mesh={"motion": true, "maps": true}',
        "model.blend_source=true",
        "recipe.keypoint_rate=0",
        "recipe.open_occlusion=2",
        "recipe.weights.own=0.5",
        "recipe.adversarial=null",
    )
    write_landmarks(clips, tmp_path)
    options = codebook_options(clips, tmp_path / "run", *settings, steps=1, landmarks=tmp_path)
    train(options)
    weights = tmp_path / "run" / "weights.safetensors"
    begun, _ = checkpoint.load(weights)
    assert begun.mean_face.abs().max() > 0
    train(replace(options, steps=2, resume=True))
    model, _ = checkpoint.load(weights)
    assert torch.equal(model.mean_face, begun.mean_face)
    detector = model.keypoint_detector.state_dict()
    assert all(torch.equal(x, detector[n]) for n, x in begun.keypoint_detector.state_dict().items())
    images = torch.rand(2, 3, SIZE, SIZE)
    seen = torch.from_numpy(mesh(2))
    for meshes in ((None, None), (seen[:1], seen[1:])):
        with torch.no_grad():
            state = model.encode_source(images[:1], meshes[0])
            image = model.render(state, model.detect(images[1:], meshes[1]))
        assert bool(torch.isfinite(image).all())
