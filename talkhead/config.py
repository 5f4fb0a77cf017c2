"""Complete configurations of every model, as frozen dataclasses and a dict of presets.

A configuration is written into every checkpoint. All sizes are in pixels, all `channels` tuples
run from the coarsest scale to the finest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal, TypeAlias

from talkhead.errors import TalkheadError, shown
from talkhead.schema import Range, read_dataclass
from talkhead.topology import HEAD_GROUPS

HEAD_POINTS = len(HEAD_GROUPS)  # of a head, as many as `head.POINTS` has

# What a description from outside may ask for: well beyond every model that is known, and still
# built in a second. Which of them fit each other is said by `models.sizes`.
ImageSize = Annotated[int, Range(16, 2048)]
MotionSize = Annotated[int, Range(4, 256)]
Width = Annotated[int, Range(1, 4096)]
Widths = Annotated[tuple[Width, ...], Range(2, 8)]
Depth = Annotated[int, Range(0, 64)]
Halvings = Annotated[int, Range(1, 8)]
NumCodes = Annotated[int, Range(1, 65536)]
Scales = Annotated[tuple[Annotated[int, Range(0, 7)], ...], Range(0, 8)]
Positive = Annotated[float, Range(1e-6, 1e6)]
Weight = Annotated[float, Range(0, 1e6)]


@dataclass(frozen=True)
class KeypointConfig:
    """Keypoint detector (FOMM section 3.1; sizes of the VoxCeleb 256 releases).

    landmarks: the first keypoints are points of a head, those of `head.POINTS`. Not so as
        published; training with landmark files to the end makes it so.
    """

    num_keypoints: Annotated[int, Range(1, 128)] = 15
    input_size: MotionSize = 64
    base_channels: Width = 32
    max_channels: Width = 1024
    num_blocks: Halvings = 5
    temperature: Positive = 0.1
    landmarks: bool = False

    def __post_init__(self) -> None:
        if self.landmarks and self.num_keypoints < HEAD_POINTS:
            raise TalkheadError(
                f"{self.num_keypoints} keypoints cannot be the {HEAD_POINTS} landmarks of a head"
            )


@dataclass(frozen=True)
class DenseMotionConfig:
    """Dense motion estimator (FOMM section 3.2; sizes of the VoxCeleb 256 releases).

    prior_sigmas: per keypoint, the radius (in grid units) within which its motion is preferred
        before anything is learned; None, as published, starts from no preference. A help for
        learning from little data.
    prior_background: log-weight of the background motion under that prior.
    """

    size: MotionSize = 64
    base_channels: Width = 64
    max_channels: Width = 1024
    num_blocks: Halvings = 5
    prior_sigmas: tuple[Positive, ...] | None = None
    prior_background: Annotated[float, Range(-1e6, 1e6)] = -3.0


@dataclass(frozen=True)
class MotionCodebookConfig:
    """Motion codebook and its compensation (release: 1024 codes of 32, two layers, 8 heads).

    scales: which scales are compensated, 0 the coarsest. Empty: no motion codebook at all.
    residual_channels: width of the head that turns tokens into residual flow and occlusion.
    """

    scales: Scales = (0, 1, 2, 3)
    num_codes: NumCodes = 1024
    dim: Width = 32
    num_layers: Depth = 2
    num_heads: Width = 8
    residual_channels: Annotated[int, Range(4, 4096)] = 128


@dataclass(frozen=True)
class AppearanceCodebookConfig:
    """Appearance codebook and its compensation (release: 1024 codes of 256, two layers, 8 heads).

    scales: which scales are compensated, 0 the coarsest. Empty: no appearance codebook at all.
    residual: add the compensation to the warped feature instead of replacing it. Off as
        published; a help for small models, whose patch embedding is too narrow for fine detail.
    """

    scales: Scales = (0, 1, 2, 3)
    num_codes: NumCodes = 1024
    dim: Width = 256
    num_layers: Depth = 2
    num_heads: Width = 8
    residual: bool = False


# What only some models offer: keypoints that choose among motions, an output layer for the adaptive
# weight of a hinge loss, motion that can be trained alone, a logit of showing the source, AVD.
Ability = Literal["mask_choice", "hinge", "motion_only", "sharpen", "disentangling"]


def _scale_sizes(finest: int, channels: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(finest >> (len(channels) - 1 - i) for i in range(len(channels)))


@dataclass(frozen=True)
class MeshConfig:
    """What a model makes of a face mesh of source and driving picture, where one is known.

    The first keypoints are always read from it. motion: its own motion is one more candidate of
    the dense motion. maps: the decoder sees where face, mouth, eyes and irises are to be.
    """

    motion: bool = True
    maps: bool = True


@dataclass(frozen=True)
class CodebookConfig:
    """Synergizing Motion and Appearance: Multi-Scale Compensatory Codebooks (CVPR 2025).

    channels: of the features, coarse to fine; each scale is twice as large as the one before it.
    norm_groups: of every group norm.
    commitment_weight: beta, on the commitment term of both code losses.
    blend_source: the decoder also predicts where to show the source, warped by the final
        deformation, in place of its own pixels. Off as published; with it a model that has seen
        few people stays sharp.
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
    working_size: ImageSize | None = None
    detail_skips: bool = False
    mesh: MeshConfig | None = None
    keypoints: KeypointConfig = field(default_factory=KeypointConfig)
    dense_motion: DenseMotionConfig = field(default_factory=DenseMotionConfig)
    motion_codebook: MotionCodebookConfig = field(default_factory=MotionCodebookConfig)
    appearance_codebook: AppearanceCodebookConfig = field(default_factory=AppearanceCodebookConfig)

    @property
    def scale_sizes(self) -> tuple[int, ...]:
        """Side of the feature map at each scale, coarse to fine."""
        return _scale_sizes(self.working_size or self.image_size, self.channels)

    @property
    def num_points(self) -> int:
        """How many points `detect` finds."""
        return self.keypoints.num_keypoints

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
class MemoryConfig:
    """MCNet's facial memory and how it compensates features (sizes of the release).

    channels, size: the memory bank is (channels, size, size), shared by all scales.
    scales:    which warped features are compensated, 0 the coarsest. The release leaves out the
               finest of four.
    identity:  condition the bank on the implicit identity representation (IICM).
    split:     compensate the odd channels only and pass the even ones.
    noise:     fresh noise in every conditioning, at inference too, as the release's demo has it.
               Without it frames are repeatable; training always has noise.
    """

    channels: Width = 512
    size: Annotated[int, Range(1, 256)] = 32
    scales: Scales = (0, 1, 2)
    identity: bool = True
    split: bool = True
    noise: bool = False

    def __post_init__(self) -> None:
        if min(self.channels, self.size) < 1 or not self.scales:
            raise TalkheadError(
                f"a memory of {self.channels} channels, {self.size} x {self.size}, on scales "
                f"{self.scales} holds nothing; without a memory it is null"
            )


