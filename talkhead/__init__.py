"""talkhead: a portrait photo and a driving video in, the portrait moving like the driver out.

>>> import talkhead
>>> talkhead.animate("portrait.jpg", "driving.mp4", "out.mp4")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from talkhead.errors import TalkheadError
from talkhead.version import __version__

if TYPE_CHECKING:
    from talkhead.ablation.ablate import ablate
    from talkhead.ablation.options import AblationOptions
    from talkhead.animation.animator import Animator, RenderReport, animate, reenact
    from talkhead.animation.live import LiveAnimator, LiveReport
    from talkhead.animation.settings import RenderSettings
    from talkhead.batch.batch import BatchReport, batch
    from talkhead.batch.options import BatchOptions
    from talkhead.benchmark.benchmark import benchmark
    from talkhead.benchmark.options import BenchmarkOptions
    from talkhead.conversion.convert import convert
    from talkhead.evaluation.evaluate import evaluate
    from talkhead.evaluation.options import EvaluateOptions
    from talkhead.faces.finder import find_faces
    from talkhead.faces.framing import crop_face
    from talkhead.faces.tracker import FaceTracker
    from talkhead.figures.inspect import inspect
    from talkhead.inference.engine import Engine
    from talkhead.io.image import read_image
    from talkhead.motion.template import MotionTemplate
    from talkhead.structs import Face
    from talkhead.synthetic.options import SynthOptions
    from talkhead.synthetic.synth import synth
    from talkhead.training.options import TrainOptions
    from talkhead.training.train import train
    from talkhead.video import VideoReader, VideoWriter

# Public names and where they live; imported when first used, so that `import talkhead` is quick.
_HOMES = {
    "AblationOptions": "talkhead.ablation.options",
    "Animator": "talkhead.animation.animator",
    "BatchOptions": "talkhead.batch.options",
    "BatchReport": "talkhead.batch.batch",
    "BenchmarkOptions": "talkhead.benchmark.options",
    "Engine": "talkhead.inference.engine",
    "EvaluateOptions": "talkhead.evaluation.options",
    "Face": "talkhead.structs",
    "FaceTracker": "talkhead.faces.tracker",
    "LiveAnimator": "talkhead.animation.live",
    "LiveReport": "talkhead.animation.live",
    "MotionTemplate": "talkhead.motion.template",
    "RenderReport": "talkhead.animation.animator",
    "RenderSettings": "talkhead.animation.settings",
    "SynthOptions": "talkhead.synthetic.options",
    "TrainOptions": "talkhead.training.options",
    "VideoReader": "talkhead.video",
    "VideoWriter": "talkhead.video",
    "ablate": "talkhead.ablation.ablate",
    "animate": "talkhead.animation.animator",
    "batch": "talkhead.batch.batch",
    "benchmark": "talkhead.benchmark.benchmark",
    "convert": "talkhead.conversion.convert",
    "crop_face": "talkhead.faces.framing",
    "evaluate": "talkhead.evaluation.evaluate",
    "find_faces": "talkhead.faces.finder",
    "inspect": "talkhead.figures.inspect",
    "read_image": "talkhead.io.image",
    "reenact": "talkhead.animation.animator",
    "synth": "talkhead.synthetic.synth",
    "train": "talkhead.training.train",
}

# Names of version 0.1, which go with 0.3.
_OLD_NAMES = {"Motion": "MotionTemplate", "Report": "RenderReport", "Settings": "RenderSettings"}

__all__ = [
    "AblationOptions",
    "Animator",
    "BatchOptions",
    "BatchReport",
    "BenchmarkOptions",
    "Engine",
    "EvaluateOptions",
    "Face",
    "FaceTracker",
    "LiveAnimator",
    "LiveReport",
    "MotionTemplate",
    "RenderReport",
    "RenderSettings",
    "SynthOptions",
    "TalkheadError",
    "TrainOptions",
    "VideoReader",
    "VideoWriter",
    "__version__",
    "ablate",
    "animate",
    "batch",
    "benchmark",
    "convert",
    "crop_face",
    "evaluate",
    "find_faces",
    "inspect",
    "read_image",
    "reenact",
    "synth",
    "train",
]


def __getattr__(name: str) -> Any:
    name = _OLD_NAMES.get(name, name)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    for public in _HOMES:  # rooms of these names, imported on the way, must not stand for them
        if isinstance(globals().get(public), ModuleType):
            del globals()[public]
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
