"""Configurations of what models are made of. Sizes are in pixels unless said otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from talkhead.errors import TalkheadError
from talkhead.schema import Range
from talkhead.topology import HEAD_GROUPS

HEAD_POINTS = len(HEAD_GROUPS)  # of a head, as many as `motion.head_pose.POINTS` has

# What a description from outside may ask for: well beyond every model that is known, and still
# built in a second. Which of them fit each other is said by `models.sizes`.
ImageSize = Annotated[int, Range(16, 2048)]
MotionSize = Annotated[int, Range(4, 256)]
Width = Annotated[int, Range(1, 4096)]
Widths = Annotated[tuple[Width, ...], Range(2, 8)]
Depth = Annotated[int, Range(0, 64)]
Halvings = Annotated[int, Range(1, 8)]
NumCodes = Annotated[int, Range(1, 65536)]
_Scale = Annotated[int, Range(0, 7)]
_Keypoint = Annotated[int, Range(0, 127)]
Scales = Annotated[tuple[_Scale, ...], Range(0, 8)]
Positive = Annotated[float, Range(1e-6, 1e6)]
Weight = Annotated[float, Range(0, 1e6)]


@dataclass(frozen=True)
class KeypointConfig:
    """Keypoint detector (FOMM section 3.1; sizes of the VoxCeleb 256 releases).

    landmarks: the first keypoints are points of a head, those of `motion.head_pose.POINTS`. Not so
        as published; training with landmark files to the end makes it so.
    tracked: which of them, in driving pictures, follow the optical flow from a reference picture of
        the same person, see `models.tracking`. As published, none.
    """

    num_keypoints: Annotated[int, Range(1, 128)] = 15
    input_size: MotionSize = 64
    base_channels: Width = 32
    max_channels: Width = 1024
    num_blocks: Halvings = 5
    temperature: Positive = 0.1
    landmarks: bool = False
    tracked: Annotated[tuple[_Keypoint, ...], Range(0, 128)] = ()

    def __post_init__(self) -> None:
        if self.landmarks and self.num_keypoints < HEAD_POINTS:
            raise TalkheadError(
                f"{self.num_keypoints} keypoints cannot be the {HEAD_POINTS} landmarks of a head"
            )


@dataclass(frozen=True)
class DenseMotionConfig:
    """Dense motion estimator (FOMM section 3.2; sizes of the VoxCeleb 256 releases).

    prior_sigmas: per keypoint, the radius (in grid units) within which its motion is preferred
        before anything is learned; None, as published, starts from no preference. A help for
        learning from little data.
    prior_background: log-weight of the background motion under that prior.
    """

    size: MotionSize = 64
    base_channels: Width = 64
    max_channels: Width = 1024
    num_blocks: Halvings = 5
    prior_sigmas: tuple[Positive, ...] | None = None
    prior_background: Annotated[float, Range(-1e6, 1e6)] = -3.0


@dataclass(frozen=True)
class MotionCodebookConfig:
    """Motion codebook and its compensation (release: 1024 codes of 32, two layers, 8 heads).

    scales: which scales are compensated, 0 the coarsest. Empty: no motion codebook at all.
    residual_channels: width of the head that turns tokens into residual flow and occlusion.
    """

    scales: Scales = (0, 1, 2, 3)
    num_codes: NumCodes = 1024
    dim: Width = 32
    num_layers: Depth = 2
    num_heads: Width = 8
    residual_channels: Annotated[int, Range(4, 4096)] = 128


@dataclass(frozen=True)
class AppearanceCodebookConfig:
    """Appearance codebook and its compensation (release: 1024 codes of 256, two layers, 8 heads).

    scales: which scales are compensated, 0 the coarsest. Empty: no appearance codebook at all.
    residual: add the compensation to the warped feature instead of replacing it. Off as
        published; a help for small models, whose patch embedding is too narrow for fine detail.
    """

    scales: Scales = (0, 1, 2, 3)
    num_codes: NumCodes = 1024
    dim: Width = 256
    num_layers: Depth = 2
    num_heads: Width = 8
    residual: bool = False


@dataclass(frozen=True)
class MeshConfig:
    """What a model makes of a face mesh of source and driving picture, where one is known.

    keypoints: the first are read from it, not from the detector. motion: its own motion is one
    more candidate of the dense motion. maps: the decoder sees where face, mouth, eyes and irises
    are to be. refine: around lips, lids and irises the final deformation is the mesh's own, exact
    where lids and lips meet, at the size of the finest features. mouth: a network of its own draws
    the inside of the mouth.
    """

    keypoints: bool = True
    motion: bool = True
    maps: bool = True
    refine: bool = False
    mouth: bool = False


@dataclass(frozen=True)
class MemoryConfig:
    """MCNet's facial memory and how it compensates features (sizes of the release).

    channels, size: the memory bank is (channels, size, size), shared by all scales.
    scales:    which warped features are compensated, 0 the coarsest. The release leaves out the
               finest of four.
    identity:  condition the bank on the implicit identity representation (IICM).
    split:     compensate the odd channels only and pass the even ones.
    noise:     fresh noise in every conditioning, at inference too, as the release's demo has it.
               Without it frames are repeatable; training always has noise.
    """

    channels: Width = 512
    size: Annotated[int, Range(1, 256)] = 32
    scales: Annotated[tuple[_Scale, ...], Range(1, 8)] = (0, 1, 2)
    identity: bool = True
    split: bool = True
    noise: bool = False
