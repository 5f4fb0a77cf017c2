"""Foreign checkpoints: read safely, recognise, read the sizes, rename, check; and back again."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from talkhead.checkpoint import Header, Provenance, describe_mismatch, sha256, write
from talkhead.config import CodebookConfig, preset
from talkhead.errors import TalkheadError
from talkhead.models import build
from talkhead.models.blocks import gaussian_kernel

State = dict[str, Tensor]

# Pairs (release's name, our name). A key belongs to the pair with the longest prefix that fits.
MOTION_ESTIMATOR = [
    ("kp_detector.predictor.encoder.down_blocks", "keypoint_detector.hourglass.down"),
    ("kp_detector.predictor.decoder.up_blocks", "keypoint_detector.hourglass.up"),
    ("kp_detector.kp", "keypoint_detector.heatmap"),
    ("kp_detector.jacobian", "keypoint_detector.jacobian"),
    ("dense_motion_network.hourglass.encoder.down_blocks", "dense_motion.hourglass.down"),
    ("dense_motion_network.hourglass.decoder.up_blocks", "dense_motion.hourglass.up"),
    ("dense_motion_network.mask", "dense_motion.mask"),
    ("dense_motion_network.occlusion", "dense_motion.occlusion"),
]
CODEBOOK_GENERATOR = [
    ("position_emb_app", "appearance.position"),
    ("position_emb_motion", "motion.position"),
    ("quantize_app.embedding.weight", "appearance.codebook.codes"),
    ("quantize_motion.embedding.weight", "motion.codebook.codes"),
    ("encoder.blocks.0", "encoder.stem"),
    ("encoder.blocks.1", "encoder.levels.0.0"),
    ("encoder.blocks.2", "encoder.levels.0.1"),
    ("encoder.blocks.3", "encoder.downs.0"),
    ("encoder.blocks.4", "encoder.levels.1.0"),
    ("encoder.blocks.5", "encoder.levels.1.1"),
    ("encoder.blocks.6", "encoder.downs.1"),
    ("encoder.blocks.7", "encoder.levels.2.0"),
    ("encoder.blocks.8", "encoder.levels.2.1"),
    ("encoder.blocks.9", "encoder.downs.2"),
    ("encoder.blocks.10", "encoder.coarse_in.0"),
    ("encoder.blocks.11", "encoder.coarse_in.1"),
    ("encoder.blocks.12", "encoder.coarse_out.0"),
    ("encoder.blocks.13", "encoder.coarse_out.1"),
    ("encoder.blocks.14", "encoder.middle.0"),
    ("encoder.blocks.15", "encoder.middle.1"),
    ("encoder.blocks.16", "encoder.middle.2"),
    ("encoder.blocks.17", "encoder.norm"),
    ("encoder.blocks.18", "encoder.out"),
    ("generator.blocks.0", "decoder.stem"),
    ("generator.blocks.1", "decoder.middle.0"),
    ("generator.blocks.2", "decoder.middle.1"),
    ("generator.blocks.3", "decoder.middle.2"),
    ("generator.blocks.4", "decoder.coarse.0"),
    ("generator.blocks.5", "decoder.coarse.1"),
    ("generator.blocks.6", "decoder.coarse.2"),
    ("generator.blocks.7", "decoder.coarse.3"),
    ("generator.blocks.8", "decoder.levels.0.up"),
    ("generator.blocks.9", "decoder.levels.0.before"),
    ("generator.blocks.10", "decoder.levels.0.after"),
    ("generator.blocks.11", "decoder.levels.1.up"),
    ("generator.blocks.12", "decoder.levels.1.before"),
    ("generator.blocks.13", "decoder.levels.1.after"),
    ("generator.blocks.14", "decoder.levels.2.up"),
    ("generator.blocks.15", "decoder.levels.2.before"),
    ("generator.blocks.16", "decoder.levels.2.after"),
    ("generator.blocks.17", "decoder.norm"),
    ("generator.blocks.18", "decoder.out"),
    ("app_feat_emb_32", "appearance.patches.0.embed"),
    ("app_feat_emb_64.1", "appearance.patches.1.embed"),
    ("app_feat_emb_128.1", "appearance.patches.2.embed"),
    ("app_feat_emb_256.1", "appearance.patches.3.embed"),
    ("to_app_feat_32", "appearance.patches.0.restore"),
    ("to_app_feat_64.0", "appearance.patches.1.restore"),
    ("to_app_feat_128.0", "appearance.patches.2.restore"),
    ("to_app_feat_256.0", "appearance.patches.3.restore"),
    ("app_block", "appearance.layers"),
    ("fuse_convs_dict.64.encode_enc", "decoder.levels.0.fusion.joint"),
    ("fuse_convs_dict.64.scale", "decoder.levels.0.fusion.scale"),
    ("fuse_convs_dict.64.shift", "decoder.levels.0.fusion.shift"),
    ("fuse_ms_dict.64", "decoder.levels.0.fusion.add"),
    ("fuse_convs_dict.128.encode_enc", "decoder.levels.1.fusion.joint"),
    ("fuse_convs_dict.128.scale", "decoder.levels.1.fusion.scale"),
    ("fuse_convs_dict.128.shift", "decoder.levels.1.fusion.shift"),
    ("fuse_ms_dict.128", "decoder.levels.1.fusion.add"),
    ("fuse_convs_dict.256.encode_enc", "decoder.levels.2.fusion.joint"),
    ("fuse_convs_dict.256.scale", "decoder.levels.2.fusion.scale"),
    ("fuse_convs_dict.256.shift", "decoder.levels.2.fusion.shift"),
    ("fuse_ms_dict.256", "decoder.levels.2.fusion.add"),
    ("motion_emb", "motion.embedding"),
    ("motion_block", "motion.layers"),
    ("to_motion", "motion.to_motion"),
    ("BasicMotionEncoder.convc1", "motion.head.token1"),
    ("BasicMotionEncoder.convc2", "motion.head.token2"),
    ("BasicMotionEncoder.convf1", "motion.head.flow1"),
    ("BasicMotionEncoder.convf2", "motion.head.flow2"),
    ("BasicMotionEncoder.conv", "motion.head.joint"),
    ("to_context", "motion.head.context1"),
    ("refine.convc1", "motion.head.context2"),
    ("refine.conv1", "motion.head.residual1"),
    ("refine.conv2", "motion.head.residual2"),
    ("refine.convo1", "motion.head.occlusion1"),
    ("refine.convo2", "motion.head.occlusion2"),
    ("warped_source_enc_32", "motion.source_query.0"),
    ("warped_source_enc_64", "motion.source_query.1"),
    ("warped_source_enc_128", "motion.source_query.2"),
    ("warped_source_enc_256", "motion.source_query.3"),
    ("driving_kp_enc", "motion.keypoint_query"),
    ("motion_query_enc_1", "motion.query1"),
    ("motion_query_enc_2", "motion.query2"),
]
# What follows the prefix, where it differs: (release's, ours).
INSIDE = [
    ("conv_out.", "shortcut."),
    ("q.", "query."),
    ("k.", "key."),
    ("v.", "value."),
    ("proj_out.", "out."),
    ("self_attn.in_proj_", "self_attention.in_proj."),
    ("self_attn.out_proj.", "self_attention.out_proj."),
    ("cross_attn.in_proj_", "cross_attention.in_proj."),
    ("cross_attn.out_proj.", "cross_attention.out_proj."),
]


def read_torch(path: Path) -> dict[str, Any]:
    """Read a torch file without running anything that it holds: the only `torch.load` here."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except FileNotFoundError as error:
        raise TalkheadError(f"no file {path}") from error
    except pickle.UnpicklingError as error:
        raise TalkheadError(
            f"{path} holds more than tensors and plain containers, so it was not read "
            f"({str(error).splitlines()[0]})"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise TalkheadError(f"{path} is not a readable torch checkpoint: {error}") from error
    if not isinstance(content, dict):
        raise TalkheadError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    return content


def _is_zip(path: Path) -> bool:
    return path.is_file() and zipfile.is_zipfile(path)


def strip_module(state: Mapping[str, Tensor]) -> State:
    """Drop the prefix of a wrapper for distributed training, if all keys have it."""
    if state and all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): tensor for key, tensor in state.items()}
    return dict(state)


