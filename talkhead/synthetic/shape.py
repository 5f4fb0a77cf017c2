"""The surface of a synthetic head, in centimetres: skull, face relief, lids, lips, jaw.

Coordinates: origin between the eyes on the head's axis, x to the right of the picture, y up, z to
the viewer. One *canonical* grid of rows (heights on the face's midline) and columns (angles around
the axis) is the same for everybody, so texture painted on it always meets the features; `FaceShape`
then warps it. The grid is slit along the eyes and the mouth: it is modelled with both shut, and
expressions pull the slits open.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

EYE_X, MOUTH_Y = 3.22, -7.4
EYE_CORNERS = (1.7, 4.78)  # inner and outer, as column arcs
MOUTH_CORNER = 2.95
RADIUS = 7.4  # of the cylinder that column arcs are measured on

_FRONT_ARCS = [
    0,
    0.4,
    0.8,
    1.2,
    1.7,
    2.1,
    2.5,
    2.95,
    3.4,
    3.85,
    4.3,
    4.78,
    5.3,
    5.8,
    6.3,
    6.8,
    7.15,
]
_SIDE_DEGREES = [83, 90, 100, 115, 135, 157, 180]
_HALF = np.concatenate([np.arcsin(np.array(_FRONT_ARCS) / RADIUS), np.radians(_SIDE_DEGREES)])
COLUMNS = np.concatenate([-_HALF[:0:-1], _HALF])  # angles, picture left to right
# fmt: off
ROWS = np.array([
    11.6, 11.3, 10.7, 10, 9.2, 8.4, 7.6, 6.9, 6.2, 5.5, 4.8, 4.1, 3.5, 3, 2.6, 2.2, 1.8,
    1.4, 1.1, 0.85, 0.6, 0.35, 0.15, 0, -0.15, -0.35, -0.6, -0.9, -1.3, -1.7, -2.1, -2.5,
    -2.9, -3.3, -3.65, -3.95, -4.2, -4.45, -4.7, -4.95, -5.25, -5.6, -5.95, -6.25, -6.5,
    -6.75, -7, -7.2, -7.4, -7.6, -7.85, -8.1, -8.4, -8.7, -9.05, -9.4, -9.8, -10.2, -10.6,
    -11, -11.35, -11.65, -11.85, -12, -12.2, -13, -14, -15, -16.5, -18, -19.5,
])
# Cross-sections of skull and neck: row, y at the side, half width, depth in front, depth behind.
_SECTIONS = np.array([
    [11.6, 11.6, 0.2, 0.2, 0.2], [11.3, 11.3, 2.9, 3.2, 3.4], [10.7, 10.7, 4.2, 4.7, 5.3],
    [10, 10, 5.1, 5.8, 6.6], [8.5, 8.5, 6.2, 7.4, 8.4], [7, 7, 6.8, 8.3, 9.2],
    [5, 5, 7.25, 8.95, 9.7], [3, 3, 7.4, 9.3, 9.8], [1.8, 1.8, 7.4, 9.4, 9.7],
    [0, 0, 7.25, 9.1, 9.4], [-2, -2, 7.1, 9.05, 8.6], [-4, -4, 6.9, 9.15, 7.6],
    [-6, -5.9, 6.75, 9.3, 6.5], [-7.4, -7, 6.55, 9.3, 5.9], [-8.8, -8.1, 6.25, 9.05, 5.7],
    [-10, -9.0, 5.65, 9.05, 5.6], [-11, -9.7, 5.15, 8.9, 5.6], [-11.65, -10.2, 5.15, 8.3, 5.6],
    [-12, -10.8, 5.0, 6.6, 5.6], [-12.2, -11.2, 5.0, 5.1, 5.6], [-13, -12, 4.75, 4.0, 5.6],
    [-15, -14, 4.95, 3.7, 5.7], [-17, -16, 5.1, 3.6, 5.8], [-19.5, -18.5, 5.3, 3.6, 5.8],
])
# fmt: on
_FINE = np.arange(-20.0, 12.0, 0.1)


@dataclass(frozen=True)
class FaceShape:
    """How a face differs from the mean face, each number in standard deviations (about -2 to 2)."""

    length: float = 0.0
    width: float = 0.0
    cranium: float = 0.0
    jaw: float = 0.0
    chin: float = 0.0
    chin_length: float = 0.0
    cheekbone: float = 0.0
    cheek_fat: float = 0.0
    brow_ridge: float = 0.0
    nose_width: float = 0.0
    nose_length: float = 0.0
    nose_height: float = 0.0
    nose_bridge: float = 0.0
    eye_size: float = 0.0
    eye_opening: float = 0.0
    eye_spacing: float = 0.0
    eye_tilt: float = 0.0
    eye_depth: float = 0.0
    lips: float = 0.0
    mouth_width: float = 0.0
    mouth_height: float = 0.0
    ears: float = 0.0
    neck: float = 0.0

    @classmethod
    def sample(cls, rng: np.random.Generator, masculine: float) -> FaceShape:
        """A random face; `masculine` 0 to 1 shifts jaw, brow, lips, eyes and neck."""
        values = np.clip(rng.normal(size=len(fields(cls))), -2.0, 2.0)
        drawn = {field.name: float(v) for field, v in zip(fields(cls), values, strict=True)}
        lean = 2 * masculine - 1
        for name, shift in (("jaw", 0.7), ("brow_ridge", 0.9), ("neck", 1.1), ("chin", 0.4)):
            drawn[name] += shift * lean
        for name, shift in (("lips", 0.5), ("eye_size", 0.5), ("eye_opening", 0.4)):
            drawn[name] -= shift * lean
        return cls(**drawn)


def bump(
    x: np.ndarray, y: np.ndarray, at: tuple[float, float], wide: float, high: float
) -> np.ndarray:
    """A Gaussian hill of height 1 with standard deviations `wide` and `high`."""
    return np.exp(-0.5 * (((x - at[0]) / wide) ** 2 + ((y - at[1]) / high) ** 2))


def ramp(value: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Smooth step from 0 at `low` to 1 at `high` (either may be the larger)."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _smooth_sections() -> np.ndarray:
    keys = _SECTIONS[::-1]
    table = np.stack([np.interp(_FINE, keys[:, 0], keys[:, k]) for k in range(1, 5)])
    kernel = np.hanning(13) / np.hanning(13).sum()
    padded = np.pad(table, ((0, 0), (6, 6)), mode="edge")
    smooth = np.stack([np.convolve(line, kernel, mode="valid") for line in padded])
    sharp = (_FINE > 10.6) | (
        _FINE < -11.2
    )  # the crown's pole and the chin's edge stay as they are
    return np.where(sharp, table, smooth)


_TABLE = _smooth_sections()


def skull(angle: np.ndarray, row: np.ndarray) -> np.ndarray:
    """The bare head at `angle` (radians, 0 in front, positive to the right) and row; (..., 3)."""
    side, width, front, back = (np.interp(row, _FINE, line) for line in _TABLE)
    sine, cosine = np.sin(angle), np.cos(angle)
    y = row + (side - row) * np.where(cosine > 0, sine * sine, 1.0)
    z = np.where(cosine > 0, front * np.abs(cosine) ** 0.82, -back * np.abs(cosine))
    return np.stack([width * sine, y, z], -1)


def relief(x: np.ndarray, y: np.ndarray, shape: FaceShape) -> np.ndarray:
    """How far nose, brows, sockets, cheeks, lips and chin stand out of the skull, cm in z.

    x: canonical width on the face; y: canonical row.
    """
    side = np.abs(x)
    down = np.clip((0.9 - y) / 5.2, 0, 1)
    height = (0.25 + 0.12 * shape.nose_bridge) * (1 - down) + 0.25 + 1.75 * down**1.15
    height *= 1 + 0.13 * shape.nose_height
    ends = ramp(y, 2.0, 0.2) * ramp(y, -5.2, -4.2)
    hills = height * ends * np.exp(-((x / (0.62 + 0.3 * down)) ** 2))
    hills += 0.55 * bump(x, y, (0, -4.15), 0.7, 0.5)
    hills += 0.75 * bump(side, y, (1.2, -4.5), 0.42, 0.42)
    hills -= (0.75 + 0.12 * shape.eye_depth) * bump(side, y, (2.9, 0.1), 1.5, 0.95)
    hills -= 0.3 * bump(side, y, (1.55, 0.4), 0.55, 0.9)
    hills += (0.35 + 0.16 * shape.brow_ridge) * bump(side, y, (2.6, 2.1), 2.0, 0.6)
    hills += (0.45 + 0.15 * shape.cheekbone) * bump(side, y, (4.5, -2.6), 1.6, 1.3)
    hills += 0.2 * shape.cheek_fat * bump(side, y, (4.3, -6.3), 1.6, 1.8)
    hills += 0.55 * bump(x, y, (0, -7.2), 2.3, 1.7)
    full = (0.45 + 0.1 * shape.lips) * np.exp(-((x / 2.2) ** 2))
    hills += full * (bump(0 * x, y, (0, -6.95), 1, 0.3) + 1.15 * bump(0 * x, y, (0, -7.9), 1, 0.36))
    hills -= 0.35 * np.exp(-((x / 2.6) ** 4)) * bump(0 * x, y, (0, MOUTH_Y), 1, 0.13)
    hills -= 0.1 * bump(x, y, (0, -5.9), 0.22, 0.5)
    hills -= 0.4 * bump(x, y, (0, -9.1), 1.6, 0.42)
    return hills + (0.5 + 0.22 * shape.chin) * bump(x, y, (0, -10.6), 1.4, 0.85)


def warp(points: np.ndarray, shape: FaceShape) -> np.ndarray:
    """Move canonical points (N, 3) to this person's places; smooth, so parts stay joined."""
    x, y, z = points.T.copy()
    x *= 1.05
    front = ramp(z, 0, 4)
    side = np.sign(x)
    eye = front * bump(np.abs(x), y, (EYE_X, 0), 1.9, 1.5)
    x += side * 0.12 * shape.eye_spacing * eye
    scale = 0.05 * shape.eye_size * eye
    x += (x - side * EYE_X) * scale
    y += y * scale + 0.06 * shape.eye_tilt * (np.abs(x) - EYE_X) * eye
    nose = front * bump(x, y, (0, -4.4), 1.5, 1.2)
    x += x * 0.12 * shape.nose_width * nose
    y -= 0.18 * shape.nose_length * nose
    mouth = front * bump(x, y, (0, MOUTH_Y), 2.8, 1.3)
    x += x * 0.07 * shape.mouth_width * mouth
    y += (y - MOUTH_Y) * 0.13 * shape.lips * mouth + (0.22 + 0.15 * shape.mouth_height) * mouth
    y += 0.13 * front * bump(np.abs(x), y, (2.7, MOUTH_Y), 0.7, 0.6)
    x *= 1 + 0.04 * shape.jaw * bump(0 * x, y, (0, -9.2), 1, 2.2)
    x *= 1 + 0.025 * shape.cheek_fat * bump(0 * x, y, (0, -6), 1, 2.5)
    below = ramp(y, -7.5, -11.5) * ramp(z, -1, 5)
    y -= (0.22 * shape.chin_length) * below
    x *= 1 + 0.03 * shape.width * ramp(y, -15, -11)
    x *= 1 + 0.05 * shape.neck * ramp(y, -10.5, -13)
    y *= 1 + 0.028 * shape.length * ramp(y, 1, -2) * ramp(y, -19, -13)
    y += 0.03 * shape.cranium * np.maximum(y - 2, 0)
    return np.stack([x, y, z], -1)


