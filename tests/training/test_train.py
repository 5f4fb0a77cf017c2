"""Whole runs at toy size: they resume exactly, share work exactly, and leave weights that draw."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toys import CODEBOOK, SIZE, film, mesh, run_options, write_landmarks

from talkhead import checkpoint
from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.models import build
from talkhead.models.grid import warp
from talkhead.training import train as run
from talkhead.training.loop.state import initialise
from talkhead.training.options import TrainOptions
from talkhead.training.train import train


def losses(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def test_weights_of_a_run_draw_pictures_and_say_where_they_come_from(
    clips: Path, tmp_path: Path
) -> None:
    outcome = train(run_options(clips, tmp_path / "run", steps=2))
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


def test_sharpened_weights_show_the_warped_source_more_and_differ_in_nothing_else(
    clips: Path, tmp_path: Path
) -> None:
    plain = run_options(clips, tmp_path / "plain", steps=1, settings=("model.blend_source=true",))
    plain = replace(plain, settings=(*plain.settings, "recipe.adversarial=null"))
    sharp = replace(plain, output=tmp_path / "sharp")
    sharp = replace(sharp, settings=(*sharp.settings, "recipe.sharpen=30"))
    models = []
    for options in (plain, sharp):
        train(options)
        model, _ = checkpoint.load(options.output / "weights.safetensors")
        models.append(model.eval())
    one, other = (model.state_dict() for model in models)
    assert [name for name in one if not torch.equal(one[name], other[name])] == ["decoder.out.bias"]
    moved = other["decoder.out.bias"] - one["decoder.out.bias"]
    assert torch.allclose(moved, torch.tensor([0.0, 0, 0, 30]))
    pair = torch.rand(2, 1, 3, SIZE, SIZE)
    with torch.inference_mode():
        shown = models[1].reconstruct(*pair)
    assert torch.allclose(shown.image, warp(pair[0], shown.motion.clamp(-1, 1)), atol=1e-3)


def test_a_resumed_run_goes_on_bit_for_bit(clips: Path, tmp_path: Path) -> None:
    whole = run_options(clips, tmp_path / "whole", steps=6)
    train(whole)
    # The same schedule, interrupted after three steps.
    part = replace(whole, output=tmp_path / "part")
    interrupt_after(3, part)
    train(replace(part, resume=True))
    assert losses(part.output) == losses(whole.output)
    first, _ = checkpoint.load(whole.output / "weights.safetensors")
    second, _ = checkpoint.load(part.output / "weights.safetensors")
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def interrupt_after(steps: int, wanted: TrainOptions) -> None:
    """Run until Ctrl-C, which comes in the middle of a step."""
    import signal

    from talkhead.training.loop.trainer import Trainer

    learn = Trainer.train_step

    def interrupted(self: Trainer, batch: object, step: int, progress: float) -> object:
        if step == steps - 1:
            signal.raise_signal(signal.SIGINT)
        return learn(self, batch, step, progress)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(wanted)


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = [{here!r}]
import torch
torch.set_num_threads(1)
from talkhead import config
from talkhead.training.options import TrainOptions
from talkhead.training.train import train
from toys import CODEBOOK
config.PRESETS["toy"] = CODEBOOK
train(TrainOptions(data=(Path({clips!r}),), output=Path({out!r}), preset="toy", steps=3,
    batch_size=4, perceptual="none", device="cpu", workers=1, quiet=True, report_steps=1,
    settings=("recipe.adversarial=null", "recipe.learning_rate=1e-3")))
"""


