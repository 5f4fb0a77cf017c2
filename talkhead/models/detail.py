"""Pictures larger than a model draws them: the source's own detail, laid into the model's picture.

Most of a picture is the source, warped. Here the source is warped at a size of its own, by the
model's final deformation, and what it has beyond the model's resolution is added to the model's
picture: where the model shows the source itself, and elsewhere as far as the occlusion trusts the
source and the picture agrees with it. Reduced, the result is the model's picture.

A deformation that is off by half a pixel of the model is off by more than a grain of the result,
and grain in a wrong place is further from the truth than none. So detail is shrunk as a Wiener
filter shrinks a noisy signal: edges, hair and stubble pass, faint grain fades. That share belongs
to the source and moves with it. Where motion is large, detail gives way, slowly and not wholly, so
that a face does not turn soft and sharp again as it moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.models.grid import (
    area_centres,
    pixel_flow,
    rescale,
    resize,
    resize_grid,
    sample_areas,
    warp_by_flow,
)
from talkhead.models.photo import PhotoBlend
from talkhead.structs import DenseMotion, PhotoWindow, RenderParts

CELLS = 64  # per side, for comparing pictures: finer, and noise would be told from skin
AGREEMENT_SCALE = 0.05  # difference, of 1, at which the share of detail has fallen to 1 / e
# Strength (RMS, of 1) of detail of which half is laid in; motion, of the picture's side, at which
# half of what motion can take is gone; and what it cannot take. Measured, see docs/benchmarks.md.
FAINT, FAR, LEAST_TRUST = 0.012, 0.03, 0.2


@dataclass(frozen=True)
class Placement:
    """How the square picture of a crop lies in an upright one of `size` pixels a side.

    side: of the crop there, in pixels; angle: degrees by which it is turned clockwise.
    """

    size: int
    side: int
    angle: float = 0.0

    def enlarge(self, maps: Tensor) -> Tensor:
        """Maps (B, C, S, S) of the crop as (B, C, T, T)."""
        if not self.angle:
            return rescale(maps, self.size)
        pixels = area_centres(self.size, maps.device) * (self.size / self.side)
        return sample_areas(maps, _turned_grid(pixels, -self.angle))

    def reduce(self, images: Tensor, size: int) -> Tensor:
        """Pictures (B, C, T, T) as (B, C, size, size) of the crop alone."""
        if not self.angle:
            return rescale(images, size)
        images = rescale(images, round(self.size * size / self.side))
        pixels = area_centres(size, images.device) * (self.side / self.size)
        return sample_areas(images, _turned_grid(pixels, self.angle))

    def enlarge_flow(self, flow: Tensor) -> Tensor:
        """A flow (B, 2, S, S) in the crop's pixels as (B, 2, T, T) in its own."""
        flow = self.enlarge(flow) * (self.side / flow.shape[-1])
        if not self.angle:
            return flow
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        x, y = flow.unbind(1)
        return torch.stack([x * cosine - y * sine, x * sine + y * cosine], dim=1)


