"""A model ready to run: pictures in, keypoints and pictures out, on one device in one precision."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from talkhead import checkpoint
from talkhead.config import TpsmmConfig
from talkhead.device import choose_device, choose_precision
from talkhead.errors import TalkheadError
from talkhead.models import Network
from talkhead.models.folding import fold
from talkhead.models.tpsmm import TpsmmModel
from talkhead.structs import Keypoints, SourceState

log = logging.getLogger(__name__)


class Engine:
    """Pictures are uint8 RGB (S, S, 3) with S = `image_size`; keypoints float32 on the CPU.

    model:     in evaluation mode; moved to the device and rewritten for drawing, see `folding`.
    precision: of weights and features; what needs float32 (keypoints, grids) stays in it. Frames
               that come out non-finite are drawn again in float32, with one warning.
    weights:   SHA-256 of their file, for what must not be mixed up with others' results.
    """

    def __init__(
        self,
        model: Network,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        batch_size: int | None = None,
        weights: str = "",
    ) -> None:
        self.weights = weights
        self.image_size = model.config.image_size
        self.device = device
        self.precision = precision
        self.batch_size = batch_size or DEFAULT_BATCH.get(device.type, 4)
        fold(model)
        self._model = model.to(device, precision)
        # Convolutions run up to four times faster with the channels last.
        for parameter in self._model.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    @classmethod
    def load(
        cls,
        weights: Path | None = None,
        device: str = "auto",
        precision: str = "fp32",
        batch_size: int | None = None,
    ) -> Engine:
        """Read weights (None: the bundled ones) for a device and precision named as in the CLI."""
        place = choose_device(device)
        dtype = choose_precision(precision, place)
        path = weights or checkpoint.default_weights()
        model, header = checkpoint.load(path)
        log.info("weights: %s; licence: %s", header.provenance.origin, header.provenance.licence)
        return cls(model, place, dtype, batch_size, checkpoint.sha256(path))

    @property
    def family(self) -> str:
        return self._model.config.family

    @property
    def model(self) -> Network:
        """The network as it runs here, to look at."""
        return self._model

    @torch.inference_mode()
    def detect(self, pictures: Sequence[np.ndarray]) -> Keypoints:
        """Keypoints of a batch of pictures."""
        found = self._model.detect(self.to_tensor(pictures))
        return found.map(lambda tensor: tensor.float().cpu())

    @torch.inference_mode()
    def encode(self, picture: np.ndarray) -> EncodedSource:
        """All that does not depend on the driver, once per source."""
        state = self._model.encode_source(self.to_tensor([picture]))
        return EncodedSource(picture, state)

    def require_avd(self) -> None:
        """Raise TalkheadError unless these weights can `disentangle`."""
        config = self._model.config
        if not (isinstance(config, TpsmmConfig) and config.avd):
            raise TalkheadError(
                f"these weights ({config.family}) hold no AVD network; use relative or absolute "
                "motion, or TPSMM weights converted from a release with an avd_network"
            )

    @torch.inference_mode()
    def disentangle(self, source: EncodedSource, driving: Keypoints) -> Keypoints:
        """The pose of a batch of driving keypoints on the source's face, by TPSMM's AVD network."""
        self.require_avd()
        assert isinstance(self._model, TpsmmModel)
        moved = self._model.disentangle(
            source.state.keypoints, driving.map(lambda tensor: tensor.to(self.device))
        )
        return moved.map(Tensor.cpu)

    @torch.inference_mode()
    def render(self, source: EncodedSource, keypoints: Keypoints) -> np.ndarray:
        """The source moved to a batch of keypoints: uint8 (B, S, S, 3)."""
        driving = keypoints.map(lambda tensor: tensor.to(self.device))
        images = self._model.render(source.state, driving)
        if not bool(torch.isfinite(images).all()):
            images = self._render_again(source, driving)
        return self._to_pictures(images)

    def _render_again(self, source: EncodedSource, driving: Keypoints) -> Tensor:
        if not self._warned:
            log.warning("a frame overflowed in %s; such frames are drawn in fp32", self.precision)
            self._warned = True
        picture = self.to_tensor([source.picture])
        return self._single.render(self._single.encode_source(picture), driving)

    _warned = False

    @cached_property
    def _single(self) -> Network:
        """The model in float32: what frames fall back to that overflow in half precision."""
        return copy.deepcopy(self._model).float()

    def to_tensor(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """Pictures as a batch (B, 3, S, S) in [0, 1] on the device."""
        stacked = torch.from_numpy(np.stack(pictures)).to(self.device, non_blocking=True)
        return stacked.permute(0, 3, 1, 2).float() / 255

    @staticmethod
    def _to_pictures(images: Tensor) -> np.ndarray:
        levels = images.float().clamp(0, 1).mul(255).round().to(torch.uint8)
        return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


DEFAULT_BATCH = {"cpu": 4, "cuda": 16}


class EncodedSource:
    """A source picture and its state on the engine's device."""

    def __init__(self, picture: np.ndarray, state: SourceState) -> None:
        self.picture = picture
        self.state = state

    @property
    def keypoints(self) -> Keypoints:
        """Of the source, float32 on the CPU."""
        return self.state.keypoints.map(lambda tensor: tensor.float().cpu())
