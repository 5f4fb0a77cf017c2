"""Whole runs at toy size: they resume exactly, share work exactly, and leave weights that draw."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import CODEBOOK, SIZE, TPSMM, mesh, write_clips

from talkhead import checkpoint, config
from talkhead.engine import Engine
from talkhead.errors import TalkheadError
from talkhead.models import build
from talkhead.training import run
from talkhead.training.options import TrainOptions, plan
from talkhead.training.run import inspect_data, train
from talkhead.training.state import initialise


@pytest.fixture(autouse=True)
def _toy_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config.PRESETS, "toy", CODEBOOK)
    monkeypatch.setitem(config.PRESETS, "toy-splines", TPSMM)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    return write_clips(tmp_path / "clips")


def options(clips: Path, out: Path, **changes: object) -> TrainOptions:
    few = TrainOptions(
        data=(clips,),
        out=out,
        preset="toy",
        steps=4,
        batch_size=2,
        device="cpu",
        workers=1,
        quiet=True,
        report_steps=1,
        settings=("recipe.adversarial.start=2", "recipe.adversarial.base_channels=4"),
    )
    return replace(few, **changes)  # type: ignore[arg-type]


def write_marks(clips: Path, folder: Path) -> None:
    """Landmarks of every training clip, in pixels."""
    for path in (clips / "train").iterdir():
        np.savez(folder / f"{path.stem}.npz", points=(mesh() + 1) * (SIZE / 2))


def losses(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def test_weights_of_a_run_draw_pictures_and_say_where_they_come_from(
    clips: Path, tmp_path: Path
) -> None:
    outcome = train(options(clips, tmp_path / "run", steps=2))
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


def test_a_resumed_run_goes_on_bit_for_bit(clips: Path, tmp_path: Path) -> None:
    whole = options(clips, tmp_path / "whole", steps=6)
    train(whole)
    # The same schedule, interrupted after three steps.
    part = replace(whole, out=tmp_path / "part")
    interrupt_after(3, part)
    train(replace(part, resume=True))
    assert losses(part.out) == losses(whole.out)
    first, _ = checkpoint.load(whole.out / "weights.safetensors")
    second, _ = checkpoint.load(part.out / "weights.safetensors")
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def interrupt_after(steps: int, wanted: TrainOptions) -> None:
    """Run until Ctrl-C, which comes in the middle of a step."""
    import signal

    from talkhead.training.learner import Learner

    learn = Learner.learn

    def interrupted(self: Learner, batch: object, step: int, progress: float) -> object:
        if step == steps - 1:
            signal.raise_signal(signal.SIGINT)
        return learn(self, batch, step, progress)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "learn", interrupted)
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
from talkhead.training.run import train
from toys import CODEBOOK
config.PRESETS["toy"] = CODEBOOK
train(TrainOptions(data=(Path({clips!r}),), out=Path({out!r}), preset="toy", steps=3, batch_size=4,
    device="cpu", workers=1, quiet=True, report_steps=1,
    settings=("recipe.adversarial=null", "recipe.learning_rate=1e-3")))
"""


def test_two_processes_learn_what_one_learns(clips: Path, tmp_path: Path) -> None:
    here = Path(__file__).parent
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
    write_marks(clips, folder)
    wanted = options(
        clips,
        tmp_path / "run",
        steps=2,
        landmarks=folder,
        keypoint_steps=3,
        settings=("recipe.adversarial=null", "recipe.landmark_start.keypoint_batch=4"),
    )
    train(wanted)
    first, last = losses(wanted.out)
    assert first["tether"] > 0
    assert "tether" not in last  # released after a tenth of the run


