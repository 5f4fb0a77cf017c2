"""Miniature models of every family with weights from a formula, and their recorded outputs.

python tests/miniatures.py     records anew; only right while the full-size parity tests hold
"""

from __future__ import annotations

import functools
import math
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from stages import stages
from torch import Tensor

from talkhead.config import (
    PRESETS,
    AppearanceCodebookConfig,
    CodebookConfig,
    DenseMotionConfig,
    FommConfig,
    KeypointConfig,
    McnetConfig,
    MemoryConfig,
    MeshConfig,
    ModelConfig,
    MotionCodebookConfig,
    TpsmmConfig,
)
from talkhead.inference.engine import Engine
from talkhead.models import Network, build
from talkhead.topology import MESH_POINTS

RECORDED = Path(__file__).parent / "data" / "miniatures.npz"
FAMILIES = ("codebook", "mcnet", "fomm", "tpsmm")
MEMORY = MemoryConfig(channels=8, size=4)


def mini_config(family: str, image_size: int = 64) -> ModelConfig:
    """A complete configuration of a few thousand parameters."""
    motion_size = image_size // 4
    keypoints = KeypointConfig(4, motion_size, base_channels=4, max_channels=8, num_blocks=2)
    dense = DenseMotionConfig(motion_size, base_channels=4, max_channels=8, num_blocks=2)
    configs: dict[str, ModelConfig] = {
        "codebook": CodebookConfig(
            image_size=image_size,
            channels=(8, 8, 8, 4),
            norm_groups=2,
            keypoints=keypoints,
            dense_motion=dense,
            motion_codebook=MotionCodebookConfig(
                num_codes=16, dim=8, num_layers=1, num_heads=2, residual_channels=8
            ),
            appearance_codebook=AppearanceCodebookConfig(
                num_codes=16, dim=16, num_layers=1, num_heads=2
            ),
        ),
        "mcnet": McnetConfig(
            image_size=image_size,
            channels=(8, 8, 4, 4),
            keypoints=keypoints,
            dense_motion=dense,
            memory=MEMORY,
        ),
        "fomm": FommConfig(
            image_size=image_size,
            channels=(8, 8, 4),
            num_residual=2,
            keypoints=keypoints,
            dense_motion=dense,
        ),
        "tpsmm": TpsmmConfig(
            image_size=image_size,
            channels=(8, 8, 4, 4),
            num_groups=2,
            group_size=3,
            encoder_channels=4,
            dense_motion=dense,
        ),
    }
    return configs[family]


# For all tests that any model serves: of the four it is built and drawn most quickly.
TOY = mini_config("fomm")


def mini_preset(name: str) -> ModelConfig:
    """A preset's structure at a miniature's size."""
    full, small = PRESETS[name], mini_config(PRESETS[name].family)
    if not isinstance(full, CodebookConfig):
        memory = full.memory and replace(full.memory, channels=8, size=4)
        return replace(small, memory=memory)
    assert isinstance(small, CodebookConfig)
    sigmas = full.dense_motion.prior_sigmas
    motion, appearance = full.motion_codebook, full.appearance_codebook
    return replace(
        small,
        channels=small.channels[-len(full.channels) :],
        blend_source=full.blend_source,
        shade_source=full.shade_source,
        detail_skips=full.detail_skips,
        mesh=full.mesh,
        keypoints=replace(small.keypoints, tracked=(0, 3) if full.keypoints.tracked else ()),
        working_size=small.image_size // 2 if full.working_size else None,
        dense_motion=replace(small.dense_motion, prior_sigmas=sigmas and sigmas[:4]),
        motion_codebook=replace(small.motion_codebook, scales=motion.scales),
        appearance_codebook=replace(
            small.appearance_codebook, scales=appearance.scales, residual=appearance.residual
        ),
    )


