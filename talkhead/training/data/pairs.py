"""Draw pairs of images of one person from clips and portraits."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talkhead.errors import TalkheadError
from talkhead.training.data.close_mouth import MouthCloser, draw_shares
from talkhead.training.data.head_turn import draw_angles, turn_head
from talkhead.training.data.landmark_teacher import gaps_over_height
from talkhead.training.data.library import Library
from talkhead.training.recipes.recipe import Augmentation

log = logging.getLogger(__name__)

CHOICES = 8  # driving frames to choose from
ATTEMPTS = 20  # other clips that are tried when one turns out to be broken


@dataclass(frozen=True)
class Pair:
    """Source and driving picture.

    pixels: uint8 (2, S, S, 3). landmarks: (2, 478, 2 or 3) as in `Library`, None if either's are
    not known.
    """

    pixels: Tensor
    landmarks: np.ndarray | None


class Pairs:
    """Draws pairs of a library, and of pictures of which pairs are made by turning heads."""

    def __init__(self, library: Library, portraits: Library | None, how: Augmentation) -> None:
        self.library = library
        self.portraits = portraits
        self.how = how
        self.mouth_closer = MouthCloser.fit(library) if how.close_mouth else None
        self._identities = list(library.identities.values())
        self._broken: set[int] = set()

    def draw(self, rng: np.random.Generator) -> Pair:
        """A random person and two pictures; the source's head perhaps turned."""
        if self.portraits is not None and rng.random() < self.how.portrait_pairs:
            return self._hide_parts_of_source(self._portrait_twice(self.portraits, rng), rng)
        pair = self._frames(rng)
        return self._hide_parts_of_source(pair, rng) if rng.random() < self.how.turned else pair

    def _portrait_twice(self, portraits: Library, rng: np.random.Generator) -> Pair:
        """One picture twice."""
        (frames,), (landmarks,) = portraits.frames, portraits.landmarks
        twice = [int(rng.integers(len(frames)))] * 2
        return Pair(frames.take(twice), None if landmarks is None else landmarks[twice])

    def _hide_parts_of_source(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """The same with less to be seen in the source, where the depth of its face is known."""
        if pair.landmarks is None or pair.landmarks.shape[-1] < 3:
            return pair
        picture, mesh = pair.pixels[0].cpu().numpy(), pair.landmarks[0]
        if self.mouth_closer is not None and rng.random() < self.how.close_mouth:
            picture, mesh = self.mouth_closer(picture, mesh, draw_shares(rng))
        picture, mesh = turn_head(picture, mesh, *draw_angles(rng, mesh))
        source = torch.from_numpy(picture).to(pair.pixels.device)
        return Pair(torch.stack([source, pair.pixels[1]]), np.stack([mesh, pair.landmarks[1]]))

    def _frames(self, rng: np.random.Generator) -> Pair:
        """Two frames of a random clip of a random identity."""
        for _ in range(ATTEMPTS):
            clips = self._identities[rng.integers(len(self._identities))]
            clip = clips[rng.integers(len(clips))]
            try:
                two = list(self._choose(rng, clip, len(self.library.frames[clip])))
                pixels = self.library.frames[clip].take(two)
                return Pair(pixels, self._landmarks(clip, two))
            except TalkheadError as error:
                if clip not in self._broken:
                    self._broken.add(clip)
                    log.warning("skipped %s", error)
        raise TalkheadError(
            f"{ATTEMPTS} clips in a row could not be read; run with --check-data to see which"
        )

    def _landmarks(self, clip: int, frames: list[int]) -> np.ndarray | None:
        """Of some frames of a clip, where those of all are known."""
        landmarks = self.library.landmarks[clip]
        if landmarks is None or max(frames) >= len(landmarks):
            return None
        found = landmarks[frames]
        return found if np.isfinite(found).all() else None

    def _choose(self, rng: np.random.Generator, clip: int, count: int) -> tuple[int, int]:
        """Two frames, drawn with replacement; perhaps the most different of several choices."""
        source, *drivings = rng.integers(count, size=1 + CHOICES)
        landmarks, how = self.library.landmarks[clip], self.how
        driving, chance = drivings[0], rng.random()
        if (
            landmarks is None
            or len(landmarks) < count
            or chance >= how.far_pairs + how.expressive_pairs
        ):
            return int(source), int(driving)
        if chance < how.far_pairs:
            drivings = drivings[:2]
            meshes = landmarks[[source, *drivings]]
            change = np.abs(meshes[1:] - meshes[0])[..., :2].mean((1, 2))
        else:
            opened = gaps_over_height(landmarks[[source, *drivings]])[:, rng.integers(2)]
            change = np.abs(opened[1:] - opened[0])
        # A frame in which no face was found (NaN) is not the more different one.
        driving = drivings[np.nan_to_num(change, nan=-1.0).argmax()]
        return int(source), int(driving)
