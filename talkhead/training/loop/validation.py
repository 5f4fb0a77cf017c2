"""Validation on people not trained on: L1, PSNR and images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from talkhead.config import is_tracked, uses_mesh
from talkhead.data.clips import Clip, load_landmarks
from talkhead.errors import TalkheadError
from talkhead.models import Network
from talkhead.models.codebook import CodebookModel
from talkhead.motion.optical_flow import optical_flow, small_grey
from talkhead.structs import NOWHERE
from talkhead.topology import MESH_POINTS
from talkhead.training.compute import Compute
from talkhead.training.data.frames import frames_on_demand
from talkhead.training.loop.partial_models import partial_model
from talkhead.training.modes import evaluating
from talkhead.training.recipes.recipe import Recipe

log = logging.getLogger(__name__)

MAX_CLIPS = 16
PER_CLIP = 3  # driving frames, evenly over the clip; its first frame is the source
SHOWN = 4  # pairs in the picture


@dataclass(frozen=True)
class Score:
    """Mean over all pairs. l1 in [0, 1]; `relative`: l1 over that of repeating the source."""

    l1: float
    psnr: float
    relative: float


@dataclass(frozen=True)
class Validation:
    """Fixed pairs, uint8 (N, 3, S, S) each, and their meshes (N, 478, 2), see `models.mesh`."""

    source: Tensor
    driving: Tensor
    source_mesh: Tensor
    driving_mesh: Tensor

    @torch.inference_mode()
    def __call__(self, model: Network, compute: Compute, recipe: Recipe) -> tuple[Score, Tensor]:
        """Score a model, and what it drew for the first pairs."""
        stage = partial_model(model, recipe)
        drawn = []
        pairs = zip(self.source, self.driving, self.source_mesh, self.driving_mesh, strict=True)
        with evaluating(model):
            for source, driving, *both in pairs:
                pair = torch.stack([source, driving]).to(compute.device).float() / 255
                meshes = [mesh[None].to(compute.device) for mesh in both]
                with compute.autocast():
                    image = _draw(model, stage, pair, meshes)
                drawn.append(image.float().clamp(0, 1).cpu())
        images = torch.cat(drawn)
        wanted, still = self.driving.float() / 255, self.source.float() / 255
        error = (images - wanted).square().mean((1, 2, 3)).clamp(min=1e-10)
        l1 = (images - wanted).abs().mean().item()
        idle = (still - wanted).abs().mean().item()
        psnr = (-10 * torch.log10(error)).mean().item()
        return Score(l1, psnr, l1 / max(idle, 1e-8)), images[:SHOWN]

    def sheet(self, drawn: Tensor) -> np.ndarray:
        """rgb uint8 (H, W, 3), one row per pair: source, driving, drawn."""
        count = len(drawn)
        rows = [self.source[:count], self.driving[:count], (drawn * 255).round().byte()]
        sheet = torch.cat(list(torch.cat(rows, dim=3)), dim=1)  # side by side, then below
        return sheet.permute(1, 2, 0).numpy()


def _draw(model: Network, stage: Any, pair: Tensor, meshes: list[Tensor]) -> Tensor:
    """What `animate` draws of a pair (2, 3, S, S), or what a stage of it has in its place."""
    how: list[dict[str, Any]] = [{}, {}]
    if uses_mesh(model.config):
        how = [{"mesh": mesh} for mesh in meshes]
    flow = _flow(pair, model.config.dense_motion.size) if is_tracked(model.config) else None
    if stage is not model:
        told: dict[str, Any] = {} if flow is None else {"flow": flow}
        if uses_mesh(model.config):
            told["meshes"] = tuple(meshes)
        image: Tensor = stage.reconstruct(pair[:1], pair[1:], **told).image
        return image
    state, found = model.encode_source(pair[:1], **how[0]), model.detect(pair[1:], **how[1])
    if flow is not None:
        assert isinstance(model, CodebookModel)
        found = model.track(found, state.keypoints, state.small, *flow)
    return model.render(state, found)


def _flow(pair: Tensor, size: int) -> tuple[Tensor, Tensor]:
    grey = small_grey(pair.permute(0, 2, 3, 1) * 255).byte().cpu().numpy()
    places, trust = optical_flow([(grey[0], grey[1])], size)
    return places.to(pair.device), trust.to(pair.device)


def validation_pairs(
    clips: Sequence[Clip], size: int, landmarks: Path | None = None
) -> Validation | None:
    """Pairs of a few clips, spread evenly; None when no clip can be read.

    landmarks: a folder with landmark files, of which the meshes are.
    """
    chosen = clips[:: max(1, -(-len(clips) // MAX_CLIPS))]
    sources, drivings, meshes = [], [], []
    for clip in chosen:
        frames = frames_on_demand(clip, size)
        try:
            count = len(frames)
            # Headers count about right only, so the very last frames are left alone.
            later = np.linspace(0, count - 1, PER_CLIP + 2).round().astype(int)[1:-1]
            chosen_frames = [0, *sorted({int(i) for i in later if i > 0})]
            pictures = frames.take(chosen_frames)
            known = load_landmarks(landmarks, clip) if landmarks else None
        except TalkheadError as error:
            log.warning("validation leaves out a clip: %s", error)
            continue
        pictures = pictures.permute(0, 3, 1, 2)
        drivings.append(pictures[1:])
        meshes.append(_meshes_of(known, chosen_frames, size))
        sources.append(pictures[:1].expand_as(pictures[1:]))
    if not sources:
        log.warning("no clip is left to validate on; there will be no scores and no pictures")
        return None
    source_mesh = torch.cat([mesh[:1].expand_as(mesh[1:]) for mesh in meshes])
    driving_mesh = torch.cat([mesh[1:] for mesh in meshes])
    return Validation(torch.cat(sources), torch.cat(drivings), source_mesh, driving_mesh)


def _meshes_of(points: np.ndarray | None, frames: list[int], size: int) -> Tensor:
    """Meshes (n, 478, 2) of some frames, from edges to pixel centres; unknown ones are nowhere."""
    if points is None or len(points) <= max(frames):
        return torch.full((len(frames), MESH_POINTS, 2), NOWHERE)
    meshes = torch.from_numpy(points[frames][..., :2]).float() * (size / (size - 1))
    return torch.where(torch.isfinite(meshes).all(2).all(1)[:, None, None], meshes, NOWHERE)
