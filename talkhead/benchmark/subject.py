"""The benchmarked model: bundled weights, a file, an untrained preset, or none."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from talkhead import checkpoint
from talkhead.bundled import sha256
from talkhead.config import CodebookConfig, KeypointConfig, ModelConfig, TpsmmConfig, preset
from talkhead.errors import TalkheadError
from talkhead.inference.engine import Engine
from talkhead.models import Network, build
from talkhead.structs import Keypoints, RenderParts, SourceState

log = logging.getLogger(__name__)

FREE = "none"


@dataclass(frozen=True)
class FreeConfig:
    """Of the model that costs nothing."""

    image_size: int = 256
    family: str = FREE
    keypoints: KeypointConfig = field(default_factory=lambda: KeypointConfig(num_keypoints=4))


class FreeModel(nn.Module):
    """Finds the same keypoints everywhere and draws the source as it is.

    With it in place of a model, what is left is everything around models.
    """

    def __init__(self, config: FreeConfig) -> None:
        super().__init__()
        self.config = config
        points = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        self.register_buffer("points", points, persistent=False)

    def detect(self, images: Tensor) -> Keypoints:
        """The same four points for every image (B, 3, H, W)."""
        points = cast(Tensor, self.points)
        return Keypoints(points.float().expand(len(images), -1, -1))

    def encode_source(self, image: Tensor) -> SourceState:
        """The image as it is."""
        return SourceState(self.detect(image), image, image, ())

    def render(self, state: SourceState, driving: Keypoints) -> Tensor:
        """The source once for each driving frame, (B, 3, H, W)."""
        return state.image.expand(len(driving), -1, -1, -1)

    def render_parts(self, state: SourceState, driving: Keypoints) -> RenderParts:
        """The same, which does not move."""
        image = self.render(state, driving)
        still = torch.zeros_like(image[:, :2])
        return RenderParts(image, still, still[:, :1] + 1, still[:, :1] + 1)


@dataclass(frozen=True)
class Subject:
    """A model as it comes: float32, default memory layout, on the CPU. Engines get copies."""

    name: str
    model: Network
    weights: str = ""

    @classmethod
    def free(cls, size: int = FreeConfig.image_size) -> Subject:
        """No model, in the place of one."""
        return cls(FREE, cast(Network, FreeModel(FreeConfig(size))))

    @property
    def is_free(self) -> bool:
        """Whether there is no model."""
        return isinstance(self.model, FreeModel)

    @property
    def parameters(self) -> int:
        """Numbers in the model."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def engine(
        self,
        device: torch.device,
        precision: torch.dtype,
        batch_size: int,
        compiled: bool = False,
    ) -> Engine:
        """A copy of the model as an engine."""
        model = copy.deepcopy(self.model)
        return Engine(model, device, precision, batch_size, self.weights, compiled)

    def at_size(self, size: int) -> Subject:
        """The same model for pictures of another size.

        Raises TalkheadError when its layers do not divide that size, or when weights that were
        learned depend on it.
        """
        if self.is_free:
            return Subject.free(size)
        config = resized(self.model.config, size)
        if not self.weights:
            return Subject(self.name, untrained(config))
        model = build(config)
        state = self.model.state_dict()
        mismatch = checkpoint.describe_mismatch(model, state)
        if mismatch:
            raise TalkheadError(f"{self.name} does not work at {size} pixels: {mismatch}")
        model.load_state_dict(state)
        return Subject(self.name, model.eval().requires_grad_(False), self.weights)


def load_subject(model: str | None = None, weights: Path | None = None) -> Subject:
    """A preset's name (untrained), "none", or weights from a file; neither: the bundled ones."""
    if model is not None and weights is not None:
        raise TalkheadError("choose one of --model (an untrained preset) and --weights")
    if model == FREE:
        return Subject.free()
    if model is not None:
        return Subject(f"{model}, untrained", untrained(preset(model)))
    path = weights or checkpoint.default_weights()
    network, _ = checkpoint.load(path)
    return Subject(path.name, network, sha256(path))


def untrained(config: ModelConfig) -> Network:
    """The same random numbers every time, without touching anyone else's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(config).eval().requires_grad_(False)


def resized(config: ModelConfig, size: int) -> ModelConfig:
    """The configuration for another image size; where motion is seen grows in proportion."""
    motion = config.dense_motion
    shrink = config.image_size // motion.size
    unit = shrink * 2**motion.num_blocks  # every halving of the motion's hourglass must be even
    if size <= 0 or size % unit:
        raise TalkheadError(f"sizes of this model are multiples of {unit} pixels, not {size}")
    motion = replace(motion, size=size // shrink)
    if isinstance(config, TpsmmConfig):
        return replace(config, image_size=size, dense_motion=motion)
    if isinstance(config, CodebookConfig) and config.working_size is not None:
        config = replace(config, working_size=size * config.working_size // config.image_size)
    points = config.keypoints
    points = replace(points, input_size=size * points.input_size // config.image_size)
    return replace(config, image_size=size, dense_motion=motion, keypoints=points)
