"""What the face networks are made of, and how their weights are read.

The networks are MediaPipe's (see `weights/faces/NOTICE`). TensorFlow's SAME padding at stride 2 on
an even side is nothing before and one pixel after.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Self

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from talkhead.bundled import bundled, check_digest, sha256
from talkhead.errors import TalkheadError


class Block(nn.Module):
    """Depthwise 3x3 and pointwise 1x1 convolutions around a skip connection, then PReLU or ReLU.

    (B, inputs, H, W) -> (B, outputs, H / stride, W / stride). The skip is max-pooled at stride 2
    and padded with empty channels where the output has more.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, activation: type[nn.Module] = nn.PReLU
    ) -> None:
        super().__init__()
        self.stride, self.extra = stride, outputs - inputs
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, 2 - stride, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)
        self.activation = nn.PReLU(outputs) if activation is nn.PReLU else activation()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        skip = x
        if self.stride == 2:
            skip, x = F.max_pool2d(x, 2), F.pad(x, (0, 1, 0, 1))
        if self.extra:
            skip = F.pad(skip, (0, 0, 0, 0, 0, self.extra))
        activated: Tensor = self.activation(self.pointwise(self.depthwise(x)) + skip)
        return activated


class Narrow(nn.Sequential):
    """Pointwise convolution to fewer channels, PReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 1), nn.PReLU(outputs))


class Stem(nn.Sequential):
    """RGB to 16 channels at half the side, PReLU."""

    def __init__(self) -> None:
        super().__init__(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 16, 3, 2), nn.PReLU(16))


def own_stream(device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Where face networks run: on a GPU on a stream of their own, elsewhere as always.

    So that looking at a frame does not wait for what is being drawn.
    """
    if device.type != "cuda":
        return nullcontext
    stream = torch.cuda.Stream(device)
    return lambda: torch.cuda.stream(stream)


def rotation(angle: Tensor) -> Tensor:
    """Angles (B,) in radians as (B, 2, 2), see `crop.rotation`."""
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([cosine, -sine, sine, cosine], -1).view(-1, 2, 2)


class BundledNetwork(nn.Module):
    """A network whose weights, `faces/FILE`, come with the package."""

    FILE: str

    @classmethod
    def load(cls, device: torch.device | str = "cpu") -> Self:
        """With its weights, on a device: float32, frozen, in evaluation mode.

        Channels last is two to five times as fast on a CPU (depthwise convolutions). Raises
        TalkheadError where the file is missing or damaged.
        """
        path = bundled(f"faces/{cls.FILE}")
        check_digest(path, sha256(path))
        with torch.device("meta"):  # nothing is drawn at random only to be replaced
            built = cls()
        try:
            tensors = {key: tensor.float() for key, tensor in load_file(path).items()}
            built.load_state_dict(tensors, assign=True)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise TalkheadError(f"{path} is damaged ({error}); reinstall talkhead") from error
        built.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return built.eval().requires_grad_(False)
