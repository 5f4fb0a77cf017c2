"""talkhead: a portrait photo and a driving video in, the portrait moving like the driver out.

>>> import talkhead
>>> talkhead.animate("portrait.jpg", "driving.mp4", "out.mp4")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from talkhead.errors import TalkheadError
from talkhead.version import __version__

if TYPE_CHECKING:
    from talkhead.animation.animator import Animator, RenderReport, animate, reenact
    from talkhead.animation.settings import RenderSettings
    from talkhead.faces.finder import find_faces
    from talkhead.faces.tracker import FaceTracker
    from talkhead.inference.engine import Engine
    from talkhead.structs import Face

# Public names and where they live; imported when first used, so that `import talkhead` is quick.
_HOMES = {
    "Animator": "talkhead.animation.animator",
    "Engine": "talkhead.inference.engine",
    "Face": "talkhead.structs",
    "FaceTracker": "talkhead.faces.tracker",
    "RenderReport": "talkhead.animation.animator",
    "RenderSettings": "talkhead.animation.settings",
    "animate": "talkhead.animation.animator",
    "find_faces": "talkhead.faces.finder",
    "reenact": "talkhead.animation.animator",
}

# Names of version 0.1, which go with 0.3.
_OLD_NAMES = {"Report": "RenderReport", "Settings": "RenderSettings"}

__all__ = [
    "Animator",
    "Engine",
    "Face",
    "FaceTracker",
    "RenderReport",
    "RenderSettings",
    "TalkheadError",
    "__version__",
    "animate",
    "find_faces",
    "reenact",
]


def __getattr__(name: str) -> Any:
    name = _OLD_NAMES.get(name, name)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
