"""The skin of a synthetic head, painted on the canonical grid of `shape`."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead.synthetic.looks import Colour, Identity
from talkhead.synthetic.shape import EYE_CORNERS, MOUTH_CORNER, MOUTH_Y, RADIUS, bump, ramp

_TOP, _BOTTOM, _SIDE = 12.0, -20.0, 13.0  # what the skin tile covers, cm


def skin_place(angle: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tile coordinates u, v of canonical places: linear in the angle in front, squeezed behind."""
    arc = RADIUS * np.clip(np.abs(angle), 0, np.pi / 2)
    arc += (np.abs(angle) > np.pi / 2) * (np.abs(angle) - np.pi / 2) * 0.85
    u = 0.5 + 0.5 * np.sign(angle) * arc / _SIDE
    return u, (_TOP - row) / (_TOP - _BOTTOM)


def noise(
    rng: np.random.Generator, height: int, width: int, grain: float, stretch: float = 1.0
) -> np.ndarray:
    """Smooth noise of unit deviation; `grain` is its size in pixels, `stretch` pulls it along y."""
    rows = max(3, int(height / (grain * stretch)) + 2)
    coarse = rng.standard_normal((rows, max(3, int(width / grain) + 2)), dtype=np.float32)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return fine / (fine.std() + 1e-6)


def mix(picture: np.ndarray, colour: Colour | np.ndarray, share: np.ndarray) -> None:
    """Move the picture towards a colour, in place."""
    picture += (np.asarray(colour, np.float32) - picture) * np.clip(share, 0, 1)[..., None]


