"""The pictures that a synthetic head wears: skin, eyes, mouth, hair, clothes, and what is behind it.

Everything is painted once per person into one atlas. The skin tile lies on the canonical grid of
`head_shape`, so a brow or a lip is painted at the same place for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkhead.training.head_looks import Colour, Identity, Scene
from talkhead.training.head_shape import EYE_CORNERS, MOUTH_CORNER, MOUTH_Y, RADIUS, bump, ramp

_SKIN_TOP, _SKIN_BOTTOM, _SKIN_SIDE = 12.0, -20.0, 13.0  # what the skin tile covers, cm


@dataclass(frozen=True)
class Tile:
    """A rectangle of the atlas, in units of the paint scale (pixels per cm)."""

    x: int
    y: int
    width: int
    height: int
    inset: float = 0.04  # share of the border kept unused: pixels on a triangle's rim reach beyond it

    def place(self, u: np.ndarray, v: np.ndarray, scale: int) -> np.ndarray:
        """Atlas pixels (..., 2) of tile coordinates in 0..1, kept off the tile's border."""
        width, height = self.width * scale - 1, self.height * scale - 1
        share = 1 - 2 * self.inset
        x, y = (self.inset + share * u) * width, (self.inset + share * v) * height
        return np.stack([self.x * scale + x, self.y * scale + y], -1)


TILES = {
    "skin": Tile(0, 0, 26, 32, inset=0.0),
    "hair": Tile(26, 0, 14, 14),
    "torso": Tile(26, 14, 14, 10),
    "eye": Tile(26, 24, 6, 6),
    "teeth": Tile(32, 24, 8, 2),
    "tongue": Tile(32, 26, 4, 2),
    "cavity": Tile(36, 26, 4, 2),
    "ear": Tile(32, 28, 4, 4),
    "frame": Tile(36, 28, 2, 2),
    "gold": Tile(38, 28, 2, 2),
}
_ATLAS = (32, 40)