@dataclass(frozen=True)
class Skin:
    """The canonical face grid, slit at eyes and mouth.

    points: (V, 3); angle, row: (V,) canonical place; side: (V,) +1 just above a slit or elsewhere,
    -1 for the doubled vertices just below one; triangles: (T, 3), clockwise seen from outside.
    """

    points: np.ndarray
    angle: np.ndarray
    row: np.ndarray
    side: np.ndarray
    triangles: np.ndarray

    def nearest(self, arc: float, row: float, side: int = 1) -> int:
        """The vertex closest to a canonical place (column arc in cm, row)."""
        x = RADIUS * np.sin(np.clip(self.angle, -np.pi / 2, np.pi / 2))
        behind = np.abs(self.angle) > np.pi / 2
        miss = (x - arc) ** 2 + (self.row - row) ** 2 + 99.0 * (behind | (self.side != side))
        return int(miss.argmin())


def grid_triangles(rows: int, columns: int) -> np.ndarray:
    """Two triangles per cell of a grid whose vertices are numbered row by row."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    right, below = corner + 1, corner + columns
    upper = np.stack([corner, right, below + 1], -1)
    return np.concatenate([upper, np.stack([corner, below + 1, below], -1)])


def skin(shape: FaceShape) -> Skin:
    """The canonical grid with this person's relief, eyes and mouth shut, not yet warped."""
    count = len(COLUMNS)
    row, angle = (part.ravel() for part in np.meshgrid(ROWS, COLUMNS, indexing="ij"))
    points = skull(angle, row)
    facing = ramp(np.cos(angle), 0.0, 0.35)
    points[:, 2] += facing * relief(points[:, 0], row, shape)
    triangles = grid_triangles(len(ROWS), count)
    side = np.ones(len(row), np.int8)
    x = RADIUS * np.sin(angle)
    front = np.cos(angle) > 0
    inner, outer = EYE_CORNERS
    eyes = (row == 0) & front & (np.abs(x) > inner + 0.05) & (np.abs(x) < outer - 0.05)
    mouth = (row == MOUTH_Y) & front & (np.abs(x) < MOUTH_CORNER - 0.05)
    doubled = np.flatnonzero(eyes | mouth)
    twin = np.arange(len(row))
    twin[doubled] = len(row) + np.arange(len(doubled))
    heights = row[triangles]
    hanging = np.isin(triangles, doubled) & (heights == heights.max(1)[:, None])
    triangles = np.where(hanging, twin[triangles], triangles)
    return Skin(
        np.concatenate([points, points[doubled]]),
        np.concatenate([angle, angle[doubled]]),
        np.concatenate([row, row[doubled]]),
        np.concatenate([side, -np.ones(len(doubled), np.int8)]),
        triangles,
    )


