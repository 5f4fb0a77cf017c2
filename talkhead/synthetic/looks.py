"""Appearance, camera, pose and expression of a synthetic head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkhead.synthetic.shape import FaceShape

Colour = tuple[float, float, float]  # sRGB, 0 to 1

_SKINS = np.array(
    [
        [242, 209, 188], [234, 194, 168], [222, 178, 146], [200, 150, 114], [170, 120, 86],
        [134, 90, 62], [97, 66, 49], [71, 50, 40],
    ]
) / 255  # fmt: skip
_HAIRS = {
    "black": (0.07, 0.06, 0.06),
    "dark brown": (0.16, 0.11, 0.08),
    "brown": (0.29, 0.19, 0.12),
    "auburn": (0.40, 0.20, 0.11),
    "copper": (0.62, 0.33, 0.15),
    "blond": (0.73, 0.58, 0.38),
    "light blond": (0.85, 0.75, 0.56),
    "grey": (0.52, 0.51, 0.50),
    "white": (0.82, 0.81, 0.79),
}
_EYES = [(0.20, 0.12, 0.07), (0.33, 0.21, 0.12), (0.42, 0.36, 0.20), (0.32, 0.43, 0.33),
         (0.30, 0.45, 0.60), (0.45, 0.53, 0.58)]  # fmt: skip
SHORT, LONG = (
    ("buzz", "crop", "side", "curly", "receding", "bald"),
    ("bob", "long", "wavy", "updo", "fringe"),
)


def _jitter(rng: np.random.Generator, colour: Colour | np.ndarray, amount: float) -> Colour:
    red, green, blue = np.clip(np.asarray(colour) + rng.normal(0, amount, 3), 0.02, 0.98).tolist()
    return red, green, blue


def _tinted(rng: np.random.Generator, colour: Colour) -> Colour:
    """Lighter or darker and a little warmer or colder, never green."""
    return _jitter(
        rng,
        np.asarray(colour) * rng.uniform(0.8, 1.2) + rng.normal(0, 0.008) * np.array([1, 0, -1]),
        0.0,
    )


def _any_colour(rng: np.random.Generator, low: float, high: float, vivid: float) -> Colour:
    grey = rng.uniform(low, high)
    return _jitter(rng, (grey, grey, grey), vivid * rng.uniform(0, 1))


@dataclass(frozen=True)
class Identity:
    """One person: face, colours, hair, glasses, age. `seed` draws freckles, strands and wrinkles.

    age, freckles, beard, makeup, gloss: 0 to 1. beard_style: "none", "stubble", "moustache",
    "goatee" or "full". hair_style: one of `SHORT` or `LONG`. glasses: "none", "thin", "thick" or
    "round".
    """

    seed: int
    shape: FaceShape
    skin: Colour
    lip_colour: Colour
    eye_colour: Colour
    hair_colour: Colour
    brow_colour: Colour
    brow_thickness: float
    brow_arch: float
    age: float
    freckles: float
    blush: float
    makeup: float
    gloss: float
    beard: float
    beard_style: str
    hair_style: str
    hair_volume: float
    glasses: str
    glasses_colour: Colour
    earrings: bool

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Identity:
        """A random person, over the whole human range of skin tones and ages from 18 to 80."""
        masculine, tone, age = rng.uniform(), rng.uniform(), float(rng.uniform() ** 1.3)
        skin = np.array([np.interp(7 * tone, range(8), _SKINS[:, k]) for k in range(3)])
        skin = skin * (1 + rng.normal(0, 0.03) + rng.normal(0, 0.02) * np.array([1, 0, -1]))
        hair, grey = _hair_colour(rng, tone, age)
        man = masculine > 0.5
        styles = SHORT if rng.uniform() < (0.9 if man else 0.2) else LONG
        style = str(rng.choice(styles))
        if style in ("bald", "receding") and not man:
            style = "crop"
        beards = ["none", "stubble", "moustache", "goatee", "full"]
        beard = str(rng.choice(beards, p=[0.4, 0.27, 0.06, 0.1, 0.17])) if man else "none"
        makeup = 0.0 if man else float(rng.uniform() ** 0.7)
        rosy = 0.62 * skin + 0.38 * np.array([0.70, 0.25, 0.28]) * (
            0.45 + 0.55 * skin.mean() / 0.75
        )
        painted = np.array([[0.72, 0.12, 0.2], [0.6, 0.2, 0.3], [0.8, 0.35, 0.35]])[rng.integers(3)]
        lips = rosy + (painted - rosy) * 0.6 * makeup * (rng.uniform() < 0.6)
        eye = _EYES[rng.integers(2)] if tone > 0.45 else _EYES[rng.integers(len(_EYES))]
        brow = np.asarray(hair) * (0.6 if grey else 0.75)
        return cls(
            seed=int(rng.integers(2**31)),
            shape=FaceShape.sample(rng, masculine),
            skin=_jitter(rng, skin, 0.0),
            lip_colour=_jitter(rng, lips, 0.015),
            eye_colour=_jitter(rng, eye, 0.03),
            hair_colour=hair,
            brow_colour=_jitter(rng, np.minimum(brow, skin * 0.72), 0.01),
            brow_thickness=float(rng.uniform(0.6, 1.0) + 0.35 * masculine),
            brow_arch=float(rng.normal(0.3 - 0.3 * masculine, 0.25)),
            age=age,
            freckles=float(max(0, rng.normal(-0.1, 0.5))) if tone < 0.4 else 0.0,
            blush=float(rng.uniform(0.1, 0.8)),
            makeup=makeup,
            gloss=float(rng.uniform(0.3, 1)),
            beard=float(rng.uniform(0.5, 1)),
            beard_style=beard,
            hair_style=style,
            hair_volume=float(rng.uniform(0.5, 1.5)),
            glasses=str(rng.choice(["none", "thin", "thick", "round"], p=[0.7, 0.1, 0.1, 0.1])),
            glasses_colour=_any_colour(rng, 0.05, 0.45, 0.1),
            earrings=not man and bool(rng.uniform() < 0.4),
        )


def _hair_colour(rng: np.random.Generator, tone: float, age: float) -> tuple[Colour, bool]:
    if age > 0.55 and rng.uniform() < 1.6 * (age - 0.4):
        return _tinted(rng, _HAIRS[str(rng.choice(["grey", "white"]))]), True
    names = list(_HAIRS)[:7]
    odds = (
        np.array([3, 4, 4, 2, 1.2, 2.5, 1.5])
        if tone < 0.35
        else np.array([6, 3, 1, 0.3, 0, 0.15, 0.05])
    )
    return _tinted(rng, _HAIRS[str(rng.choice(names, p=odds / odds.sum()))]), False


@dataclass(frozen=True)
class Scene:
    """How one clip is filmed: clothes, light, background. `seed` draws the background's shapes.

    light: unit vector towards the key light (x right, y up, z to the camera). key, ambient: its
    colour and the surroundings', each with its strength in it. clothes: "tee", "vneck", "shirt",
    "suit" or "turtleneck". background: "gradient", "shapes", "room" or "noise".
    """

    seed: int
    light: tuple[float, float, float]
    key: Colour
    ambient: Colour
    clothes: str
    cloth: Colour
    accent: Colour
    background: str
    backdrop: Colour
    backdrop_accent: Colour

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Scene:
        """A random room, lamp and wardrobe."""
        turn, lift = np.radians(rng.normal(0, 32)), np.radians(rng.uniform(5, 50))
        light = (np.sin(turn) * np.cos(lift), np.sin(lift), np.cos(turn) * np.cos(lift))
        warm = rng.normal(0, 0.05)
        strength = rng.uniform(0.42, 0.75)
        key = np.array([1 + warm, 1, 1 - warm]) * strength
        around = (
            np.asarray(_jitter(rng, np.full(3, rng.uniform(0.8, 0.96)), 0.015)) - strength * 0.62
        )
        return cls(
            seed=int(rng.integers(2**31)),
            light=(float(light[0]), float(light[1]), float(light[2])),
            key=(float(key[0]), float(key[1]), float(key[2])),
            ambient=(float(around[0]), float(around[1]), float(around[2])),
            clothes=str(rng.choice(["tee", "vneck", "shirt", "suit", "turtleneck"])),
            cloth=_any_colour(rng, 0.06, 0.75, 0.16),
            accent=_any_colour(rng, 0.1, 0.85, 0.25),
            background=str(rng.choice(["gradient", "shapes", "room", "noise"])),
            backdrop=_any_colour(rng, 0.1, 0.9, 0.11),
            backdrop_accent=_any_colour(rng, 0.1, 0.9, 0.15),
        )


@dataclass(frozen=True)
class Pose:
    """Where the head is. Angles in degrees; x, y in picture sizes; scale 1 is the standard framing.

    yaw: positive turns the face to the right of the picture; pitch: positive looks down; roll:
    positive tilts the crown to the right of the picture; x right, y down.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Expression:
    """What the face does; 0 is at rest with the eyes open.

    mouth_open, mouth_round, smile, blink_left, blink_right: 0 to 1; mouth_width, brow_raise,
    gaze_x (positive to the right), gaze_y (positive up): -1 to 1. "Left" is left in the picture.
    """

    mouth_open: float = 0.0
    mouth_width: float = 0.0
    mouth_round: float = 0.0
    smile: float = 0.0
    blink_left: float = 0.0
    blink_right: float = 0.0
    brow_raise: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
