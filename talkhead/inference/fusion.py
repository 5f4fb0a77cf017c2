"""Inference-time layer fusion: fewer and cheaper layers, equal output up to rounding.

Models are written, trained and stored as published; this is done to the copy that draws.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from talkhead.inference.cached_codes import prepare_reading
from talkhead.models.attention import DrawingAttention, SoftmaxAttention
from talkhead.models.autoencoder import Upsample
from talkhead.models.blocks import ResidualBlock, SameBlock, UpBlock
from talkhead.models.resnet import BasicBlock, ResNet18

# Which norm follows which convolution at once, by the names of both in their block.
FOLLOWS: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    SameBlock: (("conv", "norm"),),
    ResidualBlock: (("conv1", "norm2"),),
    BasicBlock: (("conv1", "bn1"), ("conv2", "bn2")),
    ResNet18: (("conv1", "bn1"),),
    nn.Sequential: (("0", "1"),),
}

MOST_DOUBLED = 9 * 2**18  # numbers in a kernel that is still doubled


def fold(model: nn.Module) -> None:
    """Rewrite a model in evaluation mode, in place."""
    for module in list(model.modules()):
        _fold_norms(module)
    for module in list(model.modules()):
        _fold_doubling(module)
        _fold_attention(module)
        prepare_reading(module)


def _fold_norms(module: nn.Module) -> None:
    """Batch norms are linear once trained: scale the convolution before them instead."""
    for kind, pairs in FOLLOWS.items():
        if not isinstance(module, kind):
            continue
        layers = dict(module.named_children())
        for conv_name, norm_name in pairs:
            conv, norm = layers.get(conv_name), layers.get(norm_name)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())


def _fold_doubling(module: nn.Module) -> None:
    """Nearest doubling and a 3 x 3 convolution see each pixel up to four times: add up weights.

    What is left is a transposed convolution with 4 of 9 multiply-adds and no enlarged input. Its
    kernels are 16 of 9 as large: a loss where maps of a few pixels have a thousand channels.
    """
    for name, child in module.named_children():
        if isinstance(child, UpBlock) and child.conv.weight.numel() <= MOST_DOUBLED:
            layers = [doubling_convolution(child.conv), child.norm, nn.ReLU()]
            setattr(module, name, nn.Sequential(*layers))
        elif isinstance(child, Upsample):
            setattr(module, name, doubling_convolution(child.conv))


def _fold_attention(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) is SoftmaxAttention:
            setattr(module, name, DrawingAttention(child.scale))


def doubling_convolution(conv: nn.Conv2d) -> nn.ConvTranspose2d:
    """One layer that equals nearest doubling followed by `conv`, a padded 3 x 3 convolution."""
    assert conv.kernel_size == (3, 3)
    assert conv.padding == (1, 1)
    # Device meta: nothing is drawn at random only to be replaced.
    folded = nn.ConvTranspose2d(
        conv.in_channels, conv.out_channels, 4, stride=2, padding=1, bias=conv.bias is not None,
        device="meta",
    )  # fmt: skip
    folded.weight = nn.Parameter(_double(conv.weight.detach()), requires_grad=False)
    folded.bias = conv.bias
    return folded


def _double(weight: Tensor) -> Tensor:
    """Kernels (O, I, 3, 3) -> those of the transposed convolution (I, O, 4, 4).

    A pixel enlarged to two rows touches four: the rows before and after it by one end of the
    kernel, its own two by the sum of the middle and an end. Likewise for columns.
    """
    above, middle, below = weight.unbind(2)
    rows = torch.stack([below, middle + below, above + middle, above], dim=2)
    left, middle, right = rows.unbind(3)
    kernels = torch.stack([right, middle + right, left + middle, left], dim=3)
    return kernels.transpose(0, 1).contiguous()
