"""The hair of a synthetic head: a shell over the scalp, and what each style adds to it."""

from __future__ import annotations

import numpy as np

from talkhead.synthetic import shape as hs
from talkhead.synthetic.looks import LONG, Identity
from talkhead.synthetic.parts import Part, sheet
from talkhead.synthetic.shape import bump, ramp, skull

_LINE_ANGLES = np.radians([0, 20, 40, 52, 62, 70, 79, 88, 100, 112, 135, 180])
_SHORT_LINE = np.array([6.7, 6.9, 6.6, 5.4, 3.6, 1.2, -0.4, 2.2, 2.8, -1.0, -7.0, -8.5])
_LONG_LINE = np.array([6.8, 7.0, 6.7, 5.2, 3.0, 0.6, -1.5, -3, -3, -4.0, -8.0, -9.5])
_VOLUME = {
    "buzz": (0.28, 0.2), "crop": (1.1, 0.4), "side": (1.8, 0.6), "curly": (2.3, 1.5),
    "receding": (0.6, 0.5), "bob": (1.4, 1.5), "long": (1.1, 1.0), "wavy": (1.6, 1.7),
    "updo": (1.0, 0.5), "fringe": (1.2, 1.2),
}  # fmt: skip


def _folded(u: np.ndarray) -> np.ndarray:
    """Run to and fro over the tile, so that a repeated texture has no seam."""
    return 1 - np.abs(1 - 2 * (u % 1))


def _hair_at(angle: np.ndarray, row: np.ndarray, thick: np.ndarray) -> np.ndarray:
    """Points `thick` cm outside the skull."""
    base = skull(angle, row)
    centre = np.array([0.0, 2.0, -0.5])
    away = base - centre
    away[:, 1] *= 0.8
    return base + away / np.linalg.norm(away, axis=1, keepdims=True) * thick[:, None]


def _cap(person: Identity, rng: np.random.Generator) -> Part:
    """The shell over the scalp, from a ragged hairline to the crown."""
    columns, rows = 53, 14
    v, u, triangles = sheet(rows, columns)
    angle = (2 * u - 1) * np.pi
    line = np.interp(
        np.abs(angle), _LINE_ANGLES, _LONG_LINE if person.hair_style in LONG else _SHORT_LINE
    )
    forehead = ramp(np.cos(angle), 0.4, 0.9)
    if person.hair_style == "receding":
        line = line + 2.6 * forehead + 1.5 * bump(np.abs(angle), 0 * angle, (0.75, 0), 0.25, 1)
    ragged = rng.normal(0, 0.13, columns)
    line = (
        line
        + (rng.normal(0, 0.35) * forehead)
        + ragged[(np.arange(len(u)) % columns)] * (0.4 + forehead)
    )
    climb = 1 - v
    row = line + (11.55 - line) * climb**0.8
    top, sides = _VOLUME[person.hair_style]
    up = ramp(row, 4.0, 9.0)
    thick = (sides + (top - sides) * up) * (0.55 + 0.45 * person.hair_volume)
    if person.hair_style == "side":
        thick = thick * (1 + 0.35 * np.sin(angle + 0.6) * up)
    rough = {"curly": 0.22, "crop": 0.16, "wavy": 0.14}.get(person.hair_style, 0.08)
    lumps = rng.normal(0, rough, len(u)) * (1 - v)
    lumps[u == 1] = lumps[u == 0]
    thick = (thick * ramp(climb, -0.12, 0.22) + lumps * ramp(climb, 0, 0.2) * thick).clip(0.08)
    points = _hair_at(angle, row, thick)
    air = 0.75 + 0.25 * ramp(climb, 0, 0.3)
    return Part(
        "hair", hs.warp(points, person.shape), _folded(4 * u), v, triangles,
        gloss=0.16, open_air=air, behind=-0.5, two_sided=True,
    )  # fmt: skip


def _curtain(person: Identity, rng: np.random.Generator) -> Part:
    """Long hair: a sheet that falls from above the ears and hangs around the back."""
    columns, rows = 41, 15
    v, u, triangles = sheet(rows, columns)
    length = {"bob": 11.5, "fringe": 13.0}.get(
        person.hair_style, 19.0 + 5.0 * (person.hair_volume - 1)
    )
    angle = np.radians(62) + u * np.radians(236)
    front = ramp(np.abs(u - 0.5), 0.36, 0.5)
    row = 5.0 - v * 9.0
    sides = _VOLUME[person.hair_style][1]
    thick = np.full(len(u), sides * (0.55 + 0.45 * person.hair_volume) + 0.1)
    points = _hair_at(angle, np.maximum(row, -3.0), thick)
    fall = np.maximum(0, v - 0.45) / 0.55
    drop = fall * length * (1 + 0.06 * rng.normal(size=columns))[np.arange(len(u)) % columns]
    points[:, 1] = 5.0 - 8.0 * np.minimum(v, 0.45) / 0.45 - drop
    wave = 0.5 if person.hair_style == "wavy" else 0.12
    sway = wave * np.sin(drop * 0.8 + 9 * u) * ramp(drop, 0, 3)
    points[:, 0] *= 1 + 0.015 * np.minimum(drop, 8) - 0.16 * front * ramp(drop, 3, 9)
    points[:, 0] += sway
    points[:, 2] += (2.0 + 0.22 * drop) * front * ramp(drop, 0, 6) + 0.3 * sway
    steady = ramp(drop, 7, 18) * 0.8
    return Part(
        "hair", hs.warp(points, person.shape), _folded(4 * u), v, triangles, steady=steady,
        gloss=0.12,        open_air=0.72 + 0.28 * ramp(np.abs(u - 0.5), 0.2, 0.45),
        behind=-1.5, two_sided=True,
    )  # fmt: skip


