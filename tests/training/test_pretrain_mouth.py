"""The painter of mouths is taught alone, by what open mouths of the same people look like."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mouths import parted
from torch import Tensor
from toys import codebook_options, write_landmarks

from talkhead import checkpoint
from talkhead.data.clips import Clip
from talkhead.errors import TalkheadError
from talkhead.models.codebook import CodebookModel
from talkhead.models.mouth import MAPS, SIZE, WARPED, MouthPainter, opened
from talkhead.topology import INNER_LIPS
from talkhead.training import train as run
from talkhead.training.compute import Compute
from talkhead.training.data.frames import ArrayFrames
from talkhead.training.data.library import Library
from talkhead.training.data.pairs import Pairs
from talkhead.training.distributed import ProcessGroup
from talkhead.training.phases import pretrain_mouth
from talkhead.training.phases.pretrain_mouth import LEVELS, Mouths, cut_mouths, teach_mouth
from talkhead.training.plan import plan
from talkhead.training.recipes.recipe import Augmentation
from talkhead.training.train import train

PICTURE = 128
GREEN = (40, 200, 60)


def speaking(face: Tensor, frames: int = 6) -> Library:
    """A grey face whose mouth opens from frame to frame; between its lips all is green."""
    meshes = [parted(face, 0.05 * number)[0].numpy() for number in range(frames)]
    pictures = np.full((frames, PICTURE, PICTURE, 3), 120, np.uint8)
    for picture, mesh in zip(pictures, meshes, strict=True):
        ring = ((mesh[list(INNER_LIPS)] + 1) / 2 * PICTURE).round().astype(np.int32)
        cv2.fillPoly(picture, [ring], GREEN)
    clip = Clip(Path("anna.mp4"), "anna")
    return Library((clip,), (ArrayFrames(pictures),), (np.stack(meshes),), {})


def cut(library: Library, count: int = 12) -> Mouths:
    pairs = Pairs(library, None, Augmentation(expressive_pairs=0.9))
    return cut_mouths(pairs, MouthPainter(), np.random.default_rng(0), count=count)


def test_open_mouths_are_cut_out_beside_what_the_painter_sees(face: Tensor) -> None:
    mouths = cut(speaking(face))
    assert mouths.seen.shape == (12, MAPS.stop, SIZE, SIZE)
    assert mouths.wanted.shape == (12, 3, SIZE, SIZE)
    seen, wanted = mouths.seen.float() / LEVELS, mouths.wanted.float() / LEVELS
    for one, picture in zip(seen, wanted, strict=True):
        inside = one[7] == 1
        assert inside.any()
        colour = (picture[:, inside].median(dim=1).values + 1) * 127.5
        assert torch.allclose(colour, torch.tensor(GREEN).float(), atol=2)


def test_without_an_open_mouth_there_is_one_clear_sentence(face: Tensor) -> None:
    with pytest.raises(TalkheadError, match="no landmarks show an open mouth"):
        cut(speaking(face, frames=1))


def test_a_painter_learns_what_is_behind_lips(
    face: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("BATCH", 4),
        ("WARMUP_STEPS", 5),
        ("REPORT_EVERY", 1),
        ("DISCRIMINATOR_LEARNS_FROM", 50),
        ("ADVERSARIAL_FROM", 55),
    ):
        monkeypatch.setattr(pretrain_mouth, name, value)
    torch.manual_seed(0)
    mouths, painter, errors = cut(speaking(face), 24), MouthPainter(), []
    teach_mouth(
        *(painter, mouths, None, Compute(torch.device("cpu")), ProcessGroup(), 60),
        np.random.default_rng(0),
        lambda done, steps, error: errors.append(error),
    )
    assert np.mean(errors[-10:]) < 0.5 * errors[0]
    seen, wanted = mouths.batch(np.random.default_rng(5), torch.device("cpu"))
    share = opened(seen)
    with torch.no_grad():
        error = ((seen[:, WARPED] + painter(seen) - wanted).abs() * share).sum() / share.sum() / 3
    warped = ((seen[:, WARPED] - wanted).abs() * share).sum() / share.sum() / 3
    assert error < warped


def test_mirrored_and_in_other_light_all_parts_of_a_mouth_stay_together(face: Tensor) -> None:
    mouths = cut(speaking(face))
    seen, wanted = mouths.batch(np.random.default_rng(1), torch.device("cpu"))
    for one, picture in zip(seen, wanted, strict=True):
        inside, beyond = one[7] == 1, one[8] == 0
        assert picture[:, inside].std(dim=1).max() < 0.25  # one colour still, in its place
        skin = (picture[:, beyond] - one[WARPED, beyond]).abs()
        assert skin.median() < 0.03  # the same light in both pictures


def test_steps_for_mouths_need_a_model_that_draws_them(clips: Path, tmp_path: Path) -> None:
    options = codebook_options(clips, tmp_path, mouth_steps=3, landmarks=tmp_path)
    with pytest.raises(TalkheadError, match=r"""--set 'model\.mesh=\{"mouth": true\}'"""):
        plan(options)
    with pytest.raises(TalkheadError, match="--mouth-steps and --portraits need --landmarks"):
        plan(codebook_options(clips, tmp_path, mouth_steps=3))


def test_a_run_teaches_mouths_first_and_leaves_them_alone_then(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("BATCH", 2), ("CUT", 4), ("LEAST_OPEN", -np.inf)):
        monkeypatch.setattr(pretrain_mouth, name, value)
    write_landmarks(clips, tmp_path)
    settings = (
        'model.mesh={"keypoints": false, "motion": false, "maps": false, "mouth": true}',
        "recipe.adversarial=null",
    )
    options = codebook_options(
        clips, tmp_path / "run", *settings, steps=2, landmarks=tmp_path, mouth_steps=2
    )
    taught = []
    monkeypatch.setattr(
        run,
        "teach_mouth",
        lambda painter, *rest: (teach_mouth(painter, *rest), taught.append(state(painter))),
    )
    train(options)
    model, _ = checkpoint.load(tmp_path / "run" / "weights.safetensors")
    assert isinstance(model, CodebookModel)
    assert model.mouth is not None
    (before,) = taught
    assert all(torch.equal(x, before[name]) for name, x in model.mouth.state_dict().items())


def state(painter: MouthPainter) -> dict[str, Tensor]:
    return {name: x.clone() for name, x in painter.state_dict().items()}
