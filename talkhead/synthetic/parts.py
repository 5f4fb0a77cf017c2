"""Parts of a synthetic head: skin, eyes, mouth, ears, hair, glasses, trunk.

Each part is a small mesh with its place in the atlas. All of them use one vertex numbering per
person, which no pose or expression changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from talkhead.synthetic import shape as hs
from talkhead.synthetic.looks import Identity
from talkhead.synthetic.paint import TILES
from talkhead.synthetic.shape import bump, grid_triangles, ramp
from talkhead.synthetic.skin import skin_place

EYE_RADIUS = 1.5


@dataclass(frozen=True)
class Part:
    """One piece of the mesh, in this person's coordinates (cm).

    points (V, 3); u, v (V,) in the tile; triangles (T, 3); steady: share of the trunk's motion, for
    all or (V,); open_air, likewise: 1 where light reaches freely; gloss: strength of mirrored
    light; behind: cm by which it is drawn too far away, so that skin covers what shows only through
    a slit; basis: displacement (V, 3) for each expression at strength 1.
    """

    tile: str
    points: np.ndarray
    u: np.ndarray
    v: np.ndarray
    triangles: np.ndarray
    steady: np.ndarray | float = 0.0
    open_air: np.ndarray | float = 1.0
    gloss: float = 0.0
    behind: float = 0.0
    two_sided: bool = False
    basis: dict[str, np.ndarray] = field(default_factory=dict)


def sheet(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """v down and u across (each rows * columns) of a sheet, and its triangles."""
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, columns), indexing="ij")
    return v.ravel(), u.ravel(), grid_triangles(rows, columns)


def face(person: Identity) -> tuple[Part, hs.Skin]:
    """The skin of head and neck, with its expressions."""
    mesh = hs.skin(person.shape)
    basis = hs.expression_basis(mesh, person.shape)
    u, v = skin_place(mesh.angle, mesh.row)
    points = mesh.points.copy()
    if person.beard_style == "full":
        cheeks = (
            ramp(mesh.row, -8.3, -9.5) * ramp(mesh.points[:, 2], -1, 3) * ramp(mesh.row, -15, -12.2)
        )
        points += cheeks[:, None] * (0.5 + 0.7 * person.beard) * np.array([0.0, -0.5, 0.55])
    steady = ramp(mesh.row, -11.8, -15.5)
    return Part(
        "skin", hs.warp(points, person.shape), u, v, mesh.triangles,
        steady=steady, gloss=0.22 * person.gloss, basis=basis,
    ), mesh  # fmt: skip


def eye(centre: np.ndarray) -> Part:
    """An eyeball looking straight ahead; gaze turns its points about `centre`."""
    rings, spokes = 8, 20
    v, u, triangles = sheet(rings, spokes + 1)
    out, around = np.radians(70) * v, 2 * np.pi * u
    unit = np.stack([np.sin(out) * np.sin(around), np.sin(out) * np.cos(around), np.cos(out)], -1)
    shade = 0.55 + 0.45 * ramp(unit[:, 1], 0.62, 0.05)
    return Part(
        "eye", centre + EYE_RADIUS * unit,
        0.5 + 0.5 * v * np.sin(around), 0.5 - 0.5 * v * np.cos(around), triangles[:, ::-1],
        gloss=0.1, behind=3.0, open_air=shade, two_sided=True,
    )  # fmt: skip


def _inner(
    person: Identity, tile: str, points: np.ndarray, jaw: np.ndarray | float, air: float
) -> Part:
    rows = 4
    v, u, triangles = sheet(rows, len(points) // rows)
    jaw = np.broadcast_to(np.asarray(jaw, float), len(points))
    basis = {"mouth_open": hs.jaw_motion(points, jaw)}
    return Part(
        tile, hs.warp(points, person.shape), u, v, triangles, open_air=air,
        gloss=0.12 if tile != "cavity" else 0.0, behind=4.0, two_sided=True, basis=basis,
    )  # fmt: skip


def mouth(person: Identity, lip_z: float) -> list[Part]:
    """Dark cavity, tongue and two rows of teeth, behind shut lips."""
    v, u, _ = sheet(4, 13)
    x = (2 * u - 1) * 2.9
    curve = -0.13 * x**2
    y0 = hs.MOUTH_Y
    # A trough whose ends come forward behind the cheeks, so no view from aside looks past it.
    trough = 1.5 * (x / 2.9) ** 2
    tall = 2.2 * (1 - 0.75 * (x / 2.9) ** 2)
    cavity = np.stack([x * 1.15, y0 + tall * (1 - 2 * v), lip_z - 3.3 + trough], -1)
    upper = np.stack([x, y0 + 0.85 - 1.25 * v, lip_z - 0.75 + curve], -1)
    lower = np.stack([x * 0.92, y0 - 0.95 + 0.95 * v, lip_z - 0.95 + curve], -1)
    dome = np.sin(np.pi * (0.15 + 0.7 * u))
    tongue = np.stack([x * 0.7, y0 - 1.0 + 0.9 * dome - 0.5 * v, lip_z - 2.6 + 1.5 * v + curve], -1)
    return [
        _inner(person, "cavity", cavity, v, 0.8),
        _inner(person, "tongue", tongue, 1.0, 0.6),
        _inner(person, "teeth", lower, 1.0, 0.62),
        _inner(person, "teeth", upper, 0.0, 0.78),
    ]


def ear(person: Identity, side: float) -> Part:
    """An ear's shell: rings from the hollow to the rim, leaning out of the head."""
    v, u, triangles = sheet(6, 17)
    around, out = 2 * np.pi * u, v
    back = np.cos(around) * (1.55 + 0.25 * np.sin(around)) * out
    up = np.sin(around) * (3.0 + 0.2 * np.sin(around)) * out * np.where(np.sin(around) < 0, 0.92, 1)
    rim = 0.55 * ramp(out, 0.35, 0.75) * ramp(out, 1.25, 0.8) * (0.6 + 0.4 * np.cos(around - 0.6))
    ridge = 0.28 * bump(out, around, (0.45, np.pi), 0.2, 3.0)
    size = 1 + 0.06 * person.shape.ears
    lean = np.radians(26 + 5 * person.shape.ears)
    away = (back + 1.2) * np.sin(lean) + (rim + ridge) * np.cos(lean)
    z = -0.1 - ((back + 1.2) * np.cos(lean) - rim * np.sin(lean)) * size - 0.15 * up
    points = np.stack([side * (7.0 + away * size), -1.1 + up * size, z], -1)
    points[:, 0] -= side * 0.12 * np.maximum(0, -1.1 - points[:, 1])
    if side < 0:
        triangles = triangles[:, ::-1]
    return Part(
        "ear",
        hs.warp(points, person.shape),
        u,
        v,
        triangles,
        gloss=0.1,
        behind=-1.3,
        two_sided=True,
    )