@dataclass(frozen=True)
class McnetConfig:
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

    def __post_init__(self) -> None:
        _check_scales(self.memory, len(self.channels))

    @property
    def scale_sizes(self) -> tuple[int, ...]:
        """Side of the feature map at each scale, coarse to fine."""
        return _scale_sizes(self.image_size, self.channels)

    @property
    def num_points(self) -> int:
        """How many points `detect` finds."""
        return self.keypoints.num_keypoints

    @property
    def abilities(self) -> frozenset[Ability]:
        """What a recipe may ask of such a model."""
        return frozenset(["mask_choice"])


@dataclass(frozen=True)
class FommConfig:
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

    def __post_init__(self) -> None:
        _check_scales(self.memory, 1)

    @property
    def scale_sizes(self) -> tuple[int, ...]:
        """Side of the feature map at each scale, coarse to fine."""
        return _scale_sizes(self.image_size, self.channels)

    @property
    def num_points(self) -> int:
        """How many points `detect` finds."""
        return self.keypoints.num_keypoints

    @property
    def abilities(self) -> frozenset[Ability]:
        """What a recipe may ask of such a model."""
        return frozenset(["mask_choice"])


@dataclass(frozen=True)
class TpsmmConfig:
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

    def __post_init__(self) -> None:
        _check_scales(self.memory, len(self.channels))

    @property
    def scale_sizes(self) -> tuple[int, ...]:
        """Side of the feature map at each scale, coarse to fine."""
        return _scale_sizes(self.image_size, self.channels)

    @property
    def num_points(self) -> int:
        """How many points `detect` finds."""
        return self.num_groups * self.group_size

    @property
    def abilities(self) -> frozenset[Ability]:
        """What a recipe may ask of such a model."""
        return frozenset(["disentangling"] if self.avd else [])


