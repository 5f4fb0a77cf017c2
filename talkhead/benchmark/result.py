"""Results of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass

from talkhead.benchmark.loop import LoopRun
from talkhead.benchmark.machine import Machine
from talkhead.benchmark.stages import Batch, Stage
from talkhead.benchmark.timing import Timing


@dataclass(frozen=True)
class Render:
    """A whole video through the real animator, from files to a file.

    seconds: of work with the weights already loaded, faces found and the source encoded included;
    first_frame: seconds until the first frames were drawn; MB are the most that were held.
    """

    name: str
    frames: int
    seconds: float
    first_frame: float
    process_mb: float | None
    device_mb: float | None

    @property
    def frames_per_second(self) -> float:
        """End to end."""
        return self.frames / self.seconds


@dataclass(frozen=True)
class Comparison:
    """The plain loop beside ours: frames per second of both, end to end and of the model alone.

    largest, mean: difference of the drawn pixels, in levels of 255; None for models that also draw
    by face meshes or optical flow, which the loop does not find.
    """

    loop: LoopRun
    ours: Render
    ours_model: float
    largest: int | None = None
    mean: float | None = None

    @property
    def ratio(self) -> float:
        """How many times as fast as the loop ours is, end to end."""
        return self.ours.frames_per_second / self.loop.frames_per_second

    @property
    def loop_model(self) -> float:
        """Frames per second of the loop's model alone."""
        return self.loop.frames / self.loop.model


@dataclass(frozen=True)
class AtSize:
    """The model alone at one image size, and its multiply-adds (billions) per frame."""

    size: int
    batches: list[Batch]
    gmac: float


@dataclass(frozen=True)
class Result:
    """Everything that was measured.

    load_seconds: for weights from disk, or for building an untrained model.
    peak:  the most multiply-adds per second in this precision, see `machine.matrix_peak`.
    source, source_gmac: what encoding a source takes, once, in time and in billions of
                         multiply-adds.
    comparison: None where the plain loop was left out.
    """

    version: str
    date: str
    machine: Machine
    model: str
    family: str
    parameters: int
    image_size: int
    precision: str
    compiled: bool
    load_seconds: float
    peak: float
    source: Timing
    source_gmac: float
    stages: list[Stage]
    batches: list[Batch]
    renders: list[Render]
    lengths: list[Render]
    comparison: Comparison | None
    sizes: list[AtSize]

    @property
    def best(self) -> Batch:
        """The batch size with the most frames per second."""
        return max(self.batches, key=lambda batch: batch.frames_per_second)

    @property
    def driven_gmac(self) -> float:
        """Multiply-adds (billions) per driving frame."""
        return sum(stage.gmac or 0 for stage in self.stages)
