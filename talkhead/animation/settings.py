"""The settings of a render."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from talkhead.animation.layout import Layout
from talkhead.errors import TalkheadError
from talkhead.faces.alignment import Detector
from talkhead.faces.crop import parse_crop
from talkhead.motion.transfer import TransferMode
from talkhead.structs import Crop

MotionMode = TransferMode | Literal["avd"]
CHOICES = {
    "motion": (*get_args(TransferMode), "avd"),
    "detector": get_args(Detector),
    "layout": get_args(Layout),
}


@dataclass(frozen=True)
class RenderSettings:
    """Everything that shapes a result besides its inputs and the weights.

    motion:       "relative" adds the driver's movement since the anchor to the source's own pose;
                  "absolute" takes over the driver's pose and place; "avd" puts the driver's pose
                  on the source's face by a network that only TPSMM weights may hold.
    adapt_scale:  relative motion is scaled by the sizes of both faces.
    anchor:       the driving frame that relative motion is measured from: "auto" is the one
                  closest in pose to the source, "first", or a number from 0.
    smooth:       0 to 1, steadies the keypoints over time.
    crop_source, crop_driving: "auto" follows the face, "none" takes the centred square, or
                  "x,y,size" in pixels.
    face, driving_face: which face, counted from the left from 1; None: the largest.
    detector:     what finds faces: "auto", the bundled networks; "yunet", "sfd", "blazeface", those
                  of face-alignment, where their weights lie on disk; "centre", nothing: the centred
                  square.
    layout:       what a frame shows; see `layout.arrange`.
    paste_back:   put the moving face back into the whole source photo.
    size:         side of the result (of each cell) in pixels; None: the model's own.
    start, end:   seconds of the driving video; frames: at most so many.
    rate:         frames per second of a driving sequence of pictures.
    sound:        keep the driver's sound; track: which one, from 0; None: the default one.
    video_track:  which of the driver's video tracks, from 0; None: the default one.
    codec, crf, preset: of the output video; None: good defaults for the container.
    hardware:     decode and encode with an NVIDIA GPU (NVDEC, NVENC), or raise TalkheadError.
    """

    motion: MotionMode = "relative"
    adapt_scale: bool = True
    anchor: str = "auto"
    smooth: float = 0.0
    crop_source: str = "auto"
    crop_driving: str = "auto"
    face: int | None = None
    driving_face: int | None = None
    detector: Detector = "auto"
    layout: Layout = "result"
    paste_back: bool = False
    size: int | None = None
    start: float | None = None
    end: float | None = None
    frames: int | None = None
    rate: float = 25.0
    sound: bool = True
    track: int | None = None
    video_track: int | None = None
    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    hardware: bool = False

    @property
    def driving_policy(self) -> Crop | Literal["auto", "none"]:
        """How driving frames are cropped; without a detector nobody is followed."""
        crop = parse_crop(self.crop_driving)
        return "none" if crop == "auto" and self.detector == "centre" else crop

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise TalkheadError(
                    f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}"
                )
        if not 0 <= self.smooth <= 1:
            raise TalkheadError(f"smooth lies between 0 and 1, not {self.smooth:g}")
        counted = {"face": 1, "driving_face": 1, "frames": 1, "track": 0, "video_track": 0}
        for name, least in counted.items():
            number = getattr(self, name)
            if number is not None and number < least:
                raise TalkheadError(f"{name} is counted from {least}, not {number}")
        if self.anchor not in ("auto", "first") and not self.anchor.isdecimal():
            raise TalkheadError(
                f"the anchor is auto, first or a frame number from 0, not {self.anchor!r}"
            )
        if self.size is not None and not 16 <= self.size <= 4096:
            raise TalkheadError(f"the size must lie between 16 and 4096 pixels, not {self.size}")
        if self.paste_back and self.layout != "result":
            raise TalkheadError("a result that is pasted back has no layout; choose one of both")
        if self.paste_back and self.size is not None:
            raise TalkheadError("a result that is pasted back is as large as the photo: no size")
        if self.motion != "relative" and self.anchor != "auto":
            raise TalkheadError(
                f"{self.motion} motion is not measured from an anchor; leave it out"
            )
        if self.track is not None and not self.sound:
            raise TalkheadError(f"no sound is kept, so there is no track {self.track} to choose")
        for name in ("crop_source", "crop_driving"):
            parse_crop(getattr(self, name))