def _ribbon(path: np.ndarray, across: np.ndarray) -> Part:
    """A strip of half-width `across` (3,) or (N, 3) along a path (N, 3)."""
    points = np.concatenate([path - across, path + across])
    u = np.full(len(points), 0.5)
    return Part(
        "frame", points, u, u, grid_triangles(2, len(path)), two_sided=True, gloss=0.3, behind=-0.8
    )


def glasses(person: Identity, eyes: np.ndarray) -> list[Part]:
    """Rims, bridge and temples around the eyes' centres (2, 3)."""
    if person.glasses == "none":
        return []
    thick = {"thin": 0.07, "round": 0.11, "thick": 0.24}[person.glasses]
    square = {"thin": 2.6, "round": 2.0, "thick": 3.2}[person.glasses]
    around = np.linspace(0, 2 * np.pi, 33)
    parts = []
    front = eyes[:, 2].mean() + EYE_RADIUS + 1.3
    wide, high = 2.6, 2.0 if person.glasses != "round" else 2.3
    for side, centre in zip((-1.0, 1.0), eyes, strict=True):
        ring = np.stack([np.sin(around), np.cos(around), 0 * around], -1)
        ring = np.sign(ring) * np.abs(ring) ** (2 / square) * np.array([wide, high, 1])
        middle = np.array([centre[0] + side * 0.05, -0.35, front])
        path = middle + ring
        path[:, 2] -= 0.09 * np.maximum(0, np.abs(path[:, 0]) - 2.5) ** 2
        unit = ring / np.linalg.norm(ring, axis=1, keepdims=True)
        parts.append(_ribbon(path, unit * thick))
        hinge = path[np.abs(path[:, 0]).argmax()]
        t = np.linspace(0, 1, 8)[:, None]
        temple = hinge + t * (np.array([side * 7.6, 0.2, -0.6]) - hinge) + [0, 0.5, 0] * (1 - t)
        parts.append(_ribbon(temple, np.array([0, max(thick, 0.12), 0])))
    inner = np.abs(eyes[:, 0]).mean() - wide
    t = np.linspace(-1, 1, 9)
    bridge = np.stack([t * (inner + 0.1), 0.25 + 0.25 * (1 - t * t), front + 0.1 * (1 - t * t)], -1)
    return [*parts, _ribbon(bridge, np.array([0, max(thick, 0.1), 0]))]