def _check_scales(memory: MemoryConfig | None, num_scales: int) -> None:
    if memory and not all(0 <= scale < num_scales for scale in memory.scales):
        raise TalkheadError(
            f"the memory cannot work on scales {memory.scales}: there are {num_scales}, from 0"
        )


ModelConfig: TypeAlias = CodebookConfig | McnetConfig | FommConfig | TpsmmConfig


def has_landmarks(config: ModelConfig) -> bool:
    """Whether a model's keypoints are points of a head that are known by name."""
    return not isinstance(config, TpsmmConfig) and config.keypoints.landmarks


def uses_mesh(config: ModelConfig) -> bool:
    """Whether a model makes something of face meshes."""
    return isinstance(config, CodebookConfig) and config.mesh is not None


_FULL = CodebookConfig()
_NO_MOTION = MotionCodebookConfig(scales=())
_NO_APPEARANCE = AppearanceCodebookConfig(scales=())

# Radius of each landmark-taught keypoint's motion before training: faces turn as a whole, so most
# are wide; eyes, brows and lips move on their own.
_LITE_SIGMAS = (
    *(0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15),  # outline and nose tip
    *(0.10, 0.10, 0.10, 0.10),  # eyes, brows
    *(0.07, 0.07, 0.05, 0.05),  # mouth corners, inner lips
    *(0.25, 0.25, 0.15, 0.15, 0.15),  # shoulders, hair: not taught by landmarks
)

# The full structure at a size that two CPU cores can run; the bundled default.
_LITE = CodebookConfig(
    channels=(96, 48, 32),
    norm_groups=8,
    blend_source=True,
    working_size=128,
    keypoints=KeypointConfig(num_keypoints=20, base_channels=16, max_channels=256),
    dense_motion=DenseMotionConfig(base_channels=32, max_channels=256, prior_sigmas=_LITE_SIGMAS),
    motion_codebook=MotionCodebookConfig(
        scales=(0, 1, 2), num_codes=256, num_layers=1, num_heads=2, residual_channels=24
    ),
    appearance_codebook=AppearanceCodebookConfig(
        scales=(0, 1, 2), num_codes=256, dim=64, num_layers=1, num_heads=2, residual=True
    ),
)

PRESETS: dict[str, ModelConfig] = {
    "codebook": _FULL,
    # The rows of the paper's ablation table.
    "codebook-baseline": replace(
        _FULL, motion_codebook=_NO_MOTION, appearance_codebook=_NO_APPEARANCE
    ),
    "codebook-smc": replace(
        _FULL,
        motion_codebook=MotionCodebookConfig(scales=(0,)),
        appearance_codebook=_NO_APPEARANCE,
    ),
    "codebook-mmc": replace(_FULL, appearance_codebook=_NO_APPEARANCE),
    "codebook-mmc-sac": replace(_FULL, appearance_codebook=AppearanceCodebookConfig(scales=(0,))),
    "codebook-lite": _LITE,
    # The same with exact keypoints, motion and maps of a face mesh, and more of it drawn coarsely.
    "codebook-mesh": replace(_LITE, channels=(128, 48, 32), mesh=MeshConfig()),
    "mcnet": McnetConfig(),
    # MCNet's ablation table: the baseline; plus MCM on the unconditioned memory, without and with
    # the split into passed and compensated channels; `mcnet` adds IICM.
    "mcnet-baseline": McnetConfig(memory=None),
    "mcnet-mcm-nosplit": McnetConfig(memory=MemoryConfig(identity=False, split=False)),
    "mcnet-mcm": McnetConfig(memory=MemoryConfig(identity=False)),
    "fomm": FommConfig(),
    "tpsmm": TpsmmConfig(),
    # MCNet's generalisation table: IICM + MCM inside the other two motion models.
    "fomm-mcnet": FommConfig(memory=MemoryConfig(scales=(0,))),
    "tpsmm-mcnet": TpsmmConfig(memory=MemoryConfig()),
}


def preset(name: str) -> ModelConfig:
    """The configuration of that name; an unknown name lists the known ones."""
    if name not in PRESETS:
        raise TalkheadError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


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
