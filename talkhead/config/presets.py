"""Configurations by name: the published models, the rows of their ablations, sizes for CPUs."""

from __future__ import annotations

from dataclasses import replace

from talkhead.config.families import (
    CodebookConfig,
    FommConfig,
    McnetConfig,
    ModelConfig,
    TpsmmConfig,
)
from talkhead.config.parts import (
    AppearanceCodebookConfig,
    DenseMotionConfig,
    KeypointConfig,
    MemoryConfig,
    MeshConfig,
    MotionCodebookConfig,
)
from talkhead.errors import TalkheadError

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

# Outline of the face, shoulders and hair; what opens and closes is left to the detector.
_LITE_TRACKED = (*range(6), *range(15, 20))

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
    # The same with motion and maps of a face mesh and keypoints that follow the optical flow, and
    # more that is drawn, from coarse features on.
    "codebook-mesh": replace(
        _LITE,
        channels=(128, 48, 32),
        keypoints=replace(_LITE.keypoints, tracked=_LITE_TRACKED),
        detail_skips=True,
        shade_source=True,
        mesh=MeshConfig(keypoints=False, refine=True),
    ),
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
    """The configuration of that name. Raises TalkheadError that lists the known ones.

    >>> preset("tpsmm").num_points
    50
    """
    if name not in PRESETS:
        raise TalkheadError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