def _fringe(person: Identity, rng: np.random.Generator) -> Part:
    """Hair combed over the forehead, straight down or swept to a side."""
    columns, rows = 31, 7
    v, u, triangles = sheet(rows, columns)
    full = person.hair_style == "fringe"
    reach = np.radians(58 if full else 46)
    sweep = 0.0 if full else 0.5
    ends = (rng.normal(0, 0.14, columns) + 0.3 * np.sin(np.arange(columns) * 0.9))[
        np.arange(len(u)) % columns
    ]
    lowest = (3.1 if full else 5.2) + ends + (0.0 if full else 1.6 * np.sin(3 * u))
    row = 9.6 + (lowest - 9.6) * v
    angle = (2 * u - 1) * reach + sweep * v * v * (u - 0.3)
    thick = (0.45 + 0.9 * (1 - v) * person.hair_volume) * np.ones(len(u))
    points = _hair_at(angle, row, thick + 0.08 * rng.normal(size=len(u)))
    return Part(
        "hair", hs.warp(points, person.shape), _folded(u), v, triangles, gloss=0.16,
        open_air=0.85 + 0.15 * v, behind=-0.5, two_sided=True,
    )  # fmt: skip


def _bun(person: Identity) -> Part:
    v, u, triangles = sheet(9, 17)
    out, around = np.pi * v, 2 * np.pi * u
    unit = np.stack([np.sin(out) * np.sin(around), np.cos(out), np.sin(out) * np.cos(around)], -1)
    points = np.array([0.0, 11.6, -4.6]) + unit * np.array([3.0, 2.4, 2.6])
    return Part("hair", hs.warp(points, person.shape), u, v, triangles, gloss=0.12, two_sided=True)


def _tufts(person: Identity, cap: Part, rng: np.random.Generator) -> Part:
    """Thin blades that stand off the shell, so that its outline is not a smooth curve."""
    curly = person.hair_style == "curly"
    count = 900
    corners = cap.triangles[rng.integers(0, len(cap.triangles), count)]
    share = rng.dirichlet([1, 1, 1], count)[..., None]
    root = (cap.points[corners] * share).sum(1)
    away = root - np.array([0.0, 2.0, -0.5])
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    combed = -np.array([0.0, 1.0, -0.35]) + rng.normal(0, 1.5 if curly else 0.25, (count, 3))
    combed -= (combed * away).sum(1, keepdims=True) * away
    combed /= np.linalg.norm(combed, axis=1, keepdims=True)
    tip = root + combed * rng.uniform(0.5, 1.4, (count, 1)) * (0.6 if curly else 1.0)
    tip += away * rng.uniform(-0.05, 0.45 if curly else 0.16, (count, 1))
    width = np.cross(away, combed) * rng.uniform(0.05, 0.13, (count, 1))
    points = np.stack([root - width, root + width, tip], 1).reshape(-1, 3)
    v = np.clip(np.repeat(rng.uniform(0, 0.9, count), 3) + np.tile([0, 0, 0.08], count), 0, 1)
    at = np.repeat(corners[:, 0], 3)
    triangles = np.arange(3 * count).reshape(-1, 3)
    return Part(
        "hair",
        points,
        cap.u[at],
        v,
        triangles,
        open_air=np.asarray(cap.open_air)[at],
        gloss=0.1,
        two_sided=True,
    )


def hair(person: Identity) -> list[Part]:
    """The shell, and what the style adds to it."""
    if person.hair_style == "bald":
        return []
    rng = np.random.default_rng(person.seed + 4)
    parts = [_cap(person, rng)]
    if person.hair_style not in ("buzz", "receding"):
        parts.append(_tufts(person, parts[0], rng))
    if person.hair_style in ("bob", "long", "wavy", "fringe"):
        parts.append(_curtain(person, rng))
    if person.hair_style in ("fringe", "bob", "side"):
        parts.append(_fringe(person, rng))
    if person.hair_style == "updo":
        parts.append(_bun(person))
    return parts
