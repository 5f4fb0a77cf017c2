"""Training recipes as frozen dataclasses.

Sources are marked as in `presets`. Shares of a run are numbers from 0 to 1, so that they hold for a
run of any length.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

# Fields as version 0.1 called them: still read in `--set` and in the state of a run.
OLD_NAMES = {
    "embolden": "rescale_jacobians",
    "revealed": "disocclusion_weight",
    "shut": "close_mouth",
    "stills": "portrait_pairs",
}


def current_names(recipe: dict[str, Any]) -> dict[str, Any]:
    """A stored recipe with the names that fields have now."""
    return {
        OLD_NAMES.get(name, name): current_names(value) if isinstance(value, dict) else value
        for name, value in recipe.items()
    }


@dataclass(frozen=True)
class LossWeights:
    """Weight of every loss term; a term of weight 0 is not computed.

    pixel:        L1 of the image.
    perceptual:   VGG-19 pyramid, per layer and scale; without VGG, `objective.SUBSTITUTE` and,
                  where it is at hand, the distance in EfficientNet-Lite0.
    coarse:       share of all image terms for the auxiliary image.
    own:          share of them for the decoder's own picture, where `blend_source` mixes it with
                  the warped source: else nothing asks it to be right where the source is shown.
    face_mesh:    points, openings and gaze that a face mesh sees in the picture, against those it
                  sees in the driving one (needs landmark files, which say where to look).
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
    own: float = 0.0
    face_mesh: float = 0.0
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
    portrait_pairs: chance that a pair is a picture of `--portraits`, and the same with the head
              turned as the source.
    turned: chance that the source of any other pair is turned so. Both need landmarks with depth.
    close_mouth: chance that the mouth, and a little the eyes, of such a source are closed.
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
    portrait_pairs: float = 0.0
    turned: float = 0.0
    close_mouth: float = 0.0


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

    weights: of the landmark supervision at the beginning and at the share `until` of the run,
             linear between; nothing after it where the second is 0.
    """

    weights: tuple[float, float] = (1.0, 0.1)
    until: float = 1.0
    keypoint_rate: float = 2e-3  # of the steps that train the detector alone [L]
    keypoint_batch: int = 32

    @property
    def holds(self) -> bool:
        """Whether keypoints stay landmarks to the end of the run."""
        return self.until >= 1 and self.weights[1] > 0


@dataclass(frozen=True)
class Recipe:
    """Objective, optimiser and schedule of a run.

    source:       where the numbers come from.
    steps, epochs: length; an epoch shows every identity `repeats` times.
    batch_size:   pairs per step, over all processes.
    keypoint_rate: learning rate of the keypoint detector; 0: it stays as it is.
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
    close_ups:    chance that the perceptual network is shown the mouths or the eyes of a batch,
                  enlarged, in place of whole pictures (needs landmark files).
    disocclusion_weight: extra weight of the parts of a face that the source hides, by landmarks.
    mesh_dropout: chance that a pair is shown without its meshes, where the model uses them, and as
                  great a chance that its keypoints do not follow the optical flow.
    detail_ramp:  share of the run over which a model gets used to its `detail_skips`; 0: none.
        Weights that were trained without them go on from there only so.
    learned:      beginnings of the names of the parameters that learn; empty: all do.
    open_occlusion: logit at which occlusion maps begin that no other weights bring, so that
                  features of the source reach the decoder from the start; 0: as they are built.
    seed_codes:   fill the codebooks with encoded data before the first step.
    revive_codes: every `REVIVAL_STEPS`, up to this share of a codebook's codes, those that the
                  batch does not use, are set to encoded data that no code is near to.
    rescale_jacobians: at the end, let jacobians of eyes and mouth vary as far as landmarks say.
    sharpen:      at the end, added to the logit with which `blend_source` shows the warped source.
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
    close_ups: float = 0.0
    disocclusion_weight: float = 0.0
    mesh_dropout: float = 0.1
    detail_ramp: float = 0.0
    learned: tuple[str, ...] = ()
    open_occlusion: float = 0.0
    seed_codes: bool = False
    revive_codes: float = 0.0
    rescale_jacobians: bool = False
    sharpen: float = 0.0
    motion_only: bool = False
    weights: LossWeights = field(default_factory=LossWeights)
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
