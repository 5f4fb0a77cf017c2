"""Our weights files: what is written is read back, and damage is named."""

import json
from dataclasses import replace

import pytest
import torch
from miniatures import FAMILIES, mini, mini_config, pictures
from safetensors.torch import save_file

from talkhead import checkpoint
from talkhead.bundled import sha256
from talkhead.checkpoint import Provenance
from talkhead.errors import TalkheadError

ORIGIN = Provenance("trained by a test", "MIT", notes={"steps": 3})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_draws_the_same_picture(family, tmp_path):
    model = mini(family)
    checkpoint.save(tmp_path / "w.safetensors", model, ORIGIN)
    loaded, header = checkpoint.load(tmp_path / "w.safetensors")
    assert (header.config, header.provenance) == (model.config, ORIGIN)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    images = pictures(1)
    with torch.inference_mode():
        drawn = [m.render(m.encode_source(images), m.detect(images)) for m in (model, loaded)]
    # Not bit by bit: a kernel may order its sums by how tensors are aligned in memory, and these
    # random networks magnify the last bit.
    torch.testing.assert_close(*drawn, rtol=0, atol=2e-4)


def test_half_precision_halves_the_file_and_is_read_as_float32(tmp_path):
    model = mini("mcnet")
    checkpoint.save(tmp_path / "full.safetensors", model, ORIGIN)
    checkpoint.save(tmp_path / "half.safetensors", model, ORIGIN, torch.float16)
    loaded, _ = checkpoint.load(tmp_path / "half.safetensors")
    whole = model.state_dict()
    for name, tensor in loaded.state_dict().items():
        expected = whole[name]
        assert tensor.dtype == expected.dtype
        torch.testing.assert_close(tensor, expected, rtol=1e-3, atol=1e-3)
    saved = (tmp_path / "full.safetensors").stat().st_size
    parameters = sum(p.numel() for p in model.parameters())
    assert saved - (tmp_path / "half.safetensors").stat().st_size > 1.9 * parameters


def test_the_header_is_read_without_the_tensors(tmp_path):
    checkpoint.save(tmp_path / "w.safetensors", mini("fomm"), ORIGIN)
    assert checkpoint.read_header(tmp_path / "w.safetensors").config == mini_config("fomm")


def test_a_file_of_somebody_else_is_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(TalkheadError, match=r"other\.safetensors"):
        checkpoint.load(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights at all")
    with pytest.raises(TalkheadError, match=r"text\.safetensors"):
        checkpoint.load(tmp_path / "text.safetensors")
    with pytest.raises(TalkheadError, match=r"none\.safetensors"):
        checkpoint.load(tmp_path / "none.safetensors")


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoint.save(path, mini("fomm"), ORIGIN)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TalkheadError, match=r"w\.safetensors"):
        checkpoint.load(path)


def test_weights_that_do_not_match_their_checksum_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoint.save(path, mini("fomm"), ORIGIN)
    sidecar = tmp_path / "w.safetensors.sha256"
    sidecar.write_text(f"{sha256(path)}  w.safetensors\n")
    checkpoint.load(path)
    sidecar.write_text(f"{'0' * 64}  w.safetensors\n")
    with pytest.raises(TalkheadError, match="SHA-256"):
        checkpoint.load(path)


def test_tensors_that_do_not_fit_the_description_are_named(tmp_path):
    path = tmp_path / "w.safetensors"
    model = mini("fomm")
    tensors = dict(model.state_dict())
    wider = replace(model.config, channels=(8, 8, 6))
    checkpoint.write(path, tensors, checkpoint.Header(wider, ORIGIN))
    with pytest.raises(TalkheadError, match=r"encoder|decoder"):
        checkpoint.load(path)
    del tensors["decoder.final.bias"]
    checkpoint.write(path, tensors, checkpoint.Header(model.config, ORIGIN))
    with pytest.raises(TalkheadError, match=r"decoder\.final\.bias is missing"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "values", [{"channels": []}, {"norm_groups": 0}, {"motion_codebook": {"num_codes": -3}}]
)
def test_a_description_that_cannot_be_built_is_refused(values, tmp_path):
    header = {"format": 1, "config": {"family": "codebook"} | values, "provenance": vars(ORIGIN)}
    save_file(
        {"a": torch.zeros(1)},
        tmp_path / "w.safetensors",
        metadata={checkpoint.METADATA_KEY: json.dumps(header)},
    )
    with pytest.raises(TalkheadError, match="describes a model that cannot be built"):
        checkpoint.load(tmp_path / "w.safetensors")


def test_a_file_of_a_newer_version_says_so(tmp_path):
    path = tmp_path / "w.safetensors"
    text = json.dumps({"format": 99, "config": {}, "provenance": {}})
    save_file({"a": torch.zeros(1)}, path, metadata={checkpoint.METADATA_KEY: text})
    with pytest.raises(TalkheadError, match="newer"):
        checkpoint.load(path)
