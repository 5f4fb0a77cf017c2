"""Codebooks: which codes a scale may use, and nearest-code quantisation for training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from talkhead.structs import Quantized


def code_allocation(num_codes: int, scale: int, num_scales: int) -> slice:
    """Codes that scale number `scale` (0 = coarsest) may use: a prefix that grows with detail.

    >>> code_allocation(1024, scale=0, num_scales=4)
    slice(0, 256, None)
    """
    return slice(0, num_codes * (scale + 1) // num_scales)


class Codebook(nn.Module):
    """N codes of D numbers, shared by all scales through code allocation.

    Inference only attends to the codes; quantisation (VQ-VAE, section 3.1) is what teaches them.
    """

    def __init__(self, num_codes: int, dim: int, num_scales: int, commitment_weight: float) -> None:
        super().__init__()
        codes = torch.empty(num_codes, dim).uniform_(-1 / num_codes, 1 / num_codes)
        self.codes = nn.Parameter(codes)
        self.num_scales = num_scales
        self.commitment_weight = commitment_weight

    def allocated(self, scale: int) -> Tensor:
        """The codes (n, D) that a scale may use."""
        return self.codes[code_allocation(len(self.codes), scale, self.num_scales)]

    def quantize(self, vectors: Tensor, scale: int) -> Quantized:
        """Replace each of `vectors` (B, T, D) by its nearest allocated code, in float32."""
        codes = self.allocated(scale).float()
        vectors = vectors.float()
        with torch.no_grad(), torch.autocast(vectors.device.type, enabled=False):
            flat = vectors.flatten(0, 1)
            distance = codes.square().sum(1) - 2 * flat @ codes.T
            indices = distance.argmin(1)
        nearest = codes[indices].view_as(vectors)
        commitment = (nearest.detach() - vectors).square().mean()
        code_loss = (nearest - vectors.detach()).square().mean()
        return Quantized(
            vectors=vectors + (nearest - vectors).detach(),
            indices=indices.view(vectors.shape[:2]),
            loss=self.commitment_weight * commitment + code_loss,
        )
