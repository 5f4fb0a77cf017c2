"""The data that flows through talkhead. Frozen: made once, read everywhere.

Letters for shapes, the same in every file: B batch, K keypoints, C channels, H W image,
h w feature map, N codes, T tokens, D embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from talkhead.topology import HEAD_GROUPS, IRISES, OUTER_EYE_CORNERS

if TYPE_CHECKING:
    from torch import Tensor

Whole = TypeVar("Whole")


def map_tensors(whole: Whole, change: Callable[[Tensor], Tensor]) -> Whole:
    """A dataclass with one function applied to its tensors and to those of dataclasses in it."""
    from torch import Tensor  # waits: most that is here needs no torch

    def changed(value: Any) -> Any:
        if isinstance(value, Tensor):
            return change(value)
        return map_tensors(value, change) if is_dataclass(value) else value

    parts = {each.name: changed(getattr(whole, each.name)) for each in fields(cast("Any", whole))}
    return cast("Whole", replace(cast("Any", whole), **parts))


@dataclass(frozen=True)
class Frame:
    """One decoded picture and when it is shown.

    rgb:       uint8 (H, W, 3), upright, full range.
    pts:       presentation time in units of `time_base`.
    time_base: seconds per unit.
    """

    rgb: np.ndarray
    pts: int
    time_base: Fraction

    @property
    def seconds(self) -> float:
        """When it is shown, from the clock's 0 on."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True)
