"""A loaded model: images to keypoints and keypoints to images, on one device."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from talkhead import checkpoint
from talkhead.bundled import sha256
from talkhead.choices import TransferMode
from talkhead.config import has_landmarks, is_tracked, uses_mesh
from talkhead.device import choose_device, choose_precision
from talkhead.errors import TalkheadError
from talkhead.faces.crop_mesh import crop_meshes
from talkhead.faces.landmarker import Landmarker
from talkhead.inference.batch_size import DEFAULT_BATCH, best_batch
from talkhead.inference.compile import Compiled
from talkhead.inference.drawn import PendingBatch, fill_up, lay_in, to_levels
from talkhead.inference.fusion import fold
from talkhead.inference.tracker import KeypointTracker
from talkhead.inference.transport import Download, upload
from talkhead.inference.workers import Workers
from talkhead.models import Network
from talkhead.models.detail import SourceDetail
from talkhead.models.tpsmm import TpsmmModel
from talkhead.motion.transfer import Transfer
from talkhead.structs import (
    NOWHERE,
    PLAIN,
    Keypoints,
    PhotoWindow,
    RenderParts,
    SourceState,
    Strengths,
)

log = logging.getLogger(__name__)


class Engine:
    """Pictures are uint8 RGB (S, S, 3) with S = `image_size`; keypoints float32 on the CPU.

    Results have that size, too, or that of the source's detail where it was given any.

    model:     in evaluation mode; moved to the device and rewritten for drawing, see `fusion`.
    precision: of weights and features; what needs float32 (keypoints, grids) stays in it. Frames
               that come out non-finite are drawn again in float32, with one warning.
    batch_size: None: what suits the device; on CUDA `size_batches` finds it by trying.
    weights:   SHA-256 of their file, for what must not be mixed up with others' results.
    path:      that file, which nothing may be written over; None where there is none.
    compiled:  draw through torch.compile, see `compile`; whole batches, the last filled up.
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
        self._draw_parts: Callable[[SourceState, Keypoints], RenderParts] = self._model.render_parts
        self._landmarker = Landmarker(device)
        self._workers: Workers | None = None
        self._divided = True
        self._compiled = compiled
        if compiled:
            self._draw = Compiled(self._model.render, device)
            self._draw_parts = Compiled(self._model.render_parts, device)

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
        return cls(model, place, dtype, batch_size, sha256(path), compiled, path)

    @property
    def family(self) -> str:
        """codebook, mcnet, fomm or tpsmm."""
        return self._model.config.family

    @property
    def model(self) -> Network:
        """The network as it runs here, to look at."""
        return self._model

    @torch.inference_mode()
    def detect(
        self, pictures: Sequence[np.ndarray], tracker: KeypointTracker | None = None
    ) -> Keypoints:
        """Keypoints of a batch of pictures, with face meshes for a model that uses them.

        tracker: of the driving video that they are the next pictures of.
        """
        images = self.to_tensor(pictures)
        found = self._model.detect(images, **self._meshes(pictures)).map(Tensor.float)
        led = found if tracker is None else tracker(found, images)
        return led.map(Tensor.cpu)

    def tracker(self) -> KeypointTracker | None:
        """What leads the keypoints of a driving video; None for a model without."""
        return KeypointTracker(self._model) if is_tracked(self._model.config) else None

    def _meshes(self, pictures: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """The meshes of faces in pictures, as an argument for a model that uses them."""
        if not uses_mesh(self._model.config):
            return {}
        return {"mesh": self._find_meshes(pictures).to(self.device)}

    def _find_meshes(self, pictures: Sequence[np.ndarray]) -> Tensor:
        points = crop_meshes(self._landmarker, pictures) - 0.5  # from edges to pixel centres
        mesh = torch.from_numpy(points * 2 / (self.image_size - 1)) - torch.tensor([1.0, 1.0, 0.0])
        return torch.nan_to_num(mesh, nan=NOWHERE)

    @torch.inference_mode()
    def encode(self, picture: np.ndarray, sharpness: float = 0.0) -> EncodedSource:
        """All that does not depend on the driver, once per source.

        sharpness: from 0 to 1, how far the source's own pixels are preferred where the model is
        unsure of them; 0 draws as the weights were trained, and others than those that blend the
        source draw so anyway.
        """
        state = self._model.encode_source(self.to_tensor([picture]), **self._meshes([picture]))
        return self.sharpened(EncodedSource(picture, state, picture), sharpness)

    def sharpened(self, source: EncodedSource, sharpness: float) -> EncodedSource:
        """The same source, drawn with another sharpness; see `encode`."""
        share = torch.tensor([sharpness], device=self.device) if sharpness and self.blends else None
        return replace(source, state=replace(source.state, sharpness=share))

    @property
    def blends(self) -> bool:
        """Whether these weights show the warped source itself where they trust it."""
        return "sharpen" in self._model.config.abilities

    def require_blending(self) -> None:
        """Raise TalkheadError unless pictures of these weights can be sharper or smoother."""
        if not self.blends:
            raise TalkheadError(
                f"these weights ({self.family}) draw every pixel anew, so there is nothing to "
                "prefer; leave out --sharpness"
            )

    @torch.inference_mode()
    def add_detail(self, source: EncodedSource, picture: np.ndarray | PhotoWindow) -> EncodedSource:
        """The same source, drawn from now on at the size of a larger picture of it.

        picture: the same square of the photo, uint8 (T, T, 3) of any size T, or the photo around
        it: results are then that part of the photo, and what does not move stays as it is there.
        """
        if isinstance(picture, PhotoWindow):
            small = self.to_tensor([source.picture])
            detail = SourceDetail.in_photo(self._texture(picture.rgb), picture, small)
            return replace(source, detail=detail, shown=picture.rgb)
        detail = SourceDetail.whole(self._texture(picture), self.image_size)
        return replace(source, detail=detail, shown=picture)

    def _texture(self, picture: np.ndarray) -> Tensor:
        levels = upload(torch.from_numpy(np.ascontiguousarray(picture))[None], self.device)
        return levels.permute(0, 3, 1, 2).float().contiguous() / 255

    def require_avd(self) -> None:
        """Raise TalkheadError unless these weights can `disentangle`."""
        config = self._model.config
        if "disentangling" not in config.abilities:
            raise TalkheadError(
                f"these weights ({config.family}) hold no AVD network; use relative or absolute "
                "motion, or TPSMM weights converted from a release with an avd_network"
            )

    @property
    def has_landmarks(self) -> bool:
        """Whether its keypoints are points of a head that are known by name."""
        return has_landmarks(self._model.config)

    def require_parts(self, strengths: Strengths) -> None:
        """Raise TalkheadError unless these weights know the parts whose strength is changed."""
        if strengths.changed and not self.has_landmarks:
            raise TalkheadError(
                f"these weights ({self.family}) do not know which keypoints belong to the mouth, "
                f"the eyes or the head; leave out --{strengths.changed[0]}, or use the bundled ones"
            )
        if strengths.gaze != 1 and not uses_mesh(self._model.config):
            raise TalkheadError(
                "these weights have no keypoints at the irises, so gaze has no strength of its "
                "own; leave out --gaze"
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
        strengths: Strengths = PLAIN,
        picture: np.ndarray | None = None,
    ) -> Transfer:
        """How these weights' keypoints are carried to a source, with that `picture`: `Transfer`."""
        self.require_parts(strengths)
        limited = self.has_landmarks and (mode == "relative" or strengths.changed)
        if limited and source.mesh is None and picture is not None:
            source = replace(source, mesh=self._find_meshes([picture]))
        return Transfer(mode, source, anchor, adapt_scale, self.has_landmarks, strengths)

    def render(self, source: EncodedSource, keypoints: Keypoints) -> np.ndarray:
        """The source moved to a batch of keypoints: uint8 (B, S, S, 3)."""
        return self.begin(source, keypoints).pictures

    @torch.inference_mode()
    def begin(self, source: EncodedSource, keypoints: Keypoints) -> PendingBatch:
        """Like `render`, for pictures that are wanted later: a GPU draws them meanwhile."""
        driving = keypoints.map(lambda tensor: upload(tensor, self.device))
        workers = self._side_by_side() if len(driving) > 1 else None
        if workers is None:
            drawn = self._drawn(source, driving)
        else:
            pieces = workers.map(lambda piece: self._drawn(source, piece), driving)
            levels, finite = zip(*pieces, strict=True)
            drawn = torch.cat(levels), torch.stack(finite).all()
        return PendingBatch(
            Download(drawn, self._copies), lambda: self._render_again(source, driving)
        )

    @contextmanager
    def undivided(self) -> Iterator[None]:
        """Batches are drawn as a whole meanwhile, in the thread that asks: to see layers."""
        self._divided = False
        try:
            yield
        finally:
            self._divided = True

    def _side_by_side(self) -> Workers | None:
        """What draws parts of a batch side by side; None where the device does so itself."""
        several = min(self.batch_size, torch.get_num_threads()) > 1
        if not (several and self._divided) or self.device.type != "cpu" or self._compiled:
            return None
        if self._workers is None or self._workers.frames != self.batch_size:
            self._workers = Workers(self.batch_size)
        return self._workers

    def _drawn(self, source: EncodedSource, driving: Keypoints) -> tuple[Tensor, Tensor]:
        """Pictures uint8 (B, S, S, 3), and whether all numbers behind them are finite."""
        whole = fill_up(driving, self.batch_size) if self._compiled else driving
        if source.detail is None:
            images = self._draw(source.state, whole)[: len(driving)]
            return to_levels(images), torch.isfinite(images).all()
        parts = self._draw_parts(source.state, whole)
        return lay_in(source.detail, parts[: len(driving)])

    @torch.inference_mode()
    def _render_again(self, source: EncodedSource, driving: Keypoints) -> np.ndarray:
        if self.precision is not torch.float32:
            if not self._warned:
                log.warning(
                    "a frame overflowed in %s; such frames are drawn in fp32", self.precision
                )
                self._warned = True
            picture = [source.picture]
            state = self._single.encode_source(self.to_tensor(picture), **self._meshes(picture))
            state = replace(state, sharpness=source.state.sharpness)
            if source.detail is None:
                images = self._single.render(state, driving)
                levels, finite = to_levels(images), torch.isfinite(images).all()
            else:
                levels, finite = lay_in(source.detail, self._single.render_parts(state, driving))
            if bool(finite):
                return levels.cpu().numpy()
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


@dataclass(frozen=True, eq=False)
class EncodedSource:
    """A source picture and its state on the engine's device.

    shown:  the picture at the size that is drawn.
    detail: of a source that is drawn at a size of its own.
    """

    picture: np.ndarray
    state: SourceState
    shown: np.ndarray
    detail: SourceDetail | None = None

    @property
    def sharpness(self) -> float:
        """As `Engine.encode` was told."""
        return 0.0 if self.state.sharpness is None else float(self.state.sharpness)

    @property
    def keypoints(self) -> Keypoints:
        """Of the source, float32 on the CPU."""
        return self.state.keypoints.map(lambda tensor: tensor.float().cpu())
