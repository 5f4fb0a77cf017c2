"""Pretrain the painter of mouths alone, on squares around the mouths of pairs.

Squares are small: dozens of mouths are learned from in the time that a whole picture takes. They
are cut out once, and then seen many times in other light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.models.grid import sample
from talkhead.models.mesh import mesh_motion, refine
from talkhead.models.mouth import MAPS, SIZE, SOURCE, WARPED, MouthPainter, Square, opened
from talkhead.progress import Progress
from talkhead.structs import Keypoints, map_tensors
from talkhead.training.compute import Compute
from talkhead.training.data import augment
from talkhead.training.data.landmark_teacher import gaps_over_height
from talkhead.training.data.pairs import Pair, Pairs
from talkhead.training.distributed import ProcessGroup
from talkhead.training.losses.discriminator import MouthDiscriminator
from talkhead.training.losses.perceptual import EfficientNetDistance, PerceptualPyramid
from talkhead.training.optimizer import Average
from talkhead.training.phases.single_network import rate_share, set_rate, update
from talkhead.training.recipes.recipe import Augmentation

# Mouths of portraits are nearly closed to be the source, those of clips are chosen to differ.
PAIRS = Augmentation(expressive_pairs=0.85, portrait_pairs=0.3, turned=0.1, close_mouth=0.85)
LIGHT = Augmentation(colour=0.06, gain=0.15, offset=0.04, gamma=0.15)
CUT, ATTEMPTS = 18_000, 50  # mouths, 1.4 GB; pairs that are drawn for each at most
LEAST_OPEN = 0.012  # of a driving mouth, in face heights: nothing is learned from closed ones
SAME = 0.5  # of its opening; half of the pairs whose source is open further are left out
COARSE, REFINED = 64, 128  # sides of the deformation that bends sources
BATCH, RATE, EMA, WARMUP_STEPS = 24, 2e-3, 0.998, 100
DISCRIMINATOR_RATE = 4e-4
DISCRIMINATOR_LEARNS_FROM, ADVERSARIAL_FROM = 150, 200  # steps
GRADIENT_WEIGHT, PERCEPTUAL_WEIGHT, ADVERSARIAL_WEIGHT = 0.5, 0.5, 0.1  # beside an L1 of 1
LOOKED_AT = 4  # squares of every other batch that the perceptual network is shown: it is slow
LEVELS = 127  # that stand for 1 where squares are kept
REPORT_EVERY = 20

Report = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Mouths:
    """Squares around mouths, int8, `LEVELS` for 1.

    seen: (n, 9, S, S), as `MouthPainter.look` gives it. wanted: (n, 3, S, S), the driving pictures.
    """

    seen: Tensor
    wanted: Tensor

    def batch(self, rng: np.random.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
        """`BATCH` of them at random, float32, in changed light, perhaps mirrored."""
        chosen = torch.from_numpy(rng.integers(len(self.seen), size=BATCH))
        seen, wanted = (
            kept[chosen].to(device).float() / LEVELS for kept in (self.seen, self.wanted)
        )
        drawn = augment.stack([augment.draw(rng, LIGHT) for _ in range(BATCH)], LIGHT)
        change = map_tensors(drawn, lambda tensor: tensor.to(device))
        pictures = torch.stack([seen[:, SOURCE], seen[:, WARPED], wanted], dim=1) / 2 + 0.5
        pictures = augment.recolour(pictures, change) * 2 - 1
        whole = torch.cat([*pictures.unbind(1), seen[:, MAPS]], dim=1)
        whole = torch.where(change.flip[:, None, None, None], whole.flip(-1), whole)
        source, warped, wanted, maps = whole.split((3, 3, 3, 3), dim=1)
        return torch.cat([source, warped, maps], dim=1), wanted


def cut_mouths(
    pairs: Pairs,
    painter: MouthPainter,
    rng: np.random.Generator,
    progress: Progress | None = None,
    count: int | None = None,
) -> Mouths:
    """So many mouths (`CUT`) of pairs drawn as `PAIRS` says. TalkheadError where none is open."""
    count = CUT if count is None else count
    seen: list[Tensor] = []
    wanted: list[Tensor] = []
    for _ in range(ATTEMPTS * count):
        pair = pairs.draw(rng)
        if pair.landmarks is None or not _is_telling(pair.landmarks, rng):
            continue
        for kept, square in zip((seen, wanted), _squares(pair, painter), strict=True):
            kept.append((square.clamp(-1, 1) * LEVELS).round().to(torch.int8).cpu())
        if progress:
            progress("cutting out mouths", len(seen), count)
        if len(seen) == count:
            break
    if not seen:
        raise TalkheadError("no landmarks show an open mouth; leave out --mouth-steps")
    return Mouths(torch.cat(seen), torch.cat(wanted))


def _is_telling(meshes: np.ndarray, rng: np.random.Generator) -> bool:
    """Whether a driving mouth is open, and as a rule wider than the source's."""
    source, driving = gaps_over_height(meshes)[:, 0]
    return driving > LEAST_OPEN and (source < SAME * driving or rng.random() < 0.5)


