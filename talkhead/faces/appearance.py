"""How a face looks, to tell people of one video apart: colours at its mesh, and its shape."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkhead.faces.regions import region_of_points
from talkhead.topology import PALETTE_POINTS, RIGID_POINTS

_SIDE = 32  # of the picture of the face that colours are read from, pixels
# Over frames of 85 clips colours of one person differ by 3 to 11 (median, 99 %), those of two by 9
# to 18 (1 %, median); shapes by 0.03 to 0.09, and by 0.02 to 0.06: the mesh alone says little.
_COLOUR_UNIT, _SHAPE_UNIT, _SHAPE_SHARE = 10.0, 0.06, 0.3


@dataclass(frozen=True, eq=False)
class Appearance:
    """What is known of a person again: colours and shape of the face.

    Colours (n, 3) at points of the face, CIE Lab of OpenCV's 8 bits, and the shape (m, 3) of its
    rigid parts, centred, of length 1, in any pose.
    """

    colours: np.ndarray
    shape: np.ndarray

    @classmethod
    def of(cls, rgb: np.ndarray, points: np.ndarray) -> Appearance:
        """Of the face with these points (468 or more, 3) in rgb uint8 (H, W, 3)."""
        region = region_of_points(points)
        lab = cv2.cvtColor(region.cut(rgb, _SIDE), cv2.COLOR_RGB2LAB)
        places = (points[list(PALETTE_POINTS), :2] - (region.x, region.y)) @ region.axes
        column, row = np.clip(
            np.rint((places / region.side + 0.5) * _SIDE).astype(int), 0, _SIDE - 1
        ).T
        shape = points[list(RIGID_POINTS)].astype(np.float64)
        shape -= shape.mean(axis=0)
        return cls(lab[row, column].astype(np.float64), shape / np.linalg.norm(shape))

    def distance(self, other: Appearance) -> float:
        """0 for equal ones; about 1 within a person, 2 and more between people (see `tracker`)."""
        colour = np.abs(self.colours - other.colours).mean() / _COLOUR_UNIT
        shape = np.linalg.norm(_turned(self.shape, other.shape) - other.shape) / _SHAPE_UNIT
        return float(colour + _SHAPE_SHARE * shape)

    def blend(self, other: Appearance, share: float) -> Appearance:
        """This one, moved towards another by a share."""
        return Appearance(
            self.colours + share * (other.colours - self.colours),
            self.shape + share * (_turned(other.shape, self.shape) - self.shape),
        )


def _turned(shape: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """A shape in the rotation in which it fits another best."""
    u, _, vt = np.linalg.svd(shape.T @ towards)
    u[:, 2] *= np.sign(np.linalg.det(u @ vt))  # a rotation, no mirror
    turned: np.ndarray = shape @ u @ vt
    return turned
