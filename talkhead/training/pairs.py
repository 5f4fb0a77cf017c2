"""Pairs of pictures of one person, as they are drawn from clips and portraits."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.training.frames import Library
from talkhead.training.landmarks import openings
from talkhead.training.recipe import Augmentation
from talkhead.training.shut import Shutter, draw_shares
from talkhead.training.turn import draw_angles, turn

log = logging.getLogger(__name__)

CHOICES = 8  # driving frames to choose from
ATTEMPTS = 20  # other clips that are tried when one turns out to be broken


@dataclass(frozen=True)
class Pair:
    """Source and driving picture.

    pixels: uint8 (2, S, S, 3). marks: (2, 478, 2 or 3) as in `Library`, None if either's are not
    known.
    """

    pixels: Tensor
    marks: np.ndarray | None


class Pairs:
    """Draws pairs of a library, and of pictures of which pairs are made by turning heads."""

    def __init__(self, library: Library, portraits: Library | None, how: Augmentation) -> None:
        self.library = library
        self.portraits = portraits
        self.how = how
        self.shutter = Shutter.fit(library) if how.shut else None
        self._identities = list(library.identities.values())
        self._broken: set[int] = set()

    def draw(self, rng: np.random.Generator) -> Pair:
        """A random person and two pictures; the source's head perhaps turned."""
        if self.portraits is not None and rng.random() < self.how.stills:
            return self._turn(self._still(self.portraits, rng), rng)
        pair = self._frames(rng)
        return self._turn(pair, rng) if rng.random() < self.how.turned else pair

    def _still(self, portraits: Library, rng: np.random.Generator) -> Pair:
        """One picture twice."""
        (frames,), (marks,) = portraits.frames, portraits.marks
        twice = [int(rng.integers(len(frames)))] * 2
        return Pair(frames.take(twice), None if marks is None else marks[twice])

    def _turn(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """The same with less to be seen in the source, where the depth of its face is known."""
        if pair.marks is None or pair.marks.shape[-1] < 3:
            return pair
        picture, mesh = pair.pixels[0].cpu().numpy(), pair.marks[0]
        if self.shutter is not None and rng.random() < self.how.shut:
            picture, mesh = self.shutter(picture, mesh, draw_shares(rng))
        picture, mesh = turn(picture, mesh, *draw_angles(rng, mesh))
        source = torch.from_numpy(picture).to(pair.pixels.device)
        return Pair(torch.stack([source, pair.pixels[1]]), np.stack([mesh, pair.marks[1]]))

    def _frames(self, rng: np.random.Generator) -> Pair:
        """Two frames of a random clip of a random identity."""
        for _ in range(ATTEMPTS):
            clips = self._identities[rng.integers(len(self._identities))]
            clip = clips[rng.integers(len(clips))]
            try:
                two = list(self._choose(rng, clip, len(self.library.frames[clip])))
                pixels = self.library.frames[clip].take(two)
            except TalkheadError as error:
                if clip not in self._broken:
                    self._broken.add(clip)
                    log.warning("skipped %s", error)
                continue
            marks = self.library.marks[clip]
            if marks is None or max(two) >= len(marks) or not np.isfinite(marks[two]).all():
                return Pair(pixels, None)
            return Pair(pixels, marks[two])
        raise TalkheadError(
            f"{ATTEMPTS} clips in a row could not be read; run with --check-data to see which"
        )

    def _choose(self, rng: np.random.Generator, clip: int, count: int) -> tuple[int, int]:
        """Two frames, drawn with replacement; perhaps the most different of several choices."""
        source, *drivings = rng.integers(count, size=1 + CHOICES)
        marks, how = self.library.marks[clip], self.how
        driving, chance = drivings[0], rng.random()
        if marks is None or len(marks) < count or chance >= how.far_pairs + how.expressive_pairs:
            return int(source), int(driving)
        if chance < how.far_pairs:
            drivings = drivings[:2]
            change = np.abs(marks[drivings] - marks[source])[..., :2].mean((1, 2))
        else:
            opened = openings(marks[[source, *drivings]])[:, rng.integers(2)]
            change = np.abs(opened[1:] - opened[0])
        # A frame in which no face was found (NaN) is not the more different one.
        driving = drivings[np.nan_to_num(change, nan=-1.0).argmax()]
        return int(source), int(driving)
