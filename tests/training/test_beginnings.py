"""What a run begins with: other weights, whole or in part, resized, or grown."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toys import CODEBOOK, SIZE, codebook_options

from talkhead import checkpoint
from talkhead.config import ModelConfig
from talkhead.errors import TalkheadError
from talkhead.models import Network, build
from talkhead.training.loop.state import initialise
from talkhead.training.train import train

STILL = ("recipe.adversarial=null", "recipe.learning_rate=0", "recipe.keypoint_rate=0")


def untrained(path: Path, config: ModelConfig = CODEBOOK) -> Network:
    """A model whose weights are in a file."""
    torch.manual_seed(0)
    model = build(config).eval()
    checkpoint.save(path, model, checkpoint.Provenance("test", "MIT"))
    return model


def test_more_keypoints_move_almost_as_fewer_did(tmp_path: Path) -> None:
    few = untrained(tmp_path / "few.safetensors")
    more = build(replace(CODEBOOK, keypoints=replace(CODEBOOK.keypoints, num_keypoints=20))).eval()
    initialise(more, tmp_path / "few.safetensors")
    pictures = torch.rand(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        drawn = []
        for model in (few, more):
            source = model.encode_source(pictures[:1])
            driving = model.detect(pictures[1:])
            drawn.append(model.dense_motion(source.small, source.keypoints, driving))
    assert drawn[1].mask[:, 16:].max() < 0.02
    assert (drawn[0].deformation - drawn[1].deformation).abs().max() < 0.05


def test_codes_are_seeded_unless_init_brings_them(clips: Path, tmp_path: Path) -> None:
    bare = replace(
        CODEBOOK,
        motion_codebook=replace(CODEBOOK.motion_codebook, scales=()),
        appearance_codebook=replace(CODEBOOK.appearance_codebook, scales=()),
    )
    init = tmp_path / "bare.safetensors"
    untrained(init, bare)
    seeded, kept = (*STILL, "recipe.seed_codes=true"), []
    for name in ("grown", "again"):
        train(codebook_options(clips, tmp_path / name, *seeded, steps=1, init=init))
        init = tmp_path / name / "weights.safetensors"
        kept.append(checkpoint.load(init)[0].state_dict())
    for name in ("motion.codebook.codes", "appearance.codebook.codes"):
        assert kept[0][name].abs().max() > 2 / len(kept[0][name])  # unseeded ones are within 1 / n
        assert torch.equal(kept[0][name], kept[1][name])


def test_init_takes_what_fits_and_resizes_positions(clips: Path, tmp_path: Path) -> None:
    weights = tmp_path / "small.safetensors"
    small = untrained(weights).state_dict()
    larger = (*STILL, "model.image_size=128", "model.dense_motion.size=32")
    outcome = train(codebook_options(clips, tmp_path / "run", *larger, steps=1, init=weights))
    assert outcome is not None
    large = checkpoint.load(Path(outcome.weights))[0].state_dict()
    assert large["motion.position"].shape == (256, 8)
    assert torch.equal(small["decoder.out.weight"], large["decoder.out.weight"])


def test_init_says_what_it_has_no_place_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = tmp_path / "first.safetensors"
    untrained(weights)
    initialise(build(CODEBOOK), weights)
    assert "no place" not in caplog.text
    fewer = replace(CODEBOOK, motion_codebook=replace(CODEBOOK.motion_codebook, scales=()))
    initialise(build(fewer), weights)
    assert re.search(r"--init: \d+ of its tensors have no place .* such as motion", caplog.text)


def test_init_can_take_a_part_alone(tmp_path: Path) -> None:
    weights = tmp_path / "first.safetensors"
    first = untrained(weights)
    torch.manual_seed(1)
    model = build(CODEBOOK)
    before = model.decoder.out.weight.clone()
    missing = initialise(model, weights, ("encoder.", "keypoint_detector."))
    assert torch.equal(model.encoder.stem.weight, first.encoder.stem.weight)
    assert torch.equal(model.decoder.out.weight, before)
    assert "decoder.out.weight" in missing
    with pytest.raises(TalkheadError, match=r"no tensor of it fits this model and is of nose"):
        initialise(model, weights, ("nose",))
