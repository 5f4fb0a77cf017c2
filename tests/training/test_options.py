"""What a run is told: read, filled in and refused before anything is learned."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import pytest
from media import make_clip
from miniatures import mini, mini_config
from toys import codebook_options, run_options

from talkhead import checkpoint
from talkhead.checkpoint import default_weights, read_header
from talkhead.config import FommConfig, has_landmarks
from talkhead.errors import TalkheadError
from talkhead.models import build
from talkhead.training.options import TrainOptions
from talkhead.training.plan import plan
from talkhead.training.recipes.recipe import current_names
from talkhead.training.run_data import inspect_data, landmark_folder
from talkhead.training.train import train


def test_landmarks_help_whichever_way_a_recipe_was_chosen(clips: Path, tmp_path: Path) -> None:
    given = TrainOptions((clips,), tmp_path / "run", landmarks=tmp_path)
    _, by_preset = plan(given)
    _, by_name = plan(replace(given, recipe="lite"))
    assert by_name == by_preset
    assert by_name.attention > 0
    for setting in (
        "recipe.attention=5",
        "recipe.close_ups=0.5",
        "recipe.disocclusion_weight=5",
        "recipe.weights.landmark_flow=8",
        "recipe.rescale_jacobians=true",
    ):
        with pytest.raises(TalkheadError, match="needs --landmarks"):
            plan(replace(given, landmarks=None, settings=(setting,)))


@pytest.mark.parametrize(
    ("preset", "changes", "reason"),
    [
        ("codebook", {"settings": ("recipe.motion_only=true",)}, "adversary"),
        ("codebook", {"settings": ("recipe.sharpen=1",)}, "blend_source=true"),
        ("codebook", {"settings": ("recipe.detail_ramp=0.3",)}, "detail_skips=true"),
        ("tpsmm", {"recipe": "lite"}, "mask_choice"),
        ("codebook-lite", {"settings": ("model.keypoints.num_keypoints=15",)}, "20 entries for 15"),
        ("codebook-lite", {"steps": 0}, "steps must be a whole number, 1 or more"),
        ("codebook-mesh", {"settings": ()}, "model.mesh needs --landmarks"),
        ("codebook-lite", {"settings": ("model.dense_motion.size=0",)}, "size is 0, which is not"),
        ("codebook-lite", {"settings": ("model.dense_motion.size=96",)}, "does not fit"),
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
    with pytest.raises(TalkheadError, match=r"cannot be divided|does not fit"):
        train(codebook_options(clips, tmp_path / "run", setting))


def test_bad_runs_are_refused_in_one_sentence(clips: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(TalkheadError, match="nothing to resume"):
        train(run_options(clips, run, resume=True))
    with pytest.raises(TalkheadError, match=r"no setting model\.chanels"):
        train(run_options(clips, run, settings=("model.chanels=3",)))
    with pytest.raises(TalkheadError, match=r"size is .big., which is not int"):
        train(run_options(clips, run, settings=("model.dense_motion.size=big",)))
    with pytest.raises(TalkheadError, match=r"needs model\.dense_motion\.size=32, not 16"):
        train(codebook_options(clips, run, "model.image_size=128"))
    with pytest.raises(TalkheadError, match=r"model\.working_size=20 does not fit"):
        train(codebook_options(clips, run, "model.working_size=20"))
    deep = ("model.dense_motion.num_blocks=5",)
    with pytest.raises(TalkheadError, match="multiple of 32"):
        train(run_options(clips, run, settings=deep))
    with pytest.raises(TalkheadError, match="need --landmarks"):
        train(run_options(clips, run, keypoint_steps=3))
    with pytest.raises(TalkheadError, match=r"recipe\.augmentation\.turned needs --landmarks"):
        train(run_options(clips, run, settings=("recipe.augmentation.turned=0.5",)))
    with pytest.raises(TalkheadError, match="nope does not exist"):
        train(run_options(tmp_path / "nope", run))
    train(run_options(clips, run, steps=1))
    with pytest.raises(TalkheadError, match="holds a run already"):
        train(run_options(clips, run, steps=1))
    with pytest.raises(TalkheadError, match=r"another model: .*family is fomm there"):
        train(run_options(clips, run, resume=True, preset="toy-splines"))


def test_a_disk_without_room_for_checkpoints_is_noticed_before_training(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(TalkheadError, match=r"room for 0 MB, but checkpoints of this run take"):
        train(run_options(clips, tmp_path / "run"))
    assert not (tmp_path / "run" / "losses.jsonl").exists()


def test_a_perceptual_network_is_refused_where_nothing_uses_it(clips: Path, tmp_path: Path) -> None:
    unused = run_options(clips, tmp_path / "run", vgg=tmp_path / "vgg.pth", perceptual="auto")
    with pytest.raises(TalkheadError, match="no perceptual loss"):
        train(replace(unused, settings=(*unused.settings, "recipe.weights.perceptual=0")))
    with pytest.raises(TalkheadError, match=r"no file .*vgg\.pth"):
        train(unused)


def test_one_identity_is_allowed_and_warned_about(
    clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = run_options(clips, tmp_path / "run", steps=1, exclude=("id00001", "id00002"))
    assert train(alone) is not None
    assert "all clips show one identity" in caplog.text


def test_check_data_counts_and_names_broken_files(clips: Path) -> None:
    (clips / "train" / "id00009#v#0#9.mp4").write_bytes(b"no video at all")
    found = inspect_data(TrainOptions(data=(clips,), output=Path("unused")))
    assert (found.clips, found.identities, found.test_clips) == (3, 3, 1)
    assert found.frames == 18
    assert [Path(path).name for path in found.broken] == ["id00009#v#0#9.mp4"]
    assert json.dumps(asdict(found))


def test_check_data_names_damaged_landmarks(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "id00001#v#000#006.npz").write_bytes(b"no archive")
    found = inspect_data(TrainOptions((clips,), Path("unused"), landmarks=tmp_path))
    assert [Path(path).name for path in found.broken] == ["id00001#v#000#006.mp4"]
    assert found.landmarks == 0


def test_check_data_names_clips_without_a_face(clips: Path) -> None:
    make_clip(clips / "train" / "id00009#v#0#9.mp4", size=(64, 64), audio=False, frames=3)
    found = inspect_data(TrainOptions(data=(clips,), output=Path("unused")))
    assert [Path(path).name for path in found.faceless] == ["id00009#v#0#9.mp4"]
    assert "no face in the first frame: 1 clip, such as" in "\n".join(found.lines())


def test_every_published_recipe_has_its_numbers() -> None:
    _, recipe = plan(TrainOptions(data=(), output=Path("unused"), preset="codebook"))
    assert (recipe.steps, recipe.batch_size, recipe.learning_rate) == (250_000, 16, 8e-5)
    assert recipe.weights.motion_reconstruction == 32
    _, recipe = plan(TrainOptions(data=(), output=Path("unused"), preset="mcnet"))
    assert recipe.num_steps(identities=64) == 100 * 75


def test_weights_say_that_their_keypoints_are_landmarks_where_they_stay_so(tmp_path: Path) -> None:
    given = TrainOptions((tmp_path,), tmp_path / "run", landmarks=tmp_path)
    assert has_landmarks(plan(given)[0])
    assert not has_landmarks(plan(replace(given, landmarks=None))[0])
    assert not has_landmarks(plan(replace(given, preset="codebook"))[0])  # for a tenth of the run
    released = ("recipe.landmark_start.until=0.5",)
    assert not has_landmarks(plan(replace(given, settings=released))[0])


@pytest.mark.parametrize(
    "script", ["train_small.sh", "train_lite.sh", "train_mesh.sh", "train_mouth.sh"]
)
def test_the_settings_of_example_scripts_are_still_accepted(script: str) -> None:
    text = (Path(__file__).parents[2] / "examples" / script).read_text().replace("\\\n", " ")
    commands = [
        shlex.split(line) for line in text.splitlines() if line.startswith("talkhead train")
    ]
    assert commands
    for command in commands:
        given = dict(pairwise(command))
        settings = tuple(value for name, value in pairwise(command) if name == "--set")
        landmarks = Path("marks") if "--landmarks" in command else None
        wanted = TrainOptions(
            (),
            Path("out"),
            preset=given.get("--preset"),
            settings=settings,
            landmarks=landmarks,
            init=default_weights() if given.get("--init") == "$bundled" else None,
            init_parts=("encoder.",) if "--init-part" in command else (),
        )
        build(plan(wanted)[0])


def test_weights_that_a_run_starts_from_say_what_model_it_is(tmp_path: Path) -> None:
    bundled = read_header(default_weights()).config
    given = TrainOptions((), tmp_path / "run", landmarks=tmp_path, init=default_weights())
    found, recipe = plan(given)
    assert found == bundled
    assert recipe == plan(replace(given, init=None))[1]  # ours, not the publication's
    setting = ("model.detail_skips=true",)
    changed, _ = plan(replace(given, settings=setting))
    assert changed == replace(bundled, detail_skips=True)  # type: ignore[type-var]
    # A preset is what it says, and parts of other weights go into one.
    plain, _ = plan(replace(given, init=None))
    assert plan(replace(given, preset="codebook-lite"))[0] == plain
    assert plan(replace(given, init_parts=("encoder.",)))[0] == plain
    with pytest.raises(TalkheadError, match="no weights at"):
        plan(replace(given, init=tmp_path / "nothing.safetensors"))
    with pytest.raises(TalkheadError, match=r"model\.mesh needs --landmarks"):
        plan(replace(given, landmarks=None))


def test_keypoints_that_landmarks_no_longer_hold_are_not_called_so(tmp_path: Path) -> None:
    config = mini_config("fomm")
    assert isinstance(config, FommConfig)
    keypoints = replace(config.keypoints, num_keypoints=15, landmarks=True)
    named = mini(replace(config, keypoints=keypoints))
    path = tmp_path / "named.safetensors"
    checkpoint.save(path, named, checkpoint.Provenance("untrained, for tests", "MIT"))
    given = TrainOptions((), tmp_path / "run", init=path)
    assert not has_landmarks(plan(given)[0])
    assert has_landmarks(plan(replace(given, settings=("recipe.keypoint_rate=0",)))[0])


def test_settings_and_stored_recipes_of_version_0_1_are_still_understood(tmp_path: Path) -> None:
    old = (
        "recipe.embolden=true",
        "recipe.augmentation.stills=0.25",
        "recipe.augmentation.shut=0.5",
    )
    given = TrainOptions((tmp_path,), tmp_path / "run", landmarks=tmp_path, settings=old)
    _, recipe = plan(given)
    assert recipe.rescale_jacobians
    assert recipe.augmentation.portrait_pairs == 0.25
    assert recipe.augmentation.close_mouth == 0.5
    stored = {"embolden": True, "revealed": 5.0, "augmentation": {"stills": 0.3, "flip": 0.5}}
    assert current_names(stored) == {
        "rescale_jacobians": True,
        "disocclusion_weight": 5.0,
        "augmentation": {"portrait_pairs": 0.3, "flip": 0.5},
    }


@pytest.mark.parametrize("name", ["file.npz", "missing"])
def test_landmarks_are_in_a_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "file.npz").write_bytes(b"PK")
    with pytest.raises(TalkheadError, match="--landmarks takes a folder"):
        landmark_folder(TrainOptions(data=(tmp_path,), landmarks=tmp_path / name))
