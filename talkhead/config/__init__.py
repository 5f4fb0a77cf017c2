"""Complete configurations of every model, as frozen dataclasses, and presets by name.

A configuration is written into every checkpoint. All sizes are in pixels, all `channels` tuples
run from the coarsest scale to the finest.
"""

from talkhead.config.families import FAMILIES as FAMILIES
from talkhead.config.families import CodebookConfig as CodebookConfig
from talkhead.config.families import FommConfig as FommConfig
from talkhead.config.families import McnetConfig as McnetConfig
from talkhead.config.families import ModelConfig as ModelConfig
from talkhead.config.families import TpsmmConfig as TpsmmConfig
from talkhead.config.families import from_dict as from_dict
from talkhead.config.families import has_landmarks as has_landmarks
from talkhead.config.families import is_tracked as is_tracked
from talkhead.config.families import to_dict as to_dict
from talkhead.config.families import uses_mesh as uses_mesh
from talkhead.config.parts import HEAD_POINTS as HEAD_POINTS
from talkhead.config.parts import AppearanceCodebookConfig as AppearanceCodebookConfig
from talkhead.config.parts import DenseMotionConfig as DenseMotionConfig
from talkhead.config.parts import KeypointConfig as KeypointConfig
from talkhead.config.parts import MemoryConfig as MemoryConfig
from talkhead.config.parts import MeshConfig as MeshConfig
from talkhead.config.parts import MotionCodebookConfig as MotionCodebookConfig
from talkhead.config.presets import PRESETS as PRESETS
from talkhead.config.presets import preset as preset