def _lips(x: np.ndarray, y: np.ndarray, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the jaw's motion, and closeness to the lips, per canonical point."""
    t = np.clip(np.abs(x) / 2.5, 0, 1)
    arch = np.sqrt(1 - t**2)
    drop = MOUTH_Y - y
    corner = 0.4
    upper = (corner * (1 - arch) - 0.09 * arch) * ramp(drop, -1.8, 0)
    lower = corner + (1 - corner) * np.maximum(arch, ramp(drop, 0, 2.2))
    jaw = np.where(below, lower, upper)
    near = np.exp(-(((np.abs(x) / 3.4) ** 2) ** 1.5)) * bump(0 * x, y, (0, MOUTH_Y), 1, 1.1)
    return jaw, near


def jaw_motion(points: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Displacement (N, 3) of a jaw dropped by 17 degrees about the hinge in front of the ears."""
    angle = np.radians(17)
    y, z = points[:, 1] + 1.5, points[:, 2] - 0.5
    turned_y = y * np.cos(angle) - z * np.sin(angle)
    turned_z = y * np.sin(angle) + z * np.cos(angle)
    return np.stack([0 * y, turned_y - y, turned_z - z], -1) * weight[:, None]


def _opening(across: np.ndarray) -> np.ndarray:
    t = np.clip(across, -1, 1)
    return (1 - np.abs(t) ** 2.3) ** 0.75


def expression_basis(mesh: Skin, shape: FaceShape) -> dict[str, np.ndarray]:
    """Displacement (V, 3) of every skin vertex for each expression at strength 1."""
    x, y = RADIUS * np.sin(mesh.angle), mesh.row
    px = mesh.points[:, 0]
    front = np.where(np.cos(mesh.angle) > 0, 1.0, 0.0)
    zero = np.zeros_like(x)
    basis: dict[str, np.ndarray] = {}
    below_mouth = (y < MOUTH_Y) | ((y == MOUTH_Y) & (mesh.side < 0))
    jaw, near = _lips(px, y, below_mouth)
    reach = ramp(mesh.points[:, 2], -1.0, 3.5) * ramp(y, -14.5, -12) * front
    basis["mouth_open"] = jaw_motion(mesh.points, jaw * reach)
    lip, sign = near * front, np.sign(px)
    lower = np.where(below_mouth, -1.0, 1.0)
    arch = np.sqrt(np.clip(1 - (px / 2.5) ** 2, 0, 1))
    basis["mouth_width"] = np.stack([px * 0.2, -0.12 * (y - MOUTH_Y), -0.2 * np.abs(px) / 2.5], -1)
    pout = np.stack([-px * 0.36, 0.16 * lower * arch, 0.75 * np.ones_like(px)], -1)
    basis["mouth_round"] = pout
    for name in ("mouth_width", "mouth_round"):
        basis[name] *= lip[:, None]
    corner = bump(np.abs(px), y, (2.6, MOUTH_Y), 1.0, 0.9) * front
    cheek = bump(np.abs(px), y, (4.2, -3.8), 1.4, 1.4) * front
    stretch = np.stack(
        [0.45 * sign * corner, 0.5 * corner + 0.25 * cheek, 0.3 * cheek - 0.3 * corner], -1
    )
    # Grinning bares the teeth a little.
    parted = np.stack([zero, 0.14 * lower * arch * near * front, zero], -1)
    basis["smile"] = stretch + parted
    tall = 1 + 0.1 * shape.eye_opening
    for name, half in (("left", -1.0), ("right", 1.0)):
        across = (x * half - sum(EYE_CORNERS) / 2) / (0.5 * (EYE_CORNERS[1] - EYE_CORNERS[0]))
        above = (y > 0) | ((y == 0) & (mesh.side > 0))
        lid = np.where(above, 0.68 * tall * ramp(y, 1.7, 0.25), -0.3 * tall * ramp(y, -1.5, -0.2))
        lift = _opening(across) * lid * front
        basis[f"open_{name}"] = np.stack([zero, lift, zero], -1)
    brow = bump(np.abs(px), y, (3.0, 2.6), 2.4, 1.2) * front
    basis["brow_raise"] = np.stack([zero, 0.75 * brow, 0.05 * brow], -1)
    return basis
