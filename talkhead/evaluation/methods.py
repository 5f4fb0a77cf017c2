"""The methods that are evaluated: weights, and the baseline that copies the source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from talkhead.checkpoint import default_weights, read_header
from talkhead.errors import TalkheadError
from talkhead.faces.crop import resize
from talkhead.inference.engine import Engine

Pictures = Sequence[np.ndarray]
Draw = Callable[[Pictures], np.ndarray]


class Method(Protocol):
    """Draws results for a source and driving frames.

    name: in tables; key: what its scores are stored under, different for anything that draws
    differently; about: where it comes from, one line.
    """

    name: str
    key: str
    about: str

    def start(self, source: np.ndarray, anchor: np.ndarray | None) -> Draw:
        """Prepare a source, uint8 (S, S, 3); the function returned draws batches of frames.

        It takes driving frames and returns results uint8 (N, S, S, 3). anchor: the frame that
        relative motion is measured from; None: absolute motion.
        """
        ...


class CopySource:
    """Shows the source, whatever the driver does. What does worse is no use."""

    name = "do nothing"
    key = "do-nothing"
    about = "repeats the source frame"

    def start(self, source: np.ndarray, anchor: np.ndarray | None) -> Draw:
        """The source for every driving frame."""
        return lambda driving: np.repeat(source[None], len(driving), axis=0)


class WeightsMethod:
    """A model with its weights, which draws pictures of any size.

    detail: lay the source's detail into results that are larger than the model's own (see
    `models.detail`); without it they are enlarged.
    sharpness: see `Engine.encode`.
    """

    def __init__(
        self, name: str, path: Path, engine: Engine, *, detail: bool = True, sharpness: float = 0.0
    ) -> None:
        self.name = name if detail else f"{name}, enlarged"
        parts = [path.stem, engine.weights[:12], str(engine.precision).removeprefix("torch.")]
        parts += [] if detail else ["enlarged"]
        parts += [f"sharpness{sharpness:g}"] if sharpness else []
        self.key = "-".join(parts)
        header = read_header(path)
        self.about = f"{header.config.family}; {header.provenance.origin}"
        self._engine = engine
        self._detail, self._sharpness = detail, sharpness

    def start(self, source: np.ndarray, anchor: np.ndarray | None) -> Draw:
        """As `Method.start`: relative motion where there is an anchor."""
        size, own = source.shape[0], self._engine.image_size
        encoded = self._engine.encode(resize(source, own), self._sharpness)
        if self._detail and size > own:
            encoded = self._engine.add_detail(encoded, source)
        tracker = self._engine.tracker()
        if anchor is None:
            transfer = self._engine.transfer("absolute", encoded.keypoints)
        else:
            keypoints = self._engine.detect([resize(anchor, own)], tracker)
            transfer = self._engine.transfer("relative", encoded.keypoints, keypoints)

        def draw(driving: Pictures) -> np.ndarray:
            found = self._engine.detect([resize(picture, own) for picture in driving], tracker)
            drawn = self._engine.render(encoded, transfer(found))
            return np.stack([resize(picture, size) for picture in drawn])

        return draw


def load_methods(
    paths: Sequence[Path | None],
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int | None = None,
    size: int | None = None,
    sharpness: float = 0.0,
) -> tuple[list[Method], list[Engine]]:
    """Read several weights (None: the bundled ones), each under a name of its own.

    size: of the pictures that are scored; None: the models' own. Weights that draw smaller ones
          stand twice in the table: with the source's detail, and enlarged.
    sharpness: see `Engine.encode`.

    Raises TalkheadError when models differ in size and none is given: scores of different sizes say
    nothing about each other. And for a sharpness that some of them do not have.
    """
    files = [path or default_weights() for path in paths]
    engines = [Engine.load(path, device, precision, batch_size) for path in files]
    if size is None and len({engine.image_size for engine in engines}) > 1:
        sizes = ", ".join(
            f"{path.name}: {engine.image_size}" for path, engine in zip(files, engines, strict=True)
        )
        raise TalkheadError(
            f"weights for pictures of different sizes ({sizes}); score them apart, or give --size"
        )
    if sharpness:
        for engine in engines:
            engine.require_blending()
    methods: list[Method] = []
    for path, engine in zip(files, engines, strict=True):
        namesakes = [other for other in files if other.stem == path.stem]
        name = path.stem if len(namesakes) == 1 else f"{path.stem} ({engine.weights[:6]})"
        methods.append(WeightsMethod(name, path, engine, sharpness=sharpness))
        if size is not None and size > engine.image_size:
            methods.append(WeightsMethod(name, path, engine, detail=False, sharpness=sharpness))
    return methods, engines
