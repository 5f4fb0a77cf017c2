"""Augmentation: close, or nearly, the mouth and eyes of a photo.

What a closed mouth hides, its driver may open. Any picture of an open one teaches that, with the
same picture, its lips drawn together, as the source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from talkhead.data.meshes import sampled
from talkhead.errors import TalkheadError
from talkhead.training.data.landmark_teacher import gaps_over_height, mean_face
from talkhead.training.data.library import Library
from talkhead.training.data.mesh_warp import warp_mesh

FRAMES = 60  # of every clip, at most, that say how faces open
LEAST, MOST = np.array([0.4, 0.0]), np.array([1.0, 0.8])  # shares of mouth and eyes that are shut


def draw_shares(rng: np.random.Generator) -> np.ndarray:
    """How far to shut mouth and eyes, (2,): eyes less, since portraits rarely have them shut."""
    return rng.uniform(LEAST, MOST)


@dataclass(frozen=True)
class MouthCloser:
    """Shuts mouths and eyes as the clips of a library show it.

    face:   complex (478,), the mean face, x + iy.
    slopes: complex (2, 478), how it moves per opening of the mouth and of the eyes.
    """

    face: np.ndarray
    slopes: np.ndarray

    @classmethod
    def fit(cls, library: Library) -> MouthCloser:
        """Learn from landmarks how faces move as they open: a regression within clips."""
        some = sampled([each for each in library.landmarks if each is not None])
        found = (each[:: -(-len(each) // FRAMES)] for each in some)
        known = (landmarks[np.isfinite(landmarks).all((1, 2))][..., :2] for landmarks in found)
        clips = [landmarks for landmarks in known if len(landmarks) > 1]
        if not clips:
            raise TalkheadError(
                "no clip has landmarks of two frames, from which closing mouths could be learned; "
                "add --set recipe.augmentation.close_mouth=0"
            )
        face = _complex(mean_face(torch.from_numpy(np.concatenate(clips))).numpy())
        square, product = np.zeros((2, 2)), np.zeros((2, len(face)), complex)
        for meshes in clips:
            opened = gaps_over_height(meshes)
            opened = opened - opened.mean(0)
            flat = _complex(meshes)
            placed = _towards(flat, face)[:, None] * (flat - flat.mean(1, keepdims=True))
            square += opened.T @ opened
            product += opened.T @ (placed - placed.mean(0))
        return cls(face, np.linalg.solve(square + 1e-6 * np.eye(2), product))

    def __call__(
        self, picture: np.ndarray, mesh: np.ndarray, shares: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shut mouth and eyes by shares (2,) of what they are open; 1: entirely.

        picture: uint8 (S, S, 3). mesh: (478, 3) as in `warp_mesh`. Returns new ones of both.
        """
        change = -shares * gaps_over_height(mesh[None])[0].clip(min=0)
        flat = _complex(mesh)
        move = (change @ self.slopes) / _towards(flat[None], self.face)[0]
        moved = mesh.copy()
        moved[:, 1] += move.imag
        return warp_mesh(picture, mesh, move.imag, along=1), moved


def _complex(meshes: np.ndarray) -> np.ndarray:
    """x and y of meshes (..., n, 2 or 3) as complex numbers (..., n)."""
    found: np.ndarray = meshes[..., 0].astype(np.float64) + 1j * meshes[..., 1]
    return found


def _towards(meshes: np.ndarray, face: np.ndarray) -> np.ndarray:
    """What turns and scales each of meshes (F, n) to the face, complex (F,)."""
    centred = meshes - meshes.mean(1, keepdims=True)
    found: np.ndarray = (centred.conj() @ (face - face.mean())) / (abs(centred) ** 2).sum(1)
    return found
