"""Loss terms, and the image loss without a pretrained perceptual network.

Images are RGB in [0, 1], (B, 3, H, W); every function returns a scalar unless it says otherwise.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.models.grid import identity_grid, resize, resize_grid, sample_at, warp
from talkhead.models.motion import sparse_motions, with_mesh_motion
from talkhead.structs import Keypoints, TrainOutputs

GRADIENT_LEVELS = 2  # at full and at half size
WINDOW, STRIDE = 7, 2  # pixels, of SSIM
JACOBIAN_SHARE = 0.2  # of jacobians beside keypoints, where landmarks teach both
ATTENTION_SIZE = 64  # of the map of attention before it is enlarged: it is smooth
ATTENTION_WIDTH = 0.08  # of the Gaussian around each point; an image is 2 wide
SHOWN = 2.0  # growth of a triangle of the mesh up to which its source shows it well enough
SMALLEST = 2e-5  # double area below which a triangle is too small to be looked at


def weighted_mean(error: Tensor, weight: Tensor) -> Tensor:
    """Mean of `error` (B, C, H, W) with per-pixel weights (B, 1, H, W)."""
    return (error * weight).mean() / weight.mean()


def pyramid_l1(image: Tensor, target: Tensor, weight: Tensor, levels: int = 4) -> Tensor:
    """Mean absolute difference at full size, 1/2, 1/4, ..., averaged over the levels."""
    total = image.new_zeros(())
    for _ in range(levels):
        total = total + weighted_mean((image - target).abs(), weight)
        image, target, weight = (F.avg_pool2d(x, 2) for x in (image, target, weight))
    return total / levels


def gradient_l1(image: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """L1 of horizontal derivatives plus L1 of vertical ones, mean of levels: keeps edges sharp."""
    total = image.new_zeros(())
    for _ in range(GRADIENT_LEVELS):
        error = image - target
        total = total + weighted_mean(error.diff(dim=-1).abs(), weight[..., 1:])
        total = total + weighted_mean(error.diff(dim=-2).abs(), weight[..., 1:, :])
        image, target, weight = (F.avg_pool2d(x, 2) for x in (image, target, weight))
    return total / GRADIENT_LEVELS


def dissimilarity(image: Tensor, target: Tensor) -> Tensor:
    """1 - SSIM (Wang et al. 2004) with a square window and data range 1, at every other pixel."""
    pool = partial(F.avg_pool2d, kernel_size=WINDOW, stride=STRIDE)
    mean_x, mean_y = pool(image), pool(target)
    var_x = pool(image.square()) - mean_x.square()
    var_y = pool(target.square()) - mean_y.square()
    covariance = pool(image * target) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return 1 - (luminance * structure).mean()


def landmark_flow(motion: Tensor, source: Tensor, driving: Tensor, weight: Tensor) -> Tensor:
    """How far the deformation is from taking each driving landmark to its place in the source.

    motion (B, h, w, 2), landmarks (B, n, 2) in [-1, 1], weight (n,). In grid units.
    """
    found = sample_at(motion, driving)
    inside = (driving.abs() <= 1).all(-1)
    error = (found - source).abs().sum(-1) * weight * inside
    return error.sum() / (weight * inside).sum().clamp(min=1)


def dense_flow(motion: Tensor, flow: Tensor, confidence: Tensor) -> Tensor:
    """Distance to a known flow (B, h, w, 2), absolute source coordinates, where it is trusted."""
    error = (resize_grid(motion, (flow.shape[1], flow.shape[2])) - flow).abs().sum(-1)
    return (error * confidence).sum() / confidence.sum().clamp(min=1)


def keypoint_flow(source: Tensor, driving: Tensor, flow: Tensor, confidence: Tensor) -> Tensor:
    """Whether keypoints stay on the same thing.

    How far a known flow at the driving keypoints (B, K, 2) leads from the source's, where the flow
    (B, h, w, 2) is trusted (B, h, w).
    """
    error = (sample_at(flow, driving) - source).abs().sum(-1)
    trust = sample_at(confidence[..., None], driving)[..., 0].detach()
    return (error * trust).sum() / trust.sum().clamp(min=1)


def mask_choice(outputs: TrainOutputs, small_source: Tensor, small_driving: Tensor) -> Tensor:
    """Expected error of the candidate motions under the mask: rewards choosing the right one."""
    mask = outputs.dense.mask
    size = (mask.shape[-2], mask.shape[-1])
    with torch.no_grad():
        motions = sparse_motions(outputs.source, outputs.driving, size)
        if mask.shape[1] > motions.shape[1]:
            motions, _ = with_mesh_motion(motions, outputs.source, outputs.driving)
        count = motions.shape[1]
        copies = small_source[:, None].expand(-1, count, -1, -1, -1).flatten(0, 1)
        moved = warp(copies, motions.flatten(0, 1), align_corners=False)
        error = (moved.unflatten(0, (-1, count)) - small_driving[:, None]).abs().mean(2)
        error = F.avg_pool2d(error, 5, 1, 2, count_include_pad=False)
    return (mask * error).sum(1).mean()


def landmark_supervision(found: Keypoints, wanted: Keypoints) -> Tensor:
    """Distance of keypoints and jacobians to those that landmarks teach: the first of `found`."""
    found = found.map(lambda x: x[:, : wanted.value.shape[1]])
    loss = (found.value - wanted.value).abs().mean()
    if found.jacobian is not None and wanted.jacobian is not None:
        loss = loss + JACOBIAN_SHARE * (found.jacobian - wanted.jacobian).abs().mean()
    return loss


def attention_map(points: Tensor, size: int, gain: float) -> Tensor:
    """Pixel weights (B, 1, size, size): 1, and up to 1 + gain around the points (B, n, 2)."""
    coarse = min(size, ATTENTION_SIZE)
    grid = identity_grid(coarse, coarse, device=points.device)
    distance = (grid - points[:, :, None, None]).square().sum(-1)
    nearness = torch.exp(-0.5 * distance / ATTENTION_WIDTH**2).amax(1, keepdim=True)
    return 1 + gain * resize(nearness, (size, size))


def disocclusion_map(source: Tensor, driving: Tensor, triangles: Tensor, size: int) -> Tensor:
    """Where a face shows what its source hides, (B, 1, size, size) from 0 to 1.

    source, driving: landmarks (B, n, 2) in [-1, 1]; unknown ones lie together, outside. triangles:
    (T, 3) of them. 0 where a triangle is at most `SHOWN` times as large as in the source, rising
    to 1 where it is twice that, or was folded away there.
    """
    coarse = min(size, ATTENTION_SIZE)
    before, after = (_areas(landmarks[:, triangles]) for landmarks in (source, driving))
    growth = after / before.clamp(min=1e-6)
    value = ((growth - SHOWN) / SHOWN).clamp(0, 1) * (after > SMALLEST)
    centre = driving[:, triangles].mean(2)  # B T 2
    inside = (centre.abs() < 1).all(-1)
    x, y = ((centre.clamp(-1, 1) + 1) / 2 * (coarse - 1)).round().long().unbind(-1)
    found = value.new_zeros(len(value), coarse * coarse)
    found.scatter_reduce_(1, y * coarse + x, value * inside, "amax")
    spread = F.max_pool2d(found.view(-1, 1, coarse, coarse), 5, 1, 2)  # over gaps of a large face
    return resize(F.avg_pool2d(spread, 3, 1, 1, count_include_pad=False), (size, size))


def _areas(corners: Tensor) -> Tensor:
    """Signed double areas (B, T) of triangles (B, T, 3, 2)."""
    first, second = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
