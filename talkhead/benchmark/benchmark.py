"""All measurements of one run, in order.

Every figure is of one process on one machine, which should have nothing else to do. The plain loop
(see `loop`) has the same weights and the same driving clip.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from talkhead.animation.animator import Animator, reenact
from talkhead.animation.settings import RenderSettings
from talkhead.benchmark import loop
from talkhead.benchmark.machine import Machine, PeakMemory, matrix_peak, waiter
from talkhead.benchmark.media import RENDERED, write_driving, write_portrait
from talkhead.benchmark.options import BenchmarkOptions
from talkhead.benchmark.result import AtSize, Comparison, Render, Result
from talkhead.benchmark.stages import (
    GIGA,
    Batch,
    Scene,
    Stage,
    around_model,
    count_work,
    inside_model,
)
from talkhead.benchmark.subject import load_subject
from talkhead.benchmark.timing import Effort, Timing, measure
from talkhead.config import is_tracked, uses_mesh
from talkhead.device import choose_device, choose_precision
from talkhead.errors import TalkheadError
from talkhead.faces.crop import cut_centre, resize
from talkhead.inference.engine import Engine
from talkhead.io.image import read_image
from talkhead.progress import Progress, progress_callback
from talkhead.version import __version__
from talkhead.video import VideoReader

log = logging.getLogger(__name__)

LANDSCAPE = (1280, 720)
PHOTO, PHOTO_CROP = (1920, 1080), "600,100,720"
# Batch sizes, frames end to end, frames of the plain loop; by kind of device.
DEFAULTS = {"cpu": ((1, 4), 48, 8), "cuda": ((1, 4, 16, 32), 480, 48)}
FREE_DEFAULTS = ((4, 16), 1000, 200)  # no model: so quick that starting would count for much
QUICK_DEFAULTS = ((1, 2), 8, 2)

# As the published demos: motion relative to the first frame, faces not followed.
LIKE_LOOP = RenderSettings(anchor="first", crop_source="none", crop_driving="none")
THOROUGH, QUICK = Effort(), Effort(seconds=0.0, least=2, warm_up=1)
ONCE = Effort(seconds=0.0, least=1, warm_up=0)


def benchmark(
    options: BenchmarkOptions | None = None, *, progress: Progress | bool | None = False
) -> Result:
    """Measure a model and the whole path around it; needs no input files.

    Raises TalkheadError for models, weights and devices that are not there.
    """
    options = options or BenchmarkOptions()
    with (
        tempfile.TemporaryDirectory(prefix="talkhead") as scratch,
        progress_callback(progress) as tell,
    ):
        return Benchmark(options, Path(scratch), tell).run()


class Benchmark:
    """One subject on one device. Each method is one group of measurements; `run` makes all."""

    def __init__(
        self, options: BenchmarkOptions, folder: Path, progress: Progress | None = None
    ) -> None:
        self.options = options
        self._effort = QUICK if options.quick else THOROUGH
        self.device = choose_device(options.device)
        self.precision = choose_precision(options.precision, self.device)
        started = time.perf_counter()
        self.subject = load_subject(options.model, options.weights)
        self._load_seconds = time.perf_counter() - started
        self.image_size = self.subject.model.config.image_size
        defaults = DEFAULTS.get(self.device.type, DEFAULTS["cpu"])
        if self.subject.is_free:
            defaults = FREE_DEFAULTS
        if options.quick:
            defaults = QUICK_DEFAULTS
        self.batch_sizes = options.batch_sizes or defaults[0]
        self.frames = options.frames or defaults[1]
        loop_frames = defaults[2] if options.loop_frames is None else options.loop_frames
        self.loop_frames = min(loop_frames, self.frames)
        self._folder = folder
        self._progress = progress
        self._clips: dict[tuple[int, int, int], Path] = {}

    def run(self) -> Result:
        """Everything, from the pieces to the whole."""
        self._step("matrix products")
        peak = matrix_peak(self.device, self.precision, self._effort)
        self._step("around the model")
        stages = self.around_model()
        self._step("batch sizes")
        engine = self.subject.engine(
            self.device, self.precision, self.batch_sizes[0], self.options.compiled
        )
        scene = self.scene(engine)
        batches = self.batches(scene)
        best = max(batches, key=lambda batch: batch.frames_per_second)
        self._step("inside the model")
        if self.options.compiled:  # its parts cannot be told apart any more
            scene = self.scene(self.subject.engine(self.device, self.precision, best.size))
        source, source_macs = self.source(scene)
        stages += inside_model(scene, best.size, peak, self._effort)
        self._step("end to end")
        engine.batch_size = best.size
        renders = self.renders(engine)
        lengths = self.lengths(engine)
        comparison = None
        if self.loop_frames:
            self._step("the plain loop")
            comparison = self.comparison(engine, renders[1], best.frames_per_second)
        if self.options.sizes:
            self._step("other sizes")
        return Result(
            version=__version__,
            date=datetime.now(UTC).isoformat(timespec="minutes"),
            machine=Machine.here(self.device),
            model=self.subject.name,
            family=engine.family,
            parameters=self.subject.parameters,
            image_size=self.image_size,
            precision=self.options.precision,
            compiled=self.options.compiled,
            load_seconds=self._load_seconds,
            peak=peak,
            source=source,
            source_gmac=source_macs / GIGA,
            stages=stages,
            batches=batches,
            renders=renders,
            lengths=lengths,
            comparison=comparison,
            sizes=list(self.sizes(peak)),
        )

    def _step(self, name: str) -> None:
        if self._progress is not None:
            self._progress(f"measuring {name}", 0, None)

    def around_model(self) -> list[Stage]:
        """Decoding to encoding: of clips as large as the model, of 720p when there is none."""
        size = self.image_size
        width, height = LANDSCAPE if self.subject.is_free else (size, size)
        clip = self.clip(width, height, self.frames)
        portrait = read_image(self.portrait(size))
        return around_model(clip, portrait, size, self._folder, self.device)

    def source(self, scene: Scene) -> tuple[Timing, float]:
        """Encoding the source: time, and multiply-adds."""
        engine, picture = scene.engine, scene.source.picture
        seconds = measure(lambda: engine.encode(picture), waiter(self.device), self._effort)
        macs = count_work(engine, lambda: engine.encode(picture))
        return Timing.of(seconds), sum(macs.values())

    def clip(self, width: int, height: int, frames: int) -> Path:
        """A rendered driving video; made once."""
        key = (width, height, frames)
        if key not in self._clips:
            path = self._folder / f"driving-{width}x{height}-{frames}.mp4"
            self._clips[key] = write_driving(path, *key)
        return self._clips[key]

    def portrait(self, width: int, height: int | None = None) -> Path:
        """A rendered photo, square without a height; made once."""
        height = height or width
        path = self._folder / f"portrait-{width}x{height}.png"
        return path if path.exists() else write_portrait(path, width, height)

    def scene(self, engine: Engine) -> Scene:
        """The portrait and the first driving frames at an engine's size."""
        size = engine.image_size
        with VideoReader(self.clip(size, size, self.frames), frames=RENDERED) as reader:
            pictures = [frame.rgb for frame in reader]
        return Scene.make(engine, read_image(self.portrait(size)), pictures)

    def batches(self, scene: Scene) -> list[Batch]:
        """Frames through the model alone, at every batch size that the device has memory for."""
        engine, found = scene.engine, list[Batch]()
        for size in sorted(self.batch_sizes):
            pictures = scene.batch(size)
            memory = PeakMemory(engine.device)

            engine.batch_size = size  # what is compiled draws whole batches

            def work(pictures: list[np.ndarray] = pictures) -> None:
                engine.render(scene.source, scene.transfer(scene.detect(pictures)))

            try:
                seconds = measure(work, waiter(engine.device), self._effort)
            except torch.OutOfMemoryError:
                if not found:
                    raise TalkheadError(
                        f"the device has no memory for a batch of {size}; give --batch-sizes 1"
                    ) from None
                log.warning("no memory on the device for batches of %d; larger ones left out", size)
                break
            found.append(Batch(size, Timing.of(seconds), memory.device))
        return found

    def render(
        self,
        engine: Engine,
        name: str,
        clip: Path,
        settings: RenderSettings,
        portrait: Path | None = None,
    ) -> Render:
        """One video, as `talkhead animate` makes it; of a photo of the model's size by default."""
        first: list[float] = []

        def progress(stage: str, done: int, total: int | None) -> None:
            if stage == "rendering" and not first:
                first.append(time.perf_counter())

        memory = PeakMemory(self.device)
        output = self._folder / "out.mp4"
        portrait = portrait or self.portrait(engine.image_size)
        started = time.perf_counter()
        report = Animator(engine, progress)(portrait, clip, output, settings, overwrite=True)
        return Render(
            name=name,
            frames=report.frames,
            seconds=time.perf_counter() - started,
            first_frame=first[0] - started,
            process_mb=memory.process,
            device_mb=memory.device,
        )

    def renders(self, engine: Engine) -> list[Render]:
        """Render end to end at the model's size, at twice that, and pasted back into a photo.

        On a square clip and, without a model, on a landscape one, too.
        """
        size = engine.image_size
        square, large = self.clip(size, size, self.frames), 2 * size
        if self.options.compiled:  # not within the time of a render
            portrait = read_image(self.portrait(large))
            source = engine.add_detail(engine.encode(resize(portrait, size)), portrait)
            engine.render(source, source.keypoints.expand(engine.batch_size))
        detailed = replace(LIKE_LOOP, size=large)
        width, height = PHOTO
        photo = self.portrait(width, height)
        whole = replace(LIKE_LOOP, paste_back=True, crop_source=PHOTO_CROP)
        wanted: list[tuple[str, Path, RenderSettings, Path | None]] = [
            (f"{size} px, face tracked", square, RenderSettings(size=size), None),
            (f"{size} px, as the plain loop", square, LIKE_LOOP, None),
            (f"{large} px, with the source's detail", square, detailed, self.portrait(large)),
            (f"in a photo of {height} lines", square, whole, photo),
        ]
        if self.subject.is_free:
            landscape = self.clip(*LANDSCAPE, self.frames)
            wanted += [
                ("720p, face tracked", landscape, RenderSettings(), None),
                ("720p, centre", landscape, LIKE_LOOP, None),
            ]
        return [self.render(engine, *each) for each in wanted]

    def lengths(self, engine: Engine) -> list[Render]:
        """The same render for driving videos of several lengths; memory should not grow."""
        size = engine.image_size
        return [
            self.render(engine, f"{frames} frames", self.clip(size, size, frames), LIKE_LOOP)
            for frames in sorted(self.options.lengths)
        ]

    def comparison(self, engine: Engine, ours: Render, ours_model: float) -> Comparison:
        """The plain loop on the same clip, and how far its pixels are from ours."""
        size = engine.image_size
        clip = self.clip(size, size, self.frames)
        portrait = read_image(self.portrait(size))
        shown = loop.Task(clip, portrait, self._folder / "loop.mp4", self.loop_frames)
        theirs, pictures = loop.run_apart(
            self.options.model, self.options.weights, self.device, shown
        )
        with VideoReader(clip, frames=self.loop_frames) as reader:
            crops = [cut_centre(f.rgb, size) for f in reader]
        if uses_mesh(engine.model.config) or is_tracked(engine.model.config):
            return Comparison(theirs, ours, ours_model)  # the loop finds no mesh and no flow
        drawn = list(reenact(portrait, crops, engine, sharpness=0.0))
        gaps = np.abs(np.stack(drawn).astype(np.int16) - np.stack(pictures))
        return Comparison(theirs, ours, ours_model, int(gaps.max()), float(gaps.mean()))

    def sizes(self, peak: float) -> Iterator[AtSize]:
        """The model alone at other image sizes; one that it cannot do is logged and left out."""
        for size in sorted(self.options.sizes):
            try:
                subject = self.subject.at_size(size)
            except TalkheadError as error:
                log.warning("left out: %s", error)
                continue
            scene = self.scene(subject.engine(self.device, self.precision, 1))
            batches = self.batches(scene)
            one = inside_model(scene, 1, peak, ONCE)
            yield AtSize(size, batches, sum(stage.gmac or 0 for stage in one))