def earrings(person: Identity) -> list[Part]:
    """A small golden ball below each ear."""
    if not person.earrings:
        return []
    v, u, triangles = sheet(5, 9)
    out, around = np.pi * v, 2 * np.pi * u
    unit = np.stack([np.sin(out) * np.sin(around), np.cos(out), np.sin(out) * np.cos(around)], -1)
    flat = np.full(len(u), 0.5)
    places = (np.array([[side * 7.3, -4.6, -0.2]]) + 0.33 * unit for side in (-1, 1))
    return [
        Part("gold", hs.warp(p, person.shape), flat, flat, triangles, gloss=0.8, two_sided=True)
        for p in places
    ]


_TRUNK = np.array([
    # y, y in front, half width, depth
    [-14.0, -15.7, 5.45, 4.9], [-14.6, -16.6, 6.5, 5.7], [-15.5, -17.2, 8.4, 6.5],
    [-16.4, -18, 11.5, 7.4], [-17.4, -19, 15.0, 8.0], [-18.6, -20.2, 18.0, 8.8],
    [-20.5, -22.0, 20.2, 9.6], [-23, -24, 21.4, 10.2], [-28, -28.5, 21.8, 10.8],
    [-36, -36, 22, 11.0], [-46, -46, 22, 11.0],
])  # fmt: skip


def trunk(person: Identity, clothes: str) -> Part:
    """Shoulders and chest with the collar; does not turn with the head."""
    rows, columns = len(_TRUNK), 41
    v, u, triangles = sheet(rows, columns)
    angle = (2 * u - 1) * np.pi
    y, y_front, width, depth = (
        np.interp(v, np.linspace(0, 1, rows), _TRUNK[:, k]) for k in range(4)
    )
    front = ramp(np.cos(angle), 0, 0.9)
    grown = 1 + 0.05 * person.shape.neck
    x = width * grown * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.8
    z = depth * np.cos(angle) - 0.6
    height = y + (y_front - y) * front
    if clothes == "turtleneck":
        height = height + 2.6 * ramp(v, 0.12, 0)
    points = np.stack([x, height, z], -1)
    air = 0.72 + 0.28 * ramp(v, 0.0, 0.25)
    return Part("torso", points, u, v, triangles, steady=1.0, open_air=air, behind=-1.2)


def atlas_place(part: Part, scale: int) -> np.ndarray:
    """Where each vertex is in the atlas, pixels (V, 2)."""
    return TILES[part.tile].place(part.u, part.v, scale)