def official_name(key: str, table: Sequence[tuple[str, str]]) -> str | None:
    """The release's name of one of our tensors, None if the table has none."""
    fitting = [pair for pair in table if key == pair[1] or key.startswith(pair[1] + ".")]
    if not fitting:
        return None
    theirs, ours = max(fitting, key=lambda pair: len(pair[1]))
    rest = key.removeprefix(ours)
    for their_part, our_part in INSIDE:
        rest = rest.replace(f".{our_part}", f".{their_part}")
    return theirs + rest


def convert_codebook(generator: State, estimator: State) -> tuple[CodebookConfig, State]:
    """The codebook release's two networks as a configuration and our tensors."""
    config = read_codebook_config(generator, estimator)
    given = generator | estimator
    for name in ("kp_detector.down.weight", "dense_motion_network.down.weight"):
        kernel = given.pop(name, None)
        if kernel is not None and not torch.allclose(kernel[0, 0], gaussian_kernel(4), atol=1e-6):
            raise TalkheadError(f"{name} is not the anti-alias kernel of the release")
    return config, rename(given, build(config), CODEBOOK_GENERATOR + MOTION_ESTIMATOR)


def rename(given: State, model: torch.nn.Module, table: Sequence[tuple[str, str]]) -> State:
    """Their tensors under our names; every one used exactly once, or an error names it."""
    given = dict(given)
    tensors = {}
    for name, wanted in model.state_dict().items():
        theirs = official_name(name, table)
        if theirs is None or theirs not in given:
            raise TalkheadError(f"the checkpoint has no {theirs or name}")
        tensor = given.pop(theirs)
        if tensor.shape != wanted.shape and tensor.squeeze().shape == wanted.squeeze().shape:
            tensor = tensor.reshape(wanted.shape)  # a 1 x 1 convolution is a linear map
        tensors[name] = tensor
    if given:
        raise TalkheadError(f"the checkpoint has {len(given)} unknown tensors, as {min(given)}")
    mismatch = describe_mismatch(model, tensors)
    if mismatch:
        raise TalkheadError(f"the checkpoint does not fit the model that it looks like: {mismatch}")
    return tensors


