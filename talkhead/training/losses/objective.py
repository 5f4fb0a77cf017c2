"""The training objective: the recipe's loss terms, weighted, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.models import Network
from talkhead.models.grid import identity_grid, warp
from talkhead.structs import Keypoints, TrainOutputs, is_known
from talkhead.topology import (
    HEAD_GROUPS,
    INNER_LIPS,
    LEFT_EYE,
    LEFT_IRIS,
    LIPS_BOTTOM,
    LIPS_TOP,
    LOWER_LIDS,
    LOWER_LIP,
    MOUTH_CORNERS,
    OUTER_LIPS,
    RIGHT_EYE,
    RIGHT_IRIS,
    UPPER_LIDS,
    UPPER_LIP,
)
from talkhead.training.data.batches import Batch
from talkhead.training.data.landmark_teacher import LandmarkTeacher
from talkhead.training.losses import terms as losses
from talkhead.training.losses.equivariance import equivariance
from talkhead.training.losses.mesh_judge import MeshJudge
from talkhead.training.losses.perceptual import EfficientNetDistance, PerceptualPyramid
from talkhead.training.recipes.recipe import LossWeights, Recipe

# What stands in for one unit of perceptual weight when no VGG is at hand: edges and structure at
# several scales, with the weights that worked in our experiments with little data.
SUBSTITUTE = {"pyramid": 10.0, "gradient": 5.0, "dissimilarity": 1.0}

# Terms that compare the image itself: what the adversarial loss is balanced with.
IMAGE_TERMS = ("pixel", "perceptual", *SUBSTITUTE)

MIN_DISTANCE = 0.2  # that keypoints should keep, in half image sides (releases)

# Points whose motion people notice first: lips, eyelids, irises.
NOTICED = (*OUTER_LIPS, *INNER_LIPS, *LEFT_EYE, *RIGHT_EYE, LEFT_IRIS, RIGHT_IRIS)
NOTICED_WEIGHT = 3.0
ATTENDED = (  # centres of `attention_map`
    *(UPPER_LIP, LOWER_LIP, *MOUTH_CORNERS, LIPS_TOP, LIPS_BOTTOM),
    *(UPPER_LIDS[0], LOWER_LIDS[0], UPPER_LIDS[1], LOWER_LIDS[1], LEFT_IRIS, RIGHT_IRIS),
)
# Of a full supervision, in units of the keypoint distance [own experiments].
LANDMARK_SUPERVISION_WEIGHT = 10.0
MOUTH_AROUND, EYES_AROUND = 2.0, 1.4  # sides of their close-ups, over their width
JUDGED = 4  # one of so many pictures is shown to the face mesh: it is slow
DENSE_SHARE = 0.5  # of the landmark flow's weight for the motion before compensation


def keypoint_distance(keypoints: Keypoints, form: str) -> Tensor:
    """Mean over all K x K pairs of how much they are too close, 2 at most.

    "sign" is the releases' 1 - sign(distance - 0.2): no gradient. "hinge" is 2 (1 - distance / 0.2)
    below that distance: the same at the ends, with a gradient between.
    """
    value = keypoints.value
    count = value.shape[1]
    apart = torch.eye(count, device=value.device) * MIN_DISTANCE  # no keypoint has to leave itself
    squared = (value[:, :, None] - value[:, None]).square().sum(-1)
    distance = torch.sqrt(squared + 1e-12) + apart
    if form == "sign":
        return (1 - torch.sign(distance - MIN_DISTANCE)).where(apart == 0, 0.0).mean()
    return (2 * F.relu(1 - distance / MIN_DISTANCE)).mean()


@dataclass(frozen=True)
class Objective:
    """The terms of a recipe.

    perceptual: the VGG pyramid; or the distance in EfficientNet-Lite0, to which `SUBSTITUTE` is
                added; or None: `SUBSTITUTE` alone.
    teacher:    turns landmarks into keypoints, or None without landmarks.
    judge:      compares faces by their meshes, where the recipe asks for it.
    """

    recipe: Recipe
    perceptual: PerceptualPyramid | EfficientNetDistance | None = None
    teacher: LandmarkTeacher | None = None
    judge: MeshJudge | None = None

    def __call__(
        self, model: Network, batch: Batch, outputs: TrainOutputs, progress: float
    ) -> dict[str, Tensor]:
        """Weighted terms by name; `progress` is the share of the run that is done."""
        weights = self.recipe.weights
        terms = self._image_terms(outputs, batch)
        terms |= self._motion_terms(outputs, batch)
        terms |= weighted(weights, outputs.losses)
        if weights.equivariance_value or weights.equivariance_jacobian:
            moved = model.detect(batch.warp.apply(batch.driving))
            terms |= weighted(weights, equivariance(outputs.driving, moved, batch.warp))
        if weights.keypoint_distance:
            form, both = self.recipe.keypoint_distance_form, (outputs.source, outputs.driving)
            apart = keypoint_distance(both[0], form) + keypoint_distance(both[1], form)
            terms["keypoint_distance"] = weights.keypoint_distance * apart
        weight = LANDMARK_SUPERVISION_WEIGHT * self.landmark_supervision_weight(progress)
        if weight and self.teacher is not None and bool(batch.has_landmarks.any()):
            terms["landmark_supervision"] = weight * self._landmark_supervision(outputs, batch)
        return terms

    def _image_terms(self, outputs: TrainOutputs, batch: Batch) -> dict[str, Tensor]:
        """How far the image, and the auxiliary one, are from the driving image."""
        attention, weights = self._attention_of_image(batch), self.recipe.weights
        own = outputs.own_image if weights.own else None
        if own is None:
            terms = self._compare(outputs.image, batch, attention, 1.0)
            judged, factor = outputs.image, 1.0
        else:
            # Networks are slow: they see one of the two images, by coin, with twice the weight.
            sees_own = coin()
            terms = self._compare(outputs.image, batch, attention, 0.0 if sees_own else 2.0)
            if compared := self._compare(own, batch, attention, 2.0 if sees_own else 0.0):
                terms["own"] = weights.own * total(compared)
            judged, factor = (own, 2 * weights.own) if sees_own else (outputs.image, 2.0)
        if self.judge is not None:
            terms |= self._judge_face(self.judge, judged, batch, factor)
        if weights.coarse and outputs.coarse_image is not None:
            seen = 1.0 if own is None else 0.0
            if compared := self._compare(outputs.coarse_image, batch, attention, seen):
                terms["coarse"] = weights.coarse * total(compared)
        return terms

    def _compare(
        self, image: Tensor, batch: Batch, attention: Tensor, network_weight: float
    ) -> dict[str, Tensor]:
        """All terms of an image; `network_weight` is a factor of the perceptual network's."""
        weights, network, target = self.recipe.weights, self.perceptual, batch.driving
        image = image.contiguous()  # pooling takes twice as long where channels are neighbours
        terms: dict[str, Tensor] = {}
        if weights.pixel:
            terms["pixel"] = weights.pixel * (image - target).abs().mean()
        if network is not None and network_weight and weights.perceptual:
            shown = (image, target)
            if coin(self.recipe.close_ups):
                grid = close_up(batch.driving_landmarks, image.shape[-1], coin())
                shown = (warp(image.float(), grid), warp(target, grid))
            terms["perceptual"] = weights.perceptual * (network_weight * network(*shown))
        instead = 0.0 if isinstance(network, PerceptualPyramid) else weights.perceptual
        measures: dict[str, Callable[[], Tensor]] = {
            "pyramid": lambda: losses.pyramid_l1(image, target, attention),
            "gradient": lambda: losses.gradient_l1(image, target, attention),
            "dissimilarity": lambda: losses.dissimilarity(image, target),
        }
        for name, measure in measures.items():
            weight = getattr(weights, name) + instead * SUBSTITUTE[name]
            if weight:
                terms[name] = weight * measure()
        return terms

    def _judge_face(
        self, judge: MeshJudge, image: Tensor, batch: Batch, factor: float
    ) -> dict[str, Tensor]:
        """What the face mesh says of a part of the batch."""
        rows = torch.nonzero(batch.has_landmarks).flatten()[: -(-len(batch) // JUDGED)]
        if not len(rows):
            return {}
        found = judge(image[rows], batch.driving[rows], batch.driving_landmarks[rows])
        return {"face_mesh": self.recipe.weights.face_mesh * factor * found}

    def _motion_terms(self, outputs: TrainOutputs, batch: Batch) -> dict[str, Tensor]:
        """Help for the motion itself."""
        weights, flow, confidence = self.recipe.weights, batch.flow, batch.confidence
        terms: dict[str, Tensor] = {}
        if weights.warped_pyramid:
            attention = self._attention(batch)
            error = losses.pyramid_l1(outputs.warped_source, batch.driving, attention, levels=2)
            terms["warped_pyramid"] = weights.warped_pyramid * error
        if weights.mask_choice:
            terms["mask_choice"] = weights.mask_choice * mask_choice(outputs, batch)
        if flow is not None and confidence is not None:
            if weights.dense_flow:
                error = losses.dense_flow(outputs.motion, flow, confidence)
                terms["dense_flow"] = weights.dense_flow * error
            taught = len(HEAD_GROUPS) if self.recipe.landmark_start else 0
            source, driving = (k.value[:, taught:] for k in (outputs.source, outputs.driving))
            if weights.keypoint_flow and source.shape[1]:
                error = losses.keypoint_flow(source, driving, flow, confidence)
                terms["keypoint_flow"] = weights.keypoint_flow * error
        if weights.landmark_flow and bool(batch.has_landmarks.any()):
            terms["landmark_flow"] = weights.landmark_flow * landmark_flow(outputs, batch)
        return terms

    def _attention(self, batch: Batch) -> Tensor:
        """Weight of every pixel of the driving image, (B, 1, S, S)."""
        size = batch.driving.shape[-1]
        if not self.recipe.attention:
            return batch.driving.new_ones(len(batch.driving), 1, size, size)
        points = batch.driving_landmarks[:, list(ATTENDED)]  # unknown ones are far outside
        return losses.attention_map(points, size, gain=self.recipe.attention)

    def _attention_of_image(self, batch: Batch) -> Tensor:
        """The same with what only a decoder can draw: the warped source has none of it."""
        attention, weight = self._attention(batch), self.recipe.disocclusion_weight
        if not weight or self.recipe.motion_only:
            return attention
        assert self.teacher is not None
        landmarks = batch.source_landmarks, batch.driving_landmarks
        return attention + weight * losses.disocclusion_map(
            *landmarks, self.teacher.triangles, attention.shape[-1]
        )

    def landmark_supervision_weight(self, progress: float) -> float:
        """How strongly landmarks hold the keypoints at this point of the run."""
        start = self.recipe.landmark_start
        if start is None:
            return 0.0
        first, last = start.weights
        share = min(1.0, progress / start.until) if start.until else 1.0
        return first + (last - first) * share

    def _landmark_supervision(self, outputs: TrainOutputs, batch: Batch) -> Tensor:
        assert self.teacher is not None
        known = batch.has_landmarks
        pairs = (
            (outputs.source, batch.source_landmarks),
            (outputs.driving, batch.driving_landmarks),
        )
        distances = [
            losses.landmark_supervision(
                found.map(lambda x: x[known]), self.teacher(landmarks[known])
            )
            for found, landmarks in pairs
        ]
        return (distances[0] + distances[1]) / 2


def landmark_flow(outputs: TrainOutputs, batch: Batch) -> Tensor:
    """Whether the deformation takes landmarks to landmarks, before and after compensation."""
    weight = torch.ones(batch.driving_landmarks.shape[1], device=batch.driving.device)
    weight[list(NOTICED)] = NOTICED_WEIGHT
    landmarks = (batch.source_landmarks, batch.driving_landmarks)
    final = losses.landmark_flow(outputs.motion, *landmarks, weight)
    if outputs.dense.deformation is outputs.motion:
        return final
    return final + DENSE_SHARE * losses.landmark_flow(outputs.dense.deformation, *landmarks, weight)


def mask_choice(outputs: TrainOutputs, batch: Batch) -> Tensor:
    """`losses.mask_choice` at the size of the motion grid."""
    factor = batch.driving.shape[-1] // outputs.dense.mask.shape[-1]
    source, driving = (F.avg_pool2d(x, factor) for x in (batch.source, batch.driving))
    return losses.mask_choice(outputs, source, driving)


def close_up(meshes: Tensor, size: int, mouth: bool) -> Tensor:
    """Where to sample pictures, (B, size, size, 2), to show the mouths, or eyes, of (B, 478, 2).

    Whole pictures where there is no mesh.
    """
    points = meshes[:, list(OUTER_LIPS if mouth else (*LEFT_EYE, *RIGHT_EYE))]
    low, high = points.amin(1), points.amax(1)
    half = (high - low).amax(-1) * (MOUTH_AROUND if mouth else EYES_AROUND) / 2
    seen = is_known(meshes)[:, None]
    middle = torch.where(seen, (low + high) / 2, 0)[:, None, None]
    half = torch.where(seen[:, 0], half, 1)[:, None, None, None]
    return middle + identity_grid(size, size, device=meshes.device) * half


def coin(chance: float = 0.5) -> bool:
    """True or false at random."""
    return bool(torch.rand(()) < chance)


def weighted(weights: LossWeights, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Losses that a model has computed, less those of weight 0."""
    return {name: getattr(weights, name) * x for name, x in found.items() if getattr(weights, name)}


def total(terms: dict[str, Tensor]) -> Tensor:
    """The sum of all terms."""
    return torch.stack(list(terms.values())).sum()
