"""What every model computes on its way from two images to a third, by the names of the recordings.

`stages` recomputes the arrays of one pair of `parity/<model>/case_a.npz`; `compare` says how far
off they are. Used by `test_parity.py` in full size and for the small recordings beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talkhead.models.codebook import CodebookModel
from talkhead.models.fomm import FommModel
from talkhead.models.grid import displacement, from_flow, warp
from talkhead.models.mcnet import McnetModel
from talkhead.models.memory import FaceMemory
from talkhead.models.motion import sparse_motions
from talkhead.models.tps import fit_splines
from talkhead.models.tpsmm import TpsmmModel
from talkhead.structs import Keypoints

SIZES = (32, 64, 128, 256)


def stages(model: torch.nn.Module, source: Tensor, driving: Tensor) -> dict[str, Tensor]:
    """Everything recorded for one pair of images (1, 3, H, W) in [0, 1]."""
    match model:
        case CodebookModel():
            return codebook_stages(model, source, driving)
        case McnetModel():
            return mcnet_stages(model, source, driving)
        case FommModel():
            return fomm_stages(model, source, driving)
        case TpsmmModel():
            return tpsmm_stages(model, source, driving)
    raise AssertionError(f"no stages for {type(model).__name__}")


def keypoint_stages(name: str, keypoints: Keypoints) -> dict[str, Tensor]:
    if keypoints.jacobian is None:
        return {name: keypoints.value}
    return {f"{name}_value": keypoints.value, f"{name}_jacobian": keypoints.jacobian}


def by_size(prefix: str, tensors: list[Tensor] | tuple[Tensor, ...]) -> dict[str, Tensor]:
    return {f"{prefix}_{tensor.shape[-1]}": tensor for tensor in tensors}


def first_order_stages(model, state, keypoints, dense) -> dict[str, Tensor]:
    motions = sparse_motions(state.keypoints, keypoints, state.small.shape[-2:])
    copies = state.small.expand(motions.shape[1], -1, -1, -1)
    align = model.dense_motion.align_corners
    return {
        **keypoint_stages("kp_source", state.keypoints),
        **keypoint_stages("kp_driving", keypoints),
        "dense_deformation": dense.deformation,
        "dense_occlusion": dense.occlusion[0],
        "dense_mask": dense.mask,
        "driving_heatmap": dense.heatmap,
        "sparse_motion": motions,
        "sparse_deformed": warp(copies, motions[0], align_corners=align)[None],
    }


def codebook_stages(model: CodebookModel, source: Tensor, driving: Tensor) -> dict[str, Tensor]:
    state, keypoints = model.encode_source(source), model.detect(driving)
    dense = model.dense_motion(state.small, state.keypoints, keypoints)
    steps = model.compensate(state, dense, keypoints)
    train = model.reconstruct(source, driving)
    shallow = model.encoder.shallow(source * 2 - 1)
    out = {
        **first_order_stages(model, state, keypoints, dense),
        "encoder_block18": state.features[0],
        "encoder_block11": shallow[0],
        "encoder_block8": state.features[1],
        "encoder_block5": state.features[2],
        "encoder_block2": state.features[3],
        "motion_0": dense.deformation,
        "image": model._draw(state, steps, ()).own,
        "image_train": train.image * 2 - 1,
        "image_lr": train.coarse_image * 2 - 1,
    }
    teachers = model.encoder.shallow(driving * 2 - 1)
    motion_loss, app_loss = [], []
    for i, (size, step) in enumerate(zip(SIZES, steps, strict=True)):
        motion = model.motion.codebook.quantize(step.embedding, i)
        patches = model.appearance.embed(teachers[i], i)
        app = model.appearance.codebook.quantize(patches, i)
        side = round(patches.shape[1] ** 0.5)
        motion_loss.append(motion.loss)
        app_loss.append(app.loss)
        out |= {
            f"motion_{i + 1}": step.motion,
            f"motion_residual_{size}": step.residual,
            f"occlusion_{size}": step.occlusion,
            f"app_warped_{size}": step.warped,
            f"app_compensated_{size}": step.compensated,
            f"motion_index_{size}": motion.indices[0],
            f"app_index_{size}": app.indices[0],
            f"motion_z_{size}": step.embedding.transpose(1, 2).unflatten(2, (side, side)),
            f"app_z_{size}": patches.transpose(1, 2).unflatten(2, (side, side)),
            f"motion_quant_recon_{size}": from_flow(model.motion.decode_flow(motion.vectors)),
        }
    target = displacement(dense.deformation)
    assert target.shape == steps[0].residual.shape
    return out | {
        "codebook_loss_motion": torch.stack(motion_loss),
        "codebook_loss_app": torch.stack(app_loss),
    }


def memory_stages(memory: FaceMemory, feature: Tensor, points: Tensor, scale: int):
    """The steps inside the memory at one scale, and its consistency term."""
    size = feature.shape[-1]
    port = memory.ports[str(scale)]
    feat = port.project(feature[:, 1::2])
    pooled = feat.mean((2, 3))
    conditioned = memory.condition(pooled, points)
    key, value = torch.relu(memory.key_value(conditioned, pooled)).chunk(2, dim=1)
    readout = memory.read(feature, points, scale)
    query = memory.ask(feat)
    scores = torch.einsum("bdq,bdm->bqm", query.flatten(2), key.flatten(2)) / 4
    residual = torch.einsum("bqm,bdm->bdq", scores.softmax(-1), value.flatten(2))
    out = {
        f"memory_feat_{size}": feat,
        f"memory_query_{size}": query,
        f"memory_conditioned_{size}": conditioned,
        f"memory_key_{size}": key,
        f"memory_value_{size}": value,
        f"memory_residual_{size}": residual.unflatten(2, (size, size)),
        f"memory_out_{size}": readout.compensated,
        f"style_code_{size}": memory.identify(pooled, points),
        f"dynamic_attention_{size}": memory.key_value.mixture(pooled),
    }
    return out, readout.consistency()


def mcnet_stages(model: McnetModel, source: Tensor, driving: Tensor) -> dict[str, Tensor]:
    state, keypoints = model.encode_source(source), model.detect(driving)
    dense = model.dense_motion(state.small, state.keypoints, keypoints)
    warped = model.warp_features(state, dense)
    out = {
        **first_order_stages(model, state, keypoints, dense),
        **by_size("encoder", state.features),
        **by_size("warped", warped),
        "deformed": warp(state.image, dense.deformation),
        "image": model.render(state, keypoints),
    }
    terms = []
    for scale in model.memory.config.scales:
        inner, term = memory_stages(model.memory, warped[scale], state.keypoints.value, scale)
        out |= inner
        terms.append(term)
    return out | {"feat_consistency_l1": torch.stack(terms)}


def fomm_stages(model: FommModel, source: Tensor, driving: Tensor) -> dict[str, Tensor]:
    state, keypoints = model.encode_source(source), model.detect(driving)
    dense = model.dense_motion(state.small, state.keypoints, keypoints)
    (warped,) = model.warp_features(state, dense)
    return {
        **first_order_stages(model, state, keypoints, dense),
        **by_size("encoder", model.encoder(source)),
        "warped_occluded_64": warped,
        "bottleneck_64": model.decoder.residual(warped),
        "deformed": model._warp(state.image, dense.deformation),
        "image": model.render(state, keypoints),
    }


def tpsmm_stages(model: TpsmmModel, source: Tensor, driving: Tensor) -> dict[str, Tensor]:
    state, keypoints = model.encode_source(source), model.detect(driving)
    dense = model.dense_motion(state.small, state.keypoints, keypoints)
    motions = model.dense_motion.candidates(state.keypoints, keypoints, state.small.shape[-2:])
    groups = (model.config.num_groups, model.config.group_size)
    splines = fit_splines(
        state.keypoints.value.unflatten(1, groups), keypoints.value.unflatten(1, groups)
    )
    inputs = model.dense_motion._inputs(state.small, motions, dense.heatmap, state.keypoints)
    images = inputs[:, -3 * motions.shape[1] :].unflatten(1, (-1, 3))
    out = {
        **keypoint_stages("kp_source", state.keypoints),
        **keypoint_stages("kp_driving", keypoints),
        "source_down": state.small,
        "heatmap_diff": inputs[:, : -3 * motions.shape[1]],
        "tps_theta": splines.affine,
        "tps_control_params": splines.weights,
        "transformations": motions,
        "dense_deformation": dense.deformation,
        "contribution_maps": dense.mask,
        "deformed_source": images,
        **by_size("occlusion", dense.occlusion),
        **by_size("encoder", state.features),
        **by_size("warped", model.warp_features(state, dense)),
        "deformed": warp(state.image, dense.deformation),
        "image": model.render(state, keypoints),
        "warp_loss_l1": torch.stack(model.warp_losses(state, driving, dense)[::-1]),
    }
    if model.background is not None:
        train = model.reconstruct(source, driving)
        out["bg_param"] = model.background(source, driving)
        out["with_bg/dense_deformation"] = train.motion
        out["with_bg/image"] = train.image
    if model.avd is not None:
        disentangled = model.disentangle(state.keypoints, keypoints)
        out["avd/kp"] = disentangled.value
        out["avd/image"] = model.render(state, disentangled)
    return out


@dataclass(frozen=True)
class Difference:
    """How far one array is off: largest and mean absolute difference, and what is allowed."""

    name: str
    largest: float
    mean: float
    allowed_largest: float
    allowed_mean: float

    def fits(self, allowance: float = 1.0) -> bool:
        """Whether it is within so many times what is allowed."""
        return (
            self.largest <= allowance * self.allowed_largest
            and self.mean <= allowance * self.allowed_mean
        )

    def __str__(self) -> str:
        return (
            f"{self.name}: largest {self.largest:.1e} (allowed {self.allowed_largest:.1e}), "
            f"mean {self.mean:.1e} (allowed {self.allowed_mean:.1e})"
        )


# Limits for the final image: largest and mean difference (the recordings' README).
IMAGE_LIMITS = {
    "codebook": (2e-4, 1e-5),
    "mcnet": (5e-4, 1e-5),
    "fomm": (2e-4, 1e-5),
    "tpsmm": (1e-3, 2e-5),
}


def limits(family: str, name: str, expected: np.ndarray) -> tuple[float, float]:
    """Largest and mean difference allowed, by what an array is (the recordings' README)."""
    if name == "avd/image":
        return 5e-3, 2e-4
    if name.endswith(("image", "image_train", "image_lr")) or name == "deformed":
        return IMAGE_LIMITS[family]
    if re.fullmatch(r".*_loss.*|feat_consistency_l1", name):
        return 1e-4 * float(np.abs(expected).max()), np.inf
    if re.match(r"kp_|avd/kp|bg_param|tps_", name):
        return 1e-5, np.inf
    if re.search(r"deformation|motion_\d|motion_residual|sparse_motion|transformations", name):
        return (1e-4 if family == "tpsmm" else 2e-5), np.inf
    if re.search(r"mask|occlusion|contribution|heatmap|dynamic_attention", name):
        return 5e-5, np.inf
    return 1e-3 * float(expected.std()), 5e-5


def compare(
    family: str, computed: Mapping[str, Tensor], recorded: Mapping[str, np.ndarray]
) -> list[Difference]:
    """Differences of every recorded array of one pair; a stage that nobody computes fails."""
    out = []
    for full_name, expected in recorded.items():
        name = re.sub(r"_s\d*$", "", full_name)
        if "_index_gap" in name:
            continue
        values = thin(computed[name].detach(), expected.shape)
        if "_index_" in name:  # ties are left out
            clear = recorded[full_name.replace("_index_", "_index_gap_")] >= 1e-3
            wrong = float((values != expected)[clear].sum())
            out.append(Difference(full_name, wrong, 0.0, 0.0, 0.0))
            continue
        gap = np.abs(values.astype(np.float64) - expected)
        allowed = limits(family, name, expected)
        out.append(Difference(full_name, float(gap.max()), float(gap.mean()), *allowed))
    return out


def thin(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Every n-th element along each axis, starting at 0, as the recordings keep them."""
    steps = [full // kept for full, kept in zip(tensor.shape, shape, strict=True)]
    return tensor.numpy()[tuple(slice(None, None, step) for step in steps)]