def read_codebook_config(generator: State, estimator: State) -> CodebookConfig:
    """Sizes from tensor shapes; what no shape tells is the release's."""
    full = preset("codebook")
    try:
        tokens, appearance_dim = generator["position_emb_app"].shape
        motion_dim = generator["position_emb_motion"].shape[1]
        levels = [f"encoder.blocks.{i}.conv2.weight" for i in (10, 8, 5, 2)]
        return replace(
            full,
            image_size=round(tokens**0.5) * 8,
            channels=tuple(generator[name].shape[0] for name in levels),
            keypoints=replace(
                full.keypoints, num_keypoints=estimator["kp_detector.kp.weight"].shape[0]
            ),
            motion_codebook=replace(
                full.motion_codebook,
                num_codes=generator["quantize_motion.embedding.weight"].shape[0],
                dim=motion_dim,
                num_layers=count_layers(generator, "motion_block"),
                residual_channels=generator["refine.conv1.weight"].shape[0],
            ),
            appearance_codebook=replace(
                full.appearance_codebook,
                num_codes=generator["quantize_app.embedding.weight"].shape[0],
                dim=appearance_dim,
                num_layers=count_layers(generator, "app_block"),
            ),
        )
    except KeyError as error:
        raise TalkheadError(f"this looks like the codebook release, but has no {error}") from error


def count_layers(state: State, prefix: str) -> int:
    """How many numbered layers there are under a prefix."""
    start = len(prefix.split("."))
    return len({key.split(".")[start] for key in state if key.startswith(prefix + ".")})


def convert(files: Sequence[Path], output: Path) -> Header:
    """Read an official release from one or two files and write it in our format."""
    generator: State = {}
    estimator: State = {}
    for path in files:
        content = read_torch(path)
        state = strip_module(content.get("params_ema", content.get("params", content)))
        if "position_emb_app" in state:
            generator = state
        elif any(key.startswith("kp_detector.") for key in state):
            estimator = state
        else:
            raise TalkheadError(f"{path} is none of the known releases; it has a {min(state)}")
    if not generator or not estimator:
        missing = "motion estimator" if generator else "generator (net_g)"
        raise TalkheadError(f"the codebook release comes in two files; the {missing} is missing")
    config, tensors = convert_codebook(generator, estimator)
    provenance = Provenance(
        origin="converted from the official release of the codebook model (CVPR 2025)",
        licence="CC BY-NC 4.0",
        sources={path.name: sha256(path) for path in files},
    )
    header = Header(config, provenance)
    write(output, tensors, header)
    return header