def test_two_processes_learn_what_one_learns(clips: Path, tmp_path: Path) -> None:
    here = Path(__file__).parents[1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    results = []
    for size in (1, 2):
        out = tmp_path / f"run{size}"
        script = SCRIPT.format(here=str(here), clips=str(clips), out=str(out))
        processes = []
        for rank in range(size):
            place = {
                "WORLD_SIZE": str(size),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "LOCAL_WORLD_SIZE": str(size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "PYTHONPATH": str(here.parent),
            }
            command = [sys.executable, "-c", script]
            processes.append(subprocess.Popen(command, env=os.environ | place))
        assert [process.wait(300) for process in processes] == [0] * size
        model, _ = checkpoint.load(out / "weights.safetensors")
        results.append(model.state_dict())
    one, two = results
    learned = [name for name in one if "running_" not in name and "num_batches" not in name]
    begun = torch.cat([one[name].flatten() for name in learned])
    ended = torch.cat([two[name].flatten() for name in learned])
    # Adam turns rounding into steps of full size where a gradient is about zero, so a few numbers
    # may differ by up to three steps; nearly all must agree, to a hundredth of the way they went.
    assert (begun - ended).abs().max() < 3 * 2e-3
    assert (begun - ended).abs().mean() < 0.01 * 3e-3


def test_landmarks_start_the_keypoints(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "marks"
    folder.mkdir()
    write_landmarks(clips, folder)
    wanted = run_options(
        clips,
        tmp_path / "run",
        steps=2,
        landmarks=folder,
        keypoint_steps=3,
        settings=("recipe.adversarial=null", "recipe.landmark_start.keypoint_batch=4"),
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
    settings = ("recipe.adversarial=null", "recipe.augmentation.portrait_pairs=1")
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


def test_a_finished_run_emboldens_its_detector_if_the_recipe_says_so(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    monkeypatch.setattr(run, "rescale_jacobians", lambda model, *_: done.append(model) or [1.0])
    write_landmarks(clips, tmp_path)
    for wish in ("true", "false"):
        settings = ("recipe.adversarial=null", f"recipe.rescale_jacobians={wish}")
        train(run_options(clips, tmp_path / wish, steps=1, landmarks=tmp_path, settings=settings))
    assert len(done) == 1


def test_what_fails_at_the_end_loses_nothing_and_scores_are_of_the_weights_that_are_saved(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_landmarks(clips, tmp_path)
    wanted = run_options(
        clips,
        tmp_path / "run",
        steps=2,
        validate_steps=2,
        landmarks=tmp_path,
        settings=("recipe.adversarial=null", "recipe.rescale_jacobians=true"),
    )

    def fail(*_: object) -> list[float]:
        raise TalkheadError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(run, "rescale_jacobians", fail)
        with pytest.raises(TalkheadError, match="no more"):
            train(wanted)

    _, header = checkpoint.load(wanted.output / "weights.safetensors")
    before = header.provenance.notes["validation"]["l1"]

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


def test_a_finished_run_that_is_resumed_does_not_learn_from_how_it_ended(
    clips: Path, tmp_path: Path
) -> None:
    settings = ("model.blend_source=true", "recipe.adversarial=null", "recipe.sharpen=3")
    wanted = run_options(clips, tmp_path / "run", steps=2, settings=settings)
    train(wanted)
    first, _ = checkpoint.load(wanted.output / "weights.safetensors")
    train(replace(wanted, resume=True))  # nothing is left to learn
    again, _ = checkpoint.load(wanted.output / "weights.safetensors")
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_a_changed_rate_counts_after_resuming(clips: Path, tmp_path: Path) -> None:
    quiet = ("recipe.adversarial.start=1", "recipe.adversarial.base_channels=4")
    wanted = run_options(clips, tmp_path / "run", steps=2, settings=quiet)
    train(wanted)
    still = ("recipe.learning_rate=0", "recipe.keypoint_rate=0", "recipe.ema=0.0")
    train(replace(wanted, steps=4, resume=True, settings=(*quiet, *still)))
    state = torch.load(wanted.output / "state.pt", weights_only=True)
    rates = [g["lr"] for g in state["optimizer"]["param_groups"]]
    assert rates == [0, 0]
    assert [g["lr"] for g in state["discriminator_optimizer"]["param_groups"]] == [0]


def test_more_keypoints_move_almost_as_fewer_did(tmp_path: Path) -> None:
    torch.manual_seed(0)
    few = build(CODEBOOK).eval()
    checkpoint.save(tmp_path / "few.safetensors", few, checkpoint.Provenance("test", "MIT"))
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


def test_steps_after_the_last_checkpoint_are_taken_back_from_the_diary(
    clips: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(run_options(clips, run, steps=3))
    with (run / "losses.jsonl").open("a") as file:  # as if killed in the middle of a line
        file.write('{"step": 4, "seconds": 9.0, "pixel": 0.5}\n{"step": 5, "sec')
    train(run_options(clips, run, steps=5, resume=True))
    assert [line["step"] for line in losses(run)] == [1, 2, 3, 4, 5]
    assert "pixel" in losses(run)[3]
    assert losses(run)[3]["pixel"] != 0.5
    story = json.loads((run / "run.json").read_text())
    assert [each["step"] for each in story["validations"]] == [3, 5]


def test_a_run_that_loses_its_data_saves_before_it_gives_up(clips: Path, tmp_path: Path) -> None:
    from talkhead.training.data.batches import Batches

    whole = Batches.batch

    def gone(self: Batches, step: int) -> object:
        if step == 2:
            raise TalkheadError("20 clips in a row could not be read")
        return whole(self, step)

    wanted = run_options(clips, tmp_path / "run", steps=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "batch", gone)
        with pytest.raises(TalkheadError, match="in a row"):
            train(wanted)
    assert json.loads((wanted.output / "run.json").read_text())["steps_done"] == 2
    outcome = train(replace(wanted, resume=True))
    assert outcome is not None
    assert outcome.steps == 6


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


def test_codes_are_seeded_unless_init_brings_them(clips: Path, tmp_path: Path) -> None:
    still = ("recipe.adversarial=null", "recipe.learning_rate=0", "recipe.keypoint_rate=0")
    without = (*still, "model.motion_codebook.scales=[]", "model.appearance_codebook.scales=[]")
    bare, grown, again = (
        run_options(clips, tmp_path / name, steps=1) for name in ("bare", "grown", "again")
    )
    train(replace(bare, settings=without))
    seeded = (*still, "recipe.seed_codes=true")
    for wanted, init in ((grown, bare), (again, grown)):
        train(replace(wanted, settings=seeded, init=init.output / "weights.safetensors"))
    models = [checkpoint.load(each.output / "weights.safetensors")[0] for each in (grown, again)]
    kept = [model.state_dict() for model in models]
    for name in ("motion.codebook.codes", "appearance.codebook.codes"):
        assert kept[0][name].abs().max() > 2 / len(kept[0][name])  # unseeded ones are within 1 / n
        assert torch.equal(kept[0][name], kept[1][name])


def test_init_takes_what_fits_and_resizes_positions(clips: Path, tmp_path: Path) -> None:
    train(run_options(clips, tmp_path / "small", steps=1))
    weights = tmp_path / "small" / "weights.safetensors"
    outcome = train(
        run_options(
            clips,
            tmp_path / "large",
            steps=1,
            init=weights,
            settings=(
                "model.image_size=128",
                "model.dense_motion.size=32",
                "recipe.adversarial=null",
                "recipe.learning_rate=0",
                "recipe.keypoint_rate=0",
            ),
        )
    )
    assert outcome is not None
    small, _ = checkpoint.load(weights)
    large, _ = checkpoint.load(Path(outcome.weights))
    assert large.state_dict()["motion.position"].shape == (256, 8)
    name = "decoder.out.weight"
    assert torch.equal(small.state_dict()[name], large.state_dict()[name])


def test_init_can_take_a_part_alone(clips: Path, tmp_path: Path) -> None:
    train(run_options(clips, tmp_path / "first", steps=1))
    weights = tmp_path / "first" / "weights.safetensors"
    torch.manual_seed(1)
    model = build(CODEBOOK)
    before = model.decoder.out.weight.clone()
    missing = initialise(model, weights, ("encoder.", "keypoint_detector."))
    first, _ = checkpoint.load(weights)
    assert torch.equal(model.encoder.stem.weight, first.encoder.stem.weight)
    assert torch.equal(model.decoder.out.weight, before)
    assert "decoder.out.weight" in missing
    with pytest.raises(TalkheadError, match=r"no tensor of it fits this model and is of nose"):
        initialise(model, weights, ("nose",))


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
    landmarks = tmp_path / "marks"
    landmarks.mkdir()
    write_landmarks(clips, landmarks)
    options = run_options(clips, tmp_path / "run", steps=1, settings=settings, landmarks=landmarks)
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
