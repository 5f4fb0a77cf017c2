"""Rendered talking heads: a person, a pose and an expression to a picture with known keypoints.

`Head` builds a person's mesh and paints it once; `render` then takes some tens of milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkhead.errors import TalkheadError
from talkhead.synthetic import parts, raster
from talkhead.synthetic.hair import hair
from talkhead.synthetic.looks import Expression, Identity, Pose, Scene
from talkhead.synthetic.paint import atlas, background
from talkhead.synthetic.shape import EYE_X, MOUTH_CORNER, MOUTH_Y, Skin

KEYPOINTS = (
    "forehead", "chin", "left side", "right side", "left jaw", "right jaw", "nose tip",
    "left eye", "right eye", "left brow", "right brow", "left mouth corner", "right mouth corner",
    "upper inner lip", "lower inner lip",
)  # fmt: skip
# Where each keypoint is on the canonical face: column arc, row, side of the slit.
# The eyes are means of their rings.
_POINT_PLACES = [
    (0, 6.2, 1), (0, -11.35, 1), (-7.35, -1.7, 1), (7.35, -1.7, 1), (-6.8, -8.7, 1),
    (6.8, -8.7, 1), (0, -4.2, 1), None, None, (-4.3, 2.6, 1), (4.3, 2.6, 1),
    (-MOUTH_CORNER, MOUTH_Y, 1), (MOUTH_CORNER, MOUTH_Y, 1),
    (0, MOUTH_Y, 1), (0, MOUTH_Y, -1),
]  # fmt: skip
_HEIGHT = 31.6  # cm of the scene that the picture's height shows at scale 1
_CENTRE = (0.52, -2.75)  # this share of the height shows this y
_CAMERA = 95.0  # cm from the head's axis
_PIVOT = np.array([0.0, -7.0, -1.5])  # the head turns about the top of the neck
_TRUNK_TURN = 0.12  # of the head's angles
_SAMPLES = 2  # per pixel along each axis


@dataclass(frozen=True)
class Rendering:
    """One picture and everything known about it.

    rgb:       uint8 (H, W, 3).
    keypoints: float32 (15, 2), x then y in pixels, first pixel's centre 0.5, in `KEYPOINTS` order.
    numbers:   int32 (H, W), the triangle seen at each pixel, -1 for background.
    """

    rgb: np.ndarray
    keypoints: np.ndarray
    numbers: np.ndarray


class Head:
    """A person in a scene, ready to be rendered.

    width, height: of the picture, pixels; at least 16.
    behind: (T,), cm by which a triangle counts as farther than it is: lids hide eyeballs.
    """

    def __init__(self, person: Identity, scene: Scene, width: int = 256, height: int = 256) -> None:
        if min(width, height) < 16:
            raise TalkheadError(
                f"a head cannot be rendered at {width}x{height} pixels; use at least 16x16"
            )
        self.person, self.scene = person, scene
        self.width, self.height = width, height
        texels = 16 if height <= 320 else 32
        self._atlas = atlas(person, scene, texels)
        self._background = background(scene, height, width)
        self._backdrop = cv2.resize(self._background, (width * _SAMPLES, height * _SAMPLES))
        self._assemble(texels)

    def _assemble(self, texels: int) -> None:
        """Join the parts into one vertex numbering."""
        skin_part, self._skin = parts.face(self.person)
        self._eyes = self._eye_centres(self._skin, skin_part.points)
        pieces = [skin_part, *(parts.eye(centre) for centre in self._eyes)]
        lip = skin_part.points[self._skin.nearest(0, MOUTH_Y)]
        pieces += parts.mouth(self.person, float(lip[2]))
        pieces += [parts.ear(self.person, side) for side in (-1.0, 1.0)]
        pieces += hair(self.person) + parts.glasses(self.person, self._eyes)
        pieces += [
            *parts.earrings(self.person),
            parts.trunk(self.person, self.scene.clothes),
        ]
        counts = [len(part.points) for part in pieces]
        starts = np.cumsum([0, *counts])
        self._points = np.concatenate([part.points for part in pieces])
        self._places = np.concatenate([parts.atlas_place(part, texels) for part in pieces])
        each = list(zip(counts, pieces, strict=True))
        self._steady = np.concatenate([np.full(n, part.steady) for n, part in each])[:, None]
        self._air = np.concatenate([np.full(n, part.open_air) for n, part in each])
        self._gloss = np.repeat([part.gloss for part in pieces], counts)
        self.triangles = np.concatenate(
            [part.triangles + start for part, start in zip(pieces, starts, strict=False)]
        )
        faces = [len(part.triangles) for part in pieces]
        self.behind = np.repeat([part.behind for part in pieces], faces)
        self._two_sided = np.repeat([part.two_sided for part in pieces], faces)
        self._part_of = np.repeat(np.arange(len(pieces)), faces)
        self._eye_range = [slice(starts[k], starts[k + 1]) for k in (1, 2)]
        names = sorted({name for part in pieces for name in part.basis})
        self._basis = {name: np.zeros_like(self._points) for name in names}
        for part, start in zip(pieces, starts, strict=False):
            for name, moves in part.basis.items():
                self._basis[name][start : start + len(moves)] += moves
        self._find_points()

    @staticmethod
    def _eye_centres(mesh: Skin, points: np.ndarray) -> np.ndarray:
        centres = []
        for side in (-1, 1):
            corners = points[[mesh.nearest(side * 1.7, 0), mesh.nearest(side * 4.78, 0)]]
            middle = corners.mean(0)
            centres.append([middle[0], middle[1] + 0.1, middle[2] + 0.8 - parts.EYE_RADIUS])
        return np.array(centres)

    def _find_points(self) -> None:
        """Vertices that keypoints and eyelids are made of."""
        mesh, rings = self._skin, []
        self._lids = []
        arc = 7.4 * np.sin(mesh.angle)
        front = np.cos(mesh.angle) > 0
        for side in (-1, 1):
            ring = (mesh.row == 0) & (np.abs(side * arc - 3.24) < 1.6)
            rings.append(np.flatnonzero(front & ring))
            near = (np.abs(arc - side * EYE_X) < 2.4) & (np.abs(mesh.row) < 2.0)
            self._lids.append(np.flatnonzero(front & near))
        eyes = iter(rings)
        self._vertices = [
            next(eyes) if place is None else [mesh.nearest(*place)] for place in _POINT_PLACES
        ]

    def _deform(self, face: Expression) -> np.ndarray:
        """The mesh at rest pose with this expression, (V, 3)."""
        open_left, open_right = 1 - face.blink_left, 1 - face.blink_right
        strengths = {
            "mouth_open": face.mouth_open, "mouth_width": face.mouth_width,
            "mouth_round": face.mouth_round, "smile": face.smile, "brow_raise": face.brow_raise,
            "open_left": open_left, "open_right": open_right,
        }  # fmt: skip
        points = self._points.copy()
        for name, strength in strengths.items():
            if strength:
                points += strength * self._basis[name]
        for centre, lids, ball in zip(self._eyes, self._lids, self._eye_range, strict=True):
            near = points[lids] - centre
            inside = (parts.EYE_RADIUS + 0.07) ** 2 - near[:, 0] ** 2 - near[:, 1] ** 2
            points[lids, 2] = np.maximum(
                points[lids, 2], centre[2] + np.sqrt(np.maximum(inside, 0))
            )
            turn = _turn(face.gaze_x * 22, -face.gaze_y * 15, 0)
            points[ball] = (points[ball] - centre) @ turn.T + centre
        return points

    def _place(self, points: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        """Turn the head and trunk; returns points (V, 3) and pixels (V, 2)."""
        angles = np.array([pose.yaw, pose.pitch, pose.roll])
        head = (points - _PIVOT) @ _turn(*angles).T + _PIVOT
        body = (points - _PIVOT) @ _turn(*(angles * _TRUNK_TURN)).T + _PIVOT
        turned = head + self._steady * (body - head)
        zoom = self.height / _HEIGHT * pose.scale * _CAMERA / (_CAMERA - turned[:, 2])
        share, level = _CENTRE
        x = self.width * 0.5 + turned[:, 0] * zoom + pose.x * self.height
        y = self.height * share - (turned[:, 1] - level) * zoom + pose.y * self.height
        return turned, np.stack([x, y], -1)

    def render(self, pose: Pose | None = None, expression: Expression | None = None) -> Rendering:
        """Draw the head; neutral and frontal when nothing is given."""
        turned, pixels = self._place(self._deform(expression or Expression()), pose or Pose())
        triangles, fine = self.triangles, pixels * _SAMPLES
        facing = raster.signed_areas(fine, triangles) > 0
        depth = turned[:, 2][triangles].mean(1) - self.behind
        drawn = np.flatnonzero(facing | self._two_sided)
        order = drawn[np.argsort(depth[drawn], kind="stable")]
        size = self.height * _SAMPLES, self.width * _SAMPLES
        numbers = raster.draw(fine, triangles, order, *size)
        normals = self._normals(turned, facing)
        shades = np.concatenate([self._places, self._light(normals)], 1)
        rgb = self._shade(numbers, raster.planes(fine, triangles, shades))
        self._glint(rgb, numbers, fine)
        rgb = cv2.resize(rgb, (self.width, self.height), interpolation=cv2.INTER_AREA)
        small = numbers[_SAMPLES // 2 :: _SAMPLES, _SAMPLES // 2 :: _SAMPLES]
        points = [pixels[vertices].mean(0) for vertices in self._vertices]
        return Rendering(rgb, np.array(points, np.float32), small)

    def _normals(self, points: np.ndarray, facing: np.ndarray) -> np.ndarray:
        """Unit vertex normals (V, 3) towards the viewer's side of each triangle."""
        corner = points[self.triangles]
        cross = np.cross(corner[:, 2] - corner[:, 0], corner[:, 1] - corner[:, 0])
        cross *= np.where(self._two_sided & ~facing, -1.0, 1.0)[:, None]
        flat, spread = self.triangles.ravel(), np.repeat(cross, 3, axis=0)
        total = np.stack([np.bincount(flat, spread[:, k], len(points)) for k in range(3)], -1)
        return total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-9)

    def _light(self, normals: np.ndarray) -> np.ndarray:
        """Ambient, diffuse and mirrored light at each vertex, (V, 3)."""
        lamp = np.array(self.scene.light)
        diffuse = np.maximum(0, (normals @ lamp + 0.25) / 1.25)
        half = lamp + np.array([0, 0, 1.0])
        half /= np.linalg.norm(half)
        mirror = np.maximum(0, normals @ half) ** 22 * self._gloss
        around = self._air * (0.9 + 0.12 * normals[:, 1] + 0.06 * normals[:, 2])
        return np.stack([around, diffuse * self._air, mirror], -1)

    def _shade(self, numbers: np.ndarray, planes: np.ndarray) -> np.ndarray:
        """Colour every sample: texture times light over the background."""
        picture = self._backdrop.copy()
        seen = np.flatnonzero(numbers.ravel() >= 0)
        y, x = np.divmod(seen.astype(np.float32), np.float32(numbers.shape[1]))
        u, v, around, diffuse, mirror = raster.sample(
            planes, numbers.ravel()[seen], x + 0.5, y + 0.5
        )
        paint = np.empty((len(seen), 1, 3), np.uint8)
        step = 32000  # remap takes no more rows than a short integer counts
        for start in range(0, len(seen), step):
            part = slice(start, start + step)
            paint[part] = cv2.remap(self._atlas, u[part, None], v[part, None], cv2.INTER_LINEAR)
        key, ambient = (np.array(c, np.float32) for c in (self.scene.key, self.scene.ambient))
        light = around[:, None] * ambient + diffuse.clip(0, 1.2)[:, None] * key
        light *= paint[:, 0]
        light += mirror.clip(0, 1)[:, None] * (255 * key)
        picture.reshape(-1, 3)[seen] = np.clip(light, 0, 255)
        return picture

    def _glint(self, rgb: np.ndarray, numbers: np.ndarray, fine: np.ndarray) -> None:
        """The lamp's reflection on each eye, where the eye is visible."""
        unit = rgb.shape[0] / _HEIGHT
        radius = max(1, round(0.13 * unit))
        for part, ball in enumerate(self._eye_range, start=1):
            middle = fine[ball].mean(0)
            lamp = self.scene.light
            x = round(middle[0] + unit * (0.12 + 0.3 * lamp[0]))
            y = round(middle[1] - unit * (0.1 + 0.3 * lamp[1]))
            if not (radius < x < rgb.shape[1] - radius and radius < y < rgb.shape[0] - radius):
                continue
            spot = np.s_[y - radius : y + radius + 1, x - radius : x + radius + 1]
            on_eye = (numbers[spot] >= 0) & (self._part_of[numbers[spot]] == part)
            across = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) / radius
            share = (np.clip(1.2 - across, 0, 1) * on_eye)[..., None] * 0.85
            rgb[spot] = rgb[spot] + (np.array([250, 250, 248]) - rgb[spot]) * share


def _turn(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rotation matrix: yaw first, then pitch, then roll, in degrees, signs as in `Pose`."""
    (sy, sp, sr), (cy, cp, cr) = (wave(np.radians([yaw, pitch, roll])) for wave in (np.sin, np.cos))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y
