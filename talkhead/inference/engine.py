"""A loaded model: images to keypoints and keypoints to images, on one device."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from talkhead import checkpoint
from talkhead.choices import TransferMode
from talkhead.config import has_landmarks
from talkhead.device import choose_device, choose_precision
from talkhead.errors import TalkheadError
from talkhead.inference.batch_size import DEFAULT_BATCH, best_batch
from talkhead.inference.compile import Compiled
from talkhead.inference.fusion import fold
from talkhead.inference.transport import Download, upload
from talkhead.models import Network
from talkhead.models.tpsmm import TpsmmModel
from talkhead.motion.transfer import Transfer
from talkhead.structs import Keypoints, SourceState

log = logging.getLogger(__name__)


class Engine:
    """Pictures are uint8 RGB (S, S, 3) with S = `image_size`; keypoints float32 on the CPU.

    model:     in evaluation mode; moved to the device and rewritten for drawing, see `folding`.
    precision: of weights and features; what needs float32 (keypoints, grids) stays in it. Frames
               that come out non-finite are drawn again in float32, with one warning.
    batch_size: None: what suits the device; on CUDA `size_batches` finds it by trying.
    weights:   SHA-256 of their file, for what must not be mixed up with others' results.
    path:      that file, which nothing may be written over; None where there is none.
    compiled:  draw through torch.compile, see `compiling`; whole batches, the last filled up.
    """

    def __init__(
        self,
        model: Network,
        device: torch.device,
        precision: torch.dtype = torch.float32,
        batch_size: int | None = None,
        weights: str = "",
        compiled: bool = False,
        path: Path | None = None,
    ) -> None:
        self.weights = weights
        self.path = path
        self.image_size = model.config.image_size
        self.device = device
        self.precision = precision
        self.batch_size = batch_size or DEFAULT_BATCH.get(device.type, 4)
        self._sized = batch_size is not None or compiled or device.type != "cuda"
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        fold(model)
        self._model = model.to(device, precision)
        # Convolutions run up to four times faster with the channels last.
        for parameter in self._model.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self._draw: Callable[[SourceState, Keypoints], Tensor] = self._model.render
        self._compiled = compiled
        if compiled:
            self._draw = Compiled(self._model.render, device)

    @classmethod
    def load(
        cls,
        weights: str | Path | None = None,
        device: str = "auto",
        precision: str = "fp32",
        batch_size: int | None = None,
        compiled: bool = False,
    ) -> Engine:
        """Read weights (None: the bundled ones) for a device and precision named as in the CLI."""
        place = choose_device(device)
        dtype = choose_precision(precision, place)
        path = Path(weights) if weights else checkpoint.default_weights()
        model, header = checkpoint.load(path)
        log.info("weights: %s; licence: %s", header.provenance.origin, header.provenance.licence)
        return cls(model, place, dtype, batch_size, checkpoint.sha256(path), compiled, path)

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
        if "disentangling" not in config.abilities:
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

    def transfer(
        self,
        mode: TransferMode,
        source: Keypoints,
        anchor: Keypoints | None = None,
        adapt_scale: bool = True,
    ) -> Transfer:
        """How these weights' keypoints are carried from driver to source; see `Transfer`."""
        return Transfer(mode, source, anchor, adapt_scale, has_landmarks(self._model.config))

    def render(self, source: EncodedSource, keypoints: Keypoints) -> np.ndarray:
        """The source moved to a batch of keypoints: uint8 (B, S, S, 3)."""
        return self.begin(source, keypoints).pictures

    @torch.inference_mode()
    def begin(self, source: EncodedSource, keypoints: Keypoints) -> PendingBatch:
        """Like `render`, for pictures that are wanted later: a GPU draws them meanwhile."""
        driving = keypoints.map(lambda tensor: upload(tensor, self.device))
        whole = fill_up(driving, self.batch_size) if self._compiled else driving
        images = self._draw(source.state, whole)[: len(driving)]
        found = Download((to_levels(images), torch.isfinite(images).all()), self._copies)
        return PendingBatch(found, lambda: self._render_again(source, driving))

    @torch.inference_mode()
    def _render_again(self, source: EncodedSource, driving: Keypoints) -> np.ndarray:
        if self.precision is not torch.float32:
            if not self._warned:
                log.warning(
                    "a frame overflowed in %s; such frames are drawn in fp32", self.precision
                )
                self._warned = True
            state = self._single.encode_source(self.to_tensor([source.picture]))
            images = self._single.render(state, driving)
            if bool(torch.isfinite(images).all()):
                return to_levels(images).cpu().numpy()
        raise TalkheadError(
            "these weights draw values that are no numbers: they are damaged, or diverged in "
            "training"
        )

    def size_batches(self, source: EncodedSource) -> None:
        """Choose the batch size by trying, once, where nobody chose one and it matters."""
        if self._sized:
            return
        self._sized = True

        def seconds(size: int) -> float:
            keypoints = source.keypoints.expand(size).map(Tensor.contiguous)
            self.render(source, keypoints)
            started = time.perf_counter()
            self.render(source, keypoints)
            return time.perf_counter() - started

        self.batch_size = best_batch(seconds)

    _warned = False

    @cached_property
    def _single(self) -> Network:
        """The model in float32: what frames fall back to that overflow in half precision."""
        return copy.deepcopy(self._model).float()

    def to_tensor(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """Pictures as a batch (B, 3, S, S) in [0, 1] on the device; of another kind: ValueError."""
        side = self.image_size
        for picture in pictures:
            if picture.shape != (side, side, 3) or picture.dtype != np.uint8:
                raise ValueError(
                    f"a picture is {picture.dtype} {picture.shape}; this model takes uint8 "
                    f"({side}, {side}, 3)"
                )
        stacked = upload(torch.from_numpy(np.stack(pictures)), self.device)
        return stacked.permute(0, 3, 1, 2).float() / 255


def to_levels(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> uint8 (B, H, W, 3)."""
    levels = images.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous()


def fill_up(keypoints: Keypoints, size: int) -> Keypoints:
    """A batch of at least `size`: the last is repeated as often as that takes."""
    missing = max(size - len(keypoints), 0)
    return keypoints.map(lambda t: torch.cat([t, t[-1:].expand(missing, *t.shape[1:])]))


class PendingBatch:
    """Pictures that a device may still be drawing."""

    def __init__(self, found: Download, again: Callable[[], np.ndarray]) -> None:
        self._found = found
        self._again = again

    @cached_property
    def pictures(self) -> np.ndarray:
        """uint8 (B, S, S, 3), waited for; drawn again where they came out non-finite."""
        levels, finite = self._found.arrived()
        return levels.numpy() if bool(finite) else self._again()


class EncodedSource:
    """A source picture and its state on the engine's device."""

    def __init__(self, picture: np.ndarray, state: SourceState) -> None:
        self.picture = picture
        self.state = state

    @property
    def keypoints(self) -> Keypoints:
        """Of the source, float32 on the CPU."""
        return self.state.keypoints.map(lambda tensor: tensor.float().cpu())
