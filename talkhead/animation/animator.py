"""Render a portrait with a driving video: read, crop, batch, model, write, in flat memory."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from talkhead.animation.driving import (
    MotionSource,
    TemplateMotion,
    VideoMotion,
    batches,
    find_anchor,
    motion_settings,
)
from talkhead.animation.fingerprint import fingerprint
from talkhead.animation.paths import check_output, stamps
from talkhead.animation.portrait import Portrait
from talkhead.animation.renderer import FrameRenderer, RenderedFrame
from talkhead.animation.resolution import load_sources
from talkhead.animation.settings import RenderSettings
from talkhead.animation.threads import BackgroundWriter
from talkhead.choices import Precision, TransferMode
from talkhead.errors import Stopped, TalkheadError
from talkhead.faces.alignment import make_finder
from talkhead.inference.engine import Engine
from talkhead.io.atomic import is_same
from talkhead.motion.template import MotionTemplate, read_driving, save_motion
from talkhead.progress import Progress, progress_callback
from talkhead.structs import PLAIN, Keypoints, Strengths
from talkhead.video import VideoWriter

QUEUE_FRAMES = 16  # how many drawn frames may wait for the encoder, or else two batches


@dataclass(frozen=True)
class RenderReport:
    """What came out of a render.

    frames:   in the file; resumed: of these, left by an interrupted run.
    seconds:  of work, without loading weights; anchor: the driving frame measured from, if any.
    video_track, sound_track: which of the driver's tracks were taken, from 0; None: it has none.
    detector: what found the source's face; lost, cuts: how often the driving face was lost and
              how often its crop jumped.
    stopped:  whether the progress callback ended it early, by raising `Stopped`.
    """

    output: str
    frames: int
    resumed: int
    seconds: float
    anchor: int | None
    detector: str
    lost: int
    cuts: int
    video_track: int | None = None
    sound_track: int | None = None
    stopped: bool = False

    @property
    def frames_per_second(self) -> float:
        """Drawn in this run, per second of work."""
        return (self.frames - self.resumed) / self.seconds if self.seconds else 0.0


class Animator:
    """Animates portraits with one set of weights; loads them once for any number of renders."""

    def __init__(self, engine: Engine, progress: Progress | None = None) -> None:
        self.engine = engine
        self._progress = progress
        self._drivers: dict[Hashable, VideoMotion] = {}
        # Kept from one render to the next, with their networks.
        self._finder = cache(partial(make_finder, device=str(engine.device)))

    def __call__(
        self,
        source: str | Path | Sequence[str | Path],
        driving: str | Path | MotionTemplate,
        output: str | Path,
        settings: RenderSettings | None = None,
        *,
        sound: Path | None = None,
        motion_out: Path | None = None,
        overwrite: bool = False,
    ) -> RenderReport:
        """Render one output file; several sources share it in the layout `grid`.

        driving:    a video, a sequence of pictures, or recorded motion (then without sound,
                    unless `sound` names a media file).
        motion_out: also write the driver's motion there, for later use in place of the video.
        overwrite:  replace `output` and `motion_out` where they exist.

        Raises TalkheadError for anything that a person can mend: files, faces, settings, disk;
        `Stopped` when the progress callback raised it before the first frame was drawn.
        """
        settings = settings or RenderSettings()
        several = [source] if isinstance(source, str | Path) else source
        paths, output = [Path(each) for each in several], Path(output)
        driving = Path(driving) if isinstance(driving, str) else driving
        self._check_outputs(output, motion_out, [*paths, driving], overwrite)
        started = time.perf_counter()
        finder = self._finder(settings.detector)
        sources, settled = load_sources(paths, self.engine, settings, finder)
        self.engine.size_batches(sources[0].encoded)
        driver = self._driver(driving, settings, sources[0].encoded.keypoints)
        if sound is None and isinstance(driving, Path) and settings.sound and driving.is_file():
            sound = driving
        video = driver if isinstance(driver, VideoMotion) else None
        trim = video is not None and video.reader.trimmed
        work = fingerprint(self.engine, paths, driving, settled)
        with _writer(output, driver, settings, sound, trim, work, overwrite) as writer:
            resumed = writer.frames_done
            known = self.engine.has_landmarks
            found = [find_anchor(driver, s.encoded.keypoints, settings, known) for s in sources]
            numbers, anchors = zip(*found, strict=True)
            frames, stopped = self._render(sources, driver, anchors, writer, settled)
            if stopped:
                writer.cut_sound()
        if motion_out is not None and not stopped:
            save_motion(motion_out, self._recorded(driver, driving, trim), overwrite)
        return RenderReport(
            output=str(output),
            frames=frames,
            resumed=resumed,
            seconds=time.perf_counter() - started,
            anchor=numbers[0],
            detector=sources[0].detector,
            lost=video.framer.lost if video else 0,
            cuts=video.framer.cuts if video else 0,
            video_track=video.reader.info.track if video else None,
            sound_track=writer.sound_track,
            stopped=stopped,
        )

    def _check_outputs(
        self,
        output: Path,
        motion_out: Path | None,
        inputs: Sequence[Path | MotionTemplate],
        overwrite: bool,
    ) -> None:
        """Refuse to replace what is read, what is there unless told to, or one by the other."""
        read = [*inputs, *([self.engine.path] if self.engine.path else [])]
        check_output(output, read, overwrite)
        if motion_out is not None:
            check_output(motion_out, read, overwrite)
            if is_same(motion_out, output):
                raise TalkheadError(f"{output} is also where the motion goes; rename one of them")

    def _render(
        self,
        sources: Sequence[Portrait],
        driver: MotionSource,
        anchors: Sequence[Keypoints | None],
        writer: VideoWriter,
        settings: RenderSettings,
    ) -> tuple[int, bool]:
        """Draw and write every frame that is not there yet.

        Returns how many there are in all, and whether this ended early.
        """
        skip, count = writer.frames_done, 0
        depth = max(QUEUE_FRAMES, 2 * self.engine.batch_size)
        renderer = FrameRenderer(self.engine, sources, anchors, settings, driver.time_base)

        def write(frame: RenderedFrame) -> None:
            writer.write(renderer.compose(frame), frame.pts)

        with BackgroundWriter(write, depth) as behind:
            for batch in driver.batches(pictures=settings.layout != "result"):
                for frame in renderer.draw(batch, max(skip - count, 0)):
                    behind.put(frame)
                count += len(batch.pts)
                try:
                    if self._progress is not None:
                        self._progress("rendering", count, driver.expected())
                except Stopped:
                    return max(count, skip), True
        return count, False

    def _driver(
        self, driving: Path | MotionTemplate, settings: RenderSettings, source: Keypoints
    ) -> MotionSource:
        """Kept from one render to the next, so that a driver's motion is found only once."""
        if isinstance(driving, MotionTemplate):
            if driving.weights != self.engine.weights:
                raise TalkheadError(
                    "this motion was recorded with other weights, whose keypoints mean something "
                    "else; record it again with --motion-out"
                )
            driving.check_like(source)
            return TemplateMotion(driving, self.engine.batch_size, settings)
        key = (driving, motion_settings(settings), *stamps([driving]))
        if key not in self._drivers:
            self._drivers.clear()
            finder = self._finder(settings.detector)
            self._drivers[key] = VideoMotion(driving, self.engine, settings, finder, self._progress)
        return self._drivers[key]

    def _recorded(
        self, driver: MotionSource, driving: Path | MotionTemplate, trim: bool
    ) -> MotionTemplate:
        batch = driver.motion()
        shift = batch.pts[0] if trim else 0
        return MotionTemplate(
            batch.keypoints,
            tuple(pts - shift for pts in batch.pts),
            driver.time_base,
            weights=self.engine.weights,
            origin=driving.name if isinstance(driving, Path) else driving.origin,
        )


