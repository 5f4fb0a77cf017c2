"""`talkhead inspect`: a sheet of figures for one driving frame, or for each as a video."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from talkhead.animation.driving import VideoMotion, find_anchor
from talkhead.animation.fingerprint import fingerprint
from talkhead.animation.paths import check_output
from talkhead.animation.renderer import choose_transfer
from talkhead.animation.resolution import load_sources
from talkhead.animation.settings import RenderSettings
from talkhead.errors import TalkheadError
from talkhead.faces.alignment import make_finder
from talkhead.faces.crop_mesh import CropMesh
from talkhead.figures.activations import Activations, dissect
from talkhead.figures.color_scales import ColorScales
from talkhead.figures.questions import answer
from talkhead.figures.sheet import compose
from talkhead.inference.engine import Engine
from talkhead.io.image import check_ending, write_image
from talkhead.progress import Progress, progress_callback
from talkhead.video import VideoWriter
from talkhead.video.formats import CONTAINERS


@dataclass(frozen=True)
class Inspection:
    """What was drawn. frame: the driving frame shown, or that fixed the colours of a video."""

    output: str
    family: str
    frame: int
    frames: int
    figures: tuple[str, ...]
    seconds: float


class Inspector:
    """Looks inside a model while it moves one source by one driving video."""

    def __init__(
        self,
        engine: Engine,
        source: Path,
        driving: Path,
        settings: RenderSettings,
        progress: Progress | None = None,
    ) -> None:
        if driving.suffix == ".safetensors":
            raise TalkheadError(f"{driving} holds no pictures; give the driving video itself")
        self._engine = engine
        self._mesh = CropMesh(engine.device)
        finder = make_finder(settings.detector, str(engine.device))
        (portrait,), _ = load_sources([source], engine, settings, finder)
        self._source = portrait.encoded
        self.driver = VideoMotion(driving, engine, settings, finder, progress)
        _, anchor = find_anchor(self.driver, self._source.keypoints, settings, engine.has_landmarks)
        self._transfer = choose_transfer(engine, self._source, anchor, settings)

    def telling_frame(self) -> int:
        """The driving frame whose keypoints, as they are drawn, differ most from the source's."""
        moved = self._transfer(self.driver.motion().keypoints).value
        return int((moved - self._source.keypoints.value).norm(dim=-1).mean(1).argmax())

    def frames(self, start: int = 0) -> Iterator[tuple[int, Activations]]:
        """Time and activations of every driving frame from number `start` on."""
        number = 0
        for batch in self.driver.batches(pictures=True):
            assert batch.pictures is not None
            moved = self._transfer(batch.keypoints)
            for i, (pts, picture) in enumerate(zip(batch.pts, batch.pictures, strict=True)):
                if number >= start:
                    one = slice(i, i + 1)
                    pair = batch.keypoints[one], moved[one]
                    yield pts, dissect(self._engine, self._source, picture, *pair, self._mesh)
                number += 1

    def frame(self, number: int) -> Activations:
        """The activations of one driving frame."""
        for _, activations in self.frames(number):
            return activations
        raise TalkheadError(
            f"there is no driving frame {number}; the driver has fewer, counted from 0"
        )


def inspect(
    source: str | Path,
    driving: str | Path,
    output: str | Path,
    engine: Engine | None = None,
    settings: RenderSettings | None = None,
    *,
    frame: int | None = None,
    only: Sequence[str] = (),
    video: bool = False,
    overwrite: bool = False,
    progress: Progress | bool | None = False,
) -> Inspection:
    """Draw what the model does to one driving frame (a picture), or to each (a video, silent).

    engine: None: with the bundled weights.
    frame: number from 0; None: the one whose keypoints differ most from the source's. It also
           fixes what the colours mean, for all frames of a video.
    only:  names of `questions.QUESTIONS`; none: all that the model has an answer to.

    Raises TalkheadError for anything that a person can mend.
    """
    source, driving, output = Path(source), Path(driving), Path(output)
    settings, engine = settings or RenderSettings(), engine or Engine.load()
    read = [source, driving, *([engine.path] if engine.path else [])]
    check_output(output, read, overwrite)
    if not video:
        if output.suffix and output.suffix.lower() in CONTAINERS:
            raise TalkheadError(f"{output} is a video; give --video for a sheet of every frame")
        check_ending(output)
    started = time.perf_counter()
    with progress_callback(progress) as tell:
        inspector = Inspector(engine, source, driving, settings, tell)
        number = inspector.telling_frame() if frame is None else frame
        activations = inspector.frame(number)
        scales = ColorScales.of(activations)
        figures = answer(activations, scales, only)
        count = 1
        if video:
            work = fingerprint(engine, [source], driving, settings)
            state = {"work": work, "shown": f"{number} {' '.join(figures)}"}
            count = write_video(inspector, output, scales, list(figures), state, tell, overwrite)
        else:
            write_image(output, compose(list(figures.values())), overwrite)
    seconds = time.perf_counter() - started
    return Inspection(str(output), engine.family, number, count, tuple(figures), seconds)


def write_video(
    inspector: Inspector,
    output: Path,
    scales: ColorScales,
    names: Sequence[str],
    state: dict[str, str],
    progress: Progress | None,
    overwrite: bool,
) -> int:
    """A sheet for every driving frame, at its time; returns how many."""
    driver = inspector.driver
    with VideoWriter(
        output,
        time_base=driver.time_base,
        rate=driver.rate,
        trim=driver.reader.trimmed,
        state=state,
        overwrite=overwrite,
    ) as writer:
        count = writer.frames_done
        for pts, activations in inspector.frames(count):
            figures = answer(activations, scales, names)
            writer.write(compose(list(figures.values())), pts)
            count += 1
            if progress is not None:
                progress("drawing", count, driver.expected())
    return count