def test_a_finished_run_emboldens_its_detector_if_the_recipe_says_so(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    monkeypatch.setattr(run, "embolden", lambda model, *_: done.append(model) or [1.0])
    write_marks(clips, tmp_path)
    for wish in ("true", "false"):
        settings = ("recipe.adversarial=null", f"recipe.embolden={wish}")
        train(options(clips, tmp_path / wish, steps=1, landmarks=tmp_path, settings=settings))
    assert len(done) == 1


def test_what_fails_at_the_end_loses_nothing_and_scores_are_of_the_weights_that_are_saved(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_marks(clips, tmp_path)
    wanted = options(
        clips,
        tmp_path / "run",
        steps=2,
        validate_steps=2,
        landmarks=tmp_path,
        settings=("recipe.adversarial=null", "recipe.embolden=true"),
    )

    def fail(*_: object) -> list[float]:
        raise TalkheadError("no more")

    with monkeypatch.context() as patch:
        patch.setattr(run, "embolden", fail)
        with pytest.raises(TalkheadError, match="no more"):
            train(wanted)

    _, header = checkpoint.load(wanted.out / "weights.safetensors")
    before = header.provenance.notes["validation"]["l1"]

    def change(model: torch.nn.Module, *_: object) -> list[float]:
        for parameter in model.parameters():
            parameter.mul_(0.5)
        return [1.0]

    monkeypatch.setattr(run, "embolden", change)
    outcome = train(replace(wanted, resume=True))
    assert outcome is not None
    assert outcome.steps == 2  # all had been kept
    _, header = checkpoint.load(Path(outcome.weights))
    assert outcome.score is not None
    assert header.provenance.notes["validation"]["l1"] == outcome.score.l1 != before


def test_a_changed_rate_counts_after_resuming(clips: Path, tmp_path: Path) -> None:
    quiet = ("recipe.adversarial.start=1", "recipe.adversarial.base_channels=4")
    wanted = options(clips, tmp_path / "run", steps=2, settings=quiet)
    train(wanted)
    still = ("recipe.learning_rate=0", "recipe.keypoint_rate=0", "recipe.ema=0.0")
    train(replace(wanted, steps=4, resume=True, settings=(*quiet, *still)))
    state = torch.load(wanted.out / "state.pt", weights_only=True)
    rates = [g["lr"] for g in state["optimizer"]["param_groups"]]
    assert rates == [0, 0]
    assert [g["lr"] for g in state["discriminator_optimizer"]["param_groups"]] == [0]


def test_landmarks_help_whichever_way_a_recipe_was_chosen(clips: Path, tmp_path: Path) -> None:
    given = TrainOptions((clips,), tmp_path / "run", landmarks=tmp_path)
    _, by_preset = plan(given)
    _, by_name = plan(replace(given, recipe="lite"))
    assert by_name == by_preset
    assert by_name.attention > 0
    for setting in ("recipe.attention=5", "recipe.weights.landmark_flow=8", "recipe.embolden=true"):
        with pytest.raises(TalkheadError, match="needs --landmarks"):
            plan(replace(given, landmarks=None, settings=(setting,)))


@pytest.mark.parametrize(
    ("preset", "changes", "reason"),
    [
        ("codebook", {"settings": ("recipe.motion_only=true",)}, "adversary"),
        ("tpsmm", {"recipe": "lite"}, "mask_choice"),
        ("codebook-lite", {"settings": ("model.keypoints.num_keypoints=15",)}, "20 entries for 15"),
        ("codebook-lite", {"steps": 0}, "steps must be at least 1"),
        ("codebook-lite", {"settings": ("model.dense_motion.size=0",)}, "does not fit"),
        ("codebook", {"settings": ('model.family="fomm"',)}, "which is not"),
    ],
)
def test_contradictions_are_refused_before_anything_is_read(
    preset: str, changes: dict[str, object], reason: str, tmp_path: Path
) -> None:
    given = TrainOptions((tmp_path,), tmp_path / "run", preset=preset)
    with pytest.raises(TalkheadError, match=reason):
        plan(replace(given, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", ["model.norm_groups=7", "model.motion_codebook.scales=[7]"])
def test_sizes_that_cannot_be_built_are_one_sentence(
    setting: str, clips: Path, tmp_path: Path
) -> None:
    with pytest.raises(TalkheadError, match="cannot be built"):
        train(options(clips, tmp_path / "run", settings=(setting,)))


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


def test_bad_runs_are_refused_in_one_sentence(clips: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(TalkheadError, match="nothing to resume"):
        train(options(clips, run, resume=True))
    with pytest.raises(TalkheadError, match=r"no setting model\.chanels"):
        train(options(clips, run, settings=("model.chanels=3",)))
    with pytest.raises(TalkheadError, match=r"size is .big., which is not int"):
        train(options(clips, run, settings=("model.dense_motion.size=big",)))
    with pytest.raises(TalkheadError, match=r"needs model\.dense_motion\.size=32, not 16"):
        train(options(clips, run, settings=("model.image_size=128",)))
    with pytest.raises(TalkheadError, match=r"model\.working_size=20 does not fit"):
        train(options(clips, run, settings=("model.working_size=20",)))
    deep = ("model.dense_motion.num_blocks=5",)
    with pytest.raises(TalkheadError, match="multiple of 32"):
        train(options(clips, run, settings=deep))
    with pytest.raises(TalkheadError, match="need --landmarks"):
        train(options(clips, run, keypoint_steps=3))
    with pytest.raises(TalkheadError, match="nope does not exist"):
        train(options(tmp_path / "nope", run))
    train(options(clips, run, steps=1))
    with pytest.raises(TalkheadError, match="holds a run already"):
        train(options(clips, run, steps=1))
    with pytest.raises(TalkheadError, match=r"another model: .*family is codebook there"):
        train(options(clips, run, resume=True, preset="toy-splines", settings=()))


def test_overwriting_keeps_the_old_run_until_the_new_one_can_begin(
    clips: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(options(clips, run, steps=1))
    kept = (run / "state.pt").read_bytes()
    (tmp_path / "nothing").mkdir()
    with pytest.raises(TalkheadError, match="no clips in"):
        train(options(tmp_path / "nothing", run, overwrite=True))
    assert (run / "state.pt").read_bytes() == kept
    assert train(options(clips, run, steps=2, overwrite=True)) is not None
    assert [line["step"] for line in losses(run)] == [1, 2]


def test_steps_after_the_last_checkpoint_are_taken_back_from_the_diary(
    clips: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(options(clips, run, steps=3))
    with (run / "losses.jsonl").open("a") as file:  # as if killed in the middle of a line
        file.write('{"step": 4, "seconds": 9.0, "pixel": 0.5}\n{"step": 5, "sec')
    train(options(clips, run, steps=5, resume=True))
    assert [line["step"] for line in losses(run)] == [1, 2, 3, 4, 5]
    assert "pixel" in losses(run)[3]
    assert losses(run)[3]["pixel"] != 0.5
    story = json.loads((run / "run.json").read_text())
    assert [each["step"] for each in story["validations"]] == [3, 5]


def test_a_run_that_loses_its_data_saves_before_it_gives_up(clips: Path, tmp_path: Path) -> None:
    from talkhead.training.batches import Batches

    whole = Batches.batch

    def gone(self: Batches, step: int) -> object:
        if step == 2:
            raise TalkheadError("20 clips in a row could not be read")
        return whole(self, step)

    wanted = options(clips, tmp_path / "run", steps=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "batch", gone)
        with pytest.raises(TalkheadError, match="in a row"):
            train(wanted)
    assert json.loads((wanted.out / "run.json").read_text())["steps_done"] == 2
    outcome = train(replace(wanted, resume=True))
    assert outcome is not None
    assert outcome.steps == 6


def test_a_disk_without_room_for_checkpoints_is_noticed_before_training(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(TalkheadError, match=r"room for 0 MB, but checkpoints of this run take"):
        train(options(clips, tmp_path / "run"))
    assert not (tmp_path / "run" / "losses.jsonl").exists()


def test_a_perceptual_network_is_refused_where_nothing_uses_it(clips: Path, tmp_path: Path) -> None:
    unused = options(clips, tmp_path / "run", vgg=tmp_path / "vgg.pth")
    with pytest.raises(TalkheadError, match="no perceptual loss"):
        train(replace(unused, settings=(*unused.settings, "recipe.weights.perceptual=0")))
    with pytest.raises(TalkheadError, match=r"no file .*vgg\.pth"):
        train(unused)


def test_a_full_disk_is_said_and_the_checkpoint_before_is_kept(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    train(options(clips, run, steps=1))
    before = (run / "state.pt").read_bytes()

    def full(content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TalkheadError, match="the checkpoint before is untouched"):
        train(options(clips, run, steps=2, resume=True))
    assert (run / "state.pt").read_bytes() == before
    assert not list(run.glob(".*part"))


def test_init_takes_what_fits_and_resizes_positions(clips: Path, tmp_path: Path) -> None:
    train(options(clips, tmp_path / "small", steps=1))
    weights = tmp_path / "small" / "weights.safetensors"
    outcome = train(
        options(
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


def test_one_identity_is_allowed_and_warned_about(
    clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = options(clips, tmp_path / "run", steps=1, exclude=("id00001", "id00002"))
    assert train(alone) is not None
    assert "all clips show one identity" in caplog.text


def test_check_data_counts_and_names_broken_files(clips: Path) -> None:
    (clips / "train" / "id00009#v#0#9.mp4").write_bytes(b"no video at all")
    found = inspect_data(TrainOptions(data=(clips,), out=Path("unused")))
    assert (found.clips, found.identities, found.test_clips) == (3, 3, 1)
    assert found.frames == 18
    assert [Path(path).name for path in found.broken] == ["id00009#v#0#9.mp4"]
    assert json.dumps(asdict(found))


def test_every_published_recipe_has_its_numbers() -> None:
    _, recipe = plan(TrainOptions(data=(), out=Path("unused"), preset="codebook"))
    assert (recipe.steps, recipe.batch_size, recipe.learning_rate) == (250_000, 16, 8e-5)
    assert recipe.weights.motion_reconstruction == 32
    _, recipe = plan(TrainOptions(data=(), out=Path("unused"), preset="mcnet"))
    assert recipe.num_steps(identities=64) == 100 * 75


@pytest.mark.parametrize("script", ["train_small.sh", "train_lite.sh"])
def test_the_settings_of_example_scripts_are_still_accepted(script: str) -> None:
    text = (Path(__file__).parent.parent / "examples" / script).read_text().replace("\\\n", " ")
    commands = [
        shlex.split(line) for line in text.splitlines() if line.startswith("talkhead train")
    ]
    assert commands
    for command in commands:
        given = dict(pairwise(command))
        settings = tuple(value for name, value in pairwise(command) if name == "--set")
        landmarks = Path("marks") if "--landmarks" in command else None
        preset = given.get("--preset", "codebook-lite")
        wanted = TrainOptions(
            (), Path("out"), preset=preset, settings=settings, landmarks=landmarks
        )
        build(plan(wanted)[0])