def _writer(
    output: Path,
    driver: MotionSource,
    settings: RenderSettings,
    sound: Path | None,
    trim: bool,
    work: str,
    overwrite: bool,
) -> VideoWriter:
    """The output at the driver's times; pieces of the same `work` are taken over."""
    return VideoWriter(
        output,
        time_base=driver.time_base,
        rate=driver.rate,
        codec=settings.codec,
        crf=settings.crf,
        preset=settings.preset,
        hardware=settings.hardware,
        sound=sound,
        track=settings.track,
        trim=trim,
        state={"work": work},
        overwrite=overwrite,
    )


def reenact(
    source: np.ndarray,
    frames: Iterable[np.ndarray],
    engine: Engine,
    motion: TransferMode = "relative",
    strengths: Strengths = PLAIN,
    sharpness: float = RenderSettings.sharpness,
) -> Iterator[np.ndarray]:
    """For those who have their own reader: square faces in, the moved source out, in order.

    source, frames: uint8 RGB (S, S, 3) with S = engine.image_size; see `crop.cut`. Relative motion
    is measured from the first frame. sharpness: from 0 to 1, see `Engine.encode`. Frames are drawn
    in batches of engine.batch_size.
    """
    encoded = engine.encode(source, sharpness)
    transfer, tracker = None, engine.tracker()
    for batch in batches(frames, engine.batch_size):
        keypoints = engine.detect(batch, tracker)
        transfer = transfer or engine.transfer(
            motion, encoded.keypoints, keypoints[:1], strengths=strengths, picture=source
        )
        yield from engine.render(encoded, transfer(keypoints))


def animate(
    source: str | Path | Sequence[str | Path],
    driving: str | Path,
    output: str | Path,
    settings: RenderSettings | None = None,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    batch_size: int | None = None,
    overwrite: bool = False,
    progress: Progress | bool | None = False,
) -> RenderReport:
    """Write the portrait `source`, moving like the video `driving`, with the driver's sound.

    weights:  None: the bundled ones. For several renders keep an `Animator`, which loads them once.
    progress: True for a bar, or a function that is called with stage, frames done, frames in all.

    Raises TalkheadError for what a person can mend: files, faces, settings, the disk.
    """
    engine = Engine.load(weights, device, precision, batch_size)
    with progress_callback(progress) as tell:
        render = Animator(engine, tell)
        return render(source, read_driving(Path(driving)), output, settings, overwrite=overwrite)
