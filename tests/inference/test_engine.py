"""Batches sized by trying, compiling with a way back, pictures that are waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from miniatures import mini, mini_config

from talkhead.errors import TalkheadError
from talkhead.inference.batch_size import best_batch
from talkhead.inference.compile import Compiled
from talkhead.inference.drawn import fill_up
from talkhead.inference.engine import Engine
from talkhead.structs import Keypoints

CPU = torch.device("cpu")


def out_of_memory_from(size: int) -> Callable[[int], float]:
    def seconds(batch: int) -> float:
        if batch >= size:
            raise torch.OutOfMemoryError
        return 1.0

    return seconds


def test_batches_grow_as_long_as_frames_become_quicker() -> None:
    seconds = {4: 1.0, 8: 1.2, 16: 2.38, 32: 1.0}  # 16 gains a hundredth; 32 is never tried
    assert best_batch(seconds.__getitem__, (4, 8, 16, 32)) == 8
    assert best_batch(lambda size: 1.0, (4, 8, 16)) == 16


def test_batches_stop_growing_where_memory_ends() -> None:
    assert best_batch(out_of_memory_from(16), (4, 8, 16, 32)) == 8
    with pytest.raises(torch.OutOfMemoryError):
        best_batch(out_of_memory_from(4), (4, 8))


def test_engine_tries_sizes_once_and_only_where_nobody_chose(
    toy_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def choose(seconds: Callable[[int], float]) -> int:
        tried.append(1)
        assert seconds(2) > 0
        return 3

    monkeypatch.setattr("talkhead.inference.engine.best_batch", choose)
    engine = Engine.load(toy_weights, "cpu")
    source = engine.encode(np.zeros((64, 64, 3), np.uint8))
    engine.size_batches(source)
    assert (engine.batch_size, tried) == (4, [])  # a CPU is not tried
    engine._sized = False  # as on CUDA
    engine.size_batches(source)
    engine.size_batches(source)
    assert (engine.batch_size, tried) == (3, [1])


def test_what_cannot_be_compiled_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_compiler(function: object, **_: object) -> Callable[..., int]:
        def fail(*args: object) -> int:
            raise RuntimeError("no C++ compiler\nand much more")

        return fail

    monkeypatch.setattr(torch, "compile", no_compiler)
    double = Compiled(lambda x: 2 * x, CPU)
    assert [double(3), double(4)] == [6, 8]
    assert [record.getMessage() for record in caplog.records] == [
        "compiling failed, so drawing is not compiled: no C++ compiler"
    ]


def test_error_after_compiling_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def checked(function: Callable[[int], int], **_: object) -> Callable[[int], int]:
        def run(x: int) -> int:
            if x < 0:
                raise RuntimeError("negative")
            return function(x)

        return run

    monkeypatch.setattr(torch, "compile", checked)
    double = Compiled(lambda x: 2 * x, CPU)
    assert double(3) == 6
    with pytest.raises(RuntimeError, match="negative"):
        double(-1)


def test_compiled_engine_draws_whole_batches_and_gives_back_what_was_asked(
    toy_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def watch(function: Callable[..., torch.Tensor], **_: object) -> Callable[..., torch.Tensor]:
        def run(state: object, driving: Keypoints) -> torch.Tensor:
            seen.append(len(driving))
            return function(state, driving)

        return run

    monkeypatch.setattr(torch, "compile", watch)
    pictures = list(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8))
    plain = Engine.load(toy_weights, "cpu", batch_size=4)
    compiled = Engine.load(toy_weights, "cpu", batch_size=4, compiled=True)
    keypoints = plain.detect(pictures)
    drawn = plain.render(plain.encode(pictures[0]), keypoints)
    again = compiled.render(compiled.encode(pictures[0]), keypoints)
    assert seen == [4]
    assert again.shape == (3, 64, 64, 3)
    assert np.abs(drawn.astype(int) - again).max() <= 1


def test_pictures_of_another_kind_are_refused(toy_weights: Path) -> None:
    engine = Engine.load(toy_weights, "cpu")
    for picture in (np.zeros((65, 64, 3), np.uint8), np.zeros((64, 64, 3), np.float32)):
        with pytest.raises(ValueError, match=r"takes uint8 \(64, 64, 3\)"):
            engine.detect([picture])


def test_batch_is_filled_up_with_its_last() -> None:
    keypoints = Keypoints(torch.arange(4.0).view(2, 1, 2))
    assert fill_up(keypoints, 4).value[:, 0, 0].tolist() == [0, 2, 2, 2]
    assert len(fill_up(keypoints, 1)) == 2


def test_picture_that_is_not_finite_is_drawn_again_when_it_is_looked_at(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.full((64, 64, 3), 128, np.uint8)
    source, keypoints = engine.encode(picture), engine.detect([picture])
    right = engine.render(source, keypoints)
    monkeypatch.setattr(engine, "_draw", lambda *_: torch.full((1, 3, 64, 64), torch.nan))
    monkeypatch.setattr(engine, "precision", torch.float16)
    pending = engine.begin(source, keypoints)
    assert np.abs(pending.pictures.astype(int) - right).max() <= 1
    monkeypatch.setattr(engine, "precision", torch.float32)
    with pytest.raises(TalkheadError, match="no numbers"):
        engine.render(source, keypoints)


def test_only_weights_that_blend_the_source_can_be_sharper(toy_weights: Path) -> None:
    plain, picture = Engine.load(toy_weights, "cpu"), np.zeros((64, 64, 3), np.uint8)
    assert plain.encode(picture, sharpness=0.5).sharpness == 0
    with pytest.raises(TalkheadError, match="leave out --sharpness"):
        plain.require_blending()
    blending = Engine(mini(replace(mini_config("codebook"), blend_source=True)), CPU)
    blending.require_blending()
    picture = np.zeros((blending.image_size,) * 2 + (3,), np.uint8)
    assert blending.encode(picture, sharpness=0.5).sharpness == 0.5
    assert blending.encode(picture).sharpness == 0
