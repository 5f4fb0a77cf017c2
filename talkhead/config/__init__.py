"""Complete configurations of every model, as frozen dataclasses, and presets by name.

A configuration is written into every checkpoint. All sizes are in pixels, all `channels` tuples
run from the coarsest scale to the finest.
"""

from talkhead.config.families import (
    FAMILIES,
    Ability,
    CodebookConfig,
    FommConfig,
    McnetConfig,
    ModelConfig,
    TpsmmConfig,
    from_dict,
    has_landmarks,
    to_dict,
    uses_mesh,
)
from talkhead.config.parts import (
    HEAD_POINTS,
    AppearanceCodebookConfig,
    DenseMotionConfig,
    KeypointConfig,
    MemoryConfig,
    MeshConfig,
    MotionCodebookConfig,
)
from talkhead.config.presets import PRESETS, preset

__all__ = [
    "FAMILIES",
    "HEAD_POINTS",
    "PRESETS",
    "Ability",
    "AppearanceCodebookConfig",
    "CodebookConfig",
    "DenseMotionConfig",
    "FommConfig",
    "KeypointConfig",
    "McnetConfig",
    "MemoryConfig",
    "MeshConfig",
    "ModelConfig",
    "MotionCodebookConfig",
    "TpsmmConfig",
    "from_dict",
    "has_landmarks",
    "preset",
    "to_dict",
    "uses_mesh",
]
