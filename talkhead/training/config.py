"""How a model is trained: recipes of frozen dataclasses, every number with its source.

Sources: [C] release of the codebook model (CVPR 2025), [M] of MCNet (ICCV 2023) with the flags of
its readme, [F] of FOMM (NeurIPS 2019), [T] of TPSMM (CVPR 2022), [L] our own experiments with
little data. Shares of a run are numbers from 0 to 1, so that they hold for a run of any length.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from talkhead.config import CodebookConfig, KeypointConfig, ModelConfig, TpsmmConfig
from talkhead.errors import TalkheadError
from talkhead.training.landmarks import FREE_STARTS, GROUPS


@dataclass(frozen=True)
class Weights:
    """Weight of every loss term; a term of weight 0 is not computed.

    pixel:        L1 of the image.
    perceptual:   VGG-19 pyramid, per layer and scale; see `objective.SUBSTITUTE` without VGG.
    coarse:       share of the two above for the auxiliary image.
    motion_code, motion_reconstruction, appearance_code: codebooks, summed over scales.
    equivariance_value, equivariance_jacobian: keypoints must follow a random warp.
    keypoint_distance: keypoints must keep apart.
    consistency:  MCNet's memory must resemble the features.
    warp, background: TPSMM's feature warp and background cycle.
    disentangling: of TPSMM's AVD network; any weight trains that network alone.
    pyramid, gradient, dissimilarity: L1 at four scales, of derivatives, 1 - SSIM.
    warped_pyramid: L1 of the source image under the deformation alone.
    landmark_flow:  the deformation must take landmarks to landmarks (needs landmark files).
    mask_choice:  the mask must choose the candidate motion that fits best.
    dense_flow:   the deformation must agree with the optical flow where that is reliable.
    keypoint_flow: keypoints that no landmark teaches must follow that flow.
    """

    pixel: float = 0.0
    perceptual: float = 0.0
    coarse: float = 0.0
    motion_code: float = 0.0
    motion_reconstruction: float = 0.0
    appearance_code: float = 0.0
    equivariance_value: float = 0.0
    equivariance_jacobian: float = 0.0
    keypoint_distance: float = 0.0
    consistency: float = 0.0
    warp: float = 0.0
    background: float = 0.0
    disentangling: float = 0.0
    pyramid: float = 0.0
    gradient: float = 0.0
    dissimilarity: float = 0.0
    warped_pyramid: float = 0.0
    landmark_flow: float = 0.0
    mask_choice: float = 0.0
    dense_flow: float = 0.0
    keypoint_flow: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """Random changes, the same for both frames of a pair.

    flip:     chance to mirror. Time needs none: source and driving are drawn in any order.
    jitter:   largest change of brightness, contrast, saturation and hue, as torchvision has it.
    rotation: largest angle in radians. scale, stretch: standard deviations of their logarithms.
    shift:    standard deviation in half image sides. bend: of thin-plate weights.
    colour, gain, offset, gamma: standard deviations of a random colour matrix, of the logarithm of
              a common factor, of a common offset and of the logarithm of the exponent.
    far_pairs: chance that the driving frame is the more different one (by landmarks) of two.
    expressive_pairs: chance that it is, of eight, the one whose mouth, or whose eyes, are opened
              most differently: closed eyes are rare.
    """

    flip: float = 0.5
    jitter: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    stretch: float = 0.0
    shift: float = 0.0
    bend: float = 0.0
    colour: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    gamma: float = 0.0
    far_pairs: float = 0.0
    expressive_pairs: float = 0.0


@dataclass(frozen=True)
class Adversarial:
    """A loss against a discriminator.

    kind:   "hinge" [C] judges patches, and its weight adapts: it balances the gradients at the
            decoder's last layer with those of the reconstruction, up to `weight`.
            "least_squares" [F] judges patches beside the keypoints, at a constant weight.
    start:  first step of it.
    feature_matching: weight of the distance of the discriminator's features, per block.
    """

    kind: Literal["hinge", "least_squares"] = "hinge"
    start: int = 5001
    weight: float = 0.8
    feature_matching: float = 0.0
    base_channels: int = 64


@dataclass(frozen=True)
class LandmarkStart:
    """Supervision of the keypoints by landmark files; off as published.

    weights: of the tether at the beginning and at the share `until` of the run, linear between;
             nothing after it where the second is 0.
    """

    weights: tuple[float, float] = (1.0, 0.1)
    until: float = 1.0
    keypoint_rate: float = 2e-3  # of the steps that train the detector alone [L]
    keypoint_batch: int = 32


@dataclass(frozen=True)
class Recipe:
    """Objective, optimiser and schedule of a run.

    source:       where the numbers come from.
    steps, epochs: length; an epoch shows every identity `repeats` times.
    batch_size:   pairs per step, over all processes.
    keypoint_rate: learning rate of the keypoint detector.
    schedule:     "steps": x `factor` at the `milestones`; "cosine": down to `final` of the rate.
    ema:          decay of the averaged weights that are saved; 0: save the weights themselves.
    ema_excludes: parameters, by the beginning of their names, that are saved as they are.
    clip:         (beginning of parameter names, largest gradient norm), first match counts.
    clip_norm:    "l2" or "max".
    keypoint_distance_form: "hinge", which can teach, or the releases' "sign", whose gradient is 0.
    perceptual_range: what VGG sees; the codebook release subtracts ImageNet's mean from [-1, 1].
    equivariance_bend: standard deviation of thin-plate weights; `_affine` of the affine part.
    equivariance_kernel: distance inside the thin-plate kernel: "l1" [F, M, C] or "l2" [T].
    attention:    extra weight of pixels at mouth and eyes, where landmarks say where they are.
    seed_codes:   fill the codebooks with encoded data before the first step.
    motion_only:  train detector, dense motion and motion codebook against the warped source.
    """

    source: str
    steps: int | None = None
    epochs: int | None = None
    repeats: int = 75
    batch_size: int = 16
    learning_rate: float = 2e-4
    keypoint_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    schedule: Literal["steps", "cosine"] = "steps"
    milestones: tuple[float, ...] = ()
    factor: float = 0.1
    warmup_steps: int = 0
    final: float = 0.0
    ema: float = 0.0
    ema_excludes: tuple[str, ...] = ()
    clip: tuple[tuple[str, float], ...] = ()
    clip_norm: Literal["l2", "max"] = "l2"
    keypoint_distance_form: Literal["hinge", "sign"] = "hinge"
    perceptual_range: Literal["0..1", "-1..1"] = "0..1"
    equivariance_affine: float = 0.05
    equivariance_bend: float = 0.005
    equivariance_kernel: Literal["l1", "l2"] = "l1"
    attention: float = 0.0
    seed_codes: bool = False
    motion_only: bool = False
    weights: Weights = field(default_factory=Weights)
    augmentation: Augmentation = field(default_factory=Augmentation)
    adversarial: Adversarial | None = None
    landmark_start: LandmarkStart | None = None

    @property
    def needs_flow(self) -> bool:
        """Whether any term compares with the optical flow."""
        return bool(self.weights.dense_flow or self.weights.keypoint_flow)

    def num_steps(self, identities: int) -> int:
        """Length of the run on so many identities."""
        if self.steps is not None:
            return self.steps
        return max(1, (self.epochs or 1) * self.repeats * identities // self.batch_size)


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
    weights=Weights(
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
    weights=Weights(
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
    weights=Weights(perceptual=10.0, equivariance_value=10.0, equivariance_jacobian=10.0),
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
    weights=Weights(perceptual=10.0, equivariance_value=10.0, warp=10.0, background=10.0),
    augmentation=_JITTER,
)

TPSMM_AVD = Recipe(
    source="release of TPSMM, vox-256: 200 epochs; its batch size is not known to us",
    epochs=200,
    repeats=300,
    batch_size=64,
    learning_rate=1e-3,
    milestones=(0.7, 0.9),
    weights=Weights(disentangling=1.0),
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
    weights=Weights(
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


def recipe_for(preset: str, family: str, landmarks: bool) -> Recipe:
    """The recipe of a preset: its family's publication's, or ours for `codebook-lite`.

    With landmark files the lite recipe leans on them for good; the published ones are started by
    them (a tenth of the run) and then released.
    """
    if preset != "codebook-lite":
        recipe = RECIPES[family]
        start = LandmarkStart(weights=(1.0, 0.0), until=0.1)
        return replace(recipe, landmark_start=start) if landmarks else recipe
    if not landmarks:
        return LITE
    return replace(
        LITE,
        landmark_start=LandmarkStart(),
        attention=3.0,
        augmentation=replace(LITE.augmentation, far_pairs=0.5, expressive_pairs=0.4),
        weights=replace(
            LITE.weights, landmark_flow=4.0, equivariance_value=0.0, equivariance_jacobian=0.0
        ),
    )


def check_landmarks(config: ModelConfig) -> None:
    """Whether landmarks can teach the model's keypoints; raises TalkheadError if not."""
    keypoints: KeypointConfig | None = getattr(config, "keypoints", None)
    if keypoints is None:
        raise TalkheadError(
            f"{config.family} has no keypoints that landmarks could teach; leave out --landmarks"
        )
    most = len(GROUPS) + len(FREE_STARTS)
    if not len(GROUPS) <= keypoints.num_keypoints <= most:
        raise TalkheadError(
            f"landmarks teach {len(GROUPS)} keypoints and start {len(FREE_STARTS)} more, the model "
            f"has {keypoints.num_keypoints}; add --set model.keypoints.num_keypoints={len(GROUPS)}"
        )


