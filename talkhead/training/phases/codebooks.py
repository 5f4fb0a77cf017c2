"""Codebooks during training: what they encode, seeding, usage, codes that nothing is near to."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import torch
from torch import Tensor

from talkhead.config import is_tracked, uses_mesh
from talkhead.models import Network
from talkhead.models.codebook import CodebookModel
from talkhead.models.quantizer import Codebook
from talkhead.training.data.batches import Batch
from talkhead.training.modes import evaluating

CODEBOOKS = ("motion", "appearance")
SEED_NOISE = 0.01  # of the seeds' standard deviation: no two codes start equal


@torch.no_grad()
def encoded(model: CodebookModel, batch: Batch) -> dict[str, list[tuple[int, Tensor]]]:
    """What each codebook has to express of a batch: (scale, vectors (B, T, D)) by codebook."""
    found: dict[str, list[tuple[int, Tensor]]] = {}
    if model.motion is not None:
        known = uses_mesh(model.config)
        state = model.encode_source(batch.source, batch.source_landmarks if known else None)
        driving = model.detect(batch.driving, batch.driving_landmarks if known else None)
        if is_tracked(model.config) and batch.flow is not None and batch.confidence is not None:
            flow = batch.flow, batch.confidence
            driving = model.track(driving, state.keypoints, state.small, *flow)
        dense = model.dense_motion(state.small, state.keypoints, driving)
        steps = model.compensate(state, dense, driving)
        found["motion"] = [
            (scale, step.embedding)
            for scale, step in enumerate(steps)
            if step.embedding is not None
        ]
    if model.appearance is not None:
        # The appearance codes are learned from the driving picture's shallow features.
        features = model.shallow_features(batch.driving)
        found["appearance"] = [
            (scale, model.appearance.embed(features[scale], scale))
            for scale in model.config.appearance_codebook.scales
        ]
    return found


def seed_codes(
    model: Network,
    batches: Iterable[Batch],
    generator: torch.Generator,
    names: Collection[str] = CODEBOOKS,
) -> None:
    """Replace all codes of the codebooks named by vectors of real data.

    Codes far from any data are never learned.
    """
    if not isinstance(model, CodebookModel):
        return
    collected: dict[str, list[Tensor]] = {}
    for batch in batches:
        for name, scales in encoded(model, batch).items():
            if name in names:
                vectors = [v.float().flatten(0, 1).cpu() for _, v in scales]
                collected.setdefault(name, []).extend(vectors)
    for name, vectors in collected.items():
        codes = _codebook(model, name).codes
        pool = torch.cat(vectors)
        chosen = torch.randint(len(pool), (len(codes),), generator=generator)
        noise = torch.randn(codes.shape, generator=generator) * (SEED_NOISE * pool.std())
        with torch.no_grad():
            codes.copy_(pool[chosen] + noise)


@torch.no_grad()
def revive_codes(model: Network, batch: Batch, share: float) -> None:
    """Set codes that no vector of a batch is nearest to to vectors that no code is near to.

    At most a `share` of every codebook at once: attention reads all codes, and has to get used to
    new ones. Vectors are drawn with torch's own generator, in proportion to their squared distance
    from the nearest code (k-means++).
    """
    if not isinstance(model, CodebookModel):
        return
    with evaluating(model):
        found = encoded(model, batch)
    for name, scales in found.items():
        codebook = _codebook(model, name)
        hits = [codebook.quantize(vectors, scale) for scale, vectors in scales]
        used = torch.cat([hit.indices.flatten() for hit in hits]).unique()
        idle = torch.ones(len(codebook.codes), dtype=torch.bool, device=used.device)
        idle[used] = False
        for (scale, vectors), hit in zip(scales, hits, strict=True):
            # Of codes that several scales may use, each scale sets its own part.
            mine = idle[: len(codebook.allocated(scale))].nonzero()[:, 0]
            mine = mine[mine % len(scales) == scale % len(scales)]
            some = mine[torch.randperm(len(mine), device=mine.device)]
            some = some[: math.ceil(share * len(codebook.codes) / len(scales))]
            wanted = vectors.float().flatten(0, 1)
            error = (wanted - hit.vectors.float().flatten(0, 1)).square().sum(1)
            if len(some) and bool(error.sum() > 0):
                drawn = torch.multinomial(error, len(some), replacement=True)
                codebook.codes[some] = wanted[drawn].to(codebook.codes.dtype)


def code_use(model: Network, batches: Iterable[Batch]) -> dict[str, float]:
    """Share of each codebook's codes that at least one vector of the batches is nearest to.

    Empty for a model without codebooks.
    """
    if not isinstance(model, CodebookModel):
        return {}
    used: dict[str, Tensor] = {}
    for batch in batches:
        with evaluating(model):
            found = encoded(model, batch)
        for name, scales in found.items():
            codebook = _codebook(model, name)
            hit = used.setdefault(name, torch.zeros(len(codebook.codes), dtype=torch.bool))
            for scale, vectors in scales:
                hit[codebook.quantize(vectors, scale).indices.flatten().cpu()] = True
    return {name: hit.float().mean().item() for name, hit in used.items()}


def codes(model: Network) -> list[Tensor]:
    """The codes of every codebook of a model."""
    return [part.codes for part in model.modules() if isinstance(part, Codebook)]


def _codebook(model: CodebookModel, name: str) -> Codebook:
    part = model.motion if name == "motion" else model.appearance
    assert part is not None
    return part.codebook
