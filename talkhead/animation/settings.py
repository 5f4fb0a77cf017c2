"""The settings of a render."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from talkhead.choices import USUAL_RATE, Detector, Layout, MotionMode
from talkhead.errors import TalkheadError
from talkhead.options import (
    FACE,
    MOTION,
    PICTURE,
    VIDEO,
    Count,
    Index,
    Option,
    Options,
    Seconds,
    Share,
    Side,
    Strength,
)
from talkhead.schema import Range

if TYPE_CHECKING:
    from talkhead.structs import Crop, Strengths


@dataclass(frozen=True)
class RenderSettings(Options):
    """Everything that shapes a result besides its inputs and the weights.

    Raises TalkheadError for values beyond their bounds, and for those that contradict each other.
    """

    motion: Annotated[
        MotionMode,
        Option(
            "relative: add the driver's movement to the source's own pose. absolute: take over the "
            "driver's pose. avd: the driver's pose by TPSMM's own network.",
            MOTION,
        ),
    ] = "relative"
    adapt_scale: Annotated[
        bool, Option("Scale relative motion by the sizes of both faces.", MOTION)
    ] = True
    anchor: Annotated[
        str,
        Option(
            "Driving frame from which relative motion is measured: auto (closest to the source in "
            "pose and expression), first, or a number from 0.",
            MOTION,
        ),
    ] = "auto"
    mouth: Annotated[
        Strength, Option("How much of the mouth's motion is drawn: 0 none, 2 twice.", MOTION)
    ] = 1.0
    eyes: Annotated[Strength, Option("The same for eyelids and brows.", MOTION)] = 1.0
    head: Annotated[Strength, Option("The same for the head's own motion.", MOTION)] = 1.0
    gaze: Annotated[
        Strength, Option("The same for the irises (weights that see a face mesh).", MOTION)
    ] = 1.0
    smooth: Annotated[Share, Option("Steady the motion over time, 0 (off) to 1.", MOTION)] = 0.0
    crop_source: Annotated[
        str,
        Option("Crop of the source: auto (around the face), none (centre square), x,y,size.", FACE),
    ] = "auto"
    crop_driving: Annotated[str, Option("The same for the driving video.", FACE)] = "auto"
    face: Annotated[
        Count | None, Option("Face of the source, from the left from 1. Default: largest.", FACE)
    ] = None
    driving_face: Annotated[Count | None, Option("The same for the driving video.", FACE)] = None
    detector: Annotated[
        Detector, Option("Face detector. auto: the best one that works offline.", FACE)
    ] = "auto"
    layout: Annotated[
        Layout,
        Option(
            "What a frame shows. side-by-side: source, driver, result. grid: driver, results.",
            PICTURE,
        ),
    ] = "result"
    paste_back: Annotated[bool, Option("Put the face back into the whole photo.", PICTURE)] = False
    size: Annotated[
        Side | Literal["auto"],
        Option(
            "Side of the result in pixels, 16 to 4096, made even. auto: that of the source's crop, "
            "at most 512, at least the model's own.",
            PICTURE,
        ),
    ] = "auto"
    sharpness: Annotated[
        Share,
        Option(
            "Prefer the photo's own pixels where the model is unsure: 1 sharp, 0 smooth, as "
            "trained.",
            PICTURE,
        ),
    ] = 1.0
    max_side: Annotated[
        Side, Option("Longest side of a photo with --paste-back; larger ones shrink.", PICTURE)
    ] = 1920
    start: Annotated[Seconds | None, Option("Start at this second.", VIDEO)] = None
    end: Annotated[Seconds | None, Option("Stop at this second.", VIDEO)] = None
    frames: Annotated[Count | None, Option("Maximum number of frames.", VIDEO)] = None
    rate: Annotated[
        Annotated[float, Range(0.01, 1000)],
        Option("Frames per second of an image sequence or of --raw.", VIDEO),
    ] = float(USUAL_RATE)
    sound: Annotated[bool, Option("Keep the driver's sound.", VIDEO)] = True
    track: Annotated[
        Index | None, Option("Sound track, from 0. Default: the one marked as default.", VIDEO)
    ] = None
    video_track: Annotated[
        Index | None, Option("Video track, from 0. Default: the one marked as default.", VIDEO)
    ] = None
    codec: Annotated[
        str | None, Option("h264, hevc, vp9, av1, prores or ffv1. Default: by container.", VIDEO)
    ] = None
    crf: Annotated[
        int | None, Option("Quality on the codec's own scale; lower is better.", VIDEO)
    ] = None
    preset: Annotated[
        str | None, Option("The encoder's own name for its speed.", VIDEO, ("--encoder-preset",))
    ] = None
    hardware: Annotated[
        bool, Option("Decode and encode on an NVIDIA GPU (NVDEC, NVENC).", VIDEO)
    ] = False

    @property
    def driving_policy(self) -> Crop | Literal["auto", "none"]:
        """How driving frames are cropped; without a detector nobody is followed."""
        from talkhead.faces.crop import parse_crop  # waits: help texts need no images

        crop = parse_crop(self.crop_driving)
        return "none" if crop == "auto" and self.detector == "centre" else crop

    @property
    def strengths(self) -> Strengths:
        """How much of each part's motion is drawn."""
        from talkhead.structs import Strengths  # waits: help texts need no arrays

        return Strengths(self.mouth, self.eyes, self.head, self.gaze)

    def only(self, *names: str) -> RenderSettings:
        """Those of these names, all others as they are by default."""
        return RenderSettings(**{name: getattr(self, name) for name in names})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.anchor not in ("auto", "first") and not self.anchor.isdecimal():
            raise TalkheadError(
                f"the anchor is auto, first or a frame number from 0, not {self.anchor!r}"
            )
        if self.paste_back and self.layout != "result":
            raise TalkheadError("a result that is pasted back has no layout; choose one of both")
        if self.paste_back and self.size != "auto":
            raise TalkheadError(
                "a result that is pasted back has the photo's size; limit it with --max-side "
                "instead of --size"
            )
        if self.max_side != RenderSettings.max_side and not self.paste_back:
            raise TalkheadError(
                "--max-side limits a photo that the face is pasted back into; add --paste-back, or "
                "choose the result's size by --size"
            )
        if self.motion != "relative" and self.anchor != "auto":
            raise TalkheadError(
                f"{self.motion} motion is not measured from an anchor; leave it out"
            )
        if self.motion == "avd" and self.strengths.changed:
            raise TalkheadError(
                "avd motion is taken over whole; leave out --mouth, --eyes, --head and --gaze"
            )
        if self.track is not None and not self.sound:
            raise TalkheadError(f"no sound is kept, so there is no track {self.track} to choose")
        from talkhead.faces.crop import parse_crop  # waits: help texts need no images

        for name in ("crop_source", "crop_driving"):
            parse_crop(getattr(self, name))
