"""The configuration of every family of models, and how it is written into checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from talkhead.config.parts import (
    AppearanceCodebookConfig,
    DenseMotionConfig,
    Depth,
    ImageSize,
    KeypointConfig,
    MemoryConfig,
    MeshConfig,
    MotionCodebookConfig,
    Weight,
    Width,
    Widths,
)
from talkhead.errors import TalkheadError, shown
from talkhead.schema import Range, read_dataclass

# What only some models offer: keypoints that choose among motions, an output layer for the adaptive
# weight of a hinge loss, motion that can be trained alone, a logit of showing the source, AVD.
Ability = Literal["mask_choice", "hinge", "motion_only", "sharpen", "disentangling"]


class _Scales:
    """Sizes that follow from those of the image."""

    image_size: int
    channels: tuple[int, ...]

    @property
    def finest_size(self) -> int:
        """Side of the feature map at the finest scale."""
        return self.image_size

    @property
    def scale_sizes(self) -> tuple[int, ...]:
        """Side of the feature map at each scale, coarse to fine."""
        return tuple(self.finest_size >> i for i in reversed(range(len(self.channels))))


class _KeypointFamily(_Scales):
    """What follows for models whose keypoints have jacobians (FOMM, section 3.1)."""

    keypoints: KeypointConfig

    @property
    def num_points(self) -> int:
        """How many points `detect` finds."""
        return self.keypoints.num_keypoints

    @property
    def abilities(self) -> frozenset[Ability]:
        """What a recipe may ask of such a model."""
        return frozenset(["mask_choice"])


@dataclass(frozen=True)
class CodebookConfig(_KeypointFamily):
    """Synergizing Motion and Appearance: Multi-Scale Compensatory Codebooks (CVPR 2025).

    channels: of the features, coarse to fine; each scale is twice as large as the one before it.
    norm_groups: of every group norm.
    commitment_weight: beta, on the commitment term of both code losses.
    blend_source: the decoder also predicts where to show the source, warped by the final
        deformation, in place of its own pixels. Off as published; with it a model that has seen
        few people stays sharp.
    shade_source: the decoder also predicts what to add to the source that is shown, such as other
        light. Off as published; without it its own picture has to make up for that where it is
        mixed in, and is no picture alone.
    working_size: side of the finest features, where they are smaller than the image: encoder and
        decoder then see and draw a reduced picture. None, as published: the image's own. Only
        sensible with `blend_source`, whose warped source keeps its full size.
    detail_skips: finer features reach the decoder without what half their size can hold, so that
        the coarse ones are needed. Off as published: there the finest alone can carry a picture.
    mesh: how a face mesh is used; None, as published: keypoints come from the detector alone.
    """

    family: Literal["codebook"] = "codebook"
    image_size: ImageSize = 256
    channels: Widths = (256, 128, 128, 64)
    norm_groups: Width = 32
    commitment_weight: Weight = 0.25
    blend_source: bool = False
    shade_source: bool = False
    working_size: ImageSize | None = None
    detail_skips: bool = False
    mesh: MeshConfig | None = None
    keypoints: KeypointConfig = field(default_factory=KeypointConfig)
    dense_motion: DenseMotionConfig = field(default_factory=DenseMotionConfig)
    motion_codebook: MotionCodebookConfig = field(default_factory=MotionCodebookConfig)
    appearance_codebook: AppearanceCodebookConfig = field(default_factory=AppearanceCodebookConfig)

    @property
    def finest_size(self) -> int:
        """Side of the feature map at the finest scale."""
        return self.working_size or self.image_size

    @property
    def abilities(self) -> frozenset[Ability]:
        """What a recipe may ask of such a model."""
        found: set[Ability] = {"mask_choice", "hinge"}
        if self.motion_codebook.scales:
            found.add("motion_only")
        if self.blend_source:
            found.add("sharpen")
        return frozenset(found)

    @property
    def token_size(self) -> int:
        """Side of the square of tokens that both transformers work on."""
        return self.scale_sizes[0]


@dataclass(frozen=True)
class McnetConfig(_KeypointFamily):
    """Implicit Identity Representation Conditioned Memory Compensation Network (ICCV 2023).

    channels: of the features at image_size / 8, / 4, / 2 and / 1.
    memory:   None: the baseline, a U-net of warped features.
    keypoints: 15, as the paper and the released weights have it (the release's file says 10).
    """

    family: Literal["mcnet"] = "mcnet"
    image_size: ImageSize = 256
    channels: Widths = (512, 256, 128, 64)
    keypoints: KeypointConfig = field(default_factory=KeypointConfig)
    dense_motion: DenseMotionConfig = field(default_factory=DenseMotionConfig)
    memory: MemoryConfig | None = field(default_factory=MemoryConfig)


@dataclass(frozen=True)
class FommConfig(_KeypointFamily):
    """First Order Motion Model (NeurIPS 2019).

    channels:      of the features at image_size / 4, / 2 and / 1; only the first are warped.
    num_residual:  residual blocks between warping and the decoder.
    align_corners: how the grids of all warps are read. False is what today's libraries do with the
                   release's code; weights trained with torch before 1.3 need True.
    memory:        MCNet's memory on the warped feature, None as published.
    """

    family: Literal["fomm"] = "fomm"
    image_size: ImageSize = 256
    channels: Widths = (256, 128, 64)
    num_residual: Depth = 6
    align_corners: bool = False
    keypoints: KeypointConfig = field(default_factory=lambda: KeypointConfig(num_keypoints=10))
    dense_motion: DenseMotionConfig = field(default_factory=DenseMotionConfig)
    memory: MemoryConfig | None = None


@dataclass(frozen=True)
class TpsmmConfig(_Scales):
    """Thin-Plate-Spline Motion Model (CVPR 2022).

    channels:   of the features at image_size / 8, / 4, / 2 and / 1.
    num_groups, group_size: splines, and the points that define each.
    dropout:    chance to leave a spline out of a training step. The release goes from 0.1 to 0.3
                over the first epochs and to none from epoch 35.
    background: predict an affine motion of the background while training.
    avd:        the optional network that puts the source's identity into driving keypoints.
    memory:     MCNet's memory on the warped features, None as published.
    """

    family: Literal["tpsmm"] = "tpsmm"
    image_size: ImageSize = 256
    channels: Widths = (512, 256, 128, 64)
    num_groups: Annotated[int, Range(1, 64)] = 10
    group_size: Annotated[int, Range(1, 64)] = 5
    encoder_channels: Width = 64
    dropout: Annotated[float, Range(0, 1)] = 0.3
    background: bool = True
    avd: bool = False
    dense_motion: DenseMotionConfig = field(default_factory=DenseMotionConfig)
    memory: MemoryConfig | None = None

    @property
    def num_points(self) -> int:
        """How many points `detect` finds."""
        return self.num_groups * self.group_size

    @property
    def abilities(self) -> frozenset[Ability]:
        """What a recipe may ask of such a model."""
        return frozenset(["disentangling"] if self.avd else [])


ModelConfig: TypeAlias = CodebookConfig | McnetConfig | FommConfig | TpsmmConfig


def has_landmarks(config: ModelConfig) -> bool:
    """Whether a model's keypoints are points of a head that are known by name."""
    return not isinstance(config, TpsmmConfig) and config.keypoints.landmarks


def is_tracked(config: ModelConfig) -> bool:
    """Whether keypoints of it follow the optical flow in driving pictures."""
    return isinstance(config, CodebookConfig) and bool(config.keypoints.tracked)


def uses_mesh(config: ModelConfig) -> bool:
    """Whether a model makes something of face meshes."""
    return isinstance(config, CodebookConfig) and config.mesh is not None


def to_dict(config: ModelConfig) -> dict[str, Any]:
    """Plain values, ready for JSON."""
    return asdict(config)


FAMILIES: dict[str, type[ModelConfig]] = {
    "codebook": CodebookConfig,
    "mcnet": McnetConfig,
    "fomm": FommConfig,
    "tpsmm": TpsmmConfig,
}


def from_dict(values: Any) -> ModelConfig:
    """Read back what `to_dict` wrote; raises TalkheadError that names what is strange in it."""
    family = values.get("family") if isinstance(values, dict) else None
    if not isinstance(family, str) or family not in FAMILIES:
        raise TalkheadError(
            f"unknown model family {shown(family)}; there are {', '.join(FAMILIES)}"
        )
    return read_dataclass(FAMILIES[family], values)
