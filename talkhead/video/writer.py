"""Writing: frames are encoded once, kept on disk in pieces, joined with the sound at the end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from talkhead.choices import USUAL_RATE
from talkhead.errors import TalkheadError
from talkhead.interrupts import held_off
from talkhead.io.atomic import check_file
from talkhead.video.assemble import assemble, publish_result
from talkhead.video.formats import Encoding, container_for
from talkhead.video.marking import SYNTHETIC
from talkhead.video.numbered import check_pictures, end_of_link, home
from talkhead.video.pictures import pattern_to_write
from talkhead.video.pixels import RgbToFrame
from talkhead.video.segment import CodedFrame, Segment
from talkhead.video.sound import Sound
from talkhead.video.workspace import Workspace, explained

log = logging.getLogger(__name__)


class VideoWriter:
    """Encode frames at exact times and add the driving sound; resumes what was interrupted.

    Use as a context manager: leaving it finishes the file. The output appears whole, at the end;
    until then the encoded frames lie in a hidden folder beside it. When an exception passes
    through, or the process is killed, that folder stays, and a writer opened with the same
    arguments starts with `frames_done` frames that need not be written again.

    path:      .mp4, .mov, .mkv, .webm, .gif; no ending (a folder of PNGs) or `frames_%05d.png`. Of
               a symbolic link the end is written.
    time_base: seconds per unit of the frames' pts, normally that of the driving video. mp4 and mov
               keep every time exactly; mkv and webm round to 1 ms, gif to 1/100 s (at most 50
               frames per second: closer ones are left out); pictures have no times.
    rate:      average frames per second, a hint for the encoder and the header.
    codec:     h264, hevc, vp9, av1, prores or ffv1; None: the container's first choice.
    crf:       quality where the codec has it, lower is better; None: about visually lossless.
    preset:    the encoder's own name or number for its speed.
    hardware:  encode with an NVIDIA GPU, or raise TalkheadError.
    sound:     the media file whose sound is added; None or a file without sound: silent.
    track:     which of its sound tracks, from 0.
    trim:      the frames are a cut-out: the result starts at time 0 and the sound is cut to the
               pictures. Otherwise times stay as given and the whole sound is added.
    metadata:  tags for the container, added to those that mark the file as synthetic.
    state:     whatever else the frames depend on (a hash of all settings): compared on resuming.
    overwrite: replace `path` where it exists at the end; of pictures only those made here.

    Raises TalkheadError for an output that exists (also one that appears meanwhile), an unknown
    ending or codec, settings that the encoder refuses, a sound track that does not exist, a full
    disk.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        time_base: Fraction,
        rate: Fraction | None = None,
        codec: str | None = None,
        crf: int | None = None,
        preset: str | None = None,
        sound: str | Path | None = None,
        track: int | None = None,
        trim: bool = False,
        metadata: Mapping[str, str] | None = None,
        state: Mapping[str, str] | None = None,
        segment_frames: int = 250,
        hardware: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.path = end_of_link(Path(path))
        self._overwrite = overwrite
        self._encoding = Encoding.choose(
            self.path, time_base, rate or Fraction(USUAL_RATE), codec, crf, preset, hardware
        )
        check_free(self.path, overwrite)
        self._sound = None if sound is None else Sound.find(Path(sound), track)
        if self._sound is not None and not container_for(self.path).sound_codec:
            log.warning("%s carries no sound; the result is silent", self.path)
            self._sound = None
        self._trim = trim
        self._metadata = {**SYNTHETIC, **(metadata or {})}
        settings = {"encoding": self._encoding, "av": av.__version__, "state": dict(state or {})}
        self._workspace = Workspace(home(self.path), settings)
        self._segment_frames = segment_frames
        self._printer = RgbToFrame(self._encoding.codec.pixel_format)
        self._encoder: VideoCodecContext | None = None
        self._segment: Segment | None = None
        self._in_segment = 0
        self._finished = False
        self._frame_size: tuple[int, ...] | None = None
        self._last_pts = self._workspace.timing().last if self.frames_done else None

    @property
    def frames_done(self) -> int:
        """Frames safely on disk; on a writer just opened, those that an earlier run left."""
        return self._workspace.frames_done

    @property
    def sound_track(self) -> int | None:
        """Which sound track is added, from 0; None for a silent result."""
        return None if self._sound is None else self._sound.track

    def write(self, rgb: np.ndarray, pts: int) -> None:
        """Add one picture, uint8 (H, W, 3), shown at `pts`, which must be later than the last.

        All pictures have the size of the first. For codecs that halve the chroma an odd width or
        height grows by one repeated column or row.
        """
        if self._last_pts is not None and pts <= self._last_pts:
            raise ValueError(f"pts {pts} does not come after {self._last_pts}")
        self._check_size(rgb)
        with held_off(), explained(self.path, self.frames_done):
            segment = self._segment or self._begin_segment(rgb)
            try:
                self._encode(self._printer.frame(rgb, pts, self._encoding.time_base))
            except BaseException:
                # Half a frame may be in it: only what is complete may be gone on from.
                self._segment = None
                segment.drop()
                raise
            self._last_pts = pts
            self._in_segment += 1
            if self._in_segment == self._segment_frames:
                self._end_segment()

    def _begin_segment(self, rgb: np.ndarray) -> Segment:
        size = self._printer.size(rgb.shape[1], rgb.shape[0])
        self._encoder = self._encoding.encoder(*size)
        self._segment = self._workspace.begin(size)
        self._in_segment = 0
        return self._segment

    def _check_size(self, rgb: np.ndarray) -> None:
        if self._frame_size is None:
            height, width = rgb.shape[:2]
            coded = self._printer.size(width, height)
            if coded != (width, height):
                log.warning(
                    "%dx%d is odd; the video is made %dx%d by repeating the border",
                    width,
                    height,
                    *coded,
                )
            if self._workspace.size not in (None, coded):
                raise TalkheadError(
                    f"the unfinished render of {self.path} has frames of another size; delete "
                    f"{self._workspace.folder} to start anew"
                )
            self._frame_size = rgb.shape
        if rgb.shape != self._frame_size:
            raise ValueError(f"frame of shape {rgb.shape} after frames of {self._frame_size}")

    def _encode(self, frame: av.VideoFrame | None) -> None:
        assert self._encoder is not None
        assert self._segment is not None
        try:
            packets = self._encoder.encode(frame)
        except av.FFmpegError as error:
            options = ", ".join(f"{name} {value}" for name, value in self._encoding.options)
            raise TalkheadError(
                f"the encoder {self._encoding.codec.encoder} refuses to go on ({error.strerror}); "
                f"check codec, size and settings ({options})"
            ) from error
        self._segment.add(map(_coded, packets))

    def _end_segment(self) -> None:
        """Flush the encoder and put the segment safely on disk."""
        if self._segment is None:
            return
        segment = self._segment
        try:
            self._encode(None)
            self._workspace.keep(segment)
        except BaseException:
            segment.drop()
            raise
        finally:
            self._segment = self._encoder = None

    def cut_sound(self) -> None:
        """The frames are all there will be: the result starts at 0, its sound ends with them."""
        self._trim = True

    def finish(self) -> None:
        """Join everything into the output file, which appears now; remove the working folder."""
        if self._finished:
            return
        with held_off(), explained(self.path, self.frames_done):
            self._end_segment()
        with explained(self.path, self.frames_done):
            assemble(
                self._workspace,
                self.path,
                self._encoding,
                self._sound,
                trim=self._trim,
                metadata=self._metadata,
            )
        with held_off(), explained(self.path, self.frames_done):
            publish_result(self._workspace, self.path, self._overwrite)
            self._finished = True
            self._workspace.remove()

    def abandon(self) -> None:
        """Stop: keep what a later run can go on from, leave nothing else behind."""
        if self._finished:
            self._workspace.release()
            return
        with held_off():
            try:
                with explained(self.path, self.frames_done):
                    self._end_segment()
            except TalkheadError as error:
                log.debug("the last segment is lost: %s", error)
            if self.frames_done == 0:
                self._workspace.remove()
                return
            self._workspace.release()
        log.warning(
            "%d frames are kept in %s: the same command goes on from there",
            self.frames_done,
            self._workspace.folder,
        )

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.abandon()
            return
        try:
            self.finish()
        except BaseException:
            self.abandon()
            raise


def check_free(path: Path, overwrite: bool) -> None:
    """Raise TalkheadError where an output cannot, or should not, be written to its place."""
    if pattern := pattern_to_write(path):
        folder = pattern.parent
        if folder.exists() and not folder.is_dir():
            raise TalkheadError(f"{folder} is a file; numbered pictures need a folder")
        check_pictures(pattern, overwrite)
    else:
        check_file(path, (), overwrite)


def _coded(packet: Packet) -> CodedFrame:
    if packet.pts is None:
        raise TalkheadError("the encoder returned a frame without a time; choose another codec")
    return CodedFrame(packet.pts, packet.is_keyframe, bytes(packet))