def mini_bundled() -> CodebookConfig:
    """The structure of the bundled weights, and light for the source, at a miniature's size."""
    small = mini_preset("codebook-lite")
    assert isinstance(small, CodebookConfig)
    mesh = MeshConfig(keypoints=False, motion=False, maps=False, refine=True, mouth=True)
    keypoints = replace(small.keypoints, tracked=(0, 3))
    return replace(small, mesh=mesh, keypoints=keypoints, shade_source=True, detail_skips=True)


def mini(config: ModelConfig | str) -> Network:
    """A miniature model in evaluation mode, with the weights of the formula."""
    model = build(mini_config(config) if isinstance(config, str) else config)
    model.load_state_dict({name: fill(name, t) for name, t in model.state_dict().items()})
    return model.eval()


shared_mini = functools.cache(mini)  # one for all: nothing of it may be changed


@functools.cache
def mini_engine(family: str) -> Engine:
    """An engine with a miniature model, one for all: nothing of it may be changed."""
    return Engine(mini(family), torch.device("cpu"), batch_size=2)


def fill(name: str, like: Tensor) -> Tensor:
    """Random numbers that depend on the tensor's name alone, of a size that suits its place."""
    if name.endswith("num_batches_tracked"):
        return like
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    values = rng.standard_normal(tuple(like.shape))
    if name.endswith("running_var"):
        values = 0.5 + rng.random(tuple(like.shape))
    elif name.endswith("jacobian.bias"):
        values = 0.02 * values + np.resize([1, 0, 0, 1], values.shape)
    elif name == "background.encoder.fc.bias":
        values = 0.03 * values + np.array([1, 0, 0, 0, 1, 0])
    elif name.endswith("modulation.bias") or (like.ndim == 1 and name.endswith(".weight")):
        values = 1 + 0.1 * values
    elif like.ndim == 1:
        values = 0.1 * values
    elif name.endswith(("codes", "position", "bank")):
        values = 0.5 * values
    elif not name.endswith(
        ("style_conv.weight", "modulation.weight")
    ):  # their gain is in the layer
        fan_in = math.prod(like.shape[2:] if like.ndim == 5 else like.shape[1:])
        gain = 0.1 if name == "background.encoder.fc.weight" else 1.4
        values = gain / math.sqrt(fan_in) * values
    return torch.from_numpy(values).to(like.dtype)


def meshes(number: int, seed: int = 0) -> Tensor:
    """Points (number, 478, 2) anywhere around the middle of a picture."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return torch.from_numpy(rng.random((number, MESH_POINTS, 2)) - 0.5).float()


def pictures(number: int, size: int = 64, seed: int = 0) -> Tensor:
    """Smooth coloured noise (number, 3, size, size) in [0, 1]; others for another seed."""
    rng = np.random.Generator(np.random.PCG64(seed))
    coarse = torch.from_numpy(rng.random((number, 3, 8, 8))).float()
    return torch.nn.functional.interpolate(
        coarse, size=(size, size), mode="bicubic", align_corners=True
    ).clamp(0, 1)


def with_everything(family: str) -> ModelConfig:
    """The miniature configuration with its optional networks."""
    config = mini_config(family)
    return replace(config, avd=True) if isinstance(config, TpsmmConfig) else config


def mini_stages(family: str) -> dict[str, np.ndarray]:
    """Summaries of every stage of a miniature model."""
    with torch.inference_mode():
        computed = stages(mini(with_everything(family)), pictures(1), pictures(1, seed=1))
    return {name: summary(tensor) for name, tensor in computed.items()}


def summary(tensor: Tensor, count: int = 12) -> np.ndarray:
    """A few evenly spaced values of an array."""
    flat = tensor.detach().flatten().double().numpy()
    return flat[np.linspace(0, len(flat) - 1, count).astype(int)]


def record() -> None:
    """Write the summaries of all families."""
    arrays = {}
    for family in FAMILIES:
        found = mini_stages(family)
        arrays[f"{family}_names"] = np.array(list(found))
        arrays[f"{family}_values"] = np.stack(list(found.values())).astype(np.float32)
    RECORDED.parent.mkdir(exist_ok=True)
    np.savez_compressed(RECORDED, **arrays)


if __name__ == "__main__":
    record()
