"""talkhead: a portrait photo and a driving video in, the portrait moving like the driver out.

>>> import talkhead
>>> talkhead.animate("portrait.jpg", "driving.mp4", "out.mp4")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from talkhead.errors import TalkheadError as TalkheadError
from talkhead.version import __version__ as __version__

if TYPE_CHECKING:
    from talkhead.ablation.ablate import ablate as ablate
    from talkhead.ablation.options import AblationOptions as AblationOptions
    from talkhead.animation.animator import Animator as Animator
    from talkhead.animation.animator import RenderReport as RenderReport
    from talkhead.animation.animator import animate as animate
    from talkhead.animation.animator import reenact as reenact
    from talkhead.animation.live import LiveAnimator as LiveAnimator
    from talkhead.animation.live import LiveReport as LiveReport
    from talkhead.animation.settings import RenderSettings as RenderSettings
    from talkhead.batch.batch import BatchReport as BatchReport
    from talkhead.batch.batch import batch as batch
    from talkhead.batch.options import BatchOptions as BatchOptions
    from talkhead.benchmark.benchmark import benchmark as benchmark
    from talkhead.benchmark.options import BenchmarkOptions as BenchmarkOptions
    from talkhead.conversion.convert import convert as convert
    from talkhead.evaluation.evaluate import evaluate as evaluate
    from talkhead.evaluation.options import EvaluateOptions as EvaluateOptions
    from talkhead.faces.finder import find_faces as find_faces
    from talkhead.faces.framing import crop_face as crop_face
    from talkhead.faces.tracker import FaceTracker as FaceTracker
    from talkhead.figures.inspect import inspect as inspect
    from talkhead.inference.engine import Engine as Engine
    from talkhead.io.image import read_image as read_image
    from talkhead.motion.template import MotionTemplate as MotionTemplate
    from talkhead.preparation.options import PrepareOptions as PrepareOptions
    from talkhead.preparation.prepare import PrepareReport as PrepareReport
    from talkhead.preparation.prepare import prepare as prepare
    from talkhead.structs import Face as Face
    from talkhead.synthetic.options import SynthOptions as SynthOptions
    from talkhead.synthetic.synth import synth as synth
    from talkhead.training.options import TrainOptions as TrainOptions
    from talkhead.training.train import train as train
    from talkhead.video import VideoReader as VideoReader
    from talkhead.video import VideoWriter as VideoWriter

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
    "PrepareOptions": "talkhead.preparation.options",
    "PrepareReport": "talkhead.preparation.prepare",
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
    "prepare": "talkhead.preparation.prepare",
    "read_image": "talkhead.io.image",
    "reenact": "talkhead.animation.animator",
    "synth": "talkhead.synthetic.synth",
    "train": "talkhead.training.train",
}

# Names of version 0.1, which go with 0.3.
_OLD_NAMES = {"Motion": "MotionTemplate", "Report": "RenderReport", "Settings": "RenderSettings"}

__all__ = ["TalkheadError", "__version__", *_HOMES]


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
