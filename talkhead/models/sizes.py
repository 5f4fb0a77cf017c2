"""Which sizes of a model's parts fit each other."""

from __future__ import annotations

from itertools import pairwise

from talkhead.config import CodebookConfig, FommConfig, McnetConfig, ModelConfig, TpsmmConfig
from talkhead.errors import TalkheadError

COARSEST = 2  # pixels a side: a map of fewer has no corners to align
STRONGEST = 64  # times that motion may be smaller than the image: the blur grows with it


def check_sizes(config: ModelConfig) -> None:
    """Raise TalkheadError when a model of these sizes could be built but not draw."""
    dense = config.dense_motion
    _check_hourglass(config.image_size, "dense_motion.size", dense.size, dense.num_blocks)
    _check_widths("dense_motion", dense.base_channels, dense.max_channels)
    _check_features(config)
    _check_memory(config)
    if isinstance(config, TpsmmConfig):
        _check_splines(config)
    else:
        points = config.keypoints
        size, blocks = points.input_size, points.num_blocks
        _check_hourglass(config.image_size, "keypoints.input_size", size, blocks)
        _check_widths("keypoints", points.base_channels, points.max_channels)
        _check_sigmas(config.dense_motion.prior_sigmas, points.num_keypoints)
        _check_tracking(config)
    if isinstance(config, CodebookConfig):
        _check_codebooks(config)


def _check_hourglass(image_size: int, name: str, size: int, blocks: int) -> None:
    if size < 1 or size % 2**blocks or image_size % size or image_size > STRONGEST * size:
        raise TalkheadError(
            f"model.{name}={size} does not fit: it must divide the image size {image_size}, by "
            f"{STRONGEST} at most, and be a multiple of {2**blocks} ({blocks} blocks halve it)"
        )


def _check_widths(name: str, base: int, widest: int) -> None:
    if base > widest:
        raise TalkheadError(
            f"model.{name}.base_channels={base} is more than its max_channels={widest}"
        )


def _check_features(config: ModelConfig) -> None:
    """Every scale is twice as large as the one before it."""
    name, size, halvings = "image_size", config.image_size, len(config.channels) - 1
    if isinstance(config, CodebookConfig) and config.working_size is not None:
        name, size = "working_size", config.working_size
    if size > config.image_size or size % 2**halvings or size < COARSEST * 2**halvings:
        raise TalkheadError(
            f"model.{name}={size} does not fit: it must be a multiple of {2**halvings} (for "
            f"{halvings + 1} scales), at least {COARSEST * 2**halvings} and at most the image size "
            f"{config.image_size}"
        )


def _check_memory(config: ModelConfig) -> None:
    if isinstance(config, CodebookConfig) or config.memory is None:
        return
    # Of FOMM's features only the coarsest is warped.
    warped = 1 if isinstance(config, FommConfig) else len(config.channels)
    _check_scales("memory", config.memory.scales, warped)
    if config.memory.split and any(config.channels[s] % 2 for s in config.memory.scales):
        raise TalkheadError(
            f"model.channels={config.channels} cannot be split into halves, as model.memory.split "
            "wants"
        )


def _check_scales(name: str, scales: tuple[int, ...], count: int) -> None:
    rising = all(before < after for before, after in pairwise(scales))
    if not rising or any(scale >= count for scale in scales):
        raise TalkheadError(
            f"model.{name}.scales={scales} does not fit: there are {count}, from 0; name each "
            "once, in order"
        )


def _check_sigmas(sigmas: tuple[float, ...] | None, num_keypoints: int) -> None:
    if sigmas is not None and len(sigmas) != num_keypoints:
        raise TalkheadError(
            f"model.dense_motion.prior_sigmas has {len(sigmas)} entries for {num_keypoints} "
            "keypoints; give as many, or null"
        )


def _check_tracking(config: CodebookConfig | McnetConfig | FommConfig) -> None:
    points, tracked = config.keypoints, config.keypoints.tracked
    if len(set(tracked)) < len(tracked) or any(each >= points.num_keypoints for each in tracked):
        raise TalkheadError(
            f"model.keypoints.tracked={tracked} does not fit: there are {points.num_keypoints} "
            "keypoints, from 0; name each once"
        )
    if tracked and not isinstance(config, CodebookConfig):
        raise TalkheadError("model.keypoints.tracked needs a codebook model; give () to others")


def _check_splines(config: TpsmmConfig) -> None:
    """Occlusion at every scale comes from the motion's decoder, or from steps after it."""
    sizes, dense = config.scale_sizes[::-1], config.dense_motion
    if dense.size not in sizes or len(sizes) - sizes.index(dense.size) > dense.num_blocks:
        raise TalkheadError(
            f"model.dense_motion.size={dense.size} with {dense.num_blocks} blocks does not fit "
            f"features of {', '.join(map(str, sizes))} pixels"
        )


def _check_codebooks(config: CodebookConfig) -> None:
    motion, appearance = config.motion_codebook, config.appearance_codebook
    groups = config.norm_groups
    normed = {"channels": config.channels}
    if motion.scales:
        normed["motion_codebook.dim"] = (motion.dim,)
    for name, widths in normed.items():
        if any(width % min(groups, width) for width in widths) or min(config.channels) < groups:
            raise TalkheadError(
                f"model.{name}={widths} cannot be divided into model.norm_groups={groups}"
            )
    for name, part in (("motion_codebook", motion), ("appearance_codebook", appearance)):
        _check_scales(name, part.scales, len(config.channels))
        if part.scales and part.dim % part.num_heads:
            raise TalkheadError(
                f"model.{name}.dim={part.dim} cannot be divided among its {part.num_heads} heads"
            )
        if part.scales and part.num_codes < len(config.channels):
            raise TalkheadError(
                f"model.{name}.num_codes={part.num_codes} leaves the coarsest of "
                f"{len(config.channels)} scales without a code"
            )
    if motion.scales and config.dense_motion.size != 2 * config.token_size:
        raise TalkheadError(
            f"with model.image_size={config.image_size} the motion codebook needs "
            f"model.dense_motion.size={2 * config.token_size}, not {config.dense_motion.size}"
        )
