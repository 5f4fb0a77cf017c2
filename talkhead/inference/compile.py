"""torch.compile, with a fallback to the plain function."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger(__name__)

# On CUDA the launches of a whole call are recorded once and played back (CUDA graphs).
MODES = {"cuda": "reduce-overhead"}


class Compiled(Generic[P, R]):
    """A function that torch compiles at its first call, for the shapes of that call.

    Where that fails (no C++ compiler, an unsupported system) the function runs as it is from then
    on, after one warning. On CUDA the result of a call is overwritten by the next.
    """

    def __init__(self, function: Callable[P, R], device: torch.device) -> None:
        self._plain = function
        self._quick: Callable[P, R] | None = torch.compile(
            function, dynamic=False, mode=MODES.get(device.type, "default")
        )
        self._works = False

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, whether it is compiled or not."""
        if self._quick is None:
            return self._plain(*args, **kwargs)
        try:
            result = self._quick(*args, **kwargs)
        except (RuntimeError, ImportError, OSError) as error:
            if self._works or isinstance(error, torch.OutOfMemoryError):
                raise
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error)
            log.warning("compiling failed, so drawing is not compiled: %s", reason)
            self._quick = None
            return self._plain(*args, **kwargs)
        self._works = True
        return result
