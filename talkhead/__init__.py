"""talkhead: a portrait photo and a driving video in, the portrait moving like the driver out.

>>> import talkhead
>>> talkhead.animate("portrait.jpg", "driving.mp4", "out.mp4")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from talkhead.errors import TalkheadError

if TYPE_CHECKING:
    from talkhead.animation import Animator, Report, animate, reenact
    from talkhead.engine import Engine
    from talkhead.settings import Settings

__version__ = "0.1.0"

# Public names and where they live; imported when first used, so that `import talkhead` is quick.
_HOMES = {
    "Animator": "talkhead.animation",
    "Engine": "talkhead.engine",
    "Report": "talkhead.animation",
    "Settings": "talkhead.settings",
    "animate": "talkhead.animation",
    "reenact": "talkhead.animation",
}

__all__ = [
    "Animator",
    "Engine",
    "Report",
    "Settings",
    "TalkheadError",
    "__version__",
    "animate",
    "reenact",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
