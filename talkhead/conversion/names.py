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


_MOTION = "generator.dense_motion_network"

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
        ("net_g.encoder.blocks.0", "encoder.stem"),
        ("net_g.encoder.blocks.1", "encoder.levels.0.0"),
        ("net_g.encoder.blocks.2", "encoder.levels.0.1"),
        ("net_g.encoder.blocks.3", "encoder.downs.0"),
        ("net_g.encoder.blocks.4", "encoder.levels.1.0"),
        ("net_g.encoder.blocks.5", "encoder.levels.1.1"),
        ("net_g.encoder.blocks.6", "encoder.downs.1"),
        ("net_g.encoder.blocks.7", "encoder.levels.2.0"),
        ("net_g.encoder.blocks.8", "encoder.levels.2.1"),
        ("net_g.encoder.blocks.9", "encoder.downs.2"),
        ("net_g.encoder.blocks.10", "encoder.coarse_in.0"),
        ("net_g.encoder.blocks.11", "encoder.coarse_in.1"),
        ("net_g.encoder.blocks.12", "encoder.coarse_out.0"),
        ("net_g.encoder.blocks.13", "encoder.coarse_out.1"),
        ("net_g.encoder.blocks.14", "encoder.middle.0"),
        ("net_g.encoder.blocks.15", "encoder.middle.1"),
        ("net_g.encoder.blocks.16", "encoder.middle.2"),
        ("net_g.encoder.blocks.17", "encoder.norm"),
        ("net_g.encoder.blocks.18", "encoder.out"),
        ("net_g.generator.blocks.0", "decoder.stem"),
        ("net_g.generator.blocks.1", "decoder.middle.0"),
        ("net_g.generator.blocks.2", "decoder.middle.1"),
        ("net_g.generator.blocks.3", "decoder.middle.2"),
        ("net_g.generator.blocks.4", "decoder.coarse.0"),
        ("net_g.generator.blocks.5", "decoder.coarse.1"),
        ("net_g.generator.blocks.6", "decoder.coarse.2"),
        ("net_g.generator.blocks.7", "decoder.coarse.3"),
        ("net_g.generator.blocks.8", "decoder.levels.0.up"),
        ("net_g.generator.blocks.9", "decoder.levels.0.before"),
        ("net_g.generator.blocks.10", "decoder.levels.0.after"),
        ("net_g.generator.blocks.11", "decoder.levels.1.up"),
        ("net_g.generator.blocks.12", "decoder.levels.1.before"),
        ("net_g.generator.blocks.13", "decoder.levels.1.after"),
        ("net_g.generator.blocks.14", "decoder.levels.2.up"),
        ("net_g.generator.blocks.15", "decoder.levels.2.before"),
        ("net_g.generator.blocks.16", "decoder.levels.2.after"),
        ("net_g.generator.blocks.17", "decoder.norm"),
        ("net_g.generator.blocks.18", "decoder.out"),
        ("net_g.app_feat_emb_{0}", "appearance.patches.0.embed"),
        ("net_g.app_feat_emb_{1}.1", "appearance.patches.1.embed"),
        ("net_g.app_feat_emb_{2}.1", "appearance.patches.2.embed"),
        ("net_g.app_feat_emb_{3}.1", "appearance.patches.3.embed"),
        ("net_g.to_app_feat_{0}", "appearance.patches.0.restore"),
        ("net_g.to_app_feat_{1}.0", "appearance.patches.1.restore"),
        ("net_g.to_app_feat_{2}.0", "appearance.patches.2.restore"),
        ("net_g.to_app_feat_{3}.0", "appearance.patches.3.restore"),
        ("net_g.app_block", "appearance.layers"),
        ("net_g.fuse_convs_dict.{1}.encode_enc", "decoder.levels.0.fusion.joint"),
        ("net_g.fuse_convs_dict.{1}.scale", "decoder.levels.0.fusion.scale"),
        ("net_g.fuse_convs_dict.{1}.shift", "decoder.levels.0.fusion.shift"),
        ("net_g.fuse_ms_dict.{1}", "decoder.levels.0.fusion.add"),
        ("net_g.fuse_convs_dict.{2}.encode_enc", "decoder.levels.1.fusion.joint"),
        ("net_g.fuse_convs_dict.{2}.scale", "decoder.levels.1.fusion.scale"),
        ("net_g.fuse_convs_dict.{2}.shift", "decoder.levels.1.fusion.shift"),
        ("net_g.fuse_ms_dict.{2}", "decoder.levels.1.fusion.add"),
        ("net_g.fuse_convs_dict.{3}.encode_enc", "decoder.levels.2.fusion.joint"),
        ("net_g.fuse_convs_dict.{3}.scale", "decoder.levels.2.fusion.scale"),
        ("net_g.fuse_convs_dict.{3}.shift", "decoder.levels.2.fusion.shift"),
        ("net_g.fuse_ms_dict.{3}", "decoder.levels.2.fusion.add"),
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
        ("net_g.warped_source_enc_{0}", "motion.source_query.0"),
        ("net_g.warped_source_enc_{1}", "motion.source_query.1"),
        ("net_g.warped_source_enc_{2}", "motion.source_query.2"),
        ("net_g.warped_source_enc_{3}", "motion.source_query.3"),
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
        ("generator.mbUnit.feat_forward_proj_{0}", "memory.ports.0.project"),
        ("generator.mbUnit.feat_forward_proj_{1}", "memory.ports.1.project"),
        ("generator.mbUnit.feat_forward_proj_{2}", "memory.ports.2.project"),
        ("generator.mbUnit.feat_forward_proj_{3}", "memory.ports.3.project"),
        ("generator.mbUnit.conv_{0}", "memory.ports.0.conv"),
        ("generator.mbUnit.conv_{1}", "memory.ports.1.conv"),
        ("generator.mbUnit.conv_{2}", "memory.ports.2.conv"),
        ("generator.mbUnit.conv_{3}", "memory.ports.3.conv"),
        ("generator.mbUnit.norm_{0}", "memory.ports.0.norm"),
        ("generator.mbUnit.norm_{1}", "memory.ports.1.norm"),
        ("generator.mbUnit.norm_{2}", "memory.ports.2.norm"),
        ("generator.mbUnit.norm_{3}", "memory.ports.3.norm"),
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
        ("generator.bottleneck.r0", "decoder.residual.0"),
        ("generator.bottleneck.r1", "decoder.residual.1"),
        ("generator.bottleneck.r2", "decoder.residual.2"),
        ("generator.bottleneck.r3", "decoder.residual.3"),
        ("generator.bottleneck.r4", "decoder.residual.4"),
        ("generator.bottleneck.r5", "decoder.residual.5"),
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
