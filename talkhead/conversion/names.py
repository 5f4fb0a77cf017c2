"""Tensor names of the four official releases.

A tensor of a release is known here by its network and its key, as "generator.first.conv.weight".
In names, {0} to {3} stand for the sides of the feature maps, coarse to fine: 32, 64, 128, 256.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Names = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layout:
    """One release.

    origin, licence: what the provenance of converted weights says.
    files:    of each file its entries, and the network in each entry.
    optional: networks that a release may lack.
    names:    pairs (release's name, our name). One of our tensors belongs to the pair with the
              longest name of ours that it starts with.
    inside:   what follows that name, where it differs: (release's, ours).
    pointwise: linear maps of ours that the release has as 1 x 1 convolutions.
    stacked:  tensors of ours that the release has with one more, leading dimension.
    kernels:  the anti-alias kernels, which a release holds and we compute.
    prefix:   of all keys, as the release's own loader expects it.
    """

    origin: str
    licence: str
    files: dict[str, dict[str, str]]
    names: Names
    kernels: tuple[str, ...]
    optional: tuple[str, ...] = ()
    inside: Names = ()
    pointwise: tuple[str, ...] = ()
    stacked: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def networks(self) -> set[str]:
        """Names of all networks of the release."""
        return {network for entries in self.files.values() for network in entries.values()}

    def official_name(self, key: str, sizes: Sequence[int]) -> str | None:
        """The release's name of one of our tensors, None if it has none."""
        fitting = [pair for pair in self.names if key == pair[1] or key.startswith(pair[1] + ".")]
        if not fitting:
            return None
        theirs, ours = max(fitting, key=lambda pair: len(pair[1]))
        rest = key.removeprefix(ours)
        for their_part, our_part in self.inside:
            rest = rest.replace(f".{our_part}", f".{their_part}")
        return theirs.format(*sizes) + rest


def _hourglass(theirs: str, ours: str) -> Names:
    return (
        (f"{theirs}.encoder.down_blocks", f"{ours}.down"),
        (f"{theirs}.decoder.up_blocks", f"{ours}.up"),
    )


def _first_order(detector: str, motion: str) -> Names:
    """Keypoint detector and dense motion of FOMM, MCNet and the codebook model."""
    return (
        *_hourglass(f"{detector}.predictor", "keypoint_detector.hourglass"),
        (f"{detector}.kp", "keypoint_detector.heatmap"),
        (f"{detector}.jacobian", "keypoint_detector.jacobian"),
        *_hourglass(f"{motion}.hourglass", "dense_motion.hourglass"),
        (f"{motion}.mask", "dense_motion.mask"),
        (f"{motion}.occlusion", "dense_motion.occlusion"),
    )


def _unet(network: str) -> Names:
    """The generator that MCNet and TPSMM share."""
    return (
        (f"{network}.first", "encoder.first"),
        (f"{network}.down_blocks", "encoder.down"),
        (f"{network}.resblock", "decoder.residual"),
        (f"{network}.up_blocks", "decoder.up"),
        (f"{network}.final", "decoder.final"),
    )


def _numbered(theirs: str, ours: str, parts: str) -> Names:
    """Names of a list of the release: which part of ours stands at 0, 1, 2, ..."""
    return tuple((f"{theirs}.{n}", f"{ours}.{part}") for n, part in enumerate(parts.split()))


def _scaled(theirs: str, ours: str, sides: Sequence[int] = range(4), first: int = 0) -> Names:
    """Names at several sides of feature maps, in place of N; ours count from `first` of theirs."""
    return tuple((theirs.replace("N", str(n)), ours.replace("N", str(n - first))) for n in sides)


_MOTION = "generator.dense_motion_network"
_FINE = (1, 2, 3)  # all sides but the coarsest
_ENCODER = """
    stem levels.0.0 levels.0.1 downs.0 levels.1.0 levels.1.1 downs.1 levels.2.0 levels.2.1 downs.2
    coarse_in.0 coarse_in.1 coarse_out.0 coarse_out.1 middle.0 middle.1 middle.2 norm out
"""
_DECODER = """
    stem middle.0 middle.1 middle.2 coarse.0 coarse.1 coarse.2 coarse.3 levels.0.up levels.0.before
    levels.0.after levels.1.up levels.1.before levels.1.after levels.2.up levels.2.before
    levels.2.after norm out
"""

CODEBOOK = Layout(
    origin="converted from the official release of the codebook model (CVPR 2025)",
    licence="CC BY-NC 4.0",
    files={
        "net_g_latest.pth": {"params": "net_g", "params_ema": "net_g"},
        "net_motion_estimator_latest.pth": {"params": "motion_estimator"},
    },
    kernels=(
        "motion_estimator.kp_detector.down.weight",
        "motion_estimator.dense_motion_network.down.weight",
    ),
    names=(
        *_first_order("motion_estimator.kp_detector", "motion_estimator.dense_motion_network"),
        ("net_g.position_emb_app", "appearance.position"),
        ("net_g.position_emb_motion", "motion.position"),
        ("net_g.quantize_app.embedding.weight", "appearance.codebook.codes"),
        ("net_g.quantize_motion.embedding.weight", "motion.codebook.codes"),
        *_numbered("net_g.encoder.blocks", "encoder", _ENCODER),
        *_numbered("net_g.generator.blocks", "decoder", _DECODER),
        ("net_g.app_feat_emb_{0}", "appearance.patches.0.embed"),
        *_scaled("net_g.app_feat_emb_{N}.1", "appearance.patches.N.embed", _FINE),
        ("net_g.to_app_feat_{0}", "appearance.patches.0.restore"),
        *_scaled("net_g.to_app_feat_{N}.0", "appearance.patches.N.restore", _FINE),
        ("net_g.app_block", "appearance.layers"),
        *_scaled("net_g.fuse_convs_dict.{N}.encode_enc", "decoder.levels.N.fusion.joint", _FINE, 1),
        *_scaled("net_g.fuse_convs_dict.{N}.scale", "decoder.levels.N.fusion.scale", _FINE, 1),
        *_scaled("net_g.fuse_convs_dict.{N}.shift", "decoder.levels.N.fusion.shift", _FINE, 1),
        *_scaled("net_g.fuse_ms_dict.{N}", "decoder.levels.N.fusion.add", _FINE, 1),
        ("net_g.motion_emb", "motion.embedding"),
        ("net_g.motion_block", "motion.layers"),
        ("net_g.to_motion", "motion.to_motion"),
        ("net_g.BasicMotionEncoder.convc1", "motion.head.token1"),
        ("net_g.BasicMotionEncoder.convc2", "motion.head.token2"),
        ("net_g.BasicMotionEncoder.convf1", "motion.head.flow1"),
        ("net_g.BasicMotionEncoder.convf2", "motion.head.flow2"),
        ("net_g.BasicMotionEncoder.conv", "motion.head.joint"),
        ("net_g.to_context", "motion.head.context1"),
        ("net_g.refine.convc1", "motion.head.context2"),
        ("net_g.refine.conv1", "motion.head.residual1"),
        ("net_g.refine.conv2", "motion.head.residual2"),
        ("net_g.refine.convo1", "motion.head.occlusion1"),
        ("net_g.refine.convo2", "motion.head.occlusion2"),
        *_scaled("net_g.warped_source_enc_{N}", "motion.source_query.N"),
        ("net_g.driving_kp_enc", "motion.keypoint_query"),
        ("net_g.motion_query_enc_1", "motion.query1"),
        ("net_g.motion_query_enc_2", "motion.query2"),
    ),
    inside=(
        ("conv_out.", "shortcut."),
        ("q.", "query."),
        ("k.", "key."),
        ("v.", "value."),
        ("proj_out.", "out."),
        ("self_attn.in_proj_", "self_attention.in_proj."),
        ("self_attn.out_proj.", "self_attention.out_proj."),
        ("cross_attn.in_proj_", "cross_attention.in_proj."),
        ("cross_attn.out_proj.", "cross_attention.out_proj."),
    ),
    pointwise=("net_g.app_feat_emb_{0}.weight", "net_g.to_app_feat_{0}.weight"),
)

MCNET = Layout(
    origin="converted from the official release of MCNet (ICCV 2023)",
    licence="none published: all rights reserved",
    files={
        "final-checkpoint.pth.tar": {"generator": "generator", "kp_detector": "kp_detector"},
    },
    prefix="module.",
    kernels=("kp_detector.down.weight", f"{_MOTION}.down.weight"),
    names=(
        *_first_order("kp_detector", _MOTION),
        *_unet("generator"),
        ("generator.mbUnit.mb", "memory.bank"),
        *_scaled("generator.mbUnit.feat_forward_proj_{N}", "memory.ports.N.project"),
        *_scaled("generator.mbUnit.conv_{N}", "memory.ports.N.conv"),
        *_scaled("generator.mbUnit.norm_{N}", "memory.ports.N.norm"),
        ("generator.mbUnit.query_conv", "memory.query"),
        ("generator.mbUnit.conv_kv", "memory.key_value"),
        ("generator.mbUnit.conv_kv.attention.fc1", "memory.key_value.attention.0"),
        ("generator.mbUnit.conv_kv.attention.fc2", "memory.key_value.attention.2"),
        ("generator.mbUnit.diff_conv", "memory.difference"),
        ("generator.mbUnit.style_route", "memory.identity"),
        ("generator.mbUnit.styleconv.weight", "memory.style_conv.noise_weight"),
        ("generator.mbUnit.styleconv.modulated_conv.weight", "memory.style_conv.weight"),
        ("generator.mbUnit.styleconv.modulated_conv.modulation", "memory.style_conv.modulation"),
        ("generator.mbUnit.styleconv.activate.bias", "memory.style_conv.bias"),
    ),
    pointwise=(
        "generator.mbUnit.conv_kv.attention.fc1.weight",
        "generator.mbUnit.conv_kv.attention.fc2.weight",
    ),
    stacked=("generator.mbUnit.styleconv.modulated_conv.weight",),
)

FOMM = Layout(
    origin="converted from the official release of FOMM (NeurIPS 2019)",
    licence="MIT",
    files={"vox-cpk.pth.tar": {"generator": "generator", "kp_detector": "kp_detector"}},
    kernels=("kp_detector.down.weight", f"{_MOTION}.down.weight"),
    names=(
        *_first_order("kp_detector", _MOTION),
        ("generator.first", "encoder.first"),
        ("generator.down_blocks", "encoder.down"),
        *((f"generator.bottleneck.r{n}", f"decoder.residual.{n}") for n in range(6)),
        ("generator.up_blocks", "decoder.up"),
        ("generator.final", "decoder.final"),
    ),
)

TPSMM = Layout(
    origin="converted from the official release of TPSMM (CVPR 2022)",
    licence="MIT",
    files={
        "vox.pth.tar": {
            "inpainting_network": "inpainting_network",
            "dense_motion_network": "dense_motion_network",
            "kp_detector": "kp_detector",
            "bg_predictor": "bg_predictor",
            "avd_network": "avd_network",
        }
    },
    optional=("bg_predictor", "avd_network"),
    kernels=("dense_motion_network.down.weight",),
    names=(
        ("kp_detector.fg_encoder", "keypoint_detector.encoder"),
        *_hourglass("dense_motion_network.hourglass", "dense_motion.hourglass"),
        ("dense_motion_network.maps", "dense_motion.maps"),
        ("dense_motion_network.up", "dense_motion.up"),
        ("dense_motion_network.occlusion", "dense_motion.occlusion"),
        *_unet("inpainting_network"),
        ("bg_predictor.bg_encoder", "background.encoder"),
        ("avd_network.id_encoder", "avd.identity"),
        ("avd_network.pose_encoder", "avd.pose"),
        ("avd_network.decoder", "avd.decoder"),
    ),
)

LAYOUTS = {"codebook": CODEBOOK, "mcnet": MCNET, "fomm": FOMM, "tpsmm": TPSMM}
