"""Intermediate activations of a model for one source and driving frame.

Everything is numpy, float32, of one frame. Flows and grids point backwards, as in the models: for a
pixel of the result, where in the source to look, in units in which the picture is 2 wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from talkhead.faces.crop_mesh import CropMesh
from talkhead.inference.engine import EncodedSource, Engine
from talkhead.models import Network
from talkhead.models.codebook import CodebookModel
from talkhead.models.grid import displacement
from talkhead.models.memory import FaceMemory
from talkhead.models.quantizer import Codebook
from talkhead.structs import DenseMotion, Keypoints, Quantized, ScaleStep, SourceState


@dataclass(frozen=True)
class Portrait:
    """A picture uint8 (S, S, 3) and the keypoints that belong to it, a batch of one.

    mesh: (478, 2) in pixels, what the face mesh sees in it; NaN where it sees no face.
    """

    picture: np.ndarray
    keypoints: Keypoints
    mesh: np.ndarray


@dataclass(frozen=True)
class FlowStep:
    """Motion compensation at the scale of `size` px features; flows (h, w, 2).

    before, after: the flow that entered and that left; residual: what was added.
    decoded:       the flow that stands for `before` once its codes are quantised.
    """

    size: int
    before: np.ndarray
    residual: np.ndarray
    after: np.ndarray
    decoded: np.ndarray


@dataclass(frozen=True)
class FeatureStep:
    """Features (C, S, S) of one scale: warped and occluded, and compensated, if they were."""

    size: int
    warped: np.ndarray
    compensated: np.ndarray | None

    @classmethod
    def of(cls, warped: Tensor, compensated: Tensor | None) -> FeatureStep:
        """From batches of one."""
        after = None if compensated is None else plain(compensated)
        return cls(warped.shape[-1], plain(warped), after)

    @property
    def maps(self) -> list[np.ndarray]:
        """All that there are."""
        return [each for each in (self.warped, self.compensated) if each is not None]


@dataclass(frozen=True)
class CodeUse:
    """The codes nearest to the tokens of one scale.

    kind:    "motion" or "appearance".
    indices: int (t, t), the code of each token; allocated: how many codes the scale may use.
    """

    kind: str
    size: int
    indices: np.ndarray
    allocated: int

    @property
    def counts(self) -> np.ndarray:
        """How many tokens each allocated code stands for."""
        return np.bincount(self.indices.ravel(), minlength=self.allocated)


@dataclass(frozen=True)
class MemoryUse:
    """The memory bank (D, m, m), and what conditioning made of it for each feature size."""

    bank: np.ndarray
    conditioned: dict[int, np.ndarray]


@dataclass(frozen=True)
class FamilyActivations:
    """What a family computes beyond dense motion."""

    motion: np.ndarray
    occlusions: dict[str, np.ndarray]
    features: tuple[FeatureStep, ...]
    flows: tuple[FlowStep, ...] = ()
    codes: tuple[CodeUse, ...] = ()
    memory: MemoryUse | None = None


@dataclass(frozen=True)
class Activations:
    """One driving frame, from keypoints to the result.

    source, driving: the inputs with the keypoints found in them.
    result:        the picture drawn, with the keypoints it was drawn from.
    deformation:   (h, w, 2), the grid before any compensation.
    candidates:    (n, h, w, 2), the motions it was blended from: background first, then affine ones
                   or splines, the mesh's last.
    contributions: (n, h, w), their weights.
    large:         the picture with the source's detail, uint8 (T, T, 3); None where the result has
                   the model's size.
    inside:        what followed. `inside.motion` (h, w, 2) is the grid that was drawn with.
    """

    source: Portrait
    driving: Portrait
    result: Portrait
    deformation: np.ndarray
    candidates: np.ndarray
    contributions: np.ndarray
    inside: FamilyActivations = field(repr=False)
    large: np.ndarray | None = None


@torch.inference_mode()
def dissect(
    engine: Engine,
    source: EncodedSource,
    driving: np.ndarray,
    found: Keypoints,
    moved: Keypoints,
    mesh: CropMesh,
) -> Activations:
    """Look at one driving picture, whose keypoints `found` were transferred to `moved`."""
    model, state = engine.model, source.state
    drawn = moved.map(lambda tensor: tensor.to(engine.device))
    if isinstance(model, CodebookModel):
        drawn = model.read_mesh(drawn, drawn.mesh)
    dense = model.dense_motion(state.small, state.keypoints, drawn)
    size = (state.small.shape[-2], state.small.shape[-1])
    result = engine.render(EncodedSource(source.picture, state, source.picture), moved)[0]
    meshes = mesh(np.stack([source.picture, driving, result]))[..., :2]
    return Activations(
        source=Portrait(source.picture, source.keypoints, meshes[0]),
        driving=Portrait(driving, found, meshes[1]),
        result=Portrait(result, moved, meshes[2]),
        deformation=plain(dense.deformation),
        candidates=plain(model.dense_motion.candidates(state.keypoints, drawn, size)),
        contributions=plain(dense.mask),
        inside=look_inside(model, state, dense, drawn, engine.to_tensor([driving])),
        large=engine.render(source, moved)[0] if source.detail is not None else None,
    )


def plain(tensor: Tensor) -> np.ndarray:
    """The only item of a batch."""
    return tensor[0].float().cpu().numpy()


def look_inside(
    model: Network, state: SourceState, dense: DenseMotion, drawn: Keypoints, driving: Tensor
) -> FamilyActivations:
    """`drawn`: keypoints that are drawn; `driving`: the driving image (1, 3, S, S) in [0, 1]."""
    if isinstance(model, CodebookModel):
        return inside_codebook(model, state, dense, drawn, driving)
    warped = model.warp_features(state, dense)
    names = [f"{occlusion.shape[-1]} px" for occlusion in dense.occlusion]
    if len(names) == 1:
        names = ["all scales"]
    features, memory = remember(model.memory, warped, state)
    return FamilyActivations(
        motion=plain(dense.deformation),
        occlusions=dict(zip(names, map(plain_map, dense.occlusion), strict=True)),
        features=features,
        memory=memory,
    )


def plain_map(occlusion: Tensor) -> np.ndarray:
    """The only channel of the only item."""
    return plain(occlusion)[0]


def remember(
    memory: FaceMemory | None, warped: Sequence[Tensor], state: SourceState
) -> tuple[tuple[FeatureStep, ...], MemoryUse | None]:
    """Features before and after the memory, and the memory itself."""
    found = {} if memory is None else memory(warped, state.keypoints.value)
    features = tuple(
        FeatureStep.of(feature, found[scale].compensated if scale in found else None)
        for scale, feature in enumerate(warped)
    )
    if memory is None:
        return features, None
    conditioned = {warped[i].shape[-1]: plain(each.conditioned) for i, each in found.items()}
    return features, MemoryUse(plain(memory.bank), conditioned)


def inside_codebook(
    model: CodebookModel,
    state: SourceState,
    dense: DenseMotion,
    drawn: Keypoints,
    driving: Tensor,
) -> FamilyActivations:
    """What a codebook model computes between two pictures: flows, codes, occlusions."""
    steps = model.compensate(state, dense, drawn)
    motion = model.quantize_motion(steps)
    occlusions = {"initial": plain_map(dense.occlusion[0])}
    occlusions |= {
        f"{step.warped.shape[-1]} px": plain_map(step.occlusion)
        for step in steps
        if step.residual is not None
    }
    uses = []
    if model.motion:
        uses += code_uses("motion", model.motion.codebook, motion, steps)
    if model.appearance:
        codes = model.quantize_appearance(driving)
        uses += code_uses("appearance", model.appearance.codebook, codes, steps)
    return FamilyActivations(
        motion=plain(steps[-1].motion),
        occlusions=occlusions,
        features=tuple(
            FeatureStep.of(s.warped, None if s.compensated is s.warped else s.compensated)
            for s in steps
        ),
        flows=flow_steps(model, dense, steps, motion),
        codes=tuple(uses),
    )


def flow_steps(
    model: CodebookModel,
    dense: DenseMotion,
    steps: Sequence[ScaleStep],
    quantized: Mapping[int, Quantized],
) -> tuple[FlowStep, ...]:
    """The flow before and after each scale that the motion codebook compensates."""
    flows, before = [], dense.deformation
    for scale, step in enumerate(steps):
        if step.residual is not None:
            flows.append(
                FlowStep(
                    size=step.warped.shape[-1],
                    before=plain(displacement(before)),
                    residual=plain(step.residual),
                    after=plain(displacement(step.motion)),
                    decoded=plain(model.decode_motion(quantized[scale])),
                )
            )
        before = step.motion
    return tuple(flows)


def code_uses(
    kind: str,
    codebook: Codebook,
    quantized: Mapping[int, Quantized],
    steps: Sequence[ScaleStep],
) -> list[CodeUse]:
    """Which codes were chosen where, by scale."""
    uses = []
    for scale, codes in quantized.items():
        indices = codes.indices[0].cpu().numpy()
        side = round(len(indices) ** 0.5)
        size, allocated = steps[scale].warped.shape[-1], len(codebook.allocated(scale))
        uses.append(CodeUse(kind, size, indices.reshape(side, side), allocated))
    return uses