@torch.no_grad()
def _squares(pair: Pair, painter: MouthPainter) -> tuple[Tensor, Tensor]:
    """What the painter sees of a pair (1, 9, S, S), and what it should draw (1, 3, S, S)."""
    images = pair.pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    centred = images.shape[-1] / (images.shape[-1] - 1)  # edges to pixel centres
    assert pair.landmarks is not None
    meshes = torch.from_numpy(pair.landmarks[..., :2]).to(images) * centred
    source, driving = meshes.split(1)
    coarse, _ = mesh_motion(source, driving, (COARSE, COARSE))
    before, after = (Keypoints(mesh, None, mesh) for mesh in (source, driving))
    motion, _ = refine(coarse, before, after, REFINED)
    seen = painter.inputs(images[:1], motion, source, driving)
    return seen, sample(images[1:], Square.around(driving).places(SIZE), align_corners=True)


def teach_mouth(
    painter: MouthPainter,
    mouths: Mouths,
    perceptual: EfficientNetDistance | PerceptualPyramid | None,
    compute: Compute,
    processes: ProcessGroup,
    steps: int,
    rng: np.random.Generator,
    report: Report,
) -> None:
    """Train a painter alone; it ends with the average of its weights.

    What it draws is laid into the driving picture, and judged there. `report` gets (step, steps,
    L1 within mouths, of the 2 from black to white).
    """
    discriminator = MouthDiscriminator().to(compute.device)
    processes.copy_from_main(discriminator.state_dict().values())
    optimizer = torch.optim.Adam(painter.parameters(), lr=RATE, betas=(0.9, 0.99))
    opponent = torch.optim.Adam(
        discriminator.parameters(), lr=DISCRIMINATOR_RATE, betas=(0.5, 0.99)
    )
    average = Average(painter, EMA)
    for step in range(steps):
        set_rate(optimizer, RATE * rate_share(step, steps, WARMUP_STEPS, floor=0.02))
        set_rate(opponent, DISCRIMINATOR_RATE * rate_share(step, steps, 1, floor=0.02))
        seen, wanted = mouths.batch(rng, compute.device)
        share, maps = opened(seen), seen[:, MAPS]
        with compute.autocast():
            added = painter(seen)
        laid = torch.lerp(wanted, seen[:, WARPED] + added.float(), share)
        terms = _distance(laid, wanted, share)
        error = terms[0].item()
        if perceptual is not None and step % 2 == 0:
            few = slice(LOOKED_AT)  # they are in no order
            shown = (laid[few] / 2 + 0.5, wanted[few] / 2 + 0.5)
            terms.append(PERCEPTUAL_WEIGHT * perceptual(*shown))
        where = F.adaptive_avg_pool2d(share, SIZE // 8)
        if step >= ADVERSARIAL_FROM:
            terms.append(-ADVERSARIAL_WEIGHT * _mean(discriminator(laid, maps), where))
        if update(painter, optimizer, torch.stack(terms).sum(), processes):
            average.update(step)
        if step >= DISCRIMINATOR_LEARNS_FROM:
            real, fake = discriminator(wanted, maps), discriminator(laid.detach(), maps)
            loss = _mean(F.relu(1 - real) + F.relu(1 + fake), where) / 2
            update(discriminator, opponent, loss, processes)
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == steps:
            report(step + 1, steps, error)
    painter.load_state_dict(average.model.state_dict())


def _distance(laid: Tensor, wanted: Tensor, share: Tensor) -> list[Tensor]:
    """L1 within mouths, of the 2 from black to white, and that of the derivatives."""
    error = laid - wanted
    area = 3 * share.sum() + 1
    edges = (error.diff(dim=dim).abs().sum() for dim in (-1, -2))
    return [error.abs().sum() / area, GRADIENT_WEIGHT * sum(edges, area.new_zeros(())) / area]


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Of values (B, 1, h, w), weighted."""
    return (values * weight).sum() / (weight.sum() + 1e-3)