class Crop:
    """A square of a frame, in frame pixels: top left corner and side. It may stick out.

    angle: degrees by which it is turned clockwise about its centre; corner and side are those of
    the square before.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0


@dataclass(frozen=True, eq=False)
class PhotoWindow:
    """The upright square of a photo around a crop: what pasting a result back may change.

    rgb:     uint8 (T, T, 3); beyond the photo its edge is repeated.
    side:    of the crop in the middle, in pixels; smaller than T where the crop is turned.
    angle:   of the crop, degrees clockwise.
    goes_on: whether the photo goes on beyond the left, top, right and bottom side of the crop.
    face:    float32 (S, S) in [0, 1], 1 on the face in the picture of the crop; None: unknown.
    """

    rgb: np.ndarray
    side: int
    angle: float
    goes_on: tuple[bool, bool, bool, bool]
    face: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture: its mesh, and how sure it is that it is one.

    points:   float32 (478, 3), x and y in pixels of the picture (the centre of the first pixel lies
              at 0.5), z in the same unit, smaller where nearer to the camera. The numbering is that
              of MediaPipe's face mesh, see `topology`. A tracker may leave out the irises.
    presence: 0 to 1.
    """

    points: np.ndarray
    presence: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height: from the top of the forehead to the chin, ear to ear."""
        low, high = self.points[:, :2].min(axis=0), self.points[:, :2].max(axis=0)
        x, y, width, height = (float(v) for v in (*low, *(high - low)))
        return x, y, width, height

    @property
    def centre(self) -> tuple[float, float]:
        """Of the box."""
        x, y, width, height = self.box
        return x + width / 2, y + height / 2

    @property
    def height(self) -> float:
        """Of the box."""
        return self.box[3]

    @property
    def roll(self) -> float:
        """By how much the line of the eyes is turned, degrees clockwise."""
        left, right = OUTER_EYE_CORNERS
        dx, dy = self.points[right, :2] - self.points[left, :2]
        return math.degrees(math.atan2(dy, dx))


NOWHERE = 10.0  # all points of a mesh that is not known: far outside the picture


def is_known(mesh: Tensor) -> Tensor:
    """Which meshes of a batch (B, n, 2 or 3) are known: (B,)."""
    return (mesh[..., :2].abs() < NOWHERE / 2).flatten(1).any(1)


def head_points(mesh: Tensor) -> Tensor:
    """The points of a head that keypoints are taught to be, (B, 15, 2), of meshes (B, 478, 2+)."""
    import torch

    return torch.stack([mesh[:, list(group), :2].mean(1) for group in HEAD_GROUPS], dim=1)


def iris_places(mesh: Tensor) -> Tensor:
    """Where irises of meshes (B, 478, 2+) lie between the corners of their eyes: (B, 2).

    0 is the left corner, 1 the right.
    """
    import torch

    places = []
    for iris, left, right in IRISES:
        axis = mesh[:, right, :2] - mesh[:, left, :2]
        offset = mesh[:, iris, :2] - mesh[:, left, :2]
        places.append((offset * axis).sum(-1) / axis.square().sum(-1).clamp(min=1e-12))
    return torch.stack(places, dim=1)


@dataclass(frozen=True)
class Keypoints:
    """Where a face's parts are, and how each neighbourhood is tilted.

    value:    (B, K, 2), x then y, -1 and 1 at the centres of the border pixels.
    jacobian: (B, K, 2, 2), or None for families that do not estimate it.
    mesh:     (B, 478, 2 or 3), a face mesh (MediaPipe's numbering) in the same units, all points at
              `NOWHERE` where none is known; None where nobody looked for one.
    """

    value: Tensor
    jacobian: Tensor | None = None
    mesh: Tensor | None = None

    def __len__(self) -> int:
        return self.value.shape[0]

    def __getitem__(self, items: slice) -> Keypoints:
        """A part of the batch."""
        return self.map(lambda tensor: tensor[items])

    def map(self, change: Callable[[Tensor], Tensor]) -> Keypoints:
        """Apply one function to the value and, where there are some, to jacobian and mesh."""
        return Keypoints(
            change(self.value),
            None if self.jacobian is None else change(self.jacobian),
            None if self.mesh is None else change(self.mesh),
        )

    def expand(self, batch: int) -> Keypoints:
        """Repeat a batch of one, without copying."""
        return self.map(lambda tensor: tensor.expand(batch, *tensor.shape[1:]))


@dataclass(frozen=True)
class Strengths:
    """How much of the driver's motion is drawn, by parts: 0 none, 1 as it is, 2 twice."""

    mouth: float = 1.0
    eyes: float = 1.0
    head: float = 1.0
    gaze: float = 1.0

    @property
    def changed(self) -> list[str]:
        """The parts whose motion is not drawn as it is."""
        return [part.name for part in fields(self) if getattr(self, part.name) != 1]


PLAIN = Strengths()


@dataclass(frozen=True)
class DenseMotion:
    """Where every pixel of the result comes from, at the motion grid's size.

    deformation: (B, h, w, 2) in [-1, 1]; points backwards: for an output pixel, where to look in
                 the source.
    occlusion:   one (B, 1, h', w') in [0, 1] per map that the family predicts; 1 keeps, 0 repaints.
    mask:        (B, K + 1, h, w), softmax weights of the candidate motions, background first.
    heatmap:     (B, K, h, w), Gaussians of the driving keypoints.
    """

    deformation: Tensor
    occlusion: tuple[Tensor, ...]
    mask: Tensor
    heatmap: Tensor


@dataclass(frozen=True)
class SourceState:
    """Everything that depends on the source alone, computed once per source.

    keypoints: of the source.
    image:     (B, 3, H, W) in the model's own value range.
    small:     (B, 3, h, w), the anti-aliased image at the motion grid's size.
    features:  encoder maps, coarse to fine.
    sharpness: (B,) from 0 to 1, how far a model that shows the warped source prefers it to what it
               draws itself; None: as it was trained, which is 0.
    """

    keypoints: Keypoints
    image: Tensor
    small: Tensor
    features: tuple[Tensor, ...]
    sharpness: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> SourceState:
        """Apply one function to every tensor."""
        return SourceState(
            self.keypoints.map(change),
            change(self.image),
            change(self.small),
            tuple(change(feature) for feature in self.features),
            None if self.sharpness is None else change(self.sharpness),
        )

    def expand(self, batch: int) -> SourceState:
        """Repeat the state of one source for a batch of driving frames, without copying."""
        return self.map(lambda tensor: tensor.expand(batch, *tensor.shape[1:]))


@dataclass(frozen=True)
class RenderParts:
    """A picture at the model's size S, and how it came from the source: float32.

    image:     (B, 3, S, S) in [0, 1].
    flow:      (B, 2, S, S), x then y: how many pixels away from each pixel to look in the source.
    kept:      (B, 1, S, S) in [0, 1], the share of the warped source itself in each pixel; zero
               where a model does not blend.
    occlusion: (B, 1, S, S) in [0, 1]; 1 where the warped source is to be trusted.
    """

    image: Tensor
    flow: Tensor
    kept: Tensor
    occlusion: Tensor

    def __len__(self) -> int:
        return self.image.shape[0]

    def __getitem__(self, items: slice) -> RenderParts:
        """A part of the batch."""
        return map_tensors(self, lambda tensor: tensor[items])

    def split(self, size: int) -> Iterator[RenderParts]:
        """The batch in pieces of at most `size`."""
        return (self[start : start + size] for start in range(0, len(self), size))


@dataclass(frozen=True)
class Quantized:
    """What a codebook makes of a set of vectors.

    vectors: like the input, each replaced by its nearest code (straight-through gradient).
    indices: (B, T), which code.
    loss:    scalar, code loss plus weighted commitment loss.
    """

    vectors: Tensor
    indices: Tensor
    loss: Tensor


@dataclass(frozen=True)
class ScaleStep:
    """What the codebook model does at one scale of S x S features.

    motion:      (B, h, w, 2), deformation after this scale's compensation.
    residual:    (B, h, w, 2), what was added to it; None where motion is not compensated.
    embedding:   (B, T, D), encoded flow that entered (what is quantised in training), or None.
    occlusion:   (B, 1, h, w) in [0, 1].
    warped:      (B, C, S, S), source feature, warped and occluded.
    compensated: (B, C, S, S), the same after appearance compensation (`warped` itself if none).
    eyes:        (B, 2, h, w) in [0, 1], where open eyes are shown as they are bent, and where shut
                 ones are left to the decoder; None: nowhere.
    """

    motion: Tensor
    residual: Tensor | None
    embedding: Tensor | None
    occlusion: Tensor
    warped: Tensor
    compensated: Tensor
    eyes: Tensor | None = None


@dataclass(frozen=True)
class TrainOutputs:
    """What a training step is judged by.

    image:         (B, 3, H, W) in [0, 1] nominally, not clamped.
    coarse_image:  the auxiliary image from the coarsest feature alone, or None.
    warped_source: (B, 3, H, W), the source image under the final deformation.
    source, driving: keypoints of both images.
    dense:         the dense motion, before any compensation.
    motion:        (B, h, w, 2), the final deformation.
    losses:        the family's own scalar losses by name, unweighted.
    own_image:     what the decoder drew itself, where the image also shows the warped source.
    """

    image: Tensor
    coarse_image: Tensor | None
    warped_source: Tensor
    source: Keypoints
    driving: Keypoints
    dense: DenseMotion
    motion: Tensor
    losses: dict[str, Tensor]
    own_image: Tensor | None = None