def _turned_grid(centres: Tensor, degrees: float) -> Tensor:
    """Points (1, n, n, 2) with these coordinates along both axes, turned clockwise about zero."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    y, x = centres[:, None], centres[None]
    return torch.stack([x * cosine - y * sine, x * sine + y * cosine], dim=-1)[None]


@dataclass(frozen=True)
class SourceDetail:
    """A source as large as pictures of it shall be.

    texture:  (1, 3, T, T) in [0, 1], float32.
    strength: (1, 1, S, S) in [0, 1], how much of the detail stands out from grain.
    photo:    how pictures go over into the photo that `texture` is a part of; None: they do not.
    """

    texture: Tensor
    placement: Placement
    strength: Tensor
    photo: PhotoBlend | None = None

    @classmethod
    def whole(cls, texture: Tensor, size: int) -> SourceDetail:
        """Of the crop itself, for a model whose pictures have `size` pixels a side."""
        placement = Placement(texture.shape[-1], texture.shape[-1])
        return cls(texture, placement, strength_of(texture, placement, size))

    @classmethod
    def in_photo(cls, texture: Tensor, window: PhotoWindow, source: Tensor) -> SourceDetail:
        """Of a window of the photo; `source` (1, 3, S, S) in [0, 1] is the crop's picture."""
        placement = Placement(texture.shape[-1], window.side, window.angle)
        strength = strength_of(texture, placement, source.shape[-1])
        return cls(texture, placement, strength, PhotoBlend.of(window, source))

    @property
    def size(self) -> int:
        """Side of the pictures, in pixels."""
        return self.placement.size

    def lay_in(self, parts: RenderParts) -> Tensor:
        """Pictures (B, 3, T, T), not clamped."""
        share, flow = None, parts.flow
        if self.photo is not None:
            share = self.photo.changed(parts)
            flow, share = flow * (share * self.photo.moving), share * self.photo.drawn
        warped = warp_by_flow(
            self.texture.expand(len(parts), -1, -1, -1), self.placement.enlarge_flow(flow)
        )
        small = self.placement.reduce(warped, parts.image.shape[-1])
        strength = warp_by_flow(self.strength.expand(len(parts), -1, -1, -1), parts.flow)
        alike = parts.occlusion * agreement(parts.image, small)
        weight = (
            strength.clamp(0, 1) * trusted(parts.flow) * (parts.kept + (1 - parts.kept) * alike)
        )
        maps = torch.cat([steepened(torch.cat([parts.image, small], dim=1)), weight], dim=1)
        image, coarse, weight = self.placement.enlarge(maps).split([3, 3, 1], dim=1)
        drawn = torch.addcmul(image, weight, warped - coarse)
        # Where nothing is drawn the warped source is shown as it is.
        return drawn if share is None else torch.lerp(warped, drawn, self.placement.enlarge(share))


def strength_of(texture: Tensor, placement: Placement, size: int) -> Tensor:
    """How much of the detail of a texture (1, 3, T, T) stands out from grain: (1, 1, size, size).

    The Wiener filter's share of the signal around each pixel, with `FAINT` as the noise.
    """
    fine = texture - placement.enlarge(steepened(placement.reduce(texture, size)))
    power = placement.reduce(fine.square().mean(1, keepdim=True), size)
    power = F.avg_pool2d(power, 3, stride=1, padding=1, count_include_pad=False)
    return power / (power + FAINT**2)


def trusted(flow: Tensor) -> Tensor:
    """The share (B, 1, S, S) of detail where a flow (B, 2, S, S), in pixels, moves a picture."""
    way = flow.norm(dim=1, keepdim=True) / flow.shape[-1]
    return LEAST_TRUST + (1 - LEAST_TRUST) / (1 + (way / FAR).square())


def steepened(maps: Tensor) -> Tensor:
    """Maps (B, C, S, S) with what `rescale` takes from them when it enlarges, to first order.

    Enlarged bilinearly and averaged again, a pixel keeps 3/4 of itself along each axis, and has 1/8
    of both its neighbours.
    """
    blurred = maps
    for window in ((3, 1), (1, 3)):
        mean = F.avg_pool2d(
            blurred, window, 1, (window[0] // 2, window[1] // 2), count_include_pad=False
        )
        blurred = torch.lerp(blurred, mean, 3 / 8)
    return 2 * maps - blurred


def agreement(images: Tensor, others: Tensor) -> Tensor:
    """How alike two pictures (B, 3, S, S) look around each pixel: (B, 1, S, S), 1 where equal."""
    cells = rescale(images - others, min(CELLS, images.shape[-1]))
    apart = F.avg_pool2d(cells.abs().mean(1, keepdim=True), 3, stride=1, padding=1)
    return rescale(torch.exp(-(apart / AGREEMENT_SCALE).square()), images.shape[-1])


def warped_parts(image: Tensor, dense: DenseMotion) -> RenderParts:
    """The parts of an image (B, 3, S, S) that a decoder drew as a whole, from warped features."""
    size = (image.shape[-2], image.shape[-1])
    occlusion = resize(dense.occlusion[-1], size)
    flow = pixel_flow(resize_grid(dense.deformation, size))
    return RenderParts(image, flow, torch.zeros_like(occlusion), occlusion)
