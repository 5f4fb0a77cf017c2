"""The landmark start: pictures and meshes teach the keypoint detector, and only that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toys import CODEBOOK, SIZE, film, mesh, toy_library

from talkhead.errors import TalkheadError
from talkhead.models import build
from talkhead.training.compute import Compute
from talkhead.training.data.batches import Batches
from talkhead.training.data.landmark_teacher import fit_teacher, mirror_order
from talkhead.training.data.library import with_landmarks_only
from talkhead.training.data.portraits import load_portraits
from talkhead.training.distributed import ProcessGroup
from talkhead.training.phases.pretrain_keypoints import keypoint_recipe, teach_keypoints
from talkhead.training.recipes.recipe import Recipe


def test_only_the_detector_is_taught_and_it_learns() -> None:
    library = toy_library(landmarks=True)
    teacher = fit_teacher(library)
    recipe = keypoint_recipe(Recipe("test"), batch_size=8)
    assert recipe.batch_size == 4  # two pictures per pair
    mirror = mirror_order(teacher.offsets)
    batches = Batches(library, recipe, size=SIZE, seed=0, mirror=mirror)
    torch.manual_seed(0)
    model = build(CODEBOOK).train()
    before = {name: p.clone() for name, p in model.named_parameters()}
    errors: list[float] = []
    compute = Compute(torch.device("cpu"))

    def report(done: int, steps: int, value: float, jacobian: float) -> None:
        errors.append(value)

    for _ in range(2):  # the first report comes after 20 steps
        teach_keypoints(model, teacher, batches, compute, ProcessGroup(), 20, 5e-3, report)
    assert errors[-1] < 0.8 * errors[0]
    changed = {
        n.split(".")[0] for n, p in model.named_parameters() if not torch.equal(p, before[n])
    }
    assert changed == {"keypoint_detector"}


def test_portraits_come_with_meshes_of_their_own_or_in_one_file(tmp_path: Path) -> None:
    pictures, landmarks = tmp_path / "pictures", tmp_path / "marks"
    pictures.mkdir()
    landmarks.mkdir()
    for name in ("anna", "bert", "carl"):
        Image.fromarray(film(0, 1)[0]).save(pictures / f"{name}.png")
    points = (mesh(2) + 1) * (SIZE / 2)
    np.savez(landmarks / "portraits.npz", names=np.array(["anna", "bert"]), points=points)
    library = load_portraits(pictures, landmarks, SIZE)
    assert len(library.frames[0]) == 2  # carl has no landmarks
    np.savez(landmarks / "carl.npz", points=points[:1])
    library = load_portraits(pictures, landmarks, SIZE)
    assert len(library.frames[0]) == 3
    assert library.landmarks[0] is not None
    assert np.allclose(library.landmarks[0][2], mesh(2)[0], atol=1e-5)
    assert library.landmarks[0].shape[-1] == 2
    deep = np.concatenate([points, np.full((2, 478, 1), SIZE / 2)], axis=-1)
    np.savez(landmarks / "portraits.npz", names=np.array(["anna", "bert"]), points=deep)
    library = load_portraits(pictures, landmarks, SIZE)
    assert library.landmarks[0] is not None
    assert library.landmarks[0].shape == (3, 478, 2)  # one of them has no depth
    deep[1, 7] = np.nan
    np.savez(landmarks / "portraits.npz", names=np.array(["bert", "anna"]), points=deep)
    (landmarks / "carl.npz").unlink()
    with pytest.raises(TalkheadError, match="fewer than two pictures with landmarks"):
        load_portraits(pictures, landmarks, SIZE)  # no face was found in one of the two
    both = with_landmarks_only(toy_library(2), library)
    assert len(both.clips) == 1  # clips without landmarks teach no keypoints


def test_without_any_landmarks_there_is_no_teacher() -> None:
    with pytest.raises(TalkheadError, match="no clip has landmarks"):
        fit_teacher(toy_library())