def check_sizes(config: ModelConfig) -> None:
    """Whether the sizes of a model's parts fit each other; raises TalkheadError if not."""
    dense = config.dense_motion
    parts = {"dense_motion.size": (dense.size, dense.num_blocks)}
    keypoints: KeypointConfig | None = getattr(config, "keypoints", None)
    if keypoints is not None:
        parts["keypoints.input_size"] = (keypoints.input_size, keypoints.num_blocks)
    for name, (size, blocks) in parts.items():
        if size % 2**blocks or config.image_size % size:
            raise TalkheadError(
                f"model.{name}={size} does not fit: it must divide the image size "
                f"{config.image_size} and be a multiple of {2**blocks} ({blocks} blocks halve it)"
            )
    if isinstance(config, CodebookConfig) and config.motion_codebook.scales:
        wanted = 2 * config.token_size
        if dense.size != wanted:
            raise TalkheadError(
                f"with model.image_size={config.image_size} the motion codebook needs "
                f"model.dense_motion.size={wanted}, not {dense.size}"
            )


def check_recipe(recipe: Recipe, config: ModelConfig) -> None:
    """Contradictions between model and recipe, as TalkheadErrors."""
    if recipe.motion_only and not (
        isinstance(config, CodebookConfig) and config.motion_codebook.scales
    ):
        raise TalkheadError("motion_only needs a codebook model with a motion codebook")
    if recipe.weights.disentangling and not (isinstance(config, TpsmmConfig) and config.avd):
        raise TalkheadError(
            "this recipe trains the disentangling network of a tpsmm model: use --preset tpsmm "
            "--set model.avd=true, and --init with the weights of a trained tpsmm"
        )
    adversarial = recipe.adversarial
    if adversarial and adversarial.kind == "hinge" and not isinstance(config, CodebookConfig):
        raise TalkheadError(
            f"{config.family} has no layer at which a hinge loss could be balanced; use "
            "--set recipe.adversarial=null, or --recipe fomm-adversarial"
        )
    if recipe.batch_size < 1:
        raise TalkheadError(f"the batch size must be at least 1, not {recipe.batch_size}")
