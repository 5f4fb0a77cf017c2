"""Runs that stop, fail or go on: nothing is lost of what was learned, nothing learned twice."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toys import codebook_options, losses, run_options, write_landmarks

from talkhead import checkpoint
from talkhead.errors import TalkheadError
from talkhead.training import train as run
from talkhead.training.data.batches import Batches
from talkhead.training.loop.trainer import Trainer
from talkhead.training.options import TrainOptions
from talkhead.training.train import train


def test_a_resumed_run_goes_on_bit_for_bit(clips: Path, tmp_path: Path) -> None:
    judged = ("recipe.adversarial.start=2", "recipe.adversarial.base_channels=4")
    whole = codebook_options(clips, tmp_path / "whole", *judged, steps=3)
    train(whole)
    # The same schedule, interrupted after two steps.
    part = replace(whole, output=tmp_path / "part")
    interrupt_after(2, part)
    train(replace(part, resume=True))
    assert losses(part.output) == losses(whole.output)
    first, second = (
        checkpoint.load(run.output / "weights.safetensors")[0].state_dict() for run in (whole, part)
    )
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def interrupt_after(steps: int, wanted: TrainOptions) -> None:
    """Run until Ctrl-C, which comes in the middle of a step."""
    learn = Trainer.train_step

    def interrupted(self: Trainer, batch: object, step: int, progress: float) -> object:
        if step == steps - 1:
            signal.raise_signal(signal.SIGINT)
        return learn(self, batch, step, progress)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(wanted)


def test_what_fails_at_the_end_loses_nothing_and_scores_are_of_the_weights_that_are_saved(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_landmarks(clips, tmp_path)
    wanted = run_options(
        clips,
        tmp_path / "run",
        validate_steps=2,
        landmarks=tmp_path,
        settings=("recipe.rescale_jacobians=true",),
    )

    def fail(*_: object) -> list[float]:
        raise TalkheadError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(run, "rescale_jacobians", fail)
        with pytest.raises(TalkheadError, match="no more"):
            train(wanted)

    _, header = checkpoint.load(wanted.output / "weights.safetensors")
    before = header.provenance.notes["validation"]["l1"]

    @torch.no_grad()
    def change(model: torch.nn.Module, *_: object) -> list[float]:
        for parameter in model.parameters():
            parameter.mul_(0.5)
        return [1.0]

    monkeypatch.setattr(run, "rescale_jacobians", change)
    outcome = train(replace(wanted, resume=True))
    assert outcome is not None
    assert outcome.steps == 2  # all had been kept
    _, header = checkpoint.load(Path(outcome.weights))
    assert outcome.score is not None
    assert header.provenance.notes["validation"]["l1"] == outcome.score.l1 != before


def test_a_changed_rate_counts_after_resuming(clips: Path, tmp_path: Path) -> None:
    judged = ("recipe.adversarial.base_channels=4",)
    wanted = run_options(clips, tmp_path / "run", recipe="fomm-adversarial", settings=judged)
    train(wanted)
    still = ("recipe.learning_rate=0", "recipe.keypoint_rate=0", "recipe.ema=0.0")
    train(replace(wanted, steps=3, resume=True, settings=(*judged, *still)))
    state = torch.load(wanted.output / "state.pt", weights_only=True)
    rates = [g["lr"] for g in state["optimizer"]["param_groups"]]
    assert rates == [0, 0]
    assert [g["lr"] for g in state["discriminator_optimizer"]["param_groups"]] == [0]


def test_overwriting_keeps_the_old_run_until_the_new_one_can_begin(
    clips: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(run_options(clips, run, steps=1))
    kept = (run / "state.pt").read_bytes()
    (tmp_path / "nothing").mkdir()
    with pytest.raises(TalkheadError, match="no clips in"):
        train(run_options(tmp_path / "nothing", run, overwrite=True))
    assert (run / "state.pt").read_bytes() == kept
    assert train(run_options(clips, run, steps=2, overwrite=True)) is not None
    assert [line["step"] for line in losses(run)] == [1, 2]


def test_steps_after_the_last_checkpoint_are_taken_back_from_the_log(
    clips: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(run_options(clips, run, steps=3))
    with (run / "losses.jsonl").open("a") as file:  # as if killed in the middle of a line
        file.write('{"step": 4, "seconds": 9.0, "equivariance_value": 0.5}\n{"step": 5, "sec')
    train(run_options(clips, run, steps=5, resume=True))
    assert [line["step"] for line in losses(run)] == [1, 2, 3, 4, 5]
    assert "equivariance_value" in losses(run)[3]
    assert losses(run)[3]["equivariance_value"] != 0.5
    story = json.loads((run / "run.json").read_text())
    assert [each["step"] for each in story["validations"]] == [3, 5]


def test_a_run_that_loses_its_data_saves_before_it_gives_up(clips: Path, tmp_path: Path) -> None:
    whole = Batches.batch

    def gone(self: Batches, step: int) -> object:
        if step == 2:
            raise TalkheadError("20 clips in a row could not be read")
        return whole(self, step)

    wanted = run_options(clips, tmp_path / "run", steps=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "batch", gone)
        with pytest.raises(TalkheadError, match="in a row"):
            train(wanted)
    assert json.loads((wanted.output / "run.json").read_text())["steps_done"] == 2
    outcome = train(replace(wanted, resume=True))
    assert outcome is not None
    assert outcome.steps == 4


def test_a_full_disk_is_said_and_the_checkpoint_before_is_kept(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    train(run_options(clips, run, steps=1))
    before = (run / "state.pt").read_bytes()

    def full(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TalkheadError, match="the checkpoint before is untouched"):
        train(run_options(clips, run, steps=2, resume=True))
    assert (run / "state.pt").read_bytes() == before
    assert not list(run.glob(".*part"))
