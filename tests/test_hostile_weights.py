"""Weights that were damaged or made to harm: each is refused in one sentence, and nothing else."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import DEEP, ORIGIN, sentence
from miniatures import mini
from safetensors.torch import load as load_tensors
from typer.testing import CliRunner

from talkhead import checkpoint
from talkhead.checkpoint import METADATA_KEY
from talkhead.cli import app
from talkhead.errors import TalkheadError
from talkhead.io.torch_file import read_torch


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of weights as it should be."""
    path = tmp_path_factory.mktemp("saved") / "w.safetensors"
    checkpoint.save(path, mini("codebook"), ORIGIN)
    return path.read_bytes()


@pytest.fixture
def weights(saved: bytes, tmp_path: Path) -> Path:
    """One that a test may damage."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(saved)
    return path


def describe(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Give a weights file another description."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    text = change(json.loads(header["__metadata__"][METADATA_KEY]))
    header["__metadata__"][METADATA_KEY] = text if isinstance(text, str) else json.dumps(text)
    packed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + data[8 + length :])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: None, "damaged description"),
        (lambda d: [d], "damaged description"),
        (lambda d: DEEP, "nested too deeply"),
        (lambda d: d | {"format": [1]}, r"format is \[1\], which is not int"),
        (lambda d: d | {"provenance": None}, "Provenance is None"),
        (lambda d: d | {"provenance": {"origin": 3, "licence": "MIT"}}, "origin is 3"),
        (lambda d: d | {"config": [1]}, "unknown model family None"),
        (lambda d: d | {"config": {"family": ["fomm"]}}, "unknown model family"),
    ],
)
def test_a_description_that_is_none_is_one_sentence(
    change: Callable[[dict[str, Any]], Any], words: str, weights: Path
) -> None:
    describe(weights, change)
    assert "w.safetensors" in sentence(lambda: checkpoint.read_header(weights))
    with pytest.raises(TalkheadError, match=words):
        checkpoint.load(weights)


@pytest.mark.parametrize(
    "values",
    [
        {"image_size": 0},
        {"image_size": 1},
        {"image_size": -1},
        {"image_size": 10**9},
        {"image_size": True},
        {"image_size": 1e400},
        {"channels": [8] * 100},
        {"channels": [8, None, 8, 4]},
        {"norm_groups": 3},
        {"keypoints": {"num_keypoints": 10**8}},
        {"keypoints": {"temperature": float("nan")}},
        {"keypoints": None},
        {"dense_motion": {"num_blocks": 10**8}},
        {"dense_motion": {"size": 3}},
        {"motion_codebook": {"num_layers": 10**8}},
        {"motion_codebook": {"num_heads": 3, "dim": 8}},
        {"motion_codebook": {"scales": [0, 0]}},
        {"appearance_codebook": {"num_codes": 2**40}},
        {"appearance_codebook": {"x" * 10_000: 1}},
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_built(
    values: dict[str, Any], weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(self: object, config: object) -> None:
        raise AssertionError("built")

    monkeypatch.setattr("talkhead.models.codebook.CodebookModel.__init__", built)

    def change(description: dict[str, Any]) -> dict[str, Any]:
        own = description["config"]
        for name, value in values.items():
            own[name] = own[name] | value if isinstance(value, dict) else value
        return description

    describe(weights, change)
    assert "describes a model that cannot be built" in sentence(lambda: checkpoint.load(weights))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.int(), "int32"),
        (lambda t: t.bool(), "bool"),
        (lambda t: t.to(torch.complex64), "complex64"),
        (lambda t: t * float("nan"), "not finite"),
        (lambda t: t[:0], "not"),
        (lambda t: t[None], "not"),
    ],
)
def test_tensors_of_another_kind_are_refused(
    change: Callable[[torch.Tensor], torch.Tensor], words: str, weights: Path
) -> None:
    tensors = load_tensors(weights.read_bytes())
    header = checkpoint.read_header(weights)
    tensors["decoder.out.bias"] = change(tensors["decoder.out.bias"])
    checkpoint.write(weights, tensors, header)
    told = sentence(lambda: checkpoint.load(weights))
    assert words in told
    assert "decoder.out.bias" in told


@pytest.mark.parametrize("text", [b"", b"\n", b"\xff\xfe", b"x" * 5000])
def test_a_digest_file_that_holds_none_does_not_match(text: bytes, weights: Path) -> None:
    weights.with_name("w.safetensors.sha256").write_bytes(text)
    assert "does not match its SHA-256" in sentence(lambda: checkpoint.load(weights))


def test_weights_that_are_shortened_while_they_are_used_end_nothing(weights: Path) -> None:
    model, _ = checkpoint.load(weights)
    maps = Path("/proc/self/maps")
    if maps.exists():  # a mapped page beyond the end would kill this process
        assert str(weights) not in maps.read_text()
    weights.write_bytes(b"")
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_what_is_no_file_is_not_waited_for() -> None:
    assert "not a file" in sentence(lambda: checkpoint.load(Path("/dev/zero")))
    assert "not a file" in sentence(lambda: read_torch(Path("/dev/zero")))


def test_the_command_tells_of_weights_in_one_line(weights: Path) -> None:
    describe(weights, lambda d: DEEP)
    result = CliRunner().invoke(app, ["inspect-weights", str(weights)])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