class Skin:
    """The skin tile while it is painted: a canvas with its canonical coordinates."""

    def __init__(self, person: Identity, scale: int) -> None:
        self.person, self.scale = person, scale
        self.rng = np.random.default_rng(person.seed)
        height, width = int((_TOP - _BOTTOM) * scale), int(2 * _SIDE * scale)
        arc = np.linspace(-_SIDE, _SIDE, width, dtype=np.float32)
        row = np.linspace(_TOP, _BOTTOM, height, dtype=np.float32)
        angle = np.clip(arc / RADIUS, -np.pi / 2, np.pi / 2)
        self.x, self.y = np.meshgrid(RADIUS * np.sin(angle), row)
        self.side = np.abs(self.x)
        self.canvas = np.full((height, width, 3), person.skin, np.float32)

    def noise(self, centimetres: float, stretch: float = 1.0) -> np.ndarray:
        """Smooth noise of this size over the tile, of unit deviation."""
        height, width = self.canvas.shape[:2]
        return noise(self.rng, height, width, max(1.0, centimetres * self.scale), stretch)

    def darken(self, share: np.ndarray) -> None:
        """Shade as skin does: reds last."""
        self.canvas *= 1 - np.clip(share, 0, 1)[..., None] * np.array([0.72, 0.92, 1.0], np.float32)

    def paint(self) -> np.ndarray:
        """The whole tile, float32 RGB in [0, 1]."""
        self.complexion()
        self.hollows()
        self.wrinkles()
        self.eyes()
        self.lips()
        self.beard()
        self.brows()
        return self.canvas

    def complexion(self) -> None:
        """Blotches, blush, freckles and moles."""
        person, x, y, side = self.person, self.x, self.y, self.side
        mottled = 0.016 * self.noise(1.2) + 0.012 * self.noise(0.35) + 0.014 * self.noise(0.1)
        self.canvas *= (1 + mottled * (1 + person.age))[..., None]
        red = np.asarray(person.skin) * np.array([1.02, 0.72, 0.70])
        blush = person.blush * (
            0.55 * bump(side, y, (4.3, -3.6), 1.5, 1.2) + 0.4 * bump(x, y, (0, -4.3), 1, 0.8)
        )
        mix(self.canvas, red, blush * (1 + 0.5 * person.makeup))
        if person.freckles > 0:
            spots = ramp(self.noise(0.16), 1.5, 2.2) * ramp(y, -8, -4) * ramp(y, 3, 0)
            self.darken(0.35 * person.freckles * spots)
        moles = np.zeros_like(x)
        for _ in range(self.rng.integers(0, 5)):
            at = (float(self.rng.uniform(-6, 6)), float(self.rng.uniform(-10, 6)))
            moles += bump(x, y, at, 0.11, 0.11)
        self.darken(0.6 * moles)

    def hollows(self) -> None:
        """Where light hardly reaches: sockets, nostrils, under nose, lip and chin, neck."""
        x, y, side = self.x, self.y, self.side
        hollow = 0.22 * bump(side, y, (2.0, 0.75), 1.1, 0.5) + 0.10 * bump(
            side, y, (3.1, 0.9), 1.5, 0.35
        )
        hollow += (0.10 + 0.16 * self.person.age) * bump(side, y, (2.6, -1.0), 1.1, 0.3)
        hollow += 0.85 * bump(side, y, (0.7, -5.02), 0.26, 0.12)
        hollow += 0.16 * bump(x, y, (0, -5.25), 1.1, 0.22) + 0.25 * bump(
            side, y, (1.75, -4.6), 0.16, 0.5
        )
        hollow += 0.14 * bump(x, y, (0, -9.0), 1.5, 0.3) + 0.05 * bump(x, y, (0, -5.9), 0.18, 0.5)
        hollow += (
            0.42 * ramp(y, -11.2, -12.4) * (1 - 0.5 * ramp(y, -12.5, -18)) * ramp(side, 8.2, 5)
        )
        hollow += 0.25 * ramp(y, -8, -11.5) * ramp(side, 5.5, 7.2)
        self.darken(hollow)

    def wrinkles(self) -> None:
        """Folds and lines, which grow with age."""
        age, x, y, side = self.person.age, self.x, self.y, self.side
        wave = 0.12 * self.noise(1.5)
        fold = 1.85 + (-4.9 - y) * 0.5
        depth = np.exp(-(((side - fold) / 0.16) ** 2)) * ramp(y, -7.8, -6.6) * ramp(y, -4.3, -5)
        lines = (0.09 + 0.22 * age) * depth
        for at, gap in ((3.9, 0.6), (4.8, 0.8), (5.7, 0.7)):
            lines += 0.2 * age**1.5 * bump(x, y + wave, (0, at), 3.2, 0.07 + 0.02 * gap)
        crow = np.abs(np.sin((y + wave) * 5.5 + side)) ** 10
        lines += 0.2 * age**1.5 * crow * bump(side, y, (5.6, -0.2), 0.5, 0.8)
        lines += 0.18 * age**1.3 * bump(side, y + 0.2 * (side - 2.5), (2.8, -1.35), 1.0, 0.07)
        lines += 0.2 * age * bump(side, y, (0.32, 2.0), 0.06, 0.6)
        self.darken(lines)

    def eyes(self) -> None:
        """Lids, lashes and rims."""
        person, y, side = self.person, self.y, self.side
        middle, half = sum(EYE_CORNERS) / 2, (EYE_CORNERS[1] - EYE_CORNERS[0]) / 2
        across = np.clip(np.abs(side - middle) / half, 0, 1.5)
        within = ramp(across, 1.12, 0.9)
        lid = np.asarray(person.skin) * np.array([0.88, 0.78, 0.76])
        mix(self.canvas, lid, 0.5 * ramp(across, 1.3, 0.8) * ramp(y, 1.2, 0.5) * ramp(y, -0.1, 0.1))
        shadow = (0.25, 0.17, 0.2)
        mix(
            self.canvas,
            shadow,
            0.5 * person.makeup * within * ramp(y, 1.1, 0.2) * ramp(y, -0.1, 0.1),
        )
        crease = np.exp(-(((y - 0.78 + 0.2 * across**2) / 0.08) ** 2))
        self.darken(0.45 * crease * ramp(across, 1.25, 0.8))
        lash = ramp(y, 0.2 + 0.06 * person.makeup, 0.06) * ramp(y, -0.02, 0.02)
        mix(self.canvas, (0.06, 0.04, 0.04), (0.72 + 0.2 * person.makeup) * lash * within)
        rim = np.asarray(person.skin) * np.array([0.9, 0.66, 0.62])
        below = ramp(y, -0.22, -0.05) * ramp(y, 0.02, -0.02) * within
        mix(self.canvas, rim * 0.8, (0.75 - 0.2 * person.makeup) * below)
        mix(
            self.canvas,
            (0.1, 0.07, 0.07),
            (0.25 + 0.4 * person.makeup) * below * ramp(y, -0.03, -0.12),
        )
        mix(self.canvas, rim, 0.8 * bump(side, y, (EYE_CORNERS[0] - 0.05, 0), 0.14, 0.1))

    def lips(self) -> None:
        """Lips with their seam."""
        person, y, side = self.person, self.y, self.side
        t = np.clip(side / (MOUTH_CORNER - 0.1), 0, 1)
        top = MOUTH_Y + (0.7 + 0.13 * np.cos(np.clip(side, 0, 1.2) * 4.2 - 1.9)) * (1 - t**1.8)
        bottom = MOUTH_Y - 1.02 * (1 - t**2.2) ** 0.8
        soft = 0.09
        lip = ramp(y, bottom - soft, bottom + soft) * ramp(y, top + soft, top - soft) * (t < 1)
        lined = np.asarray(person.lip_colour) * (1 + 0.05 * self.noise(0.12, 4))[..., None]
        self.canvas += (lined - self.canvas) * (0.88 * lip)[..., None]
        self.darken(0.22 * lip * (y > MOUTH_Y))
        glow = bump(side, y, (0.6, -7.85), 0.7, 0.14)
        mix(
            self.canvas,
            np.minimum(1, np.asarray(person.lip_colour) * 1.35 + 0.05),
            0.4 * glow * lip,
        )
        seam = np.exp(-(((y - MOUTH_Y) / 0.1) ** 2)) * ramp(
            side, MOUTH_CORNER + 0.25, MOUTH_CORNER - 0.3
        )
        mix(self.canvas, (0.2, 0.07, 0.07), 0.62 * seam)

    def beard(self) -> None:
        """Moustache, goatee and cheeks, as the style says."""
        style, x, y, side = self.person.beard_style, self.x, self.y, self.side
        if style == "none":
            return
        moustache = ramp(y, -5.3, -5.75) * ramp(y, -6.95, -6.6) * ramp(side, 3.4, 2.4)
        goatee = ramp(side, 3.4, 2.6) * ramp(y, -8.35, -8.7) * ramp(y, -12.2, -11.5)
        goatee = np.maximum(
            goatee, ramp(np.abs(side - 3.2), 0.55, 0.25) * ramp(y, -6, -6.6) * ramp(y, -9.5, -8.7)
        )
        line = -7.2 + 6.0 * ramp(side, 3.2, 6.6)
        cheeks = ramp(y, line + 0.5, line - 0.6) * ramp(y, -14, -12.3) * ramp(side, 8.2, 7.2)
        lips = (np.abs(y - MOUTH_Y - 0.1) < 1.05 * np.sqrt(np.clip(1 - (x / 3.2) ** 2, 0, 1))) & (
            side < 3.2
        )
        cheeks *= 1 - lips
        share = {
            "stubble": 0.5 * np.maximum(cheeks, moustache),
            "moustache": moustache,
            "goatee": np.maximum(goatee, moustache),
            "full": np.maximum(cheeks, moustache),
        }[style]
        hairs = 0.75 + 0.22 * self.noise(0.1, 3) + 0.1 * self.noise(0.5)
        colour = 0.85 * np.asarray(self.person.hair_colour) + 0.04
        mix(self.canvas, colour, 0.95 * self.person.beard * share * np.clip(hairs, 0.2, 1))

    def brows(self) -> None:
        """The hairs over the eyes."""
        person, y, side = self.person, self.y, self.side
        along = np.clip((side - 1.15) / 3.9, 0, 1)
        centre = (
            1.95
            + 0.55 * np.sin(along * 2.6)
            + 0.3 * person.brow_arch * np.sin(along * 3.1)
            - 0.25 * along
        )
        half = 0.36 * person.brow_thickness * (1 - 0.65 * along**1.6)
        shape = ramp(np.abs(y - centre), half + 0.14, half - 0.08)
        shape *= ramp(side, 0.95, 1.5) * ramp(side, 5.2, 4.7)
        hairs = 0.8 + 0.16 * self.noise(0.05, 5) + 0.08 * self.noise(0.2)
        mix(self.canvas, person.brow_colour, 0.86 * shape * np.clip(hairs, 0.3, 1))
