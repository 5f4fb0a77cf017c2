"""Two processes, each with half of every batch, learn what one learns."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toys
from copies import copy
from toys import codebook_options

from talkhead import checkpoint, config
from talkhead.errors import TalkheadError
from talkhead.training.distributed import (
    ProcessGroup,
    SharedBatchNorm,
    process_group,
    share_batch_norm,
)
from talkhead.training.options import TrainOptions
from talkhead.training.train import train

SETTINGS = ("recipe.adversarial=null", "recipe.learning_rate=1e-3")
STEPS = 2


def train_second(options: TrainOptions) -> None:
    os.environ |= dict.fromkeys(("RANK", "LOCAL_RANK"), "1")
    config.PRESETS.update(toys.PRESETS)
    train(options)


def test_two_processes_learn_what_one_learns(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = codebook_options(clips, tmp_path / "one", *SETTINGS, steps=STEPS, batch_size=4)
    train(alone)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    shared = replace(alone, output=tmp_path / "two")
    with copy(train_second, shared, told=tmp_path / "told") as (other, _):
        train(shared)  # this process is the first of the two
        other.join(300)
        assert other.exitcode == 0, (tmp_path / "told").read_text()
    one, two = (
        checkpoint.load(each.output / "weights.safetensors")[0].state_dict()
        for each in (alone, shared)
    )
    learned = [name for name in one if "running_" not in name and "num_batches" not in name]
    begun = torch.cat([one[name].flatten() for name in learned])
    ended = torch.cat([two[name].flatten() for name in learned])
    # Adam turns rounding into steps of full size where a gradient is about zero, so a few numbers
    # may differ by up to three steps; nearly all must agree, to a hundredth of the way they went.
    assert (begun - ended).abs().max() < STEPS * 2e-3
    assert (begun - ended).abs().mean() < 0.01 * STEPS * 1e-3


def test_frozen_parts_stay_frozen_where_batch_norms_are_shared() -> None:
    model = torch.nn.Sequential(*(torch.nn.Sequential(torch.nn.BatchNorm2d(3)) for _ in range(2)))
    model[0].eval().requires_grad_(False)
    share_batch_norm(model, ProcessGroup(rank=1, size=2))
    norms = [model[0][0], model[1][0]]
    assert all(isinstance(norm, SharedBatchNorm) for norm in norms)
    assert [norm.training for norm in norms] == [False, True]
    assert [[p.requires_grad for p in norm.parameters()] for norm in norms] == [
        [False, False],
        [True, True],
    ]


def test_more_processes_than_gpus_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with (
        pytest.raises(TalkheadError, match="process 2 of this machine has no GPU of its own, 1"),
        process_group("cuda"),
    ):
        pass


def test_frozen_parts_get_no_gradient_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor: tensor.mul_(2))
    parts = [torch.nn.Parameter(torch.ones(2), requires_grad=learns) for learns in (False, True)]
    ProcessGroup(rank=1, size=2).average_gradients(parts)
    assert parts[0].grad is None  # with one, weight decay would move it
    assert parts[1].grad is not None


def test_parameters_of_the_first_process_reach_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.broadcast", lambda tensor, source: tensor.fill_(3))
    codes = torch.nn.Parameter(torch.zeros(2, 3))  # learns, as codes that are revived do
    ProcessGroup(rank=1, size=2).copy_from_main([codes])
    assert (codes == 3).all()
    assert codes.requires_grad
