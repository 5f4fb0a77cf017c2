"""Complete configurations of every model, as frozen dataclasses and a dict of presets.

A configuration is written into every checkpoint. All sizes are in pixels, all `channels` tuples
run from the coarsest scale to the finest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any, cast, get_type_hints

from talkhead.errors import TalkheadError


@dataclass(frozen=True)
class KeypointConfig:
    """Keypoint detector (FOMM section 3.1; sizes of the VoxCeleb 256 releases)."""

    num_keypoints: int = 15
    input_size: int = 64
    base_channels: int = 32
    max_channels: int = 1024
    num_blocks: int = 5
    temperature: float = 0.1


@dataclass(frozen=True)
class DenseMotionConfig:
    """Dense motion estimator (FOMM section 3.2; sizes of the VoxCeleb 256 releases).

    prior_sigmas: per keypoint, the radius (in grid units) within which its motion is preferred
        before anything is learned; None, as published, starts from no preference. A help for
        learning from little data.
    prior_background: log-weight of the background motion under that prior.
    """

    size: int = 64
    base_channels: int = 64
    max_channels: int = 1024
    num_blocks: int = 5
    prior_sigmas: tuple[float, ...] | None = None
    prior_background: float = -3.0


@dataclass(frozen=True)
class MotionCodebookConfig:
    """Motion codebook and its compensation (release: 1024 codes of 32, two layers, 8 heads).

    scales: which scales are compensated, 0 the coarsest. Empty: no motion codebook at all.
    residual_channels: width of the head that turns tokens into residual flow and occlusion.
    """

    scales: tuple[int, ...] = (0, 1, 2, 3)
    num_codes: int = 1024
    dim: int = 32
    num_layers: int = 2
    num_heads: int = 8
    residual_channels: int = 128


@dataclass(frozen=True)
class AppearanceCodebookConfig:
    """Appearance codebook and its compensation (release: 1024 codes of 256, two layers, 8 heads).

    scales: which scales are compensated, 0 the coarsest. Empty: no appearance codebook at all.
    residual: add the compensation to the warped feature instead of replacing it. Off as
        published; a help for small models, whose patch embedding is too narrow for fine detail.
    """

    scales: tuple[int, ...] = (0, 1, 2, 3)
    num_codes: int = 1024
    dim: int = 256
    num_layers: int = 2
    num_heads: int = 8
    residual: bool = False


@dataclass(frozen=True)
class CodebookConfig:
    """Synergizing Motion and Appearance: Multi-Scale Compensatory Codebooks (CVPR 2025).

    channels: of the features at image_size / 8, / 4, / 2 and / 1.
    norm_groups: of every group norm.
    commitment_weight: beta, on the commitment term of both code losses.
    blend_source: the decoder also predicts where to show the source, warped by the final
        deformation, in place of its own pixels. Off as published; with it a model that has seen
        few people stays sharp.
    """

    family: str = "codebook"
    image_size: int = 256
    channels: tuple[int, ...] = (256, 128, 128, 64)
    norm_groups: int = 32
    commitment_weight: float = 0.25
    blend_source: bool = False
    keypoints: KeypointConfig = field(default_factory=KeypointConfig)
    dense_motion: DenseMotionConfig = field(default_factory=DenseMotionConfig)
    motion_codebook: MotionCodebookConfig = field(default_factory=MotionCodebookConfig)
    appearance_codebook: AppearanceCodebookConfig = field(default_factory=AppearanceCodebookConfig)

    @property
    def scale_sizes(self) -> tuple[int, ...]:
        """Side of the feature map at each scale, coarse to fine."""
        last = len(self.channels) - 1
        return tuple(self.image_size >> (last - i) for i in range(len(self.channels)))

    @property
    def token_size(self) -> int:
        """Side of the square of tokens that both transformers work on."""
        return self.scale_sizes[0]


_FULL = CodebookConfig()
_NO_MOTION = MotionCodebookConfig(scales=())
_NO_APPEARANCE = AppearanceCodebookConfig(scales=())

# Radius of each landmark-taught keypoint's motion before training: faces turn as a whole, so most
# are wide; eyes, brows and lips move on their own.
_LITE_SIGMAS = (
    *(0.15, 0.15, 0.15, 0.15, 0.15, 0.15, 0.15),  # outline and nose tip
    *(0.10, 0.10, 0.10, 0.10),  # eyes, brows
    *(0.07, 0.07, 0.05, 0.05),  # mouth corners, inner lips
)

PRESETS: dict[str, CodebookConfig] = {
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
    # The same structure at a size that two CPU cores can run; the bundled default.
    "codebook-lite": CodebookConfig(
        channels=(64, 32, 32, 16),
        norm_groups=8,
        blend_source=True,
        keypoints=KeypointConfig(base_channels=16, max_channels=256),
        dense_motion=DenseMotionConfig(
            base_channels=32, max_channels=256, prior_sigmas=_LITE_SIGMAS
        ),
        motion_codebook=MotionCodebookConfig(
            num_codes=256, num_layers=1, num_heads=4, residual_channels=24
        ),
        appearance_codebook=AppearanceCodebookConfig(
            num_codes=256, dim=64, num_layers=1, num_heads=4, residual=True
        ),
    ),
}


def preset(name: str) -> CodebookConfig:
    """The configuration of that name; an unknown name lists the known ones."""
    if name not in PRESETS:
        raise TalkheadError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def to_dict(config: CodebookConfig) -> dict[str, Any]:
    """Plain values, ready for JSON."""
    return asdict(config)


FAMILIES: dict[str, type[CodebookConfig]] = {"codebook": CodebookConfig}


def from_dict(values: dict[str, Any]) -> CodebookConfig:
    """Read back what `to_dict` wrote; a strange family or key is named in the error."""
    family = values.get("family")
    if family not in FAMILIES:
        raise TalkheadError(f"unknown model family {family!r}; there are {', '.join(FAMILIES)}")
    return _build(FAMILIES[family], values)


def _build(kind: type[Any], values: dict[str, Any]) -> Any:
    types = get_type_hints(kind)
    unknown = values.keys() - types.keys()
    if unknown:
        raise TalkheadError(f"{kind.__name__} has no setting {sorted(unknown)[0]!r}")
    return kind(**{name: _value(types[name], value) for name, value in values.items()})


def _value(kind: Any, value: Any) -> Any:
    if is_dataclass(kind) and isinstance(value, dict):
        return _build(cast("type[Any]", kind), value)
    return tuple(value) if isinstance(value, list) else value
