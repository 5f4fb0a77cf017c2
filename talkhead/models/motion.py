"""Keypoints and first-order dense motion (FOMM, NeurIPS 2019).

FOMM, MCNet and the codebook model use them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkhead.config import DenseMotionConfig, KeypointConfig
from talkhead.models.blocks import AntiAliasDownsample, Hourglass
from talkhead.models.grid import (
    affine_motions,
    gaussian_maps,
    identity_grid,
    inverse_2x2,
    matmul_2x2,
    sample,
    squared_distances,
)
from talkhead.models.mesh import mesh_motion, unknown_mesh
from talkhead.structs import DenseMotion, Keypoints


class KeypointDetector(nn.Module):
    """Keypoints as the expectation of a softmax heatmap, jacobians weighted by the same heatmap.

    Images (B, 3, H, W) -> Keypoints. The two heads are unpadded convolutions, so -1 and 1 are the
    centres of the outermost *valid* positions.
    """

    def __init__(self, config: KeypointConfig, image_size: int) -> None:
        super().__init__()
        self.config = config
        self.down = AntiAliasDownsample(3, image_size // config.input_size)
        self.hourglass = Hourglass(config.base_channels, 3, config.num_blocks, config.max_channels)
        channels = self.hourglass.out_channels
        self.heatmap = nn.Conv2d(channels, config.num_keypoints, 7)
        self.jacobian = nn.Conv2d(channels, 4 * config.num_keypoints, 7)
        nn.init.zeros_(self.jacobian.weight)
        identity = torch.tensor([1.0, 0.0, 0.0, 1.0] * config.num_keypoints)
        with torch.no_grad():
            assert self.jacobian.bias is not None
            self.jacobian.bias.copy_(identity)

    def forward(self, images: Tensor) -> Keypoints:
        """(B, 3, H, W) -> keypoints (B, K, 2) with jacobians."""
        features = self.hourglass(self.down(images))[-1]
        logits = self.heatmap(features).float()
        heatmap = F.softmax(logits.flatten(2) / self.config.temperature, dim=-1)
        height, width = logits.shape[-2:]
        grid = identity_grid(height, width, device=images.device).flatten(0, 1)
        value = (heatmap[..., None] * grid).sum(-2)
        jacobian = self.jacobian(features).float().flatten(2).unflatten(1, (-1, 4))
        jacobian = (heatmap[:, :, None] * jacobian).sum(-1).unflatten(-1, (2, 2))
        return Keypoints(value, jacobian)


def sparse_motions(source: Keypoints, driving: Keypoints, size: tuple[int, int]) -> Tensor:
    """Candidate motions (B, K + 1, h, w, 2): the identity, then one affine map per keypoint.

    Candidate k maps z to J_s J_d^-1 (z - p_d) + p_s (FOMM, Eq. 4).
    """
    identity = torch.eye(2, device=driving.value.device).expand(len(driving), 1, 2, 2)
    affine = identity.expand(-1, driving.value.shape[1], -1, -1)
    if driving.jacobian is not None and source.jacobian is not None:
        affine = matmul_2x2(source.jacobian, inverse_2x2(driving.jacobian))
    shift = source.value - matmul_2x2(affine, driving.value[..., None])[..., 0]
    return affine_motions(torch.cat([identity, affine], dim=1), F.pad(shift, (0, 0, 1, 0)), size)


def with_mesh_motion(
    motions: Tensor, source: Keypoints, driving: Keypoints
) -> tuple[Tensor, Tensor]:
    """Candidate motions (B, n, h, w, 2) and that of the meshes; its log-weight (B, 1, h, w)."""
    before, after = (unknown_mesh(k) if k.mesh is None else k.mesh for k in (source, driving))
    motion, logit = mesh_motion(before, after, (motions.shape[2], motions.shape[3]))
    return torch.cat([motions, motion[:, None]], dim=1), logit[:, None]


class DenseMotionEstimator(nn.Module):
    """Blends the candidate motions into one deformation, and predicts what is occluded.

    Works at `config.size`; sees the small source image warped by every candidate.

    mesh: the motion of face meshes is one more candidate, the last.
    """

    prior_precision: Tensor

    def __init__(
        self,
        config: DenseMotionConfig,
        num_keypoints: int,
        image_size: int,
        *,
        align_corners: bool = False,
        mesh: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.mesh = mesh
        candidates = num_keypoints + 1 + mesh
        self.align_corners = align_corners
        self.down = AntiAliasDownsample(3, image_size // config.size)
        self.hourglass = Hourglass(
            config.base_channels,
            4 * candidates,
            config.num_blocks,
            config.max_channels,
        )
        channels = self.hourglass.out_channels
        self.mask = nn.Conv2d(channels, candidates, 7, padding=3)
        self.occlusion = nn.Conv2d(channels, 1, 7, padding=3)
        if config.prior_sigmas is not None:
            # On the CPU even while building on `meta`: no checkpoint holds these numbers.
            sigmas = torch.tensor(config.prior_sigmas, device="cpu")
            self.register_buffer("prior_precision", 0.5 / sigmas.square(), persistent=False)

    def forward(self, small: Tensor, source: Keypoints, driving: Keypoints) -> DenseMotion:
        """`small` (B, 3, h, w) is the source after `self.down`."""
        height, width = small.shape[-2:]
        motions = sparse_motions(source, driving, (height, width))
        heatmap = gaussian_maps(driving.value, (height, width))
        difference = heatmap - gaussian_maps(source.value, (height, width))
        difference = F.pad(difference, (0, 0, 0, 0, 1, 0))  # a zero map for the background
        likely = torch.zeros_like(difference)
        if self.config.prior_sigmas is not None:
            likely = self._prior(driving, height, width)
        if self.mesh:
            motions, nearness = with_mesh_motion(motions, source, driving)
            difference = torch.cat([difference, torch.sigmoid(nearness)], dim=1)
            likely = torch.cat([likely, nearness], dim=1)
        inputs = self._inputs(small, motions, difference)
        features = self.hourglass(inputs.to(small.dtype))[-1]
        logits, occlusion = self._heads(features)
        mask = F.softmax(logits + likely, dim=1)
        deformation = (mask[..., None] * motions).sum(1)
        return DenseMotion(deformation, (torch.sigmoid(occlusion),), mask, heatmap)

    def candidates(self, source: Keypoints, driving: Keypoints, size: tuple[int, int]) -> Tensor:
        """Candidate motions (B, n, h, w, 2): background, each keypoint's, and the mesh's."""
        motions = sparse_motions(source, driving, size)
        return with_mesh_motion(motions, source, driving)[0] if self.mesh else motions

    def _inputs(self, small: Tensor, motions: Tensor, difference: Tensor) -> Tensor:
        """For each candidate in turn [heatmap difference, warped R, G, B]; background first."""
        height = small.shape[-2]
        # parity: the library's default alignment (False) in the codebook and MCNet releases, though
        # everything else there is aligned to corners.
        warped = sample(small, motions.flatten(1, 2), self.align_corners)
        warped = warped.unflatten(2, (-1, height)).transpose(1, 2)
        return torch.cat([difference[:, :, None].to(warped.dtype), warped], dim=2).flatten(1, 2)

    def _heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the masks (B, n, h, w) and of the occlusion (B, 1, h, w), in one layer."""
        assert self.mask.bias is not None
        assert self.occlusion.bias is not None
        logits = F.conv2d(
            features,
            torch.cat([self.mask.weight, self.occlusion.weight]),
            torch.cat([self.mask.bias, self.occlusion.bias]),
            padding=self.mask.padding,
        ).float()
        return logits[:, :-1], logits[:, -1:]

    def _prior(self, driving: Keypoints, height: int, width: int) -> Tensor:
        """Log-weights before any training: near a keypoint its own motion, elsewhere none."""
        distance = squared_distances(driving.value, (height, width))
        logits = -distance * self.prior_precision[:, None, None]
        return F.pad(logits, (0, 0, 0, 0, 1, 0), value=self.config.prior_background)