def skin_place(angle: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tile coordinates u, v of canonical places: linear in the angle in front, squeezed behind."""
    arc = RADIUS * np.clip(np.abs(angle), 0, np.pi / 2)
    arc += (np.abs(angle) > np.pi / 2) * (np.abs(angle) - np.pi / 2) * 0.85
    u = 0.5 + 0.5 * np.sign(angle) * arc / _SKIN_SIDE
    return u, (_SKIN_TOP - row) / (_SKIN_TOP - _SKIN_BOTTOM)


def noise(rng: np.random.Generator, height: int, width: int, grain: float, stretch: float = 1.0) -> np.ndarray:
    """Smooth noise of unit deviation; `grain` is its size in pixels, `stretch` pulls it along y."""
    rows = max(3, int(height / (grain * stretch)) + 2)
    coarse = rng.standard_normal((rows, max(3, int(width / grain) + 2)), dtype=np.float32)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return fine / (fine.std() + 1e-6)


def _mix(picture: np.ndarray, colour: Colour | np.ndarray, share: np.ndarray) -> None:
    """Move the picture towards a colour, in place."""
    picture += (np.asarray(colour, np.float32) - picture) * np.clip(share, 0, 1)[..., None]


class _Skin:
    """The skin tile while it is painted: a canvas with its canonical coordinates."""

    def __init__(self, person: Identity, scale: int) -> None:
        tile = TILES["skin"]
        self.person, self.scale = person, scale
        self.rng = np.random.default_rng(person.seed)
        height, width = tile.height * scale, tile.width * scale
        arc = np.linspace(-_SKIN_SIDE, _SKIN_SIDE, width, dtype=np.float32)
        row = np.linspace(_SKIN_TOP, _SKIN_BOTTOM, height, dtype=np.float32)
        angle = np.clip(arc / RADIUS, -np.pi / 2, np.pi / 2)
        self.x, self.y = np.meshgrid(RADIUS * np.sin(angle), row)
        self.side = np.abs(self.x)
        self.canvas = np.empty((height, width, 3), np.float32)
        self.canvas[:] = person.skin

    def noise(self, centimetres: float, stretch: float = 1.0) -> np.ndarray:
        height, width = self.canvas.shape[:2]
        return noise(self.rng, height, width, max(1.0, centimetres * self.scale), stretch)

    def darken(self, share: np.ndarray) -> None:
        """Shade as skin does: reds last."""
        self.canvas *= 1 - np.clip(share, 0, 1)[..., None] * np.array([0.72, 0.92, 1.0], np.float32)

    def paint(self) -> np.ndarray:
        self.complexion()
        self.hollows()
        self.wrinkles()
        self.eyes()
        self.lips()
        self.beard()
        self.brows()
        return self.canvas

    def complexion(self) -> None:
        person, x, y, side = self.person, self.x, self.y, self.side
        mottled = 0.016 * self.noise(1.2) + 0.012 * self.noise(0.35) + 0.014 * self.noise(0.1)
        self.canvas *= (1 + mottled * (1 + person.age))[..., None]
        red = np.asarray(person.skin) * np.array([1.02, 0.72, 0.70])
        blush = person.blush * (0.55 * bump(side, y, (4.3, -3.6), 1.5, 1.2) + 0.4 * bump(x, y, (0, -4.3), 1, 0.8))
        _mix(self.canvas, red, blush * (1 + 0.5 * person.makeup))
        if person.freckles > 0:
            spots = ramp(self.noise(0.16), 1.5, 2.2) * ramp(y, -8, -4) * ramp(y, 3, 0)
            self.darken(0.35 * person.freckles * spots)
        moles = np.zeros_like(x)
        for _ in range(self.rng.integers(0, 5)):
            at = (float(self.rng.uniform(-6, 6)), float(self.rng.uniform(-10, 6)))
            moles += bump(x, y, at, 0.11, 0.11)
        self.darken(0.6 * moles)

    def hollows(self) -> None:
        """Shadow that the light never reaches: sockets, nostrils, under nose, lip and chin, neck."""
        x, y, side = self.x, self.y, self.side
        hollow = 0.22 * bump(side, y, (2.0, 0.75), 1.1, 0.5) + 0.10 * bump(side, y, (3.1, 0.9), 1.5, 0.35)
        hollow += (0.10 + 0.16 * self.person.age) * bump(side, y, (2.6, -1.0), 1.1, 0.3)
        hollow += 0.85 * bump(side, y, (0.7, -5.02), 0.26, 0.12)
        hollow += 0.16 * bump(x, y, (0, -5.25), 1.1, 0.22) + 0.25 * bump(side, y, (1.75, -4.6), 0.16, 0.5)
        hollow += 0.14 * bump(x, y, (0, -9.0), 1.5, 0.3) + 0.05 * bump(x, y, (0, -5.9), 0.18, 0.5)
        hollow += 0.42 * ramp(y, -11.2, -12.4) * (1 - 0.5 * ramp(y, -12.5, -18)) * ramp(side, 8.2, 5)
        hollow += 0.25 * ramp(y, -8, -11.5) * ramp(side, 5.5, 7.2)
        self.darken(hollow)

    def wrinkles(self) -> None:
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
        person, y, side = self.person, self.y, self.side
        middle, half = sum(EYE_CORNERS) / 2, (EYE_CORNERS[1] - EYE_CORNERS[0]) / 2
        across = np.clip(np.abs(side - middle) / half, 0, 1.5)
        within = ramp(across, 1.12, 0.9)
        lid = np.asarray(person.skin) * np.array([0.88, 0.78, 0.76])
        _mix(self.canvas, lid, 0.5 * ramp(across, 1.3, 0.8) * ramp(y, 1.2, 0.5) * ramp(y, -0.1, 0.1))
        shadow = (0.25, 0.17, 0.2)
        _mix(self.canvas, shadow, 0.5 * person.makeup * within * ramp(y, 1.1, 0.2) * ramp(y, -0.1, 0.1))
        crease = np.exp(-(((y - 0.78 + 0.2 * across**2) / 0.08) ** 2))
        self.darken(0.45 * crease * ramp(across, 1.25, 0.8))
        lash = ramp(y, 0.2 + 0.06 * person.makeup, 0.06) * ramp(y, -0.02, 0.02)
        _mix(self.canvas, (0.06, 0.04, 0.04), (0.72 + 0.2 * person.makeup) * lash * within)
        rim = np.asarray(person.skin) * np.array([0.9, 0.66, 0.62])
        below = ramp(y, -0.22, -0.05) * ramp(y, 0.02, -0.02) * within
        _mix(self.canvas, rim * 0.8, (0.75 - 0.2 * person.makeup) * below)
        _mix(self.canvas, (0.1, 0.07, 0.07), (0.25 + 0.4 * person.makeup) * below * ramp(y, -0.03, -0.12))
        _mix(self.canvas, rim, 0.8 * bump(side, y, (EYE_CORNERS[0] - 0.05, 0), 0.14, 0.1))

    def lips(self) -> None:
        person, x, y, side = self.person, self.x, self.y, self.side
        t = np.clip(side / (MOUTH_CORNER - 0.1), 0, 1)
        top = MOUTH_Y + (0.7 + 0.13 * np.cos(np.clip(side, 0, 1.2) * 4.2 - 1.9)) * (1 - t**1.8)
        bottom = MOUTH_Y - 1.02 * (1 - t**2.2) ** 0.8
        soft = 0.09
        lip = ramp(y, bottom - soft, bottom + soft) * ramp(y, top + soft, top - soft) * (t < 1)
        lined = np.asarray(person.lip_colour) * (1 + 0.05 * self.noise(0.12, 4))[..., None]
        self.canvas += (lined - self.canvas) * (0.88 * lip)[..., None]
        self.darken(0.22 * lip * (y > MOUTH_Y))
        glow = bump(side, y, (0.6, -7.85), 0.7, 0.14)
        _mix(self.canvas, np.minimum(1, np.asarray(person.lip_colour) * 1.35 + 0.05), 0.4 * glow * lip)
        seam = np.exp(-(((y - MOUTH_Y) / 0.1) ** 2)) * ramp(side, MOUTH_CORNER + 0.25, MOUTH_CORNER - 0.3)
        _mix(self.canvas, (0.2, 0.07, 0.07), 0.62 * seam)

    def beard(self) -> None:
        style, x, y, side = self.person.beard_style, self.x, self.y, self.side
        if style == "none":
            return
        moustache = ramp(y, -5.3, -5.75) * ramp(y, -6.95, -6.6) * ramp(side, 3.4, 2.4)
        goatee = ramp(side, 3.4, 2.6) * ramp(y, -8.35, -8.7) * ramp(y, -12.2, -11.5)
        goatee = np.maximum(goatee, ramp(np.abs(side - 3.2), 0.55, 0.25) * ramp(y, -6, -6.6) * ramp(y, -9.5, -8.7))
        line = -7.2 + 6.0 * ramp(side, 3.2, 6.6)
        cheeks = ramp(y, line + 0.5, line - 0.6) * ramp(y, -14, -12.3) * ramp(side, 8.2, 7.2)
        lips = (np.abs(y - MOUTH_Y - 0.1) < 1.05 * np.sqrt(np.clip(1 - (x / 3.2) ** 2, 0, 1))) & (side < 3.2)
        cheeks *= 1 - lips
        share = {
            "stubble": 0.5 * np.maximum(cheeks, moustache),
            "moustache": moustache,
            "goatee": np.maximum(goatee, moustache),
            "full": np.maximum(cheeks, moustache),
        }[style]
        hairs = 0.75 + 0.22 * self.noise(0.1, 3) + 0.1 * self.noise(0.5)
        colour = 0.85 * np.asarray(self.person.hair_colour) + 0.04
        _mix(self.canvas, colour, 0.95 * self.person.beard * share * np.clip(hairs, 0.2, 1))

    def brows(self) -> None:
        person, y, side = self.person, self.y, self.side
        along = np.clip((side - 1.15) / 3.9, 0, 1)
        centre = 1.95 + 0.55 * np.sin(along * 2.6) + 0.3 * person.brow_arch * np.sin(along * 3.1) - 0.25 * along
        half = 0.36 * person.brow_thickness * (1 - 0.65 * along**1.6)
        shape = ramp(np.abs(y - centre), half + 0.14, half - 0.08)
        shape *= ramp(side, 0.95, 1.5) * ramp(side, 5.2, 4.7)
        hairs = 0.8 + 0.16 * self.noise(0.05, 5) + 0.08 * self.noise(0.2)
        _mix(self.canvas, person.brow_colour, 0.86 * shape * np.clip(hairs, 0.3, 1))


def _eye(person: Identity, size: int) -> np.ndarray:
    """A ball seen from in front: tile centre is the pupil, the border 70 degrees off the axis."""
    rng = np.random.default_rng(person.seed + 1)
    x, y = np.meshgrid(*(2 * [np.linspace(-1, 1, size, dtype=np.float32)]))
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    ball = np.empty((size, size, 3), np.float32)
    ball[:] = (0.93, 0.90, 0.88)
    _mix(ball, (0.80, 0.58, 0.54), 0.75 * ramp(radius, 0.55, 1.05))
    iris, edge = 0.34, 0.04
    rays = noise(rng, 64, 256, 3, 8)[(radius * 60).astype(int).clip(0, 63), ((angle / np.pi + 1) * 127).astype(int)]
    colour = np.asarray(person.eye_colour, np.float32) * (1 + 0.16 * rays)[..., None]
    colour *= (1.25 - 0.5 * ramp(radius, 0.16, iris))[..., None]
    ball += (colour - ball) * ramp(radius, iris + edge, iris - edge)[..., None]
    _mix(ball, (0.07, 0.06, 0.06), 0.75 * np.exp(-(((radius - iris) / 0.045) ** 2)))
    _mix(ball, (0.02, 0.02, 0.02), ramp(radius, 0.16, 0.12))
    return ball


def _hair(person: Identity, size: int) -> np.ndarray:
    rng = np.random.default_rng(person.seed + 2)
    curly = person.hair_style == "curly"
    stretch = 1.3 if curly else 14
    strands = 0.6 * noise(rng, size, size, size / 110, stretch) + 0.5 * noise(rng, size, size, size / 40, stretch)
    strands += (0.5 if curly else 0.25) * noise(rng, size, size, size / 14, 2)
    tone = np.clip(1 + 0.24 * strands, 0.45, 1.8)[..., None]
    lift = np.clip(strands, 0, 2)[..., None] * 0.02
    return np.clip(np.asarray(person.hair_colour, np.float32) * tone + lift, 0, 1)


def _mouth(person: Identity, scale: int) -> dict[str, np.ndarray]:
    height, width = TILES["teeth"].height * scale, TILES["teeth"].width * scale
    x, y = np.meshgrid(np.linspace(-3, 3, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32))
    teeth = np.empty((height, width, 3), np.float32)
    teeth[:] = np.array([0.93, 0.90, 0.83]) - person.age * np.array([0.08, 0.11, 0.2])
    side = np.abs(x)
    edges = np.array([0, 0.85, 1.5, 2.2, 2.85])
    gap = np.exp(-((np.abs(side[..., None] - edges).min(-1) / 0.05) ** 2))
    _mix(teeth, (0.35, 0.22, 0.18), 0.45 * gap)
    _mix(teeth, (0.70, 0.36, 0.36), ramp(y, 0.3 + 0.06 * np.cos(side * 8), 0.15))
    teeth *= (1 - 0.55 * ramp(side, 1.2, 3))[..., None]
    tongue_size = (TILES["tongue"].height * scale, TILES["tongue"].width * scale)
    tongue = np.empty((*tongue_size, 3), np.float32)
    tongue[:] = (0.62, 0.28, 0.28)
    tongue *= (1 - 0.3 * np.exp(-(np.linspace(-8, 8, tongue_size[1]) ** 2)))[None, :, None]
    cavity = np.empty((*tongue_size, 3), np.float32)
    cavity[:] = (0.13, 0.03, 0.035)
    return {"teeth": teeth, "tongue": tongue, "cavity": cavity}


def _torso(person: Identity, scene: Scene, height: int, width: int) -> np.ndarray:
    """Clothes around the trunk: tile x runs once around (middle = front), y from neck to chest."""
    rng = np.random.default_rng(scene.seed + 3)
    x, y = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(0, 1, height, dtype=np.float32))
    side = np.abs(x)
    cloth = np.empty((height, width, 3), np.float32)
    cloth[:] = scene.cloth
    weave = 0.03 * noise(rng, height, width, 1.0) + 0.05 * noise(rng, height, width, height / 8, 0.6)
    skin = np.asarray(person.skin) * 0.93
    if scene.clothes == "tee":
        _mix(cloth, np.asarray(scene.cloth) * 0.7, ramp(y, 0.27, 0.25))
        _mix(cloth, skin, ramp(y, 0.215, 0.195))
    elif scene.clothes == "vneck":
        _mix(cloth, skin, ramp(y + side * 3.2, 0.62, 0.6))
    elif scene.clothes == "turtleneck":
        cloth *= (1 + 0.06 * np.sin(x * 200))[..., None]
    else:
        shirt = scene.accent if scene.clothes == "shirt" else (0.9, 0.91, 0.93)
        if scene.clothes == "shirt":
            cloth[:] = shirt
            _mix(cloth, np.asarray(shirt) * 0.75, ramp(np.abs(side - 0.012), 0.006, 0.002))
            _mix(cloth, skin, ramp(y + side * 4, 0.36, 0.34))
        else:
            _mix(cloth, np.asarray(scene.cloth) * 0.6, ramp(y + side * 4.2, 1.12, 1.1))
            _mix(cloth, shirt, ramp(y + side * 4.2, 1.04, 1.02))
            _mix(cloth, scene.accent, ramp(side, 0.045, 0.04) * ramp(y, 0.2, 0.22))
        collar = np.abs(y + side * 2.6 - 0.36)
        _mix(cloth, np.minimum(np.asarray(shirt) * 1.06, 1), ramp(y, 0.32, 0.3) * ramp(side, 0.02, 0.05))
        _mix(cloth, np.asarray(shirt) * 0.6, ramp(collar, 0.03, 0.0) * ramp(side, 0.02, 0.03) * ramp(side, 0.14, 0.1))
    return cloth * (1 + weave)[..., None]


def atlas(person: Identity, scene: Scene, scale: int) -> np.ndarray:
    """All tiles of a person, uint8 (H, W, 3), at `scale` pixels per centimetre of skin."""
    flat = {"frame": person.glasses_colour, "gold": (0.85, 0.70, 0.35)}
    pictures = {"skin": _Skin(person, scale).paint(), "hair": _hair(person, TILES["hair"].width * scale)}
    torso = TILES["torso"]
    pictures["torso"] = _torso(person, scene, torso.height * scale, torso.width * scale)
    pictures["eye"] = _eye(person, TILES["eye"].width * scale)
    pictures |= _mouth(person, scale)
    ear = np.linspace(1, 0, TILES["ear"].height * scale, dtype=np.float32)[:, None, None]
    inside = np.asarray(person.skin) * np.array([0.62, 0.42, 0.4])
    rim = np.asarray(person.skin) * np.array([1.0, 0.9, 0.88])
    pictures["ear"] = np.repeat(inside * ear**1.5 + rim * (1 - ear**1.5), TILES["ear"].width * scale, 1)
    whole = np.zeros((_ATLAS[0] * scale, _ATLAS[1] * scale, 3), np.float32)
    for name, tile in TILES.items():
        spot = whole[tile.y * scale :, tile.x * scale :][: tile.height * scale, : tile.width * scale]
        spot[:] = flat[name] if name in flat else pictures[name]
    return np.round(np.clip(whole, 0, 1) * 255).astype(np.uint8)


def background(scene: Scene, height: int, width: int) -> np.ndarray:
    """What is behind the head, uint8 (height, width, 3), out of focus."""
    rng = np.random.default_rng(scene.seed)
    x, y = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32))
    view = np.empty((height, width, 3), np.float32)
    view[:] = scene.backdrop
    turn = rng.uniform(0, 2 * np.pi)
    slope = ramp(x * np.cos(turn) + y * np.sin(turn), -1.2, 1.2)
    _mix(view, scene.backdrop_accent, slope * rng.uniform(0.1, 0.6))
    if scene.background in ("shapes", "room"):
        _clutter(view, scene, rng, straight=scene.background == "room")
        view = cv2.GaussianBlur(view, (0, 0), height * rng.uniform(0.004, 0.03))
    if scene.background == "noise":
        blotches = noise(rng, height, width, height / rng.uniform(4, 30), rng.uniform(0.4, 2.5))
        view *= (1 + 0.12 * blotches)[..., None]
    view *= (1 + 0.008 * noise(rng, height, width, 1.5))[..., None]
    return np.round(np.clip(view, 0, 1) * 255).astype(np.uint8)


def _clutter(view: np.ndarray, scene: Scene, rng: np.random.Generator, straight: bool) -> None:
    """Frames, shelves and blobs, drawn sharp."""
    height, width = view.shape[:2]
    base = np.stack([scene.backdrop, scene.backdrop_accent])
    for _ in range(rng.integers(4, 14)):
        colour = np.clip(base[rng.integers(2)] + rng.normal(0, 0.16, 3), 0, 1).tolist()
        x, y = int(rng.uniform(-0.1, 1) * width), int(rng.uniform(-0.1, 1) * height)
        across, down = (int(side) for side in rng.uniform(0.04, 0.5, 2) * height)
        if straight:
            cv2.rectangle(view, (x, y), (x + across, y + down), colour, -1)
            cv2.rectangle(view, (x, y), (x + across, y + down), [0.6 * c for c in colour], 1 + height // 90)
        else:
            cv2.ellipse(view, (x, y), (across // 2, down // 2), rng.uniform(0, 180), 0, 360, colour, -1)
