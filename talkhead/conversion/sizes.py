"""Configurations of official releases, from the shapes of their tensors.

Keys are led by their network, as in `names`. A tensor that is not there raises KeyError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from talkhead.config import (
    CodebookConfig,
    DenseMotionConfig,
    FommConfig,
    KeypointConfig,
    McnetConfig,
    MemoryConfig,
    ModelConfig,
    TpsmmConfig,
)

State = dict[str, Tensor]

DOWN_FACTOR = 4  # all releases see motion at a quarter of the image's size


def count_layers(state: State, prefix: str) -> int:
    """How many numbered layers there are under a prefix."""
    start = len(prefix.split("."))
    return len({key.split(".")[start] for key in state if key.startswith(prefix + ".")})


def read_hourglass(state: State, prefix: str) -> tuple[int, int, int]:
    """Base channels, number of blocks and most channels of an hourglass."""
    num_blocks = count_layers(state, f"{prefix}.encoder.down_blocks")
    last = f"{prefix}.decoder.up_blocks.{num_blocks - 1}.conv.weight"
    widths = [
        state[f"{prefix}.encoder.down_blocks.{i}.conv.weight"].shape[0] for i in range(num_blocks)
    ]
    return state[last].shape[0], num_blocks, max(widths)


def read_keypoints(state: State, prefix: str, image_size: int) -> KeypointConfig:
    """Sizes of a keypoint detector of the FOMM kind."""
    base, num_blocks, widest = read_hourglass(state, f"{prefix}.predictor")
    return KeypointConfig(
        num_keypoints=state[f"{prefix}.kp.weight"].shape[0],
        input_size=image_size // DOWN_FACTOR,
        base_channels=base,
        max_channels=widest,
        num_blocks=num_blocks,
    )


def read_dense_motion(state: State, prefix: str, image_size: int) -> DenseMotionConfig:
    """Sizes of a dense motion network."""
    base, num_blocks, widest = read_hourglass(state, f"{prefix}.hourglass")
    size = image_size // DOWN_FACTOR
    return DenseMotionConfig(size, base_channels=base, max_channels=widest, num_blocks=num_blocks)


def read_encoder_channels(state: State, network: str) -> tuple[int, ...]:
    """Widths of a convolutional encoder, coarse to fine."""
    num_blocks = count_layers(state, f"{network}.down_blocks")
    layers = ["first", *(f"down_blocks.{i}" for i in range(num_blocks))]
    return tuple(state[f"{network}.{layer}.conv.weight"].shape[0] for layer in reversed(layers))


def read_fomm(state: State) -> FommConfig:
    """Sizes from shapes; the image's, which no shape tells, is the release's."""
    size = FommConfig().image_size
    return FommConfig(
        channels=read_encoder_channels(state, "generator"),
        num_residual=count_layers(state, "generator.bottleneck"),
        keypoints=read_keypoints(state, "kp_detector", size),
        dense_motion=read_dense_motion(state, "generator.dense_motion_network", size),
    )


def read_mcnet(state: State) -> McnetConfig:
    """Sizes from shapes; the memory's layers are named by the sides of the features."""
    channels = read_encoder_channels(state, "generator")
    _, memory_channels, memory_size, _ = state["generator.mbUnit.mb"].shape
    found = (re.fullmatch(r"generator\.mbUnit\.conv_(\d+)\.weight", key) for key in state)
    sides = sorted(int(match[1]) for match in found if match)
    size = sides[0] << (len(channels) - 1)
    return McnetConfig(
        image_size=size,
        channels=channels,
        keypoints=read_keypoints(state, "kp_detector", size),
        dense_motion=read_dense_motion(state, "generator.dense_motion_network", size),
        memory=MemoryConfig(memory_channels, memory_size, scales=tuple(range(len(sides)))),
    )


def read_tpsmm(state: State) -> TpsmmConfig:
    """Sizes from shapes; the image's, which no shape tells, is the release's."""
    num_groups = state["dense_motion_network.maps.weight"].shape[0] - 1
    num_points = state["kp_detector.fg_encoder.fc.weight"].shape[0] // 2
    return TpsmmConfig(
        channels=read_encoder_channels(state, "inpainting_network"),
        num_groups=num_groups,
        group_size=num_points // num_groups,
        encoder_channels=state["kp_detector.fg_encoder.conv1.weight"].shape[0],
        background=any(key.startswith("bg_predictor.") for key in state),
        avd=any(key.startswith("avd_network.") for key in state),
        dense_motion=read_dense_motion(state, "dense_motion_network", TpsmmConfig().image_size),
    )


def read_codebook(state: State) -> CodebookConfig:
    """Sizes from tensor shapes; what no shape tells is the release's."""
    full = CodebookConfig()
    tokens, appearance_dim = state["net_g.position_emb_app"].shape
    levels = [f"net_g.encoder.blocks.{i}.conv2.weight" for i in (10, 8, 5, 2)]
    size = round(tokens**0.5) << (len(levels) - 1)
    return replace(
        full,
        image_size=size,
        channels=tuple(state[name].shape[0] for name in levels),
        keypoints=read_keypoints(state, "motion_estimator.kp_detector", size),
        dense_motion=read_dense_motion(state, "motion_estimator.dense_motion_network", size),
        motion_codebook=replace(
            full.motion_codebook,
            num_codes=state["net_g.quantize_motion.embedding.weight"].shape[0],
            dim=state["net_g.position_emb_motion"].shape[1],
            num_layers=count_layers(state, "net_g.motion_block"),
            residual_channels=state["net_g.refine.conv1.weight"].shape[0],
        ),
        appearance_codebook=replace(
            full.appearance_codebook,
            num_codes=state["net_g.quantize_app.embedding.weight"].shape[0],
            dim=appearance_dim,
            num_layers=count_layers(state, "net_g.app_block"),
        ),
    )


READERS: dict[str, Callable[[State], ModelConfig]] = {
    "codebook": read_codebook,
    "mcnet": read_mcnet,
    "fomm": read_fomm,
    "tpsmm": read_tpsmm,
}
