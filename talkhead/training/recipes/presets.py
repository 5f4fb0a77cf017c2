"""The published recipes and our own, every number with its source.

Sources: [C] release of the codebook model (CVPR 2025), [M] of MCNet (ICCV 2023) with the flags of
its readme, [F] of FOMM (NeurIPS 2019), [T] of TPSMM (CVPR 2022), [L] our own experiments with
little data.
"""

from __future__ import annotations

from dataclasses import replace

from talkhead.config import ModelConfig
from talkhead.errors import TalkheadError
from talkhead.training.recipes.recipe import (
    Adversarial,
    Augmentation,
    LandmarkStart,
    LossWeights,
    Recipe,
)

# Colour jitter 0.1 of brightness, contrast, saturation and hue [F, M, T].
_JITTER = Augmentation(jitter=0.1)

CODEBOOK = Recipe(
    source="release of the codebook model: 250k steps, 4 GPUs x 4",
    steps=250_000,
    batch_size=16,
    learning_rate=8e-5,
    keypoint_rate=8e-5,
    betas=(0.9, 0.99),
    milestones=(0.8, 0.9),  # steps 200k and 225k
    factor=0.5,
    ema=0.995,
    ema_excludes=("keypoint_detector", "dense_motion"),  # the release averages its generator only
    perceptual_range="-1..1",
    weights=LossWeights(
        pixel=1.0,
        perceptual=1.0,
        coarse=0.5,
        motion_code=1.0,
        motion_reconstruction=32.0,
        appearance_code=1.0,
        equivariance_value=1.0,
        equivariance_jacobian=1.0,
        keypoint_distance=1.0,
    ),
    adversarial=Adversarial(),
)

MCNET = Recipe(
    source="release of MCNet, training command of its readme: 100 epochs, 8 GPUs x 8",
    epochs=100,
    batch_size=64,
    milestones=(0.8,),
    clip=(("keypoint_detector", 10.0), ("", 10.0)),
    weights=LossWeights(
        perceptual=10.0,
        equivariance_value=10.0,
        equivariance_jacobian=10.0,
        keypoint_distance=10.0,
        consistency=10.0,
    ),
    augmentation=_JITTER,
)

FOMM = Recipe(
    source="release of FOMM, vox-256: 100 epochs, batch 40",
    epochs=100,
    batch_size=40,
    milestones=(0.6, 0.9),
    weights=LossWeights(perceptual=10.0, equivariance_value=10.0, equivariance_jacobian=10.0),
    augmentation=_JITTER,
)

FOMM_ADVERSARIAL = replace(
    FOMM,
    source="release of FOMM, vox-adv-256: 150 epochs in all, the first of them better without",
    epochs=150,
    batch_size=36,
    milestones=(),
    adversarial=Adversarial(
        kind="least_squares", start=1, weight=1.0, feature_matching=10.0, base_channels=32
    ),
)

TPSMM = Recipe(
    source="release of TPSMM, vox-256: 100 epochs, batch 28",
    epochs=100,
    batch_size=28,
    weight_decay=1e-4,
    milestones=(0.7, 0.9),
    clip=(("keypoint_detector", 10.0), ("dense_motion", 10.0), ("background", 10.0)),
    clip_norm="max",
    equivariance_kernel="l2",
    weights=LossWeights(perceptual=10.0, equivariance_value=10.0, warp=10.0, background=10.0),
    augmentation=_JITTER,
)

TPSMM_AVD = Recipe(
    source="release of TPSMM, vox-256: 200 epochs; its batch size is not known to us",
    epochs=200,
    repeats=300,
    batch_size=64,
    learning_rate=1e-3,
    milestones=(0.7, 0.9),
    weights=LossWeights(disentangling=1.0),
    augmentation=_JITTER,
)

LITE = Recipe(
    source="own experiments with little data and little compute",
    steps=20_000,
    batch_size=8,
    learning_rate=1e-3,
    keypoint_rate=3e-4,  # gently: the rest depends on where keypoints are
    betas=(0.9, 0.99),
    schedule="cosine",
    warmup_steps=100,
    final=0.02,
    ema=0.998,
    clip=(("keypoint_detector", 1.0), ("", 5.0)),
    seed_codes=True,
    open_occlusion=2.0,
    weights=LossWeights(
        perceptual=0.5,
        coarse=0.5,
        own=0.5,
        pyramid=10.0,
        gradient=5.0,
        dissimilarity=1.0,
        warped_pyramid=5.0,
        mask_choice=10.0,
        dense_flow=2.0,
        keypoint_flow=2.0,
        motion_code=0.1,
        motion_reconstruction=1.0,
        appearance_code=0.1,
        equivariance_value=10.0,
        equivariance_jacobian=10.0,
    ),
    augmentation=Augmentation(
        rotation=0.26,
        scale=0.1,
        stretch=0.04,
        shift=0.06,
        bend=0.002,
        colour=0.06,
        gain=0.15,
        offset=0.04,
        gamma=0.15,
    ),
)

# Those named after a family are its default.
RECIPES: dict[str, Recipe] = {
    "codebook": CODEBOOK,
    "mcnet": MCNET,
    "fomm": FOMM,
    "fomm-adversarial": FOMM_ADVERSARIAL,
    "tpsmm": TPSMM,
    "tpsmm-avd": TPSMM_AVD,
    "lite": LITE,
}


def recipe_named(name: str) -> Recipe:
    """A recipe by name; an unknown name lists the known ones."""
    if name not in RECIPES:
        raise TalkheadError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]


def recipe_for(model: ModelConfig) -> Recipe:
    """The recipe of a model: its publication's, or ours for those that also show the source."""
    return LITE if getattr(model, "blend_source", False) else RECIPES[model.family]


def with_landmarks(recipe: Recipe) -> Recipe:
    """A recipe that is helped by landmark files.

    The lite recipe leans on them for good; the published ones are started by them (a tenth of the
    run) and then released.
    """
    if recipe is not LITE:
        return replace(recipe, landmark_start=LandmarkStart(weights=(1.0, 0.0), until=0.1))
    return replace(
        LITE,
        landmark_start=LandmarkStart(),
        attention=5.0,
        disocclusion_weight=5.0,
        rescale_jacobians=True,
        augmentation=replace(
            LITE.augmentation,
            far_pairs=0.5,
            expressive_pairs=0.4,
            portrait_pairs=0.3,
            turned=0.3,
            close_mouth=0.5,
        ),
        weights=replace(
            LITE.weights,
            face_mesh=1.0,
            landmark_flow=8.0,
            equivariance_value=0.0,
            equivariance_jacobian=0.0,
        ),
    )
