"""Clips and runs for tests of training, and the miniature models that they train."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from media import make_clip
from miniatures import FAMILIES, mini_config

from talkhead.config import CodebookConfig, ModelConfig, TpsmmConfig
from talkhead.data.clips import Clip
from talkhead.training.data.batches import Batch, Batches
from talkhead.training.data.frames import ArrayFrames
from talkhead.training.data.library import Library
from talkhead.training.options import TrainOptions
from talkhead.training.recipes.recipe import Recipe

SIZE = 64


def trainable(family: str) -> ModelConfig:
    """The miniature with as many keypoints as landmarks teach, where they teach any."""
    config = mini_config(family)
    if isinstance(config, CodebookConfig):  # in few dimensions a random encoder uses few codes
        few = replace(config.appearance_codebook, dim=8)
        config = replace(config, appearance_codebook=few)
    if isinstance(config, TpsmmConfig):
        return config
    return replace(config, keypoints=replace(config.keypoints, num_keypoints=15))


MODELS = {family: trainable(family) for family in FAMILIES}
CODEBOOK = MODELS["codebook"]
# Runs whose model does not matter take "toy", which learns three times as fast as the codebooks.
PRESETS = {"toy": MODELS["fomm"], "toy-codebook": CODEBOOK, "toy-splines": MODELS["tpsmm"]}


def face(x: float, y: float, tint: int, size: int = SIZE) -> np.ndarray:
    """uint8 (S, S, 3): a round face with eyes and a mouth on a plain ground."""
    picture = np.full((size, size, 3), (40, 60, 90 + tint % 60), np.uint8)
    centre = np.array([x, y]) * size
    skin = (200, 150 - tint % 50, 120)
    cv2.circle(picture, tuple(int(v) for v in centre), size // 4, skin, -1)
    for side in (-1, 1):
        eye = centre + np.array([side * 0.1, -0.06]) * size
        cv2.circle(picture, tuple(int(v) for v in eye), size // 20, (20, 20, 20), -1)
    mouth = centre + np.array([0, 0.1]) * size
    cv2.circle(picture, tuple(int(v) for v in mouth), size // 16, (150, 40, 50), -1)
    return cv2.blur(picture, (3, 3))


def film(tint: int, frames: int = 6) -> np.ndarray:
    """uint8 (F, S, S, 3): a face that moves to the right."""
    return np.stack([face(0.4 + 0.2 * i / frames, 0.5, tint) for i in range(frames)])


def mesh(frames: int = 6, seed: int = 0) -> np.ndarray:
    """Landmarks float32 (F, 478, 2), -1 and 1 at the edges, that move with `film`."""
    points = np.random.default_rng(seed).uniform(-0.4, 0.4, (478, 2))
    points[10], points[152] = (0, -0.45), (0, 0.45)  # the height of the face
    moved = [points + np.array([-0.2 + 0.4 * i / frames, 0.0]) for i in range(frames)]
    return np.stack(moved).astype(np.float32)


def toy_library(clips: int = 3, *, landmarks: bool = False) -> Library:
    """Clips in memory, one per identity."""
    return Library(
        tuple(Clip(Path(f"id{i}.mp4"), f"id{i}") for i in range(clips)),
        tuple(ArrayFrames(film(40 * i)) for i in range(clips)),
        tuple(mesh() if landmarks else None for _ in range(clips)),
        {},
    )


def toy_batch(recipe: Recipe, *, landmarks: bool = False, flow: bool = False) -> Batch:
    """The first batch of a toy library."""
    batches = Batches(
        toy_library(landmarks=landmarks), recipe, size=SIZE, seed=0, flow_size=16 if flow else None
    )
    return batches.batch(0)


def write_clips(folder: Path, identities: int = 3) -> Path:
    """Clips on disk in the VoxCeleb layout: train/ and one identity in test/."""
    for i in range(identities + 1):
        part = folder / ("test" if i == identities else "train")
        part.mkdir(parents=True, exist_ok=True)
        path = part / f"id{i:05d}#v#000#006.mp4"
        make_clip(path, size=(SIZE, SIZE), audio=False, pictures=list(film(40 * i)), frames=6)
    return folder


def write_landmarks(clips: Path, folder: Path) -> None:
    """Landmarks of every training clip of `write_clips`, in pixels."""
    for path in (clips / "train").iterdir():
        np.savez(folder / f"{path.stem}.npz", points=(mesh() + 1) * (SIZE / 2))


def run_options(clips: Path, out: Path, **changes: object) -> TrainOptions:
    """Of a short run that any machine can do."""
    few = TrainOptions(
        data=(clips,),
        output=out,
        preset="toy",
        steps=2,
        batch_size=2,
        device="cpu",
        workers=1,
        quiet=True,
        perceptual="none",  # the same on every machine, and quick
        report_steps=1,
    )
    return replace(few, **changes)  # type: ignore[arg-type]


def codebook_options(clips: Path, out: Path, *settings: str, **changes: object) -> TrainOptions:
    """The same for the model with codebooks, without an adversary unless settings bring one."""
    settings = settings or ("recipe.adversarial=null",)
    return run_options(clips, out, preset="toy-codebook", settings=settings, **changes)


def losses(run: Path) -> list[dict[str, float]]:
    """What a run reported of every step, without the seconds."""
    lines = [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]
