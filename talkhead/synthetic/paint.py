"""Textures and backgrounds of a synthetic head.

Everything is painted once per person into one atlas. The skin tile lies on the canonical grid of
`shape`, so a brow or a lip is painted at the same place for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkhead.synthetic.looks import Identity, Scene
from talkhead.synthetic.shape import ramp
from talkhead.synthetic.skin import Skin, mix, noise


@dataclass(frozen=True)
class Tile:
    """A rectangle of the atlas, in units of the paint scale (pixels per cm)."""

    x: int
    y: int
    width: int
    height: int
    inset: float = (
        0.04  # share of the border kept unused: pixels on a triangle's rim reach beyond it
    )

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


def _places(height: int, width: int, reach: float, top: float) -> tuple[np.ndarray, np.ndarray]:
    """x from -reach to reach and y from top down to 1 of each pixel, float32 (H, W)."""
    across = np.linspace(-reach, reach, width, dtype=np.float32)
    return np.meshgrid(across, np.linspace(top, 1, height, dtype=np.float32))


def _eye(person: Identity, size: int) -> np.ndarray:
    """A ball seen from in front: tile centre is the pupil, the border 70 degrees off the axis."""
    rng = np.random.default_rng(person.seed + 1)
    x, y = _places(size, size, 1, -1)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    ball = np.full((size, size, 3), (0.93, 0.90, 0.88), np.float32)
    mix(ball, (0.80, 0.58, 0.54), 0.75 * ramp(radius, 0.55, 1.05))
    iris, edge = 0.34, 0.04
    rays = noise(rng, 64, 256, 3, 8)[
        (radius * 60).astype(int).clip(0, 63), ((angle / np.pi + 1) * 127).astype(int)
    ]
    colour = np.asarray(person.eye_colour, np.float32) * (1 + 0.16 * rays)[..., None]
    colour *= (1.25 - 0.5 * ramp(radius, 0.16, iris))[..., None]
    ball += (colour - ball) * ramp(radius, iris + edge, iris - edge)[..., None]
    mix(ball, (0.07, 0.06, 0.06), 0.75 * np.exp(-(((radius - iris) / 0.045) ** 2)))
    mix(ball, (0.02, 0.02, 0.02), ramp(radius, 0.16, 0.12))
    return ball


def _hair(person: Identity, size: int) -> np.ndarray:
    rng = np.random.default_rng(person.seed + 2)
    curly = person.hair_style == "curly"
    stretch = 1.3 if curly else 14
    strands = 0.6 * noise(rng, size, size, size / 110, stretch) + 0.5 * noise(
        rng, size, size, size / 40, stretch
    )
    strands += (0.5 if curly else 0.25) * noise(rng, size, size, size / 14, 2)
    tone = np.clip(1 + 0.24 * strands, 0.45, 1.8)[..., None]
    lift = np.clip(strands, 0, 2)[..., None] * 0.02
    return np.clip(np.asarray(person.hair_colour, np.float32) * tone + lift, 0, 1)


def _mouth(person: Identity, scale: int) -> dict[str, np.ndarray]:
    height, width = TILES["teeth"].height * scale, TILES["teeth"].width * scale
    x, y = _places(height, width, 3, 0)
    enamel = np.array([0.93, 0.90, 0.83]) - person.age * np.array([0.08, 0.11, 0.2])
    teeth = np.full((height, width, 3), enamel, np.float32)
    side = np.abs(x)
    edges = np.array([0, 0.85, 1.5, 2.2, 2.85])
    gap = np.exp(-((np.abs(side[..., None] - edges).min(-1) / 0.05) ** 2))
    mix(teeth, (0.35, 0.22, 0.18), 0.45 * gap)
    mix(teeth, (0.70, 0.36, 0.36), ramp(y, 0.3 + 0.06 * np.cos(side * 8), 0.15))
    teeth *= (1 - 0.55 * ramp(side, 1.2, 3))[..., None]
    tongue_size = (TILES["tongue"].height * scale, TILES["tongue"].width * scale)
    tongue = np.full((*tongue_size, 3), (0.62, 0.28, 0.28), np.float32)
    tongue *= (1 - 0.3 * np.exp(-(np.linspace(-8, 8, tongue_size[1]) ** 2)))[None, :, None]
    cavity = np.full((*tongue_size, 3), (0.13, 0.03, 0.035), np.float32)
    return {"teeth": teeth, "tongue": tongue, "cavity": cavity}


def _torso(person: Identity, scene: Scene, height: int, width: int) -> np.ndarray:
    """Clothes around the trunk: tile x runs once around (middle = front), y from neck to chest."""
    rng = np.random.default_rng(scene.seed + 3)
    x, y = _places(height, width, 1, 0)
    side = np.abs(x)
    cloth = np.full((height, width, 3), scene.cloth, np.float32)
    weave = 0.03 * noise(rng, height, width, 1.0) + 0.05 * noise(
        rng, height, width, height / 8, 0.6
    )
    skin = np.asarray(person.skin) * 0.93
    if scene.clothes == "tee":
        mix(cloth, np.asarray(scene.cloth) * 0.7, ramp(y, 0.27, 0.25))
        mix(cloth, skin, ramp(y, 0.215, 0.195))
    elif scene.clothes == "vneck":
        mix(cloth, skin, ramp(y + side * 3.2, 0.62, 0.6))
    elif scene.clothes == "turtleneck":
        cloth *= (1 + 0.06 * np.sin(x * 200))[..., None]
    else:
        shirt = scene.accent if scene.clothes == "shirt" else (0.9, 0.91, 0.93)
        if scene.clothes == "shirt":
            cloth[:] = shirt
            mix(cloth, np.asarray(shirt) * 0.75, ramp(np.abs(side - 0.012), 0.006, 0.002))
            mix(cloth, skin, ramp(y + side * 4, 0.36, 0.34))
        else:
            mix(cloth, np.asarray(scene.cloth) * 0.6, ramp(y + side * 4.2, 1.12, 1.1))
            mix(cloth, shirt, ramp(y + side * 4.2, 1.04, 1.02))
            mix(cloth, scene.accent, ramp(side, 0.045, 0.04) * ramp(y, 0.2, 0.22))
        collar = np.abs(y + side * 2.6 - 0.36)
        mix(
            cloth,
            np.minimum(np.asarray(shirt) * 1.06, 1),
            ramp(y, 0.32, 0.3) * ramp(side, 0.02, 0.05),
        )
        mix(
            cloth,
            np.asarray(shirt) * 0.6,
            ramp(collar, 0.03, 0.0) * ramp(side, 0.02, 0.03) * ramp(side, 0.14, 0.1),
        )
    return cloth * (1 + weave)[..., None]


def atlas(person: Identity, scene: Scene, scale: int) -> np.ndarray:
    """All tiles of a person, uint8 (H, W, 3), at `scale` pixels per centimetre of skin."""
    flat = {"frame": person.glasses_colour, "gold": (0.85, 0.70, 0.35)}
    pictures = {
        "skin": Skin(person, scale).paint(),
        "hair": _hair(person, TILES["hair"].width * scale),
    }
    torso = TILES["torso"]
    pictures["torso"] = _torso(person, scene, torso.height * scale, torso.width * scale)
    pictures["eye"] = _eye(person, TILES["eye"].width * scale)
    pictures |= _mouth(person, scale)
    ear = np.linspace(1, 0, TILES["ear"].height * scale, dtype=np.float32)[:, None, None]
    inside = np.asarray(person.skin) * np.array([0.62, 0.42, 0.4])
    rim = np.asarray(person.skin) * np.array([1.0, 0.9, 0.88])
    pictures["ear"] = np.repeat(
        inside * ear**1.5 + rim * (1 - ear**1.5), TILES["ear"].width * scale, 1
    )
    whole = np.zeros((_ATLAS[0] * scale, _ATLAS[1] * scale, 3), np.float32)
    for name, tile in TILES.items():
        spot = whole[tile.y * scale :, tile.x * scale :][
            : tile.height * scale, : tile.width * scale
        ]
        spot[:] = flat[name] if name in flat else pictures[name]
    return np.round(np.clip(whole, 0, 1) * 255).astype(np.uint8)


def background(scene: Scene, height: int, width: int) -> np.ndarray:
    """What is behind the head, uint8 (height, width, 3), out of focus."""
    rng = np.random.default_rng(scene.seed)
    x, y = _places(height, width, 1, -1)
    view = np.full((height, width, 3), scene.backdrop, np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    slope = ramp(x * np.cos(turn) + y * np.sin(turn), -1.2, 1.2)
    mix(view, scene.backdrop_accent, slope * rng.uniform(0.1, 0.6))
    if scene.background in ("shapes", "room"):
        _clutter(view, scene, rng, straight=scene.background == "room")
        cv2.GaussianBlur(view, (0, 0), height * rng.uniform(0.004, 0.03), view)
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
            cv2.rectangle(
                view, (x, y), (x + across, y + down), [0.6 * c for c in colour], 1 + height // 90
            )
        else:
            cv2.ellipse(
                view, (x, y), (across // 2, down // 2), rng.uniform(0, 180), 0, 360, colour, -1
            )
