"""Parts of a batch, drawn side by side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from miniatures import mini

from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.inference.workers import Workers
from talkhead.structs import Keypoints


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def numbered(frames: int) -> Keypoints:
    return Keypoints(torch.arange(frames).float()[:, None, None].expand(-1, 2, 2))


def test_each_thread_draws_its_part_in_order_with_its_share(three_threads: None) -> None:
    found = Workers(frames=8).map(
        lambda part: (part.value[:, 0, 0].tolist(), torch.get_num_threads()), numbered(8)
    )
    assert found == [([0, 1, 2], 1), ([3, 4, 5], 1), ([6, 7], 1)]
    assert torch.get_num_threads() == 3


def test_few_frames_share_all_threads(three_threads: None) -> None:
    torch.set_num_threads(4)
    workers = Workers(frames=2)
    assert workers.map(lambda part: torch.get_num_threads(), numbered(2)) == [2, 2]


def test_nothing_is_kept_for_gradients(three_threads: None) -> None:
    assert Workers(frames=2).map(lambda part: torch.is_inference_mode_enabled(), numbered(2)) == [
        True,
        True,
    ]


def test_a_batch_side_by_side_is_the_batch_together(three_threads: None) -> None:
    engine = Engine(mini("codebook"), torch.device("cpu"), batch_size=4)
    size = engine.image_size
    source = engine.encode(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8))
    still = source.keypoints.expand(4)
    shifts = torch.linspace(-0.1, 0.1, 4)[:, None, None]
    keypoints = Keypoints(still.value + shifts, still.jacobian)
    parts = engine.render(source, keypoints)
    torch.set_num_threads(1)
    together = engine.render(source, keypoints)
    assert np.abs(parts.astype(int) - together).max() <= 1
    assert len({picture.tobytes() for picture in parts}) == 4


def test_another_batch_size_makes_other_parts(
    three_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(mini("codebook"), torch.device("cpu"), batch_size=1)
    size = engine.image_size
    source = engine.encode(np.zeros((size, size, 3), np.uint8))
    still = source.keypoints.expand(3).map(torch.Tensor.contiguous)
    drawn: list[int] = []
    draw = engine.model.render
    monkeypatch.setattr(engine, "_draw", lambda state, k: (drawn.append(len(k)), draw(state, k))[1])
    engine.render(source, still)
    engine.batch_size = 3
    engine.render(source, still)
    assert drawn == [3, 1, 1, 1]


def test_numbers_that_are_none_are_told_from_any_part(three_threads: None) -> None:
    engine = Engine(mini("codebook"), torch.device("cpu"), batch_size=3)
    size = engine.image_size
    source = engine.encode(np.zeros((size, size, 3), np.uint8))
    still = source.keypoints.expand(3)
    value = still.value.clone()
    value[2] = float("nan")
    with pytest.raises(TalkheadError, match="no numbers"):
        engine.render(source, Keypoints(value, still.jacobian))
